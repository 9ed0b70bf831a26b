//! What control knows, for people.

use std::collections::BTreeMap;

use causeway_fastpath::ids::VrfId;

use super::Control;
use crate::compile::Build;
use crate::config::{ClusterIdx, Config, PortIdx};
use crate::liveness::{Liveness, News};
use crate::neighbors::Row;
use crate::nodes::{NodeRow, Nodes, Quarantine, SourceRow};
use crate::rib::Route;

/// A forwarding table, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRow {
    /// The routing domain.
    pub domain: VrfId,
    /// Is it that of IPv6?
    pub v6: bool,
    /// How many routes it holds, by prefix length.
    pub lengths: BTreeMap<u8, usize>,
    /// How it was made.
    pub build: Build,
}

impl Control {
    /// The configuration it works by.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What people call a routing domain.
    pub fn domain_name(&self, domain: VrfId) -> &str {
        self.domains.name(domain)
    }

    /// What people call the routing domain of what arrives on a port.
    pub fn domain_of(&self, port: PortIdx) -> &str {
        self.domains.name(self.domains.of_port(port))
    }

    /// The best route to each destination, by domain and destination.
    pub fn routes(&self) -> impl Iterator<Item = Route> + '_ {
        self.compiler.rib().routes()
    }

    /// Every forwarding table, main first, IPv4 before IPv6. Looks at every route.
    pub fn tables(&self) -> impl Iterator<Item = TableRow> + '_ {
        let mut lengths = self.compiler.rib().lengths();
        let families = |domain| [(domain, false), (domain, true)];
        self.domains.all().flat_map(families).map(move |(domain, v6)| TableRow {
            domain,
            v6,
            lengths: lengths.remove(&(domain, v6)).unwrap_or_default(),
            build: self.compiler.built(domain, v6),
        })
    }

    /// Every node that a source knows, by cluster and name.
    pub fn nodes(&self) -> impl Iterator<Item = NodeRow<'_>> + '_ {
        self.nodes.rows()
    }

    /// Nodes as their sources say, and what they come to.
    pub fn learned_nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// The source of every cluster whose nodes the configuration does not say.
    pub fn node_sources(&self) -> impl Iterator<Item = SourceRow<'_>> + '_ {
        self.nodes.sources()
    }

    /// The source of every cluster with an egress rule that selects pods: what it knows
    /// ("pods" or "namespaces"), and how it is.
    pub fn pod_sources(&self) -> impl Iterator<Item = (&'static str, SourceRow<'_>)> + '_ {
        self.pods.sources()
    }

    /// How many pods each rule of a cluster that selects some chooses now, in their order.
    /// Looks at every chosen pod.
    pub fn chosen_pods(&self, cluster: ClusterIdx) -> Vec<usize> {
        self.pods.counts(&self.config, cluster)
    }

    /// Nodes with which something is wrong that was not when this was last asked.
    pub fn take_quarantines(&mut self) -> Vec<Quarantine> {
        self.nodes.take_quarantines()
    }

    /// Whether nodes answer, where they are asked.
    pub fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    /// What was found out about nodes that are asked whether they live, since this was last
    /// asked.
    pub fn take_liveness_news(&mut self) -> Vec<News> {
        self.liveness.take_news()
    }

    /// Every neighbour.
    pub fn neighbors(&self) -> impl Iterator<Item = Row> + '_ {
        self.neighbors.rows()
    }
}
