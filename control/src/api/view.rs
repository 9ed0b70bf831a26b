//! What the API shows of things: plain fields, stable names.

use std::net::IpAddr;

use causeway_fastpath::command::SessionRow;
use causeway_fastpath::time::Instant;
use serde::{Deserialize, Serialize};

use super::filter::protocol_name;
use crate::config::{ClusterIdx, Config};
use crate::control::{Control, TableRow};
use crate::neighbors::State;
use crate::rib::{Member, Via};

/// A port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PortView {
    /// Name in the configuration.
    pub name: String,
    /// Device, file or peer it stands on.
    pub device: String,
    /// The driver in use.
    pub driver: String,
    /// How the driver works with this device.
    pub mode: String,
    /// Routing domain of what arrives.
    pub domain: String,
    /// Ethernet address.
    pub mac: String,
    /// Largest IP packet, in bytes.
    pub mtu: u16,
    /// Own addresses.
    pub addresses: Vec<String>,
    /// Is the device up?
    pub up: bool,
    /// Is there none, though there was when the gateway started?
    pub gone: bool,
    /// Frames received; a super-frame counts once.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Frames lost before they were seen.
    pub rx_missed: u64,
    /// Frames that arrived damaged.
    pub rx_errors: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Frames taken and not sent.
    pub tx_errors: u64,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RouteView {
    /// Routing domain.
    pub domain: String,
    /// Where to.
    pub to: String,
    /// What it does: "via", "connected", "local", "pool", "leave", "blackhole",
    /// "unreachable" or "prohibit".
    pub kind: String,
    /// Through whom, if it is one.
    pub via: Option<IpAddr>,
    /// Out of which port, if it is one.
    pub port: Option<String>,
    /// The routers that share it, if there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next_hops: Vec<NextHopView>,
    /// Who says so: "own", "forward", "connected", "static", "cluster", "node", "pool"
    /// or "island".
    pub origin: String,
    /// Whose it is: the node, cluster or pool.
    pub owner: Option<String>,
}

/// A router of several that share a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NextHopView {
    /// Its address.
    pub via: IpAddr,
    /// Out of which port.
    pub port: String,
    /// Its share is its weight by the sum of all weights.
    pub weight: u16,
}

/// A forwarding table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TableView {
    /// Routing domain.
    pub domain: String,
    /// "ipv4" or "ipv6".
    pub family: String,
    /// How many routes it holds.
    pub routes: usize,
    /// How many of them by prefix length, ascending.
    pub lengths: Vec<LengthView>,
    /// What the compiled table occupies.
    pub bytes: usize,
    /// How long making it took, in milliseconds.
    pub build_ms: f64,
    /// "full" if it was made for the first time, else "change".
    pub build: String,
    /// Destinations whose route had changed since the table before.
    pub changes: usize,
}

/// Routes of one prefix length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LengthView {
    /// The prefix length.
    pub length: u8,
    /// How many routes have it.
    pub routes: usize,
}

/// A neighbour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NeighborView {
    /// The port it is on.
    pub port: String,
    /// Its address.
    pub address: IpAddr,
    /// Its MAC address, where it was ever known.
    pub mac: Option<String>,
    /// "static", "reachable", "probing", "incomplete" or "dead".
    pub state: String,
    /// Does a route lead to it?
    pub router: bool,
    /// Seconds since it has been in this state.
    pub since_s: u64,
}

/// A forward, or an address with static NAT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ForwardView {
    /// "forward" or "static-nat".
    pub kind: String,
    /// Routing domain of the receiver.
    pub domain: String,
    /// "tcp", "udp", or "any".
    pub protocol: String,
    /// The public address.
    pub address: IpAddr,
    /// The first and the last public port; `None` is every one.
    pub ports: Option<[u16; 2]>,
    /// The receiver.
    pub to: IpAddr,
    /// Its port for the first and the last public one; `None`: each has its own.
    pub to_ports: Option<[u16; 2]>,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SessionView {
    /// Routing domain of who is inside.
    pub domain: String,
    /// "tcp", "udp", "icmp", "icmpv6" or a number.
    pub protocol: String,
    /// Who is inside.
    pub inside: IpAddr,
    /// Its port or echo identifier.
    pub inside_port: u16,
    /// Who is inside, as the outside sees it.
    pub outside: IpAddr,
    /// Its port or echo identifier there.
    pub outside_port: u16,
    /// The peer.
    pub peer: IpAddr,
    /// Its port; 0 for echoes.
    pub peer_port: u16,
    /// Was it begun by the peer, who reached who is inside by a forward or an open name?
    #[serde(default)]
    pub forwarded: bool,
    /// Where a TCP conversation stands.
    pub state: String,
    /// Packets from inside.
    pub packets_out: u32,
    /// Packets from outside.
    pub packets_in: u32,
    /// Milliseconds since it began.
    pub age_ms: u32,
    /// Milliseconds since the last packet.
    pub idle_ms: u32,
    /// Milliseconds until it ends, if it stays silent.
    pub expires_ms: u32,
}

/// A counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CounterView {
    /// "rx", "end", "punt", "drop", "nat" or "sessions".
    pub group: String,
    /// Its name.
    pub name: String,
    /// Packets, or sessions.
    pub value: u64,
}

impl RouteView {
    /// Every route of a gateway: by domain, then by destination, shortest first
    /// where one contains the other.
    pub fn all(control: &Control) -> Vec<RouteView> {
        control.routes().map(|route| RouteView::of(control, &route)).collect()
    }

    fn of(control: &Control, route: &crate::rib::Route) -> RouteView {
        let port_name = |port: crate::config::PortIdx| control.config().ports[port.0].name.clone();
        let mut next_hops = Vec::new();
        let (kind, via, port) = match &route.via {
            Via::Local | Via::LocalTranslated => ("local", None, None),
            Via::Pool => ("pool", None, None),
            Via::Connected(port) => ("connected", None, Some(port_name(*port))),
            Via::Neighbor(port, address) => ("via", Some(*address), Some(port_name(*port))),
            Via::Neighbors(members) => {
                let view = |member: &Member| NextHopView {
                    via: member.address,
                    port: port_name(member.port),
                    weight: member.weight,
                };
                next_hops.extend(members.iter().map(view));
                ("via", None, None)
            }
            Via::Egress(_) => ("leave", None, None),
            Via::Blackhole => ("blackhole", None, None),
            Via::Unreachable => ("unreachable", None, None),
            Via::Prohibit => ("prohibit", None, None),
        };
        RouteView {
            domain: control.domain_name(route.domain).to_owned(),
            to: route.to.to_string(),
            kind: kind.to_owned(),
            via,
            port,
            next_hops,
            origin: route.origin.word().to_owned(),
            owner: route.origin.owner(control.config()),
        }
    }
}

impl TableView {
    /// Every forwarding table of a gateway: main first, IPv4 before IPv6.
    pub fn all(control: &Control) -> Vec<TableView> {
        let view = |row: TableRow| TableView {
            domain: control.domain_name(row.domain).to_owned(),
            family: if row.v6 { "ipv6" } else { "ipv4" }.to_owned(),
            routes: row.lengths.values().sum(),
            lengths: row.lengths.into_iter().map(|(length, routes)| LengthView { length, routes }).collect(),
            bytes: row.build.bytes,
            build_ms: row.build.took.as_secs_f64() * 1000.0,
            build: if row.build.changes.is_some() { "change" } else { "full" }.to_owned(),
            changes: row.build.changes.unwrap_or(0),
        };
        control.tables().map(view).collect()
    }
}

impl NeighborView {
    /// Every neighbour of a gateway, by port and address.
    pub fn all(control: &Control, now: Instant) -> Vec<NeighborView> {
        let view = |row: crate::neighbors::Row| NeighborView {
            port: control.config().ports[row.port.0].name.clone(),
            address: row.address,
            mac: row.mac.map(mac_text),
            state: neighbor_state(row.state).to_owned(),
            router: row.router,
            since_s: now.nanos_since(row.since) / 1_000_000_000,
        };
        control.neighbors().map(view).collect()
    }
}

impl ForwardView {
    /// Every forward of a configuration, a row a protocol, and every static NAT.
    pub fn all(config: &Config) -> Vec<ForwardView> {
        let name = |cluster: ClusterIdx| config.clusters[cluster.0].name.clone();
        let mut rows = Vec::new();
        for forward in &config.forwards {
            let ports = [*forward.ports.start(), *forward.ports.end()];
            rows.extend(forward.protocols.iter().map(|protocol| ForwardView {
                kind: "forward".to_owned(),
                domain: name(forward.cluster),
                protocol: protocol.name().to_owned(),
                address: forward.address,
                ports: Some(ports),
                to: forward.to,
                to_ports: Some([forward.to_port, forward.to_port + (ports[1] - ports[0])]),
            }));
        }
        rows.extend(config.static_nat.iter().map(|nat| ForwardView {
            kind: "static-nat".to_owned(),
            domain: name(nat.cluster),
            protocol: "any".to_owned(),
            address: nat.address,
            ports: None,
            to: nat.to,
            to_ports: None,
        }));
        rows
    }
}

impl SessionView {
    /// A session, as a worker listed it.
    pub fn of(control: &Control, row: &SessionRow) -> SessionView {
        SessionView {
            domain: control.domain_name(row.vrf).to_owned(),
            protocol: protocol_name(row.protocol),
            inside: row.inside.0,
            inside_port: row.inside.1,
            outside: row.outside.0,
            outside_port: row.outside.1,
            peer: row.peer.0,
            peer_port: row.peer.1,
            forwarded: row.forwarded,
            state: row.state.to_owned(),
            packets_out: row.packets_out,
            packets_in: row.packets_in,
            age_ms: row.age_ms,
            idle_ms: row.idle_ms,
            expires_ms: row.expires_ms,
        }
    }
}

pub(super) fn neighbor_state(state: State) -> &'static str {
    match state {
        State::Static => "static",
        State::Reachable => "reachable",
        State::Probing => "probing",
        State::Incomplete => "incomplete",
        State::Dead => "dead",
    }
}

/// "02:00:00:00:00:01".
pub fn mac_text(mac: [u8; 6]) -> String {
    let [a, b, c, d, e, f] = mac;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}
