//! Forwarding tables: longest-prefix match from an address to a next hop.
//!
//! The table is the classifier: own addresses, pool addresses, black holes and
//! neighbours are all next hops, and a lookup always answers.

mod builder;
mod lookup;
mod next_hop;
mod prefix;
pub mod reference;

pub use builder::FibBuilder;
pub use lookup::Fib;
pub use next_hop::{Hop, NextHop};
pub use prefix::{Prefix, PrefixError};

#[cfg(test)]
mod twin_tests;
