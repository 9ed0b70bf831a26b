//! Routing domains: which port's packets are looked up in which table.
//!
//! An island is a routing domain of its own, so that its pods are no route for
//! anybody outside and several islands may use the same addresses; so is an isolated
//! cluster. A port belongs to the island whose nodes live on it; the configuration gives
//! it to one at most.
//!
//! Flat clusters share one domain. It is main, where nothing is translated. Otherwise it
//! is the domain "flat", which has every route to what is inside, and leads to main for
//! everything else: there is the shore at which names are given. A flat cluster that a policy is
//! about has such a domain by itself, so that what it begins meets the policy.

use causeway_fastpath::ids::{Epoch, VrfId};

use crate::config::{ClusterIdx, Config, Egress, Model, PortIdx};
use crate::places::Places;

/// The routing domains of a configuration. Main is always number 0.
#[derive(Clone, Debug)]
pub struct Domains {
    ports: Vec<VrfId>,
    clusters: Vec<VrfId>,
    /// Main, flat, and clusters that have one.
    names: Places<String>,
    /// By domain: is it one of flat clusters, or main?
    open: Vec<bool>,
    flat: Option<VrfId>,
}

impl Domains {
    /// What domains are called that are not one cluster's: main, and that of flat
    /// clusters.
    pub(crate) const SHARED: [&str; 2] = ["main", "flat"];

    /// Gives every port and cluster its domain, in the order of the file.
    pub fn of(config: &Config) -> Domains {
        Domains::numbered(config, Places::new(names(config)))
    }

    /// Those of another configuration, by whose tables `next` is the first to be made, while
    /// every worker has judged its sessions by `settled`. A domain that keeps its name keeps its number.
    pub(crate) fn followed(&self, config: &Config, next: Epoch, settled: Epoch) -> Domains {
        Domains::numbered(config, self.names.followed(names(config), next, settled))
    }

    fn numbered(config: &Config, names: Places<String>) -> Domains {
        let numbered = |name: &str| names.number(&name.to_owned()).map(|number| VrfId(number as u16));
        let flat = numbered(Domains::SHARED[1]);
        let mut open = vec![false; names.len()];
        for domain in [Some(VrfId::MAIN), flat].into_iter().flatten() {
            open[domain.index()] = true;
        }
        let mut ports = vec![VrfId::MAIN; config.ports.len()];
        let mut clusters = Vec::new();
        for (at, cluster) in config.clusters.iter().enumerate() {
            let domain = match has_own(config, ClusterIdx(at)) {
                true => numbered(&cluster.name).expect("it was given a number"),
                false => flat.unwrap_or(VrfId::MAIN),
            };
            open[domain.index()] |= cluster.model == Model::Flat;
            for port in &cluster.ports {
                ports[port.0] = domain;
            }
            clusters.push(domain);
        }
        Domains { ports, clusters, names, open, flat }
    }

    /// The domain of what arrives on a port.
    pub fn of_port(&self, port: PortIdx) -> VrfId {
        self.ports[port.0]
    }

    /// The domain a cluster's pods live in.
    pub fn of_cluster(&self, cluster: ClusterIdx) -> VrfId {
        self.clusters[cluster.0]
    }

    /// Is it main or that of flat clusters, in which every subnet is known?
    pub(crate) fn is_shared(&self, domain: VrfId) -> bool {
        domain == VrfId::MAIN || Some(domain) == self.flat
    }

    /// Is it main or one of flat clusters? In these everybody's pods are known that may be
    /// met.
    pub(crate) fn is_open(&self, domain: VrfId) -> bool {
        self.open[domain.index()]
    }

    /// All domains, main first.
    pub fn all(&self) -> impl Iterator<Item = VrfId> + Clone + '_ {
        self.numbers().filter(|domain| self.exists(*domain))
    }

    /// The numbers of all domains, and of those that were and may still be known to a worker.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = VrfId> + Clone + use<> {
        (0..self.names.len() as u16).map(VrfId)
    }

    /// Does anybody have this number?
    pub(crate) fn exists(&self, domain: VrfId) -> bool {
        self.names.is_taken(domain.index())
    }

    /// What people call it: "main", "flat", or its cluster. Its former name if it is no more.
    pub fn name(&self, domain: VrfId) -> &str {
        self.names.name(domain.index())
    }
}

/// What the domains of a configuration are called, main first.
fn names(config: &Config) -> impl Iterator<Item = String> + '_ {
    let [main, flat] = Domains::SHARED.map(str::to_owned);
    let clusters = config.clusters.iter().enumerate().filter(|(at, _)| has_own(config, ClusterIdx(*at)));
    let clusters = clusters.map(|(_, cluster)| cluster.name.clone());
    [main].into_iter().chain(has_flat_shore(config).then_some(flat)).chain(clusters)
}

/// Has the cluster a domain by itself?
fn has_own(config: &Config, cluster: ClusterIdx) -> bool {
    config.clusters[cluster.0].model != Model::Flat || config.is_policed(cluster)
}

/// Is anything translated that goes to or comes from a flat cluster?
fn has_flat_shore(config: &Config) -> bool {
    let is_flat = |cluster: ClusterIdx| config.clusters[cluster.0].model == Model::Flat && !config.is_policed(cluster);
    let mut clusters = config.clusters.iter().enumerate();
    clusters.any(|(at, cluster)| is_flat(ClusterIdx(at)) && cluster.egress != Egress::None)
        || config.forwards.iter().any(|forward| is_flat(forward.cluster))
        || config.static_nat.iter().any(|nat| is_flat(nat.cluster))
}
