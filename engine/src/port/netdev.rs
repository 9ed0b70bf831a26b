//! What XDP a device can do, asked of the generic netlink family `netdev`.
//!
//! Linux `Documentation/netlink/specs/netdev.yaml`; the family came with 6.3.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The XDP features that a device's driver declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct XdpFeatures(pub(super) u64);

impl XdpFeatures {
    /// Runs programs in the driver and redirects frames: what copy-mode AF_XDP needs.
    pub(super) fn redirects(self) -> bool {
        self.0 & (BASIC | REDIRECT) == BASIC | REDIRECT
    }

    /// Serves AF_XDP sockets without copying.
    pub(super) fn zero_copy(self) -> bool {
        self.redirects() && self.0 & XSK_ZEROCOPY != 0
    }
}

/// Asks for the XDP features of the device with index `ifindex`, in the network
/// namespace of the calling thread. Needs no privilege.
///
/// # Errors
/// `ENOENT`: a kernel before 6.3, which has no such family; `ENODEV`: no such
/// device; `InvalidData`: an answer that makes no sense.
pub(super) fn xdp_features(ifindex: u32) -> io::Result<XdpFeatures> {
    let mut talk = Conversation::open()?;
    let answer = talk.ask(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME, b"netdev\0")?;
    let family = attribute(&answer, CTRL_ATTR_FAMILY_ID).and_then(|value| value.first_chunk()).ok_or_else(senseless)?;
    let family = u16::from_ne_bytes(*family);
    let answer = talk.ask(family, NETDEV_CMD_DEV_GET, NETDEV_A_DEV_IFINDEX, &ifindex.to_ne_bytes())?;
    let features = attribute(&answer, NETDEV_A_DEV_XDP_FEATURES).and_then(|value| value.first_chunk());
    features.map(|value| XdpFeatures(u64::from_ne_bytes(*value))).ok_or_else(senseless)
}

/// A generic netlink socket: one question, one answer.
struct Conversation {
    socket: OwnedFd,
    sequence: u32,
}

impl Conversation {
    fn open() -> io::Result<Conversation> {
        // SAFETY: no pointer is handed over.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_GENERIC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just opened and nobody else knows it.
        Ok(Conversation { socket: unsafe { OwnedFd::from_raw_fd(fd) }, sequence: 0 })
    }

    /// Sends one command with one attribute; the attributes of the answer.
    fn ask(&mut self, family: u16, command: u8, kind: u16, value: &[u8]) -> io::Result<Vec<u8>> {
        self.sequence += 1;
        let request = request(family, command, self.sequence, kind, value);
        // SAFETY: pointer and length are those of `request`.
        let sent = unsafe { libc::send(self.socket.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        let mut answer = vec![0; 16 << 10];
        // The kernel answers within the send, so this does not wait.
        // SAFETY: pointer and length are those of `answer`.
        let length = unsafe {
            libc::recv(self.socket.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), libc::MSG_DONTWAIT)
        };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        answer.truncate(length);
        attributes_of(&answer, family)
    }
}

/// `nlmsghdr`, `genlmsghdr` and one attribute, in the machine's byte order.
fn request(family: u16, command: u8, sequence: u32, kind: u16, value: &[u8]) -> Vec<u8> {
    let attribute = ATTRIBUTE_HEADER + value.len();
    let length = MESSAGE_HEADER + GENERIC_HEADER + attribute.next_multiple_of(4);
    let mut message = Vec::with_capacity(length);
    message.extend((length as u32).to_ne_bytes());
    message.extend(family.to_ne_bytes());
    message.extend((libc::NLM_F_REQUEST as u16).to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend(0u32.to_ne_bytes());
    message.extend([command, 1, 0, 0]);
    message.extend((attribute as u16).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
    message.resize(length, 0);
    message
}

/// What follows the headers of an answer of `family`; an error message becomes its error.
fn attributes_of(answer: &[u8], family: u16) -> io::Result<Vec<u8>> {
    let header = answer.get(..MESSAGE_HEADER).ok_or_else(senseless)?;
    let kind = u16::from_ne_bytes([header[4], header[5]]);
    if i32::from(kind) == libc::NLMSG_ERROR {
        let code = answer[MESSAGE_HEADER..].first_chunk().ok_or_else(senseless)?;
        return Err(io::Error::from_raw_os_error(-i32::from_ne_bytes(*code)));
    }
    if kind != family {
        return Err(senseless());
    }
    answer.get(MESSAGE_HEADER + GENERIC_HEADER..).map(<[u8]>::to_vec).ok_or_else(senseless)
}

/// The value of the first attribute of this kind.
fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    while let Some(header) = attributes.first_chunk::<ATTRIBUTE_HEADER>() {
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & ATTRIBUTE_KIND;
        let value = attributes.get(ATTRIBUTE_HEADER..length)?;
        if kind == wanted {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}

fn senseless() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer about XDP features makes no sense")
}

const MESSAGE_HEADER: usize = 16;
const GENERIC_HEADER: usize = 4;
const ATTRIBUTE_HEADER: usize = 4;
/// Without `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
const ATTRIBUTE_KIND: u16 = 0x3fff;

/// `include/uapi/linux/genetlink.h`
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

/// `include/uapi/linux/netdev.h`
const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
const BASIC: u64 = 1;
const REDIRECT: u64 = 2;
const XSK_ZEROCOPY: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_read_as_the_kernel_declares_them() {
        let table = [(0x00, false, false), (0x23, true, false), (0x2b, true, true), (0x09, false, false)];
        for (bits, redirects, zero_copy) in table {
            let features = XdpFeatures(bits);
            assert_eq!((features.redirects(), features.zero_copy()), (redirects, zero_copy), "{bits:#x}");
        }
    }

    #[test]
    fn a_device_that_does_not_exist_is_an_error_not_a_panic() {
        let error = xdp_features(0x7fff_fff0).expect_err("no device has this index");
        // A kernel before 6.3 has no family to ask.
        assert!(matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENOENT)), "{error}");
    }

    #[test]
    fn a_cut_answer_is_an_error_not_a_panic() {
        let whole = request(20, 1, 1, 3, &7u64.to_ne_bytes());
        for length in 0..whole.len() {
            let attributes = attributes_of(&whole[..length], 20).unwrap_or_default();
            assert_eq!(attribute(&attributes, 3), None, "cut to {length}");
        }
        let attributes = attributes_of(&whole, 20).expect("whole");
        assert_eq!(attribute(&attributes, 3), Some(7u64.to_ne_bytes().as_slice()));
        assert!(attributes_of(&whole, 21).is_err());
    }
}
