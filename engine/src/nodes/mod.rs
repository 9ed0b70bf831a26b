//! Where nodes and pods of clusters come from while the gateway runs: files and API servers.
//!
//! Each kind has a thread of its own, off the packet cores. What they find out waits in a
//! mailbox, folded together, until control takes it.

mod files;
mod keeper;
mod mailbox;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use causeway_control::config::{Cluster, ClusterIdx, Config, NodesFrom};
use causeway_control::control::Control;
use causeway_control::feed::Update;
use causeway_control::liveness::News;
use causeway_control::nodes::{NodeRow, NodeState, Quarantine};
use causeway_control::pods::Selectors;
use causeway_fastpath::time::Instant;
use causeway_kubernetes::{Running, Said, Server, Teller, Told, Watched, What};
use tracing::{error, info, warn};

use crate::aside::{spawn_aside, wait_for};
use crate::wake::Doorbell;
use files::Place;
pub(crate) use keeper::{Keeper, Remembered};
use mailbox::{Mail, Mailbox};

/// Between two looks into the mailbox, at least: of a crowd of nodes that change, routes
/// follow in one go.
const REST: Duration = Duration::from_millis(50);

/// How long until threads that could not be started are tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// Of nodes that go wrong at once.
const MOST_LOGGED: usize = 10;

/// The threads that know about nodes and pods. They end when this is dropped.
pub(crate) struct NodeSources {
    /// Whom they ask.
    sources: Vec<Asked>,
    mailbox: Arc<Mailbox>,
    /// When the mailbox is looked into next, at the earliest.
    next: Instant,
    servers: Option<Running>,
    /// Who wants to know what becomes of a cluster's nodes, and as of which revision they do.
    tellers: Vec<(ClusterIdx, Teller)>,
    told: u64,
    stop_files: Arc<Doorbell>,
    threads: Vec<JoinHandle<()>>,
    /// When those that could not be started are tried again.
    again: Option<Instant>,
}

impl NodeSources {
    /// Starts those that the configuration names; `bell` rings when there is something.
    pub(crate) fn start(config: &Config, bell: Arc<Doorbell>) -> io::Result<NodeSources> {
        let mut sources = NodeSources {
            sources: known_by_all(config),
            mailbox: Arc::new(Mailbox::new(bell)),
            next: Instant::ZERO,
            servers: None,
            tellers: Vec::new(),
            told: 0,
            stop_files: Arc::new(Doorbell::new()?),
            threads: Vec::new(),
            again: None,
        };
        let (mut files, mut servers) = (Vec::new(), Vec::new());
        for Asked { cluster: at, source, .. } in sources.sources.clone() {
            match source {
                Source::Place(place) => files.push((at, place)),
                Source::Server { server, what, is_told } => {
                    let told = is_told.then(|| sources.tell_of(at));
                    servers.push((at, Watched { server, what, told }));
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

    /// Those of another configuration from now on, unless they are the same. Takes a second at
    /// most.
    ///
    /// # Errors
    /// They cannot be started: nobody says anything of nodes until [`NodeSources::is_to_follow`]
    /// and they can.
    pub(crate) fn follow(&mut self, config: &Config, bell: &Arc<Doorbell>, now: Instant) -> io::Result<()> {
        self.follow_by(config, bell, now, NodeSources::start)
    }

    fn follow_by(
        &mut self,
        config: &Config,
        bell: &Arc<Doorbell>,
        now: Instant,
        start: impl FnOnce(&Config, Arc<Doorbell>) -> io::Result<NodeSources>,
    ) -> io::Result<()> {
        if self.sources == known_by_all(config) && self.again.is_none() {
            return Ok(());
        }
        // Whatever those of before still say, they say of clusters whose numbers others may have.
        self.mailbox = Arc::new(Mailbox::new(Arc::clone(bell)));
        self.tellers.clear();
        self.end();
        self.again = Some(now + AGAIN);
        *self = start(config, Arc::clone(bell))?;
        Ok(())
    }

    /// Are there some to be started that could not be, and is it time to try again?
    pub(crate) fn is_to_follow(&self, now: Instant) -> bool {
        self.again.is_some_and(|again| again <= now)
    }

    fn end(&mut self) {
        self.servers.take();
        self.stop_files.ring();
        wait_for(self.threads.drain(..));
    }

    /// Where is heard what becomes of a cluster's nodes.
    fn tell_of(&mut self, cluster: ClusterIdx) -> Told {
        let (teller, told) = causeway_kubernetes::conditions();
        self.tellers.push((cluster, teller));
        told
    }

    /// What sources have said, once it is time to look; see [`NodeSources::due`].
    pub(crate) fn take(&mut self, now: Instant) -> Option<Mail> {
        if now < self.next || self.mailbox.is_empty() {
            return None;
        }
        self.next = now + REST;
        Some(self.mailbox.take())
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

    /// When [`NodeSources::take`] has something, if it does, or [`NodeSources::is_to_follow`].
    pub(crate) fn due(&self) -> Option<Instant> {
        let said = (!self.mailbox.is_empty()).then_some(self.next);
        said.into_iter().chain(self.again).min()
    }
}

impl Drop for NodeSources {
    fn drop(&mut self) {
        self.end();
    }
}

/// Who knows something of a cluster.
#[derive(Clone, Debug, PartialEq)]
enum Source {
    Place(Place),
    Server {
        server: Server,
        what: What,
        /// Does it want to know what becomes of nodes?
        is_told: bool,
    },
}

/// Who is asked about a cluster.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    cluster: ClusterIdx,
    /// Of one with another name nothing is known yet: its source has to say all of it.
    name: String,
    source: Source,
}

/// Who is asked about which cluster, and what.
fn known_by_all(config: &Config) -> Vec<Asked> {
    let asked = |(at, cluster): (usize, &Cluster)| {
        let asked = |source| Asked { cluster: ClusterIdx(at), name: cluster.name.clone(), source };
        known_by(cluster).into_iter().map(asked).collect::<Vec<_>>()
    };
    config.clusters.iter().enumerate().flat_map(asked).collect()
}

/// Who is asked about a cluster, and what.
fn known_by(cluster: &Cluster) -> Vec<Source> {
    let server = |server, what| {
        let is_told = what == What::Nodes && cluster.patches_network_unavailable;
        Source::Server { server, what, is_told }
    };
    let of = |from: &NodesFrom, what| match from.clone() {
        NodesFrom::File(path) => Source::Place(Place::List(path, what)),
        NodesFrom::Flannel(folder) => Source::Place(Place::Flannel { folder, pod_cidrs: cluster.pod_cidrs.clone() }),
        NodesFrom::Kubeconfig { path, context } => server(Server::Kubeconfig { path, context }, what),
        NodesFrom::InCluster => server(Server::InCluster, what),
    };
    let mut sources = Vec::new();
    sources.extend(cluster.nodes_from.as_ref().map(|from| of(from, What::Nodes)));
    if let Some(from) = &cluster.pods_from {
        let selectors = Selectors::of(cluster);
        // A file holds both.
        if selectors.ask_for_namespaces() && !matches!(from, NodesFrom::File(_)) {
            sources.push(of(from, What::Namespaces(selectors.clone())));
        }
        sources.push(of(from, What::Pods(selectors)));
    }
    sources
}

/// Hands control what files say now; whoever else knows nodes and pods is not asked.
pub(crate) fn read_once(control: &mut Control, now: Instant) {
    let mut mail = Mail::default();
    for Asked { cluster: at, source, .. } in known_by_all(control.config()) {
        let why = "a replay asks no API server".to_owned();
        let said = match source {
            Source::Place(place) => files::read(place),
            Source::Server { what: What::Nodes, .. } => vec![Said::Nodes(Update::Away(why))],
            Source::Server { what: What::Pods(_), .. } => vec![Said::Pods(Update::Away(why))],
            Source::Server { what: What::Namespaces(_), .. } => vec![Said::Namespaces(Update::Away(why))],
        };
        for said in said {
            match said {
                Said::Nodes(update) => mail.nodes.push((at, update)),
                Said::Pods(update) => mail.pods.push((at, update)),
                Said::Namespaces(update) => mail.namespaces.push((at, update)),
            }
        }
    }
    hand_over(mail, control, now);
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

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_tests::folder::Folder;

    #[test]
    fn sources_that_cannot_be_replaced_are_silent_until_they_can() {
        let folder = Folder::new();
        let nodes = folder.write("nodes.json", r#"{"kind":"NodeList","items":[{"metadata":{"name":"a"}}]}"#);
        let config = |cluster: &str| {
            let text = format!(
                "gateway.name = \"g\"\n[[port]]\nname = \"nodes\"\ndriver = \"memory\"\naddresses = [\"192.168.0.1/24\"]\n\
                 [[port]]\nname = \"out\"\ndriver = \"memory\"\naddresses = [\"203.0.113.2/24\"]\n\
                 [[cluster]]\nname = \"{cluster}\"\nmodel = \"isolated\"\npod-cidrs = [\"10.1.0.0/16\"]\nports = [\"nodes\"]\n\
                 nodes-from = {{ file = {nodes:?} }}\n"
            );
            Config::parse("t.toml", &text).unwrap_or_else(|errors| panic!("{errors}")).0
        };
        let bell = Arc::new(Doorbell::new().expect("a doorbell"));
        let mut sources = NodeSources::start(&config("a"), Arc::clone(&bell)).expect("a thread");
        let old = Arc::clone(&sources.mailbox);
        let second = |count: u64| Instant::from_millis(1_000 * count);
        let refused = |_: &Config, _| Err(io::ErrorKind::WouldBlock.into());
        assert!(sources.follow_by(&config("b"), &bell, second(1), refused).is_err());
        // One that hangs may come back late.
        old.put(ClusterIdx(0), Said::Nodes(Update::Gone("a".to_owned())));
        assert_eq!(sources.take(second(9)), None);
        assert!(!sources.is_to_follow(second(5)) && sources.is_to_follow(second(6)));
        assert_eq!(sources.due(), Some(second(6)));
        sources.follow(&config("b"), &bell, second(6)).expect("a thread");
        assert!(!sources.is_to_follow(second(99)));
        let patience = std::time::Instant::now() + Duration::from_secs(60);
        while sources.mailbox.is_empty() && std::time::Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(sources.take(second(9)).is_some_and(|mail| !mail.nodes.is_empty()), "the new one speaks");
    }
}
