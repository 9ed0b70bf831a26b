//! Node CIDR allocation: which piece of a cluster's pod CIDR a node gets.
//!
//! A node that leaves its pod CIDRs open gets the ones that the RangeAllocator of
//! kube-controller-manager would have given it, so that moving a cluster between
//! the two changes no address.

mod cidr_set;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod reference;

pub use cidr_set::{CidrSet, CidrSetError};
