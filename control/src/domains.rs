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

use causeway_fastpath::ids::VrfId;

use crate::config::{ClusterIdx, Config, Egress, Model, PortIdx};

/// The routing domains of a configuration. Main is always number 0.
#[derive(Clone, Debug)]
pub struct Domains {
    ports: Vec<VrfId>,
    clusters: Vec<VrfId>,
    names: Vec<String>,
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
        let (mut names, mut open) = (vec![Domains::SHARED[0].to_owned()], vec![true]);
        let mut add = |name: &str, is_open| {
            names.push(name.to_owned());
            open.push(is_open);
            VrfId(names.len() as u16 - 1)
        };
        let flat = has_flat_shore(config).then(|| add(Domains::SHARED[1], true));
        let mut ports = vec![VrfId::MAIN; config.ports.len()];
        let mut clusters = Vec::new();
        for (at, cluster) in config.clusters.iter().enumerate() {
            let domain = match cluster.model {
                Model::Flat if config.is_policed(ClusterIdx(at)) => add(&cluster.name, true),
                Model::Flat => flat.unwrap_or(VrfId::MAIN),
                Model::Island | Model::Isolated => add(&cluster.name, false),
            };
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
    pub fn all(&self) -> impl Iterator<Item = VrfId> + Clone + use<> {
        (0..self.names.len() as u16).map(VrfId)
    }

    /// What people call it: "main", "flat", or its cluster.
    pub fn name(&self, domain: VrfId) -> &str {
        &self.names[domain.index()]
    }
}

/// Is anything translated that goes to or comes from a flat cluster?
fn has_flat_shore(config: &Config) -> bool {
    let is_flat = |cluster: ClusterIdx| config.clusters[cluster.0].model == Model::Flat && !config.is_policed(cluster);
    let mut clusters = config.clusters.iter().enumerate();
    clusters.any(|(at, cluster)| is_flat(ClusterIdx(at)) && cluster.egress != Egress::None)
        || config.forwards.iter().any(|forward| is_flat(forward.cluster))
        || config.static_nat.iter().any(|nat| is_flat(nat.cluster))
}
