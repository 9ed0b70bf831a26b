//! What is in use of pools, and who was refused: what operators see.

use std::time::Duration;

use causeway_fastpath::nat::{Behavior, Filtering, Load};
use causeway_testkit::packet::*;

use crate::world::{FAMILIES, FIRST_PORT, Family, ISLAND, NODE_A, NODES, Plan, World, from};

const TCP: usize = 0;
const UDP: usize = 1;

/// One pool with so many addresses and ports, and nobody told of refusals.
fn small(mut plan: Plan, addresses: usize, ports: u16) -> Plan {
    plan.icmp_errors_per_second = 0;
    plan.v4.pools[0].addresses.truncate(addresses);
    plan.v6.pools[0].addresses.truncate(addresses);
    plan.v4.pools[0].last_port = FIRST_PORT + ports - 1;
    plan.v6.pools[0].last_port = FIRST_PORT + ports - 1;
    plan
}

/// Flows of a pod from ports of its own to one peer.
fn open(world: &mut World, family: Family, pod: &str, protocol: u8, ports: std::ops::Range<u16>) {
    for port in ports {
        let ip = from(NODE_A).ip(pod, family.outside);
        let frame = if protocol == 6 { ip.tcp(port, 443).flags(SYN).build() } else { ip.udp(port, 443).build() };
        world.send(NODES, frame);
    }
}

/// The sum over the pool's addresses in this family.
fn sum(world: &World, family: Family, protocol: usize) -> Load {
    let mut total = Load::default();
    for row in world.pools(1, 5).iter().filter(|row| row.address.is_ipv4() == family.v4) {
        let load = row.loads[protocol];
        total.sessions += load.sessions;
        total.bindings += load.bindings;
        total.resting += load.resting;
        total.used += load.used;
        total.high_water += load.high_water;
        total.refused += load.refused;
        total.forwarded += load.forwarded;
    }
    total
}

#[test]
fn a_pool_counts_what_is_in_use_at_rest_and_refused_to_the_last_port() {
    for family in FAMILIES {
        for (protocol, at, behavior) in [(6, TCP, Behavior::TCP), (6, TCP, Behavior::UDP), (17, UDP, Behavior::UDP)] {
            let mut plan = small(Plan::island(), 2, 50);
            (plan.v4.pools[0].tcp, plan.v6.pools[0].tcp) = (behavior, behavior);
            let mut world = World::with(&plan);
            open(&mut world, family, family.pod_a, protocol, 1..91);
            let load = sum(&world, family, at);
            assert_eq!((load.sessions, load.used, load.high_water, load.refused), (90, 90, 90, 0));
            open(&mut world, family, family.pod_a2, protocol, 1..31);
            let load = sum(&world, family, at);
            assert_eq!((load.sessions, load.used, load.high_water, load.refused), (100, 100, 100, 20));
            assert_eq!(load.bindings, if behavior == Behavior::TCP { 2 } else { 100 }, "destinations, or endpoints");
            assert_eq!(sum(&world, family, 2), Load::default(), "other protocols have their own");
            world.wait(Duration::from_secs(301));
            let load = sum(&world, family, at);
            assert_eq!((load.sessions, load.used, load.bindings), (0, 0, 0));
            assert_eq!((load.high_water, load.refused), (100, 20), "what was is remembered");
        }
    }
}

#[test]
fn names_at_rest_are_neither_in_use_nor_free() {
    for family in FAMILIES {
        let mut world = World::with(&small(Plan::island().with_open_names(Filtering::EndpointIndependent), 1, 50));
        open(&mut world, family, family.pod_a, 17, 1..31);
        world.wait(Duration::from_secs(300));
        let load = sum(&world, family, UDP);
        assert_eq!((load.used, load.resting, load.sessions), (0, 30, 0));
        // Their own endpoints have ten of them back.
        open(&mut world, family, family.pod_a, 17, 1..11);
        open(&mut world, family, family.pod_a2, 17, 1..41);
        let load = sum(&world, family, UDP);
        assert_eq!((load.used, load.resting, load.refused, load.high_water), (30, 20, 20, 30));
        world.wait(Duration::from_secs(120));
        assert_eq!(sum(&world, family, UDP).resting, 0);
    }
}

#[test]
fn ports_of_forwards_are_told_apart() {
    for family in FAMILIES {
        let mut plan = Plan::forwards();
        (plan.v4.pools[0].first_port, plan.v6.pools[0].first_port) = (1, 1);
        let world = World::with(&plan);
        let forwarded = |protocol| sum(&world, family, protocol).forwarded;
        assert_eq!((forwarded(TCP), forwarded(UDP), forwarded(2)), (1, 1, 0));
        assert_eq!(world.pools(1, 3).len(), 14, "seven addresses a family");
        assert_eq!(world.pools(0, 3).len(), 0);
        assert_eq!(world.pools(9, 64).len(), 16, "with the address of a pod's own");
    }
}

#[test]
fn who_is_refused_is_known_whatever_the_reason() {
    for family in FAMILIES {
        let refused = |plan: Plan| {
            let mut world = World::with(&plan);
            open(&mut world, family, family.pod_a, 17, 1..31);
            world.refused(100)
        };
        let pod = family.pod_a.to_ip();
        assert_eq!(refused(small(Plan::island(), 1, 10)), [(ISLAND, pod, 20)]);
        assert_eq!(refused(Plan::island().with_limit(25)), [(ISLAND, pod, 5)]);
        assert_eq!(refused(Plan::island().with_rate(12)), [(ISLAND, pod, 18)]);
        assert_eq!(refused(Plan::island()), []);
    }
}
