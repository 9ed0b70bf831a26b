//! Which node has which pod CIDRs, remembered over restarts.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Allocator;
use crate::config::{Cluster, Config};

/// The pod CIDRs that nodes were given because their configuration leaves them open.
///
/// With it a node keeps its CIDRs when others are added before it or go, and a CIDR that
/// is free again waits until the search has come round, over restarts too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// By name.
    clusters: BTreeMap<String, Given>,
}

/// What one cluster has given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Given {
    /// By name of the node: one CIDR of each cluster CIDR.
    nodes: BTreeMap<String, Vec<IpNet>>,
    /// In each cluster CIDR, where the next search begins.
    next: Vec<IpNet>,
}

/// A node that could not keep what it had: the cluster's ranges are others now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the node.
    pub node: String,
    /// What it had.
    pub had: Vec<IpNet>,
}

impl Ledger {
    /// Gives every node of the configuration that leaves its pod CIDRs open those that it
    /// had, and new ones to the others; remembers that, and forgets who is no longer there.
    pub fn settle(&mut self, config: &mut Config) -> Vec<Dropped> {
        let mut before = std::mem::take(&mut self.clusters);
        let mut dropped = Vec::new();
        for cluster in config.clusters.iter_mut().filter(|cluster| cluster.nodes.iter().any(|node| node.allocated)) {
            let had = before.remove(&cluster.name).unwrap_or_default();
            let given = settle(cluster, had, &mut dropped);
            self.clusters.insert(cluster.name.clone(), given);
        }
        dropped
    }
}

fn settle(cluster: &mut Cluster, had: Given, dropped: &mut Vec<Dropped>) -> Given {
    let cuts: Vec<_> = cluster.pod_cidrs.iter().map(|net| (*net, cluster.node_mask_size.of(*net))).collect();
    let mut allocator = Allocator::new(&cuts, &cluster.service_cidrs).expect("the configuration was checked");
    for cidr in cluster.nodes.iter().filter(|node| !node.allocated).flat_map(|node| &node.pod_cidrs) {
        allocator.hold(*cidr).expect("the configuration was checked");
    }
    for next in had.next {
        // A place in a range that the cluster had is no place in this one.
        let _ = allocator.seek(next);
    }
    let mut given = Given::default();
    let open: BTreeSet<_> = cluster.nodes.iter().filter(|node| node.allocated).map(|node| node.name.clone()).collect();
    for (node, cidrs) in had.nodes.into_iter().filter(|(node, _)| open.contains(node)) {
        if fits(&allocator, &cidrs) {
            for cidr in &cidrs {
                allocator.hold(*cidr).expect("it fits");
            }
            given.nodes.insert(node, cidrs);
        } else {
            dropped.push(Dropped { cluster: cluster.name.clone(), node, had: cidrs });
        }
    }
    for node in cluster.nodes.iter_mut().filter(|node| node.allocated) {
        let cidrs = given.nodes.entry(node.name.clone()).or_insert_with(|| {
            allocator.allocate().expect("the configuration was checked: there are blocks for all its nodes")
        });
        node.pod_cidrs = node.routable(cidrs);
    }
    given.next = allocator.sets().map(super::CidrSet::next).collect();
    given
}

/// Is it a free block of each cluster CIDR, in their order?
fn fits(allocator: &Allocator, cidrs: &[IpNet]) -> bool {
    allocator.sets().count() == cidrs.len()
        && allocator.sets().zip(cidrs).all(|(set, cidr)| set.is_block(*cidr) && set.is_used(*cidr) == Ok(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(cluster: &str, nodes: &[&str]) -> Config {
        let mut text = format!(
            "gateway.name = \"gw\"\n\
             [[port]]\nname = \"nodes\"\ndriver = \"memory\"\naddresses = [\"192.168.0.1/24\"]\n\
             [[port]]\nname = \"uplink\"\ndriver = \"memory\"\naddresses = [\"203.0.113.2/24\"]\n\
             [[cluster]]\nname = \"blue\"\nmodel = \"island\"\negress = \"masquerade\"\n{cluster}\n"
        );
        for (at, node) in nodes.iter().enumerate() {
            let (name, given) = node.split_once('=').unwrap_or((node, ""));
            text += &format!("[[cluster.node]]\nname = \"{name}\"\naddress = \"192.168.0.{}\"\n", at + 10);
            if !given.is_empty() {
                text += &format!("pod-cidrs = [\"{given}\"]\n");
            }
        }
        Config::parse("test.toml", &text).unwrap_or_else(|errors| panic!("{errors}")).0
    }

    /// What each node has once the ledger has settled it, and whom it had to drop.
    fn settled(ledger: &mut Ledger, cluster: &str, nodes: &[&str]) -> (Vec<String>, Vec<String>) {
        let mut config = config(cluster, nodes);
        let dropped = ledger.settle(&mut config);
        let has = |node: &crate::config::Node| format!("{} {}", node.name, node.pod_cidrs[0]);
        let has = config.clusters[0].nodes.iter().map(has).collect();
        (has, dropped.into_iter().map(|dropped| dropped.node).collect())
    }

    const RANGE: &str = "pod-cidrs = [\"10.1.0.0/22\"]";

    #[test]
    fn a_node_keeps_its_cidr_when_others_come_and_go() {
        let mut ledger = Ledger::default();
        let first = settled(&mut ledger, RANGE, &["a", "b"]);
        assert_eq!(first.0, ["a 10.1.0.0/24", "b 10.1.1.0/24"]);
        assert_eq!(settled(&mut ledger, RANGE, &["c", "b"]).0, ["c 10.1.2.0/24", "b 10.1.1.0/24"]);
        // As without a restart: what became free is not given out before the search is round.
        let later = settled(&mut ledger, RANGE, &["a", "b", "d"]);
        assert_eq!(later.0, ["a 10.1.3.0/24", "b 10.1.1.0/24", "d 10.1.0.0/24"]);
        assert_eq!(later.1, [""; 0]);
    }

    #[test]
    fn what_a_node_is_given_by_hand_wins_over_what_another_had() {
        let mut ledger = Ledger::default();
        settled(&mut ledger, RANGE, &["a", "b"]);
        let (has, dropped) = settled(&mut ledger, RANGE, &["a", "b", "c=10.1.0.0/24"]);
        assert_eq!(has, ["a 10.1.2.0/24", "b 10.1.1.0/24", "c 10.1.0.0/24"]);
        assert_eq!(dropped, ["a"]);
    }

    #[test]
    fn nodes_are_served_anew_when_the_ranges_are_others() {
        let mut ledger = Ledger::default();
        settled(&mut ledger, RANGE, &["a", "b"]);
        for range in [
            "pod-cidrs = [\"10.2.0.0/22\"]",
            "pod-cidrs = [\"10.2.0.0/22\"]\nnode-mask-size = { ipv4 = 25 }",
            "pod-cidrs = [\"10.2.0.0/22\"]\nnode-mask-size = { ipv4 = 25 }\nservice-cidrs = [\"10.2.2.0/24\"]",
        ] {
            let (has, dropped) = settled(&mut ledger, range, &["a", "b"]);
            assert!(has.iter().all(|has| has.contains(" 10.2.")), "{has:?}");
            assert_eq!(dropped, ["a", "b"], "{range}");
            assert_eq!(settled(&mut ledger, range, &["a", "b"]), (has, Vec::new()), "and then stays");
        }
    }

    #[test]
    fn a_ledger_full_of_nonsense_gives_no_cidr_twice() {
        let nonsense = r#"{"clusters":{"blue":{"next":["fd00::/64","10.9.0.0/24"],"nodes":{
            "a":["10.1.0.0/24"],"b":["10.1.0.0/24"],"c":["10.1.0.0/23"],"d":["10.1.3.0/24","10.1.2.0/24"]}}}}"#;
        let mut ledger: Ledger = serde_json::from_str(nonsense).expect("it can be read");
        let (has, dropped) = settled(&mut ledger, RANGE, &["a", "b", "c", "d"]);
        assert_eq!(has, ["a 10.1.0.0/24", "b 10.1.1.0/24", "c 10.1.2.0/24", "d 10.1.3.0/24"]);
        assert_eq!(dropped, ["b", "c", "d"]);
    }
}
