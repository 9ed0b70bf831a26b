//! `causeway check`.

use std::fs;
use std::path::PathBuf;

use causeway_tests::folder::Folder;
use causeway_tests::top;
use serde_json::Value;

use crate::causeway;

fn configs() -> Vec<PathBuf> {
    let entries = fs::read_dir(top().join("configs")).expect("configs/");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

#[test]
fn every_file_in_configs_is_sound_and_without_warnings() {
    let files = configs();
    assert!(files.len() >= 5, "only {files:?}");
    for file in files {
        let finished = causeway([&"check".into(), &file]).success();
        assert!(finished.stdout.starts_with(&format!("{}: sound: ", file.display())), "{finished}");
        assert_eq!(finished.stderr, "");
    }
}

#[test]
fn findings_are_to_be_had_as_json() {
    let findings = |file: &PathBuf| -> (bool, Value) {
        let finished = causeway([&"check".into(), file, &"--json".into()]);
        assert_eq!(finished.stderr, "");
        (finished.status.success(), serde_json::from_str(&finished.stdout).expect("JSON"))
    };
    for file in configs() {
        let (sound, findings) = findings(&file);
        assert!(sound, "{findings}");
        assert_eq!(findings, serde_json::json!({ "sound": true, "errors": [], "warnings": [] }));
    }
    let folder = Folder::new();
    let (sound, findings) = findings(&folder.write("gw.toml", "[gateway]\nname = 1\nx = 2\n"));
    assert!(!sound && findings["sound"] == false, "{findings}");
    let errors = findings["errors"].as_array().expect("a list");
    let text = |error: &Value| error.as_str().expect("text").to_owned();
    assert!(errors.iter().map(text).any(|error| error.contains("gw.toml:3:1: gateway.x: ")), "{findings}");
}

#[test]
fn a_config_that_is_told_what_would_do_is_sound_afterwards() {
    let folder = Folder::new();
    let broken = causeway_lab::plan::CONFIG.replace("driver = \"auto\"", "driver = \"af-pakcet\"");
    let said = causeway([&"check".into(), &folder.write("gw.toml", &broken)]).failure();
    assert!(said.contains("af-pakcet") && said.contains("af-packet"), "{said}");
    causeway([&"check".into(), &folder.write("gw.toml", broken.replace("af-pakcet", "af-packet"))]).success();
}
