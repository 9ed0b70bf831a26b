//! What sources say of pods, and which addresses are selected by that.

use causeway_fastpath::nat::Selections;
use causeway_fastpath::time::Instant;

use super::*;
use crate::config::{ClusterIdx, Config};
use crate::domains::Domains;
use crate::feed::Update;

const CLUSTER: ClusterIdx = ClusterIdx(0);

/// A cluster in which the rules select pods like this, in this order.
fn config(rules: &[&str]) -> Config {
    let rules: String = rules.iter().map(|rule| format!("[[cluster.egress-rule]]\n{rule}\npool = \"p\"\n")).collect();
    let text = format!(
        "gateway.name = \"g\"\n[[port]]\nname = \"nodes\"\ndriver = \"memory\"\naddresses = [\"192.168.0.1/24\"]\n\
         [[port]]\nname = \"out\"\ndriver = \"memory\"\naddresses = [\"203.0.113.2/24\"]\n\
         [[pool]]\nname = \"p\"\naddresses = [\"203.0.113.1\"]\n\
         [[cluster]]\nname = \"c\"\nmodel = \"island\"\npod-cidrs = [\"10.1.0.0/16\"]\nports = [\"nodes\"]\n\
         egress = \"p\"\npods-from = {{ file = \"f\" }}\n{rules}"
    );
    Config::parse("t.toml", &text).unwrap_or_else(|errors| panic!("{errors}")).0
}

fn labels(text: &str) -> Labels {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn pod(namespace: &str, name: &str, has: &str, address: &str) -> PodFact {
    PodFact {
        name: PodName { namespace: namespace.into(), name: name.into() },
        labels: labels(has),
        addresses: vec![address.parse().expect("an address")],
        host_network: false,
        finished: false,
    }
}

fn namespace(name: &str, has: &str) -> NamespaceFact {
    NamespaceFact { name: name.into(), labels: labels(has) }
}

/// A source that knows a cluster, and what follows.
struct World {
    config: Config,
    selectors: Selectors,
    pods: Pods,
}

impl World {
    fn new(rules: &[&str]) -> World {
        let config = config(rules);
        World { selectors: Selectors::of(&config.clusters[0]), pods: Pods::new(&config, Instant::ZERO), config }
    }

    fn say(&mut self, update: PodUpdate) {
        self.pods.update_pods(CLUSTER, update, Instant::ZERO);
    }

    fn say_all(&mut self, pods: &[PodFact]) {
        let chosen = pods.iter().filter_map(|pod| self.selectors.choose(pod)).collect();
        self.say(Update::All(chosen));
    }

    fn say_namespaces(&mut self, namespaces: &[NamespaceFact]) {
        let chosen = namespaces.iter().filter_map(|one| self.selectors.choose_namespace(one)).collect();
        self.pods.update_namespaces(CLUSTER, Update::All(chosen), Instant::ZERO);
    }

    /// Who is selected now, by the last byte of the address; `None`: nothing can have changed.
    fn selected(&mut self) -> Option<Vec<(u8, u64)>> {
        let found = self.pods.reconcile(&self.config, &Domains::of(&self.config));
        let last = |address: &IpAddr| match address {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[15],
        };
        found.first().map(|(_, hosts)| hosts.iter().map(|(address, Selections(by))| (last(address), *by)).collect())
    }

    fn counts(&self) -> [usize; 2] {
        let counts = self.pods.counts(&self.config, CLUSTER);
        [counts[0], counts[1]]
    }
}

#[test]
fn a_pod_is_selected_by_all_that_it_fits() {
    let mut world = World::new(&["namespace = \"shop\"", "pod-selector = \"app=web\""]);
    world.say_all(&[
        pod("shop", "a", "app=web", "10.1.0.1"),
        pod("shop", "b", "", "10.1.0.2"),
        pod("bank", "c", "app=web", "10.1.0.3"),
        pod("bank", "d", "app=db", "10.1.0.4"),
    ]);
    assert_eq!(world.selected(), Some(vec![(3, 0b10), (1, 0b11), (2, 0b01)]));
    assert_eq!(world.counts(), [2, 2]);
    assert_eq!(world.selected(), None, "nothing has been said since");
}

#[test]
fn who_has_no_address_of_its_own_is_not_meant() {
    let mut world = World::new(&["namespace = \"shop\""]);
    let mut host = pod("shop", "a", "", "10.1.0.1");
    host.host_network = true;
    let mut finished = pod("shop", "b", "", "10.1.0.2");
    finished.finished = true;
    let mut early = pod("shop", "c", "", "10.1.0.3");
    early.addresses.clear();
    world.say_all(&[host, finished, early, pod("shop", "d", "", "192.168.0.4"), pod("shop", "e", "", "10.1.0.5")]);
    assert_eq!(world.selected(), Some(vec![(5, 1)]), "nor who lives where no pod does");
    assert_eq!(world.counts()[0], 1);
}

#[test]
fn labels_that_change_move_a_pod_and_one_that_goes_is_forgotten() {
    let mut world = World::new(&["pod-selector = \"tier=a\"", "pod-selector = \"tier=b\""]);
    let choose = |world: &World, has: &str| world.selectors.choose(&pod("x", "p", has, "10.1.0.1"));
    let one = choose(&world, "tier=a").expect("it fits");
    world.say(Update::One(one.clone()));
    assert_eq!(world.selected(), Some(vec![(1, 0b01)]));
    world.say(Update::One(one));
    assert_eq!(world.selected(), None, "it is as it was");
    let other = choose(&world, "tier=b").expect("it fits");
    world.say(Update::One(other.clone()));
    assert_eq!(world.selected(), Some(vec![(1, 0b10)]));
    assert_eq!(choose(&world, "tier=c"), None);
    world.say(Update::Gone(other.name));
    assert_eq!(world.selected(), Some(Vec::new()));
}

#[test]
fn labels_of_namespaces_count_whenever_they_are_said() {
    let mut world =
        World::new(&["namespace-selector = \"team=red\"\npod-selector = \"app=web\"", "namespace = \"shop\""]);
    world.say_all(&[pod("shop", "a", "app=web", "10.1.0.1"), pod("shop", "b", "", "10.1.0.2")]);
    assert_eq!(world.selected(), Some(vec![(1, 0b10), (2, 0b10)]), "of the namespace nothing is known yet");
    world.say_namespaces(&[namespace("shop", "team=red")]);
    assert_eq!(world.selected(), Some(vec![(1, 0b11), (2, 0b10)]));
    world.say_namespaces(&[namespace("shop", "team=blue")]);
    assert_eq!(world.selected(), Some(vec![(1, 0b10), (2, 0b10)]));
}

#[test]
fn what_a_source_said_last_holds_while_it_is_away() {
    let mut world = World::new(&["namespace = \"shop\""]);
    let state = |world: &World| world.pods.sources().map(|(of, row)| (of, row.state.is_ok())).collect::<Vec<_>>();
    assert_eq!(state(&world), [("pods", false)]);
    world.say_all(&[pod("shop", "a", "", "10.1.0.1")]);
    world.say(Update::InStep);
    assert_eq!(state(&world), [("pods", true)]);
    world.selected();
    world.say(Update::Away("gone".into()));
    assert_eq!((state(&world), world.selected()), (vec![("pods", false)], None));
    assert_eq!(world.counts()[0], 1);
}
