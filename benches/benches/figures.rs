//! The figures by which machines and commits are compared: one line a row,
//! `name<TAB>value<TAB>unit`. `docs/performance.md` says what each means.

use std::hint::black_box;

use causeway_benches::arena::Arena;
use causeway_benches::bgp;
use causeway_benches::control::Routing;
use causeway_benches::flows::flows;
use causeway_benches::handed::Handed;
use causeway_benches::routes::{Family, addresses, builder, fib, mixed_pod_cidrs, pod_cidrs, toward};
use causeway_benches::scale::Scale;
use causeway_benches::scenario::{DESTINATIONS, PEERS, WARM};
use causeway_benches::stopwatch::Stopwatch;
use causeway_benches::world::World;
use causeway_fastpath::burst::Burst;
use causeway_fastpath::fib::{Fib, NextHop, Prefix};
use causeway_fastpath::forwarder::{Capacity, Forwarder};
use causeway_fastpath::fragment;
use causeway_fastpath::time::Instant;
use causeway_fastpath::wire::protocol;
use causeway_testkit::seed::Rng;

/// Bursts of a window: short beside a scheduler's time slice, so that most windows
/// pass undisturbed on a machine that is busy, and long beside reading a clock.
const WINDOW: usize = 32;
/// Addresses looked up in a table by itself.
const ADDRESSES: usize = 1 << 20;

fn main() {
    let rows = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    Figures { scale: Scale::asked_for(), rows, started: std::time::Instant::now() }.run();
}

struct Figures {
    scale: Scale,
    /// Parts of the names of the rows wanted; empty for all.
    rows: Vec<String>,
    started: std::time::Instant,
}

impl Figures {
    fn run(&self) {
        let (of, rng) = (|full| self.scale.of(full), || Rng::new(1));
        let internet = || bgp::ipv4(of(1_000_000), &mut rng());
        for scenario in &WARM {
            self.row(scenario.name, |name| {
                let mut arena = Arena::new();
                self.processing(name, scenario.world(self.scale, &mut arena), arena);
            });
        }
        self.row("nat_handed_10k", |name| self.handed(name, 2 * 10_000));
        self.row("nat_new", |name| self.begun(name, 1_000_000));
        self.row("nat_expire_1m", |name| self.expired(name, 1_000_000));
        self.row("install_1m", |name| self.installed(name, 1_000_000, &internet()));
        self.row("lpm_v4_5k", |name| self.lookups::<u32>(name, &pod_cidrs(of(5_000)), of(ADDRESSES)));
        self.row("lpm_v4_10k", |name| self.lookups::<u32>(name, &pod_cidrs(of(10_000)), of(ADDRESSES)));
        self.row("lpm_v4_10k_mixed", |name| self.lookups(name, &mixed_pod_cidrs(of(10_000)), of(ADDRESSES)));
        self.row("lpm_v4_1m", |name| self.lookups(name, &internet(), of(ADDRESSES)));
        self.row("lpm_v4_1m_64k", |name| self.lookups(name, &internet(), of(DESTINATIONS)));
        self.row("lpm_v4_1m_uniform", |name| {
            let rng = &mut Rng::new(2);
            let anywhere: Vec<u32> = (0..of(ADDRESSES)).map(|_| rng.u32()).collect();
            self.lookups_of(name, &fib(&internet(), PEERS), &anywhere);
        });
        self.row("lpm_v6_10k", |name| self.lookups::<u128>(name, &pod_cidrs(of(10_000)), of(ADDRESSES)));
        self.row("lpm_v6_200k", |name| self.lookups(name, &bgp::ipv6(of(200_000), &mut rng()), of(ADDRESSES)));
        self.row("fib_build_1m", |name| self.builds(name, &internet()));
        self.row("fib_change_1m", |name| self.changes(name, &internet()));
        self.row("fib_change_v6_200k", |name| self.changes(name, &bgp::ipv6(of(200_000), &mut rng())));
        self.row("route_change_1m", |name| self.route_changes(name, 1_000_000));
        self.row("session_bytes_v4", |name| self.print(name, session_bytes().0, "bytes"));
        self.row("session_bytes_v6", |name| self.print(name, session_bytes().1, "bytes"));
    }

    /// A row, if it is wanted.
    fn row(&self, name: &str, measure: impl FnOnce(&str)) {
        if self.rows.is_empty() || self.rows.iter().any(|part| name.contains(part)) {
            measure(name);
        }
    }

    /// The whole forwarder, less the copy that feeds it.
    fn processing(&self, name: &str, mut world: World, mut arena: Arena) {
        let (mut whole, mut feed) = (Stopwatch::new(), Stopwatch::new());
        for _ in 0..self.rounds() {
            self.round(&mut whole, world.packets().len(), || world.turn(&mut arena));
            self.round(&mut feed, world.packets().len(), || world.feed(&mut arena));
        }
        world.check();
        self.rate(name, &whole, &feed);
    }

    /// As `nat_hit`, and every packet comes to the wrong one of two workers. Half of so many
    /// flows are the other one's.
    fn handed(&self, name: &str, flows_of_both: usize) {
        let flows = flows(self.scale.of(flows_of_both), protocol::UDP, &mut Rng::new(1));
        let mut arena = Arena::new();
        let mut world = Handed::established(&flows, &mut arena, self.quick(), &mut Rng::new(1));
        let (mut whole, mut feed) = (Stopwatch::new(), Stopwatch::new());
        for _ in 0..self.rounds() {
            self.round(&mut whole, world.packets().len(), || world.turn(&mut arena));
            self.round(&mut feed, world.packets().len(), || world.feed(&mut arena));
        }
        world.check();
        self.rate(name, &whole, &feed);
    }

    /// Every packet begins a session, from an empty table to a full one. Ending
    /// them again is not measured.
    fn begun(&self, name: &str, sessions: usize) {
        let flows = flows(self.scale.of(sessions), protocol::UDP, &mut Rng::new(1));
        let mut arena = Arena::new();
        let mut world = World::island(&flows);
        let (mut whole, mut feed) = (Stopwatch::new(), Stopwatch::new());
        for round in 0..self.rounds().min(6) {
            self.fill(&mut whole, flows.len(), || world.turn(&mut arena));
            self.fill(&mut feed, flows.len(), || world.feed(&mut arena));
            assert_eq!(world.forwarder().counters().sessions_created, (round + 1) * flows.len() as u64);
            world.end_all();
        }
        world.check();
        self.rate(name, &whole, &feed);
    }

    /// A million sessions are due at once: what one costs, and how long a worker's turn
    /// is kept but for one time in a thousand, when somebody else was let use the core.
    fn expired(&self, name: &str, sessions: usize) {
        let flows = flows(self.scale.of(sessions), protocol::UDP, &mut Rng::new(1));
        let mut arena = Arena::new();
        let mut world = World::island(&flows);
        let (mut total, mut longest) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..self.rounds().min(6) {
            for _ in 0..flows.len().div_ceil(Burst::MAX) {
                world.turn(&mut arena);
            }
            let calls = world.end_all_measured();
            let (last, long) = (calls[calls.len() - 1] as f64, calls[calls.len() * 999 / 1000] as f64);
            self.say(&format!(
                "{name}: {} turns, all but one in a thousand within {:.1} us, the longest {:.1} us",
                calls.len(),
                long / 1000.0,
                last / 1000.0
            ));
            longest = longest.min(long);
            total = total.min(calls.iter().sum::<u64>() as f64);
        }
        self.print(name, total / flows.len() as f64, "ns");
        self.print(&format!("{name}_turn"), longest / 1000.0, "us");
    }

    /// Other tables with a million routes are installed under a million sessions: how long a
    /// worker is kept at most, but for one time in a thousand, as with [`Figures::expired`]; and
    /// how long it takes until all sessions were judged.
    fn installed(&self, name: &str, sessions: usize, prefixes: &[Prefix<u32>]) {
        let flows = flows(self.scale.of(sessions), protocol::UDP, &mut Rng::new(1));
        let (mut total, mut longest, mut first) = (f64::INFINITY, f64::INFINITY, f64::INFINITY);
        for _ in 0..self.rounds().min(4) {
            let mut world = World::established(&flows, &mut Arena::new(), self.quick(), &mut Rng::new(1));
            let mut calls = world.install_measured(&flows, prefixes);
            let installation = calls[0] as f64;
            total = total.min(calls.iter().sum::<u64>() as f64);
            calls.sort_unstable();
            let (last, long) = (calls[calls.len() - 1] as f64, calls[calls.len() * 999 / 1000] as f64);
            let left = world.forwarder().sessions().0;
            self.say(&format!(
                "{name}: {left} sessions are left; {} turns, all but one in a thousand within {:.1} us, the \
                 longest {:.1} us, the installation {:.1} us",
                calls.len() - 1,
                long / 1000.0,
                last / 1000.0,
                installation / 1000.0
            ));
            longest = longest.min(long);
            first = first.min(installation);
        }
        self.print(name, first / 1000.0, "us");
        self.print(&format!("{name}_turn"), longest / 1000.0, "us");
        self.print(&format!("{name}_settled"), total / 1_000_000.0, "ms");
    }

    /// All the packets, and at least a million of them, in windows.
    fn round(&self, stopwatch: &mut Stopwatch, packets: usize, turn: impl FnMut() -> usize) {
        self.fill(stopwatch, if self.quick() { packets } else { packets.max(1_000_000) }, turn);
    }

    fn fill(&self, stopwatch: &mut Stopwatch, packets: usize, mut turn: impl FnMut() -> usize) {
        let mut done = 0;
        while done < packets {
            let bursts = (packets - done).div_ceil(Burst::MAX).min(WINDOW);
            done += stopwatch.window_of(|| (0..bursts).map(|_| turn()).sum());
        }
        stopwatch.end_round();
    }

    /// As many addresses, each in a random route.
    fn lookups<A: Family>(&self, name: &str, prefixes: &[Prefix<A>], count: usize) {
        self.lookups_of(name, &fib(prefixes, PEERS), &addresses(prefixes, count, &mut Rng::new(2)));
    }

    /// Addresses in bursts, over and over; at least [`ADDRESSES`] a round.
    fn lookups_of<A: Family>(&self, name: &str, fib: &Fib<A>, addresses: &[A]) {
        self.say(&format!("{name}: {} routes in {} bytes", fib.len(), fib.bytes()));
        let mut answers = [NextHop::NO_ROUTE; Burst::MAX];
        let mut stopwatch = Stopwatch::new();
        let repeats = self.scale.of(ADDRESSES) / addresses.len();
        for _ in 0..self.rounds() {
            for window in (0..repeats).flat_map(|_| addresses.chunks(WINDOW * Burst::MAX)) {
                stopwatch.window(window.len(), || {
                    for burst in window.chunks(Burst::MAX) {
                        fib.lookup_burst(black_box(burst), &mut answers[..burst.len()]);
                        black_box(&answers);
                    }
                });
            }
            stopwatch.end_round();
        }
        self.noise(name, &stopwatch);
        self.print(name, stopwatch.best(), "ns");
    }

    /// One route comes, and goes again: from the change to the tables for workers.
    fn route_changes(&self, name: &str, routes: usize) {
        const GUESTS: usize = 50;
        let prefixes = bgp::ipv4(self.scale.of(routes) + GUESTS, &mut Rng::new(1));
        let (residents, guests) = prefixes.split_at(prefixes.len() - GUESTS);
        let mut routing = Routing::new(residents, PEERS);
        let mut stopwatch = Stopwatch::new();
        for _ in 0..self.rounds().min(6) {
            for (peer, guest) in guests.iter().enumerate() {
                for change in [routing.route(*guest, peer), routing.withdrawal(*guest)] {
                    let tables = stopwatch.window(1, || routing.change([change]));
                    routing.install(tables);
                }
            }
            stopwatch.end_round();
        }
        self.noise(name, &stopwatch);
        self.print(name, stopwatch.best() / 1000.0, "us");
    }

    /// From a full set of routes to the first table.
    fn builds<A: Family>(&self, name: &str, prefixes: &[Prefix<A>]) {
        let builder = builder(prefixes, PEERS);
        let mut times: Vec<f64> = (0..self.rounds().min(5)).map(|_| milliseconds(|| builder.clone().build())).collect();
        times.sort_by(f64::total_cmp);
        self.say(&format!("{name}: {times:.1?} ms"));
        self.print(name, times[0], "ms");
    }

    /// One route more, one less or one that leads elsewhere, and a new table; the old one
    /// is dropped, as control does when a worker sends it back.
    fn changes<A: Family>(&self, name: &str, prefixes: &[Prefix<A>]) {
        let (mut builder, rng) = (builder(prefixes, PEERS), &mut Rng::new(3));
        let mut fib = builder.build();
        let mut times: Vec<f64> = (0..500)
            .map(|number| {
                let prefix = *rng.choose(prefixes);
                1000.0
                    * milliseconds(|| {
                        if number % 2 == 0 {
                            builder.remove(prefix);
                        } else {
                            builder.insert(prefix, toward(rng.below(PEERS as u64) as usize));
                        }
                        fib = builder.build();
                    })
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let (median, nine_in_ten, worst) = (times[250], times[450], times[499]);
        self.say(&format!(
            "{name}: median {median:.0} us, nine in ten within {nine_in_ten:.0} us, worst {worst:.0} us"
        ));
        self.print(name, median, "us");
        self.print(&format!("{name}_worst"), worst, "us");
    }

    fn rate(&self, name: &str, whole: &Stopwatch, feed: &Stopwatch) {
        self.noise(name, whole);
        let ns = whole.best() - feed.best();
        self.say(&format!("{name}: {ns:.2} ns a packet; the copy, not counted, {:.2} ns", feed.best()));
        let unit = if name == "nat_new" { "M/s" } else { "Mpps" };
        self.print(name, 1000.0 / ns, unit);
    }

    fn noise(&self, name: &str, stopwatch: &Stopwatch) {
        let (best, typical) = (stopwatch.best(), stopwatch.typical());
        self.say(&format!("{name}: best round {best:.2} ns, median round {typical:.2} ns"));
    }

    fn quick(&self) -> bool {
        self.scale == Scale::Quick
    }

    fn rounds(&self) -> u64 {
        if self.quick() { 2 } else { 15 }
    }

    #[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
    fn print(&self, name: &str, value: f64, unit: &str) {
        println!("{name}\t{value:.2}\t{unit}");
    }

    #[expect(clippy::print_stderr, reason = "progress, out of the way of the figures")]
    fn say(&self, what: &str) {
        eprintln!("[{:6.1} s] {what}", self.started.elapsed().as_secs_f64());
    }
}

/// How long `work` takes; what it returns is dropped within.
fn milliseconds<T>(work: impl FnOnce() -> T) -> f64 {
    let start = std::time::Instant::now();
    drop(black_box(work()));
    start.elapsed().as_secs_f64() * 1000.0
}

/// What a live session takes in a full table of a million, in bytes: index, record,
/// timer and binding; IPv4 and IPv6. What is there without any session is not counted.
fn session_bytes() -> (f64, f64) {
    let bytes = |sessions| {
        let capacity = Capacity { sessions_v4: sessions, sessions_v6: sessions, fragments: fragment::Capacity::NONE };
        Forwarder::new(capacity, [7; 32], Instant::ZERO).bytes()
    };
    let (sessions, empty) = (1_000_000, bytes(0));
    let (v4, v6) = bytes(sessions);
    ((v4 - empty.0) as f64 / sessions as f64, (v6 - empty.1) as f64 / sessions as f64)
}
