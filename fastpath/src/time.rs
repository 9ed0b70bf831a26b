//! Time as the fast path knows it: handed in, never read.

use core::ops::Add;

/// A moment, in nanoseconds since an epoch the caller chose; it never goes back.
///
/// The engine hands in `CLOCK_MONOTONIC`, a replay the capture's own time, a
/// simulation its virtual clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The epoch.
    pub const ZERO: Instant = Instant(0);

    /// The moment `ns` nanoseconds after the epoch.
    pub const fn from_nanos(ns: u64) -> Instant {
        Instant(ns)
    }

    /// The moment `ms` milliseconds after the epoch.
    pub const fn from_millis(ms: u64) -> Instant {
        Instant(ms * 1_000_000)
    }

    /// The moment `s` seconds after the epoch.
    pub const fn from_secs(s: u64) -> Instant {
        Instant(s * 1_000_000_000)
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Nanoseconds from `earlier` to here; 0 when `earlier` is later.
    pub const fn nanos_since(self, earlier: Instant) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<core::time::Duration> for Instant {
    type Output = Instant;

    fn add(self, span: core::time::Duration) -> Instant {
        Instant(self.0.saturating_add(span.as_nanos() as u64))
    }
}
