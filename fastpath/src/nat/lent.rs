//! Names that other workers use: lent to flows whose home had no port left.

use alloc::vec::Vec;

use crate::address::Address;
use crate::ids::WorkerId;
use crate::session::{FlowKey, Index, Seed};

/// The names that one worker has lent. Allocates once, when made; memory of records is
/// touched when they are first used.
pub(super) struct Lent<A> {
    index: Index,
    records: Vec<Lease<A>>,
    capacity: usize,
    /// Numbers that were given back, chained through `count`.
    free: u32,
    live: usize,
    seed: Seed,
}

/// A name that was lent.
#[derive(Clone, Copy)]
struct Lease<A> {
    /// How what is for it arrives: the flow, or the endpoint alone where all its flows
    /// share the name.
    key: FlowKey<A>,
    /// Who has it.
    borrower: WorkerId,
    /// What it stands on, as a session of our own would.
    binding: u32,
    /// How often it was lent; while free, the next free number.
    count: u32,
}

const NONE: u32 = u32::MAX;

/// The key of whatever is for the endpoint outside that `flow` is for.
pub(super) fn endpoint_outside<A: Address>(flow: &FlowKey<A>) -> FlowKey<A> {
    FlowKey { dst: flow.dst, dst_port: flow.dst_port, protocol: flow.protocol, ..FlowKey::default() }
}

impl<A: Address> Lent<A> {
    /// Nothing is lent, and at most `capacity` names can be.
    pub(super) fn new(capacity: usize, seed: Seed) -> Lent<A> {
        Lent {
            index: Index::with_capacity(capacity),
            records: Vec::with_capacity(capacity),
            capacity,
            free: NONE,
            live: 0,
            seed,
        }
    }

    /// What it occupies when full, in bytes.
    pub(super) fn bytes(&self) -> usize {
        if self.capacity == 0 { 0 } else { self.index.bytes() + self.capacity * size_of::<Lease<A>>() }
    }

    /// Is this very name lent, or its endpoint? To whom?
    #[inline]
    pub(super) fn find(&self, flow: &FlowKey<A>) -> Option<WorkerId> {
        if self.live == 0 {
            return None;
        }
        let number = self.number(flow).or_else(|| self.number(&endpoint_outside(flow)))?;
        Some(self.records[number as usize].borrower)
    }

    /// Lends a name, or lends it once more. `false`: there is no room, and nothing changed.
    pub(super) fn lend(&mut self, key: FlowKey<A>, borrower: WorkerId, binding: u32) -> bool {
        let hash = key.hash(self.seed);
        let lease = Lease { key, borrower, binding, count: 1 };
        let fresh = self.free == NONE;
        let number = if fresh { self.records.len() as u32 } else { self.free };
        if number as usize == self.capacity || !self.index.insert(hash, number) {
            return false;
        }
        if fresh {
            self.records.push(lease);
        } else {
            self.free = self.records[number as usize].count;
            self.records[number as usize] = lease;
        }
        self.live += 1;
        true
    }

    /// The name is lent once more to who has it. `false`: it is not lent to him.
    pub(super) fn lend_again(&mut self, key: &FlowKey<A>, borrower: WorkerId) -> bool {
        let Some(number) = self.number(key) else {
            return false;
        };
        let lease = &mut self.records[number as usize];
        lease.count += u32::from(lease.borrower == borrower);
        lease.borrower == borrower
    }

    /// A name comes back, this very one or that of its endpoint. Once it has as often as it
    /// was lent, it is free: what it stood on.
    pub(super) fn release(&mut self, key: &FlowKey<A>, from: WorkerId) -> Option<u32> {
        let number = self.number(key).or_else(|| self.number(&endpoint_outside(key)))?;
        let lease = &mut self.records[number as usize];
        if lease.borrower != from {
            return None;
        }
        lease.count -= 1;
        let Lease { binding, count, .. } = *lease;
        if count > 0 {
            return None;
        }
        self.remove(number);
        Some(binding)
    }

    /// The name is not lent any more, however often it was. `false`: it was not.
    pub(super) fn end(&mut self, key: &FlowKey<A>) -> bool {
        let number = self.number(key);
        number.into_iter().for_each(|number| self.remove(number));
        number.is_some()
    }

    fn remove(&mut self, number: u32) {
        let lease = &mut self.records[number as usize];
        let key = lease.key;
        lease.count = self.free;
        self.free = number;
        self.live -= 1;
        self.index.remove(key.hash(self.seed), number);
    }

    /// What the lease with this number stands on, if it is one; `None`: neither this number nor a
    /// higher one was ever used.
    pub(super) fn binding(&self, number: u32) -> Option<Option<u32>> {
        let Lease { key, binding, .. } = self.records.get(number as usize)?;
        Some((self.number(key) == Some(number)).then_some(*binding))
    }

    /// How many names are lent.
    pub(super) fn len(&self) -> usize {
        self.live
    }

    fn number(&self, key: &FlowKey<A>) -> Option<u32> {
        if self.live == 0 {
            return None;
        }
        self.index.find(key.hash(self.seed), |number| self.records[number as usize].key.is(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_lent_until_it_has_come_back_as_often() {
        let key = |port| FlowKey { src: 1u32, dst: 2, src_port: 443, dst_port: port, ..FlowKey::default() };
        let mut lent = Lent::new(2, Seed([1, 2]));
        assert!(lent.lend(key(1), WorkerId(3), 10) && lent.lend(key(2), WorkerId(4), 11));
        assert!(!lent.lend(key(3), WorkerId(3), 12), "there is room for two");
        assert!(lent.lend_again(&key(1), WorkerId(3)) && !lent.lend_again(&key(1), WorkerId(4)));
        assert_eq!(lent.release(&key(1), WorkerId(4)), None, "it is not his");
        assert_eq!((lent.release(&key(1), WorkerId(3)), lent.find(&key(1))), (None, Some(WorkerId(3))));
        assert_eq!((lent.release(&key(1), WorkerId(3)), lent.find(&key(1))), (Some(10), None));
        assert_eq!(lent.release(&key(1), WorkerId(3)), None, "it is not lent any more");
        assert!(lent.lend(key(3), WorkerId(5), 12));
        assert_eq!((lent.len(), lent.find(&key(3)), lent.find(&key(2))), (2, Some(WorkerId(5)), Some(WorkerId(4))));
    }

    #[test]
    fn an_endpoint_that_is_lent_is_so_for_all_who_ask() {
        let flow = FlowKey { src: 1u32, dst: 2, src_port: 53, dst_port: 1_024, ..FlowKey::default() };
        let mut lent = Lent::new(2, Seed([1, 2]));
        assert!(lent.lend(endpoint_outside(&flow), WorkerId(1), 0));
        assert_eq!(lent.find(&FlowKey { src: 77, ..flow }), Some(WorkerId(1)));
        assert_eq!(lent.find(&FlowKey { dst_port: 1_025, ..flow }), None);
    }
}
