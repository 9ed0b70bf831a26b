//! Longest-prefix match, and what follows from the answer.

use super::classify::is_link_local;
use super::refuse::Refusal;
use super::set::Set;
use super::walk::Walk;
use crate::address::Address;
use crate::ecmp::flow_hash;
use crate::fib::Hop;
use crate::ids::PortId;
use crate::verdict::{DropReason, PuntReason, Verdict};

/// Where the first look-up sent the packets.
#[derive(Default)]
pub(super) struct Routed {
    /// To a neighbour, untranslated.
    pub(super) forward: Set,
    /// To an address that stands for islands.
    pub(super) pool: Set,
    /// Out of an island.
    pub(super) egress: Set,
    /// To the gateway itself.
    pub(super) local: Set,
}

impl<A: Address> Walk<'_, A> {
    /// Looks up the destinations and sorts the packets by what the answer is.
    pub(super) fn route(&mut self, packets: Set) -> Routed {
        self.lookup(packets);
        let mut routed = Routed::default();
        for i in packets {
            let layers = &self.scratch.metas[i].layers;
            let may_travel = layers.ttl > 1;
            match self.scratch.hops[i].hop() {
                Hop::Adjacency(id) if may_travel => {
                    self.scratch.metas[i].adjacency = id;
                    routed.forward.insert(i);
                }
                Hop::Local => routed.local.insert(i),
                Hop::Pool | Hop::LocalTranslated => routed.pool.insert(i),
                Hop::Connected(_) | Hop::Adjacency(_) | Hop::Group(_) | Hop::Egress(_) if !may_travel => {
                    self.refuse(i, Refusal::TimeExceeded);
                }
                Hop::Egress(outer) => {
                    self.scratch.metas[i].table = outer;
                    routed.egress.insert(i);
                }
                hop => {
                    if self.reach(i, hop) {
                        routed.forward.insert(i);
                    }
                }
            }
        }
        routed
    }

    /// Looks up `target` in `table` for each of the packets, into `hops`.
    pub(super) fn lookup(&mut self, packets: Set) {
        let mut rest = packets;
        while let Some(first) = rest.first() {
            // Packets of one routing domain go together; most often that is all.
            let table = self.scratch.metas[first].table;
            let mut members = [0u8; crate::burst::Burst::MAX];
            let mut count = 0;
            for i in rest {
                if self.scratch.metas[i].table == table {
                    members[count] = i as u8;
                    self.scratch.targets[count] = self.scratch.metas[i].target;
                    count += 1;
                    rest.remove(i);
                }
            }
            self.tables.fib(table).lookup_burst(&self.scratch.targets[..count], &mut self.scratch.answers[..count]);
            for (member, answer) in members[..count].iter().zip(&self.scratch.answers) {
                self.scratch.hops[usize::from(*member)] = *answer;
            }
        }
    }

    /// Finds the neighbour for a next hop that leads to one, or refuses the packet.
    /// Says whether it may go on.
    pub(super) fn reach(&mut self, i: usize, hop: Hop) -> bool {
        match hop {
            Hop::Adjacency(id) => {
                self.scratch.metas[i].adjacency = id;
                return true;
            }
            Hop::Group(id) => {
                let key = &self.scratch.metas[i].layers.key;
                let ends = [(key.src, key.src_port), (key.dst, key.dst_port)];
                let hash = flow_hash(self.snapshot.flow_seed, key.protocol, ends);
                self.scratch.metas[i].adjacency = self.snapshot.groups[id.index()].pick(hash);
                return true;
            }
            Hop::Connected(port) => return self.connect(i, port),
            Hop::Blackhole => self.drop(i, DropReason::Blackhole),
            Hop::Unreachable => self.refuse(i, Refusal::Unreachable),
            Hop::Prohibit => self.refuse(i, Refusal::Prohibited),
            Hop::NoRoute | Hop::Egress(_) => self.refuse(i, Refusal::NoRoute),
            Hop::Pool => self.drop(i, DropReason::NatHairpin),
            Hop::Local | Hop::LocalTranslated => self.drop(i, DropReason::LocalUnwanted),
        }
        false
    }

    /// The neighbour on a connected subnet is the destination itself.
    fn connect(&mut self, i: usize, port: PortId) -> bool {
        let target = self.scratch.metas[i].target;
        if let Some(id) = self.tables.neighbors.get(&(port, target)) {
            self.scratch.metas[i].adjacency = *id;
            return true;
        }
        self.punt_unresolved(i);
        false
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
    pub(super) fn on_link(&mut self) -> Set {
        let packets = self.scratch.on_link;
        let mut local = Set::EMPTY;
        self.lookup(packets);
        for i in packets {
            let port = &self.snapshot.ports[self.frames[i].ingress.index()];
            let dst = self.scratch.metas[i].layers.key.dst;
            let own = matches!(self.scratch.hops[i].hop(), Hop::Local | Hop::LocalTranslated)
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
