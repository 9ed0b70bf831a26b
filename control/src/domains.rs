//! Routing domains: which port's packets are looked up in which table.
//!
//! An island is a routing domain of its own, so that its pods are no route for
//! anybody outside and several islands may use the same addresses. A port belongs
//! to the island whose nodes live on it; the configuration gives it to one at most.

use causeway_fastpath::ids::VrfId;

use crate::config::{ClusterIdx, Config, PortIdx};

/// The routing domains of a configuration. Main is always number 0.
#[derive(Clone, Debug)]
pub struct Domains {
    ports: Vec<VrfId>,
    names: Vec<String>,
}

impl Domains {
    /// Gives every port and cluster its domain, in the order of the file.
    pub fn of(config: &Config) -> Domains {
        let mut ports = vec![VrfId::MAIN; config.ports.len()];
        let mut names = vec!["main".to_owned()];
        for cluster in &config.clusters {
            for port in &cluster.ports {
                ports[port.0] = VrfId(names.len() as u16);
            }
            names.push(cluster.name.clone());
        }
        Domains { ports, names }
    }

    /// The domain of what arrives on a port.
    pub fn of_port(&self, port: PortIdx) -> VrfId {
        self.ports[port.0]
    }

    /// The domain a cluster's pods live in.
    pub fn of_cluster(&self, cluster: ClusterIdx) -> VrfId {
        VrfId(cluster.0 as u16 + 1)
    }

    /// All domains, main first.
    pub fn all(&self) -> impl Iterator<Item = VrfId> + Clone + use<> {
        (0..self.names.len() as u16).map(VrfId)
    }

    /// What people call it: "main", or its cluster.
    pub fn name(&self, domain: VrfId) -> &str {
        &self.names[domain.index()]
    }
}
