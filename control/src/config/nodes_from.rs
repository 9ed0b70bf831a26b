//! `nodes-from` and `pods-from`: who knows what this file does not say of a cluster.

use std::path::PathBuf;

use super::keys;
use super::model::NodesFrom;
use super::report::Report;
use super::schema::{Section, listed};
use super::table::Table;
use super::value;

/// The source, and whether its nodes are told what becomes of them.
pub(super) fn nodes_from(report: &mut Report<'_>, cluster: &Table<'_>) -> (Option<NodesFrom>, bool) {
    let Some(table) = named(report, cluster, "nodes-from", &keys::NODES_FROM) else {
        return (None, false);
    };
    if cluster.has("node") {
        report.error(table.at(), "stands beside [[cluster.node]]", "keep one of the two");
    }
    let remedy = "write kubeconfig = \"/etc/causeway/kubeconfig\", in-cluster = true, file = \"nodes.json\" or \
                  flannel = \"/var/lib/causeway/flannel\"";
    let source = source(report, &table, &["file", "flannel", "kubeconfig", "in-cluster"], remedy);
    let patches = table.flag(report, "patch-network-unavailable");
    if patches && matches!(source, Some(NodesFrom::File(_) | NodesFrom::Flannel(_))) {
        let at = table.place(report, "patch-network-unavailable");
        report.error(&at, "is of nodes of an API server", "leave it out: a file is not written to");
    }
    (source, patches)
}

/// Who is named by `pods-from`.
pub(super) fn pods_from(report: &mut Report<'_>, cluster: &Table<'_>) -> Option<NodesFrom> {
    let table = named(report, cluster, "pods-from", &keys::PODS_FROM)?;
    let remedy = "write kubeconfig = \"/etc/causeway/kubeconfig\", in-cluster = true or file = \"pods.json\"";
    source(report, &table, &["file", "kubeconfig", "in-cluster"], remedy)
}

fn named<'d>(report: &mut Report<'_>, cluster: &Table<'d>, key: &str, section: &'static Section) -> Option<Table<'d>> {
    cluster.has(key).then(|| cluster.table(report, key, section)).flatten()
}

/// The one of these keys that stands there.
fn source(report: &mut Report<'_>, table: &Table<'_>, one_of: &[&str], remedy: &str) -> Option<NodesFrom> {
    let mut path = |key| {
        let path = || table.parsed(report, key, |text| value::path(text, value::LONGEST_PATH));
        one_of.contains(&key).then(path).flatten()
    };
    let (file, flannel, kubeconfig) = (path("file"), path("flannel"), path("kubeconfig"));
    let context = table.text(report, "context").map(|context| context.value.to_owned());
    let in_cluster = table.flag(report, "in-cluster");
    if context.is_some() && !table.has("kubeconfig") {
        let at = table.place(report, "context");
        report.error(&at, "stands without \"kubeconfig\"", "name the kubeconfig that has the context");
    }
    let stands = |key: &&&str| match **key {
        "in-cluster" => in_cluster,
        key => table.has(key),
    };
    match one_of.iter().filter(stands).count() {
        0 => report.error(table.at(), "names no source", remedy),
        1 => {}
        _ => {
            report.error(table.at(), "names several sources", format!("keep one of {}", listed(one_of.iter().copied())))
        }
    }
    match (file, flannel, kubeconfig) {
        (Some(file), _, _) => Some(NodesFrom::File(PathBuf::from(file.value))),
        (_, Some(folder), _) => Some(NodesFrom::Flannel(PathBuf::from(folder.value))),
        (_, _, Some(path)) => Some(NodesFrom::Kubeconfig { path: PathBuf::from(path.value), context }),
        _ if in_cluster => Some(NodesFrom::InCluster),
        _ => None,
    }
}
