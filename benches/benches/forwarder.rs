//! The whole forwarder in memory, the copy that feeds it included; `feed` is that
//! copy alone, to be subtracted.

use std::time::{Duration, Instant};

use causeway_benches::arena::Arena;
use causeway_benches::flows::flows;
use causeway_benches::routes::{Family, pod_cidrs};
use causeway_benches::scale::Scale;
use causeway_benches::world::{With, World};
use causeway_fastpath::burst::Burst;
use causeway_fastpath::snapshot::Snapshot;
use causeway_fastpath::wire::protocol;
use causeway_testkit::seed::Rng;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn forward(criterion: &mut Criterion) {
    forwarding::<u32>(criterion, "ipv4 forward");
    forwarding::<u128>(criterion, "ipv6 forward");
}

fn forwarding<A: Family>(criterion: &mut Criterion, name: &str)
where
    Snapshot: With<A>,
{
    let scale = Scale::asked_for();
    let rng = &mut Rng::new(1);
    let mut group = criterion.benchmark_group("forwarder");
    group.throughput(Throughput::Elements(Burst::MAX as u64));
    for routes in [8, 10_000] {
        let prefixes = pod_cidrs::<A>(scale.of(routes));
        let quick = scale == Scale::Quick;
        let mut world = World::forwarding(&prefixes, prefixes.len(), scale.of(65_536), quick, rng);
        let mut arena = Arena::new();
        group.bench_function(BenchmarkId::new(name, routes), |bencher| bencher.iter(|| world.turn(&mut arena)));
        group.bench_function(BenchmarkId::new(format!("{name}, feed"), routes), |bencher| {
            bencher.iter(|| world.feed(&mut arena));
        });
        world.check();
    }
    group.finish();
}

fn translate(criterion: &mut Criterion) {
    let scale = Scale::asked_for();
    let rng = &mut Rng::new(1);
    let mut arena = Arena::new();
    let mut group = criterion.benchmark_group("forwarder");
    group.throughput(Throughput::Elements(Burst::MAX as u64));
    for (name, protocol) in [("udp hit", protocol::UDP), ("tcp hit", protocol::TCP)] {
        for count in [1, 10_000, 100_000] {
            let flows = flows(scale.of(count), protocol, rng);
            let mut world = World::established(&flows, &mut arena, scale == Scale::Quick, rng);
            group.bench_function(BenchmarkId::new(name, count), |bencher| bencher.iter(|| world.turn(&mut arena)));
            world.check();
        }
    }
    for (name, protocol) in [("udp new", protocol::UDP), ("tcp new", protocol::TCP)] {
        let count = 100_000;
        let mut world = World::island(&flows(scale.of(count), protocol, rng));
        group.bench_function(BenchmarkId::new(name, count), |bencher| {
            bencher.iter_custom(|turns| begin(&mut world, &mut arena, turns));
        });
        world.check();
    }
    group.finish();
}

/// Turns of new sessions; when the table is full, all end outside of the measured time.
fn begin(world: &mut World, arena: &mut Arena, turns: u64) -> Duration {
    let mut spent = Duration::ZERO;
    for _ in 0..turns {
        if world.is_full() {
            world.end_all();
        }
        let start = Instant::now();
        world.turn(arena);
        spent += start.elapsed();
    }
    spent
}

criterion_group!(benches, forward, translate);
criterion_main!(benches);
