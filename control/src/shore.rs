//! How the pods of clusters are met from outside.

use ipnet::IpNet;

use crate::config::{ClusterIdx, Config, Model};

/// What becomes of a packet from the main routing domain to a pod. A later one is
/// stronger: where clusters use the same addresses, it is theirs outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Entry {
    /// Outside there is no such pod.
    Unknown,
    /// It is kept out, and that is counted.
    Kept,
    /// It may answer, under its own address, and is reached as policies say.
    Expected,
    /// It is reached, under its own address.
    Open,
}

/// Pods of a cluster, and how they are met from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shore {
    pub(crate) pods: IpNet,
    pub(crate) cluster: ClusterIdx,
    pub(crate) entry: Entry,
}

/// The pod CIDRs of all clusters as the outside sees them, strongest first. What a
/// stronger one covers is left out.
pub(crate) fn shores(config: &Config) -> Vec<Shore> {
    let mut all = Vec::new();
    for (at, cluster) in config.clusters.iter().enumerate() {
        let opened = config.is_opened_from_outside(ClusterIdx(at));
        let entry = match cluster.model {
            Model::Island if cluster.flannel_ip_masq.is_some() => Entry::Open,
            Model::Island if cluster.non_masquerade_cidrs.is_empty() && !opened => Entry::Unknown,
            Model::Island => Entry::Expected,
            Model::Isolated => Entry::Kept,
            Model::Flat => Entry::Open,
        };
        all.extend(cluster.pod_cidrs.iter().map(|pods| Shore { pods: *pods, cluster: ClusterIdx(at), entry }));
    }
    // Of equals the wider one first, so that it covers the other.
    all.sort_by_key(|shore| (std::cmp::Reverse(shore.entry), shore.pods.prefix_len()));
    let mut shores: Vec<Shore> = Vec::new();
    for shore in all {
        if !shores.iter().any(|stronger| stronger.pods.contains(&shore.pods)) {
            shores.push(shore);
        }
    }
    shores
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_an_address_belongs_to_the_cluster_that_is_met_most() {
        let ports: String = (1..=4)
            .map(|n| format!("[[port]]\nname = \"p{n}\"\ndriver = \"memory\"\naddresses = [\"192.168.{n}.1/24\"]\n"))
            .collect();
        let clusters: String = [("island", "10.0.0.0/8"), ("isolated", "10.1.0.0/16"), ("flat", "10.1.1.0/24"), ("island", "10.1.1.0/24")]
            .iter()
            .zip(1..)
            .map(|((model, pods), n)| {
                let egress = if *model == "isolated" { "" } else { "egress = \"masquerade\"\n" };
                format!("[[cluster]]\nname = \"c{n}\"\nmodel = \"{model}\"\npod-cidrs = [\"{pods}\"]\nports = [\"p{n}\"]\n{egress}")
            })
            .collect();
        let text = format!("gateway.name = \"g\"\n[[port]]\nname = \"out\"\ndriver = \"memory\"\n{ports}{clusters}");
        let (config, _) = Config::parse("t.toml", &text).unwrap_or_else(|errors| panic!("{errors}"));
        let found: Vec<_> =
            shores(&config).iter().map(|shore| (shore.pods.to_string(), shore.cluster.0, shore.entry)).collect();
        let expected =
            [("10.1.1.0/24", 2, Entry::Open), ("10.1.0.0/16", 1, Entry::Kept), ("10.0.0.0/8", 0, Entry::Unknown)];
        assert_eq!(found, expected.map(|(pods, cluster, entry)| (pods.to_owned(), cluster, entry)));
    }
}
