//! What a configuration says, as far as it differs from one to the next, and what that
//! means for a packet: said a second time, without the words of the gateway.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use causeway_control::config::Config;
use causeway_testkit::seed::Rng;

use crate::frame::{TCP, UDP};
use crate::place::{self, NODE_A, NODE_B, OTHER_SERVER, SERVER};

/// Addresses that pools may have, of each family.
const ADDRESSES: usize = 4;
const EGRESS: usize = 0;
const PARTNERS: usize = 1;
const MAPPINGS: [&str; 3] = ["endpoint-independent", "address-dependent", "address-and-port-dependent"];

/// What a configuration says.
#[derive(Clone, Debug)]
pub(crate) struct Scheme {
    workers: usize,
    /// What workers do that have nothing to do.
    idle: &'static str,
    /// In which pool each address is.
    pools: [Option<usize>; ADDRESSES],
    terms: [Terms; 2],
    partners: Partners,
    /// Toward one server alone.
    partners_to: Option<usize>,
    /// Pods of the first island do not reach this server.
    denied: Option<usize>,
    /// Toward the other server they keep their addresses.
    keeps_own: bool,
    /// On which node the pod is that the service leads to.
    service: Option<usize>,
    /// The first port of the first address is a service's, and nobody's name.
    holds_a_port: bool,
    /// The other island, by the name that it has.
    other_island: Option<&'static str>,
    /// Prefixes that nobody talks to, with a rule each.
    idle_rules: usize,
}

/// How a pool gives out names.
#[derive(Clone, Debug)]
struct Terms {
    ports: RangeInclusive<u16>,
    keep_ports: bool,
    /// TCP, UDP.
    mapping: [usize; 2],
    /// Does it let strangers in, over UDP?
    is_open: bool,
}

/// Who leaves by the second pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Partners {
    Nobody,
    /// Those on the second node.
    Node,
    /// Those with a label: what has begun goes on, whatever becomes of it.
    Labelled,
}

impl Scheme {
    /// The one to begin with, and to end with.
    pub(crate) fn first(workers: usize, idle: &'static str, ports: RangeInclusive<u16>, is_open: bool) -> Scheme {
        let terms = Terms { ports, keep_ports: false, mapping: [2, 0], is_open };
        Scheme {
            workers,
            idle,
            pools: [Some(EGRESS), Some(EGRESS), None, None],
            terms: [terms.clone(), terms],
            partners: Partners::Nobody,
            partners_to: None,
            denied: None,
            keeps_own: false,
            service: Some(NODE_B),
            holds_a_port: false,
            other_island: Some("green"),
            idle_rules: 0,
        }
    }

    /// Another one: one or more things differ.
    pub(crate) fn another(&self, rng: &mut Rng) -> Scheme {
        let mut scheme = self.clone();
        for _ in 0..1 + rng.below(3) {
            match rng.below(10) {
                0 | 1 => {
                    let at = rng.range(0..ADDRESSES);
                    scheme.pools[at] = *rng.choose(&[None, Some(EGRESS), Some(PARTNERS)]);
                    if !scheme.has(EGRESS) {
                        scheme.pools[at] = Some(EGRESS);
                    }
                }
                2 => scheme.pools.reverse(),
                3 => {
                    let terms = &mut scheme.terms[rng.range(0..2)];
                    let first = 2_000 + rng.below(9) as u16;
                    terms.ports = first..=first + rng.below(40) as u16;
                }
                4 => {
                    let terms = &mut scheme.terms[rng.range(0..2)];
                    let [tcp, udp] = [0; 2].map(|_| rng.range(0..MAPPINGS.len()));
                    *terms = Terms {
                        mapping: [tcp, udp],
                        is_open: udp == 0 && rng.bool(),
                        keep_ports: rng.bool(),
                        ..terms.clone()
                    };
                }
                5 => {
                    scheme.partners = *rng.choose(&[Partners::Nobody, Partners::Node, Partners::Labelled]);
                    scheme.partners_to = *rng.choose(&[None, Some(OTHER_SERVER)]);
                }
                6 => scheme.denied = *rng.choose(&[None, Some(SERVER), Some(OTHER_SERVER)]),
                7 => scheme.keeps_own ^= true,
                8 => {
                    scheme.service = *rng.choose(&[None, Some(NODE_A), Some(NODE_B)]);
                    scheme.holds_a_port = rng.bool();
                }
                _ => {
                    scheme.other_island = *rng.choose(&[None, Some("green"), Some("red")]);
                    scheme.idle_rules = *rng.choose(&[0, 0, 300]);
                }
            }
        }
        scheme
    }

    /// Another one, that leaves every name as it is which a connection may have.
    pub(crate) fn friendly(&self, rng: &mut Rng) -> Scheme {
        let mut scheme = self.clone();
        match rng.below(5) {
            0 => scheme.pools[2] = Some(EGRESS),
            1 => scheme.pools[3] = *rng.choose(&[None, Some(PARTNERS)]),
            2 => scheme.other_island = *rng.choose(&[None, Some("green"), Some("red")]),
            3 => scheme.idle_rules = *rng.choose(&[0, 300]),
            _ => {
                let terms = &mut scheme.terms[EGRESS];
                terms.ports = *terms.ports.start()..=terms.ports.end() + 1 + rng.below(20) as u16;
                terms.mapping[1] = rng.range(0..MAPPINGS.len());
                terms.is_open &= terms.mapping[1] == 0;
            }
        }
        scheme
    }

    fn has(&self, pool: usize) -> bool {
        self.pools.contains(&Some(pool))
    }

    /// Checked.
    pub(crate) fn config(&self) -> Config {
        let cores = (0..self.workers).map(|core| core.to_string()).collect::<Vec<_>>().join(", ");
        let mut text = format!("gateway.cores = [{cores}]\ngateway.idle = \"{}\"\n{FIRST}", self.idle);
        for (pool, name) in ["egress", "partners"].into_iter().enumerate().filter(|(pool, _)| self.has(*pool)) {
            let Terms { ports, keep_ports, mapping: [tcp, udp], is_open } = &self.terms[pool];
            let own = (0..ADDRESSES).filter(|at| self.pools[*at] == Some(pool));
            let addresses: Vec<_> = own.flat_map(|at| [false, true].map(|v6| address(at, v6).to_string())).collect();
            let (first, last, tcp, udp) = (ports.start(), ports.end(), MAPPINGS[*tcp], MAPPINGS[*udp]);
            text += &format!(
                "[[pool]]\nname = \"{name}\"\naddresses = {addresses:?}\nports = \"{first}-{last}\"\n\
                 keep-ports = {keep_ports}\ntcp-mapping = \"{tcp}\"\nudp-mapping = \"{udp}\"\n"
            );
            if *is_open {
                text += "udp-filtering = \"endpoint-independent\"\n";
            }
        }
        text += ISLAND;
        if self.keeps_own {
            let own = [false, true].map(|v6| host(place::own(OTHER_SERVER, v6)));
            text += &format!("non-masquerade-cidrs = {own:?}\n");
        }
        if self.partners != Partners::Nobody && self.has(PARTNERS) {
            text += "[[cluster.egress-rule]]\npool = \"partners\"\n";
            text += match self.partners {
                Partners::Labelled => "pod-selector = \"app=shop\"\n",
                _ => "from = [\"10.1.2.0/24\", \"fd00:10:0:2::/64\"]\n",
            };
            if let Some(server) = self.partners_to {
                text += &format!("to = {:?}\n", [false, true].map(|v6| host(place::own(server, v6))));
            }
        }
        if let Some(name) = self.other_island {
            text += &OTHER_ISLAND.replace("NAME", name);
        }
        let mut forward = |public: IpAddr, port: u16, to: IpAddr, to_port: u16| {
            text += &format!(
                "[[forward]]\ncluster = \"blue\"\nprotocol = [\"tcp\", \"udp\"]\naddress = \"{public}\"\nport = {port}\n\
                 to = \"{to}\"\nto-port = {to_port}\n"
            );
        };
        for v6 in [false, true] {
            if let Some(node) = self.service {
                forward(place::service(v6).0, 80, place::pod_of(node, 0, v6), 8080);
            }
            if let Some((held, port)) = self.held_port(v6) {
                forward(held, port, place::pod_of(NODE_B, 0, v6), 8080);
            }
            // To nobody: who asks there is told so.
            let (nobody, port) = place::nobody(v6);
            forward(nobody, port, if v6 { "fd00:a::99" } else { "192.168.0.99" }.parse().expect("an address"), 81);
        }
        if let Some(server) = self.denied {
            let to = [false, true].map(|v6| host(place::own(server, v6)));
            text += &format!("[[policy]]\nfrom = [\"blue\"]\nto = {to:?}\naction = \"deny\"\n");
        }
        for rules in (0..self.idle_rules).collect::<Vec<_>>().chunks(16) {
            let to: Vec<_> = rules.iter().map(|n| format!("192.0.{}.{}/32", 2 + n / 256, n % 256)).collect();
            text += &format!("[[policy]]\nfrom = [\"blue\"]\nto = {to:?}\naction = \"deny\"\n");
        }
        let (config, warnings) =
            Config::parse("simulation.toml", &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        assert!(warnings.is_empty(), "{warnings:?}");
        config
    }

    /// A name that is a service's, though a pool has it.
    fn held_port(&self, v6: bool) -> Option<(IpAddr, u16)> {
        let pool = self.pools[0].filter(|_| self.holds_a_port)?;
        Some((address(0, v6), *self.terms[pool].ports.start()))
    }

    /// May a packet from a pod to somebody outside, or to a service, leave under this name?
    pub(crate) fn gives(&self, pod: IpAddr, to: IpAddr, protocol: u8, name: (IpAddr, u16)) -> bool {
        let is_elsewhere = place::is_in_other_island(pod);
        if !self.hides(pod, to) {
            return name.0 == pod;
        }
        let is_to = |server: Option<usize>| server.is_some_and(|server| place::own(server, pod.is_ipv6()) == to);
        if !is_elsewhere && is_to(self.denied) {
            return false;
        }
        let is_partner = match self.partners {
            _ if is_elsewhere || !self.has(PARTNERS) => Some(false),
            _ if self.partners_to.is_some() && !is_to(self.partners_to) => Some(false),
            Partners::Nobody => Some(false),
            Partners::Node => Some(place::is_on(NODE_B, pod)),
            Partners::Labelled => None,
        };
        let pool = (0..ADDRESSES).find(|at| address(*at, pod.is_ipv6()) == name.0).and_then(|at| self.pools[at]);
        let is_held = [TCP, UDP].contains(&protocol) && self.held_port(pod.is_ipv6()) == Some(name);
        pool.is_some_and(|pool| {
            is_partner.is_none_or(|is| is == (pool == PARTNERS)) && self.terms[pool].ports.contains(&name.1)
        }) && !is_held
    }

    /// Must somebody outside not see the address of this pod?
    pub(crate) fn hides(&self, pod: IpAddr, from: IpAddr) -> bool {
        match place::is_in_other_island(pod) {
            true => self.other_island.is_some(),
            false => !self.keeps_own || place::own(OTHER_SERVER, pod.is_ipv6()) != from,
        }
    }

    /// Does the service lead to this pod?
    pub(crate) fn serves(&self, pod: IpAddr) -> bool {
        self.service.is_some_and(|node| place::pod_of(node, 0, pod.is_ipv6()) == pod)
    }

    /// Does it lead anywhere?
    pub(crate) fn has_service(&self) -> bool {
        self.service.is_some()
    }
}

/// An address that pools may have.
fn address(at: usize, v6: bool) -> IpAddr {
    match v6 {
        false => Ipv4Addr::new(203, 0, 113, 16 + at as u8).into(),
        true => Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x10 + at as u16).into(),
    }
}

fn host(address: IpAddr) -> String {
    format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 })
}

const FIRST: &str = r#"
gateway.name = "simulation"
gateway.max-sessions = 4096
[[port]]
name = "nodes"
driver = "memory"
addresses = ["192.168.0.1/24", "fd00:a::1/64"]
[[port]]
name = "uplink"
driver = "memory"
addresses = ["203.0.113.2/24", "2001:db8:1::2/64"]
[[port]]
name = "others"
driver = "memory"
addresses = ["192.168.1.1/24", "fd00:b::1/64"]
"#;

const ISLAND: &str = r#"
[[cluster]]
name = "blue"
model = "island"
pod-cidrs = ["10.1.0.0/16", "fd00:10::/56"]
egress = "egress"
ports = ["nodes"]
nodes-from = { in-cluster = true }
"#;

const OTHER_ISLAND: &str = r#"
[[cluster]]
name = "NAME"
model = "island"
pod-cidrs = ["10.2.0.0/16", "fd00:20::/56"]
egress = "egress"
[[cluster.node]]
name = "other"
addresses = ["192.168.1.11", "fd00:b::11"]
pod-cidrs = ["10.2.1.0/24", "fd00:20:0:1::/64"]
"#;
