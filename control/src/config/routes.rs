//! `[[route]]`: static routes.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::clusters::Clusters;
use super::keys;
use super::model::{ClusterIdx, NextHop, PortIdx, Route, RouteKind};
use super::pools::Pools;
use super::ports::Ports;
use super::report::{At, Report, Spanned};
use super::table::{Element, Table, normalise};
use super::value;

pub(super) fn routes(
    report: &mut Report<'_>,
    file: &Table<'_>,
    ports: &Ports,
    pools: &Pools,
    clusters: &Clusters,
) -> Vec<Route> {
    let mut routes = Vec::new();
    let mut seen = HashMap::new();
    for table in file.tables(report, "route", &keys::ROUTE) {
        let mut to = table.parsed(report, "to", value::prefix);
        if let Some(net) = &mut to {
            normalise(report, net);
        }
        let cluster = cluster(report, &table, clusters);
        let around = Surroundings { to: to.as_ref(), cluster: cluster.flatten(), ports, pools, clusters };
        let kind = kind(report, &table, &around);
        if let (Some(to), Some(cluster)) = (&to, cluster) {
            check_new(report, to, cluster, &mut seen, ports);
        }
        routes.push(Route {
            to: to.map_or(IpNet::V4(Ipv4Net::default()), |net| net.value),
            kind: kind.unwrap_or(RouteKind::Blackhole),
            cluster: cluster.flatten(),
        });
    }
    routes
}

/// `None` if the cluster is not known.
fn cluster(report: &mut Report<'_>, table: &Table<'_>, clusters: &Clusters) -> Option<Option<ClusterIdx>> {
    if !table.has("cluster") {
        return Some(None);
    }
    let name = table.text(report, "cluster")?;
    clusters.find(report, &name).map(Some)
}

/// What the next hops of a route are held against.
struct Surroundings<'a> {
    to: Option<&'a Spanned<IpNet>>,
    /// In whose table the route stands.
    cluster: Option<ClusterIdx>,
    ports: &'a Ports,
    pools: &'a Pools,
    clusters: &'a Clusters,
}

fn kind(report: &mut Report<'_>, table: &Table<'_>, around: &Surroundings<'_>) -> Option<RouteKind> {
    let word = table.choice(report, "type");
    let elements = table.one_or_more(report, "via", &keys::NEXT_HOP);
    match (table.has("via"), table.has("type")) {
        (true, true) => {
            let at = table.place(report, "type");
            report.error(&at, "stands beside \"via\"", "a route goes somewhere or nowhere: keep one");
            return None;
        }
        (false, false) => {
            let remedy = "write via = \"203.0.113.1\", or type = \"blackhole\"";
            let at = table.place(report, "via");
            report.error(&at, "is missing", remedy);
            return None;
        }
        _ => {}
    }
    if let Some(word) = word {
        return Some(match word.value {
            "unreachable" => RouteKind::Unreachable,
            "prohibit" => RouteKind::Prohibit,
            _ => RouteKind::Blackhole,
        });
    }
    let elements = elements?;
    if elements.is_empty() {
        let at = table.place(report, "via");
        report.error(&at, "names no router", "name at least one, or write type = \"blackhole\"");
        return None;
    }
    next_hops(report, elements, around).map(RouteKind::Via)
}

/// The routers of a route, if all of them are sound.
fn next_hops(report: &mut Report<'_>, elements: Vec<Element<'_>>, around: &Surroundings<'_>) -> Option<Vec<NextHop>> {
    let count = elements.len();
    let mut sound: Vec<Spanned<NextHop>> = Vec::with_capacity(count);
    for element in elements {
        let (gateway, weight) = match element {
            Element::Text(text) => (report.accept(text.at, value::address(text.value)), Some(1)),
            Element::Table(table) => {
                let weight = table.number(report, "weight").map(|weight| weight.value);
                (table.parsed(report, "gateway", value::address), weight)
            }
        };
        let (Some(gateway), Some(weight)) = (gateway, weight) else {
            continue;
        };
        let weight = u16::try_from(weight).expect("the table of keys keeps it within 16 bits");
        if let Some(next_hop) = next_hop(report, gateway, weight, around)
            && joins(report, &sound, &next_hop, around)
        {
            sound.push(next_hop);
        }
    }
    let mut next_hops: Vec<_> = sound.into_iter().map(|next_hop| next_hop.value).collect();
    if let [alone] = next_hops.as_mut_slice() {
        // It gets everything, whatever its weight.
        alone.weight = 1;
    }
    (next_hops.len() == count).then_some(next_hops)
}

/// Whether a next hop fits those of its route before it; if not, that is reported.
fn joins(
    report: &mut Report<'_>,
    others: &[Spanned<NextHop>],
    one: &Spanned<NextHop>,
    around: &Surroundings<'_>,
) -> bool {
    if let Some(twin) = others.iter().find(|other| other.value.gateway == one.value.gateway) {
        let what = format!("is already {}", report.reference(&twin.at));
        report.error(&one.at, what, "name a router once, with a larger weight if it is to get more");
        return false;
    }
    let domain = |next_hop: &NextHop| around.clusters.on_port(next_hop.port);
    if let Some(other) = others.first().filter(|other| domain(&other.value) != domain(&one.value)) {
        let place = |next_hop: &NextHop| match domain(next_hop) {
            Some(cluster) => format!("in cluster \"{}\"", around.clusters.list[cluster.0].name),
            None => "outside".to_owned(),
        };
        let reference = report.reference(&other.at);
        let what = format!("is {}, and {reference} is {}", place(&one.value), place(&other.value));
        report.error(&one.at, what, "routers that share a route are in one routing domain");
        return false;
    }
    true
}

fn next_hop(
    report: &mut Report<'_>,
    gateway: Spanned<IpAddr>,
    weight: u16,
    around: &Surroundings<'_>,
) -> Option<Spanned<NextHop>> {
    if let Some(to) = around.to
        && to.value.addr().is_ipv4() != gateway.value.is_ipv4()
    {
        let (family, wanted) = match to.value {
            IpNet::V4(_) => ("IPv6", "IPv4"),
            IpNet::V6(_) => ("IPv4", "IPv6"),
        };
        let what = format!("is {family} and the route is {wanted}");
        report.error(&gateway.at, what, format!("write an {wanted} address"));
        return None;
    }
    around.pools.check_foreign(report, &gateway);
    let port = around.ports.reach(report, &gateway)?;
    let next_hop = NextHop { gateway: gateway.value, port, weight };
    is_inside(report, &gateway.at, port, around).then_some(Spanned { value: next_hop, at: gateway.at })
}

/// Whether a router of an island's route is on this side of its shore: what went
/// beyond would leave under its private name. If not, that is reported.
fn is_inside(report: &mut Report<'_>, at: &At, port: PortIdx, around: &Surroundings<'_>) -> bool {
    let Some(cluster) = around.cluster.map(|cluster| &around.clusters.list[cluster.0]) else {
        return true;
    };
    // A cluster without ports was complained about.
    if cluster.ports.is_empty() || cluster.ports.contains(&port) {
        return true;
    }
    let what =
        format!("is on port \"{}\", which is not one of cluster \"{}\"", around.ports.get(port).name, cluster.name);
    report.error(at, what, "name a router on a port of the cluster, or leave \"cluster\" out");
    false
}

/// Reports a route that another one, or a port, already is.
fn check_new(
    report: &mut Report<'_>,
    to: &Spanned<IpNet>,
    cluster: Option<ClusterIdx>,
    seen: &mut HashMap<(Option<ClusterIdx>, IpNet), At>,
    ports: &Ports,
) {
    if let Some((port, subnet)) = ports.subnets().find(|&(_, net)| net == to.value) {
        let what = format!("{subnet} is the subnet of port \"{}\"", ports.get(port).name);
        report.error(&to.at, what, "it is reached there: leave the route out");
        return;
    }
    if let Some(first) = seen.get(&(cluster, to.value)) {
        let what = format!("is already the destination of {}", report.reference(first));
        report.error(&to.at, what, "keep one of the two");
        return;
    }
    seen.insert((cluster, to.value), to.at.clone());
}
