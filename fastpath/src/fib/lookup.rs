//! The compiled table, and the way through it.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::marker::PhantomData;

use super::NextHop;
use super::chunk::{CHUNK_BITS, Chunk, Names, SLOTS};
#[cfg(target_arch = "x86_64")]
use super::sub::Avx512;
use super::sub::{Count, Kind, LEADS_ON, Portable, UNSET, index, mark};
use super::window::{Line, Window, answer};
use crate::address::Address;
use crate::burst::Burst;
use crate::cpu::prefetch;

/// A forwarding table of one family, compiled for lookups. Immutable.
///
/// A clone is another handle on the same table.
#[derive(Clone, Debug)]
pub struct Fib<A> {
    pub(super) chunks: Arc<[Chunk; SLOTS]>,
    pub(super) names: Arc<Names>,
    /// Were there more next hops than names?
    pub(super) short_of_names: bool,
    /// Raw next hop of the route of length 0, which stands nowhere else: what is not
    /// covered is [`UNSET`], and changing the default route touches nothing.
    pub(super) default: NextHop,
    /// Routes by length.
    pub(super) lengths: Arc<[usize; 129]>,
    pub(super) routes: usize,
    pub(super) family: PhantomData<A>,
}

/// What there is to say about a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Routes by the length of their prefix; IPv4 has none over 32.
    pub lengths: [usize; 129],
    /// What the table occupies, in bytes. Parts that it shares with another table count in both.
    pub bytes: usize,
}

impl<A: Address> Fib<A> {
    /// How many routes it was compiled from.
    pub fn len(&self) -> usize {
        self.routes
    }

    /// Was it compiled from no route?
    pub fn is_empty(&self) -> bool {
        self.routes == 0
    }

    /// What it occupies, in bytes; parts that it shares with another table included.
    ///
    /// At most 80 MiB for the first 24 bits and a KiB for each longer route, much less where
    /// those have neighbours. Walks the whole table: for people who ask, not for packets.
    pub fn bytes(&self) -> usize {
        // Two counters before each shared part.
        let counters = 2 * size_of::<usize>();
        let mut seen = BTreeSet::new();
        let mut bytes = size_of_val(&*self.chunks) + size_of_val(&*self.names);
        for chunk in self.chunks.iter() {
            let [names, words] = chunk.place();
            if seen.insert(names) {
                bytes += size_of_val(&*chunk.names) + counters;
            }
            if let Some(held) = &chunk.words
                && seen.insert(words)
            {
                bytes += held.bytes() + counters;
            }
        }
        bytes
    }

    /// Its routes by length, and its size. Costs what [`Fib::bytes`] does.
    pub fn summary(&self) -> Summary {
        Summary { lengths: *self.lengths, bytes: self.bytes() }
    }

    /// The next hop of the longest prefix that holds `address`.
    pub fn lookup(&self, address: A) -> NextHop {
        let mut out = [NextHop::NO_ROUTE];
        self.lookup_burst(&[address], &mut out);
        out[0]
    }

    /// Longest-prefix match for a whole burst.
    ///
    /// `addresses` and `out` have one length, at most [`Burst::MAX`]; `out[i]`
    /// answers `addresses[i]`. No match is [`NextHop::NO_ROUTE`], not an error.
    /// No allocation. The burst goes through the table a level at a time, so that
    /// its cache misses overlap.
    ///
    /// # Panics
    /// The lengths differ or exceed a burst: a bug in the caller.
    #[inline]
    pub fn lookup_burst(&self, addresses: &[A], out: &mut [NextHop]) {
        assert!(addresses.len() == out.len() && out.len() <= Burst::MAX, "one answer an address, a burst at most");
        if self.direct(addresses, out) {
            return;
        }
        #[cfg(target_arch = "x86_64")]
        if crate::cpu::has_avx512() {
            // SAFETY: the features were found on this CPU.
            unsafe { self.nameless_avx512(addresses, out) };
            return;
        }
        self.nameless::<Portable>(addresses, out);
    }

    /// Answers from slots. Is that all? Where a slot leads on, its answer does.
    ///
    /// Not compiled for AVX-512: the compiler would gather what lies in memory, which takes
    /// longer, and the misses of a burst would not overlap.
    #[inline(always)]
    pub(super) fn direct(&self, addresses: &[A], out: &mut [NextHop]) -> bool {
        let (chunks, names, default) = (&*self.chunks, &*self.names, self.default);
        let mut all = 0;
        let pairs = addresses.iter().zip(out.iter_mut());
        if self.short_of_names {
            // Words where there are any: to ask for a name in vain takes longer than a branch.
            for (address, out) in pairs {
                let (chunk, slot) = (&chunks[chunk(*address)], slot(*address));
                let value = match &chunk.words {
                    Some(words) => settle(words.slots[slot], default),
                    None => NextHop::from_raw(names[usize::from(chunk.names[slot])]),
                };
                all |= value.raw();
                *out = value;
            }
        } else {
            for (address, out) in pairs {
                let value = names[usize::from(chunks[chunk(*address)].names[slot(*address)])];
                all |= value;
                *out = NextHop::from_raw(value);
            }
        }
        all & LEADS_ON == 0
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "popcnt,bmi1,bmi2,lzcnt,avx2,avx512f,avx512vl,avx512bw,avx512dq")]
    fn nameless_avx512(&self, addresses: &[A], out: &mut [NextHop]) {
        self.nameless::<Avx512>(addresses, out);
    }

    /// Goes on for those whose answers lead on, because their slots have no name.
    ///
    /// Which kind of node comes next is as good as random, so that a branch on it would be
    /// mispredicted, and the misses of the burst would not overlap: hence a loop a kind. But
    /// for words and for pages, which are nearly all or nearly none in the tables there are.
    #[inline(always)]
    pub(super) fn nameless<C: Count>(&self, addresses: &[A], out: &mut [NextHop]) {
        let addresses = &addresses[..out.len()];
        // Of answers, whether one leads deeper; of others than pages, which they are.
        let (default, mut deeper, mut others) = (self.default, 0, 0u64);
        let mut windows: [Option<&Window>; Burst::MAX] = [None; Burst::MAX];
        let mut marks = [0; Burst::MAX];
        for i in ones(C::leading(out)) {
            let Some(words) = &self.chunks[chunk(addresses[i])].words else { continue };
            let value = words.slots[slot(addresses[i])];
            if mark(value) == Kind::Page.mark() {
                let sub = &words.below.subs[index(value)];
                let value = sub.root.page(&sub.cells, addresses[i]);
                deeper |= value;
                out[i] = settle(value, default);
                continue;
            }
            if value & LEADS_ON == 0 {
                out[i] = settle(value, default);
                continue;
            }
            out[i] = NextHop::from_raw(value);
            marks[i] = mark(value);
            others |= 1 << i;
            // For tries, which are rare, there may be none, or one that is not theirs.
            let Some(window) = words.below.windows.get(index(value)) else { continue };
            windows[i] = Some(window);
            prefetch(window);
        }
        if others == 0 && deeper & LEADS_ON == 0 {
            return;
        }
        let marked = |kind: Kind| C::marked(&marks, kind.mark());
        let mut leaves: [Option<&[Line; 2]>; Burst::MAX] = [None; Burst::MAX];
        for i in ones(marked(Kind::Three)) {
            let Some(window) = windows[i] else { continue };
            let leaf = window.three::<A, C>(addresses[i]);
            leaf.iter().for_each(|line| prefetch(line));
            leaves[i] = Some(leaf);
        }
        for i in ones(marked(Kind::Two)) {
            let Some(window) = windows[i] else { continue };
            let leaf = window.two::<A, C>(addresses[i]);
            leaf.iter().for_each(|line| prefetch(line));
            leaves[i] = Some(leaf);
        }
        for i in ones(marked(Kind::One)) {
            let Some(window) = windows[i] else { continue };
            let value = window.one::<A, C>(addresses[i]);
            deeper |= value;
            out[i] = settle(value, default);
        }
        for i in ones(marked(Kind::Two) | marked(Kind::Three)) {
            let Some(leaf) = leaves[i] else { continue };
            let value = answer::<A, C>(leaf, addresses[i]);
            deeper |= value;
            out[i] = settle(value, default);
        }
        if deeper & LEADS_ON != 0 || marked(Kind::Few) | marked(Kind::Many) != 0 {
            for i in ones(C::leading(out)) {
                out[i] = settle(self.walk::<C>(addresses[i], out[i].raw()), default);
            }
        }
    }

    /// Goes on from `value` for those that need more nodes of a trie: few, and 26 nodes at most.
    #[inline(always)]
    fn walk<C: Count>(&self, address: A, mut value: u32) -> u32 {
        let Some(words) = &self.chunks[chunk(address)].words else { return value };
        let word = words.slots[slot(address)];
        let below = &words.below;
        let sub = if Window::has(mark(word)) {
            below.windows[index(word)].deeper(index(value))
        } else {
            &below.subs[index(word)]
        };
        // A page right below the slot has answered already.
        if mark(word) != Kind::Page.mark() {
            value = sub.root.cell::<A, C>(mark(value), &sub.cells, address);
        }
        // Children come before their parents: this ends.
        while value & LEADS_ON != 0 {
            value = sub.inner(value).cell::<A, C>(mark(value), &sub.cells, address);
        }
        value
    }
}

/// The numbers of the bits that are set, below [`Burst::MAX`].
#[inline(always)]
fn ones(mut set: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        (set != 0).then(|| {
            let first = set.trailing_zeros() as usize;
            set &= set - 1;
            first % Burst::MAX
        })
    })
}

#[inline(always)]
fn settle(value: u32, default: NextHop) -> NextHop {
    if value == UNSET { default } else { NextHop::from_raw(value) }
}

/// The chunk of an address.
#[inline(always)]
pub(super) fn chunk<A: Address>(address: A) -> usize {
    address.bits(0, CHUNK_BITS) as usize % SLOTS
}

/// The slot of an address in its chunk.
#[inline(always)]
pub(super) fn slot<A: Address>(address: A) -> usize {
    address.bits(CHUNK_BITS, CHUNK_BITS) as usize % SLOTS
}
