//! Routing domains and tables: before the first, several at once, changed.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use causeway_fastpath::verdict::{DropReason, PuntReason};
use causeway_testkit::packet::*;
use causeway_testkit::print::assert_frames_eq;

use crate::world::{
    FAMILIES, ISLAND, NODE_A, NODE_C, NODES, OTHER_ISLAND, OTHER_NODES, Plan, ROUTER, UPLINK, World, from, source, to,
};

/// What a pod sends, the answer to a port or identifier outside, and that answer
/// as the pod receives it.
type Exchange = (fn(Ip) -> Vec<u8>, fn(Ip, u16) -> Vec<u8>, fn(Ip) -> Vec<u8>);

#[test]
fn before_the_first_tables_everything_is_dropped() {
    for family in FAMILIES {
        let mut world = World::closed(8);
        let ip = || from(NODE_A).ip(family.pod_a, family.pod_b);
        world.send(NODES, ip().udp(1, 2).build()).dropped(DropReason::NoRoute);
        world.send(NODES, ip().ttl(1).udp(1, 2).build()).dropped(DropReason::NoRoute);
        world.send(NODES, from(NODE_A).arp_request("10.1.1.10", "10.1.1.1").build()).dropped(DropReason::NoRoute);
        world.send(NODES, b"short").dropped(DropReason::FrameTruncated);
        world.install(&Plan::island());
        world.send(NODES, ip().udp(1, 2).build()).forwarded(NODES);
    }
}

#[test]
fn islands_with_the_same_addresses_do_not_mix() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::two_islands());
        let kinds: [Exchange; 3] = [
            (|ip| ip.udp(5_000, 53).build(), |ip, port| ip.udp(53, port).build(), |ip| ip.udp(53, 5_000).build()),
            (
                |ip| ip.tcp(5_000, 443).flags(SYN).build(),
                |ip, port| ip.tcp(443, port).flags(SYN | ACK).build(),
                |ip| ip.tcp(443, 5_000).flags(SYN | ACK).build(),
            ),
            (
                |ip| ip.icmp_echo_request(5_000, 1).build(),
                |ip, id| ip.icmp_echo_reply(id, 1).build(),
                |ip| ip.icmp_echo_reply(5_000, 1).build(),
            ),
        ];
        for (ask, answer, answered) in kinds {
            let mut names = BTreeSet::new();
            for (port, node) in [(NODES, NODE_A), (OTHER_NODES, NODE_C)] {
                let out = world.send(port, ask(from(node).ip(family.pod_a, family.outside)));
                let name = source(out.forwarded(UPLINK));
                assert!(names.insert(name), "two islands share {name:?}");
                let back = world.send(UPLINK, answer(from(ROUTER).ip(family.outside.to_ip(), name.0), name.1));
                let expected = answered(to(node).ip(family.outside, family.pod_a).ttl(63));
                assert_frames_eq(expected, back.forwarded(port));
            }
        }
        let rows = world.sessions(64);
        assert_eq!(rows.iter().filter(|row| row.vrf == ISLAND).count(), 3);
        assert_eq!(rows.iter().filter(|row| row.vrf == OTHER_ISLAND).count(), 3);
    }
}

#[test]
fn a_pod_of_one_island_does_not_reach_the_other() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::two_islands());
        // In the first island pod B is on node B; in the other there is no such pod.
        let ip = |node| from(node).ip(family.pod_a, family.pod_b);
        world.send(NODES, ip(NODE_A).udp(1, 2).build()).forwarded(NODES);
        world.send(OTHER_NODES, ip(NODE_C).udp(1, 2).build()).replied();
        let node = from(NODE_C).ip(family.pod_a, family.node_a).udp(1, 2).build();
        world.send(OTHER_NODES, node).punted(PuntReason::Unresolved);
    }
}

#[test]
fn one_burst_holds_packets_of_every_port_and_family() {
    let mut world = World::with(&Plan::two_islands());
    let mut frames = Vec::new();
    for at in 0..64u16 {
        let family = FAMILIES[usize::from(at) % 2];
        let (port, node) = if at % 4 < 2 { (NODES, NODE_A) } else { (OTHER_NODES, NODE_C) };
        let frame = match at % 3 {
            0 => from(node).ip(family.pod_a, family.outside).udp(at, 53).build(),
            1 => from(node).ip(family.pod_a, family.pod_a2).udp(at, 53).build(),
            _ => from(node).ip(family.pod_a, family.gateway_inside).icmp_echo_request(at, 1).build(),
        };
        frames.push((port, frame, Default::default()));
    }
    for (at, sent) in world.burst(&frames).iter().enumerate() {
        match at % 3 {
            0 => drop(sent.forwarded(UPLINK)),
            1 => drop(sent.forwarded(frames[at].0)),
            _ => drop(sent.replied()),
        }
    }
    let rows = world.sessions(64);
    assert_eq!(rows.len(), 22);
}

#[test]
fn a_session_ends_with_its_address_and_not_because_others_move() {
    for family in FAMILIES {
        let mut plan = Plan::island();
        let mut world = World::with(&plan);
        let ask = |port| from(NODE_A).ip(family.pod_a, family.outside).udp(port, 53).build();
        let name = source(world.send(NODES, ask(5_000)).forwarded(UPLINK));
        let answer = from(ROUTER).ip(family.outside.to_ip(), name.0).udp(53, name.1).build();
        world.counted();

        plan.v4.route(ISLAND, "10.9.0.0/16", causeway_fastpath::fib::Hop::Blackhole);
        plan.timeouts.udp_ms = 200_000;
        let retired = world.install(&plan);
        assert_eq!(retired.epoch.0, 1, "what was replaced comes back");
        world.send(UPLINK, &answer).forwarded(NODES);
        assert_eq!(source(world.send(NODES, ask(5_000)).forwarded(UPLINK)), name);
        world.expect_counted(&[("received", 2), ("forwarded", 2), ("translated-in", 1), ("translated-out", 1)]);

        plan.v4.pools[0].addresses.rotate_left(1);
        plan.v6.pools[0].addresses.rotate_left(1);
        world.install(&plan);
        assert_eq!(source(world.send(NODES, ask(5_000)).forwarded(UPLINK)), name);
        world.counted();

        plan.v4.pools[0].addresses.retain(|address| Ipv4Addr::from(*address) != name.0);
        plan.v6.pools[0].addresses.retain(|address| Ipv6Addr::from(*address) != name.0);
        world.install(&plan);
        world.expect_counted(&[("sessions-ended", 1), ("sessions-ended-renamed", 1)]);
        assert_eq!(world.sessions(8).len(), 0);
        world.send(UPLINK, &answer).dropped(DropReason::NatUnsolicited);
        world.send(NODES, ask(5_000)).forwarded(UPLINK);
    }
}
