//! From inside to a public address of what is inside (RFC 4787 REQ-9, RFC 5382 REQ-8).

use causeway_fastpath::fib::Hop;
use causeway_fastpath::ids::VrfId;
use causeway_fastpath::nat::Forward;
use causeway_fastpath::offload::Offload;
use causeway_fastpath::verdict::{DropReason, Verdict};
use causeway_testkit::packet::*;
use causeway_testkit::print::assert_frames_eq;

use crate::world::{FAMILIES, ISLAND, NODE_A, NODE_B, NODES, Plan, ROUTER, UPLINK, V4, World, from, source, to};

#[test]
fn a_pod_reaches_a_service_of_its_own_island_under_the_public_name() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::forwards());
        for port in 0..50 {
            // Pod A2, which has no address of its own, asks; pod B answers.
            let syn = from(NODE_A).ip(family.pod_a2, family.pool).tcp(40_000 + port, 443).flags(SYN).build();
            let sent = world.send(NODES, syn);
            let name = source(sent.forwarded(NODES));
            assert_ne!(name.0, family.pod_a2.to_ip(), "the service sees the public name (REQ-9a)");
            let asked = to(NODE_B).ip(name.0, family.pod_b.to_ip()).ttl(63).tcp(name.1, 8_443).flags(SYN).build();
            assert_frames_eq(asked, &sent.bytes);

            let answer = from(NODE_B).ip(family.pod_b.to_ip(), name.0).tcp(8_443, name.1).flags(SYN | ACK).build();
            let sent = world.send(NODES, answer);
            let answered =
                to(NODE_A).ip(family.pool, family.pod_a2).ttl(63).tcp(443, 40_000 + port).flags(SYN | ACK).build();
            assert_frames_eq(answered, sent.forwarded(NODES));
        }
        world.expect_counted(&[
            ("received", 100),
            ("forwarded", 100),
            ("translated-in", 100),
            ("translated-out", 100),
            ("sessions-created", 100),
        ]);
    }
}

#[test]
fn errors_find_their_way_round_the_hairpin() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::forwards());
        let ask = from(NODE_A).ip(family.pod_a2, family.pool).udp(40_000, 443).payload(b"question");
        let sent = world.send(NODES, ask.build());
        let name = source(sent.forwarded(NODES));
        let (kind, code) = family.port_unreachable;
        let saw = from(NODE_B).ip(name.0, family.pod_b.to_ip()).ttl(63).udp(name.1, 8_443).payload(b"question");
        let error = from(NODE_B).ip(family.pod_b.to_ip(), name.0).icmp_error(kind, code, [0; 4], &saw.packet()).build();
        let asked = from(NODE_A).ip(family.pod_a2, family.pool).ttl(63).udp(40_000, 443).payload(b"question");
        let expected =
            to(NODE_A).ip(family.pool, family.pod_a2).ttl(63).icmp_error(kind, code, [0; 4], &asked.packet()).build();
        assert_frames_eq(expected, world.send(NODES, error).forwarded(NODES));
    }
}

#[test]
fn two_pods_meet_once_each_has_sent_to_the_others_public_name() {
    for family in FAMILIES {
        let mut world = World::new();
        // Both have a name, from talking to somebody outside.
        let mut name_of = |node, pod: &str| {
            source(world.send(NODES, from(node).ip(pod, family.outside).udp(5_000, 3_478).build()).forwarded(UPLINK))
        };
        let (a, b) = (name_of(NODE_A, family.pod_a), name_of(NODE_B, family.pod_b));
        let from_a = from(NODE_A).ip(family.pod_a.to_ip(), b.0).udp(5_000, b.1).build();
        let from_b = from(NODE_B).ip(family.pod_b.to_ip(), a.0).udp(5_000, a.1).build();
        // B has not sent to A yet: its filter is that of any stranger.
        world.send(NODES, &from_a).dropped(DropReason::NatUnsolicited);
        let expected = to(NODE_A).ip(b.0, family.pod_a.to_ip()).ttl(63).udp(b.1, 5_000).build();
        assert_frames_eq(expected, world.send(NODES, &from_b).forwarded(NODES));
        let expected = to(NODE_B).ip(a.0, family.pod_b.to_ip()).ttl(63).udp(a.1, 5_000).build();
        assert_frames_eq(expected, world.send(NODES, &from_a).forwarded(NODES));
    }
}

#[test]
fn what_nobody_forwards_does_not_come_in_again() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::forwards());
        let to_pool = |port| from(NODE_A).ip(family.pod_a2, family.pool).tcp(40_000, port).flags(SYN).build();
        world.send(NODES, to_pool(80)).dropped(DropReason::NatUnsolicited);
        let node = from(NODE_A).ip(family.node_a, family.pool).tcp(40_000, 443).flags(SYN).build();
        world.send(NODES, node).dropped(DropReason::NatHairpin);
        let last = from(NODE_A).ip(family.pod_a2, family.pool).ttl(1).tcp(40_000, 443).flags(SYN).build();
        assert_eq!(world.send(NODES, last).verdict, Verdict::Reply(NODES));
    }
}

#[test]
fn the_gateways_public_address_answers_from_inside_too() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::masquerade());
        let ping =
            from(NODE_A).ip(family.pod_a, family.gateway_outside).icmp_echo_request(7, 1).payload(b"ping").build();
        let pong = to(NODE_A).ip(family.gateway_outside, family.pod_a).icmp_echo_reply(7, 1).payload(b"ping").build();
        assert_frames_eq(pong, world.send(NODES, ping).replied());
        assert_eq!(world.sessions(8).len(), 0);
    }
}

#[test]
fn the_answer_to_a_ping_round_the_hairpin_may_come_in_the_same_burst() {
    let mut plan = Plan::masquerade();
    // A pod with an address of its own is pinged by one that has none.
    let (own, pod) = (u32::from_be_bytes([203, 0, 113, 23]), u32::from_be_bytes([10, 1, 1, 10]));
    plan.v4.forwards.insert_address(own, Forward { address: pod, port: None, vrf: ISLAND });
    plan.v4.pools[0].keep_ports = true;
    let mut world = World::with(&plan);
    let ask = from(NODE_B).ip(V4.pod_b, "203.0.113.23").icmp_echo_request(5_000, 1).build();
    let answer = from(NODE_A).ip(V4.pod_a, V4.gateway_outside).icmp_echo_reply(5_000, 1).build();
    let sent = world.burst(&[(NODES, ask, Offload::DONE), (NODES, answer, Offload::DONE)]);
    let asked = to(NODE_A).ip(V4.gateway_outside, V4.pod_a).ttl(63).icmp_echo_request(5_000, 1).build();
    let answered = to(NODE_B).ip("203.0.113.23", V4.pod_b).ttl(63).icmp_echo_reply(5_000, 1).build();
    assert_frames_eq(asked, sent[0].forwarded(NODES));
    assert_frames_eq(answered, sent[1].forwarded(NODES));
}

#[test]
fn a_frame_from_outside_with_a_public_source_enters_no_hairpin_and_begins_nothing() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::forwards());
        // Pod A2 talks to the service of pod B round the hairpin.
        let syn = from(NODE_A).ip(family.pod_a2, family.pool).tcp(40_000, 443).flags(SYN).build();
        let name = source(world.send(NODES, syn).forwarded(NODES));
        let spoof = |port, flags| from(ROUTER).ip(name.0, family.pool.to_ip()).tcp(port, 443).flags(flags).build();
        world.counted();
        for frame in [spoof(name.1, ACK), spoof(name.1, RST), spoof(name.1 ^ 1, SYN)] {
            world.send(UPLINK, frame).dropped(DropReason::MartianSource);
        }
        // Nor as the service's answer.
        let answer = from(ROUTER).ip(family.pool.to_ip(), name.0).tcp(443, name.1).flags(SYN | ACK).build();
        world.send(UPLINK, answer).dropped(DropReason::MartianSource);
        world.expect_counted(&[("received", 4), ("martian-source", 4)]);
        // The conversation is as it was.
        let answer = from(NODE_B).ip(family.pod_b.to_ip(), name.0).tcp(8_443, name.1).flags(SYN | ACK).build();
        world.send(NODES, answer).forwarded(NODES);
        assert!(world.sessions(8).iter().all(|row| row.packets_out + row.packets_in == 2));
    }
}

#[test]
fn a_frame_with_a_public_source_is_not_taken_for_a_packet_to_the_gateway() {
    for family in FAMILIES {
        let mut plan = Plan::masquerade();
        plan.v4.route(VrfId::MAIN, "203.0.113.16/29", Hop::Pool);
        plan.v6.route(VrfId::MAIN, "2001:db8:1::100/125", Hop::Pool);
        let mut world = World::with(&plan);
        let ping = from(ROUTER).ip(family.pool, family.gateway_outside).icmp_echo_request(1, 2).build();
        world.send(UPLINK, ping).dropped(DropReason::MartianSource);
    }
}
