//! Sessions that are ended on demand, part by part of the table.

use causeway_fastpath::command::{SessionCursor, SessionKill};
use causeway_fastpath::session::{Block, Condition, End, SessionFilter};
use causeway_fastpath::verdict::DropReason;
use causeway_fastpath::wire::protocol;
use causeway_testkit::packet::*;

use crate::world::{FAMILIES, NODE_A, NODES, Plan, ROUTER, UPLINK, World, from, source};

/// Ends what meets the conditions, `limit` records at a time; says how many did, and
/// in how many steps.
fn end(world: &mut World, conditions: &[Condition], limit: u32, dry_run: bool) -> (u64, usize) {
    let filter = SessionFilter { conditions: conditions.to_vec() };
    let mut kill = SessionKill { cursor: Some(SessionCursor::default()), limit, filter, dry_run, ..Default::default() };
    for step in 1..10_000 {
        world.forwarder.end_sessions(world.now, &mut kill);
        if kill.cursor.is_none() {
            return (kill.met, step);
        }
    }
    panic!("the steps never end");
}

/// 100 sessions of each family: 67 by UDP, 33 by TCP.
fn busy() -> World {
    let mut world = World::sized(&Plan::island(), 200);
    for family in FAMILIES {
        for port in 1..=100 {
            let ip = from(NODE_A).ip(family.pod_a, family.outside);
            let frame = if port % 3 == 0 { ip.tcp(port, 80).flags(SYN).build() } else { ip.udp(port, 53).build() };
            world.send(NODES, frame).forwarded(UPLINK);
        }
    }
    world
}

#[test]
fn those_that_are_meant_end_and_the_others_go_on_whatever_the_size_of_a_step() {
    for limit in [1, 7, 64, 100, 1_000] {
        let mut world = busy();
        world.counted();
        let tcp = [Condition::Protocol(protocol::TCP)];
        let (met, steps) = end(&mut world, &tcp, limit, true);
        assert_eq!((met, world.sessions(64).len()), (66, 200), "a dry run ends nothing");
        assert!(steps >= 200 / limit.min(256) as usize, "{steps} steps of {limit}");
        assert_eq!(end(&mut world, &tcp, limit, false).0, 66);
        world.expect_counted(&[("sessions-ended", 66)]);
        let rows = world.sessions(64);
        assert!(rows.len() == 134 && rows.iter().all(|row| row.protocol == protocol::UDP));
        assert_eq!(end(&mut world, &[], limit, false).0, 134, "without a condition, all");
        assert_eq!(world.forwarder.sessions(), (0, 0));
    }
}

#[test]
fn what_belonged_to_a_session_that_was_ended_is_a_strangers() {
    for family in FAMILIES {
        let mut world = World::new();
        let tcp = |flags| from(NODE_A).ip(family.pod_a, family.outside).tcp(5_000, 443).flags(flags).build();
        let name = source(world.send(NODES, tcp(SYN)).forwarded(UPLINK));
        let answer = from(ROUTER).ip(family.outside.to_ip(), name.0).tcp(443, name.1).flags(SYN | ACK).build();
        world.send(UPLINK, &answer).forwarded(NODES);
        assert_eq!(end(&mut world, &[Condition::Port(End::Peer, 443)], 64, false).0, 1);
        world.send(UPLINK, answer).dropped(DropReason::NatUnsolicited);
        world.send(NODES, tcp(ACK)).dropped(DropReason::NatTcpNotSyn);
        world.send(NODES, tcp(SYN)).forwarded(UPLINK);
    }
}

#[test]
fn a_filter_of_one_family_leaves_the_other_alone() {
    let mut world = busy();
    let everything = Block::V4(causeway_fastpath::fib::Prefix::containing(0, 0));
    assert_eq!(end(&mut world, &[Condition::Address(End::Any, everything)], 64, false).0, 100);
    assert_eq!(world.forwarder.sessions(), (0, 100));
}

#[test]
fn a_kill_without_a_place_does_nothing() {
    let mut world = busy();
    let mut kill = SessionKill { limit: 64, ..SessionKill::default() };
    world.forwarder.end_sessions(world.now, &mut kill);
    assert_eq!((kill.met, kill.cursor, world.forwarder.sessions()), (0, None, (100, 100)));
}
