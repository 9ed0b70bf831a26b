//! How the pods of clusters are met from outside.

use std::cmp::Reverse;

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
    // Of equals the one that a policy opens, and then the wider one, first: it covers others.
    let opened = |shore: &Shore| config.is_opened_from_outside(shore.cluster);
    all.sort_by_key(|shore| (Reverse(shore.entry), !opened(shore), shore.pods.prefix_len()));
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
        let models =
            [("island", "10.0.0.0/8"), ("isolated", "10.1.0.0/16"), ("flat", "10.1.1.0/24"), ("island", "10.1.1.0/24")];
        assert_eq!(
            found(&models, ""),
            [("10.1.1.0/24", 2, Entry::Open), ("10.1.0.0/16", 1, Entry::Kept), ("10.0.0.0/8", 0, Entry::Unknown)]
                .map(|(pods, cluster, entry)| (pods.to_owned(), cluster, entry))
        );
        // Of two with the same addresses the one that somebody outside is let begin with.
        let twins = [("isolated", "10.1.0.0/16"); 2];
        let policy = "[[policy]]\nfrom = [\"198.51.100.0/24\"]\nto = [\"c1\"]\n";
        assert_eq!(found(&twins, policy), [("10.1.0.0/16".to_owned(), 1, Entry::Kept)]);
    }

    /// What is met outside of clusters of these models and pods, called c0 and so on.
    fn found(clusters: &[(&str, &str)], policy: &str) -> Vec<(String, usize, Entry)> {
        let mut text = "gateway.name = \"g\"\n[[port]]\nname = \"out\"\ndriver = \"memory\"\n".to_owned();
        for (n, (model, pods)) in clusters.iter().enumerate() {
            let egress = if *model == "isolated" { "" } else { "egress = \"masquerade\"\n" };
            text += &format!(
                "[[port]]\nname = \"p{n}\"\ndriver = \"memory\"\naddresses = [\"192.168.{n}.1/24\"]\n\
                 [[cluster]]\nname = \"c{n}\"\nmodel = \"{model}\"\npod-cidrs = [\"{pods}\"]\nports = [\"p{n}\"]\n{egress}"
            );
        }
        let (config, _) = Config::parse("t.toml", &(text + policy)).unwrap_or_else(|errors| panic!("{errors}"));
        shores(&config).iter().map(|shore| (shore.pods.to_string(), shore.cluster.0, shore.entry)).collect()
    }
}
