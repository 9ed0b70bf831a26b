//! Numbers that stay with a name from one configuration to the next.
//!
//! Workers know routing domains and pools by number, and so do their sessions. What keeps
//! its name keeps its number; the number of what has gone is nobody's until every worker
//! has ended what stood on it.

use std::collections::BTreeMap;

use causeway_fastpath::ids::Epoch;

/// Names and their numbers, from 0 on.
#[derive(Clone, Debug)]
pub(crate) struct Places<K> {
    slots: Vec<Slot<K>>,
    numbers: BTreeMap<K, usize>,
}

#[derive(Clone, Debug)]
struct Slot<K> {
    /// Whose it is, or was last.
    name: K,
    /// The tables from which on it is empty, if its owner has gone.
    left: Option<Epoch>,
}

impl<K: Clone + Ord> Places<K> {
    /// Numbers these in their order. Each stands once.
    pub(crate) fn new(names: impl IntoIterator<Item = K>) -> Places<K> {
        let nothing = Places { slots: Vec::new(), numbers: BTreeMap::new() };
        nothing.followed(names, Epoch(0), Epoch(0))
    }

    /// These have numbers from the tables `next` on, and nobody else. Who has one keeps it,
    /// others get the lowest that nobody had in tables after `settled`, by which every worker
    /// has judged all its sessions.
    pub(crate) fn followed(&self, names: impl IntoIterator<Item = K>, next: Epoch, settled: Epoch) -> Places<K> {
        let names: Vec<K> = names.into_iter().collect();
        let mut slots = self.slots.clone();
        let mut numbers = BTreeMap::new();
        for name in &names {
            if let Some(number) = self.numbers.get(name) {
                numbers.insert(name.clone(), *number);
            }
        }
        for (number, slot) in slots.iter_mut().enumerate() {
            if slot.left.is_none() && numbers.get(&slot.name) != Some(&number) {
                slot.left = Some(next);
            }
        }
        let is_free = |slot: &Slot<K>| slot.left.is_some_and(|left| left <= settled);
        let mut free = 0;
        for name in names {
            if numbers.contains_key(&name) {
                continue;
            }
            free += slots[free..].iter().position(is_free).unwrap_or(slots.len() - free);
            let slot = Slot { name: name.clone(), left: None };
            match slots.get_mut(free) {
                Some(place) => *place = slot,
                None => slots.push(slot),
            }
            numbers.insert(name, free);
        }
        Places { slots, numbers }
    }

    /// The number of a name, if it has one.
    pub(crate) fn number(&self, name: &K) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    /// How many numbers there are, those that are nobody's among them.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whose the number is, or was last.
    ///
    /// # Panics
    /// There is no such number.
    pub(crate) fn name(&self, number: usize) -> &K {
        &self.slots[number].name
    }

    /// Is it somebody's?
    pub(crate) fn is_taken(&self, number: usize) -> bool {
        self.slots.get(number).is_some_and(|slot| slot.left.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_and_one_that_left_is_used_again_once_all_workers_know() {
        let first = Places::new(["a", "b", "c"]);
        let second = first.followed(["c", "d", "a"], Epoch(7), Epoch(6));
        let number = |places: &Places<&'static str>, name| places.number(&name);
        assert_eq!(["a", "b", "c", "d"].map(|name| number(&second, name)), [Some(0), None, Some(2), Some(3)]);
        assert_eq!((second.is_taken(1), *second.name(1), second.len()), (false, "b", 4));
        // Somebody may still have tables in which it is b's.
        let early = second.followed(["c", "d", "a", "e"], Epoch(8), Epoch(6));
        assert_eq!(number(&early, "e"), Some(4));
        // Even for b itself: its sessions are being ended.
        assert_eq!(number(&second.followed(["b"], Epoch(8), Epoch(6)), "b"), Some(4));
        let late = second.followed(["c", "d", "a", "e"], Epoch(8), Epoch(7));
        assert_eq!(number(&late, "e"), Some(1));
        assert_eq!((late.is_taken(1), *late.name(1), late.len()), (true, "e", 4));
    }
}
