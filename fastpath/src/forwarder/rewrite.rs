//! The one stage that writes to packets that go on.

use super::walk::{Plan, Walk};
use crate::address::Address;
use crate::frame::Frame;
use crate::ids::AdjacencyId;
use crate::nat::icmp_error;
use crate::offload::ChecksumState;
use crate::parse::L4Kind;
use crate::session::{Direction, Session};
use crate::snapshot::Adjacency;
use crate::wire::checksum::{self, Delta};
use crate::wire::ethernet::HEADER_LEN as L2;
use crate::wire::{get16, icmp, ipv4, protocol, put16, tcp, udp};

/// Ethernet header and TTL of a packet that ends at `end` and is not translated.
#[inline(always)]
pub(super) fn rewrite_as_is<A: Address>(frame: &mut Frame, adjacency: &Adjacency, end: u32) {
    frame.truncate(end as usize);
    let bytes = frame.bytes_mut();
    bytes[..12].copy_from_slice(&adjacency.macs);
    let ip = &mut bytes[L2..];
    ip[A::TTL_AT] -= 1;
    if A::BITS == 32 {
        put16(ip, ipv4::CHECKSUM, checksum::after_hop(get16(ip, ipv4::CHECKSUM)));
    }
}

impl<A: Address> Walk<'_, A> {
    /// Ethernet header, TTL, and the translation, with one update a checksum.
    #[inline(always)]
    pub(super) fn rewrite(&mut self, i: usize, to: AdjacencyId, plan: Plan) {
        let adjacency = &self.snapshot.adjacencies[to.index()];
        let frame = &mut self.frames[i];
        rewrite_as_is::<A>(frame, adjacency, self.scratch.notes[i].end);
        let layers = &self.scratch.layers[i];
        let checksum = frame.offload.checksum_at(layers.l4);
        let bytes = frame.bytes_mut();
        let ip_delta = match plan {
            Plan::AsIs => return,
            Plan::Translate(found) => {
                self.nat.touch(found, layers.tcp_flags, &self.snapshot.timeouts, self.now);
                let session = self.nat.sessions.get(found.session);
                match found.direction {
                    Direction::Out => self.counters.translated_out += 1,
                    Direction::In => self.counters.translated_in += 1,
                }
                translate(bytes, layers, session, found.direction, checksum)
            }
            Plan::TranslateError(found) => {
                let session = self.nat.sessions.get(found.session);
                self.counters.translated_errors += 1;
                icmp_error::translate(bytes, layers, session, found.direction, checksum)
            }
        };
        if A::BITS == 32 {
            let ip = &mut bytes[L2..];
            put16(ip, ipv4::CHECKSUM, ip_delta.apply(get16(ip, ipv4::CHECKSUM)));
        }
    }
}

/// Writes address and port of the session into a packet and updates the L4
/// checksum. Returns what the address adds to the sum of the IP header.
#[inline(always)]
fn translate<A: Address>(
    bytes: &mut [u8],
    layers: &crate::parse::Layers<A>,
    session: &Session<A>,
    direction: Direction,
    checksum: ChecksumState,
) -> Delta {
    let l4 = layers.l4 as usize;
    let (address_at, address, port_at, port, address_delta, flow_delta) = match direction {
        Direction::Out => {
            let (address_delta, flow_delta) = (session.address_delta, session.flow_delta);
            (A::SOURCE_AT, session.outside.dst, 0, session.outside.dst_port, address_delta, flow_delta)
        }
        Direction::In => {
            let (address_delta, flow_delta) = (session.address_delta.inverse(), session.flow_delta.inverse());
            (A::DESTINATION_AT, session.inside.src, 2, session.inside.src_port, address_delta, flow_delta)
        }
    };
    address.put(&mut bytes[L2..], address_at);
    let (checksum_at, port_at) = match layers.kind {
        L4Kind::Tcp => (tcp::CHECKSUM, port_at),
        L4Kind::Udp => (udp::CHECKSUM, port_at),
        _ => (icmp::CHECKSUM, icmp::IDENTIFIER),
    };
    let l4 = &mut bytes[l4..];
    put16(l4, port_at, port);
    let field = get16(l4, checksum_at);
    let updated = match checksum {
        // A partial checksum holds the pseudo header alone: addresses, no ports.
        ChecksumState::Partial { .. }
            if layers.kind == L4Kind::Tcp || layers.kind == L4Kind::Udp || A::ICMP_PSEUDO_HEADER =>
        {
            address_delta.apply_partial(field)
        }
        ChecksumState::Partial { .. } => field,
        // No checksum stays no checksum (RFC 768); a computed 0 is sent as all ones.
        ChecksumState::Complete if layers.kind == L4Kind::Udp => match (field, flow_delta.apply(field)) {
            (0, _) if A::ICMP == protocol::ICMP => 0,
            (_, 0) => 0xffff,
            (_, updated) => updated,
        },
        ChecksumState::Complete => flow_delta.apply(field),
    };
    put16(l4, checksum_at, updated);
    if updated == 0 && checksum == ChecksumState::Complete {
        icmp::settle_checksum(l4);
    }
    address_delta
}
