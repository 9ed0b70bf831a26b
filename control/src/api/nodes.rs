//! What the API shows of nodes.

use std::collections::HashMap;
use std::net::IpAddr;

use causeway_fastpath::time::Instant;
use serde::{Deserialize, Serialize};

use super::view::neighbor_state;
use crate::config::{ClusterIdx, Node, NodesFrom};
use crate::control::Control;
use crate::liveness::Dead;
use crate::neighbors;
use crate::nodes::{NodeRow, NodeState, Ready, Recalled, SourceRow};

/// A node of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NodeView {
    /// Name of its cluster.
    pub cluster: String,
    /// Its name.
    pub name: String,
    /// Its addresses, as its source has them.
    pub addresses: Vec<String>,
    /// Where its pods live, as its source has it.
    pub pod_cidrs: Vec<String>,
    /// Those of them that are routed.
    pub routed: Vec<String>,
    /// "routed", "partly-routed", "quarantined", "withdrawn" or "without-pod-cidr".
    pub state: String,
    /// Why not all is routed, and which address does not answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// "ready", "not-ready", "unknown", or "" if its source does not say.
    pub ready: String,
    /// Seconds since it has been as ready as it is.
    pub ready_since_s: u64,
    /// What is known of the addresses through which it is routed.
    pub neighbors: Vec<NodeNeighborView>,
    /// Who says all this: "configuration", "file", "flannel" or "kubernetes".
    pub source: String,
    /// Seconds since the source was last known to say it, if it has not spoken since the gateway
    /// was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remembered_s: Option<u64>,
}

/// Who knows the nodes of a cluster, if the configuration does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SourceView {
    /// Name of the cluster.
    pub cluster: String,
    /// "file", "flannel" or "kubernetes".
    pub kind: String,
    /// Why it is not up to date; what it said last holds.
    pub away: Option<String>,
    /// Seconds since it has been up to date, or away.
    pub since_s: u64,
    /// As in [`NodeView`], of all its nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remembered_s: Option<u64>,
}

/// A cluster of which most nodes do not answer, so that nothing is withdrawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CutOffView {
    /// Name of the cluster.
    pub cluster: String,
    /// Addresses of nodes that do not answer.
    pub dead: u64,
    /// Of how many.
    pub of: u64,
}

impl CutOffView {
    /// Every such cluster.
    pub fn all(control: &Control) -> Vec<CutOffView> {
        let view = |(cluster, dead, of): (ClusterIdx, usize, usize)| {
            let cluster = control.config().clusters[cluster.0].name.clone();
            CutOffView { cluster, dead: dead as u64, of: of as u64 }
        };
        control.liveness().cut_off().map(view).collect()
    }

    /// Its line below the table.
    pub(super) fn line(&self) -> String {
        let CutOffView { cluster, dead, of } = self;
        format!("{cluster}: {dead} of {of} addresses do not answer: nothing is withdrawn, as it may be the gateway\n")
    }
}

/// An address of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NodeNeighborView {
    /// The address.
    pub address: IpAddr,
    /// "static", "reachable", "probing", "incomplete" or "dead"; see `show neighbors`.
    pub state: String,
    /// Seconds since it has been in this state.
    pub since_s: u64,
}

impl NodeView {
    /// Every node of a gateway, by cluster and name; those of the configuration in its order.
    pub fn all(control: &Control, now: Instant) -> Vec<NodeView> {
        let known: HashMap<IpAddr, neighbors::Row> = control.neighbors().map(|row| (row.address, row)).collect();
        let neighbors = |addresses: Vec<IpAddr>| {
            let view = |address: IpAddr| {
                let row = known.get(&address)?;
                let (state, since_s) = (neighbor_state(row.state).to_owned(), seconds(now, row.since));
                Some(NodeNeighborView { address, state, since_s })
            };
            addresses.into_iter().filter_map(view).collect()
        };
        let mut views = Vec::new();
        for cluster in &control.config().clusters {
            let view = |node: &Node| NodeView::configured(&cluster.name, node, neighbors(node.addresses.clone()));
            views.extend(cluster.nodes.iter().map(view));
        }
        views.extend(control.nodes().map(|row| {
            let mut through: Vec<_> = row.routed.iter().map(|(_, address)| *address).collect();
            through.dedup();
            NodeView::learned(control, &row, neighbors(through), now)
        }));
        let of = |dead: Dead| ((control.config().clusters[dead.cluster.0].name.as_str(), dead.address), dead);
        let dead: HashMap<_, _> = control.liveness().dead().map(of).collect();
        views.iter_mut().for_each(|view| view.judge_liveness(&dead, now));
        // Stable.
        views.sort_by(|one, other| one.cluster.cmp(&other.cluster));
        views
    }

    /// Says which of its addresses are dead, and what follows from that.
    fn judge_liveness(&mut self, dead: &HashMap<(&str, IpAddr), Dead>, now: Instant) {
        let addresses = self.addresses.iter().filter_map(|address| address.parse().ok());
        let dead = addresses.filter_map(|address: IpAddr| dead.get(&(self.cluster.as_str(), address)));
        for Dead { address, withdrawn, since, .. } in dead.collect::<Vec<_>>() {
            let follows = if *withdrawn { ": its routes are withdrawn" } else { "" };
            self.reasons.push(format!("{address} has been dead for {}s{follows}", seconds(now, *since)));
            if *withdrawn {
                self.routed.retain(|cidr| cidr.contains(':') == address.is_ipv4());
                self.state = if self.routed.is_empty() { "withdrawn" } else { "partly-routed" }.to_owned();
            }
        }
    }

    fn configured(cluster: &str, node: &Node, neighbors: Vec<NodeNeighborView>) -> NodeView {
        let pod_cidrs: Vec<_> = node.pod_cidrs.iter().map(ToString::to_string).collect();
        NodeView {
            cluster: cluster.to_owned(),
            name: node.name.clone(),
            addresses: node.addresses.iter().map(ToString::to_string).collect(),
            state: if pod_cidrs.is_empty() { "without-pod-cidr" } else { "routed" }.to_owned(),
            routed: pod_cidrs.clone(),
            pod_cidrs,
            reasons: Vec::new(),
            ready: String::new(),
            ready_since_s: 0,
            neighbors,
            source: "configuration".to_owned(),
            remembered_s: None,
        }
    }

    fn learned(control: &Control, row: &NodeRow<'_>, neighbors: Vec<NodeNeighborView>, now: Instant) -> NodeView {
        let cluster = &control.config().clusters[row.cluster.0];
        let (state, reasons) = match &row.state {
            NodeState::Routed => ("routed", Vec::new()),
            NodeState::WithoutCidr => ("without-pod-cidr", Vec::new()),
            NodeState::Quarantined(faults) => {
                let state = if row.routed.is_empty() { "quarantined" } else { "partly-routed" };
                (state, faults.iter().map(ToString::to_string).collect())
            }
        };
        let ready = match row.fact.ready {
            Ready::Ready => "ready",
            Ready::NotReady => "not-ready",
            Ready::Unknown => "unknown",
            Ready::Unsaid => "",
        };
        NodeView {
            cluster: cluster.name.clone(),
            name: row.fact.name.clone(),
            addresses: row.fact.addresses.clone(),
            pod_cidrs: row.fact.pod_cidrs.clone(),
            routed: row.routed.iter().map(|(cidr, _)| cidr.to_string()).collect(),
            state: state.to_owned(),
            reasons,
            ready: ready.to_owned(),
            ready_since_s: seconds(now, row.since),
            neighbors,
            source: kind(cluster.nodes_from.as_ref()),
            remembered_s: remembered(row.recalled, now),
        }
    }

    /// Its line in the table.
    pub(super) fn line(&self) -> Vec<String> {
        let list = |words: &[String]| if words.is_empty() { "-".to_owned() } else { words.join(",") };
        let mut alive: Vec<_> = self.neighbors.iter().map(|neighbor| neighbor.state.clone()).collect();
        alive.dedup();
        vec![
            self.cluster.clone(),
            self.name.clone(),
            list(&self.addresses),
            list(&self.pod_cidrs),
            self.state.clone(),
            match self.ready.as_str() {
                "" => "-".to_owned(),
                ready => format!("{ready} {}s", self.ready_since_s),
            },
            list(&alive),
            match self.remembered_s {
                Some(age) => format!("{}, remembered {age}s", self.source),
                None => self.source.clone(),
            },
            match self.reasons.as_slice() {
                [] => "-".to_owned(),
                reasons => reasons.join("; "),
            },
        ]
    }
}

impl SourceView {
    /// The source of every cluster that has one.
    pub fn all(control: &Control, now: Instant) -> Vec<SourceView> {
        let from = |row: &SourceRow<'_>| control.config().clusters[row.cluster.0].nodes_from.as_ref();
        control.node_sources().map(|row| SourceView::new(control, &row, from(&row), now)).collect()
    }

    /// A source, which the configuration names so.
    pub(super) fn new(control: &Control, row: &SourceRow<'_>, from: Option<&NodesFrom>, now: Instant) -> SourceView {
        SourceView {
            cluster: control.config().clusters[row.cluster.0].name.clone(),
            kind: kind(from),
            away: row.state.err().map(str::to_owned),
            since_s: seconds(now, row.since),
            remembered_s: remembered(row.recalled, now),
        }
    }

    /// Its line below the table.
    pub(super) fn line(&self) -> String {
        self.line_about("")
    }

    /// The same, with words before the kind of source.
    pub(super) fn line_about(&self, what: &str) -> String {
        let SourceView { cluster, kind, away, since_s, remembered_s } = self;
        let remembered =
            remembered_s.map(|age| format!("; its nodes are remembered from {age}s ago")).unwrap_or_default();
        match away {
            None => format!("{cluster}:{what} {kind}, up to date for {since_s}s\n"),
            Some(why) => {
                let why = why.replace(char::is_control, "?");
                format!("{cluster}:{what} {kind}, away for {since_s}s: {why}{remembered}\n")
            }
        }
    }
}

/// The word for who knows something of a cluster.
fn kind(from: Option<&NodesFrom>) -> String {
    match from {
        None => "configuration",
        Some(NodesFrom::File(_)) => "file",
        Some(NodesFrom::Flannel(_)) => "flannel",
        Some(NodesFrom::Kubeconfig { .. } | NodesFrom::InCluster) => "kubernetes",
    }
    .to_owned()
}

fn remembered(recalled: Option<Recalled>, now: Instant) -> Option<u64> {
    recalled.map(|recalled| recalled.age(now).as_secs())
}

fn seconds(now: Instant, since: Instant) -> u64 {
    now.nanos_since(since) / 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::super::{Answer, render};
    use super::*;

    #[test]
    fn a_node_is_a_line_that_says_why_it_is_not_routed_and_how_old_that_is() {
        let node = |name: &str, state: &str, reasons: &[&str]| NodeView {
            cluster: "blue".into(),
            name: name.into(),
            addresses: vec!["192.168.0.11".into(), "fd00:a::11".into()],
            pod_cidrs: vec!["10.1.0.0/24".into()],
            routed: Vec::new(),
            state: state.into(),
            reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
            ready: "unknown".into(),
            ready_since_s: 40,
            neighbors: vec![NodeNeighborView { address: [192, 168, 0, 11].into(), state: "dead".into(), since_s: 3 }],
            source: "kubernetes".into(),
            remembered_s: None,
        };
        let source = |cluster: &str, away: Option<&str>, remembered_s: Option<u64>| SourceView {
            cluster: cluster.into(),
            kind: "kubernetes".into(),
            away: away.map(str::to_owned),
            since_s: 7,
            remembered_s,
        };
        let old = NodeView {
            cluster: "red".into(),
            ready: String::new(),
            remembered_s: Some(90),
            ..node("c", "routed", &[])
        };
        let expected = "\
CLUSTER  NODE  ADDRESSES                POD-CIDRS    STATE        READY        NEIGHBOR  SOURCE                      WHY
blue     a     192.168.0.11,fd00:a::11  10.1.0.0/24  routed       unknown 40s  dead      kubernetes                  -
blue     b     192.168.0.11,fd00:a::11  10.1.0.0/24  quarantined  unknown 40s  dead      kubernetes                  one; two
red      c     192.168.0.11,fd00:a::11  10.1.0.0/24  routed       -            dead      kubernetes, remembered 90s  -
blue: kubernetes, up to date for 7s
green: kubernetes, away for 7s: connection refused
red: kubernetes, away for 7s: not reached yet; its nodes are remembered from 90s ago
blue: 3 of 4 addresses do not answer: nothing is withdrawn, as it may be the gateway
";
        let answer = Answer::Nodes {
            nodes: vec![node("a", "routed", &[]), node("b", "quarantined", &["one", "two"]), old],
            sources: vec![
                source("blue", None, None),
                source("green", Some("connection refused"), None),
                source("red", Some("not reached yet"), Some(90)),
            ],
            cut_off: vec![CutOffView { cluster: "blue".into(), dead: 3, of: 4 }],
        };
        assert_eq!(render(&answer, false), expected);
    }
}
