//! The session table, copied out page by page.

use std::collections::BTreeSet;
use std::time::Duration;

use causeway_fastpath::command::{SessionCursor, SessionPage};
use causeway_testkit::packet::*;

use crate::world::{FAMILIES, ISLAND, NODE_A, NODES, Plan, ROUTER, UPLINK, World, from, source};

#[test]
fn a_row_tells_a_sessions_story() {
    for family in FAMILIES {
        let mut world = World::new();
        let ask = from(NODE_A).ip(family.pod_a, family.outside).tcp(5_000, 443).flags(SYN).build();
        let name = source(world.send(NODES, &ask).forwarded(UPLINK));
        world.wait(Duration::from_secs(2));
        world.send(NODES, ask).forwarded(UPLINK);
        let answer = from(ROUTER).ip(family.outside.to_ip(), name.0).tcp(443, name.1).flags(SYN | ACK).build();
        world.send(UPLINK, answer).forwarded(NODES);
        world.wait(Duration::from_secs(3));
        let rows = world.sessions(8);
        assert_eq!(rows.len(), 1);
        let row = rows[0];
        assert_eq!((row.vrf, row.protocol, row.state), (ISLAND, 6, "syn-received"));
        assert_eq!(row.inside, (family.pod_a.to_ip(), 5_000));
        assert_eq!(row.outside, name);
        assert_eq!(row.peer, (family.outside.to_ip(), 443));
        assert_eq!((row.packets_out, row.packets_in), (2, 1));
        assert_eq!((row.age_ms, row.idle_ms, row.expires_ms), (5_000, 3_000, 237_000));
    }
}

#[test]
fn an_echo_has_an_identifier_and_no_state() {
    for family in FAMILIES {
        let mut world = World::new();
        let ask = from(NODE_A).ip(family.pod_a, family.outside).icmp_echo_request(77, 1).build();
        let name = source(world.send(NODES, ask).forwarded(UPLINK));
        let row = world.sessions(8)[0];
        assert_eq!((row.inside.1, row.outside, row.peer.1, row.state), (77, name, 0, ""));
    }
}

#[test]
fn pages_of_every_size_hold_every_session_once_with_gaps_between() {
    let mut world = World::sized(&Plan::island(), 200);
    for (at, family) in FAMILIES.iter().enumerate() {
        for port in 1..=100 {
            let ip = from(NODE_A).ip(family.pod_a, family.outside);
            // Every third is a ping, which ends first.
            let frame = match port % 3 {
                0 => ip.icmp_echo_request(port, 1).build(),
                _ => ip.udp(port, 53 + at as u16).build(),
            };
            world.send(NODES, frame).forwarded(UPLINK);
        }
    }
    world.wait(Duration::from_secs(100));
    let expected = world.sessions(1_000).len();
    assert_eq!(expected, 2 * 67);
    for limit in [1, 2, 7, 64, 99, 100, 101, 1_000] {
        let rows = world.sessions(limit);
        let names: BTreeSet<_> = rows.iter().map(|row| (row.protocol, row.outside)).collect();
        assert_eq!((rows.len(), names.len()), (expected, expected), "pages of {limit}");
    }
}

#[test]
fn a_page_without_room_or_place_stays_as_it_is() {
    let mut world = World::new();
    world.send(NODES, from(NODE_A).ip("10.1.1.10", "198.51.100.9").udp(1, 2).build()).forwarded(UPLINK);
    let mut done = SessionPage { limit: 10, ..SessionPage::default() };
    world.forwarder.list_sessions(world.now, &mut done);
    assert_eq!((done.rows.len(), done.cursor), (0, None));
    let mut cramped = SessionPage { limit: 10, cursor: Some(SessionCursor::default()), ..SessionPage::default() };
    world.forwarder.list_sessions(world.now, &mut cramped);
    assert_eq!((cramped.rows.capacity(), cramped.rows.len()), (0, 0), "the worker does not allocate");
}
