//! How much does a source have? Counted without a table of sources.

use alloc::boxed::Box;
use alloc::vec;

/// Counters in a row.
const COLUMNS: usize = 4096;

/// A count a source, by hash, in 16 KiB.
///
/// Each source has a counter in either of two rows, and what it has is at most the
/// smaller one (Cormode and Muthukrishnan, "An improved data stream summary: the
/// count-min sketch", 2005). A count is never too small; it is too large only for a
/// source that shares both counters, one in 16 million each, and with keyed hashes
/// nobody can say which.
pub(super) struct Tally {
    rows: [Box<[u16]>; 2],
}

impl Tally {
    /// What it occupies.
    pub(super) const BYTES: usize = 2 * COLUMNS * size_of::<u16>();

    pub(super) fn new() -> Tally {
        Tally { rows: [(); 2].map(|()| vec![0; COLUMNS].into_boxed_slice()) }
    }

    /// What the source has, or a little more.
    pub(super) fn of(&self, source: u64) -> u16 {
        let [first, second] = columns(source);
        self.rows[0][first].min(self.rows[1][second])
    }

    /// It has so many more.
    pub(super) fn add(&mut self, source: u64, count: u16) {
        for (row, column) in self.rows.iter_mut().zip(columns(source)) {
            row[column] += count;
        }
    }

    /// It has so many less.
    pub(super) fn take(&mut self, source: u64, count: u16) {
        for (row, column) in self.rows.iter_mut().zip(columns(source)) {
            row[column] -= count;
        }
    }
}

fn columns(source: u64) -> [usize; 2] {
    [source as usize % COLUMNS, (source >> 32) as usize % COLUMNS]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_that_share_one_counter_are_still_told_apart() {
        let mut tally = Tally::new();
        let (one, other) = (0x0000_0001_0000_0005, 0x0000_0002_0000_0005);
        for _ in 0..9 {
            tally.add(one, 1);
        }
        tally.add(other, 1);
        assert_eq!((tally.of(one), tally.of(other)), (9, 1));
        tally.take(one, 9);
        assert_eq!((tally.of(one), tally.of(other)), (0, 1));
    }
}
