//! `nodes-from` and `pods-from`: who knows what this file does not say of a cluster.

use std::path::PathBuf;

use super::keys;
use super::model::NodesFrom;
use super::report::Report;
use super::schema::Section;
use super::table::Table;
use super::value;

pub(super) fn nodes_from(report: &mut Report<'_>, cluster: &Table<'_>) -> Option<NodesFrom> {
    if cluster.has("nodes-from") && cluster.has("node") {
        let at = cluster.place(report, "nodes-from");
        report.error(&at, "stands beside [[cluster.node]]", "keep one of the two");
    }
    source(report, cluster, "nodes-from", &keys::NODES_FROM)
}

/// The source that a key of a cluster names.
pub(super) fn source(
    report: &mut Report<'_>,
    cluster: &Table<'_>,
    key: &str,
    section: &'static Section,
) -> Option<NodesFrom> {
    if !cluster.has(key) {
        return None;
    }
    let table = cluster.table(report, key, section)?;
    let mut path = |key| table.parsed(report, key, |text| value::path(text, value::LONGEST_PATH));
    let (file, kubeconfig) = (path("file"), path("kubeconfig"));
    let context = table.text(report, "context").map(|context| context.value.to_owned());
    let in_cluster = table.flag(report, "in-cluster");
    if context.is_some() && !table.has("kubeconfig") {
        let at = table.place(report, "context");
        report.error(&at, "stands without \"kubeconfig\"", "name the kubeconfig that has the context");
    }
    let named = [table.has("file"), table.has("kubeconfig"), in_cluster];
    match named.iter().filter(|named| **named).count() {
        0 => {
            let file = key.trim_end_matches("-from");
            let servers = "kubeconfig = \"/etc/causeway/kubeconfig\" or in-cluster = true";
            report.error(table.at(), "names no source", format!("write file = \"{file}.json\", {servers}"));
        }
        1 => {}
        _ => report.error(table.at(), "names several sources", "keep one of file, kubeconfig and in-cluster"),
    }
    match (file, kubeconfig) {
        (Some(file), _) => Some(NodesFrom::File(PathBuf::from(file.value))),
        (_, Some(path)) => Some(NodesFrom::Kubeconfig { path: PathBuf::from(path.value), context }),
        _ if in_cluster => Some(NodesFrom::InCluster),
        _ => None,
    }
}
