//! Timers: a wheel of one revolution, with a list of numbers in each slot.
//!
//! A deadline further away than a revolution waits in the last slot and is put
//! in again when it comes round; whoever takes a number out asks the record
//! whether it is really due. A refreshed session therefore costs nothing until
//! its old deadline comes up.

use alloc::boxed::Box;
use alloc::vec;

/// Slots of the wheel; with ticks of a quarter second a revolution is 2 h 16 min,
/// a little more than the longest default timeout (RFC 5382's 2 h 4 min).
const SLOTS: u32 = 1 << 15;
/// No number.
const NONE: u32 = u32::MAX;
/// In `previous`: the number is the first of the slot in the lower bits.
const HEAD: u32 = 1 << 31;
/// Empty slots that one call steps over at most.
const STEPS: u32 = 256;

/// A timer wheel over the numbers `0..capacity`. Never allocates after it was made.
pub struct Wheel {
    heads: Box<[u32]>,
    links: Box<[Link]>,
    /// The tick up to which everything was taken out.
    cursor: u64,
    count: usize,
}

#[derive(Clone, Copy)]
struct Link {
    next: u32,
    previous: u32,
}

impl Wheel {
    /// Length of a tick, in milliseconds.
    pub const TICK_MS: u64 = 250;

    /// A wheel for the numbers `0..capacity`, standing at `now_ms`.
    ///
    /// # Panics
    /// `capacity` needs more than 31 bits.
    pub fn new(capacity: usize, now_ms: u64) -> Wheel {
        assert!(capacity < HEAD as usize, "numbers on the wheel have 31 bits");
        Wheel {
            heads: vec![NONE; SLOTS as usize].into_boxed_slice(),
            links: vec![Link { next: 0, previous: 0 }; capacity].into_boxed_slice(),
            cursor: now_ms / Self::TICK_MS,
            count: 0,
        }
    }

    /// What it occupies, in bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.heads) + size_of_val(&*self.links)
    }

    /// Asks the CPU for what [`Wheel::insert`] of `number` will write.
    #[inline(always)]
    pub fn prefetch(&self, number: u32) {
        crate::cpu::prefetch(self.links.as_ptr().wrapping_add(number as usize));
    }

    /// Puts `number` in, to come out in the first tick that starts at or after
    /// `deadline_ms`, or at the end of the revolution if that is earlier.
    pub fn insert(&mut self, number: u32, deadline_ms: u64) {
        let tick = deadline_ms.div_ceil(Self::TICK_MS);
        let tick = tick.clamp(self.cursor + 1, self.cursor + u64::from(SLOTS) - 1);
        let slot = (tick % u64::from(SLOTS)) as u32;
        let first = self.heads[slot as usize];
        if first != NONE {
            self.links[first as usize].previous = number;
        }
        self.links[number as usize] = Link { next: first, previous: HEAD | slot };
        self.heads[slot as usize] = number;
        self.count += 1;
    }

    /// Takes `number` out before its time. It must be in.
    pub fn remove(&mut self, number: u32) {
        let Link { next, previous } = self.links[number as usize];
        if next != NONE {
            self.links[next as usize].previous = previous;
        }
        if previous & HEAD != 0 {
            self.heads[(previous & !HEAD) as usize] = next;
        } else {
            self.links[previous as usize].next = next;
        }
        self.count -= 1;
    }

    /// Is there a slot before `now_ms` that was not looked at yet?
    pub fn is_behind(&self, now_ms: u64) -> bool {
        self.count > 0 && self.cursor < now_ms / Self::TICK_MS
    }

    /// Takes out one number whose slot has come up at `now_ms`, if there is one.
    ///
    /// Steps over at most 256 empty slots a call, so a wheel that stood still for
    /// long catches up over several calls.
    pub fn pop_due(&mut self, now_ms: u64) -> Option<u32> {
        let now = now_ms / Self::TICK_MS;
        if self.count == 0 {
            self.cursor = self.cursor.max(now);
            return None;
        }
        for _ in 0..STEPS {
            if self.cursor >= now {
                return None;
            }
            let slot = ((self.cursor + 1) % u64::from(SLOTS)) as usize;
            let number = self.heads[slot];
            if number != NONE {
                self.remove(number);
                return Some(number);
            }
            self.cursor += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_out_at_its_deadline_and_not_before() {
        let mut wheel = Wheel::new(4, 0);
        wheel.insert(3, 1000);
        assert_eq!(wheel.pop_due(999), None);
        assert_eq!(wheel.pop_due(1000), Some(3));
        assert_eq!(wheel.pop_due(10_000), None);
    }

    #[test]
    fn a_removed_number_does_not_come_out() {
        let mut wheel = Wheel::new(8, 0);
        for number in 0..5 {
            wheel.insert(number, 500);
        }
        wheel.remove(4);
        wheel.remove(2);
        wheel.remove(0);
        assert_eq!(wheel.pop_due(500), Some(3));
        assert_eq!(wheel.pop_due(500), Some(1));
        assert_eq!(wheel.pop_due(500), None);
    }

    #[test]
    fn a_deadline_beyond_the_revolution_comes_out_early_to_be_put_in_again() {
        let mut wheel = Wheel::new(1, 0);
        let revolution = u64::from(SLOTS) * Wheel::TICK_MS;
        wheel.insert(0, 3 * revolution);
        let mut at = 0;
        while wheel.pop_due(at).is_none() {
            at += 60_000;
        }
        assert!(at < revolution + 60_000);
    }

    #[test]
    fn a_wheel_that_stood_still_knows_until_it_has_caught_up() {
        let mut wheel = Wheel::new(1, 0);
        let later = 3_600_000;
        assert!(!wheel.is_behind(later), "an empty wheel has nothing to catch up with");
        wheel.insert(0, later);
        let mut calls = 1;
        while wheel.pop_due(later).is_none() {
            assert!(wheel.is_behind(later));
            calls += 1;
        }
        assert_eq!(calls, (later / Wheel::TICK_MS).div_ceil(u64::from(STEPS)));
        assert!(!wheel.is_behind(later));
    }

    #[test]
    fn a_deadline_in_the_past_comes_out_with_the_next_tick() {
        let mut wheel = Wheel::new(1, 5_000);
        wheel.insert(0, 10);
        assert_eq!(wheel.pop_due(5_000), None);
        assert_eq!(wheel.pop_due(5_250), Some(0));
    }
}
