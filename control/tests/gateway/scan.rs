//! Whoever scans a subnet finds a limit, and does not blind the gateway (RFC 6583).

use causeway_control::neighbors::State;
use causeway_fastpath::verdict::Verdict;
use causeway_testkit::packet::*;

use crate::lab::{NODE_A, NODES, UPLINK};
use crate::world::{Step, World, millis, own_mac, seconds};

/// As the lab, with 65 536 addresses on the uplink.
const WIDE: &str = r#"
[gateway]
name = "gw"
[[port]]
name = "nodes"
driver = "memory"
addresses = ["192.168.0.1/24", "fd00:a::1/64"]
[[port]]
name = "uplink"
driver = "memory"
addresses = ["172.16.0.1/16", "2001:db8:1::1/64"]
[[pool]]
name = "egress"
addresses = ["203.0.113.16/29", "2001:db8:2::/125"]
[[cluster]]
name = "blue"
model = "island"
pod-cidrs = ["10.1.0.0/16", "fd00:10::/56"]
egress = "egress"
[[cluster.node]]
name = "node-a"
addresses = ["192.168.0.11", "fd00:a::11"]
"#;

const HOST: Mac = [2, 0, 0, 0, 1, 1];
const LARGEST: usize = 8192;
const LARGEST_SOUGHT: usize = 512;

/// Address number `n` of the uplink.
fn target(v4: bool, n: u32) -> String {
    if v4 { format!("172.16.{}.{}", n >> 8, n & 0xff) } else { format!("2001:db8:1::1:{n:x}") }
}

fn probe(v4: bool, n: u32) -> Vec<u8> {
    NODE_A.udp(if v4 { "192.168.0.11" } else { "fd00:a::11" }, &target(v4, n)).build()
}

/// Asserts the limits; says how many neighbours there are.
fn bounded(world: &World) -> usize {
    let guests = world.control.neighbors().filter(|row| !row.router);
    let sought = guests.filter(|row| row.state == State::Incomplete).count();
    assert!(sought <= LARGEST_SOUGHT, "{sought} are being asked for");
    let all = world.control.neighbors().filter(|row| !row.router).count();
    assert!(all <= LARGEST, "{all} neighbours");
    all
}

/// A host that is really there is found at the first packet.
fn is_found(world: &mut World, v4: bool, n: u32) {
    world.sent();
    world.send(NODES, probe(v4, n));
    let address = target(v4, n);
    let link = eth().src(HOST).dst(own_mac(UPLINK));
    let answer = if v4 {
        link.arp_reply(address.as_str(), "172.16.0.1").build()
    } else {
        link.ipv6(address.as_str(), "2001:db8:1::1").neighbour_advertisement(address.as_str(), 3).build()
    };
    assert_eq!(world.sent_among_others(UPLINK).len(), 1, "it was asked for");
    world.send(UPLINK, answer);
    assert_eq!(world.sent_among_others(UPLINK).len(), 1, "the packet left");
    assert_eq!(world.send(NODES, probe(v4, n)), Verdict::Forward(UPLINK));
}

#[test]
fn a_fast_scan_stays_bounded_and_real_neighbors_are_still_found() {
    for v4 in [true, false] {
        let mut world = World::start(WIDE).started();
        for n in 2..65_535 {
            world.wait(std::time::Duration::from_micros(200));
            world.send(NODES, probe(v4, n));
            if n % 8192 == 0 {
                bounded(&world);
                // Not yet scanned, and scanned long ago.
                is_found(&mut world, v4, 65_000 - n / 8192);
                is_found(&mut world, v4, n / 2);
            }
            if n % 256 == 0 {
                // Node-a lives, and answers.
                let own = if v4 { "192.168.0.1" } else { "fd00:a::1" };
                world.send(NODES, NODE_A.asks(own));
                world.sent();
            }
        }
        bounded(&world);
        let router = if v4 { "192.168.0.11" } else { "fd00:a::11" };
        assert_eq!(world.state(NODES, router), Some((State::Reachable, Some(NODE_A.mac))));
        world.wait(seconds(60));
        assert_eq!(world.control.neighbors().filter(|row| !row.router).count(), 0, "nothing is left of it");
    }
}

#[test]
fn a_slow_scan_stays_bounded_too() {
    let mut world = World::start(WIDE).started();
    let mut most = 0;
    for n in 2..6000 {
        world.wait(millis(6));
        world.send(NODES, probe(true, n));
        world.sent();
        if n % 100 == 0 {
            most = most.max(bounded(&world));
        }
    }
    assert!(most > LARGEST_SOUGHT, "the dead are remembered for a while");
    is_found(&mut world, true, 60_000);
}

#[test]
fn a_crowd_of_made_up_neighbors_does_not_keep_real_ones_out() {
    let mut world = World::start(WIDE).started();
    for group in 0..200 {
        world.wait(millis(13));
        let ask = |n: u32| {
            let mac = [2, 1, 0, 0, (n >> 8) as u8, n as u8];
            (UPLINK, eth().src(mac).arp_request(target(true, n).as_str(), "172.16.0.1").build())
        };
        let frames: Vec<_> = (0..64).map(|n| ask(2 + group * 64 + n)).collect();
        world.burst(&frames);
        assert_eq!(world.sent_among_others(UPLINK).len(), 64, "all are answered");
    }
    assert_eq!(bounded(&world), LARGEST);
    // Somebody makes room, and tables must not go on without control.
    world.steps();
    world.send(NODES, probe(true, 60_001));
    assert!(matches!(world.steps()[..], [Step::Install(_), Step::Transmit]));
    is_found(&mut world, true, 60_000);
    assert_eq!(bounded(&world), LARGEST);
}
