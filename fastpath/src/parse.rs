//! From bytes to checked offsets: after this, nobody asks again.
//!
//! What a router must check (RFC 1812, 5.2.2) drops the packet here. Damage above
//! IP is only noted: it does not concern those who merely route.

mod quote;

pub use quote::{Quote, quote};

use crate::address::Address;
use crate::ids::VrfId;
use crate::session::FlowKey;
use crate::verdict::DropReason;
use crate::wire::checksum::{fold, sum};
use crate::wire::ethernet::HEADER_LEN as L2;
use crate::wire::{get16, get32, get128, icmp, ipv4, ipv6, protocol, tcp, udp};

/// What was found in an IP packet.
///
/// Offsets count from the start of the frame and were checked: `l4` is at most
/// `end`, `end` at most the length of the frame, and the L4 header that `kind`
/// promises lies between them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layers<A> {
    /// Who talks to whom. Ports are 0 where there are none; the routing domain is
    /// the caller's to fill in.
    pub key: FlowKey<A>,
    /// Start of the L4 header.
    pub l4: u32,
    /// End of the IP packet; Ethernet padding may follow.
    pub end: u32,
    /// What the IP packet carries.
    pub kind: L4Kind,
    /// TCP flags; 0 for others.
    pub tcp_flags: u8,
    /// TTL or hop limit.
    pub ttl: u8,
}

/// What an IP packet carries, as far as translation and answers care.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum L4Kind {
    /// TCP with a whole header.
    Tcp,
    /// UDP with a whole header.
    Udp,
    /// ICMP echo request.
    EchoRequest,
    /// ICMP echo reply.
    EchoReply,
    /// An ICMP error, which quotes a packet.
    IcmpError,
    /// ICMPv6 neighbour or router discovery.
    NeighborDiscovery,
    /// Any other ICMP.
    IcmpOther,
    /// A fragment, first or later.
    Fragment,
    /// Another protocol.
    #[default]
    Other,
    /// A header cut short, or lying about its length.
    Damaged,
}

/// The IPv6 extension headers that are walked at most (RFC 7045 leaves the limit
/// to the implementation; RFC 8883 suggests 8).
const EXTENSIONS: usize = 8;

/// Finds the layers of the IPv4 packet in an Ethernet frame.
///
/// # Errors
/// The reason for which a router must drop it.
#[inline(always)]
pub fn ipv4(frame: &[u8]) -> Result<Layers<u32>, DropReason> {
    let Some(header) = frame.get(L2..).and_then(|packet| packet.first_chunk::<{ ipv4::HEADER_LEN }>()) else {
        return Err(DropReason::FrameTruncated);
    };
    let header_len = if header[ipv4::VERSION_IHL] == 0x45 { ipv4::HEADER_LEN } else { ipv4_header_len(header)? };
    let total = usize::from(get16(header, ipv4::TOTAL_LENGTH));
    if total < header_len {
        return Err(DropReason::Ipv4HeaderBad);
    }
    if L2 + total > frame.len() {
        return Err(DropReason::FrameTruncated);
    }
    if header_len == ipv4::HEADER_LEN {
        if !ipv4::is_whole(header) {
            return Err(DropReason::Ipv4ChecksumBad);
        }
    } else {
        let header = &frame[L2..L2 + header_len];
        if fold(sum(header)) != 0xffff {
            return Err(DropReason::Ipv4ChecksumBad);
        }
        options(&header[ipv4::HEADER_LEN..])?;
    }

    let mut layers = Layers {
        key: FlowKey {
            src: get32(header, ipv4::SOURCE),
            dst: get32(header, ipv4::DESTINATION),
            protocol: header[ipv4::PROTOCOL],
            vrf: VrfId::MAIN,
            ..FlowKey::default()
        },
        l4: (L2 + header_len) as u32,
        end: (L2 + total) as u32,
        kind: L4Kind::Fragment,
        tcp_flags: 0,
        ttl: header[ipv4::TTL],
    };
    if get16(header, ipv4::FLAGS_FRAGMENT) & (ipv4::MORE_FRAGMENTS | ipv4::FRAGMENT_OFFSET) == 0 {
        layer4(frame, &mut layers);
    }
    Ok(layers)
}

/// The length that a header with options claims, in bytes; 24 to 60.
#[cold]
fn ipv4_header_len(header: &[u8; ipv4::HEADER_LEN]) -> Result<usize, DropReason> {
    let header_len = usize::from(header[ipv4::VERSION_IHL] & 0x0f) * 4;
    if header[ipv4::VERSION_IHL] >> 4 != 4 || header_len < ipv4::HEADER_LEN {
        return Err(DropReason::Ipv4HeaderBad);
    }
    Ok(header_len)
}

/// Finds the layers of the IPv6 packet in an Ethernet frame.
///
/// # Errors
/// The reason for which a router must drop it.
#[inline(always)]
pub fn ipv6(frame: &[u8]) -> Result<Layers<u128>, DropReason> {
    let Some(packet) = frame.get(L2..) else {
        return Err(DropReason::FrameTruncated);
    };
    let Some(header) = packet.first_chunk::<{ ipv6::HEADER_LEN }>() else {
        return Err(DropReason::FrameTruncated);
    };
    if header[ipv6::VERSION] >> 4 != 6 {
        return Err(DropReason::Ipv6HeaderBad);
    }
    let total = ipv6::HEADER_LEN + usize::from(get16(header, ipv6::PAYLOAD_LENGTH));
    if total > packet.len() {
        return Err(DropReason::FrameTruncated);
    }
    let mut layers = Layers {
        key: FlowKey {
            src: get128(header, ipv6::SOURCE),
            dst: get128(header, ipv6::DESTINATION),
            protocol: header[ipv6::NEXT_HEADER],
            vrf: VrfId::MAIN,
            ..FlowKey::default()
        },
        l4: (L2 + ipv6::HEADER_LEN) as u32,
        end: (L2 + total) as u32,
        kind: L4Kind::Other,
        tcp_flags: 0,
        ttl: header[ipv6::HOP_LIMIT],
    };
    match layers.key.protocol {
        protocol::TCP | protocol::UDP | protocol::ICMPV6 => layer4(frame, &mut layers),
        _ => extensions(frame, &mut layers)?,
    }
    Ok(layers)
}

/// Walks the options (RFC 791, 3.1). Unknown ones pass; source routes do not
/// (RFC 7126, 4.3 and 4.4), nor does what overruns the header.
#[cold]
fn options(mut rest: &[u8]) -> Result<(), DropReason> {
    while let [kind, tail @ ..] = rest {
        match *kind {
            ipv4::OPTION_END => return Ok(()),
            ipv4::OPTION_NOP => rest = tail,
            ipv4::OPTION_LSRR | ipv4::OPTION_SSRR => return Err(DropReason::SourceRoute),
            _ => {
                let len = tail.first().copied().map_or(0, usize::from);
                if len < 2 || len > rest.len() {
                    return Err(DropReason::OptionsBad);
                }
                rest = &rest[len..];
            }
        }
    }
    Ok(())
}

/// Walks IPv6 extension headers to the L4 header (RFC 8200, section 4).
#[cold]
fn extensions(frame: &[u8], layers: &mut Layers<u128>) -> Result<(), DropReason> {
    let end = layers.end as usize;
    for _ in 0..EXTENSIONS {
        let at = layers.l4 as usize;
        let len = match layers.key.protocol {
            protocol::FRAGMENT => {
                layers.kind = if at + ipv6::FRAGMENT_LEN <= end { L4Kind::Fragment } else { L4Kind::Damaged };
                return Ok(());
            }
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {
                if at + 8 > end {
                    layers.kind = L4Kind::Damaged;
                    return Ok(());
                }
                (usize::from(frame[at + 1]) + 1) * 8
            }
            // AH is not looked behind: what it authenticates cannot be translated (RFC 3715, 2.1).
            _ => {
                layer4(frame, layers);
                return Ok(());
            }
        };
        if at + len > end {
            layers.kind = L4Kind::Damaged;
            return Ok(());
        }
        // Type 0 with segments left is the source route of RFC 5095.
        if layers.key.protocol == protocol::ROUTING && frame[at + 2] == 0 && frame[at + 3] != 0 {
            return Err(DropReason::SourceRoute);
        }
        layers.key.protocol = frame[at];
        layers.l4 = (at + len) as u32;
    }
    Err(DropReason::Ipv6HeaderBad)
}

/// Finds ports, flags and the kind of what the packet carries.
#[inline(always)]
fn layer4<A: Address>(frame: &[u8], layers: &mut Layers<A>) {
    let body = &frame[layers.l4 as usize..layers.end as usize];
    layers.kind = match layers.key.protocol {
        protocol::TCP => tcp(body, layers),
        protocol::UDP => udp(body, layers),
        protocol if protocol == A::ICMP => icmp(body, layers),
        _ => L4Kind::Other,
    };
}

#[inline(always)]
fn tcp<A>(body: &[u8], layers: &mut Layers<A>) -> L4Kind {
    let Some(header) = body.first_chunk::<{ tcp::HEADER_LEN }>() else {
        return L4Kind::Damaged;
    };
    let header_len = usize::from(header[tcp::DATA_OFFSET] >> 4) * 4;
    if header_len < tcp::HEADER_LEN || header_len > body.len() {
        return L4Kind::Damaged;
    }
    layers.key.src_port = get16(header, tcp::SOURCE_PORT);
    layers.key.dst_port = get16(header, tcp::DESTINATION_PORT);
    layers.tcp_flags = header[tcp::FLAGS];
    L4Kind::Tcp
}

#[inline(always)]
fn udp<A>(body: &[u8], layers: &mut Layers<A>) -> L4Kind {
    let Some(header) = body.first_chunk::<{ udp::HEADER_LEN }>() else {
        return L4Kind::Damaged;
    };
    let len = usize::from(get16(header, udp::LENGTH));
    if len < udp::HEADER_LEN || len > body.len() {
        return L4Kind::Damaged;
    }
    layers.key.src_port = get16(header, udp::SOURCE_PORT);
    layers.key.dst_port = get16(header, udp::DESTINATION_PORT);
    L4Kind::Udp
}

#[inline(always)]
fn icmp<A: Address>(body: &[u8], layers: &mut Layers<A>) -> L4Kind {
    let Some(header) = body.first_chunk::<{ icmp::HEADER_LEN }>() else {
        return L4Kind::Damaged;
    };
    let kind = icmp_kind::<A>(header[icmp::TYPE]);
    match kind {
        L4Kind::EchoRequest => layers.key.src_port = get16(header, icmp::IDENTIFIER),
        L4Kind::EchoReply => layers.key.dst_port = get16(header, icmp::IDENTIFIER),
        _ => {}
    }
    kind
}

fn icmp_kind<A: Address>(kind: u8) -> L4Kind {
    if A::ICMP == protocol::ICMP {
        match kind {
            icmp::v4::ECHO_REQUEST => L4Kind::EchoRequest,
            icmp::v4::ECHO_REPLY => L4Kind::EchoReply,
            icmp::v4::UNREACHABLE | icmp::v4::TIME_EXCEEDED | icmp::v4::PARAMETER_PROBLEM => L4Kind::IcmpError,
            _ => L4Kind::IcmpOther,
        }
    } else {
        match kind {
            icmp::v6::ECHO_REQUEST => L4Kind::EchoRequest,
            icmp::v6::ECHO_REPLY => L4Kind::EchoReply,
            icmp::v6::UNREACHABLE..=icmp::v6::PARAMETER_PROBLEM => L4Kind::IcmpError,
            icmp::v6::ROUTER_SOLICITATION..=icmp::v6::REDIRECT => L4Kind::NeighborDiscovery,
            _ => L4Kind::IcmpOther,
        }
    }
}

/// What the first fragment of a packet is of, as far as ICMP goes: `Fragment` for a
/// later one, `Other` where it is not ICMP.
///
/// `layers` are those of this frame, and their kind is `Fragment`.
pub fn first_fragment<A: Address>(frame: &[u8], layers: &Layers<A>) -> L4Kind {
    let l4 = layers.l4 as usize;
    let (offset, protocol, at) = if A::ICMP == protocol::ICMP {
        (get16(frame, L2 + ipv4::FLAGS_FRAGMENT) & ipv4::FRAGMENT_OFFSET, layers.key.protocol, l4)
    } else {
        (get16(frame, l4 + 2) & ipv6::FRAGMENT_OFFSET, frame[l4], l4 + ipv6::FRAGMENT_LEN)
    };
    match frame[..layers.end as usize].get(at) {
        _ if offset != 0 => L4Kind::Fragment,
        Some(kind) if protocol == A::ICMP => icmp_kind::<A>(*kind),
        _ => L4Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_testkit::packet::*;
    use causeway_testkit::random;
    use causeway_testkit::seed::Seed;

    #[test]
    fn a_udp_packet_gives_its_five_tuple() {
        let frame = eth().ipv4("10.1.1.10", "203.0.113.10").ttl(9).udp(5000, 53).payload(b"hi").pad_to_60().build();
        let layers = ipv4(&frame).expect("a sound packet");
        assert_eq!((layers.key.src, layers.key.dst), (0x0a01_010a, 0xcb00_710a));
        assert_eq!((layers.key.src_port, layers.key.dst_port, layers.key.protocol), (5000, 53, 17));
        assert_eq!((layers.l4, layers.end, layers.ttl, layers.kind), (34, 44, 9, L4Kind::Udp));
    }

    #[test]
    fn extension_headers_lead_to_the_ports() {
        let frame = eth()
            .ipv6("fd00::1", "fd00::2")
            .hop_by_hop([1, 4, 0, 0, 0, 0])
            .dest_opts([1, 4, 0, 0, 0, 0])
            .tcp(1, 2)
            .flags(SYN)
            .build();
        let layers = ipv6(&frame).expect("a sound packet");
        assert_eq!((layers.key.src_port, layers.key.dst_port, layers.kind, layers.l4), (1, 2, L4Kind::Tcp, 70));
        assert_eq!(layers.tcp_flags, tcp::SYN);
    }

    #[test]
    fn what_an_authentication_header_covers_is_left_alone() {
        let header = [6, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let frame = eth().ipv6("fd00::1", "fd00::2").extension(51, header).tcp(1, 2).flags(SYN).build();
        let layers = ipv6(&frame).expect("a sound packet");
        assert_eq!((layers.kind, layers.key.src_port), (L4Kind::Other, 0));
    }

    #[test]
    fn an_echo_reply_has_the_reversed_key_of_its_request() {
        let request = ipv4(&eth().ipv4("10.0.0.1", "10.0.0.2").icmp_echo_request(77, 1).build()).expect("sound");
        let reply = ipv4(&eth().ipv4("10.0.0.2", "10.0.0.1").icmp_echo_reply(77, 1).build()).expect("sound");
        assert_eq!(request.key.reversed(), reply.key);
    }

    #[test]
    fn lies_about_lengths_are_refused_or_noted() {
        let v4 = || eth().ipv4("10.0.0.1", "10.0.0.2");
        let reason = |frame: &[u8]| ipv4(frame).expect_err("must be refused");
        assert_eq!(reason(&v4().version(6).udp(1, 2).build()), DropReason::Ipv4HeaderBad);
        assert_eq!(reason(&v4().ihl(4).udp(1, 2).build()), DropReason::Ipv4HeaderBad);
        assert_eq!(reason(&v4().total_length(19).udp(1, 2).build()), DropReason::Ipv4HeaderBad);
        assert_eq!(reason(&v4().total_length(29).udp(1, 2).build()), DropReason::FrameTruncated);
        assert_eq!(reason(&v4().bad_checksum().udp(1, 2).build()), DropReason::Ipv4ChecksumBad);
        assert_eq!(reason(&v4().options([131, 3, 4, 0]).udp(1, 2).build()), DropReason::SourceRoute);
        assert_eq!(reason(&v4().options([7, 1, 0, 0]).udp(1, 2).build()), DropReason::OptionsBad);
        assert_eq!(reason(&v4().udp(1, 2).truncate(33).build()), DropReason::FrameTruncated);
        for damaged in
            [v4().udp(1, 2).length(7).build(), v4().udp(1, 2).length(9).build(), v4().tcp(1, 2).data_offset(4).build()]
        {
            assert_eq!(ipv4(&damaged).expect("IP is sound").kind, L4Kind::Damaged);
        }
        let v6 = || eth().ipv6("fd00::1", "fd00::2");
        assert_eq!(ipv6(&v6().version(4).udp(1, 2).build()).expect_err("version"), DropReason::Ipv6HeaderBad);
        assert_eq!(ipv6(&v6().payload_length(9).udp(1, 2).build()).expect_err("length"), DropReason::FrameTruncated);
        assert_eq!(ipv6(&v6().routing(0, 1, [0; 20]).udp(1, 2).build()).expect_err("RH0"), DropReason::SourceRoute);
    }

    #[test]
    fn no_mangled_frame_breaks_a_promise() {
        let seed = Seed::from_env_or(0x5eed);
        let mut rng = seed.rng();
        for _ in 0..50_000 {
            let frame = random::frame(&mut rng);
            let frame = random::mangle(&mut rng, &frame);
            if let Ok(layers) = ipv4(&frame) {
                assert!(layers.l4 <= layers.end && layers.end as usize <= frame.len());
            }
            if let Ok(layers) = ipv6(&frame) {
                assert!(layers.l4 <= layers.end && layers.end as usize <= frame.len());
            }
            let _ = super::quote::<u32>(&frame);
            let _ = super::quote::<u128>(&frame);
        }
    }
}
