//! The IPv4 header (RFC 791).

use std::net::Ipv4Addr;

use super::build::Sum;
use super::{Eth, Icmp, Network};
use crate::checksum;

/// An IPv4 layer being described. TTL 64, id 0 and DF, as hosts send nearly everything;
/// fragments are without.
#[derive(Clone, Debug)]
pub struct Ipv4 {
    pub(super) eth: Eth,
    pub(super) src: Ipv4Addr,
    pub(super) dst: Ipv4Addr,
    tos: u8,
    id: u16,
    flags: u16,
    offset: u16,
    ttl: u8,
    options: Vec<u8>,
    version: u8,
    ihl: Option<u8>,
    total_length: Option<u16>,
    protocol: Option<u8>,
    checksum: Sum,
}

impl Ipv4 {
    pub(super) fn new(eth: Eth, src: Ipv4Addr, dst: Ipv4Addr) -> Self {
        Ipv4 {
            eth,
            src,
            dst,
            tos: 0,
            id: 0,
            flags: 0x4000,
            offset: 0,
            ttl: 64,
            options: Vec::new(),
            version: 4,
            ihl: None,
            total_length: None,
            protocol: None,
            checksum: Sum::Right,
        }
    }

    /// Time to live, in hops.
    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// Type of service: DSCP and ECN bits.
    pub fn tos(mut self, tos: u8) -> Self {
        self.tos = tos;
        self
    }

    /// Identification.
    pub fn id(mut self, id: u16) -> Self {
        self.id = id;
        self
    }

    /// Don't fragment.
    pub fn df(mut self) -> Self {
        self.flags |= 0x4000;
        self
    }

    /// May be fragmented: DF is not set.
    pub fn may_fragment(mut self) -> Self {
        self.flags &= !0x4000;
        self
    }

    /// Sets the reserved flag bit, which must be zero.
    pub fn reserved_flag(mut self) -> Self {
        self.flags |= 0x8000;
        self
    }

    /// Makes this a fragment at byte `offset` (a multiple of eight) with `more` to follow,
    /// and without DF.
    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        assert_eq!(offset % 8, 0, "fragment offsets are multiples of eight bytes");
        self.offset = offset / 8;
        self.flags = (self.flags & !0x6000) | if more { 0x2000 } else { 0 };
        self
    }

    /// Header options, padded with end-of-list bytes to whole words; at most 40 bytes.
    pub fn options(mut self, options: impl AsRef<[u8]>) -> Self {
        self.options = options.as_ref().to_vec();
        self.options.resize(self.options.len().next_multiple_of(4), 0);
        assert!(self.options.len() <= 40, "IPv4 has room for 40 bytes of options");
        self
    }

    /// Lies about the version.
    pub fn version(mut self, version: u8) -> Self {
        self.version = version;
        self
    }

    /// Lies about the header length, in words of four bytes.
    pub fn ihl(mut self, words: u8) -> Self {
        self.ihl = Some(words);
        self
    }

    /// Lies about the packet's length, in bytes.
    pub fn total_length(mut self, bytes: u16) -> Self {
        self.total_length = Some(bytes);
        self
    }

    /// Lies about what the packet carries.
    pub fn protocol(mut self, protocol: u8) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// Sets the header checksum, whatever the right one is.
    pub fn checksum(mut self, checksum: u16) -> Self {
        self.checksum = Sum::Is(checksum);
        self
    }

    /// Sets a header checksum that is surely wrong.
    pub fn bad_checksum(mut self) -> Self {
        self.checksum = Sum::Wrong;
        self
    }

    /// An ICMP error: fragmentation needed, next hop of `mtu` bytes (RFC 1191).
    pub fn fragmentation_needed(self, mtu: u16, quoted: &[u8]) -> Icmp {
        let [high, low] = mtu.to_be_bytes();
        self.icmp_error(3, 4, [0, 0, high, low], quoted)
    }

    pub(super) fn header_len(&self) -> usize {
        20 + self.options.len()
    }

    pub(super) fn encode(&self, protocol: u8, segment: &[u8]) -> Vec<u8> {
        let header_len = self.header_len();
        let total_length = self.total_length.unwrap_or_else(|| {
            u16::try_from(header_len + segment.len())
                .expect("an IPv4 packet is at most 65535 bytes; set total_length to lie")
        });
        let ihl = self.ihl.unwrap_or((header_len / 4) as u8);
        let mut packet = Vec::with_capacity(header_len + segment.len());
        packet.extend([(self.version << 4) | (ihl & 0x0f), self.tos]);
        packet.extend(total_length.to_be_bytes());
        packet.extend(self.id.to_be_bytes());
        packet.extend((self.flags | self.offset).to_be_bytes());
        packet.extend([self.ttl, self.protocol.unwrap_or(protocol), 0, 0]);
        packet.extend(self.src.octets());
        packet.extend(self.dst.octets());
        packet.extend(&self.options);
        let checksum = self.checksum.resolve(checksum::internet(&packet), 0);
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        packet.extend(segment);
        packet
    }
}
