//! `causeway ipam`.

use serde_json::{Value, json};

use crate::causeway;

#[test]
fn flags_are_refused_as_kube_controller_manager_refuses_them() {
    let said = causeway(["ipam", "check", "--cluster-cidr", "10.1.0.0/16,fd00::/48", "--node-cidr-mask-size", "24"]);
    let expected = "causeway: usage of --node-cidr-mask-size is not allowed with dual-stack clusters\n";
    assert_eq!(said.failure(), expected);
    let said = causeway(["ipam", "next", "1"]).failure();
    assert!(said.contains("Must specify --cluster-cidr"), "{said}");
    let said = causeway(["ipam", "next", "1", "--cluster-cidr=10.1.0.0/16", "--taken=10.2.0.0/24"]).failure();
    assert!(said.contains("cidr 10.2.0.0/24 is out the range of cluster cidr 10.1.0.0/16"), "{said}");
}

#[test]
fn a_check_counts_the_nodes_that_a_range_serves() {
    let flags = ["--cluster-cidr=10.1.0.0/16,fd00:1::/56", "--service-cluster-ip-range=10.1.0.0/20"];
    let finished = causeway([&["ipam", "check"][..], &flags].concat()).success();
    let expected = "\
CLUSTER-CIDR              NODE-MASK       NODES  TAKEN-BY-SERVICES  ADDRESSES-A-NODE
10.1.0.0/16                     /24         240                 16               256
fd00:1::/56                     /64         256                  0      2^64 or more
";
    assert_eq!(finished.stdout, expected);
    assert_eq!(finished.stderr, "warning: 10.1.0.0/16 is used up first, with 240 nodes\n");
    let finished = causeway([&["ipam", "check", "--json"][..], &flags].concat()).success();
    let checked: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    assert_eq!(checked["ranges"][0]["nodes"], 240);
    assert_eq!(checked["warnings"].as_array().expect("a list").len(), 1);
}

#[test]
fn the_next_nodes_get_what_is_free_in_order_and_no_more() {
    let flags = ["--cluster-cidr=10.1.0.0/22", "--taken=10.1.1.0/24"];
    let finished = causeway([&["ipam", "next", "2"][..], &flags].concat()).success();
    assert_eq!(finished.stdout, "10.1.0.0/24\n10.1.2.0/24\n");
    let finished = causeway([&["ipam", "next", "4", "--json"][..], &flags].concat());
    let found: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    assert_eq!(found["nodes"], json!([["10.1.0.0/24"], ["10.1.2.0/24"], ["10.1.3.0/24"]]));
    let ended = "there are no remaining CIDRs left to allocate in the accepted range";
    assert!(found["ended-by"].as_str().expect("text").ends_with(ended), "{found}");
    assert!(finished.failure().contains(ended), "it fails, for a script to notice");
}

#[test]
fn the_nodes_of_a_configuration_get_the_same() {
    let given =
        |line: &&str| !line.starts_with("pod-cidrs = [\"10.1.1.") && !line.starts_with("pod-cidrs = [\"10.1.2.");
    let text: String = causeway_lab::plan::CONFIG.lines().filter(given).map(|line| format!("{line}\n")).collect();
    let (config, _) = causeway_control::config::Config::parse("gw.toml", &text).expect("it is sound");
    let cluster = &config.clusters[0];
    assert_eq!(cluster.nodes.len(), 2);
    let words = |cidrs: &[ipnet::IpNet]| cidrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let of_nodes: String = cluster.nodes.iter().map(|node| words(&node.pod_cidrs) + "\n").collect();
    let flag = format!("--cluster-cidr={}", words(&cluster.pod_cidrs));
    assert_eq!(causeway(["ipam", "next", "2", flag.as_str()]).success().stdout, of_nodes);
}
