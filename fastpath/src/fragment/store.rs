//! Copies of fragments that came before the first of their datagram.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::HEADROOM;
use super::cut::{Cuttings, LONGEST_PIECE};
use super::queue::NONE;
use crate::frame::Frame;
use crate::wire::ethernet::HEADER_LEN as L2;

/// The longest frame that is held, in bytes: as long as the pieces that are cut off others.
pub const LONGEST_FRAME: usize = L2 + LONGEST_PIECE;
/// What a buffer holds of a frame, in bytes: all of nearly every one.
pub(super) const BUFFER: usize = 2048;

/// A fixed number of buffers, allocated once; what is held hangs in chains, one a
/// datagram.
///
/// A buffer is free, holds a fragment or a part of one that is longer, waits to be released, or
/// is under way: lent out as a [`Frame`] until [`Store::take_back`]. A fragment in several
/// buffers is put together in another when it is lent out, one of [`Cuttings`].
pub(super) struct Store {
    free: Vec<Frame>,
    held: Box<[Slot]>,
    /// The first of the free slots, chained.
    vacant: u32,
    /// In order, each with whether the same fragment goes on in the next.
    released: VecDeque<(Frame, bool)>,
    /// How many are under way.
    lent: usize,
    count: usize,
}

struct Slot {
    frame: Option<Frame>,
    /// Does the same fragment go on in the next slot?
    goes_on: bool,
    next: u32,
}

/// There was no buffer to put a fragment together in.
pub(super) struct NoBuffer;

impl Store {
    /// `count` buffers, whose frames carry `token`.
    pub(super) fn new(count: usize, token: u64) -> Store {
        let free = (0..count).map(|_| Frame::held(token, HEADROOM + BUFFER));
        let next = |at: usize| if at + 1 < count { at as u32 + 1 } else { NONE };
        Store {
            free: free.collect(),
            held: (0..count).map(|at| Slot { frame: None, goes_on: false, next: next(at) }).collect(),
            vacant: if count == 0 { NONE } else { 0 },
            released: VecDeque::with_capacity(count),
            lent: 0,
            count,
        }
    }

    /// What it occupies, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.count * (HEADROOM + BUFFER + 2 * size_of::<Frame>()) + size_of_val(&*self.held)
    }

    /// How many buffers are free.
    pub(super) fn room(&self) -> usize {
        self.free.len()
    }

    /// Copies a frame and hangs it in front of the chain that begins at `chain`. It takes a
    /// buffer for each [`BUFFER`] bytes.
    ///
    /// # Panics
    /// There is no room.
    pub(super) fn hold(&mut self, frame: &Frame, chain: &mut u32) {
        let mut goes_on = false;
        for part in frame.bytes().chunks(BUFFER).rev() {
            let mut copy = self.free.pop().expect("whoever holds a fragment asked for room");
            copy.refill(HEADROOM, part);
            copy.ingress = frame.ingress;
            copy.offload = frame.offload;
            let at = self.vacant;
            // A buffer that is not free is in a slot, or in none.
            let slot = &mut self.held[at as usize];
            self.vacant = slot.next;
            *slot = Slot { frame: Some(copy), goes_on, next: *chain };
            *chain = at;
            goes_on = true;
        }
    }

    /// Gives up all of a chain; says how many fragments there were.
    pub(super) fn give_up(&mut self, chain: &mut u32) -> u64 {
        let mut count = 0;
        while let Some((frame, goes_on)) = self.unhang(chain) {
            self.free.push(frame);
            count += u64::from(!goes_on);
        }
        count
    }

    /// Releases all of a chain, the latest first.
    pub(super) fn release(&mut self, chain: &mut u32) {
        while let Some(part) = self.unhang(chain) {
            self.released.push_back(part);
        }
    }

    /// The next fragment that was released, lent out.
    pub(super) fn next_released(&mut self, cuttings: &mut Cuttings) -> Option<Result<Frame, NoBuffer>> {
        let (first, mut goes_on) = self.released.pop_front()?;
        if !goes_on {
            self.lent += 1;
            return Some(Ok(first));
        }
        let mut whole = cuttings.lend(first.bytes());
        if let Some(whole) = &mut whole {
            (whole.ingress, whole.offload) = (first.ingress, first.offload);
        }
        self.free.push(first);
        while goes_on && let Some((part, is_more)) = self.released.pop_front() {
            if let Some(whole) = &mut whole {
                whole.append(part.bytes());
            }
            self.free.push(part);
            goes_on = is_more;
        }
        Some(whole.ok_or(NoBuffer))
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

    /// Takes the first buffer off a chain; says whether its fragment goes on in the next.
    fn unhang(&mut self, chain: &mut u32) -> Option<(Frame, bool)> {
        if *chain == NONE {
            return None;
        }
        let at = *chain;
        let slot = &mut self.held[at as usize];
        let part = slot.frame.take().map(|frame| (frame, slot.goes_on));
        *chain = slot.next;
        slot.next = self.vacant;
        self.vacant = at;
        part
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let held = self.held.iter_mut().filter_map(|slot| slot.frame.take());
        for frame in self.free.drain(..).chain(held).chain(self.released.drain(..).map(|part| part.0)) {
            drop(frame.into_heap());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PortId;

    /// What comes out next.
    fn released(store: &mut Store, cuttings: &mut Cuttings) -> Frame {
        store.next_released(cuttings).and_then(Result::ok).expect("it was released")
    }

    fn frame(byte: u8) -> Frame {
        let mut frame = Frame::boxed(&[byte; 60], 0, 0);
        frame.ingress = PortId(u16::from(byte));
        frame
    }

    #[test]
    fn what_is_held_comes_out_as_it_went_in_and_the_buffer_comes_back() {
        let (mut store, mut cuttings) = (Store::new(2, 6), Cuttings::new());
        for byte in 0..9 {
            let mut chain = NONE;
            let original = frame(byte);
            store.hold(&original, &mut chain);
            store.release(&mut chain);
            let released = released(&mut store, &mut cuttings);
            assert_eq!((released.bytes(), released.ingress, released.token()), (original.bytes(), original.ingress, 6));
            assert_eq!(released.headroom(), HEADROOM);
            store.take_back(released);
            drop(original.into_heap());
        }
        assert!(store.next_released(&mut cuttings).is_none() && store.room() == 2);
    }

    #[test]
    fn a_full_store_has_room_again_when_a_chain_is_given_up() {
        let (mut store, mut cuttings) = (Store::new(3, 4), Cuttings::new());
        let (mut one, mut other) = (NONE, NONE);
        for (byte, chain) in [(1, &mut one), (2, &mut other)] {
            let original = frame(byte);
            store.hold(&original, chain);
            drop(original.into_heap());
        }
        let original = frame(3);
        store.hold(&original, &mut one);
        drop(original.into_heap());
        assert_eq!(store.room(), 0);
        assert_eq!((store.give_up(&mut one), one), (2, NONE));
        store.release(&mut other);
        let released = released(&mut store, &mut cuttings);
        assert_eq!(released.bytes(), [2; 60]);
        store.take_back(released);
        assert_eq!(store.room(), 3);
    }

    #[test]
    fn a_long_fragment_waits_in_several_buffers_and_comes_out_in_one() {
        let (mut store, mut cuttings) = (Store::new(6, 4), Cuttings::new());
        for len in [BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER, LONGEST_FRAME] {
            let bytes: Vec<u8> = (0..len).map(|at| ((at * at) >> 5) as u8).collect();
            let mut chain = NONE;
            let mut original = Frame::boxed(&bytes, 0, 0);
            original.ingress = PortId(7);
            store.hold(&original, &mut chain);
            assert_eq!(store.room(), 6 - len.div_ceil(BUFFER));
            assert_eq!((store.give_up(&mut chain), store.room()), (1, 6));
            store.hold(&original, &mut chain);
            drop(original.into_heap());
            store.release(&mut chain);
            let released = released(&mut store, &mut cuttings);
            assert_eq!((released.bytes(), released.ingress, released.headroom()), (&bytes[..], PortId(7), HEADROOM));
            match released.token() {
                Cuttings::TOKEN => cuttings.take_back(released),
                _ => store.take_back(released),
            }
            assert_eq!(store.room(), 6);
        }
    }

    #[test]
    fn a_long_fragment_is_given_up_where_there_is_no_buffer_for_all_of_it() {
        let (mut store, mut cuttings) = (Store::new(3, 4), Cuttings::new());
        let lent: Vec<Frame> = (0..Cuttings::BUFFERS).map(|_| cuttings.lend(&[]).expect("it is free")).collect();
        let mut chain = NONE;
        for len in [60, BUFFER + 1] {
            let original = Frame::boxed(&std::vec![1; len], 0, 0);
            store.hold(&original, &mut chain);
            drop(original.into_heap());
        }
        store.release(&mut chain);
        assert!(matches!(store.next_released(&mut cuttings), Some(Err(NoBuffer))));
        let short = released(&mut store, &mut cuttings);
        assert_eq!((short.len(), store.room()), (60, 2));
        store.take_back(short);
        lent.into_iter().for_each(|frame| cuttings.take_back(frame));
    }
}
