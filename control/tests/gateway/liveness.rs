//! Nodes that are pinged, and what packets to their pods meet when they no longer answer.

use causeway_fastpath::verdict::Verdict;
use causeway_testkit::packet::*;

use crate::lab::NODES;
use crate::world::{World, own_mac, seconds};

const CONFIG: &str = r#"
gateway.name = "gw"
[[port]]
name = "nodes"
driver = "memory"
addresses = ["192.168.0.1/24"]
[[port]]
name = "uplink"
driver = "memory"
addresses = ["203.0.113.2/24"]
[[cluster]]
name = "blue"
model = "island"
pod-cidrs = ["10.1.0.0/16"]
egress = "masquerade"
liveness = { probe = "icmp", interval-s = 2, failures = 2, withdraw = true }
[[cluster.node]]
name = "node-a"
address = "192.168.0.11"
pod-cidrs = ["10.1.1.0/24"]
[[cluster.node]]
name = "node-b"
address = "192.168.0.12"
pod-cidrs = ["10.1.2.0/24"]
"#;

fn mac(node: u8) -> Mac {
    [2, 0, 0, 0, 0, node]
}

/// Lets seconds pass in which nodes answer what they are asked, and `silent` no pings.
fn pass(world: &mut World, time: u64, silent: Option<u8>) -> usize {
    let mut pings = 0;
    for _ in 0..time {
        world.wait(seconds(1));
        for (port, frame) in world.sent() {
            let link = |node: u8| eth().src(mac(node)).dst(own_mac(NODES));
            let is_arp = frame[12..14] == [8, 6];
            let target = if is_arp { &frame[38..42] } else { &frame[30..34] };
            let node = target[3];
            if port != NODES || ![11, 12].contains(&node) || target[..3] != [192, 168, 0] {
                continue;
            }
            let address = format!("192.168.0.{node}");
            if is_arp {
                world.send(NODES, link(node).arp_reply(&*address, "192.168.0.1").build());
                continue;
            }
            assert_eq!((frame[23], frame[34], &frame[..6]), (1, 8, &mac(node)[..]), "an echo request to its node");
            pings += 1;
            let [identifier, sequence] = [38, 40].map(|at| u16::from_be_bytes([frame[at], frame[at + 1]]));
            if silent != Some(node) {
                let reply = link(node).ipv4(&*address, "192.168.0.1").icmp_echo_reply(identifier, sequence);
                let verdict = world.send(NODES, reply.payload(b"causeway").build());
                assert!(matches!(verdict, Verdict::Punt(_)), "{verdict:?}");
            }
        }
    }
    world.sent();
    pings
}

#[test]
fn a_node_that_answers_arp_and_no_pings_is_withdrawn_and_comes_back() {
    let mut world = World::start(CONFIG);
    let to_b = || eth().src(mac(11)).dst(own_mac(NODES)).ipv4("10.1.1.10", "10.1.2.10").ttl(9).udp(5000, 53).build();
    assert!(pass(&mut world, 10, None) >= 8, "each node every two seconds");
    assert_eq!(world.send(NODES, to_b()), Verdict::Forward(NODES));
    pass(&mut world, 8, Some(12));
    assert_eq!(world.send(NODES, to_b()), Verdict::Reply(NODES), "host unreachable");
    let routed = |world: &World| world.control.routes().filter(|route| route.origin.word() == "node").count();
    assert_eq!(routed(&world), 1);
    assert!(world.state(NODES, "192.168.0.12").is_some(), "it is still asked for");
    pass(&mut world, 60, Some(12));
    assert_eq!(routed(&world), 1);
    pass(&mut world, 10, None);
    assert_eq!(world.send(NODES, to_b()), Verdict::Forward(NODES));
    assert_eq!(routed(&world), 2);
}
