//! `causeway ipam`: what kube-controller-manager would give to nodes.

use std::fmt::Write;

use causeway_control::ipam::{CidrSet, CidrSetError, FlagError, Flags};
use ipnet::IpNet;
use serde::Serialize;

/// What the flags of a controller come to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Checked {
    /// One entry a cluster CIDR, in their order.
    pub ranges: Vec<Range>,
    /// What is accepted, but hardly meant.
    pub warnings: Vec<String>,
}

/// A cluster CIDR, cut into pieces.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Range {
    /// Without host bits.
    pub cluster_cidr: IpNet,
    /// Prefix length of a node's piece.
    pub node_mask_size: u8,
    /// Nodes that it serves.
    pub nodes: u64,
    /// Pieces that services take away.
    pub taken_by_services: u64,
    /// Addresses of a node, 2^64 and more as that.
    pub addresses_a_node: u64,
}

/// Which pod CIDRs the next nodes get.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Next {
    /// One entry a node: a CIDR of each cluster CIDR, in their order.
    pub nodes: Vec<Vec<IpNet>>,
    /// Why there are no more, if fewer were found than asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
    /// What is accepted, but hardly meant.
    pub warnings: Vec<String>,
}

/// Checks flags as the controller does when it starts.
///
/// # Errors
/// The reason for which it would exit.
pub fn check(flags: &Flags) -> Result<Checked, FlagError> {
    let range = flags.read()?;
    let allocator = range.allocator()?;
    let mut warnings = range.warnings;
    let entry = |(set, (cluster_cidr, node_mask_size)): (&CidrSet, (IpNet, u8))| {
        if set.free() == 0 {
            warnings.push(format!("services take all of {cluster_cidr}: no node gets a pod CIDR"));
        }
        Range {
            cluster_cidr,
            node_mask_size,
            nodes: set.free(),
            taken_by_services: set.used(),
            addresses_a_node: 1u64
                .checked_shl(u32::from(cluster_cidr.max_prefix_len() - node_mask_size))
                .unwrap_or(u64::MAX),
        }
    };
    let ranges: Vec<_> = allocator.sets().zip(range.clusters).map(entry).collect();
    if let [one, other] = ranges.as_slice()
        && one.nodes != other.nodes
    {
        let fewer = if one.nodes < other.nodes { one } else { other };
        warnings.push(format!("{} is used up first, with {} nodes", fewer.cluster_cidr, fewer.nodes));
    }
    Ok(Checked { ranges, warnings })
}

/// Which pod CIDRs the next `count` nodes get, one after the other, while others hold
/// `taken`.
///
/// # Errors
/// The reason for which the controller would exit.
pub fn next(flags: &Flags, count: usize, taken: &[IpNet]) -> Result<Next, NextError> {
    let range = flags.read()?;
    let mut allocator = range.allocator()?;
    for cidr in taken {
        allocator.hold(*cidr)?;
    }
    let mut nodes = Vec::new();
    let mut ended_by = None;
    while nodes.len() < count && ended_by.is_none() {
        match allocator.allocate() {
            Ok(cidrs) => nodes.push(cidrs),
            Err(error) => ended_by = Some(error.to_string()),
        }
    }
    Ok(Next { nodes, ended_by, warnings: range.warnings })
}

/// Why no node gets anything.
#[derive(Debug, thiserror::Error)]
pub enum NextError {
    /// The flags.
    #[error("{0}")]
    Flags(#[from] FlagError),
    /// A CIDR that others are said to hold.
    #[error("--taken: {0}; name pod CIDRs of nodes")]
    Taken(#[from] CidrSetError),
}

impl Checked {
    /// As a table for people.
    pub fn text(&self) -> String {
        let mut text =
            "CLUSTER-CIDR              NODE-MASK       NODES  TAKEN-BY-SERVICES  ADDRESSES-A-NODE\n".to_owned();
        for range in &self.ranges {
            let addresses = match range.addresses_a_node {
                u64::MAX => "2^64 or more".to_owned(),
                number => number.to_string(),
            };
            let (cidr, size) = (range.cluster_cidr.to_string(), format!("/{}", range.node_mask_size));
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "{cidr:<24}  {size:>9}  {:>10}  {:>17}  {addresses:>16}",
                range.nodes, range.taken_by_services
            );
        }
        text
    }
}

impl Next {
    /// A line a node.
    pub fn text(&self) -> String {
        let line = |cidrs: &Vec<IpNet>| cidrs.iter().map(IpNet::to_string).collect::<Vec<_>>().join(",") + "\n";
        self.nodes.iter().map(line).collect()
    }
}
