//! Warmed up, a worker that turns neither allocates nor frees: not for a packet, nor for
//! nothing, nor when it hands over.

use std::sync::Arc;

use causeway_control::compile::PortFacts;
use causeway_control::config::Config;
use causeway_control::control::Control;
use causeway_engine::handoff::{Colleagues, Exchange};
use causeway_engine::port::Port;
use causeway_engine::port::memory::{MemoryOptions, MemoryPeer, MemoryPort};
use causeway_engine::port::open::options;
use causeway_engine::worker::Worker;
use causeway_fastpath::forwarder::{Capacity, Forwarder};
use causeway_fastpath::fragment;
use causeway_fastpath::frame::BufferOwner;
use causeway_fastpath::handoff::Workers;
use causeway_fastpath::ids::WorkerId;
use causeway_fastpath::offload::Offload;
use causeway_fastpath::time::Instant;
use causeway_testkit::memory::{Counting, calls};
use causeway_testkit::packet::*;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NOW: Instant = Instant::from_secs(5);

const CONFIG: &str = r#"
gateway = { name = "test", cores = [0, 1] }
port = [
    { name = "nodes", driver = "memory", addresses = ["192.168.0.1/24"] },
    { name = "uplink", driver = "memory", addresses = ["203.0.113.2/24"] },
]
pool = [{ name = "egress", addresses = ["203.0.113.16/29"] }]
neighbor = [{ port = "uplink", address = "203.0.113.10", mac = "02:00:00:00:00:99" }]
[[cluster]]
name = "blue"
model = "island"
pod-cidrs = ["10.1.0.0/16"]
egress = "egress"
node = [{ name = "node-a", addresses = ["192.168.0.11"], pod-cidrs = ["10.1.1.0/24"] }]
"#;

/// Two workers, and the other ends of their ports.
fn workers() -> Vec<(Worker<MemoryPort>, Vec<MemoryPeer>)> {
    let (config, _) = Config::parse("test.toml", CONFIG).unwrap_or_else(|errors| panic!("{errors}"));
    let exchange = Exchange::new(2).expect("descriptors");
    let worker = |me| {
        let me = WorkerId(me);
        let (ports, peers): (Vec<_>, Vec<_>) = options(&config)
            .iter()
            .map(|options| MemoryPort::pair(options, BufferOwner::of_port(me, options.id), &MemoryOptions::default()))
            .map(|(port, peer)| (Box::new(port), peer))
            .unzip();
        let capacity = Capacity { sessions_v4: 4096, sessions_v6: 4096, fragments: fragment::Capacity::default() };
        let forwarder = Forwarder::of(Workers::new(me, 2, 7), capacity, [7; 32], NOW);
        (Worker::new(ports, forwarder).among(Colleagues::new(Arc::clone(&exchange), me)), peers)
    };
    let mut workers: Vec<_> = (0..2).map(worker).collect();
    let infos = workers[0].0.ports().iter().map(|port| port.info());
    let facts = infos.map(|info| PortFacts { mac: info.mac, mtu: info.mtu }).collect();
    let mut control = Control::new(config, facts, 7, NOW);
    for (at, (worker, _)) in workers.iter_mut().enumerate() {
        while let Some(command) = control.poll_command_for(WorkerId(at as u16)) {
            worker.handle_command(command, NOW);
        }
    }
    workers
}

#[test]
fn a_warm_worker_turns_without_asking_for_memory() {
    let mut workers = workers();
    let mac = workers[0].0.ports()[0].info().mac;
    let question = |pod: u8| eth().dst(mac).ipv4([10, 1, 1, pod], "203.0.113.10").udp(5_000, 53).build();
    let questions: Vec<_> = (1..100).map(question).collect();
    for round in 0..100 {
        for question in &questions {
            assert!(workers[0].1[0].push(question, Offload::DONE));
        }
        let turns = calls(|| {
            for _ in 0..6 {
                for (worker, _) in &mut workers {
                    worker.turn(NOW);
                    worker.flush();
                }
            }
        });
        let mut events = 0;
        for (worker, peers) in &mut workers {
            events += std::iter::from_fn(|| worker.poll_event()).count();
            peers.iter().for_each(|peer| while peer.pop_with(|_, _| ()).is_some() {});
        }
        assert!(round < 2 || (turns, events) == (0, 0), "{turns} calls, {events} events in round {round}");
    }
    let sent = |(worker, _): &(Worker<MemoryPort>, _)| worker.forwarder().counters().clone();
    let counters: Vec<_> = workers.iter().map(sent).collect();
    assert!(counters.iter().all(|counters| counters.forwarded > 1_000), "both forward");
    assert!(counters[0].handed_off > 1_000 && counters[0].handed_off == counters[1].taken_over);
}
