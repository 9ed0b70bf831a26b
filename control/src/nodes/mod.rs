//! Nodes that somebody else knows: from what a source says of them to routes.
//!
//! Level-triggered and pure. A source says which nodes there are; whenever that changes,
//! what is to be routed follows from all of it, and the difference to what is routed now
//! goes to the RIB. Only routes of nodes are ever touched.

mod flannel;
mod judge;
mod memory;
mod object;
mod pending;
mod reconcile;
#[cfg(test)]
mod tests;

pub use flannel::{EnvFile, FlannelNodes, read_flannel};
pub use judge::Fault;
pub use memory::{Memory, Recalled};
pub use object::{NodeAddress, NodeCondition, NodeFact, NodeSpec, NodeStatus, Ready, read_nodes};
pub use pending::Pending;
pub use reconcile::{NodeRow, NodeState, Nodes, Quarantine, SourceRow};

/// What a source has to say about the nodes of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// These are all nodes there are.
    All(Vec<NodeFact>),
    /// One more, or one that has changed.
    One(NodeFact),
    /// The node of this name is no more.
    Gone(String),
    /// The source is up to date.
    InStep,
    /// The source cannot be reached, and why. What it said last still holds.
    Away(String),
}
