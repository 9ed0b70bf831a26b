//! Where the time of a packet goes: nanoseconds a packet, stage by stage.

use std::hint::black_box;
use std::time::Instant;

use causeway_benches::arena::Arena;
use causeway_benches::scale::Scale;
use causeway_benches::scenario::{Scenario, WARM};
use causeway_benches::world::World;
use causeway_fastpath::forwarder::Stage;

/// Bursts of a round.
const BURSTS: usize = 4096;

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
fn main() {
    let scale = Scale::asked_for();
    let names: Vec<&str> = Stage::ALL.iter().map(|stage| stage.name()).collect();
    println!("nanoseconds a packet\n");
    println!("{:<14}{}{:>9}", "", names.iter().map(|name| format!("{name:>9}")).collect::<String>(), "sum");
    for scenario in &WARM {
        let costs = costs(scenario, scale);
        let cells: String = costs.iter().map(|ns| format!("{ns:>9.2}")).collect();
        println!("{:<14}{cells}{:>9.2}", scenario.name, costs.iter().sum::<f64>());
    }
}

/// Nanoseconds a packet of each stage: the best of several rounds.
fn costs(scenario: &Scenario, scale: Scale) -> [f64; Stage::ALL.len()] {
    let mut arena = Arena::new();
    let mut world = scenario.world(scale, &mut arena);
    let (rounds, bursts) = if scale == Scale::Quick { (1, 16) } else { (9, BURSTS) };
    let clock = clock_ns();
    let mut best = [f64::INFINITY; Stage::ALL.len()];
    for _ in 0..rounds {
        for (best, ns) in best.iter_mut().zip(round(bursts, &mut world, &mut arena, clock)) {
            *best = best.min(ns);
        }
    }
    world.check();
    best
}

/// What it costs to read the clock, in nanoseconds.
fn clock_ns() -> f64 {
    let reads = 10_000;
    let start = Instant::now();
    for _ in 0..reads {
        black_box(Instant::now());
    }
    start.elapsed().as_nanos() as f64 / f64::from(reads)
}

/// One round, without what it costs to read the clock.
fn round(bursts: usize, world: &mut World, arena: &mut Arena, clock_ns: f64) -> [f64; Stage::ALL.len()] {
    let mut spent = [0f64; Stage::ALL.len()];
    let mut packets = 0;
    for _ in 0..bursts {
        let mut since = Instant::now();
        packets += world.turn_observed(arena, |stage| {
            let now = Instant::now();
            if let Some(stage) = stage {
                spent[stage as usize] += (now - since).as_nanos() as f64 - clock_ns;
            }
            since = now;
        });
    }
    spent.map(|ns| (ns / packets as f64).max(0.0))
}
