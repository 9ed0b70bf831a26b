//! What the kernel says about a network device, asked by `ioctl`.
//!
//! No sysfs: a container often has none, or that of another namespace.

use std::ffi::CStr;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::{Link, OpenError, PortOptions};

/// A network device of the namespace in which it was looked up.
#[derive(Debug)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Interface index, above 0.
    pub index: u32,
    /// Ethernet address; zeros when it has none.
    pub mac: [u8; 6],
    /// Largest IP packet, in bytes. Loopback's is 65536.
    pub mtu: u32,
    /// Is it an Ethernet device (`ARPHRD_ETHER`, or loopback, which frames alike)?
    pub ethernet: bool,
    /// What kind of device it is, by the name of its kernel driver.
    pub kind: Kind,
    /// For further questions: any socket of the namespace would do.
    socket: OwnedFd,
}

/// Kinds of devices that drivers tell apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One end of a virtual Ethernet pair.
    Veth,
    /// TUN or TAP.
    Tun,
    /// A virtio NIC of a VM.
    VirtioNet,
    /// A bridge.
    Bridge,
    /// Anything else, with the name of its driver; empty when it tells none.
    Other(String),
}

/// How many queues a device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queues {
    /// Receive queues, at least 1.
    pub rx: u32,
    /// Transmit queues, at least 1.
    pub tx: u32,
}

impl Device {
    /// Looks up a device by name.
    ///
    /// # Errors
    /// `ENODEV` when there is no such device, `EINVAL` when no device can have
    /// this name; else what the system said.
    pub fn look_up(name: &str) -> io::Result<Device> {
        let socket = control_socket()?;
        let mut request = request(name)?;
        ioctl(&socket, libc::SIOCGIFINDEX, &mut request)?;
        // SAFETY: SIOCGIFINDEX filled this member; any bytes are a valid int.
        let index = unsafe { request.ifr_ifru.ifru_ifindex } as u32;
        ioctl(&socket, libc::SIOCGIFMTU, &mut request)?;
        // SAFETY: SIOCGIFMTU filled this member.
        let mtu = unsafe { request.ifr_ifru.ifru_mtu } as u32;
        ioctl(&socket, libc::SIOCGIFHWADDR, &mut request)?;
        // SAFETY: SIOCGIFHWADDR filled this member.
        let address = unsafe { request.ifr_ifru.ifru_hwaddr };
        let mut mac = [0; 6];
        for (to, from) in mac.iter_mut().zip(address.sa_data) {
            *to = from as u8;
        }
        let ethernet = matches!(address.sa_family, libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK);
        let kind = kind(&socket, name)?;
        Ok(Device { name: name.to_owned(), index, mac, mtu, ethernet, kind, socket })
    }

    /// Looks up the device that a port is to stand on.
    ///
    /// # Errors
    /// As [`Device::look_up`], and a device that is not Ethernet; the hint lists
    /// the devices there are.
    pub fn for_port(options: &PortOptions, driver: &'static str) -> Result<Device, OpenError> {
        let error = |what: String, hint: String, source| OpenError {
            port: options.name.clone(),
            driver,
            device: options.device.clone(),
            what,
            hint,
            source,
        };
        let device = Device::look_up(&options.device).map_err(|source| match source.raw_os_error() {
            Some(libc::ENODEV | libc::ENXIO | libc::EINVAL) => error(
                "there is no such device".into(),
                format!("devices here are: {}", names().join(", ")),
                Some(source),
            ),
            _ => error(format!("cannot look at the device: {source}"), String::new(), Some(source)),
        })?;
        if !device.ethernet {
            let hint = "Causeway routes between Ethernet devices".into();
            return Err(error("not an Ethernet device".into(), hint, None));
        }
        Ok(device)
    }

    /// Is it administratively up, and has it a carrier?
    ///
    /// # Errors
    /// `ENODEV` when it has gone, or was renamed, or made anew: sockets do not move
    /// from a device to its namesake.
    pub fn is_up(&self) -> io::Result<bool> {
        let flags = self.flags()?;
        let mut request = request(&self.name)?;
        ioctl(&self.socket, libc::SIOCGIFINDEX, &mut request)?;
        // SAFETY: SIOCGIFINDEX filled this member.
        if unsafe { request.ifr_ifru.ifru_ifindex } as u32 != self.index {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        Ok(flags & libc::IFF_UP != 0 && flags & libc::IFF_RUNNING != 0)
    }

    /// How is it? It has gone as in [`Device::is_up`].
    pub fn link(&self) -> Link {
        match self.is_up() {
            Ok(true) => Link::Up,
            Ok(false) => Link::Down,
            Err(_) => Link::Gone,
        }
    }

    /// Sets it administratively up. Needs `CAP_NET_ADMIN`.
    ///
    /// # Errors
    /// `EPERM` without the capability; `ENODEV` when it has gone.
    pub fn bring_up(&self) -> io::Result<()> {
        let flags = self.flags()?;
        if flags & libc::IFF_UP != 0 {
            return Ok(());
        }
        let mut request = request(&self.name)?;
        request.ifr_ifru.ifru_flags = (flags | libc::IFF_UP) as libc::c_short;
        ioctl(&self.socket, libc::SIOCSIFFLAGS, &mut request)
    }

    /// Its queues; one each when it does not tell.
    pub fn queues(&self) -> Queues {
        let mut channels = EthtoolChannels { cmd: ETHTOOL_GCHANNELS, ..EthtoolChannels::default() };
        if ethtool(&self.socket, &self.name, &mut channels).is_err() {
            return Queues { rx: 1, tx: 1 };
        }
        Queues {
            rx: (channels.rx_count + channels.combined_count).max(1),
            tx: (channels.tx_count + channels.combined_count).max(1),
        }
    }

    fn flags(&self) -> io::Result<libc::c_int> {
        let mut request = request(&self.name)?;
        ioctl(&self.socket, libc::SIOCGIFFLAGS, &mut request)?;
        // SAFETY: SIOCGIFFLAGS filled this member.
        Ok(libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags }))
    }
}

/// The names of all devices of this namespace, for error messages.
pub fn names() -> Vec<String> {
    let mut names = Vec::new();
    // SAFETY: returns null or an array that ends with index 0 and is ours to free.
    let list = unsafe { libc::if_nameindex() };
    if list.is_null() {
        return names;
    }
    let mut entry = list;
    // SAFETY: `entry` stays within the array, as the loop ends at index 0; each
    // name is a C string that lives until the array is freed below.
    unsafe {
        while (*entry).if_index != 0 {
            names.push(CStr::from_ptr((*entry).if_name).to_string_lossy().into_owned());
            entry = entry.add(1);
        }
        libc::if_freenameindex(list);
    }
    names
}

/// A locally administered unicast address made of a name: the same one each
/// time, and hardly another name's. For ports whose device has none to give.
pub fn local_mac(name: &str) -> [u8; 6] {
    // FNV-1a: short, and fixed for good, which std's hasher is not.
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let [a, b, c, d, e, ..] = (hash ^ (hash >> 32)).to_le_bytes();
    [0x02, a, b, c, d, e]
}

fn kind(socket: &OwnedFd, name: &str) -> io::Result<Kind> {
    let mut info = EthtoolDrvinfo { cmd: ETHTOOL_GDRVINFO, ..EthtoolDrvinfo::default() };
    if let Err(error) = ethtool(socket, name, &mut info) {
        // Loopback, for one, has no driver to tell of.
        return if error.raw_os_error() == Some(libc::EOPNOTSUPP) {
            Ok(Kind::Other(String::new()))
        } else {
            Err(error)
        };
    }
    let end = info.driver.iter().position(|byte| *byte == 0).unwrap_or(info.driver.len());
    Ok(match &info.driver[..end] {
        b"veth" => Kind::Veth,
        b"tun" => Kind::Tun,
        b"virtio_net" => Kind::VirtioNet,
        b"bridge" => Kind::Bridge,
        other => Kind::Other(String::from_utf8_lossy(other).into_owned()),
    })
}

/// Any socket serves to ask about devices; this one needs no privilege.
fn control_socket() -> io::Result<OwnedFd> {
    // SAFETY: no memory is handed over.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A zeroed request that names a device.
///
/// # Errors
/// `EINVAL`: no device can be called this.
pub(super) fn request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: `ifreq` is plain old data, for which zeros are a value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    if name.is_empty() || name.len() >= request.ifr_name.len() || name.bytes().any(|byte| byte == 0 || byte == b'/') {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

/// One `ioctl` with an `ifreq`. The requests used here read and write within it.
fn ioctl(fd: &impl AsRawFd, code: libc::c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: `request` is a whole `ifreq`, which is what the interface ioctls
    // take; where it holds a pointer, `ethtool` below keeps its target alive.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), code as _, request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// One ethtool command; `T` is the structure that its first field, `cmd`, asks for.
fn ethtool<T>(socket: &OwnedFd, name: &str, command: &mut T) -> io::Result<()> {
    let mut request = request(name)?;
    request.ifr_ifru.ifru_data = (command as *mut T).cast();
    ioctl(socket, libc::SIOCETHTOOL as libc::c_ulong, &mut request)
}

const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GCHANNELS: u32 = 0x3c;

/// `struct ethtool_drvinfo`, as `include/uapi/linux/ethtool.h` has it.
#[repr(C)]
struct EthtoolDrvinfo {
    cmd: u32,
    driver: [u8; 32],
    /// Version, firmware, bus, reserved and counts: 32 + 32 + 32 + 32 + 12 bytes
    /// and five words, which the kernel writes and nobody here reads.
    rest: [u32; 40],
}

impl Default for EthtoolDrvinfo {
    fn default() -> EthtoolDrvinfo {
        EthtoolDrvinfo { cmd: 0, driver: [0; 32], rest: [0; 40] }
    }
}

#[repr(C)]
#[derive(Default)]
struct EthtoolChannels {
    cmd: u32,
    max_rx: u32,
    max_tx: u32,
    max_other: u32,
    max_combined: u32,
    rx_count: u32,
    tx_count: u32,
    other_count: u32,
    combined_count: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_lab::netlink::Netlink;
    use causeway_lab::netns::Namespace;
    use causeway_lab::privilege::require_for_test;

    #[test]
    fn loopback_is_found_with_its_index_and_mtu() {
        let device = Device::look_up("lo").expect("every namespace has lo");
        assert!(device.index > 0);
        assert_eq!(device.mac, [0; 6]);
        assert!(device.ethernet);
        assert_eq!(device.queues(), Queues { rx: 1, tx: 1 });
        assert!(names().contains(&"lo".to_owned()));
    }

    #[test]
    fn a_device_that_does_not_exist_is_an_error_that_lists_those_that_do() {
        for name in ["nosuchdev0", "", "a-name-longer-than-fifteen", "with/slash"] {
            let options = PortOptions {
                id: causeway_fastpath::ids::PortId(0),
                name: "uplink".into(),
                device: name.into(),
                ring: 256,
                mtu: None,
                mac: None,
                memif_id: 0,
                share: None,
            };
            let error = Device::for_port(&options, "af-packet").expect_err("no such device").to_string();
            let start = format!("port \"uplink\" (af-packet on {name}): there is no such device; devices here are: ");
            assert!(error.starts_with(&start) && error.contains("lo"), "{error}");
        }
    }

    #[test]
    fn a_device_that_was_made_anew_is_another() {
        if !require_for_test("a_device_that_was_made_anew_is_another") {
            return;
        }
        let host = Namespace::new().expect("a namespace");
        let mut netlink = Netlink::open(&host).expect("netlink");
        let make = |netlink: &mut Netlink| {
            netlink.create_bridge("br0").expect("a bridge");
            netlink.set_up("br0").expect("up");
        };
        make(&mut netlink);
        let device = host.run(|| Device::look_up("br0")).expect("just made");
        assert!(device.is_up().is_ok());
        netlink.delete_link("br0").expect("deleted");
        assert!(device.is_up().is_err());
        make(&mut netlink);
        assert!(device.is_up().is_err());
    }
}
