//! `[[policy]]`: who may begin to speak with whom.

use super::{accepted, errors, warnings};
use crate::config::*;

/// Three clusters, red, blue and green, of these models and pods, and policies.
fn text(clusters: [(&str, &str); 3], policies: &str) -> String {
    let mut text = "gateway.name = \"g\"\n[[port]]\nname = \"out\"\ndriver = \"memory\"\n".to_owned();
    for ((name, (model, pods)), n) in ["red", "blue", "green"].into_iter().zip(clusters).zip(1..) {
        let egress = if model == "isolated" { "" } else { "egress = \"masquerade\"\n" };
        text += &format!(
            "[[port]]\nname = \"{name}\"\ndriver = \"memory\"\naddresses = [\"192.168.{n}.1/24\"]\n\
             [[cluster]]\nname = \"{name}\"\nmodel = \"{model}\"\n{egress}pod-cidrs = [\"{pods}\"]\nports = [\"{name}\"]\n"
        );
    }
    text + policies
}

const APART: [(&str, &str); 3] = [("island", "10.1.0.0/16"), ("isolated", "10.2.0.0/16"), ("flat", "10.3.0.0/16")];
/// All have the same.
const TWINS: [(&str, &str); 3] = [("island", "10.1.0.0/16"), ("isolated", "10.1.0.0/16"), ("flat", "10.1.0.0/16")];

fn policy(from: &str, to: &str, more: &str) -> String {
    format!("[[policy]]\nfrom = {from}\nto = {to}\n{more}")
}

#[test]
fn a_policy_is_between_clusters_and_prefixes_and_allows_unless_told() {
    let both = policy("[\"red\", \"198.51.100.0/24\"]", "[\"blue\", \"fd00::1\"]", "")
        + &policy("[\"green\"]", "[\"0.0.0.0/0\"]", "action = \"deny\"\n");
    let prefix = |net: &str| Party::Prefix(net.parse().unwrap());
    let first = Policy {
        from: vec![Party::Cluster(ClusterIdx(0)), prefix("198.51.100.0/24")],
        to: vec![Party::Cluster(ClusterIdx(1)), prefix("fd00::1/128")],
        allow: true,
    };
    let second = Policy { from: vec![Party::Cluster(ClusterIdx(2))], to: vec![prefix("0.0.0.0/0")], allow: false };
    assert_eq!(accepted(&text(APART, &both)).policies, [first, second]);
    let found = warnings(&text(APART, &policy("[\"198.51.100.7/24\"]", "[\"red\"]", "")));
    assert!(found[0].ends_with("has host bits set; taken as \"198.51.100.0/24\""), "{found:?}");
}

#[test]
fn a_policy_that_says_nothing_or_too_much_is_an_error() {
    let end = |clusters, policies: &str| {
        let found = errors(&text(clusters, policies));
        assert_eq!(found.len(), 1, "{found:?}");
        let (_, message) = found[0].split_once(": ").expect("a place");
        message.to_owned()
    };
    let one = |from: &str, to: &str| end(APART, &policy(from, to, ""));
    assert_eq!(one("[]", "[\"red\"]"), "policy[0].from = []: names nobody; name a cluster, or write a prefix");
    assert_eq!(
        one("[\"rde\"]", "[\"blue\"]"),
        "policy[0].from[0] = \"rde\": names no cluster; known are red, blue and green"
    );
    assert_eq!(
        one("[\"red\"]", "[\"10.0.0/8\"]"),
        "policy[0].to[0] = \"10.0.0/8\": \"10.0.0\" is not an address; an IPv4 address is four numbers of 0 to 255 without leading zeros, as \"192.168.0.1\""
    );
    assert_eq!(
        one("[\"red\"]", "[\"red\"]"),
        "policy[0].to[0] = \"red\": is at both ends; pods of one cluster always meet: name another"
    );
    assert_eq!(
        end(APART, &policy("[\"red\"]", "[\"blue\"]", "action = \"drop\"\n")),
        "policy[0].action = \"drop\": is not known here; known are allow and deny"
    );
    let prefixes = (1..=16).map(|n| format!("\"198.51.{n}.0/24\"")).collect::<Vec<_>>().join(", ");
    let many = policy(&format!("[{prefixes}]"), &format!("[{prefixes}]"), "action = \"deny\"\n").repeat(5);
    assert!(end(APART, &many).ends_with(
        "makes more than 1024 pairs in all policies together; write shorter prefixes instead of many long ones"
    ));
    let shared = text(APART, &policy("[\"red\"]", "[\"green\"]", "action = \"deny\"\n"))
        + "[[cluster]]\nname = \"lime\"\nmodel = \"flat\"\negress = \"none\"\npod-cidrs = [\"10.4.0.0/16\"]\nports = [\"green\"]\n";
    let found = errors(&shared);
    assert!(
        found[0].ends_with(
            "is about cluster \"green\", which shares a port with another; give it a port (a NIC or a VLAN) of its own"
        ),
        "{found:?}"
    );
}

#[test]
fn pods_that_could_not_be_told_apart_are_not_let_to_each_other() {
    let end = " or one of the two with a flat cluster; reach them by [[forward]] or [[static-nat]]";
    for (from, to) in [("blue", "red"), ("blue", "green")] {
        let found = errors(&text(TWINS, &policy(&format!("[\"{from}\"]"), &format!("[\"{to}\"]"), "")));
        assert!(found[0].ends_with(end), "{from} {to}: {found:?}");
        accepted(&text(TWINS, &policy(&format!("[\"{from}\"]"), &format!("[\"{to}\"]"), "action = \"deny\"\n")));
    }
    // By another name, the nodes are reached.
    let found = warnings(&text(TWINS, &policy("[\"red\"]", "[\"blue\"]", "")));
    assert!(found[0].contains("its nodes alone are reached"), "{found:?}");
    // Nor are they opened to the outside under addresses that others have there.
    for outside in ["198.51.100.0/24", "green"] {
        let found = errors(&text(TWINS, &policy(&format!("[\"{outside}\"]"), "[\"red\"]", "")));
        assert!(
            found
                .iter()
                .any(|error| error.contains("is known outside by addresses that pods of cluster \"green\" have there")),
            "{found:?}"
        );
    }
}
