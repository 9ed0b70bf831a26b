//! What lies below a /24: a small trie whose nodes skip bits and are of two kinds.
//!
//! A *page* is for crowded bits: one cell for each value of the next few bits. *Ranges*
//! are for sparse ones: the borders at which the answer changes within the next 32
//! bits, and the answer between each two. Counting the borders that are not beyond an
//! address finds its range without a branch, eight borders an instruction or more.

use alloc::sync::Arc;

use crate::address::Address;

/// Marks a value that leads on to a node: two bits of [`Kind`] follow, and an index.
pub(super) const LEADS_ON: u32 = 1 << 31;
const KIND_SHIFT: u32 = 29;
/// The value where no route is but, perhaps, the default route. No [`NextHop`](super::NextHop)
/// looks so: it would be of kind 15, with all bits of its index set.
pub(super) const UNSET: u32 = LEADS_ON - 1;

/// The most borders that a node of ranges holds.
pub(super) const MOST_BORDERS: usize = 32;
/// The most that a small one holds.
pub(super) const FEW_BORDERS: usize = 8;
/// The most bits that a page decides on.
pub(super) const MOST_STRIDE: u32 = 14;

/// A trie below one /24. Its root lies here, so that finding the trie is having the root.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct Sub {
    pub(super) root: Node,
    /// The cells of all nodes: next hops, [`UNSET`], or [`LEADS_ON`] and an index into `inner`.
    pub(super) cells: Arc<[u32]>,
    /// All nodes but the root.
    pub(super) inner: Option<Arc<[Node]>>,
}

/// A node decides on `width` bits, for addresses that have the right bits before those.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// What stands before the window, as far as 64 bits with the window reach.
    pub(super) before: u64,
    /// The answer for addresses with something else there.
    pub(super) outside: u32,
    /// The first of its cells.
    pub(super) first: u32,
    /// The bits of a page that choose its cell; none for ranges.
    pub(super) mask: u32,
    /// Bits of an address behind the window.
    pub(super) shift: u8,
    /// Bits of the window: up to [`MOST_STRIDE`] for a page, 32 for ranges.
    pub(super) width: u8,
}

/// What kind of node a value leads on to: known before the node has come from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// 2^n cells; n is 1 to [`MOST_STRIDE`].
    Page,
    /// [`FEW_BORDERS`] borders, ascending, and a cell more. A border has its sign bit
    /// flipped, for the CPU compares vectors of signed numbers only.
    Few,
    /// [`MOST_BORDERS`] borders and a cell more.
    Many,
}

/// The value that leads on to node `index`.
pub(super) fn lead(kind: Kind, index: usize) -> u32 {
    assert!(index < 1 << KIND_SHIFT, "an index of a node has 29 bits");
    LEADS_ON | (kind as u32) << KIND_SHIFT | index as u32
}

/// Which kind of node a value leads on to; `None` if it does not.
#[inline(always)]
pub(super) fn kind(value: u32) -> Option<Kind> {
    match value >> KIND_SHIFT {
        0b100 => Some(Kind::Page),
        0b101 => Some(Kind::Few),
        0b110 => Some(Kind::Many),
        _ => None,
    }
}

/// The index in a value that leads on.
#[inline(always)]
pub(super) fn index(value: u32) -> usize {
    (value & !(u32::MAX << KIND_SHIFT)) as usize
}

impl Sub {
    /// The node that a cell leads on to.
    #[inline(always)]
    pub(super) fn inner(&self, cell: u32) -> &Node {
        let inner = self.inner.as_deref().unwrap_or_default();
        &inner[index(cell)]
    }

    /// What it occupies behind itself, in bytes.
    pub(super) fn bytes(&self) -> usize {
        // Two counters before each shared part.
        let counters = 2 * size_of::<usize>();
        let inner = self.inner.as_deref().map_or(0, |inner| size_of_val(inner) + counters);
        size_of_val(&*self.cells) + counters + inner
    }
}

impl Node {
    /// The cell of a page for `address`.
    #[inline(always)]
    pub(super) fn page<A: Address>(&self, cells: &[u32], address: A) -> u32 {
        let bits = address.ending(u32::from(self.shift));
        let cell = cells[(self.first + (bits as u32 & self.mask)) as usize];
        if bits >> self.width == self.before { cell } else { self.outside }
    }

    /// The cell of ranges for `address`.
    #[inline(always)]
    pub(super) fn range<A: Address, C: Count, const BORDERS: usize>(&self, cells: &[u32], address: A) -> u32 {
        let bits = address.ending(u32::from(self.shift));
        let cells = &cells[self.first as usize..][..2 * BORDERS + 1];
        let (borders, answers) = cells.split_first_chunk::<BORDERS>().expect("there are as many");
        let cell = answers[C::passed(borders, (bits as u32 ^ 1 << 31) as i32)];
        if bits >> 32 == self.before { cell } else { self.outside }
    }
}

/// How borders are counted.
pub(super) trait Count {
    /// How many `borders` are not beyond `window`.
    fn passed<const BORDERS: usize>(borders: &[u32; BORDERS], window: i32) -> usize;
}

/// With what every CPU has.
pub(super) struct Portable;

impl Count for Portable {
    #[inline(always)]
    fn passed<const BORDERS: usize>(borders: &[u32; BORDERS], window: i32) -> usize {
        borders.iter().map(|border| u32::from(*border as i32 <= window)).sum::<u32>() as usize
    }
}

/// With AVX-512, sixteen an instruction. What the compiler makes of [`Portable`] with it
/// takes the mask apart bit by bit.
#[cfg(target_arch = "x86_64")]
pub(super) struct Avx512;

#[cfg(target_arch = "x86_64")]
impl Count for Avx512 {
    #[inline(always)]
    fn passed<const BORDERS: usize>(borders: &[u32; BORDERS], window: i32) -> usize {
        // SAFETY: whoever names this type has found the features on this CPU.
        unsafe { passed_avx512(borders, window) }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt,avx2,avx512f,avx512vl")]
#[inline]
fn passed_avx512<const BORDERS: usize>(borders: &[u32; BORDERS], window: i32) -> usize {
    use core::arch::x86_64::*;
    let (sixteens, rest) = borders.as_chunks::<16>();
    let mut passed = 0;
    for sixteen in sixteens {
        // SAFETY: reads sixteen numbers of a reference to sixteen.
        let sixteen = unsafe { _mm512_loadu_si512(sixteen.as_ptr().cast()) };
        passed += _mm512_cmple_epi32_mask(sixteen, _mm512_set1_epi32(window)).count_ones();
    }
    for eight in rest.as_chunks::<8>().0 {
        // SAFETY: reads eight numbers of a reference to eight.
        let eight = unsafe { _mm256_loadu_si256(eight.as_ptr().cast()) };
        passed += _mm256_cmple_epi32_mask(eight, _mm256_set1_epi32(window)).count_ones();
    }
    passed as usize
}
