//! Rings in the shared memory, from the client's side: one carries frames to the server, one
//! brings its frames.
//!
//! ```text
//! 0   cookie u32, flags u16, head u16      the client writes head
//! 64  tail u16                             the server writes tail
//! 128 descriptors of 16 bytes              flags u16, region u16, length u32, offset u32, metadata u32
//! ```
//! Both counters run on and wrap. Toward the server, `head` says how far there are frames, and
//! `tail` how far it has taken them. From the server, `head` says how far there are buffers,
//! and `tail` how far it has filled them.
//!
//! Slot *n* always has buffer *n*, so of what a server writes there are left: its counter, and
//! the length and the flags of a descriptor. Each is read once and checked then.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use super::region::Region;

/// Bytes of a buffer. DPDK and VPP take so many for granted unless they are told otherwise;
/// longer frames lie in several.
pub(crate) const BUFFER: usize = 2048;
/// Slots of the smallest and of the largest ring, as powers of two.
pub(crate) const LEAST_LOG2: u8 = 6;
pub(crate) const MOST_LOG2: u8 = 12;

/// Bytes of a region with so many pairs of rings.
pub(crate) fn region_len(pairs: u16, log2_ring: u8) -> usize {
    buffers(pairs, log2_ring) + 2 * usize::from(pairs) * (BUFFER << log2_ring)
}

/// Where a ring is in it: those to the server come first.
pub(crate) fn offset(pairs: u16, log2_ring: u8, to_server: bool, pair: u16) -> usize {
    number(pairs, to_server, pair) * ring_len(log2_ring)
}

/// Where buffers begin.
fn buffers(pairs: u16, log2_ring: u8) -> usize {
    (2 * usize::from(pairs) * ring_len(log2_ring)).next_multiple_of(4096)
}

fn number(pairs: u16, to_server: bool, pair: u16) -> usize {
    usize::from(if to_server { pair } else { pairs + pair })
}

fn ring_len(log2_ring: u8) -> usize {
    DESCRIPTORS + (DESCRIPTOR << log2_ring)
}

/// The other side's counter stands where it cannot: there is no telling what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lie;

/// A ring, and its buffers.
#[derive(Debug)]
struct Ring {
    region: Arc<Region>,
    /// Where its header is.
    base: usize,
    /// Where the buffer of its first slot is.
    buffers: usize,
    slots: u16,
}

impl Ring {
    fn new(region: &Arc<Region>, pairs: u16, log2_ring: u8, to_server: bool, pair: u16) -> Ring {
        let own_buffers = number(pairs, to_server, pair) * (BUFFER << log2_ring);
        let ring = Ring {
            region: Arc::clone(region),
            base: offset(pairs, log2_ring, to_server, pair),
            buffers: buffers(pairs, log2_ring) + own_buffers,
            slots: 1 << log2_ring,
        };
        ring.region.u32(ring.base).store(COOKIE, Ordering::Relaxed);
        ring
    }

    #[inline(always)]
    fn tail(&self) -> u16 {
        self.region.u16(self.base + TAIL).load(Ordering::Acquire)
    }

    #[inline(always)]
    fn set_head(&self, head: u16) {
        self.region.u16(self.base + HEAD).store(head, Ordering::Release);
    }

    #[inline(always)]
    fn slot(&self, counter: u16) -> usize {
        usize::from(counter & (self.slots - 1))
    }

    #[inline(always)]
    fn buffer(&self, slot: usize) -> usize {
        self.buffers + slot * BUFFER
    }

    /// Flags and length that stand in a descriptor.
    #[inline(always)]
    fn descriptor(&self, slot: usize) -> (u16, u32) {
        let word = self.region.u64(self.base + DESCRIPTORS + slot * DESCRIPTOR).load(Ordering::Relaxed);
        let [f0, f1, _, _, l0, l1, l2, l3] = word.to_ne_bytes();
        (u16::from_ne_bytes([f0, f1]), u32::from_ne_bytes([l0, l1, l2, l3]))
    }

    /// Writes the whole of a descriptor: whatever stood there was anybody's.
    #[inline(always)]
    fn describe(&self, slot: usize, flags: u16, len: u32) {
        let ([f0, f1], [l0, l1, l2, l3]) = (flags.to_ne_bytes(), len.to_ne_bytes());
        let [o0, o1, o2, o3] = (self.buffer(slot) as u32).to_ne_bytes();
        let at = self.base + DESCRIPTORS + slot * DESCRIPTOR;
        // Region 0; no metadata.
        let words = [[f0, f1, 0, 0, l0, l1, l2, l3], [o0, o1, o2, o3, 0, 0, 0, 0]];
        for (number, word) in words.into_iter().enumerate() {
            self.region.u64(at + 8 * number).store(u64::from_ne_bytes(word), Ordering::Relaxed);
        }
    }

    fn set_flags(&self, flags: u16) {
        self.region.u16(self.base + FLAGS).store(flags, Ordering::Relaxed);
    }
}

/// Brings the server's frames.
#[derive(Debug)]
pub(crate) struct Receiver {
    ring: Ring,
    /// The slot that is read next.
    next: u16,
}

/// What lay in the slots of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// A frame of so many bytes.
    Frame(usize),
    /// Nothing that could be a frame, or that there was room for.
    Bad,
}

impl Receiver {
    /// For a pair of a region, with a buffer in every slot. It asks not to be woken.
    pub(crate) fn new(region: &Arc<Region>, pairs: u16, log2_ring: u8, pair: u16) -> Receiver {
        let ring = Ring::new(region, pairs, log2_ring, false, pair);
        (0..usize::from(ring.slots)).for_each(|slot| ring.describe(slot, 0, BUFFER as u32));
        ring.set_flags(MASK_WAKING);
        Receiver { ring, next: 0 }
    }

    /// Tells the server that it may fill what is free. Not before it says that it is connected:
    /// until then it sets the counters to zero.
    #[inline]
    pub(crate) fn supply(&self) {
        self.ring.set_head(self.next.wrapping_add(self.ring.slots));
    }

    /// How many slots the server has filled.
    ///
    /// # Errors
    /// More than there were.
    #[inline(always)]
    pub(crate) fn waiting(&self) -> Result<u16, Lie> {
        let waiting = self.ring.tail().wrapping_sub(self.next);
        if waiting <= self.ring.slots { Ok(waiting) } else { Err(Lie) }
    }

    /// Copies the next frame to `room`. Call it while `waiting`, as [`Receiver::waiting`] said,
    /// is above zero; it counts down. Its slots are free again with the next
    /// [`Receiver::supply`].
    #[inline]
    pub(crate) fn take(&mut self, waiting: &mut u16, room: &mut [u8]) -> Taken {
        let (mut len, mut sound) = (0, true);
        while *waiting > 0 {
            let slot = self.ring.slot(self.next);
            let (flags, part) = self.ring.descriptor(slot);
            let part = part as usize;
            if sound && part <= BUFFER && part <= room.len() - len {
                self.ring.region.copy_out(self.ring.buffer(slot), &mut room[len..len + part]);
                len += part;
            } else {
                sound = false;
            }
            self.ring.describe(slot, 0, BUFFER as u32);
            self.next = self.next.wrapping_add(1);
            *waiting -= 1;
            if flags & NEXT == 0 {
                return if sound { Taken::Frame(len) } else { Taken::Bad };
            }
        }
        // It goes on in a slot that was not filled.
        Taken::Bad
    }

    /// Asks to be woken from now on, or not to be.
    pub(crate) fn ask_for_waking(&self, wake: bool) {
        self.ring.set_flags(if wake { 0 } else { MASK_WAKING });
        if wake {
            // What was filled before the server saw this is seen by who looks next.
            fence(Ordering::SeqCst);
        }
    }
}

/// Carries frames to the server.
#[derive(Debug)]
pub(crate) struct Sender {
    ring: Ring,
    /// The slot that is written next.
    next: u16,
    /// How far the server had taken them when last looked at.
    taken: u16,
}

impl Sender {
    /// For a pair of a region.
    pub(crate) fn new(region: &Arc<Region>, pairs: u16, log2_ring: u8, pair: u16) -> Sender {
        Sender { ring: Ring::new(region, pairs, log2_ring, true, pair), next: 0, taken: 0 }
    }

    /// Slots that a frame takes.
    #[inline(always)]
    pub(crate) fn slots_for(len: usize) -> usize {
        len.div_ceil(BUFFER).max(1)
    }

    /// Slots that there are in all.
    pub(crate) fn slots(&self) -> usize {
        usize::from(self.ring.slots)
    }

    /// How many slots are free.
    ///
    /// # Errors
    /// The server has taken more than there was, or given some back.
    #[inline(always)]
    pub(crate) fn free(&mut self) -> Result<usize, Lie> {
        let tail = self.ring.tail();
        if tail.wrapping_sub(self.taken) > self.next.wrapping_sub(self.taken) {
            return Err(Lie);
        }
        self.taken = tail;
        Ok(usize::from(self.ring.slots - self.next.wrapping_sub(tail)))
    }

    /// Puts a frame into the next slots, which must be free; [`Sender::publish`] shows it.
    #[inline]
    pub(crate) fn put(&mut self, mut bytes: &[u8]) {
        loop {
            let (part, rest) = bytes.split_at(bytes.len().min(BUFFER));
            let slot = self.ring.slot(self.next);
            self.ring.region.copy_in(self.ring.buffer(slot), part);
            self.ring.describe(slot, if rest.is_empty() { 0 } else { NEXT }, part.len() as u32);
            self.next = self.next.wrapping_add(1);
            if rest.is_empty() {
                return;
            }
            bytes = rest;
        }
    }

    /// Shows the server what was put there.
    #[inline]
    pub(crate) fn publish(&self) {
        self.ring.set_head(self.next);
    }

    /// Does the server want to be woken? Ask after [`Sender::publish`].
    #[inline]
    pub(crate) fn is_to_wake(&self) -> bool {
        fence(Ordering::SeqCst);
        self.ring.region.u16(self.ring.base + FLAGS).load(Ordering::Relaxed) & MASK_WAKING == 0
    }
}

const COOKIE: u32 = 0x03e3_1f20;
const FLAGS: usize = 4;
const HEAD: usize = 6;
const TAIL: usize = 64;
const DESCRIPTORS: usize = 128;
const DESCRIPTOR: usize = 16;
/// Of a ring: its receiver looks by itself.
const MASK_WAKING: u16 = 1;
/// Of a descriptor: the frame goes on in the next slot.
const NEXT: u16 = 1;

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
