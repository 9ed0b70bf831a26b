//! Nodes of a real cluster, whose pods are routed by the running gateway.

use std::process::Command;
use std::time::Duration;

use causeway_lab::plan::{self, Family};
use causeway_lab::privilege::Privilege;
use causeway_lab::traffic;
use causeway_tests::executable::executable;
use causeway_tests::needs;
use causeway_tests::program::{run, send_signal, wait_until};
use causeway_tests::stage::{Medium, Stage};
use serde_json::Value;

use crate::control_plane::ControlPlane;
use crate::egress;
use crate::programs::programs;

/// How long a change may take from kubectl to the gateway's tables.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn routes_follow_the_nodes_of_a_real_cluster() {
    let name = "routes_follow_the_nodes_of_a_real_cluster";
    let Some(programs) = programs(name) else { return };
    if !needs::met(name, Privilege::Root, &["openssl"]) {
        return;
    }
    let mut stage = Stage::new(Medium::AfPacket);
    let host = stage.world.gateway().clone();
    let mut cluster = ControlPlane::start(&host, programs);
    cluster.start_controllers(&["--cluster-cidr=10.1.0.0/16", "--service-cluster-ip-range=10.96.0.0/12"]);

    // It starts before it has any rights, and does without until it has.
    stage.configure(&configured(&cluster.kubeconfig("gateway").display().to_string()));
    stage.start();
    let refused = || away(&stage).is_some_and(|why| why.contains("cannot list resource \"nodes\""));
    assert!(wait_until(PATIENCE, refused), "{}", stage.show("nodes"));
    grant(&cluster, &[]);
    assert!(wait_until(PATIENCE, || away(&stage).is_none()), "{}", stage.show("nodes"));

    pods_reach_each_other_by_what_kubectl_made(&stage, &cluster);
    egress::pods_leave_as_their_labels_say(&stage, &cluster);
    the_controller_and_ours_give_the_same(&stage, &cluster);
    two_nodes_with_one_cidr_do_not_harm_each_other(&stage, &cluster);
    a_bad_node_is_shown_with_its_reason(&stage, &cluster);
    routes_stay_while_the_api_server_is_away(&stage, &mut cluster);
    a_node_that_went_while_nobody_watched_is_not_kept(&stage, &mut cluster);

    nodes_are_told_what_becomes_of_them_once_that_is_granted(&stage, &cluster);

    drop(cluster);
    stage.stop();
}

/// The lab's gateway, with the API server as the source of its nodes.
fn configured(kubeconfig: &str) -> String {
    let (before, _) = plan::CONFIG.split_once("[[cluster.node]]").expect("it has nodes");
    let rules = egress::RULES;
    let from = format!("{{ kubeconfig = {kubeconfig:?}, context = \"lab\", patch-network-unavailable = true }}");
    format!("{before}\nports = [\"nodes\"]\nnodes-from = {from}\n{rules}")
}

/// Applies what `causeway kubernetes rbac` prints, with rights for pods, namespaces and these.
fn grant(cluster: &ControlPlane<'_>, flags: &[&str]) {
    let mut command = Command::new(executable());
    command.args(["kubernetes", "rbac", "--pods", "--namespaces"]).args(flags);
    let printed = run(&mut command, Duration::from_secs(10)).success();
    cluster.apply(&printed.stdout);
}

fn pods_reach_each_other_by_what_kubectl_made(stage: &Stage, cluster: &ControlPlane<'_>) {
    assert_eq!(pings(stage), 0, "there are no nodes yet");
    cluster.add_node("node-a", "192.168.0.11", "10.1.1.0/24");
    cluster.add_node("node-b", "192.168.0.12", "10.1.2.0/24");
    await_routes(stage, &["10.1.1.0/24 192.168.0.11", "10.1.2.0/24 192.168.0.12"]);
    assert!(wait_until(PATIENCE, || pings(stage) == 3), "pods of both nodes");
    let node = node(stage, "node-a");
    assert_eq!((&node["state"], &node["source"]), (&"routed".into(), &"kubernetes".into()), "{node}");
    assert_eq!(node["neighbors"][0]["state"], "reachable", "{node}");
    cluster.kubectl(&["delete", "node", "node-b"]);
    await_routes(stage, &["10.1.1.0/24 192.168.0.11"]);
    assert_eq!(pings(stage), 0, "node-b is no more");
    cluster.add_node("node-b", "192.168.0.12", "10.1.2.0/24");
    await_routes(stage, &["10.1.1.0/24 192.168.0.11", "10.1.2.0/24 192.168.0.12"]);
}

fn the_controller_and_ours_give_the_same(stage: &Stage, cluster: &ControlPlane<'_>) {
    let foreseen = {
        let words = ["ipam", "next", "3", "--cluster-cidr=10.1.0.0/16", "--service-cluster-ip-range=10.96.0.0/12"];
        let mut command = Command::new(executable());
        command.args(words).args(["--taken=10.1.1.0/24", "--taken=10.1.2.0/24"]);
        run(&mut command, Duration::from_secs(10)).success().stdout
    };
    for (name, address) in [("n1", "192.168.0.21"), ("n2", "192.168.0.22"), ("n3", "192.168.0.23")] {
        cluster.add_node(name, address, "");
        assert!(wait_until(PATIENCE, || !cluster.pod_cidrs(name).is_empty()), "{name} gets no pod CIDR");
    }
    let given: String = ["n1", "n2", "n3"].map(|name| cluster.pod_cidrs(name).join(",") + "\n").concat();
    assert_eq!(given, foreseen);
    let all = [
        "10.1.0.0/24 192.168.0.21",
        "10.1.1.0/24 192.168.0.11",
        "10.1.2.0/24 192.168.0.12",
        "10.1.3.0/24 192.168.0.22",
        "10.1.4.0/24 192.168.0.23",
    ];
    await_routes(stage, &all);
    cluster.kubectl(&["delete", "node", "n1", "n2", "n3"]);
    await_routes(stage, &all[1..3]);
}

fn two_nodes_with_one_cidr_do_not_harm_each_other(stage: &Stage, cluster: &ControlPlane<'_>) {
    cluster.add_node("again", "192.168.0.31", "10.1.1.0/24");
    await_state(stage, "again", "quarantined", "10.1.1.0/24 overlaps 10.1.1.0/24 of node node-a");
    cluster.kubectl(&["delete", "node", "again"]);
    assert!(wait_until(PATIENCE, || node(stage, "again").is_null()));
    await_routes(stage, &["10.1.1.0/24 192.168.0.11", "10.1.2.0/24 192.168.0.12"]);
    assert_eq!(pings(stage), 3);
}

fn a_bad_node_is_shown_with_its_reason(stage: &Stage, cluster: &ControlPlane<'_>) {
    cluster.add_node("outside", "192.168.0.32", "192.168.7.0/24");
    await_state(stage, "outside", "quarantined", "192.168.7.0/24 lies outside the cluster's pod-cidrs");
    cluster.add_node("elsewhere", "172.20.0.1", "10.1.99.0/24");
    await_state(stage, "elsewhere", "quarantined", "172.20.0.1 lies in no subnet of the cluster's ports");
    await_routes(stage, &["10.1.1.0/24 192.168.0.11", "10.1.2.0/24 192.168.0.12"]);
    cluster.kubectl(&["delete", "node", "outside", "elsewhere"]);
    assert_eq!(pings(stage), 3);
}

fn routes_stay_while_the_api_server_is_away(stage: &Stage, cluster: &mut ControlPlane<'_>) {
    cluster.stop_api_server();
    assert!(wait_until(PATIENCE, || away(stage).is_some()), "{}", stage.show("nodes"));
    await_routes(stage, &["10.1.1.0/24 192.168.0.11", "10.1.2.0/24 192.168.0.12"]);
    assert_eq!(pings(stage), 3, "without an API server");
    cluster.start_api_server();
    assert!(wait_until(PATIENCE, || away(stage).is_none()), "{}", stage.show("nodes"));
    cluster.add_node("later", "192.168.0.33", "10.1.50.0/24");
    await_routes(stage, &["10.1.1.0/24 192.168.0.11", "10.1.2.0/24 192.168.0.12", "10.1.50.0/24 192.168.0.33"]);
}

/// No event ever tells of such a node: the gateway slept, and its watch was gone when it woke.
fn a_node_that_went_while_nobody_watched_is_not_kept(stage: &Stage, cluster: &mut ControlPlane<'_>) {
    let gateway = stage.gateway().id();
    send_signal(gateway, libc::SIGSTOP);
    cluster.stop_api_server();
    cluster.start_api_server();
    cluster.kubectl(&["delete", "node", "later"]);
    send_signal(gateway, libc::SIGCONT);
    await_routes(stage, &["10.1.1.0/24 192.168.0.11", "10.1.2.0/24 192.168.0.12"]);
}

fn nodes_are_told_what_becomes_of_them_once_that_is_granted(stage: &Stage, cluster: &ControlPlane<'_>) {
    let unavailable = |name: &str| cluster.condition(name, "NetworkUnavailable");
    assert_eq!(unavailable("node-a"), None, "it may not, and routes all the same");
    grant(cluster, &["--patch-network-unavailable"]);
    let turns_to = |name: &str, status: &str, reason: &str| {
        let expected = Some((status.to_owned(), reason.to_owned()));
        assert!(wait_until(PATIENCE, || unavailable(name) == expected), "{name}: {:?}", unavailable(name));
    };
    turns_to("node-a", "False", "RouteCreated");
    turns_to("node-b", "False", "RouteCreated");
    let version = || cluster.node("node-b")["metadata"]["resourceVersion"].clone();
    let before = version();
    cluster.add_node("again", "192.168.0.31", "10.1.1.0/24");
    turns_to("again", "True", "NoRouteCreated");
    cluster.kubectl(&["delete", "node", "node-a"]);
    turns_to("again", "False", "RouteCreated");
    await_routes(stage, &["10.1.1.0/24 192.168.0.31", "10.1.2.0/24 192.168.0.12"]);
    assert_eq!(version(), before, "what is right already is left alone");
}

/// How many of three pings from a pod on one node to one on the other are answered.
fn pings(stage: &Stage) -> u32 {
    let (from, to) = (stage.world.host("pod-a1"), stage.world.host("pod-b1").address(Family::V4));
    traffic::ping(from, to, 3, 56, Duration::from_millis(500)).expect("a raw socket").received()
}

/// What `show nodes` says of a node; null if nothing.
fn node(stage: &Stage, name: &str) -> Value {
    let shown = stage.show("nodes");
    let nodes = shown["nodes"]["nodes"].as_array().expect("a list");
    nodes.iter().find(|node| node["name"] == name).cloned().unwrap_or_default()
}

/// Why the API server is away, if it is.
fn away(stage: &Stage) -> Option<String> {
    stage.show("nodes")["nodes"]["sources"][0]["away"].as_str().map(str::to_owned)
}

/// Waits until a node is in a state, for a reason.
#[track_caller]
fn await_state(stage: &Stage, name: &str, state: &str, reason: &str) {
    let is = || {
        let node = node(stage, name);
        node["state"] == state && node["reasons"] == serde_json::json!([reason])
    };
    assert!(wait_until(PATIENCE, is), "not {state}, {reason}: {}", stage.show("nodes"));
}

/// Waits until these are the routes of nodes, each as "10.1.1.0/24 192.168.0.11".
#[track_caller]
fn await_routes(stage: &Stage, expected: &[&str]) {
    let routes = || {
        let shown = stage.show("routes");
        let routes = shown["routes"].as_array().expect("a list").iter().filter(|route| route["origin"] == "node");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        routes.map(|route| format!("{} {}", text(&route["to"]), text(&route["via"]))).collect::<Vec<_>>()
    };
    let come = wait_until(PATIENCE, || routes() == expected);
    assert!(come, "not {expected:?}: {:?}\n{}", routes(), stage.show("nodes"));
}
