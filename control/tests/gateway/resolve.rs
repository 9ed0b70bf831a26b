//! Packets that wait for a neighbour to be found.

use causeway_fastpath::verdict::{PuntReason, Verdict};
use causeway_testkit::packet::*;
use causeway_testkit::{checksum, print};

use crate::lab::*;
use crate::world::{Step, World, millis};

const POD: [&str; 2] = ["10.1.1.10", "fd00:10:0:1::10"];
const OTHER_POD: [&str; 2] = ["10.1.2.10", "fd00:10:0:2::10"];

/// The payload of a UDP frame without IP options.
fn payload(frame: &[u8]) -> &[u8] {
    &frame[if frame[12] == 8 { 14 + 20 + 8 } else { 14 + 40 + 8 }..]
}

#[test]
fn the_last_three_packets_wait_and_leave_translated_and_in_order() {
    for (family, pod) in FAMILIES.into_iter().zip(POD) {
        let mut world = lab_with(&[NODE_A]);
        for number in 1..=5u8 {
            let packet = NODE_A.udp(pod, SERVER.address(family)).payload([number]).build();
            assert_eq!(world.send(NODES, packet), Verdict::Punt(PuntReason::Unresolved));
        }
        world.expect(UPLINK, &[SERVER.asked_for(family, None)]);
        world.steps();
        world.send(UPLINK, SERVER.answers(family));
        let left = world.sent_by(UPLINK);
        assert_eq!(left.iter().map(|frame| payload(frame)[0]).collect::<Vec<_>>(), [3, 4, 5]);
        for frame in &left {
            assert_eq!(checksum::verify(frame), Ok(()));
            assert_eq!(frame[..6], SERVER.mac);
            let line = print::line(frame);
            let pool = if family == Family::V4 { "203.0.113." } else { "2001:db8:1::10" };
            assert!(line.contains(pool) && !line.contains(pod), "{line}");
        }
        let steps = world.steps();
        assert!(matches!(steps[..], [Step::Install(_), Step::Inject, Step::Inject, Step::Inject]), "{steps:?}");
        assert_eq!(world.forwarder.counters().injected, 3);
    }
}

#[test]
fn a_packet_to_a_pod_waits_for_its_node_and_leaves_as_it_came() {
    for (family, (pod, other)) in FAMILIES.into_iter().zip(POD.into_iter().zip(OTHER_POD)) {
        let mut world = World::lab();
        let packet = NODE_A.eth().ip(pod, other).ttl(64).udp(5000, 53).payload("hello");
        assert_eq!(world.send(NODES, packet.build()), Verdict::Punt(PuntReason::Unresolved));
        // The node was asked for on start.
        world.expect_silence();
        world.send(NODES, NODE_B.answers(family));
        let link = eth().src(crate::world::own_mac(NODES)).dst(NODE_B.mac);
        world.expect(NODES, &[link.ip(pod, other).ttl(63).udp(5000, 53).payload("hello").build()]);
    }
}

#[test]
fn an_answer_to_a_translated_packet_that_finds_its_node_unknown_is_not_kept() {
    let mut world = lab_with(&[SERVER]);
    // The node's own packets say nothing about where it is: only ARP does.
    world.send(NODES, NODE_A.udp("10.1.1.10", "203.0.113.10").build());
    let out = world.sent_by(UPLINK).remove(0);
    let source = std::net::Ipv4Addr::from(<[u8; 4]>::try_from(&out[26..30]).expect("four bytes"));
    let port = u16::from_be_bytes([out[34], out[35]]);
    let answer = SERVER.eth().ipv4("203.0.113.10", source).udp(53, port).payload("answer");
    assert_eq!(world.send(UPLINK, answer.build()), Verdict::Punt(PuntReason::Unresolved));
    world.send(NODES, NODE_A.answers(Family::V4));
    world.expect_silence();
    assert_eq!(world.send(UPLINK, answer.build()), Verdict::Forward(NODES));
}

#[test]
fn packets_for_several_neighbors_do_not_wait_for_each_other() {
    let mut world = lab_with(&[NODE_A]);
    let server = |last: u8| Host { mac: [2, 0, 0, 0, 1, last], ..SERVER };
    for last in 10..30 {
        world.send(NODES, NODE_A.udp("192.168.0.11", &format!("203.0.113.{last}")).payload([last]).build());
    }
    world.sent();
    for last in (10..30).rev().filter(|last| !(16..24).contains(last)) {
        let reply = server(last).eth().arp_reply(format!("203.0.113.{last}").as_str(), "203.0.113.2").build();
        world.send(UPLINK, reply);
        let left = world.sent_by(UPLINK);
        assert_eq!(left.iter().map(|frame| payload(frame)[0]).collect::<Vec<_>>(), [last]);
    }
}

#[test]
fn a_packet_that_was_punted_before_the_answer_and_arrives_after_it_is_forwarded() {
    let mut world = lab_with(&[NODE_A]);
    // Both lie in one burst: the answer is known to control before the packet.
    let packet = NODE_A.udp("192.168.0.11", "203.0.113.10").build();
    let question = SERVER.asks("203.0.113.2");
    world.burst(&[(UPLINK, question), (NODES, packet)]);
    let sent = world.sent_by(UPLINK);
    assert_eq!(sent.len(), 2, "the reply to the server's question, and the packet");
    assert_eq!(payload(&sent[1]), b"hello");
    assert!(matches!(world.steps()[..], [Step::Install(_), Step::Transmit, Step::Inject]));
}

#[test]
fn nobody_is_asked_for_who_cannot_be_there() {
    let mut world = lab_with(&[NODE_A]);
    for (source, target) in [("192.168.0.11", "203.0.113.255"), ("192.168.0.11", "203.0.113.0")] {
        world.send(NODES, NODE_A.udp(source, target).build());
        world.wait(millis(1));
        world.expect_silence();
    }
}
