//! Identifications of what may be in pieces, behind one address (RFC 6864, 5.3.1; RFC 7857
//! REQ-10; RFC 4963).

use std::collections::BTreeSet;

use causeway_testkit::packet::*;
use causeway_testkit::print::assert_frames_eq;

use crate::world::{
    FAMILIES, NODE_A, NODE_B, NODES, Plan, ROUTER, UPLINK, V4, V6, World, from, numbered_as, source, to,
};

/// The island behind one address.
fn one_address() -> World {
    let mut plan = Plan::island();
    plan.v4.pools[0].addresses.truncate(1);
    plan.v6.pools[0].addresses.truncate(1);
    World::with(&plan)
}

fn identification(frame: &[u8]) -> u16 {
    u16::from_be_bytes([frame[18], frame[19]])
}

#[test]
fn hosts_that_use_one_identification_leave_with_different_ones() {
    let mut world = one_address();
    let mut seen = BTreeSet::new();
    for round in 0..3_000 {
        for (pod, port) in [(V4.pod_a, 5_000), (V4.pod_a2, 6_000)] {
            let datagram = |link: Eth, src, port, ttl| {
                link.ipv4(src, V4.outside).may_fragment().ttl(ttl).id(round).udp(port, 53).payload([1; 33]).build()
            };
            let sent = world.send(NODES, datagram(from(NODE_A), pod.to_ip(), port, 64));
            let name = source(sent.forwarded(UPLINK));
            assert_frames_eq(numbered_as(&sent.bytes, datagram(to(ROUTER), name.0, name.1, 63)), &sent.bytes);
            assert!(seen.insert(identification(&sent.bytes)), "each its own");
        }
        // In fragments, both at a time.
        let pieces = |pod, port| {
            let ip = from(NODE_A).ipv4(pod, V4.outside);
            ip.udp(port, 53).payload([2; 3_000]).fragments(round.into(), 1_280)
        };
        let (one, other) = (pieces(V4.pod_a, 5_000), pieces(V4.pod_a2, 6_000));
        let mut left = [BTreeSet::new(), BTreeSet::new()];
        for at in [0, 1, 2] {
            for (of, pieces) in [&one, &other].into_iter().enumerate() {
                left[of].insert(identification(world.send(NODES, &pieces[at]).forwarded(UPLINK)));
            }
        }
        for left in left {
            assert_eq!(left.len(), 1, "the pieces of a datagram have one");
            assert!(left.iter().all(|identification| seen.insert(*identification)), "of its own");
        }
    }
    assert_eq!(seen.len(), 12_000);
}

#[test]
fn what_nobody_may_cut_up_keeps_its_identification() {
    let mut world = one_address();
    for id in [0, 7, 65_535] {
        let atomic = |link: Eth, src, port, ttl| {
            link.ipv4(src, V4.outside).df().ttl(ttl).id(id).udp(port, 53).payload([1; 33]).build()
        };
        let sent = world.send(NODES, atomic(from(NODE_A), V4.pod_a.to_ip(), 5_000, 64));
        let name = source(sent.forwarded(UPLINK));
        assert_frames_eq(atomic(to(ROUTER), name.0, name.1, 63), &sent.bytes);
    }
}

#[test]
fn what_keeps_its_source_keeps_its_identification() {
    let mut world = one_address();
    // Answers from outside, pod to pod, and what leaves under its own name.
    let ask = from(NODE_A).ipv4(V4.pod_a, V4.outside).udp(5_000, 53).build();
    let name = source(world.send(NODES, ask).forwarded(UPLINK));
    let datagram = |ip: Ipv4, from, to| ip.may_fragment().id(77).udp(from, to).payload([3; 9]).build();
    for (port, way, came, left) in [
        (
            UPLINK,
            NODES,
            datagram(from(ROUTER).ipv4(V4.outside, name.0), 53, name.1),
            datagram(to(NODE_A).ipv4(V4.outside, V4.pod_a).ttl(63), 53, 5_000),
        ),
        (
            NODES,
            NODES,
            datagram(from(NODE_A).ipv4(V4.pod_a, V4.pod_b), 1, 2),
            datagram(to(NODE_B).ipv4(V4.pod_a, V4.pod_b).ttl(63), 1, 2),
        ),
        (
            NODES,
            UPLINK,
            datagram(from(NODE_A).ipv4(V4.node_a, V4.outside), 1, 2),
            datagram(to(ROUTER).ipv4(V4.node_a, V4.outside).ttl(63), 1, 2),
        ),
    ] {
        assert_frames_eq(left, world.send(port, came).forwarded(way));
    }
    let pieces = |ip: Ip, from, to| ip.udp(from, to).payload([2; 3_000]).fragments(0x1234_5678, 1_280);
    for family in FAMILIES {
        let ask = from(NODE_A).ip(family.pod_a, family.outside).udp(5_000, 53).build();
        let name = source(world.send(NODES, ask).forwarded(UPLINK));
        let came = pieces(from(ROUTER).ip(family.outside.to_ip(), name.0), 53, name.1);
        let left = pieces(to(NODE_A).ip(family.outside, family.pod_a).ttl(63), 53, 5_000);
        for (came, left) in came.iter().zip(&left) {
            assert_frames_eq(left, world.send(UPLINK, came).forwarded(NODES));
        }
    }
    // IPv6 has 32 bits of it, in fragments alone.
    let name = world.sessions(64).iter().find(|row| row.inside.0 == V6.pod_a.to_ip()).expect("it is there").outside;
    let came = pieces(from(NODE_A).ip(V6.pod_a, V6.outside), 5_000, 53);
    let left = pieces(to(ROUTER).ip(name.0, V6.outside.to_ip()).ttl(63), name.1, 53);
    for (came, left) in came.iter().zip(&left) {
        assert_frames_eq(left, world.send(NODES, came).forwarded(UPLINK));
    }
}

#[test]
fn answers_and_errors_and_what_goes_round_the_hairpin_are_numbered_too() {
    let mut world = World::with(&Plan::forwards());
    let mut seen = BTreeSet::new();
    for round in 0..100 {
        // A pod asks another's service by its public name, and the service answers.
        let ask = from(NODE_A).ipv4(V4.pod_a2, V4.pool).may_fragment().id(9).udp(40_000 + round, 443).build();
        let sent = world.send(NODES, ask);
        let name = source(sent.forwarded(NODES));
        assert!(seen.insert(identification(&sent.bytes)));
        let answer = from(NODE_B).ip(V4.pod_b.to_ip(), name.0).may_fragment();
        let sent = world.send(NODES, answer.udp(8_443, name.1).build());
        assert_eq!(source(sent.forwarded(NODES)), (V4.pool.to_ip(), 443));
        assert_ne!(identification(&sent.bytes), 0);
        // An error of the pod's about what it got.
        let saw = from(NODE_B).ip(name.0, V4.pod_b.to_ip()).ttl(63).udp(name.1, 8_443).packet();
        let error = from(NODE_B).ip(V4.pod_b.to_ip(), name.0).may_fragment().icmp_error(3, 3, [0; 4], &saw);
        assert_ne!(identification(world.send(NODES, error.build()).forwarded(NODES)), 0);
    }
}
