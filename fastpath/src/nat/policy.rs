//! What may leave an island, and under which name.

use crate::address::Address;
use crate::fib::Prefix;
use crate::ids::PoolId;
use crate::verdict::DropReason;

/// What becomes of a flow that leaves its routing domain. First match wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressRule<A> {
    /// Senders it is about.
    pub source: Prefix<A>,
    /// Destinations it is about.
    pub destination: Prefix<A>,
    /// What becomes of them.
    pub action: EgressAction,
    /// Sessions that a sender may have at once; `None`: as many as it likes.
    pub most_sessions: Option<u32>,
}

/// What an [`EgressRule`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EgressAction {
    /// Translate the source to an address of the pool, and track the flow.
    Translate(PoolId),
    /// Translate the source to the address of the port it leaves by.
    Masquerade,
    /// Let it pass under its own name.
    Forward,
    /// Let it pass under its own name, and track the flow: what answers it comes back in
    /// where nobody may begin anything.
    Track,
    /// Keep it inside.
    Drop(DropReason),
}

impl<A: Address> EgressRule<A> {
    /// Does it give the sender another name?
    pub fn renames(&self) -> bool {
        matches!(self.action, EgressAction::Translate(_) | EgressAction::Masquerade)
    }

    /// Is the rule about this sender and this destination?
    pub fn matches(&self, src: A, dst: A) -> bool {
        self.source.contains(src) && self.destination.contains(dst)
    }
}
