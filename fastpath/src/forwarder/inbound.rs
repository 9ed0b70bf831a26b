//! Packets to an address that stands for islands: to whom do they really go?

use super::refuse::Refusal;
use super::rewrite::{may_be_cut, rewrite_renamed, translate};
use super::route::look_up;
use super::set::Set;
use super::walk::{Note, Plan, Scratch, Walk};
use crate::address::Address;
use crate::fib::Hop;
use crate::parse::L4Kind;
use crate::session::{Found, Tally};
use crate::verdict::{DropReason, Verdict};
use crate::wire::ethernet::HEADER_LEN as L2;

impl<A: Address> Walk<'_, A> {
    /// Finds the sessions of packets to addresses that stand for islands, or begins
    /// them where a forward or an open name lets them in, and routes the packets to whom
    /// they are for. Other strangers make no state. What is addressed to an own address and belongs to no
    /// session joins `local`.
    pub(super) fn inbound(&mut self, packets: Set, local: &mut Set) {
        if packets.is_empty() {
            return;
        }
        self.find_sessions(packets);
        let (mut known, mut fragments) = (Set::EMPTY, Set::EMPTY);
        for i in packets {
            if self.scratch.kinds[i] == L4Kind::Fragment {
                fragments.insert(i);
            } else if self.address(i, local) {
                known.insert(i);
            }
        }
        let Scratch { targets, beyond, onward, .. } = &mut *self.scratch;
        look_up(self.tables, known, beyond, targets, onward);
        let (odd, sent) = self.send(known);
        self.counters.translated_in += sent;
        for i in odd {
            self.deliver(i);
        }
        // The first of a datagram decides for the others.
        for i in fragments {
            if self.fragment(i, false) && self.address(i, local) {
                self.scratch.onward[i] = self.tables.fib(self.scratch.beyond[i]).lookup(self.scratch.targets[i]);
                self.deliver(i);
            }
        }
    }

    /// Finds out to whom a packet really goes. `false`: to nobody, and it has its verdict
    /// or joined `local`.
    #[inline(always)]
    fn address(&mut self, i: usize, local: &mut Set) -> bool {
        if !self.handed.workers.is_alone() && self.scratch.found[i].is_none() && self.hand_to_borrower(i) {
            return false;
        }
        match self.inbound_session(i) {
            Ok(_) if self.scratch.notes[i].ttl <= 1 => self.refuse(i, Refusal::TimeExceeded),
            Err(DropReason::TtlExpired) => self.refuse(i, Refusal::TimeExceeded),
            Err(DropReason::MartianSource) => self.drop(i, DropReason::MartianSource),
            Ok(found) => {
                self.scratch.found[i] = Some(found);
                self.address_by(i, found);
                return true;
            }
            Err(_) if self.scratch.hops[i].hop() == Hop::LocalTranslated => local.insert(i),
            Err(DropReason::NatProtocol) => self.drop(i, DropReason::NatProtocol),
            Err(reason) => self.refuse_name(i, reason),
        }
        false
    }

    /// Addresses a packet to whom its session says.
    #[inline(always)]
    pub(super) fn address_by(&mut self, i: usize, found: Found) {
        let answer = self.nat.sessions.get(found.session).answer(found.direction);
        self.scratch.beyond[i] = answer.vrf;
        self.scratch.targets[i] = answer.src;
    }

    /// Sends a packet to whom it really goes.
    fn deliver(&mut self, i: usize) {
        if let Some(id) = self.reach(i, self.scratch.onward[i])
            && let Some(found) = self.scratch.found[i]
            && self.forward(i, id, Plan::Translate(found))
        {
            match self.scratch.kinds[i] {
                L4Kind::IcmpError => self.counters.translated_errors += 1,
                _ => self.counters.translated_in += 1,
            }
        }
    }

    /// Translates the packets that go through a session and sends them to their
    /// neighbours. Returns the packets about which there is more to ask, and how many
    /// were sent.
    // A function of its own has registers of its own.
    #[inline(never)]
    pub(super) fn send(&mut self, packets: Set) -> (Set, u64) {
        let (mut odd, mut is_more_to_do) = (Set::EMPTY, false);
        let Walk { frames, verdicts, snapshot, scratch, nat, now, .. } = self;
        let adjacencies = &*snapshot.adjacencies;
        let now_ms = now.as_millis() as u32;
        for i in packets {
            let Note { end, l4, .. } = scratch.notes[i];
            if let Some(id) = scratch.onward[i].adjacency()
                && adjacencies[id.index()].takes(end)
                && let Some(found) = scratch.found[i]
                && scratch.kinds[i].tells_flow()
            {
                let kind = scratch.kinds[i];
                let session = nat.sessions.get_mut(found.session);
                session.count(found.direction);
                let frame = &mut frames[i];
                let names = translate(frame, kind, l4, session, found.direction);
                let adjacency = &adjacencies[id.index()];
                let may_be_cut = rewrite_renamed(frame, adjacency, end, names);
                verdicts[i] = Verdict::Forward(adjacency.port);
                is_more_to_do |= may_be_cut;
                // What a segment does to its session is seen to with what it says.
                if kind == L4Kind::Tcp {
                    is_more_to_do = true;
                } else {
                    session.last_ms = now_ms;
                }
            } else {
                odd.insert(i);
            }
        }
        let sent = packets.without(odd);
        if is_more_to_do {
            self.finish(sent);
        }
        (odd, sent.len() as u64)
    }

    /// Lets sessions know what segments say, which is where it was before, and numbers what
    /// may be cut up.
    fn finish(&mut self, sent: Set) {
        for i in sent {
            if let Some(found) = self.scratch.found[i] {
                self.pass(i, found);
            }
            if may_be_cut::<A>(&self.frames[i].bytes()[L2..]) {
                self.identify(i, self.scratch.keys[i].src);
            }
        }
    }

    /// The session a packet from outside belongs to, or begins.
    fn inbound_session(&mut self, i: usize) -> Result<Found, DropReason> {
        let (kind, key) = (self.scratch.kinds[i], self.scratch.keys[i]);
        match kind {
            kind if kind.tells_flow()
                && let Some(found) = self.scratch.found[i] =>
            {
                Ok(found)
            }
            // Who has such an address is inside, and does not come in from outside.
            _ if self.is_public(key.vrf, key.src) && !self.is_turned_inward(i) => Err(DropReason::MartianSource),
            kind if kind.tells_flow() => self.begin_inbound(i, &key),
            L4Kind::IcmpError => {
                let mut layers = self.look_into(i);
                layers.key.hairpin = self.is_turned_inward(i).into();
                self.complained(i, &layers).ok_or(DropReason::NatIcmpErrorUnmatched)
            }
            L4Kind::Fragment => self.scratch.found[i].ok_or(DropReason::NatUnsolicited),
            kind => Err(untranslatable(kind)),
        }
    }

    /// Looks into the packets and finds the sessions of those that tell their flow.
    pub(super) fn find_sessions(&mut self, packets: Set) -> Tally {
        for i in packets {
            let layers = self.look_into(i);
            self.scratch.keys[i] = layers.key;
            self.scratch.hashes[i] = self.nat.sessions.announce(&layers.key);
            self.scratch.kinds[i] = layers.kind;
            self.scratch.tcp_flags[i] = layers.tcp_flags;
        }
        if !self.handed.inward.is_empty() {
            self.turn_inward_keys(packets);
        }
        let Scratch { keys, hashes, found, .. } = &mut *self.scratch;
        let sessions = &self.nat.sessions;
        let tally = if packets.is_dense() {
            let end = packets.end();
            sessions.find_announced(&keys[..end], &hashes[..end], &mut found[..end])
        } else {
            packets.gathered(keys, found, |keys, found| sessions.find_burst(keys, found))
        };
        if self.nat.is_settling() {
            self.judge_found(packets);
            return Tally { missing: true, ..tally };
        }
        tally
    }
}

/// Why a packet of this kind cannot be translated.
pub(super) fn untranslatable(kind: L4Kind) -> DropReason {
    match kind {
        L4Kind::Fragment => DropReason::NatFragment,
        L4Kind::Damaged => DropReason::L4HeaderBad,
        L4Kind::IcmpOther | L4Kind::NeighborDiscovery | L4Kind::IcmpError => DropReason::NatIcmpQuery,
        _ => DropReason::NatProtocol,
    }
}
