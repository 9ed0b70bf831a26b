//! `[[route]]`: static routes.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::clusters::Clusters;
use super::keys;
use super::model::{Cluster, ClusterIdx, PortIdx, Route, RouteKind};
use super::pools::Pools;
use super::ports::Ports;
use super::report::{At, Report, Spanned};
use super::table::{Table, normalise};
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
        let kind = kind(report, &table, to.as_ref(), ports, pools);
        if let (Some(Some(cluster)), Some(RouteKind::Via { port, .. })) = (cluster, &kind) {
            check_inside(report, &table, &clusters.list[cluster.0], *port, ports);
        }
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

fn kind(
    report: &mut Report<'_>,
    table: &Table<'_>,
    to: Option<&Spanned<IpNet>>,
    ports: &Ports,
    pools: &Pools,
) -> Option<RouteKind> {
    let word = table.choice(report, "type");
    let gateway = table.parsed(report, "via", value::address);
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
    let gateway = gateway?;
    let port = next_hop(report, &gateway, to, ports, pools)?;
    Some(RouteKind::Via { gateway: gateway.value, port })
}

fn next_hop(
    report: &mut Report<'_>,
    gateway: &Spanned<IpAddr>,
    to: Option<&Spanned<IpNet>>,
    ports: &Ports,
    pools: &Pools,
) -> Option<PortIdx> {
    if let Some(to) = to
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
    pools.check_foreign(report, gateway);
    ports.reach(report, gateway)
}

/// Reports a route of an island through a router beyond its shore: what takes it
/// would leave under its private name.
fn check_inside(report: &mut Report<'_>, table: &Table<'_>, cluster: &Cluster, port: PortIdx, ports: &Ports) {
    // A cluster without ports was complained about.
    if cluster.ports.is_empty() || cluster.ports.contains(&port) {
        return;
    }
    let what = format!("is on port \"{}\", which is not one of cluster \"{}\"", ports.get(port).name, cluster.name);
    let remedy = "name a router on a port of the cluster, or leave \"cluster\" out";
    let at = table.place(report, "via");
    report.error(&at, what, remedy);
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
