//! Builds only while `causeway-fastpath` and everything it depends on are `no_std`.
//!
//! A program has one panic handler. This one brings its own, so a `std` anywhere
//! below it, which brings another, ends the build: "found duplicate lang item
//! `panic_impl`". `.ci/run` builds it; nothing runs it.

#![no_std]

extern crate causeway_fastpath as _;

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;

#[panic_handler]
fn halt(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// An allocator without memory.
struct Nothing;

#[global_allocator]
static NOTHING: Nothing = Nothing;

// SAFETY: it hands out no memory, and a null pointer says so.
unsafe impl GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}
