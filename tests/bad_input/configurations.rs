//! Configurations that are none.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use causeway_tests::executable::executable;
use causeway_tests::folder::Folder;
use causeway_tests::program::run;

/// What `causeway check` and `causeway run` say about a file; they must agree.
fn complaint(folder: &Folder, config: &Path) -> String {
    let soon = Duration::from_secs(10);
    let checked = run(Command::new(executable()).arg("check").arg(config), soon).failure();
    let api = folder.path().join("api.sock");
    let started = run(Command::new(executable()).arg("run").arg(config).arg("--api").arg(&api), soon).failure();
    assert_eq!(started.trim_start_matches("causeway: "), checked);
    assert!(!api.exists(), "a socket was left behind");
    checked.replace(&format!("{}/", folder.path().display()), "")
}

fn complaint_about(content: impl AsRef<[u8]>) -> String {
    let folder = Folder::new();
    let config = folder.write("gw.toml", content);
    complaint(&folder, &config)
}

#[test]
fn a_missing_file_is_named() {
    let folder = Folder::new();
    let said = complaint(&folder, &folder.path().join("none.toml"));
    assert!(said.starts_with("none.toml: cannot be read: No such file or directory"), "{said}");
}

#[test]
fn a_folder_is_no_configuration() {
    let folder = Folder::new();
    let said = complaint(&folder, folder.path());
    assert!(said.contains("cannot be read: Is a directory"), "{said}");
}

#[test]
fn garbage_is_refused_where_it_begins() {
    let said = complaint_about(b"[gateway]\nname = \"\xff\xfe\x00\"\n");
    assert!(said.starts_with("gw.toml:2:9: ") && said.contains("UTF-8"), "{said}");
    let said = complaint_about("[gateway]\nname = \"gw\"\ncores = [1,,]\n");
    assert!(said.starts_with("gw.toml:3:"), "{said}");
    complaint_about("\0\0\0\0");
    complaint_about("[[[[[[[[[[[[[[[[");
    complaint_about("[".repeat(100_000));
    complaint_about(format!("x = {}", "[".repeat(100_000)));
    complaint_about(format!("{}x = 1", "x.".repeat(50_000)));
}

#[test]
fn an_empty_file_is_told_what_is_missing() {
    let said = complaint_about("");
    assert!(said.contains("gw.toml:1:1: ") && said.contains("port"), "{said}");
}

#[test]
fn an_unknown_key_is_shown_with_its_place_and_the_known_ones() {
    let config = causeway_lab::plan::CONFIG.replace("cores = [0]  ", "  colours = [0]");
    let said = complaint_about(&config);
    let line = 1 + config.lines().position(|line| line.contains("colours")).expect("it was put in");
    let expected = format!(
        "gw.toml:{line}:3: gateway.colours: is not a key of [gateway]; known are name, cores, api, state, idle, \
         watch, max-sessions, icmp-errors-per-second, icmp-errors-per-destination and seed\ngw.toml: 1 error\n"
    );
    assert_eq!(said, expected);
}

#[test]
fn all_errors_are_told_at_once() {
    let config = causeway_lab::plan::CONFIG
        .replace("203.0.113.16/29", "203.0.113.0/33")
        .replace("\"island\"", "\"archipelago\"")
        .replace("cores = [0]", "cores = []");
    let said = complaint_about(config);
    for part in ["203.0.113.0/33", "archipelago", "cores", "gw.toml: 3 errors"] {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
}
