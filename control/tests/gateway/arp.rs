//! ARP: RFC 826, RFC 1122 2.3.2, RFC 5227.

use causeway_control::neighbors::State;
use causeway_fastpath::verdict::{DropReason, PuntReason, Verdict};
use causeway_testkit::packet::*;

use crate::lab::*;
use crate::world::{World, own_mac};

#[test]
fn a_request_for_an_own_address_is_answered() {
    let mut world = World::lab();
    assert_eq!(world.send(UPLINK, SERVER.asks("203.0.113.2")), Verdict::Punt(PuntReason::Arp));
    let reply = eth().src(own_mac(UPLINK)).dst(SERVER.mac).arp_reply("203.0.113.2", "203.0.113.10");
    world.expect(UPLINK, &[reply.build()]);
}

#[test]
fn every_address_of_a_pool_is_answered_for_and_none_beside_it() {
    let mut world = World::lab();
    for last in 16..24 {
        let address = format!("203.0.113.{last}");
        world.send(UPLINK, SERVER.asks(&address));
        let reply = eth().src(own_mac(UPLINK)).dst(SERVER.mac).arp_reply(address.as_str(), "203.0.113.10");
        world.expect(UPLINK, &[reply.build()]);
    }
    for last in [15, 24] {
        world.send(UPLINK, SERVER.asks(&format!("203.0.113.{last}")));
        world.expect_silence();
    }
}

#[test]
fn nobody_is_answered_for_whom_the_gateway_only_routes_to() {
    let mut world = lab_with(&[NODE_A, NODE_B]);
    // Another port's own address and pool, pods, other hosts of the link.
    for target in ["203.0.113.2", "203.0.113.16", "10.1.2.10", "192.168.0.12", "192.168.0.99", "8.8.8.8"] {
        world.send(NODES, NODE_A.asks(target));
        world.expect_silence();
    }
}

#[test]
fn a_probe_without_a_sender_is_answered_and_teaches_nothing() {
    let mut world = World::lab();
    let probe = SERVER.eth().arp_request("0.0.0.0", "203.0.113.2").build();
    world.send(UPLINK, probe);
    let reply = eth().src(own_mac(UPLINK)).dst(SERVER.mac).arp_reply("203.0.113.2", "0.0.0.0");
    world.expect(UPLINK, &[reply.build()]);
    assert_eq!(world.neighbor(UPLINK, "0.0.0.0"), None);
}

#[test]
fn a_request_padded_by_the_nic_is_answered() {
    let mut world = World::lab();
    let request = SERVER.eth().arp_request("203.0.113.10", "203.0.113.2").pad_to_60().build();
    world.send(UPLINK, request);
    assert_eq!(world.sent_by(UPLINK).len(), 1);
}

#[test]
fn who_asks_is_known_from_then_on_and_not_asked_back() {
    let mut world = World::lab();
    world.send(UPLINK, SERVER.asks("203.0.113.2"));
    world.sent();
    assert_eq!(world.state(UPLINK, "203.0.113.10"), Some((State::Reachable, Some(SERVER.mac))));
    let verdict = world.send(NODES, NODE_A.udp("192.168.0.11", "203.0.113.10").build());
    assert_eq!(verdict, Verdict::Forward(UPLINK));
}

#[test]
fn an_own_address_is_never_learned() {
    let mut world = World::lab();
    let before: Vec<_> = world.control.neighbors().collect();
    for own in ["203.0.113.2", "203.0.113.16"] {
        let thief = SERVER.eth();
        world.send(UPLINK, thief.clone().arp_request(own, "203.0.113.2").build());
        world.send(UPLINK, thief.clone().arp_request(own, own).build());
        world.send(UPLINK, thief.arp_reply(own, "203.0.113.2").build());
    }
    world.expect_silence();
    assert_eq!(world.control.neighbors().collect::<Vec<_>>(), before);
    assert!(world.steps().is_empty());
}

#[test]
fn a_sender_from_another_subnet_is_ignored() {
    let mut world = World::lab();
    let before: Vec<_> = world.control.neighbors().collect();
    // Another port's subnet, nobody's, and the ends of this one.
    for sender in ["192.168.0.11", "8.8.8.8", "203.0.113.0", "203.0.113.255", "255.255.255.255", "224.0.0.1"] {
        world.send(UPLINK, SERVER.eth().arp_request(sender, "203.0.113.2").build());
        world.send(UPLINK, SERVER.eth().arp_reply(sender, "203.0.113.2").build());
        world.expect_silence();
    }
    assert_eq!(world.control.neighbors().collect::<Vec<_>>(), before);
}

#[test]
fn a_claim_on_one_port_does_not_touch_a_neighbor_on_another() {
    let mut world = lab_with(&[NODE_A]);
    world.send(UPLINK, SERVER.eth().arp_reply("192.168.0.11", "203.0.113.2").build());
    assert_eq!(world.state(NODES, "192.168.0.11"), Some((State::Reachable, Some(NODE_A.mac))));
}

#[test]
fn gratuitous_arp_updates_who_is_known_and_introduces_nobody() {
    let mut world = lab_with(&[SERVER]);
    let moved: Mac = [2, 0, 0, 0, 9, 9];
    for address in ["203.0.113.10", "203.0.113.11"] {
        let announcement = eth().src(moved).arp_request(address, address).build();
        world.send(UPLINK, announcement);
    }
    world.expect_silence();
    assert_eq!(world.state(UPLINK, "203.0.113.10"), Some((State::Reachable, Some(moved))));
    assert_eq!(world.neighbor(UPLINK, "203.0.113.11"), None);
    // The tables follow at once.
    world.send(NODES, NODE_A.udp("192.168.0.11", "203.0.113.10").build());
    assert_eq!(world.sent_by(UPLINK)[0][..6], moved);
}

#[test]
fn a_reply_that_nobody_asked_for_introduces_nobody() {
    let mut world = World::lab();
    world.send(UPLINK, SERVER.answers(Family::V4));
    assert_eq!(world.neighbor(UPLINK, "203.0.113.10"), None);
    world.expect_silence();
}

#[test]
fn a_request_to_somebody_else_updates_who_is_known() {
    let mut world = lab_with(&[SERVER]);
    let moved: Mac = [2, 0, 0, 0, 9, 9];
    world.send(UPLINK, eth().src(moved).arp_request("203.0.113.10", "203.0.113.30").build());
    assert_eq!(world.state(UPLINK, "203.0.113.10"), Some((State::Reachable, Some(moved))));
}

#[test]
fn arp_that_makes_no_sense_is_ignored() {
    let mut world = World::lab();
    let request = || SERVER.eth().arp_request("203.0.113.10", "203.0.113.2");
    let nonsense = [
        request().operation(3).build(),
        request().operation(0).build(),
        request().kinds(6, 0x0800, [6, 4]).build(),
        request().kinds(1, 0x86dd, [6, 4]).build(),
        request().kinds(1, 0x0800, [8, 4]).build(),
        request().kinds(1, 0x0800, [6, 16]).build(),
        request().kinds(1, 0x0800, [255, 255]).build(),
        request().sender_mac(BROADCAST).build(),
        request().sender_mac([1, 0, 0x5e, 0, 0, 1]).build(),
        request().sender_mac([0; 6]).build(),
        request().cut(1).build(),
        request().truncate(14).build(),
    ];
    for frame in nonsense {
        assert_eq!(world.send(UPLINK, frame), Verdict::Punt(PuntReason::Arp));
        world.expect_silence();
    }
    assert_eq!(world.neighbor(UPLINK, "203.0.113.10"), None);
}

#[test]
fn arp_to_another_station_does_not_reach_control() {
    let mut world = World::lab();
    let elsewhere = eth().src(SERVER.mac).dst([2, 0, 0, 0, 7, 7]).arp_reply("203.0.113.10", "203.0.113.77").build();
    assert_eq!(world.send(UPLINK, elsewhere), Verdict::Drop(DropReason::NotForUs));
}
