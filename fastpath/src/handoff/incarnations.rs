//! Workers that fail and begin anew: which names are void by then?
//!
//! Who begins anew has forgotten its sessions, what it lent and what it borrowed. It tells
//! the others, who end their sessions under names it had lent, free what they had lent to it,
//! and answer. Until all have answered it gives out no port of its own: it borrows. What is
//! under way meanwhile (a packet that seeks a name, one that was granted to it, a name that
//! comes back) says for which incarnations it was meant, and is void for others.

use alloc::boxed::Box;
use alloc::vec;

use super::Workers;
use crate::ids::{Incarnation, WorkerId};

/// What a worker knows of its own incarnation and those of the others.
pub struct Incarnations {
    me: WorkerId,
    /// By worker, this one too.
    known: Box<[Incarnation]>,
    /// Who may still use names that earlier incarnations of this one lent, a bit each.
    awaited: u64,
}

/// Between which incarnations a name was lent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pact {
    /// Of who lent it.
    pub lender: Incarnation,
    /// Of who has it.
    pub borrower: Incarnation,
}

impl Incarnations {
    /// All workers are in their first one.
    pub fn new(workers: &Workers) -> Incarnations {
        let known = vec![Incarnation::default(); usize::from(workers.count())].into_boxed_slice();
        Incarnations { me: workers.me(), known, awaited: 0 }
    }

    /// This worker begins anew.
    #[must_use]
    pub fn next(mut self) -> Incarnations {
        self.known[self.me.index()].0 += 1;
        self.awaited = self.others().fold(0, |all, other| all | 1 << other.0);
        self
    }

    /// The other workers.
    pub fn others(&self) -> impl Iterator<Item = WorkerId> + use<> {
        let me = self.me;
        (0..self.known.len() as u16).map(WorkerId).filter(move |worker| *worker != me)
    }

    /// The newest known one of a worker.
    pub fn of(&self, worker: WorkerId) -> Incarnation {
        self.known[worker.index()]
    }

    /// This worker's own.
    pub fn own(&self) -> Incarnation {
        self.of(self.me)
    }

    /// Something comes from this incarnation of a worker. Is it a new one? It knows nothing of
    /// what any other lent.
    #[must_use]
    pub fn meet(&mut self, worker: WorkerId, incarnation: Incarnation) -> bool {
        let known = &mut self.known[worker.index()];
        let is_new = *known < incarnation;
        if is_new {
            *known = incarnation;
            self.awaited &= !(1 << worker.0);
        }
        is_new
    }

    /// A worker uses no name any more that was lent before this incarnation of ours.
    pub fn is_forgotten_by(&mut self, worker: WorkerId, incarnation: Incarnation) {
        if incarnation == self.own() {
            self.awaited &= !(1 << worker.0);
        }
    }

    /// May somebody still use names that an earlier incarnation of this worker lent?
    #[inline]
    pub fn is_awaiting(&self) -> bool {
        self.awaited != 0
    }

    /// Between this worker, who lends, and the newest known incarnation of another.
    pub fn lending_to(&self, borrower: WorkerId) -> Pact {
        Pact { lender: self.own(), borrower: self.of(borrower) }
    }

    /// Between this worker, who borrows, and the newest known incarnation of another.
    pub fn borrowing_from(&self, lender: WorkerId) -> Pact {
        Pact { lender: self.of(lender), borrower: self.own() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_begins_anew_waits_for_all_others_or_for_those_who_do_so_too() {
        let mut own = Incarnations::new(&Workers::new(WorkerId(1), 4, 7));
        assert!(!own.is_awaiting());
        own = own.next();
        assert!(own.is_awaiting() && own.own() == Incarnation(1));
        own.is_forgotten_by(WorkerId(0), Incarnation(1));
        own.is_forgotten_by(WorkerId(2), Incarnation(0));
        assert!(own.meet(WorkerId(3), Incarnation(5)) && !own.meet(WorkerId(3), Incarnation(4)));
        assert!(own.is_awaiting(), "that was about an earlier one");
        own.is_forgotten_by(WorkerId(2), Incarnation(1));
        assert!(!own.is_awaiting());
        assert_eq!(own.lending_to(WorkerId(3)), Pact { lender: Incarnation(1), borrower: Incarnation(5) });
        assert_eq!(own.borrowing_from(WorkerId(3)), Pact { lender: Incarnation(5), borrower: Incarnation(1) });
    }
}
