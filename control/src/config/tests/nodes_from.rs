//! `nodes-from`: who knows the nodes of a cluster.

use std::path::PathBuf;

use super::{BASE, accepted, assert_each, base_with};
use crate::config::NodesFrom;

const NODE: &str = "[[cluster.node]]\nname = \"node-a\"\naddresses = [\"192.168.0.11\", \"fd00:a::11\"]\n";

#[test]
fn nodes_come_from_files_or_an_api_server() {
    for (source, expected) in [
        ("{ file = \"nodes.json\" }", NodesFrom::File(PathBuf::from("nodes.json"))),
        ("{ flannel = \"/f\" }", NodesFrom::Flannel(PathBuf::from("/f"))),
        ("{ kubeconfig = \"/k\" }", NodesFrom::Kubeconfig { path: PathBuf::from("/k"), context: None }),
        (
            "{ kubeconfig = \"/k\", context = \"blue\" }",
            NodesFrom::Kubeconfig { path: PathBuf::from("/k"), context: Some("blue".into()) },
        ),
        ("{ in-cluster = true }", NodesFrom::InCluster),
        ("{ file = \"nodes.json\", in-cluster = false }", NodesFrom::File(PathBuf::from("nodes.json"))),
    ] {
        let config = accepted(&base_with(NODE, &format!("ports = [\"nodes\"]\nnodes-from = {source}\n")));
        assert_eq!(config.clusters[0].nodes_from, Some(expected));
        assert!(config.clusters[0].nodes.is_empty());
    }
    assert_eq!(accepted(BASE).clusters[0].nodes_from, None);
    for (source, expected) in
        [("in-cluster = true", false), ("in-cluster = true, patch-network-unavailable = true", true)]
    {
        let config = accepted(&base_with(NODE, &format!("ports = [\"nodes\"]\nnodes-from = {{ {source} }}\n")));
        assert_eq!(config.clusters[0].patches_network_unavailable, expected);
    }
}

#[test]
fn a_source_of_nodes_is_checked() {
    const PORTS: &str = "ports = [\"nodes\"]\n";
    let from = |source: &str| format!("{PORTS}nodes-from = {source}\n");
    let cases = [
        (
            from("{}"),
            "31:1: cluster[0].nodes-from: names no source; write kubeconfig = \"/etc/causeway/kubeconfig\", in-cluster = true, file = \"nodes.json\" or flannel = \"/var/lib/causeway/flannel\"",
        ),
        (
            from("{ in-cluster = false }"),
            "31:1: cluster[0].nodes-from: names no source; write kubeconfig = \"/etc/causeway/kubeconfig\", in-cluster = true, file = \"nodes.json\" or flannel = \"/var/lib/causeway/flannel\"",
        ),
        (
            from("{ file = \"a\", kubeconfig = \"b\" }"),
            "31:1: cluster[0].nodes-from: names several sources; keep one of file, flannel, kubeconfig and in-cluster",
        ),
        (
            from("{ file = \"a\", in-cluster = true }"),
            "31:1: cluster[0].nodes-from: names several sources; keep one of file, flannel, kubeconfig and in-cluster",
        ),
        (
            from("{ flannel = \"a\", file = \"b\" }"),
            "31:1: cluster[0].nodes-from: names several sources; keep one of file, flannel, kubeconfig and in-cluster",
        ),
        (
            from("{ file = \"a\", context = \"b\" }"),
            "31:38: cluster[0].nodes-from.context = \"b\": stands without \"kubeconfig\"; name the kubeconfig that has the context",
        ),
        (
            from("{ file = \"a\", patch-network-unavailable = true }"),
            "31:56: cluster[0].nodes-from.patch-network-unavailable = true: is of nodes of an API server; leave it out: a file is not written to",
        ),
        (from("{ file = \"\" }"), "31:23: cluster[0].nodes-from.file = \"\": is empty; write the path of a file"),
        (
            from("{ file = \"a\", url = \"https://10.0.0.1\" }"),
            "31:28: cluster[0].nodes-from.url: is not a key of [cluster.nodes-from]; known are file, flannel, kubeconfig, context, in-cluster and patch-network-unavailable",
        ),
        (
            "nodes-from = { in-cluster = true }\n".to_owned(),
            "23:1: cluster[0].ports: is missing, and so are nodes; name the ports on which its nodes live, as ports = [\"nodes\"], or write its nodes",
        ),
    ];
    let cases: Vec<_> = cases.iter().map(|(text, message)| (NODE, text.as_str(), *message)).collect();
    assert_each(&cases);
    let beside = format!("nodes-from = {{ in-cluster = true }}\n\n{NODE}");
    assert_each(&[(NODE, &beside, "30:1: cluster[0].nodes-from: stands beside [[cluster.node]]; keep one of the two")]);
}
