//! Which numbers of a range are free: exact, and found in a few steps.

use alloc::vec;
use alloc::vec::Vec;

/// The free ones of the numbers `0..len`. A bit each, and a 64th of that on top.
pub(super) struct NumberSet {
    /// A bit a number, set while it is free.
    free: Vec<u64>,
    /// A bit a word of `free`, set while a number in it is free.
    words: Vec<u64>,
    count: u32,
}

impl NumberSet {
    /// The numbers `0..len`, none of them free.
    pub(super) fn none(len: usize) -> NumberSet {
        let words = len.div_ceil(64);
        NumberSet { free: vec![0; words], words: vec![0; words.div_ceil(64)], count: 0 }
    }

    /// The numbers `0..len`, all free.
    pub(super) fn all(len: usize) -> NumberSet {
        let mut set = NumberSet::none(len);
        for number in 0..len {
            set.insert(number as u32);
        }
        set
    }

    /// How many are free.
    pub(super) fn len(&self) -> u32 {
        self.count
    }

    /// Is it a free number?
    pub(super) fn contains(&self, number: u32) -> bool {
        self.free.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// A number that was not free is.
    pub(super) fn insert(&mut self, number: u32) {
        let word = number as usize / 64;
        debug_assert!(self.free[word] >> (number % 64) & 1 == 0, "a number that is given back was taken");
        self.free[word] |= 1 << (number % 64);
        self.words[word / 64] |= 1 << (word % 64);
        self.count += 1;
    }

    /// A number that was free no longer is.
    pub(super) fn remove(&mut self, number: u32) {
        let word = number as usize / 64;
        debug_assert!(self.free[word] >> (number % 64) & 1 == 1, "a number that is taken was free");
        self.free[word] &= !(1 << (number % 64));
        if self.free[word] == 0 {
            self.words[word / 64] &= !(1 << (word % 64));
        }
        self.count -= 1;
    }

    /// Takes away what is not free in `other`, a set of the same range. Looks at each word once, and
    /// counts where both have taken something.
    pub(super) fn intersect(&mut self, other: &NumberSet) {
        debug_assert_eq!(self.free.len(), other.free.len(), "of the same range");
        self.count = other.count;
        for (at, (free, theirs)) in self.free.iter_mut().zip(&other.free).enumerate() {
            let left = *free & theirs;
            if left != *theirs {
                self.count -= (left ^ theirs).count_ones();
            }
            *free = left;
            if left == 0 {
                self.words[at / 64] &= !(1 << (at % 64));
            }
        }
    }

    /// Takes away what is not free among the first `len` of `other`, whose number `n` is our
    /// `n + shift`. Looks at each word once.
    pub(super) fn take_away(&mut self, other: &NumberSet, len: usize, shift: i64) {
        // The others' numbers 64 * at and on, free where there are none.
        let word = |at: i64| match usize::try_from(at).ok().filter(|at| *at < len.div_ceil(64)) {
            Some(at) if at == len / 64 => other.free[at] | u64::MAX << (len % 64),
            Some(at) => other.free[at],
            None => u64::MAX,
        };
        for at in 0..self.free.len() {
            let from = at as i64 * 64 - shift;
            let (first, bit) = (from.div_euclid(64), from.rem_euclid(64));
            let above = if bit == 0 { 0 } else { word(first + 1) << (64 - bit) };
            let left = self.free[at] & (word(first) >> bit | above);
            self.count -= (self.free[at] ^ left).count_ones();
            self.free[at] = left;
            if left == 0 {
                self.words[at / 64] &= !(1 << (at % 64));
            }
        }
    }

    /// No number is free any more.
    pub(super) fn clear(&mut self) {
        self.free.fill(0);
        self.words.fill(0);
        self.count = 0;
    }

    /// The first free number at or after `from`, going round at the end. At most 2 +
    /// `len` / 4096 steps.
    pub(super) fn first_from(&self, from: u32) -> Option<u32> {
        if self.count == 0 {
            return None;
        }
        self.at_or_after(from).or_else(|| self.at_or_after(0))
    }

    fn at_or_after(&self, from: u32) -> Option<u32> {
        let word = from as usize / 64;
        let here = self.free.get(word)? & (u64::MAX << (from % 64));
        if here != 0 {
            return Some((word * 64) as u32 + here.trailing_zeros());
        }
        let after = word + 1;
        let mut mask = u64::MAX << (after % 64);
        for (group, words) in self.words.iter().enumerate().skip(after / 64) {
            let words = words & mask;
            if words != 0 {
                let word = group * 64 + words.trailing_zeros() as usize;
                return Some((word * 64) as u32 + self.free[word].trailing_zeros());
            }
            mask = u64::MAX;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_testkit::seed::Rng;
    use std::collections::BTreeSet;

    #[test]
    fn every_number_is_handed_out_once_and_then_none() {
        for len in [0, 1, 63, 64, 65, 4095, 4096, 4097, 64_512, 65_536] {
            let mut set = NumberSet::all(len);
            let mut seen = BTreeSet::new();
            let mut from = 777u32;
            while let Some(number) = set.first_from(from % 65_536) {
                assert!((number as usize) < len);
                assert!(seen.insert(number), "{number} was handed out twice");
                set.remove(number);
                from = from.wrapping_mul(31).wrapping_add(17);
            }
            assert_eq!((seen.len(), set.len()), (len, 0));
            if len > 0 {
                set.insert(len as u32 - 1);
                assert!(set.contains(len as u32 - 1));
                assert_eq!(set.first_from(0), Some(len as u32 - 1));
            }
        }
    }

    #[test]
    fn what_another_set_has_taken_is_taken_away() {
        let mut rng = Rng::new(11);
        for _ in 0..300 {
            let (mut set, mut other) = (NumberSet::all(rng.range(1..300)), NumberSet::all(rng.range(1..300)));
            let (len, others) = (set.len(), other.len() as usize);
            (0..others as u32).filter(|_| rng.chance(1, 3)).for_each(|number| other.remove(number));
            let taken = rng.range(0..len as usize) as u32;
            set.remove(taken);
            let shift = rng.range(0..400) as i64 - 200;
            set.take_away(&other, others, shift);
            let is_free = |number: u32| {
                let theirs = i64::from(number) - shift;
                number != taken && (!(0..others as i64).contains(&theirs) || other.contains(theirs as u32))
            };
            let expected: Vec<u32> = (0..len).filter(|number| is_free(*number)).collect();
            let mut found = Vec::new();
            while let Some(number) = set.first_from(0) {
                found.push(number);
                set.remove(number);
            }
            assert_eq!((found, set.len()), (expected, 0));
        }
    }

    #[test]
    fn what_is_free_in_two_sets_is_left() {
        let mut rng = Rng::new(12);
        for _ in 0..300 {
            let len = rng.range(1..9000);
            let (mut set, mut other) = (NumberSet::all(len), NumberSet::all(len));
            let (ours, theirs) = (rng.range(1..40), rng.range(1..4));
            (0..len as u32).filter(|_| rng.chance(1, ours as u64)).for_each(|number| set.remove(number));
            (0..len as u32).filter(|_| rng.chance(1, theirs as u64)).for_each(|number| other.remove(number));
            let mut expected = NumberSet::none(len);
            let both = (0..len as u32).filter(|number| set.contains(*number) && other.contains(*number));
            both.for_each(|number| expected.insert(number));
            set.intersect(&other);
            assert_eq!((&set.free, &set.words, set.count), (&expected.free, &expected.words, expected.count));
        }
    }

    #[test]
    fn the_first_free_number_from_a_start_is_the_nearest() {
        let mut set = NumberSet::all(64_512);
        for expected in 60_000..60_200 {
            assert_eq!(set.first_from(60_000), Some(expected));
            set.remove(expected);
        }
        set.insert(60_100);
        assert_eq!(set.first_from(60_000), Some(60_100));
        set.remove(60_100);
        assert_eq!(set.first_from(60_000), Some(60_200));
        set.clear();
        assert_eq!((set.first_from(0), set.len()), (None, 0));
    }
}
