//! The first 24 bits: 4096 chunks by the first twelve, 4096 slots in each by the next.
//!
//! A chunk holds all that is to know about its /12, so that a change re-makes one. It
//! takes the smallest shape that does.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::sub::{Kind, LEADS_ON, Sub, UNSET, index, lead};

/// Bits that choose a chunk, and bits that choose a slot in it.
pub(super) const CHUNK_BITS: u32 = 12;
/// Chunks of a table, and slots of a chunk.
pub(super) const SLOTS: usize = 1 << CHUNK_BITS;
/// Where the tries begin.
pub(super) const SUB_AT: u32 = 2 * CHUNK_BITS;
/// Next hops that a byte can name.
pub(super) const NAMES: usize = 256;

/// Raw next hops by the byte that names them.
pub(super) type Names = [u32; NAMES];

/// One /12.
#[derive(Clone, Debug)]
pub(super) enum Chunk {
    /// The table's names of next hops: 4 KiB.
    Bytes(Arc<[u8; SLOTS]>),
    /// Next hops: 16 KiB.
    Words(Arc<[u32; SLOTS]>),
    /// Next hops and tries: 16 KiB and 64 bytes a trie, and what that holds.
    Mixed(Arc<Mixed>),
}

/// Some slots lead on.
#[derive(Clone, Debug)]
pub(super) struct Mixed {
    /// Next hops, or [`LEADS_ON`] and an index into `subs`.
    pub(super) slots: [u32; SLOTS],
    pub(super) subs: Vec<Sub>,
}

impl Chunk {
    /// Where it lies: the same place is the same chunk.
    pub(super) fn place(&self) -> *const () {
        match self {
            Chunk::Bytes(slots) => Arc::as_ptr(slots).cast(),
            Chunk::Words(slots) => Arc::as_ptr(slots).cast(),
            Chunk::Mixed(mixed) => Arc::as_ptr(mixed).cast(),
        }
    }

    /// What it occupies, in bytes.
    pub(super) fn bytes(&self) -> usize {
        2 * size_of::<usize>()
            + match self {
                Chunk::Bytes(slots) => size_of_val(&**slots),
                Chunk::Words(slots) => size_of_val(&**slots),
                Chunk::Mixed(mixed) => {
                    let tries: usize = mixed.subs.iter().map(|sub| size_of_val(sub) + sub.bytes()).sum();
                    size_of_val(&**mixed) + tries
                }
            }
    }
}

/// A chunk unpacked, to be written to.
pub(super) struct Draft {
    /// As [`Mixed::slots`].
    pub(super) slots: [u32; SLOTS],
    /// As [`Mixed::subs`]; those that no slot leads to any more are left out when packed.
    pub(super) subs: Vec<Sub>,
}

impl Draft {
    /// Every slot is `value`.
    pub(super) fn of(value: u32) -> Draft {
        Draft { slots: [value; SLOTS], subs: Vec::new() }
    }

    /// What `chunk` says. Tries are shared, not copied.
    pub(super) fn from(chunk: &Chunk, names: &Names) -> Draft {
        let named = |slots: &[u8; SLOTS], names: &Names| slots.map(|name| names[usize::from(name)]);
        match chunk {
            Chunk::Bytes(slots) => Draft { slots: named(slots, names), subs: Vec::new() },
            Chunk::Words(slots) => Draft { slots: **slots, subs: Vec::new() },
            Chunk::Mixed(mixed) => Draft { slots: mixed.slots, subs: mixed.subs.clone() },
        }
    }

    /// A slot leads on to a trie.
    pub(super) fn lead(&mut self, slot: usize, kind: Kind, sub: Sub) {
        self.slots[slot] = lead(kind, self.subs.len());
        self.subs.push(sub);
    }

    /// Packs it into the smallest shape that holds it.
    pub(super) fn pack(mut self, roster: &mut Roster) -> Chunk {
        self.settle();
        if !self.subs.is_empty() {
            return Chunk::Mixed(Arc::new(Mixed { slots: self.slots, subs: self.subs }));
        }
        if let Some(slots) = roster.name(&self.slots) {
            return Chunk::Bytes(slots);
        }
        Chunk::Words(Arc::new(self.slots))
    }

    /// Leaves out the tries to which no slot leads.
    fn settle(&mut self) {
        let before = core::mem::take(&mut self.subs);
        let mut before: Vec<Option<Sub>> = before.into_iter().map(Some).collect();
        for slot in self.slots.iter_mut().filter(|slot| **slot & LEADS_ON != 0) {
            let sub = before[index(*slot)].take().expect("one slot leads to a trie");
            *slot = *slot - index(*slot) as u32 + self.subs.len() as u32;
            self.subs.push(sub);
        }
    }
}

/// Who has which name. Names are given out and not taken back: chunks and older tables
/// may go by them.
#[derive(Clone, Debug)]
pub(super) struct Roster {
    /// Raw next hops by name. Name 0 is [`UNSET`].
    pub(super) names: Names,
    /// Names given out: the pairs of next hop and name, ordered.
    given: Vec<(u32, u8)>,
    /// Chunks of one name, shared: most of the address space is nobody's.
    uniform: Vec<(u8, Arc<[u8; SLOTS]>)>,
}

impl Roster {
    pub(super) fn new() -> Roster {
        Roster { names: [UNSET; NAMES], given: alloc::vec![(UNSET, 0)], uniform: Vec::new() }
    }

    /// The slots by name, if there are names for all.
    fn name(&mut self, slots: &[u32; SLOTS]) -> Option<Arc<[u8; SLOTS]>> {
        let mut named = [0; SLOTS];
        let given = self.given.len();
        let (mut last, mut name) = (UNSET, 0);
        for (slot, named) in slots.iter().zip(&mut named) {
            if *slot != last {
                last = *slot;
                match self.name_of(last) {
                    Some(found) => name = found,
                    None => {
                        // As if nothing had been asked.
                        self.given.retain(|(_, name)| usize::from(*name) < given);
                        return None;
                    }
                }
            }
            *named = name;
        }
        let one = named[0];
        if named.iter().any(|name| *name != one) {
            return Some(Arc::new(named));
        }
        let known = self.uniform.iter().find(|(name, _)| *name == one).map(|(_, slots)| slots.clone());
        Some(known.unwrap_or_else(|| {
            let made = Arc::new(named);
            self.uniform.push((one, made.clone()));
            made
        }))
    }

    fn name_of(&mut self, hop: u32) -> Option<u8> {
        match self.given.binary_search_by_key(&hop, |(hop, _)| *hop) {
            Ok(at) => Some(self.given[at].1),
            Err(at) => {
                let name = u8::try_from(self.given.len()).ok()?;
                self.given.insert(at, (hop, name));
                self.names[usize::from(name)] = hop;
                Some(name)
            }
        }
    }
}
