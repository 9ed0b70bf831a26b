//! What is remembered of learned nodes over a restart.

use std::collections::BTreeMap;
use std::time::Duration;

use causeway_fastpath::time::Instant;
use serde::{Deserialize, Serialize};

use super::{NodeFact, Ready};

/// Nodes as their sources last said, for a gateway that starts while those are away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// By name of the cluster.
    pub(super) clusters: BTreeMap<String, Learned>,
}

/// The nodes of one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Learned {
    /// Who said it. What another source says is not known by this.
    pub(super) source: String,
    /// When that still held, in seconds since 1970.
    pub(super) heard_s: u64,
    /// By name.
    pub(super) nodes: BTreeMap<String, LearnedNode>,
}

/// As in [`NodeFact`]. How ready a node was says nothing of how ready it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct LearnedNode {
    addresses: Vec<String>,
    pod_cidrs: Vec<String>,
}

impl LearnedNode {
    pub(super) fn of(fact: &NodeFact) -> LearnedNode {
        LearnedNode { addresses: fact.addresses.clone(), pod_cidrs: fact.pod_cidrs.clone() }
    }

    pub(super) fn fact(&self, name: &str) -> NodeFact {
        NodeFact {
            name: name.to_owned(),
            addresses: self.addresses.clone(),
            pod_cidrs: self.pod_cidrs.clone(),
            ready: Ready::Unsaid,
            flaws: Vec::new(),
        }
    }
}

/// Nodes that were remembered, and have not been confirmed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recalled {
    /// How old they were then.
    pub(super) age: Duration,
    /// When they were recalled.
    pub(super) at: Instant,
}

impl Recalled {
    /// How long ago the source was last known to say this.
    pub fn age(self, now: Instant) -> Duration {
        self.age.saturating_add(Duration::from_nanos(now.nanos_since(self.at)))
    }
}
