//! What stays, what comes and what goes when another configuration comes into force.

use causeway_control::config::{ClusterIdx, Config};
use causeway_control::neighbors::State;
use causeway_control::nodes::{NodeFact, Ready, Update};
use causeway_control::reload::NeedsRestart;
use causeway_fastpath::ids::{PortId, VrfId};
use causeway_fastpath::verdict::Verdict;
use causeway_testkit::packet::*;

use crate::lab::*;
use crate::world::{World, configs};

fn lab() -> String {
    std::fs::read_to_string(configs().join("lab.toml")).expect("the file is there")
}

fn parsed(text: &str) -> Config {
    Config::parse("test.toml", text).unwrap_or_else(|errors| panic!("{errors}")).0
}

impl World {
    fn restarts(&self, text: &str) -> Vec<String> {
        match self.control.prepare(parsed(text), self.now) {
            Ok(_) => Vec::new(),
            Err(NeedsRestart(what)) => what,
        }
    }
}

#[test]
fn a_session_goes_on_and_who_is_known_on_the_links_stays_so() {
    let mut world = lab_with(&[NODE_A, SERVER]);
    let udp = || NODE_A.udp("10.1.1.10", "203.0.113.10").build();
    assert_eq!(world.send(NODES, udp()), Verdict::Forward(UPLINK));
    world.sent();
    world.reload(&(lab() + "[[route]]\nto = \"198.51.100.0/24\"\nvia = \"203.0.113.1\"\n[timers]\nudp-s = 200\n"));
    assert_eq!(world.sent_by(UPLINK), [question(UPLINK, "203.0.113.1", None)], "whoever a route leads to is asked for");
    assert_eq!(world.send(NODES, udp()), Verdict::Forward(UPLINK));
    assert_eq!(world.forwarder.sessions(), (1, 0));
    assert_eq!(world.state(NODES, NODE_A.v4).map(|(state, _)| state), Some(State::Reachable));
}

#[test]
fn addresses_that_are_newly_ours_are_announced_and_who_is_no_longer_on_a_link_is_forgotten() {
    let mut world = lab_with(&[NODE_A, SERVER]);
    let moved =
        lab().replace("203.0.113.2/24", "203.0.113.2/29").replace("[\"203.0.113.16/29\", ", "[\"203.0.113.4/31\", ");
    world.reload(&moved);
    let announced = ["203.0.113.4", "203.0.113.5"]
        .map(|own| eth().src(crate::world::own_mac(UPLINK)).arp_request(own, own).build());
    assert_eq!(world.sent_by(UPLINK), announced);
    assert_eq!(world.state(UPLINK, SERVER.v4), None);
    assert!(world.state(UPLINK, SERVER.v6).is_some() && world.state(NODES, NODE_A.v4).is_some());
}

#[test]
fn a_static_neighbour_takes_the_place_of_a_learned_one_and_the_other_way_round() {
    let mut world = lab_with(&[SERVER]);
    let fixed = "[[neighbor]]\nport = \"uplink\"\naddress = \"203.0.113.10\"\nmac = \"02:00:00:00:00:77\"\n";
    let route = "[[route]]\nto = \"198.51.100.0/24\"\nvia = \"203.0.113.10\"\n";
    world.reload(&(lab() + fixed));
    assert_eq!(world.state(UPLINK, SERVER.v4), Some((State::Static, Some([2, 0, 0, 0, 0, 0x77]))));
    world.reload(&(lab() + fixed + route));
    world.reload(&(lab() + route));
    let row = world.neighbor(UPLINK, SERVER.v4).expect("a route leads there");
    assert_eq!((row.state, row.router), (State::Incomplete, true));
    world.reload(&(lab() + fixed));
    world.reload(&lab());
    assert_eq!(world.state(UPLINK, SERVER.v4), None, "nobody needs it, and nobody says where it is");
}

/// The laboratory, where an API server knows the nodes.
fn sourced() -> String {
    let text = lab();
    let (before, _) = text.split_once("[[cluster.node]]").expect("nodes");
    before.to_owned() + "ports = [\"nodes\"]\nnodes-from = { in-cluster = true }\n"
}

/// The API server of the first cluster knows these nodes, each with a pod CIDR.
fn say_nodes(world: &mut World, nodes: &[(&str, &str)]) {
    let fact = |(name, pod_cidr): &(&str, &str)| NodeFact {
        name: (*name).to_owned(),
        addresses: vec![NODE_A.v4.to_owned()],
        pod_cidrs: vec![(*pod_cidr).to_owned()],
        ready: Ready::Ready,
        flaws: Vec::new(),
    };
    let all = Update::All(nodes.iter().map(fact).collect());
    world.control.update_nodes([(ClusterIdx(0), all), (ClusterIdx(0), Update::InStep)], world.now);
    world.settle();
}

#[test]
fn nodes_that_a_source_knows_stay_routed() {
    let sourced = sourced();
    let mut world = World::start(&sourced).started();
    say_nodes(&mut world, &[("n", "10.1.9.0/24")]);
    let routed = |world: &World| world.control.nodes().filter(|node| !node.routed.is_empty()).count();
    assert_eq!(routed(&world), 1);
    // A cluster before it, so that its place in the file is another.
    let port = "[[cluster]]\nname = \"aaa\"\nmodel = \"flat\"\npod-cidrs = [\"10.7.0.0/16\"]\negress = \"none\"\nports = [\"uplink\"]\n";
    world.reload(&sourced.replace("[[cluster]]", &format!("{port}[[cluster]]")));
    assert_eq!(routed(&world), 1);
    let source = |world: &World| world.control.node_sources().map(|row| row.state.is_ok()).collect::<Vec<_>>();
    assert_eq!(source(&world), [true]);
    // Its ranges no longer hold the node's; then they do again.
    world.reload(&sourced.replace("10.1.0.0/16", "10.2.0.0/16"));
    assert_eq!(routed(&world), 0);
    world.reload(&sourced.replace("in-cluster = true", "file = \"nodes.json\""));
    assert_eq!((routed(&world), source(&world)), (1, vec![false]), "the other source has not spoken yet");
    world.reload(&lab());
    assert_eq!(world.control.nodes().count(), 0);
}

#[test]
fn what_is_taken_back_has_the_nodes_that_it_had() {
    let routed = |world: &World| -> Vec<String> {
        world.control.nodes().flat_map(|node| node.routed).map(|(to, _)| to.to_string()).collect()
    };
    let source = |world: &World| world.control.node_sources().map(|row| row.state.is_ok()).collect::<Vec<_>>();
    let (bare, _) =
        lab().split_once("[[cluster]]").map(|(before, after)| (before.to_owned(), after.len())).expect("one");
    let another = sourced().replace("in-cluster = true", "file = \"nodes.json\"");
    for (trial, heard, expected, in_step) in [
        (bare, false, "10.1.9.0/24", false),
        // The other source has spoken in the meantime.
        (another.clone(), true, "10.1.9.0/24", false),
        (another, false, "10.1.9.0/24", false),
        // The same one has: what it said last counts.
        (sourced() + "non-masquerade-cidrs = [\"172.16.0.0/12\"]\n", true, "10.1.8.0/24", true),
    ] {
        let mut world = World::start(&sourced()).started();
        say_nodes(&mut world, &[("n", "10.1.9.0/24")]);
        let before = world.control.routes().collect::<Vec<_>>();
        let former = world.control.former();
        world.reload(&trial);
        if heard {
            say_nodes(&mut world, &[("n", "10.1.8.0/24")]);
        }
        world.take_back(former);
        assert_eq!((routed(&world), source(&world)), (vec![expected.to_owned()], vec![in_step]), "{trial}");
        if expected == "10.1.9.0/24" {
            assert_eq!(world.control.routes().collect::<Vec<_>>(), before, "{trial}");
        }
        say_nodes(&mut world, &[("n", "10.1.7.0/24")]);
        assert_eq!((routed(&world), source(&world)), (vec!["10.1.7.0/24".to_owned()], vec![true]));
    }
}

#[test]
fn what_is_only_looked_at_on_start_is_named() {
    let world = World::lab();
    for (from, to, expected) in [
        ("cores = [0]", "cores = [0, 1]", &["gateway: cores: 0 -> 0, 1"][..]),
        (
            "[gateway]",
            "[gateway]\nseed = 7\nidle = \"busy\"",
            &["gateway: idle: spin-then-poll -> busy", "gateway: seed: none -> 7"],
        ),
        (
            "device = \"eth1\"",
            "device = \"eth1\"\nring = 256\nmtu = 1400",
            &["port nodes: mtu: none -> 1400", "port nodes: ring: 1024 -> 256"],
        ),
        ("[[pool]]", "[[port]]\nname = \"more\"\ndevice = \"eth9\"\n[[pool]]", &["port more is new"]),
        ("name = \"uplink\"", "name = \"north\"", &["port north is new", "port uplink is gone"]),
        ("192.168.0.1/24", "192.168.0.5/24", &[]),
    ] {
        let text = lab();
        assert!(text.contains(from), "{from}");
        assert_eq!(world.restarts(&text.replacen(from, to, 1)), expected);
    }
}

#[test]
fn a_number_is_used_again_once_the_sessions_on_it_have_ended() {
    let mut world = lab_with(&[NODE_A, SERVER]);
    let mut domains = Vec::new();
    for name in ["red", "green", "blue", "red"] {
        world.reload(&lab().replace("\"blue\"", &format!("\"{name}\"")));
        assert_eq!(world.send(NODES, NODE_A.udp("10.1.1.10", "203.0.113.10").build()), Verdict::Forward(UPLINK));
        assert_eq!(world.forwarder.sessions(), (1, 0), "that of the cluster before has ended");
        domains.push(world.snapshot.ports[NODES.index()].vrf);
    }
    // Two take turns: what one leaves is the next one's but one.
    assert_eq!(domains, [2, 1, 2, 1].map(VrfId));
    assert_eq!(world.snapshot.ports[PortId(1).index()].vrf, VrfId::MAIN);
}
