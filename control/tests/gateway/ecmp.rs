//! What `configs/ecmp.toml` promises: flows are spread, and stay.

use std::collections::BTreeMap;

use causeway_control::api::{Answer, RouteView, render};
use causeway_control::neighbors::State;
use causeway_fastpath::ids::PortId;
use causeway_fastpath::verdict::{PuntReason, Verdict};
use causeway_testkit::packet::*;

use crate::lab::{FAMILIES, Family, Host, own_address};
use crate::world::{World, seconds};

const SERVERS: PortId = PortId(0);
const UPLINK: PortId = PortId(1);

const fn server(number: u8, v4: &'static str, v6: &'static str) -> Host {
    Host { port: SERVERS, mac: [2, 0, 0, 0, 0, number], v4, v6 }
}

const ONE: Host = server(1, "192.168.0.11", "fd00:a::11");
const TWO: Host = server(2, "192.168.0.12", "fd00:a::12");
/// Has half of the weight.
const THREE: Host = server(3, "192.168.0.13", "fd00:a::13");
const ROUTER: Host = Host { port: UPLINK, mac: [2, 0, 0, 0, 1, 1], v4: "203.0.113.1", v6: "2001:db8:1::1" };

const FLOWS: u16 = 2_000;

fn service(family: Family) -> &'static str {
    match family {
        Family::V4 => "198.51.100.80",
        Family::V6 => "2001:db8:80::80",
    }
}

/// The gateway of the file, which knows these hosts.
fn knowing(hosts: &[Host]) -> World {
    let mut world = World::load("ecmp.toml");
    for host in hosts {
        meet(&mut world, host);
    }
    world.started()
}

fn meet(world: &mut World, host: &Host) {
    for family in FAMILIES {
        world.send(host.port, host.asks(own_address(host.port, family)));
    }
    world.sent();
}

fn packet(family: Family, flow: u16) -> Vec<u8> {
    ROUTER.eth().ip(ROUTER.address(family), service(family)).ttl(64).udp(10_000 + flow, 443).build()
}

/// Who gets each of the flows from outside to the service: by MAC address.
fn owners(world: &mut World, family: Family) -> Vec<Mac> {
    let owner = |flow| {
        assert_eq!(world.send(UPLINK, packet(family, flow)), Verdict::Forward(SERVERS));
        world.sent_by(SERVERS)[0][..6].try_into().expect("six bytes")
    };
    (0..FLOWS).map(owner).collect()
}

fn shares(owners: &[Mac]) -> BTreeMap<Mac, usize> {
    let mut shares = BTreeMap::new();
    for owner in owners {
        *shares.entry(*owner).or_default() += 1;
    }
    shares
}

/// Lets all be asked once more, answers for these, and waits until the others are dead.
fn only_these_live(world: &mut World, hosts: &[Host]) {
    for _ in 0..4 {
        world.wait(seconds(10));
        for host in hosts {
            for family in FAMILIES {
                world.send(host.port, host.answers(family));
            }
        }
    }
    world.sent();
}

#[test]
fn flows_are_spread_by_weight_and_each_stays_with_its_server() {
    let mut world = knowing(&[ONE, TWO, THREE]);
    for family in FAMILIES {
        let owners = owners(&mut world, family);
        let shares = shares(&owners);
        for (host, due) in [(ONE, 500), (TWO, 500), (THREE, 1000)] {
            assert!(shares[&host.mac].abs_diff(due) < due / 4, "{family:?}: {} of {due}", shares[&host.mac]);
        }
        assert!(self::owners(&mut world, family) == owners);
    }
}

#[test]
fn when_a_server_dies_its_flows_move_and_no_others_and_when_it_is_back_it_has_them_again() {
    let mut world = knowing(&[ONE, TWO, THREE]);
    for family in FAMILIES {
        let before = owners(&mut world, family);
        only_these_live(&mut world, &[ONE, THREE]);
        assert_eq!(world.state(SERVERS, TWO.address(family)).map(|(state, _)| state), Some(State::Dead));
        let after = owners(&mut world, family);
        for (before, after) in before.iter().zip(&after) {
            assert!(if *before == TWO.mac { *after != TWO.mac } else { before == after });
        }
        assert!(shares(&before)[&TWO.mac] > 400);
        meet(&mut world, &TWO);
        let back = owners(&mut world, family);
        assert!(back == before, "{family:?}: {:?} at first, {:?} now", shares(&before), shares(&back));
    }
}

#[test]
fn when_all_servers_are_dead_senders_are_told() {
    let mut world = knowing(&[ROUTER]);
    only_these_live(&mut world, &[ROUTER]);
    for family in FAMILIES {
        for flow in 0..10 {
            assert_eq!(world.send(UPLINK, packet(family, flow)), Verdict::Reply(UPLINK));
        }
    }
}

#[test]
fn a_packet_waits_for_the_server_that_its_flow_belongs_to() {
    for family in FAMILIES {
        // Which flow is whose does not depend on who is known already.
        let owners = owners(&mut knowing(&[ONE, TWO, THREE]), family);
        let mut world = knowing(&[ROUTER]);
        for flow in 0..3 {
            assert_eq!(world.send(UPLINK, packet(family, flow)), Verdict::Punt(PuntReason::Unresolved));
        }
        world.expect_silence();
        for host in [ONE, TWO, THREE] {
            world.send(SERVERS, host.answers(family));
            let expected = owners[..3].iter().filter(|owner| **owner == host.mac).count();
            let sent = world.sent_by(SERVERS);
            assert!(sent.iter().all(|frame| frame[..6] == host.mac));
            assert_eq!(sent.len(), expected);
        }
    }
}

#[test]
fn both_directions_of_a_flow_go_through_the_same_router() {
    let mut world = World::start(
        r#"
        gateway.name = "g"
        [[port]]
        name = "servers"
        driver = "memory"
        addresses = ["192.168.0.1/24"]
        [[port]]
        name = "uplink"
        driver = "memory"
        addresses = ["203.0.113.2/24"]
        [[route]]
        to = "10.0.0.0/8"
        via = ["192.168.0.11", "192.168.0.12"]
        "#,
    )
    .started();
    for host in [ONE, TWO, ROUTER] {
        world.send(host.port, host.asks(own_address(host.port, Family::V4)));
    }
    world.sent();
    for flow in 0..100 {
        let (a, b) = (("10.0.0.1", 5000 + flow), ("10.0.0.2", 53));
        let mut taken = Vec::new();
        for ((src, src_port), (dst, dst_port)) in [(a, b), (b, a)] {
            world.send(UPLINK, ROUTER.eth().ip(src, dst).ttl(64).udp(src_port, dst_port).build());
            taken.push(world.sent_by(SERVERS)[0][..6].to_vec());
        }
        assert_eq!(taken[0], taken[1]);
    }
}

#[test]
fn shared_routes_are_shown_router_by_router() {
    let text = render(&Answer::Routes(RouteView::all(&knowing(&[]).control)), false);
    let lines: Vec<_> = text.lines().filter(|line| line.contains("198.51.100.80")).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].contains("192.168.0.11 weight 1") && lines[2].contains("192.168.0.13 weight 2"), "{text}");
}
