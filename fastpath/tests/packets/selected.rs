//! Hosts that a rule names one by one leave under a pool of their own.

use causeway_fastpath::address::Address;
use causeway_fastpath::fib::{Hop, Prefix};
use causeway_fastpath::ids::{PoolId, VrfId};
use causeway_fastpath::nat::{EgressAction, EgressRule, Selected, Selection, Selections};
use causeway_fastpath::snapshot::Pool;
use causeway_testkit::packet::*;

use crate::world::{FIRST_PORT, FamilyPlan, ISLAND, NODE_A, NODES, Plan, ROUTER, UPLINK, World, from, source, to};

/// Two islands, with a pool for who is in the selection 5.
fn plan() -> Plan {
    let mut plan = Plan::two_islands();
    named(&mut plan.v4, 0xcb00_7163);
    named(&mut plan.v6, 0x2001_0db8 << 96 | 0x99);
    plan.v4.route(VrfId::MAIN, "203.0.113.99/32", Hop::Pool);
    plan.v6.route(VrfId::MAIN, "2001:db8::99/128", Hop::Pool);
    plan
}

fn named<A: Address>(plan: &mut FamilyPlan<A>, address: A) {
    plan.pools.push(Pool { addresses: vec![address], first_port: FIRST_PORT, ..Pool::default() });
    let pool = PoolId(plan.pools.len() as u16 - 1);
    let everywhere = Prefix::containing(A::default(), 0);
    let rule = EgressRule::new(everywhere, everywhere, EgressAction::Translate(pool));
    plan.egress[ISLAND.index()].insert(0, EgressRule { selection: Selection::new(5), ..rule });
}

/// Nobody but these is in it.
fn select<A: Address>(plan: &mut FamilyPlan<A>, hosts: &[A]) {
    let mut selected = Selected::default();
    hosts.iter().for_each(|host| selected.add(*host, Selections(1 << 5)));
    plan.selected[ISLAND.index()] = selected;
}

const POD: &str = "10.1.1.10";
const OTHER: &str = "10.1.1.11";
const PEER: &str = "198.51.100.9";

#[test]
fn who_is_selected_leaves_under_the_pool_of_the_selection_and_others_do_not() {
    let mut plan = plan();
    select(&mut plan.v4, &[0x0a01_010a]);
    let mut world = World::with(&plan);
    let mut leaves = |pod: &str| {
        let out = world.send(NODES, from(NODE_A).ipv4(pod, PEER).udp(5_000, 53).build());
        source(out.forwarded(UPLINK)).0
    };
    assert_eq!(leaves(POD), "203.0.113.99".to_ip());
    assert_ne!(leaves(OTHER), "203.0.113.99".to_ip());
}

#[test]
fn who_is_selected_later_keeps_the_name_of_the_conversations_it_has() {
    let mut plan = plan();
    let mut world = World::with(&plan);
    let ask = |port: u16| from(NODE_A).ipv4(POD, PEER).udp(port, 53).build();
    let before = source(world.send(NODES, ask(5_000)).forwarded(UPLINK));
    assert_ne!(before.0, "203.0.113.99".to_ip());
    select(&mut plan.v4, &[0x0a01_010a]);
    world.install(&plan);
    assert_eq!(source(world.send(NODES, ask(5_000)).forwarded(UPLINK)), before);
    let answer = from(ROUTER).ip(PEER, before.0).udp(53, before.1).build();
    let expected = to(NODE_A).ipv4(PEER, POD).ttl(63).udp(53, 5_000).build();
    assert_eq!(world.send(UPLINK, answer).forwarded(NODES), expected);
    let (name, port) = source(world.send(NODES, ask(5_001)).forwarded(UPLINK));
    assert_eq!(name, "203.0.113.99".to_ip());
    assert!(port >= FIRST_PORT);
    select(&mut plan.v4, &[]);
    world.install(&plan);
    assert_eq!(source(world.send(NODES, ask(5_001)).forwarded(UPLINK)), (name, port), "nor does it lose it");
    assert_ne!(source(world.send(NODES, ask(5_002)).forwarded(UPLINK)).0, name);
}

#[test]
fn selections_of_both_families_are_apart() {
    let mut plan = plan();
    let pod = "fd00:10:0:1::10".to_ip();
    select(&mut plan.v6, &[u128::from_ip(pod).expect("it is of this family")]);
    let mut world = World::with(&plan);
    let out = world.send(NODES, from(NODE_A).ip(pod, "2001:db8:ffff::9".to_ip()).udp(5_000, 53).build());
    assert_eq!(source(out.forwarded(UPLINK)).0, "2001:db8::99".to_ip());
    let out = world.send(NODES, from(NODE_A).ipv4(POD, PEER).udp(5_000, 53).build());
    assert_ne!(source(out.forwarded(UPLINK)).0, "203.0.113.99".to_ip());
}
