//! `[[cluster.egress-rule]]` and `pods-from`.

use std::path::PathBuf;

use super::{BASE, accepted, errors, warnings};
use crate::config::{NodesFrom, PoolIdx, Senders};

/// The base with a second pool of both families, a third of IPv4 alone, and more in its
/// cluster, from line 41 on.
fn with(more: &str) -> String {
    let pools = "[[pool]]\nname = \"partners\"\naddresses = [\"203.0.113.32/29\", \"2001:db8:1::200/124\"]\n\
                 [[pool]]\nname = \"four\"\naddresses = [\"203.0.113.40\"]\n\n[[cluster]]";
    format!("{}\n{more}", BASE.replacen("[[cluster]]", pools, 1))
}

fn rule(lines: &str) -> String {
    with(&format!("[[cluster.egress-rule]]\n{lines}\n"))
}

#[test]
fn pods_are_named_by_where_they_live_or_by_selectors() {
    let text = with(
        "[[cluster.egress-rule]]\nfrom = [\"10.1.7.0/24\", \"fd00:10:0:7::/64\"]\npool = \"partners\"\n\
         [[cluster.egress-rule]]\nnamespace = \"shop\"\npod-selector = \"app=web,env in (a,b)\"\n\
         to = [\"198.51.100.0/24\"]\npool = \"four\"\n\
         [cluster.pods-from]\nfile = \"pods.json\"\n",
    );
    let config = accepted(&text);
    let [first, second] = config.clusters[0].egress_rules.as_slice() else { panic!("two rules") };
    let Senders::Prefixes(from) = &first.senders else { panic!("{first:?}") };
    assert_eq!((from.len(), first.to.len(), first.pool), (2, 0, PoolIdx(1)));
    let Senders::Pods(selector) = &second.senders else { panic!("{second:?}") };
    assert_eq!(selector.to_string(), "namespace shop; pods app=web,env in (a,b)");
    assert_eq!((second.to.len(), second.pool), (1, PoolIdx(2)));
    assert_eq!(config.clusters[0].pods_from, Some(NodesFrom::File(PathBuf::from("pods.json"))));
    assert_eq!(accepted(BASE).clusters[0].pods_from, None);
}

#[test]
fn the_api_server_that_knows_the_nodes_knows_the_pods() {
    let node = "\n[[cluster.node]]\nname = \"node-a\"\naddresses = [\"192.168.0.11\", \"fd00:a::11\"]\n";
    let rule = "[[cluster.egress-rule]]\nnamespace = \"shop\"\npool = \"egress\"\n";
    let from = |source: &str| BASE.replace(node, &format!("ports = [\"nodes\"]\nnodes-from = {source}\n{rule}"));
    assert_eq!(accepted(&from("{ in-cluster = true }")).clusters[0].pods_from, Some(NodesFrom::InCluster));
    for files in ["{ file = \"nodes.json\" }", "{ flannel = \"/f\" }"] {
        assert_eq!(
            errors(&from(files)),
            [
                "23:1: cluster[0].pods-from: is missing, and a [[cluster.egress-rule]] selects pods; write pods-from = { kubeconfig = \"/etc/causeway/kubeconfig\" }, in-cluster = true or a file"
            ]
        );
    }
}

#[test]
fn a_source_of_pods_is_checked() {
    for (source, expected) in [
        (
            "",
            "44:10: cluster[0].pods-from: names no source; write kubeconfig = \"/etc/causeway/kubeconfig\", in-cluster = true or file = \"pods.json\"",
        ),
        (
            "file = \"a\"\nin-cluster = true\n",
            "44:10: cluster[0].pods-from: names several sources; keep one of file, kubeconfig and in-cluster",
        ),
        (
            "in-cluster = true\nflannel = \"/f\"\n",
            "46:1: cluster[0].pods-from.flannel: is not a key of [cluster.pods-from]; known are file, kubeconfig, context and in-cluster",
        ),
    ] {
        let text = format!("namespace = \"shop\"\npool = \"egress\"\n[cluster.pods-from]\n{source}");
        assert_eq!(errors(&rule(&text)), [expected], "{source}");
    }
}

#[test]
fn a_rule_is_checked() {
    const FROM: &str = "from = [\"10.1.7.0/24\"]\n";
    for (lines, expected) in [
        (
            "pool = \"four\"".to_owned(),
            "41:1: cluster[0].egress-rule[0]: says of no pod that it is about it; write from = [\"10.1.7.0/24\"], namespace = \"shop\" or pod-selector = \"app=shop\"",
        ),
        (FROM.to_owned(), "41:1: cluster[0].egress-rule[0].pool: is missing; write pool = \"partners\""),
        (
            format!("{FROM}pool = \"fou\""),
            "43:8: cluster[0].egress-rule[0].pool = \"fou\": names no pool; did you mean \"four\"?",
        ),
        (
            format!("{FROM}namespace = \"shop\"\npool = \"four\""),
            "42:8: cluster[0].egress-rule[0].from = [\"10.1.7.0/24\"]: stands beside a selector; write a rule for each",
        ),
        (
            "from = []\npool = \"four\"".to_owned(),
            "42:8: cluster[0].egress-rule[0].from = []: is empty; write where the pods live, as from = [\"10.1.7.0/24\"]",
        ),
        (
            "from = [\"10.2.0.0/24\"]\npool = \"four\"".to_owned(),
            "42:9: cluster[0].egress-rule[0].from[0] = \"10.2.0.0/24\": lies outside of the pod CIDRs of the cluster; write a part of pod-cidrs",
        ),
        (
            "from = [\"10.0.0.0/8\"]\npool = \"four\"".to_owned(),
            "42:9: cluster[0].egress-rule[0].from[0] = \"10.0.0.0/8\": reaches beyond the pod CIDRs of the cluster; write a part of pod-cidrs",
        ),
        (
            format!("{FROM}to = []\npool = \"four\""),
            "43:6: cluster[0].egress-rule[0].to = []: is empty; leave it out, or write where to, as to = [\"198.51.100.0/24\"]",
        ),
        (
            format!("{FROM}to = [\"2001:db8::/32\"]\npool = \"four\""),
            "44:8: cluster[0].egress-rule[0].pool = \"four\": is for nothing: who sends and where to are of different families; mend \"from\" or \"to\"",
        ),
        (
            "from = [\"fd00:10:0:7::/64\"]\npool = \"four\"".to_owned(),
            "43:8: cluster[0].egress-rule[0].pool = \"four\": has no IPv6 address, and the rule is about nothing else; name a pool that has one",
        ),
    ] {
        assert_eq!(errors(&rule(&lines)), [expected], "{lines}");
    }
    let selects = |lines: &str| {
        let text = format!("[[cluster.egress-rule]]\n{lines}\npool = \"egress\"\n[cluster.pods-from]\nfile = \"p\"\n");
        errors(&with(&text))
    };
    for (lines, expected) in [
        (
            "namespace = \"Shop\"",
            "42:13: cluster[0].egress-rule[0].namespace = \"Shop\": \"S\" cannot stand in a name; a name is made of a to z, 0 to 9 and -",
        ),
        (
            "namespace = \"shop\"\nnamespace-selector = \"a=b\"",
            "42:13: cluster[0].egress-rule[0].namespace = \"shop\": stands beside \"namespace-selector\"; keep one of the two",
        ),
        (
            "pod-selector = \"a near b\"",
            "42:16: cluster[0].egress-rule[0].pod-selector = \"a near b\": has \"a near b\", in which \"in\" or \"notin\" should follow the key; write it as for kubectl get pods -l, as \"app=shop,env in (prod,stage)\"",
        ),
    ] {
        assert_eq!(selects(lines), [expected], "{lines}");
    }
}

#[test]
fn who_does_not_leave_has_no_rules() {
    let text =
        rule("from = [\"10.1.7.0/24\"]\npool = \"four\"").replacen("egress = \"egress\"\n", "egress = \"none\"\n", 1);
    let expected = "41:1: cluster[0].egress-rule[0]: is of a cluster whose pods do not leave under another address; write egress = \"masquerade\" or the name of a pool beside it";
    assert_eq!(errors(&text.replacen("model = \"island\"", "model = \"flat\"", 1)), [expected]);
}

#[test]
fn what_a_rule_leaves_out_is_warned_about() {
    let text = rule("pod-selector = \"a=b\"\npool = \"four\"\n[cluster.pods-from]\nfile = \"p\"");
    let expected = "t.toml:43:8: warning: cluster[0].egress-rule[0].pool = \"four\": has no IPv6 address, and the rule is about IPv6 too; IPv6 traffic leaves as if the rule were not there";
    assert_eq!(warnings(&text), [expected]);
    let unused = with("[cluster.pods-from]\nfile = \"p\"\n");
    let expected = "t.toml:41:10: warning: cluster[0].pods-from: is asked for nothing: no [[cluster.egress-rule]] selects pods; pods are not watched";
    assert_eq!(warnings(&unused), [expected]);
}

#[test]
fn too_many_pairs_are_refused() {
    let list = |what: &str| (0..64).map(|n| format!("\"{what}.{n}.0/24\"")).collect::<Vec<_>>().join(",");
    let one = format!("from = [{}]\nto = [{}]\npool = \"four\"\n", list("10.1"), list("198.18"));
    let expected = "41:1: cluster[0].egress-rule[0]: makes more than 1024 pairs of \"from\" and \"to\" in one cluster; write shorter prefixes, or fewer";
    assert_eq!(errors(&rule(&one)), [expected]);
}
