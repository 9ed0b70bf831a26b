//! What both IP families can carry.

use std::net::IpAddr;

use super::build::Sum;
use super::{Eth, Icmp, Ipv4, Ipv6, Raw, Tcp, Udp};
use crate::checksum;

/// The IP layer of a packet, of either family.
#[derive(Clone, Debug)]
pub enum Ip {
    /// IPv4.
    V4(Ipv4),
    /// IPv6.
    V6(Ipv6),
}

/// What an IP layer of either family can carry.
pub trait Network: Into<Ip> {
    /// A UDP datagram; ports in host order.
    fn udp(self, src_port: u16, dst_port: u16) -> Udp {
        Udp::new(self.into(), src_port, dst_port)
    }

    /// A TCP segment; ports in host order. Flags default to ACK.
    fn tcp(self, src_port: u16, dst_port: u16) -> Tcp {
        Tcp::new(self.into(), src_port, dst_port)
    }

    /// An echo request: ICMP type 8, or ICMPv6 type 128.
    fn icmp_echo_request(self, id: u16, sequence: u16) -> Icmp {
        let ip = self.into();
        let kind = if ip.is_v4() { 8 } else { 128 };
        ip.icmp(kind, 0, echo_words(id, sequence), [])
    }

    /// An echo reply: ICMP type 0, or ICMPv6 type 129.
    fn icmp_echo_reply(self, id: u16, sequence: u16) -> Icmp {
        let ip = self.into();
        let kind = if ip.is_v4() { 0 } else { 129 };
        ip.icmp(kind, 0, echo_words(id, sequence), [])
    }

    /// An ICMP or ICMPv6 error about `quoted`, an IP packet without its Ethernet
    /// header ([`super::quote`], [`super::Build::quote`]); cut so that the whole
    /// packet keeps to 576 bytes (RFC 1812, 4.3.2.3), or 1280 for IPv6 (RFC 4443, 2.4).
    fn icmp_error(self, kind: u8, code: u8, rest: [u8; 4], quoted: &[u8]) -> Icmp {
        let ip = self.into();
        let most = if ip.is_v4() { 576 } else { 1280 };
        let room = most - 8 - ip.header_len();
        ip.icmp(kind, code, rest, &quoted[..quoted.len().min(room)])
    }

    /// Any ICMP or ICMPv6 message: its four bytes behind the checksum, and its body.
    fn icmp(self, kind: u8, code: u8, rest: [u8; 4], body: impl AsRef<[u8]>) -> Icmp {
        Icmp::new(self.into(), kind, code, rest, body.as_ref())
    }

    /// Any bytes under any protocol number.
    fn raw(self, protocol: u8, payload: impl AsRef<[u8]>) -> Raw {
        Raw::new(self.into(), protocol, payload.as_ref().to_vec())
    }

    /// A UDP-Lite datagram (RFC 3828) whose checksum covers `coverage` bytes, 0 for all.
    fn udp_lite(self, src_port: u16, dst_port: u16, coverage: u16, payload: impl AsRef<[u8]>) -> Raw {
        Raw::udp_lite(self.into(), [src_port, dst_port, coverage], payload.as_ref())
    }

    /// An SCTP packet (RFC 9260) with its CRC-32C; `chunks` as bytes.
    fn sctp(self, src_port: u16, dst_port: u16, tag: u32, chunks: impl AsRef<[u8]>) -> Raw {
        Raw::sctp(self.into(), src_port, dst_port, tag, chunks.as_ref())
    }

    /// A GRE packet (RFC 2784) without options around `payload` of an EtherType.
    fn gre(self, ethertype: u16, payload: impl AsRef<[u8]>) -> Raw {
        let mut bytes = vec![0, 0];
        bytes.extend(ethertype.to_be_bytes());
        bytes.extend(payload.as_ref());
        self.raw(47, bytes)
    }
}

impl Network for Ip {}
impl Network for Ipv4 {}
impl Network for Ipv6 {}

impl From<Ipv4> for Ip {
    fn from(ip: Ipv4) -> Self {
        Ip::V4(ip)
    }
}

impl From<Ipv6> for Ip {
    fn from(ip: Ipv6) -> Self {
        Ip::V6(ip)
    }
}

impl Ip {
    /// The TTL or hop limit.
    pub fn ttl(self, ttl: u8) -> Self {
        match self {
            Ip::V4(ip) => Ip::V4(ip.ttl(ttl)),
            Ip::V6(ip) => Ip::V6(ip.hop_limit(ttl)),
        }
    }

    /// The type of service or traffic class: DSCP and ECN bits.
    pub fn tos(self, tos: u8) -> Self {
        match self {
            Ip::V4(ip) => Ip::V4(ip.tos(tos)),
            Ip::V6(ip) => Ip::V6(ip.traffic_class(tos)),
        }
    }

    /// Sets "don't fragment", which goes without saying in IPv6.
    pub fn df(self) -> Self {
        match self {
            Ip::V4(ip) => Ip::V4(ip.df()),
            ip @ Ip::V6(_) => ip,
        }
    }

    /// Does not set it.
    pub fn may_fragment(self) -> Self {
        match self {
            Ip::V4(ip) => Ip::V4(ip.may_fragment()),
            ip @ Ip::V6(_) => ip,
        }
    }

    pub(super) fn is_v4(&self) -> bool {
        matches!(self, Ip::V4(_))
    }

    pub(super) fn eth(&self) -> &Eth {
        match self {
            Ip::V4(ip) => &ip.eth,
            Ip::V6(ip) => &ip.eth,
        }
    }

    pub(super) fn eth_mut(&mut self) -> &mut Eth {
        match self {
            Ip::V4(ip) => &mut ip.eth,
            Ip::V6(ip) => &mut ip.eth,
        }
    }

    pub(super) fn ethertype(&self) -> u16 {
        if self.is_v4() { 0x0800 } else { 0x86dd }
    }

    pub(super) fn encode(&self, protocol: u8, segment: &[u8]) -> Vec<u8> {
        match self {
            Ip::V4(ip) => ip.encode(protocol, segment),
            Ip::V6(ip) => ip.encode(protocol, segment),
        }
    }

    /// The headers of every fragment of a packet, and protocol and bytes of what is cut up.
    pub(super) fn fragmentable(&self, protocol: u8, segment: Vec<u8>) -> (Ip, u8, Vec<u8>) {
        match self {
            Ip::V4(_) => (self.clone(), protocol, segment),
            Ip::V6(ip) => {
                let (headers, protocol, bytes) = ip.fragmentable(protocol, segment);
                (Ip::V6(headers), protocol, bytes)
            }
        }
    }

    /// A copy that is the fragment at byte `offset`.
    pub(super) fn fragment(&self, id: u32, offset: usize, more: bool) -> Ip {
        let offset = u16::try_from(offset).expect("an IP packet is at most 65535 bytes");
        match self.clone() {
            Ip::V4(ip) => Ip::V4(ip.id(id as u16).fragment(offset, more)),
            Ip::V6(ip) => Ip::V6(ip.fragment(id, offset, more)),
        }
    }

    /// What the checksum field of `segment`, in which it is zero, holds.
    pub(super) fn transport_checksum(&self, protocol: u8, segment: &[u8], how: Sum) -> u16 {
        let pseudo = self.pseudo_header(protocol, segment.len());
        let partial = checksum::sum(&pseudo);
        let right = checksum::internet(&[&pseudo[..], segment].concat());
        how.resolve(right, partial)
    }

    pub(super) fn pseudo_header(&self, protocol: u8, length: usize) -> Vec<u8> {
        let (src, dst): (IpAddr, IpAddr) = match self {
            Ip::V4(ip) => (ip.src.into(), ip.dst.into()),
            Ip::V6(ip) => (ip.src.into(), ip.dst.into()),
        };
        checksum::pseudo_header(src, dst, protocol, length)
    }

    fn header_len(&self) -> usize {
        match self {
            Ip::V4(ip) => ip.header_len(),
            Ip::V6(ip) => ip.header_len(),
        }
    }
}

fn echo_words(id: u16, sequence: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (id.to_be_bytes(), sequence.to_be_bytes());
    [a, b, c, d]
}
