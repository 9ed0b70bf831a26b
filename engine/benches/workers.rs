//! Several workers at work, each on a core of its own, with the rings of the gateway between
//! them: one line a row, `name<TAB>value<TAB>unit`, as the bench `figures` prints them.
//! `docs/performance.md` says what each means.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Instant as Clock;

use causeway_control::compile::PortFacts;
use causeway_control::config::Config;
use causeway_control::control::Control;
use causeway_engine::handoff::{Colleagues, Exchange};
use causeway_engine::port::Port;
use causeway_engine::port::memory::{MemoryOptions, MemoryPeer, MemoryPort};
use causeway_engine::port::open::options;
use causeway_engine::worker::Worker;
use causeway_fastpath::command::Command;
use causeway_fastpath::forwarder::{Capacity, Forwarder};
use causeway_fastpath::fragment;
use causeway_fastpath::frame::BufferOwner;
use causeway_fastpath::handoff::Workers;
use causeway_fastpath::ids::{VrfId, WorkerId};
use causeway_fastpath::offload::Offload;
use causeway_fastpath::time::Instant;
use causeway_testkit::packet::*;

/// The secret by which hosts are dealt out.
const SECRET: u64 = 7;
const ISLAND: VrfId = VrfId(1);
/// Flows of each worker.
const FLOWS: usize = 4_096;
/// Fewer than a ring holds: what is handed over is never dropped.
const BUFFERS: usize = 512;
const NOW: Instant = Instant::from_secs(5);

const CONFIG: &str = r#"
gateway.name = "bench"
[[port]]
name = "nodes"
driver = "memory"
addresses = ["192.168.0.1/24"]
[[port]]
name = "uplink"
driver = "memory"
addresses = ["203.0.113.2/24"]
[[neighbor]]
port = "uplink"
address = "203.0.113.10"
mac = "02:00:00:00:00:99"
[[pool]]
name = "egress"
addresses = ["203.0.113.16/28"]
[[cluster]]
name = "blue"
model = "island"
pod-cidrs = ["10.0.0.0/8"]
egress = "egress"
node = [{ name = "node-a", addresses = ["192.168.0.11"], pod-cidrs = ["10.1.0.0/16"] }]
"#;

fn main() {
    let quick = std::env::var_os("CAUSEWAY_BENCH_QUICK").is_some();
    let (rounds, packets) = if quick { (1, 10_000) } else { (7, 4_000_000) };
    // Packets a microsecond, in the best of the rounds.
    let best = |workers, share| {
        let rates = (0..rounds).map(|_| Crew { workers, share }.rate(packets));
        rates.max_by(f64::total_cmp).expect("a round was measured")
    };
    let alone = best(1, 0);
    print("workers_1", alone, "Mpps");
    let [none, half, all] = [0, 50, 100].map(|share| {
        let rate = best(2, share);
        print(&format!("workers_2_handed_{share}"), rate, "Mpps");
        rate
    });
    // Two work at a time: each packet takes twice its share of the time.
    let each_ns = |rate: f64| 2_000.0 / rate;
    print("hand_off", each_ns(all) - each_ns(none), "ns");
    print("hand_off_half", 2.0 * (each_ns(half) - each_ns(none)), "ns");
}

#[expect(clippy::print_stdout, reason = "figures are read from there")]
fn print(name: &str, value: f64, unit: &str) {
    println!("{name}\t{value:.1}\t{unit}");
}

/// So many workers, and of a hundred packets so many come to the wrong one.
#[derive(Clone, Copy)]
struct Crew {
    workers: u16,
    share: usize,
}

impl Crew {
    /// Packets a microsecond that leave by all workers together, until each was given so many.
    fn rate(self, packets: u64) -> f64 {
        let (config, _) = Config::parse("bench.toml", &self.config()).unwrap_or_else(|errors| panic!("{errors}"));
        let exchange = Exchange::new(self.workers.into()).expect("descriptors");
        let (start, done) = (Barrier::new(self.workers.into()), AtomicU64::new(0));
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let times: Vec<f64> = std::thread::scope(|scope| {
            let run = |me| {
                let (config, start, done, core) = (&config, &start, &done, cores.get(usize::from(me)).copied());
                let exchange = Arc::clone(&exchange);
                scope.spawn(move || {
                    core.map(core_affinity::set_for_current);
                    let mut bench = self.bench(config, exchange, WorkerId(me));
                    // Every flow has its session before the clock is started.
                    let warm = 4 * FLOWS as u64;
                    bench.forward(warm, done, warm * u64::from(self.workers), start);
                    start.wait();
                    let clock = Clock::now();
                    let all = (warm + packets) * u64::from(self.workers);
                    bench.forward(packets, done, all, start);
                    clock.elapsed().as_secs_f64()
                })
            };
            let threads: Vec<_> = (0..self.workers).map(run).collect();
            threads.into_iter().map(|thread| thread.join().expect("no worker panics")).collect()
        });
        let longest = times.into_iter().fold(0.0, f64::max);
        packets as f64 * f64::from(self.workers) / longest / 1e6
    }

    fn config(self) -> String {
        let cores: Vec<_> = (0..self.workers).map(|core| core.to_string()).collect();
        format!("gateway.cores = [{}]\n{CONFIG}", cores.join(", "))
    }

    fn bench(self, config: &Config, exchange: Arc<Exchange>, me: WorkerId) -> Bench {
        let behavior = MemoryOptions { buffers: BUFFERS, frame_len: 2048, ..MemoryOptions::default() };
        let (ports, peers): (Vec<_>, Vec<_>) = options(config)
            .iter()
            .map(|options| MemoryPort::pair(options, BufferOwner::of_port(me, options.id), &behavior))
            .map(|(port, peer)| (Box::new(port), peer))
            .unzip();
        let facts: Vec<_> = ports.iter().map(|port| port.info()).collect();
        let mac = facts[0].mac;
        let facts = facts.iter().map(|info| PortFacts { mac: info.mac, mtu: info.mtu }).collect();
        let most = 2 * FLOWS * usize::from(self.workers);
        let capacity = Capacity { sessions_v4: most, sessions_v6: 0, fragments: fragment::Capacity::NONE };
        let worker = match self.workers {
            1 => Worker::new(ports, Forwarder::new(capacity, [7; 32], NOW)),
            count => {
                let place = Workers::new(me, count, SECRET);
                let forwarder = Forwarder::of(place, capacity, [me.0 as u8; 32], NOW);
                Worker::new(ports, forwarder).among(Colleagues::new(exchange, me))
            }
        };
        let mut bench = Bench { worker, peers, questions: self.questions(mac, me), next: 0 };
        let mut control = Control::new(config.clone(), facts, 7, NOW);
        while let Some(command) = control.poll_command_for(me) {
            if let Command::Install(_) = command {
                bench.worker.handle_command(command, NOW);
            }
        }
        bench
    }

    /// What comes to this worker: so many in a hundred are another one's.
    fn questions(self, mac: Mac, me: WorkerId) -> Vec<Vec<u8>> {
        let workers = Workers::new(me, self.workers, SECRET);
        let pods = (0x0a01_0001u32..0x0a01_ffff).map(|pod| (pod, workers.home(ISLAND, pod) == me));
        let mut mine = pods.clone().filter(|(_, mine)| *mine);
        let mut others = pods.filter(|(_, mine)| !*mine);
        let pick = |at: usize| if at % 100 < self.share { others.next() } else { mine.next() };
        let frame = |(pod, _): (u32, bool)| {
            eth().dst(mac).ipv4(pod.to_be_bytes(), "203.0.113.10").udp(5_000, 53).payload([0; 18]).build()
        };
        (0..FLOWS).map_while(pick).map(frame).collect()
    }
}

/// A worker, what comes to it and what leaves it.
struct Bench {
    worker: Worker<MemoryPort>,
    peers: Vec<MemoryPeer>,
    questions: Vec<Vec<u8>>,
    next: usize,
}

impl Bench {
    /// Takes in so many packets, and turns until `all` have left by any worker.
    fn forward(&mut self, packets: u64, done: &AtomicU64, all: u64, together: &Barrier) {
        let mut given = 0;
        while done.load(Ordering::Relaxed) < all {
            for _ in 0..64 {
                if given < packets && self.peers[0].push(&self.questions[self.next], Offload::DONE) {
                    given += 1;
                    self.next = (self.next + 1) % self.questions.len();
                }
            }
            self.worker.turn(NOW);
            self.worker.flush();
            let mut left = 0;
            while self.peers[1].pop_with(|_, _| ()).is_some() {
                left += 1;
            }
            if left > 0 {
                done.fetch_add(left, Ordering::Relaxed);
            }
        }
        together.wait();
    }
}
