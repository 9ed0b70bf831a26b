//! Addresses as tests like to write them: as text, or as what they already have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An Ethernet address, first byte on the wire first.
pub type Mac = [u8; 6];

/// All ones: every station.
pub const BROADCAST: Mac = [0xff; 6];

/// Anything that names an Ethernet address: six bytes or `"02:00:00:00:00:01"`.
pub trait ToMac {
    /// The address.
    ///
    /// # Panics
    /// Text that is not six hexadecimal bytes with colons between: a bug in the test.
    fn to_mac(self) -> Mac;
}

impl ToMac for Mac {
    fn to_mac(self) -> Mac {
        self
    }
}

impl ToMac for &str {
    fn to_mac(self) -> Mac {
        let bytes: Option<Vec<u8>> = self.split(':').map(|part| u8::from_str_radix(part, 16).ok()).collect();
        bytes.and_then(|bytes| bytes.try_into().ok()).unwrap_or_else(|| panic!("{self:?} is not an Ethernet address"))
    }
}

/// Anything that names an IPv4 address: text, four bytes, [`Ipv4Addr`].
pub trait ToIpv4 {
    /// The address.
    ///
    /// # Panics
    /// Text that is not an IPv4 address: a bug in the test.
    fn to_ipv4(self) -> Ipv4Addr;
}

impl<T: ToIp> ToIpv4 for T {
    fn to_ipv4(self) -> Ipv4Addr {
        match self.to_ip() {
            IpAddr::V4(address) => address,
            IpAddr::V6(address) => panic!("{address} is not an IPv4 address"),
        }
    }
}

/// Anything that names an IPv6 address: text, sixteen bytes, [`Ipv6Addr`].
pub trait ToIpv6 {
    /// The address.
    ///
    /// # Panics
    /// Text that is not an IPv6 address: a bug in the test.
    fn to_ipv6(self) -> Ipv6Addr;
}

impl<T: ToIp> ToIpv6 for T {
    fn to_ipv6(self) -> Ipv6Addr {
        match self.to_ip() {
            IpAddr::V6(address) => address,
            IpAddr::V4(address) => panic!("{address} is not an IPv6 address"),
        }
    }
}

/// Anything that names an address of either family.
pub trait ToIp {
    /// The address.
    ///
    /// # Panics
    /// Text that is not an IP address: a bug in the test.
    fn to_ip(self) -> IpAddr;
}

impl ToIp for &str {
    fn to_ip(self) -> IpAddr {
        self.parse().unwrap_or_else(|_| panic!("{self:?} is not an IP address"))
    }
}

impl ToIp for IpAddr {
    fn to_ip(self) -> IpAddr {
        self
    }
}

impl ToIp for Ipv4Addr {
    fn to_ip(self) -> IpAddr {
        self.into()
    }
}

impl ToIp for Ipv6Addr {
    fn to_ip(self) -> IpAddr {
        self.into()
    }
}

impl ToIp for [u8; 4] {
    fn to_ip(self) -> IpAddr {
        self.into()
    }
}

impl ToIp for [u8; 16] {
    fn to_ip(self) -> IpAddr {
        self.into()
    }
}

/// The solicited-node multicast group of `address` (RFC 4291, 2.7.1).
pub fn solicited_node(address: impl ToIpv6) -> Ipv6Addr {
    let tail = address.to_ipv6().octets();
    let mut group = "ff02::1:ff00:0".to_ipv6().octets();
    group[13..].copy_from_slice(&tail[13..]);
    group.into()
}

/// The Ethernet address that a multicast group of either family is sent to
/// (RFC 1112, 6.4; RFC 2464, 7).
pub fn multicast_mac(group: impl ToIp) -> Mac {
    match group.to_ip() {
        IpAddr::V4(group) => {
            let [_, b, c, d] = group.octets();
            [0x01, 0x00, 0x5e, b & 0x7f, c, d]
        }
        IpAddr::V6(group) => {
            let tail = group.octets();
            [0x33, 0x33, tail[12], tail[13], tail[14], tail[15]]
        }
    }
}
