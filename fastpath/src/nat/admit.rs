//! Sessions that are begun from outside: to whom they lead, and how many there may be.

use super::forward::Forward;
use super::policy::{EgressRule, SenderLimits};
use super::translate::Nat;
use crate::address::Address;
use crate::counters::Counters;
use crate::session::{Direction, FlowKey, Found, Session};
use crate::snapshot::Timeouts;
use crate::time::Instant;
use crate::verdict::DropReason;

/// To whom a flow from outside leads, and why it may.
#[derive(Clone, Copy, Debug)]
pub struct Admission<A> {
    /// How the answers arrive.
    pub answer: FlowKey<A>,
    /// The binding whose name is open, or [`Session::UNBOUND`] where a forward leads in.
    binding: u32,
    /// What the receiver may have.
    limits: SenderLimits,
}

impl<A: Address> Admission<A> {
    /// A forward says so.
    pub fn by_forward(forward: &Forward<A>, flow: &FlowKey<A>) -> Admission<A> {
        Admission { answer: forward.answer(flow), binding: Session::<A>::UNBOUND, limits: SenderLimits::default() }
    }

    /// As it is under the rule for what the receiver sends. His pace is his own: who knows
    /// his name could keep him from beginning anything.
    #[must_use]
    pub fn under(self, rule: &EgressRule<A>) -> Admission<A> {
        Admission { limits: SenderLimits { new_per_second: None, ..rule.limits }, ..self }
    }
}

impl<A: Address> Nat<A> {
    /// To whom a flow from outside leads by the name that it is for, if that is in use and
    /// lets the sender in.
    pub fn admits(&mut self, flow: &FlowKey<A>) -> Option<Admission<A>> {
        let binding = self.open.as_ref()?.find(flow, &self.bindings, |number| self.is_kept(number))?;
        self.adopt_if_kept(binding);
        let space = self.spaces.at(self.bindings.get(binding).space())?;
        let filtering = self.pools[space.pool.index()].behavior(flow.protocol).filtering;
        if !self.open.as_ref()?.lets_in(binding, flow.src, filtering) {
            return None;
        }
        let FlowKey { src, src_port, vrf, .. } = self.bindings.get(binding).key;
        let answer = FlowKey { src, src_port, vrf, hairpin: 0, ..flow.reversed() };
        // Whoever is called by his own name outside is nobody that a name leads to.
        let is_translated = (src, src_port) != (flow.dst, flow.dst_port);
        is_translated.then_some(Admission { answer, binding, limits: SenderLimits::default() })
    }

    /// Begins the session of a flow from outside, whose packets arrive as `forth`.
    ///
    /// # Errors
    /// There is no room, the receiver has too many, or the answers could not be told from
    /// another flow. Then nothing was changed.
    pub(crate) fn begin_inbound(
        &mut self,
        forth: &FlowKey<A>,
        admission: &Admission<A>,
        timeouts: &Timeouts,
        now: Instant,
        counters: &mut Counters,
    ) -> Result<Found, DropReason> {
        let Admission { answer, binding, limits } = admission;
        if self.is_full_of_inbound() {
            return Err(DropReason::NatTableFull);
        }
        self.may_begin(answer, *limits, now)?;
        if self.find(answer, now, counters).is_some() {
            return Err(DropReason::NatConflict);
        }
        let mut session = Session::new(*forth, *answer, now);
        session.binding = *binding;
        let session = self.enter(session, *limits, timeouts, now)?;
        Ok(Found { session, direction: Direction::Forth })
    }
}
