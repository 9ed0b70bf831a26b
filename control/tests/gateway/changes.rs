//! Routes that come and go while the gateway runs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use causeway_control::compile::{Compiler, NeighborFact, NeighborFacts, PortFacts};
use causeway_control::config::{ClusterIdx, Config, PortIdx};
use causeway_control::domains::Domains;
use causeway_control::neighbors::State;
use causeway_control::rib::{Change, Member, Origin, Route, Via, routes};
use causeway_fastpath::command::Event;
use causeway_fastpath::fib::Hop;
use causeway_fastpath::frame::Frame;
use causeway_fastpath::ids::{Epoch, VrfId};
use causeway_fastpath::snapshot::{Adjacency, NeighborState, Snapshot};
use causeway_fastpath::verdict::{DropReason, PuntReason, Verdict};
use causeway_testkit::packet::*;
use causeway_testkit::seed::{Rng, Seed};
use ipnet::IpNet;

use crate::lab::{Host, NODE_A, NODE_B, NODES, SERVER, UPLINK, lab_with};
use crate::world::{Step, World, configs, own_mac, seconds};

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
    world.tell(Event::Punted(PuntReason::Arp, frame));
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

/// Everything that anybody says, as the slow way keeps it.
type Said = BTreeMap<(VrfId, IpNet, Origin), Via>;

/// What a packet for an address would meet, whatever the numbers of things are.
#[derive(Debug, PartialEq)]
enum Meets {
    Hop(Hop),
    Adjacency(Adjacency),
    Group(Vec<Adjacency>),
}

fn meets(snapshot: &Snapshot, domain: VrfId, address: IpAddr) -> Meets {
    let hop = match address {
        IpAddr::V4(address) => snapshot.v4.fib(domain).lookup(address.to_bits()),
        IpAddr::V6(address) => snapshot.v6.fib(domain).lookup(address.to_bits()),
    };
    match hop.hop() {
        Hop::Adjacency(id) => Meets::Adjacency(snapshot.adjacencies[id.index()]),
        Hop::Group(id) => {
            let buckets = snapshot.groups[id.index()].buckets();
            Meets::Group(buckets.iter().map(|id| snapshot.adjacencies[id.index()]).collect())
        }
        hop => Meets::Hop(hop),
    }
}

fn router(rng: &mut Rng, v6: bool) -> (PortIdx, IpAddr) {
    let (port, last) = (rng.range(0..2), rng.range(50..54));
    let address = match (port, v6) {
        (0, false) => format!("192.168.0.{last}"),
        (_, false) => format!("203.0.113.{last}"),
        (0, true) => format!("fd00:a::{last}"),
        (_, true) => format!("2001:db8:1::{last}"),
    };
    (PortIdx(port), address.as_str().to_ip())
}

fn via(rng: &mut Rng, v6: bool) -> Via {
    match rng.below(4) {
        0 => rng.choose(&[Via::Blackhole, Via::Prohibit, Via::Connected(PortIdx(0)), Via::Egress(VrfId::MAIN)]).clone(),
        1 => {
            let mut members = BTreeMap::new();
            for _ in 0..rng.range(1..4) {
                members.insert(router(rng, v6), 1 + rng.below(2) as u16);
            }
            let member = |((port, address), weight)| Member { port, address, weight };
            Via::through(members.into_iter().map(member).collect())
        }
        _ => {
            let (port, address) = router(rng, v6);
            Via::Neighbor(port, address)
        }
    }
}

/// A place among few, so that changes meet.
fn place(rng: &mut Rng) -> (VrfId, IpNet, Origin) {
    let to = match rng.below(8) {
        0 => net("0.0.0.0/0"),
        1 => net("::/0"),
        2 => net("10.0.0.0/8"),
        3 => net("fd00:10::/56"),
        4..6 => IpNet::new(IpAddr::from([10, 1, rng.below(4) as u8, 0]), 24).expect("a length"),
        _ => IpNet::new(format!("fd00:10:0:{}::", rng.below(4)).as_str().to_ip(), 64).expect("a length"),
    };
    let node = |name: &str| Origin::Node(ClusterIdx(0), name.to_owned());
    let origin = rng.choose(&[Origin::Static, Origin::Island, node("a"), node("b"), Origin::Own]).clone();
    (VrfId(rng.below(2) as u16), to, origin)
}

/// A MAC address that says whose it is.
fn facts(rng: &mut Rng) -> NeighborFacts {
    let mut facts = NeighborFacts::new();
    for _ in 0..rng.below(12) {
        let v6 = rng.bool();
        let router = router(rng, v6);
        let last = router.1.to_string().bytes().last().expect("a digit");
        let state = *rng.choose(&[NeighborState::Reachable, NeighborState::Dead]);
        facts.insert(router, NeighborFact { state, mac: [2, 0, router.0.0 as u8, v6.into(), 0, last] });
    }
    facts
}

#[test]
fn any_changes_end_in_the_tables_that_the_routes_in_the_end_would_have_made_at_once() {
    let text = std::fs::read_to_string(configs().join("lab.toml")).expect("the file is there");
    let (config, _) = Config::parse("lab.toml", &text).expect("it is sound");
    let domains = Domains::of(&config);
    let port_facts = vec![PortFacts { mac: [2; 6], mtu: 1500 }; config.ports.len()];
    let fresh = || Compiler::new(&config, &domains, port_facts.clone(), 7);
    let seed = Seed::from_env_or(0xecb);
    let mut rng = seed.rng();

    let mut said = Said::new();
    let mut changed = fresh();
    for route in routes(&config, &domains) {
        said.insert((route.domain, route.to, route.origin.clone()), route.via.clone());
        changed.change(Change::Add(route));
    }
    let mut largest = (0, 0);
    for epoch in 0..300 {
        for _ in 0..rng.range(0..20) {
            let (domain, to, origin) = place(&mut rng);
            if rng.bool() {
                let via = via(&mut rng, to.addr().is_ipv6());
                said.insert((domain, to, origin.clone()), via.clone());
                changed.change(Change::Add(Route { domain, to, via, origin }));
            } else {
                said.remove(&(domain, to, origin.clone()));
                changed.change(Change::Withdraw { domain, to, origin });
            }
        }
        let known = facts(&mut rng);
        if rng.chance(1, 3) {
            changed.set_neighbors(known.clone());
        }
        let mut at_once = fresh();
        for ((domain, to, origin), via) in &said {
            let (domain, to, origin, via) = (*domain, *to, origin.clone(), via.clone());
            at_once.change(Change::Add(Route { domain, to, via, origin }));
        }
        changed.set_neighbors(known.clone());
        at_once.set_neighbors(known);
        let (one, other) = (changed.snapshot(Epoch(epoch)), at_once.snapshot(Epoch(epoch)));
        assert_eq!((one.check(), other.check()), (Ok(()), Ok(())));
        assert!(changed.rib().routes().eq(at_once.rib().routes()));
        for (_, to, _) in said.keys() {
            for domain in domains.all() {
                for address in [to.network(), to.broadcast()] {
                    assert_eq!(meets(&one, domain, address), meets(&other, domain, address), "{address} in {domain}");
                }
            }
        }
        largest = (largest.0.max(one.adjacencies.len()), largest.1.max(one.groups.len()));
    }
    assert!(largest.0 <= 32 && largest.1 <= 40, "numbers are used again: {largest:?}");
}
