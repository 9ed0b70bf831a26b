//! Source NAT: which name a flow gets outside, and what becomes of its packets.

mod binding;
pub mod icmp_error;
mod policy;
mod ports;
mod translate;

pub use policy::{EgressAction, EgressRule};
pub use translate::{Nat, Translation, timeout_ms};
