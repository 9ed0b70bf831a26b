//! The machine's monotonic clock, as the fast path's time.

use std::time::{SystemTime, UNIX_EPOCH};

use causeway_fastpath::time::Instant;

/// Now: `CLOCK_MONOTONIC`, which the kernel answers without a system call.
pub fn now() -> Instant {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing; this clock always exists on Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    Instant::from_nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// The time of the wall, in seconds since 1970. It may be set back and forth.
pub(crate) fn wall_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
