//! `nodes-from`: who knows the nodes of a cluster, if the file does not.

use std::path::PathBuf;

use super::keys;
use super::model::NodesFrom;
use super::report::Report;
use super::table::Table;
use super::value;

/// The source, and whether its nodes are told what becomes of them.
pub(super) fn nodes_from(report: &mut Report<'_>, cluster: &Table<'_>) -> (Option<NodesFrom>, bool) {
    let table = cluster.has("nodes-from").then(|| cluster.table(report, "nodes-from", &keys::NODES_FROM)).flatten();
    let Some(table) = table else {
        return (None, false);
    };
    let source = source(report, cluster, &table);
    let patches = table.flag(report, "patch-network-unavailable");
    if patches && matches!(source, Some(NodesFrom::File(_) | NodesFrom::Flannel(_))) {
        let at = table.place(report, "patch-network-unavailable");
        report.error(&at, "is of nodes of an API server", "leave it out: a file is not written to");
    }
    (source, patches)
}

fn source(report: &mut Report<'_>, cluster: &Table<'_>, table: &Table<'_>) -> Option<NodesFrom> {
    if cluster.has("node") {
        report.error(table.at(), "stands beside [[cluster.node]]", "keep one of the two");
    }
    let mut path = |key| table.parsed(report, key, |text| value::path(text, value::LONGEST_PATH));
    let (file, flannel, kubeconfig) = (path("file"), path("flannel"), path("kubeconfig"));
    let context = table.text(report, "context").map(|context| context.value.to_owned());
    let in_cluster = table.flag(report, "in-cluster");
    if context.is_some() && !table.has("kubeconfig") {
        let at = table.place(report, "context");
        report.error(&at, "stands without \"kubeconfig\"", "name the kubeconfig that has the context");
    }
    let named = [table.has("file"), table.has("flannel"), table.has("kubeconfig"), in_cluster];
    match named.iter().filter(|named| **named).count() {
        0 => {
            let remedy = "write kubeconfig = \"/etc/causeway/kubeconfig\", in-cluster = true, file = \"nodes.json\" or \
                          flannel = \"/var/lib/causeway/flannel\"";
            report.error(table.at(), "names no source", remedy);
        }
        1 => {}
        _ => report.error(table.at(), "names several sources", "keep one of file, flannel, kubeconfig and in-cluster"),
    }
    match (file, flannel, kubeconfig) {
        (Some(file), _, _) => Some(NodesFrom::File(PathBuf::from(file.value))),
        (_, Some(folder), _) => Some(NodesFrom::Flannel(PathBuf::from(folder.value))),
        (_, _, Some(path)) => Some(NodesFrom::Kubeconfig { path: PathBuf::from(path.value), context }),
        _ if in_cluster => Some(NodesFrom::InCluster),
        _ => None,
    }
}
