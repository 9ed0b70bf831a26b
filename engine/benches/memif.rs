//! memif against `dpdk-testpmd`, which sends 10 000 flows of 60-byte frames and counts what
//! comes back: a bare loop from port to port, and the same with SNAT between them, in turn.
//! Prints lines as the bench `figures` does; `docs/performance.md` says what each means.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant as Clock};

use causeway_control::compile::PortFacts;
use causeway_control::config::Config;
use causeway_control::control::Control;
use causeway_engine::port::memif::MemifPort;
use causeway_engine::port::open::options;
use causeway_engine::port::{Link, Port, PortOptions};
use causeway_engine::worker::Worker;
use causeway_fastpath::burst::Burst;
use causeway_fastpath::command::Command as Order;
use causeway_fastpath::forwarder::{Capacity, Forwarder};
use causeway_fastpath::fragment;
use causeway_fastpath::frame::BufferOwner;
use causeway_fastpath::ids::WorkerId;
use causeway_fastpath::time::Instant;
use causeway_tests::folder::Folder;
use causeway_tests::program::Service;
use causeway_tests::testpmd::PROGRAM;

const FLOWS: usize = 10_000;
/// As the gateway has them.
type Ports = Vec<Box<dyn Port>>;
/// Between two looks at the clock.
const TURNS: usize = 64;
const NOW: Instant = Instant::from_secs(5);

/// What `flowgen` sends: from 10.254.0.0 to so many addresses from 10.253.0.0 on. It sends into
/// both interfaces, to one MAC; what comes to the uplink is not for its own.
const CONFIG: &str = r#"
gateway.name = "bench"
[[port]]
name = "nodes"
device = "SOCKET"
driver = "memif"
mac = "00:01:02:03:04:01"
addresses = ["192.168.0.1/24"]
[[port]]
name = "uplink"
device = "SOCKET"
driver = "memif"
memif-id = 1
mac = "02:00:00:00:00:77"
addresses = ["203.0.113.2/24"]
[[route]]
to = "10.253.0.0/16"
via = "203.0.113.1"
[[neighbor]]
port = "uplink"
address = "203.0.113.1"
mac = "02:00:00:00:00:99"
[[pool]]
name = "egress"
addresses = ["203.0.113.16/28"]
[[cluster]]
name = "blue"
model = "island"
pod-cidrs = ["10.254.0.0/16"]
egress = "egress"
node = [{ name = "node-a", addresses = ["192.168.0.11"], pod-cidrs = ["10.254.0.0/24"] }]
"#;

fn main() {
    let quick = std::env::var_os("CAUSEWAY_BENCH_QUICK").is_some();
    let (rounds, length) = if quick { (1, Duration::from_millis(50)) } else { (60, Duration::from_millis(100)) };
    if Command::new(PROGRAM).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        note(&format!("{PROGRAM} is not here: nothing to measure against"));
        return;
    }
    let folder = Folder::new();
    let socket = folder.path().join("memif.sock").display().to_string();
    let _testpmd = start(&socket);
    // The generator has the first core, the worker another one.
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    cores.last().copied().map(core_affinity::set_for_current);
    let (config, _) =
        Config::parse("bench.toml", &CONFIG.replace("SOCKET", &socket)).unwrap_or_else(|errors| panic!("{errors}"));
    let mut ports: Ports = options(&config).iter().map(open).collect();
    let (mut loops, mut translated) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        loops.push(bare(&mut ports, length));
        let rate;
        (ports, rate) = snat(&config, ports, length);
        translated.push(rate);
    }
    let best = |rates: &[f64]| rates.iter().copied().fold(0.0, f64::max);
    print("memif_loop", best(&loops), "Mpps");
    print("memif_nat_10k", best(&translated), "Mpps");
    print("memif_nat_share", 100.0 * best(&translated) / best(&loops), "%");
    let worst = |rates: &[f64]| rates.iter().copied().fold(f64::MAX, f64::min);
    note(&format!("worst rounds: loop {:.2}, nat {:.2} Mpps", worst(&loops), worst(&translated)));
}

#[expect(clippy::print_stdout, reason = "figures are read from there")]
fn print(name: &str, value: f64, unit: &str) {
    println!("{name}\t{value:.2}\t{unit}");
}

#[expect(clippy::print_stderr, reason = "for whoever watches")]
fn note(what: &str) {
    eprintln!("{what}");
}

fn start(socket: &str) -> Service {
    let mut command = Command::new(PROGRAM);
    command.args(["--no-huge", "-m", "256", "--no-pci", "--no-telemetry", "--lcores=0@0,1@0"]);
    command.arg(format!("--file-prefix=bench-{}", std::process::id()));
    for id in 0..2 {
        command.arg(format!("--vdev=net_memif{id},role=server,id={id},socket={socket},socket-abstract=no"));
    }
    command.args(["--", "--forward-mode=flowgen", "--auto-start", "--stats-period=1", "--total-num-mbufs=16384"]);
    command.arg(format!("--flowgen-flows={FLOWS}"));
    Service::start(&mut command, |said| said.contains("Port statistics"))
}

fn open(options: &PortOptions) -> Box<dyn Port> {
    let owner = BufferOwner::of_port(WorkerId(0), options.id);
    let mut port = MemifPort::open(options, owner).unwrap_or_else(|error| panic!("{error}"));
    let begun = Clock::now();
    while port.link() != Link::Up {
        assert!(begun.elapsed() < Duration::from_secs(30), "testpmd takes the port");
        let _ = port.reopen();
        thread::sleep(Duration::from_millis(10));
    }
    Box::new(port)
}

/// Turns for so long, and how many frames left by the second port meanwhile: millions a second.
fn rate<T>(length: Duration, what: &mut T, turn: impl Fn(&mut T), sent: impl Fn(&mut T) -> u64) -> f64 {
    let mut go = |length: Duration| {
        let begun = Clock::now();
        let before = sent(what);
        while begun.elapsed() < length {
            (0..TURNS).for_each(|_| turn(what));
        }
        (sent(what) - before) as f64 / begun.elapsed().as_secs_f64() / 1e6
    };
    // Caches are warm before it counts.
    go(length / 4);
    go(length)
}

/// What comes in by the first port goes out by the second, as it is.
fn bare(ports: &mut [Box<dyn Port>], length: Duration) -> f64 {
    let (mut burst, mut frames, mut spent) = (Burst::new(), Vec::new(), Vec::new());
    let mut world = (ports, &mut burst, &mut frames, &mut spent);
    rate(
        length,
        &mut world,
        |(ports, burst, frames, spent)| {
            for from in 0..2 {
                ports[from].rx_burst(burst);
                frames.extend(burst.drain().map(|(frame, _)| frame));
                if from == 0 {
                    ports[1].tx_burst(frames, spent);
                    ports[1].flush();
                }
                frames.drain(..).chain(spent.drain(..)).for_each(|frame| ports[from].recycle(frame));
            }
        },
        |(ports, ..)| ports[1].stats().tx_packets,
    )
}

/// The same with the gateway's worker between them.
fn snat(config: &Config, ports: Ports, length: Duration) -> (Ports, f64) {
    let facts = ports.iter().map(|port| PortFacts { mac: port.info().mac, mtu: port.info().mtu }).collect();
    let capacity = Capacity { sessions_v4: 4 * FLOWS, sessions_v6: 0, fragments: fragment::Capacity::NONE };
    let mut worker = Worker::new(ports, Forwarder::new(capacity, [7; 32], NOW));
    let mut control = Control::new(config.clone(), facts, 7, NOW);
    while let Some(order) = control.poll_command_for(WorkerId(0)) {
        if let Order::Install(_) = order {
            worker.handle_command(order, NOW);
        }
    }
    let turn = |worker: &mut Worker<dyn Port>| {
        worker.turn(NOW);
        worker.flush();
        while worker.poll_event().is_some() {}
    };
    let begun = Clock::now();
    while worker.forwarder().sessions().0 < FLOWS {
        turn(&mut worker);
        assert!(begun.elapsed() < Duration::from_secs(30), "each flow gets a session");
    }
    let rate = rate(length, &mut worker, turn, |worker| worker.ports_mut()[1].stats().tx_packets);
    (worker.into_ports(), rate)
}
