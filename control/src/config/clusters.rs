//! `[[cluster]]`: clusters, alone and against each other.

use std::net::IpAddr;

use ipnet::IpNet;

use super::allocation;
use super::apart;
use super::claims::overlap;
use super::egress::egress_rules;
use super::exemptions;
use super::keys;
use super::liveness;
use super::model::{Cluster, ClusterIdx, Egress, Model, NodeMaskSize, PortIdx};
use super::names::Names;
use super::nodes::{self, NodeDraft, Taken, one_a_family};
use super::nodes_from;
use super::pools::{MASQUERADE, NONE, Pools};
use super::ports::{Ports, link_local};
use super::report::{Report, Spanned};
use super::table::Table;
use super::value::{self, Complaint};
use crate::domains::Domains;
use crate::flannel::Variant;

/// The clusters, and what the sections after them ask.
pub(super) struct Clusters {
    pub(super) list: Vec<Cluster>,
    names: Names,
}

impl Clusters {
    /// The cluster called so.
    pub(super) fn find(&self, report: &mut Report<'_>, name: &Spanned<&str>) -> Option<ClusterIdx> {
        self.names.find(report, name, "cluster").map(ClusterIdx)
    }

    /// The range of pods or services that the address lies in, and the name of its cluster.
    pub(super) fn range_with(&self, address: IpAddr) -> Option<(IpNet, &str)> {
        self.list.iter().find_map(|cluster| {
            let mut ranges = cluster.pod_cidrs.iter().chain(&cluster.service_cidrs);
            let range = ranges.find(|range| range.contains(&address))?;
            Some((*range, cluster.name.as_str()))
        })
    }

    /// The cluster whose nodes live on the port.
    pub(super) fn on_port(&self, port: PortIdx) -> Option<ClusterIdx> {
        self.list.iter().position(|cluster| cluster.ports.contains(&port)).map(ClusterIdx)
    }
}

pub(super) fn clusters(report: &mut Report<'_>, file: &Table<'_>, ports: &Ports, pools: &Pools) -> Clusters {
    let mut clusters = Clusters { list: Vec::new(), names: Names::default() };
    let mut taken = Taken::default();
    let mut ranges = Vec::new();
    for table in file.tables(report, "cluster", &keys::CLUSTER) {
        let name = table.parsed(report, "name", cluster_name);
        let name = clusters.names.add(report, name, table.at());
        let (cluster, pod_cidrs) = cluster(report, &table, name, ports, pools, &mut taken);
        clusters.list.push(cluster);
        ranges.push(pod_cidrs);
    }
    apart::check(report, &clusters.list, &ranges, ports);
    clusters
}

/// As any name, but not that of a routing domain which is no cluster's.
fn cluster_name(text: &str) -> Result<&str, Complaint> {
    if Domains::SHARED.contains(&text) {
        return Err(Complaint {
            what: "is what a routing domain is called that clusters share".to_owned(),
            remedy: "take another name".to_owned(),
        });
    }
    value::name(text)
}

/// A cluster, and the places of its pod CIDRs.
fn cluster(
    report: &mut Report<'_>,
    table: &Table<'_>,
    name: String,
    ports: &Ports,
    pools: &Pools,
    taken: &mut Taken,
) -> (Cluster, Vec<Spanned<IpNet>>) {
    let model = model(report, table);
    let pod_cidrs = pod_cidrs(report, table, ports, pools);
    let node_mask_size = node_mask_size(report, table);
    let service_cidrs = values(table.prefixes(report, "service-cidrs"));
    let egress = egress(report, table, model, &pod_cidrs, pools);
    let non_masquerade_cidrs = exemptions::exemptions(report, table, model);
    let flannel_ip_masq = flannel_ip_masq(report, table, model);
    let mut nodes = nodes::nodes(report, table, ports, pools, taken);
    let ports = node_ports(report, table, &nodes, ports);
    allocation::allocate(report, &pod_cidrs, node_mask_size, &service_cidrs, &mut nodes);
    let (nodes_from, patches_network_unavailable) = nodes_from::nodes_from(report, table);
    let (egress_rules, pods_from) = egress_rules(report, table, egress, &pod_cidrs, pools, nodes_from.as_ref());
    let cluster = Cluster {
        name,
        model: model.unwrap_or(Model::Island),
        pod_cidrs: pod_cidrs.iter().map(|net| net.value).collect(),
        node_mask_size,
        service_cidrs,
        egress,
        egress_rules,
        non_masquerade_cidrs,
        flannel_ip_masq,
        sessions_per_pod: table.number(report, "sessions-per-pod").map(|most| most.value as u32),
        new_sessions_per_pod_per_second: table
            .number(report, "new-sessions-per-pod-per-second")
            .map(|rate| rate.value as u32),
        tcp_pick_up: table.flag(report, "tcp-pick-up"),
        ports,
        nodes: nodes.into_iter().map(|draft| draft.node).collect(),
        nodes_from,
        patches_network_unavailable,
        pods_from,
        liveness: liveness::liveness(report, table),
    };
    (cluster, pod_cidrs)
}

fn values(list: Option<Vec<Spanned<IpNet>>>) -> Vec<IpNet> {
    list.unwrap_or_default().into_iter().map(|net| net.value).collect()
}

fn model(report: &mut Report<'_>, table: &Table<'_>) -> Option<Model> {
    let word = table.choice(report, "model")?;
    let model = match word.value {
        "isolated" => Model::Isolated,
        "flat" => Model::Flat,
        _ => Model::Island,
    };
    Some(model)
}

fn pod_cidrs(report: &mut Report<'_>, table: &Table<'_>, ports: &Ports, pools: &Pools) -> Vec<Spanned<IpNet>> {
    let list = table.prefixes(report, "pod-cidrs");
    if table.list_len("pod-cidrs") == Some(0) {
        let at = table.place(report, "pod-cidrs");
        report.error(&at, "is empty", "write where the pods live, as pod-cidrs = [\"10.1.0.0/16\"]");
    }
    let list = one_a_family(report, list.unwrap_or_default(), |net| net.addr().is_ipv4());
    for net in &list {
        check_pod_cidr(report, net, ports, pools);
    }
    list
}

fn check_pod_cidr(report: &mut Report<'_>, net: &Spanned<IpNet>, ports: &Ports, pools: &Pools) {
    let connected = |&(_, subnet): &(PortIdx, IpNet)| !link_local(subnet.addr()) && overlap(net.value, subnet);
    if let Some((port, subnet)) = ports.subnets().find(connected) {
        let what = format!("overlaps {subnet}, the subnet of port \"{}\"", ports.get(port).name);
        report.error(&net.at, what, "pods and nodes live in different ranges");
    }
    if let Some((other, place)) = pools.overlap(net.value) {
        let what = format!("overlaps {other} of {}", report.reference(place));
        report.error(&net.at, what, "a pool and pods cannot share addresses");
    }
}

fn node_mask_size(report: &mut Report<'_>, table: &Table<'_>) -> NodeMaskSize {
    let table = table.table(report, "node-mask-size", &keys::NODE_MASK_SIZE);
    let mut size = |key| {
        let number = table.as_ref().and_then(|table| table.number(report, key));
        let bits = number.map_or(0, |number| number.value);
        u8::try_from(bits).expect("the table of keys keeps it within 8 bits")
    };
    NodeMaskSize { ipv4: size("ipv4"), ipv6: size("ipv6") }
}

fn egress(
    report: &mut Report<'_>,
    table: &Table<'_>,
    model: Option<Model>,
    pod_cidrs: &[Spanned<IpNet>],
    pools: &Pools,
) -> Egress {
    if !table.has("egress") {
        if let Some(Model::Island | Model::Flat) = model {
            let remedy = match model {
                Some(Model::Flat) => "name a pool, or write egress = \"masquerade\" or \"none\"",
                _ => "name a pool, or write egress = \"masquerade\"",
            };
            let at = table.place(report, "egress");
            report.error(&at, "is missing", remedy);
        }
        return Egress::None;
    }
    if model == Some(Model::Isolated) {
        let at = table.place(report, "egress");
        report.error(&at, "is of a cluster whose pods do not leave", "leave it out, or write model = \"island\"");
        return Egress::None;
    }
    let Some(name) = table.text(report, "egress").filter(|name| name.value != MASQUERADE) else {
        return Egress::Masquerade;
    };
    if name.value == NONE {
        if model == Some(Model::Island) {
            let remedy = "name a pool or \"masquerade\", or write model = \"flat\" or \"isolated\"";
            report.error(&name.at, "leaves the pods of an island without a name outside", remedy);
        }
        return Egress::None;
    }
    let Some(pool) = pools.find(report, &name) else {
        return Egress::Masquerade;
    };
    for net in pod_cidrs {
        let ipv4 = net.value.addr().is_ipv4();
        if !pools.serves(pool, ipv4) {
            let family = family(ipv4);
            let what = format!("has no {family} address, and the pods have");
            report.warn(&name.at, what, format!("their {family} traffic stays inside"));
        }
    }
    Egress::Pool(pool)
}

fn flannel_ip_masq(report: &mut Report<'_>, table: &Table<'_>, model: Option<Model>) -> Option<Variant> {
    if !table.has("flannel-ip-masq") {
        return None;
    }
    let word = table.choice(report, "flannel-ip-masq")?;
    if model.is_some_and(|model| model != Model::Island) {
        report.error(&word.at, "is of a cluster that is no island", "leave it out, or write model = \"island\"");
    }
    Some(if word.value == "nft" { Variant::Nft } else { Variant::Iptables })
}

/// The ports on which the nodes live: named, or those of the nodes.
fn node_ports(report: &mut Report<'_>, table: &Table<'_>, nodes: &[NodeDraft], ports: &Ports) -> Vec<PortIdx> {
    let named = table.parsed_list(report, "ports", Ok).unwrap_or_default();
    let mut found: Vec<PortIdx> = Vec::new();
    for name in &named {
        match ports.find(report, name) {
            Some(port) if found.contains(&port) => {
                report.error(&name.at, "is named twice", "name a port once");
            }
            port => found.extend(port),
        }
    }
    let complete = found.len() == named.len();
    for draft in nodes {
        let Some(Spanned { at, value: port }) = &draft.reached_by else {
            continue;
        };
        if named.is_empty() {
            found.push(*port);
        } else if complete && !found.contains(port) {
            let name = &ports.get(*port).name;
            let what = format!("lies on port \"{name}\", which is not among those of the cluster");
            report.error(at, what, format!("add \"{name}\" to its ports, or mend the address"));
        }
    }
    let no_nodes = !table.has("node") || table.list_len("node") == Some(0);
    if named.is_empty() && no_nodes {
        let remedy = "name the ports on which its nodes live, as ports = [\"nodes\"], or write its nodes";
        let at = table.place(report, "ports");
        report.error(&at, "is missing, and so are nodes", remedy);
    }
    found.sort_unstable();
    found.dedup();
    found
}

pub(super) fn family(ipv4: bool) -> &'static str {
    if ipv4 { "IPv4" } else { "IPv6" }
}
