//! The checked configuration: what everybody after the parser trusts.
//!
//! Every value here has passed the checks of [`super`]: names are unique and
//! resolved to indices, addresses and prefixes lie where they must, numbers are
//! in range. Nobody after the parser asks again.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use causeway_fastpath::nat::Behavior;
use ipnet::IpNet;

use super::policies::Policy;
use super::public::{Forward, StaticNat};
use crate::flannel::Variant;
use crate::pods::PodSelector;

/// A whole, checked configuration.
///
/// The `*Idx` types index the lists of the same configuration; they never
/// outlive it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The process itself.
    pub gateway: Gateway,
    /// Network interfaces, in the order of the file; at least one.
    pub ports: Vec<Port>,
    /// Static routes, in the order of the file. No two of one cluster have the
    /// same destination.
    pub routes: Vec<Route>,
    /// Egress address pools, in the order of the file. Disjoint.
    pub pools: Vec<Pool>,
    /// Kubernetes clusters, in the order of the file.
    pub clusters: Vec<Cluster>,
    /// Ports of public addresses, in the order of the file. One receiver an address,
    /// protocol and port.
    pub forwards: Vec<Forward>,
    /// Public addresses with one receiver each, in the order of the file; in no pool and
    /// no forward, and not the gateway's own.
    pub static_nat: Vec<StaticNat>,
    /// Who may begin to speak with whom, in the order of the file.
    pub policies: Vec<Policy>,
    /// Static neighbours, in the order of the file. One a port and address.
    pub neighbors: Vec<Neighbor>,
    /// How long silent sessions live.
    pub timers: Timers,
}

/// Index into [`Config::ports`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortIdx(pub usize);

/// Index into [`Config::pools`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolIdx(pub usize);

/// Index into [`Config::clusters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterIdx(pub usize);

/// The process itself: `[gateway]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// The name it reports; `[a-z0-9-]`.
    pub name: String,
    /// Processor cores, one worker each, by the kernel's numbering. At least one.
    pub cores: Vec<usize>,
    /// Where the API listens: path of a unix socket.
    pub api: PathBuf,
    /// Where allocated pod CIDRs and learned nodes are remembered: path of a folder.
    pub state: Option<PathBuf>,
    /// What a worker does when there is nothing to do.
    pub idle: Idle,
    /// Is the file looked at, and applied when it has changed?
    pub watch: bool,
    /// Most sessions of each family alive at once, over all workers; 1 024 to
    /// 16 777 216. The tables are sized for them on start.
    pub max_sessions: u32,
    /// Most ICMP errors originated a second, over all workers. 0 sends none.
    pub icmp_errors_per_second: u32,
    /// Most of these to one destination: an IPv4 address, or an IPv6 /64.
    pub icmp_errors_per_destination: u32,
    /// Seed of every random choice. `None` asks the kernel; set only for a
    /// replay that must come out identical, because it makes ports guessable.
    pub seed: Option<u64>,
}

impl Gateway {
    /// Most sessions of each family alive at once at one worker.
    pub fn sessions_per_worker(&self) -> usize {
        (self.max_sessions as usize).div_ceil(self.cores.len().max(1))
    }
}

/// What a worker does when there is nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Idle {
    /// Spin a while, then sleep in `poll(2)` until a frame arrives.
    #[default]
    SpinThenPoll,
    /// Never sleep: for cores that nothing else runs on.
    Busy,
    /// Sleep at once: least processor time, most latency.
    Poll,
}

/// A network interface: `[[port]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// What the rest of the file calls it; unique.
    pub name: String,
    /// What it is built on: a network device for [`Driver::Auto`],
    /// [`Driver::AfPacket`] and [`Driver::AfXdp`], the name of the device to make
    /// for [`Driver::Tap`], the path of the server's socket for [`Driver::Memif`],
    /// that of a capture file for [`Driver::Pcap`]. Empty where [`Driver::Memory`] is given none.
    pub device: String,
    /// How frames get in and out.
    pub driver: Driver,
    /// The gateway's own addresses on it, each with the prefix length of its
    /// subnet; host bits are kept. Subnets of different ports are disjoint.
    pub addresses: Vec<IpNet>,
    /// Largest IP packet, in bytes. `None` takes the device's own.
    pub mtu: Option<u16>,
    /// Ethernet address, always unicast. `None` takes the device's own.
    pub mac: Option<[u8; 6]>,
    /// Frames a ring; a power of two.
    pub ring: u32,
    /// Which of the interfaces behind a memif server's socket. 0 with other drivers.
    pub memif_id: u32,
    /// How names on its addresses are given out to TCP, where flows are masqueraded.
    pub tcp: Behavior,
    /// How to UDP.
    pub udp: Behavior,
}

/// How frames get in and out of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Driver {
    /// The best one the device supports.
    #[default]
    Auto,
    /// `AF_PACKET` with memory-mapped rings.
    AfPacket,
    /// `AF_XDP`.
    AfXdp,
    /// A TAP device that Causeway makes.
    Tap,
    /// Shared memory with a memif server.
    Memif,
    /// A capture file, for replay.
    Pcap,
    /// Within the process, for tests and benches.
    Memory,
}

/// A static route: `[[route]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where to; no host bits.
    pub to: IpNet,
    /// What happens to packets that match.
    pub kind: RouteKind,
    /// The cluster whose table it belongs to. `None` is the main table.
    pub cluster: Option<ClusterIdx>,
}

/// What a route does, as in `ip route`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteKind {
    /// Through another router, or through one of several: 1 to 64, each once, on
    /// ports of one routing domain.
    Via(Vec<NextHop>),
    /// Dropped in silence.
    Blackhole,
    /// Dropped; the sender is told: host unreachable.
    Unreachable,
    /// Dropped; the sender is told: administratively prohibited.
    Prohibit,
}

/// A router that a route leads through: `via`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextHop {
    /// Its address: of the family of the route, within a subnet of `port`, not the
    /// gateway's own.
    pub gateway: IpAddr,
    /// The port on whose subnet it lies.
    pub port: PortIdx,
    /// Its share of the flows by the sum of all weights of the route; 1 to 256, and
    /// 1 for a router alone.
    pub weight: u16,
}

/// Egress addresses: `[[pool]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// What clusters call it; unique.
    pub name: String,
    /// Its addresses as prefixes without host bits; disjoint from each other,
    /// from every other pool and from the gateway's own addresses.
    pub addresses: Vec<IpNet>,
    /// The ports (and ICMP identifiers) that translation may use.
    pub ports: RangeInclusive<u16>,
    /// Does a flow keep its source port where that is free?
    pub keep_ports: bool,
    /// How names are given out to TCP.
    pub tcp: Behavior,
    /// How to UDP.
    pub udp: Behavior,
    /// Do protocols without ports leave under its addresses?
    pub other_protocols: bool,
}

/// A Kubernetes cluster: `[[cluster]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Unique.
    pub name: String,
    /// How its pods meet the rest of the network.
    pub model: Model,
    /// Where its pods live: one or two, at most one a family, no host bits.
    pub pod_cidrs: Vec<IpNet>,
    /// How large a piece of them a node gets.
    pub node_mask_size: NodeMaskSize,
    /// Its service ranges; no host bits. Never given to a node.
    pub service_cidrs: Vec<IpNet>,
    /// What its pods look like from outside.
    pub egress: Egress,
    /// Those that look otherwise; the first that is about a pod and where it sends to counts.
    pub egress_rules: Vec<EgressRule>,
    /// Toward whom its pods keep their own addresses; no host bits, each once.
    pub non_masquerade_cidrs: Vec<IpNet>,
    /// Are flows masqueraded as flannel does it, and written with what? Islands only.
    pub flannel_ip_masq: Option<Variant>,
    /// Translated sessions that one pod may have at once, of each family.
    pub sessions_per_pod: Option<u32>,
    /// Translated sessions that one pod may begin a second; `None`: no limit.
    pub new_sessions_per_pod_per_second: Option<u32>,
    /// Do TCP segments of its pods begin sessions in the middle of a conversation?
    pub tcp_pick_up: bool,
    /// Ports on which its nodes live, ascending, at least one.
    pub ports: Vec<PortIdx>,
    /// Its nodes, in the order of the file.
    pub nodes: Vec<Node>,
    /// Who knows its nodes, if not the file: then `nodes` is empty.
    pub nodes_from: Option<NodesFrom>,
    /// Is the condition `NetworkUnavailable` of its nodes kept, in the API server that
    /// `nodes_from` names?
    pub patches_network_unavailable: bool,
    /// Who knows its pods: there if an egress rule selects pods.
    pub pods_from: Option<NodesFrom>,
    /// How its nodes are asked whether they live, if they are.
    pub liveness: Option<Liveness>,
}

/// Who knows the nodes of a cluster, or its pods: `nodes-from` and `pods-from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodesFrom {
    /// A file with the output of `kubectl get`, as JSON.
    File(PathBuf),
    /// A folder with flannel's files: `net-conf.json`, and a `subnet.env` of each node.
    Flannel(PathBuf),
    /// An API server, as a kubeconfig describes it.
    Kubeconfig {
        /// The kubeconfig.
        path: PathBuf,
        /// Which of its contexts; the current one if `None`.
        context: Option<String>,
    },
    /// The API server of the cluster that the gateway runs in as a pod.
    InCluster,
}

impl fmt::Display for NodesFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodesFrom::File(path) => write!(f, "file {}", path.display()),
            NodesFrom::Flannel(path) => write!(f, "flannel {}", path.display()),
            NodesFrom::Kubeconfig { path, context: None } => write!(f, "kubeconfig {}", path.display()),
            NodesFrom::Kubeconfig { path, context: Some(context) } => {
                write!(f, "kubeconfig {}, context {context}", path.display())
            }
            NodesFrom::InCluster => write!(f, "in-cluster"),
        }
    }
}

/// How the pods of a cluster meet the rest of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// Pods meet nothing outside, but by forwards and static NAT.
    Isolated,
    /// Pods are routable from everywhere.
    Flat,
    /// Pods reach out under another address, and are reached from outside by forwards
    /// and static NAT alone.
    Island,
}

/// Prefix length of a node's pod CIDR, by family, as in kube-controller-manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeMaskSize {
    /// 1 to 32.
    pub ipv4: u8,
    /// 1 to 128.
    pub ipv6: u8,
}

impl NodeMaskSize {
    /// That of the family of a prefix.
    pub(crate) fn of(self, net: IpNet) -> u8 {
        if net.addr().is_ipv4() { self.ipv4 } else { self.ipv6 }
    }
}

/// What the pods of a cluster look like from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Egress {
    /// They have no other name: their own is known everywhere (flat), or nowhere
    /// (isolated).
    None,
    /// An address of a pool.
    Pool(PoolIdx),
    /// The gateway's own address on the port that the packet leaves by.
    Masquerade,
}

/// Pods of a cluster that leave under a pool of their own: `[[cluster.egress-rule]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressRule {
    /// Who they are.
    pub senders: Senders,
    /// Toward whom; empty: everybody. No host bits.
    pub to: Vec<IpNet>,
    /// Under whose addresses they leave. The rule is of the families that it has.
    pub pool: PoolIdx,
}

/// Pods that a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Senders {
    /// Those that live here: parts of the pod CIDRs of their cluster, no host bits.
    Prefixes(Vec<IpNet>),
    /// Those with such namespaces and labels.
    Pods(PodSelector),
}

/// How the nodes of a cluster are asked whether they live: `[cluster.liveness]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Liveness {
    /// By what.
    pub probe: Probe,
    /// Between two questions, in seconds; 1 to 300.
    pub interval_s: u32,
    /// Questions in a row without an answer after which a node counts as dead; 1 to 100.
    pub failures: u32,
    /// Answers in a row after which it no longer does; 1 to 100.
    pub successes: u32,
    /// Are the routes to a dead node withdrawn?
    pub withdraw: bool,
}

/// How a node is asked whether it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// By ARP or neighbour discovery.
    Neighbor,
    /// By an ICMP echo request.
    Icmp,
}

/// A node of a cluster: `[[cluster.node]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Unique in its cluster.
    pub name: String,
    /// Its own addresses: one or two, at most one a family, unique over all
    /// nodes, all within subnets of `port`.
    pub addresses: Vec<IpAddr>,
    /// Where its pods live: given in the file or allocated, at most one a family,
    /// no host bits. Only of families of which the node has an address to route
    /// through.
    pub pod_cidrs: Vec<IpNet>,
    /// Were they allocated, because the file leaves them open?
    pub allocated: bool,
    /// The port it is reached by.
    pub port: PortIdx,
}

impl Node {
    /// Those of its CIDRs to which there is a way: of families of which it has an address.
    pub(crate) fn routable(&self, cidrs: &[IpNet]) -> Vec<IpNet> {
        let reached = |cidr: &&IpNet| self.addresses.iter().any(|own| own.is_ipv4() == cidr.addr().is_ipv4());
        cidrs.iter().filter(reached).copied().collect()
    }
}

/// A neighbour that need not be asked for: `[[neighbor]]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbor {
    /// The port it is reached by.
    pub port: PortIdx,
    /// Its address, within a subnet of `port`.
    pub address: IpAddr,
    /// Its Ethernet address, unicast.
    pub mac: [u8; 6],
}

/// How long a session may be silent before it ends: `[timers]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timers {
    /// An established TCP session, in seconds.
    ///
    /// Never below 7 440 (2 h 4 min): RFC 5382 REQ-5.
    pub tcp_established_s: u32,
    /// A TCP session being opened or closed, in seconds.
    ///
    /// Never below 240: RFC 5382 REQ-5.
    pub tcp_transitory_s: u32,
    /// A UDP session, in seconds.
    ///
    /// Never below 120: RFC 4787 REQ-5.
    pub udp_s: u32,
    /// An ICMP echo session, in seconds.
    ///
    /// Never below 60: RFC 5508 REQ-2.
    pub icmp_s: u32,
    /// UDP sessions to single ports, in the order of the file; disjoint.
    pub udp_ports: Vec<UdpPortTimer>,
}

/// How long a UDP session to some ports may be silent: `[[timers.udp-port]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpPortTimer {
    /// The destination ports; 1 to 1 023 (RFC 4787 REQ-5).
    pub ports: RangeInclusive<u16>,
    /// In seconds; 5 at least.
    pub udp_s: u32,
}

impl Default for Timers {
    fn default() -> Self {
        Self { tcp_established_s: 7_440, tcp_transitory_s: 240, udp_s: 300, icmp_s: 60, udp_ports: Vec::new() }
    }
}
