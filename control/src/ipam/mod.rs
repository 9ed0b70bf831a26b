//! Node CIDR allocation: which piece of a cluster's pod CIDR a node gets.
//!
//! A node that leaves its pod CIDRs open gets the ones that the RangeAllocator of
//! kube-controller-manager would have given it, so that moving a cluster between
//! the two changes no address.

mod allocator;
mod cidr_set;
mod flags;
#[cfg(test)]
mod golden;
mod ledger;
#[cfg(test)]
mod reference;

pub use allocator::{Allocator, AllocatorError};
pub use cidr_set::{CidrSet, CidrSetError};
pub use flags::{FlagError, Flags, Range};
pub use ledger::{Dropped, Ledger};
