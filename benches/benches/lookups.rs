//! Longest-prefix match beside that of other crates: equal tables, equal addresses, one
//! sitting. Prints nanoseconds an address, and behind them how many times ours that is.

use std::hint::black_box;

use causeway_benches::bgp;
use causeway_benches::rivals::{Contested, Rival, linear, ours};
use causeway_benches::routes::{addresses, local_addresses, mixed_pod_cidrs, pod_cidrs, sequential_addresses, toward};
use causeway_benches::scale::Scale;
use causeway_benches::stopwatch::Stopwatch;
use causeway_fastpath::burst::Burst;
use causeway_fastpath::fib::{NextHop, Prefix};
use causeway_testkit::seed::Rng;

const NEIGHBORS: usize = 64;
const ADDRESSES: usize = 1 << 18;
/// The list is walked for tables up to this.
const FEW: usize = 64;
const ROUNDS: usize = 5;
/// Bursts of a window.
const WINDOW: usize = 32;

fn main() {
    let (scale, rng) = (Scale::asked_for(), &mut Rng::new(1));
    compare::<u32>("IPv4, 64 pod CIDRs", &pod_cidrs(FEW));
    compare::<u32>("IPv4, 10 000 pod CIDRs", &pod_cidrs(scale.of(10_000)));
    compare("IPv4, 10 000 of /24 and /25", &mixed_pod_cidrs(scale.of(10_000)));
    compare("IPv4, 1 000 000 as in BGP", &bgp::ipv4(scale.of(1_000_000), rng));
    compare::<u128>("IPv6, 10 000 pod CIDRs", &pod_cidrs(scale.of(10_000)));
    compare("IPv6, 200 000 as in BGP", &bgp::ipv6(scale.of(200_000), rng));
}

fn compare<A: Contested>(table: &str, prefixes: &[Prefix<A>]) {
    let (count, rng) = (Scale::asked_for().of(ADDRESSES), &mut Rng::new(2));
    let streams = [
        ("random", addresses(prefixes, count, rng)),
        ("local", local_addresses(prefixes, count, rng)),
        ("sequential", sequential_addresses(prefixes, count, rng)),
    ];
    let hops: Vec<NextHop> = (0..prefixes.len()).map(|number| toward(number % NEIGHBORS)).collect();
    let mut contest = vec![ours(prefixes, NEIGHBORS)];
    contest.extend(A::rivals(prefixes, &hops));
    if prefixes.len() <= FEW {
        contest.push(linear(prefixes, &hops));
    }
    agree(&contest, &streams[0].1);
    for (stream, addresses) in &streams {
        let times: Vec<f64> = contest.iter().map(|(_, lookup)| time(lookup, addresses)).collect();
        let cells =
            contest.iter().zip(&times).map(|((name, _), time)| format!("{name} {time:.2} ({:.1})", time / times[0]));
        say(&format!("{table}, {stream}: {}", cells.collect::<Vec<_>>().join(", ")));
    }
}

/// Nobody is fast by being wrong.
fn agree<A: Contested>(contest: &[Rival<A>], addresses: &[A]) {
    for burst in addresses.chunks(Burst::MAX).take(100) {
        let answers = contest.iter().map(|(_, lookup)| {
            let mut answers = [NextHop::NO_ROUTE; Burst::MAX];
            lookup(burst, &mut answers[..burst.len()]);
            answers
        });
        let answers: Vec<_> = answers.collect();
        for ((name, _), theirs) in contest.iter().zip(&answers) {
            assert_eq!(theirs, &answers[0], "{name} agrees");
        }
    }
}

fn time<A: Contested>(lookup: &dyn Fn(&[A], &mut [NextHop]), addresses: &[A]) -> f64 {
    let (mut stopwatch, mut answers) = (Stopwatch::new(), [NextHop::NO_ROUTE; Burst::MAX]);
    for _ in 0..ROUNDS {
        for window in addresses.chunks(WINDOW * Burst::MAX) {
            stopwatch.window(window.len(), || {
                for burst in window.chunks(Burst::MAX) {
                    lookup(black_box(burst), &mut answers[..burst.len()]);
                    black_box(&answers);
                }
            });
        }
        stopwatch.end_round();
    }
    stopwatch.best()
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn say(line: &str) {
    println!("{line}");
}
