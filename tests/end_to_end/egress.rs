//! Pods of one cluster that leave under pools of their own.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use causeway_lab::Host;
use causeway_lab::plan::{self, Family};
use causeway_lab::traffic;
use causeway_tests::program::wait_until;
use causeway_tests::stage::Stage;
use serde_json::json;

/// A changed file is seen within a second.
const PATIENCE: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_secs(30);

/// Pods of node-b by where they live, and "web" pods by a file of pods.
const POOLS: &str = "
[[pool]]
name = \"partners\"
addresses = [\"203.0.113.40\", \"2001:db8:1::240\"]
[[pool]]
name = \"web\"
addresses = [\"203.0.113.41\", \"2001:db8:1::241\"]
";

pub(crate) fn pods_of_one_cluster_leave_under_pools_of_their_own(stage: &mut Stage) {
    let file = stage.folder().path().join("pods.json");
    let rules = format!(
        "egress = \"egress\"\npods-from = {{ file = {file:?} }}\n\
         [[cluster.egress-rule]]\nnamespace = \"shop\"\npod-selector = \"app=web\"\npool = \"web\"\n\
         [[cluster.egress-rule]]\nfrom = [\"10.1.2.0/24\", \"fd00:10:0:2::/64\"]\npool = \"partners\"\n\n[[cluster.node]]",
    );
    let (before, after) = plan::CONFIG.split_once("[[cluster.node]]").expect("it has nodes");
    let before = before.replace("egress = \"egress\"\n", "");
    stage.configure(&format!("{before}{rules}{after}{POOLS}"));
    stage.start();
    let stage = &*stage;
    let world = &stage.world;
    let (a, b, server) = (world.host("pod-a1"), world.host("pod-b1"), world.host("server"));
    let list = |app: &str| {
        let addresses = Family::BOTH.map(|family| json!({ "ip": a.address(family) }));
        let pod = json!({ "kind": "Pod", "spec": {}, "status": { "phase": "Running", "podIPs": addresses },
            "metadata": { "name": "a1", "namespace": "shop", "labels": { "app": app } } });
        let text = json!({ "kind": "List", "items": [pod] }).to_string();
        let draft = stage.folder().write("draft", text);
        std::fs::rename(draft, &file).expect("a folder of our own");
    };
    let chosen = |pods: u64| {
        let is = || stage.show("egress")["egress"]["rules"][0]["pods"] == pods;
        assert!(wait_until(PATIENCE, is), "not {pods}: {}", stage.show("egress"));
    };
    let named = |family, last: &str| -> IpAddr {
        let text = if family == Family::V4 { format!("203.0.113.{last}") } else { format!("2001:db8:1::2{last}") };
        text.parse().expect("an address")
    };

    let mut talks = Vec::new();
    for family in Family::BOTH {
        for pod in [a, b] {
            traffic::ping(pod, server.address(family), 2, 56, LIMIT).expect("a raw socket");
        }
        let mut talk = Talk::new(a, server, family);
        assert!(plan::POOL.contains(talk.seen()), "nobody has said who pod-a1 is");
        talks.push(talk);
        assert_eq!(Talk::new(b, server, family).seen(), named(family, "40"));
    }
    list("web");
    chosen(1);
    for (family, old) in Family::BOTH.into_iter().zip(&mut talks) {
        assert_eq!(Talk::new(a, server, family).seen(), named(family, "41"));
        assert!(plan::POOL.contains(old.seen()), "a conversation goes on as it began");
    }
    list("db");
    chosen(0);
    for family in Family::BOTH {
        assert!(plan::POOL.contains(Talk::new(a, server, family).seen()));
        assert_eq!(Talk::new(b, server, family).seen(), named(family, "40"));
    }
}

/// A pod's conversation with the server.
struct Talk {
    asks: UdpSocket,
    answers: UdpSocket,
}

impl Talk {
    fn new(pod: &Host, server: &Host, family: Family) -> Talk {
        let asks = pod.run(|| UdpSocket::bind((pod.address(family), 0))).expect("a free port");
        let answers = server.run(|| UdpSocket::bind((server.address(family), 0))).expect("a free port");
        asks.connect(answers.local_addr().expect("it is bound")).expect("a route");
        for socket in [&asks, &answers] {
            socket.set_read_timeout(Some(LIMIT)).expect("a timeout");
        }
        Talk { asks, answers }
    }

    /// Asks once more; says under which address the server sees that.
    fn seen(&mut self) -> IpAddr {
        let mut buffer = [0; 8];
        self.asks.send(b"who?").expect("a question");
        let (len, seen) = self.answers.recv_from(&mut buffer).expect("the question arrives");
        self.answers.send_to(&buffer[..len], seen).expect("an answer");
        assert_eq!(self.asks.recv(&mut buffer).expect("the answer arrives"), len);
        seen.ip()
    }
}
