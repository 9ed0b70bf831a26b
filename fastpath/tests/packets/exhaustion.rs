//! To the last port: nobody is refused while one is free, and then everybody is.

use std::collections::BTreeSet;
use std::time::Duration;

use causeway_fastpath::ids::AdjacencyId;
use causeway_fastpath::nat::{Behavior, Filtering, Forward, Forwards, Mapping};
use causeway_fastpath::verdict::{DropReason, Verdict};
use causeway_testkit::packet::*;

use crate::world::{FIRST_PORT, Family, ISLAND, NODE_A, NODES, Plan, ROUTER, UPLINK, V4, World, from};

/// Ports of an address.
const PORTS: usize = u16::MAX as usize - FIRST_PORT as usize + 1;

/// An island with so many pool addresses, and room for more sessions than they have
/// ports.
fn world(addresses: usize) -> World {
    mapping(addresses, Behavior::TCP, Behavior::UDP)
}

/// The same, with ports mapped so.
fn mapping(addresses: usize, tcp: Behavior, udp: Behavior) -> World {
    let mut plan = Plan::island();
    (plan.v4.pools[0].tcp, plan.v4.pools[0].udp) = (tcp, udp);
    plan.v4.pools[0].addresses.truncate(addresses);
    plan.icmp_errors_per_second = 0;
    World::sized(&plan, addresses * PORTS + 10)
}

/// The `number`th flow of many, from pods of node A to one service.
fn flow(number: usize, protocol: u8) -> Vec<u8> {
    let pod = format!("10.1.1.{}", 10 + number / 60_000);
    let ip = from(NODE_A).ipv4(pod.as_str(), V4.outside);
    let port = 1_024 + (number % 60_000) as u16;
    match protocol {
        6 => ip.tcp(port, 443).flags(SYN).build().to_vec(),
        17 => ip.udp(port, 443).build().to_vec(),
        _ => ip.icmp_echo_request(port, 1).build().to_vec(),
    }
}

/// The name under which a packet left: address and port, or identifier.
fn name(frame: &[u8]) -> (Vec<u8>, u16) {
    let at = if frame[23] == 1 { 38 } else { 34 };
    (frame[26..30].to_vec(), u16::from_be_bytes([frame[at], frame[at + 1]]))
}

#[test]
fn other_pools_come_while_all_names_are_in_use() {
    for pods in [2, 3, 6] {
        let mut world = World::with(&Plan::island().with_ports(2_000, 2_005));
        for number in 0..6u16 {
            let pod = format!("10.1.1.{}", 10 + number % pods);
            let syn = from(NODE_A).ipv4(pod.as_str(), V4.outside).tcp(5_000 + number, 53).flags(SYN).build();
            world.send(NODES, syn).forwarded(UPLINK);
        }
        world.install(&Plan::island().with_ports(3_000, 3_005));
        assert_eq!(world.sessions(8), []);
        world.send(NODES, flow(0, 6)).forwarded(UPLINK);
    }
}

/// Where ports are lent, they do not cost the lender room for its own.
#[test]
fn the_table_is_filled_whether_ports_are_kept_or_not() {
    let filled = |keep| {
        let mut plan = Plan::island();
        plan.icmp_errors_per_second = 0;
        plan.v4.pools[0].keep_ports = keep;
        let mut world = World::sized(&plan, 1_000);
        let begin = |world: &mut World, number: u16| {
            let pod = format!("10.1.1.{}", 1 + number % 250);
            let begun = from(NODE_A).ipv4(pod.as_str(), V4.outside).udp(5_000 + number, 53).build();
            world.send(NODES, begun).verdict
        };
        (0..5_000).take_while(|number| begin(&mut world, *number) == Verdict::Forward(UPLINK)).count()
    };
    assert_eq!(filled(true), filled(false));
}

#[test]
fn every_port_of_every_address_is_given_out_before_anyone_is_refused() {
    let (by_endpoint, by_destination) = (Behavior::UDP, Behavior::TCP);
    let by_address = Behavior { mapping: Mapping::AddressDependent, filtering: Filtering::AddressAndPortDependent };
    for (protocol, addresses, behavior) in [
        (6, 1, by_address),
        (17, 2, by_address),
        (6, 1, by_destination),
        (6, 2, by_destination),
        (6, 2, by_endpoint),
        (17, 1, by_endpoint),
        (17, 2, by_endpoint),
        (17, 2, by_destination),
        (1, 1, by_endpoint),
    ] {
        let mut world = mapping(addresses, behavior, behavior);
        let mut names = BTreeSet::new();
        for number in 0..addresses * PORTS {
            let sent = world.send(NODES, flow(number, protocol));
            assert_eq!(sent.verdict, Verdict::Forward(UPLINK), "flow {number} of protocol {protocol}");
            assert!(names.insert(name(&sent.bytes)), "a name is given to one flow");
        }
        for number in 0..3 {
            let refused = flow(addresses * PORTS + number, protocol);
            world.send(NODES, refused).dropped(DropReason::IcmpRateLimited);
        }
        // Those who have a name keep it.
        world.send(NODES, flow(7, protocol)).forwarded(UPLINK);
        assert_eq!(world.forwarder.sessions().0, addresses * PORTS);
    }
}

#[test]
fn a_port_that_comes_back_is_given_out_again() {
    let family: Family = V4;
    let mut world = world(1);
    let mut names = Vec::new();
    for number in 0..PORTS {
        names.push(name(world.send(NODES, flow(number, 6)).forwarded(UPLINK)));
    }
    // Every hundredth flow is reset, and its session ends.
    let reset = |world: &mut World, router: AdjacencyId, port: u16| {
        let frame = from(router).ipv4(family.outside, family.pool).tcp(443, port).flags(RST).build();
        world.send(UPLINK, frame).forwarded(NODES);
    };
    for (_, port) in names.iter().step_by(100) {
        reset(&mut world, ROUTER, *port);
    }
    let ended = names.len().div_ceil(100);
    // The others are kept alive on the way to the reset ones' end.
    for _ in 0..3 {
        world.wait(Duration::from_secs(100));
        for number in (0..PORTS).filter(|number| number % 100 != 0) {
            world.send(NODES, flow(number, 6)).forwarded(UPLINK);
        }
    }
    assert_eq!(world.forwarder.sessions().0, PORTS - ended);
    let free: BTreeSet<u16> = names.iter().step_by(100).map(|(_, port)| *port).collect();
    let mut again = BTreeSet::new();
    for number in 0..ended {
        let sent = world.send(NODES, flow(PORTS + number, 6));
        again.insert(name(sent.forwarded(UPLINK)).1);
    }
    assert_eq!(again, free);
    world.send(NODES, flow(2 * PORTS, 6)).dropped(DropReason::IcmpRateLimited);
}

#[test]
fn a_port_in_use_toward_one_destination_is_free_toward_another() {
    let mut world = World::sized(
        &{
            let mut plan = Plan::island();
            plan.v4.pools[0].addresses.truncate(1);
            plan.v4.pools[0].last_port = FIRST_PORT + 99;
            plan.icmp_errors_per_second = 0;
            plan
        },
        1_000,
    );
    let syn = |port: u16, to: &str| from(NODE_A).ipv4(V4.pod_a, to).tcp(port, 443).flags(SYN).build();
    for destination in [V4.outside, V4.outside2] {
        let mut ports = BTreeSet::new();
        for port in 0..100 {
            ports.insert(name(world.send(NODES, syn(2_000 + port, destination)).forwarded(UPLINK)).1);
        }
        assert_eq!(ports.len(), 100, "a small pool has its last port found too");
        world.send(NODES, syn(3_000, destination)).dropped(DropReason::IcmpRateLimited);
    }
}

#[test]
fn a_crowd_takes_no_port_that_was_forwarded_since_and_every_one_that_no_longer_is() {
    for protocol in [6, 17] {
        crowd_and_forward(protocol);
    }
}

fn crowd_and_forward(protocol: u8) {
    let mut with = Plan::forwards();
    with.v4.pools[0].udp = Behavior::TCP;
    with.v4.pools[0].addresses.truncate(1);
    (with.v4.pools[0].first_port, with.v4.pools[0].last_port) = (1, 1_024);
    with.icmp_errors_per_second = 0;
    let mut without = with.clone();
    without.v4.forwards = Forwards::new();
    let mut world = World::sized(&without, 2_000);
    let mut next = 0;
    // From pods that have no address of their own.
    let mut open = |world: &mut World| {
        next += 1;
        let ip = from(NODE_A).ipv4(V4.pod_a2, V4.outside);
        let first = if protocol == 6 { ip.tcp(next, 443).flags(SYN).build() } else { ip.udp(next, 443).build() };
        let sent = world.send(NODES, first);
        (sent.verdict == Verdict::Forward(UPLINK)).then(|| name(&sent.bytes).1)
    };
    let mut ports = BTreeSet::new();
    // A quarter makes a crowd; it knows all ports a few flows later.
    while ports.len() < 300 {
        assert!(ports.insert(open(&mut world).expect("a free port")));
    }
    assert!(!ports.contains(&443), "with the seed of this test");
    world.install(&with);
    while let Some(port) = open(&mut world) {
        assert!(ports.insert(port));
    }
    assert!(ports.len() == 1_023 && !ports.contains(&443), "all but the service's");
    world.install(&without);
    assert_eq!((open(&mut world), open(&mut world)), (Some(443), None));
}

#[test]
fn the_ports_that_forwards_leave_are_given_out_to_the_last() {
    let left = 35;
    for (protocol, behavior) in [(6, Behavior::TCP), (6, Behavior::UDP), (17, Behavior::TCP), (17, Behavior::UDP)] {
        let mut plan = Plan::island();
        plan.v4.pools[0].addresses.truncate(1);
        (plan.v4.pools[0].tcp, plan.v4.pools[0].udp) = (behavior, behavior);
        plan.icmp_errors_per_second = 0;
        let public = plan.v4.pools[0].addresses[0];
        let to = Forward { address: 0x0a01_0214, port: None, vrf: ISLAND };
        for port in FIRST_PORT..=u16::MAX - left {
            plan.v4.forwards.insert_port(public, protocol, port, to);
        }
        let mut world = World::sized(&plan, 1_000);
        let mut names = BTreeSet::new();
        for number in 0..usize::from(left) {
            names.insert(name(world.send(NODES, flow(number, protocol)).forwarded(UPLINK)).1);
        }
        assert_eq!(names, (u16::MAX - left + 1..=u16::MAX).collect());
        world.send(NODES, flow(99, protocol)).dropped(DropReason::IcmpRateLimited);
    }
}
