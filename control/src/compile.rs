//! Desired state in, a [`Snapshot`] out: pure, and the same for the same input.
//!
//! Routes, pools and policy are compiled once a configuration; a change of
//! neighbours makes a new snapshot that shares everything else.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use causeway_fastpath::address::Address;
use causeway_fastpath::fib::{Fib, FibBuilder, Hop, NextHop, Prefix};
use causeway_fastpath::ids::{AdjacencyId, Epoch, PoolId, PortId, VrfId};
use causeway_fastpath::nat::{EgressAction, EgressRule};
use causeway_fastpath::snapshot::{Adjacency, NeighborState, Pool, PortEntry, Snapshot, Tables, Timeouts};
use causeway_fastpath::verdict::DropReason;
use hashbrown::HashMap;
use ipnet::IpNet;

use crate::config::{Config, Egress, PortIdx};
use crate::domains::Domains;
use crate::rib::{self, Route, Via, is_primary};

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

/// A configuration, compiled as far as it does not depend on neighbours.
pub struct Compiler {
    facts: Vec<PortFacts>,
    ports: Arc<[PortEntry]>,
    /// Adjacencies that routes lead to, by their number.
    routers: Vec<(PortIdx, IpAddr)>,
    v4: Family<u32>,
    v6: Family<u128>,
    timeouts: Timeouts,
    icmp_errors_per_second: u32,
}

struct Family<A> {
    fibs: Vec<Arc<Fib<A>>>,
    egress: Arc<[Vec<EgressRule<A>>]>,
    pools: Arc<[Pool<A>]>,
}

impl Compiler {
    /// Compiles routes, pools and policy.
    ///
    /// # Panics
    /// `facts` are not those of the configuration's ports, one each.
    pub fn new(config: &Config, domains: &Domains, routes: &[Route], facts: Vec<PortFacts>) -> Compiler {
        assert_eq!(facts.len(), config.ports.len(), "every port has its facts");
        let mut routers: Vec<(PortIdx, IpAddr)> = routes.iter().filter_map(router).collect();
        routers.sort_unstable();
        routers.dedup();
        let masquerades = config.clusters.iter().any(|cluster| cluster.egress == Egress::Masquerade);
        let port_entry = |at: usize| {
            let port = &config.ports[at];
            PortEntry {
                vrf: domains.of_port(PortIdx(at)),
                mac: facts[at].mac,
                v4: primary(port),
                v6: primary(port),
                link_local: facts[at].link_local(),
                // Pools of ports come after those of the file. A port of an island has
                // none: answers to its address would arrive in the island's domain.
                masquerade: (masquerades && domains.of_port(PortIdx(at)) == VrfId::MAIN)
                    .then(|| PoolId((config.pools.len() + at) as u16)),
            }
        };
        Compiler {
            ports: (0..config.ports.len()).map(port_entry).collect(),
            v4: Family::compile(config, domains, routes, &routers, masquerades),
            v6: Family::compile(config, domains, routes, &routers, masquerades),
            timeouts: Timeouts {
                tcp_established_ms: config.timers.tcp_established_s.saturating_mul(1000),
                tcp_transitory_ms: config.timers.tcp_transitory_s.saturating_mul(1000),
                udp_ms: config.timers.udp_s.saturating_mul(1000),
                icmp_ms: config.timers.icmp_s.saturating_mul(1000),
            },
            icmp_errors_per_second: config.gateway.icmp_errors_per_second,
            routers,
            facts,
        }
    }

    /// The routers and nodes that routes lead to: neighbours that must be known.
    pub fn routers(&self) -> &[(PortIdx, IpAddr)] {
        &self.routers
    }

    /// The neighbour to which a packet for `destination` is handed, as a worker
    /// would find it; `None` where the answer depends on a session, or there is none.
    pub fn neighbor_toward(&self, domain: VrfId, destination: IpAddr) -> Option<(PortIdx, IpAddr)> {
        let hop = |domain: VrfId| match destination {
            IpAddr::V4(v4) => self.v4.fibs[domain.index()].lookup(v4.to_bits()).hop(),
            IpAddr::V6(v6) => self.v6.fibs[domain.index()].lookup(v6.to_bits()).hop(),
        };
        let found = match hop(domain) {
            Hop::Egress(outer) => hop(outer),
            found => found,
        };
        match found {
            Hop::Connected(port) => Some((PortIdx(port.index()), destination)),
            Hop::Adjacency(id) => self.routers.get(id.index()).copied(),
            _ => None,
        }
    }

    /// The tables for these neighbours.
    pub fn snapshot(&self, epoch: Epoch, neighbors: &NeighborFacts) -> Snapshot {
        let unknown = NeighborFact { state: NeighborState::Pending, mac: [0; 6] };
        let mut adjacencies: Vec<Adjacency> = self
            .routers
            .iter()
            .map(|router| self.adjacency(router.0, neighbors.get(router).copied().unwrap_or(unknown)))
            .collect();
        let (mut v4, mut v6) = (HashMap::new(), HashMap::new());
        for (key @ (port, address), fact) in neighbors {
            let id = match self.routers.binary_search(key) {
                Ok(number) => number,
                Err(_) => {
                    adjacencies.push(self.adjacency(*port, *fact));
                    adjacencies.len() - 1
                }
            };
            let (port, id) = (PortId(port.0 as u16), AdjacencyId(id as u32));
            match address {
                IpAddr::V4(address) => v4.insert((port, address.to_bits()), id),
                IpAddr::V6(address) => v6.insert((port, address.to_bits()), id),
            };
        }
        let snapshot = Snapshot {
            epoch,
            ports: Arc::clone(&self.ports),
            adjacencies: adjacencies.into(),
            groups: Arc::from([]),
            flow_seed: 0,
            v4: self.v4.tables(v4),
            v6: self.v6.tables(v6),
            timeouts: self.timeouts,
            icmp_errors_per_second: self.icmp_errors_per_second,
        };
        debug_assert_eq!(snapshot.check(), Ok(()), "the compiler makes sound tables");
        snapshot
    }

    fn adjacency(&self, port: PortIdx, fact: NeighborFact) -> Adjacency {
        let mut macs = [0; 12];
        macs[..6].copy_from_slice(&fact.mac);
        macs[6..].copy_from_slice(&self.facts[port.0].mac);
        Adjacency { macs, port: PortId(port.0 as u16), mtu: self.facts[port.0].mtu, state: fact.state }
    }
}

impl<A: Address> Family<A> {
    fn compile(
        config: &Config,
        domains: &Domains,
        routes: &[Route],
        routers: &[(PortIdx, IpAddr)],
        masquerades: bool,
    ) -> Family<A> {
        let fibs = domains
            .all()
            .map(|domain| {
                let mut builder = FibBuilder::new();
                // Weakest origin first: a stronger one for the same prefix replaces it.
                for route in routes.iter().filter(|route| route.domain == domain) {
                    if let Some(prefix) = prefix(route.to) {
                        builder.insert(prefix, NextHop::new(hop(route, routers)));
                    }
                }
                Arc::new(builder.build())
            })
            .collect();
        let egress = domains.all().map(|domain| egress_rules(config, domains, domain)).collect();
        let mut pools: Vec<Pool<A>> = config.pools.iter().map(pool).collect();
        if masquerades {
            pools.extend(config.ports.iter().map(|port| Pool {
                addresses: primary(port).into_iter().collect(),
                first_port: MASQUERADE_PORTS.0,
                last_port: MASQUERADE_PORTS.1,
            }));
        }
        Family { fibs, egress, pools: pools.into() }
    }

    fn tables(&self, neighbors: HashMap<(PortId, A), AdjacencyId>) -> Tables<A> {
        Tables {
            fibs: self.fibs.clone(),
            egress: Arc::clone(&self.egress),
            neighbors: Arc::new(neighbors),
            pools: Arc::clone(&self.pools),
        }
    }
}

/// Ports that masquerading takes on a port's own address: all but the well-known ones.
const MASQUERADE_PORTS: (u16, u16) = (1024, 65535);

/// The neighbour a route leads to.
fn router(route: &Route) -> Option<(PortIdx, IpAddr)> {
    match route.via {
        Via::Neighbor(port, address) => Some((port, address)),
        _ => None,
    }
}

fn hop(route: &Route, routers: &[(PortIdx, IpAddr)]) -> Hop {
    match route.via {
        Via::Local => Hop::Local,
        Via::LocalTranslated => Hop::LocalTranslated,
        Via::Pool => Hop::Pool,
        Via::Connected(port) => Hop::Connected(PortId(port.0 as u16)),
        Via::Neighbor(port, address) => {
            let number = routers.binary_search(&(port, address)).expect("every router of a route was collected");
            Hop::Adjacency(AdjacencyId(number as u32))
        }
        Via::Egress(domain) => Hop::Egress(domain),
        Via::Blackhole => Hop::Blackhole,
        Via::Unreachable => Hop::Unreachable,
        Via::Prohibit => Hop::Prohibit,
    }
}

/// What may leave an island: pods under another name, nodes under their own.
/// Nothing else: a sender that is neither is not believed (BCP 38).
fn egress_rules<A: Address>(config: &Config, domains: &Domains, domain: VrfId) -> Vec<EgressRule<A>> {
    let mut rules = Vec::new();
    if domain == VrfId::MAIN {
        return rules;
    }
    let everywhere = Prefix::containing(A::default(), 0);
    for (at, cluster) in config.clusters.iter().enumerate() {
        if domains.of_cluster(crate::config::ClusterIdx(at)) != domain {
            continue;
        }
        let action = match cluster.egress {
            Egress::Pool(pool) => EgressAction::Translate(PoolId(pool.0 as u16)),
            Egress::Masquerade => EgressAction::Masquerade,
        };
        for source in cluster.pod_cidrs.iter().filter_map(|cidr| prefix(*cidr)) {
            rules.push(EgressRule { source, destination: everywhere, action });
        }
    }
    for (at, port) in config.ports.iter().enumerate() {
        if domains.of_port(PortIdx(at)) == domain {
            for source in port.addresses.iter().filter_map(|subnet| prefix(subnet.trunc())) {
                rules.push(EgressRule { source, destination: everywhere, action: EgressAction::Forward });
            }
        }
    }
    rules.push(EgressRule {
        source: everywhere,
        destination: everywhere,
        action: EgressAction::Drop(DropReason::NotInIsland),
    });
    rules
}

fn pool<A: Address>(pool: &crate::config::Pool) -> Pool<A> {
    let addresses = pool.addresses.iter().filter_map(|net| prefix::<A>(*net)).flat_map(|prefix| {
        // The checked configuration bounds how many addresses a pool has.
        let count = 1u64 << (A::BITS - u32::from(prefix.len()));
        (0..count).map(move |n| prefix.address().offset(n))
    });
    Pool { addresses: addresses.collect(), first_port: *pool.ports.start(), last_port: *pool.ports.end() }
}

/// The port's first address of the family.
fn primary<A: Address>(port: &crate::config::Port) -> Option<A> {
    port.addresses.iter().filter(|address| is_primary(port, address)).find_map(|address| A::from_ip(address.addr()))
}

fn prefix<A: Address>(net: IpNet) -> Option<Prefix<A>> {
    let net = net.trunc();
    A::from_ip(net.addr()).map(|address| Prefix::containing(address, net.prefix_len()))
}

/// The routes of a configuration and the compiler for them.
pub fn plan(config: &Config, facts: Vec<PortFacts>) -> (Domains, Vec<Route>, Compiler) {
    let domains = Domains::of(config);
    let routes = rib::routes(config, &domains);
    let compiler = Compiler::new(config, &domains, &routes, facts);
    (domains, routes, compiler)
}
