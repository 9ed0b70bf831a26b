//! A set of packets of one burst, a bit each.

use core::ops::{BitOr, BitOrAssign};

use crate::burst::Burst;

/// Which packets of a burst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Set(u64);

impl Set {
    pub(super) const EMPTY: Set = Set(0);

    /// The first so many packets of a burst.
    pub(super) fn first_ones(count: usize) -> Set {
        Set(if count == 0 { 0 } else { u64::MAX >> (Burst::MAX - count) })
    }

    #[inline(always)]
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline(always)]
    pub(super) fn insert(&mut self, packet: usize) {
        self.0 |= 1 << packet;
    }

    #[inline(always)]
    pub(super) fn remove(&mut self, packet: usize) {
        self.0 &= !(1 << packet);
    }

    #[inline(always)]
    pub(super) fn contains(self, packet: usize) -> bool {
        self.0 & 1 << packet != 0
    }

    /// The packets that are not in the other set.
    #[inline(always)]
    pub(super) fn without(self, other: Set) -> Set {
        Set(self.0 & !other.0)
    }

    /// How many packets.
    #[inline(always)]
    pub(super) fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// One past the packet with the highest number.
    #[inline(always)]
    pub(super) fn end(self) -> usize {
        64 - self.0.leading_zeros() as usize
    }

    /// Are half of the packets up to the last one in the set? Then to treat them all
    /// costs less than to gather the set.
    #[inline(always)]
    pub(super) fn is_dense(self) -> bool {
        self.len() * 2 >= self.end()
    }

    /// Lets `work` find the answers for the packets' questions, side by side.
    pub(super) fn gathered<Q: Copy, T: Copy, R>(
        self,
        questions: &[Q; Burst::MAX],
        answers: &mut [T; Burst::MAX],
        work: impl FnOnce(&[Q], &mut [T]) -> R,
    ) -> R {
        let (mut asked, mut answered) = (*questions, *answers);
        for (at, i) in self.into_iter().enumerate() {
            asked[at] = questions[i];
        }
        let result = work(&asked[..self.len()], &mut answered[..self.len()]);
        for (at, i) in self.into_iter().enumerate() {
            answers[i] = answered[at];
        }
        result
    }

    /// The packet with the lowest number.
    #[inline(always)]
    pub(super) fn first(self) -> Option<usize> {
        (self.0 != 0).then(|| self.0.trailing_zeros() as usize)
    }
}

impl BitOr for Set {
    type Output = Set;

    fn bitor(self, other: Set) -> Set {
        Set(self.0 | other.0)
    }
}

impl BitOrAssign for Set {
    fn bitor_assign(&mut self, other: Set) {
        self.0 |= other.0;
    }
}

impl IntoIterator for Set {
    type Item = usize;
    type IntoIter = Packets;

    #[inline(always)]
    fn into_iter(self) -> Packets {
        Packets(self.0)
    }
}

/// The packets of a [`Set`], in order of arrival.
pub(super) struct Packets(u64);

impl Iterator for Packets {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let packet = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(packet)
    }
}
