//! Finding sessions in bursts, beside a map from the crates that everybody uses.

use std::hint::black_box;

use causeway_benches::flows::{flows, session};
use causeway_benches::scale::Scale;
use causeway_fastpath::burst::Burst;
use causeway_fastpath::session::{Found, Seed, SessionTable};
use causeway_fastpath::time::Instant;
use causeway_fastpath::wire::protocol;
use causeway_testkit::seed::Rng;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hashbrown::HashMap;

fn hit(criterion: &mut Criterion) {
    let scale = Scale::asked_for();
    let rng = &mut Rng::new(1);
    let mut group = criterion.benchmark_group("session hit");
    group.throughput(Throughput::Elements(Burst::MAX as u64));
    for count in [10_000, 100_000, 1_000_000] {
        let flows = flows(scale.of(count), protocol::UDP, rng);
        let mut table = SessionTable::<u32>::new(flows.len(), Seed([1, 2]), Instant::ZERO);
        let mut map = HashMap::with_capacity(2 * flows.len());
        let mut keys = Vec::with_capacity(2 * flows.len());
        for (number, flow) in flows.iter().enumerate() {
            let session = session(flow, number);
            let found = table.insert(session, 300_000, Instant::ZERO).expect("the table has room");
            for key in [session.forth, session.back] {
                map.insert(key, found);
                keys.push(key);
            }
        }
        rng.shuffle(&mut keys);

        let mut bursts = keys.chunks_exact(Burst::MAX).cycle();
        let mut found: [Option<Found>; Burst::MAX] = [None; Burst::MAX];
        group.bench_function(BenchmarkId::new("table", count), |bencher| {
            bencher.iter(|| {
                table.find_burst(bursts.next().expect("a cycle has no end"), &mut found);
                black_box(&found);
            });
        });
        let mut bursts = keys.chunks_exact(Burst::MAX).cycle();
        group.bench_function(BenchmarkId::new("hashbrown", count), |bencher| {
            bencher.iter(|| {
                for key in bursts.next().expect("a cycle has no end") {
                    black_box(map.get(key));
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, hit);
criterion_main!(benches);
