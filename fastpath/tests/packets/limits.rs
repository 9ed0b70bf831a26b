//! How much is too much: rates, tables, ports.

use std::collections::BTreeSet;
use std::time::Duration;

use causeway_fastpath::verdict::{DropReason, PuntReason, Verdict};
use causeway_testkit::packet::*;
use causeway_testkit::print::assert_frames_eq;

use crate::world::{FAMILIES, Family, NODE_A, NODES, Plan, ROUTER, UPLINK, World, from, source, to};

fn opening(family: Family, port: u16) -> Tcp {
    from(NODE_A).ip(family.pod_a, family.outside).tcp(port, 443).flags(SYN)
}

/// The error that says that there is no name left.
fn prohibited(family: Family, quoted: &[u8]) -> Vec<u8> {
    let (kind, code) = family.admin_prohibited;
    let ip = to(NODE_A).ip(family.gateway_inside, family.pod_a).tos(family.error_tos).df();
    ip.icmp_error(kind, code, [0; 4], quoted).build()
}

/// A pool of one address and the ports 2000 to 2007.
fn eight_ports() -> Plan {
    let mut plan = Plan::island();
    plan.v4.pools[0].addresses.truncate(1);
    plan.v6.pools[0].addresses.truncate(1);
    (plan.v4.pools[0].first_port, plan.v4.pools[0].last_port) = (2_000, 2_007);
    (plan.v6.pools[0].first_port, plan.v6.pools[0].last_port) = (2_000, 2_007);
    plan
}

#[test]
fn a_full_table_refuses_the_new_flow_and_harms_no_old_one() {
    for family in FAMILIES {
        let mut world = World::sized(&Plan::island(), 4);
        let names: Vec<_> =
            (1..=4).map(|port| source(world.send(NODES, opening(family, port).build()).forwarded(UPLINK))).collect();
        world.counted();
        let refused = opening(family, 5);
        let out = world.send(NODES, refused.build());
        assert_frames_eq(prohibited(family, &refused.packet()), out.replied());
        world.expect_counted(&[("received", 1), ("replied", 1)]);
        for (port, name) in (1..=4).zip(names) {
            assert_eq!(source(world.send(NODES, opening(family, port).build()).forwarded(UPLINK)), name);
        }
    }
}

#[test]
fn where_no_error_may_be_sent_the_drop_says_what_was_exhausted() {
    for family in FAMILIES {
        let mut plan = eight_ports();
        plan.icmp_errors_per_second = 0;
        let mut world = World::sized(&plan, 1_000);
        world.send(NODES, opening(family, 1).build()).forwarded(UPLINK);
        for port in 0..8 {
            let datagram = from(NODE_A).ip(family.pod_a, family.outside).udp(port, 53);
            world.send(NODES, datagram.build()).forwarded(UPLINK);
        }
        world.counted();
        let datagram = |link: Eth| link.ip(family.pod_a, family.outside).udp(9, 53).build();
        world.send(NODES, datagram(from(NODE_A))).dropped(DropReason::IcmpRateLimited);
        let grouped = from(NODE_A).src("03:00:00:00:00:01");
        world.send(NODES, datagram(grouped)).dropped(DropReason::NatPortsExhausted);
        world.expect_counted(&[("received", 2), ("icmp-rate-limited", 1), ("nat-ports-exhausted", 1)]);

        let mut world = World::sized(&Plan::island(), 0);
        let grouped = from(NODE_A).src("03:00:00:00:00:01");
        world.send(NODES, datagram(grouped)).dropped(DropReason::NatTableFull);
    }
}

#[test]
fn every_port_of_the_pool_is_used_before_a_flow_is_refused_and_none_is_taken_from_another() {
    for family in FAMILIES {
        let kinds: [fn(Ip, u16) -> Vec<u8>; 3] = [
            |ip, port| ip.udp(port, 53).build(),
            |ip, port| ip.tcp(port, 443).flags(SYN).build(),
            |ip, port| ip.icmp_echo_request(port, 1).build(),
        ];
        for packet in kinds {
            let mut world = World::with(&eight_ports());
            let inside = |port| packet(from(NODE_A).ip(family.pod_a, family.outside), port);
            let names: Vec<_> = (1..=8).map(|port| source(world.send(NODES, inside(port)).forwarded(UPLINK))).collect();
            let ports: BTreeSet<_> = names.iter().map(|name| name.1).collect();
            assert_eq!(ports, (2_000..=2_007).collect());
            world.send(NODES, inside(9)).replied();
            for (port, name) in (1..=8).zip(names) {
                assert_eq!(source(world.send(NODES, inside(port)).forwarded(UPLINK)), name);
            }
            world.expect_counted(&[
                ("received", 17),
                ("forwarded", 16),
                ("replied", 1),
                ("translated-out", 16),
                ("sessions-created", 8),
            ]);
        }
    }
}

#[test]
fn a_tcp_port_serves_many_destinations_and_a_freed_port_serves_again() {
    for family in FAMILIES {
        let mut world = World::with(&eight_ports());
        for port in 1..=8 {
            world.send(NODES, opening(family, port).build()).forwarded(UPLINK);
            let elsewhere = from(NODE_A).ip(family.pod_a, family.outside2).tcp(port, 443).flags(SYN);
            world.send(NODES, elsewhere.build()).forwarded(UPLINK);
        }
        for port in 1..=8 {
            let datagram = from(NODE_A).ip(family.pod_a, family.outside).udp(port, 53).build();
            world.send(NODES, datagram).forwarded(UPLINK);
        }
        world.wait(Duration::from_secs(300));
        assert_eq!(world.sessions(64).len(), 0);
        for port in 11..=18 {
            let datagram = from(NODE_A).ip(family.pod_a, family.outside).udp(port, 53).build();
            world.send(NODES, datagram).forwarded(UPLINK);
        }
    }
}

#[test]
fn an_island_without_an_address_of_the_family_refuses() {
    for family in FAMILIES {
        let mut plan = Plan::island();
        plan.v4.pools[0].addresses.clear();
        plan.v6.pools[0].addresses.clear();
        let mut world = World::with(&plan);
        let sent = opening(family, 1);
        let out = world.send(NODES, sent.build());
        assert_frames_eq(prohibited(family, &sent.packet()), out.replied());
    }
}

#[test]
fn errors_are_limited_and_the_limit_recovers_with_time() {
    for family in FAMILIES {
        let mut plan = Plan::island();
        plan.icmp_errors_per_second = 100;
        let mut world = World::with(&plan);
        let lost = from(NODE_A).ip(family.pod_a, family.no_pod).udp(1, 2).build();
        let sent = |world: &mut World, packets| {
            let replied = (0..packets).filter(|_| world.send(NODES, &lost).verdict == Verdict::Reply(NODES)).count();
            let counted = world.counted();
            assert_eq!(counted.get("replied").copied().unwrap_or(0), replied as u64);
            assert_eq!(counted.get("icmp-rate-limited").copied().unwrap_or(0), (packets - replied) as u64);
            replied
        };
        // Ten at once, give or take: nobody learns how many others got (CVE-2020-25705).
        assert!((4..=20).contains(&sent(&mut world, 50)));
        world.wait(Duration::from_secs(1));
        let over_time: usize = (0..1_000)
            .map(|_| {
                world.wait(Duration::from_millis(10));
                sent(&mut world, 4)
            })
            .sum();
        assert!((900..=1_100).contains(&over_time), "{over_time}");
        // Answers to pings are no errors.
        world
            .send(NODES, from(NODE_A).ip(family.pod_a, family.gateway_inside).icmp_echo_request(1, 1).build())
            .replied();
    }
}

#[test]
fn who_is_sent_too_many_errors_takes_them_from_nobody() {
    for family in FAMILIES {
        let mut plan = Plan::island();
        (plan.icmp_errors_per_second, plan.icmp_errors_per_destination) = (10_000, 100);
        let mut world = World::with(&plan);
        let lost = |pod: &str| from(NODE_A).ip(pod, family.no_pod).udp(1, 2).build();
        for _ in 0..10 {
            world.send(NODES, lost(family.pod_a)).replied();
        }
        world.send(NODES, lost(family.pod_a)).dropped(DropReason::IcmpDestinationLimited);
        // To others there are errors; of IPv6, a network is one destination.
        let other = if family.v4 { family.pod_a2 } else { "fd00:10:0:77::11" };
        world.send(NODES, lost(other)).replied();
        world.counted();
        world.wait(Duration::from_millis(10));
        world.send(NODES, lost(family.pod_a)).replied();
        world.send(NODES, lost(family.pod_a)).dropped(DropReason::IcmpDestinationLimited);
        world.expect_counted(&[("received", 2), ("replied", 1), ("icmp-destination-limited", 1)]);
    }
}

#[test]
fn each_kind_of_punt_has_a_limit_of_its_own() {
    let arp = from(NODE_A).arp_request("192.168.0.11", "192.168.0.1").build();
    let discovery = from(NODE_A).ipv6("fe80::11", "ff02::1:ff00:1").neighbour_solicitation("fd00:a::1").build();
    let unresolved = from(NODE_A).ip("10.1.1.10", "192.168.0.99").udp(1, 2).build();
    let mut world = World::new();
    for (frame, reason) in
        [(arp, PuntReason::Arp), (discovery, PuntReason::NeighborDiscovery), (unresolved, PuntReason::Unresolved)]
    {
        for _ in 0..500 {
            world.send(NODES, &frame).punted(reason);
        }
        world.send(NODES, &frame).dropped(DropReason::PuntRateLimited);
        world.expect_counted(&[("received", 501), (reason.name(), 500), ("punt-rate-limited", 1)]);
    }
    world.wait(Duration::from_secs(1));
    let frame = from(ROUTER).arp_reply("203.0.113.1", "203.0.113.2").build();
    world.send(UPLINK, frame).punted(PuntReason::Arp);
}

#[test]
fn a_noisy_pod_has_as_many_sessions_as_it_may_and_the_others_theirs() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::island().with_limit(50));
        let flow = |pod: &str, port: u16| from(NODE_A).ip(pod, family.outside).udp(port, 53).build();
        let (kind, code) = family.admin_prohibited;
        for port in 0..200 {
            let sent = world.send(NODES, flow(family.pod_a, 1_000 + port));
            if port < 50 {
                sent.forwarded(UPLINK);
            } else {
                assert_eq!(sent.replied()[if family.v4 { 34 } else { 54 }..][..2], [kind, code]);
            }
            // Whatever the noisy one does.
            if port % 4 == 0 {
                world.send(NODES, flow(family.pod_a2, 1_000 + port)).forwarded(UPLINK);
            }
        }
        // What it has keeps going, and what ends makes room.
        world.send(NODES, flow(family.pod_a, 1_007)).forwarded(UPLINK);
        world.wait(Duration::from_secs(299));
        world.send(NODES, flow(family.pod_a, 1_007)).forwarded(UPLINK);
        world.wait(Duration::from_secs(2));
        for port in 0..49 {
            world.send(NODES, flow(family.pod_a, 2_000 + port)).forwarded(UPLINK);
        }
        assert_eq!(world.send(NODES, flow(family.pod_a, 2_049)).verdict, Verdict::Reply(NODES));
    }
}

#[test]
fn a_pod_begins_as_many_sessions_a_second_as_it_may_and_the_others_as_they_like() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::island().with_rate(20));
        let flow = |pod: &str, port: u16| from(NODE_A).ip(pod, family.outside).udp(port, 53).build();
        let (kind, code) = family.admin_prohibited;
        let mut next = 1_000;
        let mut begin = |world: &mut World, tries| {
            let begun = (0..tries).filter(|_| {
                next += 1;
                let sent = world.send(NODES, flow(family.pod_a, next));
                if sent.verdict != Verdict::Forward(UPLINK) {
                    assert_eq!(sent.replied()[if family.v4 { 34 } else { 54 }..][..2], [kind, code]);
                }
                sent.verdict == Verdict::Forward(UPLINK)
            });
            begun.count()
        };
        assert_eq!(begin(&mut world, 50), 20, "a second's worth is saved up");
        // What it has goes on, and so does everybody else.
        world.send(NODES, flow(family.pod_a, 1_001)).forwarded(UPLINK);
        world.send(NODES, flow(family.pod_a2, 1_001)).forwarded(UPLINK);
        world.wait(Duration::from_millis(100));
        assert_eq!(begin(&mut world, 50), 2);
        world.wait(Duration::from_secs(10));
        assert_eq!(begin(&mut world, 50), 20);
        // Its last session ends, and with it what is remembered.
        world.wait(Duration::from_secs(301));
        assert_eq!(begin(&mut world, 50), 20);
        assert_eq!(begin(&mut world, 5), 0);
    }
}

#[test]
fn who_is_refused_for_his_pace_and_not_told_is_counted_by_that_reason() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::island().with_rate(1));
        // Nobody is told at a group address.
        let syn =
            |port| from(NODE_A).src("03:00:00:00:00:01").ip(family.pod_a, family.outside).tcp(port, 443).flags(SYN);
        world.send(NODES, syn(1).build()).forwarded(UPLINK);
        world.send(NODES, syn(2).build()).dropped(DropReason::NatSourceRate);
    }
}

#[test]
fn a_flood_from_outside_leaves_half_of_the_table_to_those_inside() {
    for family in FAMILIES {
        let mut plan = Plan::forwards();
        plan.icmp_errors_per_second = 0;
        let mut world = World::sized(&plan, 100);
        let syn = |port: u16| from(ROUTER).ip(family.outside, family.pool).tcp(port, 443).flags(SYN).build();
        for port in 0..50 {
            world.send(UPLINK, syn(10_000 + port)).forwarded(NODES);
        }
        for port in 50..500 {
            world.send(UPLINK, syn(10_000 + port)).dropped(DropReason::IcmpRateLimited);
        }
        for port in 0..50 {
            let flow = from(NODE_A).ip(family.pod_a2, family.outside).udp(1_000 + port, 53).build();
            world.send(NODES, flow).forwarded(UPLINK);
        }
        world.send(UPLINK, syn(10_000)).forwarded(NODES);
    }
}
