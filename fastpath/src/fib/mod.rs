//! Forwarding tables: longest-prefix match from an address to a next hop.
//!
//! The table is the classifier: own addresses, pool addresses, black holes and
//! neighbours are all next hops, and a lookup always answers.
//!
//! Two direct steps decide on the first 24 bits of an address (`chunk.rs`), which is
//! all that most IPv4 routes have. What is longer goes on below each /24 by itself: in a
//! search tree of borders (`window.rs`), or where bits are crowded, or borders too many, in
//! a small trie (`sub.rs`). Chunks and what lies below are shared between a table and the
//! one that a change made of it ([`FibBuilder::build`]).

mod builder;
mod chunk;
mod compile;
mod lookup;
mod next_hop;
mod prefix;
pub mod reference;
mod sub;
mod window;

pub use builder::FibBuilder;
pub use lookup::{Fib, Summary};
pub use next_hop::{Hop, NextHop};
pub use prefix::{Prefix, PrefixError};

#[cfg(test)]
mod churn_tests;
#[cfg(test)]
mod twin_tests;
