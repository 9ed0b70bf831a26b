//! `net-conf.json`, by which flannel knows its network.

use ipnet::IpNet;
use serde::Deserialize;

use super::subnet_env::SubnetEnv;
use crate::config::prefix;

/// What it says, checked as flannel does (its `CheckNetworkConfig`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NetConf {
    file: String,
    /// One a family, without host bits; what its key is called, and that of its length.
    networks: Vec<Network>,
    backend: String,
    direct_routing: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Network {
    net: IpNet,
    key: &'static str,
    len_key: &'static str,
    /// Prefix length of the nodes' subnets, if it says one.
    subnet_len: Option<u8>,
    line: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
struct Raw {
    #[serde(rename = "EnableIPv4")]
    enable_ipv4: Option<bool>,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: Option<bool>,
    network: Option<String>,
    #[serde(rename = "IPv6Network")]
    ipv6_network: Option<String>,
    subnet_len: Option<u64>,
    #[serde(rename = "IPv6SubnetLen")]
    ipv6_subnet_len: Option<u64>,
    backend: Option<Backend>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
struct Backend {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    direct_routing: bool,
}

/// How flannel checks a family.
struct Rules {
    key: &'static str,
    len_key: &'static str,
    /// The longest that nodes may have, the longest network, and the words for both.
    longest: u8,
    longest_network: u8,
    too_long: &'static str,
    too_small: &'static str,
    is_v4: bool,
}

const V4: Rules = Rules {
    key: "Network",
    len_key: "SubnetLen",
    longest: 30,
    longest_network: 28,
    too_long: "SubnetLen must be less than /31",
    too_small: "network is too small. Minimum useful network prefix is /28",
    is_v4: true,
};

const V6: Rules = Rules {
    key: "IPv6Network",
    len_key: "IPv6SubnetLen",
    longest: 126,
    longest_network: 124,
    too_long: "SubnetLen must be less than /127",
    too_small: "IPv6Network is too small. Minimum useful network prefix is /124",
    is_v4: false,
};

/// What packs packets of pods into others between nodes.
const ENCAPSULATING: [&str; 6] = ["extension", "ipip", "ipsec", "udp", "vxlan", "wireguard"];

impl NetConf {
    /// Reads a file that messages call `file`.
    ///
    /// # Errors
    /// What is wrong with it, in flannel's words where it has some.
    pub(super) fn read(file: &str, json: &[u8]) -> Result<NetConf, String> {
        let raw: Raw = serde_json::from_slice(json)
            .map_err(|error| format!("{file}:{}: is not flannel's configuration: {error}", error.line()))?;
        let mut networks = Vec::new();
        for (rules, enabled, net, len) in [
            (V4, raw.enable_ipv4.unwrap_or(true), raw.network, raw.subnet_len),
            (V6, raw.enable_ipv6.unwrap_or(false), raw.ipv6_network, raw.ipv6_subnet_len),
        ] {
            if enabled {
                networks.push(rules.network(file, json, net, len)?);
            }
        }
        if networks.is_empty() {
            return Err(format!("{file}: has neither family enabled"));
        }
        // flannel's default, if there is no Backend at all.
        let backend = raw.backend.unwrap_or(Backend { r#type: "udp".to_owned(), direct_routing: false });
        let (backend, direct_routing) = (backend.r#type, backend.direct_routing);
        Ok(NetConf { file: file.to_owned(), networks, backend, direct_routing })
    }

    /// Requires that the network lies within the cluster's pod CIDRs.
    ///
    /// # Errors
    /// It does not, and what would do.
    pub(super) fn check_within(&self, pod_cidrs: &[IpNet]) -> Result<(), String> {
        let outside = |network: &&Network| !pod_cidrs.iter().any(|pods| pods.contains(&network.net));
        let Some(Network { net, key, line, .. }) = self.networks.iter().find(outside) else {
            return Ok(());
        };
        let all: Vec<_> = self.networks.iter().map(|network| format!("\"{}\"", network.net)).collect();
        let (file, all) = (&self.file, all.join(", "));
        Err(format!("{file}:{line}: {key} {net} lies outside the cluster's pod-cidrs; write pod-cidrs = [{all}]"))
    }

    /// On a network whose packets do not come by the gateway.
    pub(super) fn remark(&self) -> Option<String> {
        let packs = ENCAPSULATING.contains(&self.backend.as_str()) && !self.direct_routing;
        packs.then(|| {
            format!(
                "{}: the backend {:?} packs what pods send each other into packets between nodes, which the gateway \
                 does not unpack; \"alloc\" and \"host-gw\" do not",
                self.file, self.backend
            )
        })
    }

    /// What of a node's file, which messages call `file`, does not fit the network.
    pub(super) fn flaws_of(&self, file: &str, env: &SubnetEnv) -> Vec<String> {
        let mut flaws = Vec::new();
        for own in &env.subnets {
            let is_v4 = own.addr().is_ipv4();
            let Some(network) = self.networks.iter().find(|network| network.net.addr().is_ipv4() == is_v4) else {
                flaws.push(format!("{file}: has the subnet {own}, and {} does not enable its family", self.file));
                continue;
            };
            let Network { net, key, len_key, subnet_len, line } = network;
            if !env.networks.contains(net) {
                flaws.push(format!("{file}: is of another network than {}:{line}, whose {key} is {net}", self.file));
            } else if let Some(len) = subnet_len.filter(|len| *len != own.prefix_len()) {
                let what = format!("{file}: {own} is not as large as {len_key} of {} says, which is {len}", self.file);
                flaws.push(what);
            }
        }
        flaws
    }
}

impl Rules {
    fn network(&self, file: &str, json: &[u8], net: Option<String>, len: Option<u64>) -> Result<Network, String> {
        let Rules { key, len_key, .. } = *self;
        let (line, len_line) = (line_of(json, key), line_of(json, len_key));
        let Some(text) = net else {
            return Err(format!("{file}: please define a correct {key} parameter in the flannel config"));
        };
        let short: String = text.chars().take(50).collect();
        let net =
            prefix(&text).map_err(|why| format!("{file}:{line}: {key} = {short:?}: {}; {}", why.what, why.remedy))?;
        if net.addr().is_ipv4() != self.is_v4 {
            return Err(format!("{file}:{line}: {key} = {short:?}: is of the other family"));
        }
        // 0 is as if it did not stand there.
        let len = len.filter(|len| *len != 0);
        match len {
            Some(len) if len > u64::from(self.longest) => return Err(format!("{file}:{len_line}: {}", self.too_long)),
            Some(len) if len < u64::from(net.prefix_len()) + 2 => {
                return Err(format!("{file}:{len_line}: network must be able to accommodate at least four subnets"));
            }
            None if net.prefix_len() > self.longest_network => {
                return Err(format!("{file}:{line}: {}", self.too_small));
            }
            _ => {}
        }
        let subnet_len = len.and_then(|len| u8::try_from(len).ok());
        Ok(Network { net: net.trunc(), key, len_key, subnet_len, line })
    }
}

/// The line in which a key first stands, counted from 1.
fn line_of(json: &[u8], key: &str) -> usize {
    let quoted = format!("\"{key}\"");
    let at = json.windows(quoted.len()).position(|bytes| bytes == quoted.as_bytes()).unwrap_or(0);
    1 + json[..at].iter().filter(|byte| **byte == b'\n').count()
}
