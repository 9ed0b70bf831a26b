//! Whole files in, a configuration or messages out.

mod accepted;
mod cluster_errors;
mod egress_rules;
mod errors;
mod forwards;
mod hostile;
mod models;
mod network_errors;
mod next_hops;
mod nodes_from;
mod policies;
mod value_errors;

use super::Config;

/// A file that is right, for tests to make wrong.
const BASE: &str = r#"[gateway]
name = "gw-1"
cores = [1]

[[port]]
name = "nodes"
device = "eth1"
addresses = ["192.168.0.1/24", "fd00:a::1/64"]

[[port]]
name = "uplink"
device = "eth0"
addresses = ["203.0.113.2/24", "2001:db8:1::2/64"]

[[route]]
to = "0.0.0.0/0"
via = "203.0.113.1"

[[pool]]
name = "egress"
addresses = ["203.0.113.16/29", "2001:db8:1::100/124"]

[[cluster]]
name = "blue"
model = "island"
pod-cidrs = ["10.1.0.0/16", "fd00:10::/56"]
service-cidrs = ["10.96.0.0/12"]
egress = "egress"

[[cluster.node]]
name = "node-a"
addresses = ["192.168.0.11", "fd00:a::11"]
"#;

/// The base with one piece put in the place of another that stands there once.
fn base_with(old: &str, new: &str) -> String {
    assert_eq!(BASE.matches(old).count(), 1, "{old:?} has to stand once");
    BASE.replacen(old, new, 1)
}

fn accepted(text: &str) -> Config {
    match Config::parse("t.toml", text) {
        Ok((config, _)) => config,
        Err(errors) => panic!("{errors}\n{text}"),
    }
}

/// The messages about a file that is wrong, without its name and the closing count.
fn errors(text: &str) -> Vec<String> {
    let errors = Config::parse("t.toml", text).expect_err("the file is wrong");
    let lines: Vec<_> = errors.errors().iter().map(ToString::to_string).collect();
    let plain = |line: &String| line.strip_prefix("t.toml:").unwrap_or(line).to_owned();
    lines.iter().map(plain).collect()
}

fn warnings(text: &str) -> Vec<String> {
    match Config::parse("t.toml", text) {
        Ok((_, warnings)) => warnings.iter().map(ToString::to_string).collect(),
        Err(errors) => panic!("{errors}\n{text}"),
    }
}

/// Each change of the base gives exactly this one message.
fn assert_each(cases: &[(&str, &str, &str)]) {
    for (old, new, expected) in cases {
        assert_eq!(errors(&base_with(old, new)), [*expected], "{old:?} -> {new:?}");
    }
}
