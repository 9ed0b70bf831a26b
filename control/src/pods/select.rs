//! Which pods the egress rules of a cluster choose.

use std::fmt;

use causeway_fastpath::nat::{Selection, Selections};

use super::labels::{LabelSelector, Labels};
use super::object::{NamespaceFact, PodFact};
use super::{NamespaceChosen, PodChosen, PodName};
use crate::config::{Cluster, Senders};

/// Pods that a rule is about: those of which everything here is true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodSelector {
    /// They are in this namespace.
    pub namespace: Option<String>,
    /// The labels of their namespace.
    pub namespaces: Option<LabelSelector>,
    /// Their own labels.
    pub pods: Option<LabelSelector>,
}

impl fmt::Display for PodSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |word: &str, value: Option<String>| value.map(|value| format!("{word} {value}"));
        let parts = [
            part("namespace", self.namespace.clone()),
            part("namespaces", self.namespaces.as_ref().map(ToString::to_string)),
            part("pods", self.pods.as_ref().map(ToString::to_string)),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
    }
}

/// The selectors of a cluster, by the number of their selection. A source holds what it
/// hears against them, so that pods nobody asks for take no memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selectors(Vec<PodSelector>);

impl Selectors {
    /// Those of a cluster, in the order of the file.
    pub fn of(cluster: &Cluster) -> Selectors {
        let selectors = cluster.egress_rules.iter().filter_map(|rule| match &rule.senders {
            Senders::Pods(selector) => Some(selector.clone()),
            Senders::Prefixes(_) => None,
        });
        Selectors(selectors.collect())
    }

    /// Are labels of namespaces asked for?
    pub fn ask_for_namespaces(&self) -> bool {
        self.0.iter().any(|selector| selector.namespaces.is_some())
    }

    /// What a pod is chosen by, as far as itself tells; `None` if it is by nothing.
    pub fn choose(&self, pod: &PodFact) -> Option<PodChosen> {
        let is_meant = |selector: &PodSelector| {
            selector.namespace.as_ref().is_none_or(|name| *name == pod.name.namespace)
                && holds(selector.pods.as_ref(), &pod.labels)
        };
        let by = self.those(is_meant);
        let counts = pod.is_on_the_pod_network() && !by.is_empty();
        counts.then(|| PodChosen { name: pod.name.clone(), addresses: pod.addresses.clone(), by })
    }

    /// What pods of a namespace are chosen by, as far as the namespace tells; `None` if its
    /// labels are asked for by nobody, or do not fit any that asks.
    pub fn choose_namespace(&self, namespace: &NamespaceFact) -> Option<NamespaceChosen> {
        let asked = |selector: &PodSelector| {
            selector.namespaces.as_ref().is_some_and(|wanted| wanted.matches(&namespace.labels))
        };
        let by = self.those(asked);
        (!by.is_empty()).then(|| NamespaceChosen { name: namespace.name.clone(), by })
    }

    /// Those for which the labels of a namespace do not matter.
    pub fn of_any_namespace(&self) -> Selections {
        self.those(|selector| selector.namespaces.is_none())
    }

    /// What was chosen by these, under the numbers that the same selectors have in `others`.
    pub(super) fn renumbered(&self, by: Selections, others: &Selectors) -> Selections {
        let chose = |selector: &PodSelector| {
            let number = self.0.iter().position(|own| own == selector);
            number.and_then(Selection::new).is_some_and(|number| by.contains(number))
        };
        others.those(chose)
    }

    fn those(&self, is_meant: impl Fn(&PodSelector) -> bool) -> Selections {
        let mut found = Selections::default();
        for (at, _) in self.0.iter().enumerate().filter(|(_, selector)| is_meant(selector)) {
            found.insert(Selection::new(at).expect("a checked configuration has no more"));
        }
        found
    }
}

fn holds(selector: Option<&LabelSelector>, labels: &Labels) -> bool {
    selector.is_none_or(|selector| selector.matches(labels))
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
