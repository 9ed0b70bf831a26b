//! The slow twin: a list of routes, searched from end to end.

use alloc::vec::Vec;

use super::{NextHop, Prefix};
use crate::address::Address;

/// A forwarding table that is obviously right.
#[derive(Clone, Debug, Default)]
pub struct ReferenceFib<A> {
    routes: Vec<(Prefix<A>, NextHop)>,
}

impl<A: Address> ReferenceFib<A> {
    /// Adds a route, or replaces the one to the same prefix.
    pub fn insert(&mut self, prefix: Prefix<A>, next_hop: NextHop) {
        self.remove(prefix);
        self.routes.push((prefix, next_hop));
    }

    /// Takes a route away, if it is there.
    pub fn remove(&mut self, prefix: Prefix<A>) {
        self.routes.retain(|(other, _)| *other != prefix);
    }

    /// The next hop of the longest prefix that holds `address`.
    pub fn lookup(&self, address: A) -> NextHop {
        self.routes
            .iter()
            .filter(|(prefix, _)| prefix.contains(address))
            .max_by_key(|(prefix, _)| prefix.len())
            .map_or(NextHop::NO_ROUTE, |(_, next_hop)| *next_hop)
    }
}
