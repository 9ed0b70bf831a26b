//! Clusters against each other: who may share ports and addresses with whom.

use ipnet::IpNet;

use super::claims::overlap;
use super::model::{Cluster, Model, PortIdx};
use super::ports::Ports;
use super::report::{Report, Spanned};

/// Reports clusters that could not be told apart. `ranges` are the places of their pod
/// CIDRs.
pub(super) fn check(report: &mut Report<'_>, clusters: &[Cluster], ranges: &[Vec<Spanned<IpNet>>], ports: &Ports) {
    check_shore(report, clusters, ranges, ports);
    for (index, (cluster, own)) in clusters.iter().zip(ranges).enumerate() {
        let before = &clusters[..index];
        check_ports(report, cluster, own, before, ports);
        for net in own {
            for other in before {
                check_ranges(report, cluster, net, other);
            }
        }
    }
}

/// What has a routing domain of its own leaves by a port that is not in it.
fn check_shore(report: &mut Report<'_>, clusters: &[Cluster], ranges: &[Vec<Spanned<IpNet>>], ports: &Ports) {
    let behind_shores = || clusters.iter().zip(ranges).filter(|(cluster, _)| cluster.model != Model::Flat);
    let Some(net) = behind_shores().find_map(|(_, own)| own.first()) else {
        return;
    };
    let taken = |port: usize| behind_shores().any(|(cluster, _)| cluster.ports.contains(&PortIdx(port)));
    if !ports.list.is_empty() && (0..ports.list.len()).all(taken) {
        let what = "is of an island that no port leads out of: clusters live on all of them";
        report.error(&net.at, what, "add a [[port]] toward the outside, without nodes on it");
    }
}

/// A routing domain is told by the port that a packet came in by. Flat clusters share one.
fn check_ports(report: &mut Report<'_>, cluster: &Cluster, own: &[Spanned<IpNet>], before: &[Cluster], ports: &Ports) {
    let Some(net) = own.first() else {
        return;
    };
    for other in before.iter().filter(|other| (cluster.model, other.model) != (Model::Flat, Model::Flat)) {
        if let Some(shared) = cluster.ports.iter().find(|port| other.ports.contains(port)) {
            let what = format!(
                "is of a cluster on port \"{}\", on which cluster \"{}\" lives too",
                ports.get(*shared).name,
                other.name
            );
            report.error(&net.at, what, "give each island a port (a NIC or a VLAN) of its own");
        }
    }
}

/// Pods that are known by their own addresses outside have them alone.
fn check_ranges(report: &mut Report<'_>, cluster: &Cluster, net: &Spanned<IpNet>, other: &Cluster) {
    if !is_known_outside(cluster) || !is_known_outside(other) {
        return;
    }
    if let Some(theirs) = other.pod_cidrs.iter().find(|theirs| overlap(**theirs, net.value)) {
        let nodes = colliding_nodes(cluster, other).map_or_else(String::new, |(own, there)| {
            format!(", and the pods of node {own} those of node {there} of \"{}\"", other.name)
        });
        let what = format!("overlaps {theirs} of cluster \"{}\"{nodes}", other.name);
        let remedy = match (cluster.model, other.model) {
            (Model::Flat, Model::Flat) => "flat clusters share one table: give each pods of its own",
            _ => {
                "both are known by these addresses outside: give each pods of its own, or take non-masquerade-cidrs and flannel-ip-masq away"
            }
        };
        report.error(&net.at, what, remedy);
    }
    if cluster.model == Model::Flat && other.model == Model::Flat {
        let pods_in = |pods: &[IpNet], services: &[IpNet]| {
            services.iter().copied().find(|services| pods.iter().any(|pods| overlap(*pods, *services)))
        };
        if let Some(services) = pods_in(&[net.value], &other.service_cidrs) {
            let what = format!("overlaps {services}, the services of cluster \"{}\"", other.name);
            report.error(&net.at, what, "pods there would not reach these: both clusters are flat");
        }
        let first = cluster.pod_cidrs.first() == Some(&net.value);
        if let Some(services) = pods_in(&other.pod_cidrs, &cluster.service_cidrs).filter(|_| first) {
            let what =
                format!("is of a cluster with services in {services}, where pods of cluster \"{}\" are", other.name);
            report.error(&net.at, what, "pods here would not reach those: both clusters are flat");
        }
    }
}

/// Do pods appear outside under their own addresses?
pub(super) fn is_known_outside(cluster: &Cluster) -> bool {
    match cluster.model {
        Model::Flat => true,
        Model::Island => !cluster.non_masquerade_cidrs.is_empty() || cluster.flannel_ip_masq.is_some(),
        Model::Isolated => false,
    }
}

/// The first two nodes whose pods have the same addresses: each with its pod CIDR.
fn colliding_nodes(cluster: &Cluster, other: &Cluster) -> Option<(String, String)> {
    let pieces = |cluster: &Cluster| -> Vec<(IpNet, String)> {
        let nodes = cluster.nodes.iter();
        let mut pieces: Vec<_> = nodes
            .flat_map(|node| node.pod_cidrs.iter().map(|net| (*net, format!("\"{}\" ({net})", node.name))))
            .collect();
        pieces.sort();
        pieces
    };
    let (own, theirs) = (pieces(cluster), pieces(other));
    // Those of one cluster are disjoint, so in order of their addresses the one to compare
    // with is the last to begin before the end.
    own.into_iter().find_map(|(net, name)| {
        let after = theirs.partition_point(|(other, _)| other.network() <= net.broadcast());
        let (other, there) = theirs[..after].last()?;
        overlap(net, *other).then(|| (name, there.clone()))
    })
}
