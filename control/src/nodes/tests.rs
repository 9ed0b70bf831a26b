//! Nodes that come, go, move and quarrel, and the routes that follow.

mod memory;

use std::collections::BTreeMap;

use causeway_fastpath::time::Instant;
use causeway_testkit::seed::{Rng, Seed};
use ipnet::IpNet;

use super::*;
use crate::config::{ClusterIdx, Config, MOST_NODES};
use crate::domains::Domains;
use crate::feed::Pending;
use crate::rib::{Change, Origin, Rib};

const CONFIG: &str = r#"
gateway.name = "gw"
[[port]]
name = "nodes"
driver = "memory"
addresses = ["192.168.0.1/16", "fd00:a::1/64"]
[[port]]
name = "uplink"
driver = "memory"
addresses = ["203.0.113.2/24"]
[[cluster]]
name = "blue"
model = "island"
pod-cidrs = ["10.0.0.0/8", "fd00:10::/48"]
node-mask-size = { ipv4 = 24 }
egress = "masquerade"
ports = ["nodes"]
nodes-from = { in-cluster = true }
"#;

const BLUE: ClusterIdx = ClusterIdx(0);

/// What sources say goes in, and the routes of nodes come out.
struct World {
    config: Config,
    domains: Domains,
    nodes: Nodes,
    rib: Rib,
    /// Changes until now.
    changes: usize,
    now: Instant,
}

impl World {
    fn new() -> World {
        let (config, warnings) = Config::parse("test.toml", CONFIG).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(warnings.is_empty(), "{warnings:?}");
        let (domains, now) = (Domains::of(&config), Instant::from_secs(1000));
        let nodes = Nodes::new(&config, now);
        World { config, domains, nodes, rib: Rib::default(), changes: 0, now }
    }

    /// The source says this; how many changes follow.
    fn say(&mut self, updates: impl IntoIterator<Item = Update>) -> usize {
        for update in updates {
            self.nodes.update(BLUE, update, self.now);
        }
        let changes = self.nodes.reconcile(&self.config, &self.domains);
        let count = changes.len();
        for change in changes {
            match change {
                Change::Add(route) => {
                    assert!(matches!(route.origin, Origin::Node(BLUE, _)), "not a node's route: {route:?}");
                    self.rib.add(route);
                }
                Change::Withdraw { domain, to, origin } => {
                    assert!(matches!(origin, Origin::Node(BLUE, _)), "not a node's route: {origin:?}");
                    assert!(self.rib.withdraw(domain, to, origin).is_some(), "it had no route to {to}");
                }
            }
        }
        self.changes += count;
        count
    }

    /// Routes as "10.0.1.0/24 192.168.0.11".
    fn routes(&self) -> Vec<String> {
        let text = |route: crate::rib::Route| match route.via {
            crate::rib::Via::Neighbor(_, address) => format!("{} {address}", route.to),
            other => panic!("{other:?}"),
        };
        self.rib.routes().map(text).collect()
    }

    /// What has become of a node, and the reasons.
    fn state(&self, name: &str) -> String {
        let row = self.nodes.rows().find(|row| row.fact.name == name).expect("it is known");
        match row.state {
            NodeState::Routed => "routed".to_owned(),
            NodeState::WithoutCidr => "without CIDR".to_owned(),
            NodeState::Quarantined(faults) => faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        }
    }
}

fn node(name: &str, addresses: &[&str], pod_cidrs: &[&str]) -> NodeFact {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let (addresses, pod_cidrs) = (owned(addresses), owned(pod_cidrs));
    NodeFact { name: name.into(), addresses, pod_cidrs, ready: Ready::Ready, flaws: Vec::new() }
}

/// The `at`th of many nodes.
fn numbered(at: usize) -> NodeFact {
    let [high, low] = (at as u16 + 300).to_be_bytes();
    node(&format!("n{at:04}"), &[&format!("192.168.{high}.{low}")], &[&format!("10.{high}.{low}.0/24")])
}

fn unready(mut fact: NodeFact, ready: Ready) -> NodeFact {
    fact.ready = ready;
    fact
}

#[test]
fn a_node_is_routed_by_its_addresses_of_either_family_until_it_goes() {
    let mut world = World::new();
    let a = node("a", &["192.168.0.11", "fd00:a::11"], &["10.0.1.0/24", "fd00:10:0:1::/64"]);
    assert_eq!(world.say([Update::One(a.clone())]), 2);
    assert_eq!(world.routes(), ["10.0.1.0/24 192.168.0.11", "fd00:10:0:1::/64 fd00:a::11"]);
    assert_eq!(world.say([Update::One(a.clone()), Update::All(vec![a])]), 0, "what is so already is left alone");
    assert_eq!(world.say([Update::Gone("a".into())]), 2);
    assert_eq!(world.routes(), [""; 0]);
    assert_eq!(world.say([Update::Gone("a".into())]), 0);
}

#[test]
fn a_node_without_cidr_waits_and_one_that_moves_is_followed() {
    let mut world = World::new();
    world.say([Update::One(node("a", &["192.168.0.11"], &[]))]);
    assert_eq!(world.state("a"), "without CIDR");
    world.say([Update::One(node("a", &["192.168.0.11"], &["10.0.1.0/24"]))]);
    assert_eq!(
        world.say([Update::One(node("a", &["192.168.0.12"], &["10.0.1.0/24"]))]),
        1,
        "one in place of the other"
    );
    assert_eq!(world.routes(), ["10.0.1.0/24 192.168.0.12"]);
}

#[test]
fn a_list_withdraws_whoever_is_not_in_it() {
    let mut world = World::new();
    let [a, b] =
        [1, 2].map(|at| node(&format!("n{at}"), &[&format!("192.168.0.{at}1")], &[&format!("10.0.{at}.0/24")]));
    world.say([Update::All(vec![a, b.clone()])]);
    assert_eq!(world.say([Update::All(vec![b])]), 1);
    assert_eq!(world.routes(), ["10.0.2.0/24 192.168.0.21"]);
}

#[test]
fn what_the_source_said_last_holds_while_it_is_away_and_nodes_are_lost() {
    let mut world = World::new();
    let a = node("a", &["192.168.0.11"], &["10.0.1.0/24"]);
    world.say([Update::One(a.clone()), Update::InStep]);
    world.now = Instant::from_secs(1060);
    let away = Update::Away("connection refused".into());
    assert_eq!(world.say([Update::One(unready(a.clone(), Ready::Unknown)), away.clone()]), 0);
    world.now = Instant::from_secs(1090);
    assert_eq!(world.say([Update::One(unready(a, Ready::Unknown)), away]), 0);
    assert_eq!(world.routes(), ["10.0.1.0/24 192.168.0.11"]);
    let row = world.nodes.rows().next().expect("it is known");
    assert_eq!((row.fact.ready, row.since), (Ready::Unknown, Instant::from_secs(1060)));
    let source = world.nodes.sources().next().expect("the cluster has one");
    assert_eq!((source.state, source.since), (Err("connection refused"), Instant::from_secs(1060)));
}

#[test]
fn of_two_nodes_with_one_cidr_who_has_it_keeps_it_and_the_other_gets_it_afterwards() {
    let mut world = World::new();
    let a = node("a", &["192.168.0.11"], &["10.0.1.0/24"]);
    let b = node("b", &["192.168.0.12"], &["10.0.1.0/24"]);
    world.say([Update::One(b.clone())]);
    assert_eq!(world.say([Update::One(a.clone())]), 0, "b was there first");
    assert_eq!(world.state("a"), "10.0.1.0/24 overlaps 10.0.1.0/24 of node b");
    assert_eq!(world.say([Update::All(vec![a.clone(), b])]), 0);
    assert_eq!(world.say([Update::Gone("b".into())]), 2, "one goes, the other comes");
    assert_eq!(world.routes(), ["10.0.1.0/24 192.168.0.11"]);
    assert_eq!(world.state("a"), "routed");
    // Kubernetes issue 127792: deleting the second one took the first one's route.
    let c = node("c", &["192.168.0.13"], &["10.0.0.0/23"]);
    world.say([Update::One(c)]);
    assert_eq!(world.state("c"), "10.0.0.0/23 overlaps 10.0.1.0/24 of node a");
    assert_eq!(world.say([Update::Gone("c".into())]), 0);
    assert_eq!(world.routes(), ["10.0.1.0/24 192.168.0.11"]);
}

#[test]
fn nobody_takes_an_address_that_another_node_is_reached_by() {
    let mut world = World::new();
    world.say([Update::All(vec![
        node("a", &["192.168.0.11"], &["10.0.1.0/24"]),
        node("b", &["192.168.0.12"], &["10.0.2.0/24"]),
    ])]);
    world.say([Update::One(node("a", &["192.168.0.12"], &["10.0.1.0/24"]))]);
    assert_eq!(world.state("a"), "192.168.0.12 is that of node b");
    assert_eq!(world.routes(), ["10.0.2.0/24 192.168.0.12"]);
    world.say([Update::One(node("b", &["192.168.0.11"], &["10.0.2.0/24"]))]);
    assert_eq!(world.routes(), ["10.0.1.0/24 192.168.0.12", "10.0.2.0/24 192.168.0.11"], "they have changed places");
}

#[test]
fn a_bad_node_is_quarantined_alone_and_says_why() {
    for (addresses, cidrs, why) in [
        (&["192.168.0.12"][..], &["10.0.0.0./24"][..], "pod CIDR \"10.0.0.0./24\" is not a prefix"),
        (&["192.168.0.12"], &["010.0.0.0/24"], "pod CIDR \"010.0.0.0/24\" is not a prefix"),
        (&["192.168.0.12"], &["172.16.0.0/24"], "172.16.0.0/24 lies outside the cluster's pod-cidrs"),
        (&["192.168.0.12"], &["0.0.0.0/0"], "0.0.0.0/0 lies outside the cluster's pod-cidrs"),
        (&["fd00:a::12"], &["10.0.2.0/24"], "10.0.2.0/24 cannot be reached: no InternalIP of its family"),
        (&[], &["10.0.2.0/24"], "10.0.2.0/24 cannot be reached: no InternalIP of its family"),
        (&["node-b.example"], &["10.0.2.0/24"], "10.0.2.0/24 cannot be reached: no InternalIP of its family"),
        (&["172.20.0.1"], &["10.0.2.0/24"], "172.20.0.1 lies in no subnet of the cluster's ports"),
        (&["203.0.113.7"], &["10.0.2.0/24"], "203.0.113.7 lies in no subnet of the cluster's ports"),
        (&["192.168.0.1"], &["10.0.2.0/24"], "192.168.0.1 is no address that a node can have here"),
        (&["192.168.255.255"], &["10.0.2.0/24"], "192.168.255.255 is no address that a node can have here"),
        (&["192.168.0.11"], &["10.0.2.0/24"], "192.168.0.11 is that of node a"),
        (&["192.168.0.12"], &["10.0.1.128/25"], "10.0.1.128/25 overlaps 10.0.1.0/24 of node a"),
        (&["192.168.0.12"], &["10.0.9.0/24", "10.0.8.0/24"], "10.0.8.0/24 is the second of its family"),
    ] {
        let mut world = World::new();
        let a = node("a", &["192.168.0.11"], &["10.0.1.0/24"]);
        world.say([Update::All(vec![a, node("b", addresses, cidrs), node("c", &["192.168.0.13"], &["10.0.3.0/24"])])]);
        assert_eq!(world.state("b"), why);
        let quarantined: Vec<_> = world.nodes.take_quarantines().into_iter().map(|of| of.node).collect();
        assert_eq!(quarantined, ["b"]);
        let routes = world.routes();
        assert!(routes.contains(&"10.0.1.0/24 192.168.0.11".to_owned()), "{why}: {routes:?}");
        assert!(routes.contains(&"10.0.3.0/24 192.168.0.13".to_owned()), "{why}: {routes:?}");
        world.say([Update::One(node("d", &["192.168.0.14"], &["10.0.4.0/24"]))]);
        assert_eq!(world.nodes.take_quarantines(), [], "that was said already");
        world.say([Update::One(node("b", &["192.168.0.12"], &["10.0.2.0/24"]))]);
        assert_eq!(world.state("b"), "routed", "once {why} is mended");
    }
    let mut world = World::new();
    world.say([Update::One(node("../../etc", &["192.168.0.12"], &["10.0.2.0/24"]))]);
    assert_eq!(world.state("../../etc"), "its name is not that of a node");
    assert_eq!(world.routes(), [""; 0]);
}

#[test]
fn host_bits_in_a_pod_cidr_of_an_old_api_server_are_no_fault() {
    let mut world = World::new();
    world.say([Update::One(node("a", &["172.20.0.1", "192.168.0.11"], &["10.0.1.5/24"]))]);
    assert_eq!(world.routes(), ["10.0.1.0/24 192.168.0.11"], "and of its addresses one that lies on a port will do");
}

#[test]
fn of_a_node_with_one_bad_cidr_the_other_is_routed() {
    let mut world = World::new();
    world.say([Update::One(node("a", &["192.168.0.11"], &["10.0.1.0/24", "fd00:10:0:1::/64"]))]);
    assert_eq!(world.state("a"), "fd00:10:0:1::/64 cannot be reached: no InternalIP of its family");
    assert_eq!(world.routes(), ["10.0.1.0/24 192.168.0.11"]);
}

#[test]
fn thousands_of_nodes_come_at_once_and_flap_without_a_change_of_routes() {
    const NODES: usize = 5_000;
    let mut world = World::new();
    let all: Vec<_> = (0..NODES).map(numbered).collect();
    assert_eq!(world.say([Update::All(all.clone())]), NODES);
    // Ten seconds of a hundred nodes a second that lose their readiness and have it again.
    let mut pending = Pending::default();
    for flap in 0..1_000 {
        let ready = if flap % 2 == 0 { Ready::Unknown } else { Ready::Ready };
        pending.put(Update::One(unready(all[flap % 100].clone(), ready)));
        assert!(pending.len() <= 100, "one place a node, however often it flaps");
        if flap % 5 == 4 {
            assert_eq!(world.say(pending.take()), 0);
        }
    }
    // And of a hundred a second that go and are back with another CIDR.
    let before = world.changes;
    for (flap, node) in all.iter().enumerate().take(1_000) {
        let mut moved = node.clone();
        moved.pod_cidrs = vec![format!("10.200.{}.{}/30", flap / 64, flap % 64 * 4)];
        for update in [Update::Gone(moved.name.clone()), Update::One(moved)] {
            pending.put(update);
        }
        if flap % 5 == 4 {
            assert_eq!(world.say(pending.take()), 2 * 5, "one route goes and one comes, for each");
        }
    }
    assert_eq!(world.changes - before, 2 * 1_000);
    assert_eq!((world.nodes.rows().count(), world.rib.routes().count()), (NODES, NODES));
}

#[test]
fn of_more_nodes_than_a_cluster_can_have_the_rest_is_left_out_and_that_is_said() {
    let mut world = World::new();
    let many = (0..=MOST_NODES).map(|at| node(&format!("n{at}"), &[], &[])).collect();
    world.say([Update::All(many), Update::InStep]);
    assert_eq!(world.nodes.rows().count(), MOST_NODES);
    let state = |world: &World| world.nodes.sources().next().expect("the cluster has one").state.map_err(str::to_owned);
    assert_eq!(state(&world), Err(format!("it has more than {MOST_NODES} nodes: the others are left out")));
    world.say([Update::All(vec![numbered(1)])]);
    assert_eq!(state(&world), Ok(()));
}

#[test]
fn after_any_history_the_routes_are_sound_and_settled() {
    let seed = Seed::from_env_or(21);
    let mut rng = seed.rng();
    for _ in 0..200 {
        let mut world = World::new();
        let mut nodes: BTreeMap<String, NodeFact> = BTreeMap::new();
        let mut pending = Pending::default();
        for _ in 0..60 {
            let update = any_update(&mut rng, &mut nodes);
            // Some by way of the pending ones, some at once: it comes to the same.
            pending.put(update);
            if rng.below(3) == 0 {
                world.say(pending.take());
                check(&mut world, &nodes);
            }
        }
    }
}

/// One node more, less, or other; or all of them.
fn any_update(rng: &mut Rng, nodes: &mut BTreeMap<String, NodeFact>) -> Update {
    let name = format!("n{}", rng.below(6));
    match rng.below(8) {
        0 => {
            nodes.remove(&name);
            Update::Gone(name)
        }
        1 => {
            if rng.bool() {
                nodes.remove(&name);
            }
            Update::All(nodes.values().cloned().collect())
        }
        _ => {
            let address = format!("192.168.0.{}", rng.below(8));
            let cidr = format!("10.0.{}.0/{}", rng.below(8), 22 + rng.below(3));
            let fact = node(&name, &[&address], &[&cidr]);
            nodes.insert(name, fact.clone());
            Update::One(fact)
        }
    }
}

/// Nodes are as the source has them; routes do not overlap, each is what its node wants, and
/// whoever has none is in the way of somebody who has one.
fn check(world: &mut World, nodes: &BTreeMap<String, NodeFact>) {
    let rows: Vec<_> = world.nodes.rows().map(|row| (row.fact.clone(), row.routed.clone())).collect();
    assert!(rows.iter().map(|(fact, _)| fact).eq(nodes.values()), "{rows:?}");
    let routed: Vec<_> = rows.iter().filter_map(|(fact, routed)| Some((fact, *routed.first()?))).collect();
    for (at, (fact, (cidr, address))) in routed.iter().enumerate() {
        let wanted: IpNet = fact.pod_cidrs[0].parse().expect("a prefix");
        assert_eq!((*cidr, address.to_string()), (wanted.trunc(), fact.addresses[0].clone()));
        for (other, (taken, by)) in &routed[..at] {
            assert!(!taken.contains(cidr) && !cidr.contains(taken) && by != address, "{fact:?} {other:?}");
        }
    }
    for (fact, _) in rows.iter().filter(|(_, routed)| routed.is_empty()) {
        let wanted = fact.pod_cidrs[0].parse::<IpNet>().expect("a prefix").trunc();
        let blocks = |(other, (cidr, address)): &(&NodeFact, (IpNet, std::net::IpAddr))| {
            other.name != fact.name
                && (cidr.contains(&wanted) || wanted.contains(cidr) || address.to_string() == fact.addresses[0])
        };
        let no_nodes_address = ["192.168.0.0", "192.168.0.1"].contains(&fact.addresses[0].as_str());
        assert!(no_nodes_address || routed.iter().any(blocks), "nothing is in the way of {fact:?}");
    }
    assert_eq!(world.rib.routes().count(), routed.len(), "the RIB has just these");
    assert_eq!(world.say([]), 0, "settled");
    let all = nodes.values().cloned().collect();
    assert_eq!(world.say([Update::All(all)]), 0, "a list of what is known already changes nothing");
}
