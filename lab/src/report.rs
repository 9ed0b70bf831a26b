//! What a lab found out, as data.

use serde::Serialize;

use crate::driver::Driver;
use crate::privilege::Privilege;

/// Everything that a lab found out.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What the lab was allowed to do.
    pub privilege: Privilege,
    /// One run of all checks for each driver.
    pub runs: Vec<Run>,
}

impl Report {
    /// Whether every check of every run passed, and there was one.
    pub fn passed(&self) -> bool {
        !self.runs.is_empty() && self.runs.iter().all(Run::passed)
    }

    /// Checks that passed, and checks.
    pub fn tally(&self) -> (usize, usize) {
        let checks = || self.runs.iter().flat_map(|run| &run.checks);
        (checks().filter(|check| check.passed()).count(), checks().count())
    }
}

/// All checks over one driver.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// The driver that the gateway ran on.
    pub driver: Driver,
    /// In the order in which they ran.
    pub checks: Vec<CheckResult>,
    /// The gateway's own account, as its `show` commands print it.
    pub shown: Vec<Shown>,
}

impl Run {
    /// Whether every check passed, and there was one.
    pub fn passed(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(CheckResult::passed)
    }
}

/// What one `show` command of the gateway printed.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// What was asked for: "counters".
    pub what: &'static str,
    /// A JSON string: its table, or why there is none. In a JSON report, its JSON.
    pub output: serde_json::Value,
}

/// What came of one check.
#[derive(Clone, Debug, Serialize)]
pub struct CheckResult {
    /// "TCP download, IPv4".
    pub name: &'static str,
    /// Whether it passed.
    pub outcome: Outcome,
    /// A sentence: what was seen, or what went wrong.
    pub detail: String,
    /// What was measured.
    pub figures: Vec<Figure>,
    /// How long it took, in seconds.
    pub seconds: f64,
}

impl CheckResult {
    /// Whether it passed.
    pub fn passed(&self) -> bool {
        self.outcome == Outcome::Pass
    }
}

/// Pass or fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// What should happen happened.
    Pass,
    /// It did not, or could not be tried.
    Fail,
}

/// One number that a check measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Figure {
    /// What it counts: "rate".
    pub name: &'static str,
    /// Its value, in `unit`.
    pub value: f64,
    /// "bit/s", "s", "packets" ...
    pub unit: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(outcome: Outcome) -> CheckResult {
        CheckResult { name: "a check", outcome, detail: String::new(), figures: vec![], seconds: 0.0 }
    }

    fn report(checks: Vec<CheckResult>) -> Report {
        let run = Run { driver: Driver::AfPacket, checks, shown: vec![] };
        Report { privilege: Privilege::Root, runs: vec![run] }
    }

    #[test]
    fn one_failure_fails_the_report() {
        assert!(report(vec![check(Outcome::Pass)]).passed());
        let mixed = report(vec![check(Outcome::Pass), check(Outcome::Fail)]);
        assert!(!mixed.passed());
        assert_eq!(mixed.tally(), (1, 2));
    }

    #[test]
    fn a_lab_that_checked_nothing_did_not_pass() {
        assert!(!report(vec![]).passed());
        assert!(!Report { privilege: Privilege::Root, runs: vec![] }.passed());
    }

    #[test]
    fn json_says_what_the_table_says() {
        let json = serde_json::to_value(report(vec![check(Outcome::Fail)])).unwrap();
        assert_eq!(json["runs"][0]["driver"], "af-packet");
        assert_eq!(json["runs"][0]["checks"][0]["outcome"], "fail");
        assert_eq!(json["privilege"], "root");
    }
}
