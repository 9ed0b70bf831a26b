//! All nodes of a cluster at once, and one that has changed: from what the source says to
//! the tables for the workers.

use std::time::{Duration, Instant};

use causeway_benches::scale::Scale;
use causeway_control::compile::PortFacts;
use causeway_control::config::{ClusterIdx, Config};
use causeway_control::control::Control;
use causeway_control::nodes::{NodeFact, Ready, Update};
use causeway_fastpath::command::{Command, Event};
use causeway_fastpath::time::Instant as Time;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const CONFIG: &str = r#"
gateway.name = "bench"
[[port]]
name = "nodes"
driver = "memory"
addresses = ["172.16.0.1/12"]
[[port]]
name = "uplink"
driver = "memory"
addresses = ["203.0.113.2/24"]
[[cluster]]
name = "blue"
model = "island"
pod-cidrs = ["10.0.0.0/8"]
egress = "masquerade"
ports = ["nodes"]
nodes-from = { in-cluster = true }
"#;

const BLUE: ClusterIdx = ClusterIdx(0);

fn node(at: usize) -> NodeFact {
    let [high, low] = (at as u16).to_be_bytes();
    NodeFact {
        name: format!("node-{at}"),
        addresses: vec![format!("172.17.{high}.{low}")],
        pod_cidrs: vec![format!("10.{high}.{low}.0/24")],
        ready: Ready::Ready,
        flaws: Vec::new(),
    }
}

fn control() -> Control {
    let (config, _) = Config::parse("bench.toml", CONFIG).expect("it is sound");
    let facts = (0..2).map(|at| PortFacts { mac: [2, 0, 0, 0, 0, at], mtu: 1500 }).collect();
    let mut control = Control::new(config, facts, 7, Time::ZERO);
    settle(&mut control);
    control
}

/// Makes the tables that follow.
fn settle(control: &mut Control) {
    while let Some(command) = control.poll_command() {
        if let Command::Transmit(_, frame) | Command::Inject(frame) = command {
            control.handle_event(Event::Spent(frame), Time::ZERO);
        }
    }
}

fn sync(criterion: &mut Criterion) {
    let nodes = Scale::asked_for().of(5_000);
    let all: Vec<_> = (1..=nodes).map(node).collect();
    let mut group = criterion.benchmark_group("nodes");
    group.sample_size(10);
    group.bench_function(BenchmarkId::new("full sync", nodes), |bencher| {
        bencher.iter_custom(|rounds| {
            let mut taken = Duration::ZERO;
            for _ in 0..rounds {
                let (mut control, said) = (control(), Update::All(all.clone()));
                let started = Instant::now();
                control.update_nodes([(BLUE, said)], Time::ZERO);
                settle(&mut control);
                taken += started.elapsed();
                assert_eq!(control.nodes().count(), nodes);
            }
            taken
        });
    });
    let mut control = control();
    control.update_nodes([(BLUE, Update::All(all))], Time::ZERO);
    settle(&mut control);
    let mut at = 0;
    group.bench_function(BenchmarkId::new("a node moves, of", nodes), |bencher| {
        bencher.iter(|| {
            at += 1;
            let mut moved = node(1 + at % nodes);
            moved.addresses = vec![format!("172.18.{}.{}", at / 250 % 250, 1 + at % 250)];
            control.update_nodes([(BLUE, Update::One(moved))], Time::ZERO);
            settle(&mut control);
        });
    });
    group.finish();
}

criterion_group!(benches, sync);
criterion_main!(benches);
