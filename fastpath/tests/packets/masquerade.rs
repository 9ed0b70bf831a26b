//! Pods under the gateway's own address: a session first, then the gateway itself.

use causeway_fastpath::fib::Hop;
use causeway_fastpath::ids::{PoolId, VrfId};
use causeway_fastpath::nat::EgressAction;
use causeway_fastpath::snapshot::Pool;
use causeway_fastpath::verdict::DropReason;
use causeway_testkit::packet::*;
use causeway_testkit::print::assert_frames_eq;

use crate::world::{
    FAMILIES, FIRST_PORT, ISLAND, NODE_A, NODE_C, NODES, OTHER_NODES, Plan, ROUTER, UPLINK, World, from, source, to,
};

#[test]
fn a_flow_leaves_under_the_uplinks_address_and_comes_home() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::masquerade());
        let out = world.send(NODES, from(NODE_A).ip(family.pod_a, family.outside).tcp(5_000, 443).flags(SYN).build());
        let name = source(out.forwarded(UPLINK));
        assert_eq!(name.0, family.gateway_outside.to_ip());
        assert!(name.1 >= FIRST_PORT);
        let answer = from(ROUTER).ip(family.outside.to_ip(), name.0).tcp(443, name.1).flags(SYN | ACK).build();
        let expected = to(NODE_A).ip(family.outside, family.pod_a).ttl(63).tcp(443, 5_000).flags(SYN | ACK).build();
        assert_frames_eq(expected, world.send(UPLINK, answer).forwarded(NODES));

        let (kind, code) = family.time_exceeded;
        let quoted = to(ROUTER).ip(name.0, family.outside.to_ip()).tcp(name.1, 443).flags(SYN).packet();
        let error = from(ROUTER).ip(family.router.to_ip(), name.0).icmp_error(kind, code, [0; 4], &quoted).build();
        let quoted = from(NODE_A).ip(family.pod_a, family.outside).tcp(5_000, 443).flags(SYN).packet();
        let expected = to(NODE_A).ip(family.router, family.pod_a).ttl(63).icmp_error(kind, code, [0; 4], &quoted);
        assert_frames_eq(expected.build(), world.send(UPLINK, error).forwarded(NODES));
    }
}

#[test]
fn the_gateway_answers_pings_beside_the_sessions_of_pods() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::masquerade());
        let ask = from(NODE_A).ip(family.pod_a, family.outside).icmp_echo_request(5_000, 1).build();
        let name = source(world.send(NODES, ask).forwarded(UPLINK));
        // The same peer pings the gateway with the very identifier that the pod has.
        let ask = from(ROUTER).ip(family.outside, family.gateway_outside).icmp_echo_request(name.1, 1).build();
        let answer = to(ROUTER).ip(family.gateway_outside, family.outside).icmp_echo_reply(name.1, 1).build();
        assert_frames_eq(answer, world.send(UPLINK, ask).replied());
        let reply = from(ROUTER).ip(family.outside, family.gateway_outside).icmp_echo_reply(name.1, 1).build();
        let expected = to(NODE_A).ip(family.outside, family.pod_a).ttl(63).icmp_echo_reply(5_000, 1).build();
        assert_frames_eq(expected, world.send(UPLINK, reply).forwarded(NODES));
    }
}

#[test]
fn what_belongs_to_no_session_is_the_gateways_own() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::masquerade());
        let (kind, code) = family.port_unreachable;
        let inbound = || from(ROUTER).ip(family.outside, family.gateway_outside).ttl(1);
        let sent = inbound().udp(53, 2_000);
        let error = to(ROUTER).ip(family.gateway_outside, family.outside).tos(family.error_tos).df();
        let error = error.icmp_error(kind, code, [0; 4], &sent.packet()).build();
        assert_frames_eq(error, world.send(UPLINK, sent.build()).replied());
        for frame in [
            inbound().icmp_echo_reply(2_000, 1).build(),
            inbound().icmp_error(kind, code, [0; 4], &sent.packet()).build(),
            // Its SYN may cross one from inside (RFC 5382 REQ-4).
            inbound().tcp(443, 2_000).flags(SYN).build(),
            inbound().tcp(443, 2_000).flags(ACK).build(),
        ] {
            world.send(UPLINK, frame).dropped(DropReason::LocalUnwanted);
        }
        assert_eq!(world.sessions(8).len(), 0);
    }
}

#[test]
fn a_port_that_masquerades_nobody_offers_no_name() {
    for family in FAMILIES {
        let mut plan = Plan::masquerade();
        plan.ports[UPLINK.index()].masquerade = None;
        let mut world = World::with(&plan);
        let sent = from(NODE_A).ip(family.pod_a, family.outside).udp(1, 2);
        let out = world.send(NODES, sent.build());
        let (kind, code) = family.admin_prohibited;
        let ip = to(NODE_A).ip(family.gateway_inside, family.pod_a).tos(family.error_tos).df();
        assert_frames_eq(ip.icmp_error(kind, code, [0; 4], &sent.packet()).build(), out.replied());
    }
}

#[test]
fn an_endpoint_has_a_name_on_each_port_it_leaves_by() {
    let mut plan = Plan::two_islands();
    // The third port is a second uplink, behind which lies half of the world.
    plan.ports[OTHER_NODES.index()].vrf = VrfId::MAIN;
    for (port, pool) in [(UPLINK, PoolId(0)), (OTHER_NODES, PoolId(1))] {
        plan.ports[port.index()].masquerade = Some(pool);
    }
    let pool =
        |address| Pool { addresses: vec![address], first_port: FIRST_PORT, last_port: u16::MAX, ..Pool::default() };
    plan.v4.pools = vec![pool(0xcb00_7102), pool(0xc0a8_0001)];
    plan.v6.pools = vec![plan.v6.pools[0].clone(); 2];
    plan.v4.egress[ISLAND.index()][0].action = EgressAction::Masquerade;
    plan.v4.route(VrfId::MAIN, "100.64.0.0/10", Hop::Adjacency(NODE_C));
    let mut world = World::with(&plan);
    for _ in 0..2 {
        let ask = |to| from(NODE_A).ipv4("10.1.1.10", to).udp(5_000, 53).build();
        let out = world.send(NODES, ask("198.51.100.9"));
        assert_eq!(source(out.forwarded(UPLINK)).0, "203.0.113.2".to_ip());
        let out = world.send(NODES, ask("100.64.0.9"));
        assert_eq!(source(out.forwarded(OTHER_NODES)).0, "192.168.0.1".to_ip());
    }
    assert_eq!(world.sessions(8).len(), 2);
}
