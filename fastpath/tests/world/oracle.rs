//! Frames judged by somebody else: testkit's plain sums, and pnet.

use std::net::IpAddr;

use causeway_fastpath::offload::{ChecksumState, Offload};
use causeway_testkit::checksum;
use causeway_testkit::packet::ToIp;
use pnet_packet::Packet;
use pnet_packet::ethernet::{EtherTypes, EthernetPacket};
use pnet_packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols as Protocols};
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;
use pnet_packet::util;

/// An address, and a port or echo identifier.
pub(crate) type Endpoint = (IpAddr, u16);

/// Are all checksums of the frame right, once a partial one is completed as a NIC does?
pub(crate) fn is_sound(frame: &[u8], offload: &Offload) -> Result<(), String> {
    let ChecksumState::Partial { start, offset } = offload.checksum else {
        checksum::verify(frame)?;
        return pnet(frame);
    };
    let (start, field) = (usize::from(start), usize::from(start) + usize::from(offset));
    let frame = without_padding(frame);
    let fits = ip(frame).is_some_and(|(src, _, protocol, _)| {
        let l4 = if src.is_ipv4() { 34 } else { 54 };
        start == l4 && [(Protocols::Tcp, 16), (Protocols::Udp, 6), (Protocols::Icmpv6, 2)].contains(&(protocol, offset))
    });
    if !fits || frame.len() < field + 2 {
        return Err("the partial checksum is not that of the packet".into());
    }
    let mut completed = frame.to_vec();
    let sum = match checksum::internet(&frame[start..]) {
        0 if offset == 6 => 0xffff,
        sum => sum,
    };
    completed[field..field + 2].copy_from_slice(&sum.to_be_bytes());
    is_sound(&completed, &Offload::DONE)
}

/// The source of a TCP, UDP or echo packet without extension headers.
pub(crate) fn source(frame: &[u8]) -> Endpoint {
    let (src, _, protocol, l4) = ip(frame).expect("an IP packet");
    let word = |at: usize| u16::from_be_bytes([l4[at], l4[at + 1]]);
    match protocol {
        Protocols::Tcp | Protocols::Udp => (src, word(0)),
        _ => (src, word(4)),
    }
}

/// A frame with the identification of another, which the gateway was free to choose (RFC
/// 6864, 5.3.1). IPv6 frames stay as they are.
pub(crate) fn numbered_as(other: &[u8], mut frame: Vec<u8>) -> Vec<u8> {
    if frame[12..14] == [8, 0] {
        let header = 14..14 + usize::from(frame[14] & 15) * 4;
        frame[18..20].copy_from_slice(&other[18..20]);
        frame[24..26].fill(0);
        let sum = checksum::internet(&frame[header]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    frame
}

/// Is `address` one of the `count` from `first` on?
pub(crate) fn lies_between(address: IpAddr, first: &str, count: u128) -> bool {
    let number = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let first = first.to_ip();
    first.is_ipv4() == address.is_ipv4() && (number(first)..number(first) + count).contains(&number(address))
}

/// Does the address belong to a pod?
pub(crate) fn is_private(address: IpAddr) -> bool {
    lies_between(address, "10.1.0.0", 1 << 16) || lies_between(address, "fd00:10::", 1 << 72)
}

/// Recomputes with pnet the checksums of a packet without options, extension
/// headers and fragmentation; others pass.
fn pnet(frame: &[u8]) -> Result<(), String> {
    if let Some(v4) = ipv4(frame) {
        if v4.get_header_length() == 5 {
            agree("IPv4", v4.get_checksum(), pnet_packet::ipv4::checksum(&v4))?;
        }
        if v4.get_flags() & 1 != 0 || v4.get_fragment_offset() != 0 {
            return Ok(());
        }
    }
    let Some((src, dst, protocol, l4)) = ip(frame) else {
        return Ok(());
    };
    let (name, at, shortest) = match protocol {
        Protocols::Tcp => ("TCP", 16, 20),
        Protocols::Udp => ("UDP", 6, 8),
        Protocols::Icmp if src.is_ipv4() => ("ICMP", 2, 8),
        Protocols::Icmpv6 if src.is_ipv6() => ("ICMPv6", 2, 8),
        _ => return Ok(()),
    };
    let l4 = match protocol {
        Protocols::Udp if l4.len() >= shortest => &l4[..usize::from(u16::from_be_bytes([l4[4], l4[5]])).min(l4.len())],
        _ => &l4[..],
    };
    if l4.len() < shortest {
        return Ok(());
    }
    let right = match (src, dst) {
        _ if protocol == Protocols::Icmp => util::checksum(l4, at / 2),
        (IpAddr::V4(src), IpAddr::V4(dst)) => util::ipv4_checksum(l4, at / 2, &[], &src, &dst, protocol),
        (IpAddr::V6(src), IpAddr::V6(dst)) => util::ipv6_checksum(l4, at / 2, &[], &src, &dst, protocol),
        _ => unreachable!("a packet has both addresses of one family"),
    };
    match (protocol, u16::from_be_bytes([l4[at], l4[at + 1]]), right) {
        (Protocols::Udp, 0, _) if src.is_ipv4() => Ok(()),
        (Protocols::Udp, field, 0) => agree(name, field, 0xffff),
        (_, field, right) => agree(name, field, right),
    }
}

/// The frame up to where the length in its IP header says that it ends.
fn without_padding(frame: &[u8]) -> &[u8] {
    let length = match frame.get(12..20) {
        Some([8, 0, _, _, high, low, ..]) => usize::from(u16::from_be_bytes([*high, *low])),
        Some([0x86, 0xdd, _, _, _, _, high, low]) => 40 + usize::from(u16::from_be_bytes([*high, *low])),
        _ => frame.len(),
    };
    &frame[..frame.len().min(14 + length)]
}

fn agree(name: &str, field: u16, right: u16) -> Result<(), String> {
    if field == right { Ok(()) } else { Err(format!("{name}: {field:#06x}, and pnet says {right:#06x}")) }
}

fn ipv4(frame: &[u8]) -> Option<Ipv4Packet<'_>> {
    let ethernet = EthernetPacket::new(frame)?;
    if ethernet.get_ethertype() != EtherTypes::Ipv4 {
        return None;
    }
    Ipv4Packet::new(&frame[14..])
}

/// Addresses, protocol and what the IP packet carries.
fn ip(frame: &[u8]) -> Option<(IpAddr, IpAddr, IpNextHeaderProtocol, Vec<u8>)> {
    if let Some(v4) = ipv4(frame) {
        let addresses = (v4.get_source().into(), v4.get_destination().into());
        return Some((addresses.0, addresses.1, v4.get_next_level_protocol(), v4.payload().to_vec()));
    }
    if EthernetPacket::new(frame)?.get_ethertype() != EtherTypes::Ipv6 {
        return None;
    }
    let v6 = Ipv6Packet::new(&frame[14..])?;
    Some((v6.get_source().into(), v6.get_destination().into(), v6.get_next_header(), v6.payload().to_vec()))
}
