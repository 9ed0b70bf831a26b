//! Identifications of datagrams that may be in pieces (RFC 791, 3.2; RFC 6864, 5.3.1).
//!
//! Hosts number their datagrams by themselves. Behind one address two of them may use one
//! number towards one peer, who then puts pieces together that do not belong together (RFC
//! 4963). So whatever leaves under another source, and may be in pieces, is numbered anew.

use alloc::boxed::Box;

use crate::address::{Address, GOLDEN, folded_multiply};
use crate::handoff::Workers;
use crate::session::Seed;

/// Counters of the datagrams between two addresses, by protocol: as many pairs as share a
/// counter share its 65,536 numbers. Nobody outside knows which do, or where one begins.
pub(crate) struct Identifications {
    counters: Box<[u16]>,
    /// What a counter goes to.
    last: u16,
    seed: Seed,
    workers: Workers,
}

impl Identifications {
    const COUNTERS: usize = 4096;

    /// Fresh counters: 8 KiB.
    pub(super) fn new(seed: Seed, workers: Workers) -> Identifications {
        let numbers = 65_536 / u64::from(workers.count());
        let start = |at: usize| (folded_multiply(at as u64 ^ seed.0[0], seed.0[1] ^ GOLDEN) % numbers) as u16;
        let counters = (0..Identifications::COUNTERS).map(start).collect();
        Identifications { counters, last: (numbers - 1) as u16, seed, workers }
    }

    /// What it occupies, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.counters)
    }

    /// The number of another datagram.
    pub(crate) fn next<A: Address>(&mut self, src: A, dst: A, protocol: u8) -> u16 {
        let mixed = folded_multiply(A::fold_pair(src, dst, self.seed.0[0]), u64::from(protocol) ^ self.seed.0[1]);
        let counter = &mut self.counters[mixed as usize % Identifications::COUNTERS];
        *counter = if *counter == self.last { 0 } else { *counter + 1 };
        // Each worker has numbers of its own, as behind one address are hosts of all of them.
        *counter * self.workers.count() + self.workers.me().0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::ids::WorkerId;

    #[test]
    fn the_datagrams_of_a_pair_have_numbers_of_their_own_until_all_were_used() {
        let workers = 3;
        let mut seen = BTreeSet::new();
        for me in 0..workers {
            let mut identifications = Identifications::new(Seed([1, 2]), Workers::new(WorkerId(me), workers, 7));
            for _ in 0..65_536 / u32::from(workers) {
                assert!(seen.insert(identifications.next(1u32, 2, 17)));
            }
            assert!(!seen.insert(identifications.next(1u32, 2, 17)));
        }
        assert_eq!(seen.len(), 65_535);
    }

    #[test]
    fn other_pairs_and_other_seeds_begin_elsewhere() {
        let seed = |nth: u64| Seed([nth.wrapping_mul(GOLDEN), 0x1234_5678_9abc_def1]);
        let first = |nth, dst| Identifications::new(seed(nth), Workers::new(WorkerId(0), 1, 7)).next(1u32, dst, 17);
        let begun: BTreeSet<_> = (0..100).map(|dst| first(1, dst)).chain((2..100).map(|nth| first(nth, 1))).collect();
        assert!(begun.len() > 150, "{}", begun.len());
    }
}
