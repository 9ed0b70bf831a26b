//! Nodes as flannel has them: a `subnet.env` of each node, and the network's `net-conf.json`.
//!
//! flanneld writes `subnet.env` on its node, and there is no address of the node in it. Whoever
//! collects these files adds it, as the variable by which flanneld itself can be told it
//! (flannel, Documentation/configuration.md).

mod net_conf;
mod subnet_env;
#[cfg(test)]
mod tests;

use ipnet::IpNet;

use super::{NodeFact, Ready};
use net_conf::NetConf;
use subnet_env::SubnetEnv;

/// What a folder of flannel's files comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlannelNodes {
    /// A node a `subnet.env`; those with flaws among them.
    pub nodes: Vec<NodeFact>,
    /// What is hardly meant so, and what would do.
    pub remarks: Vec<String>,
}

/// A node's `subnet.env`.
#[derive(Clone, Debug)]
pub struct EnvFile {
    /// Name of the node.
    pub node: String,
    /// What messages call the file.
    pub name: String,
    /// What is in it, or why that is not known.
    pub content: Result<Vec<u8>, String>,
}

/// What messages call the network's configuration.
const NET_CONF: &str = "net-conf.json";
/// Characters of a message.
const LONGEST: usize = 300;

/// Reads them all. `pod_cidrs` are those of the cluster, within which the network must lie.
///
/// A node whose file makes no sense has flaws, and the others do not suffer from it.
///
/// # Errors
/// `net-conf.json` makes no sense, or is that of another cluster.
pub fn read_flannel(
    net_conf: Option<&[u8]>,
    files: impl IntoIterator<Item = EnvFile>,
    pod_cidrs: &[IpNet],
) -> Result<FlannelNodes, String> {
    let conf = net_conf.map(|json| NetConf::read(NET_CONF, json)).transpose().map_err(shortened)?;
    let mut found = FlannelNodes::default();
    if let Some(conf) = &conf {
        conf.check_within(pod_cidrs)?;
        found.remarks.extend(conf.remark());
    }
    let mut masquerading = Vec::new();
    for file in files {
        let read = file.content.map_err(|why| vec![format!("{}: {why}", file.name)]);
        let (env, flaws) = match read.and_then(|bytes| read_node(&file.name, &bytes, conf.as_ref())) {
            Ok(env) => (env, Vec::new()),
            Err(flaws) => (SubnetEnv::default(), flaws.into_iter().map(shortened).collect()),
        };
        if env.ip_masq {
            masquerading.push(file.node.clone());
        }
        found.nodes.push(NodeFact {
            name: file.node,
            addresses: env.addresses.iter().map(ToString::to_string).collect(),
            pod_cidrs: env.subnets.iter().map(ToString::to_string).collect(),
            ready: Ready::Unsaid,
            flaws,
        });
    }
    found.remarks.extend(remark_on(&masquerading));
    Ok(found)
}

fn read_node(name: &str, bytes: &[u8], conf: Option<&NetConf>) -> Result<SubnetEnv, Vec<String>> {
    let env = SubnetEnv::read(name, bytes)?;
    let flaws: Vec<_> = conf.into_iter().flat_map(|conf| conf.flaws_of(name, &env)).collect();
    if flaws.is_empty() { Ok(env) } else { Err(flaws) }
}

/// What messages show of what somebody else wrote: they may quote all of it.
fn shortened(message: String) -> String {
    message.chars().take(LONGEST).collect()
}

/// On nodes that masquerade their pods, whose names the gateway then never sees.
fn remark_on(nodes: &[String]) -> Option<String> {
    let first = nodes.first()?;
    let others = match nodes.len() - 1 {
        0 => String::new(),
        others => format!(" and {others} more"),
    };
    Some(format!(
        "nodes that masquerade what their pods send out (FLANNEL_IPMASQ=true): {first}{others}; that leaves nothing to \
         translate here: start flanneld with --ip-masq=false"
    ))
}
