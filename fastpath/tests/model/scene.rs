//! The tiny world: who is where, what is configured, and the tables that say so.

use std::net::IpAddr;
use std::sync::Arc;

use causeway_fastpath::address::Address;
use causeway_fastpath::fib::{Hop, Prefix};
use causeway_fastpath::ids::{AdjacencyId, Epoch, PoolId, PortId, VrfId};
use causeway_fastpath::nat::{
    Behavior, EgressAction, EgressRule, Filtering, Forward, Forwards, Mapping, Selection, Selections,
};
use causeway_fastpath::snapshot::{NeighborState, Pool, Snapshot, Tables, Timeouts, WELL_KNOWN_PORTS};
use causeway_fastpath::verdict::DropReason;
use causeway_testkit::packet::ToIp;
use causeway_testkit::seed::Rng;

use crate::flow::{Flow, Protocol};
use crate::world::{
    Endpoint, FIRST_PORT, Family, FamilyPlan, ISLAND, NODE_A, NODE_B, NODE_C, NODES, OTHER_ISLAND, OTHER_NODES, Plan,
    ROUTER, SERVER, UPLINK, V4, V6,
};

/// Neighbours that come and go.
pub(crate) const FICKLE: [AdjacencyId; 4] = [NODE_A, NODE_B, NODE_C, ROUTER];
/// As the rules have it (RFC 5382, section 5), but shorter.
pub(crate) const TIMEOUTS: Timeouts = Timeouts {
    tcp_established_ms: 20_000,
    tcp_transitory_ms: 4_000,
    udp_ms: 5_000,
    udp_ports_ms: None,
    icmp_ms: 1_600,
    rest_ms: 1_500,
};
/// Of UDP to port 53.
pub(crate) const DNS_MS: u32 = 2_000;

/// A public address and port, and to whom inside its flows go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PortForward {
    pub(crate) protocol: Protocol,
    pub(crate) public: Endpoint,
    pub(crate) to: Endpoint,
    pub(crate) vrf: VrfId,
}

/// Everything that is configured.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) family: Family,
    /// How many work together; packets come to any.
    pub(crate) workers: u16,
    /// Pods leave under the address of the uplink.
    pub(crate) masquerade: bool,
    /// Pod A of the first island has an address of its own.
    pub(crate) has_own: bool,
    /// Toward the second peer pods keep their own addresses.
    pub(crate) exempts: bool,
    /// Everybody talks to one peer, until the last port is in use toward it.
    pub(crate) crowded: bool,
    pub(crate) keep_ports: bool,
    /// How names are given out to TCP and to UDP.
    pub(crate) tcp: Behavior,
    pub(crate) udp: Behavior,
    /// Conversations of which nobody saw the beginning go on.
    pub(crate) picks_up: bool,
    /// Packets that a port collects before they are put through together.
    pub(crate) burst: usize,
    /// Sessions that there is room for. Several workers have more than is ever used:
    /// each has a table of its own.
    pub(crate) capacity: usize,
    /// Ports of each pool address, from [`FIRST_PORT`] on.
    pub(crate) ports: u16,
    /// Addresses of the pool.
    pub(crate) addresses: usize,
    /// Which of [`Scene::all_forwards`] there are.
    pub(crate) forwards: [bool; 3],
    /// Is what comes for the address of a pod's own let in?
    pub(crate) own_is_open: bool,
    /// May pod B of the first island not talk to the server?
    pub(crate) denies: bool,
    /// Of [`FICKLE`].
    pub(crate) states: [NeighborState; 4],
    base: Arc<Snapshot>,
}

impl Scene {
    /// Any.
    pub(crate) fn draw(workers: u16, family: Family, masquerade: bool, rng: &mut Rng) -> Scene {
        let (has_own, crowded, picks_up) = (rng.bool(), rng.chance(1, 4), rng.chance(1, 3));
        // Where both islands are known outside by the same addresses, as here, several
        // workers could not say whose a packet is; no configuration has that.
        let exempts = rng.bool() && workers == 1;
        Scene {
            family,
            workers,
            masquerade,
            has_own,
            exempts,
            crowded,
            keep_ports: rng.bool(),
            tcp: behavior(Behavior::TCP, rng),
            udp: behavior(Behavior::UDP, rng),
            picks_up,
            burst: *rng.choose(&[1, 1, 2, 5]),
            capacity: if crowded || workers > 1 { 200 } else { *rng.choose(&[6, 14, 30, 60]) },
            ports: if crowded { 24 } else { *rng.choose(&[2, 4, 8]) },
            addresses: 1 + rng.range(0..2),
            forwards: [rng.bool(), rng.bool(), rng.bool()],
            own_is_open: true,
            denies: false,
            states: [NeighborState::Reachable; 4],
            base: plan(masquerade, has_own, exempts, picks_up).compile(1),
        }
    }

    /// The pods of an island.
    pub(crate) fn pods(&self, vrf: VrfId) -> Vec<IpAddr> {
        let Family { pod_a, pod_a2, pod_b, .. } = self.family;
        let pods = if vrf == ISLAND { vec![pod_a, pod_a2, pod_b] } else { vec![pod_a, pod_a2] };
        pods.into_iter().map(ToIp::to_ip).collect()
    }

    /// Those outside.
    pub(crate) fn peers(&self) -> [IpAddr; 3] {
        [self.family.outside, self.family.outside2, self.family.server].map(ToIp::to_ip)
    }

    /// Whom a packet to this address is handed to, in this routing domain.
    pub(crate) fn neighbor(&self, vrf: VrfId, address: IpAddr) -> AdjacencyId {
        match vrf {
            ISLAND if address == self.family.pod_b.to_ip() => NODE_B,
            ISLAND => NODE_A,
            OTHER_ISLAND => NODE_C,
            _ if address == self.family.server.to_ip() => SERVER,
            _ => ROUTER,
        }
    }

    /// The port behind which a neighbour is.
    pub(crate) fn port(&self, neighbor: AdjacencyId) -> PortId {
        match neighbor {
            NODE_A | NODE_B => NODES,
            NODE_C => OTHER_NODES,
            _ => UPLINK,
        }
    }

    /// What is known of a neighbour.
    pub(crate) fn state(&self, neighbor: AdjacencyId) -> NeighborState {
        FICKLE.iter().position(|one| *one == neighbor).map_or(NeighborState::Reachable, |at| self.states[at])
    }

    /// The address that pod A of the first island has to itself.
    pub(crate) fn own(&self) -> IpAddr {
        if self.family.v4 { "203.0.113.23".to_ip() } else { "2001:db8:1::107".to_ip() }
    }

    /// Is this the gateway's own address, behind which pods are too?
    pub(crate) fn is_gateways(&self, address: IpAddr) -> bool {
        self.masquerade && address == self.family.gateway_outside.to_ip()
    }

    /// Do pods keep their own addresses toward this one?
    pub(crate) fn is_exempted(&self, address: IpAddr) -> bool {
        self.exempts && address == self.family.outside2.to_ip()
    }

    /// May the flow of a pod not leave?
    pub(crate) fn is_denied(&self, flow: &Flow) -> bool {
        let (pod, server) = (self.family.pod_b.to_ip(), self.family.server.to_ip());
        self.denies && (flow.vrf, flow.src.0, flow.dst.0) == (ISLAND, pod, server)
    }

    /// Does the address stand for what is inside?
    pub(crate) fn is_public(&self, address: IpAddr) -> bool {
        self.shared(2).contains(&address) || (self.has_own && address == self.own())
    }

    /// Every public address there may be.
    pub(crate) fn publics(&self) -> Vec<IpAddr> {
        let mut publics = self.shared(2);
        publics.extend(self.has_own.then(|| self.own()));
        publics
    }

    /// The first `count` addresses that islands share.
    fn shared(&self, count: usize) -> Vec<IpAddr> {
        if self.masquerade {
            return vec![self.family.gateway_outside.to_ip()];
        }
        let pool: [IpAddr; 2] = if self.family.v4 {
            ["203.0.113.16", "203.0.113.17"].map(ToIp::to_ip)
        } else {
            ["2001:db8:1::100", "2001:db8:1::101"].map(ToIp::to_ip)
        };
        pool[..count].to_vec()
    }

    /// From which pool this pod gets its names: number, addresses, ports.
    pub(crate) fn pool(&self, vrf: VrfId, pod: IpAddr) -> (usize, Vec<IpAddr>, std::ops::Range<u16>) {
        let ports = FIRST_PORT..FIRST_PORT + self.ports;
        if self.has_own && vrf == ISLAND && pod == self.family.pod_a.to_ip() {
            (1, vec![self.own()], ports)
        } else {
            (0, self.shared(self.addresses), ports)
        }
    }

    /// How names are given out for a protocol, and to whom they are open.
    pub(crate) fn behavior(&self, protocol: Protocol) -> Behavior {
        match protocol {
            Protocol::Tcp => self.tcp,
            Protocol::Udp => self.udp,
            Protocol::Ask | Protocol::Reply => Behavior::UDP,
        }
    }

    /// Is a name by this protocol one endpoint's, be it toward all or toward one address?
    pub(crate) fn names_are_owned(&self, protocol: Protocol) -> bool {
        self.behavior(protocol).mapping != Mapping::AddressAndPortDependent
    }

    /// Toward whom alone an endpoint has the name by which it talks to this address, if it is
    /// not toward all.
    pub(crate) fn toward(&self, protocol: Protocol, address: IpAddr) -> Option<IpAddr> {
        (self.behavior(protocol).mapping == Mapping::AddressDependent).then_some(address)
    }

    /// Forwards that may be configured.
    pub(crate) fn all_forwards(&self) -> [PortForward; 3] {
        let (shared, pod_b) = (self.shared(2), self.family.pod_b.to_ip());
        let (first, last) = (shared[0], shared[shared.len() - 1]);
        let forward = |protocol, public, to, vrf| PortForward { protocol, public, to, vrf };
        [
            forward(Protocol::Tcp, (first, 1_025), (pod_b, 8_443), ISLAND),
            forward(Protocol::Udp, (first, 1_025), (self.family.pod_a2.to_ip(), 1_025), OTHER_ISLAND),
            forward(Protocol::Udp, (last, 1_024), (pod_b, 5_000), ISLAND),
        ]
    }

    /// To whom inside a flow goes that comes in, and in which island.
    pub(crate) fn forward(&self, flow: &Flow) -> Option<(Endpoint, VrfId)> {
        let ports = self.all_forwards().into_iter().zip(self.forwards).filter(|(_, there)| *there);
        let port = ports
            .map(|(forward, _)| forward)
            .find(|forward| (forward.protocol, forward.public) == (flow.protocol, flow.dst));
        let own = || (self.has_own && self.own_is_open && flow.dst.0 == self.own()).then(|| self.family.pod_a.to_ip());
        match port {
            Some(forward) => Some((forward.to, forward.vrf)),
            None => own().map(|pod| ((pod, flow.dst.1), ISLAND)),
        }
    }

    /// Does this name belong to the service behind a forward?
    pub(crate) fn is_service(&self, protocol: Protocol, name: Endpoint) -> bool {
        let forwards = self.all_forwards().into_iter().zip(self.forwards);
        forwards.into_iter().any(|(forward, there)| there && (forward.protocol, forward.public) == (protocol, name))
    }

    /// The tables that say all this.
    pub(crate) fn tables(&self, epoch: u64) -> Arc<Snapshot> {
        let base = &self.base;
        let mut adjacencies = base.adjacencies.to_vec();
        for (neighbor, state) in FICKLE.iter().zip(self.states) {
            adjacencies[neighbor.index()].state = state;
        }
        let mut udp_ports_ms = [0; WELL_KNOWN_PORTS];
        udp_ports_ms[53] = DNS_MS;
        Arc::new(Snapshot {
            epoch: Epoch(epoch),
            ports: Arc::clone(&base.ports),
            adjacencies: adjacencies.into(),
            groups: Arc::clone(&base.groups),
            flow_seed: base.flow_seed,
            probes: base.probes,
            v4: self.family_tables(&base.v4),
            v6: self.family_tables(&base.v6),
            timeouts: Timeouts { udp_ports_ms: Some(Arc::new(udp_ports_ms)), ..TIMEOUTS },
            icmp_errors_per_second: 1_000_000_000,
            icmp_errors_per_destination: 1_000_000_000,
        })
    }

    fn family_tables<A: Address>(&self, base: &Tables<A>) -> Tables<A> {
        let address = |address: IpAddr| A::from_ip(address);
        let pool = |addresses: Vec<IpAddr>| Pool {
            addresses: addresses.into_iter().filter_map(address).collect(),
            first_port: FIRST_PORT,
            last_port: FIRST_PORT + self.ports - 1,
            keep_ports: self.keep_ports,
            tcp: self.tcp,
            udp: self.udp,
            ..Pool::default()
        };
        let mut forwards = Forwards::new();
        for (forward, there) in self.all_forwards().into_iter().zip(self.forwards) {
            if let (true, Some(public), Some(to)) = (there, address(forward.public.0), address(forward.to.0)) {
                let port = (forward.to.1 != forward.public.1).then_some(forward.to.1);
                let to = Forward { address: to, port, vrf: forward.vrf };
                forwards.insert_port(public, forward.protocol.number(self.family), forward.public.1, to);
            }
        }
        if let (true, Some(own), Some(pod)) =
            (self.has_own && self.own_is_open, address(self.own()), address(self.family.pod_a.to_ip()))
        {
            forwards.insert_address(own, Forward { address: pod, port: None, vrf: ISLAND });
        }
        let own = if self.has_own { vec![self.own()] } else { Vec::new() };
        let mut egress = base.egress.to_vec();
        if let (true, Some(pod), Some(server)) =
            (self.denies, address(self.family.pod_b.to_ip()), address(self.family.server.to_ip()))
        {
            let action = EgressAction::Drop(DropReason::PolicyDenied);
            egress[ISLAND.index()].insert(0, EgressRule::new(Prefix::host(pod), Prefix::host(server), action));
        }
        Tables {
            fibs: base.fibs.clone(),
            egress: egress.into(),
            selected: base.selected.clone(),
            neighbors: Arc::clone(&base.neighbors),
            pools: vec![pool(self.shared(self.addresses)), pool(own)].into(),
            forwards: Arc::new(forwards),
        }
    }
}

/// As usual, or any.
fn behavior(usual: Behavior, rng: &mut Rng) -> Behavior {
    let (by_endpoint, by_destination) = (Mapping::EndpointIndependent, Mapping::AddressAndPortDependent);
    let mapping = *rng.choose(&[usual.mapping, by_endpoint, Mapping::AddressDependent, by_destination]);
    let (anybody, known) = (Filtering::EndpointIndependent, Filtering::AddressDependent);
    let filtering = *rng.choose(&[usual.filtering, anybody, known]);
    let any = Behavior { mapping, filtering };
    if any.is_sound() { any } else { usual }
}

/// What does not change: routes, neighbours, and who gets names from where.
fn plan(masquerade: bool, has_own: bool, exempts: bool, picks_up: bool) -> Plan {
    let mut plan = Plan::two_islands();
    if masquerade {
        plan.ports[UPLINK.index()].masquerade = Some(PoolId(0));
        plan.v4.route(VrfId::MAIN, "203.0.113.2/32", Hop::LocalTranslated);
        plan.v6.route(VrfId::MAIN, "2001:db8:1::2/128", Hop::LocalTranslated);
        masquerade_pods(&mut plan.v4);
        masquerade_pods(&mut plan.v6);
    }
    if has_own {
        own_name(&mut plan.v4, "10.1.1.10");
        own_name(&mut plan.v6, "fd00:10:0:1::10");
    }
    if exempts {
        exempt(&mut plan.v4, V4.outside2, "10.1.0.0/16");
        exempt(&mut plan.v6, V6.outside2, "fd00:10::/56");
    }
    if picks_up {
        plan = plan.with_pick_up();
    }
    // Each scene brings its own.
    plan.v4.pools.push(plan.v4.pools[0].clone());
    plan.v6.pools.push(plan.v6.pools[0].clone());
    plan
}

/// Both islands have these pods; outside they may be of either, as their sessions say.
fn exempt<A: Address>(plan: &mut FamilyPlan<A>, peer: &str, pods: &str) {
    let everywhere = Prefix::containing(A::default(), 0);
    let rule = |source, destination, action| EgressRule::new(source, destination, action);
    let peer = Prefix::host(A::from_ip(peer.to_ip()).expect("an address of this family"));
    plan.route(VrfId::MAIN, pods, Hop::Egress(ISLAND));
    for island in [ISLAND, OTHER_ISLAND] {
        let rules = &mut plan.egress[island.index()];
        let of_pods = rules.iter().rfind(|rule| rule.renames()).expect("pods have names").source;
        rules.insert(0, rule(of_pods, peer, EgressAction::Track));
    }
    let strangers = EgressAction::Drop(DropReason::NatUnsolicited);
    plan.egress[VrfId::MAIN.index()].push(rule(everywhere, everywhere, strangers));
}

fn masquerade_pods<A: Address>(plan: &mut FamilyPlan<A>) {
    for island in [ISLAND, OTHER_ISLAND] {
        plan.egress[island.index()][0].action = EgressAction::Masquerade;
    }
}

fn own_name<A: Address>(plan: &mut FamilyPlan<A>, pod: &str) {
    let pod = A::from_ip(pod.to_ip()).expect("an address of this family");
    let everywhere = Prefix::containing(A::default(), 0);
    let rule = EgressRule::new(everywhere, everywhere, EgressAction::Translate(PoolId(1)));
    // By a selection, and so each run meets one.
    let mut selections = Selections::default();
    let selection = Selection::new(3).expect("below the most");
    selections.insert(selection);
    plan.selected[ISLAND.index()].add(pod, selections);
    plan.egress[ISLAND.index()].insert(0, EgressRule { selection: Some(selection), ..rule });
}
