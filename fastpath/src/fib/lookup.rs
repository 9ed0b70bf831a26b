//! The compiled table, and the way through it.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::marker::PhantomData;

use super::NextHop;
use super::chunk::{CHUNK_BITS, Chunk, Names, SLOTS};
#[cfg(target_arch = "x86_64")]
use super::sub::Avx512;
use super::sub::{Count, FEW_BORDERS, Kind, MOST_BORDERS, Portable, Sub, UNSET, index, kind};
use crate::address::Address;
use crate::burst::Burst;

/// A forwarding table of one family, compiled for lookups. Immutable.
///
/// A clone is another handle on the same table.
#[derive(Clone, Debug)]
pub struct Fib<A> {
    pub(super) chunks: Arc<[Chunk; SLOTS]>,
    pub(super) names: Arc<Names>,
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
    /// At most 64 MiB for the first 24 bits and a KiB for each longer route, much less where
    /// those have neighbours. Walks the whole table: for people who ask, not for packets.
    pub fn bytes(&self) -> usize {
        let mut seen = BTreeSet::new();
        let chunks = self.chunks.iter().filter(|chunk| seen.insert(chunk.place()));
        size_of_val(&*self.chunks) + size_of_val(&*self.names) + chunks.map(Chunk::bytes).sum::<usize>()
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
        #[cfg(target_arch = "x86_64")]
        if crate::cpu::has_avx512() {
            // SAFETY: the features were found on this CPU.
            unsafe { self.lookup_burst_avx512(addresses, out) };
            return;
        }
        self.lookup_burst_by::<Portable>(addresses, out);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "popcnt,bmi1,bmi2,lzcnt,avx2,avx512f,avx512vl,avx512bw,avx512dq")]
    fn lookup_burst_avx512(&self, addresses: &[A], out: &mut [NextHop]) {
        self.lookup_burst_by::<Avx512>(addresses, out);
    }

    #[inline(always)]
    pub(super) fn lookup_burst_by<C: Count>(&self, addresses: &[A], out: &mut [NextHop]) {
        let addresses = &addresses[..out.len()];
        let (chunks, names, default) = (&*self.chunks, &*self.names, self.default);
        let (mut few, mut many, mut deeper) = (0u64, 0u64, 0u64);
        for (i, (address, out)) in addresses.iter().zip(out.iter_mut()).enumerate() {
            let slot = slot(*address);
            match &chunks[chunk(*address)] {
                Chunk::Bytes(slots) => *out = NextHop::from_raw(names[usize::from(slots[slot])]),
                Chunk::Words(slots) => *out = settle(slots[slot], default),
                Chunk::Mixed(mixed) => {
                    let mut value = mixed.slots[slot];
                    if kind(value) == Some(Kind::Page) {
                        let sub = &mixed.subs[index(value)];
                        value = sub.root.page(&sub.cells, *address);
                        deeper |= u64::from(value >> 31) << i;
                    } else {
                        few |= u64::from(kind(value) == Some(Kind::Few)) << i;
                        many |= u64::from(kind(value) == Some(Kind::Many)) << i;
                    }
                    *out = settle(value, default);
                }
            }
        }
        // Ranges have a loop a kind: which kind comes next is as good as random, so that a
        // branch on it would be mispredicted, and the misses of the burst would not overlap.
        for i in ones(few) {
            if let Some(sub) = self.sub(addresses[i]) {
                let cell = sub.root.range::<A, C, FEW_BORDERS>(&sub.cells, addresses[i]);
                out[i] = settle(cell, default);
                deeper |= u64::from(cell >> 31) << i;
            }
        }
        for i in ones(many) {
            if let Some(sub) = self.sub(addresses[i]) {
                let cell = sub.root.range::<A, C, MOST_BORDERS>(&sub.cells, addresses[i]);
                out[i] = settle(cell, default);
                deeper |= u64::from(cell >> 31) << i;
            }
        }
        if deeper != 0 {
            self.walk::<C>(deeper, addresses, out);
        }
    }

    /// Goes on for those for whom the root of a trie does not decide: few, and 26 nodes at most.
    #[inline(always)]
    fn walk<C: Count>(&self, mut deeper: u64, addresses: &[A], out: &mut [NextHop]) {
        while deeper != 0 {
            for i in ones(deeper) {
                let Some(sub) = self.sub(addresses[i]) else { continue };
                let cell = out[i].raw();
                let node = sub.inner(cell);
                let cell = match kind(cell) {
                    Some(Kind::Few) => node.range::<A, C, FEW_BORDERS>(&sub.cells, addresses[i]),
                    Some(Kind::Many) => node.range::<A, C, MOST_BORDERS>(&sub.cells, addresses[i]),
                    _ => node.page(&sub.cells, addresses[i]),
                };
                out[i] = settle(cell, self.default);
                deeper &= !(u64::from(cell >> 31 ^ 1) << i);
            }
        }
    }

    /// The trie for `address`, which its slot leads to.
    #[inline(always)]
    fn sub(&self, address: A) -> Option<&Sub> {
        match &self.chunks[chunk(address)] {
            Chunk::Mixed(mixed) => Some(&mixed.subs[index(mixed.slots[slot(address)])]),
            _ => None,
        }
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
