//! A configuration as a list of things with names, each with keys and values, for people.
//!
//! Every structure is taken apart by all of its fields, so that one that gets another field
//! does not compile until that is told of, too.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

use causeway_fastpath::nat::{Behavior, Filtering, Mapping};

use crate::config::{
    Cluster, ClusterIdx, Config, Driver, Egress, EgressRule, Forward, Gateway, Idle, Liveness, Model, Neighbor,
    NextHop, Node, Party, Policy, Pool, Port, PortIdx, Probe, Route, RouteKind, Senders, StaticNat, Timers,
};
use crate::flannel::Variant;

/// What a thing is, as its section of the file is called, and its name.
pub(super) type Name = (&'static str, String);

/// A value of a thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) text: String,
    /// Is it only looked at on start?
    pub(super) fixed: bool,
}

/// The values of a thing, by key.
pub(super) type Values = BTreeMap<&'static str, Value>;

/// Everything that stands in a configuration.
pub(super) fn items(config: &Config) -> BTreeMap<Name, Values> {
    let Config { gateway, ports, routes, pools, clusters, forwards, static_nat, policies, neighbors, timers } = config;
    let mut items = BTreeMap::new();
    let mut add = |kind: &'static str, name: String, values: Item| {
        let mut at = (kind, name);
        // Two that read alike, as two equal policies: the second is another.
        while items.contains_key(&at) {
            at.1.push('\'');
        }
        items.insert(at, values.0);
    };
    add("gateway", String::new(), of_gateway(gateway));
    add("timers", String::new(), of_timers(timers));
    ports.iter().for_each(|port| add("port", port.name.clone(), of_port(port)));
    for route in routes {
        let domain = route.cluster.map(|cluster| format!("{} ", clusters[cluster.0].name)).unwrap_or_default();
        add("route", format!("{domain}{}", route.to), of_route(config, route));
    }
    pools.iter().for_each(|pool| add("pool", pool.name.clone(), of_pool(pool)));
    for cluster in clusters {
        add("cluster", cluster.name.clone(), of_cluster(config, cluster));
        for node in &cluster.nodes {
            add("node", format!("{}/{}", cluster.name, node.name), of_node(config, node));
        }
    }
    for forward in forwards {
        let protocols = listed(forward.protocols.iter().map(|protocol| protocol.name()));
        let name = format!("{protocols} {} port {}", forward.address, range(&forward.ports));
        add("forward", name, of_forward(config, forward));
    }
    static_nat.iter().for_each(|nat| add("static-nat", nat.address.to_string(), of_static_nat(config, nat)));
    for (at, policy) in policies.iter().enumerate() {
        let Policy { from, to, allow } = policy;
        let parties = |parties: &[Party]| listed(parties.iter().map(|party| of_party(config, party)));
        let verb = if *allow { "allow" } else { "deny" };
        let name = format!("{verb} {} to {}", parties(from), parties(to));
        add("policy", name, Item::default().with("place", at + 1));
    }
    for neighbor in neighbors {
        let Neighbor { port, address, mac } = neighbor;
        let name = format!("{address} on {}", of_port_idx(config, *port));
        add("neighbor", name, Item::default().with("mac", crate::api::mac_text(*mac)));
    }
    items
}

#[derive(Default)]
struct Item(Values);

impl Item {
    fn with(mut self, key: &'static str, value: impl Display) -> Item {
        self.0.insert(key, Value { text: value.to_string(), fixed: false });
        self
    }

    /// One that is only looked at on start.
    fn with_fixed(mut self, key: &'static str, value: impl Display) -> Item {
        self.0.insert(key, Value { text: value.to_string(), fixed: true });
        self
    }

    /// How names are given out.
    fn with_behavior(self, tcp: &Behavior, udp: &Behavior) -> Item {
        self.with("tcp-mapping", mapping(tcp))
            .with("tcp-filtering", filtering(tcp))
            .with("udp-mapping", mapping(udp))
            .with("udp-filtering", filtering(udp))
    }
}

fn of_gateway(gateway: &Gateway) -> Item {
    let Gateway {
        name,
        cores,
        api,
        state,
        idle,
        watch,
        max_sessions,
        icmp_errors_per_second,
        icmp_errors_per_destination,
        seed,
    } = gateway;
    let idle = match idle {
        Idle::SpinThenPoll => "spin-then-poll",
        Idle::Busy => "busy",
        Idle::Poll => "poll",
    };
    Item::default()
        .with("name", name)
        .with_fixed("cores", listed(cores))
        .with_fixed("api", api.display())
        .with_fixed("state", state.as_ref().map_or("none".to_owned(), |path| path.display().to_string()))
        .with_fixed("idle", idle)
        .with("watch", watch)
        .with_fixed("max-sessions", max_sessions)
        .with("icmp-errors-per-second", icmp_errors_per_second)
        .with("icmp-errors-per-destination", icmp_errors_per_destination)
        .with_fixed("seed", or_none(*seed))
}

fn of_timers(timers: &Timers) -> Item {
    let Timers { tcp_established_s, tcp_transitory_s, udp_s, icmp_s, udp_ports } = timers;
    let udp_ports = udp_ports.iter().map(|timer| format!("{}: {}", range(&timer.ports), timer.udp_s));
    Item::default()
        .with("tcp-established-s", tcp_established_s)
        .with("tcp-transitory-s", tcp_transitory_s)
        .with("udp-s", udp_s)
        .with("icmp-s", icmp_s)
        .with("udp-port", listed(udp_ports))
}

fn of_port(port: &Port) -> Item {
    let Port { name: _, device, driver, addresses, mtu, mac, ring, memif_id, tcp, udp } = port;
    let driver = match driver {
        Driver::Auto => "auto",
        Driver::AfPacket => "af-packet",
        Driver::AfXdp => "af-xdp",
        Driver::Tap => "tap",
        Driver::Memif => "memif",
        Driver::Pcap => "pcap",
        Driver::Memory => "memory",
    };
    Item::default()
        .with_fixed("device", device)
        .with_fixed("driver", driver)
        .with("addresses", listed(addresses))
        .with_fixed("mtu", or_none(*mtu))
        .with_fixed("mac", or_none(mac.map(crate::api::mac_text)))
        .with_fixed("ring", ring)
        .with_fixed("memif-id", memif_id)
        .with_behavior(tcp, udp)
}

fn of_route(config: &Config, route: &Route) -> Item {
    let Route { to: _, kind, cluster: _ } = route;
    let via = match kind {
        RouteKind::Via(next_hops) => {
            let next_hop = |hop: &NextHop| {
                let NextHop { gateway, port, weight } = hop;
                let weight = if *weight == 1 { String::new() } else { format!(" weight {weight}") };
                format!("{gateway} on {}{weight}", of_port_idx(config, *port))
            };
            return Item::default().with("via", listed(next_hops.iter().map(next_hop)));
        }
        RouteKind::Blackhole => "blackhole",
        RouteKind::Unreachable => "unreachable",
        RouteKind::Prohibit => "prohibit",
    };
    Item::default().with("type", via)
}

fn of_pool(pool: &Pool) -> Item {
    let Pool { name: _, addresses, ports, keep_ports, tcp, udp, other_protocols } = pool;
    Item::default()
        .with("addresses", listed(addresses))
        .with("ports", range(ports))
        .with("keep-ports", keep_ports)
        .with_behavior(tcp, udp)
        .with("other-protocols", other_protocols)
}

fn mapping(behavior: &Behavior) -> &'static str {
    match behavior.mapping {
        Mapping::EndpointIndependent => "endpoint-independent",
        Mapping::AddressDependent => "address-dependent",
        Mapping::AddressAndPortDependent => "address-and-port-dependent",
    }
}

fn filtering(behavior: &Behavior) -> &'static str {
    match behavior.filtering {
        Filtering::EndpointIndependent => "endpoint-independent",
        Filtering::AddressDependent => "address-dependent",
        Filtering::AddressAndPortDependent => "address-and-port-dependent",
    }
}

fn of_cluster(config: &Config, cluster: &Cluster) -> Item {
    let Cluster {
        name: _,
        model,
        pod_cidrs,
        node_mask_size,
        service_cidrs,
        egress,
        non_masquerade_cidrs,
        flannel_ip_masq,
        sessions_per_pod,
        new_sessions_per_pod_per_second,
        tcp_pick_up,
        ports,
        nodes: _,
        nodes_from,
        patches_network_unavailable,
        egress_rules,
        pods_from,
        liveness,
    } = cluster;
    let model = match model {
        Model::Isolated => "isolated",
        Model::Flat => "flat",
        Model::Island => "island",
    };
    let egress = match egress {
        Egress::None => "none".to_owned(),
        Egress::Pool(pool) => format!("pool {}", config.pools[pool.0].name),
        Egress::Masquerade => "masquerade".to_owned(),
    };
    let variant = |variant: &Variant| match variant {
        Variant::Iptables => "iptables",
        Variant::Nft => "nft",
    };
    Item::default()
        .with("model", model)
        .with("pod-cidrs", listed(pod_cidrs))
        .with("node-mask-size", format!("/{} /{}", node_mask_size.ipv4, node_mask_size.ipv6))
        .with("service-cidrs", listed(service_cidrs))
        .with("egress", egress)
        .with("non-masquerade-cidrs", listed(non_masquerade_cidrs))
        .with("flannel-ip-masq", or_none(flannel_ip_masq.as_ref().map(variant)))
        .with("sessions-per-pod", or_none(*sessions_per_pod))
        .with("new-sessions-per-pod-per-second", or_none(*new_sessions_per_pod_per_second))
        .with("tcp-pick-up", tcp_pick_up)
        .with("ports", listed(ports.iter().map(|port| of_port_idx(config, *port))))
        .with("nodes-from", or_none(nodes_from.as_ref()))
        .with("patch-network-unavailable", patches_network_unavailable)
        .with(
            "egress-rule",
            egress_rules.iter().map(|rule| of_egress_rule(config, rule)).collect::<Vec<_>>().join("; "),
        )
        .with("pods-from", or_none(pods_from.as_ref()))
        .with("liveness", or_none(liveness.as_ref().map(of_liveness)))
}

fn of_egress_rule(config: &Config, rule: &EgressRule) -> String {
    let EgressRule { senders, to, pool } = rule;
    let senders = match senders {
        Senders::Prefixes(from) => listed(from),
        Senders::Pods(selector) => selector.to_string(),
    };
    let to = if to.is_empty() { String::new() } else { format!(" to {}", listed(to)) };
    format!("{senders}{to} by pool {}", config.pools[pool.0].name)
}

fn of_liveness(liveness: &Liveness) -> String {
    let Liveness { probe, interval_s, failures, successes, withdraw } = liveness;
    let probe = match probe {
        Probe::Neighbor => "neighbor",
        Probe::Icmp => "icmp",
    };
    let follows = if *withdraw { ", withdraws" } else { "" };
    format!("{probe} every {interval_s}s, dead after {failures}, alive after {successes}{follows}")
}

fn of_node(config: &Config, node: &Node) -> Item {
    let Node { name: _, addresses, pod_cidrs, allocated, port } = node;
    Item::default()
        .with("addresses", listed(addresses))
        .with("pod-cidrs", listed(pod_cidrs))
        .with("allocated", allocated)
        .with("port", of_port_idx(config, *port))
}

fn of_forward(config: &Config, forward: &Forward) -> Item {
    let Forward { cluster, address: _, protocols: _, ports: _, to, to_port } = forward;
    Item::default().with("cluster", of_cluster_idx(config, *cluster)).with("to", to).with("to-port", to_port)
}

fn of_static_nat(config: &Config, nat: &StaticNat) -> Item {
    let StaticNat { cluster, address: _, to } = nat;
    Item::default().with("cluster", of_cluster_idx(config, *cluster)).with("to", to)
}

fn of_party(config: &Config, party: &Party) -> String {
    match party {
        Party::Cluster(cluster) => of_cluster_idx(config, *cluster).to_owned(),
        Party::Prefix(net) => net.to_string(),
    }
}

fn of_port_idx(config: &Config, port: PortIdx) -> &str {
    &config.ports[port.0].name
}

fn of_cluster_idx(config: &Config, cluster: ClusterIdx) -> &str {
    &config.clusters[cluster.0].name
}

fn or_none(value: Option<impl Display>) -> String {
    value.map_or("none".to_owned(), |value| value.to_string())
}

fn range(ports: &RangeInclusive<u16>) -> String {
    match ports.start() == ports.end() {
        true => ports.start().to_string(),
        false => format!("{}-{}", ports.start(), ports.end()),
    }
}

fn listed(values: impl IntoIterator<Item = impl Display>) -> String {
    let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    if values.is_empty() { "none".to_owned() } else { values.join(", ") }
}
