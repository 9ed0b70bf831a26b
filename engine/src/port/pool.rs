//! Buffers of a port's own, for drivers whose frames lie in no kernel ring.

use std::ptr::NonNull;

use causeway_fastpath::frame::{BufferOwner, Frame};

/// A fixed number of buffers of one length, allocated once.
pub(super) struct Pool {
    memory: NonNull<[u8]>,
    buffer_len: usize,
    headroom: usize,
    owner: BufferOwner,
    free: Vec<u32>,
    lent: Vec<bool>,
}

// SAFETY: the pool owns its memory; what is lent is reached through frames, each
// of which has its buffer for itself. Kept by `lend` and `give_back`.
unsafe impl Send for Pool {}

impl Pool {
    /// `count` buffers with `headroom` bytes of room before a frame and at least
    /// `frame_len` from there on.
    pub(super) fn new(count: usize, frame_len: usize, headroom: usize, owner: BufferOwner) -> Pool {
        // Whole cache lines, an odd number: see the slots of AF_PACKET's ring.
        let buffer_len = ((headroom + frame_len).div_ceil(64) | 1) * 64;
        let memory = NonNull::from(Box::leak(vec![0; count * buffer_len].into_boxed_slice()));
        let free = (0..count as u32).rev().collect();
        Pool { memory, buffer_len, headroom, owner, free, lent: vec![false; count] }
    }

    /// Under which name its buffers travel.
    pub(super) fn owner(&self) -> BufferOwner {
        self.owner
    }

    /// How many buffers are free.
    pub(super) fn free(&self) -> usize {
        self.free.len()
    }

    /// The longest frame a buffer holds, in bytes.
    pub(super) fn frame_len(&self) -> usize {
        self.buffer_len - self.headroom
    }

    /// An empty frame, all of its room behind the headroom; `None` when all
    /// buffers are lent.
    #[inline]
    pub(super) fn lend(&mut self) -> Option<Frame> {
        let index = self.free.pop()?;
        self.lent[index as usize] = true;
        // SAFETY: the index came from `free`, so it is below the count, and its
        // buffer lies inside the memory. It stays the frame's alone until
        // `give_back` puts the index there again; the memory lives as long as the
        // pool, which frames do not outlive (contract of `Port`).
        Some(unsafe {
            let buffer = self.memory.cast::<u8>().add(index as usize * self.buffer_len);
            let (capacity, start) = (self.buffer_len as u32, self.headroom as u32);
            Frame::from_raw(buffer, capacity, start, 0, self.owner, u64::from(index))
        })
    }

    /// A frame that holds `bytes`; `None` when all buffers are lent.
    ///
    /// # Panics
    /// `bytes` is longer than [`Pool::frame_len`].
    #[inline]
    pub(super) fn lend_with(&mut self, bytes: &[u8]) -> Option<Frame> {
        let mut frame = self.lend()?;
        frame.grow_back(bytes.len());
        frame.bytes_mut().copy_from_slice(bytes);
        Some(frame)
    }

    /// Takes back the buffer of a frame.
    ///
    /// # Panics
    /// The frame is not of this pool, or came back before: a bug that would
    /// hand one buffer to two.
    #[inline]
    pub(super) fn give_back(&mut self, frame: Frame) {
        assert_eq!(frame.owner(), self.owner, "a frame goes back to its owner");
        let index = frame.token() as usize;
        assert!(std::mem::replace(&mut self.lent[index], false), "a buffer comes back once");
        self.free.push(index as u32);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: leaked in `new` as a boxed slice of this length, freed once.
        drop(unsafe { Box::from_raw(self.memory.as_ptr()) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_buffer_is_lent_once_and_lends_its_whole_length() {
        let mut pool = Pool::new(3, 100, 128, BufferOwner(7));
        let mut frames: Vec<Frame> = Vec::new();
        for value in 0..3u8 {
            let len = pool.frame_len();
            assert!(len >= 100);
            frames.push(pool.lend_with(&vec![value; len]).expect("a free buffer"));
        }
        assert!(pool.lend().is_none());
        for (value, frame) in frames.iter().enumerate() {
            assert!(frame.headroom() == 128 && frame.bytes().iter().all(|byte| usize::from(*byte) == value));
        }
        frames.into_iter().for_each(|frame| pool.give_back(frame));
        assert_eq!(pool.free(), 3);
    }
}
