//! `subnet.env`, which flanneld writes and its CNI plugin reads.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::{Complaint, address, host, prefix};

/// What a node's file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SubnetEnv {
    /// `FLANNEL_NETWORK` and `FLANNEL_IPV6_NETWORK`: where all pods live, without host bits.
    pub(super) networks: Vec<IpNet>,
    /// `FLANNEL_SUBNET` and `FLANNEL_IPV6_SUBNET`: where this node's pods live, without host bits;
    /// one a family, each within a network.
    pub(super) subnets: Vec<IpNet>,
    /// `FLANNELD_PUBLIC_IP` and `FLANNELD_PUBLIC_IPV6`: the node's own addresses; at least one.
    pub(super) addresses: Vec<IpAddr>,
    /// `FLANNEL_IPMASQ`: does the node masquerade its pods itself?
    pub(super) ip_masq: bool,
}

/// The variables of a family: network, subnet, the node's address.
type Family = [&'static str; 3];
const V4: Family = ["FLANNEL_NETWORK", "FLANNEL_SUBNET", "FLANNELD_PUBLIC_IP"];
const V6: Family = ["FLANNEL_IPV6_NETWORK", "FLANNEL_IPV6_SUBNET", "FLANNELD_PUBLIC_IPV6"];
const MTU: &str = "FLANNEL_MTU";
const IP_MASQ: &str = "FLANNEL_IPMASQ";
const KNOWN: [&str; 8] = [V4[0], V4[1], V4[2], V6[0], V6[1], V6[2], MTU, IP_MASQ];

/// Of one file.
const MOST_FLAWS: usize = 10;

impl SubnetEnv {
    /// Reads a file that messages call `file`. What flannel adds in later versions is passed over.
    ///
    /// # Errors
    /// Everything that is wrong with it, as "node-a.env:2: what; what would do".
    pub(super) fn read(file: &str, bytes: &[u8]) -> Result<SubnetEnv, Vec<String>> {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Err(vec![format!("{file}: is not UTF-8")]);
        };
        let mut reader = Reader { file, lines: BTreeMap::new(), flaws: Vec::new() };
        reader.split(text);
        let env = reader.env();
        reader.flaws.truncate(MOST_FLAWS);
        if reader.flaws.is_empty() { Ok(env) } else { Err(reader.flaws) }
    }
}

struct Reader<'a> {
    file: &'a str,
    /// By variable: its line, counted from 1, and its value.
    lines: BTreeMap<&'static str, (usize, &'a str)>,
    flaws: Vec<String>,
}

impl<'a> Reader<'a> {
    fn split(&mut self, text: &'a str) {
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                self.flaw(number, "is not a variable; write it as FLANNEL_MTU=1500");
                continue;
            };
            let Some(key) = KNOWN.into_iter().find(|known| *known == key) else {
                continue;
            };
            if let Some((first, _)) = self.lines.insert(key, (number, value)) {
                self.flaw(number, &format!("{key} stands in line {first} already; keep one of the two"));
            }
        }
    }

    fn env(&mut self) -> SubnetEnv {
        let mut env = SubnetEnv::default();
        for family in [V4, V6] {
            self.family(family, &mut env);
        }
        let both = |at: usize| (V4[at], V6[at]);
        if !self.has(V4[1]) && !self.has(V6[1]) {
            self.missing(both(1).0, "flanneld writes where the node's pods live");
        }
        if !self.has(V4[2]) && !self.has(V6[2]) {
            self.missing(both(2).0, "add the node's own address, as FLANNELD_PUBLIC_IP=192.168.0.11");
        }
        // Of no use here, but flanneld writes them last: a file without them is half of one.
        for key in [MTU, IP_MASQ] {
            if !self.has(key) {
                self.missing(key, "flanneld writes it: is this the whole file?");
            }
        }
        self.value(MTU, |text| number(text).map(drop));
        env.ip_masq = self.value(IP_MASQ, flag).unwrap_or_default();
        env
    }

    fn family(&mut self, family: Family, env: &mut SubnetEnv) {
        let is_v4 = family == V4;
        let of_family = |net: IpNet| if net.addr().is_ipv4() == is_v4 { Ok(net.trunc()) } else { Err(other_family()) };
        let [network, subnet, public] = family;
        // flannel takes a list there.
        let list =
            |text: &str| text.split(',').map(|text| prefix(text).and_then(of_family)).collect::<Result<Vec<_>, _>>();
        let networks = self.value(network, list);
        let own = self.value(subnet, |text| prefix(text).and_then(of_family));
        env.addresses.extend(self.value(public, |text| {
            let own = address(text).and_then(host)?;
            if own.is_ipv4() == is_v4 { Ok(own) } else { Err(other_family()) }
        }));
        match (self.has(network), self.has(subnet)) {
            (true, false) => self.missing(subnet, "flanneld writes it with the network"),
            (false, true) => self.missing(network, "flanneld writes it with the subnet"),
            _ => {}
        }
        if let (Some(networks), Some(own)) = (networks, own) {
            if !networks.iter().any(|network| network.contains(&own)) {
                let line = self.lines[subnet].0;
                self.flaw(line, &format!("{subnet} {own} lies outside {network}; is this flanneld's own file?"));
            }
            env.networks.extend(networks);
            env.subnets.push(own);
        }
    }

    fn has(&self, key: &str) -> bool {
        self.lines.contains_key(key)
    }

    fn value<T>(&mut self, key: &'static str, read: impl Fn(&str) -> Result<T, Complaint>) -> Option<T> {
        let (line, value) = *self.lines.get(key)?;
        match read(value) {
            Ok(value) => Some(value),
            Err(Complaint { what, remedy }) => {
                let short: String = value.chars().take(50).collect();
                self.flaw(line, &format!("{key} = {short:?}: {what}; {remedy}"));
                None
            }
        }
    }

    fn missing(&mut self, key: &str, remedy: &str) {
        self.flaws.push(format!("{}: is missing {key}; {remedy}", self.file));
    }

    fn flaw(&mut self, line: usize, what: &str) {
        self.flaws.push(format!("{}:{line}: {what}", self.file));
    }
}

fn other_family() -> Complaint {
    Complaint { what: "is of the other family".to_owned(), remedy: "IPv6 has variables of its own".to_owned() }
}

fn number(text: &str) -> Result<u32, Complaint> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or_else(|| Complaint { what: "is not a number".to_owned(), remedy: "write it as 1500".to_owned() })
}

fn flag(text: &str) -> Result<bool, Complaint> {
    text.parse().map_err(|_| Complaint {
        what: "is neither of true and false".to_owned(),
        remedy: "flanneld writes what --ip-masq says".to_owned(),
    })
}
