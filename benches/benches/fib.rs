//! Longest-prefix match in bursts, beside its slow twin, and the compilation of tables.

use std::hint::black_box;

use causeway_benches::bgp;
use causeway_benches::routes::{Family, addresses, fib, pod_cidrs, toward};
use causeway_benches::scale::Scale;
use causeway_fastpath::burst::Burst;
use causeway_fastpath::fib::reference::ReferenceFib;
use causeway_fastpath::fib::{FibBuilder, NextHop, Prefix};
use causeway_testkit::seed::Rng;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const NEIGHBORS: usize = 64;
const ADDRESSES: usize = 1 << 20;

fn lookup(criterion: &mut Criterion) {
    let scale = Scale::asked_for();
    let rng = &mut Rng::new(1);
    lookups::<u32>(criterion, "ipv4 pod CIDRs", &pod_cidrs(scale.of(5_000)), rng);
    lookups(criterion, "ipv4 BGP", &bgp::ipv4(scale.of(1_000_000), rng), rng);
    lookups::<u128>(criterion, "ipv6 pod CIDRs", &pod_cidrs(scale.of(5_000)), rng);
    lookups(criterion, "ipv6 BGP", &bgp::ipv6(scale.of(200_000), rng), rng);
}

/// Bursts of 64 addresses, each in a route drawn anew.
fn lookups<A: Family>(criterion: &mut Criterion, name: &str, prefixes: &[Prefix<A>], rng: &mut Rng) {
    let mut group = criterion.benchmark_group("lpm");
    group.throughput(Throughput::Elements(Burst::MAX as u64));
    let addresses = addresses(prefixes, Scale::asked_for().of(ADDRESSES), rng);
    let fib = fib(prefixes, NEIGHBORS);
    let mut bursts = addresses.chunks_exact(Burst::MAX).cycle();
    let mut answers = [NextHop::NO_ROUTE; Burst::MAX];
    group.bench_function(BenchmarkId::new(name, prefixes.len()), |bencher| {
        bencher.iter(|| {
            fib.lookup_burst(bursts.next().expect("a cycle has no end"), &mut answers);
            black_box(&answers);
        });
    });

    // The twin walks all its routes: a few are enough of it.
    let few = &prefixes[..64];
    let mut reference = ReferenceFib::default();
    for (number, prefix) in few.iter().enumerate() {
        reference.insert(*prefix, toward(number % NEIGHBORS));
    }
    let burst: Vec<A> = (0..Burst::MAX).map(|_| A::inside(*rng.choose(few), rng)).collect();
    group.bench_function(BenchmarkId::new(format!("{name}, linear"), few.len()), |bencher| {
        bencher.iter(|| {
            for address in &burst {
                black_box(reference.lookup(*address));
            }
        });
    });
    group.finish();
}

/// Compiling a table from all its routes.
fn build(criterion: &mut Criterion) {
    let scale = Scale::asked_for();
    builds(criterion, "ipv4 pod CIDRs", 5_000, &pod_cidrs::<u32>(scale.of(5_000)));
    builds(criterion, "ipv4 pod CIDRs", 10_000, &pod_cidrs::<u32>(scale.of(10_000)));
    builds(criterion, "ipv4 BGP", 1_000_000, &bgp::ipv4(scale.of(1_000_000), &mut Rng::new(1)));
}

fn builds(criterion: &mut Criterion, name: &str, count: usize, prefixes: &[Prefix<u32>]) {
    let mut builder = FibBuilder::new();
    for (number, prefix) in prefixes.iter().enumerate() {
        builder.insert(*prefix, toward(number % NEIGHBORS));
    }
    let mut group = criterion.benchmark_group("build");
    group.sample_size(10);
    group.bench_function(BenchmarkId::new(name, count), |bencher| {
        bencher.iter_batched(|| builder.clone(), |mut builder| builder.build(), BatchSize::PerIteration)
    });
    group.finish();
}

criterion_group!(benches, lookup, build);
criterion_main!(benches);
