//! Source NAT: which name a flow gets outside, and what becomes of its packets.

mod admit;
mod behavior;
mod binding;
mod change;
mod crowd;
mod forward;
mod hosts;
pub mod icmp_error;
mod identification;
mod judge;
mod keep;
mod ledger;
mod legacy;
mod lend;
mod lent;
mod name;
mod numbers;
mod open;
mod policy;
mod refused;
mod selected;
mod space;
mod spaces;
mod stripe;
mod translate;
mod usage;

pub use admit::Admission;
pub use behavior::{Behavior, Filtering, Mapping};
pub use change::{Change, Room};
pub use forward::{Forward, Forwards};
pub use judge::{Basis, EndReason, Facts, Judge, Outcome};
pub use keep::keeps_ports;
pub(crate) use policy::about as rules_about;
pub use policy::{EgressAction, EgressRule, SenderLimits};
pub use selected::{Selected, Selection, Selections};
pub use translate::{Choice, Nat, Translation, timeout_ms};
pub use usage::Load;

use crate::wire::checksum::Delta;

/// The addresses that a translated packet gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<A> {
    pub(crate) src: A,
    pub(crate) dst: A,
    /// What they add to a sum over both.
    pub(crate) delta: Delta,
}
