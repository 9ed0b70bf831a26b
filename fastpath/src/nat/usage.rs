//! How much of a pool is in use: counted as names come and go, so that nobody has to look
//! through them.

use alloc::vec;
use alloc::vec::Vec;

use super::Nat;
use crate::address::Address;
use crate::command::PoolRow;
use crate::ids::PoolId;

/// What is in use for one protocol, by address of the pool.
pub(super) struct Usage {
    loads: Vec<Load>,
    /// Where destinations share ports: how many have so many sessions, by address and level.
    levels: Vec<u32>,
    /// Levels of an address; 0 where ports are not shared.
    of_address: usize,
    /// Sessions of a level, as a power of two.
    shift: u32,
}

/// What is in use of one address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Sessions under its names.
    pub sessions: u32,
    /// Endpoints that have a name on it; where ports are shared, destinations.
    pub bindings: u32,
    /// Names at rest.
    pub resting: u32,
    /// Ports in use; where they are shared, toward the busiest destination, and up to a 64th
    /// of all ports too many.
    pub used: u32,
    /// Ports that belong to forwards.
    pub forwarded: u32,
    /// The most that were in use at a time; exact.
    pub high_water: u32,
    /// Flows of hosts with this address that were refused: no port was free on any.
    pub refused: u64,
}

impl Load {
    /// Adds what another worker has in use of its ports. The most that were in use at a time
    /// may have been less: each had its own at a time of its own.
    pub(crate) fn add(&mut self, other: &Load) {
        self.sessions += other.sessions;
        self.bindings += other.bindings;
        self.resting += other.resting;
        self.used += other.used;
        self.forwarded += other.forwarded;
        self.high_water += other.high_water;
        self.refused += other.refused;
    }
}

/// More levels than this are coarser.
const MOST_LEVELS: usize = 128;

impl Usage {
    /// Nothing is in use. `shared`: by destinations.
    pub(super) fn new(addresses: usize, ports: usize, shared: bool) -> Usage {
        let shift = (0..).find(|shift| ports >> shift < MOST_LEVELS).unwrap_or(0);
        let of_address = if shared { (ports >> shift) + 1 } else { 0 };
        Usage { loads: vec![Load::default(); addresses], levels: vec![0; addresses * of_address], of_address, shift }
    }

    /// A session began, and so many stand on its binding; did that rest before?
    pub(super) fn began(&mut self, address: u32, standing: u32, rested: bool) {
        let load = &mut self.loads[address as usize];
        load.sessions += 1;
        load.bindings += u32::from(standing == 1);
        load.resting -= u32::from(rested);
        let used = if self.of_address == 0 { load.bindings } else { standing };
        load.high_water = load.high_water.max(used);
        self.moved(address, standing - 1, standing);
    }

    /// A session ended, and so many stand on its binding; does that rest now?
    pub(super) fn ended(&mut self, address: u32, standing: u32, rests: bool) {
        let load = &mut self.loads[address as usize];
        load.sessions -= 1;
        load.bindings -= u32::from(standing == 0);
        load.resting += u32::from(rests);
        self.moved(address, standing + 1, standing);
    }

    /// A binding comes over from tables before, with so many sessions, or at rest.
    pub(super) fn came_over(&mut self, address: u32, standing: u32, rests: bool) {
        let load = &mut self.loads[address as usize];
        load.sessions += standing;
        load.bindings += u32::from(standing > 0);
        load.resting += u32::from(rests);
        let used = if self.of_address == 0 { load.bindings } else { standing };
        load.high_water = load.high_water.max(used);
        self.moved(address, 0, standing);
    }

    /// An address comes over: what is remembered of it.
    pub(super) fn address_came_over(&mut self, address: u32, before: &Usage, as_it_was: u32) {
        let Load { high_water, refused, .. } = before.loads[as_it_was as usize];
        let load = &mut self.loads[address as usize];
        load.high_water = load.high_water.max(high_water);
        load.refused += refused;
    }

    /// A name has rested.
    pub(super) fn rested(&mut self, address: u32) {
        self.loads[address as usize].resting -= 1;
    }

    /// A flow was refused whose sender has this address.
    pub(super) fn refused(&mut self, address: u32) {
        self.loads[address as usize].refused += 1;
    }

    /// What is in use of an address, so many of whose ports belong to forwards. Looks at 128
    /// numbers at most.
    pub(super) fn load(&self, address: u32, forwarded: u32) -> Load {
        let load = self.loads[address as usize];
        let used = if self.of_address == 0 {
            load.bindings
        } else {
            let from = address as usize * self.of_address;
            let busiest = self.levels[from..from + self.of_address].iter().rposition(|count| *count > 0);
            busiest.map_or(0, |level| (((level as u32 + 1) << self.shift) - 1).min(load.high_water))
        };
        Load { used, forwarded, ..load }
    }

    /// A destination has so many sessions, and had so many before.
    fn moved(&mut self, address: u32, before: u32, after: u32) {
        // An endpoint that has kept its name since the pool was mapped otherwise may have more
        // sessions under it than there are ports.
        let level = |sessions: u32| (sessions >> self.shift).min((self.of_address.max(1) - 1) as u32);
        let (was, is) = (level(before), level(after));
        if self.of_address == 0 || (was == is && before.min(after) > 0) {
            return;
        }
        let from = address as usize * self.of_address;
        if before > 0 {
            self.levels[from + was as usize] -= 1;
        }
        if after > 0 {
            self.levels[from + is as usize] += 1;
        }
    }
}

impl<A: Address> Nat<A> {
    /// What is in use of this worker's ports of an address of a pool, if it has so many.
    pub fn in_use(&self, pool: PoolId, address: u32) -> Option<PoolRow> {
        let own = self.pools.get(pool.index())?;
        let space = self.spaces.of(pool);
        let name = own.addresses.get(address as usize)?.to_ip();
        Some(PoolRow { pool, address: name, ports: space.stripe.len() as u32, loads: space.loads(address) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_testkit::seed::Rng;

    #[test]
    fn what_is_counted_is_what_there_is() {
        let mut rng = Rng::new(3);
        for (shared, ports) in [(false, 40), (true, 40), (true, 127), (true, 128), (true, 1_000)] {
            let mut usage = Usage::new(2, ports, shared);
            // Sessions by binding; bindings are on an address each.
            let mut standing = [0u32; 12];
            let mut high = [0; 2];
            for _ in 0..50_000 {
                let at = rng.range(0..standing.len());
                let address = at % 2;
                if rng.chance(1, 2) && (standing[at] as usize) < ports {
                    standing[at] += 1;
                    usage.began(address as u32, standing[at], false);
                } else if standing[at] > 0 {
                    standing[at] -= 1;
                    usage.ended(address as u32, standing[at], false);
                }
                let own: Vec<u32> = standing.iter().skip(address).step_by(2).copied().collect();
                let bindings = own.iter().filter(|count| **count > 0).count() as u32;
                let used = if shared { own.iter().copied().max().unwrap_or(0) } else { bindings };
                high[address] = high[address].max(used);
                let load = usage.load(address as u32, 0);
                assert_eq!((load.sessions, load.bindings), (own.iter().sum(), bindings));
                assert_eq!(load.high_water, high[address]);
                let most = used + (ports / 64) as u32;
                assert!((used..=most).contains(&load.used), "{} where {used} are in use of {ports}", load.used);
            }
        }
    }
}
