//! Which frames of a veth peer have only a partial checksum.
//!
//! A veth promises its peer's kernel to complete L4 checksums, and never does:
//! who receives is told instead, by a flag beside the packet. XDP hands over the
//! bytes and not the flag. But the bytes give it away: a partial checksum *is*
//! the folded sum of the pseudo header, and a complete one is so by chance once
//! in 65 535 packets.
//!
//! That chance does no harm. A frame that is marked partial gets its checksum
//! computed anew when it is sent; if it was complete, the same one comes out.
//! (If it was damaged too, the damage is sealed; on a veth there is no wire to do
//! damage.)
//!
//! Fragments and other protocols are left alone: the kernel completes TCP and UDP
//! before it fragments. What cannot be told is a partial checksum deeper in, of
//! a tunnel's inner packet, and the CRC of SCTP: those need a driver that
//! carries the flag, `af-packet`.

use causeway_fastpath::offload::ChecksumState;
use causeway_fastpath::wire::{checksum, ethernet, get16, ipv4, ipv6, protocol};

/// The state of the checksum of a frame that a veth handed over.
#[inline]
pub(super) fn checksum_state(frame: &[u8]) -> ChecksumState {
    find(frame).unwrap_or(ChecksumState::Complete)
}

/// `None` unless this is a TCP or UDP packet whose checksum is partial.
#[inline]
fn find(frame: &[u8]) -> Option<ChecksumState> {
    let (ether_type, l3) = match get16(frame.get(..ethernet::HEADER_LEN)?, ethernet::ETHERTYPE) {
        VLAN => (get16(frame.get(..ethernet::HEADER_LEN + 4)?, 16), ethernet::HEADER_LEN + 4),
        other => (other, ethernet::HEADER_LEN),
    };
    let l4 = match ether_type {
        ethernet::IPV4 => Layer4::in_ipv4(frame.get(l3..)?),
        ethernet::IPV6 => Layer4::in_ipv6(frame.get(l3..)?),
        _ => None,
    }?;
    let offset = match l4.protocol {
        protocol::TCP => 16,
        protocol::UDP => 6,
        _ => return None,
    };
    let start = l3 + l4.start;
    // Completing sums to the end of the frame, so padding must not be there. The
    // kernel adds none to what it hands to a veth.
    if start + l4.len != frame.len() {
        return None;
    }
    let field = get16(frame.get(start + offset..start + offset + 2)?, 0);
    let pseudo = checksum::fold(l4.addresses + checksum::pseudo(l4.protocol, l4.len));
    (field == pseudo).then_some(ChecksumState::Partial { start: start as u16, offset: offset as u16 })
}

/// What of a packet the pseudo header is made of.
struct Layer4 {
    protocol: u8,
    /// Bytes from the IP header to the L4 header.
    start: usize,
    /// Bytes of the L4 header and what follows.
    len: usize,
    /// Sum of source and destination address.
    addresses: u64,
}

impl Layer4 {
    fn in_ipv4(packet: &[u8]) -> Option<Layer4> {
        let header = packet.get(..ipv4::HEADER_LEN)?;
        let start = usize::from(header[ipv4::VERSION_IHL] & 0xf) * 4;
        let fragment = get16(header, ipv4::FLAGS_FRAGMENT) & (ipv4::MORE_FRAGMENTS | ipv4::FRAGMENT_OFFSET);
        if fragment != 0 {
            return None;
        }
        let len = usize::from(get16(header, ipv4::TOTAL_LENGTH)).checked_sub(start)?;
        Some(Layer4 { protocol: header[ipv4::PROTOCOL], start, len, addresses: checksum::sum(&header[ipv4::SOURCE..]) })
    }

    fn in_ipv6(packet: &[u8]) -> Option<Layer4> {
        let header = packet.get(..ipv6::HEADER_LEN)?;
        let end = ipv6::HEADER_LEN + usize::from(get16(header, ipv6::PAYLOAD_LENGTH));
        let (mut next, mut start) = (header[ipv6::NEXT_HEADER], ipv6::HEADER_LEN);
        // Options headers may stand in between; a sender has no reason for more
        // than a few, and a routing header changes the pseudo header.
        for _ in 0..4 {
            if next != protocol::HOP_BY_HOP && next != protocol::DESTINATION_OPTIONS {
                break;
            }
            let options = packet.get(start..start + 2)?;
            next = options[0];
            start += (usize::from(options[1]) + 1) * 8;
        }
        let len = end.checked_sub(start)?;
        Some(Layer4 { protocol: next, start, len, addresses: checksum::sum(&header[ipv6::SOURCE..]) })
    }
}

/// EtherType of an IEEE 802.1Q tag.
const VLAN: u16 = 0x8100;

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_fastpath::wire::put16;

    /// A frame with the fold of its pseudo header in the checksum field; `before`
    /// stands between IPv6 header and L4.
    fn frame(ip: u8, protocol: u8, before: &[u8], payload: usize) -> (Vec<u8>, ChecksumState) {
        let (header, field) = if protocol == protocol::TCP { (20, 16) } else { (8, 6) };
        let len = header + payload;
        let mut bytes = vec![0; 14];
        let addresses;
        if ip == 4 {
            put16(&mut bytes, 12, ethernet::IPV4);
            bytes.extend([0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, protocol, 0, 0, 10, 1, 2, 3, 192, 168, 200, 250]);
            put16(&mut bytes, 16, (20 + len) as u16);
            addresses = checksum::sum(&bytes[26..34]);
        } else {
            put16(&mut bytes, 12, ethernet::IPV6);
            let next = if before.is_empty() { protocol } else { protocol::HOP_BY_HOP };
            bytes.extend([0x60, 0, 0, 0, 0, 0, next, 64]);
            bytes.extend((0..32).map(|byte| byte * 7));
            put16(&mut bytes, 18, (before.len() + len) as u16);
            addresses = checksum::sum(&bytes[22..54]);
            bytes.extend(before);
        }
        let start = bytes.len();
        bytes.extend((0..len).map(|byte| byte as u8));
        put16(&mut bytes, start + field, checksum::fold(addresses + checksum::pseudo(protocol, len)));
        (bytes, ChecksumState::Partial { start: start as u16, offset: field as u16 })
    }

    #[test]
    fn a_pseudo_header_sum_in_the_field_is_a_partial_checksum() {
        let options = [protocol::DESTINATION_OPTIONS, 0, 1, 4, 0, 0, 0, 0, protocol::TCP, 0, 1, 4, 0, 0, 0, 0];
        let table = [
            frame(4, protocol::TCP, &[], 0),
            frame(4, protocol::TCP, &[], 1447),
            frame(4, protocol::UDP, &[], 11),
            frame(6, protocol::TCP, &[], 100),
            frame(6, protocol::UDP, &[], 0),
            frame(6, protocol::TCP, &options, 5),
        ];
        for (bytes, partial) in table {
            assert_eq!(checksum_state(&bytes), partial, "{bytes:02x?}");
            let mut tagged = bytes.clone();
            tagged.splice(12..12, [0x81, 0, 0, 5]);
            let ChecksumState::Partial { start, offset } = partial else { unreachable!("made above") };
            assert_eq!(checksum_state(&tagged), ChecksumState::Partial { start: start + 4, offset });
            for length in 0..bytes.len() {
                assert_eq!(checksum_state(&bytes[..length]), ChecksumState::Complete, "cut to {length}");
            }
        }
    }

    #[test]
    fn anything_else_in_the_field_is_a_complete_checksum() {
        let (mut bytes, _) = frame(4, protocol::UDP, &[], 11);
        let sum = get16(&bytes, 40);
        for other in [0, !sum, sum.wrapping_add(1)] {
            put16(&mut bytes, 40, other);
            assert_eq!(checksum_state(&bytes), ChecksumState::Complete);
        }
    }

    #[test]
    fn fragments_padded_frames_and_other_protocols_are_left_alone() {
        let (whole, _) = frame(4, protocol::TCP, &[], 40);
        let changed = |at: usize, value: u8| {
            let mut bytes = whole.clone();
            bytes[at] = value;
            bytes
        };
        let mut padded = whole.clone();
        padded.push(0);
        for bytes in [changed(20, 0x20), changed(21, 1), changed(23, 47), changed(13, 6), changed(14, 0x4f), padded] {
            assert_eq!(checksum_state(&bytes), ChecksumState::Complete, "{bytes:02x?}");
        }
    }
}
