//! Who may begin to speak with whom.

use causeway_control::config::{Config, PortIdx};
use causeway_fastpath::ids::PortId;
use causeway_fastpath::verdict::{DropReason, Verdict};
use causeway_testkit::packet::*;

use crate::sites::{ONE, OTHER, OUTSIDE, UPLINK, acquainted, from_node, from_router, source, to_node, to_router};
use crate::world::{World, own_mac};

/// On node .11 of either cluster.
const RED_POD: &str = "10.1.0.5";
const BLUE_POD: &str = "10.2.0.7";
/// On the subnet of the uplink.
const SERVER: &str = "203.0.113.10";

/// Clusters of these models, red and blue, and policies: from, to, action.
fn text(models: [&str; 2], egress: &str, policies: &[(&str, &str, &str)]) -> String {
    let port = |name: &str, address: &str| {
        format!("[[port]]\nname = \"{name}\"\ndriver = \"memory\"\naddresses = [\"{address}/24\"]\n")
    };
    let cluster = |name: &str, model: &str, n: u8| {
        let egress = if model == "isolated" { String::new() } else { format!("egress = \"{egress}\"\n") };
        format!(
            "[[cluster]]\nname = \"{name}\"\nmodel = \"{model}\"\npod-cidrs = [\"10.{n}.0.0/16\"]\n{egress}\
             [[cluster.node]]\nname = \"a\"\naddress = \"192.168.{n}.11\"\n"
        )
    };
    let policies: String = policies
        .iter()
        .map(|(from, to, action)| format!("[[policy]]\nfrom = [\"{from}\"]\nto = [\"{to}\"]\naction = \"{action}\"\n"))
        .collect();
    format!(
        "gateway.name = \"gw\"\n{}{}{}[[route]]\nto = \"0.0.0.0/0\"\nvia = \"203.0.113.1\"\n\
         [[pool]]\nname = \"egress\"\naddresses = [\"203.0.113.16/29\"]\n{}{}{policies}",
        port("red", "192.168.1.1"),
        port("blue", "192.168.2.1"),
        port("uplink", "203.0.113.2"),
        cluster("red", models[0], 1),
        cluster("blue", models[1], 2),
    )
}

fn gateway(models: [&str; 2], egress: &str, policies: &[(&str, &str, &str)]) -> World {
    acquainted(World::start(&text(models, egress, policies)))
}

/// A place that packets come from and go to: its port and links, and an address there.
type Place = (PortId, fn() -> (Eth, Eth), &'static str);

const RED: Place = (ONE, || (from_node(ONE, 11), to_node(ONE, 11)), RED_POD);
const BLUE: Place = (OTHER, || (from_node(OTHER, 11), to_node(OTHER, 11)), BLUE_POD);
const RED_NODE: Place = (ONE, || (from_node(ONE, 11), to_node(ONE, 11)), "192.168.1.11");
const BLUE_NODE: Place = (OTHER, || (from_node(OTHER, 11), to_node(OTHER, 11)), "192.168.2.11");
const INTERNET: Place = (UPLINK, || (from_router(), to_router()), OUTSIDE);
const NEIGHBOR: Place = (UPLINK, || (from_router(), to_router()), SERVER);

/// What one sends arrives at the other, changed in TTL and MACs alone.
#[track_caller]
fn passes(world: &mut World, from: Place, to: Place, packet: impl Fn(Ip) -> Vec<u8>) {
    world.send(from.0, packet(from.1().0.ip(from.2, to.2).ttl(64)));
    world.expect(to.0, &[packet(to.1().1.ip(from.2, to.2).ttl(63))]);
}

/// One begins with the other, and is answered, and told of errors.
#[track_caller]
fn converse(world: &mut World, from: Place, to: Place) {
    passes(world, from, to, |ip| ip.tcp(5_000, 80).flags(SYN).build());
    passes(world, to, from, |ip| ip.tcp(80, 5_000).flags(SYN | ACK).build());
    passes(world, from, to, |ip| ip.tcp(5_000, 80).flags(ACK).build());
    passes(world, from, to, |ip| ip.udp(5_000, 53).build());
    let asked = eth().ipv4(from.2, to.2).udp(5_000, 53).packet();
    passes(world, to, from, |ip| ip.icmp_error(3, 3, [0; 4], &asked).build());
}

/// Who begins inside is told that it may not.
#[track_caller]
fn is_told(world: &mut World, from: Place, to: Place) {
    let sent = world.send(from.0, from.1().0.ipv4(from.2, to.2).tcp(6_000, 80).flags(SYN).build());
    assert_eq!(sent, Verdict::Reply(from.0));
    assert_eq!(world.sent_by(from.0)[0][34..36], [3, 13], "administratively prohibited");
}

#[track_caller]
fn is_dropped(world: &mut World, from: Place, to: Place, reason: DropReason) {
    let sent = world.send(from.0, from.1().0.ipv4(from.2, to.2).tcp(6_000, 80).flags(SYN).build());
    assert_eq!(sent, Verdict::Drop(reason));
    world.expect_silence();
}

#[test]
fn an_island_that_is_let_into_another_is_answered_and_not_entered() {
    for models in [["island", "island"], ["isolated", "island"], ["island", "isolated"], ["isolated", "isolated"]] {
        let mut world = gateway(models, "egress", &[("red", "blue", "allow")]);
        converse(&mut world, RED, BLUE);
        converse(&mut world, RED, BLUE_NODE);
        let begun = world.send(OTHER, from_node(OTHER, 11).ipv4(BLUE_POD, RED_POD).udp(1, 2).build());
        assert_eq!(begun, Verdict::Reply(OTHER), "the other direction is not let: {models:?}");
        world.sent();
        assert_eq!(world.forwarder.sessions(), (4, 0));
    }
}

#[test]
fn without_a_policy_neither_islands_nor_isolated_clusters_meet() {
    for models in [["island", "island"], ["isolated", "island"], ["isolated", "isolated"]] {
        let mut world = gateway(models, "egress", &[]);
        for (from, to) in [(RED, BLUE), (BLUE, RED)] {
            let sent = world.send(from.0, from.1().0.ipv4(from.2, to.2).udp(1, 2).build());
            assert_eq!(sent, Verdict::Reply(from.0), "{models:?}");
            world.sent();
        }
        assert_eq!(world.forwarder.sessions(), (0, 0));
    }
}

#[test]
fn where_pods_have_the_same_addresses_the_nodes_are_reached_and_translated() {
    let text = text(["island", "island"], "egress", &[("red", "blue", "allow")]).replace("10.2.0.0", "10.1.0.0");
    let (_, warnings) = Config::parse("t.toml", &text).expect("it is accepted");
    assert!(warnings[0].to_string().contains("shares pod addresses with cluster \"red\""), "{warnings:?}");
    let mut world = acquainted(World::start(&text));
    world.send(ONE, from_node(ONE, 11).ipv4(RED_POD, "192.168.2.11").ttl(64).tcp(5_000, 22).flags(SYN).build());
    let (asker, port) = source(&world.sent_by(OTHER).remove(0));
    assert_eq!(asker.octets()[..3], [203, 0, 113], "a name of the pool");
    let answer = from_node(OTHER, 11).ipv4("192.168.2.11", asker).ttl(64).tcp(22, port).flags(SYN | ACK).build();
    world.send(OTHER, answer);
    let answered = to_node(ONE, 11).ipv4("192.168.2.11", RED_POD).ttl(63).tcp(22, 5_000).flags(SYN | ACK).build();
    world.expect(ONE, &[answered]);
}

#[test]
fn a_flat_cluster_that_is_denied_another_still_answers_it() {
    for egress in ["egress", "none"] {
        let mut world = gateway(["flat", "flat"], egress, &[("red", "blue", "deny")]);
        is_told(&mut world, RED, BLUE);
        is_told(&mut world, RED, BLUE_NODE);
        converse(&mut world, BLUE, RED);
        assert_eq!(world.forwarder.sessions(), (2, 0), "tracked, for the answers' sake");
        // What the policy is not about goes as ever.
        passes(&mut world, BLUE, RED_NODE, |ip| ip.gre(0x88b5, b"x").build());
        passes(&mut world, RED_NODE, BLUE, |ip| ip.gre(0x88b5, b"x").build());
        passes(&mut world, RED, NEIGHBOR, |ip| ip.gre(0x88b5, b"x").build());
        passes(&mut world, NEIGHBOR, RED, |ip| ip.gre(0x88b5, b"x").build());
        assert_eq!(world.forwarder.sessions(), (2, 0));
        world.send(ONE, from_node(ONE, 11).ipv4(RED_POD, OUTSIDE).udp(1, 2).build());
        let name = source(&world.sent_by(UPLINK).remove(0)).0.to_string();
        assert_eq!(name == RED_POD, egress == "none", "{name}");
    }
}

#[test]
fn flat_clusters_that_no_policy_is_about_stay_in_their_table() {
    let third = "[[port]]\nname = \"third\"\ndriver = \"memory\"\naddresses = [\"192.168.3.1/24\"]\n\
         [[cluster]]\nname = \"green\"\nmodel = \"flat\"\npod-cidrs = [\"10.3.0.0/16\"]\negress = \"EGRESS\"\n\
         [[cluster.node]]\nname = \"a\"\naddress = \"192.168.3.11\"\n";
    for (egress, table) in [("egress", "flat"), ("none", "main")] {
        let text = text(["flat", "flat"], egress, &[("red", "198.51.100.0/24", "deny")]);
        let mut world = acquainted(World::start(&(text + &third.replace("EGRESS", egress))));
        let names: Vec<_> = (0..4).map(|port| world.control.domain_of(PortIdx(port)).to_owned()).collect();
        assert_eq!(names, ["red", table, "main", table]);
        is_told(&mut world, RED, INTERNET);
        // Those who share no table pass all the same, untracked.
        passes(&mut world, RED, BLUE, |ip| ip.gre(0x88b5, b"x").build());
        passes(&mut world, BLUE, RED, |ip| ip.gre(0x88b5, b"x").build());
        assert_eq!(world.forwarder.sessions(), (0, 0));
    }
}

#[test]
fn an_isolated_cluster_is_let_out_to_what_is_said_under_its_own_addresses() {
    let mut world = gateway(["isolated", "island"], "egress", &[("red", "198.51.100.0/24", "allow")]);
    converse(&mut world, RED, INTERNET);
    is_told(&mut world, RED, NEIGHBOR);
    is_dropped(&mut world, INTERNET, RED, DropReason::ModelIsolated);
}

#[test]
fn an_island_is_opened_to_whom_a_policy_names_and_to_nobody_else() {
    for model in ["island", "isolated"] {
        let mut world =
            gateway([model, "flat"], "egress", &[("198.51.100.0/24", "red", "allow"), ("blue", "red", "allow")]);
        converse(&mut world, INTERNET, RED);
        converse(&mut world, BLUE, RED);
        let reason = if model == "island" { DropReason::NatUnsolicited } else { DropReason::ModelIsolated };
        is_dropped(&mut world, NEIGHBOR, RED, reason);
    }
}

#[test]
fn a_denied_destination_is_denied_and_others_are_translated_as_ever() {
    let mut world = gateway(["island", "island"], "egress", &[("red", "198.51.100.0/24", "deny")]);
    is_told(&mut world, RED, INTERNET);
    assert_eq!(world.send(ONE, from_node(ONE, 11).ipv4(RED_POD, SERVER).udp(1, 2).build()), Verdict::Forward(UPLINK));
    let other = from_node(OTHER, 11).ipv4(BLUE_POD, OUTSIDE).udp(1, 2).build();
    assert_eq!(world.send(OTHER, other), Verdict::Forward(UPLINK));
    world.sent();
    // Nodes are not pods.
    passes(&mut world, RED_NODE, INTERNET, |ip| ip.udp(1, 2).build());
}

#[test]
fn who_is_kept_out_of_a_flat_cluster_answers_it_and_the_internet_sees_a_name() {
    let mut world = gateway(["flat", "island"], "egress", &[("0.0.0.0/0", "red", "deny")]);
    is_dropped(&mut world, INTERNET, RED, DropReason::PolicyDenied);
    is_dropped(&mut world, NEIGHBOR, RED, DropReason::PolicyDenied);
    converse(&mut world, RED, NEIGHBOR);
    world.send(ONE, from_node(ONE, 11).ipv4(RED_POD, OUTSIDE).ttl(64).udp(1, 53).build());
    let (name, port) = source(&world.sent_by(UPLINK).remove(0));
    assert_ne!(name.to_string(), RED_POD);
    world.send(UPLINK, from_router().ipv4(OUTSIDE, name).ttl(64).udp(53, port).build());
    world.expect(ONE, &[to_node(ONE, 11).ipv4(OUTSIDE, RED_POD).ttl(63).udp(53, 1).build()]);
}

/// An "allow" is of one direction; of the other one the models say what they said.
#[test]
fn what_is_allowed_one_way_stays_as_it_was_the_other_way() {
    for (policy, others) in [
        (("red", "blue", "allow"), [(BLUE, RED), (BLUE_NODE, RED)]),
        (("203.0.113.0/24", "red", "allow"), [(RED, NEIGHBOR), (NEIGHBOR, RED)]),
        (("0.0.0.0/0", "0.0.0.0/0", "allow"), [(RED, NEIGHBOR), (BLUE, RED)]),
        (("red", "0.0.0.0/0", "allow"), [(NEIGHBOR, RED), (BLUE, RED)]),
    ] {
        for egress in ["egress", "none"] {
            let mut world = gateway(["flat", "flat"], egress, &[policy]);
            for (from, to) in others {
                converse(&mut world, from, to);
            }
        }
    }
}

#[test]
fn nodes_begin_with_a_flat_cluster_whatever_policies_say_of_pods() {
    let policies = [
        ("red", "blue", "deny"),
        ("red", "blue", "allow"),
        ("red", "0.0.0.0/0", "deny"),
        ("10.1.0.0/16", "blue", "deny"),
        ("10.1.0.0/16", "192.168.0.0/16", "deny"),
    ];
    for policy in policies {
        for model in ["flat", "island", "isolated"] {
            let mut world = gateway(["flat", model], "egress", &[policy]);
            converse(&mut world, BLUE_NODE, RED);
        }
    }
}

#[test]
fn a_flat_cluster_that_is_let_out_keeps_its_name_inside() {
    let mut world = gateway(["flat", "flat"], "egress", &[("red", "0.0.0.0/0", "allow")]);
    converse(&mut world, RED, BLUE);
    converse(&mut world, RED, NEIGHBOR);
    passes(&mut world, RED, NEIGHBOR, |ip| ip.gre(0x88b5, b"x").build());
    world.send(ONE, from_node(ONE, 11).ipv4(RED_POD, OUTSIDE).ttl(64).udp(1, 53).build());
    assert_ne!(source(&world.sent_by(UPLINK).remove(0)).0.to_string(), RED_POD);
    let both = [("203.0.113.10/32", "red", "deny"), ("red", "0.0.0.0/0", "allow")];
    for egress in ["egress", "none"] {
        let mut world = gateway(["flat", "flat"], egress, &both);
        converse(&mut world, RED, NEIGHBOR);
        is_dropped(&mut world, NEIGHBOR, RED, DropReason::PolicyDenied);
    }
}

/// BCP 38: a policy about a prefix makes nobody believed that sends as one of it.
#[test]
fn who_is_not_of_a_cluster_is_not_believed_there_whatever_a_policy_names() {
    for egress in ["egress", "none"] {
        for policies in [
            [("203.0.113.10/32", "0.0.0.0/0", "deny"), ("198.51.100.0/24", "0.0.0.0/0", "allow")],
            [("198.51.100.0/24", "red", "allow"), ("198.51.100.0/24", "blue", "allow")],
        ] {
            let mut world = gateway(["flat", "flat"], egress, &policies);
            for to in [SERVER, OUTSIDE, BLUE_POD] {
                let sent = world.send(ONE, from_node(ONE, 11).ipv4(OUTSIDE, to).ttl(64).udp(1, 2).build());
                assert!(matches!(sent, Verdict::Drop(_)), "{policies:?} {to}: {sent:?}");
            }
            assert_eq!(world.forwarder.sessions(), (0, 0));
            world.expect_silence();
        }
    }
}

#[test]
fn the_first_policy_that_is_about_a_flow_counts() {
    let policies = [("203.0.113.10/32", "red", "allow"), ("0.0.0.0/0", "10.1.0.0/24", "deny")];
    let mut world = gateway(["flat", "flat"], "none", &policies);
    converse(&mut world, NEIGHBOR, RED);
    is_dropped(&mut world, INTERNET, RED, DropReason::PolicyDenied);
    let mut world = gateway(["flat", "flat"], "none", &[policies[1], policies[0]]);
    is_dropped(&mut world, NEIGHBOR, RED, DropReason::PolicyDenied);
    // Beyond the denied prefix the model stands.
    let other: Place = (ONE, || (from_node(ONE, 11), to_node(ONE, 11)), "10.1.1.5");
    let sent = world.send(UPLINK, from_router().ipv4(SERVER, other.2).udp(1, 2).build());
    assert_eq!(sent, Verdict::Reply(UPLINK), "no node has it, and nobody denies it");
}

/// Nobody knows yet which of two workers such a flow would belong to.
#[test]
fn clusters_that_meet_inside_take_one_core() {
    let refused = |models, policies| {
        let text = text(models, "egress", policies)
            .replace("gateway.name = \"gw\"", "gateway = { name = \"gw\", cores = [0, 1] }");
        Config::parse("t.toml", &text).err().map(|errors| errors.to_string())
    };
    assert_eq!(refused(["island", "island"], &[]), None);
    assert_eq!(refused(["island", "island"], &[("red", "198.51.100.0/24", "deny")]), None);
    let met = [
        refused(["island", "island"], &[("red", "blue", "allow")]),
        refused(["flat", "island"], &[]),
        refused(["isolated", "flat"], &[("blue", "red", "allow")]),
    ];
    for met in met {
        let met = met.expect("it is refused");
        assert!(met.contains("t.toml:1:34: gateway.cores: names several cores, and "), "{met}");
        assert!(met.contains("take one core in this version"), "{met}");
    }
}

/// `configs/policies.toml` by its comments: nodes .11 on ports 0 to 3, hosts on port 4.
#[test]
fn the_commented_file_does_what_its_comments_say() {
    let mut world = World::load("policies.toml");
    let mac = |port: u16, last: u8| [2, 0, 0, 0, 4 + port as u8, last];
    let hosts = ["203.0.113.1", "203.0.113.9", "203.0.113.10", "203.0.113.30"];
    let link = |port: u16| eth().src(mac(port, 11)).dst(own_mac(PortId(port)));
    for port in 0..4 {
        let (address, own) = (format!("192.168.{}.11", port + 1), format!("192.168.{}.1", port + 1));
        world.send(PortId(port), link(port).arp_request(address.as_str(), own.as_str()).build());
    }
    for host in hosts {
        world.send(PortId(4), link(4).arp_request(host, "203.0.113.2").build());
    }
    let mut world = world.started();
    let [shop, data, tools, lab] = ["10.1.0.5", "10.2.0.5", "10.3.0.5", "10.4.0.5"];
    let place = |address: &str| {
        let pods = [shop, data, tools, lab].iter().position(|pod| *pod == address);
        PortId(pods.unwrap_or(4) as u16)
    };
    // Who begins, with whom, and whether that arrives under its own address.
    for (at, (from, to, arrives)) in [
        (shop, data, true),
        (data, shop, false),
        (data, "203.0.113.10", true),
        (data, "203.0.113.9", false),
        ("203.0.113.10", data, false),
        ("203.0.113.30", shop, true),
        ("203.0.113.9", shop, false),
        (lab, tools, false),
        (tools, lab, true),
        ("203.0.113.9", lab, true),
        ("203.0.113.30", lab, false),
        (lab, "203.0.113.30", true),
        ("203.0.113.30", tools, true),
        (shop, lab, false),
    ]
    .into_iter()
    .enumerate()
    {
        let port = 1_000 + at as u16;
        let (come, go) = (place(from), place(to));
        let asked = link(come.0).ip(from, to).tcp(port, 80).flags(SYN).build();
        let verdict = world.send(come, asked);
        assert_eq!(verdict == Verdict::Forward(go), arrives, "{from} > {to}: {verdict:?}");
        world.sent();
        if arrives {
            let answer = link(go.0).ip(to, from).tcp(80, port).flags(SYN | ACK).build();
            assert_eq!(world.send(go, answer), Verdict::Forward(come), "{to} answers {from}");
            let out = world.sent_by(come).remove(0);
            assert_eq!(source(&out), (to.parse().expect("an address"), 80));
        }
    }
}
