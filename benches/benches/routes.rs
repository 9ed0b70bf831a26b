//! One route more and one less, from the change to the tables for the workers.

use std::time::{Duration, Instant};

use causeway_benches::bgp;
use causeway_benches::control::Routing;
use causeway_benches::routes::pod_cidrs;
use causeway_benches::scale::Scale;
use causeway_fastpath::fib::Prefix;
use causeway_testkit::seed::Rng;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const PEERS: usize = 64;
/// Routes that come and go.
const GUESTS: usize = 1000;

fn change(criterion: &mut Criterion) {
    let scale = Scale::asked_for();
    changes(criterion, "pod CIDRs", &pod_cidrs(scale.of(10_000) + GUESTS));
    changes(criterion, "BGP", &bgp::ipv4(scale.of(1_000_000) + GUESTS, &mut Rng::new(1)));
}

/// The last prefixes come and go, one after the other.
fn changes(criterion: &mut Criterion, name: &str, prefixes: &[Prefix<u32>]) {
    let (residents, guests) = prefixes.split_at(prefixes.len() - GUESTS);
    let mut routing = Routing::new(residents, PEERS);
    let mut guests = guests.iter().cycle();
    let mut group = criterion.benchmark_group("route change");
    group.sample_size(10);
    group.bench_function(BenchmarkId::new(name, residents.len()), |bencher| {
        bencher.iter_custom(|rounds| {
            let mut taken = Duration::ZERO;
            for _ in 0..rounds {
                let guest = *guests.next().expect("a cycle has no end");
                for change in [routing.route(guest, 1), routing.withdrawal(guest)] {
                    let started = Instant::now();
                    let tables = routing.change([change]);
                    taken += started.elapsed() / 2;
                    routing.install(tables);
                }
            }
            taken
        });
    });
    group.finish();
}

criterion_group!(benches, change);
criterion_main!(benches);
