//! What a source says of objects that somebody else knows, and what of it nobody has taken
//! yet.

use std::collections::BTreeMap;

/// Why there is nothing yet from a source that was not asked before.
pub(crate) const NOT_REACHED: &str = "not reached yet";

/// Something that a source speaks of by its name.
pub trait Named {
    /// Unique among those of a source.
    type Name: Clone + Ord;

    /// Its name.
    fn name(&self) -> &Self::Name;
}

/// What a source has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update<T: Named> {
    /// These are all there are.
    All(Vec<T>),
    /// One more, or one that has changed.
    One(T),
    /// The one of this name is no more.
    Gone(T::Name),
    /// The source is up to date.
    InStep,
    /// The source cannot be reached, and why. What it said last still holds.
    Away(String),
}

/// What a source has said since it was last asked. However often something changes, it is
/// here once: no more memory than for as many as there are.
#[derive(Clone, Debug)]
pub struct Pending<T: Named> {
    /// Are those in `known` all there are, or only those that changed?
    all: bool,
    /// By name; `None` is gone.
    known: BTreeMap<T::Name, Option<T>>,
    /// Up to date, or why not, if that was said.
    health: Option<Result<(), String>>,
}

impl<T: Named> Default for Pending<T> {
    fn default() -> Pending<T> {
        Pending { all: false, known: BTreeMap::new(), health: None }
    }
}

impl<T: Named> Pending<T> {
    /// One update more.
    pub fn put(&mut self, update: Update<T>) {
        match update {
            Update::All(all) => {
                self.all = true;
                self.known = all.into_iter().map(|one| (one.name().clone(), Some(one))).collect();
            }
            Update::One(one) => {
                self.known.insert(one.name().clone(), Some(one));
            }
            Update::Gone(name) if self.all => {
                self.known.remove(&name);
            }
            Update::Gone(name) => {
                self.known.insert(name, None);
            }
            Update::InStep => self.health = Some(Ok(())),
            Update::Away(why) => self.health = Some(Err(why)),
        }
    }

    /// What comes to the same as everything that was put in, in an order that does.
    pub fn take(&mut self) -> Vec<Update<T>> {
        let Pending { all, known, health } = std::mem::take(self);
        let mut updates: Vec<_> = if all {
            vec![Update::All(known.into_values().flatten().collect())]
        } else {
            known.into_iter().map(|(name, one)| one.map_or(Update::Gone(name), Update::One)).collect()
        };
        updates.extend(health.map(|health| health.map_or_else(Update::Away, |()| Update::InStep)));
        updates
    }

    /// Is there nothing?
    pub fn is_empty(&self) -> bool {
        !self.all && self.known.is_empty() && self.health.is_none()
    }

    /// Of how many it speaks.
    pub fn len(&self) -> usize {
        self.known.len()
    }
}
