//! Clusters whose pods meet nothing outside: `configs/isolated.toml`.

use causeway_fastpath::verdict::{DropReason, Verdict};
use causeway_testkit::packet::*;

use crate::sites::{
    ONE as RED, OTHER as BLUE, OUTSIDE, UPLINK, acquainted, from_node, from_router, to_node, to_router,
};
use crate::world::{World, configs};

fn isolated() -> World {
    acquainted(World::load("isolated.toml"))
}

#[test]
fn pods_of_one_cluster_meet_untranslated_whoever_else_has_their_addresses() {
    let mut world = isolated();
    let packet = |link: Eth, ttl| link.ipv4("10.1.0.5", "10.1.1.5").ttl(ttl).udp(1, 2).build();
    assert_eq!(world.send(RED, packet(from_node(RED, 11), 64)), Verdict::Forward(RED));
    world.expect(RED, &[packet(to_node(RED, 12), 63)]);
    assert_eq!(world.send(BLUE, packet(from_node(BLUE, 11), 64)), Verdict::Reply(BLUE), "blue has one node only");
}

#[test]
fn what_a_pod_sends_outside_is_prohibited_and_asks_for_no_neighbour() {
    let mut world = isolated();
    for target in [OUTSIDE, "203.0.113.77", "192.168.2.11"] {
        let sent = world.send(RED, from_node(RED, 11).ipv4("10.1.0.5", target).udp(1, 2).build());
        assert_eq!(sent, Verdict::Reply(RED), "{target}");
        let reply = world.sent_by(RED).remove(0);
        assert_eq!(reply[34..36], [3, 13], "administratively prohibited: {target}");
        assert_eq!(world.neighbor(UPLINK, target), None);
    }
    let frame = from_node(RED, 11).ipv4("10.1.0.5", OUTSIDE).sctp(1, 2, 3, b"chunks").build();
    assert_eq!(world.send(RED, frame), Verdict::Reply(RED), "whatever the protocol");
    world.sent();
    let error = from_node(RED, 11).ipv4("10.1.0.5", OUTSIDE);
    let about = eth().ipv4(OUTSIDE, "10.1.0.5").udp(1, 2).packet();
    let verdict = world.send(RED, error.icmp_error(3, 3, [0; 4], &about).build());
    assert_eq!(verdict, Verdict::Drop(DropReason::NatIcmpErrorUnmatched));
    let fragment = from_node(RED, 11).ipv4("10.1.0.5", OUTSIDE).udp(1, 2).payload([0; 3000]).fragments(7, 1400);
    assert_eq!(world.send(RED, &fragment[0]), Verdict::Reply(RED));
    assert_eq!(world.send(RED, &fragment[1]), Verdict::Hold, "it might be of an answer");
    assert_eq!(world.forwarder.sessions(), (0, 0));
}

#[test]
fn a_service_that_is_forwarded_answers_in_fragments_too() {
    let text = std::fs::read_to_string(configs().join("isolated.toml")).expect("the file is there");
    let mut world = acquainted(World::start(&text.replace("protocol = \"tcp\"", "protocol = \"udp\"")));
    world.send(UPLINK, from_router().ipv4(OUTSIDE, "203.0.113.40").udp(40_000, 443).build());
    world.sent();
    let answer = |link: Eth, from: &str, port, ttl| {
        link.ipv4(from, OUTSIDE).ttl(ttl).udp(port, 40_000).payload([6; 3_000]).fragments(8, 1_400)
    };
    let came = answer(from_node(RED, 11), "10.1.0.20", 8443, 64);
    for (came, mut expected) in came.iter().zip(answer(to_router(), "203.0.113.40", 443, 63)) {
        world.send(RED, came);
        let sent = world.sent_by(UPLINK).remove(0);
        // Several hosts may be behind the address: the datagram is numbered anew.
        expected[18..20].copy_from_slice(&sent[18..20]);
        expected[24..26].copy_from_slice(&sent[24..26]);
        assert_eq!(sent, expected);
    }
}

#[test]
fn what_is_sent_to_a_pod_from_outside_is_dropped_in_silence() {
    let mut world = isolated();
    for target in ["10.1.0.5", "10.1.1.5", "10.1.200.5"] {
        let frame = from_router().ipv4(OUTSIDE, target).tcp(1, 443).flags(SYN).build();
        assert_eq!(world.send(UPLINK, frame), Verdict::Drop(DropReason::ModelIsolated), "{target}");
        let ping = from_router().ipv4(OUTSIDE, target).icmp_echo_request(1, 1).build();
        assert_eq!(world.send(UPLINK, ping), Verdict::Drop(DropReason::ModelIsolated), "{target}");
    }
    // Nor do the nodes of one cluster reach the pods of the other: theirs have the address.
    world.expect_silence();
}

#[test]
fn nodes_are_routable_under_their_own_addresses_both_ways() {
    let mut world = isolated();
    let out = |link: Eth, ttl| link.ipv4("192.168.1.11", OUTSIDE).ttl(ttl).tcp(40_000, 6443).flags(SYN).build();
    assert_eq!(world.send(RED, out(from_node(RED, 11), 64)), Verdict::Forward(UPLINK));
    world.expect(UPLINK, &[out(to_router(), 63)]);
    let back = |link: Eth, ttl| link.ipv4(OUTSIDE, "192.168.1.11").ttl(ttl).tcp(6443, 40_000).flags(SYN | ACK).build();
    world.send(UPLINK, back(from_router(), 64));
    world.expect(RED, &[back(to_node(RED, 11), 63)]);
    let ssh = |link: Eth, ttl| link.ipv4(OUTSIDE, "192.168.2.11").ttl(ttl).tcp(40_000, 22).flags(SYN).build();
    world.send(UPLINK, ssh(from_router(), 64));
    world.expect(BLUE, &[ssh(to_node(BLUE, 11), 63)]);
    assert_eq!(world.forwarder.sessions(), (0, 0), "nothing is tracked");
}

#[test]
fn a_forward_lets_the_outside_in_and_nothing_else_out() {
    let mut world = isolated();
    let ask = from_router().ipv4(OUTSIDE, "203.0.113.40").ttl(64).tcp(40_000, 443).flags(SYN).build();
    world.send(UPLINK, ask);
    let asked = to_node(RED, 11).ipv4(OUTSIDE, "10.1.0.20").ttl(63).tcp(40_000, 8443).flags(SYN).build();
    world.expect(RED, &[asked]);
    let answer = from_node(RED, 11).ipv4("10.1.0.20", OUTSIDE).ttl(64).tcp(8443, 40_000).flags(SYN | ACK).build();
    world.send(RED, answer);
    let answered = to_router().ipv4("203.0.113.40", OUTSIDE).ttl(63).tcp(443, 40_000).flags(SYN | ACK).build();
    world.expect(UPLINK, &[answered]);
    // The pod of the service begins nothing.
    let own = from_node(RED, 11).ipv4("10.1.0.20", OUTSIDE).tcp(8443, 40_001).flags(SYN).build();
    assert_eq!(world.send(RED, own), Verdict::Reply(RED));
    let other = from_router().ipv4(OUTSIDE, "203.0.113.40").tcp(40_000, 444).flags(SYN).build();
    assert_eq!(world.send(UPLINK, other), Verdict::Drop(DropReason::NatUnsolicited));
}

#[test]
fn a_pod_with_static_nat_reaches_out_under_its_public_address() {
    let mut world = isolated();
    let out = |link: Eth, from: &str, ttl| link.ipv4(from, OUTSIDE).ttl(ttl).udp(5_000, 53).build();
    world.send(BLUE, out(from_node(BLUE, 11), "10.1.0.30", 64));
    world.expect(UPLINK, &[out(to_router(), "203.0.113.41", 63)]);
    // The pod of red with the same address is nobody's proxy.
    assert_eq!(world.send(RED, out(from_node(RED, 11), "10.1.0.30", 64)), Verdict::Reply(RED));
}

#[test]
fn pods_meet_the_gateway_itself() {
    let mut world = isolated();
    for own in ["192.168.1.1", "203.0.113.2"] {
        let ping = from_node(RED, 11).ipv4("10.1.0.5", own).icmp_echo_request(1, 1).build();
        assert_eq!(world.send(RED, ping), Verdict::Reply(RED));
    }
}
