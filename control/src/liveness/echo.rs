//! Echo requests to nodes, and their replies (RFC 792, RFC 4443 section 4).

use std::net::IpAddr;

use causeway_fastpath::wire::ethernet;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr,
    IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr,
};

/// TTL and hop limit: a node is on the link, and its answer comes from there.
const TTL: u8 = 64;
/// What a request carries.
const DATA: &[u8] = b"causeway";

/// One end of an echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Station {
    pub(crate) mac: [u8; 6],
    pub(crate) address: IpAddr,
}

/// An echo request as a frame; `None` if the two are of different families.
pub(crate) fn request(from: Station, to: Station, identifier: u16, sequence: u16) -> Option<Vec<u8>> {
    let sums = ChecksumCapabilities::default();
    let ethernet =
        |ethertype| EthernetRepr { src_addr: EthernetAddress(from.mac), dst_addr: EthernetAddress(to.mac), ethertype };
    let mut bytes;
    match (from.address, to.address) {
        (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) => {
            let icmp = Icmpv4Repr::EchoRequest { ident: identifier, seq_no: sequence, data: DATA };
            let (next_header, payload_len) = (IpProtocol::Icmp, icmp.buffer_len());
            let ip = Ipv4Repr { src_addr, dst_addr, next_header, payload_len, hop_limit: TTL };
            bytes = vec![0; ethernet::HEADER_LEN + ip.buffer_len() + icmp.buffer_len()];
            let mut frame = EthernetFrame::new_unchecked(&mut bytes);
            ethernet(EthernetProtocol::Ipv4).emit(&mut frame);
            let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
            ip.emit(&mut packet, &sums);
            icmp.emit(&mut Icmpv4Packet::new_unchecked(packet.payload_mut()), &sums);
        }
        (IpAddr::V6(src_addr), IpAddr::V6(dst_addr)) => {
            let icmp = Icmpv6Repr::EchoRequest { ident: identifier, seq_no: sequence, data: DATA };
            let (next_header, payload_len) = (IpProtocol::Icmpv6, icmp.buffer_len());
            let ip = Ipv6Repr { src_addr, dst_addr, next_header, payload_len, hop_limit: TTL };
            bytes = vec![0; ethernet::HEADER_LEN + ip.buffer_len() + icmp.buffer_len()];
            let mut frame = EthernetFrame::new_unchecked(&mut bytes);
            ethernet(EthernetProtocol::Ipv6).emit(&mut frame);
            let mut packet = Ipv6Packet::new_unchecked(frame.payload_mut());
            ip.emit(&mut packet);
            let mut message = Icmpv6Packet::new_unchecked(packet.payload_mut());
            icmp.emit(&src_addr, &dst_addr, &mut message, &sums);
        }
        _ => return None,
    }
    Some(bytes)
}

/// Who sent this echo reply, with which identifier and sequence number; `None` if it is
/// none, or damaged.
pub(crate) fn reply(bytes: &[u8]) -> Option<(IpAddr, u16, u16)> {
    let sums = ChecksumCapabilities::default();
    let frame = EthernetFrame::new_checked(bytes).ok()?;
    match frame.ethertype() {
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
            let ip = Ipv4Repr::parse(&packet, &sums).ok()?;
            let message = Icmpv4Packet::new_checked(packet.payload()).ok()?;
            match Icmpv4Repr::parse(&message, &sums).ok()? {
                Icmpv4Repr::EchoReply { ident, seq_no, .. } if ip.next_header == IpProtocol::Icmp => {
                    Some((ip.src_addr.into(), ident, seq_no))
                }
                _ => None,
            }
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
            let ip = Ipv6Repr::parse(&packet).ok()?;
            let message = Icmpv6Packet::new_checked(packet.payload()).ok()?;
            match Icmpv6Repr::parse(&ip.src_addr, &ip.dst_addr, &message, &sums).ok()? {
                Icmpv6Repr::EchoReply { ident, seq_no, .. } if ip.next_header == IpProtocol::Icmpv6 => {
                    Some((ip.src_addr.into(), ident, seq_no))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_testkit::checksum;
    use causeway_testkit::packet::*;
    use proptest::prelude::*;

    const GATEWAY: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const NODE: [u8; 6] = [2, 0, 0, 0, 0, 2];

    #[test]
    fn a_request_is_sound_and_its_reply_is_known() {
        for (own, node) in [("192.168.0.1", "192.168.0.11"), ("fd00:a::1", "fd00:a::11")] {
            let from = Station { mac: GATEWAY, address: own.to_ip() };
            let to = Station { mac: NODE, address: node.to_ip() };
            let request = request(from, to, 7, 9).expect("of one family");
            assert_eq!(checksum::verify(&request), Ok(()));
            let expected = eth().src(GATEWAY).dst(NODE).ip(own, node).ttl(64).icmp_echo_request(7, 9).payload(DATA);
            assert_eq!(request, expected.build());
            assert_eq!(reply(&request), None, "it is a request");
            let answer = eth().src(NODE).dst(GATEWAY).ip(node, own).icmp_echo_reply(7, 9).payload(DATA).build();
            assert_eq!(reply(&answer), Some((node.to_ip(), 7, 9)));
            let mut damaged = answer;
            *damaged.last_mut().expect("it is not empty") ^= 1;
            assert_eq!(reply(&damaged), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..100), v6 in any::<bool>()) {
            let mut frame = bytes;
            if frame.len() > 14 {
                frame[12..14].copy_from_slice(if v6 { &[0x86, 0xdd] } else { &[8, 0] });
                frame[14] = if v6 { 0x60 } else { 0x45 };
            }
            let _ = reply(&frame);
        }
    }
}
