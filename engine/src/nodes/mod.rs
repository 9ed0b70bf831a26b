//! Where nodes of clusters come from while the gateway runs: files and API servers.
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

use causeway_control::config::{ClusterIdx, Config, NodesFrom};
use causeway_control::control::Control;
use causeway_control::nodes::{Quarantine, Update};
use causeway_control::reload::node_sources;
use causeway_fastpath::time::Instant;
use causeway_kubernetes::{Running, Server};
use tracing::{error, warn};

use crate::wake::Doorbell;
use aside::spawn_aside;
use mailbox::Mailbox;

/// Between two looks into the mailbox, at least: of a crowd of nodes that change, routes
/// follow in one go.
const REST: Duration = Duration::from_millis(50);

/// How long threads have to end.
const FAREWELL: Duration = Duration::from_secs(1);
/// Of nodes that go wrong at once.
const MOST_LOGGED: usize = 10;

/// The threads that know about nodes. They end when this is dropped.
pub(crate) struct NodeSources {
    /// Whom they ask.
    sources: Vec<(ClusterIdx, NodesFrom)>,
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
            sources: node_sources(config),
            mailbox: Arc::new(Mailbox::new(bell)),
            next: Instant::ZERO,
            servers: None,
            stop_files: Arc::new(Doorbell::new()?),
            threads: Vec::new(),
        };
        let (mut files, mut servers) = (Vec::new(), Vec::new());
        for (at, source) in sources.sources.clone() {
            match source {
                NodesFrom::File(path) => files.push((at, path)),
                NodesFrom::Kubeconfig { path, context } => servers.push((at, Server::Kubeconfig { path, context })),
                NodesFrom::InCluster => servers.push((at, Server::InCluster)),
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
            let said = move |at: usize, update: Update| mailbox.put(clusters[at], update);
            let run = move || {
                if let Err(error) = causeway_kubernetes::run(servers, ending, said) {
                    error!(%error, "nodes cannot be watched");
                }
            };
            sources.threads.push(spawn_aside("kubernetes", cores, run)?);
            sources.servers = Some(running);
        }
        Ok(sources)
    }

    /// Those of another configuration from now on, unless they are the same. Takes a second at
    /// most.
    pub(crate) fn follow(&mut self, config: &Config, bell: &Arc<Doorbell>) -> io::Result<()> {
        if self.sources != node_sources(config) {
            *self = NodeSources::start(config, Arc::clone(bell))?;
        }
        Ok(())
    }

    /// What sources have said, once it is time to look; see [`NodeSources::due`].
    pub(crate) fn take(&mut self, now: Instant) -> Vec<(ClusterIdx, Update)> {
        if now < self.next || self.mailbox.is_empty() {
            return Vec::new();
        }
        self.next = now + REST;
        self.mailbox.take()
    }

    /// When [`NodeSources::take`] has something, if it does.
    pub(crate) fn due(&self) -> Option<Instant> {
        (!self.mailbox.is_empty()).then_some(self.next)
    }
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
pub(crate) fn hand_over(said: Vec<(ClusterIdx, Update)>, control: &mut Control, now: Instant) {
    control.update_nodes(said, now);
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
