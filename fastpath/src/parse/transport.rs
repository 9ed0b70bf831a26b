//! What an IP packet carries, as far as translation and answers care.

use super::IpHeader;
use super::extensions::{behind_extensions, is_extension};
use crate::address::Address;
use crate::ids::VrfId;
use crate::session::FlowKey;
use crate::wire::ethernet::HEADER_LEN as L2;
use crate::wire::{get16, icmp, ipv4, ipv6, protocol, sctp, tcp, udp, udp_lite};

/// What was found in an IP packet.
///
/// Offsets count from the start of the frame and were checked: `l4` is at most
/// `end`, `end` at most the length of the frame, and the L4 header that `kind`
/// promises lies between them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layers<A> {
    /// Who talks to whom. Ports are 0 where there are none.
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

/// What an IP packet carries.
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
    /// Another ICMP query with an identifier: timestamp.
    Query,
    /// What answers it.
    QueryReply,
    /// UDP-Lite with a whole header.
    UdpLite,
    /// SCTP with a whole header.
    Sctp,
    /// Another protocol, whose flow is told by its addresses.
    #[default]
    Other,
    /// Another protocol, which cannot be translated: it covers the addresses by something
    /// that only its ends can make anew.
    AddressBound,
    /// An ICMP error, which quotes a packet.
    IcmpError,
    /// ICMPv6 neighbour or router discovery.
    NeighborDiscovery,
    /// Any other ICMP.
    IcmpOther,
    /// A fragment, first or later.
    Fragment,
    /// A header cut short, or lying about its length.
    Damaged,
}

impl L4Kind {
    /// Does the packet alone tell its flow: by ports, an identifier, or where there are
    /// none by its addresses?
    #[inline(always)]
    pub fn tells_flow(self) -> bool {
        matches!(
            self,
            L4Kind::Tcp
                | L4Kind::Udp
                | L4Kind::EchoRequest
                | L4Kind::EchoReply
                | L4Kind::Query
                | L4Kind::QueryReply
                | L4Kind::UdpLite
                | L4Kind::Sctp
                | L4Kind::Other
        )
    }
}

/// Finds ports, flags and the kind of what a packet carries.
///
/// `header` is what was found in this frame, and `vrf` the routing domain it is in.
#[inline(always)]
pub fn layers<A: Address>(frame: &[u8], header: &IpHeader<A>, vrf: VrfId) -> Layers<A> {
    let mut layers = Layers {
        key: FlowKey { src: header.src, dst: header.dst, protocol: header.protocol, vrf, ..FlowKey::default() },
        l4: u32::from(header.l4),
        end: header.end,
        kind: L4Kind::Fragment,
        tcp_flags: 0,
        ttl: header.ttl,
    };
    if A::BITS == 32 && get16(frame, L2 + ipv4::FLAGS_FRAGMENT) & (ipv4::MORE_FRAGMENTS | ipv4::FRAGMENT_OFFSET) != 0 {
        return layers;
    }
    let body = &frame[usize::from(header.l4)..header.end as usize];
    layers.kind = match header.protocol {
        protocol::TCP => tcp(body, &mut layers),
        protocol::UDP => udp(body, &mut layers),
        protocol if protocol == A::ICMP => icmp(body, &mut layers),
        protocol => {
            // By value: what is lent to a function that is not inlined does not stay in
            // registers, whoever calls it.
            let (kind, ports) = rare::<A>(protocol, body);
            [layers.key.src_port, layers.key.dst_port] = ports;
            kind
        }
    };
    layers
}

/// What is neither TCP, UDP nor ICMP, and its ports.
#[cold]
fn rare<A: Address>(protocol: u8, body: &[u8]) -> (L4Kind, [u16; 2]) {
    match protocol {
        protocol::FRAGMENT if A::BITS == 128 && body.len() >= ipv6::FRAGMENT_LEN => (L4Kind::Fragment, [0; 2]),
        protocol::FRAGMENT if A::BITS == 128 => (L4Kind::Damaged, [0; 2]),
        protocol if A::BITS == 128 && is_extension(protocol) => (L4Kind::Damaged, [0; 2]),
        protocol => other(protocol, body.len(), body),
    }
}

/// What is neither TCP, UDP, ICMP nor an extension header, in a datagram with at most this
/// many bytes, of which `body` shows the first. Its ports are 0 where there are none.
pub(super) fn other(protocol: u8, most: usize, body: &[u8]) -> (L4Kind, [u16; 2]) {
    let ports = |header: &[u8]| [get16(header, udp::SOURCE_PORT), get16(header, udp::DESTINATION_PORT)];
    match protocol {
        protocol::UDP_LITE => match body.first_chunk::<{ udp::HEADER_LEN }>() {
            Some(header) if udp_lite::covers_header(header, most) => (L4Kind::UdpLite, ports(header)),
            _ => (L4Kind::Damaged, [0; 2]),
        },
        protocol::SCTP => match body.first_chunk::<{ sctp::HEADER_LEN }>() {
            Some(header) => (L4Kind::Sctp, ports(header)),
            None => (L4Kind::Damaged, [0; 2]),
        },
        protocol if is_address_bound(protocol) => (L4Kind::AddressBound, [0; 2]),
        _ => (L4Kind::Other, [0; 2]),
    }
}

/// Does a protocol cover the addresses of its packets by what a translator cannot make
/// anew, or does not know how to: a signature, or a checksum of its own? The ICMP of the
/// other family is none.
pub(super) fn is_address_bound(protocol: u8) -> bool {
    matches!(
        protocol,
        protocol::AH | protocol::DCCP | protocol::MOBILITY | protocol::HIP | protocol::ICMP | protocol::ICMPV6
    )
}

#[inline(always)]
pub(super) fn tcp<A>(body: &[u8], layers: &mut Layers<A>) -> L4Kind {
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
    udp_up_to(body.len(), body, layers)
}

/// UDP in a datagram with at most this many bytes, of which `body` shows the first.
#[inline(always)]
pub(super) fn udp_up_to<A>(most: usize, body: &[u8], layers: &mut Layers<A>) -> L4Kind {
    let Some(header) = body.first_chunk::<{ udp::HEADER_LEN }>() else {
        return L4Kind::Damaged;
    };
    let len = usize::from(get16(header, udp::LENGTH));
    if len < udp::HEADER_LEN || len > most {
        return L4Kind::Damaged;
    }
    layers.key.src_port = get16(header, udp::SOURCE_PORT);
    layers.key.dst_port = get16(header, udp::DESTINATION_PORT);
    L4Kind::Udp
}

#[inline(always)]
pub(super) fn icmp<A: Address>(body: &[u8], layers: &mut Layers<A>) -> L4Kind {
    let Some(header) = body.first_chunk::<{ icmp::HEADER_LEN }>() else {
        return L4Kind::Damaged;
    };
    let kind = icmp_kind::<A>(header[icmp::TYPE]);
    match kind {
        L4Kind::EchoRequest | L4Kind::Query => layers.key.src_port = get16(header, icmp::IDENTIFIER),
        L4Kind::EchoReply | L4Kind::QueryReply => layers.key.dst_port = get16(header, icmp::IDENTIFIER),
        _ => {}
    }
    kind
}

/// May an ICMP message of kind `IcmpOther` be an error all the same, of a type that has
/// gone out of use or is not known yet? `layers` are those of this frame.
pub fn may_be_error<A: Address>(frame: &[u8], layers: &Layers<A>) -> bool {
    let kind = frame[layers.l4 as usize + icmp::TYPE];
    if A::ICMP == protocol::ICMP { !icmp::v4::QUERIES.contains(&kind) } else { kind < icmp::v6::FIRST_QUERY }
}

pub(super) fn icmp_kind<A: Address>(kind: u8) -> L4Kind {
    if A::ICMP == protocol::ICMP {
        match kind {
            icmp::v4::ECHO_REQUEST => L4Kind::EchoRequest,
            icmp::v4::ECHO_REPLY => L4Kind::EchoReply,
            icmp::v4::TIMESTAMP => L4Kind::Query,
            icmp::v4::TIMESTAMP_REPLY => L4Kind::QueryReply,
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

/// May a later fragment be of an ICMP message? It shows but the protocol in front of which its
/// datagram was cut up. `layers` are those of this frame, and their kind is `Fragment`.
pub fn may_be_of_icmp<A: Address>(frame: &[u8], layers: &Layers<A>) -> bool {
    if A::BITS == 32 {
        return layers.key.protocol == A::ICMP;
    }
    let carried = frame[layers.l4 as usize];
    carried == A::ICMP || is_extension(carried)
}

/// What the first fragment of a packet is of, as far as ICMP goes: `Fragment` for a
/// later one, `Other` where it is not ICMP, and `Damaged` where it does not show that.
///
/// `layers` are those of this frame, and their kind is `Fragment`.
pub fn first_fragment<A: Address>(frame: &[u8], layers: &Layers<A>) -> L4Kind {
    let (packet, l4) = (&frame[..layers.end as usize], layers.l4 as usize);
    let (offset, carried) = if A::BITS == 32 {
        (get16(frame, L2 + ipv4::FLAGS_FRAGMENT) & ipv4::FRAGMENT_OFFSET, Ok((l4, layers.key.protocol)))
    } else {
        let offset = get16(frame, l4 + ipv6::FRAGMENT_WORD) & ipv6::FRAGMENT_OFFSET;
        (offset, behind_extensions(packet, l4 + ipv6::FRAGMENT_LEN, frame[l4]))
    };
    match carried {
        _ if offset != 0 => L4Kind::Fragment,
        Ok((at, protocol)) if protocol == A::ICMP => {
            packet.get(at).map_or(L4Kind::Damaged, |kind| icmp_kind::<A>(*kind))
        }
        Ok((_, protocol)) if A::BITS == 32 || !is_extension(protocol) => L4Kind::Other,
        _ => L4Kind::Damaged,
    }
}
