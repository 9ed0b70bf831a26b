//! One burst of one family on its way through the stages.

use super::classify::Kinds;
use super::fragment::Place;
use super::refuse::Refusal;
use super::set::Set;
use super::stage::Stage;
use super::steer::Handed;
use crate::address::Address;
use crate::burst::Burst;
use crate::chance::Chance;
use crate::counters::Counters;
use crate::fib::NextHop;
use crate::fragment::{Cuttings, Table};
use crate::frame::Frame;
use crate::ids::VrfId;
use crate::limiter::{ErrorLimit, TokenBucket};
use crate::nat::Nat;
use crate::parse::{self, IpHeader, L4Kind, Layers};
use crate::session::{FlowKey, Found};
use crate::snapshot::{Snapshot, Tables};
use crate::time::Instant;
use crate::verdict::Verdict;
use crate::wire::ethernet::HEADER_LEN as L2;

/// Everything a stage may look at or write to.
pub(super) struct Walk<'a, A> {
    pub(super) now: Instant,
    pub(super) snapshot: &'a Snapshot,
    pub(super) tables: &'a Tables<A>,
    pub(super) nat: &'a mut Nat<A>,
    pub(super) fragments: &'a mut Table<A>,
    pub(super) cuttings: &'a mut Cuttings,
    pub(super) frames: &'a mut [Frame],
    pub(super) verdicts: &'a mut [Verdict],
    pub(super) scratch: &'a mut Scratch<A>,
    pub(super) limits: &'a mut Limits,
    pub(super) handed: &'a mut Handed,
    pub(super) chance: &'a mut Chance,
    pub(super) counters: &'a mut Counters,
}

/// What stages note about the packets of a burst; made once, used for each.
///
/// Side by side in arrays, so that a packet which is merely routed costs no more
/// than the few words it needs, and look-ups read and write them in place.
pub(super) struct Scratch<A> {
    /// Where each packet is to go: its destination or, once translated, another.
    pub(super) targets: [A; Burst::MAX],
    /// The routing domain it came from.
    pub(super) domains: [VrfId; Burst::MAX],
    /// The one it goes to, if it leaves an island or comes back to it.
    pub(super) beyond: [VrfId; Burst::MAX],
    /// What a router must know of each packet.
    pub(super) notes: [Note; Burst::MAX],
    /// Where the packets were sent when they came in.
    pub(super) hops: [NextHop; Burst::MAX],
    /// Where they were sent once it was known to whom they really go.
    pub(super) onward: [NextHop; Burst::MAX],
    /// Of those packets that come from or go to an island: who talks to whom, what
    /// they carry, and the session they belong to.
    pub(super) keys: [FlowKey<A>; Burst::MAX],
    pub(super) hashes: [u64; Burst::MAX],
    pub(super) kinds: [L4Kind; Burst::MAX],
    pub(super) tcp_flags: [u8; Burst::MAX],
    pub(super) found: [Option<Found>; Burst::MAX],
    /// Of chance, for those that will begin a session.
    pub(super) words: [Option<u32>; Burst::MAX],
    /// Packets that are fragments of a datagram whose flow is known, and which.
    pub(super) fragments: Set,
    pub(super) places: [Place<A>; Burst::MAX],
    /// The identifications that they get, if they do not keep theirs.
    pub(super) identifications: [Option<u16>; Burst::MAX],
    /// Why packets are refused.
    pub(super) refusals: [Refusal; Burst::MAX],
    /// Packets that were refused with an ICMP error due.
    pub(super) refused: Set,
}

/// What a router must know of a packet, besides where it is to go.
#[derive(Clone, Copy, Default)]
pub(super) struct Note {
    /// As in [`IpHeader`].
    pub(super) end: u32,
    pub(super) l4: u16,
    pub(super) ttl: u8,
    pub(super) protocol: u8,
}

/// What is to be rewritten besides TTL and Ethernet header.
#[derive(Clone, Copy)]
pub(super) enum Plan {
    /// Nothing.
    AsIs,
    /// Addresses and ports, by this session; in an ICMP error those of its quote.
    Translate(Found),
    /// First by the one, then by the other: from inside to a public address of what is
    /// inside.
    TranslateTwice(Found, Found),
    /// Nothing here: the packet went to another worker, and has its verdict.
    HandedOff,
}

/// How much is too much.
pub(super) struct Limits {
    pub(super) errors: ErrorLimit,
    pub(super) arp: TokenBucket,
    pub(super) discovery: TokenBucket,
    pub(super) unresolved: TokenBucket,
    /// Pings to the gateway that come in fragments.
    pub(super) pings: TokenBucket,
    pub(super) replies: TokenBucket,
}

impl<A: Address> Scratch<A> {
    pub(super) fn new() -> Scratch<A> {
        Scratch {
            targets: [A::default(); Burst::MAX],
            domains: [VrfId::MAIN; Burst::MAX],
            beyond: [VrfId::MAIN; Burst::MAX],
            notes: [Note::default(); Burst::MAX],
            hops: [NextHop::NO_ROUTE; Burst::MAX],
            onward: [NextHop::NO_ROUTE; Burst::MAX],
            keys: [FlowKey::default(); Burst::MAX],
            hashes: [0; Burst::MAX],
            kinds: [L4Kind::Other; Burst::MAX],
            tcp_flags: [0; Burst::MAX],
            found: [None; Burst::MAX],
            words: [None; Burst::MAX],
            fragments: Set::EMPTY,
            places: [Place::Whole { l4: 0 }; Burst::MAX],
            identifications: [None; Burst::MAX],
            refusals: [Refusal::NoRoute; Burst::MAX],
            refused: Set::EMPTY,
        }
    }

    /// Notes a packet that came in by a port of this routing domain.
    #[inline(always)]
    pub(super) fn note(&mut self, i: usize, header: &IpHeader<A>, domain: VrfId) {
        self.targets[i] = header.dst;
        self.domains[i] = domain;
        self.notes[i] = Note { end: header.end, l4: header.l4, ttl: header.ttl, protocol: header.protocol };
    }
}

impl<A: Address> Walk<'_, A> {
    /// The stages behind parse, in the order in which a packet meets them.
    pub(super) fn run(mut self, packets: &Kinds, observe: &mut impl FnMut(Stage)) {
        self.scratch.refused = Set::EMPTY;
        self.scratch.fragments = Set::EMPTY;
        self.discovery(packets.discovery);
        if !self.handed.inward.is_empty() {
            self.turn_inward_domains(packets.routable);
        }
        self.refuse_bad_options(packets.bad_options);
        self.look_up(packets.routable);
        observe(Stage::LookUp);
        let mut routed = self.route(packets.routable);
        routed.local |= self.on_link(packets.on_link);
        if !self.handed.workers.is_alone() {
            self.steer(&mut routed);
        }
        observe(Stage::Forward);
        self.inbound(routed.pool, &mut routed.local);
        observe(Stage::Inbound);
        self.outbound(routed.egress, &mut routed.local);
        observe(Stage::Outbound);
        self.local(routed.local);
        self.answer();
        observe(Stage::Answer);
    }

    /// The layers of a packet that nobody has written to yet.
    #[inline(always)]
    pub(super) fn look_into(&self, i: usize) -> Layers<A> {
        let bytes = self.frames[i].bytes();
        assert!(bytes.len() >= L2 + A::DESTINATION_AT + size_of::<A>(), "an IP packet has a header");
        let Note { end, l4, ttl, protocol } = self.scratch.notes[i];
        let (src, dst) = (A::get(&bytes[L2..], A::SOURCE_AT), A::get(&bytes[L2..], A::DESTINATION_AT));
        parse::layers(bytes, &IpHeader { src, dst, end, l4, ttl, protocol }, self.scratch.domains[i])
    }
}
