//! The first 24 bits: 4096 chunks by the first twelve, 4096 slots in each by the next.
//!
//! A chunk holds all that is to know about its /12, so that a change re-makes one. It
//! takes the smallest shape that does.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::compile::Below;
use super::sub::{LEADS_ON, Sub, UNSET, index, lead, mark};
use super::window::Window;

/// Bits that choose a chunk, and bits that choose a slot in it.
pub(super) const CHUNK_BITS: u32 = 12;
/// Chunks of a table, and slots of a chunk.
pub(super) const SLOTS: usize = 1 << CHUNK_BITS;
/// Where windows and tries begin.
pub(super) const SUB_AT: u32 = 2 * CHUNK_BITS;
/// Values of a byte.
pub(super) const NAMES: usize = 256;
/// The name of what has none: the chunk's words say what it is.
pub(super) const NAMELESS: u8 = 255;

/// Raw next hops by the byte that names them.
pub(super) type Names = [u32; NAMES];

/// One /12.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    /// The table's names of next hops, or [`NAMELESS`]: 4 KiB.
    pub(super) names: Arc<[u8; SLOTS]>,
    /// Is there, if a slot is nameless.
    pub(super) words: Option<Arc<Words>>,
}

/// What the slots of a chunk hold in full: 16 KiB, 64 bytes a window or trie, and what those hold.
#[derive(Clone, Debug)]
pub(super) struct Words {
    /// Next hops, or [`LEADS_ON`] and an index into `windows` or `subs`.
    pub(super) slots: [u32; SLOTS],
    pub(super) below: Underground,
}

/// What the slots of a chunk lead on to.
#[derive(Clone, Debug, Default)]
pub(super) struct Underground {
    pub(super) windows: Vec<Window>,
    pub(super) subs: Vec<Sub>,
}

impl Chunk {
    /// Where it lies: the same places are the same chunk.
    pub(super) fn place(&self) -> [*const (); 2] {
        [
            Arc::as_ptr(&self.names).cast(),
            self.words.as_ref().map_or(core::ptr::null(), |words| Arc::as_ptr(words).cast()),
        ]
    }
}

impl Words {
    /// What they occupy, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let windows: usize = self.below.windows.iter().map(|window| size_of_val(window) + window.bytes()).sum();
        let tries: usize = self.below.subs.iter().map(|sub| size_of_val(sub) + sub.bytes()).sum();
        size_of_val(self) + windows + tries
    }
}

/// A chunk unpacked, to be written to.
pub(super) struct Draft {
    /// As [`Words::slots`].
    pub(super) slots: [u32; SLOTS],
    /// What no slot leads to any more is left out when packed.
    below: Underground,
}

impl Draft {
    /// Every slot is `value`.
    pub(super) fn of(value: u32) -> Draft {
        Draft { slots: [value; SLOTS], below: Underground::default() }
    }

    /// What `chunk` says. Windows and tries are shared, not copied.
    pub(super) fn from(chunk: &Chunk, names: &Names) -> Draft {
        match &chunk.words {
            Some(words) => Draft { slots: words.slots, below: words.below.clone() },
            None => Draft { slots: chunk.names.map(|name| names[usize::from(name)]), below: Underground::default() },
        }
    }

    /// A slot leads on.
    pub(super) fn lead(&mut self, slot: usize, below: Below) {
        match below {
            Below::Window(kind, window) => {
                self.slots[slot] = lead(kind, self.below.windows.len());
                self.below.windows.push(window);
            }
            Below::Trie(kind, sub) => {
                self.slots[slot] = lead(kind, self.below.subs.len());
                self.below.subs.push(sub);
            }
        }
    }

    /// Packs it into the smallest shape that holds it.
    pub(super) fn pack(mut self, roster: &mut Roster) -> Chunk {
        let names = roster.name(&self.slots);
        if !names.contains(&NAMELESS) {
            return Chunk { names, words: None };
        }
        self.settle();
        Chunk { names, words: Some(Arc::new(Words { slots: self.slots, below: self.below })) }
    }

    /// Leaves out the windows and tries to which no slot leads.
    fn settle(&mut self) {
        let Underground { windows, subs } = core::mem::take(&mut self.below);
        let mut windows: Vec<Option<Window>> = windows.into_iter().map(Some).collect();
        let mut subs: Vec<Option<Sub>> = subs.into_iter().map(Some).collect();
        for slot in self.slots.iter_mut().filter(|slot| **slot & LEADS_ON != 0) {
            let at = if Window::has(mark(*slot)) {
                self.below.windows.push(windows[index(*slot)].take().expect("one slot leads to a window"));
                self.below.windows.len() - 1
            } else {
                self.below.subs.push(subs[index(*slot)].take().expect("one slot leads to a trie"));
                self.below.subs.len() - 1
            };
            *slot = *slot - index(*slot) as u32 + at as u32;
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
    /// Was there ever a next hop for which no name was left?
    pub(super) short: bool,
}

impl Roster {
    pub(super) fn new() -> Roster {
        let mut names = [UNSET; NAMES];
        names[usize::from(NAMELESS)] = LEADS_ON;
        Roster { names, given: alloc::vec![(UNSET, 0)], uniform: Vec::new(), short: false }
    }

    /// The slots by name. If most have none, none has: looking at the names then mostly
    /// leads to the words, and should not take a line of the cache for each chunk on the way.
    fn name(&mut self, slots: &[u32; SLOTS]) -> Arc<[u8; SLOTS]> {
        let mut named = [0; SLOTS];
        let given = self.given.len();
        let (mut last, mut name) = (UNSET, 0);
        for (slot, named) in slots.iter().zip(&mut named) {
            if *slot != last {
                last = *slot;
                name = self.name_of(last);
            }
            *named = name;
        }
        if named.iter().filter(|name| **name == NAMELESS).count() > SLOTS / 2 {
            // As if nothing had been asked.
            self.given.retain(|(_, name)| usize::from(*name) < given);
            named.fill(NAMELESS);
        }
        let one = named[0];
        if named.iter().any(|name| *name != one) {
            return Arc::new(named);
        }
        let known = self.uniform.iter().find(|(name, _)| *name == one).map(|(_, slots)| slots.clone());
        known.unwrap_or_else(|| {
            let made = Arc::new(named);
            self.uniform.push((one, made.clone()));
            made
        })
    }

    fn name_of(&mut self, value: u32) -> u8 {
        if value & LEADS_ON != 0 {
            return NAMELESS;
        }
        match self.given.binary_search_by_key(&value, |(hop, _)| *hop) {
            Ok(at) => self.given[at].1,
            Err(_) if self.given.len() == usize::from(NAMELESS) => {
                self.short = true;
                NAMELESS
            }
            Err(at) => {
                let name = self.given.len() as u8;
                self.given.insert(at, (value, name));
                self.names[usize::from(name)] = value;
                name
            }
        }
    }
}
