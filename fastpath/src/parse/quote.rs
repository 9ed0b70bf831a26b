//! The packet inside an ICMP error.

use super::L4Kind;
use super::extensions::{behind_extensions, is_extension};
use super::transport::{icmp_kind, is_address_bound};
use crate::address::Address;
use crate::session::FlowKey;
use crate::wire::checksum::{fold, sum};
use crate::wire::{get16, icmp, ipv4, ipv6, protocol};

/// The packet that an ICMP error quotes, as far as it is there.
#[derive(Clone, Copy, Debug)]
pub struct Quote<A> {
    /// Its flow.
    pub key: FlowKey<A>,
    /// Start of its L4 header, from the start of the slice it was found in.
    pub l4: usize,
}

/// Finds the flow of the packet quoted at the start of `bytes`, which may be cut
/// short anywhere behind the first eight bytes of its L4 header (RFC 792).
///
/// Fragments but the first and protocols that cannot be translated have no flow that could
/// be matched: `None`, as for damage, and for extension headers that lead to nothing.
pub fn quote<A: Address>(bytes: &[u8]) -> Option<Quote<A>> {
    let (l4, protocol) = if A::ICMP == protocol::ICMP { quoted_ipv4(bytes)? } else { quoted_ipv6(bytes)? };
    let head = bytes.get(l4..l4 + 8)?;
    let mut key = FlowKey {
        src: A::get(bytes, A::SOURCE_AT),
        dst: A::get(bytes, A::DESTINATION_AT),
        protocol,
        ..FlowKey::default()
    };
    match protocol {
        protocol::TCP | protocol::UDP | protocol::UDP_LITE | protocol::SCTP => {
            key.src_port = get16(head, 0);
            key.dst_port = get16(head, 2);
        }
        _ if protocol == A::ICMP => match icmp_kind::<A>(head[icmp::TYPE]) {
            L4Kind::EchoRequest | L4Kind::Query => key.src_port = get16(head, icmp::IDENTIFIER),
            L4Kind::EchoReply | L4Kind::QueryReply => key.dst_port = get16(head, icmp::IDENTIFIER),
            _ => return None,
        },
        _ if A::BITS == 128 && (protocol == protocol::FRAGMENT || is_extension(protocol)) => return None,
        _ if is_address_bound(protocol) => return None,
        // Its addresses are its flow.
        _ => {}
    }
    Some(Quote { key, l4 })
}

fn quoted_ipv4(bytes: &[u8]) -> Option<(usize, u8)> {
    let header = bytes.first_chunk::<{ ipv4::HEADER_LEN }>()?;
    let header_len = usize::from(header[ipv4::VERSION_IHL] & 0x0f) * 4;
    let whole = bytes.get(..header_len)?;
    let sound = header[ipv4::VERSION_IHL] >> 4 == 4
        && header_len >= ipv4::HEADER_LEN
        && get16(header, ipv4::FLAGS_FRAGMENT) & ipv4::FRAGMENT_OFFSET == 0
        // RFC 5508 REQ-3: a quote with a bad header checksum is not to be believed.
        && fold(sum(whole)) == 0xffff;
    sound.then_some((header_len, header[ipv4::PROTOCOL]))
}

fn quoted_ipv6(bytes: &[u8]) -> Option<(usize, u8)> {
    let header = bytes.first_chunk::<{ ipv6::HEADER_LEN }>()?;
    if header[ipv6::VERSION] >> 4 != 6 {
        return None;
    }
    let (at, protocol) = behind_extensions(bytes, ipv6::HEADER_LEN, header[ipv6::NEXT_HEADER]).ok()?;
    if protocol != protocol::FRAGMENT {
        return Some((at, protocol));
    }
    let fragment = bytes[at..].first_chunk::<{ ipv6::FRAGMENT_LEN }>()?;
    if get16(fragment, ipv6::FRAGMENT_WORD) & ipv6::FRAGMENT_OFFSET != 0 {
        return None;
    }
    behind_extensions(bytes, at + ipv6::FRAGMENT_LEN, fragment[0]).ok()
}
