//! Hosts that rules name one by one, as pods with certain labels.

use hashbrown::HashMap;

use crate::address::Address;

/// Which of 64 selections a host is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selections(pub u64);

/// The number of a selection, below [`Selection::MOST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection(u8);

impl Selection {
    /// As many may overlap in one host.
    pub const MOST: usize = 64;

    /// The selection of this number; `None` if that is too large.
    pub fn new(number: usize) -> Option<Selection> {
        (number < Self::MOST).then_some(Selection(number as u8))
    }
}

impl Selections {
    /// Is the host in this one?
    pub fn contains(self, selection: Selection) -> bool {
        self.0 >> selection.0 & 1 == 1
    }

    /// It is in this one, too.
    pub fn insert(&mut self, selection: Selection) {
        self.0 |= 1 << selection.0;
    }

    /// Those that both are in.
    #[must_use]
    pub fn both(self, other: Selections) -> Selections {
        Selections(self.0 & other.0)
    }

    /// Those that either is in.
    #[must_use]
    pub fn either(self, other: Selections) -> Selections {
        Selections(self.0 | other.0)
    }

    /// Is it in none?
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The hosts of a routing domain that are in selections. One look-up tells all that a host
/// is in, however many hosts there are.
///
/// Numbers of selections are those of a cluster: hosts of several clusters in one domain
/// have different addresses.
#[derive(Clone, Debug)]
pub struct Selected<A>(HashMap<A, Selections>);

impl<A> Default for Selected<A> {
    fn default() -> Selected<A> {
        Selected(HashMap::new())
    }
}

impl<A: Address> PartialEq for Selected<A> {
    fn eq(&self, other: &Selected<A>) -> bool {
        self.0 == other.0
    }
}

impl<A: Address> Selected<A> {
    /// What a host is in.
    #[inline]
    pub fn of(&self, host: A) -> Selections {
        self.0.get(&host).copied().unwrap_or_default()
    }

    /// A host is in these, beside those that it was in.
    pub fn add(&mut self, host: A, selections: Selections) {
        let known = self.0.entry(host).or_default();
        *known = known.either(selections);
    }
}
