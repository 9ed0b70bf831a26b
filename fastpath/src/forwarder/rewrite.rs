//! The one stage that writes to packets that go on.

use super::walk::{Plan, Walk};
use crate::address::Address;
use crate::frame::Frame;
use crate::ids::AdjacencyId;
use crate::nat::icmp_error;
use crate::offload::ChecksumState;
use crate::parse::L4Kind;
use crate::session::{Direction, Found, Session};
use crate::snapshot::Adjacency;
use crate::wire::checksum::{self, Delta};
use crate::wire::ethernet::HEADER_LEN as L2;
use crate::wire::{get16, icmp, ipv4, protocol, put16, tcp, udp};

/// Ethernet header and TTL of a packet that ends at `end` and is not translated.
#[inline(always)]
pub(super) fn rewrite_as_is<A: Address>(frame: &mut Frame, adjacency: &Adjacency, end: u32) {
    let ip = rewrite_ethernet(frame, adjacency, end);
    ip[A::TTL_AT] -= 1;
    if A::BITS == 32 {
        put16(ip, ipv4::CHECKSUM, checksum::after_hop(get16(ip, ipv4::CHECKSUM)));
    }
}

/// Ethernet header, TTL and one address of a packet that ends at `end`; `delta` is what
/// the address adds to a sum.
#[inline(always)]
pub(super) fn rewrite_address<A: Address>(
    frame: &mut Frame,
    adjacency: &Adjacency,
    end: u32,
    (at, address, delta): (usize, A, Delta),
) {
    let ip = rewrite_ethernet(frame, adjacency, end);
    assert!(ip.len() >= A::DESTINATION_AT + size_of::<A>(), "an IP packet has a header");
    ip[A::TTL_AT] -= 1;
    address.put(ip, at);
    if A::BITS == 32 {
        put16(ip, ipv4::CHECKSUM, checksum::after_hop(delta.apply(get16(ip, ipv4::CHECKSUM))));
    }
}

/// Ethernet header, and the end of the frame. Returns the IP packet.
#[inline(always)]
fn rewrite_ethernet<'a>(frame: &'a mut Frame, adjacency: &Adjacency, end: u32) -> &'a mut [u8] {
    frame.truncate(end as usize);
    let bytes = frame.bytes_mut();
    assert!(bytes.len() >= L2 + ipv4::HEADER_LEN, "an IP packet has a header");
    bytes[..12].copy_from_slice(&adjacency.macs);
    &mut bytes[L2..]
}

/// Writes the port of a session into a packet that goes through it and updates the L4
/// checksum. `l4` is where its L4 header starts. Returns what is left to be done: where
/// which address goes, and what that adds to a sum.
#[inline(always)]
pub(super) fn translate<A: Address>(
    frame: &mut Frame,
    kind: L4Kind,
    l4: u16,
    session: &Session<A>,
    direction: Direction,
) -> (usize, A, Delta) {
    let (address_at, address, port_at, port) = match direction {
        Direction::Out => (A::SOURCE_AT, session.outside.dst, 0, session.outside.dst_port),
        Direction::In => (A::DESTINATION_AT, session.inside.src, 2, session.inside.src_port),
    };
    let (address_delta, flow_delta) = session.deltas(direction);
    let checksum = frame.offload.checksum_at(u32::from(l4));
    let header = &mut frame.bytes_mut()[usize::from(l4)..];
    assert!(header.len() >= udp::HEADER_LEN, "what has ports has a header that holds them");
    if kind == L4Kind::Udp && checksum == ChecksumState::Complete {
        put16(header, port_at, port);
        // No checksum stays no checksum (RFC 768); a computed 0 is sent as all ones.
        let field = get16(header, udp::CHECKSUM);
        if field != 0 || A::ICMP != protocol::ICMP {
            let updated = flow_delta.apply(field);
            put16(header, udp::CHECKSUM, if updated == 0 { 0xffff } else { updated });
        }
    } else if kind == L4Kind::Tcp && checksum == ChecksumState::Complete {
        put16(header, port_at, port);
        put16(header, tcp::CHECKSUM, flow_delta.apply(get16(header, tcp::CHECKSUM)));
    } else {
        translate_oddly::<A>(header, kind, port_at, port, checksum, address_delta, flow_delta);
    }
    (address_at, address, address_delta)
}

/// As [`translate`], above IP: echoes, and checksums that are not whole yet.
#[inline(never)]
fn translate_oddly<A: Address>(
    header: &mut [u8],
    kind: L4Kind,
    port_at: usize,
    port: u16,
    checksum: ChecksumState,
    address_delta: Delta,
    flow_delta: Delta,
) {
    let (checksum_at, port_at) = match kind {
        L4Kind::Udp => (udp::CHECKSUM, port_at),
        L4Kind::Tcp => (tcp::CHECKSUM, port_at),
        _ => (icmp::CHECKSUM, icmp::IDENTIFIER),
    };
    put16(header, port_at, port);
    let field = get16(header, checksum_at);
    let updated = match checksum {
        ChecksumState::Complete => flow_delta.apply(field),
        // A partial checksum holds the pseudo header alone: addresses, no ports.
        ChecksumState::Partial { .. } if kind == L4Kind::Tcp || kind == L4Kind::Udp || A::ICMP_PSEUDO_HEADER => {
            address_delta.apply_partial(field)
        }
        ChecksumState::Partial { .. } => field,
    };
    put16(header, checksum_at, updated);
    if updated == 0 && checksum == ChecksumState::Complete {
        icmp::settle_checksum(header);
    }
}

impl<A: Address> Walk<'_, A> {
    /// Ethernet header, TTL, and the translation.
    pub(super) fn rewrite(&mut self, i: usize, to: AdjacencyId, plan: Plan) {
        let adjacency = &self.snapshot.adjacencies[to.index()];
        let end = self.scratch.notes[i].end;
        let address = match plan {
            Plan::AsIs => return rewrite_as_is::<A>(&mut self.frames[i], adjacency, end),
            Plan::Translate(found) => {
                let Walk { frames, snapshot, scratch, nat, counters, now, .. } = self;
                nat.touch(found, scratch.tcp_flags[i], &snapshot.timeouts, *now);
                counters.count_translated(found.direction);
                let session = nat.sessions.get(found.session);
                translate(&mut frames[i], scratch.kinds[i], scratch.notes[i].l4, session, found.direction)
            }
            Plan::TranslateError(found) => self.translate_error(i, found),
        };
        rewrite_address(&mut self.frames[i], adjacency, end, address);
    }

    #[inline(never)]
    fn translate_error(&mut self, i: usize, found: Found) -> (usize, A, Delta) {
        let layers = self.look_into(i);
        let session = self.nat.sessions.get(found.session);
        self.counters.translated_errors += 1;
        let frame = &mut self.frames[i];
        let checksum = frame.offload.checksum_at(layers.l4);
        icmp_error::translate(frame.bytes_mut(), &layers, session, found.direction, checksum)
    }
}
