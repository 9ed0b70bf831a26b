//! Instructions a packet, counted by callgrind: the figure that does not depend on
//! who else uses the machine. Fails when a row takes a fifth more than is recorded
//! in `benches/instructions.txt`; `UPDATE_INSTRUCTIONS=1` records anew.
//!
//! Counted are the generic paths of a CPU with AVX2 and without AVX-512, which is
//! what valgrind emulates.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use causeway_benches::arena::Arena;
use causeway_benches::scale::Scale;
use causeway_benches::scenario::{NEW, NEW_FLOWS, Scenario, WARM};
use causeway_fastpath::burst::Burst;

/// Tells the program that it runs under callgrind, and for which row.
const ROW: &str = "CAUSEWAY_INSTRUCTIONS_OF";
/// The function whose instructions are counted.
const COUNTED: &str = "causeway_benches::world::process";
/// Bursts of a count.
const BURSTS: u64 = 64;
const _: () = assert!(BURSTS as usize * Burst::MAX <= NEW_FLOWS);
/// How much more than recorded is a regression, in percent.
const TOLERANCE: f64 = 20.0;

fn main() -> ExitCode {
    if let Ok(row) = std::env::var(ROW) {
        work(&row);
        return ExitCode::SUCCESS;
    }
    if Scale::asked_for() == Scale::Quick {
        // A smoke test: other profiles take other numbers of instructions.
        rows().for_each(|scenario| work(scenario.name));
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        say("SKIPPED: valgrind is not installed (Debian: apt-get install valgrind)");
        return if std::env::var_os("CI").is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    compare()
}

/// What callgrind watches.
fn work(row: &str) {
    let scenario = rows().find(|scenario| scenario.name == row).expect("a row of that name");
    let mut arena = Arena::new();
    let mut world = scenario.world(Scale::Quick, &mut arena);
    for _ in 0..BURSTS {
        world.turn(&mut arena);
    }
    world.check();
}

/// Counts every row and compares it with what is recorded.
fn compare() -> ExitCode {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.txt");
    let record = std::fs::read_to_string(&path).unwrap_or_default();
    let recorded = |name: &str| {
        let line = record.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'))?;
        line.parse::<f64>().ok()
    };
    let mut counted = String::new();
    let mut worse = false;
    say(&format!("{:<14}{:>14}{:>10}{:>8}", "", "instructions", "recorded", ""));
    for scenario in rows() {
        let count = count(scenario.name);
        _ = writeln!(counted, "{}\t{count:.0}", scenario.name);
        let change = recorded(scenario.name).map(|was| (count / was - 1.0) * 100.0);
        let (was, change_text) = match (recorded(scenario.name), change) {
            (Some(was), Some(change)) => (format!("{was:.0}"), format!("{change:+.0} %")),
            _ => ("none".to_owned(), String::new()),
        };
        say(&format!("{:<14}{count:>14.0}{was:>10}{change_text:>8}", scenario.name));
        worse |= change.is_none_or(|change| change > TOLERANCE);
    }
    if std::env::var_os("UPDATE_INSTRUCTIONS").is_some() {
        std::fs::write(&path, counted).expect("the record can be written");
        return ExitCode::SUCCESS;
    }
    if worse {
        say("a row takes a fifth more instructions than recorded, or is not recorded;");
        say("UPDATE_INSTRUCTIONS=1 records anew, where that is meant");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// What is counted. Rows that differ only in how much memory they walk through take the same
/// instructions.
fn rows() -> impl Iterator<Item = &'static Scenario> {
    let is_of_its_own = |scenario: &&Scenario| !matches!(scenario.name, "nat_hit_100k" | "nat_hit_1m");
    WARM.iter().filter(is_of_its_own).chain([&NEW])
}

/// Instructions a packet of one row: those of the function, and of all it calls.
fn count(row: &str) -> f64 {
    let program = std::env::current_exe().expect("the program knows where it is");
    let output = std::env::temp_dir().join(format!("causeway-callgrind-{}-{row}", std::process::id()));
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={COUNTED}*"))
        .arg(format!("--callgrind-out-file={}", output.display()))
        .arg(program)
        .env(ROW, row)
        .output()
        .expect("valgrind starts");
    assert!(run.status.success(), "callgrind failed:\n{}", String::from_utf8_lossy(&run.stderr));
    let profile = std::fs::read_to_string(&output).expect("callgrind wrote its profile");
    _ = std::fs::remove_file(&output);
    let total = profile.lines().find_map(|line| line.strip_prefix("totals: ")).expect("a profile has totals");
    let total: f64 = total.trim().parse().expect("a number");
    assert!(total > 0.0, "callgrind did not find {COUNTED}");
    total / (BURSTS * Burst::MAX as u64) as f64
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
fn say(line: &str) {
    println!("{line}");
}
