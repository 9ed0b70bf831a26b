//! Whatever routes come and go, in whatever order: beside the tables that were changed
//! stand those that are made at once.

use std::collections::BTreeMap;
use std::net::IpAddr;

use causeway_control::compile::{Compiler, NeighborFact, NeighborFacts, PoolIds, PortFacts};
use causeway_control::config::{ClusterIdx, Config, PortIdx};
use causeway_control::domains::Domains;
use causeway_control::rib::{Change, Member, Origin, Route, Via, routes};
use causeway_fastpath::fib::Hop;
use causeway_fastpath::ids::{Epoch, VrfId};
use causeway_fastpath::snapshot::{Adjacency, NeighborState, Snapshot};
use causeway_testkit::packet::*;
use causeway_testkit::seed::{Rng, Seed};
use ipnet::IpNet;

use crate::world::configs;

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
        0 => prefix("0.0.0.0/0"),
        1 => prefix("::/0"),
        2 => prefix("10.0.0.0/8"),
        3 => prefix("fd00:10::/56"),
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
    let fresh = || Compiler::new(&config, &domains, &PoolIds::of(&config), port_facts.clone(), 7);
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

fn prefix(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}
