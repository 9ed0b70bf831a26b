//! Addresses that come to another use while several workers go over one after the other.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use causeway_control::compile::PortFacts;
use causeway_control::config::Config;
use causeway_control::control::Control;
use causeway_control::rib::{Change, Origin, Route, Via};
use causeway_fastpath::burst::Burst;
use causeway_fastpath::command::{Command, Event};
use causeway_fastpath::forwarder::{Capacity, Forwarder};
use causeway_fastpath::fragment;
use causeway_fastpath::frame::Frame;
use causeway_fastpath::handoff::Workers;
use causeway_fastpath::ids::{PortId, VrfId, WorkerId};
use causeway_fastpath::time::Instant;
use causeway_fastpath::verdict::Verdict;
use causeway_testkit::packet::*;

use crate::world::own_mac;

const NOW: Instant = Instant::from_secs(1000);
const SECRET: u64 = 0x5ec7e7;
const ISLAND: VrfId = VrfId(1);
const NODES: PortId = PortId(0);
const UPLINK: PortId = PortId(1);
/// The address that moves.
const PUBLIC: &str = "203.0.113.17";

/// Two workers, each with what it has to say to control.
struct Team {
    control: Control,
    workers: Vec<(Forwarder, VecDeque<Event>)>,
}

/// An island behind a pool of these addresses; more at the end.
fn text(pool: &str, more: &str) -> String {
    format!(
        r#"
gateway.name = "gw"
gateway.cores = [0, 1]
[[port]]
name = "nodes"
driver = "memory"
addresses = ["192.168.0.1/24"]
[[port]]
name = "uplink"
driver = "memory"
addresses = ["203.0.113.2/24"]
[[pool]]
name = "p"
addresses = [{pool}]
[[cluster]]
name = "c"
model = "island"
pod-cidrs = ["10.1.0.0/16"]
egress = "p"
[[cluster.node]]
name = "n"
pod-cidrs = ["10.1.1.0/24"]
addresses = ["192.168.0.11"]
[[neighbor]]
port = "nodes"
address = "192.168.0.11"
mac = "02:00:00:00:00:11"
[[neighbor]]
port = "uplink"
address = "203.0.113.10"
mac = "02:00:00:00:00:10"
{more}
"#
    )
}

fn shared() -> String {
    text("\"203.0.113.17\"", "")
}

/// The address is a host's own.
fn owned(host: Ipv4Addr) -> String {
    let nat = format!("[[static-nat]]\naddress = \"{PUBLIC}\"\nto = \"{host}\"\ncluster = \"c\"\n");
    text("\"203.0.113.16\"", &nat)
}

fn parsed(text: &str) -> Config {
    Config::parse("test.toml", text).unwrap_or_else(|errors| panic!("{errors}")).0
}

/// The first pod, from this one on, whose home is this worker.
fn pod_of(worker: u16, from: u8) -> Ipv4Addr {
    let workers = Workers::new(WorkerId(0), 2, SECRET);
    let pods = (from..=255).map(|pod| Ipv4Addr::new(10, 1, 1, pod));
    let mut own = pods.filter(|pod| workers.home(ISLAND, pod.to_bits()) == WorkerId(worker));
    own.next().expect("homes are spread")
}

impl Team {
    fn start(text: &str) -> Team {
        let config = parsed(text);
        let facts = [NODES, UPLINK].map(|port| PortFacts { mac: own_mac(port), mtu: 1500 }).to_vec();
        let capacity = || Capacity { sessions_v4: 500, sessions_v6: 10, fragments: fragment::Capacity::default() };
        let worker = |me| {
            let forwarder = Forwarder::of(Workers::new(WorkerId(me), 2, SECRET), capacity(), [me as u8; 32], NOW);
            (forwarder, VecDeque::new())
        };
        let mut team = Team { control: Control::new(config, facts, 7, NOW), workers: (0..2).map(worker).collect() };
        team.all();
        team
    }

    /// A worker does all that control has for it, and judges its sessions. Control hears of it,
    /// and the worker of what follows. Says whether there was anything.
    fn turn(&mut self, at: usize) -> bool {
        let (forwarder, events) = &mut self.workers[at];
        let mut busy = false;
        while let Some(command) = self.control.poll_command_for(WorkerId(at as u16)) {
            busy = true;
            match command {
                Command::Prepare(room) => forwarder.prepare(room),
                Command::Install(snapshot) => events.push_back(forwarder.install(snapshot, NOW)),
                Command::Transmit(_, frame) => events.push_back(Event::Spent(frame)),
                other => panic!("{other:?}"),
            }
            while forwarder.settle(NOW, 64) {}
            events.extend(std::iter::from_fn(|| forwarder.poll_settled()));
            while let Some(event) = events.pop_front() {
                self.control.handle_event_from(WorkerId(at as u16), event, NOW);
            }
        }
        busy
    }

    fn all(&mut self) {
        while self.turn(0) | self.turn(1) {}
    }

    fn reload(&mut self, text: &str) {
        self.control.reload(parsed(text), NOW).unwrap_or_else(|error| panic!("{error}"));
    }

    /// A pod sends to the server, by its own worker: the name under which that leaves.
    fn name(&mut self, at: usize, pod: Ipv4Addr, port: u16) -> Option<(Ipv4Addr, u16)> {
        let bytes = eth().dst(own_mac(NODES)).ip(pod, "203.0.113.10").udp(port, 53).build();
        let mut frame = Frame::boxed(&bytes, 128, 0);
        frame.ingress = NODES;
        let mut burst = Burst::new();
        burst.push(frame);
        self.workers[at].0.process(NOW, &mut burst);
        let (frame, verdict) = burst.drain().next().expect("it is there");
        let left = frame.bytes().to_vec();
        drop(frame.into_heap());
        let word = |at: usize| u16::from_be_bytes([left[at], left[at + 1]]);
        let address = u32::from(word(26)) << 16 | u32::from(word(28));
        match verdict {
            Verdict::Forward(UPLINK) => Some((address.into(), word(34))),
            // It is told that there is none for it.
            Verdict::Drop(_) | Verdict::Reply(NODES) => None,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_address_that_becomes_a_hosts_own_is_nobodys_until_every_worker_has_given_it_up() {
    let (host, other) = (pod_of(0, 1), pod_of(1, 1));
    let public: Ipv4Addr = PUBLIC.parse().expect("an address");
    let mut team = Team::start(&shared());
    let name = team.name(1, other, 5000).expect("it leaves");
    assert_eq!(name.0, public);
    team.reload(&owned(host));
    let promised = team.control.next_epoch();
    // The host, with a port of its own that is in use as a name elsewhere.
    team.turn(0);
    assert_eq!(team.name(1, other, 5000), Some(name), "that worker knows the tables before");
    assert_eq!(team.name(0, host, name.1), None, "the name is the other's");
    // Routes wait for nothing.
    let (to, via) = ("198.51.100.0/24".parse().expect("a prefix"), Via::Blackhole);
    team.control.change_routes([Change::Add(Route { domain: VrfId::MAIN, to, origin: Origin::Static, via })], NOW);
    assert!(team.turn(0) && !team.turn(0));
    assert_eq!(team.name(0, host, name.1), None);
    assert!(!team.control.is_settled() && team.control.is_judging() && team.control.settled() < promised);
    team.all();
    assert!(team.control.is_settled() && !team.control.is_judging() && team.control.settled() >= promised);
    assert_eq!(team.name(0, host, name.1), Some((public, name.1)));
    assert!(team.name(1, other, 5000).is_some_and(|name| name.0 != public));
}

#[test]
fn and_so_is_one_that_goes_back_to_its_pool_or_to_another_host() {
    let (host, other, next) = (pod_of(0, 1), pod_of(1, 1), pod_of(1, pod_of(1, 1).octets()[3] + 1));
    let public: Ipv4Addr = PUBLIC.parse().expect("an address");
    for (text, sender) in [(shared(), other), (owned(next), next)] {
        let mut team = Team::start(&owned(host));
        assert_eq!(team.name(0, host, 5000), Some((public, 5000)));
        team.reload(&text);
        team.turn(1);
        assert_eq!(team.name(0, host, 5000), Some((public, 5000)));
        assert!(team.name(1, sender, 5000).is_none_or(|name| name.0 != public), "{text}");
        team.all();
        assert!(team.control.is_settled());
        assert!(team.name(1, sender, 6000).is_some_and(|name| name.0 == public), "{text}");
    }
}

#[test]
fn a_change_of_mind_in_between_leaves_the_newest_in_force() {
    let (host, next) = (pod_of(0, 1), pod_of(1, 1));
    let public: Ipv4Addr = PUBLIC.parse().expect("an address");
    let mut team = Team::start(&shared());
    team.reload(&owned(host));
    team.turn(0);
    team.reload(&owned(next));
    team.turn(0);
    team.reload(&shared());
    team.turn(0);
    team.reload(&owned(next));
    team.all();
    assert!(team.control.is_settled() && !team.control.is_judging());
    assert_eq!(team.name(1, next, 5000), Some((public, 5000)));
    assert!(team.name(0, host, 5000).is_some_and(|name| name.0 != public));
}
