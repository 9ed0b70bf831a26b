//! One, two, four and eight workers in virtual time: real control, real workers, memory
//! ports and rings, and around them hosts that talk through them. Whatever goes wrong, all
//! that workers count stays right after each turn, and once it stops every conversation
//! comes to its end and nothing of it is left.
//!
//! Each course follows from one number. A failure prints it; `CAUSEWAY_SEED` plays it again.

mod connections;
mod directed;
mod fates;
mod frame;
mod gateway;
mod hosts;
mod mishap;
mod names;
mod place;
mod run;
mod scheme;
mod station;
mod talk;
mod weather;

use causeway_testkit::memory::Counting;
use causeway_testkit::seed::Seed;

use run::Run;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Plays so many courses; or, told a seed, that one alone.
fn plays(workers: usize, courses: u64) {
    let told = std::env::var_os("CAUSEWAY_SEED").is_some();
    for number in 0..if told { 1 } else { courses } {
        let seed = Seed::from_env_or((workers as u64) << 32 | number);
        Run::new(workers, seed.rng()).play();
    }
}

#[test]
fn one_worker_heals() {
    plays(1, 1_000);
}

#[test]
fn two_workers_heal() {
    plays(2, 1_000);
}

#[test]
fn four_workers_heal() {
    plays(4, 700);
}

#[test]
fn eight_workers_heal() {
    plays(8, 400);
}
