//! Where nodes of clusters come from while the gateway runs: files and API servers.
//!
//! Each kind has a thread of its own, off the packet cores. What they find out waits in a
//! mailbox, folded together, until control takes it.

mod aside;
mod files;
mod keeper;
mod mailbox;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use causeway_control::config::{Cluster, ClusterIdx, Config, NodesFrom};
use causeway_control::control::Control;
use causeway_control::nodes::{NodeRow, NodeState, Quarantine, Update};
use causeway_fastpath::time::Instant;
use causeway_kubernetes::{Running, Server, Teller, Watched};
use tracing::{error, warn};

use crate::wake::Doorbell;
use aside::spawn_aside;
use files::Place;
pub(crate) use keeper::{Keeper, Remembered};
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
    sources: Vec<(ClusterIdx, Of)>,
    mailbox: Arc<Mailbox>,
    /// When the mailbox is looked into next, at the earliest.
    next: Instant,
    servers: Option<Running>,
    /// Who wants to know what becomes of a cluster's nodes, and as of which revision they do.
    tellers: Vec<(ClusterIdx, Teller)>,
    told: u64,
    stop_files: Arc<Doorbell>,
    threads: Vec<JoinHandle<()>>,
}

impl NodeSources {
    /// Starts those that the configuration names; `bell` rings when there is something.
    pub(crate) fn start(config: &Config, bell: Arc<Doorbell>) -> io::Result<NodeSources> {
        let mut sources = NodeSources {
            sources: sources_of(config),
            mailbox: Arc::new(Mailbox::new(bell)),
            next: Instant::ZERO,
            servers: None,
            tellers: Vec::new(),
            told: 0,
            stop_files: Arc::new(Doorbell::new()?),
            threads: Vec::new(),
        };
        let (mut files, mut servers) = (Vec::new(), Vec::new());
        for (at, of) in sources.sources.clone() {
            match of {
                Of::Place(place) => files.push((at, place)),
                Of::Server { server, is_told } => {
                    let (teller, told) = causeway_kubernetes::conditions();
                    if is_told {
                        sources.tellers.push((at, teller));
                    }
                    servers.push((at, Watched { server, told: is_told.then_some(told) }));
                }
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
        if self.sources != sources_of(config) {
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

    /// Tells who wants to know what has become of nodes, where that is in force with every worker.
    pub(crate) fn tell(&mut self, control: &Control) {
        let revision = control.learned_nodes().revision();
        if self.tellers.is_empty() || self.told == revision || !control.is_settled() {
            return;
        }
        self.told = revision;
        for (at, teller) in &self.tellers {
            let counts =
                |row: &NodeRow<'_>| row.cluster == *at && row.recalled.is_none() && !row.fact.pod_cidrs.is_empty();
            let routed = |row: NodeRow<'_>| (row.fact.name.clone(), row.state == NodeState::Routed);
            teller.tell(control.nodes().filter(counts).map(routed).collect());
        }
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
        wait_for(self.threads.drain(..));
    }
}

/// Who knows the nodes of a cluster.
#[derive(Clone, Debug, PartialEq)]
enum Of {
    Place(Place),
    Server {
        server: Server,
        /// Does it want to know what becomes of them?
        is_told: bool,
    },
}

/// Who knows the nodes of which cluster.
fn sources_of(config: &Config) -> Vec<(ClusterIdx, Of)> {
    let clusters = config.clusters.iter().enumerate();
    clusters.filter_map(|(at, cluster)| Some((ClusterIdx(at), of_cluster(cluster)?))).collect()
}

fn of_cluster(cluster: &Cluster) -> Option<Of> {
    let server = |server| Of::Server { server, is_told: cluster.patches_network_unavailable };
    Some(match cluster.nodes_from.clone()? {
        NodesFrom::File(path) => Of::Place(Place::List(path)),
        NodesFrom::Flannel(folder) => Of::Place(Place::Flannel { folder, pod_cidrs: cluster.pod_cidrs.clone() }),
        NodesFrom::Kubeconfig { path, context } => server(Server::Kubeconfig { path, context }),
        NodesFrom::InCluster => server(Server::InCluster),
    })
}

/// Until they have ended, or it takes too long. One that hangs, in a kubeconfig's plug-in or on
/// a dead file system, ends with the process.
fn wait_for(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    let patience = std::time::Instant::now() + FAREWELL;
    for thread in threads {
        while !thread.is_finished() && std::time::Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Hands control what files say now; whoever else knows nodes is not asked.
pub(crate) fn read_once(control: &mut Control, now: Instant) {
    let look = |(at, cluster): (usize, &Cluster)| {
        let said = match of_cluster(cluster)? {
            Of::Place(place) => files::read(place),
            Of::Server { .. } => vec![Update::Away("a replay asks no API server".to_owned())],
        };
        Some(said.into_iter().map(move |update| (ClusterIdx(at), update)))
    };
    let said = control.config().clusters.iter().enumerate().filter_map(look).flatten().collect();
    hand_over(said, control, now);
    for source in control.node_sources() {
        let Err(why) = source.state else { continue };
        let cluster = &control.config().clusters[source.cluster.0].name;
        match source.recalled.map(|recalled| recalled.age(now).as_secs()) {
            Some(age_s) => warn!(cluster, why, age_s, "its nodes are those that gateway.state remembers"),
            None => warn!(cluster, why, "no node of it is known"),
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
