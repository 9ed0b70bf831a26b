//! What lies below a /24: a small trie whose nodes skip bits and are of two kinds.
//!
//! A *page* is for crowded bits: one cell for each value of the next few bits. *Ranges*
//! are for sparse ones: the borders at which the answer changes within the next 32
//! bits, and the answer between each two. Counting the borders that are not beyond an
//! address finds its range without a branch, eight borders an instruction or more.

use alloc::sync::Arc;

use super::NextHop;
use crate::address::Address;
use crate::burst::Burst;

/// Marks a value that leads on to a node: three bits of [`Kind`] follow, and an index.
pub(super) const LEADS_ON: u32 = 1 << 31;
const KIND_SHIFT: u32 = 28;
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

/// A node decides on a window of bits, for addresses that have the right bits before those.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// As far as 64 bits reach: of a page, what those with its first cell have up to the end
    /// of the window; of ranges, what stands before it.
    pub(super) before: u64,
    /// The answer for addresses with something else there.
    pub(super) outside: u32,
    /// The first of its cells.
    pub(super) first: u32,
    /// Cells of a page; one more follows, for `outside`.
    pub(super) size: u32,
    /// Bits of an address behind the window.
    pub(super) shift: u8,
}

/// What kind of node a value leads on to: known before the node has come from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// 2^n cells; n is 1 to [`MOST_STRIDE`].
    Page,
    /// [`FEW_BORDERS`] borders, ascending, and a cell more.
    Few,
    /// [`MOST_BORDERS`] borders and a cell more.
    Many,
    /// A [`Window`](super::window::Window) of one level.
    One,
    /// A window of two levels.
    Two,
    /// A window of three levels.
    Three,
}

impl Kind {
    /// The [`mark`] of values that lead on to such a node.
    pub(super) const fn mark(self) -> u8 {
        (LEADS_ON >> KIND_SHIFT) as u8 | self as u8
    }
}

/// The value that leads on to node `index`.
pub(super) fn lead(kind: Kind, index: usize) -> u32 {
    assert!(index < 1 << KIND_SHIFT, "an index of a node has 28 bits");
    u32::from(kind.mark()) << KIND_SHIFT | index as u32
}

/// What tells values apart that lead on to nodes of different kinds ([`Kind::mark`]).
#[inline(always)]
pub(super) fn mark(value: u32) -> u8 {
    (value >> KIND_SHIFT) as u8
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
    /// The cell of a node that a value marked so leads on to.
    #[inline(always)]
    pub(super) fn cell<A: Address, C: Count>(&self, mark: u8, cells: &[u32], address: A) -> u32 {
        const FEW: u8 = Kind::Few.mark();
        const MANY: u8 = Kind::Many.mark();
        match mark {
            FEW => self.range::<A, C, FEW_BORDERS>(cells, address),
            MANY => self.range::<A, C, MOST_BORDERS>(cells, address),
            _ => self.page(cells, address),
        }
    }

    /// The cell of a page for `address`.
    #[inline(always)]
    pub(super) fn page<A: Address>(&self, cells: &[u32], address: A) -> u32 {
        let bits = match A::BITS.checked_sub(64) {
            // The usual case in fewer instructions, for one that can be predicted more.
            Some(half) if u32::from(self.shift) >= half => address.ending(half) >> (u32::from(self.shift) - half),
            _ => address.ending(u32::from(self.shift)),
        };
        let at = bits.wrapping_sub(self.before).min(u64::from(self.size));
        cells[self.first as usize + at as usize]
    }

    /// The cell of ranges for `address`.
    #[inline(always)]
    pub(super) fn range<A: Address, C: Count, const BORDERS: usize>(&self, cells: &[u32], address: A) -> u32 {
        let bits = address.ending(u32::from(self.shift));
        let cells = &cells[self.first as usize..][..2 * BORDERS + 1];
        let (borders, answers) = cells.split_first_chunk::<BORDERS>().expect("there are as many");
        let cell = answers[C::passed(borders, bits as u32)];
        if bits >> 32 == self.before { cell } else { self.outside }
    }
}

/// What is done by vectors.
pub(super) trait Count {
    /// How many `borders` are not beyond `key`.
    fn passed<const BORDERS: usize>(borders: &[u32; BORDERS], key: u32) -> usize;
    /// Which of `marks` are `mark`, the first in the lowest bit.
    fn marked(marks: &[u8; Burst::MAX], mark: u8) -> u64;
    /// Which of `values`, a burst at most, lead on.
    fn leading(values: &[NextHop]) -> u64;
}

/// With what every CPU has.
pub(super) struct Portable;

impl Count for Portable {
    #[inline(always)]
    fn passed<const BORDERS: usize>(borders: &[u32; BORDERS], key: u32) -> usize {
        borders.iter().map(|border| u32::from(*border <= key)).sum::<u32>() as usize
    }

    #[inline(always)]
    fn marked(marks: &[u8; Burst::MAX], mark: u8) -> u64 {
        marks.iter().rev().fold(0, |marked, each| marked << 1 | u64::from(*each == mark))
    }

    #[inline(always)]
    fn leading(values: &[NextHop]) -> u64 {
        values.iter().rev().fold(0, |leading, value| leading << 1 | u64::from(value.raw() >> 31))
    }
}

/// With AVX-512, sixteen borders an instruction, or 64 marks. What the compiler makes of
/// [`Portable`] with it takes the mask apart bit by bit.
#[cfg(target_arch = "x86_64")]
pub(super) struct Avx512;

#[cfg(target_arch = "x86_64")]
impl Count for Avx512 {
    #[inline(always)]
    fn passed<const BORDERS: usize>(borders: &[u32; BORDERS], key: u32) -> usize {
        // SAFETY: whoever names this type has found the features on this CPU.
        unsafe { passed_avx512(borders, key) }
    }

    #[inline(always)]
    fn marked(marks: &[u8; Burst::MAX], mark: u8) -> u64 {
        // SAFETY: whoever names this type has found the features on this CPU.
        unsafe { marked_avx512(marks, mark) }
    }

    #[inline(always)]
    fn leading(values: &[NextHop]) -> u64 {
        // SAFETY: whoever names this type has found the features on this CPU.
        unsafe { leading_avx512(values) }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt,avx512f")]
#[inline]
fn passed_avx512<const BORDERS: usize>(borders: &[u32; BORDERS], key: u32) -> usize {
    use core::arch::x86_64::*;
    let key = _mm512_set1_epi32(key as i32);
    let (sixteens, rest) = borders.as_chunks::<16>();
    let mut passed = 0;
    for sixteen in sixteens {
        // SAFETY: reads sixteen numbers of a reference to sixteen.
        let sixteen = unsafe { _mm512_loadu_si512(sixteen.as_ptr().cast()) };
        passed += _mm512_cmple_epu32_mask(sixteen, key).count_ones();
    }
    if !rest.is_empty() {
        let there = (1u16 << rest.len()) - 1;
        // SAFETY: reads no numbers but those of a slice that the mask says are there.
        let rest = unsafe { _mm512_maskz_loadu_epi32(there, rest.as_ptr().cast()) };
        passed += _mm512_mask_cmple_epu32_mask(there, rest, key).count_ones();
    }
    passed as usize
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn marked_avx512(marks: &[u8; Burst::MAX], mark: u8) -> u64 {
    use core::arch::x86_64::*;
    // SAFETY: reads 64 bytes of a reference to 64.
    let marks = unsafe { _mm512_loadu_si512(marks.as_ptr().cast()) };
    _mm512_cmpeq_epi8_mask(marks, _mm512_set1_epi8(mark as i8))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,bmi2")]
#[inline]
fn leading_avx512(values: &[NextHop]) -> u64 {
    use core::arch::x86_64::*;
    let mut leading = 0;
    for (at, values) in (0..).step_by(16).zip(values.chunks(16)) {
        let there = ((1u32 << values.len()) - 1) as u16;
        // SAFETY: reads no numbers but those of a slice that the mask says are there, and a
        // next hop is laid out as its number.
        let values = unsafe { _mm512_maskz_loadu_epi32(there, values.as_ptr().cast()) };
        leading |= u64::from(_mm512_movepi32_mask(values)) << at;
    }
    leading
}
