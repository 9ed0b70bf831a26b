//! Every difference between the kernel and Causeway that is meant, with its reason.

use crate::event::Kind;
use crate::judge::Case;
use crate::outcome::Fate;

/// A difference that is no fault.
pub(crate) struct Difference {
    pub(crate) name: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) is_it: fn(&Case<'_>) -> bool,
}

/// The first that is it counts.
pub(crate) const DIFFERENCES: &[Difference] = &[];
