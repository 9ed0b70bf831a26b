//! Under how many names an endpoint is known outside (RFC 4787, 4.1; RFC 5382, REQ-1).

use std::collections::BTreeSet;

use causeway_fastpath::nat::{Behavior, Filtering, Mapping};
use causeway_testkit::packet::*;

use crate::world::{Endpoint, FAMILIES, Family, NODE_A, NODES, Plan, ROUTER, UPLINK, World, from, source};

/// A name for each address that an endpoint talks to.
const BY_ADDRESS: Behavior =
    Behavior { mapping: Mapping::AddressDependent, filtering: Filtering::AddressAndPortDependent };

/// Under which name a pod's port 5000 talks to a peer.
fn name(world: &mut World, pod: &str, peer: &str, protocol: u8, peer_port: u16) -> Endpoint {
    let ip = from(NODE_A).ip(pod, peer);
    let frame = match protocol {
        6 => ip.tcp(5_000, peer_port).flags(SYN).build(),
        _ => ip.udp(5_000, peer_port).build(),
    };
    source(world.send(NODES, frame).forwarded(UPLINK))
}

fn names(family: Family, behavior: Behavior, protocol: u8) -> BTreeSet<Endpoint> {
    let mut world = World::with(&Plan::island().with_behavior(behavior));
    let mut names = BTreeSet::new();
    for peer in [family.outside, family.outside2, family.server] {
        names.extend((1..=20).map(|port| name(&mut world, family.pod_a, peer, protocol, port)));
    }
    names
}

#[test]
fn a_tcp_endpoint_keeps_its_name_for_every_destination_where_the_pool_says_so() {
    for family in FAMILIES {
        assert_eq!(names(family, Behavior::UDP, 6).len(), 1);
        let drawn = names(family, Behavior::TCP, 6);
        assert!(drawn.len() > 50, "otherwise a port is drawn for each destination");

        // As long as a session of its lives, the port is nobody else's, whomever they talk to.
        let mut plan = Plan::island().with_behavior(Behavior::UDP);
        let ports = 20;
        plan.v4.pools[0].last_port = plan.v4.pools[0].first_port + ports - 1;
        plan.v6.pools[0].last_port = plan.v6.pools[0].first_port + ports - 1;
        let mut world = World::with(&plan);
        let own = name(&mut world, family.pod_a, family.outside, 6, 443);
        for port in 0..60 {
            let syn = from(NODE_A).ip(family.pod_a2, family.outside2).tcp(6_000 + port, 80).flags(SYN).build();
            assert_ne!(source(world.send(NODES, syn).forwarded(UPLINK)), own);
        }
        assert_eq!(name(&mut world, family.pod_a, family.server, 6, 80), own);
    }
}

#[test]
fn an_endpoint_has_a_name_for_each_address_it_talks_to_where_the_pool_says_so() {
    for family in FAMILIES {
        for protocol in [6, 17] {
            assert_eq!(names(family, BY_ADDRESS, protocol).len(), 3);

            // The third port is for the third address, whatever the first two serve.
            let mut world = World::with(&Plan::island().with_behavior(BY_ADDRESS).with_ports(2_000, 2_002));
            let first = name(&mut world, family.pod_a, family.outside, protocol, 1);
            let second = name(&mut world, family.pod_a, family.outside2, protocol, 1);
            for port in 2..=50 {
                assert_eq!(name(&mut world, family.pod_a, family.outside, protocol, port), first);
            }
            let third = name(&mut world, family.pod_a, family.server, protocol, 1);
            assert_eq!(BTreeSet::from([first.1, second.1, third.1]), BTreeSet::from([2_000, 2_001, 2_002]));
            let fourth = from(NODE_A).ip(family.pod_a2, family.outside);
            let fourth = if protocol == 6 { fourth.tcp(1, 1).flags(SYN).build() } else { fourth.udp(1, 1).build() };
            world.send(NODES, fourth).replied();
            // Who has a name is not refused.
            assert_eq!(name(&mut world, family.pod_a, family.server, protocol, 9), third);
        }
    }
}

#[test]
fn udp_ports_serve_many_destinations_where_the_pool_says_so() {
    for family in FAMILIES {
        assert_eq!(names(family, Behavior::UDP, 17).len(), 1);
        assert!(names(family, Behavior::TCP, 17).len() > 50, "a port is drawn for each destination");

        // One port is enough for all who talk to different ones.
        let mut plan = Plan::island().with_behavior(Behavior::TCP);
        plan.v4.pools[0].addresses.truncate(1);
        plan.v6.pools[0].addresses.truncate(1);
        plan.v4.pools[0].last_port = plan.v4.pools[0].first_port;
        plan.v6.pools[0].last_port = plan.v6.pools[0].first_port;
        let mut world = World::with(&plan);
        let shared: BTreeSet<_> =
            (1..=99).map(|port| name(&mut world, family.pod_a, family.outside, 17, port)).collect();
        assert_eq!(shared.len(), 1);
        let second = from(NODE_A).ip(family.pod_a2, family.outside).udp(1, 1).build();
        world.send(NODES, second).replied();
        // Answers find the one whom they are for.
        let (address, port) = *shared.first().expect("one");
        for peer_port in 1..=99 {
            let answer = from(ROUTER).ip(family.outside.to_ip(), address).udp(peer_port, port).build();
            world.send(UPLINK, answer).forwarded(NODES);
        }
    }
}
