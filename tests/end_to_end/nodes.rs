//! Nodes from a file that changes while the gateway runs.

use std::time::Duration;

use causeway_lab::plan::{self, Family};
use causeway_lab::traffic;
use causeway_tests::program::wait_until;
use causeway_tests::stage::Stage;
use serde_json::{Value, json};

/// A changed file is seen within a second.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn nodes_come_and_go_by_a_file(stage: &mut Stage) {
    let (before, _) = plan::CONFIG.split_once("[[cluster.node]]").expect("it has nodes");
    let file = stage.folder().path().join("nodes.json");
    stage.configure(&format!("{before}\nports = [\"nodes\"]\nnodes-from = {{ file = {file:?} }}\n"));
    stage.start();
    let stage = &*stage;
    let [a, b] = [("a", 1), ("b", 2)].map(|(name, number)| {
        json!({ "kind": "Node", "metadata": { "name": format!("node-{name}") },
            "spec": { "podCIDRs": [format!("10.1.{number}.0/24"), format!("fd00:10:0:{number}::/64")] },
            "status": { "addresses": [
                { "type": "InternalIP", "address": format!("192.168.0.1{number}") },
                { "type": "InternalIP", "address": format!("fd00:a::1{number}") },
                { "type": "Hostname", "address": format!("node-{name}") } ] } })
    });
    let list = |nodes: &[&Value]| {
        // As a careful user does it, so that half a file is never met.
        let text = json!({ "kind": "List", "items": nodes }).to_string();
        let draft = stage.folder().write("draft", text);
        std::fs::rename(draft, &file).expect("a folder of our own");
    };
    let states = |stage: &Stage| -> Vec<String> {
        let shown = stage.show("nodes");
        let text = |node: &Value| format!("{} {}", node["name"], node["state"]).replace('"', "");
        shown["nodes"]["nodes"].as_array().expect("a list").iter().map(text).collect()
    };
    let turn_to = |stage: &Stage, expected: &[&str]| {
        assert!(wait_until(PATIENCE, || states(stage) == expected), "not {expected:?}: {}", stage.show("nodes"));
    };

    assert_eq!(talk(stage), 0, "the gateway runs, and there is no file yet");
    list(&[&a, &b]);
    turn_to(stage, &["node-a routed", "node-b routed"]);
    assert!(wait_until(PATIENCE, || talk(stage) == 6), "pods of both nodes");
    list(&[&a]);
    turn_to(stage, &["node-a routed"]);
    assert_eq!(talk(stage), 0, "node-b has gone");
    let mut twin = b.clone();
    twin["spec"]["podCIDRs"] = a["spec"]["podCIDRs"].clone();
    list(&[&a, &twin]);
    turn_to(stage, &["node-a routed", "node-b quarantined"]);
    stage.folder().write("nodes.json", "{");
    let away =
        || stage.show("nodes")["nodes"]["sources"][0]["away"].as_str().is_some_and(|why| why.contains("nodes.json"));
    assert!(wait_until(PATIENCE, away), "{}", stage.show("nodes"));
    turn_to(stage, &["node-a routed", "node-b quarantined"]);
    list(&[&a, &b]);
    turn_to(stage, &["node-a routed", "node-b routed"]);
    assert!(wait_until(PATIENCE, || talk(stage) == 6), "pods of both nodes again");
    let ways = &stage.show("nodes")["nodes"]["nodes"][1]["neighbors"];
    assert_eq!(ways.as_array().map(Vec::len), Some(2), "a way in each family: {ways}");
}

/// How many pings from a pod on one node to one on the other are answered: three of each family.
fn talk(stage: &Stage) -> u32 {
    let (from, to) = (stage.world.host("pod-a1"), stage.world.host("pod-b1"));
    let patience = Duration::from_millis(500);
    let ping = |family| traffic::ping(from, to.address(family), 3, 56, patience).expect("a raw socket").received();
    Family::BOTH.into_iter().map(ping).sum()
}
