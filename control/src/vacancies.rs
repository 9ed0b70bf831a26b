//! Outside addresses on their way from one use to another: in between they are nobody's.
//!
//! The ports of a pool's address are dealt out to all workers; those of an address with static
//! NAT are given out at the home of its host alone. Workers go over to other tables one after the
//! other. If an address came to its new use at once, one of them could give out a name that
//! another has given out by the tables before. So there are tables first in which nobody has the
//! address, and once every worker has judged its sessions by them those in which it has its
//! new use. Whatever else changes in the meantime waits for neither.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use causeway_fastpath::address::Address;
use causeway_fastpath::ids::{Epoch, VrfId};
use causeway_fastpath::snapshot::{Snapshot, Tables};

/// The addresses that are nobody's yet.
#[derive(Debug)]
pub(crate) struct Vacancies {
    /// One worker goes over by itself.
    several_workers: bool,
    going: Option<Going>,
}

#[derive(Debug)]
struct Going {
    v4: HashSet<u32>,
    v6: HashSet<u128>,
    /// The last tables before.
    before: Epoch,
    step: Step,
}

/// How far they have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// They are nobody's in these tables.
    GivenUp(Epoch),
    /// Every worker has gone over to those.
    Free,
    /// They are in use again in these.
    TakenUp(Epoch),
}

/// Who gives out the names on an address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use<A> {
    /// All workers, by port.
    DealtOut,
    /// The home of this host.
    Own(VrfId, A),
}

impl Vacancies {
    /// With so many workers.
    pub(crate) fn new(workers: usize) -> Vacancies {
        Vacancies { several_workers: workers > 1, going: None }
    }

    /// Takes out of the tables that come next what is to be nobody's in them; `last` are those that
    /// were sent last. Looks at every pool address if pools or forwards have changed.
    pub(crate) fn pass(&mut self, last: &Snapshot, next: &mut Snapshot) {
        if !self.several_workers {
            return;
        }
        let (mut v4, mut v6) = (moved(&last.v4, &next.v4), moved(&last.v6, &next.v6));
        let begins = !v4.is_empty() || !v6.is_empty();
        match &mut self.going {
            Some(Going { step: step @ Step::Free, .. }) if !begins => {
                *step = Step::TakenUp(next.epoch);
                return;
            }
            Some(Going { v4: own_v4, v6: own_v6, step: Step::GivenUp(_), .. }) => {
                v4.extend(own_v4.iter());
                v6.extend(own_v6.iter());
            }
            Some(_) | None if !begins => return,
            Some(_) | None => {}
        }
        take_out(&mut next.v4, &v4);
        take_out(&mut next.v6, &v6);
        let before = self.going.as_ref().map_or(last.epoch, |going| going.before);
        let step = match &self.going {
            Some(Going { step, .. }) if !begins => *step,
            _ => Step::GivenUp(next.epoch),
        };
        self.going = Some(Going { v4, v6, before, step });
    }

    /// Every worker has judged its sessions by these tables.
    pub(crate) fn heed(&mut self, settled: Epoch) {
        let Some(going) = &mut self.going else {
            return;
        };
        match going.step {
            Step::GivenUp(epoch) if epoch <= settled => going.step = Step::Free,
            Step::TakenUp(epoch) if epoch <= settled => self.going = None,
            _ => {}
        }
    }

    /// Are there tables to be made in which they are in use again?
    pub(crate) fn are_free(&self) -> bool {
        self.going.as_ref().is_some_and(|going| going.step == Step::Free)
    }

    /// Are there any?
    pub(crate) fn are_going(&self) -> bool {
        self.going.is_some()
    }

    /// Are there any that wait for workers?
    pub(crate) fn are_waiting(&self) -> bool {
        self.going.as_ref().is_some_and(|going| matches!(going.step, Step::GivenUp(_)))
    }

    /// The newest of these tables that are all in force: while there are vacancies, none since
    /// they began.
    pub(crate) fn in_force(&self, settled: Epoch) -> Epoch {
        self.going.as_ref().map_or(settled, |going| settled.min(going.before))
    }
}

/// The addresses whose names others give out in the tables that come next, or nobody: in those
/// behind them somebody may.
fn moved<A: Address>(last: &Tables<A>, next: &Tables<A>) -> HashSet<A> {
    if Arc::ptr_eq(&last.pools, &next.pools) && Arc::ptr_eq(&last.forwards, &next.forwards) {
        return HashSet::new();
    }
    let (before, after) = (uses(last), uses(next));
    let is_moved = |(address, by): &(&A, &Use<A>)| after.get(*address) != Some(*by);
    before.iter().filter(is_moved).map(|(address, _)| *address).collect()
}

fn uses<A: Address>(tables: &Tables<A>) -> HashMap<A, Use<A>> {
    let addresses = tables.pools.iter().flat_map(|pool| &pool.addresses);
    let by = |address: &A| {
        let own = tables.forwards.of_address(*address);
        (*address, own.map_or(Use::DealtOut, |forward| Use::Own(forward.vrf, forward.address)))
    };
    addresses.map(by).collect()
}

fn take_out<A: Address>(tables: &mut Tables<A>, addresses: &HashSet<A>) {
    if addresses.is_empty() {
        return;
    }
    let mut pools = tables.pools.to_vec();
    pools.iter_mut().for_each(|pool| pool.addresses.retain(|address| !addresses.contains(address)));
    let mut forwards = (*tables.forwards).clone();
    addresses.iter().for_each(|address| forwards.remove_address(*address));
    (tables.pools, tables.forwards) = (pools.into(), Arc::new(forwards));
}
