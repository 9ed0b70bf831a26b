//! The routes that a configuration asks for.

use std::net::IpAddr;

use causeway_fastpath::ids::VrfId;
use ipnet::IpNet;

use super::{Member, Origin, Route, Via};
use crate::config::{ClusterIdx, Config, Egress, NextHop, Party, PortIdx, RouteKind, overlap};
use crate::domains::Domains;
use crate::shore::{Entry, Shore, shores};

/// Every route that a configuration asks for. Of several of one origin to one
/// destination the last one counts.
pub fn routes(config: &Config, domains: &Domains) -> Vec<Route> {
    let mut routes = Vec::new();
    for domain in domains.all() {
        own(config, domains, domain, &mut routes);
        if domains.is_shared(domain) {
            // Where subnets are known they must not hide what stands for islands.
            let via = if domain == VrfId::MAIN { Via::Pool } else { Via::Egress(VrfId::MAIN) };
            for pool in &config.pools {
                for to in &pool.addresses {
                    let origin = Origin::Pool(pool.name.clone());
                    routes.push(Route { domain, to: *to, via: via.clone(), origin });
                }
            }
            for address in config.taken_over() {
                routes.push(Route { domain, to: address.into(), via: via.clone(), origin: Origin::Forward });
            }
        }
        if domain != VrfId::MAIN {
            for to in [everything(false), everything(true)] {
                routes.push(Route { domain, to, via: Via::Egress(VrfId::MAIN), origin: Origin::Island });
            }
        }
    }
    for route in &config.routes {
        let domain = route.cluster.map_or(VrfId::MAIN, |cluster| domains.of_cluster(cluster));
        let via = match &route.kind {
            RouteKind::Via(next_hops) => {
                let member = |hop: &NextHop| Member { port: hop.port, address: hop.gateway, weight: hop.weight };
                Via::through(next_hops.iter().map(member).collect())
            }
            RouteKind::Blackhole => Via::Blackhole,
            RouteKind::Unreachable => Via::Unreachable,
            RouteKind::Prohibit => Via::Prohibit,
        };
        routes.push(Route { domain, to: route.to, via, origin: Origin::Static });
    }
    pods_of_others(config, domains, &mut routes);
    allowed(config, domains, &mut routes);
    for (at, cluster) in config.clusters.iter().enumerate() {
        let at = ClusterIdx(at);
        let domain = domains.of_cluster(at);
        for to in cluster.pod_cidrs.iter().chain(&cluster.service_cidrs) {
            routes.push(Route { domain, to: *to, via: Via::Unreachable, origin: Origin::Cluster(at) });
        }
        for node in &cluster.nodes {
            for to in &node.pod_cidrs {
                let address = node.addresses.iter().find(|address| address.is_ipv4() == to.addr().is_ipv4());
                if let Some(address) = address {
                    routes.push(node_route(domains, at, &node.name, *to, (node.port, *address)));
                }
            }
        }
    }
    routes
}

/// The route to a pod CIDR of a node, which is reached by a port and an address.
pub fn node_route(domains: &Domains, cluster: ClusterIdx, node: &str, to: IpNet, way: (PortIdx, IpAddr)) -> Route {
    let (domain, via) = (domains.of_cluster(cluster), Via::Neighbor(way.0, way.1));
    Route { domain, to, via, origin: Origin::Node(cluster, node.to_owned()) }
}

/// Pods as they are known in other domains than their own.
fn pods_of_others(config: &Config, domains: &Domains, routes: &mut Vec<Route>) {
    for Shore { pods, cluster, entry } in shores(config) {
        let own = domains.of_cluster(cluster);
        let via = match entry {
            // Without this they would be wherever the default route leads, and a packet
            // for them would go there in circles.
            Entry::Unknown => Via::Unreachable,
            Entry::Kept | Entry::Expected | Entry::Open => Via::Egress(own),
        };
        // From an island that has such addresses itself nobody is led to those of others.
        let is_foreign = |domain: VrfId| {
            let clusters = config.clusters.iter().enumerate();
            let mut there = clusters.filter(|(at, _)| domains.of_cluster(ClusterIdx(*at)) == domain);
            !there.any(|(_, other)| other.pod_cidrs.iter().chain(&other.service_cidrs).any(|net| overlap(*net, pods)))
        };
        for domain in domains.all().filter(|domain| *domain != own) {
            let known = domains.is_open(domain) || (entry == Entry::Open && own != VrfId::MAIN && is_foreign(domain));
            if known {
                routes.push(Route { domain, to: pods, via: via.clone(), origin: Origin::Island });
            }
        }
    }
}

/// Clusters that a policy lets others begin with, as these know them.
fn allowed(config: &Config, domains: &Domains, routes: &mut Vec<Route>) {
    for policy in config.policies.iter().filter(|policy| policy.allow) {
        for from in &policy.from {
            for to in &policy.to {
                let (Party::Cluster(from), Party::Cluster(to)) = (*from, *to) else {
                    continue;
                };
                let (domain, there) = (domains.of_cluster(from), domains.of_cluster(to));
                let pods = config.clusters[to.0].pod_cidrs.iter().copied().filter(|_| config.are_apart(from, to));
                for to in pods.chain(config.subnets_of(to)) {
                    routes.push(Route { domain, to, via: Via::Egress(there), origin: Origin::Island });
                }
            }
        }
    }
}

/// Addresses and subnets of ports: every domain knows the gateway's own addresses,
/// main knows every subnet (nodes are routable), an island those of its own ports.
fn own(config: &Config, domains: &Domains, domain: VrfId, routes: &mut Vec<Route>) {
    let ports = || config.ports.iter().enumerate().map(|(at, port)| (PortIdx(at), port));
    for (at, port) in ports().filter(|(at, _)| domains.is_shared(domain) || domains.of_port(*at) == domain) {
        for subnet in port.addresses.iter().map(IpNet::trunc) {
            routes.push(Route { domain, to: subnet, via: Via::Connected(at), origin: Origin::Connected });
            // RFC 2644: nothing is forwarded to a directed broadcast. But who puts the
            // address into a pool or forwards it, and was warned, has it translated.
            let pools = || config.pools.iter().flat_map(|pool| &pool.addresses);
            for end in ends(subnet).into_iter().flatten() {
                let translated = pools().any(|pool| pool.contains(&end)) || config.is_forwarded(end.addr());
                if !domains.is_shared(domain) || !translated {
                    routes.push(Route { domain, to: end, via: Via::Blackhole, origin: Origin::Own });
                }
            }
        }
    }
    // Behind the ends of all subnets: an own address is stronger.
    for (at, port) in ports() {
        for address in &port.addresses {
            let stands_for_others = stands_for_others(config, domains, at) && is_primary(port, address);
            let via = match stands_for_others || config.is_forwarded(address.addr()) {
                true if domain == VrfId::MAIN => Via::LocalTranslated,
                // What is translated is so in main: who sends to it from an island leaves
                // that first, and gets a name by which the answer comes back. What means
                // this link cannot leave it.
                true if !is_link_local(address.addr()) => Via::Egress(VrfId::MAIN),
                _ => Via::Local,
            };
            routes.push(Route { domain, to: IpNet::from(address.addr()), via, origin: Origin::Own });
        }
    }
}

/// Does anybody leave by the port under its address? Pods of islands by those that no
/// island has; who comes to a flannel network by those of its nodes.
pub(crate) fn stands_for_others(config: &Config, domains: &Domains, port: PortIdx) -> bool {
    let masqueraded = config.clusters.iter().any(|cluster| cluster.egress == Egress::Masquerade);
    (masqueraded && domains.is_open(domains.of_port(port))) || config.hides_strangers(Some(port))
}

/// Network and broadcast address of a subnet. A /31 has none (RFC 3021).
fn ends(subnet: IpNet) -> Option<[IpNet; 2]> {
    match subnet {
        IpNet::V4(net) if net.prefix_len() <= 30 => {
            Some([net.network(), net.broadcast()].map(|end| IpNet::from(IpAddr::from(end))))
        }
        _ => None,
    }
}

/// Is it the address that stands for the port in ICMP errors and in masquerading:
/// the first one of its family, rather one that is known beyond the link?
pub(crate) fn is_primary(port: &crate::config::Port, address: &IpNet) -> bool {
    let family = || port.addresses.iter().filter(|other| other.addr().is_ipv4() == address.addr().is_ipv4());
    let first = family().find(|other| !is_link_local(other.addr())).or_else(|| family().next());
    first == Some(address)
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn everything(v6: bool) -> IpNet {
    if v6 { IpNet::V6(ipnet::Ipv6Net::default()) } else { IpNet::V4(ipnet::Ipv4Net::default()) }
}
