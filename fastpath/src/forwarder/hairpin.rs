//! From inside to a public address of what is inside: out and in again (RFC 4787,
//! REQ-9; RFC 5382, REQ-8).
//!
//! The packet gets the name under which its sender is known outside, as any that
//! leaves, and is then treated as if it had come in under it: the receiver sees the
//! sender's public name, and the filter of its session decides as for a stranger.

use super::outbound::Way;
use super::set::Set;
use super::walk::{Plan, Walk};
use crate::address::Address;
use crate::fib::Hop;
use crate::handoff::Errand;
use crate::ids::{PortId, VrfId, WorkerId};
use crate::nat::{Admission, EgressRule};
use crate::parse::L4Kind;
use crate::session::{FlowKey, Found};
use crate::verdict::DropReason;
use crate::wire::ethernet::HEADER_LEN as L2;

/// Where a packet turns.
enum Turn {
    /// Here: it leaves by the one session and comes in by the other.
    Here(Found, Found),
    /// It leaves here, and comes in at another worker.
    Elsewhere(Found, WorkerId),
    /// It has no name yet, and has gone to seek one.
    Sought,
}

impl<'a, A: Address> Walk<'a, A> {
    /// Sends a packet that leaves its island for an address that stands for islands.
    /// What nobody inside waits for is, where the address is the gateway's own, for the
    /// gateway: it joins `local`.
    pub(super) fn hairpin(&mut self, i: usize, local: &mut Set) {
        let own = self.scratch.onward[i].hop() == Hop::LocalTranslated;
        let (key, kind) = (self.scratch.keys[i], self.scratch.kinds[i]);
        // An earlier packet of the burst may have begun its session.
        let is_flow = || self.nat.sessions.find(&key).is_some() || self.tables.forward(&key).is_some();
        if own && !matches!(kind, L4Kind::Tcp | L4Kind::Udp | L4Kind::IcmpError) && !is_flow() {
            local.insert(i);
            return;
        }
        match self.hairpin_sessions(i) {
            Ok(Turn::Here(first, second)) => self.turn_inward(i, first, second),
            Ok(Turn::Sought) => {}
            Ok(Turn::Elsewhere(first, to)) => {
                if self.enter(i) {
                    let src = A::get(&self.frames[i].bytes()[L2..], A::SOURCE_AT);
                    self.rename(i, first);
                    self.identify(i, src);
                    self.verdicts[i] = self.hand_off(i, to, Errand::Inward);
                    // Errors are counted where they come in.
                    if self.scratch.kinds[i] != L4Kind::IcmpError {
                        self.count_out(i);
                    }
                }
            }
            Err(DropReason::NatUnsolicited) if own => local.insert(i),
            Err(reason) => self.refuse_name(i, reason),
        }
    }

    /// The session under whose name the packet leaves, and the one it comes in by.
    fn hairpin_sessions(&mut self, i: usize) -> Result<Turn, DropReason> {
        let rule = self.admit(i)?.map(|rule| self.renaming(i, rule));
        let first = match self.name(i, rule, Way::Inward(self.port_toward(self.scratch.targets[i])))? {
            Plan::Translate(first) => first,
            Plan::HandedOff => return Ok(Turn::Sought),
            // Under its own name, a packet from inside does not come in again.
            Plan::AsIs | Plan::TranslateTwice(..) => return Err(DropReason::NatHairpin),
        };
        // What the packet is outside. For an error, what its quote answers there.
        let outside = self.nat.sessions.get(first.session).answer(first.direction).reversed();
        if let Some(to) = self.elsewhere(&outside) {
            return Ok(Turn::Elsewhere(first, to));
        }
        let second = match self.find(&outside) {
            Some(second) => second,
            None if self.scratch.kinds[i] == L4Kind::IcmpError => return Err(DropReason::NatIcmpErrorUnmatched),
            None => self.begin_inbound(i, &outside)?,
        };
        Ok(Turn::Here(first, second))
    }

    /// The rule under which a packet comes in again: one that gives its sender a name, for
    /// an answer to its own name would not come by here.
    fn renaming(&self, i: usize, rule: &'a EgressRule<A>) -> &'a EgressRule<A> {
        let key = &self.scratch.keys[i];
        self.tables.renaming_rule(key.vrf, key.src, key.dst).unwrap_or(rule)
    }

    /// Routes a packet to whom the second session says.
    fn turn_inward(&mut self, i: usize, first: Found, second: Found) {
        let answer = *self.nat.sessions.get(second.session).answer(second.direction);
        self.scratch.targets[i] = answer.src;
        let hop = self.tables.fib(answer.vrf).lookup(answer.src);
        if let Some(id) = self.reach(i, hop)
            && self.forward(i, id, Plan::TranslateTwice(first, second))
        {
            self.count_out(i);
            if self.scratch.kinds[i] != L4Kind::IcmpError {
                self.counters.translated_in += 1;
            }
        }
    }

    /// Counts a packet that left its island under another name.
    pub(super) fn count_out(&mut self, i: usize) {
        match self.scratch.kinds[i] {
            L4Kind::IcmpError => self.counters.translated_errors += 1,
            _ => self.counters.translated_out += 1,
        }
    }

    /// The port that has this address, or any of the outside that others hide behind.
    fn port_toward(&self, address: A) -> PortId {
        let outside = |port: &&crate::snapshot::PortEntry| port.vrf == VrfId::MAIN && port.masquerade.is_some();
        let has = |port: &crate::snapshot::PortEntry| {
            port.v4.and_then(|own| A::from_ip(own.to_ip())) == Some(address)
                || port.v6.and_then(|own| A::from_ip(own.to_ip())) == Some(address)
        };
        let ports = &self.snapshot.ports;
        let at = ports.iter().position(has).or_else(|| ports.iter().position(|port| outside(&port)));
        PortId(at.unwrap_or(0) as u16)
    }

    /// Begins the session of a flow from outside, where a forward wants one or the name
    /// that it is for is open.
    pub(super) fn begin_inbound(&mut self, i: usize, key: &FlowKey<A>) -> Result<Found, DropReason> {
        let admission = self.admission(key).ok_or(DropReason::NatUnsolicited)?;
        // An earlier packet of the burst may have begun it.
        if let Some(found) = self.find(key) {
            return Ok(found);
        }
        self.opens(i)?;
        // The tables of two workers may differ for a moment.
        let FlowKey { vrf, src, .. } = admission.answer;
        if !self.handed.workers.is_alone() && self.handed.workers.home(vrf, src) != self.handed.workers.me() {
            return Err(DropReason::NatUnsolicited);
        }
        // It would not get there.
        if self.scratch.notes[i].ttl <= 1 {
            return Err(DropReason::TtlExpired);
        }
        let found = self.nat.begin_inbound(key, &admission, &self.snapshot.timeouts, self.now, self.counters)?;
        self.counters.sessions_created += 1;
        Ok(found)
    }

    /// To whom a flow from outside leads. Forwards come first, and by its name an endpoint
    /// is reached only where it would answer under it.
    fn admission(&mut self, key: &FlowKey<A>) -> Option<Admission<A>> {
        if let Some(forward) = self.tables.forward(key) {
            return Some(Admission::by_forward(&forward, key));
        }
        let admission = self.nat.admits(key)?;
        let FlowKey { vrf, src, dst, .. } = admission.answer;
        let rule = self.tables.egress_rule(vrf, src, dst)?;
        rule.renames().then(|| admission.under(rule))
    }
}
