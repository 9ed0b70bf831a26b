//! A worker on in-process ports: every packet is counted once, every buffer comes home.

use causeway_control::compile::PortFacts;
use causeway_control::config::Config;
use causeway_control::control::Control;
use causeway_engine::port::memory::{MemoryOptions, MemoryPeer, MemoryPort};
use causeway_engine::port::open::options;
use causeway_engine::port::{Port, PortInfo};
use causeway_engine::worker::Worker;
use causeway_fastpath::command::Event;
use causeway_fastpath::forwarder::{Capacity, Forwarder};
use causeway_fastpath::fragment;
use causeway_fastpath::frame::BufferOwner;
use causeway_fastpath::handoff::Errand;
use causeway_fastpath::offload::Offload;
use causeway_fastpath::session::SessionFilter;
use causeway_fastpath::time::Instant;
use causeway_fastpath::verdict::{DropReason, PuntReason};
use causeway_testkit::packet::*;
use causeway_testkit::random;
use causeway_testkit::seed::Seed;

const NODE: [u8; 6] = [2, 0, 0, 0, 0, 0x11];
const SERVER: [u8; 6] = [2, 0, 0, 0, 0, 0x99];
const BUFFERS: usize = 200;

const CONFIG: &str = r#"
[gateway]
name = "test"
seed = 7
max-sessions = 4096
[[port]]
name = "nodes"
driver = "memory"
addresses = ["192.168.0.1/24", "fd00:a::1/64"]
[[port]]
name = "uplink"
driver = "memory"
addresses = ["203.0.113.2/24", "2001:db8:1::2/64"]
[[pool]]
name = "egress"
addresses = ["203.0.113.16/29", "2001:db8:1::100/125"]
[[cluster]]
name = "blue"
model = "island"
pod-cidrs = ["10.1.0.0/16", "fd00:10::/56"]
egress = "egress"
[[cluster.node]]
name = "node-a"
addresses = ["192.168.0.11", "fd00:a::11"]
pod-cidrs = ["10.1.1.0/24", "fd00:10:0:1::/64"]
[[neighbor]]
port = "nodes"
address = "192.168.0.11"
mac = "02:00:00:00:00:11"
[[neighbor]]
port = "nodes"
address = "fd00:a::11"
mac = "02:00:00:00:00:11"
[[neighbor]]
port = "uplink"
address = "203.0.113.10"
mac = "02:00:00:00:00:99"
"#;

/// A worker with control and both peers, in lockstep.
struct Bench {
    worker: Worker<MemoryPort>,
    control: Control,
    peers: Vec<MemoryPeer>,
    ports: Vec<PortInfo>,
    now: Instant,
}

impl Bench {
    fn new() -> Bench {
        let (config, warnings) = Config::parse("test.toml", CONFIG).unwrap_or_else(|errors| panic!("{errors}"));
        assert!(warnings.is_empty(), "{warnings:?}");
        let behavior = MemoryOptions { buffers: BUFFERS, frame_len: 4096, ..MemoryOptions::default() };
        let (ports, peers): (Vec<_>, Vec<_>) = options(&config)
            .iter()
            .map(|options| MemoryPort::pair(options, BufferOwner(options.id.0), &behavior))
            .map(|(port, peer)| (Box::new(port), peer))
            .unzip();
        let infos: Vec<PortInfo> = ports.iter().map(|port| port.info().clone()).collect();
        let facts = infos.iter().map(|info| PortFacts { mac: info.mac, mtu: info.mtu }).collect();
        let now = Instant::from_secs(5);
        let forwarder = Forwarder::new(
            Capacity { sessions_v4: 4096, sessions_v6: 4096, fragments: fragment::Capacity::default() },
            [7; 32],
            now,
        );
        let control = Control::new(config, facts, 7, now);
        let mut bench = Bench { worker: Worker::new(ports, forwarder), control, peers, ports: infos, now };
        bench.settle();
        assert!(bench.control.is_settled(), "the first tables are in force");
        bench.drain();
        bench
    }

    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            while let Some(event) = self.worker.poll_event() {
                self.control.handle_event(event, self.now);
                quiet = false;
            }
            while let Some(command) = self.control.poll_command() {
                self.worker.handle_command(command, self.now);
                quiet = false;
            }
            if quiet {
                return;
            }
        }
    }

    fn drain(&self) -> Vec<Vec<u8>> {
        self.peers.iter().flat_map(|peer| std::iter::from_fn(|| peer.pop())).collect()
    }

    /// From a pod to the server, as the node hands it over.
    fn question(&self, pod: u8, port: u16) -> Vec<u8> {
        let frame = eth().src(NODE).dst(self.ports[0].mac);
        frame.ipv4([10, 1, 1, pod], "203.0.113.10").udp(port, 53).payload(b"?").build()
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.worker.forwarder().counters().dropped[reason.index()]
    }

    fn assert_law(&self) {
        let counters = self.worker.forwarder().counters();
        assert!(counters.conserve(), "{} came in, {} met an end", counters.came_in(), counters.accounted_for());
    }
}

#[test]
fn a_packet_goes_through_and_both_buffers_come_home() {
    let mut bench = Bench::new();
    assert!(bench.peers[0].push(&bench.question(5, 4000), Offload::DONE));
    assert_eq!(bench.worker.turn(bench.now), 1);
    assert_eq!(bench.worker.forwarder().counters().forwarded, 1);
    let sent = bench.peers[1].pop().expect("it left by the uplink");
    assert_eq!(sent[..12], [SERVER, bench.ports[1].mac].concat());
    bench.assert_law();
    for peer in &bench.peers {
        assert_eq!(peer.free_buffers(), BUFFERS);
    }
}

#[test]
fn fragments_that_waited_leave_behind_the_first_and_every_buffer_comes_home() {
    let mut bench = Bench::new();
    let frame = eth().src(NODE).dst(bench.ports[0].mac).ipv4([10, 1, 1, 5], "203.0.113.10");
    let pieces = frame.udp(4000, 53).payload([7; 3000]).fragments(9, 1500);
    // More often than there are buffers to hold them in.
    for round in 1..=300 {
        for piece in pieces.iter().rev() {
            assert!(bench.peers[0].push(piece, Offload::DONE));
        }
        bench.worker.turn(bench.now);
        bench.assert_law();
        let counters = bench.worker.forwarder().counters();
        assert_eq!((counters.held, counters.released, counters.forwarded), (2 * round, 2 * round, 3 * round));
        let lengths: Vec<_> = std::iter::from_fn(|| bench.peers[1].pop()).map(|frame| frame.len()).collect();
        assert_eq!(lengths, [1514, 1514, 82], "the first, and those behind it");
        for peer in &bench.peers {
            assert_eq!(peer.free_buffers(), BUFFERS);
        }
        assert!(bench.worker.poll_event().is_none(), "control does not hear of it");
    }
}

#[test]
fn a_packet_that_is_too_big_leaves_in_pieces_in_order_and_every_buffer_comes_home() {
    let mut bench = Bench::new();
    let frame = |port| {
        let link = eth().src(NODE).dst(bench.ports[0].mac);
        link.ipv4([10, 1, 1, 5], "203.0.113.10").may_fragment().udp(port, 53).payload([7; 3000]).build()
    };
    let (one, other) = (frame(4000), frame(4001));
    for round in 1..=300 {
        assert!(bench.peers[0].push(&one, Offload::DONE) && bench.peers[0].push(&other, Offload::DONE));
        bench.worker.turn(bench.now);
        bench.assert_law();
        let counters = bench.worker.forwarder().counters();
        assert_eq!((counters.cut, counters.forwarded), (4 * round, 6 * round));
        let lengths: Vec<_> = std::iter::from_fn(|| bench.peers[1].pop()).map(|frame| frame.len()).collect();
        assert_eq!(lengths, [1514, 1514, 1514, 82, 1514, 82], "the first ones, and those behind them in order");
        for peer in &bench.peers {
            assert_eq!(peer.free_buffers(), BUFFERS);
        }
    }
    // A piece that the port refuses is a counted drop as any packet.
    bench.peers[1].set_tx_capacity(1);
    assert!(bench.peers[0].push(&one, Offload::DONE));
    bench.worker.turn(bench.now);
    assert_eq!(bench.dropped(DropReason::PortFull), 2);
    bench.assert_law();
}

#[test]
fn what_a_full_port_refuses_is_a_counted_drop() {
    let mut bench = Bench::new();
    bench.peers[1].set_tx_capacity(3);
    for pod in 1..=10 {
        assert!(bench.peers[0].push(&bench.question(pod, 4000), Offload::DONE));
    }
    bench.worker.turn(bench.now);
    assert_eq!((bench.worker.forwarder().counters().forwarded, bench.dropped(DropReason::PortFull)), (3, 7));
    bench.assert_law();
    assert_eq!(bench.drain().len(), 3);
    for peer in &bench.peers {
        assert_eq!(peer.free_buffers(), BUFFERS);
    }
}

#[test]
fn a_punt_that_control_cannot_take_is_dropped_and_counted() {
    let mut bench = Bench::new();
    let asked = eth().src(NODE).dst(BROADCAST).arp_request("192.168.0.11", "192.168.0.1").build();
    assert!(bench.peers[0].push(&asked, Offload::DONE));
    bench.worker.turn(bench.now);
    let event = bench.worker.poll_event().expect("ARP is for control");
    assert!(matches!(event, Event::Punted(PuntReason::Arp, _, Errand::Own)));
    bench.worker.event_refused(event);
    let counters = bench.worker.forwarder().counters();
    assert_eq!(counters.punted[PuntReason::Arp.index()], 0);
    assert_eq!(bench.dropped(DropReason::PuntQueueFull), 1);
    bench.assert_law();
}

#[test]
fn a_refused_answer_to_a_command_waits_in_front_of_what_came_later() {
    let mut bench = Bench::new();
    assert!(bench.control.list_sessions(1, 10, SessionFilter::default()));
    let command = bench.control.poll_command().expect("a page to fill");
    bench.worker.handle_command(command, bench.now);
    let page = bench.worker.poll_event().expect("the page");
    bench.worker.event_refused(page);
    assert!(matches!(bench.worker.poll_event(), Some(Event::Sessions(_))));
}

#[test]
fn a_flood_of_punts_is_bounded_and_every_buffer_comes_home() {
    let mut bench = Bench::new();
    let asked = eth().src(NODE).dst(BROADCAST).arp_request("192.168.0.11", "192.168.0.1").build();
    for _ in 0..100 {
        for _ in 0..BUFFERS / 2 {
            bench.peers[0].push(&asked, Offload::DONE);
        }
        while bench.worker.turn(bench.now) > 0 {}
    }
    let waiting = std::iter::from_fn(|| bench.worker.poll_event()).count();
    let punted = bench.worker.forwarder().counters().punted[PuntReason::Arp.index()];
    assert_eq!(waiting as u64, punted, "what was counted as punted is there");
    assert!(waiting <= 1024, "{waiting} events wait");
    bench.assert_law();
    assert_eq!(bench.peers[0].free_buffers(), BUFFERS);
}

#[test]
fn under_random_traffic_the_law_holds_and_every_buffer_comes_home() {
    let seed = Seed::from_env_or(0xca05_e3a1);
    let mut rng = seed.rng();
    let mut bench = Bench::new();
    for round in 0..3_000u64 {
        bench.now = Instant::from_millis(5_000 + round * 37);
        for _ in 0..rng.below(40) {
            let at = rng.below(2) as usize;
            let mut frame = random::frame(&mut rng);
            if rng.chance(1, 2) {
                frame = bench.question(rng.u8(), rng.u16());
            } else if frame.len() >= 6 && rng.chance(4, 5) {
                frame[..6].copy_from_slice(&bench.ports[at].mac);
            }
            if rng.chance(1, 5) {
                frame = random::mangle(&mut rng, &frame);
            }
            frame.truncate(3_000);
            bench.peers[at].push(&frame, Offload::DONE);
        }
        bench.peers[1].set_tx_capacity(if rng.chance(1, 10) { rng.below(5) as usize } else { 1024 });
        while bench.worker.turn(bench.now) > 0 {}
        bench.control.handle_timeout(bench.now);
        bench.settle();
        bench.assert_law();
        bench.drain();
        for peer in &bench.peers {
            assert_eq!(peer.free_buffers(), BUFFERS, "in round {round}");
        }
    }
    let counters = bench.worker.forwarder().counters();
    assert!(counters.forwarded > 1_000 && bench.dropped(DropReason::PortFull) > 0, "the test reached both ends");
}
