//! Who is where, and who talks to whom.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use causeway_control::config::ClusterIdx;
use causeway_control::nodes::{NodeFact, Ready, Update};
use causeway_control::pods::{PodChosen, PodName, PodUpdate};
use causeway_fastpath::ids::PortId;
use causeway_fastpath::nat::Selections;
use causeway_fastpath::time::Instant;
use causeway_testkit::packet::ToIp;
use causeway_testkit::seed::Rng;

use crate::frame::{ICMP, ICMPV6, TCP, UDP};
use crate::gateway::Gateway;
use crate::scheme::Scheme;
use crate::station::{CLOSED, Station};
use crate::talk::Talk;

pub(crate) const NODES: PortId = PortId(0);
pub(crate) const UPLINK: PortId = PortId(1);
const OTHERS: PortId = PortId(2);
pub(crate) const BLUE: ClusterIdx = ClusterIdx(0);
/// By station.
pub(crate) const NODE_A: usize = 0;
pub(crate) const NODE_B: usize = 1;
pub(crate) const SERVER: usize = 2;
pub(crate) const OTHER_SERVER: usize = 3;
/// Of the other island.
const OTHER_NODE: usize = 4;
/// Talks that begin once the weather is good.
const LATE: u32 = 5;
/// Pods of a node.
const PODS: u64 = 8;

pub(crate) struct Place {
    workers: usize,
    idle: &'static str,
    talks: u32,
    /// The ports of the pool, on each of its two addresses of a family.
    ports: (u16, u16),
    /// Does the pool let strangers in, so that names rest?
    pub(crate) is_open: bool,
}

impl Place {
    pub(crate) fn draw(workers: usize, rng: &mut Rng) -> Place {
        let talks = rng.range(6..30) as u32;
        // So few names that endpoints wait for those of others, just as many as there can be
        // endpoints, some more, or plenty.
        let count = *rng.choose(&[1 + talks / 8, talks / 2, 2 * talks, 400]) as u16;
        let first = 2_000 + rng.below(9) as u16;
        let (is_open, idle) = (rng.chance(1, 3), *rng.choose(&["spin-then-poll", "poll"]));
        Place { workers, idle, talks, ports: (first, first + count - 1), is_open }
    }

    pub(crate) fn has_plenty_of_ports(&self) -> bool {
        u32::from(self.ports.1 - self.ports.0) >= 2 * (self.talks + LATE)
    }

    pub(crate) fn scheme(&self) -> Scheme {
        Scheme::first(self.workers, self.idle, self.ports.0..=self.ports.1, self.is_open)
    }

    pub(crate) fn talks(&self, rng: &mut Rng) -> Vec<Talk> {
        (0..self.talks).map(|id| talk(id, rng)).collect()
    }

    /// Of those who begin only then.
    pub(crate) fn late_talks(&self, now: Instant, rng: &mut Rng) -> Vec<Talk> {
        (self.talks..self.talks + LATE).map(|id| talk(id, rng).later(now)).collect()
    }
}

fn talk(id: u32, rng: &mut Rng) -> Talk {
    let v6 = rng.bool();
    let (port, echo) = (5_000 + id as u16, if v6 { ICMPV6 } else { ICMP });
    let (node, pod) = (rng.range(NODE_A..NODE_B + 1), 1 + rng.below(PODS - 1));
    let inside = (node, pod_of(node, pod, v6), port);
    let server = *rng.choose(&[SERVER, OTHER_SERVER]);
    let outside = own(server, v6);
    let either = if rng.bool() { TCP } else { UDP };
    let mut out = |protocol, to| Talk::new(id, protocol, inside, to, to, rng);
    match id % 13 {
        0..=2 => out(UDP, (outside, 53)),
        3..=4 => out(TCP, (outside, 443)),
        5 => out(echo, (outside, port)),
        6 => out(UDP, (outside, CLOSED)),
        7 => {
            let client = (server, outside, port);
            Talk::new(id, either, client, service(v6), (pod_of(NODE_B, 0, v6), 8080), rng).routed()
        }
        8 => Talk::new(id, either, inside, service(v6), (pod_of(NODE_B, 0, v6), 8080), rng),
        9 => {
            let nobody = nobody(v6);
            Talk::new(id, UDP, inside, nobody, nobody, rng).with_nobody()
        }
        10 | 11 => {
            let inside = (OTHER_NODE, pod_of(OTHER_NODE, pod, v6), port);
            let to = (outside, if either == UDP { 53 } else { 443 });
            Talk::new(id, either, inside, to, to, rng)
        }
        _ => {
            let other = (pod_of(NODE_A + NODE_B - node, pod, v6), 8080);
            out(UDP, other).routed()
        }
    }
}

pub(crate) fn service(v6: bool) -> (IpAddr, u16) {
    (if v6 { "2001:db8:1::40" } else { "203.0.113.40" }.to_ip(), 80)
}

/// Where a forward leads to that nobody answers to.
pub(crate) fn nobody(v6: bool) -> (IpAddr, u16) {
    (if v6 { "2001:db8:1::41" } else { "203.0.113.41" }.to_ip(), 81)
}

pub(crate) fn pod_of(node: usize, pod: u64, v6: bool) -> IpAddr {
    let (island, node) = if node == OTHER_NODE { (2, 1) } else { (1, node as u16 + 1) };
    let pod = pod as u16 + 10;
    match v6 {
        false => Ipv4Addr::new(10, island as u8, node as u8, pod as u8).into(),
        true => Ipv6Addr::new(0xfd00, 16 * island, 0, node, 0, 0, 0, pod).into(),
    }
}

/// Is it a pod of this node?
pub(crate) fn is_on(node: usize, address: IpAddr) -> bool {
    (0..PODS).any(|pod| pod_of(node, pod, address.is_ipv6()) == address)
}

pub(crate) fn is_in_other_island(address: IpAddr) -> bool {
    is_on(OTHER_NODE, address)
}

/// The address of a station on its link.
pub(crate) fn own(station: usize, v6: bool) -> IpAddr {
    let (v4_own, v6_own) = OWN[station];
    if v6 { v6_own } else { v4_own }.to_ip()
}

const OWN: [(&str, &str); 5] = [
    ("192.168.0.11", "fd00:a::11"),
    ("192.168.0.12", "fd00:a::12"),
    ("203.0.113.10", "2001:db8:1::a"),
    ("203.0.113.11", "2001:db8:1::b"),
    ("192.168.1.11", "fd00:b::11"),
];

/// The gateway's addresses by port.
pub(crate) const GATEWAY: [(&str, &str); 3] =
    [("192.168.0.1", "fd00:a::1"), ("203.0.113.2", "2001:db8:1::2"), ("192.168.1.1", "fd00:b::1")];

pub(crate) fn stations(gateway: &Gateway) -> Vec<Station> {
    let station = |at: usize| {
        let (port, has_pods) = match at {
            SERVER | OTHER_SERVER => (UPLINK, false),
            OTHER_NODE => (OTHERS, true),
            _ => (NODES, true),
        };
        let pods = |v6| (0..PODS).map(move |pod| pod_of(at, pod, v6));
        let pods = if has_pods { pods(false).chain(pods(true)).collect() } else { Vec::new() };
        Station::new(port, [2, 0, 0, 0, 1, at as u8], gateway.macs[port.index()], OWN[at], pods)
    };
    (NODE_A..=OTHER_NODE).map(station).collect()
}

/// What the source says of a node.
pub(crate) fn node(at: usize) -> NodeFact {
    let (v4, v6) = OWN[at];
    let subnet = at + 1;
    NodeFact {
        name: format!("node-{at}"),
        addresses: vec![v4.into(), v6.into()],
        pod_cidrs: vec![format!("10.1.{subnet}.0/24"), format!("fd00:10:0:{subnet}::/64")],
        ready: Ready::Ready,
        flaws: Vec::new(),
    }
}

pub(crate) fn all_nodes() -> [(ClusterIdx, Update); 2] {
    [(BLUE, Update::All(vec![node(NODE_A), node(NODE_B)])), (BLUE, Update::InStep)]
}

/// Pods with the label that a rule asks for.
pub(crate) fn labelled(rng: &mut Rng) -> PodUpdate {
    let pods = (1..PODS).filter(|_| rng.bool()).map(|pod| PodChosen {
        name: PodName { namespace: "default".to_owned(), name: format!("pod-{pod}") },
        addresses: [false, true].map(|v6| pod_of(NODE_A, pod, v6)).into(),
        by: Selections(1),
    });
    PodUpdate::All(pods.collect())
}

/// Is it nobody's name outside?
pub(crate) fn is_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    }
}
