//! Ports of one outside address that are given to one endpoint each.

use alloc::boxed::Box;

/// Words of 64 ports.
const WORDS: usize = 1024;

/// The free ports of an address, for one protocol. 8 KiB; exact: a port is handed
/// out as long as one is free.
pub(super) struct PortSet {
    /// A bit a port, set while it is free.
    free: Box<[u64; WORDS]>,
    /// A bit a word, set while a port in it is free.
    words: [u64; WORDS / 64],
    count: u32,
}

impl PortSet {
    /// The ports `first..=last`, all free.
    pub(super) fn new(first: u16, last: u16) -> PortSet {
        let mut set = PortSet { free: Box::new([0; WORDS]), words: [0; WORDS / 64], count: 0 };
        for port in first..=last {
            set.give_back(port);
        }
        set
    }

    /// Takes the first free port at or after `from`, going round at the end.
    pub(super) fn take(&mut self, from: u16) -> Option<u16> {
        if self.count == 0 {
            return None;
        }
        let port = self.first_from(from).or_else(|| self.first_from(0))?;
        let word = usize::from(port) / 64;
        self.free[word] &= !(1 << (port % 64));
        if self.free[word] == 0 {
            self.words[word / 64] &= !(1 << (word % 64));
        }
        self.count -= 1;
        Some(port)
    }

    /// Makes a taken port free again.
    pub(super) fn give_back(&mut self, port: u16) {
        let word = usize::from(port) / 64;
        debug_assert!(self.free[word] >> (port % 64) & 1 == 0, "a port that is given back was taken");
        self.free[word] |= 1 << (port % 64);
        self.words[word / 64] |= 1 << (word % 64);
        self.count += 1;
    }

    /// At most 1 + 16 steps.
    fn first_from(&self, from: u16) -> Option<u16> {
        let word = usize::from(from) / 64;
        let here = self.free[word] & (u64::MAX << (from % 64));
        if here != 0 {
            return Some((word * 64) as u16 + here.trailing_zeros() as u16);
        }
        let mut mask = (u64::MAX << (word % 64)) << 1;
        if word % 64 == 63 {
            mask = 0;
        }
        for (group, words) in self.words.iter().enumerate().skip(word / 64) {
            let words = words & mask;
            if words != 0 {
                let word = group * 64 + words.trailing_zeros() as usize;
                return Some((word * 64) as u16 + self.free[word].trailing_zeros() as u16);
            }
            mask = u64::MAX;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_port_of_the_range_is_handed_out_once_and_then_none() {
        for (first, last) in [(1, u16::MAX), (1024, 65535), (5000, 5000), (63, 64), (4032, 4095)] {
            let mut set = PortSet::new(first, last);
            let mut seen = BTreeSet::new();
            let mut from = 777u16;
            while let Some(port) = set.take(from) {
                assert!((first..=last).contains(&port));
                assert!(seen.insert(port), "{port} was handed out twice");
                from = from.wrapping_mul(31).wrapping_add(17);
            }
            assert_eq!(seen.len(), usize::from(last - first) + 1);
            set.give_back(last);
            assert_eq!(set.take(first), Some(last));
            assert_eq!(set.take(0), None);
        }
    }

    #[test]
    fn the_first_free_port_from_a_start_is_the_nearest() {
        let mut set = PortSet::new(1024, 65535);
        for from in 60_000..60_200 {
            assert_eq!(set.take(60_000), Some(from));
        }
        set.give_back(60_100);
        assert_eq!(set.take(60_000), Some(60_100));
        assert_eq!(set.take(60_000), Some(60_200));
    }
}
