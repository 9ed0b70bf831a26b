//! Several islands side by side.

use causeway_fastpath::ids::PortId;
use causeway_fastpath::verdict::{DropReason, Verdict};
use causeway_testkit::packet::*;

use crate::world::{World, own_mac};

const RED: PortId = PortId(0);
const BLUE: PortId = PortId(1);
const UPLINK: PortId = PortId(2);
const SERVER: Mac = [2, 0, 0, 0, 1, 0xa];

/// Two islands whose pods have the same addresses.
const TWINS: &str = r#"
[gateway]
name = "gw"
[[port]]
name = "red-nodes"
driver = "memory"
addresses = ["192.168.1.1/24"]
[[port]]
name = "blue-nodes"
driver = "memory"
addresses = ["192.168.2.1/24"]
[[port]]
name = "uplink"
driver = "memory"
addresses = ["203.0.113.2/24"]
[[pool]]
name = "shared"
addresses = ["203.0.113.16/32"]
[[cluster]]
name = "red"
model = "island"
pod-cidrs = ["10.1.0.0/16"]
egress = "shared"
[[cluster.node]]
name = "node-a"
address = "192.168.1.11"
[[cluster.node]]
name = "node-b"
address = "192.168.1.12"
[[cluster]]
name = "blue"
model = "island"
pod-cidrs = ["10.1.0.0/16"]
egress = "shared"
[[cluster.node]]
name = "node-a"
address = "192.168.2.11"
"#;

fn node(port: PortId, last: u8) -> Mac {
    [2, 0, 0, 0, 4 + port.0 as u8, last]
}

fn from_node(port: PortId, last: u8) -> Eth {
    eth().src(node(port, last)).dst(own_mac(port))
}

fn twins() -> World {
    let mut world = World::start(TWINS);
    for (port, last) in [(RED, 11), (RED, 12), (BLUE, 11)] {
        let address = format!("192.168.{}.{last}", port.0 + 1);
        let own = format!("192.168.{}.1", port.0 + 1);
        world.send(port, from_node(port, last).arp_request(address.as_str(), own.as_str()).build());
    }
    world.send(UPLINK, eth().src(SERVER).dst(own_mac(UPLINK)).arp_request("203.0.113.10", "203.0.113.2").build());
    world.started()
}

#[test]
fn equal_flows_of_two_islands_are_kept_apart_both_ways() {
    let mut world = twins();
    let mut outside = Vec::new();
    for port in [RED, BLUE] {
        let packet = from_node(port, 11).ipv4("10.1.0.5", "203.0.113.10").udp(5000, 53).payload([port.0 as u8]);
        assert_eq!(world.send(port, packet.build()), Verdict::Forward(UPLINK));
        let out = world.sent_by(UPLINK).remove(0);
        assert_eq!(out[26..30], [203, 0, 113, 16]);
        outside.push(u16::from_be_bytes([out[34], out[35]]));
    }
    assert_ne!(outside[0], outside[1]);
    for (port, outside) in [RED, BLUE].into_iter().zip(outside) {
        let link = eth().src(SERVER).dst(own_mac(UPLINK));
        world.send(UPLINK, link.ipv4("203.0.113.10", "203.0.113.16").ttl(9).udp(53, outside).payload("to you").build());
        let link = eth().src(own_mac(port)).dst(node(port, 11));
        world.expect(port, &[link.ipv4("203.0.113.10", "10.1.0.5").ttl(8).udp(53, 5000).payload("to you").build()]);
    }
}

#[test]
fn pods_meet_only_pods_of_their_own_island() {
    let mut world = twins();
    // Red's second node has 10.1.1.0/24; blue has no second node.
    let packet = |port| from_node(port, 11).ipv4("10.1.0.5", "10.1.1.5").ttl(64).udp(1, 2).build();
    assert_eq!(world.send(RED, packet(RED)), Verdict::Forward(RED));
    world.sent();
    assert_eq!(world.send(BLUE, packet(BLUE)), Verdict::Reply(BLUE), "host unreachable");
    assert_eq!(world.sent_by(BLUE)[0][34..36], [3, 1]);
}

#[test]
fn nodes_of_two_islands_reach_each_other_and_pods_of_the_other_are_not_believed() {
    let mut world = twins();
    let packet = from_node(RED, 11).ipv4("192.168.1.11", "192.168.2.11").udp(1, 2).build();
    assert_eq!(world.send(RED, packet), Verdict::Forward(BLUE));
    let spoof = from_node(RED, 11).ipv4("192.168.2.11", "203.0.113.10").udp(1, 2).build();
    assert_eq!(world.send(RED, spoof), Verdict::Drop(DropReason::NotInIsland));
}

#[test]
fn domains_have_the_names_of_their_clusters() {
    let world = twins();
    let names =
        |count| (0..count).map(|at| world.control.domain_name(causeway_fastpath::ids::VrfId(at))).collect::<Vec<_>>();
    assert_eq!(names(3), ["main", "red", "blue"]);
}
