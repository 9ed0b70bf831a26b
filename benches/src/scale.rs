//! How much to do: enough to measure, or just enough to see that it runs.

/// Full size, or a smoke test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// The sizes that the rows name.
    Full,
    /// At most a thousand of everything; the figures mean nothing.
    Quick,
}

/// The most routes, flows or packets of a smoke test.
const QUICK: usize = 1000;

impl Scale {
    /// As the command line and the environment ask for.
    ///
    /// `cargo bench` passes `--bench` and gets full size; `cargo test --benches`
    /// does not, and gets a smoke test, as with criterion. `--test` or
    /// `CAUSEWAY_BENCH_QUICK=1` ask for the smoke test in any case.
    pub fn asked_for() -> Scale {
        let has = |flag: &str| std::env::args().any(|argument| argument == flag);
        let quick = std::env::var("CAUSEWAY_BENCH_QUICK").is_ok_and(|value| value != "0");
        if has("--bench") && !has("--test") && !quick { Scale::Full } else { Scale::Quick }
    }

    /// `full`, or less.
    pub fn of(self, full: usize) -> usize {
        match self {
            Scale::Full => full,
            Scale::Quick => full.min(QUICK),
        }
    }
}
