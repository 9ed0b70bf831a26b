//! Questions, patience, and the end of both: RFC 1122 2.3.2.1, RFC 4861 7.3.

use causeway_control::neighbors::State;
use causeway_fastpath::verdict::{PuntReason, Verdict};
use causeway_testkit::packet::*;

use crate::lab::*;
use crate::world::{World, millis, own_mac, seconds};

/// "Host unreachable" from the gateway to node-a about its packet.
fn host_unreachable(family: Family, about: &Udp) -> Vec<u8> {
    let link = eth().src(own_mac(NODES)).dst(NODE_A.mac);
    let (own, to) = (own_address(NODES, family), NODE_A.address(family));
    let quote = about.quote(usize::MAX);
    match family {
        Family::V4 => link.ipv4(own, to).tos(0xc0).df().ttl(64).icmp_error(3, 1, [0; 4], &quote).build(),
        Family::V6 => link.ipv6(own, to).hop_limit(64).icmp_error(1, 3, [0; 4], &quote).build(),
    }
}

#[test]
fn who_does_not_answer_is_asked_for_once_a_second_and_is_dead_after_three() {
    for family in FAMILIES {
        let mut world = lab_with(&[NODE_A, NODE_B]);
        let packet = NODE_A.udp(NODE_A.address(family), SERVER.address(family));
        assert_eq!(world.send(NODES, packet.build()), Verdict::Punt(PuntReason::Unresolved));
        world.expect(UPLINK, &[SERVER.asked_for(family, None)]);
        for _ in 0..2 {
            // However many packets come meanwhile.
            world.wait(millis(999));
            world.send(NODES, packet.build());
            world.expect_silence();
            world.wait(millis(1));
            world.expect(UPLINK, &[SERVER.asked_for(family, None)]);
        }
        world.wait(millis(999));
        world.expect_silence();
        world.wait(millis(1));
        assert_eq!(world.state(UPLINK, SERVER.address(family)), Some((State::Dead, None)));
        // The three that waited.
        world.expect(NODES, &vec![host_unreachable(family, &packet); 3]);
        // Who comes now is told at once.
        assert_eq!(world.send(NODES, packet.build()), Verdict::Reply(NODES));
        world.expect(NODES, &[host_unreachable(family, &packet)]);
    }
}

#[test]
fn the_dead_are_forgotten_and_asked_for_anew_when_a_packet_wants_them() {
    for family in FAMILIES {
        let mut world = lab_with(&[NODE_A, NODE_B]);
        let packet = NODE_A.udp(NODE_A.address(family), SERVER.address(family));
        world.send(NODES, packet.build());
        world.wait(millis(22_999));
        world.sent();
        assert_eq!(world.state(UPLINK, SERVER.address(family)), Some((State::Dead, None)));
        world.wait(millis(1));
        assert_eq!(world.state(UPLINK, SERVER.address(family)), None);
        world.expect_silence();
        assert_eq!(world.send(NODES, packet.build()), Verdict::Punt(PuntReason::Unresolved));
        world.expect(UPLINK, &[SERVER.asked_for(family, None)]);
    }
}

#[test]
fn the_dead_come_back_as_soon_as_they_speak() {
    let mut world = World::lab();
    for family in FAMILIES {
        world.send(NODES, NODE_A.udp(NODE_A.address(family), SERVER.address(family)).build());
    }
    world.wait(seconds(4));
    world.sent();
    for family in FAMILIES {
        assert_eq!(world.state(UPLINK, SERVER.address(family)), Some((State::Dead, None)));
        world.send(UPLINK, SERVER.asks(own_address(UPLINK, family)));
        let verdict = world.send(NODES, NODE_A.udp(NODE_A.address(family), SERVER.address(family)).build());
        assert_eq!(verdict, Verdict::Forward(UPLINK));
    }
}

#[test]
fn after_half_a_minute_a_neighbor_is_asked_alone_then_all_are_and_it_dies_if_it_is_gone() {
    for family in FAMILIES {
        let mut world = World::lab();
        world.send(UPLINK, SERVER.asks(own_address(UPLINK, family)));
        // Routers are asked for on the other port; this is about the server.
        world.sent();
        world.wait(millis(29_999));
        assert!(world.sent_among_others(UPLINK).is_empty());
        for (delay, alone) in [(1, Some(SERVER.mac)), (1000, None), (1000, None)] {
            world.wait(millis(delay));
            let probe = SERVER.asked_for(family, alone);
            causeway_testkit::print::assert_frame_lists_eq(&[probe], &world.sent_among_others(UPLINK));
            // It is believed until the end.
            let packet = NODE_A.udp(NODE_A.address(family), SERVER.address(family)).build();
            assert_eq!(world.send(NODES, packet), Verdict::Forward(UPLINK));
            world.sent();
        }
        world.wait(millis(1000));
        assert_eq!(world.state(UPLINK, SERVER.address(family)), Some((State::Dead, Some(SERVER.mac))));
        let packet = NODE_A.udp(NODE_A.address(family), SERVER.address(family));
        assert_eq!(world.send(NODES, packet.build()), Verdict::Reply(NODES));
    }
}

#[test]
fn a_neighbor_that_answers_lives_on_without_new_tables() {
    for family in FAMILIES {
        let mut world = World::lab();
        world.send(UPLINK, SERVER.asks(own_address(UPLINK, family)));
        for _ in 0..10 {
            world.wait(millis(30_500));
            assert_eq!(world.state(UPLINK, SERVER.address(family)), Some((State::Probing, Some(SERVER.mac))));
            world = world.started();
            world.send(UPLINK, SERVER.answers(family));
            assert_eq!(world.state(UPLINK, SERVER.address(family)), Some((State::Reachable, Some(SERVER.mac))));
            assert!(world.steps().is_empty(), "nothing changed");
        }
    }
}

#[test]
fn a_neighbor_that_answers_from_another_mac_is_followed() {
    for family in FAMILIES {
        let mut world = lab_with(&[NODE_A, SERVER]);
        world.wait(seconds(31));
        world = world.started();
        let moved = Host { mac: [2, 0, 0, 0, 9, 9], ..SERVER };
        world.send(UPLINK, moved.answers(family));
        world.send(NODES, NODE_A.udp(NODE_A.address(family), SERVER.address(family)).build());
        assert_eq!(world.sent_by(UPLINK)[0][..6], moved.mac);
    }
}

#[test]
fn a_router_is_asked_for_as_long_as_a_route_leads_to_it() {
    for family in FAMILIES {
        let mut world = World::lab();
        let dead = |world: &World| world.state(NODES, NODE_A.address(family)) == Some((State::Dead, None));
        world.wait(millis(3000));
        assert!(dead(&world));
        world = world.started();
        let question = NODE_A.asked_for(family, None);
        for _ in 0..20 {
            world.wait(seconds(5));
            let sent = world.sent_by(NODES);
            assert_eq!(sent.iter().filter(|frame| **frame == question).count(), 1, "every five seconds");
            assert!(dead(&world) && world.steps().iter().all(|step| matches!(step, crate::world::Step::Transmit)));
        }
        world.send(NODES, NODE_A.answers(family));
        assert_eq!(world.state(NODES, NODE_A.address(family)), Some((State::Reachable, Some(NODE_A.mac))));
        let to = if family == Family::V4 { "10.1.1.10" } else { "fd00:10:0:1::10" };
        assert_eq!(world.send(NODES, NODE_B.udp(NODE_B.address(family), to).build()), Verdict::Forward(NODES));
    }
}

#[test]
fn static_neighbors_are_never_asked_for_and_listen_to_nobody() {
    let mut world = World::load("replay.toml").started();
    let before: Vec<_> = world.control.neighbors().collect();
    assert!(before.iter().all(|row| row.state == State::Static));
    let thief = Host { mac: [2, 0, 0, 0, 9, 9], ..NODE_A };
    for family in FAMILIES {
        world.send(NODES, thief.answers(family));
        let own = own_address(NODES, family);
        world.send(NODES, thief.asks(own));
        // It is answered nevertheless.
        assert_eq!(world.sent_by(NODES).len(), 1);
    }
    assert_eq!(world.control.poll_timeout(), None);
    world.wait(seconds(3600));
    world.expect_silence();
    assert_eq!(world.control.neighbors().collect::<Vec<_>>(), before);
    let verdict = world.send(NODES, NODE_A.udp("10.1.0.10", "198.51.100.9").build());
    assert_eq!(verdict, Verdict::Forward(UPLINK));
}
