//! A port whose device goes, and that stands on another one later.

use causeway_control::compile::PortFacts;
use causeway_control::config::PortIdx;
use causeway_control::neighbors::State;
use causeway_fastpath::verdict::Verdict;
use causeway_testkit::packet::*;

use crate::lab::*;

const OTHER: [u8; 6] = [2, 0, 0, 0, 0xdd, 7];
const POD: &str = "10.1.1.10";

#[test]
fn neighbours_of_a_device_that_has_gone_are_forgotten_and_those_of_others_are_not() {
    let mut world = lab_with(&[NODE_A, SERVER]);
    world.control.forget_neighbors(PortIdx(UPLINK.index()), world.now);
    world.settle();
    assert_eq!(world.state(UPLINK, SERVER.v4), None);
    assert_eq!(world.state(NODES, NODE_A.v4), Some((State::Reachable, Some(NODE_A.mac))));
    assert_eq!(world.forwarder.sessions(), (0, 0));
    let packet = NODE_A.udp(POD, SERVER.v4).build();
    assert!(matches!(world.send(NODES, packet), Verdict::Punt(_)), "it is asked for anew");
}

#[test]
fn a_node_is_asked_for_until_it_answers_on_the_new_device() {
    let mut world = lab_with(&[NODE_A]);
    world.control.forget_neighbors(PortIdx(NODES.index()), world.now);
    world.settle();
    assert_eq!(world.state(NODES, NODE_A.v4).map(|(_, mac)| mac), Some(None), "a route leads to it");
    world.sent();
    world.control.replace_port(PortIdx(NODES.index()), PortFacts { mac: OTHER, mtu: 1_400 }, world.now);
    world.settle();
    let sent = world.sent();
    let announced = eth().src(OTHER).arp_request("192.168.0.1", "192.168.0.1").build();
    assert!(sent.iter().any(|(port, frame)| *port == NODES && *frame == announced), "whose address it is");
    let asked = eth().src(OTHER).arp_request("192.168.0.1", NODE_A.v4).build();
    assert!(sent.iter().any(|(port, frame)| *port == NODES && *frame == asked), "who is there");
    assert!(sent.iter().all(|(_, frame)| frame[6..12] == OTHER), "on that port alone, under its own address");
}

#[test]
fn packets_leave_under_the_address_of_the_new_device_and_arrive_for_it_alone() {
    let mut world = lab_with(&[NODE_A, SERVER]);
    assert_eq!(world.send(NODES, NODE_A.udp(POD, SERVER.v4).build()), Verdict::Forward(UPLINK));
    assert_eq!(world.forwarder.sessions().0, 1);
    world.control.replace_port(PortIdx(UPLINK.index()), PortFacts { mac: OTHER, mtu: 1_500 }, world.now);
    world.settle();
    let to_other = |frame: Vec<u8>| [&OTHER[..], &frame[6..]].concat();
    assert!(matches!(world.send(UPLINK, SERVER.answers(Family::V4)), Verdict::Drop(_)), "for the old one");
    world.send(UPLINK, to_other(eth().src(SERVER.mac).arp_request(SERVER.v4, "203.0.113.2").build()));
    assert_eq!(world.state(UPLINK, SERVER.v4), Some((State::Reachable, Some(SERVER.mac))));
    world.sent();
    assert_eq!(world.send(NODES, NODE_A.udp(POD, SERVER.v4).build()), Verdict::Forward(UPLINK));
    let sent = world.sent_by(UPLINK);
    assert_eq!(sent[0][..12], [SERVER.mac, OTHER].concat());
    assert_eq!(world.forwarder.sessions().0, 1, "sessions live on");
}
