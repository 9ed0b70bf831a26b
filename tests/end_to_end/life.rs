//! How a gateway comes and goes.

use std::path::Path;
use std::time::Duration;

use causeway_lab::plan::{self, Family};
use causeway_lab::traffic;
use causeway_lab::{Driver, Host};
use causeway_tests::program::{run, send_signal, wait_until};
use causeway_tests::stage::Stage;

pub(crate) fn sigterm_leaves_nothing_behind(stage: &mut Stage) {
    let before = traces(stage.world.gateway());
    stage.start();
    let running = traces(stage.world.gateway());
    let uses_xdp = stage.medium().driver() == Driver::AfXdp;
    assert_eq!(running.contains("prog/xdp"), uses_xdp, "{running}");
    assert_eq!(stage.folder().names(), ["api.sock", "lab.toml"]);
    talk(stage);
    let process = stage.gateway().id();
    stage.stop();

    assert!(!Path::new(&format!("/proc/{process}")).exists(), "process {process} is still there");
    assert_eq!(stage.folder().names(), ["lab.toml"], "files left behind");
    assert_eq!(traces(stage.world.gateway()), before, "on the interfaces");
    stage.start();
    talk(stage);
}

pub(crate) fn the_socket_of_a_killed_gateway_is_taken_over(stage: &mut Stage) {
    stage.start();
    let mut killed = stage.take_gateway();
    send_signal(killed.id(), libc::SIGKILL);
    assert!(wait_until(Duration::from_secs(3), || killed.exited().is_some()));
    assert_eq!(stage.folder().names(), ["api.sock", "lab.toml"], "nobody could have removed its socket");
    // The kernel detaches a dead process's program in the background.
    let detached = || !traces(stage.world.gateway()).contains("prog/xdp");
    assert!(wait_until(Duration::from_secs(3), detached), "an XDP program outlived its process");

    stage.start();
    assert!(stage.show("ports").get("ports").is_some());
    talk(stage);
}

pub(crate) fn a_node_keeps_its_pod_cidr_over_restarts(stage: &mut Stage) {
    let given =
        |line: &&str| !line.starts_with("pod-cidrs = [\"10.1.1.") && !line.starts_with("pod-cidrs = [\"10.1.2.");
    let open: String = plan::CONFIG.lines().filter(given).map(|line| format!("{line}\n")).collect();
    let state = stage.folder().path().join("state");
    let open = open.replacen("[gateway]", &format!("[gateway]\nstate = {state:?}"), 1);
    let without_the_first = {
        let (before, nodes) = open.split_once("[[cluster.node]]").expect("it has nodes");
        let (_, others) = nodes.split_once("[[cluster.node]]").expect("it has two");
        format!("{before}[[cluster.node]]{others}")
    };
    let mut of_node_b = |text: &str| {
        stage.configure(text);
        stage.start();
        let routes = stage.show("routes");
        let routes = routes["routes"].as_array().expect("a list");
        let found = routes.iter().find(|route| route["owner"] == "blue/node-b" && route["to"] != "fd00:10::/64");
        let to = found.expect("a route to node-b")["to"].as_str().expect("text").to_owned();
        stage.stop();
        to
    };
    let had = of_node_b(&open);
    assert_eq!(had, "10.1.1.0/24", "the second gets the second");
    assert_eq!(of_node_b(&without_the_first), had);
    std::fs::remove_dir_all(&state).expect("it was made");
    assert_eq!(of_node_b(&without_the_first), "10.1.0.0/24", "alone it would have been the first");
    stage.start();
}

fn talk(stage: &Stage) {
    let (pod, server) = (stage.world.host("pod-a1"), stage.world.host("server"));
    for family in Family::BOTH {
        let patience = Duration::from_secs(2);
        let figures = traffic::ping(pod, server.address(family), 3, 56, patience).expect("a raw socket");
        assert_eq!(figures.received(), 3, "over {}", family.name());
    }
}

/// What a program can leave on the interfaces of a host: programs, promiscuity,
/// addresses, groups, routes, neighbours, queues, offloads.
fn traces(host: &Host) -> String {
    let commands: [&[&str]; 8] = [
        &["ip", "-d", "link", "show", "dev", "eth0"],
        &["ip", "-d", "link", "show", "dev", "eth1"],
        &["ip", "address"],
        &["ip", "maddress"],
        &["ip", "route", "show", "table", "all"],
        &["ip", "-6", "route", "show", "table", "all"],
        &["ethtool", "-k", "eth0"],
        &["ethtool", "-k", "eth1"],
    ];
    let output = |words: &&[&str]| {
        let mut command = host.command(words[0]);
        run(command.args(&words[1..]), Duration::from_secs(5)).success().stdout
    };
    commands.iter().map(output).collect()
}
