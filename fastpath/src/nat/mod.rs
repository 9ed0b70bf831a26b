//! Source NAT: which name a flow gets outside, and what becomes of its packets.

mod binding;
mod crowd;
pub mod icmp_error;
mod name;
mod numbers;
mod policy;
mod space;
mod translate;

pub use policy::{EgressAction, EgressRule};
pub use translate::{Nat, Translation, timeout_ms};
