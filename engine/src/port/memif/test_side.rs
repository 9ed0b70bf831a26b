//! The server's side of a pair of rings, honest or not.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use super::region::Region;
use super::ring::{self, BUFFER};

/// What a server does to the rings of a pair. It goes by where the client said that they are.
pub(crate) struct Side {
    pub(crate) region: Arc<Region>,
    /// Where the ring is that carries the client's frames.
    pub(crate) taken_from: usize,
    /// Where the ring is that it fills.
    pub(crate) filled: usize,
    pub(crate) slots: u16,
    next_taken: u16,
    next_filled: u16,
}

impl Side {
    /// Of rings at these offsets.
    pub(crate) fn new(region: Arc<Region>, taken_from: usize, filled: usize, slots: u16) -> Side {
        Side { region, taken_from, filled, slots, next_taken: 0, next_filled: 0 }
    }

    /// Of a pair that lies as the client lays it.
    pub(crate) fn of_pair(region: Arc<Region>, pairs: u16, log2_ring: u8, pair: u16) -> Side {
        let at = |to_server| ring::offset(pairs, log2_ring, to_server, pair);
        Side::new(region, at(true), at(false), 1 << log2_ring)
    }

    fn word(&self, offset: usize) -> u16 {
        self.region.u16(offset).load(Ordering::SeqCst)
    }

    fn descriptor(&self, ring: usize, counter: u16) -> usize {
        ring + 128 + 16 * usize::from(counter % self.slots)
    }

    /// Sets the counter that is the server's to set.
    pub(crate) fn set_tail(&self, ring: usize, tail: u16) {
        self.region.u16(ring + 64).store(tail, Ordering::SeqCst);
    }

    /// Writes flags and length of a descriptor of the ring that it fills.
    pub(crate) fn describe(&self, counter: u16, flags: u16, len: u32) {
        let at = self.descriptor(self.filled, counter);
        self.region.u16(at).store(flags, Ordering::SeqCst);
        self.region.u32(at + 4).store(len, Ordering::SeqCst);
    }

    /// Puts a frame where the client will find it, in parts of at most `part` bytes; says
    /// whether there was room.
    pub(crate) fn push(&mut self, frame: &[u8], part: usize) -> bool {
        let free = self.word(self.filled + 6).wrapping_sub(self.next_filled);
        let parts: Vec<_> = frame.chunks(part.min(BUFFER)).collect();
        if parts.len() > usize::from(free) {
            return false;
        }
        for (number, bytes) in parts.iter().enumerate() {
            let at = self.descriptor(self.filled, self.next_filled);
            assert_eq!(self.region.u32(at + 4).load(Ordering::SeqCst), BUFFER as u32, "a whole buffer was offered");
            let buffer = self.region.u32(at + 8).load(Ordering::SeqCst) as usize;
            self.region.copy_in(buffer, bytes);
            self.describe(self.next_filled, u16::from(number + 1 < parts.len()), bytes.len() as u32);
            self.next_filled = self.next_filled.wrapping_add(1);
        }
        self.set_tail(self.filled, self.next_filled);
        true
    }

    /// Takes the oldest frame of the client.
    pub(crate) fn pop(&mut self) -> Option<Vec<u8>> {
        let mut frame = Vec::new();
        let head = self.word(self.taken_from + 6);
        while self.next_taken != head {
            let at = self.descriptor(self.taken_from, self.next_taken);
            let len = self.region.u32(at + 4).load(Ordering::SeqCst) as usize;
            let buffer = self.region.u32(at + 8).load(Ordering::SeqCst) as usize;
            let begin = frame.len();
            frame.resize(begin + len, 0);
            self.region.copy_out(buffer, &mut frame[begin..]);
            self.next_taken = self.next_taken.wrapping_add(1);
            if self.word(at) & 1 == 0 {
                self.set_tail(self.taken_from, self.next_taken);
                return Some(frame);
            }
        }
        assert!(frame.is_empty(), "a frame is published whole");
        None
    }

    /// Does the client want to be woken?
    pub(crate) fn is_to_wake(&self) -> bool {
        fence(Ordering::SeqCst);
        self.word(self.filled + 4) & 1 == 0
    }

    /// Wants to be woken, or not.
    pub(crate) fn ask_for_waking(&self, wake: bool) {
        self.region.u16(self.taken_from + 4).store(u16::from(!wake), Ordering::SeqCst);
    }
}
