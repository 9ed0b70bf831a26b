//! Another configuration while the gateway runs.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use causeway_control::config::{ClusterIdx, Config};
use causeway_control::control::Control;
use causeway_control::nodes::{NodeFact, Ready, Update};
use causeway_control::reload::{Fates, Former, differences};
use causeway_fastpath::address::Address;
use causeway_fastpath::command::SessionRow;
use causeway_fastpath::fib::Hop;
use causeway_fastpath::ids::{PoolId, PortId, VrfId};
use causeway_fastpath::nat::EgressAction;
use causeway_fastpath::session::{FlowKey, SessionFilter};
use causeway_fastpath::snapshot::{Snapshot, Tables};
use causeway_testkit::packet::*;
use causeway_testkit::seed::{Rng, Seed};

use crate::any_config::any_config;
use crate::world::{World, own_mac};

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
            flaws: Vec::new(),
        };
        (cluster, Update::All(vec![node(0), node(1)]))
    };
    let updates: Vec<_> = sourced.into_iter().map(all).collect();
    world.control.update_nodes(updates, world.now);
    world.settle();
}

impl World {
    pub(crate) fn reload(&mut self, text: &str) {
        let (config, _) = Config::parse("test.toml", text).unwrap_or_else(|errors| panic!("{errors}"));
        self.control.reload(config, self.now).unwrap_or_else(|error| panic!("{error}"));
        self.settle();
    }

    pub(crate) fn take_back(&mut self, former: Former) {
        let prepared = self.control.prepare_return(former, self.now).unwrap_or_else(|error| panic!("{error}"));
        self.control.adopt(prepared, self.now);
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

/// Everybody who may be there: by which port and from which MAC address, and under which address.
fn everybody() -> Vec<(PortId, Mac, String)> {
    let mut all = Vec::new();
    for cluster in 0..4u8 {
        for node in [1, 2] {
            let (port, mac) = (PortId(cluster.into()), [2, 0, 0, 0, cluster, node]);
            all.push((port, mac, format!("192.168.{cluster}.{}", 10 + node)));
            all.extend([10, 11].map(|pod| (port, mac, format!("10.{cluster}.{node}.{pod}"))));
        }
    }
    for server in [1, 3, 9] {
        all.push((PortId(4), [2, 0, 0, 0, 9, server], format!("203.0.113.{server}")));
    }
    all.extend(["198.51.100.7", "198.51.100.200"].map(|far| (PortId(4), [2, 0, 0, 0, 9, 1], far.to_owned())));
    all
}

/// Random conversations begin, those that may.
fn talk(world: &mut World, rng: &mut Rng) {
    let all = everybody();
    for (port, mac, address) in &all {
        let own = if port.0 == 4 { "203.0.113.2".to_owned() } else { format!("192.168.{}.1", port.0) };
        if !address.starts_with("10.") && !address.starts_with("198.") {
            let eth = eth().src(*mac).dst(own_mac(*port));
            world.send(*port, eth.arp_request(address.as_str(), own.as_str()).build());
        }
    }
    let public = ["203.0.113.2", "203.0.113.17", "203.0.113.50", "203.0.113.60", "203.0.113.61"];
    for _ in 0..300 {
        let (port, mac, from) = rng.choose(&all);
        let to = if rng.chance(1, 3) { *rng.choose(&public) } else { rng.choose(&all).2.as_str() };
        let ip = eth().src(*mac).dst(own_mac(*port)).ip(from.as_str(), to);
        let source = 1000 + rng.below(50) as u16;
        let frame = match rng.below(4) {
            0 => ip.udp(source, 53).payload(b"?").build(),
            1 => ip.icmp_echo_request(source, 1).build(),
            2 => ip.tcp(source, 8000 + rng.below(4) as u16).flags(SYN).build(),
            _ => ip.tcp(source, 443).flags(SYN).build(),
        };
        world.send(*port, frame);
    }
}

/// What is alike of a session as long as it lives.
fn identity(row: &SessionRow) -> String {
    format!("{} {} {:?} {:?} {:?} {:?}", row.vrf, row.protocol, row.inside, row.outside, row.peer, row.forwarded)
}

fn sessions(world: &mut World) -> BTreeSet<String> {
    assert!(world.control.list_sessions(1, usize::MAX, SessionFilter::default()));
    world.settle();
    world.control.take_sessions().expect("it is there").1.iter().map(identity).collect()
}

#[test]
fn exactly_those_sessions_end_of_which_the_plan_says_so() {
    let seed = Seed::from_env_or(0xf47e);
    let mut rng = seed.rng();
    let (mut survivors, mut ended) = (0, 0);
    for _ in 0..25 {
        let mut text = any_config(&mut rng).text();
        let mut world = World::start(&text);
        for _ in 0..5 {
            say_nodes(&mut world);
            talk(&mut world, &mut rng);
            let before = sessions(&mut world);
            // A step that changes little, as people do, or anything.
            let next = if rng.bool() { any_config(&mut rng).text() } else { text.replace("pool0", "pool1") };
            let Ok((config, _)) = Config::parse("next.toml", &next) else { continue };
            let mut prepared = world.control.prepare(config.clone(), world.now).expect("the ports are the same");
            assert!(world.control.judge_sessions(9, &mut prepared));
            world.settle();
            let judged = world.control.take_judged().expect("it is there");
            let counts = judged.counts.values().fold(Fates::default(), |sum, own| sum.plus(*own));
            let doomed: BTreeSet<_> = judged.named.iter().map(|(row, _)| identity(row)).collect();
            assert_eq!(counts.survive + counts.anew + counts.end, before.len() as u64);
            assert_eq!(doomed.len() as u64, counts.anew + counts.end);

            world.control.reload(config, world.now).expect("the ports are the same");
            world.settle();
            let after = sessions(&mut world);
            let gone: BTreeSet<_> = before.difference(&after).cloned().collect();
            assert_eq!(gone, doomed, "{text}\n-- then\n{next}");
            (survivors, ended) = (survivors + before.intersection(&after).count(), ended + gone.len());
            text = next;
        }
    }
    assert!(survivors > 500 && ended > 500, "{survivors} and {ended}");
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
