//! Memory for large tables: in huge pages where the kernel gives them, and all of it at once.
//!
//! A million sessions lie in 32 000 small pages, more than a core's TLB knows, so that nearly
//! every look-up would walk the page tables; and each page would be handed over by the kernel
//! at the first packet that needs it. `madvise(2)` and Documentation/admin-guide/mm/transhuge.rst
//! tell what the kernel makes of the advice.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;

/// What a huge page holds, and begins at a multiple of.
const HUGE: usize = 2 << 20;
/// What is smaller is left to the system's allocator: of rounding, no more than half is lost.
const LARGE: usize = 2 * HUGE;

/// The system's allocator, which has large tables begin at huge pages and asks for such.
#[derive(Debug)]
pub struct HugePages;

/// The layout in which the system is asked for it.
fn aligned(layout: Layout) -> Layout {
    if layout.size() < LARGE {
        return layout;
    }
    // No size that fits `layout` is too large with this alignment, but for those that no
    // machine has: these fail as before.
    layout.align_to(HUGE).unwrap_or(layout)
}

// SAFETY: all memory comes from `System` and goes back to it in the layout in which it was
// asked for, which is a function of the caller's layout; its alignment is at least the
// caller's, its size the same.
unsafe impl GlobalAlloc for HugePages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller has it, with a larger alignment.
        let memory = unsafe { System.alloc(aligned(layout)) };
        if layout.size() >= LARGE && !memory.is_null() {
            // SAFETY: advice about memory that is ours, from the start of a page on. Where it
            // is not heeded, pages are small.
            unsafe { libc::madvise(memory.cast(), layout.size() / HUGE * HUGE, libc::MADV_HUGEPAGE) };
        }
        memory
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.size() < LARGE {
            // SAFETY: as the caller has it.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: as the caller has it.
        let memory = unsafe { self.alloc(layout) };
        if !memory.is_null() {
            // Its pages are taken now, and not by the first packets.
            // SAFETY: so many bytes are ours.
            unsafe { ptr::write_bytes(memory, 0, layout.size()) };
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: it came from `System` in that layout.
        unsafe { System.dealloc(memory, aligned(layout)) };
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.size() < LARGE && size < LARGE {
            // SAFETY: as the caller has it, and in the same layout.
            return unsafe { System.realloc(memory, layout, size) };
        }
        // SAFETY: the caller's alignment is a power of two, and the size with it no overflow.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: the size is not 0, says the caller.
        let moved = unsafe { self.alloc(new) };
        if !moved.is_null() {
            // SAFETY: both have so many bytes, and one is new; the old one is not used any more.
            unsafe {
                ptr::copy_nonoverlapping(memory, moved, layout.size().min(size));
                self.dealloc(memory, layout);
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory of this allocator, given back in the end.
    struct Area(*mut u8, Layout);

    impl Area {
        fn zeroed(size: usize) -> Area {
            let layout = Layout::from_size_align(size, 64).expect("a layout");
            // SAFETY: the size is not 0.
            let memory = unsafe { HugePages.alloc_zeroed(layout) };
            assert!(!memory.is_null() && memory.addr().is_multiple_of(64));
            Area(memory, layout)
        }

        fn bytes(&mut self) -> &mut [u8] {
            // SAFETY: so many are ours, and were written to.
            unsafe { std::slice::from_raw_parts_mut(self.0, self.1.size()) }
        }

        fn resize(&mut self, size: usize) {
            // SAFETY: it is of this allocator and layout; the size is not 0.
            let moved = unsafe { HugePages.realloc(self.0, self.1, size) };
            assert!(!moved.is_null());
            (self.0, self.1) = (moved, Layout::from_size_align(size, 64).expect("a layout"));
        }
    }

    impl Drop for Area {
        fn drop(&mut self) {
            // SAFETY: it is of this allocator and layout.
            unsafe { HugePages.dealloc(self.0, self.1) };
        }
    }

    #[test]
    fn large_tables_begin_at_a_huge_page_and_are_zero_whoever_had_the_memory_before() {
        for size in [64, LARGE - 1, LARGE, LARGE + 1, 5 * HUGE + 4096] {
            for _ in 0..3 {
                let mut area = Area::zeroed(size);
                assert!(area.bytes().iter().all(|byte| *byte == 0));
                assert!(size < LARGE || area.0.addr().is_multiple_of(HUGE));
                area.bytes().fill(0xa5);
            }
        }
    }

    #[test]
    fn what_grows_or_shrinks_keeps_its_bytes() {
        let sizes = [1000, LARGE + 7, 3 * LARGE, LARGE, LARGE - 1, 100];
        let mut area = Area::zeroed(sizes[0]);
        for next in sizes {
            let (kept, before) = (area.1.size().min(next), area.1.size());
            for (at, byte) in area.bytes().iter_mut().enumerate() {
                *byte = (at % 251) as u8;
            }
            area.resize(next);
            let is_kept = |(at, byte): (usize, &u8)| usize::from(*byte) == at % 251;
            assert!(area.bytes()[..kept].iter().enumerate().all(is_kept), "from {before} to {next} bytes");
        }
    }
}
