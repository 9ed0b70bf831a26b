//! Who has how many sessions, where somebody must not have too many (RFC 6888, REQ-4).

use alloc::vec;
use alloc::vec::Vec;

use crate::address::{Address, GOLDEN, folded_multiply};
use crate::ids::VrfId;
use crate::session::{Index, Seed};

/// The sessions of each host inside that has any. Some 20 bytes a host for IPv4;
/// allocates once, when made.
pub(super) struct Hosts<A> {
    index: Index,
    records: Vec<Host<A>>,
    /// Numbers that were given back, chained through `sessions`; then those never used.
    free: u32,
    seed: Seed,
}

#[derive(Clone, Copy)]
struct Host<A> {
    address: A,
    vrf: VrfId,
    /// How many sessions; while free, the next free number.
    sessions: u32,
}

const NONE: u32 = u32::MAX;

impl<A: Address> Hosts<A> {
    /// No host has a session; at most `capacity` hosts may have one.
    pub(super) fn new(capacity: usize, seed: Seed) -> Hosts<A> {
        let free = |number: usize| if number + 1 == capacity { NONE } else { number as u32 + 1 };
        let record = |number| Host { address: A::default(), vrf: VrfId::MAIN, sessions: free(number) };
        let records = if capacity == 0 { vec![] } else { (0..capacity).map(record).collect() };
        Hosts { index: Index::with_capacity(capacity), free: if capacity == 0 { NONE } else { 0 }, records, seed }
    }

    /// How many sessions the host has.
    pub(super) fn sessions(&self, address: A, vrf: VrfId) -> u32 {
        self.find(address, vrf).map_or(0, |number| self.records[number as usize].sessions)
    }

    /// The host has one more.
    pub(super) fn add(&mut self, address: A, vrf: VrfId) {
        if let Some(number) = self.find(address, vrf) {
            self.records[number as usize].sessions += 1;
            return;
        }
        // There is room: as many hosts as sessions.
        let number = self.free;
        if number != NONE && self.index.insert(self.hash(address, vrf), number) {
            let record = &mut self.records[number as usize];
            self.free = record.sessions;
            *record = Host { address, vrf, sessions: 1 };
        }
    }

    /// The host has one less. One that was begun before there were limits is not known.
    pub(super) fn remove(&mut self, address: A, vrf: VrfId) {
        let Some(number) = self.find(address, vrf) else {
            return;
        };
        let record = &mut self.records[number as usize];
        record.sessions -= 1;
        if record.sessions == 0 {
            record.sessions = self.free;
            self.free = number;
            self.index.remove(self.hash(address, vrf), number);
        }
    }

    fn find(&self, address: A, vrf: VrfId) -> Option<u32> {
        self.index.find(self.hash(address, vrf), |number| {
            let host = &self.records[number as usize];
            host.address == address && host.vrf == vrf
        })
    }

    fn hash(&self, address: A, vrf: VrfId) -> u64 {
        folded_multiply(address.mix(self.seed.0[0]) ^ u64::from(vrf.0), self.seed.0[1] ^ GOLDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_testkit::seed::Rng;
    use std::collections::BTreeMap;

    #[test]
    fn every_host_has_the_sessions_it_has() {
        let (mut hosts, mut list) = (Hosts::<u32>::new(40, Seed([1, 2])), BTreeMap::new());
        let mut rng = Rng::new(5);
        for _ in 0..20_000 {
            let host = (rng.below(20) as u32, VrfId(rng.below(2) as u16));
            let count = list.entry(host).or_insert(0u32);
            if rng.below(2) == 0 {
                hosts.add(host.0, host.1);
                *count += 1;
            } else if *count > 0 {
                hosts.remove(host.0, host.1);
                *count -= 1;
            }
            assert_eq!(hosts.sessions(host.0, host.1), *count);
        }
        for ((address, vrf), count) in list {
            assert_eq!(hosts.sessions(address, vrf), count);
        }
    }
}
