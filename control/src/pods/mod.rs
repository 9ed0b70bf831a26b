//! Pods that egress rules choose by namespace and labels, as sources say.
//!
//! Level-triggered and pure, as nodes are. A source holds what it hears of a pod or a
//! namespace against the [`Selectors`] of the cluster, and hands on those that a rule may
//! choose; from all of them follows which address is in which selections.

mod chosen;
mod labels;
mod object;
mod select;
#[cfg(test)]
mod tests;

pub use chosen::{Pods, SelectedHosts};
pub use labels::{LabelSelector, Labels};
pub use object::{NamespaceFact, PodFact, PodIp, PodSpec, PodStatus, read_pods};
pub use select::{PodSelector, Selectors};

use std::net::IpAddr;

use causeway_fastpath::nat::Selections;

use crate::feed;

/// The name of a pod in its cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its name in there.
    pub name: String,
}

/// A pod that rules may choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodChosen {
    /// Its name.
    pub name: PodName,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Which rules choose it, as far as itself tells.
    pub by: Selections,
}

/// A namespace whose pods rules may choose by its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceChosen {
    /// Its name.
    pub name: String,
    /// Which rules choose its pods, as far as its labels tell.
    pub by: Selections,
}

impl feed::Named for PodChosen {
    type Name = PodName;

    fn name(&self) -> &PodName {
        &self.name
    }
}

impl feed::Named for NamespaceChosen {
    type Name = String;

    fn name(&self) -> &String {
        &self.name
    }
}

/// What a source has to say about pods.
pub type PodUpdate = feed::Update<PodChosen>;
/// What a source has to say about namespaces.
pub type NamespaceUpdate = feed::Update<NamespaceChosen>;
