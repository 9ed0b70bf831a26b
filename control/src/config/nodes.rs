//! `[[cluster.node]]`: the nodes of a cluster and where they are.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::clusters::family;
use super::keys;
use super::model::{Node, PortIdx};
use super::names::Names;
use super::pools::Pools;
use super::ports::Ports;
use super::report::{At, Report, Spanned};
use super::table::Table;
use super::value;

/// A node whose pod CIDRs are still to be settled.
pub(super) struct NodeDraft {
    /// [`Node::pod_cidrs`] is empty.
    pub(super) node: Node,
    pub(super) at: At,
    /// The pod CIDRs that the file gives it.
    pub(super) given: Vec<Spanned<IpNet>>,
    /// The port it is reached by and the address that says so.
    pub(super) reached_by: Option<Spanned<PortIdx>>,
}

/// Node addresses of all clusters, and whose they are.
#[derive(Default)]
pub(super) struct Taken(HashMap<IpAddr, At>);

pub(super) fn nodes(
    report: &mut Report<'_>,
    cluster: &Table<'_>,
    ports: &Ports,
    pools: &Pools,
    taken: &mut Taken,
) -> Vec<NodeDraft> {
    let mut names = Names::default();
    let mut nodes = Vec::new();
    for table in cluster.tables(report, "node", &keys::NODE) {
        let name = table.parsed(report, "name", value::node_name);
        let name = names.add(report, name, table.at());
        let addresses = addresses(report, &table);
        for address in &addresses {
            check_address(report, address, pools, taken);
        }
        let reached_by = reached_by(report, &addresses, ports);
        let given = table.prefixes(report, "pod-cidrs").unwrap_or_default();
        nodes.push(NodeDraft {
            node: Node {
                name,
                addresses: addresses.into_iter().map(|address| address.value).collect(),
                pod_cidrs: Vec::new(),
                allocated: false,
                port: reached_by.as_ref().map_or(PortIdx(0), |port| port.value),
            },
            at: table.at().clone(),
            given: one_a_family(report, given, |net| net.addr().is_ipv4()),
            reached_by,
        });
    }
    nodes
}

/// Of `address` or `addresses`, whichever stands.
fn addresses(report: &mut Report<'_>, table: &Table<'_>) -> Vec<Spanned<IpAddr>> {
    let host = |text| value::address(text).and_then(value::host);
    let one = table.parsed(report, "address", host);
    let list = table.parsed_list(report, "addresses", host);
    match (table.has("address"), table.has("addresses")) {
        (true, true) => {
            let at = table.place(report, "address");
            report.error(&at, "stands beside \"addresses\"", "keep one of the two");
            return list.unwrap_or_default();
        }
        (false, false) => {
            let at = table.place(report, "address");
            report.error(&at, "is missing", "write address = \"192.168.0.11\"");
        }
        (false, true) if table.list_len("addresses") == Some(0) => {
            let at = table.place(report, "addresses");
            report.error(&at, "is empty", "write address = \"192.168.0.11\"");
        }
        _ => {}
    }
    let list = list.unwrap_or_default();
    one_a_family(report, one.into_iter().chain(list).collect(), IpAddr::is_ipv4)
}

fn check_address(report: &mut Report<'_>, address: &Spanned<IpAddr>, pools: &Pools, Taken(taken): &mut Taken) {
    pools.check_foreign(report, address);
    if let Some(first) = taken.get(&address.value) {
        let what = format!("is already {}", report.reference(first));
        report.error(&address.at, what, "every node has its own address");
    } else {
        taken.insert(address.value, address.at.clone());
    }
}

/// The one port on which every address lies.
fn reached_by(report: &mut Report<'_>, addresses: &[Spanned<IpAddr>], ports: &Ports) -> Option<Spanned<PortIdx>> {
    let mut found: Option<Spanned<PortIdx>> = None;
    for address in addresses {
        let Some(port) = ports.reach(report, address) else {
            continue;
        };
        match &found {
            Some(first) if first.value != port => {
                let (here, there) = (&ports.get(port).name, &ports.get(first.value).name);
                let what = format!("lies on port \"{here}\", the other address on port \"{there}\"");
                report.error(&address.at, what, "a node is reached by one port");
            }
            Some(_) => {}
            None => {
                found = Some(Spanned { at: address.at.clone(), value: port });
            }
        }
    }
    found
}

/// The list without what a family has too many of, which is reported.
pub(super) fn one_a_family<T>(
    report: &mut Report<'_>,
    list: Vec<Spanned<T>>,
    is_ipv4: impl Fn(&T) -> bool,
) -> Vec<Spanned<T>> {
    let mut kept: Vec<Spanned<T>> = Vec::new();
    for item in list {
        let ipv4 = is_ipv4(&item.value);
        if kept.iter().any(|other| is_ipv4(&other.value) == ipv4) {
            let what = format!("is the second of {}", family(ipv4));
            report.error(&item.at, what, "at most one a family will do");
        } else {
            kept.push(item);
        }
    }
    kept
}
