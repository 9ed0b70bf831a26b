//! `[[forward]]` and `[[static-nat]]`: what from outside may begin.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::clusters::{Clusters, family};
use super::keys;
use super::model::{ClusterIdx, Neighbor, Route, RouteKind};
use super::pools::{Pools, warn_about_ends};
use super::ports::{Ports, link_local};
use super::public::{Forward, Protocol, StaticNat};
use super::report::{At, Report, Spanned};
use super::table::Table;
use super::value;

/// The sections that an address is held against.
pub(super) struct Surroundings<'a> {
    pub(super) ports: &'a Ports,
    pub(super) pools: &'a Pools,
    pub(super) clusters: &'a Clusters,
    pub(super) routes: &'a [Route],
    pub(super) neighbors: &'a [Neighbor],
}

/// Who already has which public address and port.
#[derive(Default)]
struct Taken {
    /// By address and protocol.
    ports: HashMap<(IpAddr, Protocol), Vec<Spanned<RangeInclusive<u16>>>>,
    /// Whole addresses.
    addresses: HashMap<IpAddr, At>,
}

pub(super) fn forwards(
    report: &mut Report<'_>,
    file: &Table<'_>,
    around: &Surroundings<'_>,
) -> (Vec<Forward>, Vec<StaticNat>) {
    let mut taken = Taken::default();
    let static_nat = static_nat(report, file, around, &mut taken);
    let mut forwards = Vec::new();
    let mut ports_left = Some(keys::MOST_FORWARDED_PORTS);
    for table in file.tables(report, "forward", &keys::FORWARD) {
        let (cluster, address, to) = ends(report, &table, around);
        let protocols = protocols(report, &table);
        let ports = table.ports(report, "port");
        let to_ports = to_ports(report, &table, ports.as_ref());
        let (Some(address), Some(ports)) = (address, ports) else {
            continue;
        };
        if let Some(first) = taken.addresses.get(&address.value) {
            let what = format!("is already {}", report.reference(first));
            report.error(&address.at, what, "an address with static NAT is its owner's alone: take another");
        }
        for protocol in &protocols {
            claim(report, &mut taken, address.value, *protocol, &ports);
        }
        ports_left = take(report, &ports, protocols.len(), ports_left);
        if let (Some(cluster), Some(to), Some(to_ports)) = (cluster, to, to_ports) {
            let (address, ports, to_port) = (address.value, ports.value, *to_ports.start());
            forwards.push(Forward { cluster, address, protocols, ports, to, to_port });
        }
    }
    (forwards, static_nat)
}

fn static_nat(
    report: &mut Report<'_>,
    file: &Table<'_>,
    around: &Surroundings<'_>,
    taken: &mut Taken,
) -> Vec<StaticNat> {
    let mut list = Vec::new();
    let mut owners: HashMap<(ClusterIdx, IpAddr), At> = HashMap::new();
    for table in file.tables(report, "static-nat", &keys::STATIC_NAT) {
        let (cluster, address, to) = ends(report, &table, around);
        if let Some(address) = &address {
            check_whole(report, address, around, taken);
        }
        let (Some(cluster), Some(address), Some(to)) = (cluster, address, to) else {
            continue;
        };
        let at = table.place(report, "to");
        if let Some(first) = owners.get(&(cluster, to)) {
            let what = format!("is already {}", report.reference(first));
            report.error(&at, what, "it can leave under one address only: keep one of the two");
        }
        owners.insert((cluster, to), at);
        list.push(StaticNat { cluster, address: address.value, to });
    }
    list
}

/// What both sections have: in which cluster, under which public address, for whom.
fn ends(
    report: &mut Report<'_>,
    table: &Table<'_>,
    around: &Surroundings<'_>,
) -> (Option<ClusterIdx>, Option<Spanned<IpAddr>>, Option<IpAddr>) {
    let host = |text| value::address(text).and_then(value::host);
    let cluster = table.text(report, "cluster").and_then(|name| around.clusters.find(report, &name));
    let address = table.parsed(report, "address", host);
    let to = table.parsed(report, "to", host);
    if let Some(address) = &address {
        check_public(report, address, around);
    }
    if let (Some(address), Some(to)) = (&address, &to)
        && address.value.is_ipv4() != to.value.is_ipv4()
    {
        let (own, wanted) = (family(to.value.is_ipv4()), family(address.value.is_ipv4()));
        let what = format!("is {own} and the public address is {wanted}");
        report.error(&to.at, what, format!("write an {wanted} address"));
    } else if let (Some(cluster), Some(to)) = (cluster, &to) {
        check_inside(report, to, cluster, around);
    }
    (cluster, address, to.map(|to| to.value))
}

/// Reports an address that the outside cannot send to, or that is somebody else's.
fn check_public(report: &mut Report<'_>, Spanned { at, value: address }: &Spanned<IpAddr>, around: &Surroundings<'_>) {
    if link_local(*address) {
        report.error(at, "is link-local", "write an address that others can send to");
    } else if let Some((net, cluster)) = around.clusters.range_with(*address) {
        let what = format!("lies in {net} of cluster \"{cluster}\"");
        report.error(at, what, "write an address that is known outside, and the one of the pod in \"to\"");
    } else if let Some(owner) = owner(*address, around) {
        report.error(at, format!("is the address of {owner}"), "write one that nobody has");
    } else if around.ports.own(*address).is_none() && around.pools.overlap((*address).into()).is_none() {
        warn_about_ends(report, at, (*address).into(), around.ports);
    }
}

/// Whose address it is, beside the gateway.
fn owner(address: IpAddr, around: &Surroundings<'_>) -> Option<String> {
    for cluster in &around.clusters.list {
        if let Some(node) = cluster.nodes.iter().find(|node| node.addresses.contains(&address)) {
            return Some(format!("node \"{}\" of cluster \"{}\"", node.name, cluster.name));
        }
    }
    let is_router = |route: &Route| match &route.kind {
        RouteKind::Via(next_hops) => next_hops.iter().any(|next_hop| next_hop.gateway == address),
        RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit => false,
    };
    if let Some(route) = around.routes.iter().find(|route| is_router(route)) {
        return Some(format!("a router, to {}", route.to));
    }
    around.neighbors.iter().any(|neighbor| neighbor.address == address).then(|| "a [[neighbor]]".to_owned())
}

/// Reports a receiver that is not reached in the cluster's routing domain: it is a pod,
/// or on the subnet of one of the cluster's ports.
fn check_inside(report: &mut Report<'_>, to: &Spanned<IpAddr>, cluster: ClusterIdx, around: &Surroundings<'_>) {
    let cluster = &around.clusters.list[cluster.0];
    if let Some(port) = around.ports.own(to.value) {
        let what = format!("is the gateway's own address on port \"{}\"", around.ports.get(port).name);
        report.error(&to.at, what, "nothing listens there: write the address of a pod or node");
        return;
    }
    let own_ports = around.ports.subnets().filter(|(port, _)| cluster.ports.contains(port)).map(|(_, subnet)| subnet);
    let inside: Vec<IpNet> =
        cluster.pod_cidrs.iter().copied().chain(own_ports).filter(|net| !link_local(net.addr())).collect();
    let same_family = || inside.iter().filter(|net| net.addr().is_ipv4() == to.value.is_ipv4());
    // A cluster whose ranges could not be read was complained about.
    let known = !cluster.pod_cidrs.is_empty() && !cluster.ports.is_empty();
    if known && !same_family().any(|net| net.contains(&to.value)) {
        let nets: Vec<String> = same_family().map(IpNet::to_string).collect();
        let remedy = match nets.as_slice() {
            [] => format!("the cluster has no {} addresses", family(to.value.is_ipv4())),
            nets => format!("its addresses are in {}", super::schema::listed(nets.iter().map(String::as_str))),
        };
        let what = format!("is neither a pod's nor a node's address in cluster \"{}\"", cluster.name);
        report.error(&to.at, what, remedy);
    }
}

/// Reports a whole address that has another use too.
fn check_whole(report: &mut Report<'_>, address: &Spanned<IpAddr>, around: &Surroundings<'_>, taken: &mut Taken) {
    if let Some(port) = around.ports.own(address.value) {
        let what = format!("is the gateway's own address on port \"{}\"", around.ports.get(port).name);
        report.error(&address.at, what, "take another, or forward single ports by [[forward]]");
    } else if let Some((net, place)) = around.pools.overlap(address.value.into()) {
        let what = format!("lies in {net} of {}", report.reference(place));
        report.error(&address.at, what, "an address with static NAT is its owner's alone: take it out of the pool");
    }
    if let Some(first) = taken.addresses.get(&address.value) {
        let what = format!("is already {}", report.reference(first));
        report.error(&address.at, what, "an address stands for one receiver: take another");
    } else {
        taken.addresses.insert(address.value, address.at.clone());
    }
}

fn protocols(report: &mut Report<'_>, table: &Table<'_>) -> Vec<Protocol> {
    let mut protocols = Vec::new();
    for word in table.choices(report, "protocol").unwrap_or_default() {
        let protocol = if word.value == "udp" { Protocol::Udp } else { Protocol::Tcp };
        if protocols.contains(&protocol) {
            report.error(&word.at, "is named twice", "name a protocol once");
        } else {
            protocols.push(protocol);
        }
    }
    protocols
}

/// The receiver's ports: one for each of `ports`, which are taken where nothing is said.
fn to_ports(
    report: &mut Report<'_>,
    table: &Table<'_>,
    ports: Option<&Spanned<RangeInclusive<u16>>>,
) -> Option<RangeInclusive<u16>> {
    if !table.has("to-port") {
        return ports.map(|ports| ports.value.clone());
    }
    let to_ports = table.ports(report, "to-port")?;
    let ports = ports?;
    if to_ports.value.len() != ports.value.len() {
        let what = format!("makes {}, and \"port\" makes {}", count(&to_ports.value), count(&ports.value));
        let last = u32::from(*to_ports.value.start()) + ports.value.len() as u32 - 1;
        let remedy = match ports.value.len() {
            1 => format!("write to-port = {}", to_ports.value.start()),
            _ if last <= u32::from(u16::MAX) => format!("write to-port = \"{}-{last}\"", to_ports.value.start()),
            _ => "write as many as there".to_owned(),
        };
        report.error(&to_ports.at, what, remedy);
        return None;
    }
    Some(to_ports.value)
}

fn count(ports: &RangeInclusive<u16>) -> String {
    match ports.len() {
        1 => "1 port".to_owned(),
        many => format!("{many} ports"),
    }
}

/// Notes whose the ports are, unless somebody has some of them.
fn claim(
    report: &mut Report<'_>,
    taken: &mut Taken,
    address: IpAddr,
    protocol: Protocol,
    ports: &Spanned<RangeInclusive<u16>>,
) {
    let others = taken.ports.entry((address, protocol)).or_default();
    let (first, last) = (*ports.value.start(), *ports.value.end());
    if let Some(other) = others.iter().find(|other| *other.value.start() <= last && first <= *other.value.end()) {
        let verb = if other.value == ports.value { "is already" } else { "overlaps" };
        let what = format!("{verb} {}, of {address} by {}", report.reference(&other.at), protocol.name());
        report.error(&ports.at, what, "a port goes to one receiver");
        return;
    }
    others.push(ports.clone());
}

/// Takes a range from what may still be forwarded; `None` once that was exceeded, which
/// is reported once.
fn take(
    report: &mut Report<'_>,
    ports: &Spanned<RangeInclusive<u16>>,
    protocols: usize,
    left: Option<usize>,
) -> Option<usize> {
    let rest = left?.checked_sub(ports.value.len() * protocols);
    if rest.is_none() {
        let what = format!("makes more than {} ports in all forwards together", keys::MOST_FORWARDED_PORTS);
        report.error(&ports.at, what, "give the receiver an address of its own by [[static-nat]]");
    }
    rest
}
