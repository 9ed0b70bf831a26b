//! Token buckets on handed-in time.

use alloc::boxed::Box;
use alloc::vec;

use crate::address::Address;
use crate::chance::Chance;
use crate::session::Seed;
use crate::time::Instant;
use crate::verdict::DropReason;

/// So many events a second, and a tenth of that at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    /// Nanoseconds a token takes to grow; `u64::MAX` for never.
    interval_ns: u64,
    /// The most tokens saved up, in nanoseconds of growth.
    depth_ns: u64,
}

impl Rate {
    fn new(rate: u32) -> Rate {
        let interval_ns = if rate == 0 { u64::MAX } else { 1_000_000_000 / u64::from(rate) };
        let burst = u64::from(rate / 10).max(1);
        Rate { interval_ns, depth_ns: interval_ns.saturating_mul(burst) }
    }

    /// Takes `tokens` from a bucket that has one at least, and owes what it has not.
    ///
    /// `spent_until_ns` says until when growth has been spent: a virtual clock that trails
    /// `now` by the savings. 0 is a full bucket.
    fn take(&self, spent_until_ns: &mut u64, tokens: u32, now: Instant) -> bool {
        if self.interval_ns == u64::MAX {
            return false;
        }
        // Time starts at 0 in replays: shift it, so that the bucket starts full.
        let now = now.as_nanos().saturating_add(self.depth_ns);
        let from = (*spent_until_ns).max(now - self.depth_ns);
        if from.saturating_add(self.interval_ns) > now {
            return false;
        }
        *spent_until_ns = from.saturating_add(self.interval_ns.saturating_mul(u64::from(tokens)));
        true
    }
}

/// Lets `rate` events a second pass, and a tenth of that at once.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    rate: Rate,
    spent_until_ns: u64,
}

impl TokenBucket {
    /// A full bucket for `rate` events a second; 0 lets nothing pass.
    pub fn new(rate: u32) -> TokenBucket {
        TokenBucket { rate: Rate::new(rate), spent_until_ns: 0 }
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        self.rate.take(&mut self.spent_until_ns, 1, now)
    }
}

/// Which ICMP errors may be sent: so many a second in all, and so many to one destination
/// (RFC 1812, 4.3.2.8; RFC 4443, 2.4 (f)).
///
/// A destination is an IPv4 address or an IPv6 network of 64 bits; those that a secret hash
/// puts together share a bucket. How many errors there are in all must not tell one sender
/// what another got (CVE-2020-25705, "SAD DNS"): each takes none, one or two tokens, by
/// chance.
pub struct ErrorLimit {
    all: TokenBucket,
    each: Rate,
    /// What each bucket has spent, as in [`Rate::take`].
    spent: Box<[u64]>,
    seed: Seed,
}

impl ErrorLimit {
    const BUCKETS: usize = 1024;

    /// Lets nothing pass until it is set. Allocates 8 KiB, and never after.
    pub fn new(seed: Seed) -> ErrorLimit {
        let spent = vec![0; ErrorLimit::BUCKETS].into_boxed_slice();
        ErrorLimit { all: TokenBucket::new(0), each: Rate::new(0), spent, seed }
    }

    /// So many a second in all, and so many to a destination; 0 lets nothing pass. What was
    /// spent stays spent where a rate is as it was.
    pub fn set(&mut self, per_second: u32, per_destination: u32) {
        if self.all.rate != Rate::new(per_second) {
            self.all = TokenBucket::new(per_second);
        }
        if self.each != Rate::new(per_destination) {
            self.each = Rate::new(per_destination);
            self.spent.fill(0);
        }
    }

    /// May an error be sent to this address?
    ///
    /// # Errors
    /// Which limit was reached.
    pub fn take<A: Address>(&mut self, to: A, now: Instant, chance: &mut Chance) -> Result<(), DropReason> {
        let network = if A::BITS == 32 { to } else { to.masked(64) };
        let at = network.mix(self.seed.0[0]) as usize % ErrorLimit::BUCKETS;
        if !self.each.take(&mut self.spent[at], 1, now) {
            return Err(DropReason::IcmpDestinationLimited);
        }
        if !self.all.rate.take(&mut self.all.spent_until_ns, chance.below(3), now) {
            return Err(DropReason::IcmpRateLimited);
        }
        Ok(())
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

    fn limit(per_second: u32, per_destination: u32) -> (ErrorLimit, Chance) {
        let mut chance = Chance::new([3; 32]);
        let mut limit = ErrorLimit::new(chance.seed());
        limit.set(per_second, per_destination);
        (limit, chance)
    }

    #[test]
    fn a_destination_has_its_share_and_leaves_the_others_theirs() {
        let (mut limit, mut chance) = limit(10_000, 100);
        let mut sent =
            |to: u32, ms| (0..100).filter(|_| limit.take(to, Instant::from_millis(ms), &mut chance).is_ok()).count();
        assert_eq!((sent(1, 0), sent(1, 0), sent(2, 0), sent(1, 10)), (10, 0, 10, 1));
        let many: usize = (10..60).map(|to| sent(to, 0)).sum();
        assert!(many > 450, "hardly two share a bucket: {many}");
    }

    #[test]
    fn an_ipv6_network_is_one_destination() {
        let (mut limit, mut chance) = limit(10_000, 100);
        let sent = (0..100u128).filter(|host| limit.take(5 << 64 | host, Instant::ZERO, &mut chance).is_ok()).count();
        assert_eq!(sent, 10);
    }

    #[test]
    fn in_all_there_are_about_as_many_as_may_be_and_nobody_can_tell_how_many() {
        let counts: std::collections::BTreeSet<usize> = (0..50)
            .map(|seed| {
                let mut chance = Chance::new([seed; 32]);
                let mut limit = ErrorLimit::new(chance.seed());
                limit.set(1_000, 1_000_000);
                (0..1_000u32).filter(|to| limit.take(*to, Instant::ZERO, &mut chance).is_ok()).count()
            })
            .collect();
        // A hundred at once, give or take.
        assert!(counts.iter().all(|count| (60..150).contains(count)), "{counts:?}");
        assert!(counts.len() > 10, "{counts:?}");
    }

    #[test]
    fn a_limit_of_nothing_lets_nothing_pass() {
        for (in_all, each, reason) in
            [(0, 100, DropReason::IcmpRateLimited), (100, 0, DropReason::IcmpDestinationLimited)]
        {
            let (mut limit, mut chance) = limit(in_all, each);
            assert_eq!(limit.take(1u32, Instant::from_secs(9), &mut chance), Err(reason));
        }
    }
}
