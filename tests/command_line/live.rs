//! `causeway show` against a running gateway.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;

use causeway_lab::plan::Family;
use causeway_lab::privilege::Privilege;
use causeway_lab::traffic;
use causeway_tests::executable::executable;
use causeway_tests::folder::Folder;
use causeway_tests::needs;
use causeway_tests::program::run;
use causeway_tests::stage::{Medium, Stage};
use serde_json::Value;

use crate::{SOON, causeway};

/// A gateway through which a little has passed.
fn stage(test: &str) -> Option<Stage> {
    stage_with(test, "")
}

/// The same, with more in its file.
fn stage_with(test: &str, more: &str) -> Option<Stage> {
    if !needs::met(test, Privilege::UserNamespace, &[]) {
        return None;
    }
    let mut stage = Stage::new(Medium::AfPacket);
    stage.configure(&(causeway_lab::plan::CONFIG.to_owned() + more));
    stage.start();
    let (pod, server) = (stage.world.host("pod-a1"), stage.world.host("server"));
    for family in Family::BOTH {
        traffic::udp_exchange(pod, server, server.address(family), 10).expect("UDP");
        traffic::tcp_exchange(pod, server, server.address(family), 1000, 1000, SOON).expect("TCP");
    }
    Some(stage)
}

#[test]
fn everything_is_shown_as_a_table_and_as_json() {
    let Some(mut stage) = stage("everything_is_shown_as_a_table_and_as_json") else { return };
    stage.settled_counters();
    let rows = |what: &str| -> Vec<Value> {
        let answer = stage.show(what);
        let rows = if ["sessions", "hosts"].contains(&what) { &answer[what][what] } else { &answer[what] };
        rows.as_array().unwrap_or_else(|| panic!("no {what} in {answer}")).clone()
    };
    let table = |what: &str| stage.gateway().show(&[what]).expect("a table");

    let ports = rows("ports");
    let names: Vec<_> = ports.iter().map(|port| port["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["nodes", "uplink"]);
    assert!(ports.iter().all(|port| port["up"] == true && port["driver"] == "af-packet"), "{ports:?}");
    assert!(ports.iter().all(|port| port["rx-packets"].as_u64() > Some(0)), "{ports:?}");
    for (what, expected) in [
        ("ports", &["nodes", "uplink", "af-packet", "eth1", "02:"][..]),
        ("routes", &["10.1.1.0/24", "fd00:10:0:2::/64", "192.168.0.12", "203.0.113.16/29"]),
        ("neighbors", &["192.168.0.11", "fd00:a::11", "203.0.113.10"]),
        ("sessions", &["tcp", "udp", "10.1.1.10", "fd00:10:0:1::10", "2001:db8:1::10"]),
        ("pools", &["egress", "ipv6", "all 8", "icmp", "516096"]),
        ("hosts", &["blue", "10.1.1.10", "fd00:10:0:1::10"]),
        ("counters", &["received", "forwarded", "translated-out", "sessions-created"]),
    ] {
        let (rows, table) = (rows(what), table(what));
        assert!(!rows.is_empty(), "no {what}");
        for word in expected {
            assert!(table.contains(word), "{word} is not in:\n{table}");
        }
        for line in table.lines() {
            assert_eq!(line.trim_end(), line, "blanks at the end of a line of {what}");
        }
    }
    stage.stop();
}

#[test]
fn routes_are_summarised_table_by_table() {
    let Some(mut stage) = stage("routes_are_summarised_table_by_table") else { return };
    let table = stage.gateway().show(&["routes", "--summary"]).expect("a table");
    assert_eq!(table.lines().count(), 5, "two domains of two families, and a headline:\n{table}");

    let text = stage.gateway().show(&["routes", "--summary", "--json"]).expect("JSON");
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    let routes = stage.show("routes");
    let listed = routes["routes"].as_array().expect("a list").len() as u64;
    let tables = answer["route-summary"].as_array().expect("a list");
    assert_eq!(tables.iter().map(|table| table["routes"].as_u64().expect("a number")).sum::<u64>(), listed);
    for table in tables {
        assert!(table["bytes"].as_u64() > Some(1_000) && table["build-ms"].as_f64() > Some(0.0), "{table}");
        assert_eq!(table["build"], "full", "no route has changed since the start");
    }
    let refusal = stage.gateway().show(&["ports", "--summary"]).expect_err("ports have none").to_string();
    assert!(refusal.contains("causeway show routes --summary"), "{refusal}");
    stage.stop();
}

#[test]
fn pools_are_shown_by_address_and_hosts_by_what_they_hold() {
    let Some(mut stage) = stage("pools_are_shown_by_address_and_hosts_by_what_they_hold") else { return };
    let json = |what: &[&str]| -> Value {
        let text = stage.gateway().show(&[what, &["--json"]].concat()).expect("JSON");
        serde_json::from_str(&text).expect("JSON")
    };
    let sum = |pools: &Value, key: &str| -> u64 {
        pools["pools"].as_array().expect("a list").iter().map(|pool| pool[key].as_u64().expect("a number")).sum()
    };
    let (whole, each) = (json(&["pools"]), json(&["pools", "--addresses"]));
    assert_eq!(each["pools"].as_array().expect("a list").len(), 16 * 3, "{each}");
    assert_eq!(whole["pools"].as_array().expect("a list").len(), 2 * 3, "{whole}");
    for key in ["ports", "sessions", "used"] {
        assert_eq!(sum(&whole, key), sum(&each, key), "{key}");
    }
    assert!(sum(&whole, "sessions") >= 4, "{whole}");
    let hosts = json(&["hosts", "--limit", "1"]);
    assert_eq!(hosts["hosts"]["hosts"].as_array().expect("a list").len(), 1, "{hosts}");
    assert_eq!(hosts["hosts"]["known"], 2, "a pod by each of its addresses: {hosts}");
    let refusal = stage.gateway().show(&["ports", "--addresses"]).expect_err("ports have no such rows").to_string();
    assert!(refusal.contains("causeway show pools --addresses"), "{refusal}");
    stage.stop();
}

#[test]
fn a_pool_that_is_used_up_is_shown_and_the_log_says_so() {
    if !needs::met("a_pool_that_is_used_up_is_shown_and_the_log_says_so", Privilege::UserNamespace, &[]) {
        return;
    }
    let mut stage = Stage::new(Medium::AfPacket);
    let own = "addresses = [\"203.0.113.16/29\", \"2001:db8:1::100/125\"]";
    assert!(causeway_lab::plan::CONFIG.contains(own));
    let small = "addresses = [\"203.0.113.16\", \"2001:db8:1::100\"]\nports = \"1024-1024\"";
    stage.configure(&causeway_lab::plan::CONFIG.replace(own, small));
    stage.start();
    let (pod, server) = (stage.world.host("pod-a1"), stage.world.host("server"));
    traffic::udp_exchange(pod, server, server.address(Family::V4), 1).expect("UDP");
    let table = stage.gateway().show(&["pools"]).expect("a table");
    let full: Vec<&str> = table.lines().filter(|line| line.ends_with("full")).collect();
    assert!(full.len() == 1 && full[0].contains("ipv4") && full[0].contains("udp"), "{table}");
    let log = stage.stop().stderr;
    let told = log.lines().filter(|line| line.contains("WARN") && line.contains("nearly used up")).count();
    assert_eq!(told, 1, "{log}");
}

#[test]
fn zeros_are_shown_only_when_asked_for_and_sessions_only_so_many() {
    let Some(mut stage) = stage("zeros_are_shown_only_when_asked_for_and_sessions_only_so_many") else { return };
    let few = stage.gateway().show(&["counters"]).expect("a table");
    let all = stage.gateway().show(&["counters", "--all"]).expect("a table");
    assert!(!few.contains("nat-ports-exhausted") && all.contains("nat-ports-exhausted"), "{few}\n{all}");

    let text = stage.gateway().show(&["sessions", "--json", "--limit", "1"]).expect("JSON");
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(answer["sessions"]["sessions"].as_array().expect("a list").len(), 1);
    assert!(answer["sessions"]["alive"].as_u64() >= Some(4), "{answer}");
    assert_eq!(text.lines().count(), 1, "one document on one line");
    stage.stop();
}

#[test]
fn forwards_are_shown_as_a_table_and_as_json() {
    let more = r#"
[[forward]]
cluster = "blue"
address = "203.0.113.16"
protocol = ["tcp", "udp"]
port = "8000-8099"
to = "10.1.2.10"
to-port = "9000-9099"
[[static-nat]]
cluster = "blue"
address = "203.0.113.41"
to = "10.1.1.11"
"#;
    let Some(mut stage) = stage_with("forwards_are_shown_as_a_table_and_as_json", more) else { return };
    let expected = "\
KIND        DOMAIN  PROTO  PUBLIC                  TO
forward     blue    tcp    203.0.113.16:8000-8099  10.1.2.10:9000-9099
forward     blue    udp    203.0.113.16:8000-8099  10.1.2.10:9000-9099
static-nat  blue    any    203.0.113.41            10.1.1.11
";
    assert_eq!(stage.gateway().show(&["forwards"]).expect("a table"), expected);
    let answer = stage.show("forwards");
    let rows = answer["forwards"].as_array().expect("a list");
    assert_eq!((rows.len(), &rows[0]["ports"], &rows[2]["ports"]), (3, &serde_json::json!([8000, 8099]), &Value::Null));
    assert!(stage.gateway().show(&["routes"]).expect("a table").contains("203.0.113.41/32"));
    stage.stop();
}

#[test]
fn sessions_are_filtered_and_ended() {
    let Some(mut stage) = stage("sessions_are_filtered_and_ended") else { return };
    let shown = |filters: &[&str]| -> usize {
        let filters = filters.iter().flat_map(|filter| ["--filter", *filter]);
        let words: Vec<_> = ["sessions", "--json"].into_iter().chain(filters).collect();
        let answer: Value = serde_json::from_str(&stage.gateway().show(&words).expect("JSON")).expect("JSON");
        answer["sessions"]["sessions"].as_array().expect("a list").len()
    };
    let kill = |words: &[&str]| stage.gateway().ask(&[&["sessions", "kill"], words].concat());
    assert_eq!(shown(&[]), 4);
    assert_eq!(shown(&["protocol=tcp"]), 2);
    assert_eq!(shown(&["protocol=tcp", "inside=10.1.1.0/24", "peer=203.0.113.10"]), 1);
    assert_eq!(shown(&["protocol=tcp", "protocol=udp"]), 0);
    assert_eq!(shown(&["begun=outside"]), 0);

    let json = kill(&["--filter", "address=fd00:10::/56", "--dry-run", "--json"]).expect("an answer");
    assert_eq!(json, "{\"sessions-killed\":{\"killed\":2,\"dry-run\":true}}\n");
    assert_eq!(shown(&[]), 4);
    assert_eq!(kill(&["--filter", "address=fd00:10::/56"]).expect("an answer"), "2 sessions ended\n");
    assert_eq!(shown(&["domain=blue"]), 2);
    assert_eq!(kill(&["--all"]).expect("an answer"), "2 sessions ended\n");
    assert_eq!(shown(&[]), 0);

    let refusal = kill(&["--filter", "insde=10.1.1.10"]).expect_err("there is no such key").to_string();
    assert!(refusal.contains("did you mean \"inside\"?"), "{refusal}");
    let refusal = stage.gateway().show(&["routes", "--filter", "port=1"]).expect_err("routes have none").to_string();
    assert!(refusal.contains("causeway show sessions --filter"), "{refusal}");
    stage.stop();
}

#[test]
fn the_api_is_found_by_environment_and_is_its_owners_alone() {
    let Some(mut stage) = stage("the_api_is_found_by_environment_and_is_its_owners_alone") else { return };
    run(Command::new(executable()).args(["show", "ports"]).env("CAUSEWAY_API", stage.api()), SOON).success();
    let mode = std::fs::metadata(stage.api()).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    stage.stop();
}

#[test]
fn the_api_answers_nonsense_with_what_would_do() {
    let Some(mut stage) = stage("the_api_answers_nonsense_with_what_would_do") else { return };
    let ask = |line: &str| -> String {
        let stream = UnixStream::connect(stage.api()).expect("the API");
        stream.set_read_timeout(Some(SOON)).expect("a timeout");
        // It may hang up on the longest before all is written.
        let _ = (&stream).write_all(line.as_bytes());
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer).expect("an answer");
        answer
    };
    assert!(ask("hello\n").contains("ask like"));
    assert!(ask("{\"version\":9,\"show\":\"routes\"}\n").contains("ask in version 1"));
    assert!(ask("{\"version\":1,\"show\":\"flows\"}\n").contains("no request"));
    assert!(ask("\u{0}\n").contains("no request"));
    assert!(ask(&("x".repeat(10_000) + "\n")).contains("ask like"));
    assert!(ask("{\"version\":1,\"show\":\"routes\"}\n").starts_with("{\"routes\":["));
    stage.stop();
}

#[test]
fn without_a_gateway_there_is_a_hint() {
    let folder = Folder::new();
    let api = folder.path().join("api.sock");
    let said = causeway(["show".as_ref(), "routes".as_ref(), "--api".as_ref(), api.as_os_str()]).failure();
    assert!(said.contains("no gateway answers at") && said.contains("--api"), "{said}");
}
