//! Messages about files, their tables, and values of the wrong type.

use std::path::Path;

use super::{BASE, assert_each, base_with, errors};
use crate::config::Config;
use crate::config::keys::SECTIONS;
use crate::config::schema::Kind;

#[test]
fn all_errors_come_at_once_in_the_order_of_the_file_with_a_count() {
    let text = BASE
        .replace("name = \"gw-1\"", "name = \"\"")
        .replace("[\"203.0.113.16/29\"", "[\"203.0.113.0/33\"")
        .replace("egress = \"egress\"", "egress = \"egres\"");
    let errors = Config::parse("island.toml", &text).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "island.toml:2:8: gateway.name = \"\": is empty; give it a name\n\
         island.toml:21:14: pool[0].addresses[0] = \"203.0.113.0/33\": /33 is not a prefix length; a prefix length is 0 to 32\n\
         island.toml:28:10: cluster[0].egress = \"egres\": names no pool; did you mean \"egress\"?\n\
         island.toml: 3 errors"
    );
}

#[test]
fn a_port_that_could_not_be_read_is_not_blamed_on_those_who_use_it() {
    let text = base_with("\"203.0.113.2/24\"", "\"203.0.113.2/33\"");
    assert_eq!(errors(&text).len(), 1, "{:?}", errors(&text));
    let text = base_with("name = \"egress\"", "name = \"Egress\"");
    assert_eq!(errors(&text).len(), 1, "{:?}", errors(&text));
}

#[test]
fn what_is_not_toml_is_refused_with_its_place() {
    for (text, expected) in [
        (
            "a = \n",
            "1:5: is not TOML: string values must be quoted, expected literal string; mend this first, the rest was not checked",
        ),
        ("[gateway]\n[gateway]\n", "2:2: is not TOML: duplicate key; mend this first, the rest was not checked"),
        ("[gateway\n", "1:9: is not TOML: unclosed table, expected `]`; mend this first, the rest was not checked"),
        (
            "a = 99999999999999999999",
            "1:5: is not TOML: integer number overflowed; mend this first, the rest was not checked",
        ),
    ] {
        assert_eq!(errors(text), [expected], "{text:?}");
    }
}

#[test]
fn an_empty_file_lacks_what_every_file_has() {
    assert_eq!(errors(""), ["1:1: gateway: is missing; write [gateway]", "1:1: port: is missing; write [[port]]"]);
    assert_eq!(errors("port = []\n[gateway]\nname = \"g\""), ["1:1: port: is empty; write at least one [[port]]"]);
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let message = |path: &str| Config::load(Path::new(path)).unwrap_err().to_string();
    assert_eq!(
        message("/no/such/file.toml"),
        "/no/such/file.toml: cannot be read: No such file or directory (os error 2); name a readable file\n\
         /no/such/file.toml: 1 error"
    );
    assert!(message("/").starts_with("/: cannot be read: Is a directory"));
    assert!(message("/dev/zero").starts_with("/dev/zero: is larger than 16 MiB;"));
}

#[test]
fn a_file_that_is_not_utf_8_is_refused_with_its_place() {
    let path = std::env::temp_dir().join(format!("causeway-config-{}.toml", std::process::id()));
    std::fs::write(&path, b"[gateway]\nname = \"\xff\"\n").unwrap();
    let found = Config::load(&path).unwrap_err();
    std::fs::remove_file(&path).unwrap();
    let place = found.errors()[0].position().unwrap();
    assert_eq!((place.line, place.column), (2, 9));
    assert!(found.to_string().contains(": is not UTF-8; save the file as UTF-8"));
}

#[test]
fn a_byte_order_mark_is_not_counted() {
    assert_eq!(errors(&format!("\u{feff}{}", BASE.replace("gw-1", "")))[0][..4], *"2:8:");
}

#[test]
fn every_key_of_the_table_is_read_and_its_example_is_of_its_type() {
    for section in SECTIONS.iter().filter(|section| !section.path.is_empty()) {
        let parent = section.path.split_once('.').and_then(|(path, _)| SECTIONS.iter().find(|one| one.path == path));
        let parent = parent.map_or(String::new(), |parent| format!("{}\n", parent.header()));
        for key in section.keys {
            if matches!(key.kind, Kind::Section(_)) {
                continue;
            }
            let about_key = |value: &str| {
                let text = format!("{parent}{}\n{} = {value}\n", section.header(), key.name);
                let mut found = errors(&text);
                found.retain(|line| line.contains(&format!("{} = {value}: ", key.name)));
                found.concat()
            };
            let refused = about_key("1979-05-27");
            assert!(refused.contains("is a datetime, not "), "{} {}", section.path, key.name);
            let example = about_key(key.example);
            assert!(!example.contains(", not "), "{example}");
        }
    }
}

#[test]
fn a_key_that_is_not_known_is_an_error() {
    assert_each(&[
        (
            "device = \"eth1\"",
            "device = \"eth1\"\nvlan = 5",
            "8:1: port[0].vlan: is not a key of [[port]]; known are name, device, driver, addresses, mtu, mac, ring, memif-id, udp-mapping, tcp-mapping, udp-filtering and tcp-filtering",
        ),
        (
            "device = \"eth0\"\naddresses",
            "device = \"eth0\"\nadresses",
            "13:1: port[1].adresses: is not a key of [[port]]; did you mean \"addresses\"?",
        ),
        (
            "cores = [1]",
            "cores = [1]\nmax_sessions = 5000",
            "4:1: gateway.max_sessions: is not a key of [gateway]; did you mean \"max-sessions\"?",
        ),
        (
            "egress = \"egress\"\n",
            "egress = \"egress\"\nnode-mask-size = { v4 = 24 }\n",
            "29:20: cluster[0].node-mask-size.v4: is not a key of [cluster.node-mask-size]; did you mean \"ipv4\"?",
        ),
        (
            "[gateway]",
            "[log]\nlevel = \"debug\"\n[gateway]",
            "1:2: log: is not a key of this file; known are gateway, port, route, pool, cluster, forward, static-nat, policy, neighbor and timers",
        ),
    ]);
}

#[test]
fn a_key_that_must_be_there_is_missed_at_its_table() {
    assert_each(&[
        ("name = \"gw-1\"\n", "", "1:2: gateway.name: is missing; write name = \"gw-1\""),
        ("name = \"nodes\"\n", "\n", "5:1: port[0].name: is missing; write name = \"nodes\""),
        (
            "device = \"eth1\"\n",
            "\n",
            "5:1: port[0].device: is missing; name the network interface, as device = \"eth1\"",
        ),
        ("to = \"0.0.0.0/0\"\n", "\n", "15:1: route[0].to: is missing; write to = \"0.0.0.0/0\""),
        (
            "via = \"203.0.113.1\"\n",
            "\n",
            "15:1: route[0].via: is missing; write via = \"203.0.113.1\", or type = \"blackhole\"",
        ),
        ("name = \"blue\"\n", "\n", "23:1: cluster[0].name: is missing; write name = \"blue\""),
        ("model = \"island\"\n", "\n", "23:1: cluster[0].model: is missing; write model = \"island\""),
        (
            "pod-cidrs = [\"10.1.0.0/16\", \"fd00:10::/56\"]\n",
            "\n",
            "23:1: cluster[0].pod-cidrs: is missing; write pod-cidrs = [\"10.1.0.0/16\", \"fd00:10::/56\"]",
        ),
        (
            "egress = \"egress\"\n",
            "\n",
            "23:1: cluster[0].egress: is missing; name a pool, or write egress = \"masquerade\"",
        ),
        ("name = \"node-a\"\n", "\n", "30:1: cluster[0].node[0].name: is missing; write name = \"node-a\""),
        (
            "addresses = [\"192.168.0.11\", \"fd00:a::11\"]\n",
            "\n",
            "30:1: cluster[0].node[0].address: is missing; write address = \"192.168.0.11\"",
        ),
    ]);
}

#[test]
fn a_value_of_another_type_is_an_error() {
    assert_each(&[
        ("name = \"gw-1\"", "name = 1", "2:8: gateway.name = 1: is an integer, not a string; write name = \"gw-1\""),
        ("cores = [1]", "cores = 1", "3:9: gateway.cores = 1: is an integer, not a list; write cores = [1, 2]"),
        (
            "cores = [1]",
            "cores = [\"1\"]",
            "3:10: gateway.cores[0] = \"1\": is not a processor core; 0 to 8191 would do, as the machine has",
        ),
        (
            "cores = [1]",
            "cores = [1]\nmax-sessions = \"many\"",
            "4:16: gateway.max-sessions = \"many\": is a string, not a whole number; write max-sessions = 1048576",
        ),
        (
            "cores = [1]",
            "cores = [1]\nmax-sessions = 1.5",
            "4:16: gateway.max-sessions = 1.5: is a float, not a whole number; write max-sessions = 1048576",
        ),
        (
            "cores = [1]",
            "cores = [1]\nidle = true",
            "4:8: gateway.idle = true: is a boolean, not a string; write idle = \"spin-then-poll\"",
        ),
        (
            "name = \"gw-1\"",
            "name = { first = \"gw\" }",
            "2:8: gateway.name = { first = \"gw\" }: is an inline table, not a string; write name = \"gw-1\"",
        ),
        (
            "[\"192.168.0.1/24\", \"fd00:a::1/64\"]",
            "[8]",
            "8:14: port[0].addresses[0] = 8: is an integer, not a string; write addresses = [\"192.168.0.1/24\", \"fd00:a::1/64\"]",
        ),
        (
            "egress = \"egress\"\n",
            "egress = \"egress\"\nnode-mask-size = 24\n",
            "29:1: cluster[0].node-mask-size: is an integer, not a table; write node-mask-size = { ipv4 = 24, ipv6 = 64 }",
        ),
        (
            "[gateway]\nname = \"gw-1\"\ncores = [1]",
            "gateway = \"gw-1\"",
            "1:1: gateway: is a string, not a table; write [gateway]",
        ),
        (
            "[gateway]\nname = \"gw-1\"\ncores = [1]",
            "[[gateway]]\nname = \"gw-1\"",
            "1:3: gateway: is an array of tables, not a table; write [gateway]",
        ),
        (
            "[gateway]",
            "neighbor = [1]\n[gateway]",
            "1:13: neighbor[0] = 1: is an integer, not a table; write [[neighbor]]",
        ),
        (
            "[gateway]",
            "neighbor = 1\n[gateway]",
            "1:1: neighbor: is an integer, not a list of tables; write [[neighbor]]",
        ),
        (
            "[gateway]",
            "[neighbor]\nport = \"nodes\"\n[gateway]",
            "1:2: neighbor: is a table, not a list of tables; write [[neighbor]]",
        ),
    ]);
}
