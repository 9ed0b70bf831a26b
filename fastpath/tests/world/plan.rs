//! The tables of the world, as tests change them before they are compiled.

use std::sync::Arc;

use causeway_fastpath::address::Address;
use causeway_fastpath::ecmp::{Group, Member};
use causeway_fastpath::fib::{FibBuilder, Hop, NextHop, Prefix};
use causeway_fastpath::ids::{AdjacencyId, Epoch, GroupId, PoolId, PortId, VrfId};
use causeway_fastpath::nat::{Behavior, EgressAction, EgressRule, Filtering, Forward, Forwards, Mapping, Selected};
use causeway_fastpath::snapshot::{Adjacency, NeighborState, Pool, PortEntry, Snapshot, Tables, Timeouts};
use causeway_fastpath::wire::protocol;
use causeway_testkit::packet::{Eth, Mac, ToIp, ToIpv6, eth};
use hashbrown::HashMap;

pub(crate) const NODES: PortId = PortId(0);
pub(crate) const UPLINK: PortId = PortId(1);
/// Only in [`Plan::two_islands`].
pub(crate) const OTHER_NODES: PortId = PortId(2);

pub(crate) const ISLAND: VrfId = VrfId(1);
pub(crate) const OTHER_ISLAND: VrfId = VrfId(2);

/// Neighbours; node C belongs to the other island.
pub(crate) const NODE_A: AdjacencyId = AdjacencyId(0);
pub(crate) const NODE_B: AdjacencyId = AdjacencyId(1);
pub(crate) const ROUTER: AdjacencyId = AdjacencyId(2);
pub(crate) const SERVER: AdjacencyId = AdjacencyId(3);
pub(crate) const NODE_C: AdjacencyId = AdjacencyId(4);

pub(crate) const PORT_MACS: [Mac; 3] = [[2, 0, 0, 0, 1, 0], [2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 1, 2]];
const NEIGHBOR_MACS: [Mac; 5] =
    [[2, 0, 0, 0, 2, 0], [2, 0, 0, 0, 2, 1], [2, 0, 0, 0, 2, 2], [2, 0, 0, 0, 2, 3], [2, 0, 0, 0, 2, 4]];
const NEIGHBOR_PORTS: [PortId; 5] = [NODES, NODES, UPLINK, UPLINK, OTHER_NODES];

/// Ports that the pools may use.
pub(crate) const FIRST_PORT: u16 = 1024;
/// The identifier of control's own pings.
pub(crate) const PROBES: u16 = 0xcafe;

/// A frame's Ethernet layer from a neighbour to the gateway.
pub(crate) fn from(neighbor: AdjacencyId) -> Eth {
    let port = NEIGHBOR_PORTS[neighbor.index()];
    eth().src(NEIGHBOR_MACS[neighbor.index()]).dst(PORT_MACS[port.index()])
}

/// A frame's Ethernet layer from the gateway to a neighbour.
pub(crate) fn to(neighbor: AdjacencyId) -> Eth {
    let port = NEIGHBOR_PORTS[neighbor.index()];
    eth().src(PORT_MACS[port.index()]).dst(NEIGHBOR_MACS[neighbor.index()])
}

/// The link-local address of a port.
pub(crate) fn link_local(port: PortId) -> std::net::Ipv6Addr {
    format!("fe80::{}", port.0 + 1).to_ipv6()
}

/// Everything of a [`Snapshot`], ready to be changed.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) ports: Vec<PortEntry>,
    pub(crate) adjacencies: Vec<Adjacency>,
    pub(crate) groups: Vec<Group>,
    pub(crate) v4: FamilyPlan<u32>,
    pub(crate) v6: FamilyPlan<u128>,
    pub(crate) timeouts: Timeouts,
    pub(crate) icmp_errors_per_second: u32,
    pub(crate) icmp_errors_per_destination: u32,
}

/// The tables of one family.
#[derive(Clone)]
pub(crate) struct FamilyPlan<A> {
    pub(crate) fibs: Vec<FibBuilder<A>>,
    pub(crate) egress: Vec<Vec<EgressRule<A>>>,
    pub(crate) selected: Vec<Selected<A>>,
    pub(crate) neighbors: HashMap<(PortId, A), AdjacencyId>,
    pub(crate) pools: Vec<Pool<A>>,
    pub(crate) forwards: Forwards<A>,
}

impl Plan {
    /// Port 0 to the nodes of an island, port 1 to the world; pods leave under
    /// pool addresses, nodes under their own.
    pub(crate) fn island() -> Plan {
        let mut v4 = FamilyPlan::new(2);
        v4.route(ISLAND, "192.168.0.0/24", Hop::Connected(NODES));
        v4.route(ISLAND, "192.168.0.1/32", Hop::Local);
        v4.route(ISLAND, "10.1.0.0/16", Hop::Unreachable);
        v4.route(ISLAND, "10.1.1.0/24", Hop::Adjacency(NODE_A));
        v4.route(ISLAND, "10.1.2.0/24", Hop::Adjacency(NODE_B));
        v4.route(ISLAND, "0.0.0.0/0", Hop::Egress(VrfId::MAIN));
        v4.route(VrfId::MAIN, "203.0.113.0/24", Hop::Connected(UPLINK));
        v4.route(VrfId::MAIN, "203.0.113.2/32", Hop::Local);
        v4.route(VrfId::MAIN, "203.0.113.16/29", Hop::Pool);
        v4.route(VrfId::MAIN, "198.18.0.0/15", Hop::Blackhole);
        v4.route(VrfId::MAIN, "192.0.2.0/24", Hop::Prohibit);
        v4.route(VrfId::MAIN, "0.0.0.0/0", Hop::Adjacency(ROUTER));
        v4.neighbor(NODES, "192.168.0.11", NODE_A);
        v4.neighbor(NODES, "192.168.0.12", NODE_B);
        v4.neighbor(UPLINK, "203.0.113.1", ROUTER);
        v4.neighbor(UPLINK, "203.0.113.50", SERVER);
        v4.egress(ISLAND, "10.1.0.0/16", EgressAction::Translate(PoolId(0)));
        v4.egress(ISLAND, "192.168.0.0/24", EgressAction::Forward);
        v4.pool("203.0.113.16", 8);

        let mut v6 = FamilyPlan::new(2);
        v6.route(ISLAND, "fd00:a::/64", Hop::Connected(NODES));
        v6.route(ISLAND, "fd00:a::1/128", Hop::Local);
        v6.route(ISLAND, "fd00:10::/56", Hop::Unreachable);
        v6.route(ISLAND, "fd00:10:0:1::/64", Hop::Adjacency(NODE_A));
        v6.route(ISLAND, "fd00:10:0:2::/64", Hop::Adjacency(NODE_B));
        v6.route(ISLAND, "::/0", Hop::Egress(VrfId::MAIN));
        v6.route(VrfId::MAIN, "2001:db8:1::/64", Hop::Connected(UPLINK));
        v6.route(VrfId::MAIN, "2001:db8:1::2/128", Hop::Local);
        v6.route(VrfId::MAIN, "2001:db8:1::100/125", Hop::Pool);
        v6.route(VrfId::MAIN, "2001:db8:dead::/48", Hop::Blackhole);
        v6.route(VrfId::MAIN, "2001:db8:bad::/48", Hop::Prohibit);
        v6.route(VrfId::MAIN, "::/0", Hop::Adjacency(ROUTER));
        v6.neighbor(NODES, "fd00:a::11", NODE_A);
        v6.neighbor(NODES, "fd00:a::12", NODE_B);
        v6.neighbor(UPLINK, "2001:db8:1::1", ROUTER);
        v6.neighbor(UPLINK, "2001:db8:1::50", SERVER);
        v6.egress(ISLAND, "fd00:10::/56", EgressAction::Translate(PoolId(0)));
        v6.egress(ISLAND, "fd00:a::/64", EgressAction::Forward);
        v6.pool("2001:db8:1::100", 8);

        Plan {
            ports: vec![
                port(NODES, ISLAND, "192.168.0.1", "fd00:a::1"),
                port(UPLINK, VrfId::MAIN, "203.0.113.2", "2001:db8:1::2"),
            ],
            adjacencies: vec![adjacency(NODE_A), adjacency(NODE_B), adjacency(ROUTER), adjacency(SERVER)],
            groups: Vec::new(),
            v4,
            v6,
            timeouts: Timeouts::default(),
            icmp_errors_per_second: 100_000,
            icmp_errors_per_destination: 100_000,
        }
    }

    /// Pods leave under the address of the uplink itself.
    pub(crate) fn masquerade() -> Plan {
        let mut plan = Plan::island();
        plan.ports[UPLINK.index()].masquerade = Some(PoolId(0));
        plan.v4.pools.clear();
        plan.v4.pool("203.0.113.2", 1);
        plan.v4.route(VrfId::MAIN, "203.0.113.2/32", Hop::LocalTranslated);
        plan.v4.egress[ISLAND.index()][0].action = EgressAction::Masquerade;
        plan.v6.pools.clear();
        plan.v6.pool("2001:db8:1::2", 1);
        plan.v6.route(VrfId::MAIN, "2001:db8:1::2/128", Hop::LocalTranslated);
        plan.v6.egress[ISLAND.index()][0].action = EgressAction::Masquerade;
        plan
    }

    /// Router and server share what leaves, and what is for the pods of node A is
    /// shared by both nodes.
    pub(crate) fn groups() -> Plan {
        Plan::island().with_groups()
    }

    pub(crate) fn with_groups(self) -> Plan {
        let mut plan = self;
        let member = |adjacency: AdjacencyId| Member { identity: adjacency.0.into(), weight: 1, adjacency };
        plan.groups =
            vec![Group::new(&[member(ROUTER), member(SERVER)]), Group::new(&[member(NODE_A), member(NODE_B)])];
        plan.v4.route(VrfId::MAIN, "0.0.0.0/0", Hop::Group(GroupId(0)));
        plan.v4.route(ISLAND, "10.1.1.0/24", Hop::Group(GroupId(1)));
        plan.v6.route(VrfId::MAIN, "::/0", Hop::Group(GroupId(0)));
        plan.v6.route(ISLAND, "fd00:10:0:1::/64", Hop::Group(GroupId(1)));
        plan
    }

    /// Services of pods are reached under the first address of the pool: port 443 is
    /// port 8443 of a pod on node B, by TCP and UDP. A pod on node A has an address of
    /// its own, the last one, which is not in the pool.
    pub(crate) fn forwards() -> Plan {
        Plan::island().with_forwards()
    }

    pub(crate) fn with_forwards(self) -> Plan {
        let mut plan = self;
        plan.v4.forward("203.0.113.16", "10.1.2.20", "203.0.113.23", "10.1.1.10");
        plan.v6.forward("2001:db8:1::100", "fd00:10:0:2::20", "2001:db8:1::107", "fd00:10:0:1::10");
        plan
    }

    /// A second island with the same addresses, on port 2 and node C.
    pub(crate) fn two_islands() -> Plan {
        let mut plan = Plan::island();
        plan.ports.push(port(OTHER_NODES, OTHER_ISLAND, "192.168.0.1", "fd00:a::1"));
        plan.adjacencies.push(adjacency(NODE_C));
        plan.v4.copy_island("192.168.0.0/24", "10.1.1.0/24", "10.1.2.0/24");
        plan.v6.copy_island("fd00:a::/64", "fd00:10:0:1::/64", "fd00:10:0:2::/64");
        plan
    }

    /// Nobody inside has more than so many sessions.
    pub(crate) fn with_limit(mut self, most: u32) -> Plan {
        self.v4.egress.iter_mut().flatten().for_each(|rule| rule.limits.sessions = Some(most));
        self.v6.egress.iter_mut().flatten().for_each(|rule| rule.limits.sessions = Some(most));
        self
    }

    /// Names of TCP and UDP endpoints are their own, and let those in.
    pub(crate) fn with_open_names(self, filtering: Filtering) -> Plan {
        self.with_behavior(Behavior { mapping: Mapping::EndpointIndependent, filtering })
    }

    /// Names are given out so to TCP and UDP.
    pub(crate) fn with_behavior(mut self, behavior: Behavior) -> Plan {
        self.v4.pools.iter_mut().for_each(|pool| (pool.tcp, pool.udp) = (behavior, behavior));
        self.v6.pools.iter_mut().for_each(|pool| (pool.tcp, pool.udp) = (behavior, behavior));
        self
    }

    /// One address a family, with these ports.
    pub(crate) fn with_ports(mut self, first: u16, last: u16) -> Plan {
        self.v4.pools[0].addresses.truncate(1);
        self.v6.pools[0].addresses.truncate(1);
        (self.v4.pools[0].first_port, self.v4.pools[0].last_port) = (first, last);
        (self.v6.pools[0].first_port, self.v6.pools[0].last_port) = (first, last);
        self
    }

    /// Nobody inside begins more than so many a second.
    pub(crate) fn with_rate(mut self, rate: u32) -> Plan {
        self.v4.egress.iter_mut().flatten().for_each(|rule| rule.limits.new_per_second = Some(rate));
        self.v6.egress.iter_mut().flatten().for_each(|rule| rule.limits.new_per_second = Some(rate));
        self
    }

    /// Conversations of which nobody saw the beginning go on.
    pub(crate) fn with_pick_up(mut self) -> Plan {
        self.v4.egress.iter_mut().flatten().for_each(|rule| rule.picks_up = true);
        self.v6.egress.iter_mut().flatten().for_each(|rule| rule.picks_up = true);
        self
    }

    pub(crate) fn compile(&self, epoch: u64) -> Arc<Snapshot> {
        Arc::new(Snapshot {
            epoch: Epoch(epoch),
            ports: self.ports.clone().into(),
            adjacencies: self.adjacencies.clone().into(),
            groups: self.groups.clone().into(),
            flow_seed: 0x5eed,
            probes: Some(PROBES),
            v4: self.v4.compile(),
            v6: self.v6.compile(),
            timeouts: self.timeouts.clone(),
            icmp_errors_per_second: self.icmp_errors_per_second,
            icmp_errors_per_destination: self.icmp_errors_per_destination,
        })
    }
}

impl<A: Address> FamilyPlan<A> {
    fn new(vrfs: usize) -> FamilyPlan<A> {
        FamilyPlan {
            fibs: vec![FibBuilder::new(); vrfs],
            egress: vec![Vec::new(); vrfs],
            selected: vec![Selected::default(); vrfs],
            neighbors: HashMap::new(),
            pools: Vec::new(),
            forwards: Forwards::new(),
        }
    }

    pub(crate) fn route(&mut self, vrf: VrfId, to: &str, hop: Hop) {
        self.fibs[vrf.index()].insert(prefix(to), NextHop::new(hop));
    }

    pub(crate) fn without_route(&mut self, vrf: VrfId, to: &str) {
        self.fibs[vrf.index()].remove(prefix(to)).expect("the route was there");
    }

    fn neighbor(&mut self, port: PortId, at: &str, id: AdjacencyId) {
        self.neighbors.insert((port, address(at)), id);
    }

    fn egress(&mut self, vrf: VrfId, source: &str, action: EgressAction) {
        let everywhere = Prefix::containing(A::default(), 0);
        self.egress[vrf.index()].push(EgressRule::new(prefix(source), everywhere, action));
    }

    fn pool(&mut self, first: &str, count: u64) {
        let addresses = (0..count).map(|n| address::<A>(first).offset(n)).collect();
        self.pools.push(Pool { addresses, first_port: FIRST_PORT, ..Pool::default() });
    }

    fn forward(&mut self, public: &str, pod: &str, own: &str, owner: &str) {
        for protocol in [protocol::TCP, protocol::UDP] {
            let to = Forward { address: address(pod), port: Some(8443), vrf: ISLAND };
            self.forwards.insert_port(address(public), protocol, 443, to);
        }
        self.forwards.insert_address(address(own), Forward { address: address(owner), port: None, vrf: ISLAND });
        self.pools[0].addresses.pop();
        let own = vec![address(own)];
        self.pools.push(Pool {
            addresses: own,
            first_port: 1,
            keep_ports: true,
            other_protocols: true,
            ..Pool::default()
        });
        let (source, everywhere) = (Prefix::host(address(owner)), Prefix::containing(A::default(), 0));
        let rule = EgressRule::new(source, everywhere, EgressAction::Translate(PoolId(1)));
        self.egress[ISLAND.index()].insert(0, rule);
    }

    /// The same island once more, with all its pods on one node.
    fn copy_island(&mut self, nodes: &str, pods: &str, no_pods: &str) {
        self.fibs.push(self.fibs[ISLAND.index()].clone());
        self.route(OTHER_ISLAND, nodes, Hop::Connected(OTHER_NODES));
        self.route(OTHER_ISLAND, pods, Hop::Adjacency(NODE_C));
        self.without_route(OTHER_ISLAND, no_pods);
        self.egress.push(self.egress[ISLAND.index()].clone());
        self.selected.push(self.selected[ISLAND.index()].clone());
    }

    fn compile(&self) -> Tables<A> {
        Tables {
            fibs: self.fibs.iter().map(|fib| Arc::new(fib.clone().build())).collect(),
            egress: self.egress.clone().into(),
            selected: self.selected.iter().cloned().map(Arc::new).collect(),
            neighbors: Arc::new(self.neighbors.clone()),
            pools: self.pools.clone().into(),
            forwards: Arc::new(self.forwards.clone()),
        }
    }
}

fn port(id: PortId, vrf: VrfId, v4: &str, v6: &str) -> PortEntry {
    PortEntry {
        vrf,
        mac: PORT_MACS[id.index()],
        v4: Some(address(v4)),
        v6: Some(address(v6)),
        link_local: link_local(id).to_bits(),
        masquerade: None,
    }
}

fn adjacency(id: AdjacencyId) -> Adjacency {
    let (port, mut macs) = (NEIGHBOR_PORTS[id.index()], [0; 12]);
    macs[..6].copy_from_slice(&NEIGHBOR_MACS[id.index()]);
    macs[6..].copy_from_slice(&PORT_MACS[port.index()]);
    Adjacency { macs, port, mtu: 1500, state: NeighborState::Reachable }
}

fn address<A: Address>(text: &str) -> A {
    A::from_ip(text.to_ip()).expect("an address of this family")
}

fn prefix<A: Address>(text: &str) -> Prefix<A> {
    let (at, len) = text.split_once('/').expect("a prefix has a length");
    Prefix::new(address(at), len.parse().expect("a number")).expect("a sound prefix")
}
