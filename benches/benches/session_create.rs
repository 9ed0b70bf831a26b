//! Beginning and ending sessions: the table alone, a map, and all of NAT.

use std::hint::black_box;
use std::sync::Arc;

use causeway_benches::flows::{Flow, flows, session};
use causeway_benches::scale::Scale;
use causeway_fastpath::chance::Chance;
use causeway_fastpath::counters::Counters;
use causeway_fastpath::handoff::Workers;
use causeway_fastpath::ids::{Epoch, PoolId, VrfId};
use causeway_fastpath::nat::{Change, Choice, Nat, SenderLimits, Translation};
use causeway_fastpath::session::{Seed, SessionTable};
use causeway_fastpath::snapshot::{Pool, Tables, Timeouts};
use causeway_fastpath::time::Instant;
use causeway_fastpath::wire::protocol;
use causeway_testkit::seed::Rng;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hashbrown::HashMap;

/// Sessions that are there all the while.
const LIVE: usize = 100_000;
/// Sessions that begin and end again in a turn.
const TURN: usize = 64;

fn create(criterion: &mut Criterion) {
    let live = Scale::asked_for().of(LIVE);
    let mut group = criterion.benchmark_group("session create and end");
    group.throughput(Throughput::Elements(TURN as u64));
    let rng = &mut Rng::new(1);

    // Others each turn, so that every turn meets other buckets.
    let udp = flows(live + 1000 * TURN, protocol::UDP, rng);
    let (standing, passing) = udp.split_at(live);

    let mut table = SessionTable::<u32>::new(udp.len(), Seed([1, 2]), Instant::ZERO);
    for (number, flow) in standing.iter().enumerate() {
        table.insert(session(flow, number), 300_000, Instant::ZERO).expect("the table has room");
    }
    let mut turns = passing.chunks_exact(TURN).cycle();
    group.bench_function("table", |bencher| {
        bencher.iter(|| {
            let begun: [u32; TURN] = each(turns.next(), |number, flow| {
                let session = session(flow, live + number);
                table.insert(session, 300_000, Instant::ZERO).expect("the table has room")
            });
            for number in begun {
                black_box(table.remove(number));
            }
        });
    });

    let mut map = HashMap::with_capacity(2 * udp.len());
    for (number, flow) in standing.iter().enumerate() {
        let session = session(flow, number);
        map.insert(session.forth, session);
        map.insert(session.back, session);
    }
    let mut turns = passing.chunks_exact(TURN).cycle();
    group.bench_function("hashbrown", |bencher| {
        bencher.iter(|| {
            let begun = each(turns.next(), |number, flow| {
                let session = session(flow, live + number);
                map.insert(session.forth, session);
                map.insert(session.back, session);
                session
            });
            for session in begun {
                black_box((map.remove(&session.forth), map.remove(&session.back)));
            }
        });
    });

    for (name, protocol) in [("nat, udp", protocol::UDP), ("nat, tcp", protocol::TCP)] {
        let flows: Vec<Flow> = udp.iter().map(|flow| Flow { protocol, ..*flow }).collect();
        let (standing, passing) = flows.split_at(live);
        let pool = Pool { addresses: (0xcb00_7100..0xcb00_7108).collect(), ..Pool::default() };
        let limits = SenderLimits::default();
        let (outer, inward) = (VrfId::MAIN, false);
        let mut nat = Nat::<u32>::new(flows.len(), Seed([1, 2]), Workers::ALONE, Instant::ZERO);
        let tables = Tables { pools: Arc::from([pool]), ..Tables::empty() };
        let (before, sessions) = (Tables::empty(), nat.sessions.capacity());
        let mut change = Change::new(&before, &tables, &[], Workers::ALONE, sessions, Seed([3, 4]));
        nat.install(&tables, &mut change, Epoch(1));
        nat.settle(&mut change, Instant::ZERO, u32::MAX, &mut Counters::default());
        let (timeouts, mut chance) = (Timeouts::default(), Chance::new([7; 32]));
        let mut begin = |nat: &mut Nat<u32>, flow: &Flow| {
            let translation = Translation { pool: PoolId(0), outer, inward, limits, word: chance.word() };
            nat.begin(&flow.key(), translation, Choice::Any, &timeouts, Instant::ZERO, &mut chance)
                .expect("NAT has room")
        };
        for flow in standing {
            begin(&mut nat, flow);
        }
        let mut turns = passing.chunks_exact(TURN).cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for number in each(turns.next(), |_, flow| begin(&mut nat, flow)) {
                    nat.end(number, Instant::ZERO);
                }
            });
        });
    }
    group.finish();
}

fn each<T>(flows: Option<&[Flow]>, mut begin: impl FnMut(usize, &Flow) -> T) -> [T; TURN] {
    let flows = flows.expect("a cycle has no end");
    std::array::from_fn(|number| begin(number, &flows[number]))
}

criterion_group!(benches, create);
criterion_main!(benches);
