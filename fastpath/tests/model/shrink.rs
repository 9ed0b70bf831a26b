//! A run that failed, told by the fewest operations that were found to fail.

use crate::operation::Operation;
use crate::run::{Failure, play};
use crate::scene::Scene;

/// Runs that are spent on it.
const RUNS: usize = 3_000;

/// What went wrong, after operations that did not matter were taken away.
pub(crate) fn story(scene: &Scene, chance: u64, mut operations: Vec<Operation>) -> String {
    let mut runs = 0;
    let mut fails = |operations: &[Operation]| -> Option<Failure> {
        runs += 1;
        (runs <= RUNS).then(|| play(scene, chance, operations).err()).flatten()
    };
    let mut story = String::new();
    let mut chunk = operations.len();
    while chunk > 0 {
        let mut at = 0;
        while at < operations.len() {
            let end = operations.len().min(at + chunk);
            let rest = [&operations[..at], &operations[end..]].concat();
            // The first time round nothing is left out: where did it fail?
            let rest = if story.is_empty() { operations.clone() } else { rest };
            match fails(&rest) {
                Some(failure) => {
                    operations = rest;
                    operations.truncate(failure.after + 1);
                    story = failure.story;
                }
                None => at = end,
            }
        }
        chunk /= 2;
    }
    let Scene {
        masquerade,
        has_own,
        crowded,
        keep_ports,
        picks_up,
        tcp,
        udp,
        burst,
        capacity,
        ports,
        addresses,
        forwards,
        ..
    } = scene;
    format!(
        "{} operations (masquerade {masquerade}, own {has_own}, crowded {crowded}, keep {keep_ports}, picks up {picks_up}, tcp {tcp:?}, udp {udp:?}, burst {burst}, \
         capacity {capacity}, ports {ports}, addresses {addresses}, forwards {forwards:?}):\n{story}",
        operations.len()
    )
}
