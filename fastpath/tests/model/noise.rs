//! One host that sends whatever it can think of, and the flows of the others.

use std::net::IpAddr;
use std::time::Duration;

use causeway_fastpath::command::SessionRow;
use causeway_fastpath::ids::{AdjacencyId, PortId};
use causeway_testkit::packet::*;
use causeway_testkit::seed::{Rng, Seed};

use crate::flow::{Complaint, Damage, Flow, Packet, Protocol, Segment};
use crate::world::{
    Endpoint, FAMILIES, FIRST_PORT, Family, ISLAND, NODE_A, NODE_B, NODE_C, NODES, OTHER_ISLAND, OTHER_NODES, Plan,
    ROUTER, UPLINK, World, from, source,
};

/// An established flow of somebody quiet.
struct Quiet {
    flow: Flow,
    node: AdjacencyId,
    port: PortId,
    name: Endpoint,
    said: u32,
}

impl Quiet {
    /// Opens it.
    fn new(world: &mut World, flow: Flow, node: AdjacencyId, port: PortId) -> Quiet {
        let mut quiet = Quiet { flow, node, port, name: flow.src, said: 0 };
        quiet.name = quiet.say(world, SYN, SYN | ACK);
        quiet.say(world, ACK, ACK);
        quiet
    }

    /// Is this its session?
    fn is(&self, row: &SessionRow, family: Family) -> bool {
        let Flow { vrf, protocol, src, dst } = self.flow;
        (row.vrf, row.protocol, row.inside, row.peer) == (vrf, protocol.number(family), src, dst)
    }

    /// A packet and its answer; says under which name.
    fn say(&mut self, world: &mut World, flags: u8, answer: u8) -> Endpoint {
        let segment = |flags| Segment { flags, sequence: 1, acknowledgement: 1, window: 1_000, scale: None };
        let packet = |flow, flags| Packet { flow, segment: segment(flags), mark: 3 };
        let sent = world.send(self.port, packet(self.flow, flags).frame(from(self.node), 64));
        let name = source(sent.forwarded(UPLINK));
        let back = Flow { dst: name, ..self.flow.answered() };
        world.send(UPLINK, packet(back, answer).frame(from(ROUTER), 64)).forwarded(self.port);
        self.said += 1;
        name
    }
}

/// Flows of three pods, one of each kind to each of two peers.
fn quiet_flows(world: &mut World, family: Family) -> Vec<Quiet> {
    let mut flows = Vec::new();
    for (vrf, pod, node, port) in [
        (ISLAND, family.pod_a2, NODE_A, NODES),
        (ISLAND, family.pod_b, NODE_B, NODES),
        (OTHER_ISLAND, family.pod_a, NODE_C, OTHER_NODES),
    ] {
        for peer in [family.outside, family.outside2] {
            for (protocol, to) in [(Protocol::Tcp, 443), (Protocol::Udp, 53), (Protocol::Ask, 0)] {
                let flow = Flow { vrf, protocol, src: (pod.to_ip(), 5_000), dst: (peer.to_ip(), to) };
                flows.push(Quiet::new(world, flow, node, port));
            }
        }
    }
    flows
}

/// Anything that pod A of the first island may send, with a preference for what is others'.
fn shout(world: &mut World, family: Family, others: &[Quiet], rng: &mut Rng) {
    let pod: IpAddr = family.pod_a.to_ip();
    let other = &others[rng.range(0..others.len())];
    let protocol = *rng.choose(&[Protocol::Tcp, Protocol::Udp, Protocol::Ask, Protocol::Reply]);
    let port = if rng.bool() { rng.u16() } else { 5_000 };
    let any = rng.u16();
    let dst = *rng.choose(&[other.flow.dst, other.name, (other.flow.dst.0, any), (family.server.to_ip(), 443)]);
    let flow = Flow { vrf: ISLAND, protocol, src: (pod, port), dst };
    let flags = if rng.bool() { SYN } else { rng.u8() };
    let (sequence, acknowledgement, window) = (rng.u32(), rng.u32(), rng.u32() as u16);
    let packet = Packet { flow, segment: Segment { flags, sequence, acknowledgement, window, scale: None }, mark: 1 };
    if rng.chance(1, 8) {
        // An error about somebody else's packet.
        let quote = Packet { flow: other.flow.answered(), ..packet };
        let error = Complaint { vrf: ISLAND, src: pod, dst: quote.flow.src.0, quote, damage: Damage::None };
        world.send(NODES, error.frame(family, from(NODE_A), 64));
    } else {
        world.send(NODES, packet.frame(from(NODE_A), 64));
    }
}

#[test]
fn a_noisy_host_neither_ends_nor_alters_anybody_elses_flow() {
    for family in FAMILIES {
        for (number, (capacity, ports)) in [(40, 512), (300, 12), (300, 64), (2_000, 512)].into_iter().enumerate() {
            let seed = Seed::from_env_or(number as u64);
            let rng = &mut seed.rng();
            let mut plan = Plan::two_islands();
            plan.icmp_errors_per_second = 1_000;
            plan.v4.pools[0].addresses.truncate(2);
            plan.v6.pools[0].addresses.truncate(2);
            plan.v4.pools[0].last_port = FIRST_PORT + ports - 1;
            plan.v6.pools[0].last_port = FIRST_PORT + ports - 1;
            let mut world = World::sized(&plan, capacity);
            let mut others = quiet_flows(&mut world, family);
            for round in 0..300 {
                for _ in 0..20 {
                    shout(&mut world, family, &others, rng);
                }
                world.wait(Duration::from_millis(rng.below(2_000)));
                // Nobody is silent for a minute, as long as a ping lives.
                let quiet = round % others.len();
                assert_eq!(others[quiet].say(&mut world, ACK, ACK), others[quiet].name);
            }
            let rows = world.sessions(64);
            assert!(rows.len() > 20, "there was noise");
            for quiet in &others {
                let own: Vec<_> = rows.iter().filter(|row| quiet.is(row, family)).collect();
                assert_eq!(own.len(), 1, "{:?} lives", quiet.flow);
                assert_eq!(
                    (own[0].outside, own[0].packets_out, own[0].packets_in),
                    (quiet.name, quiet.said, quiet.said)
                );
                assert!(["", "established"].contains(&own[0].state), "{}", own[0].state);
            }
        }
    }
}
