//! `[[cluster.egress-rule]]`: pods that leave under a pool of their own.

use ipnet::IpNet;

use super::claims::overlap;
use super::clusters::family;
use super::keys;
use super::model::{Egress, EgressRule, NodesFrom, Senders};
use super::nodes_from;
use super::pools::Pools;
use super::report::{At, Report, Spanned};
use super::table::Table;
use super::value::{self, Complaint};
use crate::pods::{LabelSelector, PodSelector};

/// The rules, and who knows the pods if a rule asks for their labels.
pub(super) fn egress_rules(
    report: &mut Report<'_>,
    cluster: &Table<'_>,
    egress: Egress,
    pod_cidrs: &[Spanned<IpNet>],
    pools: &Pools,
    nodes_from: Option<&NodesFrom>,
) -> (Vec<EgressRule>, Option<NodesFrom>) {
    let mut rules = Vec::new();
    let mut pairs_left = Some(keys::MOST_EGRESS_PAIRS);
    for table in cluster.tables(report, "egress-rule", &keys::EGRESS_RULE) {
        let senders = senders(report, &table, pod_cidrs);
        let to = table.prefixes(report, "to").unwrap_or_default();
        if table.list_len("to") == Some(0) {
            let at = table.place(report, "to");
            report.error(&at, "is empty", "leave it out, or write where to, as to = [\"198.51.100.0/24\"]");
        }
        let name = table.text(report, "pool");
        let pool = name.and_then(|name| Some((pools.find(report, &name)?, name.at)));
        if egress == Egress::None && cluster.has("egress-rule") {
            let what = "is of a cluster whose pods do not leave under another address";
            report.error(table.at(), what, "write egress = \"masquerade\" or the name of a pool beside it");
        }
        let (Some(senders), Some((pool, at))) = (senders, pool) else {
            continue;
        };
        check_families(report, &at, &senders, &to, pod_cidrs, |ipv4| pools.serves(pool, ipv4));
        let sources = if let Senders::Prefixes(from) = &senders { from.len() } else { pod_cidrs.len() };
        pairs_left = take(report, table.at(), sources * to.len().max(1), pairs_left);
        rules.push(EgressRule { senders, to: to.into_iter().map(|net| net.value).collect(), pool });
    }
    let pods_from = pods_from(report, cluster, &rules, nodes_from);
    (rules, pods_from)
}

/// Who a rule is about: exactly one way to say it.
fn senders(report: &mut Report<'_>, table: &Table<'_>, pod_cidrs: &[Spanned<IpNet>]) -> Option<Senders> {
    let from = table.prefixes(report, "from");
    let namespace = table.parsed(report, "namespace", value::name);
    let namespaces = table.parsed(report, "namespace-selector", selector);
    let pods = table.parsed(report, "pod-selector", selector);
    let selects = ["namespace", "namespace-selector", "pod-selector"].iter().any(|key| table.has(key));
    if table.has("namespace") && table.has("namespace-selector") {
        let at = table.place(report, "namespace");
        report.error(&at, "stands beside \"namespace-selector\"", "keep one of the two");
    }
    match (table.has("from"), selects) {
        (true, true) => {
            let at = table.place(report, "from");
            report.error(&at, "stands beside a selector", "write a rule for each");
            None
        }
        (false, false) => {
            let remedy = "write from = [\"10.1.7.0/24\"], namespace = \"shop\" or pod-selector = \"app=shop\"";
            report.error(table.at(), "says of no pod that it is about it", remedy);
            None
        }
        (true, false) => {
            let from = from?;
            if table.list_len("from") == Some(0) {
                let at = table.place(report, "from");
                report.error(&at, "is empty", "write where the pods live, as from = [\"10.1.7.0/24\"]");
                return None;
            }
            for net in &from {
                if !pod_cidrs.iter().any(|pods| pods.value.contains(&net.value)) {
                    let what = match pod_cidrs.iter().any(|pods| overlap(pods.value, net.value)) {
                        true => "reaches beyond the pod CIDRs of the cluster",
                        false => "lies outside of the pod CIDRs of the cluster",
                    };
                    report.error(&net.at, what, "write a part of pod-cidrs");
                }
            }
            Some(Senders::Prefixes(from.into_iter().map(|net| net.value).collect()))
        }
        (false, true) => {
            let own = |text: Spanned<&str>| text.value.to_owned();
            let (namespaces, pods) = (namespaces.map(|it| it.value), pods.map(|it| it.value));
            Some(Senders::Pods(PodSelector { namespace: namespace.map(own), namespaces, pods }))
        }
    }
}

fn selector(text: &str) -> Result<LabelSelector, Complaint> {
    LabelSelector::parse(text).map_err(|what| Complaint {
        what,
        remedy: "write it as for kubectl get pods -l, as \"app=shop,env in (prod,stage)\"".to_owned(),
    })
}

/// Reports families of which the pool has no address.
fn check_families(
    report: &mut Report<'_>,
    at: &At,
    senders: &Senders,
    to: &[Spanned<IpNet>],
    pod_cidrs: &[Spanned<IpNet>],
    serves: impl Fn(bool) -> bool,
) {
    let is_of = |ipv4: bool| move |net: &IpNet| net.addr().is_ipv4() == ipv4;
    let sends = |ipv4: bool| match senders {
        Senders::Prefixes(from) => from.iter().any(is_of(ipv4)),
        Senders::Pods(_) => pod_cidrs.iter().any(|pods| is_of(ipv4)(&pods.value)),
    };
    let reaches = |ipv4: bool| to.is_empty() || to.iter().any(|net| is_of(ipv4)(&net.value));
    let meant: Vec<bool> = [true, false].into_iter().filter(|ipv4| sends(*ipv4) && reaches(*ipv4)).collect();
    let unserved: Vec<&str> = meant.iter().filter(|ipv4| !serves(**ipv4)).map(|ipv4| family(*ipv4)).collect();
    match unserved.as_slice() {
        _ if meant.is_empty() => {
            let what = "is for nothing: who sends and where to are of different families";
            report.error(at, what, "mend \"from\" or \"to\"");
        }
        [] => {}
        [family, ..] if unserved.len() == meant.len() => {
            let what = format!("has no {family} address, and the rule is about nothing else");
            report.error(at, what, "name a pool that has one");
        }
        [family, ..] => {
            let what = format!("has no {family} address, and the rule is about {family} too");
            report.warn(at, what, format!("{family} traffic leaves as if the rule were not there"));
        }
    }
}

/// Takes pairs from what may still be written; `None` once that was exceeded, which is
/// reported once.
fn take(report: &mut Report<'_>, at: &At, pairs: usize, left: Option<usize>) -> Option<usize> {
    let rest = left?.checked_sub(pairs);
    if rest.is_none() {
        let what = format!("makes more than {} pairs of \"from\" and \"to\" in one cluster", keys::MOST_EGRESS_PAIRS);
        report.error(at, what, "write shorter prefixes, or fewer");
    }
    rest
}

/// Who knows the pods, where a rule asks for labels or names of namespaces.
fn pods_from(
    report: &mut Report<'_>,
    cluster: &Table<'_>,
    rules: &[EgressRule],
    nodes_from: Option<&NodesFrom>,
) -> Option<NodesFrom> {
    let own = nodes_from::pods_from(report, cluster);
    let selects = rules.iter().any(|rule| matches!(rule.senders, Senders::Pods(_)));
    let at = cluster.place(report, "pods-from");
    if !selects {
        if own.is_some() {
            let what = "is asked for nothing: no [[cluster.egress-rule]] selects pods";
            report.warn(&at, what, "pods are not watched");
        }
        return None;
    }
    let server = nodes_from.filter(|from| matches!(from, NodesFrom::Kubeconfig { .. } | NodesFrom::InCluster)).cloned();
    let found = own.or(server);
    if found.is_none() && !cluster.has("pods-from") {
        let remedy = "write pods-from = { kubeconfig = \"/etc/causeway/kubeconfig\" }, in-cluster = true or a file";
        report.error(&at, "is missing, and a [[cluster.egress-rule]] selects pods", remedy);
    }
    found
}
