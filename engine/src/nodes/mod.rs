//! Where nodes and pods of clusters come from while the gateway runs: files and API servers.
//!
//! Each kind has a thread of its own, off the packet cores. What they find out waits in a
//! mailbox, folded together, until control takes it.

mod aside;
mod files;
mod mailbox;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use causeway_control::config::{Cluster, ClusterIdx, Config, NodesFrom};
use causeway_control::control::Control;
use causeway_control::liveness::News;
use causeway_control::nodes::Quarantine;
use causeway_control::pods::Selectors;
use causeway_fastpath::time::Instant;
use causeway_kubernetes::{Running, Said, Server, What};
use tracing::{error, info, warn};

use crate::wake::Doorbell;
use aside::spawn_aside;
use mailbox::{Mail, Mailbox};

/// Between two looks into the mailbox, at least: of a crowd of nodes that change, routes
/// follow in one go.
const REST: Duration = Duration::from_millis(50);

/// How long threads have to end.
const FAREWELL: Duration = Duration::from_secs(1);
/// Of nodes that go wrong at once.
const MOST_LOGGED: usize = 10;

/// The threads that know about nodes and pods. They end when this is dropped.
pub(crate) struct NodeSources {
    mailbox: Arc<Mailbox>,
    /// When the mailbox is looked into next, at the earliest.
    next: Instant,
    servers: Option<Running>,
    stop_files: Arc<Doorbell>,
    threads: Vec<JoinHandle<()>>,
}

impl NodeSources {
    /// Starts those that the configuration names; `bell` rings when there is something.
    pub(crate) fn start(config: &Config, bell: Arc<Doorbell>) -> io::Result<NodeSources> {
        let mut sources = NodeSources {
            mailbox: Arc::new(Mailbox::new(bell)),
            next: Instant::ZERO,
            servers: None,
            stop_files: Arc::new(Doorbell::new()?),
            threads: Vec::new(),
        };
        let (mut files, mut servers) = (Vec::new(), Vec::new());
        for (at, cluster) in config.clusters.iter().enumerate() {
            for (from, what) in asked(cluster) {
                let server = match from {
                    // It holds pods and namespaces.
                    NodesFrom::File(_) if matches!(what, What::Namespaces(_)) => continue,
                    NodesFrom::File(path) => {
                        files.push((ClusterIdx(at), path, what));
                        continue;
                    }
                    NodesFrom::Kubeconfig { path, context } => Server::Kubeconfig { path, context },
                    NodesFrom::InCluster => Server::InCluster,
                };
                servers.push((ClusterIdx(at), (server, what)));
            }
        }
        let cores = &config.gateway.cores;
        if !files.is_empty() {
            let (mailbox, stop) = (Arc::clone(&sources.mailbox), Arc::clone(&sources.stop_files));
            let watch = move || files::watch(files, &mailbox, &stop);
            sources.threads.push(spawn_aside("node-files", cores, watch)?);
        }
        if !servers.is_empty() {
            let (running, ending) = causeway_kubernetes::running();
            let (clusters, servers): (Vec<_>, Vec<_>) = servers.into_iter().unzip();
            let mailbox = Arc::clone(&sources.mailbox);
            let said = move |at: usize, said: Said| mailbox.put(clusters[at], said);
            let run = move || {
                if let Err(error) = causeway_kubernetes::run(servers, ending, said) {
                    error!(%error, "nodes and pods cannot be watched");
                }
            };
            sources.threads.push(spawn_aside("kubernetes", cores, run)?);
            sources.servers = Some(running);
        }
        Ok(sources)
    }

    /// What sources have said, once it is time to look; see [`NodeSources::due`].
    pub(crate) fn take(&mut self, now: Instant) -> Option<Mail> {
        if now < self.next || self.mailbox.is_empty() {
            return None;
        }
        self.next = now + REST;
        Some(self.mailbox.take())
    }

    /// When [`NodeSources::take`] has something, if it does.
    pub(crate) fn due(&self) -> Option<Instant> {
        (!self.mailbox.is_empty()).then_some(self.next)
    }
}

/// What is asked about a cluster, and whom.
fn asked(cluster: &Cluster) -> Vec<(NodesFrom, What)> {
    let mut asked = Vec::new();
    asked.extend(cluster.nodes_from.clone().map(|from| (from, What::Nodes)));
    if let Some(from) = &cluster.pods_from {
        let selectors = Selectors::of(cluster);
        if selectors.ask_for_namespaces() {
            asked.push((from.clone(), What::Namespaces(selectors.clone())));
        }
        asked.push((from.clone(), What::Pods(selectors)));
    }
    asked
}

impl Drop for NodeSources {
    fn drop(&mut self) {
        self.servers.take();
        self.stop_files.ring();
        let patience = std::time::Instant::now() + FAREWELL;
        for thread in self.threads.drain(..) {
            // One that hangs, in a kubeconfig's plug-in or on a dead file system, ends with
            // the process.
            while !thread.is_finished() && std::time::Instant::now() < patience {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// Hands control what sources have said, and logs what it finds wrong.
pub(crate) fn hand_over(mail: Mail, control: &mut Control, now: Instant) {
    control.update_pods(mail.pods, mail.namespaces, now);
    control.update_nodes(mail.nodes, now);
    let quarantines = control.take_quarantines();
    for Quarantine { cluster, node, faults } in quarantines.iter().take(MOST_LOGGED) {
        let cluster = &control.config().clusters[cluster.0].name;
        let why = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        warn!(cluster, node, why, "not all pod CIDRs of the node are routed");
    }
    if let Some(more @ 1..) = quarantines.len().checked_sub(MOST_LOGGED) {
        warn!(more, "and so with more nodes: see causeway show nodes");
    }
}

/// Logs which nodes no longer answer, and which do again.
pub(crate) fn log_liveness(control: &mut Control) {
    let news = control.take_liveness_news();
    let name = |cluster: ClusterIdx| control.config().clusters[cluster.0].name.as_str();
    let mut logged = 0;
    for one in &news {
        match one {
            News::CutOff { cluster, dead, of, is_so: true } => warn!(
                cluster = name(*cluster),
                dead, of, "most nodes do not answer: nothing is withdrawn, as it may be the gateway that is cut off"
            ),
            News::CutOff { cluster, dead, of, is_so: false } => {
                info!(cluster = name(*cluster), dead, of, "most nodes answer again");
            }
            News::Turned { .. } if logged == MOST_LOGGED => {}
            News::Turned { cluster, node, address, dead } => {
                logged += 1;
                if *dead {
                    warn!(cluster = name(*cluster), node, %address, "the node does not answer");
                } else {
                    info!(cluster = name(*cluster), node, %address, "the node answers again");
                }
            }
        }
    }
    let turned = news.iter().filter(|one| matches!(one, News::Turned { .. })).count();
    if let Some(more @ 1..) = turned.checked_sub(logged) {
        warn!(more, "and so with more addresses: see causeway show nodes");
    }
}
