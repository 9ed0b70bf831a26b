//! Packets to an address that stands for islands: to whom do they really go?

use super::refuse::Refusal;
use super::rewrite::{rewrite_address, translate};
use super::route::look_up;
use super::set::Set;
use super::walk::{Note, Plan, Scratch, Walk};
use crate::address::Address;
use crate::fib::Hop;
use crate::nat::icmp_error;
use crate::parse::L4Kind;
use crate::session::{Direction, Found};
use crate::verdict::{DropReason, Verdict};

impl<A: Address> Walk<'_, A> {
    /// Finds the sessions of packets to pool addresses and routes the packets to
    /// the initiators. Strangers make no state. What is addressed to an own
    /// address and belongs to no session joins `local`.
    pub(super) fn inbound(&mut self, packets: Set, local: &mut Set) {
        if packets.is_empty() {
            return;
        }
        self.find_sessions(packets);
        let mut known = Set::EMPTY;
        for i in packets {
            let own = self.scratch.hops[i].hop() == Hop::LocalTranslated;
            match self.inbound_session(i) {
                Ok(_) if self.scratch.notes[i].ttl <= 1 => self.refuse(i, Refusal::TimeExceeded),
                Ok(found) => {
                    let inside = self.nat.sessions.get(found.session).inside;
                    self.scratch.found[i] = Some(found);
                    self.scratch.beyond[i] = inside.vrf;
                    self.scratch.targets[i] = inside.src;
                    known.insert(i);
                }
                Err(_) if own => local.insert(i),
                Err(reason) => self.drop(i, reason),
            }
        }
        let Scratch { targets, beyond, onward, .. } = &mut *self.scratch;
        look_up(self.tables, known, beyond, targets, onward);
        let odd = self.send(known, Direction::In);
        for i in odd {
            if let Some(id) = self.reach(i, self.scratch.onward[i])
                && let Some(found) = self.scratch.found[i]
            {
                let is_error = self.scratch.kinds[i] == L4Kind::IcmpError;
                self.forward(i, id, if is_error { Plan::TranslateError(found) } else { Plan::Translate(found) });
            }
        }
    }

    /// Translates the packets that go through a session in this direction and sends them
    /// to their neighbours. What is returned is not done: there is more to ask.
    #[inline(always)]
    pub(super) fn send(&mut self, packets: Set, direction: Direction) -> Set {
        let mut odd = Set::EMPTY;
        let Walk { frames, verdicts, snapshot, scratch, nat, counters, now, .. } = self;
        let adjacencies = &*snapshot.adjacencies;
        for i in packets {
            let Note { end, l4, .. } = scratch.notes[i];
            if let Some(id) = scratch.onward[i].adjacency()
                && adjacencies[id.index()].takes(end)
                && let Some(found) = scratch.found[i]
                && found.direction == direction
                && scratch.kinds[i].has_ports()
            {
                nat.touch(found, scratch.tcp_flags[i], &snapshot.timeouts, *now);
                counters.count_translated(direction);
                let session = nat.sessions.get(found.session);
                let address = translate(&mut frames[i], scratch.kinds[i], l4, session, direction);
                let adjacency = &adjacencies[id.index()];
                rewrite_address(&mut frames[i], adjacency, end, address);
                verdicts[i] = Verdict::Forward(adjacency.port);
            } else {
                odd.insert(i);
            }
        }
        odd
    }

    /// The session a packet from outside belongs to.
    fn inbound_session(&self, i: usize) -> Result<Found, DropReason> {
        match self.scratch.kinds[i] {
            kind if kind.has_ports() => {
                let found = self.scratch.found[i].filter(|found| found.direction == Direction::In);
                found.ok_or(DropReason::NatUnsolicited)
            }
            L4Kind::IcmpError => {
                let (frame, layers) = (&self.frames[i], self.look_into(i));
                icmp_error::session(frame.bytes(), &layers, &frame.offload, &self.nat.sessions, Direction::In)
                    .ok_or(DropReason::NatIcmpErrorUnmatched)
            }
            kind => Err(untranslatable(kind)),
        }
    }

    /// Looks into the packets and finds the sessions of those that have ports. Says
    /// whether each of them has one.
    pub(super) fn find_sessions(&mut self, packets: Set) -> bool {
        for i in packets {
            let layers = self.look_into(i);
            self.scratch.keys[i] = layers.key;
            self.scratch.hashes[i] = self.nat.sessions.announce(&layers.key);
            self.scratch.kinds[i] = layers.kind;
            self.scratch.tcp_flags[i] = layers.tcp_flags;
        }
        let Scratch { keys, hashes, found, .. } = &mut *self.scratch;
        let sessions = &self.nat.sessions;
        if packets.is_dense() {
            let end = packets.end();
            sessions.find_announced(&keys[..end], &hashes[..end], &mut found[..end])
        } else {
            packets.gathered(keys, found, |keys, found| sessions.find_burst(keys, found))
        }
    }
}

/// Why a packet of this kind cannot be translated.
pub(super) fn untranslatable(kind: L4Kind) -> DropReason {
    match kind {
        L4Kind::Fragment => DropReason::NatFragment,
        L4Kind::Damaged => DropReason::L4HeaderBad,
        L4Kind::IcmpOther | L4Kind::NeighborDiscovery | L4Kind::IcmpError => DropReason::NatIcmpQuery,
        L4Kind::Tcp | L4Kind::Udp | L4Kind::EchoRequest | L4Kind::EchoReply | L4Kind::Other => DropReason::NatProtocol,
    }
}
