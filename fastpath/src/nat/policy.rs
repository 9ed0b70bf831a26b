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
    /// What each of them may have.
    pub limits: SenderLimits,
    /// May a TCP segment begin a session in the middle of a conversation?
    pub picks_up: bool,
}

/// How many sessions a sender may have; `None`: as many as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderLimits {
    /// At once (RFC 6888 REQ-4).
    pub sessions: Option<u32>,
    /// Begun in a second, and as many saved up at most (RFC 6888 REQ-5).
    pub new_per_second: Option<u32>,
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
    /// A rule that limits nobody, and by which conversations begin with their beginning.
    pub fn new(source: Prefix<A>, destination: Prefix<A>, action: EgressAction) -> EgressRule<A> {
        EgressRule { source, destination, action, limits: SenderLimits::default(), picks_up: false }
    }

    /// Does it give the sender another name?
    pub fn renames(&self) -> bool {
        matches!(self.action, EgressAction::Translate(_) | EgressAction::Masquerade)
    }

    /// Is the rule about this sender and this destination?
    pub fn matches(&self, src: A, dst: A) -> bool {
        self.source.contains(src) && self.destination.contains(dst)
    }
}
