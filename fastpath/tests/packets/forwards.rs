//! What from outside may begin: port forwarding and static NAT.

use std::time::Duration;

use causeway_fastpath::verdict::{DropReason, Verdict};
use causeway_testkit::packet::*;
use causeway_testkit::print::assert_frames_eq;

use crate::world::{FAMILIES, Family, NODE_A, NODE_B, NODES, Plan, ROUTER, UPLINK, World, from, source, to};

/// The address of pod A alone.
fn own(family: Family) -> &'static str {
    if family.v4 { "203.0.113.23" } else { "2001:db8:1::107" }
}

/// What a client outside sends to the service, and what the pod gets.
fn asked(family: Family) -> (Ip, Ip) {
    (
        from(ROUTER).ip(family.outside, family.pool).ttl(60).tos(3),
        to(NODE_B).ip(family.outside, family.pod_b).ttl(59).tos(3),
    )
}

/// What the pod answers, and what the client gets.
fn answered(family: Family) -> (Ip, Ip) {
    (from(NODE_B).ip(family.pod_b, family.outside).ttl(64), to(ROUTER).ip(family.pool, family.outside).ttl(63))
}

#[test]
fn a_client_outside_talks_to_the_pod_behind_a_forward() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::forwards());
        let ((ask, asked), (answer, answered)) = (asked(family), answered(family));
        let segment = |ip: &Ip, from, to, flags| ip.clone().tcp(from, to).flags(flags).payload(b"data").build();
        for flags in [SYN, ACK, PSH | ACK] {
            let sent = world.send(UPLINK, segment(&ask, 50_000, 443, flags));
            assert_frames_eq(segment(&asked, 50_000, 8_443, flags), sent.forwarded(NODES));
            let sent = world.send(NODES, segment(&answer, 8_443, 50_000, SYN | ACK));
            assert_frames_eq(segment(&answered, 443, 50_000, SYN | ACK), sent.forwarded(UPLINK));
        }
        let datagram = |ip: &Ip, from, to| ip.clone().udp(from, to).payload(b"odd").build();
        let sent = world.send(UPLINK, datagram(&ask, 50_000, 443));
        assert_frames_eq(datagram(&asked, 50_000, 8_443), sent.forwarded(NODES));
        let sent = world.send(NODES, datagram(&answer, 8_443, 50_000));
        assert_frames_eq(datagram(&answered, 443, 50_000), sent.forwarded(UPLINK));
        world.expect_counted(&[
            ("received", 8),
            ("forwarded", 8),
            ("translated-in", 4),
            ("translated-out", 4),
            ("sessions-created", 2),
        ]);
        let rows = world.sessions(8);
        assert!(rows.iter().all(|row| row.forwarded && row.vrf == crate::world::ISLAND));
        let row = rows.iter().find(|row| row.protocol == 6).expect("a TCP session");
        assert_eq!(
            (row.inside, row.outside, row.peer),
            ((family.pod_b.to_ip(), 8_443), (family.pool.to_ip(), 443), (family.outside.to_ip(), 50_000))
        );
        assert_eq!((row.packets_in, row.packets_out, row.state), (3, 3, "established"));
    }
}

#[test]
fn what_is_not_forwarded_stays_outside() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::forwards());
        let (ask, _) = asked(family);
        for frame in [
            ask.clone().tcp(50_000, 444).flags(SYN).build(),
            ask.clone().tcp(50_000, 8_443).flags(SYN).build(),
            ask.clone().icmp_echo_request(7, 1).build(),
        ] {
            world.send(UPLINK, frame).dropped(DropReason::NatUnsolicited);
        }
        // Only a SYN opens a conversation.
        for flags in [ACK, SYN | ACK, RST, FIN | ACK] {
            let stray = ask.clone().tcp(50_000, 443).flags(flags).build();
            world.send(UPLINK, stray).dropped(DropReason::NatTcpNotSyn);
        }
        let last = ask.clone().ttl(1).tcp(50_000, 443).flags(SYN).build();
        assert_eq!(world.send(UPLINK, last).verdict, Verdict::Reply(UPLINK));
        assert_eq!(world.sessions(8).len(), 0, "what does not get there begins nothing");
    }
}

#[test]
fn the_pod_behind_a_forward_leaves_as_any_other() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::forwards());
        let syn = from(NODE_B).ip(family.pod_b, family.outside).tcp(8_443, 9_000).flags(SYN).build();
        let name = source(world.send(NODES, syn).forwarded(UPLINK));
        assert!(name.1 >= 1_024, "the service's port is the service's alone");
        assert_eq!(world.sessions(8)[0].outside, name);
    }
}

#[test]
fn errors_about_a_forwarded_flow_come_home_on_both_sides() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::forwards());
        let ((ask, _), (answer, _)) = (asked(family), answered(family));
        world.send(UPLINK, ask.udp(50_000, 443).payload(b"question").build()).forwarded(NODES);
        world.send(NODES, answer.udp(8_443, 50_000).payload(b"answer").build()).forwarded(UPLINK);
        let (kind, code) = family.host_unreachable;

        // A router outside could not deliver the answer: the pod sees what it sent.
        let router = if family.v4 { "198.51.100.1" } else { "2001:db8:9::1" };
        let saw = from(ROUTER).ip(family.pool, family.outside).ttl(7).udp(443, 50_000).payload(b"answer").packet();
        let sent = from(NODE_B).ip(family.pod_b, family.outside).ttl(7).udp(8_443, 50_000).payload(b"answer").packet();
        let error = from(ROUTER).ip(router, family.pool).ttl(60).icmp_error(kind, code, [0; 4], &saw).build();
        let expected = to(NODE_B).ip(router, family.pod_b).ttl(59).icmp_error(kind, code, [0; 4], &sent).build();
        assert_frames_eq(expected, world.send(UPLINK, error).forwarded(NODES));

        // The pod, or its node, refuses the question: the client sees what it asked, and
        // nobody inside.
        let saw = from(NODE_B).ip(family.outside, family.pod_b).ttl(7).udp(50_000, 8_443).payload(b"question").packet();
        let sent = from(NODE_B).ip(family.outside, family.pool).ttl(7).udp(50_000, 443).payload(b"question").packet();
        for reporter in [family.pod_b, family.node_a] {
            let error = from(NODE_B).ip(reporter, family.outside).icmp_error(kind, code, [0; 4], &saw).build();
            let expected =
                to(ROUTER).ip(family.pool, family.outside).ttl(63).icmp_error(kind, code, [0; 4], &sent).build();
            assert_frames_eq(expected, world.send(NODES, error).forwarded(UPLINK));
        }
    }
}

#[test]
fn an_address_of_its_own_serves_both_ways_and_keeps_the_ports() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::forwards());
        let own = own(family);
        // Out, under the address and the port it has.
        let out = from(NODE_A).ip(family.pod_a, family.outside).udp(5_353, 53).build();
        let expected = to(ROUTER).ip(own, family.outside).ttl(63).udp(5_353, 53).build();
        assert_frames_eq(expected, world.send(NODES, out).forwarded(UPLINK));
        // In, to whatever port.
        for port in [22, 5_353, 60_000] {
            let syn = |link: Eth, to, ttl| link.ip(family.outside2, to).ttl(ttl).tcp(40_000, port).flags(SYN).build();
            let sent = world.send(UPLINK, syn(from(ROUTER), own, 64));
            assert_frames_eq(syn(to(NODE_A), family.pod_a, 63), sent.forwarded(NODES));
        }
        let ping = |link: Eth, to, ttl| link.ip(family.outside2, to).ttl(ttl).icmp_echo_request(77, 1).build();
        let sent = world.send(UPLINK, ping(from(ROUTER), own, 64));
        assert_frames_eq(ping(to(NODE_A), family.pod_a, 63), sent.forwarded(NODES));
        let pong = |link: Eth, from, ttl| link.ip(from, family.outside2).ttl(ttl).icmp_echo_reply(77, 1).build();
        let sent = world.send(NODES, pong(from(NODE_A), family.pod_a, 64));
        assert_frames_eq(pong(to(ROUTER), own, 63), sent.forwarded(UPLINK));
    }
}

#[test]
fn who_has_an_address_of_its_own_opens_conversations_of_every_kind_under_it() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::forwards());
        let ip = |link: Eth, source, ttl| link.ip(source, family.outside).ttl(ttl);
        let (inside, outside) = (ip(from(NODE_A), family.pod_a, 64), ip(to(ROUTER), own(family), 63));
        let sent = world.send(NODES, inside.clone().tcp(5_000, 443).flags(SYN).build());
        assert_frames_eq(outside.clone().tcp(5_000, 443).flags(SYN).build(), sent.forwarded(UPLINK));
        // Also a second time, when the name was given back.
        for _ in 0..2 {
            let sent = world.send(NODES, inside.clone().udp(5_000, 53).build());
            assert_frames_eq(outside.clone().udp(5_000, 53).build(), sent.forwarded(UPLINK));
            let sent = world.send(NODES, inside.clone().icmp_echo_request(5_000, 1).build());
            assert_frames_eq(outside.clone().icmp_echo_request(5_000, 1).build(), sent.forwarded(UPLINK));
            world.wait(Duration::from_secs(300));
            assert_eq!(world.sessions(8).len(), 0);
        }
    }
}

#[test]
fn a_forwarded_port_is_never_the_name_of_another_flow() {
    for family in FAMILIES {
        let mut plan = Plan::forwards();
        // One address with two ports, of which the service has one.
        plan.v4.pools[0].addresses.truncate(1);
        plan.v6.pools[0].addresses.truncate(1);
        (plan.v4.pools[0].first_port, plan.v4.pools[0].last_port) = (443, 444);
        (plan.v6.pools[0].first_port, plan.v6.pools[0].last_port) = (443, 444);
        plan.icmp_errors_per_second = 0;
        let mut world = World::with(&plan);
        let flow = |number: u16| {
            let ip = from(NODE_B).ip(family.pod_b, family.outside);
            [ip.clone().tcp(number, 9_000).flags(SYN).build(), ip.udp(number, 9_000).build()]
        };
        for frame in flow(2_000) {
            assert_eq!(source(world.send(NODES, frame).forwarded(UPLINK)).1, 444);
        }
        for frame in flow(2_001) {
            world.send(NODES, frame).dropped(DropReason::IcmpRateLimited);
        }
        // Without the forward, the port is anybody's.
        plan.v4.forwards = causeway_fastpath::nat::Forwards::new();
        plan.v6.forwards = causeway_fastpath::nat::Forwards::new();
        world.install(&plan);
        for frame in flow(2_001) {
            assert_eq!(source(world.send(NODES, frame).forwarded(UPLINK)).1, 443);
        }
    }
}

#[test]
fn the_owner_of_an_address_keeps_its_ports_time_and_again() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::forwards());
        for _ in 0..3 {
            let ip = || from(NODE_A).ip(family.pod_a, family.outside);
            for frame in [
                ip().tcp(5_353, 443).flags(SYN).build(),
                ip().udp(5_353, 53).build(),
                ip().icmp_echo_request(5_353, 1).build(),
            ] {
                world.send(NODES, frame).forwarded(UPLINK);
            }
            let rows = world.sessions(8);
            assert!(rows.iter().all(|row| row.outside == (own(family).to_ip(), 5_353)), "{rows:?}");
            assert_eq!(rows.len(), 3);
            world.wait(std::time::Duration::from_secs(1_000));
            assert_eq!(world.sessions(8).len(), 0);
        }
    }
}

#[test]
fn a_name_that_becomes_a_forwards_is_nobody_elses_and_free_once_the_forward_is_gone() {
    for family in FAMILIES {
        let mut with = Plan::forwards();
        with.v4.pools[0].addresses.truncate(1);
        with.v6.pools[0].addresses.truncate(1);
        (with.v4.pools[0].first_port, with.v4.pools[0].last_port) = (443, 443);
        (with.v6.pools[0].first_port, with.v6.pools[0].last_port) = (443, 443);
        let mut without = with.clone();
        without.v4.forwards = causeway_fastpath::nat::Forwards::new();
        without.v6.forwards = causeway_fastpath::nat::Forwards::new();
        let ask = |to| from(NODE_A).ip(family.pod_a2, to).udp(5_000, 53).build();
        let visit = from(ROUTER).ip(family.outside2, family.pool).udp(53, 443).build();

        let mut world = World::with(&without);
        world.send(NODES, ask(family.outside)).forwarded(UPLINK);
        world.install(&with);
        world.send(UPLINK, &visit).forwarded(NODES);
        world.send(NODES, ask(family.outside)).replied();
        assert_eq!(world.sessions(8).len(), 1, "of the visit");

        let mut world = World::with(&with);
        world.send(UPLINK, &visit).forwarded(NODES);
        world.install(&without);
        world.send(UPLINK, &visit).dropped(DropReason::NatUnsolicited);
        world.send(NODES, ask(family.outside2)).forwarded(UPLINK);
    }
}
