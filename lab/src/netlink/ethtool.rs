//! What an interface takes off the processor's hands, switched through the
//! ethtool ioctl: older than ethtool's netlink and spoken by every driver.

use super::Netlink;
use crate::error::SetupError;

/// An offload of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offload {
    /// Completing the checksum of what is sent. Off on a veth, frames arrive at
    /// its peer with complete checksums, and TSO goes off with it.
    TxChecksum,
    /// Segmenting large TCP sends in hardware; on a veth, passing them whole.
    Tso,
    /// Segmenting large sends in software just before the driver.
    Gso,
    /// Joining received segments into large ones.
    Gro,
}

impl Offload {
    /// The ethtool commands that read and write it, from `linux/ethtool.h`.
    fn commands(self) -> (u32, u32) {
        match self {
            Self::TxChecksum => (0x16, 0x17),
            Self::Tso => (0x1e, 0x1f),
            Self::Gso => (0x23, 0x24),
            Self::Gro => (0x2b, 0x2c),
        }
    }
}

impl Netlink {
    /// Switches an offload of the interface `name`.
    ///
    /// # Errors
    /// `EOPNOTSUPP` when the driver cannot switch it, `ENODEV`.
    pub fn set_offload(&mut self, name: &str, offload: Offload, on: bool) -> Result<(), SetupError> {
        self.ethtool(name, offload, offload.commands().1, u32::from(on)).map(drop)
    }

    /// Whether an offload of the interface `name` is on.
    ///
    /// # Errors
    /// `EOPNOTSUPP` when the driver does not know it, `ENODEV`.
    pub fn offload(&mut self, name: &str, offload: Offload) -> Result<bool, SetupError> {
        self.ethtool(name, offload, offload.commands().0, 0).map(|value| value != 0)
    }

    fn ethtool(&mut self, name: &str, offload: Offload, command: u32, data: u32) -> Result<u32, SetupError> {
        let mut value = EthtoolValue { command, data };
        let mut request = request_for(name);
        request.ifr_ifru.ifru_data = (&raw mut value).cast();
        self.ioctl(libc::SIOCETHTOOL as _, &mut request, || format!("asking {name} about {offload:?}"))?;
        Ok(value.data)
    }
}

/// `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// An ifreq that names an interface; a name too long is cut, and then not found.
pub(super) fn request_for(name: &str) -> libc::ifreq {
    // SAFETY: ifreq is plain data for which zero bytes are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = libc::IFNAMSIZ - 1; // the last byte stays NUL
    for (to, from) in request.ifr_name.iter_mut().take(room).zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::Namespace;
    use crate::privilege::require_for_test;

    #[test]
    fn an_offload_is_what_it_was_set_to() {
        if !require_for_test("an_offload_is_what_it_was_set_to") {
            return;
        }
        let (here, there) = (Namespace::new().unwrap(), Namespace::new().unwrap());
        let mut netlink = Netlink::open(&here).unwrap();
        netlink.create_veth("a", "b", &there).unwrap();
        for offload in [Offload::TxChecksum, Offload::Tso, Offload::Gso, Offload::Gro] {
            for on in [false, true] {
                netlink.set_offload("a", offload, on).unwrap();
                assert_eq!(netlink.offload("a", offload).unwrap(), on, "{offload:?}");
            }
        }
    }

    #[test]
    fn a_missing_interface_is_named_in_the_error() {
        if !require_for_test("a_missing_interface_is_named_in_the_error") {
            return;
        }
        let namespace = Namespace::new().unwrap();
        let error = Netlink::open(&namespace).unwrap().set_up("nowhere").unwrap_err();
        assert!(error.to_string().contains("nowhere"), "{error}");
    }
}
