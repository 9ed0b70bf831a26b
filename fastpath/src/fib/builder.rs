//! Routes in, a compiled table out; a change at a time, if need be.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::marker::PhantomData;

use super::chunk::{CHUNK_BITS, Chunk, Draft, Roster, SLOTS, SUB_AT};
use super::compile::{Route, compile};
use super::lookup::{chunk, slot};
use super::sub::UNSET;
use super::{Fib, NextHop, Prefix};
use crate::address::Address;

/// A set of routes, from which a [`Fib`] is compiled.
///
/// Lives in control; workers only see what [`FibBuilder::build`] made. It remembers
/// the last table it made and what has changed since, and a clone does, too.
#[derive(Clone, Debug)]
pub struct FibBuilder<A> {
    routes: BTreeMap<Prefix<A>, NextHop>,
    /// Routes by length.
    lengths: [usize; 129],
    /// Prefixes whose routes changed since `last` was made, in any order.
    changed: Vec<Prefix<A>>,
    roster: Roster,
    last: Option<Fib<A>>,
}

impl<A: Address> Default for FibBuilder<A> {
    fn default() -> FibBuilder<A> {
        FibBuilder::new()
    }
}

impl<A: Address> FibBuilder<A> {
    /// No routes.
    pub fn new() -> FibBuilder<A> {
        FibBuilder {
            routes: BTreeMap::new(),
            lengths: [0; 129],
            changed: Vec::new(),
            roster: Roster::new(),
            last: None,
        }
    }

    /// Adds a route; says which next hop the prefix had before.
    pub fn insert(&mut self, prefix: Prefix<A>, next_hop: NextHop) -> Option<NextHop> {
        let before = self.routes.insert(prefix, next_hop);
        if before.is_none() {
            self.lengths[usize::from(prefix.len())] += 1;
        }
        if before != Some(next_hop) {
            self.touch(prefix);
        }
        before
    }

    /// Takes a route away; says which next hop it had.
    pub fn remove(&mut self, prefix: Prefix<A>) -> Option<NextHop> {
        let before = self.routes.remove(&prefix);
        if before.is_some() {
            self.lengths[usize::from(prefix.len())] -= 1;
            self.touch(prefix);
        }
        before
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Is there no route?
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// The routes, by address and then by length.
    pub fn routes(&self) -> impl Iterator<Item = (Prefix<A>, NextHop)> + '_ {
        self.routes.iter().map(|(prefix, hop)| (*prefix, *hop))
    }

    /// Notes a change. So many that a table made anew costs no more are not kept apart.
    fn touch(&mut self, prefix: Prefix<A>) {
        if self.last.is_some() {
            self.changed.push(prefix);
            if self.changed.len() > 1024 + self.routes.len() / 4 {
                self.last = None;
                self.changed.clear();
            }
        }
    }

    /// Compiles the table.
    ///
    /// The first time linear in the routes, plus 4096 chunks of 4096 slots; from then on
    /// only what changed since is made anew, and the rest shared with the last table: of
    /// each /12 with a change the slots under it, and 4096 pointers to chunks. A changed
    /// route of /12 or shorter makes all the chunks under it anew, a default route none.
    pub fn build(&mut self) -> Fib<A> {
        let chunks = match self.last.take() {
            Some(last) if self.changed.is_empty() => {
                self.last = Some(last.clone());
                return last;
            }
            Some(last) => self.patched(&last),
            None => self.anew(),
        };
        self.changed.clear();
        let default = self.routes.get(&Prefix::containing(A::default(), 0)).copied();
        let chunks: Arc<[Chunk]> = chunks.into();
        let default = default.unwrap_or(NextHop::NO_ROUTE);
        let mut names = self.roster.names;
        names[0] = default.raw();
        let fib = Fib {
            chunks: chunks.try_into().expect("there are 4096 chunks"),
            names: Arc::new(names),
            short_of_names: self.roster.short,
            default,
            lengths: Arc::new(self.lengths),
            routes: self.routes.len(),
            family: PhantomData,
        };
        self.last = Some(fib.clone());
        fib
    }

    fn anew(&mut self) -> Vec<Chunk> {
        self.roster = Roster::new();
        let mut chunks: Vec<Chunk> = Vec::with_capacity(SLOTS);
        // The next hop that all of the last chunk has.
        let mut all = None;
        for number in 0..SLOTS {
            let whole = Prefix::containing(base(number), CHUNK_BITS as u8);
            if self.routes.range(whole..).next().is_some_and(|(route, _)| whole.contains(route.address())) {
                chunks.push(self.chunk(Draft::of(UNSET), &[whole]));
                all = None;
                continue;
            }
            let around = self.around(whole);
            match chunks.last() {
                Some(last) if all == Some(around) => chunks.push(last.clone()),
                _ => chunks.push(Draft::of(around).pack(&mut self.roster)),
            }
            all = Some(around);
        }
        chunks
    }

    fn patched(&mut self, last: &Fib<A>) -> Vec<Chunk> {
        let mut chunks = last.chunks.to_vec();
        let mut changed = core::mem::take(&mut self.changed);
        changed.retain(|prefix| prefix.len() > 0);
        // Those that lie in another come after it.
        changed.sort_unstable();
        changed.dedup_by(|later, earlier| earlier.len() <= later.len() && earlier.contains(later.address()));
        let mut rest = changed.as_slice();
        while let Some(prefix) = rest.first() {
            let first = chunk(prefix.address());
            if u32::from(prefix.len()) <= CHUNK_BITS {
                let under = chunks.iter_mut().enumerate().skip(first).take(span(*prefix, CHUNK_BITS));
                for (number, chunk) in under {
                    let whole = Prefix::containing(base(number), CHUNK_BITS as u8);
                    *chunk = self.chunk(Draft::of(UNSET), &[whole]);
                }
                rest = &rest[1..];
            } else {
                let count = rest.partition_point(|prefix| chunk(prefix.address()) <= first);
                let draft = Draft::from(&chunks[first], &self.roster.names);
                chunks[first] = self.chunk(draft, &rest[..count]);
                rest = &rest[count..];
            }
        }
        chunks
    }

    /// Brings a chunk up to date with the routes under `changed`, of 12 bits or more,
    /// none of which contains another.
    fn chunk(&mut self, mut draft: Draft, changed: &[Prefix<A>]) -> Chunk {
        let mut longer = Vec::new();
        let mut done = None;
        for prefix in changed {
            // A slot with a trie is made anew as a whole.
            let prefix = Prefix::containing(prefix.address(), prefix.len().min(SUB_AT as u8));
            if done != Some(prefix) {
                self.refill(&mut draft, prefix, &mut longer);
                done = Some(prefix);
            }
        }
        draft.pack(&mut self.roster)
    }

    /// Fills the slots under `prefix`, of 12 to 24 bits. `longer` is room for routes.
    fn refill(&self, draft: &mut Draft, prefix: Prefix<A>, longer: &mut Vec<Route<A>>) {
        let first = slot(prefix.address());
        draft.slots[first..first + span(prefix, SUB_AT)].fill(self.around(prefix));
        // In the map's order, (address, length), a route comes after all that contain it,
        // so that the longest is written last.
        let mut routes =
            self.routes.range(prefix..).take_while(|(route, _)| prefix.contains(route.address())).peekable();
        while let Some((route, hop)) = routes.next() {
            let first = slot(route.address());
            if u32::from(route.len()) <= SUB_AT {
                draft.slots[first..first + span(*route, SUB_AT)].fill(hop.raw());
                continue;
            }
            longer.clear();
            longer.push(Route { address: route.address(), len: route.len(), hop: hop.raw() });
            while let Some((route, hop)) = routes.next_if(|(route, _)| slot(route.address()) == first) {
                longer.push(Route { address: route.address(), len: route.len(), hop: hop.raw() });
            }
            let below = compile(longer, draft.slots[first]);
            draft.lead(first, below);
        }
    }

    /// The next hop of the longest route around `prefix`, itself not counted.
    fn around(&self, prefix: Prefix<A>) -> u32 {
        (1..prefix.len())
            .rev()
            .filter(|len| self.lengths[usize::from(*len)] > 0)
            .find_map(|len| self.routes.get(&Prefix::containing(prefix.address(), len)))
            .map_or(UNSET, |hop| hop.raw())
    }
}

/// How many prefixes of `bits` bits `prefix` touches.
fn span<A: Address>(prefix: Prefix<A>, bits: u32) -> usize {
    1 << bits.saturating_sub(u32::from(prefix.len()))
}

/// The first address of a chunk.
fn base<A: Address>(chunk: usize) -> A {
    A::from_bits(chunk as u32, CHUNK_BITS)
}
