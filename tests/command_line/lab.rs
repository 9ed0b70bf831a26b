//! `causeway lab`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use causeway_lab::privilege::Privilege;
use causeway_tests::counters::Counters;
use causeway_tests::executable::executable;
use causeway_tests::folder::Folder;
use causeway_tests::needs;
use causeway_tests::program::{Service, run};
use causeway_tests::stage::alone;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);

/// `causeway lab` with all its temporary files in `folder`.
fn lab(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = Command::new(executable());
    command.arg("lab").args(arguments).env("TMPDIR", folder.path());
    command
}

#[test]
fn every_check_of_the_lab_passes_over_both_drivers() {
    if !needs::met("every_check_of_the_lab_passes_over_both_drivers", Privilege::Root, &[]) {
        return;
    }
    let _alone = alone();
    let folder = Folder::new();
    let finished = run(&mut lab(&folder, &["--json"]), PATIENCE);
    let report: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished}"));
    let runs = report["runs"].as_array().expect("runs");
    let drivers: Vec<_> = runs.iter().map(|run| run["driver"].as_str().expect("a driver")).collect();
    assert_eq!(drivers, ["af-packet", "af-xdp"]);
    for run in runs {
        let checks = run["checks"].as_array().expect("checks");
        assert!(checks.len() >= 15, "only {} checks", checks.len());
        for check in checks {
            assert_eq!(check["outcome"], "pass", "{}: {check:#}", run["driver"]);
        }
        let counters =
            run["shown"].as_array().expect("what was shown").iter().find(|shown| shown["what"] == "counters");
        let counters = Counters::parse(&counters.expect("counters")["output"]);
        assert!(counters.get("nat", "translated-in") > 1000, "{counters}");
    }
    assert!(finished.status.success(), "{finished}");
    assert!(folder.names().is_empty(), "left behind: {:?}", folder.names());
}

#[test]
fn the_lab_runs_without_root_and_says_so() {
    if !needs::met("the_lab_runs_without_root_and_says_so", Privilege::Root, &["setpriv"]) {
        return;
    }
    let _alone = alone();
    // Nobody may not read where cargo builds.
    let folder = Folder::new();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("a folder of ours");
    let program = folder.path().join("causeway");
    fs::copy(executable(), &program).expect("a copy");
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]).arg(&program);
    let finished = run(command.args(["lab", "--megabytes", "5"]).env("TMPDIR", folder.path()), PATIENCE);
    if finished.stderr.contains("no unprivileged user namespace to be had") {
        return needs::skip("the_lab_runs_without_root_and_says_so", "unprivileged user namespaces are forbidden");
    }
    let finished = finished.success();
    for part in ["Not root: starting again in an unprivileged user namespace", "AF_PACKET only"] {
        assert!(finished.stdout.contains(part), "{part:?} is not in {finished}");
    }
    assert_eq!(folder.names(), ["causeway"], "left behind");
}

#[test]
fn a_lab_left_running_says_which_commands_to_type_and_they_work() {
    let test = "a_lab_left_running_says_which_commands_to_type_and_they_work";
    if !needs::met(test, Privilege::UserNamespace, &["nsenter", "ping"]) {
        return;
    }
    let _alone = alone();
    let folder = Folder::new();
    let mut command = lab(&folder, &["--keep", "--driver", "af-packet", "--megabytes", "1"]);
    let last = "  fabric    nsenter ";
    let lab = Service::start(&mut command, |said| said.contains(last));
    let said = lab.said();
    let (_, commands) = said.split_once("Left running until Ctrl-C").expect("an explanation");
    let words = [" show ", " plan ", " reload ", " ping "];
    let typed: Vec<_> = commands.lines().filter(|line| words.iter().any(|word| line.contains(word))).collect();
    assert_eq!(typed.len(), 8, "{commands}");
    for line in typed {
        let finished = run(Command::new("sh").args(["-c", line]), Duration::from_secs(20));
        // From outside to the pool: what must not work.
        let should_work = !line.contains("-W 1");
        assert_eq!(finished.status.success(), should_work, "{finished}");
    }
    lab.end(libc::SIGINT);
    assert!(folder.names().is_empty(), "left behind: {:?}", folder.names());
}
