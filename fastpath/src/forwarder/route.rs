//! Longest-prefix match, and what follows from the answer.

use super::classify::is_link_local;
use super::refuse::Refusal;
use super::set::Set;
use super::walk::{Plan, Scratch, Walk};
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
    /// Looks up the destinations. What a neighbour takes as it is goes on its way at
    /// once; the rest is sorted by what the answer is.
    pub(super) fn route(&mut self, packets: Set) -> Routed {
        let Scratch { targets, domains, hops, .. } = &mut *self.scratch;
        look_up(self.tables, packets, domains, targets, hops);
        let mut routed = Routed::default();
        for i in packets {
            let hop = self.scratch.hops[i];
            let may_travel = self.scratch.notes[i].ttl > 1;
            if may_travel
                && let Some(id) = hop.adjacency()
                && self.forward_as_is(i, id)
            {
                continue;
            }
            match hop.hop() {
                Hop::Egress(_) if may_travel => routed.egress.insert(i),
                Hop::Pool | Hop::LocalTranslated => routed.pool.insert(i),
                Hop::Local => routed.local.insert(i),
                Hop::Connected(_) | Hop::Adjacency(_) | Hop::Egress(_) if !may_travel => {
                    self.refuse(i, Refusal::TimeExceeded);
                }
                hop => {
                    if let Some(id) = self.reach(i, hop) {
                        self.forward(i, id, Plan::AsIs);
                    }
                }
            }
        }
        routed
    }

    /// The neighbour for a next hop that leads to one. Otherwise the packet is
    /// refused.
    #[inline]
    pub(super) fn reach(&mut self, i: usize, hop: Hop) -> Option<AdjacencyId> {
        match hop {
            Hop::Adjacency(id) => return Some(id),
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
    if differ == 0 && packets.len() * 2 >= end {
        // Most often: one domain. To look up what lies in between costs less than to
        // gather the rest.
        tables.fib(domain).lookup_burst(&targets[..end], &mut hops[..end]);
    } else {
        look_up_gathered(tables, packets, domains, targets, hops);
    }
}

/// As [`look_up`], one routing domain after the other.
fn look_up_gathered<A: Address>(
    tables: &Tables<A>,
    packets: Set,
    domains: &[VrfId; Burst::MAX],
    targets: &[A; Burst::MAX],
    hops: &mut [NextHop; Burst::MAX],
) {
    let mut rest = packets;
    while let Some(first) = rest.first() {
        let mut members = [0u8; Burst::MAX];
        let mut gathered = [A::default(); Burst::MAX];
        let mut answers = [NextHop::NO_ROUTE; Burst::MAX];
        let mut count = 0;
        for i in rest {
            if domains[i] == domains[first] {
                members[count] = i as u8;
                gathered[count] = targets[i];
                count += 1;
                rest.remove(i);
            }
        }
        tables.fib(domains[first]).lookup_burst(&gathered[..count], &mut answers[..count]);
        for (member, answer) in members[..count].iter().zip(answers) {
            hops[usize::from(*member)] = answer;
        }
    }
}
