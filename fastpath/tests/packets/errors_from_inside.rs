//! ICMP errors from inside about translated flows: RFC 5508, REQ-5.

use causeway_fastpath::verdict::DropReason;
use causeway_testkit::packet::*;
use causeway_testkit::print::assert_frames_eq;

use crate::world::{Endpoint, FAMILIES, Family, NODE_A, NODES, ROUTER, UPLINK, World, from, source, to};

/// A world in which pod A has asked and was answered, and its name outside.
fn asked(family: Family) -> (World, Endpoint) {
    let mut world = World::new();
    let ask = from(NODE_A).ip(family.pod_a, family.outside).udp(5_000, 53).build();
    let name = source(world.send(NODES, ask).forwarded(UPLINK));
    let answer = from(ROUTER).ip(family.outside.to_ip(), name.0).udp(53, name.1).payload(b"late").build();
    world.send(UPLINK, answer).forwarded(NODES);
    world.counted();
    (world, name)
}

/// The answer as the pod received it.
fn answer_inside(family: Family) -> Vec<u8> {
    to(NODE_A).ip(family.outside, family.pod_a).ttl(50).udp(53, 5_000).payload(b"late").packet()
}

#[test]
fn an_error_from_the_pod_or_from_a_router_inside_leaves_under_the_pods_public_name() {
    for family in FAMILIES {
        let (mut world, name) = asked(family);
        for (reporter, (kind, code)) in [
            (family.pod_a, family.port_unreachable),
            // A node on the way to the pod, and one whose address nobody routes.
            (family.node_a, family.host_unreachable),
            (family.stranger, family.time_exceeded),
        ] {
            let error = from(NODE_A).ip(reporter, family.outside).ttl(64);
            let out = world.send(NODES, error.icmp_error(kind, code, [0; 4], &answer_inside(family)).build());
            let quoted =
                to(ROUTER).ip(family.outside.to_ip(), name.0).ttl(50).udp(53, name.1).payload(b"late").packet();
            let expected = to(ROUTER).ip(name.0, family.outside.to_ip()).ttl(63);
            assert_frames_eq(expected.icmp_error(kind, code, [0; 4], &quoted).build(), out.forwarded(UPLINK));
        }
        world.expect_counted(&[("received", 3), ("forwarded", 3), ("translated-errors", 3)]);
    }
}

#[test]
fn truncated_quotes_from_inside_are_translated_as_far_as_they_go() {
    for family in FAMILIES {
        let (mut world, name) = asked(family);
        let (kind, code) = family.port_unreachable;
        for len in family.ip_header + 8..family.ip_header + 12 {
            let error = from(NODE_A).ip(family.pod_a, family.outside);
            let error = error.icmp_error(kind, code, [0; 4], &answer_inside(family)).quote_len(len);
            let out = world.send(NODES, error.build());
            let quoted =
                to(ROUTER).ip(family.outside.to_ip(), name.0).ttl(50).udp(53, name.1).payload(b"late").packet();
            let expected = to(ROUTER).ip(name.0, family.outside.to_ip()).ttl(63);
            let expected = expected.icmp_error(kind, code, [0; 4], &quoted).quote_len(len);
            assert_frames_eq(expected.build(), out.forwarded(UPLINK));
        }
    }
}

#[test]
fn an_error_that_quotes_no_translated_flow_would_show_private_addresses_and_is_dropped() {
    for family in FAMILIES {
        let (mut world, name) = asked(family);
        let (kind, code) = family.port_unreachable;
        let quotes = [
            // Nobody's flow, the flow the wrong way round, the flow by its public name.
            to(NODE_A).ip(family.outside, family.pod_a).udp(53, 5_001).packet(),
            to(NODE_A).ip(family.outside2, family.pod_a).udp(53, 5_000).packet(),
            to(NODE_A).ip(family.pod_a, family.outside).udp(5_000, 53).packet(),
            to(NODE_A).ip(family.outside.to_ip(), name.0).udp(53, name.1).packet(),
            vec![0; 60],
            vec![],
        ];
        for reporter in [family.pod_a, family.node_a] {
            for quoted in &quotes {
                let error = from(NODE_A).ip(reporter, family.outside).icmp_error(kind, code, [0; 4], quoted).build();
                let out = world.send(NODES, error);
                out.dropped(DropReason::NatIcmpErrorUnmatched);
            }
        }
        let error = from(NODE_A).ip(family.pod_a, family.outside);
        let error = error.icmp_error(kind, code, [0; 4], &answer_inside(family)).bad_checksum().build();
        world.send(NODES, error).dropped(DropReason::NatIcmpErrorUnmatched);
    }
}

#[test]
fn an_error_goes_to_the_sender_of_what_it_quotes_and_to_nobody_else() {
    for family in FAMILIES {
        let (mut world, _) = asked(family);
        let (kind, code) = family.port_unreachable;
        let error = from(NODE_A).ip(family.pod_a, family.outside2);
        let error = error.icmp_error(kind, code, [0; 4], &answer_inside(family)).build();
        world.send(NODES, error).dropped(DropReason::NatIcmpErrorUnmatched);
    }
}

#[test]
fn a_node_that_travels_under_its_own_name_reports_errors_under_it() {
    for family in FAMILIES {
        let mut world = World::new();
        let (kind, code) = family.port_unreachable;
        let error = |link: Eth, ttl| {
            let quoted = to(NODE_A).ip(family.outside, family.node_a).udp(53, 5_000).packet();
            link.ip(family.node_a, family.outside).ttl(ttl).icmp_error(kind, code, [0; 4], &quoted).build()
        };
        assert_frames_eq(error(to(ROUTER), 63), world.send(NODES, error(from(NODE_A), 64)).forwarded(UPLINK));
        world.expect_counted(&[("received", 1), ("forwarded", 1)]);
    }
}

#[test]
fn errors_between_pods_are_routed_with_their_quotes_untouched() {
    for family in FAMILIES {
        let mut world = World::new();
        let (kind, code) = family.port_unreachable;
        let error = |link: Eth, ttl| {
            let quoted = to(NODE_A).ip(family.pod_b, family.pod_a).udp(53, 5_000).packet();
            link.ip(family.pod_a, family.pod_b).ttl(ttl).icmp_error(kind, code, [0; 4], &quoted).build()
        };
        let out = world.send(NODES, error(from(NODE_A), 64));
        assert_frames_eq(error(to(crate::world::NODE_B), 63), out.forwarded(NODES));
    }
}

#[test]
fn an_error_about_the_answer_to_a_ping_quotes_the_public_identifier_even_for_0() {
    for family in FAMILIES {
        let mut world = World::new();
        for identifier in [0, 7] {
            let ask = from(NODE_A).ip(family.pod_a, family.outside).icmp_echo_request(identifier, 1).build();
            let name = source(world.send(NODES, ask).forwarded(UPLINK));
            let (kind, code) = family.host_unreachable;
            let saw = to(NODE_A).ip(family.outside, family.pod_a).icmp_echo_reply(identifier, 1).packet();
            let error = from(NODE_A).ip(family.pod_a, family.outside).icmp_error(kind, code, [0; 4], &saw).build();
            let sent = to(ROUTER).ip(family.outside.to_ip(), name.0).icmp_echo_reply(name.1, 1).packet();
            let expected = to(ROUTER).ip(name.0, family.outside.to_ip()).ttl(63);
            let expected = expected.icmp_error(kind, code, [0; 4], &sent).build();
            assert_frames_eq(expected, world.send(NODES, error).forwarded(UPLINK));
        }
    }
}
