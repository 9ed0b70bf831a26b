//! Other tables under live sessions: who goes on, who ends, and when.

use std::collections::BTreeMap;

use causeway_fastpath::fib::{Hop, Prefix};
use causeway_fastpath::ids::{PoolId, VrfId};
use causeway_fastpath::nat::{Behavior, EgressAction, EgressRule, Filtering, Forwards, Mapping, Selection, Selections};
use causeway_fastpath::snapshot::Pool;
use causeway_fastpath::verdict::DropReason;
use causeway_testkit::packet::*;

use crate::world::{Endpoint, FAMILIES, Family, ISLAND, NODE_A, NODES, Plan, ROUTER, UPLINK, World, from, source};

/// What a pod asks, and how the outside answers who is called so.
fn ask(family: Family, port: u16) -> Vec<u8> {
    from(NODE_A).ip(family.pod_a, family.outside).udp(port, 53).build()
}

fn answer(family: Family, name: Endpoint) -> Vec<u8> {
    from(ROUTER).ip(family.outside.to_ip(), name.0).udp(53, name.1).build()
}

/// Sessions of these ports, by port, each with its name.
fn begin(world: &mut World, family: Family, ports: impl Iterator<Item = u16>) -> BTreeMap<u16, Endpoint> {
    ports.map(|port| (port, source(world.send(NODES, ask(family, port)).forwarded(UPLINK)))).collect()
}

/// The plan, and nobody talks to the outside any more.
fn denying(mut plan: Plan) -> Plan {
    let action = EgressAction::Drop(DropReason::PolicyDenied);
    plan.v4.egress[ISLAND.index()]
        .insert(0, EgressRule::new(Prefix::containing(0, 0), Prefix::containing(0, 0), action));
    plan.v6.egress[ISLAND.index()]
        .insert(0, EgressRule::new(Prefix::containing(0, 0), Prefix::containing(0, 0), action));
    plan
}

#[test]
fn what_policy_no_longer_allows_ends_with_the_next_packet_in_either_direction() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::island());
        let names = begin(&mut world, family, 5_000..5_010);
        world.counted();
        world.install_at_leisure(&denying(Plan::island()));
        assert_eq!(world.sessions(64).len(), 10, "nobody was touched yet");
        world.send(UPLINK, answer(family, names[&5_000])).dropped(DropReason::NatUnsolicited);
        world.send(NODES, ask(family, 5_001)).replied();
        assert_eq!(world.sessions(64).len(), 8);
        world.settle();
        assert_eq!(world.sessions(64).len(), 0);
        let counted = world.counted();
        assert_eq!((counted["sessions-ended"], counted["sessions-ended-policy"]), (10, 10));
    }
}

#[test]
fn a_flow_whose_name_is_gone_goes_on_under_another_and_a_connection_breaks() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::island().with_ports(1_024, 2_047));
        let name = begin(&mut world, family, 5_000..5_001)[&5_000];
        let tcp = |flags| from(NODE_A).ip(family.pod_a, family.outside).tcp(6_000, 443).flags(flags).build();
        world.send(NODES, tcp(SYN)).forwarded(UPLINK);
        world.counted();
        world.install_at_leisure(&Plan::island().with_ports(3_000, 3_999));
        let other = source(world.send(NODES, ask(family, 5_000)).forwarded(UPLINK));
        assert!((3_000..4_000).contains(&other.1), "{other:?}");
        world.send(NODES, tcp(ACK)).dropped(DropReason::NatTcpNotSyn);
        world.send(UPLINK, answer(family, name)).dropped(DropReason::NatUnsolicited);
        world.send(UPLINK, answer(family, other)).forwarded(NODES);
        world.settle();
        let counted = world.counted();
        assert_eq!((counted["sessions-ended"], counted["sessions-ended-renamed"]), (2, 2));
        assert_eq!(world.sessions(8).len(), 1);
    }
}

#[test]
fn of_a_range_of_ports_that_becomes_another_what_both_have_stays() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::island().with_ports(1_024, 1_123));
        let names = begin(&mut world, family, 5_000..5_100);
        world.install_at_leisure(&Plan::island().with_ports(1_074, 1_173));
        // Those that come take nobody's, be he judged or not; fifty are free or become so.
        let others = begin(&mut world, family, 6_000..6_020);
        world.settle();
        for (port, name) in &names {
            let now = world.sessions(64).iter().find(|row| row.inside.1 == *port).map(|row| row.outside);
            assert_eq!(now, (name.1 >= 1_074).then_some(*name));
        }
        assert!(others.values().all(|name| name.1 >= 1_124));
        let more = begin(&mut world, family, 7_000..7_030);
        assert!(more.values().all(|name| name.1 >= 1_124));
        world.send(NODES, ask(family, 8_000)).replied();
    }
}

#[test]
fn an_address_that_another_pool_gets_keeps_its_names_where_the_rule_follows_it() {
    for family in FAMILIES {
        let mut before = Plan::island().with_ports(1_024, 1_123);
        before.v4.pools.push(causeway_fastpath::snapshot::Pool { addresses: Vec::new(), ..before.v4.pools[0].clone() });
        before.v6.pools.push(causeway_fastpath::snapshot::Pool { addresses: Vec::new(), ..before.v6.pools[0].clone() });
        let mut after = before.clone();
        after.v4.pools.swap(0, 1);
        after.v6.pools.swap(0, 1);
        let moved = |rule: &mut EgressAction| {
            if let EgressAction::Translate(pool) = rule {
                *pool = causeway_fastpath::ids::PoolId(1);
            }
        };
        after.v4.egress.iter_mut().flatten().for_each(|rule| moved(&mut rule.action));
        after.v6.egress.iter_mut().flatten().for_each(|rule| moved(&mut rule.action));
        let mut world = World::with(&before);
        let names = begin(&mut world, family, 5_000..5_050);
        world.install_at_leisure(&after);
        let others = begin(&mut world, family, 6_000..6_050);
        assert!(others.values().all(|name| names.values().all(|own| own != name)));
        world.settle();
        assert_eq!(begin(&mut world, family, 5_000..5_050), names);
        world.send(NODES, ask(family, 8_000)).replied();
    }
}

/// A pool whose UDP names are given out so.
fn mapped(behavior: Behavior) -> Plan {
    let mut plan = Plan::island().with_ports(1_024, 1_103);
    (plan.v4.pools[0].udp, plan.v6.pools[0].udp) = (behavior, behavior);
    plan
}

/// All ports are there again once sessions have ended, and no more than those.
fn all_ports_come_back(world: &mut World, family: Family) {
    world.wait(std::time::Duration::from_secs(1_000));
    assert_eq!(world.sessions(8).len(), 0);
    begin(world, family, 7_000..7_080);
    world.send(NODES, ask(family, 8_000)).replied();
}

#[test]
fn what_is_mapped_by_destination_from_now_on_keeps_the_name_that_it_has() {
    for family in FAMILIES {
        let mut world = World::with(&mapped(Behavior::UDP));
        let names = begin(&mut world, family, 5_000..5_010);
        world.install_at_leisure(&mapped(Behavior::TCP));
        world.send(UPLINK, answer(family, names[&5_003])).forwarded(NODES);
        let others = begin(&mut world, family, 6_000..6_005);
        world.settle();
        assert_eq!(begin(&mut world, family, 5_000..5_010), names);
        assert!(others.values().all(|name| names.values().all(|own| own != name)));
        all_ports_come_back(&mut world, family);
    }
}

#[test]
fn what_was_mapped_by_destination_has_other_names_once_they_are_endpoints_own() {
    let toward_addresses = Behavior { mapping: Mapping::AddressDependent, ..Behavior::UDP };
    for family in FAMILIES {
        for (before, after) in
            [(Behavior::TCP, Behavior::UDP), (Behavior::UDP, Behavior::UDP), (Behavior::UDP, toward_addresses)]
        {
            let mut world = World::with(&mapped(before));
            let names = begin(&mut world, family, 5_000..5_010);
            // There and back, for those that begin with a name of their own.
            world.install_at_leisure(&mapped(Behavior::TCP));
            world.settle();
            world.install_at_leisure(&mapped(after));
            world.send(UPLINK, answer(family, names[&5_003])).dropped(DropReason::NatUnsolicited);
            world.settle();
            assert_eq!(world.sessions(100).len(), 0);
            let own = begin(&mut world, family, 5_000..5_010);
            let elsewhere = |port| from(NODE_A).ip(family.pod_a, family.outside2).udp(port, 53).build();
            for port in 6_000..6_070 {
                let name = source(world.send(NODES, elsewhere(port)).forwarded(UPLINK));
                assert!(own.values().all(|own| *own != name), "{name:?} is given out twice");
            }
            all_ports_come_back(&mut world, family);
        }
    }
}

#[test]
fn who_is_selected_may_change_while_sessions_are_judged() {
    let mut plan = Plan::island();
    plan.v4.route(VrfId::MAIN, "203.0.113.99/32", Hop::Pool);
    plan.v4.pools.push(Pool { addresses: vec![0xcb00_7163], ..Pool::default() });
    plan.v6.pools.push(Pool::default());
    let everywhere = Prefix::containing(0, 0);
    let rule = EgressRule::new(everywhere, everywhere, EgressAction::Translate(PoolId(1)));
    plan.v4.egress[ISLAND.index()].insert(0, EgressRule { selection: Selection::new(5), ..rule });
    let mut world = World::with(&plan);
    let family = FAMILIES[0];
    begin(&mut world, family, 5_000..5_010);
    plan.v4.egress[ISLAND.index()].push(EgressRule::new(everywhere, everywhere, EgressAction::Forward));
    world.install_at_leisure(&plan);
    for host in 0x0a01_0100..0x0a01_0200 {
        plan.v4.selected[ISLAND.index()].add(host, Selections(1 << 5));
    }
    world.install_at_leisure(&plan);
    let segment = |flags| from(NODE_A).ip(family.pod_a, family.outside).tcp(6_000, 443).flags(flags).build();
    let name = source(world.send(NODES, segment(SYN)).forwarded(UPLINK));
    assert_eq!(source(world.send(NODES, segment(ACK)).forwarded(UPLINK)), name);
}

#[test]
fn strangers_that_a_name_let_in_are_out_once_it_lets_in_none() {
    let plan = |filtering| mapped(Behavior { filtering, ..Behavior::UDP });
    for family in FAMILIES {
        let mut world = World::with(&plan(Filtering::EndpointIndependent));
        let name = begin(&mut world, family, 5_000..5_001)[&5_000];
        let stranger = from(ROUTER).ip(family.outside2.to_ip(), name.0).udp(666, name.1).build();
        world.send(UPLINK, &stranger).forwarded(NODES);
        world.install(&plan(Filtering::AddressAndPortDependent));
        world.send(UPLINK, &stranger).dropped(DropReason::NatUnsolicited);
        world.send(UPLINK, answer(family, name)).forwarded(NODES);
    }
}

#[test]
fn a_conversation_ends_with_the_forward_that_led_in_or_when_that_leads_elsewhere() {
    for family in FAMILIES {
        let visit = from(ROUTER).ip(family.outside, family.pool).tcp(40_000, 443).flags(SYN).build();
        let goes_on = from(ROUTER).ip(family.outside, family.pool).tcp(40_000, 443).flags(ACK).build();
        let mut world = World::with(&Plan::forwards());
        world.send(UPLINK, &visit).forwarded(NODES);
        world.counted();
        let mut without = Plan::forwards();
        (without.v4.forwards, without.v6.forwards) = (Forwards::new(), Forwards::new());
        world.install_at_leisure(&without);
        world.send(UPLINK, &goes_on).dropped(DropReason::NatUnsolicited);
        world.settle();
        let counted = world.counted();
        assert_eq!((counted["sessions-ended"], counted["sessions-ended-forward"]), (1, 1));
        assert_eq!(world.sessions(8).len(), 0);
    }
}

#[test]
fn a_change_that_overtakes_another_finds_every_session_judged() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::island().with_ports(1_024, 1_123));
        begin(&mut world, family, 5_000..5_100);
        world.install_at_leisure(&Plan::island().with_ports(1_024, 1_073));
        world.install_at_leisure(&Plan::island().with_ports(1_024, 1_123));
        world.settle();
        assert_eq!(world.sessions(64).len(), 50, "what ended does not come back");
        begin(&mut world, family, 6_000..6_050);
        world.send(NODES, ask(family, 8_000)).replied();
    }
}
