//! The one stage that writes to packets that go on.

use super::walk::{Plan, Scratch, Walk};
use crate::address::Address;
use crate::frame::Frame;
use crate::ids::AdjacencyId;
use crate::nat::{Names, icmp_error};
use crate::offload::ChecksumState;
use crate::parse::L4Kind;
use crate::session::window::Segment;
use crate::session::{Direction, FlowKey, Found, Session};
use crate::snapshot::Adjacency;
use crate::wire::checksum::{self, Delta};
use crate::wire::ethernet::HEADER_LEN as L2;
use crate::wire::{get16, icmp, ipv4, protocol, put16, put32, tcp, udp};

/// Ethernet header and TTL of a packet that ends at `end` and is not translated.
#[inline(always)]
pub(super) fn rewrite_as_is<A: Address>(frame: &mut Frame, adjacency: &Adjacency, end: u32) {
    let ip = rewrite_ethernet(frame, adjacency, end);
    ip[A::TTL_AT] -= 1;
    if A::BITS == 32 {
        put16(ip, ipv4::CHECKSUM, checksum::after_hop(get16(ip, ipv4::CHECKSUM)));
    }
}

/// Ethernet header, TTL and addresses of a packet that ends at `end`. Says whether it may be
/// cut up on its way: nearly nothing may.
#[inline(always)]
pub(super) fn rewrite_renamed<A: Address>(frame: &mut Frame, adjacency: &Adjacency, end: u32, names: Names<A>) -> bool {
    let ip = rewrite_ethernet(frame, adjacency, end);
    ip[A::TTL_AT] -= 1;
    put_names(ip, names, Delta::HOP);
    may_be_cut::<A>(ip)
}

#[inline(always)]
pub(super) fn may_be_cut<A: Address>(ip: &[u8]) -> bool {
    const DONT_FRAGMENT: u8 = (ipv4::DONT_FRAGMENT >> 8) as u8;
    A::BITS == 32 && ip[ipv4::FLAGS_FRAGMENT] & DONT_FRAGMENT == 0
}

fn put_identification(ip: &mut [u8], identification: u16) {
    let delta = Delta::NONE.replace(get16(ip, ipv4::IDENTIFICATION), identification);
    put16(ip, ipv4::IDENTIFICATION, identification);
    put16(ip, ipv4::CHECKSUM, delta.apply(get16(ip, ipv4::CHECKSUM)));
}

/// Writes addresses into an IP header; `also` is what else changes in it.
#[inline(always)]
fn put_names<A: Address>(ip: &mut [u8], names: Names<A>, also: Delta) {
    assert!(ip.len() >= A::DESTINATION_AT + size_of::<A>(), "an IP packet has a header");
    names.src.put(ip, A::SOURCE_AT);
    names.dst.put(ip, A::DESTINATION_AT);
    if A::BITS == 32 {
        put16(ip, ipv4::CHECKSUM, names.delta.and(also).apply(get16(ip, ipv4::CHECKSUM)));
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

/// Writes the ports of a session into a packet that goes through it and updates the L4
/// checksum. `l4` is where its L4 header starts. Returns the addresses that are left to
/// be written.
#[inline(always)]
pub(super) fn translate<A: Address>(
    frame: &mut Frame,
    kind: L4Kind,
    l4: u16,
    session: &Session<A>,
    direction: Direction,
) -> Names<A> {
    let answer = session.answer(direction);
    let (address_delta, flow_delta) = session.deltas(direction);
    let checksum = frame.offload.checksum_at(u32::from(l4));
    if kind == L4Kind::Udp && checksum == ChecksumState::Complete {
        let header = frame.bytes_mut()[usize::from(l4)..].first_chunk_mut::<{ udp::HEADER_LEN }>();
        let header = header.expect("a UDP header is whole");
        put_ports(header, answer);
        // No checksum stays no checksum (RFC 768; for IPv6 RFC 6935); a computed 0 is sent
        // as all ones.
        let field = get16(header, udp::CHECKSUM);
        if field != 0 {
            let updated = flow_delta.apply(field);
            put16(header, udp::CHECKSUM, if updated == 0 { 0xffff } else { updated });
        }
    } else if kind == L4Kind::Tcp && checksum == ChecksumState::Complete {
        let header = frame.bytes_mut()[usize::from(l4)..].first_chunk_mut::<{ tcp::HEADER_LEN }>();
        let header = header.expect("a TCP header is whole");
        put_ports(header, answer);
        let updated = flow_delta.apply(get16(header, tcp::CHECKSUM));
        put16(header, tcp::CHECKSUM, updated);
    } else {
        translate_oddly(frame, kind, l4, session, direction);
    }
    Names { src: answer.dst, dst: answer.src, delta: address_delta }
}

/// Both ports: the packet goes the other way than what answers it.
#[inline(always)]
fn put_ports<A>(header: &mut [u8], answer: &FlowKey<A>) {
    put32(header, 0, u32::from(answer.dst_port) << 16 | u32::from(answer.src_port));
}

/// What becomes of the addresses of a later fragment, which shows no ports.
fn later_fragment<A: Address>(session: &Session<A>, direction: Direction) -> Names<A> {
    let answer = session.answer(direction);
    Names { src: answer.dst, dst: answer.src, delta: session.deltas(direction).0 }
}

/// As [`translate`], above IP: queries, other protocols, and checksums that are not whole
/// yet.
#[inline(never)]
fn translate_oddly<A: Address>(frame: &mut Frame, kind: L4Kind, l4: u16, session: &Session<A>, direction: Direction) {
    let answer = session.answer(direction);
    let (address_delta, flow_delta) = session.deltas(direction);
    let checksum = frame.offload.checksum_at(u32::from(l4));
    let header = &mut frame.bytes_mut()[usize::from(l4)..];
    let covers_addresses = matches!(kind, L4Kind::Tcp | L4Kind::Udp | L4Kind::UdpLite) || A::ICMP_PSEUDO_HEADER;
    let checksum_at = match kind {
        // They keep their ports, and cover no address.
        L4Kind::Sctp | L4Kind::Other => return,
        L4Kind::Udp | L4Kind::UdpLite => udp::CHECKSUM,
        L4Kind::Tcp => tcp::CHECKSUM,
        _ => icmp::CHECKSUM,
    };
    match kind {
        // The identifier is the initiator's, whoever sends it. Of identifier 0, requests
        // and replies look alike.
        L4Kind::EchoRequest | L4Kind::EchoReply | L4Kind::Query | L4Kind::QueryReply => {
            let identifier = if direction == Direction::Forth { answer.dst_port } else { answer.src_port };
            put16(header, icmp::IDENTIFIER, identifier);
        }
        _ => put_ports(header, answer),
    }
    let field = get16(header, checksum_at);
    let updated = match checksum {
        // None, which a receiver will not take (RFC 3828, 3.1), stays none; a computed 0 is
        // sent as all ones.
        ChecksumState::Complete if kind == L4Kind::UdpLite => match (field, flow_delta.apply(field)) {
            (0, _) => 0,
            (_, 0) => 0xffff,
            (_, updated) => updated,
        },
        ChecksumState::Complete => flow_delta.apply(field),
        // A partial checksum holds the pseudo header alone: addresses, no ports.
        ChecksumState::Partial { .. } if covers_addresses => address_delta.apply_partial(field),
        ChecksumState::Partial { .. } => field,
    };
    put16(header, checksum_at, updated);
    if updated == 0 && checksum == ChecksumState::Complete && kind != L4Kind::UdpLite {
        icmp::settle_checksum(header);
    }
}

impl<A: Address> Walk<'_, A> {
    /// Ethernet header, TTL, and the translation.
    pub(super) fn rewrite(&mut self, i: usize, to: AdjacencyId, plan: Plan) {
        let adjacency = &self.snapshot.adjacencies[to.index()];
        let (end, src) = (self.scratch.notes[i].end, A::get(&self.frames[i].bytes()[L2..], A::SOURCE_AT));
        let names = match plan {
            Plan::AsIs => return rewrite_as_is::<A>(&mut self.frames[i], adjacency, end),
            Plan::Translate(found) => self.translate(i, found),
            Plan::TranslateTwice(first, second) => {
                self.rename(i, first);
                self.translate(i, second)
            }
            Plan::HandedOff => unreachable!("what goes to another worker goes to no neighbour"),
        };
        if rewrite_renamed(&mut self.frames[i], adjacency, end, names) || self.scratch.fragments.contains(i) {
            self.identify(i, src);
        }
    }

    /// Gives a packet a number of its own that came from `src`, has another source now, and
    /// may be cut up; the pieces of a datagram have that of their first one.
    #[cold]
    pub(super) fn identify(&mut self, i: usize, src: A) {
        let ip = &mut self.frames[i].bytes_mut()[L2..];
        let own = A::get(ip, A::SOURCE_AT);
        if self.scratch.fragments.contains(i) {
            if let Some(identification) = self.scratch.identifications[i] {
                put_identification(ip, identification);
            }
        } else if own != src && may_be_cut::<A>(ip) {
            let dst = A::get(ip, A::DESTINATION_AT);
            put_identification(ip, self.nat.identifications.next(own, dst, ip[A::PROTOCOL_AT]));
        }
    }

    /// The translation alone: the packet goes to another worker, as if it had come in under
    /// its new name.
    pub(super) fn rename(&mut self, i: usize, found: Found) {
        let names = self.translate(i, found);
        put_names(&mut self.frames[i].bytes_mut()[L2..], names, Delta::NONE);
    }

    /// Everything above IP. Returns the addresses that are left to be written.
    fn translate(&mut self, i: usize, found: Found) -> Names<A> {
        if self.scratch.kinds[i] == L4Kind::IcmpError {
            return self.translate_error(i, found);
        }
        self.pass(i, found);
        let l4 = self.l4(i);
        let Walk { frames, scratch, nat, now, .. } = self;
        let session = nat.sessions.get_mut(found.session);
        session.count(found.direction);
        // Of a segment in fragments it is the first that counts, which went before.
        if session.forth.protocol != protocol::TCP {
            session.last_ms = now.as_millis() as u32;
        }
        match l4 {
            Some(l4) => translate(&mut frames[i], scratch.kinds[i], l4, session, found.direction),
            None => later_fragment(session, found.direction),
        }
    }

    /// Where the L4 header of a packet starts; a later fragment has none.
    #[inline(always)]
    fn l4(&self, i: usize) -> Option<u16> {
        let Scratch { fragments, places, notes, .. } = &*self.scratch;
        if fragments.contains(i) { places[i].l4() } else { Some(notes[i].l4) }
    }

    /// Tells the session of a segment, if the packet is one.
    #[inline(always)]
    pub(super) fn pass(&mut self, i: usize, found: Found) {
        if self.scratch.kinds[i] == L4Kind::Tcp {
            self.pass_segment(i, found);
        }
    }

    #[inline(never)]
    fn pass_segment(&mut self, i: usize, found: Found) {
        let l4 = self.l4(i).expect("a segment has a header");
        let segment = Segment::read(&self.frames[i].bytes()[usize::from(l4)..]);
        self.nat.pass(found, &segment, &self.snapshot.timeouts, self.now);
    }

    fn translate_error(&mut self, i: usize, found: Found) -> Names<A> {
        let layers = self.look_into(i);
        let session = self.nat.sessions.get(found.session);
        let frame = &mut self.frames[i];
        let checksum = frame.offload.checksum_at(layers.l4);
        icmp_error::translate(frame.bytes_mut(), &layers, session, found.direction, checksum)
    }
}
