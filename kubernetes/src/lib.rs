//! The Kubernetes API server as a source of nodes, pods and namespaces.
//!
//! [`run`] lists and watches what is asked for of each server, and says what it hears as
//! [`Update`]s. It never gives up: whatever goes wrong is said, and after a pause it begins
//! anew with a list, so that nothing that was missed stays unknown. It only reads, but for the
//! condition `NetworkUnavailable` where that is asked for.

mod conditions;
#[cfg(test)]
mod fake;
mod follow;
mod rbac;

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, Instant};

use causeway_control::feed::{Named, Update};
use causeway_control::nodes::{self, NodeFact, NodeSpec, NodeStatus};
use causeway_control::pods::{
    NamespaceChosen, NamespaceFact, NamespaceUpdate, PodChosen, PodFact, PodName, PodSpec, PodStatus, PodUpdate,
    Selectors,
};
use futures::channel::oneshot;
use futures::future::{Either, join_all, select};
use futures::{Stream, TryStreamExt};
use kube::api::{ApiResource, GroupVersionKind, Object};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::{debug, info, warn};

use conditions::Seen;
use follow::Judged;

pub use conditions::{Routed, Teller, Told, conditions};
pub use rbac::rbac;

/// How to reach an API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// As a kubeconfig says.
    Kubeconfig {
        /// Where it is.
        path: PathBuf,
        /// Which of its contexts; `None` for the current one.
        context: Option<String>,
    },
    /// That of the cluster in which this process runs as a pod.
    InCluster,
}

/// Ends [`run`] when it is dropped.
#[derive(Debug)]
pub struct Running(#[expect(dead_code, reason = "what matters is that it goes")] oneshot::Sender<()>);

/// What [`run`] ends by.
#[derive(Debug)]
pub struct Ending(oneshot::Receiver<()>);

/// A pair: [`run`] takes the second, and ends when the first is dropped.
pub fn running() -> (Running, Ending) {
    let (running, ending) = oneshot::channel();
    (Running(running), Ending(ending))
}

/// What is watched at a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Nodes.
    Nodes,
    /// Pods that these may choose.
    Pods(Selectors),
    /// Namespaces whose labels these ask for.
    Namespaces(Selectors),
}

/// A watch.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Where.
    pub server: Server,
    /// Of what.
    pub what: What,
    /// What becomes of nodes, if they are to be told; of no meaning for anything else.
    pub told: Option<Told>,
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// About nodes.
    Nodes(nodes::Update),
    /// About pods.
    Pods(PodUpdate),
    /// About namespaces.
    Namespaces(NamespaceUpdate),
}

/// Watches all of this until `ending`; `said(at, update)` is called, on this thread, for what
/// is heard by the `at`th.
///
/// # Errors
/// The process has no descriptors left.
pub fn run(watches: Vec<Watched>, ending: Ending, said: impl Fn(usize, Said)) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let said = &said;
    let watches = watches.into_iter().enumerate().map(|(at, Watched { server, what, told })| async move {
        match what {
            What::Nodes => {
                let follow = async |client, heard: &mut dyn FnMut(_)| follow_nodes(client, told.clone(), heard).await;
                watch("Node", server, follow, |update| said(at, Said::Nodes(update))).await;
            }
            What::Pods(of) => {
                let judge = |pod| judge_pod(&of, pod);
                let follow = async |client, heard: &mut dyn FnMut(_)| {
                    follow::follow(events(objects(client, "Pod")), judge, heard).await
                };
                watch("Pod", server, follow, |update| said(at, Said::Pods(update))).await;
            }
            What::Namespaces(of) => {
                let judge = |namespace| judge_namespace(&of, namespace);
                let follow = async |client, heard: &mut dyn FnMut(_)| {
                    follow::follow(events(objects(client, "Namespace")), judge, heard).await
                };
                watch("Namespace", server, follow, |update| said(at, Said::Namespaces(update))).await;
            }
        }
    });
    let watches = join_all(watches);
    // Watches do not end by themselves.
    runtime.block_on(async { drop(select(ending.0, pin!(watches)).await) });
    // Does not wait for what is stuck in a look-up of a name.
    runtime.shutdown_background();
    Ok(())
}

/// A Node, as far as it matters here: the rest is not even read.
pub(crate) type Node = Object<NodeSpec, NodeStatus>;
/// A Pod, as far as it matters here.
pub(crate) type Pod = Object<PodSpec, PodStatus>;
/// A Namespace: its labels matter alone.
type Namespace = Object<Nothing, Nothing>;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Nothing {}

/// The objects of a kind at a server.
fn objects<K: Resource<DynamicType = ApiResource>>(client: Client, kind: &str) -> Api<K> {
    Api::all_with(client, &ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind)))
}

/// What a watch of them hears.
fn events<K>(objects: Api<K>) -> impl Stream<Item = watcher::Result<Event<K>>>
where
    K: Resource<DynamicType = ApiResource> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    watcher(objects, watcher::Config::default().timeout(WATCH_S))
}

/// Follows the nodes of a server, and keeps their conditions if they are told.
async fn follow_nodes(client: Client, told: Option<Told>, heard: &mut dyn FnMut(nodes::Update)) -> String {
    let nodes = objects(client, "Node");
    let events = events(nodes.clone());
    let Some(told) = told else {
        return follow::follow(events, judge_node, heard).await;
    };
    let seen = Seen::default();
    let follow = follow::follow(events.inspect_ok(|event| seen.hear(event)), judge_node, heard);
    match select(pin!(follow), pin!(conditions::keep(&nodes, &seen, told))).await {
        Either::Left((why, _)) => why,
        Either::Right((never, _)) => match never {},
    }
}

pub(crate) fn judge_node(node: Node) -> Judged<NodeFact> {
    let name = node.metadata.name?;
    Some((name.clone(), Some(NodeFact::of(name, &node.spec, node.status.as_ref()))))
}

pub(crate) fn judge_pod(selectors: &Selectors, pod: Pod) -> Judged<PodChosen> {
    let name = PodName { namespace: pod.metadata.namespace?, name: pod.metadata.name? };
    let labels = pod.metadata.labels.unwrap_or_default();
    let fact = PodFact::of(name.clone(), labels, &pod.spec, pod.status.as_ref());
    Some((name, selectors.choose(&fact)))
}

fn judge_namespace(selectors: &Selectors, namespace: Namespace) -> Judged<NamespaceChosen> {
    let (name, labels) = (namespace.metadata.name?, namespace.metadata.labels.unwrap_or_default());
    Some((name.clone(), selectors.choose_namespace(&NamespaceFact { name, labels })))
}

/// Watches the objects of a kind at one server, for ever: `follow` does so until something goes
/// wrong, and then says what.
async fn watch<T: Named>(
    kind: &str,
    server: Server,
    follow: impl AsyncFn(Client, &mut dyn FnMut(Update<T>)) -> String,
    said: impl Fn(Update<T>),
) {
    let mut pause = Pause::default();
    let mut away = false;
    loop {
        let mut known_since = None;
        let why = match connect(&server).await {
            Ok(client) => {
                let mut heard = |update: Update<T>| {
                    if matches!(update, Update::InStep) {
                        known_since = Some(Instant::now());
                        away = false;
                        info!(?server, kind, "objects are known, and watched");
                    }
                    said(update);
                };
                follow(client, &mut heard).await
            }
            Err(why) => why,
        };
        if std::mem::replace(&mut away, true) {
            debug!(?server, kind, why, "the API server is still away");
        } else {
            warn!(?server, kind, why, "the API server is away: all stays as it was");
        }
        said(Update::Away(why));
        let lasted = known_since.map_or(Duration::ZERO, |since: Instant| since.elapsed());
        tokio::time::sleep(pause.after(lasted)).await;
    }
}

/// Reads the credentials anew each time: they may have been mended or renewed.
async fn connect(server: &Server) -> Result<Client, String> {
    let mut config = match server {
        Server::Kubeconfig { path, context } => {
            let read = Kubeconfig::read_from(path).map_err(|error| said(&error))?;
            let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
            Config::from_custom_kubeconfig(read, &options).await.map_err(|error| said(&error))?
        }
        Server::InCluster => Config::incluster().map_err(|error| said(&error))?,
    };
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    Client::try_from(config).map_err(|error| said(&error))
}

/// An error with all its causes, on one line.
pub(crate) fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some repeat their cause in their own words.
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(LONGEST).collect()
}

/// How long to wait before the next try: twice as long each time.
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Pause {
        Pause(SHORTEST_PAUSE)
    }
}

impl Pause {
    /// The next pause, after a watch that lasted so long. Only a long one shows that all is
    /// well: who may list and not watch would list without end.
    fn after(&mut self, lasted: Duration) -> Duration {
        if lasted >= LONGEST_PAUSE {
            *self = Pause::default();
        }
        let pause = self.0;
        self.0 = (2 * pause).min(LONGEST_PAUSE);
        pause
    }
}

/// A watch is begun anew after so long, in seconds: that shows a server that has gone
/// without a word.
const WATCH_S: u32 = 60;
/// Nothing that a server sends takes longer than a watch.
const SILENCE: Duration = Duration::from_secs(90);
const CONNECT: Duration = Duration::from_secs(5);
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// Characters of a message, which may hold what a server says.
const LONGEST: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn pauses_grow_to_a_bound_until_a_watch_has_lasted() {
        let mut pause = Pause::default();
        let mut after = |seconds| pause.after(Duration::from_secs(seconds)).as_millis();
        let pauses = [0; 9].map(&mut after);
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6400, 12_800, 20_000, 20_000]);
        assert_eq!(after(19), 20_000, "a watch that is refused after each list is no reason for haste");
        assert_eq!([20, 0].map(after), [200, 400]);
    }

    #[test]
    fn a_server_that_cannot_be_reached_is_said_to_be_away_and_why() {
        let missing = std::env::temp_dir().join("causeway-no-such-kubeconfig");
        let (heard, updates) = mpsc::channel();
        let (running, ending) = running();
        let kubeconfig = Server::Kubeconfig { path: missing, context: None };
        let watches =
            [kubeconfig, Server::InCluster].map(|server| Watched { server, what: What::Nodes, told: None }).to_vec();
        let said = move |at, update| heard.send((at, update)).expect("the test listens");
        let thread = std::thread::spawn(move || run(watches, ending, said));
        let mut first: Vec<_> = updates.iter().take(2).collect();
        first.sort_by_key(|(at, _)| *at);
        let [(0, Said::Nodes(Update::Away(kubeconfig))), (1, Said::Nodes(Update::Away(pod)))] = first.as_slice() else {
            panic!("{first:?}");
        };
        assert!(kubeconfig.contains("causeway-no-such-kubeconfig"), "{kubeconfig}");
        assert!(pod.contains("incluster"), "{pod}");
        assert!(updates.iter().next().is_some(), "and it is tried again");
        drop(running);
        thread.join().expect("no panic").expect("a runtime");
    }
}
