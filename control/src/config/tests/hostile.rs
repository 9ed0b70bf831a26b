//! No text, however broken, does more than be refused.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{BASE, errors};
use crate::config::Config;

/// Pieces that files are made of, to reach further than random bytes do.
const PIECES: [&str; 26] = [
    "[gateway]\n",
    "[[port]]\n",
    "[[route]]\n",
    "[[pool]]\n",
    "[[cluster]]\n",
    "[[cluster.node]]\n",
    "[[neighbor]]\n",
    "[timers]\n",
    "name = \"nodes\"\n",
    "addresses = [\"10.0.0.1/8\"]\n",
    "addresses = []\n",
    "address = \"10.0.0.2\"\n",
    "pod-cidrs = [\"0.0.0.0/0\", \"::/0\"]\n",
    "node-mask-size = { ipv4 = 32, ipv6 = 1 }\n",
    "service-cidrs = [\"::/0\", \"0.0.0.0/0\"]\n",
    "model = \"island\"\n",
    "egress = \"nodes\"\n",
    "to = \"::/0\"\n",
    "via = \"10.0.0.2\"\n",
    "via = [\"10.0.0.2\", { gateway = \"10.0.0.3\", weight = 2 }]\n",
    "[[route.via]]\n",
    "ports = [\"nodes\", 1]\n",
    "ports = \"1-2\"\n",
    "device = \"a\"\n",
    "driver = \"memory\"\n",
    "port = 1\n",
];

proptest! {
    #[test]
    fn random_bytes_are_refused_or_accepted_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Config::parse("t.toml", &String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn random_changes_of_a_right_file_never_panic(
        changes in prop::collection::vec((0..BASE.len(), 0..12_usize, "[ -~\n]{0,6}"), 1..6),
    ) {
        let mut text = BASE.as_bytes().to_vec();
        for (start, length, new) in changes {
            let start = start.min(text.len());
            let end = (start + length).min(text.len());
            text.splice(start..end, new.bytes());
        }
        let _ = Config::parse("t.toml", &String::from_utf8_lossy(&text));
    }

    #[test]
    fn known_pieces_in_any_order_never_panic(picks in prop::collection::vec(0..PIECES.len(), 0..40)) {
        let text: String = picks.iter().map(|&pick| PIECES[pick]).collect();
        let _ = Config::parse("t.toml", &text);
    }

    #[test]
    fn every_error_points_into_the_file(start in 0..BASE.len(), length in 1..30_usize) {
        let end = (start + length).min(BASE.len());
        let text = format!("{}{}", &BASE[..start], &BASE[end..]);
        if let Err(errors) = Config::parse("t.toml", &text) {
            let lines = text.lines().count() + 1;
            let places: Vec<_> = errors.errors().iter().map(|error| error.position().unwrap()).collect();
            prop_assert!(places.iter().all(|place| (1..=lines).contains(&place.line)));
            prop_assert!(places.is_sorted());
        }
    }
}

#[test]
fn deep_nesting_is_refused() {
    let found = errors(&format!("a = {}", "[".repeat(100_000)));
    assert_eq!(
        found,
        [
            "1:85: is not TOML: cannot recurse further; max recursion depth met; mend this first, the rest was not checked"
        ]
    );
}

#[test]
fn a_file_of_nothing_but_errors_is_cut_short() {
    let text: String = (0..5_000).map(|index| format!("x{index} = 1\n")).collect();
    let errors = Config::parse("t.toml", &text).unwrap_err();
    assert_eq!(errors.errors().len(), 1_000);
    assert!(errors.to_string().ends_with("\nt.toml: 5002 errors, 1000 shown"));
}

#[test]
fn the_largest_cluster_is_checked_in_a_moment() {
    let mut text = BASE.replace("10.1.0.0/16", "10.0.0.0/8").replace("fd00:10::/56", "fd00:10::/48");
    text = text.replace("192.168.0.1/24", "172.16.0.1/12").replace("10.96.0.0/12", "11.0.0.0/12");
    for index in 1..65_536_u32 {
        let (high, low) = (index >> 8, index & 255);
        let address = format!("172.17.{high}.{low}");
        text += &format!("[[cluster.node]]\nname = \"n{index}\"\naddress = \"{address}\"\n");
    }
    text = text.replace("\"192.168.0.11\"", "\"172.16.0.11\"");
    let begin = Instant::now();
    let (config, warnings) = Config::parse("t.toml", &text).unwrap();
    assert!(begin.elapsed() < Duration::from_secs(20), "it takes well under a second");
    let nodes = &config.clusters[0].nodes;
    assert_eq!(nodes.len(), 65_536);
    assert_eq!(nodes[65_535].pod_cidrs[0].to_string(), "10.255.255.0/24");
    assert_eq!(warnings.len(), 1_000, "of nodes without an IPv6 address, as many as are kept");
}

#[test]
fn one_node_too_many_is_said_once() {
    let nodes: String = (12..20)
        .map(|low| {
            format!("[[cluster.node]]\nname = \"n{low}\"\naddresses = [\"192.168.0.{low}\", \"fd00:a::{low}\"]\n")
        })
        .collect();
    let text = BASE.replace("10.1.0.0/16", "10.1.0.0/22") + &nodes;
    assert_eq!(
        errors(&text),
        [
            "42:1: cluster[0].node[4]: gets no pod CIDR of 10.1.0.0/22: CIDR allocation failed; there are no remaining CIDRs left to allocate in the accepted range; give the cluster a larger range, or its nodes smaller pieces by node-mask-size"
        ]
    );
}
