//! What a fragment is a piece of, and what its first one shows.

use super::extensions::{behind_extensions, is_extension};
use super::transport::{L4Kind, Layers, icmp, is_address_bound, other, tcp, udp_up_to};
use crate::address::Address;
use crate::fragment::{Datagram, Piece};
use crate::verdict::DropReason;
use crate::wire::ethernet::HEADER_LEN as L2;
use crate::wire::{self, get16, get32, ipv4, ipv6, protocol};

/// What was found in a fragment that is to be translated.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<A> {
    /// Which datagram it is of.
    pub datagram: Datagram<A>,
    /// Which part of it.
    pub part: Part<A>,
}

/// Which part of its datagram a fragment is.
#[derive(Clone, Copy, Debug)]
pub enum Part<A> {
    /// All of it (an atomic fragment, RFC 6946). The layers are those of the datagram.
    Whole(Layers<A>),
    /// The first. The layers are those of the datagram, as far as it shows them: `l4` is
    /// where its L4 header starts in this frame, and that header is whole.
    First(Layers<A>, Piece),
    /// A later one.
    Later(Piece),
}

/// Looks into a fragment. `layers` are those of this frame, and their kind is `Fragment`.
///
/// # Errors
/// Why it cannot be translated: RFC 1858, RFC 3128 and RFC 7112 (tiny fragments), RFC 8200, 4.5.
pub fn fragment<A: Address>(frame: &[u8], layers: &Layers<A>) -> Result<Fragment<A>, DropReason> {
    let at = layers.l4 as usize;
    let key = layers.key;
    let (carried, body_at, offset, more, identification) = if A::BITS == 32 {
        let flags = get16(frame, L2 + ipv4::FLAGS_FRAGMENT);
        let (offset, more) = ((flags & ipv4::FRAGMENT_OFFSET) * 8, flags & ipv4::MORE_FRAGMENTS != 0);
        (key.protocol, at, offset, more, u32::from(get16(frame, L2 + ipv4::IDENTIFICATION)))
    } else {
        let word = get16(frame, at + ipv6::FRAGMENT_WORD);
        let (offset, more) = (word & ipv6::FRAGMENT_OFFSET, word & ipv6::MORE_FRAGMENTS != 0);
        (frame[at], at + ipv6::FRAGMENT_LEN, offset, more, get32(frame, at + ipv6::FRAGMENT_IDENTIFICATION))
    };
    let packet = &frame[..layers.end as usize];
    // A later one shows but what stood in front of where its datagram was cut up.
    let (l4, carried) =
        if A::BITS == 128 && offset == 0 { behind_extensions(packet, body_at, carried)? } else { (body_at, carried) };
    if A::BITS == 128 && carried == protocol::FRAGMENT {
        return Err(DropReason::NatFragment);
    }
    if carried != A::ICMP && is_address_bound(carried) {
        return Err(DropReason::NatProtocol);
    }
    let datagram = Datagram::new((key.src, key.dst), identification, key.protocol, key.vrf);
    let whole = offset == 0 && !more;
    let piece = match Piece::new(offset, packet.len() - body_at, more) {
        Ok(piece) => piece,
        Err(_) if whole => return Err(DropReason::L4HeaderBad),
        Err(_) => return Err(DropReason::FragmentBad),
    };
    if offset != 0 {
        // It would overwrite the flags of a TCP header (RFC 1858, 3.2.2).
        let tiny = carried == protocol::TCP && usize::from(offset) < wire::tcp::HEADER_LEN;
        return if tiny { Err(DropReason::FragmentTiny) } else { Ok(Fragment { datagram, part: Part::Later(piece) }) };
    }
    let body = &packet[l4..];
    // Its extension headers go on in another fragment (RFC 7112), or in none.
    let is_cut = A::BITS == 128 && is_extension(carried);
    if !whole && (is_cut || body.len() < header_len::<A>(carried, body)) {
        return Err(DropReason::FragmentTiny);
    }
    let mut shown = Layers { l4: l4 as u32, ..*layers };
    shown.key.protocol = carried;
    // What is not whole may be as long as a datagram can be.
    let most = if whole { body.len() } else { usize::from(u16::MAX) };
    shown.kind = match carried {
        _ if is_cut => L4Kind::Damaged,
        protocol::TCP => tcp(body, &mut shown),
        protocol::UDP => udp_up_to(most, body, &mut shown),
        carried if carried == A::ICMP => icmp(body, &mut shown),
        carried => {
            let (kind, ports) = other(carried, most, body);
            [shown.key.src_port, shown.key.dst_port] = ports;
            kind
        }
    };
    Ok(Fragment { datagram, part: if whole { Part::Whole(shown) } else { Part::First(shown, piece) } })
}

/// How long the L4 header is that begins here, in bytes, as far as translation needs it.
fn header_len<A: Address>(protocol: u8, body: &[u8]) -> usize {
    match protocol {
        protocol::TCP => match body.get(wire::tcp::DATA_OFFSET) {
            Some(byte) => (usize::from(byte >> 4) * 4).max(wire::tcp::HEADER_LEN),
            None => wire::tcp::HEADER_LEN,
        },
        protocol::UDP | protocol::UDP_LITE => wire::udp::HEADER_LEN,
        protocol::SCTP => wire::sctp::HEADER_LEN,
        protocol if protocol == A::ICMP => wire::icmp::HEADER_LEN,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::VrfId;
    use crate::parse;
    use causeway_testkit::packet::*;
    use std::vec::Vec;

    fn v4(frame: &[u8]) -> Result<Fragment<u32>, DropReason> {
        fragment(frame, &parse::layers(frame, &parse::ipv4(frame).expect("sound"), VrfId::MAIN))
    }

    fn v6(frame: &[u8]) -> Result<Fragment<u128>, DropReason> {
        fragment(frame, &parse::layers(frame, &parse::ipv6(frame).expect("sound"), VrfId::MAIN))
    }

    #[test]
    fn the_first_fragment_shows_the_flow_and_the_others_their_place() {
        let fragments = eth().ipv4("10.0.0.1", "10.0.0.2").udp(5, 6).payload([1; 3_000]).fragments(77, 1_500);
        let parts: Vec<_> = fragments.iter().map(|frame| v4(frame).expect("sound")).collect();
        let Part::First(shown, piece) = parts[0].part else { panic!("the first") };
        assert_eq!((shown.key.src_port, shown.key.dst_port, shown.kind, shown.l4), (5, 6, L4Kind::Udp, 34));
        assert_eq!((piece.start(), piece.end()), (0, 1_480));
        let Part::Later(piece) = parts[2].part else { panic!("a later one") };
        assert_eq!((piece.start(), piece.end(), piece.is_last()), (2_960, 3_008, true));
        assert!(parts.iter().all(|part| part.datagram == parts[0].datagram));
    }

    #[test]
    fn an_ipv6_header_before_the_fragment_header_is_stepped_over() {
        let ip = eth().ipv6("fd00::1", "fd00::2").hop_by_hop([1, 4, 0, 0, 0, 0]);
        let fragments = ip.tcp(5, 6).flags(SYN).payload([1; 3_000]).fragments(0x1234_5678, 1_500);
        let Part::First(shown, _) = v6(&fragments[0]).expect("sound").part else { panic!("the first") };
        assert_eq!((shown.key.src_port, shown.kind, shown.l4), (5, L4Kind::Tcp, 14 + 40 + 8 + 8));
        assert_eq!((shown.key.protocol, shown.tcp_flags), (protocol::TCP, wire::tcp::SYN));
    }

    #[test]
    fn an_atomic_fragment_is_the_whole_datagram() {
        let atomic = eth().ipv6("fd00::1", "fd00::2").udp(5, 6).payload(b"hi").fragments(1, 1_500);
        let Part::Whole(shown) = v6(&atomic[0]).expect("sound").part else { panic!("all of it") };
        assert_eq!((shown.key.dst_port, shown.kind, shown.l4), (6, L4Kind::Udp, 62));
        let mut lying = atomic[0].clone();
        lying[62 + 5] += 1;
        let Part::Whole(shown) = v6(&lying).expect("a fragment").part else { panic!("all of it") };
        assert_eq!(shown.kind, L4Kind::Damaged);
    }

    #[test]
    fn a_header_in_two_fragments_is_too_tiny() {
        let ip = || eth().ipv4("10.0.0.1", "10.0.0.2");
        let tcp = |mtu| ip().tcp(5, 6).flags(SYN).options([1; 8]).payload([1; 64]).fragments(1, mtu);
        for (mtu, at, expected) in
            [(44, 0, true), (44, 1, false), (52, 0, false), (28, 1, true), (28, 2, true), (28, 3, false)]
        {
            assert_eq!(v4(&tcp(mtu)[at]).err(), expected.then_some(DropReason::FragmentTiny), "{at} of {mtu}");
        }
        for whole in [
            ip().udp(5, 6).payload([1; 64]).fragments(1, 28),
            ip().icmp_echo_request(5, 6).payload([1; 64]).fragments(1, 28),
        ] {
            assert!(v4(&whole[0]).is_ok() && v4(&whole[1]).is_ok());
        }
    }

    #[test]
    fn other_protocols_are_a_flow_of_their_own() {
        let ip = || eth().ipv4("10.0.0.1", "10.0.0.2");
        for (fragments, kind, port) in [
            (ip().gre(0x0800, [0; 2_000]).fragments(1, 1_500), L4Kind::Other, 0),
            (ip().sctp(5, 6, 7, [0; 2_000]).fragments(1, 1_500), L4Kind::Sctp, 5),
            (ip().udp_lite(5, 6, 1_900, [0; 2_000]).fragments(1, 1_500), L4Kind::UdpLite, 5),
        ] {
            let Part::First(shown, _) = v4(&fragments[0]).expect("sound").part else { panic!("the first") };
            assert_eq!((shown.kind, shown.key.src_port), (kind, port));
            assert!(matches!(v4(&fragments[1]).expect("sound").part, Part::Later(_)));
        }
        assert_eq!(v4(&ip().sctp(5, 6, 7, [0; 64]).fragments(1, 28)[0]).err(), Some(DropReason::FragmentTiny));
    }

    #[test]
    fn what_protects_addresses_and_headers_that_lead_to_nothing_are_not_for_translation() {
        let signed = eth().ipv4("10.0.0.1", "10.0.0.2").raw(protocol::AH, [0; 2_000]).fragments(1, 1_500);
        assert_eq!(v4(&signed[0]).err(), Some(DropReason::NatProtocol));
        assert_eq!(v4(&signed[1]).err(), Some(DropReason::NatProtocol));
        let options = eth().ipv6("fd00::1", "fd00::2").per_fragment().dest_opts([0; 14]).udp(5, 6).payload([1; 2_000]);
        let mut options = options.fragments(1, 1_500);
        let Part::First(shown, _) = v6(&options[0]).expect("sound").part else { panic!("the first") };
        assert_eq!((shown.key.src_port, shown.kind, shown.l4), (5, L4Kind::Udp, 14 + 40 + 8 + 16));
        // Longer than the fragment.
        options[0][63] = 255;
        assert_eq!(v6(&options[0]).err(), Some(DropReason::FragmentTiny));
    }
}
