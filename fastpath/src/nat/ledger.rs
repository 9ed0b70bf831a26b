//! What is noted about an address and a number, found by both.

use alloc::vec::Vec;

use crate::address::{Address, GOLDEN, folded_multiply};
use crate::session::{Index, Seed};

/// So many notes at most. Allocates once, when made.
pub(super) struct Ledger<A, N> {
    index: Index,
    records: Vec<Record<A, N>>,
    free: u32,
    seed: Seed,
}

struct Record<A, N> {
    address: A,
    number: u32,
    /// While free, the next free record.
    next: u32,
    note: Option<N>,
}

const NONE: u32 = u32::MAX;

impl<A: Address, N> Ledger<A, N> {
    /// Without a note, for at most `capacity`.
    pub(super) fn new(capacity: usize, seed: Seed) -> Ledger<A, N> {
        let record = |at: usize| {
            let next = if at + 1 == capacity { NONE } else { at as u32 + 1 };
            Record { address: A::default(), number: 0, next, note: None }
        };
        Ledger {
            index: Index::with_capacity(capacity),
            records: (0..capacity).map(record).collect(),
            free: if capacity == 0 { NONE } else { 0 },
            seed,
        }
    }

    /// What is noted.
    pub(super) fn get(&self, address: A, number: u32) -> Option<&N> {
        self.records[self.find(address, number)? as usize].note.as_ref()
    }

    /// What is noted, to be changed; a note that `make` makes if there was none. `None`:
    /// there is no room for it.
    pub(super) fn get_or_insert(&mut self, address: A, number: u32, make: impl FnOnce() -> N) -> Option<&mut N> {
        let at = match self.find(address, number) {
            Some(at) => at,
            None => {
                let at = self.free;
                if at == NONE || !self.index.insert(self.hash(address, number), at) {
                    return None;
                }
                let record = &mut self.records[at as usize];
                self.free = record.next;
                *record = Record { address, number, next: NONE, note: Some(make()) };
                at
            }
        };
        self.records[at as usize].note.as_mut()
    }

    /// Changes what is noted, if anything is; takes it away when `change` says that it is
    /// of no more use.
    pub(super) fn change(&mut self, address: A, number: u32, change: impl FnOnce(&mut N) -> Use) {
        let Some(at) = self.find(address, number) else {
            return;
        };
        let record = &mut self.records[at as usize];
        if record.note.as_mut().map(change) == Some(Use::Over) {
            record.note = None;
            record.next = self.free;
            self.free = at;
            self.index.remove(self.hash(address, number), at);
        }
    }

    fn find(&self, address: A, number: u32) -> Option<u32> {
        self.index.find(self.hash(address, number), |at| {
            let record = &self.records[at as usize];
            record.address == address && record.number == number
        })
    }

    fn hash(&self, address: A, number: u32) -> u64 {
        folded_multiply(address.mix(self.seed.0[0]) ^ u64::from(number), self.seed.0[1] ^ GOLDEN)
    }
}

/// Is a note still needed?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Needed,
    Over,
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_testkit::seed::Rng;
    use std::collections::BTreeMap;

    #[test]
    fn a_ledger_agrees_with_a_map() {
        let (mut ledger, mut map) = (Ledger::<u32, u32>::new(40, Seed([1, 2])), BTreeMap::new());
        let mut rng = Rng::new(5);
        for _ in 0..20_000 {
            let (address, number) = (rng.below(20) as u32, rng.below(3) as u32);
            if rng.below(2) == 0 {
                let noted = ledger.get_or_insert(address, number, || 0);
                let is_full = map.len() == 40 && !map.contains_key(&(address, number));
                assert_eq!(noted.is_none(), is_full);
                if let Some(noted) = noted {
                    *noted += 1;
                    *map.entry((address, number)).or_insert(0) += 1;
                }
            } else {
                ledger.change(address, number, |noted| {
                    *noted -= 1;
                    if *noted == 0 { Use::Over } else { Use::Needed }
                });
                if let Some(count) = map.get_mut(&(address, number)) {
                    *count -= 1;
                }
                map.retain(|_, count| *count > 0);
            }
            assert_eq!(ledger.get(address, number), map.get(&(address, number)));
        }
        for address in 0..20 {
            for number in 0..3 {
                assert_eq!(ledger.get(address, number), map.get(&(address, number)));
            }
        }
    }
}
