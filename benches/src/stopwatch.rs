//! A clock for a machine that others use too.

use std::time::Instant;

/// Nanoseconds an item, on a noisy machine: the best round, and of each round the
/// median window.
///
/// Whoever else runs on the machine can only add to a window. The median drops
/// the windows in which we were interrupted, the best round the times in which
/// caches and clock were shared; neither picks windows whose work was easy.
#[derive(Debug, Default)]
pub struct Stopwatch {
    windows: Vec<f64>,
    rounds: Vec<f64>,
}

impl Stopwatch {
    /// Nothing measured yet.
    pub fn new() -> Stopwatch {
        Stopwatch::default()
    }

    /// Runs `work`, which treats `items`, as a window of the current round.
    pub fn window<T>(&mut self, items: usize, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.windows.push(start.elapsed().as_nanos() as f64 / items as f64);
        result
    }

    /// As [`Stopwatch::window`], for work that says itself how many items it treated.
    pub fn window_of(&mut self, work: impl FnOnce() -> usize) -> usize {
        let start = Instant::now();
        let items = work();
        self.windows.push(start.elapsed().as_nanos() as f64 / items as f64);
        items
    }

    /// Ends the round.
    ///
    /// # Panics
    /// There was no window in it.
    pub fn end_round(&mut self) {
        self.rounds.push(median(&mut self.windows));
        self.windows.clear();
    }

    /// Nanoseconds an item in the best round.
    ///
    /// # Panics
    /// There was no round.
    pub fn best(&self) -> f64 {
        self.rounds.iter().copied().min_by(f64::total_cmp).expect("a round was measured")
    }

    /// Nanoseconds an item in the median round: how far it lies above the best
    /// says how noisy the machine was.
    ///
    /// # Panics
    /// There was no round.
    pub fn typical(&self) -> f64 {
        median(&mut self.rounds.clone())
    }
}

fn median(values: &mut [f64]) -> f64 {
    assert!(!values.is_empty(), "something was measured");
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_round_is_told_by_its_median_window() {
        let mut stopwatch = Stopwatch::new();
        for round in [[9.0, 1.0, 5.0], [4.0, 3.0, 100.0], [7.0, 7.0, 7.0]] {
            stopwatch.windows.extend(round);
            stopwatch.end_round();
        }
        assert_eq!((stopwatch.best(), stopwatch.typical()), (4.0, 5.0));
    }
}
