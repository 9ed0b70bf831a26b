//! Nodes that die and come back, in time of the test's own.

use super::*;
use crate::domains::Domains;
use crate::rib::{Rib, Route, Via, routes};

/// Four nodes with an address and a pod CIDR each, and a static route through two of them.
struct World {
    liveness: Liveness,
    rib: Rib,
    now: Instant,
    silent: BTreeSet<IpAddr>,
}

impl World {
    fn new(liveness: &str) -> World {
        let nodes: String = (1..=4)
            .map(|n| {
                format!(
                    "[[cluster.node]]\nname = \"n{n}\"\naddress = \"192.168.0.{n}0\"\npod-cidrs = [\"10.1.{n}.0/24\"]\n"
                )
            })
            .collect();
        let text = format!(
            "gateway.name = \"g\"\n[[port]]\nname = \"nodes\"\ndriver = \"memory\"\naddresses = [\"192.168.0.1/24\"]\n\
             [[port]]\nname = \"out\"\ndriver = \"memory\"\naddresses = [\"203.0.113.2/24\"]\n\
             [[route]]\nto = \"172.16.0.0/12\"\nvia = [\"192.168.0.10\", \"192.168.0.20\"]\ncluster = \"c\"\n\
             [[cluster]]\nname = \"c\"\nmodel = \"island\"\npod-cidrs = [\"10.1.0.0/16\"]\negress = \"masquerade\"\n\
             liveness = {{ {liveness} }}\n{nodes}"
        );
        let (config, _) = Config::parse("t.toml", &text).unwrap_or_else(|errors| panic!("{errors}"));
        let mut world = World {
            liveness: Liveness::new(&config, Instant::ZERO),
            rib: Rib::default(),
            now: Instant::ZERO,
            silent: BTreeSet::new(),
        };
        for route in routes(&config, &Domains::of(&config)) {
            world.change(Change::Add(route));
        }
        world
    }

    fn change(&mut self, change: Change) {
        let change = self.liveness.pass(change, self.now);
        self.apply(change);
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Add(route) => self.rib.add(route),
            Change::Withdraw { domain, to, origin } => self.rib.withdraw(domain, to, origin),
        };
    }

    fn silence(&mut self, nodes: &[u8]) {
        self.silent = nodes.iter().map(|n| IpAddr::from([192, 168, 0, n * 10])).collect();
    }

    /// So many rounds; who is not silent answers.
    fn rounds(&mut self, count: usize) {
        for _ in 0..count {
            self.now = self.liveness.poll_timeout().expect("there are nodes");
            let state =
                |(_, address): Place| Some(if self.silent.contains(&address) { State::Dead } else { State::Reachable });
            for question in self.liveness.handle_timeout(self.now, state) {
                if let Question::Echo(place, sequence) = question
                    && !self.silent.contains(&place.1)
                {
                    self.liveness.heard(place, sequence);
                }
            }
            for change in self.liveness.reconcile() {
                self.apply(change);
            }
        }
    }

    /// The nodes that are routed, by their number.
    fn routed(&self) -> Vec<u8> {
        let number = |route: Route| match (route.to, &route.via, route.origin.word()) {
            (ipnet::IpNet::V4(net), Via::Neighbor(..), "node") => Some(net.addr().octets()[2]),
            _ => None,
        };
        self.rib.routes().filter_map(number).collect()
    }

    /// How many next hops the static route has.
    fn next_hops(&self) -> usize {
        let route = self.rib.routes().find(|route| route.origin.word() == "static").expect("it stays");
        match route.via {
            Via::Neighbors(members) => members.len(),
            Via::Neighbor(..) => 1,
            other => panic!("{other:?}"),
        }
    }
}

const WITHDRAW: &str = "failures = 3, successes = 2, interval-s = 5, withdraw = true";

#[test]
fn a_node_that_leaves_enough_unanswered_is_withdrawn_until_it_has_answered_enough() {
    for probe in ["neighbor", "icmp"] {
        let mut world = World::new(&format!("{WITHDRAW}, probe = \"{probe}\""));
        world.rounds(3);
        assert_eq!((world.routed(), world.next_hops()), (vec![1, 2, 3, 4], 2));
        world.silence(&[2]);
        // The first round in which it is silent ends with the next.
        let before = world.now;
        world.rounds(if probe == "icmp" { 3 } else { 2 });
        assert_eq!(world.routed(), [1, 2, 3, 4], "not yet");
        world.rounds(1);
        assert_eq!((world.routed(), world.next_hops()), (vec![1, 3, 4], 1));
        assert!(world.now.nanos_since(before) <= 20_000_000_000);
        let address = IpAddr::from([192, 168, 0, 20]);
        let dead = Dead { cluster: ClusterIdx(0), address, withdrawn: true, since: world.now };
        assert_eq!(world.liveness.dead().collect::<Vec<_>>(), [dead]);
        let turned = |dead| News::Turned { cluster: ClusterIdx(0), node: "n2".into(), address, dead };
        assert_eq!(world.liveness.take_news(), [turned(true)]);
        assert!(world.liveness.watches((PortIdx(0), address)), "it is still asked");
        world.silence(&[]);
        world.rounds(1);
        assert_eq!(world.routed(), [1, 3, 4], "one answer is not enough");
        world.rounds(2);
        assert_eq!((world.routed(), world.next_hops()), (vec![1, 2, 3, 4], 2));
        assert_eq!(world.liveness.take_news(), [turned(false)]);
    }
}

#[test]
fn who_answers_now_and_then_stays_what_it_was() {
    let mut world = World::new(WITHDRAW);
    for _ in 0..10 {
        world.silence(&[1]);
        world.rounds(2);
        world.silence(&[]);
        world.rounds(1);
        assert_eq!(world.routed(), [1, 2, 3, 4]);
    }
    world.silence(&[1]);
    world.rounds(3);
    for _ in 0..10 {
        assert_eq!(world.routed(), [2, 3, 4]);
        world.silence(&[]);
        world.rounds(1);
        world.silence(&[1]);
        world.rounds(1);
    }
}

#[test]
fn nothing_is_withdrawn_while_most_are_silent() {
    let mut world = World::new(WITHDRAW);
    world.silence(&[1, 2]);
    world.rounds(5);
    assert_eq!(world.routed(), [3, 4], "half of them is not most");
    world.liveness.take_news();
    world.silence(&[1, 2, 3]);
    world.rounds(3);
    assert_eq!(world.routed(), [1, 2, 3, 4]);
    let cut_off = |dead, is_so| News::CutOff { cluster: ClusterIdx(0), dead, of: 4, is_so };
    assert_eq!(world.liveness.take_news().pop(), Some(cut_off(3, true)));
    assert_eq!(world.liveness.cut_off().collect::<Vec<_>>(), [(ClusterIdx(0), 3, 4)]);
    world.silence(&[1]);
    world.rounds(3);
    assert_eq!(world.routed(), [2, 3, 4]);
    assert_eq!(world.liveness.take_news().pop(), Some(cut_off(1, false)));
    world.silence(&[1, 2, 3, 4]);
    world.rounds(10);
    assert_eq!(world.routed(), [1, 2, 3, 4]);
}

#[test]
fn without_withdrawal_a_dead_node_is_shown_and_stays_routed() {
    let mut world = World::new("failures = 1");
    world.silence(&[4]);
    world.rounds(2);
    let dead: Vec<_> = world.liveness.dead().map(|dead| (dead.address, dead.withdrawn)).collect();
    assert_eq!(dead, [([192, 168, 0, 40].into(), false)]);
    assert_eq!(world.routed(), [1, 2, 3, 4]);
}

#[test]
fn a_node_that_moves_or_goes_while_it_is_withdrawn_is_not_kept() {
    let mut world = World::new(WITHDRAW);
    world.silence(&[2, 3]);
    world.rounds(4);
    assert_eq!(world.routed(), [1, 4]);
    let dead: Vec<Route> = {
        let (_, known) = (world.now, World::new(WITHDRAW).rib);
        known.routes().filter(|route| route.origin.word() == "node").collect()
    };
    let moved = Route { via: Via::Neighbor(PortIdx(0), [192, 168, 0, 99].into()), ..dead[1].clone() };
    world.change(Change::Add(moved));
    assert_eq!(world.routed(), [1, 2, 4], "it is elsewhere now");
    let Route { domain, to, origin, .. } = dead[2].clone();
    world.change(Change::Withdraw { domain, to, origin });
    let left = world.liveness.take_left();
    assert_eq!(left, [(PortIdx(0), [192, 168, 0, 20].into()), (PortIdx(0), [192, 168, 0, 30].into())]);
    world.silence(&[]);
    world.rounds(4);
    assert_eq!(world.routed(), [1, 2, 4], "who went is not brought back");
}
