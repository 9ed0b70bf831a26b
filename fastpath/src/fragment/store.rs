//! Copies of fragments that came before the first of their datagram.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::queue::NONE;
use crate::frame::Frame;

/// The longest frame that is held, in bytes.
pub const LONGEST_FRAME: usize = 2048;
/// Room in front of a frame, for the headers of an ICMP error about it.
const HEADROOM: usize = 128;

/// A fixed number of buffers, allocated once; what is held hangs in chains, one a
/// datagram.
///
/// A buffer is free, holds a fragment, waits to be released, or is under way: lent out
/// as a [`Frame`] until [`Store::take_back`].
pub(super) struct Store {
    free: Vec<Frame>,
    held: Box<[Slot]>,
    /// The first of the free slots, chained.
    vacant: u32,
    released: VecDeque<Frame>,
    /// How many are under way.
    lent: usize,
    count: usize,
}

struct Slot {
    frame: Option<Frame>,
    next: u32,
}

impl Store {
    /// `count` buffers, whose frames carry `token`.
    pub(super) fn new(count: usize, token: u64) -> Store {
        let free = (0..count).map(|_| Frame::held(token, HEADROOM + LONGEST_FRAME));
        let next = |at: usize| if at + 1 < count { at as u32 + 1 } else { NONE };
        Store {
            free: free.collect(),
            held: (0..count).map(|at| Slot { frame: None, next: next(at) }).collect(),
            vacant: if count == 0 { NONE } else { 0 },
            released: VecDeque::with_capacity(count),
            lent: 0,
            count,
        }
    }

    /// What it occupies, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.count * (HEADROOM + LONGEST_FRAME + 2 * size_of::<Frame>()) + size_of_val(&*self.held)
    }

    pub(super) fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    /// Copies a frame and hangs it in front of the chain that begins at `chain`.
    ///
    /// # Panics
    /// There is no room, or the frame is longer than [`LONGEST_FRAME`].
    pub(super) fn hold(&mut self, frame: &Frame, chain: &mut u32) {
        let mut copy = self.free.pop().expect("whoever holds a fragment asked for room");
        copy.refill(HEADROOM, frame.bytes());
        copy.ingress = frame.ingress;
        copy.offload = frame.offload;
        let at = self.vacant;
        // A buffer that is not free is in a slot, or in none.
        let slot = &mut self.held[at as usize];
        self.vacant = slot.next;
        *slot = Slot { frame: Some(copy), next: *chain };
        *chain = at;
    }

    /// Gives up all of a chain; says how many fragments there were.
    pub(super) fn give_up(&mut self, chain: &mut u32) -> u64 {
        let mut count = 0;
        while let Some(frame) = self.unhang(chain) {
            self.free.push(frame);
            count += 1;
        }
        count
    }

    /// Releases all of a chain, the latest first.
    pub(super) fn release(&mut self, chain: &mut u32) {
        while let Some(frame) = self.unhang(chain) {
            self.released.push_back(frame);
        }
    }

    /// The next fragment that was released, lent out.
    pub(super) fn next_released(&mut self) -> Option<Frame> {
        let frame = self.released.pop_front();
        self.lent += usize::from(frame.is_some());
        frame
    }

    /// Takes back a buffer that was lent out. One too many is of a store that this one took the
    /// place of.
    pub(super) fn take_back(&mut self, frame: Frame) {
        assert!(frame.owner().is_held(), "a buffer goes back to its owner");
        if self.lent == 0 {
            drop(frame.into_heap());
            return;
        }
        self.lent -= 1;
        self.free.push(frame);
    }

    /// Takes the first fragment off a chain.
    fn unhang(&mut self, chain: &mut u32) -> Option<Frame> {
        if *chain == NONE {
            return None;
        }
        let at = *chain;
        let slot = &mut self.held[at as usize];
        let frame = slot.frame.take();
        *chain = slot.next;
        slot.next = self.vacant;
        self.vacant = at;
        frame
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let held = self.held.iter_mut().filter_map(|slot| slot.frame.take());
        for frame in self.free.drain(..).chain(held).chain(self.released.drain(..)) {
            drop(frame.into_heap());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PortId;

    fn frame(byte: u8) -> Frame {
        let mut frame = Frame::boxed(&[byte; 60], 0, 0);
        frame.ingress = PortId(u16::from(byte));
        frame
    }

    #[test]
    fn what_is_held_comes_out_as_it_went_in_and_the_buffer_comes_back() {
        let mut store = Store::new(2, 6);
        for byte in 0..9 {
            let mut chain = NONE;
            let original = frame(byte);
            store.hold(&original, &mut chain);
            store.release(&mut chain);
            let released = store.next_released().expect("it was released");
            assert_eq!((released.bytes(), released.ingress, released.token()), (original.bytes(), original.ingress, 6));
            assert_eq!(released.headroom(), HEADROOM);
            store.take_back(released);
            drop(original.into_heap());
        }
        assert!(store.next_released().is_none() && store.has_room());
    }

    #[test]
    fn a_full_store_has_room_again_when_a_chain_is_given_up() {
        let mut store = Store::new(3, 4);
        let (mut one, mut other) = (NONE, NONE);
        for (byte, chain) in [(1, &mut one), (2, &mut other)] {
            let original = frame(byte);
            store.hold(&original, chain);
            drop(original.into_heap());
        }
        let original = frame(3);
        store.hold(&original, &mut one);
        drop(original.into_heap());
        assert!(!store.has_room());
        assert_eq!((store.give_up(&mut one), one), (2, NONE));
        store.release(&mut other);
        let released = store.next_released().expect("it was released");
        assert_eq!(released.bytes(), [2; 60]);
        store.take_back(released);
        assert_eq!(store.free.len(), 3);
    }
}
