//! Each documented command is run here, or by the checks, or at least one that the
//! program understands.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use causeway_engine::cli::Cli;
use causeway_tests::executable::executable;
use causeway_tests::program::run;
use causeway_tests::top;
use clap::Parser;

use crate::shell_blocks::{Documented, in_configs, in_documents};

/// What a newcomer types, exactly as the README has it; `.ci/run` runs the second
/// as it stands there.
const FIRST: [&str; 2] = ["cargo run --release -- lab", "cargo test --workspace"];

/// Commands about the machine, which no test can run for it.
const OF_THE_MACHINE: [&str; 8] = ["sudo ", "ip ", "ethtool ", "sysctl ", "systemctl ", "setcap ", "git ", "cd "];

#[test]
fn the_readme_has_the_two_commands_of_a_newcomer() {
    let readme = top().join("README.md");
    assert!(readme.exists(), "there is no README.md");
    let documented = in_documents();
    for expected in FIRST {
        let is_it = |found: &&Documented| found.place.starts_with("README.md:") && found.command == expected;
        assert!(documented.iter().any(|found| is_it(&found)), "README.md has no block with {expected:?}");
    }
}

#[test]
fn every_documented_command_is_one_that_works() {
    let checks = fs::read_to_string(top().join(".ci/run")).expect(".ci/run");
    for Documented { place, command } in in_documents().into_iter().chain(in_configs()) {
        let bare = command.strip_prefix("sudo ").unwrap_or(&command);
        let our_own = bare.strip_prefix("cargo run --release -- ").or_else(|| bare.strip_prefix("causeway "));
        if let Some(arguments) = our_own {
            assert_understood(&place, &command, arguments);
        } else if bare.starts_with("cargo ") {
            let known = FIRST.contains(&bare) || checks.lines().any(|line| line.trim().ends_with(bare));
            assert!(known, "{place}: {command:?} is not run by .ci/run: add it there, or mark its block `sh ignore`");
        } else {
            let known = OF_THE_MACHINE.iter().any(|program| command.starts_with(program)) || bare == ".ci/run";
            assert!(known, "{place}: nothing checks {command:?}: mark its block `sh ignore`, or test it");
        }
    }
}

/// The command line is understood, every configuration of ours that it names is
/// there, and what is quick is run.
fn assert_understood(place: &str, command: &str, arguments: &str) {
    // What is behind a pipe is another program's.
    let words: Vec<_> = arguments.split(" | ").next().unwrap_or_default().split_whitespace().collect();
    if let Err(error) = Cli::try_parse_from([&["causeway"][..], &words].concat()) {
        panic!("{place}: {command}\n{error}");
    }
    for word in words.iter().filter(|word| word.starts_with("configs/")) {
        assert!(top().join(word).exists(), "{place}: there is no {word}");
    }
    let is_quick = matches!(words[..], ["check", file, ..] if Path::new(file).starts_with("configs"))
        || matches!(words[0], "completions" | "man");
    if is_quick {
        run(Command::new(executable()).args(&words).current_dir(top()), Duration::from_secs(10)).success();
    }
}
