//! The ports of a pool that are one worker's to give out.

use crate::handoff::Workers;

/// Every so manieth port of a range, numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stripe {
    base: u16,
    step: u16,
    ports: u32,
}

impl Stripe {
    /// Those of `first..=last` that are this worker's.
    pub(super) fn of(workers: &Workers, first: u16, last: u16) -> Stripe {
        let step = workers.count();
        // The number of the first port that is ours: at most `step` are looked at.
        let base = (u32::from(first)..=u32::from(last)).find(|port| workers.of_port(*port as u16) == workers.me());
        match base {
            Some(base) => Stripe { base: base as u16, step, ports: (u32::from(last) - base) / u32::from(step) + 1 },
            None => Stripe { base: first, step, ports: 0 },
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ports as usize
    }

    /// Are there others beside it?
    pub(super) fn is_part(&self) -> bool {
        self.step > 1
    }

    /// What is to be added to a number of `other` for the number that the port has here;
    /// `None`: they are dealt out otherwise.
    pub(super) fn shift_from(&self, other: &Stripe) -> Option<i64> {
        let apart = i64::from(other.base) - i64::from(self.base);
        let step = i64::from(self.step);
        (self.step == other.step && apart % step == 0).then_some(apart / step)
    }

    /// The port with this number.
    #[inline(always)]
    pub(super) fn port(&self, number: u32) -> u16 {
        self.base + number as u16 * self.step
    }

    /// The number of a port; `None`: another worker gives it out, or nobody.
    #[inline(always)]
    pub(super) fn number(&self, port: u16) -> Option<u32> {
        let above = u32::from(port).checked_sub(u32::from(self.base))?;
        let number = if self.step == 1 { above } else { above / u32::from(self.step) };
        (number < self.ports && self.port(number) == port).then_some(number)
    }

    /// The number that a word of chance stands for, each as likely as the other to within 2^-16.
    #[inline(always)]
    pub(super) fn draw(&self, word: u32) -> u32 {
        ((u64::from(word) * u64::from(self.ports)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::WorkerId;
    use std::collections::BTreeSet;

    #[test]
    fn every_port_is_one_workers() {
        for count in [1, 2, 3, 8, 64] {
            for (first, last) in [(1024, 65_535), (1, 65_535), (1024, 1024), (5000, 5002), (65_530, 65_535)] {
                let mut seen = BTreeSet::new();
                for me in 0..count {
                    let workers = Workers::new(WorkerId(me), count, 0);
                    let stripe = Stripe::of(&workers, first, last);
                    for number in 0..stripe.len() as u32 {
                        let port = stripe.port(number);
                        assert!(seen.insert(port), "{port} is two workers'");
                        assert_eq!((stripe.number(port), workers.of_port(port)), (Some(number), WorkerId(me)));
                    }
                }
                assert!(seen.into_iter().eq(first..=last));
            }
        }
    }
}
