//! Workers that begin anew: what is left of them, here and with the others.

use alloc::vec::Vec;

use super::Nat;
use crate::address::Address;
use crate::ids::{Epoch, WorkerId};
use crate::session::Session;
use crate::time::Instant;

/// What a NAT goes by that takes the place of one that failed.
pub struct Legacy {
    since: Epoch,
    pairing: u64,
}

impl<A: Address> Nat<A> {
    /// Nothing is left of it but this.
    pub fn into_legacy(self) -> Legacy {
        Legacy { since: self.since, pairing: self.pairing }
    }

    /// It takes the place of one that failed: hosts are under the addresses where they were, and
    /// if its tables admit what those did, the others go by names since the same tables.
    pub fn succeed(&mut self, legacy: Legacy, admits_as_before: bool) {
        self.pairing = legacy.pairing;
        if admits_as_before {
            self.since = legacy.since;
        }
    }

    /// Another worker has begun anew. What it borrowed is free, and sessions end under names
    /// that it lent; says how many.
    pub fn part_with(&mut self, worker: WorkerId, now: Instant) -> u64 {
        for (name, binding) in self.lent.end_all_of(worker) {
            self.unlend(binding, &name);
        }
        let Nat { sessions, spaces, bindings, workers, .. } = &*self;
        // Of pools that are gone, too: sessions there are about to end.
        let is_part =
            |binding: u32| spaces.at(bindings.get(binding).space()).is_none_or(|space| space.stripe.is_part());
        let is_its = |session: &Session<A>| {
            session.binding != Session::<A>::UNBOUND
                && workers.of_port(session.inward().dst_port) == worker
                && is_part(session.binding)
        };
        let mut borrowed = Vec::new();
        sessions.page(0, u32::MAX, |number, session| {
            if is_its(session) {
                borrowed.push(number);
            }
        });
        let ended = borrowed.len() as u64;
        borrowed.into_iter().for_each(|number| self.end(number, now));
        self.end_rests_of(worker);
        let workers = self.workers;
        self.returned.retain(|name| workers.of_port(name.dst_port) != worker);
        ended
    }

    /// Names that rest here and are another worker's rest no longer.
    fn end_rests_of(&mut self, worker: WorkerId) {
        let Some(open) = &self.open else {
            return;
        };
        let is_its = |number: &u32| {
            let binding = self.bindings.get(*number);
            let is_part = self.spaces.at(binding.space()).is_none_or(|space| space.stripe.is_part());
            self.workers.of_port(binding.port) == worker && is_part
        };
        let resting: Vec<u32> = open.resting().filter(is_its).collect();
        resting.into_iter().for_each(|number| self.let_go(number));
    }
}
