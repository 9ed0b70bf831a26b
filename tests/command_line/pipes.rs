//! Readers that have had enough.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use causeway_lab::privilege::Privilege;
use causeway_tests::executable::executable;
use causeway_tests::folder::Folder;
use causeway_tests::needs;
use causeway_tests::program::wait_until;
use causeway_tests::stage::{Medium, Stage};
use causeway_tests::top;

/// Runs `causeway ARGUMENTS` into a pipe that nobody reads.
fn assert_silent_in_a_broken_pipe(arguments: &[&str]) {
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let mut command = Command::new(executable());
    command.args(arguments).stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program");
    let ended = wait_until(Duration::from_secs(10), || child.try_wait().expect("a child of ours").is_some());
    if !ended {
        let _ = child.kill();
    }
    let output = child.wait_with_output().expect("a child of ours");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(ended && said.is_empty(), "{arguments:?}: {}: {said}", output.status);
    assert!(output.status.success(), "{arguments:?}: {}", output.status);
}

#[test]
fn a_reader_who_leaves_is_no_error() {
    let config = top().join("configs/lab.toml").display().to_string();
    for arguments in [
        &["man"][..],
        &["completions", "bash"],
        &["completions", "zsh"],
        &["--help"],
        &["show", "--help"],
        &["check", &config],
        &["check", &config, "--json"],
    ] {
        assert_silent_in_a_broken_pipe(arguments);
    }
}

#[test]
fn a_reader_who_leaves_a_replay_is_no_error() {
    let folder = Folder::new();
    let text = |path: &Path| path.display().to_string();
    let (config, out) = (text(&top().join("configs/replay.toml")), text(folder.path()));
    for json in [&[][..], &["--json"]] {
        assert_silent_in_a_broken_pipe(&[&["replay", &config, "--out", &out], json].concat());
    }
}

#[test]
fn a_reader_who_leaves_what_a_gateway_shows_is_no_error() {
    let test = "a_reader_who_leaves_what_a_gateway_shows_is_no_error";
    if !needs::met(test, Privilege::UserNamespace, &[]) {
        return;
    }
    let mut stage = Stage::new(Medium::AfPacket);
    stage.start();
    let api = stage.api().display().to_string();
    for what in ["ports", "routes", "neighbors", "sessions", "counters"] {
        assert_silent_in_a_broken_pipe(&["show", what, "--api", &api]);
        assert_silent_in_a_broken_pipe(&["show", what, "--json", "--api", &api]);
    }
    stage.stop();
}
