//! Packets to an address that stands for islands: to whom do they really go?

use super::refuse::Refusal;
use super::route::look_up;
use super::set::Set;
use super::walk::{Plan, Scratch, Walk};
use crate::address::Address;
use crate::burst::Burst;
use crate::fib::Hop;
use crate::nat::icmp_error;
use crate::parse::L4Kind;
use crate::session::{Direction, Found};
use crate::verdict::DropReason;

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
                    self.scratch.domains[i] = inside.vrf;
                    self.scratch.targets[i] = inside.src;
                    known.insert(i);
                }
                Err(_) if own => local.insert(i),
                Err(reason) => self.drop(i, reason),
            }
        }
        let Scratch { targets, domains, onward, .. } = &mut *self.scratch;
        look_up(self.tables, known, domains, targets, onward);
        for i in known {
            let hop = self.scratch.onward[i].hop();
            if let Some(id) = self.reach(i, hop)
                && let Some(found) = self.scratch.found[i]
            {
                let is_error = self.scratch.layers[i].kind == L4Kind::IcmpError;
                self.forward(i, id, if is_error { Plan::TranslateError(found) } else { Plan::Translate(found) });
            }
        }
    }

    /// The session a packet from outside belongs to.
    fn inbound_session(&self, i: usize) -> Result<Found, DropReason> {
        let layers = &self.scratch.layers[i];
        match layers.kind {
            kind if kind.has_ports() => {
                let found = self.scratch.found[i].filter(|found| found.direction == Direction::In);
                found.ok_or(DropReason::NatUnsolicited)
            }
            L4Kind::IcmpError => {
                let frame = &self.frames[i];
                icmp_error::session(frame.bytes(), layers, &frame.offload, &self.nat.sessions, Direction::In)
                    .ok_or(DropReason::NatIcmpErrorUnmatched)
            }
            kind => Err(untranslatable(kind)),
        }
    }

    /// Looks into the packets and finds their sessions.
    pub(super) fn find_sessions(&mut self, packets: Set) {
        let mut count = 0;
        for i in packets {
            let layers = self.look_into(i);
            self.scratch.layers[i] = layers;
            self.scratch.keys[count] = layers.key;
            self.scratch.members[count] = i as u8;
            count += 1;
        }
        let mut answers = [None; Burst::MAX];
        self.nat.sessions.find_burst(&self.scratch.keys[..count], &mut answers[..count]);
        for (member, answer) in self.scratch.members[..count].iter().zip(answers) {
            let i = usize::from(*member);
            // Without ports of its own, a packet must not pass for one of another flow.
            let has_ports = self.scratch.layers[i].kind.has_ports();
            self.scratch.found[i] = answer.filter(|_| has_ports);
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
