//! The rings that an AF_XDP socket shares with the kernel.
//!
//! Each has one producer and one consumer, one of them the kernel. Positions
//! are free-running 32-bit counters, entries lie at `position & mask`
//! (Linux `Documentation/networking/af_xdp.rst`).

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

/// A ring that we fill and the kernel empties: fill ring, transmit ring.
pub(super) struct Producer<T: Copy> {
    ring: Ring<T>,
    /// Where we shall write next; the kernel sees it when published.
    head: u32,
    /// How far the kernel had got when last asked.
    tail: u32,
}

impl<T: Copy> Producer<T> {
    /// Maps the ring of `entries` entries at `page_offset` of `socket`.
    ///
    /// # Safety
    /// The socket has such a ring, of `T`s, at least `entries` long, and
    /// `offsets` are what it told of it; nobody else here produces into it.
    pub(super) unsafe fn map(
        socket: BorrowedFd<'_>,
        page_offset: u64,
        offsets: &libc::xdp_ring_offset,
        entries: u32,
    ) -> io::Result<Producer<T>> {
        // SAFETY: passed on from our caller.
        let ring = unsafe { Ring::map(socket, page_offset, offsets, entries)? };
        Ok(Producer { ring, head: 0, tail: 0 })
    }

    /// How many entries can be written now; asks the kernel only if fewer than `wanted`.
    #[inline]
    pub(super) fn room(&mut self, wanted: u32) -> u32 {
        let free = self.ring.size() - self.head.wrapping_sub(self.tail);
        if free >= wanted {
            return free;
        }
        self.tail = self.ring.consumer().load(Ordering::Acquire);
        self.ring.size() - self.head.wrapping_sub(self.tail)
    }

    /// Writes an entry, unseen by the kernel until [`Producer::publish`].
    ///
    /// There must be [`Producer::room`] for it.
    #[inline]
    pub(super) fn write(&mut self, entry: T) {
        debug_assert!(self.head.wrapping_sub(self.tail) < self.ring.size(), "room was asked for before writing");
        let slot = self.ring.slot(self.head);
        // SAFETY: `slot` lies in the mapping; entries past the published head are
        // ours until published.
        unsafe { slot.write(entry) };
        self.head = self.head.wrapping_add(1);
    }

    /// Lets the kernel see what was written.
    #[inline]
    pub(super) fn publish(&mut self) {
        self.ring.producer().store(self.head, Ordering::Release);
    }

    /// How far the kernel has got.
    pub(super) fn consumed(&self) -> u32 {
        self.ring.consumer().load(Ordering::Acquire)
    }

    /// How many entries the kernel has not taken yet.
    #[inline]
    pub(super) fn pending(&self) -> u32 {
        self.head.wrapping_sub(self.consumed())
    }

    /// Does the kernel sleep until it is called?
    #[inline]
    pub(super) fn needs_wakeup(&self) -> bool {
        self.ring.flags().load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }
}

/// A ring that the kernel fills and we empty: receive ring, completion ring.
pub(super) struct Consumer<T: Copy> {
    ring: Ring<T>,
    /// What we shall read next; the kernel sees it when released.
    tail: u32,
    /// How far the kernel had got when last asked.
    head: u32,
}

impl<T: Copy> Consumer<T> {
    /// Maps a ring; see [`Producer::map`].
    ///
    /// # Safety
    /// As for [`Producer::map`], with nobody else consuming.
    pub(super) unsafe fn map(
        socket: BorrowedFd<'_>,
        page_offset: u64,
        offsets: &libc::xdp_ring_offset,
        entries: u32,
    ) -> io::Result<Consumer<T>> {
        // SAFETY: passed on from our caller.
        let ring = unsafe { Ring::map(socket, page_offset, offsets, entries)? };
        Ok(Consumer { ring, tail: 0, head: 0 })
    }

    /// Takes the next entry, if there is one. The kernel may use its slot again
    /// after [`Consumer::release`].
    #[inline]
    pub(super) fn read(&mut self) -> Option<T> {
        if self.tail == self.head {
            self.head = self.ring.producer().load(Ordering::Acquire);
            if self.tail == self.head {
                return None;
            }
        }
        let slot = self.ring.slot(self.tail);
        // SAFETY: `slot` lies in the mapping; entries before the kernel's head
        // are written and stay so until released.
        let entry = unsafe { slot.read() };
        self.tail = self.tail.wrapping_add(1);
        Some(entry)
    }

    /// Gives the slots of what was read back to the kernel.
    #[inline]
    pub(super) fn release(&mut self) {
        self.ring.consumer().store(self.tail, Ordering::Release);
    }
}

/// What producer and consumer have in common: the mapping and where things lie in it.
struct Ring<T> {
    base: NonNull<u8>,
    bytes: usize,
    producer: usize,
    consumer: usize,
    flags: usize,
    entries: usize,
    mask: u32,
    kind: PhantomData<T>,
}

impl<T: Copy> Ring<T> {
    /// # Safety
    /// See [`Producer::map`].
    unsafe fn map(
        socket: BorrowedFd<'_>,
        page_offset: u64,
        offsets: &libc::xdp_ring_offset,
        entries: u32,
    ) -> io::Result<Ring<T>> {
        assert!(entries.is_power_of_two(), "the kernel makes no other rings");
        let bytes = offsets.desc as usize + entries as usize * size_of::<T>();
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                socket.as_raw_fd(),
                page_offset as libc::off_t,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Ring {
            base: NonNull::new(base.cast()).expect("mmap without MAP_FIXED never answers 0"),
            bytes,
            producer: offsets.producer as usize,
            consumer: offsets.consumer as usize,
            flags: offsets.flags as usize,
            entries: offsets.desc as usize,
            mask: entries - 1,
            kind: PhantomData,
        })
    }

    fn size(&self) -> u32 {
        self.mask + 1
    }

    #[inline(always)]
    fn producer(&self) -> &AtomicU32 {
        self.word(self.producer)
    }

    #[inline(always)]
    fn consumer(&self) -> &AtomicU32 {
        self.word(self.consumer)
    }

    #[inline(always)]
    fn flags(&self) -> &AtomicU32 {
        self.word(self.flags)
    }

    #[inline(always)]
    fn word(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: the kernel told this offset of an aligned 32-bit word within the
        // mapping, which lives as long as `self`; both sides access it atomically.
        unsafe { AtomicU32::from_ptr(self.base.as_ptr().add(offset).cast()) }
    }

    #[inline(always)]
    fn slot(&self, position: u32) -> *mut T {
        let index = (position & self.mask) as usize;
        // SAFETY: the mask keeps the index within the entries that were mapped.
        unsafe { self.base.as_ptr().add(self.entries).cast::<T>().add(index) }
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        // SAFETY: base and length are those of our mapping; no pointer into it
        // outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}
