//! Which pod CIDRs of which nodes are to be routed, and what is wrong with the others.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::NodeFact;
use crate::config::{Claims, ClusterIdx, Config, PortIdx, node_name, prefix};

/// Why a pod CIDR of a node is not routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The node's name is none.
    Name,
    /// What its source has of it makes no sense.
    Flaw(String),
    /// It is not a prefix.
    NotACidr(String),
    /// It is not within the cluster's pod CIDRs.
    OutsideCluster(IpNet),
    /// The node has one of that family before it.
    SecondOfFamily(IpNet),
    /// Another node has some of it.
    Overlaps {
        /// What this node wants.
        cidr: IpNet,
        /// What the other has.
        other: IpNet,
        /// Its name.
        node: String,
    },
    /// The node has no address of the CIDR's family.
    NoAddress(IpNet),
    /// None of its addresses of that family lies on a port of the cluster.
    OffLink(IpAddr),
    /// An address of the gateway itself, of a pool, or the end of a subnet.
    NotANodes(IpAddr),
    /// Another node has the address.
    AddressTaken {
        /// Which one.
        address: IpAddr,
        /// The other's name.
        node: String,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Name => write!(f, "its name is not that of a node"),
            Fault::Flaw(what) => write!(f, "{what}"),
            Fault::NotACidr(text) => write!(f, "pod CIDR {text:?} is not a prefix"),
            Fault::OutsideCluster(cidr) => write!(f, "{cidr} lies outside the cluster's pod-cidrs"),
            Fault::SecondOfFamily(cidr) => write!(f, "{cidr} is the second of its family"),
            Fault::Overlaps { cidr, other, node } => write!(f, "{cidr} overlaps {other} of node {node}"),
            Fault::NoAddress(cidr) => {
                write!(f, "{cidr} cannot be reached: no InternalIP of its family")
            }
            Fault::OffLink(address) => write!(f, "{address} lies in no subnet of the cluster's ports"),
            Fault::NotANodes(address) => write!(f, "{address} is no address that a node can have here"),
            Fault::AddressTaken { address, node } => write!(f, "{address} is that of node {node}"),
        }
    }
}

/// How a node's pods are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) port: PortIdx,
    pub(super) address: IpAddr,
}

/// How a want stands to what is routed now, the strongest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Unchanged,
    Moved,
    New,
}

/// What is to be routed, by node and pod CIDR.
pub(super) type Routed = BTreeMap<(String, IpNet), Way>;

/// What a node wants, as far as that can be said of it alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Wants {
    ways: Vec<(IpNet, Way)>,
    faults: Vec<Fault>,
}

impl Wants {
    /// What it says, held against the configuration.
    pub(super) fn of(config: &Config, cluster: ClusterIdx, node: &NodeFact) -> Wants {
        let mut wants = Wants::default();
        if node_name(&node.name).is_err() {
            wants.faults.push(Fault::Name);
            return wants;
        }
        if !node.flaws.is_empty() {
            wants.faults.extend(node.flaws.iter().cloned().map(Fault::Flaw));
            return wants;
        }
        let mut families = [false; 2];
        for text in &node.pod_cidrs {
            match want(config, cluster, node, text, &mut families) {
                Ok(way) => wants.ways.push(way),
                Err(why) => wants.faults.push(why),
            }
        }
        wants
    }
}

/// Judges all nodes of a cluster, which come by name. Of two that want the same, the one
/// that has it now, by `routed`, keeps it; else the first by name gets it.
pub(super) fn judge<'n>(
    nodes: impl Iterator<Item = (&'n str, &'n Wants)>,
    routed: &Routed,
) -> (Routed, BTreeMap<String, Vec<Fault>>) {
    let (mut result, mut faults) = (Routed::new(), BTreeMap::<String, Vec<Fault>>::new());
    let mut wants = Vec::new();
    for (name, node) in nodes {
        if !node.faults.is_empty() {
            faults.insert(name.to_owned(), node.faults.clone());
        }
        for (cidr, way) in &node.ways {
            let key = (name.to_owned(), *cidr);
            let standing = match routed.get(&key) {
                Some(now) if now == way => Standing::Unchanged,
                Some(_) => Standing::Moved,
                None => Standing::New,
            };
            wants.push((standing, name, key, *way));
        }
    }
    // Stable: nodes came by name.
    wants.sort_by_key(|(standing, ..)| *standing);
    let (mut cidrs, mut addresses) = (Claims::default(), HashMap::<IpAddr, &str>::new());
    for (_, name, key, way) in wants {
        let cidr = key.1;
        let fault = if let Some(other) = addresses.get(&way.address).filter(|other| **other != name) {
            Fault::AddressTaken { address: way.address, node: (*other).to_owned() }
        } else if let Err((other, owner)) = cidrs.claim(cidr, &name) {
            Fault::Overlaps { cidr, other: *other, node: (*owner).to_owned() }
        } else {
            addresses.insert(way.address, name);
            result.insert(key, way);
            continue;
        };
        faults.entry(name.to_owned()).or_default().push(fault);
    }
    (result, faults)
}

/// What a node wants by one of its pod CIDRs.
fn want(
    config: &Config,
    cluster: ClusterIdx,
    node: &NodeFact,
    text: &str,
    families: &mut [bool; 2],
) -> Result<(IpNet, Way), Fault> {
    // Old API servers accept host bits.
    let cidr = prefix(text).map_err(|_| Fault::NotACidr(shortened(text)))?.trunc();
    if !config.clusters[cluster.0].pod_cidrs.iter().any(|pods| pods.contains(&cidr)) {
        return Err(Fault::OutsideCluster(cidr));
    }
    let ipv4 = cidr.addr().is_ipv4();
    if std::mem::replace(&mut families[usize::from(ipv4)], true) {
        return Err(Fault::SecondOfFamily(cidr));
    }
    let mut fault = Fault::NoAddress(cidr);
    for address in node.usable_addresses().filter(|address| address.is_ipv4() == ipv4) {
        match place(config, cluster, address) {
            Ok(port) => return Ok((cidr, Way { port, address })),
            Err(why) => fault = why,
        }
    }
    Err(fault)
}

/// The port of the cluster on whose link a node may have the address.
fn place(config: &Config, cluster: ClusterIdx, address: IpAddr) -> Result<PortIdx, Fault> {
    let mut found = None;
    for port in &config.clusters[cluster.0].ports {
        for subnet in config.ports[port.0].addresses.iter().filter(|subnet| subnet.contains(&address)) {
            let is_end = match subnet {
                IpNet::V4(net) => {
                    net.prefix_len() <= 30 && [IpAddr::from(net.network()), net.broadcast().into()].contains(&address)
                }
                IpNet::V6(_) => false,
            };
            if is_end || subnet.addr() == address {
                return Err(Fault::NotANodes(address));
            }
            found = Some(*port);
        }
    }
    let in_pool = || config.pools.iter().flat_map(|pool| &pool.addresses).any(|pool| pool.contains(&address));
    match found {
        Some(_) if in_pool() || config.is_forwarded(address) => Err(Fault::NotANodes(address)),
        Some(port) => Ok(port),
        None => Err(Fault::OffLink(address)),
    }
}

/// What a message shows of a text that somebody else wrote.
fn shortened(text: &str) -> String {
    text.chars().take(50).collect()
}
