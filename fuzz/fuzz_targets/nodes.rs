//! Any bytes as lists of nodes, or of pods, one after the other (a line each), or as flannel's
//! files (behind "flannel|", the network's and then those of nodes, each up to the next "|"):
//! refused or taken, never a panic; the routes that follow are sound, only pods' addresses are
//! selected, and saying the same again changes nothing.
#![no_main]

use causeway_control::compile::PortFacts;
use causeway_control::config::{ClusterIdx, Config};
use causeway_control::control::Control;
use causeway_control::feed::Update;
use causeway_control::nodes::{EnvFile, NodeFact, read_flannel, read_nodes};
use causeway_control::pods::{Selectors, read_pods};
use causeway_fastpath::command::{Command, Event};
use causeway_fastpath::time::Instant;
use libfuzzer_sys::fuzz_target;

const CONFIG: &str = r#"
gateway.name = "fuzz"
[[port]]
name = "nodes"
driver = "memory"
addresses = ["192.168.0.1/24", "fd00:a::1/64"]
[[port]]
name = "uplink"
driver = "memory"
addresses = ["203.0.113.2/24"]
[[cluster]]
name = "blue"
model = "island"
pod-cidrs = ["10.1.0.0/16", "fd00:10::/56"]
egress = "masquerade"
ports = ["nodes"]
nodes-from = { in-cluster = true }
[[cluster.egress-rule]]
namespace = "shop"
pod-selector = "app=web"
pool = "shop"
[[cluster.egress-rule]]
namespace-selector = "team in (red,blue)"
pool = "shop"
[[pool]]
name = "shop"
addresses = ["203.0.113.9", "2001:db8::9"]
"#;

/// Carries out every command; says whether there were new tables.
fn settle(control: &mut Control) -> bool {
    let mut installed = false;
    while let Some(command) = control.poll_command() {
        match command {
            Command::Install(snapshot) => {
                assert_eq!(snapshot.check(), Ok(()));
                installed = true;
            }
            Command::Transmit(_, frame) | Command::Inject(frame, _) => {
                control.handle_event(Event::Spent(frame), Instant::ZERO);
            }
            Command::Prepare(room) => control.handle_event(Event::Settled(room), Instant::ZERO),
            Command::ListSessions(_) | Command::EndSessions(_) => {}
            Command::ListPools(_) | Command::ListRefused(_) => {}
        }
    }
    installed
}

fuzz_target!(|bytes: &[u8]| {
    let (config, _) = Config::parse("fuzz.toml", CONFIG).expect("it is sound");
    let facts = (0..2).map(|at| PortFacts { mac: [2, 0, 0, 0, 0, at], mtu: 1500 }).collect();
    let mut control = Control::new(config, facts, 7, Instant::ZERO);
    settle(&mut control);
    if let Some(files) = bytes.strip_prefix(b"flannel|") {
        play(&mut control, flannel(files));
        return;
    }
    let selectors = Selectors::of(&control.config().clusters[0]);
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok((pods, namespaces)) = read_pods(line) {
            let pods: Vec<_> = pods.iter().filter_map(|pod| selectors.choose(pod)).collect();
            let namespaces: Vec<_> = namespaces.iter().filter_map(|one| selectors.choose_namespace(one)).collect();
            let mut say = || {
                let said = |cluster| (ClusterIdx(cluster), Update::All(pods.clone()));
                let of_namespaces = (ClusterIdx(0), Update::All(namespaces.clone()));
                control.update_pods([said(0)], [of_namespaces], Instant::ZERO);
                settle(&mut control)
            };
            say();
            assert!(!say(), "what was said before changes nothing");
            assert!(control.chosen_pods(ClusterIdx(0)).into_iter().all(|count| count <= pods.len()));
        }
        let Ok(nodes) = read_nodes(line) else { continue };
        play(&mut control, nodes);
    }
});

/// Its nodes; those of a network that makes no sense are read without it.
fn flannel(files: &[u8]) -> Vec<NodeFact> {
    let mut files = files.split(|byte| *byte == b'|');
    let conf = files.next().filter(|conf| !conf.is_empty());
    let file = |(at, content): (usize, &[u8])| EnvFile {
        node: format!("n{at}"),
        name: format!("n{at}.env"),
        content: Ok(content.to_vec()),
    };
    let files: Vec<_> = files.enumerate().map(file).collect();
    let pods = ["10.1.0.0/16", "fd00:10::/56"].map(|net| net.parse().expect("a prefix"));
    let read = |conf| read_flannel(conf, files.clone(), &pods);
    let found = read(conf).or_else(|_| read(None)).expect("there is no network");
    assert!(found.nodes.iter().all(|node| node.flaws.is_empty() != node.pod_cidrs.is_empty()));
    found.nodes
}

/// Says that these are all nodes.
fn play(control: &mut Control, nodes: Vec<NodeFact>) {
    let said = || [(ClusterIdx(0), Update::All(nodes.clone()))];
    control.update_nodes(said(), Instant::ZERO);
    settle(control);
    assert_eq!(control.nodes().count(), nodes.len());
    let routed: usize = control.nodes().map(|row| row.routed.len()).sum();
    assert_eq!(control.routes().filter(|route| route.origin.word() == "node").count(), routed);
    control.update_nodes(said(), Instant::ZERO);
    assert!(!settle(control), "what was said before changes nothing");
}
