//! The spaces of all pools: those in force, and while sessions are judged after a change, those
//! before.

use alloc::vec::Vec;

use super::space::Space;
use crate::ids::PoolId;

/// Spaces by a number that a space keeps, and by the pool whose space it is now.
pub(super) struct Spaces {
    slots: Vec<Option<Space>>,
    /// By pool.
    current: Vec<u16>,
}

impl Spaces {
    /// No space, with room for so many pools and as many that were there before.
    pub(super) fn for_pools(pools: usize) -> Spaces {
        Spaces { slots: Vec::with_capacity(2 * pools), current: Vec::with_capacity(pools) }
    }

    /// The space of a pool.
    pub(super) fn of(&self, pool: PoolId) -> &Space {
        self.slots[usize::from(self.number(pool))].as_ref().expect("a pool has a space")
    }

    /// The space of a pool, to be changed.
    pub(super) fn of_mut(&mut self, pool: PoolId) -> &mut Space {
        let number = self.number(pool);
        self.slots[usize::from(number)].as_mut().expect("a pool has a space")
    }

    /// Its number.
    pub(super) fn number(&self, pool: PoolId) -> u16 {
        self.current[pool.index()]
    }

    /// The space with this number; `None`: it is gone.
    pub(super) fn at(&self, number: u16) -> Option<&Space> {
        self.slots.get(usize::from(number))?.as_ref()
    }

    /// The space with this number, to be changed.
    pub(super) fn at_mut(&mut self, number: u16) -> Option<&mut Space> {
        self.slots.get_mut(usize::from(number))?.as_mut()
    }

    /// Is this the space of a pool now?
    pub(super) fn is_current(&self, number: u16) -> bool {
        self.at(number).is_some_and(|space| self.current.get(space.pool.index()) == Some(&number))
    }

    /// Two spaces: the first to be changed, the other to be read.
    pub(super) fn both(&mut self, number: u16, other: u16) -> Option<(&mut Space, &Space)> {
        let pair = self.slots.get_disjoint_mut([usize::from(number), usize::from(other)]);
        let [Some(one), Some(other)] = pair.ok()? else {
            return None;
        };
        Some((one, other))
    }

    /// The spaces that are in force.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Space> {
        let current = &self.current;
        let slots = self.slots.iter_mut().enumerate();
        slots.filter_map(|(number, slot)| {
            slot.as_mut().filter(|space| current.get(space.pool.index()).is_some_and(|own| usize::from(*own) == number))
        })
    }

    /// Takes over the spaces of `before`, and gives pools that have another one that: `fresh`
    /// has them in the order of pools, of which there are `pools` now. What there was remains
    /// until [`Spaces::retire`]; numbers of spaces that do are told. Into what was made by
    /// [`Spaces::for_pools`] for the larger number of pools.
    pub(super) fn succeed(&mut self, before: &mut Spaces, pools: usize, fresh: &mut Vec<Space>, old: &mut Vec<u16>) {
        self.slots.append(&mut before.slots);
        self.current.append(&mut before.current);
        self.current.drain(pools.min(self.current.len())..).for_each(|number| old.push(number));
        for space in fresh.drain(..) {
            let pool = space.pool.index();
            let number = self.put(space);
            match self.current.get_mut(pool) {
                Some(own) => old.push(core::mem::replace(own, number)),
                None => self.current.push(number),
            }
        }
    }

    /// Gives up a space.
    pub(super) fn retire(&mut self, number: u16) -> Option<Space> {
        self.slots.get_mut(usize::from(number))?.take()
    }

    fn put(&mut self, space: Space) -> u16 {
        let number = self.slots.iter().position(Option::is_none).unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[number] = Some(space);
        number as u16
    }
}
