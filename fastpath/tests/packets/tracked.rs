//! Flows that keep their names, and are answered where nobody may begin anything.

use std::time::Duration;

use causeway_fastpath::address::Address;
use causeway_fastpath::fib::{Hop, Prefix};
use causeway_fastpath::ids::VrfId;
use causeway_fastpath::nat::{EgressAction, EgressRule};
use causeway_fastpath::snapshot::NeighborState;
use causeway_fastpath::verdict::DropReason;
use causeway_testkit::packet::*;
use causeway_testkit::print::assert_frames_eq;

use crate::world::{
    FAMILIES, Family, FamilyPlan, ISLAND, NODE_A, NODE_C, NODES, OTHER_ISLAND, OTHER_NODES, Plan, ROUTER, UPLINK,
    World, from, to,
};

/// Toward `outside` pods keep their names; to whom it was not answered, nobody gets in.
fn tracking(mut plan: Plan) -> Plan {
    exempt(&mut plan.v4, "198.51.100.9", "10.1.0.0/16");
    exempt(&mut plan.v6, "2001:db8:9::9", "fd00:10::/56");
    plan
}

fn exempt<A: Address>(plan: &mut FamilyPlan<A>, peer: &str, pods: &str) {
    let everywhere = Prefix::containing(A::default(), 0);
    let peer = Prefix::host(A::from_ip(peer.to_ip()).expect("an address of this family"));
    plan.route(VrfId::MAIN, pods, Hop::Egress(ISLAND));
    for rules in &mut plan.egress[ISLAND.index()..] {
        let of_pods = rules.iter().find(|rule| rule.renames()).expect("pods have names").clone();
        rules.insert(0, EgressRule { destination: peer, action: EgressAction::Track, ..of_pods });
    }
    let action = EgressAction::Drop(DropReason::NatUnsolicited);
    plan.egress[VrfId::MAIN.index()].push(EgressRule::new(everywhere, everywhere, action));
}

fn world() -> World {
    World::with(&tracking(Plan::island()))
}

/// From pod A to the exempted host, as it comes or as it goes on.
fn out(link: Eth, family: Family, ttl: u8) -> Ip {
    link.ip(family.pod_a, family.outside).ttl(ttl)
}

fn back(link: Eth, family: Family, ttl: u8) -> Ip {
    link.ip(family.outside, family.pod_a).ttl(ttl)
}

/// A packet goes through, changed in TTL and MACs alone.
#[track_caller]
fn passes(world: &mut World, family: Family, outward: bool, packet: impl Fn(Ip) -> Vec<u8>) {
    if outward {
        let sent = world.send(NODES, packet(out(from(NODE_A), family, 64)));
        assert_frames_eq(packet(out(to(ROUTER), family, 63)), sent.forwarded(UPLINK));
    } else {
        let sent = world.send(UPLINK, packet(back(from(ROUTER), family, 64)));
        assert_frames_eq(packet(back(to(NODE_A), family, 63)), sent.forwarded(NODES));
    }
}

#[test]
fn every_kind_of_flow_passes_unchanged_and_is_answered() {
    for family in FAMILIES {
        let mut world = world();
        passes(&mut world, family, true, |ip| ip.tcp(5_000, 443).flags(SYN).build());
        passes(&mut world, family, false, |ip| ip.tcp(443, 5_000).flags(SYN | ACK).build());
        passes(&mut world, family, true, |ip| ip.tcp(5_000, 443).flags(ACK).build());
        passes(&mut world, family, true, |ip| ip.udp(5_000, 53).payload("hello").build());
        passes(&mut world, family, false, |ip| ip.udp(53, 5_000).payload("you").build());
        passes(&mut world, family, true, |ip| ip.icmp_echo_request(7, 1).build());
        passes(&mut world, family, false, |ip| ip.icmp_echo_reply(7, 1).build());
        let rows = world.sessions(8);
        let names: Vec<_> = rows.iter().map(|row| (row.vrf, row.inside == row.outside, row.forwarded)).collect();
        assert_eq!(names, [(ISLAND, true, false); 3]);
        assert_eq!((rows[0].state, rows[0].packets_out, rows[0].packets_in), ("established", 2, 1));
    }
}

#[test]
fn nobody_outside_begins_anything_and_nobody_else_is_exempted() {
    for family in FAMILIES {
        let mut world = world();
        for packet in [
            back(from(ROUTER), family, 64).tcp(1, 443).flags(SYN).build(),
            back(from(ROUTER), family, 64).icmp_echo_request(1, 1).build(),
        ] {
            world.send(UPLINK, packet).dropped(DropReason::NatUnsolicited);
        }
        passes(&mut world, family, true, |ip| ip.udp(5_000, 53).build());
        world.send(UPLINK, back(from(ROUTER), family, 64).udp(54, 5_000).build()).dropped(DropReason::NatUnsolicited);
        let other = from(ROUTER).ip(family.outside2, family.pod_a).udp(53, 5_000).build();
        world.send(UPLINK, other).dropped(DropReason::NatUnsolicited);
        let sent = world.send(NODES, from(NODE_A).ip(family.pod_a, family.outside2).udp(5_000, 53).build());
        assert_ne!(crate::world::source(sent.forwarded(UPLINK)).0, family.pod_a.to_ip());
        world.send(NODES, out(from(NODE_A), family, 64).tcp(1, 2).flags(ACK).build()).dropped(DropReason::NatTcpNotSyn);
    }
}

#[test]
fn who_keeps_its_name_may_use_any_protocol() {
    for family in FAMILIES {
        let mut world = world();
        let strange = back(from(ROUTER), family, 64).gre(0x88b5, b"y").build();
        world.send(UPLINK, strange).dropped(DropReason::NatUnsolicited);
        passes(&mut world, family, true, |ip| ip.gre(0x88b5, b"x").build());
        passes(&mut world, family, false, |ip| ip.gre(0x88b5, b"y").build());
        passes(&mut world, family, true, |ip| ip.sctp(1, 2, 3, b"x").build());
        passes(&mut world, family, false, |ip| ip.sctp(2, 1, 4, b"y").build());
        passes(&mut world, family, true, |ip| ip.udp_lite(5_000, 53, 8, b"x").build());
        passes(&mut world, family, false, |ip| ip.udp_lite(53, 5_000, 8, b"y").build());
    }
}

#[test]
fn errors_about_a_tracked_flow_come_in_and_go_out_unchanged() {
    for family in FAMILIES {
        let mut world = world();
        passes(&mut world, family, true, |ip| ip.udp(5_000, 53).build());
        let (kind, code) = family.port_unreachable;
        let sent_out = out(eth(), family, 60).udp(5_000, 53).packet();
        passes(&mut world, family, false, |ip| ip.icmp_error(kind, code, [0; 4], &sent_out).build());
        let sent_in = back(eth(), family, 60).udp(53, 5_000).packet();
        passes(&mut world, family, true, |ip| ip.icmp_error(kind, code, [0; 4], &sent_in).build());
        // From a router on either side, under its own name.
        let node = |link: Eth, ttl| {
            link.ip(family.node_a, family.outside).ttl(ttl).icmp_error(kind, 0, [0; 4], &sent_in).build()
        };
        assert_frames_eq(node(to(ROUTER), 63), world.send(NODES, node(from(NODE_A), 64)).forwarded(UPLINK));
        let router = |link: Eth, ttl| {
            link.ip(family.router, family.pod_a).ttl(ttl).icmp_error(kind, 0, [0; 4], &sent_out).build()
        };
        assert_frames_eq(router(to(NODE_A), 63), world.send(UPLINK, router(from(ROUTER), 64)).forwarded(NODES));
        // About a flow that there is not.
        let other = out(eth(), family, 60).udp(5_001, 53).packet();
        let stray = back(from(ROUTER), family, 64).icmp_error(kind, code, [0; 4], &other).build();
        world.send(UPLINK, stray).dropped(DropReason::NatIcmpErrorUnmatched);
    }
}

#[test]
fn fragments_of_a_tracked_flow_pass_in_any_order() {
    for family in FAMILIES {
        let mut world = world();
        let datagram = |ip: Ip, ports: (u16, u16)| ip.udp(ports.0, ports.1).payload([5; 3_000]).fragments(77, 1_304);
        for (came, expected) in datagram(out(from(NODE_A), family, 64), (5_000, 53))
            .iter()
            .zip(datagram(out(to(ROUTER), family, 63), (5_000, 53)))
        {
            assert_frames_eq(expected, world.send(NODES, came).forwarded(UPLINK));
        }
        let came = datagram(back(from(ROUTER), family, 64), (53, 5_000));
        let expected = datagram(back(to(NODE_A), family, 63), (53, 5_000));
        world.send(UPLINK, &came[1]).held();
        world.send(UPLINK, &came[2]).held();
        assert_frames_eq(&expected[0], world.send(UPLINK, &came[0]).forwarded(NODES));
        let mut released: Vec<_> = world.released.drain(..).map(|sent| sent.forwarded(NODES).to_vec()).collect();
        released.sort_by_key(|frame| std::cmp::Reverse(frame.len()));
        assert_eq!(released, expected[1..], "in whatever order");
    }
}

#[test]
fn what_could_not_be_told_apart_outside_is_refused() {
    if crate::WORKERS > 1 {
        return; // A worker knows its own flows only. A configuration like this one is refused.
    }
    for family in FAMILIES {
        let mut world = World::with(&tracking(Plan::two_islands()));
        let ask = |node, port: u16| out(from(node), family, 64).udp(port, 53).build();
        world.send(NODES, ask(NODE_A, 5_000)).forwarded(UPLINK);
        world.send(OTHER_NODES, ask(NODE_C, 5_000)).dropped(DropReason::NatConflict);
        // Other flows of the second island are found by their sessions.
        world.send(OTHER_NODES, ask(NODE_C, 5_001)).forwarded(UPLINK);
        let answer = |port: u16| back(from(ROUTER), family, 64).udp(53, port).build();
        world.send(UPLINK, answer(5_000)).forwarded(NODES);
        world.send(UPLINK, answer(5_001)).forwarded(OTHER_NODES);
        assert_eq!(world.sessions(8).iter().filter(|row| row.vrf == OTHER_ISLAND).count(), 1);
    }
}

#[test]
fn a_tracked_session_counts_for_its_sender_and_ends_when_it_is_silent() {
    for family in FAMILIES {
        let mut world = World::with(&tracking(Plan::island()).with_limit(2));
        let ask = |port: u16| out(from(NODE_A), family, 64).udp(port, 53).build();
        world.send(NODES, ask(1)).forwarded(UPLINK);
        world.send(NODES, ask(2)).forwarded(UPLINK);
        world.send(NODES, ask(3)).replied();
        world.wait(Duration::from_secs(301));
        assert_eq!(world.sessions(8), []);
        world.send(UPLINK, back(from(ROUTER), family, 64).udp(53, 1).build()).dropped(DropReason::NatUnsolicited);
        world.send(NODES, ask(3)).forwarded(UPLINK);
        world.send(NODES, ask(4)).forwarded(UPLINK);
    }
}

#[test]
fn what_the_outside_may_begin_under_its_own_name_gets_half_of_the_table() {
    for family in FAMILIES {
        let mut plan = tracking(Plan::island());
        plan.v4.egress[0][0].action = EgressAction::Track;
        plan.v6.egress[0][0].action = EgressAction::Track;
        let mut world = World::sized(&plan, 8);
        let ask = |port: u16| back(from(ROUTER), family, 64).udp(port, 53).build();
        for port in 1..=4 {
            world.send(UPLINK, ask(port)).forwarded(NODES);
        }
        world.send(UPLINK, ask(5)).replied();
        assert!(world.sessions(8).iter().all(|row| row.forwarded && row.vrf == ISLAND));
        let answer = |link: Eth, ttl| out(link, family, ttl).udp(53, 4).build();
        assert_frames_eq(answer(to(ROUTER), 63), world.send(NODES, answer(from(NODE_A), 64)).forwarded(UPLINK));
        world.wait(Duration::from_secs(301));
        world.send(UPLINK, ask(5)).forwarded(NODES);
    }
}

#[test]
fn policy_speaks_before_a_neighbour_is_asked_for() {
    for family in FAMILIES {
        let mut plan = tracking(Plan::island());
        plan.v4.egress[ISLAND.index()][0].action = EgressAction::Drop(DropReason::ModelIsolated);
        plan.v6.egress[ISLAND.index()][0].action = EgressAction::Drop(DropReason::ModelIsolated);
        plan.adjacencies[ROUTER.index()].state = NeighborState::Pending;
        plan.adjacencies[NODE_A.index()].state = NeighborState::Dead;
        let mut world = World::with(&plan);
        let sent = world.send(NODES, out(from(NODE_A), family, 64).udp(1, 2).build());
        let (kind, code) = family.admin_prohibited;
        assert_eq!(sent.replied()[14 + family.ip_header..][..2], [kind, code]);
        world.send(UPLINK, back(from(ROUTER), family, 64).udp(1, 2).build()).dropped(DropReason::NatUnsolicited);
    }
}
