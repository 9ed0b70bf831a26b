//! What each model of a cluster takes and refuses, and what it means for others.

use super::{accepted, assert_each, base_with, errors};
use crate::config::*;
use crate::domains::Domains;

#[test]
fn each_model_has_its_own_keys() {
    assert_each(&[
        (
            "model = \"island\"",
            "model = \"isolated\"",
            "28:10: cluster[0].egress = \"egress\": is of a cluster whose pods do not leave; leave it out, or write model = \"island\"",
        ),
        (
            "egress = \"egress\"\n",
            "egress = \"none\"\n",
            "28:10: cluster[0].egress = \"none\": leaves the pods of an island without a name outside; name a pool or \"masquerade\", or write model = \"flat\" or \"isolated\"",
        ),
        (
            "model = \"island\"\npod-cidrs = [\"10.1.0.0/16\", \"fd00:10::/56\"]\nservice-cidrs = [\"10.96.0.0/12\"]\negress = \"egress\"\n",
            "model = \"flat\"\npod-cidrs = [\"10.1.0.0/16\", \"fd00:10::/56\"]\n",
            "23:1: cluster[0].egress: is missing; name a pool, or write egress = \"masquerade\" or \"none\"",
        ),
        (
            "model = \"island\"\npod-cidrs = [\"10.1.0.0/16\", \"fd00:10::/56\"]\nservice-cidrs = [\"10.96.0.0/12\"]\negress = \"egress\"\n",
            "model = \"isolated\"\npod-cidrs = [\"10.1.0.0/16\", \"fd00:10::/56\"]\nnon-masquerade-cidrs = [\"10.0.0.0/8\"]\n",
            "27:24: cluster[0].non-masquerade-cidrs = [\"10.0.0.0/8\"]: is of a cluster whose pods do not leave; leave it out, or write model = \"island\"",
        ),
        (
            "model = \"island\"\npod-cidrs = [\"10.1.0.0/16\", \"fd00:10::/56\"]\nservice-cidrs = [\"10.96.0.0/12\"]\negress = \"egress\"\n",
            "model = \"flat\"\npod-cidrs = [\"10.1.0.0/16\", \"fd00:10::/56\"]\negress = \"none\"\nflannel-ip-masq = \"nft\"\n",
            "28:19: cluster[0].flannel-ip-masq = \"nft\": is of a cluster that is no island; leave it out, or write model = \"island\"",
        ),
        (
            "name = \"blue\"",
            "name = \"flat\"",
            "24:8: cluster[0].name = \"flat\": is what a routing domain is called that clusters share; take another name",
        ),
    ]);
    let text = super::BASE
        .replace("name = \"egress\"", "name = \"none\"")
        .replace("egress = \"egress\"", "egress = \"masquerade\"");
    assert_eq!(
        errors(&text),
        ["20:8: pool[0].name = \"none\": has a meaning of its own where clusters name a pool; take another name"]
    );
}

#[test]
fn exemptions_are_blocks_and_may_be_called_by_the_name_of_who_has_them() {
    let with = |list: &str| {
        base_with("egress = \"egress\"\n", &format!("egress = \"egress\"\nnon-masquerade-cidrs = {list}\n"))
    };
    let taken = |list: &str| {
        let nets = accepted(&with(list)).clusters[0].non_masquerade_cidrs.clone();
        nets.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(taken("[]"), [""; 0]);
    assert_eq!(taken("[\"198.51.100.0/24\", \"198.51.100.0/24\", \"::/0\"]"), ["198.51.100.0/24", "::/0"]);
    let agent = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fe80::/10"];
    assert_eq!(taken("[\"ip-masq-agent\"]"), agent);
    let reserved = [
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",
    ];
    assert_eq!(taken("[\"ip-masq-agent\", \"ip-masq-agent-all-reserved\"]"), [&agent[..], &reserved[..]].concat());
    assert_eq!(
        errors(&with("[\"10.1.2.3/16\"]")),
        [
            "29:25: cluster[0].non-masquerade-cidrs[0] = \"10.1.2.3/16\": CIDR \"10.1.2.3/16\" is not aligned to a CIDR block; write \"10.1.0.0/16\""
        ]
    );
    let many = |count: usize| (0..count).map(|n| format!("\"10.{n}.0.0/16\"")).collect::<Vec<_>>().join(", ");
    assert_eq!(taken(&format!("[{}]", many(64))).len(), 64);
    assert!(errors(&with(&format!("[{}]", many(65))))[0].contains("has 65 elements"), "the list itself is too long");
    let errors = errors(&with(&format!("[\"ip-masq-agent\", {}]", many(60))));
    assert!(errors[0].ends_with("makes 65 prefixes; at most 64 will do, as in ip-masq-agent"), "{errors:?}");
}

/// A gateway with two clusters of these models; the second one as told.
fn two(models: [&str; 2], second: &str) -> String {
    let port = |n: u8| format!("[[port]]\nname = \"p{n}\"\ndriver = \"memory\"\naddresses = [\"192.168.{n}.1/24\"]\n");
    let egress = |model: &str| if model == "isolated" { "" } else { "egress = \"masquerade\"\n" };
    let [one, other] = models;
    format!(
        "gateway.name = \"g\"\n{}{}{}\
         [[cluster]]\nname = \"red\"\nmodel = \"{one}\"\n{}pod-cidrs = [\"10.1.0.0/16\"]\nservice-cidrs = [\"10.96.0.0/12\"]\n\
         [[cluster.node]]\nname = \"a\"\naddress = \"192.168.1.11\"\n\
         [[cluster]]\nname = \"blue\"\nmodel = \"{other}\"\n{}{second}\n\
         [[cluster.node]]\nname = \"b\"\naddress = \"192.168.2.11\"\n",
        port(1),
        port(2),
        port(3),
        egress(one),
        egress(other),
    )
}

#[test]
fn flat_clusters_have_addresses_of_their_own_and_the_message_names_both_owners() {
    let flat = ["flat", "flat"];
    assert_eq!(
        errors(&two(flat, "pod-cidrs = [\"10.1.0.0/16\"]")),
        [
            "27:14: cluster[1].pod-cidrs[0] = \"10.1.0.0/16\": overlaps 10.1.0.0/16 of cluster \"red\", and the pods of node \"b\" (10.1.0.0/24) those of node \"a\" (10.1.0.0/24) of \"red\"; flat clusters share one table: give each pods of its own"
        ]
    );
    assert_eq!(
        errors(&two(flat, "pod-cidrs = [\"10.0.0.0/8\"]\nnode-mask-size = { ipv4 = 24 }")),
        [
            "27:14: cluster[1].pod-cidrs[0] = \"10.0.0.0/8\": overlaps 10.1.0.0/16 of cluster \"red\"; flat clusters share one table: give each pods of its own",
            "27:14: cluster[1].pod-cidrs[0] = \"10.0.0.0/8\": overlaps 10.96.0.0/12, the services of cluster \"red\"; pods there would not reach these: both clusters are flat",
        ]
    );
    assert_eq!(
        errors(&two(flat, "pod-cidrs = [\"10.2.0.0/16\"]\nservice-cidrs = [\"10.1.128.0/20\"]")),
        [
            "27:14: cluster[1].pod-cidrs[0] = \"10.2.0.0/16\": is of a cluster with services in 10.1.128.0/20, where pods of cluster \"red\" are; pods here would not reach those: both clusters are flat"
        ]
    );
    accepted(&two(flat, "pod-cidrs = [\"10.2.0.0/16\"]\nservice-cidrs = [\"10.96.0.0/12\"]"));
    // Behind a shore the same addresses are nobody's business.
    for model in ["island", "isolated"] {
        accepted(&two(["flat", model], "pod-cidrs = [\"10.1.0.0/16\"]"));
        accepted(&two([model, model], "pod-cidrs = [\"10.1.0.0/16\"]"));
    }
}

#[test]
fn who_is_known_outside_by_its_own_addresses_has_them_alone() {
    let exempt = "pod-cidrs = [\"10.1.0.0/16\"]\nnon-masquerade-cidrs = [\"172.16.0.0/12\"]";
    let remedy = "both are known by these addresses outside: give each pods of its own, or take non-masquerade-cidrs and flannel-ip-masq away";
    let found = errors(&two(["flat", "island"], exempt));
    assert!(found.len() == 1 && found[0].ends_with(remedy), "{found:?}");
    let both = two(["island", "island"], exempt).replacen(
        "[\"10.1.0.0/16\"]\n",
        "[\"10.1.0.0/16\"]\nnon-masquerade-cidrs = [\"10.0.0.0/8\"]\n",
        1,
    );
    let found = errors(&both);
    assert!(found.len() == 1 && found[0].ends_with(remedy), "{found:?}");
    accepted(&two(["island", "island"], exempt));
}

#[test]
fn flat_clusters_share_a_domain_which_is_main_where_nothing_is_translated() {
    let names = |text: &str| {
        let config = accepted(text);
        let domains = Domains::of(&config);
        let of = |cluster| domains.name(domains.of_cluster(ClusterIdx(cluster))).to_owned();
        let ports = (0..3).map(|port| domains.name(domains.of_port(PortIdx(port))).to_owned()).collect::<Vec<_>>();
        ([of(0), of(1)], ports)
    };
    let pods = "pod-cidrs = [\"10.2.0.0/16\"]";
    let translated = two(["flat", "flat"], pods);
    assert_eq!(
        names(&translated),
        (["flat", "flat"].map(str::to_owned), ["flat", "flat", "main"].map(str::to_owned).into())
    );
    let plain = translated.replace("\"masquerade\"", "\"none\"");
    assert_eq!(
        names(&plain),
        (["main", "main"].map(str::to_owned), ["main", "main", "main"].map(str::to_owned).into())
    );
    let nat = "[[static-nat]]\ncluster = \"red\"\naddress = \"203.0.113.9\"\nto = \"10.1.0.5\"\n";
    assert_eq!(names(&(plain + nat)).0, ["flat", "flat"], "what is translated leaves a shore");
    assert_eq!(names(&two(["flat", "island"], pods)).0, ["flat", "blue"]);
}

#[test]
fn flat_clusters_may_live_on_one_port_and_others_may_not() {
    let shared = |models| two(models, "pod-cidrs = [\"10.2.0.0/16\"]").replace("192.168.2.11", "192.168.1.12");
    accepted(&shared(["flat", "flat"]));
    for models in [["flat", "island"], ["island", "flat"], ["isolated", "isolated"]] {
        let found = errors(&shared(models));
        assert!(found[0].contains("on which cluster \"red\" lives too"), "{found:?}");
    }
    // Flat clusters need no port of their own to leave by.
    accepted(&two(["flat", "flat"], "pod-cidrs = [\"10.2.0.0/16\"]\nports = [\"p2\", \"p3\"]"));
}
