//! Packets that nobody should send.

use causeway_fastpath::ids::PortId;
use causeway_fastpath::verdict::DropReason;
use causeway_testkit::packet::*;

use crate::world::{FAMILIES, NODE_A, NODES, ROUTER, UPLINK, V4, V6, World, from, link_local};

#[test]
fn addresses_that_nobody_may_send_from_or_to_stop_here() {
    for family in FAMILIES {
        let mut world = World::new();
        let (sources, destinations): (&[&str], &[&str]) = if family.v4 {
            (
                &["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"],
                &["0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.255", "240.0.0.1", "255.255.255.254"],
            )
        } else {
            (&["::", "::1", "ff02::1", "::ffff:192.0.2.1"], &["::", "::1", "::ffff:192.0.2.1"])
        };
        for source in sources {
            for destination in [family.pod_b, family.outside, family.gateway_inside] {
                let frame = from(NODE_A).ip(*source, destination).icmp_echo_request(1, 2).build();
                world.send(NODES, frame).dropped(DropReason::MartianSource);
            }
        }
        for destination in destinations {
            let frame = from(NODE_A).ip(family.pod_a, *destination).udp(1, 2).build();
            world.send(NODES, frame).dropped(DropReason::MartianDestination);
        }
    }
}

#[test]
fn link_local_packets_stay_on_their_link() {
    // RFC 3927, section 7; RFC 4291, 2.5.6.
    for family in FAMILIES {
        let mut world = World::new();
        let local = if family.v4 { "169.254.1.1" } else { "fe80::77" };
        for ttl in [1, 64, 255] {
            for destination in [family.pod_b, family.outside, family.node_a, family.unknown_node, family.no_pod] {
                let frame = from(NODE_A).ip(local, destination).ttl(ttl).udp(1, 2).build();
                world.send(NODES, frame).dropped(DropReason::MartianSource);
            }
            let frame = from(NODE_A).ip(family.pod_a, local).ttl(ttl).udp(1, 2).build();
            world.send(NODES, frame).dropped(DropReason::MartianDestination);
            let frame = from(ROUTER).ip(local, family.pool).ttl(ttl).udp(1, 2).build();
            world.send(UPLINK, frame).dropped(DropReason::MartianSource);
        }
        assert_eq!(world.sessions(8).len(), 0);
    }
}

#[test]
fn a_packet_from_our_own_address_is_not_believed() {
    // RFC 1812, 5.3.7.
    for family in FAMILIES {
        let mut world = World::new();
        for destination in [family.gateway_inside, family.pod_b, family.outside] {
            let frame = from(NODE_A).ip(family.gateway_inside, destination).icmp_echo_request(1, 2).build();
            world.send(NODES, frame).dropped(DropReason::MartianSource);
        }
    }
    let mut world = World::new();
    let frame = from(NODE_A).ipv6(link_local(NODES), link_local(NODES)).icmp_echo_request(1, 2).build();
    world.send(NODES, frame).dropped(DropReason::MartianSource);
}

#[test]
fn source_routes_are_not_followed() {
    let mut world = World::new();
    for option in [131, 137] {
        for destination in [V4.pod_b, V4.outside, V4.gateway_inside] {
            let ip = from(NODE_A).ipv4(V4.pod_a, destination).options([1, option, 7, 4, 10, 1, 2, 20]);
            world.send(NODES, ip.udp(1, 2).build()).dropped(DropReason::SourceRoute);
        }
    }
    let ip = || from(NODE_A).ipv6(V6.pod_a, V6.pod_b);
    world.send(NODES, ip().routing(0, 1, [0; 20]).udp(1, 2).build()).dropped(DropReason::SourceRoute);
    world.send(NODES, ip().routing(0, 0, [0; 20]).udp(1, 2).build()).forwarded(NODES);
    world.expect_counted(&[("received", 8), ("source-route", 7), ("forwarded", 1)]);
}

#[test]
fn headers_that_lie_are_dropped_with_what_is_wrong() {
    let mut world = World::new();
    let v4 = || from(NODE_A).ipv4(V4.pod_a, V4.pod_b);
    let v6 = || from(NODE_A).ipv6(V6.pod_a, V6.pod_b);
    let mut many = v6();
    for _ in 0..9 {
        many = many.dest_opts([1, 4, 0, 0, 0, 0]);
    }
    for (frame, reason) in [
        (v4().bad_checksum().udp(1, 2).build(), DropReason::Ipv4ChecksumBad),
        (v4().checksum(0).udp(1, 2).build(), DropReason::Ipv4ChecksumBad),
        (v4().options([1; 8]).bad_checksum().udp(1, 2).build(), DropReason::Ipv4ChecksumBad),
        (v4().version(6).udp(1, 2).build(), DropReason::Ipv4HeaderBad),
        (v4().ihl(4).udp(1, 2).build(), DropReason::Ipv4HeaderBad),
        (v4().total_length(19).udp(1, 2).build(), DropReason::Ipv4HeaderBad),
        (v4().ihl(15).total_length(59).udp(1, 2).payload([0; 60]).build(), DropReason::Ipv4HeaderBad),
        (v4().total_length(1_500).udp(1, 2).build(), DropReason::FrameTruncated),
        (v6().version(4).udp(1, 2).build(), DropReason::Ipv6HeaderBad),
        (v6().payload_length(9).udp(1, 2).build(), DropReason::FrameTruncated),
        (many.udp(1, 2).build(), DropReason::Ipv6HeaderBad),
    ] {
        world.send(NODES, frame).dropped(reason);
    }
}

#[test]
fn a_frame_cut_anywhere_in_front_of_its_end_is_dropped() {
    for family in FAMILIES {
        let mut world = World::new();
        let whole = from(NODE_A).ip(family.pod_a, family.pod_b).udp(1, 2).payload(b"data").build();
        for len in 0..whole.len() {
            world.send(NODES, &whole[..len]).dropped(DropReason::FrameTruncated);
        }
        world.send(NODES, &whole).forwarded(NODES);
    }
}

#[test]
fn frames_that_are_not_for_us_are_not_taken() {
    for family in FAMILIES {
        let mut world = World::new();
        let frame = from(NODE_A).dst("02:00:00:00:00:77").ip(family.pod_a, family.pod_b).udp(1, 2).build();
        world.send(NODES, frame).dropped(DropReason::NotForUs);
        // The address of another port of ours.
        let frame = from(ROUTER).ip(family.pod_a, family.pod_b).udp(1, 2).build();
        world.send(NODES, frame).dropped(DropReason::NotForUs);
        for group in [BROADCAST, multicast_mac("224.0.0.1"), multicast_mac("ff02::1")] {
            for destination in [family.pod_b, family.gateway_inside, family.outside] {
                let frame = from(NODE_A).dst(group).ip(family.pod_a, destination).icmp_echo_request(1, 2).build();
                world.send(NODES, frame).dropped(DropReason::Multicast);
            }
        }
    }
}

#[test]
fn unknown_ethertypes_and_tags_are_dropped() {
    let mut world = World::new();
    for ethertype in [0x0000, 0x05dc, 0x0801, 0x8035, 0x8847, 0x88cc, 0xffff] {
        world.send(NODES, from(NODE_A).raw(ethertype, [0; 50]).build()).dropped(DropReason::EtherTypeUnknown);
    }
    let tagged = from(NODE_A).vlan(7).ip(V4.pod_a, V4.pod_b).udp(1, 2).build();
    world.send(NODES, tagged).dropped(DropReason::EtherTypeUnknown);
    let wrong = from(NODE_A).ethertype(0x86dd).ip(V4.pod_a, V4.pod_b).udp(1, 2).payload([0; 60]).build();
    world.send(NODES, wrong).dropped(DropReason::Ipv6HeaderBad);
}

#[test]
fn a_frame_from_a_port_that_is_not_in_the_tables_is_dropped() {
    let mut world = World::new();
    let frame = from(NODE_A).ip(V4.pod_a, V4.pod_b).udp(1, 2).build();
    world.send(PortId(99), frame).dropped(DropReason::NoRoute);
}

#[test]
fn private_destinations_are_not_reached_from_outside() {
    for family in FAMILIES {
        let mut world = World::new();
        // The main table knows no pods: the way back is the router's.
        let frame = from(ROUTER).ip(family.outside, family.pod_a).udp(1, 2).build();
        world.send(UPLINK, frame).forwarded(UPLINK);
        assert_eq!(world.sessions(8).len(), 0);
    }
}
