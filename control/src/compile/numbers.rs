//! Numbers that stay.

use std::borrow::Borrow;
use std::hash::Hash;

use hashbrown::HashMap;

/// Things that are counted while something leads to them, each under a number that
/// stays as long as that; numbers that became free are used again. Every operation
/// takes constant time.
#[derive(Clone, Debug)]
pub(super) struct Numbers<K> {
    numbers: HashMap<K, usize>,
    /// By number, with how many lead to it; `None` is free.
    slots: Vec<Option<(K, usize)>>,
    free: Vec<usize>,
}

impl<K: Clone + Eq + Hash> Numbers<K> {
    pub(super) fn new() -> Numbers<K> {
        Numbers { numbers: HashMap::new(), slots: Vec::new(), free: Vec::new() }
    }

    /// One more leads there: its number, and whether it is the first.
    pub(super) fn acquire(&mut self, key: &K) -> (usize, bool) {
        if let Some(number) = self.numbers.get(key) {
            let (_, count) = self.slots[*number].as_mut().expect("what has a number has a slot");
            *count += 1;
            return (*number, false);
        }
        let number = self.free.pop().unwrap_or(self.slots.len());
        if number == self.slots.len() {
            self.slots.push(None);
        }
        self.slots[number] = Some((key.clone(), 1));
        self.numbers.insert(key.clone(), number);
        (number, true)
    }

    /// One less leads there; says whether it was the last.
    pub(super) fn release<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        let number = *self.numbers.get(key).expect("what is released was acquired");
        let (_, count) = self.slots[number].as_mut().expect("what has a number has a slot");
        *count -= 1;
        if *count > 0 {
            return false;
        }
        self.slots[number] = None;
        self.numbers.remove(key);
        self.free.push(number);
        true
    }

    /// Its number, if anything leads there.
    pub(super) fn number(&self, key: &K) -> Option<usize> {
        self.numbers.get(key).copied()
    }

    /// By number; `None` where it is free.
    pub(super) fn slots(&self) -> impl ExactSizeIterator<Item = Option<&K>> {
        self.slots.iter().map(|slot| slot.as_ref().map(|(key, _)| key))
    }

    /// What has this number.
    pub(super) fn get(&self, number: usize) -> Option<&K> {
        self.slots.get(number)?.as_ref().map(|(key, _)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stays_until_the_last_one_leaves_and_is_used_again_then() {
        let mut numbers = Numbers::new();
        assert_eq!(numbers.acquire(&"a"), (0, true));
        assert_eq!(numbers.acquire(&"b"), (1, true));
        assert_eq!(numbers.acquire(&"a"), (0, false));
        assert!(!numbers.release(&"a"));
        assert!(numbers.release(&"a"));
        assert_eq!((numbers.number(&"a"), numbers.get(0), numbers.number(&"b")), (None, None, Some(1)));
        assert_eq!(numbers.slots().collect::<Vec<_>>(), [None, Some(&"b")]);
        assert_eq!(numbers.acquire(&"c"), (0, true));
        assert_eq!(numbers.acquire(&"d"), (2, true));
    }
}
