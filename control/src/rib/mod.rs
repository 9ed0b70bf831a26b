//! Routes as people know them: where to, through whom, and who says so.

mod configured;
mod follow;
mod table;

use std::net::IpAddr;
use std::sync::Arc;

use causeway_fastpath::ids::VrfId;
use ipnet::IpNet;

use crate::config::{ClusterIdx, Config, PortIdx};

pub(crate) use configured::{is_primary, stands_for_others};
pub use configured::{node_route, routes};
pub(crate) use follow::follow;
pub use table::Rib;

/// A route of one routing domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The routing domain it belongs to.
    pub domain: VrfId,
    /// Where to; no host bits.
    pub to: IpNet,
    /// Through whom.
    pub via: Via,
    /// Who says so.
    pub origin: Origin,
}

/// One thing that happens to the routes of a running gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The route is to be there, in the place of the one that its origin had for the
    /// same destination.
    Add(Route),
    /// The origin no longer has a route to the destination. Nothing, if it had none.
    Withdraw {
        /// The routing domain.
        domain: VrfId,
        /// Where to; no host bits.
        to: IpNet,
        /// Who said so.
        origin: Origin,
    },
}

/// What a route leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// The gateway's own address.
    Local,
    /// The gateway's own address, which also stands for masqueraded and forwarded flows.
    LocalTranslated,
    /// Addresses that stand for islands.
    Pool,
    /// The destination is on this port's link.
    Connected(PortIdx),
    /// A router or node.
    Neighbor(PortIdx, IpAddr),
    /// One of several routers, by flow; see [`Via::through`].
    Neighbors(Arc<[Member]>),
    /// Out of the island, into another domain.
    Egress(VrfId),
    /// Nowhere, in silence.
    Blackhole,
    /// Nowhere: host unreachable.
    Unreachable,
    /// Nowhere: administratively prohibited.
    Prohibit,
}

/// A router of several that share a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// The port it is reached by.
    pub port: PortIdx,
    /// Its address.
    pub address: IpAddr,
    /// Its share is its weight by the sum of all weights; 1 to 256.
    pub weight: u16,
}

impl Via {
    /// Most routers that share a route.
    pub const MOST_MEMBERS: usize = u64::BITS as usize;

    /// Through one of these routers, each named once, in any order: equal sets are
    /// equal. One alone is an ordinary neighbour.
    ///
    /// # Panics
    /// There are none, or more than [`Via::MOST_MEMBERS`].
    pub fn through(mut members: Vec<Member>) -> Via {
        assert!((1..=Via::MOST_MEMBERS).contains(&members.len()), "a route leads through 1 to 64 routers");
        members.sort_unstable();
        match members.as_slice() {
            [alone] => Via::Neighbor(alone.port, alone.address),
            _ => Via::Neighbors(members.into()),
        }
    }
}

/// Who says that a route is to be there. A later one wins over an earlier one for
/// the same prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The shore of an island: what leaves it, and that it cannot be entered.
    Island,
    /// `[[route]]`.
    Static,
    /// The subnet of a port.
    Connected,
    /// A cluster's ranges, as far as no node has them.
    Cluster(ClusterIdx),
    /// A node's pod CIDR.
    Node(ClusterIdx, String),
    /// `[[pool]]`.
    Pool(String),
    /// `[[forward]]` or `[[static-nat]]`.
    Forward,
    /// A port's own address, or its subnet's broadcast address.
    Own,
}

impl Origin {
    /// The first of them, which every other one wins over.
    const WEAKEST: Origin = Origin::Island;
    /// The last of them, which wins over every other one.
    const STRONGEST: Origin = Origin::Own;

    /// The word for it in tables.
    pub fn word(&self) -> &'static str {
        match self {
            Origin::Island => "island",
            Origin::Static => "static",
            Origin::Connected => "connected",
            Origin::Cluster(_) => "cluster",
            Origin::Node(..) => "node",
            Origin::Pool(_) => "pool",
            Origin::Forward => "forward",
            Origin::Own => "own",
        }
    }

    /// The name of the node, cluster or pool it belongs to.
    pub fn owner(&self, config: &Config) -> Option<String> {
        match self {
            Origin::Cluster(cluster) => Some(config.clusters[cluster.0].name.clone()),
            Origin::Node(cluster, node) => Some(format!("{}/{node}", config.clusters[cluster.0].name)),
            Origin::Pool(pool) => Some(pool.clone()),
            Origin::Island | Origin::Static | Origin::Connected | Origin::Forward | Origin::Own => None,
        }
    }
}
