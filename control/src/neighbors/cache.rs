//! The neighbours on one port, by address and by what is due next.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use causeway_fastpath::time::Instant;

use super::entry::Entry;

/// Guests on one port, at most: whoever scans a subnet finds this limit, not the
/// end of memory (RFC 6583).
pub(super) const LARGEST: usize = 8192;
/// Guests of one port being asked for at once, at most.
pub(super) const LARGEST_SOUGHT: usize = 512;

/// The neighbours on one port.
///
/// Every operation is logarithmic. *Guests* are those that neither the
/// configuration names nor a route needs: they come and go.
#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: BTreeMap<IpAddr, Entry>,
    /// When something is due about whom.
    due: BTreeSet<(Instant, IpAddr)>,
    /// Guests being asked for, and since when.
    sought: BTreeSet<(Instant, IpAddr)>,
    guests: usize,
}

impl Cache {
    pub(super) fn get(&self, address: IpAddr) -> Option<&Entry> {
        self.entries.get(&address)
    }

    /// Every neighbour, in the order of addresses.
    pub(super) fn iter(&self) -> impl Iterator<Item = (IpAddr, &Entry)> {
        self.entries.iter().map(|(address, entry)| (*address, entry))
    }

    /// Takes in a neighbour that is not there yet.
    pub(super) fn insert(&mut self, address: IpAddr, entry: Entry) {
        self.due.extend(entry.due.map(|due| (due, address)));
        self.sought.extend(entry.sought_since().map(|since| (since, address)));
        self.guests += usize::from(entry.is_guest());
        let twin = self.entries.insert(address, entry);
        debug_assert!(twin.is_none(), "a neighbour is taken in once");
    }

    pub(super) fn remove(&mut self, address: IpAddr) -> Option<Entry> {
        let entry = self.entries.remove(&address)?;
        if let Some(due) = entry.due {
            self.due.remove(&(due, address));
        }
        if let Some(since) = entry.sought_since() {
            self.sought.remove(&(since, address));
        }
        self.guests -= usize::from(entry.is_guest());
        Some(entry)
    }

    /// Changes a neighbour; `None` when it is not there.
    pub(super) fn change<T>(&mut self, address: IpAddr, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let mut entry = self.remove(address)?;
        let result = change(&mut entry);
        self.insert(address, entry);
        Some(result)
    }

    /// When something is due next, and about whom.
    pub(super) fn next_due(&self) -> Option<(Instant, IpAddr)> {
        self.due.first().copied()
    }

    /// Is there room for a guest who was not asked for?
    pub(super) fn has_room(&self) -> bool {
        self.guests < LARGEST
    }

    /// Makes room for a guest who is to be asked for, and returns whom it had to
    /// take out for that: whoever was asked for the longest, else whoever is next
    /// to be asked. So a scan crowds out itself: who is there answers at once.
    pub(super) fn make_room(&mut self) -> Option<Entry> {
        let crowded_out = if self.sought.len() >= LARGEST_SOUGHT {
            self.sought.first()
        } else if self.guests >= LARGEST {
            self.due.iter().find(|(_, address)| self.entries[address].is_guest())
        } else {
            None
        };
        let (_, address) = *crowded_out?;
        self.remove(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_testkit::seed::Seed;
    use std::net::Ipv4Addr;

    fn address(n: u64) -> IpAddr {
        Ipv4Addr::from_bits(n as u32).into()
    }

    /// What the orders and counts are to say, said the slow way.
    fn check(cache: &Cache) {
        let due = cache.iter().filter_map(|(address, entry)| Some((entry.due?, address))).collect::<BTreeSet<_>>();
        let sought = cache.iter().filter_map(|(address, entry)| Some((entry.sought_since()?, address)));
        assert_eq!(cache.due, due);
        assert_eq!(cache.sought, sought.collect());
        assert_eq!(cache.guests, cache.iter().filter(|(_, entry)| entry.is_guest()).count());
    }

    #[test]
    fn the_orders_say_what_the_entries_say_whatever_happens() {
        let seed = Seed::from_env_or(11);
        let mut rng = seed.rng();
        let (mut cache, mut now) = (Cache::default(), Instant::ZERO);
        for _ in 0..5_000 {
            now = now + std::time::Duration::from_millis(rng.below(700));
            let who = address(rng.below(40));
            match rng.below(5) {
                0 | 1 if cache.get(who).is_none() => {
                    let entry = if rng.chance(1, 10) {
                        Entry::new_static([2; 6], false, now)
                    } else {
                        Entry::wanted(rng.chance(1, 4), now)
                    };
                    cache.insert(who, entry);
                }
                2 => drop(cache.change(who, |entry| entry.heard([2, 0, 0, 0, 0, rng.u8()], now))),
                3 => drop(cache.remove(who)),
                0 | 1 => drop(cache.change(who, |entry| entry.set_router(rng.chance(1, 4), now))),
                _ => {
                    if let Some((due, who)) = cache.next_due().filter(|(due, _)| *due <= now) {
                        assert!(cache.iter().filter_map(|(_, entry)| entry.due).all(|other| other >= due));
                        cache.change(who, |entry| entry.timeout(now));
                    }
                }
            }
            check(&cache);
        }
    }

    #[test]
    fn who_has_been_asked_for_the_longest_makes_room() {
        let mut cache = Cache::default();
        cache.insert(address(1_000_000), Entry::wanted(true, Instant::ZERO));
        for n in 0..10_000 {
            let now = Instant::from_millis(n);
            let crowded_out = cache.make_room();
            cache.insert(address(n), Entry::wanted(false, now));
            assert_eq!(crowded_out.is_some(), n >= LARGEST_SOUGHT as u64);
            assert!(n < LARGEST_SOUGHT as u64 || cache.get(address(n - LARGEST_SOUGHT as u64)).is_none());
        }
        assert!(cache.get(address(1_000_000)).is_some(), "a router is no guest");
        assert_eq!(cache.sought.len(), LARGEST_SOUGHT);
    }

    #[test]
    fn in_a_full_house_the_next_to_be_asked_makes_room_and_nobody_comes_unasked() {
        let mut cache = Cache::default();
        cache.insert(address(1_000_000), Entry::new_static([2; 6], false, Instant::ZERO));
        cache.insert(address(1_000_001), Entry::wanted(true, Instant::ZERO));
        for n in 0..LARGEST as u64 {
            assert!(cache.has_room());
            cache.insert(address(n), Entry::wanted(false, Instant::ZERO));
            cache.change(address(n), |entry| entry.heard([2; 6], Instant::from_millis(n)));
        }
        assert!(!cache.has_room());
        assert!(cache.make_room().is_some());
        assert!(cache.get(address(0)).is_none() && cache.has_room());
        check(&cache);
    }
}
