//! One burst of one family on its way through the stages.

use super::refuse::Refusal;
use super::set::Set;
use crate::address::Address;
use crate::burst::Burst;
use crate::chance::Chance;
use crate::counters::Counters;
use crate::fib::NextHop;
use crate::frame::Frame;
use crate::ids::{AdjacencyId, VrfId};
use crate::limiter::TokenBucket;
use crate::nat::Nat;
use crate::parse::Layers;
use crate::session::{FlowKey, Found};
use crate::snapshot::{Snapshot, Tables};
use crate::time::Instant;
use crate::verdict::Verdict;

/// Everything a stage may look at or write to.
pub(super) struct Walk<'a, A> {
    pub(super) now: Instant,
    pub(super) snapshot: &'a Snapshot,
    pub(super) tables: &'a Tables<A>,
    pub(super) nat: &'a mut Nat<A>,
    pub(super) frames: &'a mut [Frame],
    pub(super) verdicts: &'a mut [Verdict],
    pub(super) scratch: &'a mut Scratch<A>,
    pub(super) limits: &'a mut Limits,
    pub(super) chance: &'a mut Chance,
    pub(super) counters: &'a mut Counters,
}

/// What stages note about the packets of a burst; made once, used for each.
pub(super) struct Scratch<A> {
    pub(super) metas: [Meta<A>; Burst::MAX],
    /// What the last look-up answered.
    pub(super) hops: [NextHop; Burst::MAX],
    pub(super) keys: [FlowKey<A>; Burst::MAX],
    pub(super) targets: [A; Burst::MAX],
    pub(super) answers: [NextHop; Burst::MAX],
    pub(super) found: [Option<Found>; Burst::MAX],
    /// Packets from or to a link-local address.
    pub(super) on_link: Set,
    /// Packets that were refused with an ICMP error due.
    pub(super) refused: Set,
}

/// What stages note about one packet.
#[derive(Clone, Copy)]
pub(super) struct Meta<A> {
    pub(super) layers: Layers<A>,
    /// In which routing domain to look up `target`.
    pub(super) table: VrfId,
    /// Where the packet is to go, after translation.
    pub(super) target: A,
    /// To whom it is handed.
    pub(super) adjacency: AdjacencyId,
    /// What `rewrite` has to do.
    pub(super) plan: Plan,
    /// Why it is refused.
    pub(super) refusal: Refusal,
}

/// What is to be rewritten besides TTL and Ethernet header.
#[derive(Clone, Copy)]
pub(super) enum Plan {
    /// Nothing.
    AsIs,
    /// Addresses and ports, by this session.
    Translate(Found),
    /// The outer address and the quoted packet, by this session.
    TranslateError(Found),
}

/// How much is too much.
pub(super) struct Limits {
    pub(super) errors: TokenBucket,
    pub(super) arp: TokenBucket,
    pub(super) discovery: TokenBucket,
    pub(super) unresolved: TokenBucket,
}

impl<A: Address> Scratch<A> {
    pub(super) fn new() -> Scratch<A> {
        let meta = Meta {
            layers: Layers::default(),
            table: VrfId::MAIN,
            target: A::default(),
            adjacency: AdjacencyId(0),
            plan: Plan::AsIs,
            refusal: Refusal::NoRoute,
        };
        Scratch {
            metas: [meta; Burst::MAX],
            hops: [NextHop::NO_ROUTE; Burst::MAX],
            keys: [FlowKey::default(); Burst::MAX],
            targets: [A::default(); Burst::MAX],
            answers: [NextHop::NO_ROUTE; Burst::MAX],
            found: [None; Burst::MAX],
            on_link: Set::EMPTY,
            refused: Set::EMPTY,
        }
    }
}

impl<A: Address> Walk<'_, A> {
    /// The stages, in the order in which a packet meets them.
    pub(super) fn run(mut self, packets: Set) {
        self.scratch.on_link = Set::EMPTY;
        self.scratch.refused = Set::EMPTY;
        let packets = self.classify(packets);
        let mut routed = self.route(packets);
        routed.local |= self.on_link();
        routed.forward |= self.inbound(routed.pool, &mut routed.local);
        routed.forward |= self.outbound(routed.egress);
        self.local(routed.local);
        let ready = self.forward(routed.forward);
        self.rewrite(ready);
        self.answer();
    }
}
