//! Nodes that somebody else knows: from what a source says of them to routes.
//!
//! Level-triggered and pure. A source says which nodes there are; whenever that changes,
//! what is to be routed follows from all of it, and the difference to what is routed now
//! goes to the RIB. Only routes of nodes are ever touched.

mod flannel;
mod judge;
mod memory;
mod object;
mod reconcile;
#[cfg(test)]
mod tests;

pub use flannel::{EnvFile, FlannelNodes, read_flannel};
pub use judge::Fault;
pub use memory::{Memory, Recalled};
pub use object::{NodeAddress, NodeCondition, NodeFact, NodeSpec, NodeStatus, Ready, read_nodes};
pub use reconcile::{NodeRow, NodeState, Nodes, Quarantine, SourceRow};

/// What a source has to say about the nodes of its cluster.
pub type Update = crate::feed::Update<NodeFact>;
