//! The sessions of one worker and one address family.

use alloc::boxed::Box;

use super::{Direction, FlowKey, Found, Index, Seed, Session, Wheel};
use crate::address::Address;
use crate::burst::Burst;
use crate::time::Instant;

/// What a burst of look-ups found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Has a key no session?
    pub missing: bool,
    /// Does a key go back through its session?
    pub back: bool,
}

/// There is no room for another session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableFull;

/// A table of at most `capacity` sessions, sized when it is made.
pub struct SessionTable<A> {
    index: Index,
    records: Box<[Session<A>]>,
    wheel: Wheel,
    /// Numbers that were given back; chained through `created_ms`.
    free: u32,
    /// Numbers from here on were never used.
    fresh: u32,
    count: usize,
    seed: Seed,
}

const NONE: u32 = u32::MAX;

impl<A: Address> SessionTable<A> {
    /// An empty table. Memory of records is touched when they are first used.
    ///
    /// # Panics
    /// `capacity` needs more than 31 bits.
    pub fn new(capacity: usize, seed: Seed, now: Instant) -> SessionTable<A> {
        SessionTable {
            index: Index::with_capacity(capacity * 2),
            records: zeroed_records(capacity),
            wheel: Wheel::new(capacity, now.as_millis()),
            free: NONE,
            fresh: 0,
            count: 0,
            seed,
        }
    }

    /// Live sessions.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Is there no session?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The most sessions it can hold.
    pub fn capacity(&self) -> usize {
        self.records.len()
    }

    /// What it occupies at full capacity, in bytes.
    pub fn bytes(&self) -> usize {
        self.index.bytes() + size_of_val(&*self.records) + self.wheel.bytes()
    }

    /// The session of this number.
    ///
    /// # Panics
    /// There is none: numbers come from this table.
    #[inline(always)]
    pub fn get(&self, session: u32) -> &Session<A> {
        &self.records[session as usize]
    }

    /// The session of this number, to be written to. Panics as [`SessionTable::get`].
    #[inline(always)]
    pub fn get_mut(&mut self, session: u32) -> &mut Session<A> {
        &mut self.records[session as usize]
    }

    /// Finds the sessions of a burst of keys: `out[i]` answers `keys[i]`.
    ///
    /// Buckets, then records are prefetched for the whole burst, so that the cache
    /// misses of up to 64 look-ups overlap.
    ///
    /// # Panics
    /// The lengths differ or exceed a burst: a bug in the caller.
    #[inline]
    pub fn find_burst(&self, keys: &[FlowKey<A>], out: &mut [Option<Found>]) -> Tally {
        assert!(keys.len() == out.len() && keys.len() <= Burst::MAX, "one answer a key, a burst at most");
        let mut hashes = [0u64; Burst::MAX];
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = self.announce(key);
        }
        self.find_announced(keys, &hashes[..keys.len()], out)
    }

    /// The hash of a key, whose bucket the CPU is asked for: the first half of
    /// [`SessionTable::find_burst`], for one key.
    #[inline(always)]
    pub fn announce(&self, key: &FlowKey<A>) -> u64 {
        let hash = key.hash(self.seed);
        self.index.prefetch(hash);
        hash
    }

    /// The second half of [`SessionTable::find_burst`]: `hashes[i]` is what
    /// [`SessionTable::announce`] made of `keys[i]`.
    ///
    /// # Panics
    /// The lengths differ or exceed a burst: a bug in the caller.
    #[inline]
    pub fn find_announced(&self, keys: &[FlowKey<A>], hashes: &[u64], out: &mut [Option<Found>]) -> Tally {
        assert!(
            keys.len() == out.len() && keys.len() == hashes.len() && keys.len() <= Burst::MAX,
            "one answer a key, a burst at most"
        );
        let mut candidates = [NONE; Burst::MAX];
        for (candidate, hash) in candidates.iter_mut().zip(hashes) {
            if let Some(number) = self.index.candidate(*hash) {
                *candidate = number;
                let record = self.records.as_ptr().wrapping_add(number as usize);
                crate::cpu::prefetch(record);
                if size_of::<Session<A>>() > 64 {
                    crate::cpu::prefetch(record.cast::<u8>().wrapping_add(64));
                }
            }
        }
        // Nearly always it is the candidate.
        let mut tally = Tally::default();
        for ((key, out), session) in keys.iter().zip(&mut *out).zip(&candidates) {
            if let Some(record) = self.records.get(*session as usize)
                && let Some(direction) = record.direction(key)
            {
                tally.back |= direction == Direction::Back;
                *out = Some(Found { session: *session, direction });
            } else {
                tally.missing = true;
                *out = None;
            }
        }
        if tally.missing { self.find_others(keys, hashes, out, tally) } else { tally }
    }

    /// Looks further for those that were not the candidate.
    fn find_others(&self, keys: &[FlowKey<A>], hashes: &[u64], out: &mut [Option<Found>], before: Tally) -> Tally {
        let mut tally = Tally { missing: false, ..before };
        for ((key, hash), out) in keys.iter().zip(hashes).zip(out).filter(|(_, out)| out.is_none()) {
            *out = self.find_hashed(key, *hash);
            tally.missing |= out.is_none();
            tally.back |= out.is_some_and(|found| found.direction == Direction::Back);
        }
        tally
    }

    /// Asks the CPU for what a look-up of this key or the insertion of a session with
    /// it reads first.
    #[inline]
    pub fn prefetch(&self, key: &FlowKey<A>) {
        self.index.prefetch(key.hash(self.seed));
    }

    /// Finds the session that a packet with this key belongs to.
    pub fn find(&self, key: &FlowKey<A>) -> Option<Found> {
        self.find_hashed(key, key.hash(self.seed))
    }

    #[inline(always)]
    fn find_hashed(&self, key: &FlowKey<A>, hash: u64) -> Option<Found> {
        let mut direction = None;
        let session = self.index.find(hash, |record| {
            direction = self.records[record as usize].direction(key);
            direction.is_some()
        })?;
        let direction = direction?;
        Some(Found { session, direction })
    }

    /// Adds a session, to be looked at again after `timeout_ms`; says its number.
    ///
    /// # Errors
    /// [`TableFull`]: nothing was changed.
    ///
    /// # Panics
    /// One of its keys is in the table already, in builds with debug assertions.
    pub fn insert(&mut self, session: Session<A>, timeout_ms: u32, now: Instant) -> Result<u32, TableFull> {
        debug_assert!(self.find(&session.forth).is_none(), "a flow has one session");
        debug_assert!(self.find(&session.back).is_none(), "what answers has one session");
        let number = if self.free != NONE {
            self.free
        } else if (self.fresh as usize) < self.records.len() {
            self.fresh
        } else {
            return Err(TableFull);
        };
        let (forth, back) = (session.forth.hash(self.seed), session.back.hash(self.seed));
        if !self.index.insert(forth, number) {
            return Err(TableFull);
        }
        if !self.index.insert(back, number) {
            self.index.remove(forth, number);
            return Err(TableFull);
        }
        if number == self.free {
            self.free = self.records[number as usize].created_ms;
            // The next session will be begun soon, and with this number.
            crate::cpu::prefetch(self.records.as_ptr().wrapping_add(self.free as usize));
            self.wheel.prefetch(self.free);
        } else {
            self.fresh += 1;
        }
        self.records[number as usize] = Session { live: true, ..session };
        self.wheel.insert(number, now.as_millis() + u64::from(timeout_ms));
        self.count += 1;
        Ok(number)
    }

    /// Ends a session and returns what it was.
    ///
    /// # Panics
    /// There is no such session.
    pub fn remove(&mut self, number: u32) -> Session<A> {
        self.wheel.remove(number);
        self.forget(number)
    }

    /// Ends one session that has been silent for its timeout, if one is due, and
    /// returns what it was. `timeout_ms` says how long a session may be silent.
    ///
    /// Looks at no more than `budget` sessions whose old deadline came up and
    /// takes from it what it used.
    pub fn expire(
        &mut self,
        now: Instant,
        budget: &mut u32,
        timeout_ms: impl Fn(&Session<A>) -> u32,
    ) -> Option<Session<A>> {
        while *budget > 0 {
            *budget -= 1;
            let number = self.wheel.pop_due(now.as_millis())?;
            let session = &self.records[number as usize];
            let silent = (now.as_millis() as u32).wrapping_sub(session.last_ms);
            let timeout = timeout_ms(session);
            if silent >= timeout {
                return Some(self.forget(number));
            }
            self.wheel.insert(number, now.as_millis() + u64::from(timeout - silent));
        }
        None
    }

    /// May there be sessions that are due by `now`, and that [`SessionTable::expire`]
    /// has not come to yet?
    pub fn is_behind(&self, now: Instant) -> bool {
        self.wheel.is_behind(now.as_millis())
    }

    /// Looks at a session's deadline anew: its timeout became shorter.
    pub fn reschedule(&mut self, number: u32, timeout_ms: u32, now: Instant) {
        self.wheel.remove(number);
        self.wheel.insert(number, now.as_millis() + u64::from(timeout_ms));
    }

    /// Up to `limit` live sessions from number `from` on; the caller goes on with
    /// the number that is returned, until it is `None`. Looks at no more than
    /// `limit` records, live or not.
    pub fn page(&self, from: u32, limit: u32, mut each: impl FnMut(u32, &Session<A>)) -> Option<u32> {
        let end = self.fresh.min(from.saturating_add(limit));
        for number in from..end {
            let session = &self.records[number as usize];
            if session.live {
                each(number, session);
            }
        }
        (end < self.fresh).then_some(end)
    }

    /// Takes the session out of everything but the wheel.
    fn forget(&mut self, number: u32) -> Session<A> {
        let session = self.records[number as usize];
        assert!(session.live, "a session that ends was live");
        self.index.remove(session.forth.hash(self.seed), number);
        self.index.remove(session.back.hash(self.seed), number);
        self.records[number as usize] = Session { created_ms: self.free, ..Session::default() };
        self.free = number;
        self.count -= 1;
        session
    }
}

/// Records that cost no memory until they are written to.
fn zeroed_records<A: Address>(capacity: usize) -> Box<[Session<A>]> {
    let records = Box::<[Session<A>]>::new_zeroed_slice(capacity);
    // SAFETY: every field of a session is an integer, an array of integers or a
    // bool, for all of which zero bytes are a value; `Address` is sealed, and u32
    // and u128 are. `a_record_of_zeros_is_the_default` would catch a change.
    unsafe { records.assume_init() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn a_record_of_zeros_is_the_default() {
        assert_eq!(format!("{:?}", zeroed_records::<u32>(1)[0]), format!("{:?}", Session::<u32>::default()));
        assert_eq!(format!("{:?}", zeroed_records::<u128>(1)[0]), format!("{:?}", Session::<u128>::default()));
    }

    #[test]
    fn an_ipv4_session_is_one_cache_line_and_an_ipv6_session_two() {
        assert_eq!(size_of::<Session<u32>>(), 64);
        assert_eq!(size_of::<Session<u128>>(), 128);
    }
}
