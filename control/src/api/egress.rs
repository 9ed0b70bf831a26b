//! What the API shows of how pods leave.

use causeway_fastpath::time::Instant;
use serde::{Deserialize, Serialize};

use super::SourceView;
use crate::config::{Cluster, ClusterIdx, Egress, Senders};
use crate::control::Control;

/// Pods of a cluster that leave under the same addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EgressView {
    /// The cluster.
    pub cluster: String,
    /// Where the pods live, which selector chooses them, or that they are all others.
    pub from: String,
    /// How many pods a selector chooses now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<u64>,
    /// Where to; empty: everywhere.
    pub to: Vec<String>,
    /// The pool, "masquerade" or "none".
    pub pool: String,
    /// The addresses of the pool.
    pub addresses: Vec<String>,
}

/// Who knows the pods of a cluster, or its namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodSourceView {
    /// "pods" or "namespaces".
    pub of: String,
    /// As of nodes.
    #[serde(flatten)]
    pub source: SourceView,
}

impl EgressView {
    /// The rules of every cluster in their order, behind them what holds for all others.
    pub fn all(control: &Control) -> Vec<EgressView> {
        let clusters = control.config().clusters.iter().enumerate();
        clusters.flat_map(|(at, cluster)| EgressView::of(control, ClusterIdx(at), cluster)).collect()
    }

    fn of(control: &Control, at: ClusterIdx, cluster: &Cluster) -> Vec<EgressView> {
        let pools = &control.config().pools;
        let row = |from: String, pods: Option<usize>, to: Vec<String>, egress: Egress| {
            let (pool, addresses) = match egress {
                Egress::None => ("none", Vec::new()),
                Egress::Masquerade => ("masquerade", Vec::new()),
                Egress::Pool(pool) => {
                    (pools[pool.0].name.as_str(), pools[pool.0].addresses.iter().map(ToString::to_string).collect())
                }
            };
            let pods = pods.map(|pods| pods as u64);
            EgressView { cluster: cluster.name.clone(), from, pods, to, pool: pool.to_owned(), addresses }
        };
        let mut chosen = control.chosen_pods(at).into_iter();
        let mut rows = Vec::new();
        for rule in &cluster.egress_rules {
            let (from, pods) = match &rule.senders {
                Senders::Prefixes(from) => (from.iter().map(ToString::to_string).collect::<Vec<_>>().join(","), None),
                Senders::Pods(selector) => (selector.to_string(), chosen.next()),
            };
            let to = rule.to.iter().map(ToString::to_string).collect();
            rows.push(row(from, pods, to, Egress::Pool(rule.pool)));
        }
        let rest = if rows.is_empty() { "all" } else { "all others" };
        rows.push(row(rest.to_owned(), None, Vec::new(), cluster.egress));
        rows
    }

    /// Its line in the table.
    pub(super) fn line(&self) -> Vec<String> {
        let list = |words: &[String], none: &str| if words.is_empty() { none.to_owned() } else { words.join(",") };
        vec![
            self.cluster.clone(),
            self.from.clone(),
            self.pods.map_or("-".to_owned(), |pods| pods.to_string()),
            list(&self.to, "everywhere"),
            self.pool.clone(),
            list(&self.addresses, "-"),
        ]
    }
}

impl PodSourceView {
    /// The sources of every cluster with a rule that selects pods.
    pub fn all(control: &Control, now: Instant) -> Vec<PodSourceView> {
        let view = |(of, row): (&str, crate::nodes::SourceRow<'_>)| {
            let from = control.config().clusters[row.cluster.0].pods_from.as_ref();
            PodSourceView { of: of.to_owned(), source: SourceView::new(control, &row, from, now) }
        };
        control.pod_sources().map(view).collect()
    }

    /// Its line below the table.
    pub(super) fn line(&self) -> String {
        self.source.line_about(&format!(" {} from", self.of))
    }
}
