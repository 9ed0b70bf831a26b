//! The ICMP errors that the gateway sends, to the byte.

use causeway_fastpath::fib::Hop;
use causeway_fastpath::ids::VrfId;
use causeway_fastpath::snapshot::NeighborState;
use causeway_fastpath::verdict::DropReason;
use causeway_testkit::packet::*;
use causeway_testkit::print::assert_frames_eq;

use crate::world::{
    FAMILIES, Family, ISLAND, NODE_A, NODE_B, NODES, Plan, ROUTER, SERVER, UPLINK, V4, World, from, link_local, source,
    to,
};

/// The error to pod A that quotes `quoted`.
fn error_to_pod(family: Family, (kind, code): (u8, u8), quoted: &[u8]) -> Vec<u8> {
    let ip = to(NODE_A).ip(family.gateway_inside, family.pod_a).tos(family.error_tos).df();
    ip.icmp_error(kind, code, [0; 4], quoted).build()
}

#[test]
fn a_ttl_that_runs_out_is_answered_from_the_port_it_came_in_by_with_the_packet_as_it_came() {
    for family in FAMILIES {
        for destination in [family.pod_b, family.outside, family.node_a, family.unknown_node] {
            for ttl in [0, 1] {
                let mut world = World::new();
                let sent =
                    from(NODE_A).ip(family.pod_a, destination).ttl(ttl).tos(3).udp(33_000, 33_434).payload(b"probe");
                let out = world.send(NODES, sent.build());
                assert_frames_eq(error_to_pod(family, family.time_exceeded, &sent.packet()), out.replied());
                world.expect_counted(&[("received", 1), ("replied", 1)]);
                assert_eq!(world.sessions(8).len(), 0, "nothing left, so nothing is tracked");
            }
        }
    }
}

#[test]
fn a_ttl_that_runs_out_on_the_way_in_shows_the_public_name() {
    for family in FAMILIES {
        let mut world = World::new();
        let ask = from(NODE_A).ip(family.pod_a, family.outside).udp(5_000, 53).build();
        let name = source(world.send(NODES, ask).forwarded(UPLINK));
        world.counted();
        let sent = from(ROUTER).ip(family.outside.to_ip(), name.0).ttl(1).udp(53, name.1);
        let out = world.send(UPLINK, sent.build());
        let (kind, code) = family.time_exceeded;
        let ip = to(ROUTER).ip(family.gateway_outside, family.outside).tos(family.error_tos).df();
        assert_frames_eq(ip.icmp_error(kind, code, [0; 4], &sent.packet()).build(), out.replied());
        world.expect_counted(&[("received", 1), ("replied", 1)]);
    }
}

#[test]
fn an_error_quotes_at_most_so_much_that_it_keeps_to_the_least_mtu() {
    for family in FAMILIES {
        let mut world = World::new();
        for len in [0, 500, 520, 521, 1_184, 1_185, 1_400] {
            let sent = from(NODE_A).ip(family.pod_a, family.no_pod).udp(1, 2).payload(vec![9; len]);
            let out = world.send(NODES, sent.clone().trailing(b"not of the packet").build());
            assert_frames_eq(error_to_pod(family, family.host_unreachable, &sent.packet()), out.replied());
            assert!(out.bytes.len() - 14 <= family.longest_error);
        }
    }
}

#[test]
fn options_and_extension_headers_are_quoted_too() {
    let mut world = World::new();
    let sent = from(NODE_A).ipv4("10.1.1.10", "10.1.77.1").options([1; 40]).udp(1, 2).payload(b"x");
    let out = world.send(NODES, sent.build());
    assert_frames_eq(error_to_pod(FAMILIES[0], (3, 1), &sent.packet()), out.replied());
    let sent = from(NODE_A).ipv6("fd00:10:0:1::10", "fd00:10:0:77::1").hop_by_hop([5, 2, 0, 0]).udp(1, 2);
    let out = world.send(NODES, sent.build());
    assert_frames_eq(error_to_pod(FAMILIES[1], (1, 3), &sent.packet()), out.replied());
}

#[test]
fn a_pod_that_is_on_no_node_is_unreachable() {
    for family in FAMILIES {
        let mut world = World::new();
        let sent = from(NODE_A).ip(family.pod_a, family.no_pod).tcp(1, 2).flags(SYN);
        let out = world.send(NODES, sent.build());
        assert_frames_eq(error_to_pod(family, family.host_unreachable, &sent.packet()), out.replied());
    }
}

#[test]
fn without_a_route_the_network_is_unreachable() {
    for family in FAMILIES {
        for lost in [ISLAND, VrfId::MAIN] {
            let mut plan = Plan::island();
            plan.v4.without_route(lost, "0.0.0.0/0");
            plan.v6.without_route(lost, "::/0");
            let mut world = World::with(&plan);
            let sent = from(NODE_A).ip(family.pod_a, family.outside).icmp_echo_request(1, 2).payload([0; 56]);
            let out = world.send(NODES, sent.build());
            assert_frames_eq(error_to_pod(family, family.no_route, &sent.packet()), out.replied());
            assert_eq!(world.sessions(8).len(), 0);
        }
    }
}

#[test]
fn a_prohibit_route_says_so() {
    for family in FAMILIES {
        let mut world = World::new();
        let sent = from(NODE_A).ip(family.pod_a, family.prohibited).udp(1, 2);
        let out = world.send(NODES, sent.build());
        assert_frames_eq(error_to_pod(family, family.admin_prohibited, &sent.packet()), out.replied());
        assert_eq!(world.sessions(8).len(), 0);
    }
}

#[test]
fn a_black_hole_says_nothing() {
    for family in FAMILIES {
        let mut world = World::new();
        let sent = from(NODE_A).ip(family.pod_a, family.blackhole).udp(1, 2).build();
        world.send(NODES, sent).dropped(DropReason::Blackhole);
        world.expect_counted(&[("received", 1), ("blackhole", 1)]);
        assert_eq!(world.sessions(8).len(), 0);
    }
}

#[test]
fn a_dead_neighbor_makes_the_host_unreachable() {
    for family in FAMILIES {
        let mut plan = Plan::island();
        plan.adjacencies[NODE_B.index()].state = NeighborState::Dead;
        plan.adjacencies[SERVER.index()].state = NeighborState::Dead;
        let mut world = World::with(&plan);
        for destination in [family.pod_b, family.server] {
            let sent = from(NODE_A).ip(family.pod_a, destination).udp(1, 2);
            let out = world.send(NODES, sent.build());
            assert_frames_eq(error_to_pod(family, family.host_unreachable, &sent.packet()), out.replied());
        }
        // No session was begun.
        world.expect_counted(&[("received", 2), ("replied", 2)]);
    }
}

#[test]
fn an_inbound_packet_whose_pod_has_gone_is_refused_under_the_public_name() {
    for family in FAMILIES {
        let mut plan = Plan::island();
        let mut world = World::with(&plan);
        let ask = from(NODE_A).ip(family.pod_a, family.outside).udp(5_000, 53).build();
        let name = source(world.send(NODES, ask).forwarded(UPLINK));
        plan.v4.route(ISLAND, "10.1.1.0/24", Hop::Unreachable);
        plan.v6.route(ISLAND, "fd00:10:0:1::/64", Hop::Unreachable);
        world.install(&plan);
        let sent = from(ROUTER).ip(family.outside.to_ip(), name.0).udp(53, name.1);
        let out = world.send(UPLINK, sent.build());
        let (kind, code) = family.host_unreachable;
        let ip = to(ROUTER).ip(family.gateway_outside, family.outside).tos(family.error_tos).df();
        assert_frames_eq(ip.icmp_error(kind, code, [0; 4], &sent.packet()).build(), out.replied());
    }
}

#[test]
fn what_is_sent_to_the_gateway_is_refused_by_the_address_it_was_sent_to() {
    let mut world = World::new();
    for ours in ["fd00:a::1".to_ipv6(), link_local(NODES)] {
        let sent = from(NODE_A).ipv6("fe80::11", ours).udp(1, 2);
        let out = world.send(NODES, sent.build());
        let ip = to(NODE_A).ipv6(ours, "fe80::11");
        assert_frames_eq(ip.icmp_error(1, 4, [0; 4], &sent.packet()).build(), out.replied());
    }
}

#[test]
fn a_fragment_of_an_ipv6_packet_is_refused_like_any_other() {
    // RFC 4443, 2.4 (e), names what is not answered; fragments are not in the list.
    let mut world = World::new();
    let whole = from(NODE_A).ipv6("fd00:10:0:1::10", "fd00:10:0:77::1").udp(1, 2).payload([0; 2_000]);
    for fragment in whole.fragments(9, 1_280) {
        let out = world.send(NODES, &fragment);
        assert_frames_eq(error_to_pod(FAMILIES[1], (1, 3), &quote(&fragment, 2_000)), out.replied());
    }
}

#[test]
fn without_room_before_the_packet_there_is_no_answer() {
    for family in FAMILIES {
        let mut world = World::new();
        world.headroom = family.ip_header + 7;
        let sent = from(NODE_A).ip(family.pod_a, family.no_pod).udp(1, 2).build();
        world.send(NODES, &sent).dropped(DropReason::ReplyNoRoom);
        world.headroom += 1;
        world.send(NODES, sent).replied();
    }
}

#[test]
fn options_that_overrun_the_header_are_reported_with_where_they_begin() {
    let mut world = World::new();
    for (options, at) in
        [(&[7, 1][..], 20), (&[7, 0], 20), (&[1, 1, 7, 9], 22), (&[1, 1, 1, 7], 23), (&[148, 4, 0, 0, 7, 200], 24)]
    {
        for dst in [V4.pod_b, V4.outside, V4.gateway_inside, V4.no_pod] {
            let sent = from(NODE_A).ipv4(V4.pod_a, dst).options(options).udp(1, 2).payload(b"data");
            let error =
                to(NODE_A).ipv4(V4.gateway_inside, V4.pod_a).tos(0xc0).icmp_error(12, 0, [at, 0, 0, 0], &sent.packet());
            assert_frames_eq(error.build(), world.send(NODES, sent.build()).replied());
        }
    }
    // From outside too, about what is for a pool, and in whatever a packet carries but an
    // error.
    let sent = from(ROUTER).ipv4(V4.outside, V4.pool).options([7, 1]).icmp_echo_request(1, 2);
    let error =
        to(ROUTER).ipv4(V4.gateway_outside, V4.outside).tos(0xc0).icmp_error(12, 0, [20, 0, 0, 0], &sent.packet());
    assert_frames_eq(error.build(), world.send(UPLINK, sent.build()).replied());
}

#[test]
fn options_that_overrun_the_header_are_dropped_in_silence_where_no_error_is_due() {
    let mut world = World::new();
    let quoted = from(NODE_A).ipv4(V4.pod_b, V4.pod_a).udp(1, 2).packet();
    let bad = |src: &str, dst: &str| from(NODE_A).ipv4(src, dst).options([7, 1]);
    for (frame, reason) in [
        (bad(V4.pod_a, V4.pod_b).icmp_error(3, 1, [0; 4], &quoted).build(), DropReason::OptionsBad),
        (bad(V4.pod_a, V4.pod_b).fragment(64, true).raw(17, [0; 64]).build(), DropReason::OptionsBad),
        (bad("169.254.1.1", V4.pod_b).udp(1, 2).build(), DropReason::OptionsBad),
        (bad("127.0.0.1", V4.pod_b).udp(1, 2).build(), DropReason::MartianSource),
        (bad(V4.gateway_inside, V4.pod_b).udp(1, 2).build(), DropReason::MartianSource),
        (bad(V4.pod_a, "224.0.0.9").udp(1, 2).build(), DropReason::Multicast),
        (bad(V4.pod_a, V4.pod_b).bad_checksum().udp(1, 2).build(), DropReason::Ipv4ChecksumBad),
    ] {
        world.send(NODES, frame).dropped(reason);
    }
    // Nor is one due about what is for nobody, or for a whole subnet.
    let nobody = from(ROUTER).ipv4(V4.outside, V4.blackhole).options([7, 1]).udp(1, 2).build();
    world.send(UPLINK, nobody).dropped(DropReason::OptionsBad);
    world.send(NODES, bad(V4.pod_a, V4.blackhole).udp(1, 2).build()).dropped(DropReason::OptionsBad);
}
