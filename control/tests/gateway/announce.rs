//! What a link is told when the gateway starts.

use causeway_fastpath::ids::PortId;
use causeway_testkit::packet::*;

use crate::lab::{FAMILIES, NODE_A, NODE_B, NODES, UPLINK};
use crate::world::{Step, World, own_mac};

/// Gratuitous ARP, or an unsolicited advertisement to all nodes.
fn announcement(port: PortId, address: &str) -> Vec<u8> {
    let link = eth().src(own_mac(port));
    match address.to_ip().is_ipv4() {
        true => link.arp_request(address, address).build(),
        false => {
            let flags = 4 | 1;
            link.dst(multicast_mac("ff02::1")).ipv6(address, "ff02::1").neighbour_advertisement(address, flags).build()
        }
    }
}

#[test]
fn every_own_and_pool_address_is_announced_on_its_link_then_routers_are_asked_for() {
    let mut world = World::load("lab.toml");
    let sent = world.sent();
    let by = |port| -> Vec<_> { sent.iter().filter(|(by, _)| *by == port).map(|(_, frame)| frame.clone()).collect() };
    let mut nodes = vec![announcement(NODES, "192.168.0.1"), announcement(NODES, "fd00:a::1")];
    for family in FAMILIES {
        nodes.extend([NODE_A, NODE_B].map(|node| node.asked_for(family, None)));
    }
    causeway_testkit::print::assert_frame_lists_eq(&nodes, &by(NODES));
    let mut uplink = vec![announcement(UPLINK, "203.0.113.2"), announcement(UPLINK, "2001:db8:1::2")];
    uplink.extend((16..24).map(|last| announcement(UPLINK, &format!("203.0.113.{last}"))));
    uplink.extend((0..8).map(|last| announcement(UPLINK, &format!("2001:db8:1::{:x}", 0x100 + last))));
    causeway_testkit::print::assert_frame_lists_eq(&uplink, &by(UPLINK));
}

#[test]
fn tables_come_before_everything_else() {
    let mut world = World::load("lab.toml");
    let steps = world.steps();
    assert!(matches!(steps[0], Step::Install(_)));
    assert!(steps[1..].iter().all(|step| matches!(step, Step::Transmit)));
}

#[test]
fn a_pool_behind_a_router_is_not_announced_and_the_largest_is_announced_once() {
    let text = |pool: &str| {
        format!(
            r#"
[gateway]
name = "gw"
[[port]]
name = "nodes"
driver = "memory"
addresses = ["192.168.0.1/24"]
[[port]]
name = "uplink"
driver = "memory"
addresses = ["172.16.0.1/16"]
[[pool]]
name = "egress"
addresses = ["{pool}"]
[[cluster]]
name = "blue"
model = "island"
pod-cidrs = ["10.1.0.0/16"]
egress = "egress"
ports = ["nodes"]
"#
        )
    };
    assert_eq!(World::start(&text("203.0.113.0/28")).sent().len(), 2);
    let mut largest = World::start(&text("172.16.16.0/20"));
    assert_eq!(largest.sent().len(), 2 + 4096);
    largest.wait(crate::world::seconds(3600));
    largest.expect_silence();
}
