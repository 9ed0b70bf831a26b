//! Public addresses of what is inside: forwards and static NAT, as far as they are
//! checked.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use causeway_fastpath::wire::protocol;

use super::model::{Cluster, ClusterIdx, Config, PortIdx};
use crate::flannel::Variant;

/// A port, or a range of them, by which the inside is reached: `[[forward]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// The cluster it leads into.
    pub cluster: ClusterIdx,
    /// The public address: of a pool, the gateway's own, or one that it takes over.
    pub address: IpAddr,
    /// Of which protocols; each once, at least one.
    pub protocols: Vec<Protocol>,
    /// The public ports; from 1 on.
    pub ports: RangeInclusive<u16>,
    /// Who gets what is for them: a pod or a node of the cluster, of the same family.
    pub to: IpAddr,
    /// The receiver's port for the first of `ports`; the others follow.
    pub to_port: u16,
}

/// A protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }

    /// Its number in IP headers.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => protocol::TCP,
            Protocol::Udp => protocol::UDP,
        }
    }
}

/// One public address that is somebody's inside, in both directions: `[[static-nat]]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaticNat {
    /// The cluster it leads into.
    pub cluster: ClusterIdx,
    /// The public address, which the gateway takes over.
    pub address: IpAddr,
    /// Whose it is: a pod or a node of the cluster, of the same family, which has no
    /// other.
    pub to: IpAddr,
}

impl Config {
    /// Is something that is for this address handed to somebody inside, whoever began?
    pub fn is_forwarded(&self, address: IpAddr) -> bool {
        self.forwards.iter().any(|forward| forward.address == address)
            || self.static_nat.iter().any(|nat| nat.address == address)
    }

    /// Does a flannel network with nodes on this port, or on any, have who comes from
    /// outside masqueraded?
    pub(crate) fn hides_strangers(&self, port: Option<PortIdx>) -> bool {
        let hides = |cluster: &Cluster| cluster.flannel_ip_masq == Some(Variant::Iptables);
        let is_there = |cluster: &Cluster| port.is_none_or(|port| cluster.ports.contains(&port));
        self.clusters.iter().any(|cluster| hides(cluster) && is_there(cluster))
    }

    /// Addresses that the gateway takes over for forwards and static NAT alone: neither
    /// its own nor in a pool. Each once.
    pub fn taken_over(&self) -> BTreeSet<IpAddr> {
        let public = self.forwards.iter().map(|forward| forward.address);
        let own =
            |address: &IpAddr| self.ports.iter().flat_map(|port| &port.addresses).any(|net| net.addr() == *address);
        let pooled =
            |address: &IpAddr| self.pools.iter().flat_map(|pool| &pool.addresses).any(|net| net.contains(address));
        let public = public.chain(self.static_nat.iter().map(|nat| nat.address));
        public.filter(|address| !own(address) && !pooled(address)).collect()
    }
}
