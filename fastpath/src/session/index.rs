//! From a hash to the numbers of the records that may carry its key.
//!
//! A bucket is one cache line of twelve slots: a one-byte tag each, then the
//! record numbers, as in F14 (Bronson and Shi, "Open-sourcing F14", 2019). A tag
//! match is confirmed by the caller, who compares keys in the record, so the
//! index stores no key and serves any. A bucket counts the entries that wanted
//! it and went on; a look-up ends at the first bucket nothing went past, and a
//! removal leaves no tombstone.

use alloc::vec;
use alloc::vec::Vec;

/// Slots in a bucket.
const SLOTS: usize = 12;
/// Buckets a look-up or an insertion visits at most.
///
/// At three quarters' load a run of 16 overflowing buckets is common among two
/// million entries (measured, with this hash and with random numbers alike); a run
/// of 64 is to be expected in one full table of ten million.
const PROBES: usize = 64;

/// The tag of a slot without an entry.
const FREE: u8 = 0;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Bucket {
    /// [`FREE`], or the top bit and seven bits of the hash.
    tags: [u8; SLOTS],
    /// Entries that started here or before and live further on.
    passed: u32,
    records: [u32; SLOTS],
}

const EMPTY: Bucket = Bucket { tags: [FREE; SLOTS], passed: 0, records: [0; SLOTS] };

/// A hash index over numbered records. Fixed size; never allocates after it was made.
pub struct Index {
    buckets: Vec<Bucket>,
}

impl Index {
    /// An index for `entries` entries, loaded to three quarters at most.
    pub fn with_capacity(entries: usize) -> Index {
        let buckets = (entries * 4).div_ceil(SLOTS * 3).max(4);
        assert!(u32::try_from(buckets).is_ok(), "records have numbers of 32 bits");
        Index { buckets: vec![EMPTY; buckets] }
    }

    /// What it occupies, in bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(self.buckets.as_slice())
    }

    /// Asks the CPU for the bucket of `hash`.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        crate::cpu::prefetch(self.buckets.as_ptr().wrapping_add(self.home(hash)));
    }

    /// The first record in the home bucket whose tag matches: most often the one
    /// looked for, and worth prefetching.
    #[inline(always)]
    pub fn candidate(&self, hash: u64) -> Option<u32> {
        let bucket = &self.buckets[self.home(hash)];
        let matches = bucket.matches(tag(hash));
        (matches != 0).then(|| bucket.records[matches.trailing_zeros() as usize])
    }

    /// The record of `hash` for which `is` holds. Visits one bucket, or those that
    /// entries went past; at most 64.
    #[inline(always)]
    pub fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = tag(hash);
        let mut at = self.home(hash);
        for _ in 0..PROBES {
            let bucket = &self.buckets[at];
            let mut matches = bucket.matches(tag);
            while matches != 0 {
                let record = bucket.records[matches.trailing_zeros() as usize];
                if is(record) {
                    return Some(record);
                }
                matches &= matches - 1;
            }
            if bucket.passed == 0 {
                return None;
            }
            at = self.next(at);
        }
        None
    }

    /// Adds a record under `hash`; `false` when there is no room within reach.
    #[must_use]
    pub fn insert(&mut self, hash: u64, record: u32) -> bool {
        let home = self.home(hash);
        let mut at = home;
        for probe in 0..PROBES {
            let bucket = &mut self.buckets[at];
            let free = bucket.matches(FREE);
            if free != 0 {
                let slot = free.trailing_zeros() as usize;
                bucket.tags[slot] = tag(hash);
                bucket.records[slot] = record;
                let mut passed = home;
                for _ in 0..probe {
                    self.buckets[passed].passed += 1;
                    passed = self.next(passed);
                }
                return true;
            }
            at = self.next(at);
        }
        false
    }

    /// Takes a record away.
    ///
    /// # Panics
    /// It is not there under this hash: a bug in the caller.
    pub fn remove(&mut self, hash: u64, record: u32) {
        let home = self.home(hash);
        let mut at = home;
        for probe in 0..PROBES {
            let bucket = &mut self.buckets[at];
            for slot in 0..SLOTS {
                if bucket.tags[slot] == tag(hash) && bucket.records[slot] == record {
                    bucket.tags[slot] = FREE;
                    let mut passed = home;
                    for _ in 0..probe {
                        self.buckets[passed].passed -= 1;
                        passed = self.next(passed);
                    }
                    return;
                }
            }
            at = self.next(at);
        }
        panic!("a record that is taken away is in the index");
    }

    /// Maps the upper half of the hash onto the buckets without a division.
    #[inline(always)]
    fn home(&self, hash: u64) -> usize {
        let home = (((hash >> 32) * self.buckets.len() as u64) >> 32) as usize;
        // SAFETY: a fraction of the length, which is not 0 and has 32 bits.
        unsafe { core::hint::assert_unchecked(home < self.buckets.len()) };
        home
    }

    #[inline(always)]
    fn next(&self, at: usize) -> usize {
        if at + 1 == self.buckets.len() { 0 } else { at + 1 }
    }
}

/// The tag comes from the lower half of the hash, the bucket from the upper.
#[inline(always)]
fn tag(hash: u64) -> u8 {
    0x80 | hash as u8
}

impl Bucket {
    /// The slots whose tag is `tag`, one bit each.
    #[inline(always)]
    fn matches(&self, tag: u8) -> u32 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: SSE2 is part of x86_64; the bucket is 64 bytes, aligned to 64,
        // and its first 16 are the tags and `passed`, whose bits are masked off.
        unsafe {
            use core::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_load_si128, _mm_movemask_epi8, _mm_set1_epi8};
            let tags = _mm_load_si128(core::ptr::from_ref(self).cast::<__m128i>());
            let equal = _mm_cmpeq_epi8(tags, _mm_set1_epi8(tag as i8));
            _mm_movemask_epi8(equal) as u32 & ((1 << SLOTS) - 1)
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            let mut matches = 0;
            for (slot, other) in self.tags.iter().enumerate() {
                matches |= u32::from(*other == tag) << slot;
            }
            matches
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_one_cache_line() {
        assert_eq!(size_of::<Bucket>(), 64);
    }

    #[test]
    fn colliding_entries_overflow_and_are_found_and_leave_no_trace() {
        let mut index = Index::with_capacity(100);
        let hash = 0xdead_beef_0000_0007;
        let many = (SLOTS * 3) as u32;
        for record in 0..many {
            assert!(index.insert(hash, record));
        }
        for record in 0..many {
            assert_eq!(index.find(hash, |found| found == record), Some(record));
        }
        assert_eq!(index.find(hash, |_| false), None);
        for record in 0..many {
            index.remove(hash, record);
        }
        assert!(index.buckets.iter().all(|bucket| bucket.tags == [FREE; SLOTS] && bucket.passed == 0));
    }

    #[test]
    fn an_index_takes_as_many_entries_as_it_was_made_for() {
        const ENTRIES: u32 = 2_000_000;
        for seed in 1..=4u64 {
            let mut index = Index::with_capacity(ENTRIES as usize);
            let mut hash = seed;
            for record in 0..ENTRIES {
                // SplitMix64: as even as a hash can be.
                hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                assert!(index.insert(mixed ^ (mixed >> 31), record), "entry {record} found no room");
            }
        }
    }

    #[test]
    fn an_index_without_room_says_so() {
        let mut index = Index::with_capacity(1);
        let room = index.buckets.len() * SLOTS;
        let taken = (0..room as u32 + 1).filter(|record| index.insert(7, *record)).count();
        assert_eq!(taken, room);
    }
}
