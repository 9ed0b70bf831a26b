//! A node that goes down while others go on.

use std::time::Duration;

use causeway_lab::plan::{self, Family};
use causeway_lab::traffic;
use causeway_tests::program::wait_until;
use causeway_tests::stage::Stage;

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn a_node_that_goes_down_is_withdrawn_until_it_is_back(stage: &mut Stage) {
    let (before, after) = plan::CONFIG.split_once("[[cluster.node]]").expect("it has nodes");
    let liveness = "liveness = { probe = \"icmp\", interval-s = 1, failures = 2, withdraw = true }\n\n[[cluster.node]]";
    stage.configure(&format!("{before}{liveness}{after}"));
    stage.start();
    let stage = &*stage;
    turns(stage, "routed", 2);
    assert!(wait_until(PATIENCE, || pings(stage) == [true; 2]), "all is well");

    // It is on the link still, and answers no more in one family.
    let node = stage.world.host("node-b").namespace();
    node.set_sysctl("net.ipv4.icmp_echo_ignore_all", "1").expect("a switch");
    turns(stage, "partly-routed", 1);
    assert_eq!(pings(stage), [false, true]);
    node.set_sysctl("net.ipv4.icmp_echo_ignore_all", "0").expect("a switch");
    turns(stage, "routed", 2);
    assert_eq!(pings(stage), [true; 2]);

    let mut fabric = stage.world.host("fabric").netlink().expect("netlink");
    fabric.set_down("node-b").expect("the wire is cut");
    turns(stage, "withdrawn", 0);
    assert_eq!(pings(stage), [false; 2]);
    fabric.set_up("node-b").expect("the wire is mended");
    turns(stage, "routed", 2);
    assert!(wait_until(PATIENCE, || pings(stage) == [true; 2]), "it is back");
}

/// Waits until node-b is in a state, with so many routes.
#[track_caller]
fn turns(stage: &Stage, state: &str, routes: usize) {
    let node = || stage.show("nodes")["nodes"]["nodes"][1].clone();
    assert!(wait_until(PATIENCE, || node()["state"] == state), "not {state}: {}", stage.show("nodes"));
    let shown = stage.show("routes");
    let owned = shown["routes"].as_array().expect("a list").iter().filter(|route| route["owner"] == "blue/node-b");
    assert_eq!(owned.count(), routes, "{shown}");
}

/// Does a pod of node-b answer one of node-a, in each family?
fn pings(stage: &Stage) -> [bool; 2] {
    let (from, to) = (stage.world.host("pod-a1"), stage.world.host("pod-b1"));
    let patience = Duration::from_millis(300);
    Family::BOTH.map(|family| {
        traffic::ping(from, to.address(family), 2, 56, patience).is_ok_and(|figures| figures.received() > 0)
    })
}
