//! Who outside reaches an endpoint by its name (RFC 4787, section 5; RFC 6888, REQ-8).

use std::time::Duration;

use causeway_fastpath::nat::{Behavior, Filtering, Mapping};
use causeway_fastpath::verdict::{DropReason, Verdict};
use causeway_testkit::packet::*;
use causeway_testkit::print::assert_frames_eq;

use crate::world::{Endpoint, FAMILIES, Family, NODE_A, NODE_B, NODES, Plan, ROUTER, UPLINK, World, from, source, to};

const ANYBODY: Filtering = Filtering::EndpointIndependent;
const THOSE_IT_TALKS_TO: Filtering = Filtering::AddressDependent;

fn open(filtering: Filtering) -> Plan {
    Plan::island().with_open_names(filtering)
}

/// With one name for all.
fn one_port(plan: Plan, port: u16) -> Plan {
    plan.with_ports(port, port)
}

/// A packet that opens a conversation.
fn first(ip: Ip, protocol: u8, src_port: u16, dst_port: u16) -> Vec<u8> {
    match protocol {
        6 => ip.tcp(src_port, dst_port).flags(SYN).build(),
        _ => ip.udp(src_port, dst_port).payload(b"hello").build(),
    }
}

/// Port 5000 of a pod talks to the outside: under which name?
fn talk(world: &mut World, pod: &str, peer: &str, protocol: u8) -> Endpoint {
    source(world.send(NODES, first(from(NODE_A).ip(pod, peer), protocol, 5_000, 53)).forwarded(UPLINK))
}

fn each(mut check: impl FnMut(Family, u8)) {
    for family in FAMILIES {
        [6, 17].into_iter().for_each(|protocol| check(family, protocol));
    }
}

#[test]
fn anybody_reaches_an_endpoint_by_its_name_where_the_pool_says_so() {
    each(|family, protocol| {
        let mut world = World::with(&open(ANYBODY));
        let (stranger, pod) = (family.outside2.to_ip(), family.pod_a.to_ip());
        let name = talk(&mut world, family.pod_a, family.outside, protocol);
        world.counted();
        let came = first(from(ROUTER).ip(stranger, name.0).ttl(57), protocol, 7, name.1);
        let out = world.send(UPLINK, came);
        assert_frames_eq(first(to(NODE_A).ip(stranger, pod).ttl(56), protocol, 7, 5_000), out.forwarded(NODES));
        world.expect_counted(&[("received", 1), ("forwarded", 1), ("translated-in", 1), ("sessions-created", 1)]);
        // What answers has the name.
        let answer = first(from(NODE_A).ip(pod, stranger), protocol, 5_000, 7);
        assert_eq!(source(world.send(NODES, answer).forwarded(UPLINK)), name);
        let rows = world.sessions(64);
        let row = rows.iter().find(|row| row.peer == (stranger, 7)).expect("he has a session");
        assert_eq!((row.inside, row.outside, row.forwarded), ((pod, 5_000), name, true));
        assert_eq!((row.packets_out, row.packets_in, rows.len()), (1, 1, 2));
    });
}

#[test]
fn those_it_talks_to_reach_an_endpoint_from_other_ports_and_nobody_else_does() {
    each(|family, protocol| {
        let mut world = World::with(&open(THOSE_IT_TALKS_TO));
        let name = talk(&mut world, family.pod_a, family.outside, protocol);
        let other = talk(&mut world, family.pod_a2, family.outside2, protocol);
        let to_name = |peer: &str, name: Endpoint| first(from(ROUTER).ip(peer.to_ip(), name.0), protocol, 99, name.1);
        world.send(UPLINK, to_name(family.outside2, name)).dropped(DropReason::NatUnsolicited);
        world.send(UPLINK, to_name(family.outside, other)).dropped(DropReason::NatUnsolicited);
        assert_eq!(world.sessions(64).len(), 2, "who is not let in makes no state");
        world.send(UPLINK, to_name(family.outside, name)).forwarded(NODES);
        world.send(UPLINK, to_name(family.outside2, other)).forwarded(NODES);
        // Once it talks to him as well, he is let in.
        assert_eq!(talk(&mut world, family.pod_a, family.outside2, protocol), name);
        world.send(UPLINK, to_name(family.outside2, name)).forwarded(NODES);
        // And no longer when all that was said is over.
        world.wait(Duration::from_secs(301));
        world.send(UPLINK, to_name(family.outside2, name)).dropped(DropReason::NatUnsolicited);
    });
}

#[test]
fn a_name_for_one_address_lets_in_whoever_has_it_and_nobody_else() {
    let behavior = Behavior { mapping: Mapping::AddressDependent, filtering: THOSE_IT_TALKS_TO };
    each(|family, protocol| {
        for plan in [Plan::island(), Plan::masquerade()] {
            let mut world = World::with(&plan.with_behavior(behavior));
            let names = [family.outside, family.outside2].map(|peer| talk(&mut world, family.pod_a, peer, protocol));
            assert_ne!(names[0], names[1]);
            let to_name =
                |peer: &str, name: Endpoint| first(from(ROUTER).ip(peer.to_ip(), name.0), protocol, 99, name.1);
            world.send(UPLINK, to_name(family.outside, names[0])).forwarded(NODES);
            world.send(UPLINK, to_name(family.outside2, names[1])).forwarded(NODES);
            for (peer, name) in [(family.outside, names[1]), (family.outside2, names[0])] {
                assert_ne!(world.send(UPLINK, to_name(peer, name)).verdict, Verdict::Forward(NODES));
            }
            // What answers, and what the pod begins there, has the name by which he came.
            for port in [99, 7] {
                let ip = from(NODE_A).ip(family.pod_a, family.outside);
                let out = world.send(NODES, first(ip, protocol, 5_000, port));
                assert_eq!(source(out.forwarded(UPLINK)), names[0]);
            }
        }
    });
}

#[test]
fn only_a_syn_begins_a_conversation_with_an_open_name() {
    for family in FAMILIES {
        let mut world = World::with(&open(ANYBODY));
        let name = talk(&mut world, family.pod_a, family.outside, 6);
        let stranger = || from(ROUTER).ip(family.outside2.to_ip(), name.0);
        for flags in [0, ACK, SYN | ACK, FIN | ACK, RST, SYN | RST, SYN | FIN] {
            let segment = stranger().tcp(7, name.1).flags(flags).build();
            world.send(UPLINK, segment).dropped(DropReason::NatTcpNotSyn);
        }
        // The name is open for TCP alone.
        world.send(UPLINK, stranger().udp(7, name.1).build()).dropped(DropReason::NatUnsolicited);
        world.send(UPLINK, stranger().icmp_echo_request(name.1, 1).build()).dropped(DropReason::NatUnsolicited);
        assert_eq!(world.sessions(64).len(), 1);
        world.send(UPLINK, stranger().tcp(7, name.1).flags(SYN).build()).forwarded(NODES);
    }
}

#[test]
fn strangers_count_against_whom_they_reach_and_leave_half_of_the_table() {
    each(|family, protocol| {
        let mut plan = open(ANYBODY).with_limit(10);
        plan.icmp_errors_per_second = 0;
        let mut world = World::sized(&plan, 60);
        let names = [family.pod_a, family.pod_a2].map(|pod| talk(&mut world, pod, family.outside, protocol));
        let stranger =
            |port, name: Endpoint| first(from(ROUTER).ip(family.outside2.to_ip(), name.0), protocol, port, name.1);
        for port in 1..=9 {
            world.send(UPLINK, stranger(port, names[0])).forwarded(NODES);
        }
        world.counted();
        world.send(UPLINK, stranger(10, names[0])).dropped(DropReason::IcmpRateLimited);
        let more = first(from(NODE_A).ip(family.pod_a, family.outside), protocol, 5_001, 53);
        world.send(NODES, more).dropped(DropReason::IcmpRateLimited);
        world.send(UPLINK, stranger(10, names[1])).forwarded(NODES);

        let mut world = World::sized(&plan.with_limit(60), 60);
        let name = talk(&mut world, family.pod_a, family.outside, protocol);
        for port in 1..=30 {
            world.send(UPLINK, stranger(port, name)).forwarded(NODES);
        }
        world.send(UPLINK, stranger(31, name)).dropped(DropReason::IcmpRateLimited);
        for port in 0..29 {
            let own = first(from(NODE_A).ip(family.pod_a2, family.outside), protocol, 6_000 + port, 53);
            world.send(NODES, own).forwarded(UPLINK);
        }
        // What strangers had is theirs again when it ends.
        world.wait(Duration::from_secs(301));
        let name = talk(&mut world, family.pod_a, family.outside, protocol);
        for port in 1..=30 {
            world.send(UPLINK, stranger(port, name)).forwarded(NODES);
        }
    });
}

#[test]
fn strangers_do_not_use_up_the_pace_of_whom_they_reach() {
    each(|family, protocol| {
        let mut world = World::with(&open(ANYBODY).with_rate(3));
        let name = talk(&mut world, family.pod_a, family.outside, protocol);
        for port in 1..=50 {
            let stranger = from(ROUTER).ip(family.outside2.to_ip(), name.0);
            world.send(UPLINK, first(stranger, protocol, port, name.1)).forwarded(NODES);
        }
        let own = |port| first(from(NODE_A).ip(family.pod_a, family.outside), protocol, port, 53);
        world.send(NODES, own(5_001)).forwarded(UPLINK);
        world.send(NODES, own(5_002)).forwarded(UPLINK);
        world.send(NODES, own(5_003)).replied();
    });
}

#[test]
fn a_name_that_was_open_rests_two_minutes_before_another_endpoint_gets_it() {
    each(|family, protocol| {
        let mut plan = one_port(open(THOSE_IT_TALKS_TO), 2_000);
        plan.icmp_errors_per_second = 0;
        let mut world = World::with(&plan);
        let silence = Duration::from_secs(if protocol == 6 { 240 } else { 300 });
        let other = first(from(NODE_A).ip(family.pod_a2, family.outside), protocol, 5_000, 53);
        let name = talk(&mut world, family.pod_a, family.outside, protocol);
        let stranger = first(from(ROUTER).ip(family.outside.to_ip(), name.0), protocol, 7, name.1);
        world.wait(silence);
        assert_eq!(world.sessions(8).len(), 0);
        // It leads nowhere, and nobody else gets it, but who had it.
        world.send(UPLINK, &stranger).dropped(DropReason::NatUnsolicited);
        world.wait(Duration::from_millis(119_000));
        world.send(NODES, &other).dropped(DropReason::IcmpRateLimited);
        assert_eq!(talk(&mut world, family.pod_a, family.outside, protocol), name);
        world.send(UPLINK, &stranger).forwarded(NODES);
        world.wait(silence);
        world.wait(Duration::from_millis(119_999));
        world.send(NODES, &other).dropped(DropReason::IcmpRateLimited);
        world.wait(Duration::from_millis(1));
        assert_eq!(source(world.send(NODES, &other).forwarded(UPLINK)), name);
        let back = first(from(ROUTER).ip(family.outside.to_ip(), name.0), protocol, 7, name.1);
        let sent = world.send(UPLINK, back);
        let pod = family.pod_a2.to_ip();
        let inward = first(to(NODE_A).ip(family.outside.to_ip(), pod).ttl(63), protocol, 7, 5_000);
        assert_frames_eq(inward, sent.forwarded(NODES));
    });
}

#[test]
fn a_pod_reaches_anothers_open_name_without_having_been_called() {
    each(|family, protocol| {
        let mut world = World::with(&open(ANYBODY));
        let name = talk(&mut world, family.pod_a, family.outside, protocol);
        let call = first(from(NODE_B).ip(family.pod_b.to_ip(), name.0), protocol, 6_000, name.1);
        let sent = world.send(NODES, call);
        let caller = source(sent.forwarded(NODES));
        let expected = first(to(NODE_A).ip(caller.0, family.pod_a.to_ip()).ttl(63), protocol, caller.1, 5_000);
        assert_frames_eq(expected, &sent.bytes);
        let answer = first(from(NODE_A).ip(family.pod_a.to_ip(), caller.0), protocol, 5_000, caller.1);
        let sent = world.send(NODES, answer);
        let expected = first(to(NODE_B).ip(name.0, family.pod_b.to_ip()).ttl(63), protocol, name.1, 6_000);
        assert_frames_eq(expected, sent.forwarded(NODES));
        // Under its own name, too.
        let own = first(from(NODE_A).ip(family.pod_a.to_ip(), name.0), protocol, 5_000, name.1);
        assert_eq!(source(world.send(NODES, own).forwarded(NODES)), name);
    });
}

#[test]
fn a_stranger_in_fragments_is_let_in_too() {
    for family in FAMILIES {
        let mut world = World::with(&open(ANYBODY));
        let name = talk(&mut world, family.pod_a, family.outside, 17);
        let stranger = from(ROUTER).ip(family.outside2.to_ip(), name.0);
        for fragment in stranger.udp(7, name.1).payload([7; 2_000]).fragments(1, 1_280) {
            world.send(UPLINK, fragment).forwarded(NODES);
        }
        assert_eq!(world.sessions(8).len(), 2);
    }
}

/// Three ports, as with several workers each of another one.
#[test]
fn a_stranger_outlives_the_flow_that_opened_the_name() {
    each(|family, protocol| {
        for (port, peer) in [(2_000, 7), (2_001, 8), (2_002, 9)] {
            let mut world = World::with(&one_port(open(ANYBODY), port));
            let name = talk(&mut world, family.pod_a, family.outside, protocol);
            world.wait(Duration::from_secs(200));
            let stranger = first(from(ROUTER).ip(family.outside2.to_ip(), name.0), protocol, peer, name.1);
            world.send(UPLINK, &stranger).forwarded(NODES);
            world.wait(Duration::from_secs(1_000));
            assert_eq!(world.sessions(8), []);
        }
    });
}

#[test]
fn fragments_find_an_open_name_from_inside() {
    for number in 10..22 {
        let mut world = World::with(&open(ANYBODY).with_ports(2_000 + number, 2_001 + number));
        let name = talk(&mut world, &format!("10.1.1.{number}"), "198.51.100.9", 17);
        let call = from(NODE_B).ip("10.1.2.7".to_ip(), name.0);
        for fragment in call.udp(6_000, name.1).payload([7; 3_000]).fragments(1, 1_280) {
            world.send(NODES, fragment).forwarded(NODES);
        }
    }
}

#[test]
fn a_forward_comes_before_the_name_of_an_endpoint() {
    each(|family, protocol| {
        let without = one_port(open(ANYBODY), 443);
        let mut with = without.clone();
        (with.v4.forwards, with.v6.forwards) = (Plan::forwards().v4.forwards, Plan::forwards().v6.forwards);
        let mut world = World::with(&without);
        let name = talk(&mut world, family.pod_a, family.outside, protocol);
        world.install(&with);
        let stranger = |port| first(from(ROUTER).ip(family.outside2.to_ip(), name.0), protocol, port, name.1);
        world.send(UPLINK, stranger(7)).forwarded(NODES);
        let row = world.sessions(8).into_iter().find(|row| row.forwarded).expect("it is forwarded");
        assert_eq!(row.inside, (family.pod_b.to_ip(), 8_443));
        // While the name rests it becomes the service's, and its owner's no more.
        world.wait(Duration::from_secs(301));
        let again = first(from(NODE_A).ip(family.pod_a, family.outside), protocol, 5_000, 53);
        world.send(NODES, again).replied();
        world.install(&without);
        assert_eq!(talk(&mut world, family.pod_a, family.outside, protocol), name);
    });
}
