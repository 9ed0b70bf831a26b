//! The one stage that writes to packets that go on.

use super::walk::{Plan, Walk};
use crate::address::Address;
use crate::frame::Frame;
use crate::ids::AdjacencyId;
use crate::nat::{icmp_error, replace_address};
use crate::offload::ChecksumState;
use crate::parse::L4Kind;
use crate::session::{Direction, Found};
use crate::snapshot::Adjacency;
use crate::wire::checksum;
use crate::wire::ethernet::HEADER_LEN as L2;
use crate::wire::{get16, icmp, ipv4, protocol, put16, tcp, udp};

/// Ethernet header and TTL of a packet that ends at `end` and is not translated.
#[inline(always)]
pub(super) fn rewrite_as_is<A: Address>(frame: &mut Frame, adjacency: &Adjacency, end: u32) {
    frame.truncate(end as usize);
    let bytes = frame.bytes_mut();
    assert!(bytes.len() >= L2 + ipv4::HEADER_LEN, "an IP packet has a header");
    bytes[..12].copy_from_slice(&adjacency.macs);
    let ip = &mut bytes[L2..];
    ip[A::TTL_AT] -= 1;
    if A::BITS == 32 {
        put16(ip, ipv4::CHECKSUM, checksum::after_hop(get16(ip, ipv4::CHECKSUM)));
    }
}

impl<A: Address> Walk<'_, A> {
    /// Ethernet header, TTL, and the translation.
    #[inline(always)]
    pub(super) fn rewrite(&mut self, i: usize, to: AdjacencyId, plan: Plan) {
        match plan {
            Plan::AsIs => {}
            Plan::Translate(found) => self.translate(i, found),
            Plan::TranslateError(found) => self.translate_error(i, found),
        }
        let adjacency = &self.snapshot.adjacencies[to.index()];
        rewrite_as_is::<A>(&mut self.frames[i], adjacency, self.scratch.notes[i].end);
    }

    /// Writes address and port of the session into a packet and updates the checksums.
    #[inline(always)]
    fn translate(&mut self, i: usize, found: Found) {
        let Found { session, direction } = found;
        self.nat.touch(found, self.scratch.tcp_flags[i], &self.snapshot.timeouts, self.now);
        let session = self.nat.sessions.get(session);
        let (address_at, address, port, address_delta, flow_delta) = match direction {
            Direction::Out => {
                self.counters.translated_out += 1;
                let (address_delta, flow_delta) = (session.address_delta, session.flow_delta);
                (A::SOURCE_AT, session.outside.dst, session.outside.dst_port, address_delta, flow_delta)
            }
            Direction::In => {
                self.counters.translated_in += 1;
                let (address_delta, flow_delta) = (session.address_delta.inverse(), session.flow_delta.inverse());
                (A::DESTINATION_AT, session.inside.src, session.inside.src_port, address_delta, flow_delta)
            }
        };
        let (kind, l4) = (self.scratch.kinds[i], usize::from(self.scratch.notes[i].l4));
        let frame = &mut self.frames[i];
        let checksum = frame.offload.checksum_at(l4 as u32);
        let bytes = frame.bytes_mut();
        replace_address(bytes, address_at, address, address_delta);
        let l4 = &mut bytes[l4..];
        assert!(l4.len() >= udp::HEADER_LEN, "what has ports has a header that holds them");
        let port_at = if direction == Direction::Out { 0 } else { 2 };
        let (checksum_at, port_at) = match kind {
            L4Kind::Udp => (udp::CHECKSUM, port_at),
            L4Kind::Tcp => (tcp::CHECKSUM, port_at),
            _ => (icmp::CHECKSUM, icmp::IDENTIFIER),
        };
        put16(l4, port_at, port);
        let field = get16(l4, checksum_at);
        let updated = match checksum {
            // A partial checksum holds the pseudo header alone: addresses, no ports.
            ChecksumState::Partial { .. } if kind == L4Kind::Tcp || kind == L4Kind::Udp || A::ICMP_PSEUDO_HEADER => {
                address_delta.apply_partial(field)
            }
            ChecksumState::Partial { .. } => field,
            // No checksum stays no checksum (RFC 768); a computed 0 is sent as all ones.
            ChecksumState::Complete if kind == L4Kind::Udp => match (field, flow_delta.apply(field)) {
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
    }

    #[inline(never)]
    fn translate_error(&mut self, i: usize, found: Found) {
        let layers = self.look_into(i);
        let session = self.nat.sessions.get(found.session);
        self.counters.translated_errors += 1;
        let frame = &mut self.frames[i];
        let checksum = frame.offload.checksum_at(layers.l4);
        icmp_error::translate(frame.bytes_mut(), &layers, session, found.direction, checksum);
    }
}
