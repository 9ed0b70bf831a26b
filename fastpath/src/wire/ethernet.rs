//! Ethernet II.

/// Length of the header: destination, source, EtherType.
pub const HEADER_LEN: usize = 14;
/// Destination MAC.
pub const DESTINATION: usize = 0;
/// Source MAC.
pub const SOURCE: usize = 6;
/// EtherType.
pub const ETHERTYPE: usize = 12;

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;

/// A MAC address.
pub type Mac = [u8; 6];

/// Is it a group address (broadcast included)?
#[inline(always)]
pub fn is_group(mac: &[u8]) -> bool {
    mac[0] & 1 != 0
}
