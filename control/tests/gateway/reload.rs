//! Another configuration while the gateway runs.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use causeway_control::config::{ClusterIdx, Config};
use causeway_control::control::Control;
use causeway_control::nodes::{NodeFact, Ready, Update};
use causeway_control::reload::differences;
use causeway_fastpath::address::Address;
use causeway_fastpath::fib::Hop;
use causeway_fastpath::ids::{PoolId, VrfId};
use causeway_fastpath::nat::EgressAction;
use causeway_fastpath::session::FlowKey;
use causeway_fastpath::snapshot::{Snapshot, Tables};
use causeway_testkit::seed::Seed;

use crate::any_config::any_config;
use crate::world::World;

/// A gateway as people see it: its tables with names in the place of numbers.
struct Picture<'a> {
    control: &'a Control,
    snapshot: &'a Snapshot,
    lines: BTreeSet<String>,
}

/// What a gateway does with packets for any of these addresses, and by which rules.
fn picture(control: &Control, snapshot: &Snapshot, addresses: &BTreeSet<IpAddr>) -> BTreeSet<String> {
    let mut picture = Picture { control, snapshot, lines: BTreeSet::new() };
    for (at, port) in snapshot.ports.iter().enumerate() {
        let masquerade =
            port.masquerade.map(|pool| (picture.pool(&snapshot.v4, pool), picture.pool(&snapshot.v6, pool)));
        let (domain, own) = (picture.domain(port.vrf), (port.mac, port.v4, port.v6, port.link_local));
        picture.lines.insert(format!("port {at} in {domain}: {own:?} {masquerade:?}"));
    }
    picture.tables(&snapshot.v4, addresses);
    picture.tables(&snapshot.v6, addresses);
    let rates = (snapshot.icmp_errors_per_second, snapshot.icmp_errors_per_destination);
    picture.lines.insert(format!("{:?} {rates:?}", snapshot.timeouts));
    for row in control.nodes() {
        picture.lines.insert(format!("node {:?} {:?} {:?}", row.cluster, row.fact, row.state));
    }
    let config = control.config();
    for route in control.routes() {
        let (domain, owner) = (control.domain_name(route.domain), route.origin.owner(config));
        picture.lines.insert(format!("{domain}: {} by {} {owner:?}", route.to, route.origin.word()));
    }
    picture.lines
}

impl Picture<'_> {
    fn tables<A: Address>(&mut self, tables: &Tables<A>, addresses: &BTreeSet<IpAddr>) {
        let domains: BTreeSet<VrfId> = self.control.tables().map(|table| table.domain).collect();
        for domain in domains {
            let name = self.domain(domain);
            for (at, rule) in tables.egress[domain.index()].iter().enumerate() {
                let action = match rule.action {
                    EgressAction::Translate(pool) => self.pool(tables, pool),
                    action => format!("{action:?}"),
                };
                let about = (rule.source, rule.destination, rule.limits, rule.picks_up);
                self.lines.insert(format!("{name} rule {at}: {about:?} {action}"));
            }
            for address in addresses.iter().filter_map(|address| A::from_ip(*address)) {
                let hop = self.hop(tables.fib(domain).lookup(address).hop());
                self.lines.insert(format!("{name} {}: {hop}", address.to_ip()));
            }
        }
        for protocol in [6, 17] {
            for (public, port) in tables.forwards.ports(protocol) {
                self.forward(tables, protocol, public, port);
            }
        }
        for nat in &self.control.config().static_nat {
            if let Some(public) = A::from_ip(nat.address) {
                self.forward(tables, 1, public, 7);
            }
        }
        for ((port, address), id) in &*tables.neighbors {
            let adjacency = self.snapshot.adjacencies[id.index()];
            self.lines.insert(format!("neighbour {port} {} {adjacency:?}", address.to_ip()));
        }
    }

    fn forward<A: Address>(&mut self, tables: &Tables<A>, protocol: u8, public: A, port: u16) {
        let flow = FlowKey {
            src: A::default(),
            dst: public,
            src_port: 9,
            dst_port: port,
            vrf: VrfId::MAIN,
            protocol,
            hairpin: 0,
        };
        let to = tables.forward(&flow).expect("there is one");
        let domain = self.domain(to.vrf);
        self.lines.insert(format!(
            "forward {protocol} {} {port}: {:?} {:?} {domain}",
            public.to_ip(),
            to.address,
            to.port
        ));
    }

    fn hop(&self, hop: Hop) -> String {
        match hop {
            Hop::Adjacency(id) => format!("{:?}", self.snapshot.adjacencies[id.index()]),
            Hop::Group(id) => {
                let buckets = self.snapshot.groups[id.index()].buckets();
                format!("{:?}", buckets.iter().map(|id| self.snapshot.adjacencies[id.index()]).collect::<Vec<_>>())
            }
            Hop::Egress(domain) => format!("to {}", self.domain(domain)),
            hop => format!("{hop:?}"),
        }
    }

    fn domain(&self, domain: VrfId) -> String {
        self.control.domain_name(domain).to_owned()
    }

    fn pool<A: Address>(&self, tables: &Tables<A>, pool: PoolId) -> String {
        format!("{} {:?}", self.control.pool_name(pool), tables.pools[pool.index()])
    }
}

/// The ends of every route and what is beside them.
fn places(control: &Control) -> BTreeSet<IpAddr> {
    let beside = |address: IpAddr| match address {
        IpAddr::V4(v4) => [v4.to_bits().wrapping_sub(1), v4.to_bits(), v4.to_bits().wrapping_add(1)].map(|n| n.to_ip()),
        IpAddr::V6(v6) => [v6.to_bits().wrapping_sub(1), v6.to_bits(), v6.to_bits().wrapping_add(1)].map(|n| n.to_ip()),
    };
    let ends = control.routes().flat_map(|route| [route.to.network(), route.to.broadcast()]);
    ends.flat_map(beside).collect()
}

/// What the source of a cluster's nodes says, if it has one.
fn say_nodes(world: &mut World) {
    let sourced: Vec<_> = world.control.node_sources().map(|source| source.cluster).collect();
    let all = |cluster: ClusterIdx| {
        let name = &world.control.config().clusters[cluster.0].name;
        let number = name.trim_start_matches('c');
        let node = |n: u8| NodeFact {
            name: format!("learned{n}"),
            addresses: vec![format!("192.168.{number}.{}", 20 + n)],
            pod_cidrs: vec![format!("10.{number}.{}.0/24", 7 + n)],
            ready: Ready::Ready,
        };
        (cluster, Update::All(vec![node(0), node(1)]))
    };
    let updates: Vec<_> = sourced.into_iter().map(all).collect();
    world.control.update_nodes(updates, world.now);
    world.settle();
}

impl World {
    fn reload(&mut self, text: &str) {
        let (config, _) = Config::parse("test.toml", text).unwrap_or_else(|errors| panic!("{errors}"));
        self.control.reload(config, self.now).unwrap_or_else(|error| panic!("{error}"));
        self.settle();
    }
}

#[test]
fn whatever_is_reloaded_ends_in_the_tables_that_a_start_makes() {
    let seed = Seed::from_env_or(0x5e10ad);
    let mut rng = seed.rng();
    for _ in 0..12 {
        let first = any_config(&mut rng).text();
        let mut world = World::start(&first);
        say_nodes(&mut world);
        for _ in 0..5 {
            let next = any_config(&mut rng);
            let text = next.shuffled(&mut rng);
            world.reload(&text);
            say_nodes(&mut world);
            let mut fresh = World::start(&next.text());
            say_nodes(&mut fresh);
            let addresses = &places(&world.control) | &places(&fresh.control);
            let (one, other) = (
                picture(&world.control, &world.snapshot, &addresses),
                picture(&fresh.control, &fresh.snapshot, &addresses),
            );
            let stray: Vec<_> = one.difference(&other).collect();
            let missing: Vec<_> = other.difference(&one).collect();
            assert!(stray.is_empty() && missing.is_empty(), "{first}\n-- then\n{text}\n{stray:#?}\n{missing:#?}");
        }
    }
}

#[test]
fn two_configurations_are_the_same_when_nothing_is_said_to_differ() {
    let seed = Seed::from_env_or(0xd1ff);
    let mut rng = seed.rng();
    for _ in 0..200 {
        let (one, other) = (any_config(&mut rng).config(), any_config(&mut rng).config());
        assert_eq!(differences(&one, &one), []);
        assert_ne!(differences(&one, &other), [], "{one:#?}\n{other:#?}");
    }
}

#[test]
fn the_same_configuration_again_makes_no_new_tables() {
    let text = any_config(&mut Seed::from_env_or(3).rng()).text();
    let mut world = World::start(&text).started();
    let before = Arc::clone(&world.snapshot);
    world.reload(&text);
    assert!(Arc::ptr_eq(&before, &world.snapshot));
    assert!(world.steps().is_empty());
    world.expect_silence();
}
