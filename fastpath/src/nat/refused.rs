//! Who was refused how often: in bounded memory, whoever asks.

use alloc::vec;
use alloc::vec::Vec;

use super::Nat;
use crate::address::{Address, GOLDEN, folded_multiply};
use crate::ids::VrfId;
use crate::session::Seed;

/// Hosts that may stand in one set.
const WAYS: usize = 8;
/// Sets.
const SETS: usize = 128;

/// The hosts that were refused most. Touched by refusals alone, eight records each.
///
/// Where there is no room for another, it takes the place of who was refused least of those
/// it competes with, and inherits his count, so that who is refused all the time stays
/// ("space saving": Metwally, Agrawal and El Abbadi, 2005): a count may be too large, by what
/// it inherited.
pub(super) struct Refused<A> {
    records: Vec<(A, VrfId, u64)>,
    seed: Seed,
}

impl<A: Address> Refused<A> {
    /// Nobody was.
    pub(super) fn new(seed: Seed) -> Refused<A> {
        Refused { records: vec![(A::default(), VrfId::MAIN, 0); SETS * WAYS], seed }
    }

    /// A host was.
    pub(super) fn count(&mut self, address: A, vrf: VrfId) {
        let hash = folded_multiply(address.mix(self.seed.0[0]) ^ u64::from(vrf.0), self.seed.0[1] ^ GOLDEN);
        let from = (hash >> 32) as usize % SETS * WAYS;
        let set = &mut self.records[from..from + WAYS];
        let known = set.iter().position(|(host, domain, count)| *count > 0 && (*host, *domain) == (address, vrf));
        let least = || set.iter().enumerate().min_by_key(|(_, record)| record.2).map_or(0, |(at, _)| at);
        let at = known.unwrap_or_else(least);
        set[at] = (address, vrf, set[at].2 + 1);
    }

    /// Those from number `from` on, `limit` records at most; the caller goes on with the
    /// number that is returned, until it is `None`.
    pub(super) fn page(&self, from: u32, limit: u32, mut each: impl FnMut(A, VrfId, u64)) -> Option<u32> {
        let end = self.records.len().min(from.saturating_add(limit) as usize);
        for (address, vrf, count) in self.records.get(from as usize..end).unwrap_or_default() {
            if *count > 0 {
                each(*address, *vrf, *count);
            }
        }
        (end < self.records.len()).then_some(end as u32)
    }
}

impl<A: Address> Nat<A> {
    /// Hosts that were refused a session, from number `from` on, and how often; looks at
    /// `limit` records at most. Says where to go on, until it is `None`.
    pub fn refused(&self, from: u32, limit: u32, each: impl FnMut(A, VrfId, u64)) -> Option<u32> {
        self.refused.page(from, limit, each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_testkit::seed::Rng;
    use std::collections::BTreeMap;

    fn counted(refused: &Refused<u32>) -> BTreeMap<(u32, VrfId), u64> {
        let (mut map, mut from) = (BTreeMap::new(), Some(0));
        while let Some(at) = from {
            from = refused.page(at, 100, |address, vrf, count| {
                assert!(map.insert((address, vrf), count).is_none(), "a host stands once");
            });
        }
        map
    }

    #[test]
    fn a_few_hosts_are_counted_exactly() {
        let (mut refused, mut map) = (Refused::new(Seed([3, 4])), BTreeMap::new());
        let mut rng = Rng::new(7);
        for _ in 0..10_000 {
            let host = (rng.below(30) as u32, VrfId(rng.below(2) as u16));
            refused.count(host.0, host.1);
            *map.entry(host).or_insert(0) += 1;
        }
        assert_eq!(counted(&refused), map);
    }

    #[test]
    fn who_is_refused_all_the_time_stands_out_of_any_crowd() {
        let mut refused = Refused::new(Seed([3, 4]));
        for number in 0..500_000 {
            refused.count(1_000 + number, VrfId(1));
            if number % 100 == 0 {
                refused.count(7, VrfId(1));
            }
        }
        let map = counted(&refused);
        assert_eq!(map.len(), SETS * WAYS);
        let count = map[&(7, VrfId(1))];
        assert!(count >= 5_000, "{count}");
        assert_eq!(map.values().sum::<u64>(), 505_000, "each refusal is counted once");
    }
}
