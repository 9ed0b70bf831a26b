//! What stays in the island is routed and nothing else.

use causeway_testkit::packet::*;
use causeway_testkit::print::assert_frames_eq;

use crate::world::{FAMILIES, Family, NODE_A, NODE_B, NODES, World, from, to};

/// As node A sends it, and as node B receives it, but for the TTL.
fn between_pods(family: Family, back: bool, ttl: u8) -> Ip {
    let link = if back { to(NODE_B) } else { from(NODE_A) };
    link.ip(family.pod_a, family.pod_b).ttl(ttl).tos(0xb9)
}

#[test]
fn pod_to_pod_traffic_changes_in_ttl_and_macs_alone() {
    for family in FAMILIES {
        let mut world = World::new();
        let all = |ip: Ip| {
            [
                ip.clone().tcp(40_000, 443).flags(SYN).mss(1460).build(),
                ip.clone().udp(5_000, 53).payload(b"odd").build(),
                ip.clone().icmp_echo_request(7, 1).payload(b"ping").build(),
                ip.clone().icmp_echo_reply(7, 1).build(),
                ip.clone().icmp_error(3, 1, [0; 4], &ip.clone().ttl(9).udp(1, 2).packet()).build(),
                ip.clone().sctp(1, 2, 3, b"chunks").build(),
                ip.clone().udp_lite(1, 2, 8, b"lite").build(),
                ip.gre(0x88b5, b"tunnelled").build(),
            ]
        };
        let (came, expected) = (all(between_pods(family, false, 64)), all(between_pods(family, true, 63)));
        for (came, expected) in came.iter().zip(expected) {
            assert_frames_eq(expected, world.send(NODES, came).forwarded(NODES));
        }
        world.expect_counted(&[("received", 8), ("forwarded", 8)]);
    }
}

#[test]
fn a_packet_that_damaged_its_transport_is_routed_all_the_same() {
    for family in FAMILIES {
        let mut world = World::new();
        let all = |ip: Ip| {
            [
                ip.clone().udp(1, 2).length(7).build(),
                ip.clone().tcp(1, 2).data_offset(15).build(),
                ip.clone().tcp(1, 2).bad_checksum().build(),
                ip.clone().udp(1, 2).bad_checksum().build(),
                ip.raw(6, b"short").build(),
            ]
        };
        let (came, expected) = (all(between_pods(family, false, 2)), all(between_pods(family, true, 1)));
        for (came, expected) in came.iter().zip(expected) {
            assert_frames_eq(expected, world.send(NODES, came).forwarded(NODES));
        }
    }
}

#[test]
fn ethernet_padding_is_not_sent_on() {
    for family in FAMILIES {
        let mut world = World::new();
        let came = between_pods(family, false, 64).udp(1, 2).trailing([0xee; 9]).pad_to_60().build();
        let expected = between_pods(family, true, 63).udp(1, 2).build();
        assert_frames_eq(expected, world.send(NODES, came).forwarded(NODES));
    }
}

#[test]
fn fragments_travel_between_pods_in_order_and_whole() {
    for family in FAMILIES {
        let mut world = World::new();
        let datagram = |back, ttl| between_pods(family, back, ttl).udp(1, 2).payload([5; 3_000]);
        let expected = datagram(true, 63).fragments(77, 1_300);
        for (came, expected) in datagram(false, 64).fragments(77, 1_300).iter().zip(expected) {
            assert_frames_eq(expected, world.send(NODES, came).forwarded(NODES));
        }
    }
}

#[test]
fn options_and_extension_headers_do_not_stop_a_packet() {
    let mut world = World::new();
    let v4 = |link: Eth, ttl| link.ipv4("10.1.1.10", "10.1.2.20").ttl(ttl).options([1, 1, 7, 3, 4]).udp(1, 2).build();
    assert_frames_eq(v4(to(NODE_B), 9), world.send(NODES, v4(from(NODE_A), 10)).forwarded(NODES));
    let v6 = |link: Eth, ttl| {
        let ip = link.ipv6("fd00:10:0:1::10", "fd00:10:0:2::20").ttl(ttl);
        ip.hop_by_hop([5, 2, 0, 0]).routing(4, 0, [0; 4]).dest_opts([1, 4, 0, 0, 0, 0]).udp(1, 2).build()
    };
    assert_frames_eq(v6(to(NODE_B), 9), world.send(NODES, v6(from(NODE_A), 10)).forwarded(NODES));
}

#[test]
fn the_reserved_flag_and_every_ip_field_but_the_ttl_stay() {
    let mut world = World::new();
    let v4 = |link: Eth, ttl| {
        let ip = link.ipv4("10.1.1.10", "10.1.2.20").ttl(ttl).id(0xbeef).df().reserved_flag().tos(0xff);
        ip.udp(1, 2).build()
    };
    assert_frames_eq(v4(to(NODE_B), 254), world.send(NODES, v4(from(NODE_A), 255)).forwarded(NODES));
    let v6 = |link: Eth, ttl| {
        let ip = link.ipv6("fd00:10:0:1::10", "fd00:10:0:2::20").ttl(ttl).flow_label(0xabcde).traffic_class(0xff);
        ip.udp(1, 2).build()
    };
    assert_frames_eq(v6(to(NODE_B), 254), world.send(NODES, v6(from(NODE_A), 255)).forwarded(NODES));
}

#[test]
fn a_pod_speaks_to_a_node_and_a_node_to_a_pod_untranslated() {
    for family in FAMILIES {
        let mut world = World::new();
        let to_node = |link: Eth, ttl| link.ip(family.pod_b, family.node_a).ttl(ttl).tcp(1, 10_250).build();
        let out = world.send(NODES, to_node(from(NODE_B), 64));
        assert_frames_eq(to_node(to(NODE_A), 63), out.forwarded(NODES));
        let to_pod = |link: Eth, ttl| link.ip(family.node_a, family.pod_b).ttl(ttl).tcp(10_250, 1).build();
        let out = world.send(NODES, to_pod(from(NODE_A), 64));
        assert_frames_eq(to_pod(to(NODE_B), 63), out.forwarded(NODES));
        world.expect_counted(&[("received", 2), ("forwarded", 2)]);
    }
}

#[test]
fn every_decremented_ttl_leaves_a_right_header_checksum() {
    let mut world = World::new();
    for id in 0..=u16::MAX {
        let ttl = 2 + (id % 254) as u8;
        let frame = from(NODE_A).ipv4("10.1.1.10", "10.1.2.20").ttl(ttl).id(id).udp(1, 2).build();
        world.send(NODES, frame).forwarded(NODES);
    }
}
