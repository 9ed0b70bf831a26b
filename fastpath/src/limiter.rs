//! A token bucket on handed-in time.

use crate::time::Instant;

/// Lets `rate` events a second pass, and a tenth of that at once.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    /// Nanoseconds a token takes to grow; `u64::MAX` for never.
    interval_ns: u64,
    /// The most tokens saved up, in nanoseconds of growth.
    depth_ns: u64,
    /// Until when growth has been spent: a virtual clock that trails `now` by the savings.
    spent_until_ns: u64,
}

impl TokenBucket {
    /// A full bucket for `rate` events a second; 0 lets nothing pass.
    pub fn new(rate: u32) -> TokenBucket {
        let interval_ns = if rate == 0 { u64::MAX } else { 1_000_000_000 / u64::from(rate) };
        let burst = u64::from(rate / 10).max(1);
        TokenBucket { interval_ns, depth_ns: interval_ns.saturating_mul(burst), spent_until_ns: 0 }
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        if self.interval_ns == u64::MAX {
            return false;
        }
        // Time starts at 0 in replays: shift it, so that the bucket starts full.
        let now = now.as_nanos().saturating_add(self.depth_ns);
        let from = self.spent_until_ns.max(now - self.depth_ns);
        if from + self.interval_ns > now {
            return false;
        }
        self.spent_until_ns = from + self.interval_ns;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_bucket_gives_a_tenth_of_a_second_at_once_and_then_the_rate() {
        let mut bucket = TokenBucket::new(100);
        let at_once = (0..100).filter(|_| bucket.take(Instant::ZERO)).count();
        assert_eq!(at_once, 10);
        assert!(!bucket.take(Instant::from_millis(9)));
        assert!(bucket.take(Instant::from_millis(10)));
        let in_a_second = (11..=1010).filter(|ms| bucket.take(Instant::from_millis(*ms))).count();
        assert_eq!(in_a_second, 100);
    }

    #[test]
    fn a_rate_of_nothing_lets_nothing_pass() {
        assert!(!TokenBucket::new(0).take(Instant::from_secs(1000)));
    }
}
