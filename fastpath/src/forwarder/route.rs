//! Longest-prefix match, and what follows from the answer.

use super::classify::is_link_local;
use super::refuse::Refusal;
use super::rewrite::rewrite_as_is;
use super::set::Set;
use super::walk::{Note, Plan, Scratch, Walk};
use crate::address::Address;
use crate::burst::Burst;
use crate::fib::{Hop, NextHop};
use crate::ids::{AdjacencyId, PortId, VrfId};
use crate::snapshot::Tables;
use crate::verdict::{DropReason, PuntReason, Verdict};

/// Where the first look-up sent those packets that are not gone yet.
#[derive(Default)]
pub(super) struct Routed {
    /// To an address that stands for islands.
    pub(super) pool: Set,
    /// Out of an island.
    pub(super) egress: Set,
    /// To the gateway itself.
    pub(super) local: Set,
}

impl<A: Address> Walk<'_, A> {
    /// Looks up the destinations, each in the routing domain that its packet is in.
    pub(super) fn look_up(&mut self, packets: Set) {
        let Scratch { targets, domains, hops, .. } = &mut *self.scratch;
        look_up(self.tables, packets, domains, targets, hops);
    }

    /// Sorts the packets by what the look-up answered. What a neighbour takes as it is
    /// goes on its way at once.
    pub(super) fn route(&mut self, packets: Set) -> Routed {
        let mut routed = Routed::default();
        let mut odd = Set::EMPTY;
        let Walk { frames, verdicts, snapshot, scratch, .. } = self;
        let adjacencies = &*snapshot.adjacencies;
        for i in packets {
            let (hop, Note { end, ttl, .. }) = (scratch.hops[i], scratch.notes[i]);
            if ttl <= 1 {
                odd.insert(i);
            } else if let Some(id) = hop.adjacency()
                && adjacencies[id.index()].takes(end)
            {
                let adjacency = &adjacencies[id.index()];
                rewrite_as_is::<A>(&mut frames[i], adjacency, end);
                verdicts[i] = Verdict::Forward(adjacency.port);
            } else if let Some(beyond) = hop.egress() {
                scratch.beyond[i] = beyond;
                routed.egress.insert(i);
            } else {
                odd.insert(i);
            }
        }
        for i in odd {
            self.route_oddly(i, &mut routed);
        }
        routed
    }

    /// Whatever does not go on its way at once, nor leave an island.
    #[inline(never)]
    fn route_oddly(&mut self, i: usize, routed: &mut Routed) {
        let hop = self.scratch.hops[i];
        match hop.hop() {
            Hop::Pool | Hop::LocalTranslated => routed.pool.insert(i),
            Hop::Local => routed.local.insert(i),
            // The gateway is one hop away by any of its addresses.
            Hop::Egress(beyond) if self.is_own(beyond, self.scratch.targets[i]) => routed.local.insert(i),
            Hop::Connected(_) | Hop::Adjacency(_) | Hop::Group(_) | Hop::Egress(_)
                if self.scratch.notes[i].ttl <= 1 =>
            {
                self.refuse(i, Refusal::TimeExceeded);
            }
            _ => {
                if let Some(id) = self.reach(i, hop) {
                    self.forward(i, id, Plan::AsIs);
                }
            }
        }
    }

    /// Is it an address of the gateway, seen from this routing domain?
    fn is_own(&self, domain: VrfId, address: A) -> bool {
        matches!(self.tables.fib(domain).lookup(address).hop(), Hop::Local | Hop::LocalTranslated)
    }

    /// Is it an address of the gateway or one that stands for islands, seen from this
    /// routing domain?
    pub(super) fn is_public(&self, domain: VrfId, address: A) -> bool {
        let hop = self.tables.fib(domain).lookup(address).hop();
        matches!(hop, Hop::Local | Hop::LocalTranslated | Hop::Pool)
    }

    /// The neighbour for a next hop that leads to one. Otherwise the packet is
    /// refused.
    #[inline(always)]
    pub(super) fn reach(&mut self, i: usize, hop: NextHop) -> Option<AdjacencyId> {
        hop.adjacency().or_else(|| self.reach_oddly(i, hop.hop()))
    }

    #[inline(never)]
    fn reach_oddly(&mut self, i: usize, hop: Hop) -> Option<AdjacencyId> {
        match hop {
            Hop::Adjacency(id) => return Some(id),
            Hop::Group(group) => return Some(self.pick(i, group)),
            Hop::Connected(port) => return self.connect(i, port),
            Hop::Blackhole => self.drop(i, DropReason::Blackhole),
            Hop::Unreachable => self.refuse(i, Refusal::Unreachable),
            Hop::Prohibit => self.refuse(i, Refusal::Prohibited),
            Hop::NoRoute | Hop::Egress(_) => self.refuse(i, Refusal::NoRoute),
            Hop::Pool => self.drop(i, DropReason::NatHairpin),
            Hop::Local | Hop::LocalTranslated => self.drop(i, DropReason::LocalUnwanted),
        }
        None
    }

    /// The neighbour on a connected subnet is the destination itself.
    fn connect(&mut self, i: usize, port: PortId) -> Option<AdjacencyId> {
        let neighbor = self.tables.neighbors.get(&(port, self.scratch.targets[i])).copied();
        if neighbor.is_none() {
            self.punt_unresolved(i);
        }
        neighbor
    }

    /// Lets control ask for the neighbour's MAC address and keep the packet so long.
    pub(super) fn punt_unresolved(&mut self, i: usize) {
        self.verdicts[i] = if self.limits.unresolved.take(self.now) {
            Verdict::Punt(PuntReason::Unresolved)
        } else {
            Verdict::Drop(DropReason::PuntRateLimited)
        };
    }

    /// Packets from or to link-local addresses do not leave their link (RFC 3927,
    /// section 7; RFC 4291, 2.5.6): they are the gateway's own, or nobody's business.
    pub(super) fn on_link(&mut self, packets: Set) -> Set {
        let Scratch { targets, domains, onward, .. } = &mut *self.scratch;
        look_up(self.tables, packets, domains, targets, onward);
        let mut local = Set::EMPTY;
        for i in packets {
            self.scratch.hops[i] = self.scratch.onward[i];
            let port = &self.snapshot.ports[self.frames[i].ingress.index()];
            let dst = self.scratch.targets[i];
            let own = matches!(self.scratch.onward[i].hop(), Hop::Local | Hop::LocalTranslated)
                || A::from_ip(core::net::Ipv6Addr::from_bits(port.link_local).into()) == Some(dst);
            if own {
                local.insert(i);
            } else if is_link_local(dst) {
                self.drop(i, DropReason::MartianDestination);
            } else {
                self.drop(i, DropReason::MartianSource);
            }
        }
        local
    }

    pub(super) fn drop(&mut self, i: usize, reason: DropReason) {
        self.verdicts[i] = Verdict::Drop(reason);
    }
}

/// Looks up the targets of the packets, each in its routing domain, into `hops`.
///
/// Entries of `hops` that belong to none of the packets may be written to.
pub(super) fn look_up<A: Address>(
    tables: &Tables<A>,
    packets: Set,
    domains: &[VrfId; Burst::MAX],
    targets: &[A; Burst::MAX],
    hops: &mut [NextHop; Burst::MAX],
) {
    let Some(first) = packets.first() else {
        return;
    };
    let (domain, end) = (domains[first], packets.end());
    let differ = domains[..end].iter().fold(0, |differ, other| differ | (other.0 ^ domain.0));
    if differ == 0 && packets.is_dense() {
        tables.fib(domain).lookup_burst(&targets[..end], &mut hops[..end]);
        return;
    }
    let mut rest = packets;
    while let Some(first) = rest.first() {
        let mut together = Set::EMPTY;
        for i in rest {
            if domains[i] == domains[first] {
                together.insert(i);
                rest.remove(i);
            }
        }
        together.gathered(targets, hops, |targets, hops| tables.fib(domains[first]).lookup_burst(targets, hops));
    }
}
