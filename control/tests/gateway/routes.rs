//! What `configs/lab.toml` promises, packet by packet.

use causeway_control::api::{Answer, RouteView, render};
use causeway_fastpath::verdict::{DropReason, Verdict};
use causeway_testkit::packet::*;
use causeway_testkit::{checksum, print};

use crate::lab::*;
use crate::world::{World, own_mac};

fn lab() -> World {
    lab_with(&[NODE_A, NODE_B, PLAIN, SERVER])
}

/// Sends a UDP packet and asserts that it leaves through `to` as it came.
#[track_caller]
fn passes(world: &mut World, from: &Host, src: &str, dst: &str, to: &Host) {
    let packet = |link: Eth, ttl| link.ip(src, dst).ttl(ttl).udp(5000, 53).payload("hello").build();
    world.send(from.port, packet(from.eth(), 64));
    world.expect(to.port, &[packet(eth().src(own_mac(to.port)).dst(to.mac), 63)]);
}

/// Sends a UDP packet and asserts that its sender is told why it cannot go on.
#[track_caller]
fn is_refused(world: &mut World, from: &Host, src: &str, dst: &str, error: (u8, u8)) {
    let packet = from.udp(src, dst);
    assert_eq!(world.send(from.port, packet.build()), Verdict::Reply(from.port));
    let (kind, code) = error;
    let own = own_address(from.port, family_of(src));
    let link = eth().src(own_mac(from.port)).dst(from.mac);
    let ip: Ip = match family_of(src) {
        Family::V4 => link.ipv4(own, src).tos(0xc0).df().ttl(64).into(),
        Family::V6 => link.ipv6(own, src).hop_limit(64).into(),
    };
    world.expect(from.port, &[ip.icmp_error(kind, code, [0; 4], &packet.quote(usize::MAX)).build()]);
}

/// Sends a UDP packet and asserts that it is dropped in silence.
#[track_caller]
fn is_dropped(world: &mut World, from: &Host, src: &str, dst: &str, reason: DropReason) {
    assert_eq!(world.send(from.port, from.udp(src, dst).build()), Verdict::Drop(reason), "{src} > {dst}");
    world.expect_silence();
}

#[test]
fn the_routes_of_the_lab_are_these() {
    let answer = Answer::Routes(RouteView::all(&World::lab().control));
    assert_eq!(render(&answer, false), include_str!("lab-routes.txt"));
}

#[test]
fn pods_reach_pods_of_other_nodes_and_their_own_untranslated() {
    let mut world = lab();
    passes(&mut world, &NODE_A, "10.1.1.10", "10.1.2.10", &NODE_B);
    passes(&mut world, &NODE_B, "10.1.2.255", "10.1.1.0", &NODE_A);
    passes(&mut world, &NODE_A, "10.1.1.10", "10.1.1.11", &NODE_A);
    passes(&mut world, &NODE_A, "fd00:10:0:1::10", "fd00:10:0:2::10", &NODE_B);
    assert_eq!(world.forwarder.sessions(), (0, 0));
}

#[test]
fn nodes_reach_pods_and_each_other_and_pods_reach_nodes_untranslated() {
    let mut world = lab();
    passes(&mut world, &NODE_A, "192.168.0.11", "10.1.2.10", &NODE_B);
    passes(&mut world, &NODE_B, "10.1.2.10", "192.168.0.11", &NODE_A);
    passes(&mut world, &NODE_B, "10.1.2.10", "192.168.0.77", &PLAIN);
    passes(&mut world, &NODE_A, "fd00:a::11", "fd00:10:0:2::10", &NODE_B);
    passes(&mut world, &NODE_B, "fd00:10:0:2::10", "fd00:a::77", &PLAIN);
    assert_eq!(world.forwarder.sessions(), (0, 0));
}

#[test]
fn pods_reach_the_outside_under_a_pool_address_and_answers_come_back() {
    let mut world = lab();
    for (pod, pool) in [("10.1.1.10", "203.0.113."), ("fd00:10:0:1::10", "2001:db8:1::10")] {
        let family = family_of(pod);
        let server = SERVER.address(family);
        world.send(NODES, NODE_A.eth().ip(pod, server).ttl(64).udp(5000, 53).payload("hello").build());
        let out = world.sent_by(UPLINK).remove(0);
        assert_eq!(checksum::verify(&out), Ok(()));
        assert_eq!(out[..12], [SERVER.mac, own_mac(UPLINK)].concat());
        let (outside, port) = source(&out);
        assert!(outside.to_string().starts_with(pool), "{}", print::line(&out));
        assert!(port >= 1024);
        let answer = SERVER.eth().ip(server.to_ip(), outside).ttl(9).udp(53, port).payload("answer").build();
        assert_eq!(world.send(UPLINK, answer), Verdict::Forward(NODES));
        let link = eth().src(own_mac(NODES)).dst(NODE_A.mac);
        world.expect(NODES, &[link.ip(server, pod).ttl(8).udp(53, 5000).payload("answer").build()]);
    }
}

/// Source address and port of a UDP frame without IP options.
fn source(frame: &[u8]) -> (std::net::IpAddr, u16) {
    let port = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    match frame[12] {
        8 => (<[u8; 4]>::try_from(&frame[26..30]).expect("four bytes").into(), port(34)),
        _ => (<[u8; 16]>::try_from(&frame[22..38]).expect("sixteen bytes").into(), port(54)),
    }
}

#[test]
fn nodes_and_the_outside_reach_each_other_untranslated() {
    let mut world = lab();
    for family in FAMILIES {
        let (node, server) = (NODE_A.address(family), SERVER.address(family));
        passes(&mut world, &NODE_A, node, server, &SERVER);
        passes(&mut world, &SERVER, server, node, &NODE_A);
    }
    assert_eq!(world.forwarder.sessions(), (0, 0));
}

#[test]
fn pods_are_unreachable_from_the_outside() {
    let mut world = lab();
    is_refused(&mut world, &SERVER, "203.0.113.10", "10.1.1.10", (3, 1));
    is_refused(&mut world, &SERVER, "203.0.113.10", "10.96.0.1", (3, 0));
    is_refused(&mut world, &SERVER, "2001:db8:1::10", "fd00:10:0:1::10", (1, 3));
}

#[test]
fn a_default_route_does_not_send_what_is_for_pods_back_to_the_outside() {
    let text = lab_config() + "[[route]]\nto = \"0.0.0.0/0\"\nvia = \"203.0.113.10\"\n";
    let mut world = World::start(&text).started();
    is_refused(&mut world, &SERVER, "203.0.113.10", "10.1.1.10", (3, 1));
}

fn lab_config() -> String {
    std::fs::read_to_string(crate::world::configs().join("lab.toml")).expect("the file is there")
}

#[test]
fn nobody_has_a_route_to_nowhere() {
    let mut world = lab();
    is_refused(&mut world, &NODE_A, "10.1.1.10", "8.8.8.8", (3, 0));
    is_refused(&mut world, &NODE_A, "192.168.0.11", "8.8.8.8", (3, 0));
    is_refused(&mut world, &NODE_A, "fd00:10:0:1::10", "2001:db8:9::1", (1, 0));
    assert_eq!(world.forwarder.sessions(), (0, 0), "no session begins that leads nowhere");
}

#[test]
fn what_no_node_has_and_services_are_unreachable_from_inside() {
    let mut world = lab();
    for sender in ["10.1.1.10", "192.168.0.11"] {
        is_refused(&mut world, &NODE_A, sender, "10.1.9.1", (3, 1));
        is_refused(&mut world, &NODE_A, sender, "10.96.0.1", (3, 1));
        is_refused(&mut world, &NODE_A, sender, "10.111.255.255", (3, 1));
    }
    is_refused(&mut world, &NODE_A, "fd00:10:0:1::10", "fd00:10:0:9::1", (1, 3));
}

#[test]
fn who_is_neither_pod_nor_node_stays_inside() {
    let mut world = lab();
    for source in ["172.31.0.1", "8.8.8.8", "203.0.113.10", "203.0.113.16", "10.2.0.1"] {
        is_dropped(&mut world, &NODE_A, source, "203.0.113.10", DropReason::NotInIsland);
    }
    for source in ["fd00:99::1", "2001:db8:1::10", "2001:db8:1::100"] {
        is_dropped(&mut world, &NODE_A, source, "2001:db8:1::10", DropReason::NotInIsland);
    }
}

#[test]
fn what_nobody_asked_for_does_not_get_in_by_a_pool_address() {
    let mut world = lab();
    is_dropped(&mut world, &SERVER, "203.0.113.10", "203.0.113.16", DropReason::NatUnsolicited);
    is_dropped(&mut world, &SERVER, "2001:db8:1::10", "2001:db8:1::100", DropReason::NatUnsolicited);
}

#[test]
fn directed_broadcasts_are_dropped_in_silence() {
    let mut world = lab();
    for target in ["192.168.0.255", "192.168.0.0"] {
        is_dropped(&mut world, &SERVER, "203.0.113.10", target, DropReason::Blackhole);
        is_dropped(&mut world, &NODE_A, "10.1.1.10", target, DropReason::Blackhole);
    }
    for target in ["203.0.113.255", "203.0.113.0"] {
        is_dropped(&mut world, &NODE_A, "10.1.1.10", target, DropReason::Blackhole);
        is_dropped(&mut world, &NODE_A, "192.168.0.11", target, DropReason::Blackhole);
    }
}

#[test]
fn own_addresses_answer_pings_from_every_side() {
    let mut world = lab();
    let uplink_link_local = link_local(UPLINK);
    let pings = [
        (NODE_A, "10.1.1.10", "192.168.0.1"),
        (NODE_A, "10.1.1.10", "203.0.113.2"),
        (NODE_A, "192.168.0.11", "203.0.113.2"),
        (SERVER, "203.0.113.10", "203.0.113.2"),
        (SERVER, "203.0.113.10", "192.168.0.1"),
        (NODE_A, "fd00:10:0:1::10", "2001:db8:1::2"),
        (SERVER, "2001:db8:1::10", "fd00:a::1"),
        (SERVER, "fe80::aa", uplink_link_local.as_str()),
    ];
    for (host, src, dst) in pings {
        world.send(host.port, host.eth().ip(src, dst).icmp_echo_request(7, 1).payload("ping").build());
        let link = eth().src(own_mac(host.port)).dst(host.mac);
        world.expect(host.port, &[link.ip(dst, src).ttl(64).icmp_echo_reply(7, 1).payload("ping").build()]);
    }
    // Pool addresses are nobody.
    let ping = SERVER.eth().ipv4("203.0.113.10", "203.0.113.16").icmp_echo_request(7, 1).build();
    assert_eq!(world.send(UPLINK, ping), Verdict::Drop(DropReason::NatUnsolicited));
}
