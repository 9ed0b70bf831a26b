//! The compiled table: a direct part of 2^18 entries over a compressed trie.
//!
//! The trie is Poptrie (Asai and Ohara, "Poptrie: A Compressed Trie with
//! Population Count for Fast and Scalable Software IP Routing Table Lookup",
//! SIGCOMM 2015): a node decides on six bits; two bit sets say which of its 64
//! slots lead on and where runs of equal leaves start, and counting bits gives
//! the index of a child or a leaf.

use alloc::vec::Vec;
use core::marker::PhantomData;

use super::NextHop;
use crate::address::Address;
use crate::burst::Burst;

/// Bits of an address that the direct part decides on.
///
/// As in the paper. From there a /24 is one node away and an IPv6 /48 five; with 16
/// bits it would be one node more, which costs a third of a look-up. The price is
/// 1 MiB a table.
pub(super) const DIRECT_BITS: u32 = 18;
/// Bits that a node decides on.
pub(super) const STRIDE: u32 = 6;
/// Marks an entry of the direct part as the index of a node.
pub(super) const INTERNAL: u32 = 1 << 31;

/// Six bits' worth of trie. Children and leaves of one node lie side by side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// Slots that lead to a child.
    pub(super) internal: u64,
    /// Slots at which a run of equal leaves starts; slots with a child do not break a run.
    pub(super) leaf_starts: u64,
    /// Index of the first child.
    pub(super) base_child: u32,
    /// Index of the first leaf.
    pub(super) base_leaf: u32,
}

impl Node {
    pub(super) const EMPTY: Node = Node { internal: 0, leaf_starts: 0, base_child: 0, base_leaf: 0 };
}

/// A forwarding table of one family, compiled for lookups. Immutable.
#[derive(Debug)]
pub struct Fib<A> {
    direct: Vec<u32>,
    nodes: Vec<Node>,
    leaves: Vec<NextHop>,
    routes: usize,
    family: PhantomData<A>,
}

impl<A: Address> Fib<A> {
    pub(super) fn from_parts(direct: Vec<u32>, nodes: Vec<Node>, leaves: Vec<NextHop>, routes: usize) -> Fib<A> {
        assert!(direct.len() == 1 << DIRECT_BITS, "the direct part has an entry for each 18 bits");
        Fib { direct, nodes, leaves, routes, family: PhantomData }
    }

    /// How many routes it was compiled from.
    pub fn len(&self) -> usize {
        self.routes
    }

    /// Was it compiled from no route?
    pub fn is_empty(&self) -> bool {
        self.routes == 0
    }

    /// What it occupies, in bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(self.direct.as_slice()) + size_of_val(self.nodes.as_slice()) + size_of_val(self.leaves.as_slice())
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
    /// No allocation. The walks down the trie are interleaved, a level at a time,
    /// so that their cache misses overlap.
    ///
    /// # Panics
    /// The lengths differ or exceed a burst: a bug in the caller.
    #[inline]
    pub fn lookup_burst(&self, addresses: &[A], out: &mut [NextHop]) {
        assert!(addresses.len() == out.len() && out.len() <= Burst::MAX, "one answer an address, a burst at most");
        #[cfg(target_arch = "x86_64")]
        if crate::cpu::has_popcnt_bmi() {
            // SAFETY: the features were found on this CPU.
            unsafe { self.lookup_burst_bmi(addresses, out) };
            return;
        }
        self.lookup_burst_portable(addresses, out);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "popcnt,bmi1,bmi2")]
    fn lookup_burst_bmi(&self, addresses: &[A], out: &mut [NextHop]) {
        self.lookup_burst_portable(addresses, out);
    }

    #[inline(always)]
    fn lookup_burst_portable(&self, addresses: &[A], out: &mut [NextHop]) {
        // Walks still going on: which address, and the node it stands at.
        let mut walking = [(0u8, 0u32); Burst::MAX];
        let mut count = 0;
        for (i, address) in addresses.iter().enumerate() {
            let entry = self.direct[address.bits(0, DIRECT_BITS) as usize];
            if entry & INTERNAL == 0 {
                out[i] = NextHop::from_raw(entry);
            } else {
                let node = entry & !INTERNAL;
                prefetch(&self.nodes, node);
                walking[count] = (i as u8, node);
                count += 1;
            }
        }
        let mut depth = DIRECT_BITS;
        while count > 0 {
            let mut still = 0;
            for k in 0..count {
                let (i, node) = walking[k];
                let node = &self.nodes[node as usize];
                let slot = addresses[i as usize].bits(depth, STRIDE);
                // Bits 0..=slot.
                let upto = u64::MAX >> (63 - slot);
                if node.internal >> slot & 1 == 1 {
                    let child = node.base_child + (node.internal & upto).count_ones() - 1;
                    prefetch(&self.nodes, child);
                    walking[still] = (i, child);
                    still += 1;
                } else {
                    let leaf = node.base_leaf + (node.leaf_starts & upto).count_ones() - 1;
                    out[i as usize] = self.leaves[leaf as usize];
                }
            }
            count = still;
            depth += STRIDE;
        }
    }
}

#[inline(always)]
fn prefetch<T>(table: &[T], index: u32) {
    crate::cpu::prefetch(table.as_ptr().wrapping_add(index as usize));
}
