//! Random tests that can be run again.
//!
//! ```
//! use causeway_testkit::seed::Seed;
//!
//! let seed = Seed::from_env_or(7);
//! let mut rng = seed.rng();
//! assert!(rng.range(10..20) < 20);
//! ```

use std::ops::Range;

/// The number that a random test's whole course follows from.
///
/// Keep it alive for the length of the test: dropped by a panic, it prints
/// itself, so that the same test can be run again with `CAUSEWAY_SEED`.
#[derive(Debug)]
#[must_use = "a seed prints itself when the test that holds it panics"]
pub struct Seed(u64);

impl Seed {
    /// This seed, whatever the environment says.
    pub fn new(seed: u64) -> Self {
        Seed(seed)
    }

    /// The seed in the environment's `CAUSEWAY_SEED` (decimal, or hexadecimal
    /// after `0x`), or else `default`.
    ///
    /// # Panics
    /// `CAUSEWAY_SEED` is not a number of 64 bits.
    pub fn from_env_or(default: u64) -> Self {
        match std::env::var("CAUSEWAY_SEED") {
            Ok(text) => Seed(parse(&text)),
            Err(_) => Seed(default),
        }
    }

    /// The number.
    pub fn value(&self) -> u64 {
        self.0
    }

    /// A generator that starts from here; each call gives the same.
    pub fn rng(&self) -> Rng {
        Rng::new(self.0)
    }
}

impl Drop for Seed {
    #[expect(clippy::print_stderr, reason = "where a failing test's reader looks")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was seed {0}; again: CAUSEWAY_SEED={0}", self.0);
        }
    }
}

/// A small deterministic generator (xoshiro256**), the same on every machine and
/// in every version. For tests: it keeps no secret.
#[derive(Clone, Debug)]
pub struct Rng([u64; 4]);

impl Rng {
    /// A generator that starts from `seed`, any number.
    pub fn new(seed: u64) -> Self {
        // SplitMix64 fills the state, as xoshiro's authors advise: never all zero.
        let mut state = seed;
        Rng(std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }))
    }

    /// A generator of its own course, drawn from this one.
    pub fn fork(&mut self) -> Rng {
        Rng::new(self.u64())
    }

    /// Any 64 bits.
    pub fn u64(&mut self) -> u64 {
        let state = &mut self.0;
        let result = state[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = state[1] << 17;
        state[2] ^= state[0];
        state[3] ^= state[1];
        state[1] ^= state[2];
        state[0] ^= state[3];
        state[2] ^= shifted;
        state[3] = state[3].rotate_left(45);
        result
    }

    /// Any 32 bits.
    pub fn u32(&mut self) -> u32 {
        (self.u64() >> 32) as u32
    }

    /// Any 16 bits.
    pub fn u16(&mut self) -> u16 {
        (self.u64() >> 48) as u16
    }

    /// Any 8 bits.
    pub fn u8(&mut self) -> u8 {
        (self.u64() >> 56) as u8
    }

    /// Either.
    pub fn bool(&mut self) -> bool {
        self.u64() >> 63 == 1
    }

    /// True `times` in `of` times.
    pub fn chance(&mut self, times: u64, of: u64) -> bool {
        self.below(of) < times
    }

    /// A number below `bound`.
    ///
    /// # Panics
    /// `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below 0");
        // The product's high half: off by less than one in 2^64 / bound.
        ((u128::from(self.u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number within `range`.
    ///
    /// # Panics
    /// `range` is empty.
    pub fn range(&mut self, range: Range<usize>) -> usize {
        assert!(!range.is_empty(), "no number is within {range:?}");
        range.start + self.below((range.end - range.start) as u64) as usize
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// There are none.
    pub fn choose<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.range(0..choices.len())]
    }

    /// `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.u8()).collect()
    }

    /// Puts `items` into any order, each as likely.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.range(0..last + 1));
        }
    }
}

fn parse(text: &str) -> u64 {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.unwrap_or_else(|_| panic!("CAUSEWAY_SEED={text:?} is not a number of 64 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_course() {
        let seed = Seed::new(42);
        assert_eq!(seed.rng().bytes(64), seed.rng().bytes(64));
        assert_ne!(seed.rng().bytes(64), Rng::new(43).bytes(64));
    }

    #[test]
    fn the_course_never_changes_between_versions() {
        let mut rng = Rng::new(0);
        assert_eq!([rng.u64(), rng.u64()], [0x99ec_5f36_cb75_f2b4, 0xbf6e_1f78_4956_452a]);
    }

    #[test]
    fn a_range_reaches_both_its_ends_and_nothing_else() {
        let mut rng = Rng::new(1);
        let mut seen = [0; 5];
        for _ in 0..1000 {
            seen[rng.range(3..8) - 3] += 1;
        }
        assert!(seen.iter().all(|&count| count > 100), "{seen:?}");
    }

    #[test]
    fn a_shuffle_loses_nothing() {
        let mut items: Vec<u32> = (0..100).collect();
        Rng::new(9).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn seeds_are_read_in_decimal_and_hexadecimal() {
        assert_eq!((parse("17"), parse("0xff")), (17, 255));
    }
}
