//! Packets to an address that stands for islands: to whom do they really go?

use super::refuse::Refusal;
use super::set::Set;
use super::walk::{Plan, Walk};
use crate::address::Address;
use crate::fib::Hop;
use crate::nat::icmp_error;
use crate::parse::L4Kind;
use crate::session::{Direction, Found};
use crate::verdict::DropReason;

impl<A: Address> Walk<'_, A> {
    /// Finds the sessions of packets to pool addresses and routes the packets to
    /// the initiators. Strangers make no state. What is addressed to an own
    /// address and belongs to no session joins `local`.
    pub(super) fn inbound(&mut self, packets: Set, local: &mut Set) -> Set {
        if packets.is_empty() {
            return Set::EMPTY;
        }
        self.find_sessions(packets);
        let mut known = Set::EMPTY;
        for i in packets {
            let own = self.scratch.hops[i].hop() == Hop::LocalTranslated;
            match self.inbound_session(i) {
                Ok((found, plan)) => {
                    if self.scratch.metas[i].layers.ttl <= 1 {
                        self.refuse(i, Refusal::TimeExceeded);
                        continue;
                    }
                    let inside = self.nat.sessions.get(found.session).inside;
                    let meta = &mut self.scratch.metas[i];
                    meta.plan = plan;
                    meta.table = inside.vrf;
                    meta.target = inside.src;
                    known.insert(i);
                }
                Err(_) if own => local.insert(i),
                Err(reason) => self.drop(i, reason),
            }
        }
        self.lookup(known);
        let mut onward = Set::EMPTY;
        for i in known {
            let hop = self.scratch.hops[i].hop();
            if self.reach(i, hop) {
                onward.insert(i);
            }
        }
        onward
    }

    /// The session a packet from outside belongs to.
    fn inbound_session(&self, i: usize) -> Result<(Found, Plan), DropReason> {
        let layers = &self.scratch.metas[i].layers;
        match layers.kind {
            L4Kind::Tcp | L4Kind::Udp | L4Kind::EchoRequest | L4Kind::EchoReply => {
                let found = self.scratch.found[i].filter(|found| found.direction == Direction::In);
                let found = found.ok_or(DropReason::NatUnsolicited)?;
                Ok((found, Plan::Translate(found)))
            }
            L4Kind::IcmpError => {
                let frame = &self.frames[i];
                let found =
                    icmp_error::session(frame.bytes(), layers, &frame.offload, &self.nat.sessions, Direction::In)
                        .ok_or(DropReason::NatIcmpErrorUnmatched)?;
                Ok((found, Plan::TranslateError(found)))
            }
            kind => Err(untranslatable(kind)),
        }
    }

    /// Looks up the sessions of the packets, into `found`.
    pub(super) fn find_sessions(&mut self, packets: Set) {
        let mut members = [0u8; crate::burst::Burst::MAX];
        let mut count = 0;
        for i in packets {
            members[count] = i as u8;
            self.scratch.keys[count] = self.scratch.metas[i].layers.key;
            count += 1;
        }
        let mut answers = [None; crate::burst::Burst::MAX];
        self.nat.sessions.find_burst(&self.scratch.keys[..count], &mut answers[..count]);
        for (member, answer) in members[..count].iter().zip(&answers) {
            self.scratch.found[usize::from(*member)] = *answer;
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
