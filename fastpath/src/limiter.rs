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

/// How fast somebody went lately, for a rate that is told with each question: as a
/// [`TokenBucket`] that holds a second's worth, in 8 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    spent_until_ns: u64,
}

const SECOND_NS: u64 = 1_000_000_000;

impl Pace {
    /// May there be one more, at so many a second? 0 allows none.
    pub fn allows(&self, rate: u32, now: Instant) -> bool {
        SECOND_NS.checked_div(rate.into()).is_some_and(|interval_ns| self.spent(now) + interval_ns <= shifted(now))
    }

    /// There was one more.
    pub fn spend(&mut self, rate: u32, now: Instant) {
        if let Some(interval_ns) = SECOND_NS.checked_div(rate.into()) {
            self.spent_until_ns = self.spent(now) + interval_ns;
        }
    }

    /// Until when growth has been spent: no longer ago than a second.
    fn spent(&self, now: Instant) -> u64 {
        self.spent_until_ns.max(now.as_nanos())
    }
}

/// Time starts at 0 in replays: a second later, so that one can be saved up from the start.
fn shifted(now: Instant) -> u64 {
    now.as_nanos() + SECOND_NS
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
    fn a_pace_has_a_second_saved_up_and_then_keeps_to_the_rate() {
        let mut pace = Pace::default();
        let mut goes = |rate, now| {
            let allows = pace.allows(rate, now);
            if allows {
                pace.spend(rate, now);
            }
            allows
        };
        assert_eq!((0..100).filter(|_| goes(20, Instant::ZERO)).count(), 20);
        assert!(!goes(20, Instant::from_millis(49)) && goes(20, Instant::from_millis(50)));
        let steady = (51..=10_050).filter(|ms| goes(20, Instant::from_millis(*ms))).count();
        assert_eq!(steady, 200);
        assert_eq!((0..100).filter(|_| goes(20, Instant::from_secs(100))).count(), 20, "no more than a second's worth");
        assert!(!goes(0, Instant::from_secs(1_000)));
    }

    #[test]
    fn a_rate_of_nothing_lets_nothing_pass() {
        assert!(!TokenBucket::new(0).take(Instant::from_secs(1000)));
    }
}
