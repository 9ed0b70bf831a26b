//! Neighbours that are known, asked for, dead or never heard of; ARP and neighbour
//! discovery on their way to control.

use std::time::Duration;

use causeway_fastpath::burst::Burst;
use causeway_fastpath::frame::Frame;
use causeway_fastpath::snapshot::NeighborState;
use causeway_fastpath::verdict::{DropReason, PuntReason, Verdict};
use causeway_testkit::packet::*;
use causeway_testkit::print::assert_frames_eq;

use crate::world::{FAMILIES, NODE_A, NODE_B, NODES, Plan, ROUTER, UPLINK, World, from, link_local, to};

#[test]
fn packets_to_a_neighbor_that_is_asked_for_go_to_control() {
    for family in FAMILIES {
        let mut plan = Plan::island();
        plan.adjacencies[NODE_B.index()].state = NeighborState::Pending;
        plan.adjacencies[ROUTER.index()].state = NeighborState::Pending;
        let mut world = World::with(&plan);
        for destination in [family.pod_b, family.outside] {
            let frame = from(NODE_A).ip(family.pod_a, destination).udp(1, 2).build();
            world.send(NODES, frame).punted(PuntReason::Unresolved);
        }
        assert_eq!(world.sessions(8).len(), 0, "a packet that does not leave yet needs no name");
    }
}

#[test]
fn packets_to_a_connected_address_nobody_knows_go_to_control() {
    for family in FAMILIES {
        let mut world = World::new();
        for destination in [family.unknown_node, family.unknown_server] {
            let frame = from(NODE_A).ip(family.pod_a, destination).udp(1, 2).build();
            world.send(NODES, frame).punted(PuntReason::Unresolved);
        }
        assert_eq!(world.sessions(8).len(), 0, "a packet that does not leave yet needs no name");
    }
}

#[test]
fn a_packet_that_waited_for_its_neighbor_is_injected_and_goes_on() {
    for family in FAMILIES {
        let mut plan = Plan::island();
        plan.adjacencies[NODE_B.index()].state = NeighborState::Pending;
        let mut world = World::with(&plan);
        let frame = |link: Eth, ttl| link.ip(family.pod_a, family.pod_b).ttl(ttl).udp(1, 2).build();
        world.send(NODES, frame(from(NODE_A), 64)).punted(PuntReason::Unresolved);
        world.install(&Plan::island());
        let mut burst = Burst::new();
        let mut waited = Frame::boxed(&frame(from(NODE_A), 64), 64, 0);
        waited.ingress = NODES;
        burst.push(waited);
        world.forwarder.alone().process_injected(world.now, &mut burst, &[]);
        for (out, verdict) in burst.drain() {
            assert_eq!(verdict, Verdict::Forward(NODES));
            assert_frames_eq(frame(to(NODE_B), 63), out.bytes());
            drop(out.into_heap());
        }
        assert!(world.forwarder.counters().conserve());
        world.expect_counted(&[("received", 1), ("unresolved", 1), ("injected", 1), ("forwarded", 1)]);
    }
}

#[test]
fn arp_goes_to_control_whomever_it_is_for() {
    let mut world = World::new();
    for frame in [
        from(NODE_A).arp_request("192.168.0.11", "192.168.0.1").build(),
        from(NODE_A).arp_request("192.168.0.11", "192.168.0.12").pad_to_60().build(),
        from(NODE_A).arp_reply("192.168.0.11", "192.168.0.1").build(),
        from(NODE_A).arp_request("192.168.0.11", "192.168.0.1").truncate(15).build(),
    ] {
        world.send(NODES, frame).punted(PuntReason::Arp);
    }
    let foreign = from(NODE_A).dst("02:00:00:00:00:77").arp_reply("192.168.0.11", "192.168.0.1").build();
    world.send(NODES, foreign).dropped(DropReason::NotForUs);
}

#[test]
fn neighbor_discovery_goes_to_control_if_it_was_sent_on_this_link() {
    let mut world = World::new();
    let asked = "fd00:a::1";
    let group = solicited_node(asked);
    let multicast = || from(NODE_A).dst(multicast_mac(group)).ipv6("fd00:a::11", group);
    let unicast = || from(NODE_A).ipv6("fd00:a::11", asked);
    let unspecified = from(NODE_A).dst(multicast_mac(group)).ipv6("::", group);
    for message in [
        multicast().neighbour_solicitation(asked),
        unicast().neighbour_solicitation(asked),
        unicast().neighbour_advertisement("fd00:a::11", 3),
        from(NODE_A).ipv6("fe80::11", link_local(NODES)).neighbour_solicitation(link_local(NODES)),
        from(NODE_A).dst(multicast_mac("ff02::2")).ipv6("fe80::11", "ff02::2").router_solicitation(),
        unspecified.neighbour_solicitation(asked).without_options(),
    ] {
        world.send(NODES, message.build()).punted(PuntReason::NeighborDiscovery);
    }
    for hops in [0, 1, 64, 254] {
        let message = multicast().hop_limit(hops).neighbour_solicitation(asked).build();
        world.send(NODES, message).dropped(DropReason::NdHopLimit);
        let message = unicast().hop_limit(hops).neighbour_advertisement("fd00:a::11", 3).build();
        world.send(NODES, message).dropped(DropReason::NdHopLimit);
    }
    world.wait(Duration::from_secs(1));
    let elsewhere = from(ROUTER).ipv6("2001:db8:1::1", "2001:db8:1::2").neighbour_solicitation("2001:db8:1::2");
    world.send(UPLINK, elsewhere.build()).punted(PuntReason::NeighborDiscovery);
}
