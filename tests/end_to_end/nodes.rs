//! Nodes from a file that changes while the gateway runs.

use std::time::Duration;

use causeway_lab::plan::{self, Family};
use causeway_lab::traffic;
use causeway_tests::program::{send_signal, wait_until};
use causeway_tests::stage::Stage;
use serde_json::{Value, json};

/// A changed file is seen within a second.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn nodes_come_and_go_by_a_file(stage: &mut Stage) {
    stage.configure(&configured(stage, ""));
    stage.start();
    let stage = &*stage;
    let [a, b] = NODES.map(node);

    assert_eq!(talk(stage), 0, "the gateway runs, and there is no file yet");
    list(stage, &[&a, &b]);
    await_states(stage, &["node-a routed", "node-b routed"]);
    assert!(wait_until(PATIENCE, || talk(stage) == 6), "pods of both nodes");
    list(stage, &[&a]);
    await_states(stage, &["node-a routed"]);
    assert_eq!(talk(stage), 0, "node-b has gone");
    let mut twin = b.clone();
    twin["spec"]["podCIDRs"] = a["spec"]["podCIDRs"].clone();
    list(stage, &[&a, &twin]);
    await_states(stage, &["node-a routed", "node-b quarantined"]);
    stage.folder().write("nodes.json", "{");
    let away = || source(stage)["away"].as_str().is_some_and(|why| why.contains("nodes.json"));
    assert!(wait_until(PATIENCE, away), "{}", stage.show("nodes"));
    await_states(stage, &["node-a routed", "node-b quarantined"]);
    list(stage, &[&a, &b]);
    await_states(stage, &["node-a routed", "node-b routed"]);
    assert!(wait_until(PATIENCE, || talk(stage) == 6), "pods of both nodes again");
    let ways = &stage.show("nodes")["nodes"]["nodes"][1]["neighbors"];
    assert_eq!(ways.as_array().map(Vec::len), Some(2), "a way in each family: {ways}");
}

pub(crate) fn nodes_are_remembered_over_a_restart_while_their_source_is_away(stage: &mut Stage) {
    let state = stage.folder().path().join("state");
    stage.configure(&configured(stage, &format!("state = {state:?}")));
    stage.start();
    let [a, b] = NODES.map(node);
    list(stage, &[&a, &b]);
    await_states(stage, &["node-a routed", "node-b routed"]);
    assert_eq!(source(stage)["remembered-s"], Value::Null);
    // The file is the first thing to be written after a change: no farewell is needed.
    assert!(wait_until(PATIENCE, || state.join("nodes.json").is_file()));
    let mut killed = stage.take_gateway();
    send_signal(killed.id(), libc::SIGKILL);
    assert!(wait_until(PATIENCE, || killed.exited().is_some()));

    std::fs::remove_file(stage.folder().path().join("nodes.json")).expect("it was there");
    stage.start();
    let shown = stage.show("nodes");
    assert_eq!(states(&shown), ["node-a routed", "node-b routed"], "from the start: {shown}");
    assert!(shown["nodes"]["nodes"][0]["remembered-s"].is_u64(), "{shown}");
    assert!(source(stage)["remembered-s"].is_u64(), "{shown}");
    assert!(wait_until(PATIENCE, || talk(stage) == 6), "pods of both nodes");
    stage.stop();

    stage.start();
    list(stage, &[&a]);
    await_states(stage, &["node-a routed"]);
    assert_eq!(source(stage)["remembered-s"], Value::Null, "the source has spoken");
    stage.stop();
    std::fs::remove_file(stage.folder().path().join("nodes.json")).expect("it was there");
    stage.start();
    assert_eq!(states(&stage.show("nodes")), ["node-a routed"], "node-b is forgotten");
}

/// The lab's gateway, with the file `nodes.json` as the source of its nodes.
fn configured(stage: &Stage, of_gateway: &str) -> String {
    let (before, _) = plan::CONFIG.split_once("[[cluster.node]]").expect("it has nodes");
    let before = before.replacen("[gateway]", &format!("[gateway]\n{of_gateway}"), 1);
    let file = stage.folder().path().join("nodes.json");
    format!("{before}\nports = [\"nodes\"]\nnodes-from = {{ file = {file:?} }}\n")
}

/// Names and numbers of the lab's nodes.
const NODES: [(&str, u8); 2] = [("a", 1), ("b", 2)];

/// As kubectl prints it.
fn node((name, number): (&str, u8)) -> Value {
    json!({ "kind": "Node", "metadata": { "name": format!("node-{name}") },
        "spec": { "podCIDRs": [format!("10.1.{number}.0/24"), format!("fd00:10:0:{number}::/64")] },
        "status": { "addresses": [
            { "type": "InternalIP", "address": format!("192.168.0.1{number}") },
            { "type": "InternalIP", "address": format!("fd00:a::1{number}") },
            { "type": "Hostname", "address": format!("node-{name}") } ] } })
}

/// Puts them into the file, as a careful user does it, so that half a file is never met.
fn list(stage: &Stage, nodes: &[&Value]) {
    let draft = stage.folder().write("draft", json!({ "kind": "List", "items": nodes }).to_string());
    std::fs::rename(draft, stage.folder().path().join("nodes.json")).expect("a folder of our own");
}

/// What `show nodes` says of each node.
fn states(shown: &Value) -> Vec<String> {
    let text = |node: &Value| format!("{} {}", node["name"], node["state"]).replace('"', "");
    shown["nodes"]["nodes"].as_array().expect("a list").iter().map(text).collect()
}

/// What it says of their source.
fn source(stage: &Stage) -> Value {
    stage.show("nodes")["nodes"]["sources"][0].take()
}

#[track_caller]
fn await_states(stage: &Stage, expected: &[&str]) {
    let come = wait_until(PATIENCE, || states(&stage.show("nodes")) == expected);
    assert!(come, "not {expected:?}: {}", stage.show("nodes"));
}

/// How many pings from a pod on one node to one on the other are answered: three of each family.
fn talk(stage: &Stage) -> u32 {
    let (from, to) = (stage.world.host("pod-a1"), stage.world.host("pod-b1"));
    let patience = Duration::from_millis(500);
    let ping = |family| traffic::ping(from, to.address(family), 3, 56, patience).expect("a raw socket").received();
    Family::BOTH.into_iter().map(ping).sum()
}
