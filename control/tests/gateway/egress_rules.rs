//! Pods that leave under pools of their own: the tables that follow from rules and pods.

use std::sync::Arc;

use causeway_control::api::{Answer, EgressView, PodSourceView, render};
use causeway_control::config::ClusterIdx;
use causeway_control::feed::Update;
use causeway_control::pods::{NamespaceFact, PodFact, PodName, Selectors};
use causeway_fastpath::ids::{PoolId, VrfId};
use causeway_fastpath::nat::EgressAction;
use causeway_fastpath::snapshot::Snapshot;
use causeway_testkit::packet::*;

use crate::world::World;

const ISLAND: VrfId = VrfId(1);
const CLUSTER: ClusterIdx = ClusterIdx(0);

/// An island with two pools beside its own, "rest", and these rules; more at the end.
fn island(cluster: &str, rules: &str, more: &str) -> String {
    format!(
        r#"
gateway.name = "gw"
[[port]]
name = "nodes"
driver = "memory"
addresses = ["192.168.0.1/24", "fd00:a::1/64"]
[[port]]
name = "uplink"
driver = "memory"
addresses = ["203.0.113.2/24", "2001:db8:1::2/64"]
[[pool]]
name = "rest"
addresses = ["203.0.113.16", "2001:db8:1::16"]
[[pool]]
name = "partners"
addresses = ["203.0.113.17", "2001:db8:1::17"]
[[pool]]
name = "four"
addresses = ["203.0.113.18"]
[[cluster]]
name = "blue"
model = "island"
pod-cidrs = ["10.1.0.0/16", "fd00:10::/56"]
ports = ["nodes"]
egress = "rest"
{cluster}
{rules}
{more}
"#
    )
}

fn gateway(cluster: &str, rules: &str, more: &str) -> World {
    World::start(&island(cluster, rules, more))
}

fn rule(lines: &str) -> String {
    format!("[[cluster.egress-rule]]\n{lines}\n")
}

/// What becomes of a flow that leaves the island.
fn action(world: &World, src: &str, dst: &str) -> EgressAction {
    let Snapshot { v4, v6, .. } = &*world.snapshot;
    let rule = match (src.to_ip(), dst.to_ip()) {
        (std::net::IpAddr::V4(src), std::net::IpAddr::V4(dst)) => {
            v4.egress_rule(ISLAND, src.to_bits(), dst.to_bits()).map(|rule| rule.action)
        }
        (std::net::IpAddr::V6(src), std::net::IpAddr::V6(dst)) => {
            v6.egress_rule(ISLAND, src.to_bits(), dst.to_bits()).map(|rule| rule.action)
        }
        _ => panic!("of two families"),
    };
    rule.expect("a rule for everybody stands last")
}

/// Translated to an address of this pool.
fn pool(number: u16) -> EgressAction {
    EgressAction::Translate(PoolId(number))
}

#[test]
fn the_first_rule_about_a_pod_and_where_it_sends_to_counts() {
    let rules = [
        rule("from = [\"10.1.7.0/24\"]\nto = [\"198.51.100.0/24\"]\npool = \"four\""),
        rule("from = [\"10.1.7.0/24\", \"fd00:10:0:7::/64\"]\npool = \"partners\""),
    ];
    let world = gateway("", &rules.concat(), "");
    for (src, dst, expected) in [
        ("10.1.7.5", "198.51.100.9", pool(2)),
        ("10.1.7.5", "8.8.8.8", pool(1)),
        ("10.1.8.5", "198.51.100.9", pool(0)),
        ("fd00:10:0:7::5", "2001:db8:9::9", pool(1)),
        ("fd00:10:0:8::5", "2001:db8:9::9", pool(0)),
    ] {
        assert_eq!(action(&world, src, dst), expected, "{src} > {dst}");
    }
}

#[test]
fn a_rule_is_of_the_families_that_its_pool_has() {
    let world = gateway("", &rule("from = [\"10.1.7.0/24\", \"fd00:10:0:7::/64\"]\npool = \"four\""), "");
    assert_eq!(action(&world, "10.1.7.5", "8.8.8.8"), pool(2));
    assert_eq!(action(&world, "fd00:10:0:7::5", "2001:db8:9::9"), pool(0), "as if it were not there");
}

#[test]
fn exemptions_come_before_rules_and_policies_let_them_be() {
    let lines = rule("from = [\"10.1.7.0/24\"]\npool = \"partners\"");
    let policies = "[[policy]]\nfrom = [\"blue\"]\nto = [\"198.51.100.0/24\"]\n\
                    [[policy]]\naction = \"deny\"\nfrom = [\"blue\"]\nto = [\"198.51.0.0/16\"]\n";
    let world = gateway("non-masquerade-cidrs = [\"172.16.0.0/12\"]", &lines, policies);
    assert_eq!(action(&world, "10.1.7.5", "172.16.0.1"), EgressAction::Track);
    assert_eq!(action(&world, "10.1.7.5", "198.51.100.9"), pool(1), "what is allowed leaves by the rule");
    assert_eq!(action(&world, "10.1.8.5", "198.51.100.9"), pool(0));
    assert!(matches!(action(&world, "10.1.7.5", "198.51.7.9"), EgressAction::Drop(_)), "denied");
}

fn pod(name: &str, app: &str, addresses: [&str; 2]) -> PodFact {
    PodFact {
        name: PodName { namespace: "shop".into(), name: name.into() },
        labels: [("app".to_owned(), app.to_owned())].into(),
        addresses: addresses.map(ToIp::to_ip).to_vec(),
        host_network: false,
        finished: false,
    }
}

#[test]
fn who_is_selected_follows_the_pods_and_nothing_else_changes() {
    let rules = rule("pod-selector = \"app=web\"\npool = \"partners\"");
    let mut world = gateway("pods-from = { in-cluster = true }", &rules, "");
    let (a, b) = (["10.1.7.5", "fd00:10:0:7::5"], ["10.1.7.6", "fd00:10:0:7::6"]);
    let outside = ["8.8.8.8", "2001:db8:9::9"];
    let names = |world: &World, pod: [&str; 2]| [0, 1].map(|at| action(world, pod[at], outside[at]));
    assert_eq!(names(&world, a), [pool(0); 2], "nobody has said who is who");

    let selectors = Selectors::of(&world.control.config().clusters[0]);
    let chosen = |pod: &PodFact| selectors.choose(pod).expect("it is chosen");
    let before = Arc::clone(&world.snapshot);
    world.control.update_pods([(CLUSTER, Update::All(vec![chosen(&pod("a", "web", a))]))], [], world.now);
    world.settle();
    assert_eq!((names(&world, a), names(&world, b)), ([pool(1); 2], [pool(0); 2]));
    assert!(Arc::ptr_eq(&before.v4.egress, &world.snapshot.v4.egress));
    assert!(before.v4.fibs.iter().zip(&world.snapshot.v4.fibs).all(|(one, other)| Arc::ptr_eq(one, other)));
    assert!(Arc::ptr_eq(&before.v4.selected[0], &world.snapshot.v4.selected[0]), "of the other domain");

    let shown = Answer::Egress {
        rules: EgressView::all(&world.control),
        sources: PodSourceView::all(&world.control, world.now),
    };
    let expected = "\
CLUSTER  FROM          PODS  TO          POOL      ADDRESSES
blue     pods app=web     1  everywhere  partners  203.0.113.17/32,2001:db8:1::17/128
blue     all others       -  everywhere  rest      203.0.113.16/32,2001:db8:1::16/128
blue: pods from kubernetes, away for 0s: not reached yet
";
    assert_eq!(render(&shown, false), expected);

    let epoch = world.snapshot.epoch;
    world.control.update_pods([(CLUSTER, Update::One(chosen(&pod("a", "web", a))))], [], world.now);
    world.settle();
    assert_eq!(world.snapshot.epoch, epoch, "it is as it was: no new tables");
    world.control.update_pods([(CLUSTER, Update::Gone(pod("a", "web", a).name))], [], world.now);
    world.settle();
    assert_eq!(names(&world, a), [pool(0); 2]);
}

/// Their sources say the same again some time later, if they can be reached.
#[test]
fn pods_stay_selected_when_other_rules_come_and_go() {
    let web = rule("pod-selector = \"app=web\"\npool = \"partners\"");
    let other = rule("pod-selector = \"app=db\"\npool = \"four\"");
    let source = "pods-from = { in-cluster = true }";
    let mut world = gateway(source, &web, "");
    let selectors = Selectors::of(&world.control.config().clusters[0]);
    let chosen = selectors.choose(&pod("a", "web", ["10.1.7.5", "fd00:10:0:7::5"])).expect("a rule is about it");
    world.control.update_pods([(CLUSTER, Update::All(vec![chosen]))], [], world.now);
    world.settle();
    let partners = action(&world, "10.1.7.5", "8.8.8.8");
    assert_eq!(partners, pool(1));
    for rules in [format!("{other}{web}"), web.clone(), format!("{web}{other}")] {
        world.reload(&island(source, &rules, ""));
        assert_eq!(action(&world, "10.1.7.5", "8.8.8.8"), partners, "{rules}");
    }
    world.reload(&island(source, &other, ""));
    assert_eq!(action(&world, "10.1.7.5", "8.8.8.8"), pool(0));
}

#[test]
fn what_is_taken_back_has_the_pods_that_it_had() {
    let web = rule("pod-selector = \"app=web\"\npool = \"partners\"");
    let other = rule("pod-selector = \"app=db\"\npool = \"four\"");
    let of_spaces = rule("namespace-selector = \"team=web\"\npool = \"partners\"");
    let source = "pods-from = { in-cluster = true }";
    let bare = |text: String| text.split_once("[[cluster]]").map(|(before, _)| before.to_owned()).expect("a cluster");
    let (a, b) = (["10.1.7.5", "fd00:10:0:7::5"], ["10.1.7.6", "fd00:10:0:7::6"]);
    let say = |world: &mut World, addresses| {
        let selectors = Selectors::of(&world.control.config().clusters[0]);
        let shop = NamespaceFact { name: "shop".into(), labels: [("team".to_owned(), "web".to_owned())].into() };
        let pods = selectors.choose(&pod("a", "web", addresses)).into_iter().collect();
        let namespaces = selectors.choose_namespace(&shop).into_iter().collect();
        world.control.update_pods([(CLUSTER, Update::All(pods))], [(CLUSTER, Update::All(namespaces))], world.now);
        world.settle();
    };
    for rules in [&web, &of_spaces] {
        for (trial, expected) in [
            (bare(island("", "", "")), a),
            (island(source, "", ""), a),
            (island(source, &other, ""), a),
            (island("pods-from = { file = \"pods.json\" }", rules, ""), a),
            (island(&format!("{source}\nnon-masquerade-cidrs = [\"172.16.0.0/12\"]"), rules, ""), b),
        ] {
            let mut world = gateway(source, rules, "");
            say(&mut world, a);
            assert_eq!(action(&world, a[0], "8.8.8.8"), pool(1));
            let former = world.control.former();
            world.reload(&trial);
            if !world.control.config().clusters.is_empty() {
                say(&mut world, b);
            }
            world.take_back(former);
            let chosen = [a, b].map(|addresses| action(&world, addresses[0], "8.8.8.8") == pool(1));
            assert_eq!(chosen, [expected == a, expected == b], "{trial}");
        }
    }
}
