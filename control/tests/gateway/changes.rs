//! Routes that come and go while the gateway runs.

use std::sync::Arc;

use causeway_control::config::{ClusterIdx, PortIdx};
use causeway_control::neighbors::State;
use causeway_control::rib::{Change, Origin, Route, Via};
use causeway_fastpath::command::Event;
use causeway_fastpath::frame::Frame;
use causeway_fastpath::handoff::Errand;
use causeway_fastpath::ids::VrfId;
use causeway_fastpath::snapshot::Snapshot;
use causeway_fastpath::verdict::{DropReason, PuntReason, Verdict};
use causeway_testkit::packet::*;
use ipnet::IpNet;

use crate::lab::{Host, NODE_A, NODE_B, NODES, SERVER, UPLINK, lab_with};
use crate::world::{Step, World, own_mac, seconds};

/// A router outside.
const ROUTER: Host = Host { port: UPLINK, mac: [2, 0, 0, 0, 1, 1], v4: "203.0.113.50", v6: "2001:db8:1::50" };

fn add(to: &str, via: Via) -> Change {
    Change::Add(Route { domain: VrfId::MAIN, to: net(to), via, origin: Origin::Static })
}

fn withdraw(to: &str) -> Change {
    Change::Withdraw { domain: VrfId::MAIN, to: net(to), origin: Origin::Static }
}

fn through(host: &Host) -> Via {
    Via::Neighbor(PortIdx(host.port.index()), host.v4.to_ip())
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

fn change(world: &mut World, changes: Vec<Change>) {
    world.control.change_routes(changes, world.now);
    world.settle();
}

fn tables(world: &mut World) -> Vec<Arc<Snapshot>> {
    let steps = world.steps().into_iter();
    steps.filter_map(|step| if let Step::Install(snapshot) = step { Some(snapshot) } else { None }).collect()
}

fn packet(dst: &str) -> Vec<u8> {
    SERVER.udp("203.0.113.10", dst).build()
}

#[test]
fn a_route_that_comes_asks_for_its_router_and_one_that_goes_lets_it_be_forgotten() {
    let mut world = lab_with(&[SERVER]);
    assert_eq!(world.send(UPLINK, packet("10.99.0.1")), Verdict::Reply(UPLINK), "no route");
    world = world.started();
    change(&mut world, vec![add("10.99.0.0/16", through(&ROUTER))]);
    assert_eq!(tables(&mut world).len(), 1);
    world.expect(UPLINK, &[crate::lab::question(UPLINK, ROUTER.v4, None)]);
    assert_eq!(world.send(UPLINK, packet("10.99.0.1")), Verdict::Punt(PuntReason::Unresolved));
    world.send(UPLINK, ROUTER.answers(crate::lab::Family::V4));
    assert_eq!(world.sent_by(UPLINK)[0][..6], ROUTER.mac, "who waited goes on");

    change(&mut world, vec![withdraw("10.99.0.0/16")]);
    assert_eq!(tables(&mut world).len(), 2, "for the answer, and for the withdrawal");
    assert_eq!(world.send(UPLINK, packet("10.99.0.1")), Verdict::Reply(UPLINK));
    world.wait(seconds(100));
    assert_eq!(world.state(UPLINK, ROUTER.v4), None, "it is nobody's router any more");
}

#[test]
fn a_router_that_is_dead_is_asked_at_once_when_a_route_comes() {
    let mut world = lab_with(&[SERVER]);
    world.send(UPLINK, packet(ROUTER.v4));
    world.wait(seconds(4));
    assert_eq!(world.state(UPLINK, ROUTER.v4).map(|(state, _)| state), Some(State::Dead));
    world = world.started();
    change(&mut world, vec![add("10.99.0.0/16", through(&ROUTER))]);
    world.expect(UPLINK, &[crate::lab::question(UPLINK, ROUTER.v4, None)]);
}

#[test]
fn however_many_routes_change_there_is_one_set_of_new_tables_that_shares_the_rest() {
    let mut world = lab_with(&[NODE_A, NODE_B, SERVER]);
    let before = Arc::clone(&world.snapshot);
    let to = |number: u32| format!("10.{}.{}.0/24", 100 + number / 256, number % 256);
    change(&mut world, (0..1000).map(|number| add(&to(number), through(&SERVER))).collect());
    assert_eq!(tables(&mut world).len(), 1);
    let after = Arc::clone(&world.snapshot);
    assert!(!Arc::ptr_eq(&before.v4.fibs[0], &after.v4.fibs[0]));
    assert!(Arc::ptr_eq(&before.v4.fibs[1], &after.v4.fibs[1]), "the island's");
    assert!(before.v6.fibs.iter().zip(&after.v6.fibs).all(|(before, after)| Arc::ptr_eq(before, after)));
    assert!(Arc::ptr_eq(&before.v4.egress, &after.v4.egress) && Arc::ptr_eq(&before.v4.pools, &after.v4.pools));
    assert!(Arc::ptr_eq(&before.ports, &after.ports) && Arc::ptr_eq(&before.groups, &after.groups));

    // To whom routes lead already: nothing of the neighbours changes.
    change(&mut world, vec![add("10.200.0.0/16", through(&SERVER)), withdraw(&to(0))]);
    let last = Arc::clone(&world.snapshot);
    assert!(Arc::ptr_eq(&last.adjacencies, &after.adjacencies));
    assert!(Arc::ptr_eq(&last.v4.neighbors, &after.v4.neighbors));
}

#[test]
fn routes_and_neighbors_that_change_together_make_one_set_of_new_tables() {
    let mut world = lab_with(&[SERVER]);
    world.control.change_routes([add("10.98.0.0/16", through(&SERVER))], world.now);
    world.control.change_routes([add("10.99.0.0/16", through(&ROUTER)), withdraw("10.98.0.0/16")], world.now);
    let mut frame = Frame::boxed(&ROUTER.asks("203.0.113.2"), 128, 0);
    frame.ingress = UPLINK;
    assert!(!world.control.is_settled());
    world.tell(Event::Punted(PuntReason::Arp, frame, Errand::Own));
    assert_eq!(tables(&mut world).len(), 1);
    world = world.started();
    assert_eq!(world.send(UPLINK, packet("10.99.0.1")), Verdict::Forward(UPLINK));
}

#[test]
fn a_change_that_makes_no_difference_makes_no_tables() {
    let mut world = lab_with(&[SERVER]);
    change(
        &mut world,
        vec![
            withdraw("10.99.0.0/16"),
            // An own address is stronger.
            add("203.0.113.2/32", Via::Blackhole),
            withdraw("203.0.113.2/32"),
        ],
    );
    assert_eq!(tables(&mut world).len(), 0);
    assert!(world.control.is_settled());
}

#[test]
fn the_weaker_route_counts_again_when_the_stronger_one_goes() {
    let mut world = lab_with(&[SERVER, NODE_A, NODE_B]);
    let node = |name: &str| Origin::Node(ClusterIdx(0), name.to_owned());
    let domain = VrfId(1);
    let to = net("10.1.9.0/24");
    let route = |name: &str, host: &Host| Change::Add(Route { domain, to, via: through(host), origin: node(name) });
    let to_pod = |world: &mut World, dst_mac: Mac| {
        let verdict = world.send(NODES, NODE_B.udp("192.168.0.12", "10.1.9.1").build());
        assert_eq!(verdict, Verdict::Forward(NODES));
        assert_eq!(world.sent_by(NODES)[0][..12], [dst_mac, own_mac(NODES)].concat());
    };
    change(&mut world, vec![route("node-a", &NODE_A), route("node-b", &NODE_B)]);
    to_pod(&mut world, NODE_B.mac);
    change(&mut world, vec![Change::Withdraw { domain, to, origin: node("node-b") }]);
    to_pod(&mut world, NODE_A.mac);
    change(&mut world, vec![Change::Withdraw { domain, to, origin: node("node-a") }]);
    let verdict = world.send(NODES, NODE_B.udp("192.168.0.12", "10.1.9.1").build());
    assert_eq!(verdict, Verdict::Reply(NODES), "the cluster's range is unreachable where no node has it");
}

#[test]
fn a_route_changes_to_a_black_hole_and_back() {
    let mut world = lab_with(&[SERVER, ROUTER]);
    for _ in 0..3 {
        change(&mut world, vec![add("10.99.0.0/16", through(&ROUTER))]);
        assert_eq!(world.send(UPLINK, packet("10.99.0.1")), Verdict::Forward(UPLINK));
        change(&mut world, vec![add("10.99.0.0/16", Via::Blackhole)]);
        assert_eq!(world.send(UPLINK, packet("10.99.0.1")), Verdict::Drop(DropReason::Blackhole));
    }
}
