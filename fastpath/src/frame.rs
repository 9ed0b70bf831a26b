//! A packet in a buffer that a port lent out.
//!
//! Buffers belong to ports: an AF_XDP frame lies in the UMEM, an AF_PACKET frame
//! in the kernel's ring. A [`Frame`] is the exclusive right to one such buffer.
//! It is moved, never copied, and goes back to its owner when it was sent or
//! dropped.

use alloc::boxed::Box;
use alloc::vec;
use core::fmt;
use core::ptr::NonNull;

use crate::ids::{PortId, WorkerId};
use crate::offload::Offload;

/// Whose buffer it is: the key by which a worker finds the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufferOwner(pub u16);

impl BufferOwner {
    /// A buffer on the heap, which no port waits for: made by [`Frame::boxed`].
    pub const HEAP: BufferOwner = BufferOwner(u16::MAX);
    /// Workers whose buffers can be told apart.
    pub const MOST_WORKERS: u16 = 64;

    /// A buffer of a port of a worker. Ports are below 256, workers below
    /// [`BufferOwner::MOST_WORKERS`].
    pub const fn of_port(worker: WorkerId, port: PortId) -> BufferOwner {
        BufferOwner(worker.0 << 8 | port.0)
    }

    /// A buffer that several ports of a worker share.
    pub const fn shared_by_ports(worker: WorkerId) -> BufferOwner {
        BufferOwner(SHARED | worker.0 << 8)
    }

    /// A buffer of a worker's forwarder, in which it holds a fragment or a piece.
    pub const fn held(worker: WorkerId) -> BufferOwner {
        BufferOwner(HELD | worker.0 << 8)
    }

    /// Is it a forwarder's?
    pub const fn is_held(self) -> bool {
        self.0 & KIND == HELD
    }

    /// Whose it is, unless it is on the heap.
    pub const fn worker(self) -> Option<WorkerId> {
        if self.0 & KIND == KIND { None } else { Some(WorkerId((self.0 & !KIND) >> 8)) }
    }
}

/// The upper two bits of a [`BufferOwner`] tell what kind it is of; then six bits of the
/// worker.
const KIND: u16 = 0xc000;
const SHARED: u16 = 0x4000;
const HELD: u16 = 0x8000;

/// An Ethernet frame in a lent buffer, with room before and behind it.
///
/// ```text
/// buffer            start                start+len        capacity
///   |---- headroom ---|------- bytes --------|--- tailroom ---|
/// ```
///
/// Dropping a frame does not give its buffer back: hand it to its owner. (A leak
/// starves the port's ring and is seen at once in tests that count frames.)
pub struct Frame {
    buffer: NonNull<u8>,
    capacity: u32,
    start: u32,
    len: u32,
    owner: BufferOwner,
    /// The port the frame came in by.
    pub ingress: PortId,
    token: u64,
    /// What is still to be done before the frame is fit for a wire.
    pub offload: Offload,
}

// SAFETY: a frame is the exclusive right to its buffer (contract of `from_raw`),
// so moving it to another thread moves that right. Kept by the port drivers.
unsafe impl Send for Frame {}

impl Frame {
    /// A frame in somebody's buffer.
    ///
    /// `token` is the owner's own note (a ring index, a UMEM address) and comes
    /// back untouched.
    ///
    /// # Panics
    /// `start + len` exceeds `capacity`.
    ///
    /// # Safety
    /// `buffer .. buffer + capacity` must be valid for reads and writes, and
    /// nothing else may touch it, until the frame is handed back to its owner.
    /// [`BufferOwner::HEAP`] and [`BufferOwner::held`] are for memory of a boxed slice of
    /// `capacity` bytes only.
    pub unsafe fn from_raw(
        buffer: NonNull<u8>,
        capacity: u32,
        start: u32,
        len: u32,
        owner: BufferOwner,
        token: u64,
    ) -> Frame {
        assert!(start as u64 + len as u64 <= capacity as u64, "a frame lies inside its buffer");
        Frame { buffer, capacity, start, len, owner, ingress: PortId(0), token, offload: Offload::DONE }
    }

    /// A frame on the heap holding `bytes`, with room before and behind.
    ///
    /// For packets that control injects, and for tests. Take the memory back
    /// with [`Frame::into_heap`].
    pub fn boxed(bytes: &[u8], headroom: usize, tailroom: usize) -> Frame {
        let mut frame = Frame::empty(BufferOwner::HEAP, 0, headroom + bytes.len() + tailroom);
        frame.refill(headroom, bytes);
        frame
    }

    /// As [`Frame::boxed`], empty, of the forwarder's own.
    pub(crate) fn held(token: u64, capacity: usize) -> Frame {
        Frame::empty(BufferOwner::held(WorkerId(0)), token, capacity)
    }

    /// It is lent out by this worker's forwarder, whose own it is.
    pub(crate) fn lent_by(mut self, worker: WorkerId) -> Frame {
        debug_assert!(self.owner.is_held(), "a forwarder lends what it holds");
        self.owner = BufferOwner::held(worker);
        self
    }

    /// An empty frame on the heap.
    fn empty(owner: BufferOwner, token: u64, capacity: usize) -> Frame {
        let buffer = vec![0u8; capacity].into_boxed_slice();
        let pointer = NonNull::from(Box::leak(buffer)).cast::<u8>();
        // SAFETY: the box was leaked, so its memory stays valid and nobody else
        // has it until `into_heap` makes a box of it again.
        unsafe { Frame::from_raw(pointer, capacity as u32, 0, 0, owner, token) }
    }

    /// Takes back the memory of a frame made by [`Frame::boxed`]; frames of other
    /// owners are returned as they are.
    pub fn into_heap(self) -> Result<Box<[u8]>, Frame> {
        if self.owner != BufferOwner::HEAP && !self.owner.is_held() {
            return Err(self);
        }
        let slice = NonNull::slice_from_raw_parts(self.buffer, self.capacity as usize);
        // SAFETY: only `empty` makes frames of these owners, from a leaked box of
        // exactly this length; `self` is consumed, so it happens once.
        Ok(unsafe { Box::from_raw(slice.as_ptr()) })
    }

    /// Puts another packet into the buffer, with `headroom` in front of it.
    ///
    /// # Panics
    /// The buffer has no room for it.
    pub(crate) fn refill(&mut self, headroom: usize, bytes: &[u8]) {
        assert!(headroom + bytes.len() <= self.capacity as usize, "the packet stays inside its buffer");
        (self.start, self.len) = (headroom as u32, bytes.len() as u32);
        self.bytes_mut().copy_from_slice(bytes);
    }

    /// Puts another packet into the buffer, which these `parts` make up.
    ///
    /// # Panics
    /// The buffer has no room for it.
    pub(crate) fn fill(&mut self, parts: &[&[u8]]) {
        (self.start, self.len) = (0, 0);
        for part in parts {
            self.append(part);
        }
    }

    /// Adds bytes behind the packet.
    ///
    /// # Panics
    /// The buffer has no room for them.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let end = self.len();
        self.grow_back(bytes.len());
        self.bytes_mut()[end..].copy_from_slice(bytes);
    }

    /// The packet, from the destination MAC on.
    #[inline(always)]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: start + len <= capacity holds after every method; the buffer is
        // ours alone (contract of `from_raw`).
        unsafe { core::slice::from_raw_parts(self.buffer.as_ptr().add(self.start as usize), self.len as usize) }
    }

    /// The packet, to be written to.
    #[inline(always)]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`.
        unsafe { core::slice::from_raw_parts_mut(self.buffer.as_ptr().add(self.start as usize), self.len as usize) }
    }

    /// Length of the packet in bytes, Ethernet header included, checksum trailer not.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Is there no byte in it?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Free bytes in front of the packet.
    pub fn headroom(&self) -> usize {
        self.start as usize
    }

    /// Free bytes behind the packet.
    pub fn tailroom(&self) -> usize {
        (self.capacity - self.start - self.len) as usize
    }

    /// Cuts the packet to its first `len` bytes.
    ///
    /// # Panics
    /// The packet is shorter.
    pub fn truncate(&mut self, len: usize) {
        assert!(len <= self.len as usize, "truncate only shortens");
        self.len = len as u32;
    }

    /// Moves the start of the packet: negative grows into the headroom, positive
    /// cuts bytes off the front. The grown bytes hold what the buffer held.
    ///
    /// # Panics
    /// There is not so much headroom, or not so much packet.
    pub fn move_start(&mut self, by: i32) {
        let start = i64::from(self.start) + i64::from(by);
        let len = i64::from(self.len) - i64::from(by);
        assert!(start >= 0 && len >= 0, "the packet stays inside its buffer");
        self.start = start as u32;
        self.len = len as u32;
    }

    /// Grows the packet by `by` bytes into the tailroom.
    ///
    /// # Panics
    /// There is not so much tailroom.
    pub fn grow_back(&mut self, by: usize) {
        assert!(by <= self.tailroom(), "the packet stays inside its buffer");
        self.len += by as u32;
    }

    /// Whose buffer it is.
    pub fn owner(&self) -> BufferOwner {
        self.owner
    }

    /// The owner's own note.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Asks the CPU to bring the first cache line of the packet.
    #[inline(always)]
    pub fn prefetch(&self) {
        crate::cpu::prefetch(self.buffer.as_ptr().wrapping_add(self.start as usize));
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("ingress", &self.ingress)
            .field("len", &self.len)
            .field("headroom", &self.start)
            .field("tailroom", &self.tailroom())
            .field("owner", &self.owner)
            .field("token", &self.token)
            .field("offload", &self.offload)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boxed_frame_has_the_room_that_was_asked_for() {
        let mut frame = Frame::boxed(b"packet", 16, 8);
        assert_eq!((frame.headroom(), frame.len(), frame.tailroom()), (16, 6, 8));
        frame.move_start(-2);
        frame.grow_back(3);
        assert_eq!((frame.headroom(), frame.len(), frame.tailroom()), (14, 11, 5));
        assert_eq!(&frame.bytes()[2..8], b"packet");
        frame.move_start(2);
        frame.truncate(6);
        assert_eq!(frame.bytes(), b"packet");
        assert_eq!(frame.into_heap().expect("a heap frame").len(), 30);
    }

    #[test]
    fn an_owner_tells_whose_it_is() {
        let worker = WorkerId(BufferOwner::MOST_WORKERS - 1);
        let port = BufferOwner::of_port(worker, PortId(63));
        for owner in [port, BufferOwner::shared_by_ports(worker), BufferOwner::held(worker)] {
            assert_eq!((owner.worker(), owner == BufferOwner::HEAP), (Some(worker), false));
        }
        assert!(BufferOwner::held(worker).is_held() && !port.is_held() && !BufferOwner::HEAP.is_held());
        assert_eq!(BufferOwner::HEAP.worker(), None);
    }

    #[test]
    #[should_panic(expected = "stays inside its buffer")]
    fn a_frame_does_not_outgrow_its_buffer() {
        let mut frame = Frame::boxed(b"packet", 0, 0);
        frame.grow_back(1);
    }
}
