//! When the gateway must hold its tongue: RFC 1812, 4.3.2.7, and RFC 4443, 2.4 (e).

use causeway_fastpath::verdict::DropReason;
use causeway_testkit::packet::*;

use crate::world::{FAMILIES, Family, NODE_A, NODES, Plan, World, from};

/// A packet that no route leads on.
fn lost(family: Family) -> Ip {
    from(NODE_A).ip(family.pod_a, family.no_pod)
}

#[test]
fn no_error_is_answered_with_an_error() {
    for family in FAMILIES {
        let mut world = World::new();
        let quoted = lost(family).udp(1, 2).packet();
        let (errors, others): (&[u8], &[u8]) =
            if family.v4 { (&[3, 4, 5, 11, 12], &[42, 255]) } else { (&[1, 2, 3, 4], &[0, 5, 100, 127]) };
        for kind in errors.iter().chain(others) {
            let frame = lost(family).icmp(*kind, 0, [0; 4], &quoted).build();
            world.send(NODES, frame).dropped(DropReason::Unreachable);
            let frame = from(NODE_A).ip(family.pod_a, family.pod_b).ttl(1).icmp(*kind, 0, [0; 4], &quoted).build();
            world.send(NODES, frame).dropped(DropReason::TtlExpired);
        }
    }
}

#[test]
fn a_query_is_answered_like_any_packet() {
    for family in FAMILIES {
        let mut world = World::new();
        let query = lost(family).icmp(if family.v4 { 13 } else { 139 }, 0, [0; 4], [0; 12]).build();
        world.send(NODES, query).replied();
    }
}

#[test]
fn no_icmp_message_that_is_cut_short_is_answered() {
    for family in FAMILIES {
        let mut world = World::new();
        // Of an error, were it whole.
        let (protocol, kind) = if family.v4 { (1, 3) } else { (58, 1) };
        let frame = lost(family).raw(protocol, [kind, 0, 0, 0, 0, 0]).build();
        world.send(NODES, frame).dropped(DropReason::Unreachable);
    }
}

#[test]
fn the_first_fragment_of_an_error_is_an_error_too() {
    for family in FAMILIES {
        let mut world = World::new();
        let (kind, code) = family.host_unreachable;
        let error = lost(family).icmp(kind, code, [0; 4], [0; 1_600]);
        world.send(NODES, &error.fragments(1, 1_280)[0]).dropped(DropReason::Unreachable);
        // Nobody objects to an answer about the first fragment of a ping.
        let echo = lost(family).icmp_echo_request(1, 2).payload([0; 1_600]);
        world.send(NODES, &echo.fragments(1, 1_280)[0]).replied();
    }
}

#[test]
fn no_later_fragment_of_an_ipv4_packet_is_answered() {
    let mut world = World::new();
    let fragments = lost(FAMILIES[0]).udp(1, 2).payload([0; 3_000]).fragments(1, 1_000);
    world.send(NODES, &fragments[0]).replied();
    for later in &fragments[1..] {
        world.send(NODES, later).dropped(DropReason::Unreachable);
    }
}

#[test]
fn no_sender_that_is_none_is_answered() {
    for family in FAMILIES {
        let mut world = World::new();
        let sources: &[&str] = if family.v4 {
            &["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"]
        } else {
            &["::", "::1", "ff02::1", "ff0e::1", "::ffff:10.1.1.1"]
        };
        for source in sources {
            for ttl in [1, 64] {
                let frame = from(NODE_A).ip(*source, family.no_pod).ttl(ttl).udp(1, 2).build();
                world.send(NODES, frame).dropped(DropReason::MartianSource);
            }
        }
    }
}

#[test]
fn no_frame_from_a_group_address_is_answered() {
    for family in FAMILIES {
        let mut world = World::new();
        let link = from(NODE_A).src("03:00:00:00:00:01");
        let frame = link.ip(family.pod_a, family.no_pod).udp(1, 2).build();
        world.send(NODES, frame).dropped(DropReason::Unreachable);
    }
}

#[test]
fn no_multicast_is_answered() {
    for family in FAMILIES {
        let mut world = World::new();
        let groups: &[&str] =
            if family.v4 { &["224.0.0.5", "239.255.255.250", "255.255.255.255"] } else { &["ff02::5", "ff0e::1234"] };
        for group in groups {
            for ttl in [1, 64] {
                let frame = from(NODE_A).ip(family.pod_a, *group).ttl(ttl).udp(1, 2).build();
                world.send(NODES, frame).dropped(DropReason::Multicast);
                let link = from(NODE_A).dst(multicast_mac(*group));
                let frame = link.ip(family.pod_a, *group).ttl(ttl).udp(1, 2).build();
                world.send(NODES, frame).dropped(DropReason::Multicast);
            }
        }
    }
}

#[test]
fn a_port_without_address_sends_no_errors() {
    let mut plan = Plan::island();
    plan.ports[NODES.index()].v4 = None;
    let mut world = World::with(&plan);
    world.send(NODES, lost(FAMILIES[0]).udp(1, 2).build()).dropped(DropReason::Unreachable);
    let frame = from(NODE_A).ip("10.1.1.10", "10.1.2.20").ttl(1).udp(1, 2).build();
    world.send(NODES, frame).dropped(DropReason::TtlExpired);
}
