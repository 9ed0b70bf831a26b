//! `causeway replay`.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use causeway_testkit::packet::*;
use causeway_testkit::pcap::{read_pcap, write_pcap, write_pcap_micros};
use causeway_testkit::print::assert_frame_lists_eq;
use causeway_testkit::random;
use causeway_testkit::seed::Seed;
use causeway_tests::counters::Counters;
use causeway_tests::folder::Folder;
use causeway_tests::program::Finished;
use causeway_tests::top;
use serde_json::Value;

use crate::causeway;
use crate::replayed::{Conversation, Endpoint, GATEWAY_NODES, GATEWAY_UPLINK, NODE_A, NODE_B, ROUTER, conversations};

/// When the captures begin, in nanoseconds since 1970.
const START: u64 = 1_700_000_000_000_000_000;
const MILLISECOND: u64 = 1_000_000;

/// Replays frames that arrive at the two ports, a millisecond apart, those of the
/// uplink a second later. The results are in `result`.
fn replay(folder: &Folder, result: &str, nodes: &[Vec<u8>], uplink: &[Vec<u8>]) -> Counters {
    replay_later(folder, result, nodes, uplink, 1)
}

/// As [`replay`], those of the uplink so many seconds later.
fn replay_later(folder: &Folder, result: &str, nodes: &[Vec<u8>], uplink: &[Vec<u8>], seconds: u64) -> Counters {
    replay_by(1, folder, result, nodes, uplink, seconds)
}

/// As [`replay_later`], by so many workers.
fn replay_by(
    workers: u16,
    folder: &Folder,
    result: &str,
    nodes: &[Vec<u8>],
    uplink: &[Vec<u8>],
    seconds: u64,
) -> Counters {
    let mut arguments: Vec<String> = vec!["replay".into(), config(), format!("--workers={workers}")];
    for (port, frames, start) in [("nodes", nodes, START), ("uplink", uplink, START + seconds * 1000 * MILLISECOND)] {
        let timed: Vec<_> = (0..).zip(frames).map(|(nth, frame)| (start + nth * MILLISECOND, frame)).collect();
        let file = folder.path().join(format!("{port}-in.pcap"));
        write_pcap(&file, &timed).expect("a capture");
        arguments.extend(["--port".into(), format!("{port}={}", file.display())]);
    }
    arguments.extend(["--out".into(), folder.path().join(result).display().to_string()]);
    let finished = causeway(&arguments).success();
    let packets = nodes.len() + uplink.len();
    assert!(finished.stdout.contains(&format!("\n{packets} packets over ")), "{finished}");
    let counters = Counters::parse(&json(&folder.path().join(result).join("counters.json")));
    assert!(counters.conserve(), "{counters}");
    assert_eq!(counters.get("rx", "received"), packets as u64);
    counters
}

fn config() -> String {
    top().join("configs/replay.toml").display().to_string()
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a port sent to somebody: all but the announcements of the gateway's own
/// addresses and the pool's, with which it begins.
fn sent(folder: &Folder, result: &str, port: &str) -> Vec<Vec<u8>> {
    sent_at(folder, result, port).into_iter().map(|(_, frame)| frame).collect()
}

/// As [`sent`], with the times.
fn sent_at(folder: &Folder, result: &str, port: &str) -> Vec<(u64, Vec<u8>)> {
    let file = folder.path().join(result).join(format!("{port}.pcap"));
    let frames = read_pcap(file).expect("a capture").into_iter();
    let is_to_all = |frame: &[u8]| frame[0] & 1 == 1;
    frames.filter(|(_, frame)| !is_to_all(frame)).collect()
}

fn from_node() -> Eth {
    eth().src(NODE_A).dst(GATEWAY_NODES)
}

fn to_node() -> Eth {
    eth().src(GATEWAY_NODES).dst(NODE_A)
}

fn from_router() -> Eth {
    eth().src(ROUTER).dst(GATEWAY_UPLINK)
}

fn to_router() -> Eth {
    eth().src(GATEWAY_UPLINK).dst(ROUTER)
}

fn questions(conversations: &[Conversation]) -> Vec<Vec<u8>> {
    conversations.iter().map(|of| of.question(from_node(), of.pod, 64)).collect()
}

/// Replays the questions alone, to learn the names under which they go out.
fn learn(folder: &Folder, conversations: &[Conversation]) -> Vec<Endpoint> {
    learn_by(1, folder, conversations)
}

/// As [`learn`], from so many workers.
fn learn_by(workers: u16, folder: &Folder, conversations: &[Conversation]) -> Vec<Endpoint> {
    replay_by(workers, folder, "learned", &questions(conversations), &[], 1);
    let outside = sent(folder, "learned", "uplink");
    assert_eq!(outside.len(), conversations.len());
    conversations.iter().zip(&outside).map(|(of, frame)| of.asker(frame)).collect()
}

#[test]
fn questions_go_out_under_a_name_of_the_pool_and_answers_find_home() {
    let folder = Folder::new();
    let conversations = conversations();
    let names = learn(&folder, &conversations);
    let pools = ["203.0.113.16/29", "2001:db8:1::100/124"].map(|pool| pool.parse::<ipnet::IpNet>().expect("a pool"));
    assert!(names.iter().all(|(address, _)| pools.iter().any(|pool| pool.contains(address))), "{names:?}");

    let mut inside = Vec::new();
    let mut home = Vec::new();
    for (of, name) in conversations.iter().zip(&names) {
        inside.push(of.answer(from_router(), *name, 60));
        home.push(of.answer(to_node(), of.pod, 59));
        inside.push(of.complaint(from_router(), *name, 60));
        home.push(of.complaint(to_node(), of.pod, 59));
    }
    let counters = replay(&folder, "answered", &questions(&conversations), &inside);

    let outside: Vec<_> =
        conversations.iter().zip(&names).map(|(of, name)| of.question(to_router(), *name, 63)).collect();
    assert_frame_lists_eq(&outside, &sent(&folder, "answered", "uplink"));
    assert_frame_lists_eq(&home, &sent(&folder, "answered", "nodes"));
    assert_eq!((counters.get("nat", "translated-out"), counters.get("nat", "translated-errors")), (6, 6));
    assert_eq!(counters.sum("drop"), 0, "{counters}");

    let sessions = json(&folder.path().join("answered/sessions.json"));
    assert_eq!(sessions["sessions"]["alive"], 6);
    let rows = sessions["sessions"]["sessions"].as_array().expect("a list");
    for (of, name) in conversations.iter().zip(&names) {
        let is_it = |row: &&Value| {
            row["inside"] == of.pod.0.to_string()
                && row["inside-port"] == of.pod.1
                && row["outside"] == name.0.to_string()
                && row["outside-port"] == name.1
        };
        assert!(rows.iter().any(|row| is_it(&row)), "no session of {of:?}, {name:?} in {sessions:#}");
    }
}

#[test]
fn several_workers_decide_as_one_does() {
    let folder = Folder::new();
    let of_pod = |pod: u8| {
        conversations().into_iter().map(move |mut conversation| {
            conversation.pod.0 = match conversation.pod.0 {
                IpAddr::V4(_) => [10, 1, 0, pod].to_ip(),
                IpAddr::V6(_) => format!("fd00:10::{pod:x}").as_str().to_ip(),
            };
            conversation
        })
    };
    let conversations: Vec<_> = (5..25).flat_map(of_pod).collect();
    // What needs no name is decided about by whomever.
    let stranger = from_node().ipv4("10.9.9.9", "198.51.100.9").udp(5000, 53).build();
    let last_hop = from_node().ipv4("10.1.0.5", "198.51.100.9").ttl(1).udp(5000, 53).build();
    let nodes = [questions(&conversations), vec![stranger, last_hop], questions(&conversations)].concat();
    let mut counted = Vec::new();
    for workers in [1, 2, 4] {
        let names = learn_by(workers, &folder, &conversations);
        let both = || conversations.iter().zip(&names);
        let answers = both().map(|(of, name)| of.answer(from_router(), *name, 60));
        let uplink: Vec<_> = answers.chain(both().map(|(of, name)| of.complaint(from_router(), *name, 60))).collect();
        let result = format!("by-{workers}");
        let counters = replay_by(workers, &folder, &result, &nodes, &uplink, 1);
        let outside: Vec<_> = both().map(|(of, name)| of.question(to_router(), *name, 63)).collect();
        assert_frame_lists_eq(&[&outside[..], &outside[..]].concat(), &sent(&folder, &result, "uplink"));
        let home = both().map(|(of, _)| of.answer(to_node(), of.pod, 59));
        let home: Vec<_> = home.chain(both().map(|(of, _)| of.complaint(to_node(), of.pod, 59))).collect();
        let inside = sent(&folder, &result, "nodes");
        assert_frame_lists_eq(&home, &inside[1..]);
        let handed = counters.get("end", "handed-off");
        assert_eq!((handed, workers == 1), (counters.get("rx", "taken-over"), handed == 0), "{counters}");
        let sessions = json(&folder.path().join(&result).join("sessions.json"));
        assert_eq!(sessions["sessions"]["alive"], conversations.len());
        let translated = ["translated-out", "translated-in", "translated-errors"].map(|way| counters.get("nat", way));
        let ends = ["forwarded", "replied", "held"].map(|end| counters.get("end", end));
        counted.push((translated, ends, counters.get("drop", "not-in-island"), counters.sum("drop")));
    }
    assert!(counted.iter().all(|by| *by == counted[0]), "{counted:?}");
}

#[test]
fn workers_that_cannot_share_a_configuration_are_refused() {
    let folder = Folder::new();
    let policies = top().join("configs/policies.toml").display().to_string();
    let out = folder.path().join("result").display().to_string();
    let said = causeway(["replay", &policies, "--workers", "2", "--out", &out]).failure();
    assert!(said.contains("--workers 2: ") && said.contains("with one"), "{said}");
    let said = causeway(["replay", &policies, "--workers", "17", "--out", &out]).stderr;
    assert!(said.contains("17 is not in 1..=16"), "{said}");
}

#[test]
fn an_answer_that_comes_after_its_session_ended_finds_nobody() {
    let folder = Folder::new();
    let conversations = conversations();
    let names = learn(&folder, &conversations);
    let answers: Vec<_> =
        conversations.iter().zip(&names).map(|(of, name)| of.answer(from_router(), *name, 60)).collect();
    // The longest of the timers that apply here is UDP's, five minutes.
    let counters = replay_later(&folder, "late", &questions(&conversations), &answers, 301);
    assert_eq!(counters.get("drop", "nat-unsolicited"), answers.len() as u64, "{counters}");
    assert!(sent(&folder, "late", "nodes").is_empty());
}

#[test]
fn each_other_packet_ends_as_it_should() {
    let folder = Folder::new();
    let between_pods = |link: Eth, ttl| link.ipv4("10.1.0.5", "10.1.1.7").ttl(ttl).udp(1, 2).payload("x").build();
    let outward = || from_node().ipv4("10.1.0.5", "198.51.100.9");
    let early = outward().udp(5000, 53).payload(vec![1; 2000]).fragments(7, 1500).remove(1);
    let last_hop = outward().ttl(1).udp(5000, 53).payload("x").build();
    let stranger = from_node().ipv4("10.9.9.9", "198.51.100.9").udp(5000, 53).build();
    let uninvited = from_router().ipv4("198.51.100.9", "203.0.113.16").udp(53, 5000).build();
    let ping = from_node().ipv4("10.1.0.5", "192.168.0.1").icmp_echo_request(1, 1).payload("x").build();
    let pong = to_node().ipv4("192.168.0.1", "10.1.0.5").ttl(64).icmp_echo_reply(1, 1).payload("x").build();
    let nodes = [between_pods(from_node(), 64), early, last_hop.clone(), stranger, ping];

    let counters = replay(&folder, "result", &nodes, &[uninvited]);
    for (reason, count) in [("not-in-island", 1), ("nat-unsolicited", 1)] {
        assert_eq!(counters.get("drop", reason), count, "{reason}:\n{counters}");
    }
    let ends = ["forwarded", "replied", "held"].map(|end| counters.get("end", end));
    assert_eq!(ends, [1, 2, 1], "{counters}");
    let outside = sent(&folder, "result", "uplink");
    assert!(outside.is_empty(), "{} frames left the island", outside.len());
    let inside = sent(&folder, "result", "nodes");
    assert_eq!(inside.len(), 3);
    let untranslated = between_pods(eth().src(GATEWAY_NODES).dst(NODE_B), 63);
    assert_frame_lists_eq(&[untranslated, pong], &[&inside[0], &inside[2]]);
    causeway_testkit::checksum::verify(&inside[1]).expect("right checksums");
    assert!(inside[1].ends_with(&quote(&last_hop, usize::MAX)), "the error does not quote the packet");
}

#[test]
fn two_runs_give_identical_files() {
    let folder = Folder::new();
    let mut rng = Seed::from_env_or(77).rng();
    let mut random = |mac: Mac| -> Vec<Vec<u8>> {
        let frame = |_| {
            let mut frame = random::frame(&mut rng);
            frame[..6].copy_from_slice(&mac);
            frame
        };
        (0..2000).map(frame).collect()
    };
    let nodes = [questions(&conversations()), random(GATEWAY_NODES)].concat();
    let uplink = random(GATEWAY_UPLINK);
    for result in ["first", "second"] {
        replay(&folder, result, &nodes, &uplink);
    }
    let files = |result: &str| -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(folder.path().join(result)).expect("results");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let name = |path: &PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
        paths.map(|path| (name(&path), fs::read(&path).expect("a file"))).collect()
    };
    let (first, second) = (files("first"), files("second"));
    assert_eq!(first.keys().collect::<Vec<_>>(), ["counters.json", "nodes.pcap", "sessions.json", "uplink.pcap"]);
    for (name, content) in &first {
        assert!(second.get(name) == Some(content), "{name} differs");
    }
}

#[test]
fn captures_in_microseconds_and_captures_without_packets_are_fine() {
    let folder = Folder::new();
    let (micros, empty) = (folder.path().join("micros.pcap"), folder.path().join("empty.pcap"));
    let question = conversations()[0].question(from_node(), conversations()[0].pod, 64);
    write_pcap_micros(&micros, &[(START, &question), (START + 1500 * MILLISECOND, &question)]).expect("a capture");
    write_pcap::<&[u8]>(&empty, &[]).expect("a capture");
    let out = folder.path().join("deep/result").display().to_string();
    let (nodes, uplink) = (format!("nodes={}", micros.display()), format!("uplink={}", empty.display()));
    let finished =
        causeway(["replay", &config(), "--port", &nodes, "--port", &uplink, "--out", &out, "--json"]).success();
    let printed: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    assert_eq!(Counters::parse(&printed).get("nat", "translated-out"), 2);
    assert_eq!(printed, json(&folder.path().join("deep/result/counters.json")));
    let times: Vec<_> = sent_at(&folder, "deep/result", "uplink").iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [START, START + 1500 * MILLISECOND], "sent in the captures' own time");
}

/// Replays one file as what the port `nodes` receives.
fn replay_file(folder: &Folder, config: &str, port: &str, file: &Path) -> Finished {
    let (capture, out) = (format!("{port}={}", file.display()), folder.path().join("result").display().to_string());
    causeway(["replay", config, "--port", &capture, "--out", &out])
}

#[test]
fn a_damaged_capture_is_named_with_what_is_wrong() {
    let folder = Folder::new();
    let whole = folder.path().join("whole.pcap");
    write_pcap(&whole, &[(START, &questions(&conversations())[0])]).expect("a capture");
    let bytes = fs::read(&whole).expect("a file");
    for (name, content, expected) in [
        ("text.pcap", b"this is a letter and not a capture".to_vec(), "damaged"),
        ("cut.pcap", bytes[..bytes.len() - 5].to_vec(), "damaged"),
        ("header.pcap", bytes[..10].to_vec(), "damaged"),
    ] {
        let file = folder.write(name, content);
        let said = replay_file(&folder, &config(), "nodes", &file).failure();
        assert!(said.contains(name) && said.contains(expected) && said.contains("\"nodes\""), "{name}: {said}");
    }
    let said = replay_file(&folder, &config(), "nodes", &folder.path().join("none.pcap")).failure();
    assert!(said.contains("none.pcap") && said.contains("No such file"), "{said}");
}

#[test]
fn a_port_that_there_is_not_is_told_those_there_are() {
    let folder = Folder::new();
    let said = replay_file(&folder, &config(), "node", Path::new("in.pcap")).failure();
    assert!(said.contains("--port node: no such port; the configuration has nodes, uplink"), "{said}");
    let twice = ["replay", &config(), "--port", "nodes=a", "--port", "nodes=b", "--out", "unused"];
    let said = causeway(twice).failure();
    assert!(said.contains("--port nodes: given twice"), "{said}");
}

#[test]
fn a_replay_needs_no_device_of_its_configuration() {
    let folder = Folder::new();
    let capture = folder.path().join("in.pcap");
    write_pcap(&capture, &[(START, &questions(&conversations())[0])]).expect("a capture");
    let lab = top().join("configs/lab.toml").display().to_string();
    let finished = replay_file(&folder, &lab, "nodes", &capture).success();
    assert!(finished.stdout.contains("1 packets over"), "{finished}");
}

/// The file is read once; whoever else knows nodes is not asked, and that is said.
#[test]
fn a_replay_reads_nodes_from_files_and_says_whom_it_does_not_ask() {
    let folder = Folder::new();
    let nodes = [("node-a", 11, 0), ("node-b", 12, 1)].map(|(name, host, pods)| {
        serde_json::json!({ "kind": "Node", "metadata": { "name": name },
            "spec": { "podCIDRs": [format!("10.1.{pods}.0/24")] },
            "status": { "addresses": [{ "type": "InternalIP", "address": format!("192.168.0.{host}") }] } })
    });
    let file = folder.write("nodes.json", serde_json::json!({ "kind": "List", "items": nodes }).to_string());
    let text = fs::read_to_string(config()).expect("a configuration");
    let (before, after) = text.split_once("[[cluster.node]]").expect("it has nodes");
    let (_, after) = after.split_once("[[neighbor]]").expect("it has neighbours");
    let capture = folder.path().join("in.pcap");
    let between_pods = from_node().ipv4("10.1.0.5", "10.1.1.7").udp(1, 2).payload("x").build();
    write_pcap(&capture, &[(START, &between_pods)]).expect("a capture");
    let replay = |source: &str| {
        let text = format!("{before}ports = [\"nodes\"]\nnodes-from = {{ {source} }}\n[[neighbor]]{after}");
        let finished =
            replay_file(&folder, &folder.write("replay.toml", text).display().to_string(), "nodes", &capture);
        let finished = finished.success();
        let counters = Counters::parse(&json(&folder.path().join("result/counters.json")));
        (counters.get("end", "forwarded"), finished.stderr)
    };
    let (forwarded, said) = replay(&format!("file = {file:?}"));
    assert_eq!(forwarded, 1, "{said}");
    let flannel = |subnet: &str, host: u8| {
        format!(
            "FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET={subnet}\nFLANNEL_MTU=1500\nFLANNEL_IPMASQ=false\n\
             FLANNELD_PUBLIC_IP=192.168.0.{host}\n"
        )
    };
    for (name, subnet, host) in
        [("node-a", "10.1.0.1/24", 11), ("node-b", "10.1.1.1/24", 12), ("bad", "10.1.2./24", 13)]
    {
        folder.write(&format!("{name}.env"), flannel(subnet, host));
    }
    let (forwarded, said) = replay(&format!("flannel = {:?}", folder.path()));
    assert!(forwarded == 1 && said.contains("bad.env:2: FLANNEL_SUBNET"), "{said}");
    let (forwarded, said) = replay("kubeconfig = \"/etc/causeway/kubeconfig\"");
    assert!(forwarded == 0 && said.contains("no node of it is known"), "{said}");
    assert!(said.contains("a replay asks no API server") && said.contains("blue"), "{said}");
    let (forwarded, said) = replay("file = \"/nowhere/nodes.json\"");
    assert!(forwarded == 0 && said.contains("/nowhere/nodes.json: No such file"), "{said}");
}
