//! Desired state in, a [`Snapshot`] out: pure, and the same for the same input.
//!
//! Pools and policy are compiled once a configuration. Routes and neighbours change
//! while the gateway runs: each change is noted, and the next snapshot makes anew
//! what it concerns and shares the rest with the one before.

mod egress;
mod forwards;
mod groups;
mod numbers;
mod policies;
mod policy;
mod pools;
mod tables;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use causeway_fastpath::address::Address;
use causeway_fastpath::ecmp::{self, packet_hash};
use causeway_fastpath::fib::{Hop, NextHop, Prefix};
use causeway_fastpath::ids::{AdjacencyId, Epoch, PortId, VrfId};
use causeway_fastpath::nat::Selections;
use causeway_fastpath::parse::{self, IpHeader};
use causeway_fastpath::snapshot::{Adjacency, NeighborState, PortEntry, Snapshot, Timeouts};
use causeway_fastpath::wire::{ethernet, get16};
use hashbrown::HashMap;
use ipnet::IpNet;

use crate::config::{Config, PortIdx};
use crate::domains::Domains;
use crate::liveness;
use crate::rib::{self, Change, Member, Rib, Via};
use groups::Groups;
use numbers::Numbers;
use tables::Family;

pub use pools::PoolIds;
pub use tables::Build;

/// What the engine found out about a port when it opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortFacts {
    /// Ethernet address.
    pub mac: [u8; 6],
    /// Largest IP packet, in bytes.
    pub mtu: u16,
}

impl PortFacts {
    /// The port's IPv6 link-local address: fe80::/64 with the modified EUI-64 of
    /// its MAC address (RFC 4291, appendix A).
    pub fn link_local(&self) -> u128 {
        let [a, b, c, d, e, f] = self.mac;
        let id = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
        0xfe80 << 112 | u128::from(id)
    }
}

/// A neighbour's place on the wire, as the neighbour table knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighborFact {
    /// Whether the MAC address is known.
    pub state: NeighborState,
    /// The MAC address; zeros while it is not known.
    pub mac: [u8; 6],
}

/// The neighbours by port and address. Ordered, so that numbers are the same each time.
pub type NeighborFacts = BTreeMap<(PortIdx, IpAddr), NeighborFact>;

/// A configuration, routes and neighbours, compiled as far as they have not changed. A clone
/// shares every table with it.
#[derive(Clone)]
pub struct Compiler {
    facts: Vec<PortFacts>,
    ports: Arc<[PortEntry]>,
    port_names: Vec<String>,
    timeouts: Timeouts,
    icmp_errors_per_second: u32,
    icmp_errors_per_destination: u32,
    flow_seed: u64,
    probes: Option<u16>,
    rib: Rib,
    /// Routers and nodes that routes lead to; their numbers are those of adjacencies.
    routers: Numbers<(PortIdx, IpAddr)>,
    /// Who became a router or ceased to be one.
    moved: Vec<(PortIdx, IpAddr)>,
    groups: Groups,
    known: NeighborFacts,
    adjacencies: Arc<[Adjacency]>,
    /// Are adjacencies to be made anew?
    neighbors_changed: bool,
    changed: bool,
    v4: Family<u32>,
    v6: Family<u128>,
}

impl Compiler {
    /// Takes pools and policy over, and no route yet. `flow_seed` is the secret by
    /// which flows are spread over the routers of a route.
    ///
    /// # Panics
    /// `facts` are not those of the configuration's ports, one each.
    pub fn new(config: &Config, domains: &Domains, pools: &PoolIds, facts: Vec<PortFacts>, flow_seed: u64) -> Compiler {
        let mut compiler = Compiler {
            ports: Arc::from([]),
            port_names: config.ports.iter().map(|port| port.name.clone()).collect(),
            timeouts: Timeouts::default(),
            icmp_errors_per_second: 0,
            icmp_errors_per_destination: 0,
            flow_seed,
            probes: None,
            rib: Rib::default(),
            routers: Numbers::new(),
            moved: Vec::new(),
            groups: Groups::new(),
            known: NeighborFacts::new(),
            adjacencies: Arc::from([]),
            neighbors_changed: true,
            changed: true,
            v4: Family::new(),
            v6: Family::new(),
            facts,
        };
        compiler.set_policy(config, domains, pools);
        compiler
    }

    /// Pools, policy and whatever else is not a route are those of this configuration from
    /// now on. Its ports are those from before, whose addresses may be others.
    ///
    /// # Panics
    /// It has more or fewer ports.
    pub fn set_policy(&mut self, config: &Config, domains: &Domains, pools: &PoolIds) {
        assert_eq!(self.facts.len(), config.ports.len(), "every port has its facts");
        let port_entry = |at: usize| {
            let (port, facts) = (&config.ports[at], &self.facts[at]);
            PortEntry {
                vrf: domains.of_port(PortIdx(at)),
                mac: facts.mac,
                v4: policy::primary(port),
                v6: policy::primary(port),
                link_local: facts.link_local(),
                masquerade: pools.of_port(config, domains, PortIdx(at)),
            }
        };
        let ports: Vec<_> = (0..config.ports.len()).map(port_entry).collect();
        let timeouts = Timeouts {
            tcp_established_ms: config.timers.tcp_established_s.saturating_mul(1000),
            tcp_transitory_ms: config.timers.tcp_transitory_s.saturating_mul(1000),
            udp_ms: config.timers.udp_s.saturating_mul(1000),
            udp_ports_ms: policy::udp_ports_ms(&config.timers),
            icmp_ms: config.timers.icmp_s.saturating_mul(1000),
            ..Timeouts::default()
        };
        let icmp_errors = (config.gateway.icmp_errors_per_second, config.gateway.icmp_errors_per_destination);
        let probes = liveness::identifier(config, self.flow_seed);
        let differs = *self.ports != *ports
            || self.timeouts != timeouts
            || self.probes != probes
            || (self.icmp_errors_per_second, self.icmp_errors_per_destination) != icmp_errors;
        if differs {
            (self.ports, self.timeouts, self.probes) = (ports.into(), timeouts, probes);
            (self.icmp_errors_per_second, self.icmp_errors_per_destination) = icmp_errors;
        }
        let v4_differs = self.v4.set_policy(config, domains, pools);
        let v6_differs = self.v6.set_policy(config, domains, pools);
        self.changed |= differs || v4_differs || v6_differs;
    }

    /// Notes a change of routes. Logarithmic in the routes; the tables follow with the
    /// next snapshot.
    ///
    /// # Panics
    /// The routing domain or a port is not one of the configuration's.
    pub fn change(&mut self, change: Change) {
        let (domain, to) = match &change {
            Change::Add(route) => (route.domain, route.to),
            Change::Withdraw { domain, to, .. } => (*domain, *to),
        };
        let before = self.rib.best(domain, to).cloned();
        match change {
            Change::Add(route) => self.rib.add(route),
            Change::Withdraw { origin, .. } => self.rib.withdraw(domain, to, origin),
        };
        let after = self.rib.best(domain, to).cloned();
        if before == after {
            return;
        }
        let hop = after.map(|via| NextHop::new(self.acquire(&via)));
        match to {
            IpNet::V4(_) => self.v4.set(domain, prefix(to).expect("it is of this family"), hop),
            IpNet::V6(_) => self.v6.set(domain, prefix(to).expect("it is of this family"), hop),
        }
        // Last, so that what both lead to keeps its number.
        if let Some(via) = before {
            self.release(&via);
        }
        self.changed = true;
    }

    /// Takes note of what is known about neighbours now: about all of them.
    pub fn set_neighbors(&mut self, known: NeighborFacts) {
        self.known = known;
        self.groups.follow(&self.known);
        self.neighbors_changed = true;
        self.changed = true;
    }

    /// A port stands on another device. Adjacencies follow with the next
    /// [`Compiler::set_neighbors`].
    pub fn replace_port(&mut self, port: PortIdx, facts: PortFacts) {
        let mut ports = self.ports.to_vec();
        ports[port.0].mac = facts.mac;
        ports[port.0].link_local = facts.link_local();
        self.ports = ports.into();
        self.facts[port.0] = facts;
        self.changed = true;
    }

    /// What the engine found out about the ports, in order.
    pub(crate) fn facts(&self) -> &[PortFacts] {
        &self.facts
    }

    /// These hosts of a routing domain are selected by its egress rules, and no others.
    ///
    /// # Panics
    /// The routing domain is not one of the configuration's.
    pub fn select(&mut self, domain: VrfId, hosts: &[(IpAddr, Selections)]) {
        self.changed |= self.v4.select(domain, hosts) | self.v6.select(domain, hosts);
    }

    /// Would the next snapshot differ from the last one?
    pub fn has_changed(&self) -> bool {
        self.changed
    }

    /// The routers and nodes that routes lead to now, or did before the last call,
    /// and whether they do now. Neighbours that must be known.
    pub fn take_routers(&mut self) -> Vec<((PortIdx, IpAddr), bool)> {
        let moved = std::mem::take(&mut self.moved);
        moved.into_iter().map(|router| (router, self.routers.number(&router).is_some())).collect()
    }

    /// The identifier of the pings that ask nodes whether they live, if any are asked so.
    pub fn probes(&self) -> Option<u16> {
        self.probes
    }

    /// Does a route lead to this neighbour?
    pub fn leads_to(&self, router: &(PortIdx, IpAddr)) -> bool {
        self.routers.number(router).is_some()
    }

    /// Every route, those that count and those that do not.
    pub fn rib(&self) -> &Rib {
        &self.rib
    }

    /// How the newest forwarding table of a domain was made.
    pub fn built(&self, domain: VrfId, v6: bool) -> Build {
        if v6 { self.v6.built(domain) } else { self.v4.built(domain) }
    }

    /// The neighbour to which a frame that came into `domain` is handed, as a worker
    /// would find it by the newest tables; `None` where the answer depends on a
    /// session, or there is none.
    pub fn neighbor_toward(&self, domain: VrfId, frame: &[u8]) -> Option<(PortIdx, IpAddr)> {
        if frame.len() < ethernet::HEADER_LEN {
            return None;
        }
        match get16(frame, ethernet::ETHERTYPE) {
            ethernet::IPV4 => self.toward(&self.v4, domain, frame, &parse::ipv4(frame).ok()?),
            ethernet::IPV6 => self.toward(&self.v6, domain, frame, &parse::ipv6(frame).ok()?),
            _ => None,
        }
    }

    fn toward<A: Address>(
        &self,
        family: &Family<A>,
        domain: VrfId,
        frame: &[u8],
        header: &IpHeader<A>,
    ) -> Option<(PortIdx, IpAddr)> {
        let mut target = header.dst;
        let mut found = family.lookup(domain, target).hop();
        if let Hop::Egress(outer) = found {
            found = family.lookup(outer, target).hop();
        }
        if let Hop::Pool | Hop::LocalTranslated = found {
            let forward = family.forwards.find(&parse::layers(frame, header, domain).key)?;
            target = forward.address;
            found = family.lookup(forward.vrf, target).hop();
        }
        let id = match found {
            Hop::Connected(port) => return Some((PortIdx(port.index()), target.to_ip())),
            Hop::Adjacency(id) => id,
            Hop::Group(id) => {
                let layers = parse::layers(frame, header, domain);
                self.groups.pick(id, packet_hash(self.flow_seed, frame, &layers))
            }
            _ => return None,
        };
        self.routers.get(id.index()).copied()
    }

    /// The newest tables.
    pub fn snapshot(&mut self, epoch: Epoch) -> Snapshot {
        self.changed = false;
        if std::mem::take(&mut self.neighbors_changed) {
            self.place_neighbors();
        }
        let snapshot = Snapshot {
            epoch,
            ports: Arc::clone(&self.ports),
            adjacencies: Arc::clone(&self.adjacencies),
            groups: self.groups.publish(),
            flow_seed: self.flow_seed,
            probes: self.probes,
            v4: self.v4.publish(),
            v6: self.v6.publish(),
            timeouts: self.timeouts.clone(),
            icmp_errors_per_second: self.icmp_errors_per_second,
            icmp_errors_per_destination: self.icmp_errors_per_destination,
        };
        debug_assert_eq!(snapshot.check(), Ok(()), "the compiler makes sound tables");
        snapshot
    }

    /// Adjacencies: routers by their numbers, and behind them all other neighbours.
    fn place_neighbors(&mut self) {
        const UNKNOWN: NeighborFact = NeighborFact { state: NeighborState::Pending, mac: [0; 6] };
        const NOBODY: NeighborFact = NeighborFact { state: NeighborState::Dead, mac: [0; 6] };
        let mut adjacencies: Vec<Adjacency> = self
            .routers
            .slots()
            .map(|router| match router {
                Some(router) => self.adjacency(router.0, *self.known.get(router).unwrap_or(&UNKNOWN)),
                None => self.adjacency(PortIdx(0), NOBODY),
            })
            .collect();
        let (mut v4, mut v6) = (HashMap::new(), HashMap::new());
        for (key @ (port, address), fact) in &self.known {
            let id = self.routers.number(key).unwrap_or_else(|| {
                adjacencies.push(self.adjacency(*port, *fact));
                adjacencies.len() - 1
            });
            let (port, id) = (PortId(port.0 as u16), AdjacencyId(id as u32));
            match address {
                IpAddr::V4(address) => v4.insert((port, address.to_bits()), id),
                IpAddr::V6(address) => v6.insert((port, address.to_bits()), id),
            };
        }
        self.adjacencies = adjacencies.into();
        self.v4.neighbors = Arc::new(v4);
        self.v6.neighbors = Arc::new(v6);
    }

    fn adjacency(&self, port: PortIdx, fact: NeighborFact) -> Adjacency {
        let mut macs = [0; 12];
        macs[..6].copy_from_slice(&fact.mac);
        macs[6..].copy_from_slice(&self.facts[port.0].mac);
        Adjacency { macs, port: PortId(port.0 as u16), mtu: self.facts[port.0].mtu, state: fact.state }
    }

    /// What a worker finds for a route; one more leads there.
    fn acquire(&mut self, via: &Via) -> Hop {
        match via {
            Via::Local => Hop::Local,
            Via::LocalTranslated => Hop::LocalTranslated,
            Via::Pool => Hop::Pool,
            Via::Connected(port) => Hop::Connected(PortId(port.0 as u16)),
            Via::Neighbor(port, address) => Hop::Adjacency(self.acquire_router((*port, *address))),
            Via::Neighbors(routers) => {
                let (id, new) = self.groups.acquire(routers);
                if new {
                    let members = routers.iter().map(|router| self.acquire_member(router)).collect();
                    self.groups.make(id, members, &self.known);
                }
                Hop::Group(id)
            }
            Via::Egress(domain) => Hop::Egress(*domain),
            Via::Blackhole => Hop::Blackhole,
            Via::Unreachable => Hop::Unreachable,
            Via::Prohibit => Hop::Prohibit,
        }
    }

    /// The reverse of [`Compiler::acquire`].
    fn release(&mut self, via: &Via) {
        match via {
            Via::Neighbor(port, address) => self.release_router((*port, *address)),
            Via::Neighbors(routers) => self.release_group(routers),
            _ => {}
        }
    }

    fn acquire_member(&mut self, router: &Member) -> ecmp::Member {
        ecmp::Member {
            identity: groups::identity(&self.port_names[router.port.0], router.address),
            weight: router.weight,
            adjacency: self.acquire_router((router.port, router.address)),
        }
    }

    fn release_group(&mut self, routers: &[Member]) {
        if self.groups.release(routers) {
            for router in routers {
                self.release_router((router.port, router.address));
            }
        }
    }

    fn acquire_router(&mut self, router: (PortIdx, IpAddr)) -> AdjacencyId {
        let (number, new) = self.routers.acquire(&router);
        if new {
            self.moved.push(router);
            self.neighbors_changed = true;
        }
        AdjacencyId(number as u32)
    }

    fn release_router(&mut self, router: (PortIdx, IpAddr)) {
        if self.routers.release(&router) {
            self.moved.push(router);
            self.neighbors_changed = true;
        }
    }
}

fn prefix<A: Address>(net: IpNet) -> Option<Prefix<A>> {
    let net = net.trunc();
    A::from_ip(net.addr()).map(|address| Prefix::containing(address, net.prefix_len()))
}

/// The routing domains and pools of a configuration, and the compiler with its routes.
pub fn plan(config: &Config, facts: Vec<PortFacts>, flow_seed: u64) -> (Domains, PoolIds, Compiler) {
    let (domains, pools) = (Domains::of(config), PoolIds::of(config));
    let mut compiler = Compiler::new(config, &domains, &pools, facts, flow_seed);
    for route in rib::routes(config, &domains) {
        compiler.change(Change::Add(route));
    }
    (domains, pools, compiler)
}
