//! Routes with several next hops.

use causeway_fastpath::snapshot::NeighborState;
use causeway_fastpath::verdict::{DropReason, PuntReason, Verdict};
use causeway_testkit::packet::*;

use crate::world::{FAMILIES, Family, NODE_A, NODE_B, NODES, Plan, ROUTER, SERVER, UPLINK, World, from, to};

/// The Ethernet source and destination that a neighbour's frames get.
fn macs(neighbor: causeway_fastpath::ids::AdjacencyId) -> Vec<u8> {
    to(neighbor).ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).build()[..12].to_vec()
}

/// Where a packet between pods goes: to node A or to node B?
#[track_caller]
fn node_of(world: &mut World, frame: impl AsRef<[u8]>) -> bool {
    let sent = world.send(NODES, frame);
    let macs_of = &sent.forwarded(NODES)[..12];
    assert!(macs_of == macs(NODE_A) || macs_of == macs(NODE_B), "{}", sent.story());
    macs_of == macs(NODE_A)
}

/// From a pod of node B to one of those that both nodes are asked for.
fn inward(family: Family) -> Ip {
    from(NODE_B).ip(family.pod_b, family.pod_a)
}

#[test]
fn flows_spread_over_the_members_and_each_keeps_its_own() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::groups());
        let mut to_a = 0;
        for port in 0..200 {
            let frame = |flags| inward(family).tcp(40_000 + port, 443).flags(flags).build();
            let first = node_of(&mut world, frame(SYN));
            for flags in [ACK, PSH | ACK, FIN | ACK] {
                assert_eq!(node_of(&mut world, frame(flags)), first, "a flow stays with its member");
            }
            to_a += u32::from(first);
        }
        assert!((60..=140).contains(&to_a), "{to_a} of 200 flows go to node A");
    }
}

#[test]
fn fragments_of_a_packet_go_one_way() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::groups());
        for port in 0..50 {
            // The ports differ, and do not count.
            let datagrams = [port, 1_000 + port].map(|port| inward(family).udp(port, 53).payload([0x12; 1_400]));
            let fragments: Vec<_> = datagrams.into_iter().flat_map(|datagram| datagram.fragments(7, 1_280)).collect();
            let ways: Vec<bool> = fragments.iter().map(|fragment| node_of(&mut world, fragment)).collect();
            assert!(ways.len() == 4 && ways.iter().all(|way| *way == ways[0]), "{ways:?}");
        }
    }
}

#[test]
fn an_error_goes_the_way_of_the_flow_that_it_is_about() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::groups());
        for port in 0..50 {
            let flow = node_of(&mut world, inward(family).udp(40_000 + port, 53).build());
            // What the pod answered, and a router on the way could not deliver.
            let answer = from(NODE_A).ip(family.pod_a, family.pod_b).udp(53, 40_000 + port).packet();
            let error = inward(family).icmp_error(3, 1, [0; 4], &answer).build();
            assert_eq!(node_of(&mut world, error), flow);
        }
    }
}

#[test]
fn a_flow_that_is_translated_leaves_by_one_member() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::groups());
        let mut to_router = 0;
        for port in 0..200 {
            let frame = from(NODE_A).ip(family.pod_a, family.outside).udp(40_000 + port, 53).build();
            let first = world.send(NODES, &frame).forwarded(UPLINK).to_vec();
            assert_eq!(world.send(NODES, &frame).forwarded(UPLINK), first);
            assert!(first[..12] == macs(ROUTER) || first[..12] == macs(SERVER));
            to_router += u32::from(first[..12] == macs(ROUTER));
        }
        assert!((60..=140).contains(&to_router), "{to_router} of 200 flows go to the router");
    }
}

#[test]
fn a_member_is_a_neighbour_like_any_other() {
    for family in FAMILIES {
        let mut plan = Plan::groups();
        let frame = inward(family).udp(40_000, 53).build();
        let member = if node_of(&mut World::with(&plan), &frame) { NODE_A } else { NODE_B };
        plan.adjacencies[member.index()].state = NeighborState::Pending;
        World::with(&plan).send(NODES, &frame).punted(PuntReason::Unresolved);
        plan.adjacencies[member.index()].state = NeighborState::Dead;
        assert_eq!(World::with(&plan).send(NODES, &frame).verdict, Verdict::Reply(NODES));
        plan.adjacencies[member.index()].state = NeighborState::Reachable;
        plan.adjacencies[member.index()].mtu = 60;
        let long = match inward(family) {
            Ip::V4(v4) => v4.df().udp(40_000, 53).payload([0; 100]).build(),
            Ip::V6(v6) => v6.udp(40_000, 53).payload([0; 100]).build(),
        };
        assert_eq!(World::with(&plan).send(NODES, &long).verdict, Verdict::Reply(NODES));
        let last = inward(family).ttl(1).udp(40_000, 53).build();
        assert_eq!(World::with(&plan).send(NODES, &last).verdict, Verdict::Reply(NODES));
        plan.icmp_errors_per_second = 0;
        World::with(&plan).send(NODES, &last).dropped(DropReason::IcmpRateLimited);
    }
}
