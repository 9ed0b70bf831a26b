//! The NAT against a slow, obvious one: random operations in a tiny world, and after each
//! of them verdict, bytes, sessions and counters are what the rules say.
//!
//! A run that fails says its seed and the shortest list of operations that was found to
//! fail; `CAUSEWAY_SEED` plays that seed alone.

#[expect(dead_code, unused_imports, reason = "shared with the tests of whole packets, which use all of it")]
#[path = "../world/mod.rs"]
mod world;

mod flooding;
mod flow;
mod judge;
mod noise;
mod operation;
mod reference;
mod run;
mod scene;
mod shrink;
mod traffic;

use causeway_testkit::seed::Seed;

use operation::Operation;
use run::Met;
use scene::Scene;
use world::{Family, V4, V6};

/// Operations of a run.
const LENGTH: usize = 4_000;

/// What must have happened often, or the runs say little.
const MET: [&str; 26] = [
    "forwarded",
    "replied",
    "unresolved",
    "neighbor-dead",
    "nat-icmp-error-unmatched",
    "nat-tcp-not-syn",
    "translated-out",
    "translated-in",
    "translated-errors",
    "sessions-ended",
    "hairpin",
    "let in",
    "hairpin, let in",
    "name at rest",
    "nat-unsolicited",
    "nat-ports-exhausted",
    "nat-table-full",
    "picked-up",
    "syn-received",
    "established",
    "half-closed",
    "closing",
    "reset",
    "survives",
    "translated anew",
    "ends",
];

/// And where several work together.
const MET_BY_SEVERAL: [&str; 3] = ["handed-on", "turned", "lent"];

/// Workers of a world that says nothing else.
const WORKERS: u16 = 1;

/// Plays so many runs, each in a world of its own; or, told a seed, that one alone.
fn agrees(workers: u16, family: Family, masquerade: bool, runs: u64) {
    let told = std::env::var_os("CAUSEWAY_SEED").is_some();
    let first = u64::from(masquerade) << 32 | u64::from(workers) << 48;
    let mut met = Met::new();
    for number in if told { 0..1 } else { 0..runs } {
        let seed = Seed::from_env_or(first + number);
        let mut rng = seed.rng();
        let scene = Scene::draw(workers, family, masquerade, &mut rng);
        let operations: Vec<Operation> = (0..LENGTH).map(|_| Operation::draw(&mut rng)).collect();
        let chance = rng.u64();
        match run::play(&scene, chance, &operations) {
            Ok(again) => again.into_iter().for_each(|(name, times)| *met.entry(name).or_default() += times),
            Err(_) => panic!("{}", shrink::story(&scene, chance, operations)),
        }
    }
    if told {
        return;
    }
    for name in if workers > 1 { &MET_BY_SEVERAL[..] } else { &[] } {
        assert!(met[name] >= runs, "{name} was met {} times", met[name]);
    }
    for name in MET.into_iter().filter(|name| workers == 1 || *name != "nat-table-full") {
        assert!(met[name] >= runs, "{name} was met {} times", met[name]);
    }
}

#[test]
fn an_ipv4_pool_keeps_the_rules() {
    agrees(1, V4, false, 180);
}

#[test]
fn an_ipv6_pool_keeps_the_rules() {
    agrees(1, V6, false, 180);
}

#[test]
fn an_ipv4_port_that_masquerades_keeps_the_rules() {
    agrees(1, V4, true, 120);
}

#[test]
fn an_ipv6_port_that_masquerades_keeps_the_rules() {
    agrees(1, V6, true, 120);
}

#[test]
fn two_workers_keep_the_rules_as_one_does() {
    agrees(2, V4, false, 60);
    agrees(2, V6, true, 60);
}

#[test]
fn four_workers_keep_the_rules_as_one_does() {
    agrees(4, V6, false, 60);
    agrees(4, V4, true, 60);
}

#[test]
fn eight_workers_keep_the_rules_as_one_does() {
    agrees(8, V4, false, 60);
    agrees(8, V6, true, 60);
}
