//! The nodes of every cluster that has a source, and the routes that they have now.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use causeway_fastpath::time::Instant;
use ipnet::IpNet;

use super::judge::{Fault, Routed, Wants, Way, judge};
use super::memory::{Learned, LearnedNode, Memory, Recalled};
use super::{NodeFact, Update};
use crate::config::{Cluster, ClusterIdx, Config, MOST_NODES};
use crate::domains::Domains;
use crate::feed::NOT_REACHED;
use crate::rib::{Change, Origin, Route, node_route};

const CROWDED: &str = "it has more than 65536 nodes: the others are left out";

/// Nodes as their sources last said, and what is routed of them.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    clusters: BTreeMap<usize, ClusterNodes>,
    /// How often nodes have changed.
    revision: u64,
    /// Since they were last asked for.
    quarantines: Vec<Quarantine>,
}

/// A node that something is wrong with since a moment ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// Its cluster.
    pub cluster: ClusterIdx,
    /// Its name.
    pub node: String,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

#[derive(Clone, Debug)]
struct ClusterNodes {
    /// By name.
    nodes: BTreeMap<String, Known>,
    routed: Routed,
    /// By name; of those of which not everything is routed.
    faults: BTreeMap<String, Vec<Fault>>,
    /// Has anything changed by which routes may?
    stale: bool,
    /// Were there more nodes than [`MOST_NODES`]?
    crowded: bool,
    known: Knowledge,
    /// Since when the source is up to date, or away and why; the latter before it was
    /// ever reached.
    source: Result<(), String>,
    source_since: Instant,
}

/// Where what is known of a cluster's nodes comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Knowledge {
    /// Nothing is known, or another source than now has said it.
    Nothing,
    /// They were remembered, and the source has not spoken yet.
    Recalled(Recalled),
    /// The source has said it.
    Heard,
}

#[derive(Clone, Debug)]
struct Known {
    fact: NodeFact,
    /// What it wants by that; `None` until it is looked at.
    wants: Option<Wants>,
    /// Since when it has been as ready as it is.
    since: Instant,
}

/// What has become of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// All its pod CIDRs are routed.
    Routed,
    /// It has none yet.
    WithoutCidr,
    /// Some are, or none: why not the others.
    Quarantined(Vec<Fault>),
}

/// A node, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow<'a> {
    /// Its cluster.
    pub cluster: ClusterIdx,
    /// What its source says.
    pub fact: &'a NodeFact,
    /// Its pod CIDRs that are routed, and through which of its addresses.
    pub routed: Vec<(IpNet, std::net::IpAddr)>,
    /// What has become of it.
    pub state: NodeState,
    /// Since when it has been as ready as it is.
    pub since: Instant,
    /// Was it only remembered until now?
    pub recalled: Option<Recalled>,
}

/// The source of a cluster's nodes, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRow<'a> {
    /// The cluster.
    pub cluster: ClusterIdx,
    /// Is it up to date? Else why not.
    pub state: Result<(), &'a str>,
    /// Since when.
    pub since: Instant,
    /// Are its nodes those that were remembered?
    pub recalled: Option<Recalled>,
}

impl Nodes {
    /// Nothing is known of any cluster that has a source.
    pub fn new(config: &Config, now: Instant) -> Nodes {
        let clusters = sourced(config).map(|(at, _)| (at, ClusterNodes::new(now)));
        Nodes { clusters: clusters.collect(), revision: 0, quarantines: Vec::new() }
    }

    /// Those of another configuration, as far as they are known: a cluster that keeps its name
    /// keeps its nodes, which are judged anew. What another source says replaces them.
    ///
    /// `former` are those that the other configuration had when it was last in force: they count
    /// where it has a cluster or a source that `before` has not, until the source speaks again.
    pub(crate) fn followed(
        &self,
        before: &Config,
        config: &Config,
        domains: &Domains,
        former: Option<&Nodes>,
        now: Instant,
    ) -> Nodes {
        let follow = |(at, cluster): (usize, &Cluster)| {
            let was = before.cluster_named(&cluster.name).map(|was| was.0);
            let own = was.and_then(|was| Some((self.clusters.get(&was)?, &before.clusters[was].nodes_from)));
            let former = former.and_then(|former| former.clusters.get(&at));
            let mut own = match (own, former) {
                (Some((own, from)), _) if *from == cluster.nodes_from => own.clone(),
                (_, Some(former)) => {
                    let mut own = former.clone();
                    own.turn(Err(NOT_REACHED.to_owned()), now);
                    own
                }
                (Some((own, _)), None) => {
                    let mut own = own.clone();
                    own.turn(Err(NOT_REACHED.to_owned()), now);
                    own.known = Knowledge::Nothing;
                    own
                }
                (None, None) => return (at, ClusterNodes::new(now)),
            };
            own.stale = true;
            own.nodes.values_mut().for_each(|known| known.wants = None);
            (at, own)
        };
        let clusters = sourced(config).map(follow).collect();
        let mut nodes = Nodes { clusters, revision: self.revision, quarantines: Vec::new() };
        nodes.reconcile(config, domains);
        nodes
    }

    /// Every route that nodes have now.
    pub(crate) fn routes<'a>(&'a self, domains: &'a Domains) -> impl Iterator<Item = Route> + 'a {
        self.clusters.iter().flat_map(move |(at, cluster)| {
            let route = |((node, to), way): (&(String, IpNet), &Way)| {
                node_route(domains, ClusterIdx(*at), node, *to, (way.port, way.address))
            };
            cluster.routed.iter().map(route).collect::<Vec<_>>()
        })
    }

    /// Takes up what was remembered, until the sources speak. `wall_s` is the time in seconds
    /// since 1970. What another source said than the cluster has now is not taken up.
    pub fn recall(&mut self, config: &Config, memory: &Memory, now: Instant, wall_s: u64) {
        for (at, cluster) in &mut self.clusters {
            let configured = &config.clusters[*at];
            let source = configured.nodes_from.as_ref().map(ToString::to_string);
            let learned =
                memory.clusters.get(&configured.name).filter(|learned| Some(&learned.source) == source.as_ref());
            let Some(learned) = learned.filter(|_| cluster.known == Knowledge::Nothing) else {
                continue;
            };
            let nodes = learned.nodes.iter().map(|(name, node)| node.fact(name));
            cluster.replace(nodes.collect(), now);
            let age = Duration::from_secs(wall_s.saturating_sub(learned.heard_s));
            cluster.known = Knowledge::Recalled(Recalled { age, at: now });
        }
    }

    /// What is to be remembered; `wall_s` as in [`Nodes::recall`].
    pub fn memory(&self, config: &Config, now: Instant, wall_s: u64) -> Memory {
        let mut memory = Memory::default();
        for (at, cluster) in &self.clusters {
            let age = match (cluster.known, &cluster.source) {
                (Knowledge::Nothing, _) => continue,
                (Knowledge::Recalled(recalled), _) => recalled.age(now),
                (Knowledge::Heard, Ok(())) => Duration::ZERO,
                (Knowledge::Heard, Err(_)) => Duration::from_nanos(now.nanos_since(cluster.source_since)),
            };
            let configured = &config.clusters[*at];
            // Of those with flaws nothing is known that could be routed.
            let sound = cluster.nodes.iter().filter(|(_, known)| known.fact.flaws.is_empty());
            let learned = Learned {
                source: configured.nodes_from.as_ref().map(ToString::to_string).unwrap_or_default(),
                heard_s: wall_s.saturating_sub(age.as_secs()),
                nodes: sound.map(|(name, known)| (name.clone(), LearnedNode::of(&known.fact))).collect(),
            };
            memory.clusters.insert(configured.name.clone(), learned);
        }
        memory
    }

    /// Another number whenever nodes have changed by which routes may, or were confirmed. Whether they are ready
    /// is no such change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The source of a cluster has something to say. Nothing, if the cluster has none.
    pub fn update(&mut self, cluster: ClusterIdx, update: Update, now: Instant) {
        let Some(cluster) = self.clusters.get_mut(&cluster.0) else {
            return;
        };
        if !matches!(update, Update::Away(_)) {
            // What was remembered is confirmed, even if it is all the same.
            self.revision += u64::from(cluster.recalled().is_some());
            cluster.known = Knowledge::Heard;
        }
        match update {
            Update::All(nodes) => cluster.replace(nodes, now),
            Update::One(node) => cluster.learn(node, now),
            Update::Gone(name) => cluster.stale |= cluster.nodes.remove(&name).is_some(),
            Update::InStep => cluster.turn(Ok(()), now),
            Update::Away(why) => cluster.turn(Err(why), now),
        }
    }

    /// What is to change so that exactly that is routed which should be.
    pub fn reconcile(&mut self, config: &Config, domains: &Domains) -> Vec<Change> {
        let mut changes = Vec::new();
        for (at, cluster) in self.clusters.iter_mut().filter(|(_, cluster)| cluster.stale) {
            self.revision += 1;
            cluster.reconcile(config, domains, ClusterIdx(*at), &mut changes, &mut self.quarantines);
        }
        changes
    }

    /// Nodes with which something is wrong that was not when this was last asked.
    pub fn take_quarantines(&mut self) -> Vec<Quarantine> {
        std::mem::take(&mut self.quarantines)
    }

    /// The source of every cluster that has one.
    pub fn sources(&self) -> impl Iterator<Item = SourceRow<'_>> + '_ {
        self.clusters.iter().map(|(at, cluster)| SourceRow {
            cluster: ClusterIdx(*at),
            state: match &cluster.source {
                Ok(()) if cluster.crowded => Err(CROWDED),
                state => state.as_ref().copied().map_err(String::as_str),
            },
            since: cluster.source_since,
            recalled: cluster.recalled(),
        })
    }

    /// Every node, by cluster and name.
    pub fn rows(&self) -> impl Iterator<Item = NodeRow<'_>> + '_ {
        self.clusters.iter().flat_map(|(at, cluster)| {
            cluster.nodes.iter().map(|(name, known)| cluster.row(ClusterIdx(*at), name, known))
        })
    }
}

/// The clusters whose nodes the configuration does not say.
fn sourced(config: &Config) -> impl Iterator<Item = (usize, &Cluster)> {
    config.clusters.iter().enumerate().filter(|(_, cluster)| cluster.nodes_from.is_some())
}

impl ClusterNodes {
    fn new(now: Instant) -> ClusterNodes {
        ClusterNodes {
            nodes: BTreeMap::new(),
            routed: Routed::new(),
            faults: BTreeMap::new(),
            stale: false,
            crowded: false,
            known: Knowledge::Nothing,
            source: Err(NOT_REACHED.to_owned()),
            source_since: now,
        }
    }

    fn replace(&mut self, nodes: Vec<NodeFact>, now: Instant) {
        self.crowded = false;
        let said: BTreeSet<String> = nodes.iter().map(|node| node.name.clone()).collect();
        let before = self.nodes.len();
        self.nodes.retain(|name, _| said.contains(name));
        self.stale |= self.nodes.len() < before;
        for node in nodes {
            self.learn(node, now);
        }
    }

    fn learn(&mut self, fact: NodeFact, now: Instant) {
        let full = self.nodes.len() >= MOST_NODES;
        match self.nodes.get_mut(&fact.name) {
            Some(known) => {
                // A node that is well and not by turns stays where it is: nothing is judged anew.
                if !known.fact.routes_as(&fact) {
                    self.stale = true;
                    known.wants = None;
                }
                if known.fact.ready != fact.ready {
                    known.since = now;
                }
                known.fact = fact;
            }
            None if full => self.crowded = true,
            None => {
                self.stale = true;
                self.nodes.insert(fact.name.clone(), Known { fact, wants: None, since: now });
            }
        }
    }

    fn turn(&mut self, source: Result<(), String>, now: Instant) {
        if self.source.is_ok() != source.is_ok() {
            self.source_since = now;
        }
        self.source = source;
    }

    fn reconcile(
        &mut self,
        config: &Config,
        domains: &Domains,
        at: ClusterIdx,
        changes: &mut Vec<Change>,
        quarantines: &mut Vec<Quarantine>,
    ) {
        self.stale = false;
        for known in self.nodes.values_mut().filter(|known| known.wants.is_none()) {
            known.wants = Some(Wants::of(config, at, &known.fact));
        }
        let nodes = self.nodes.iter().filter_map(|(name, known)| Some((name.as_str(), known.wants.as_ref()?)));
        let (routed, faults) = judge(nodes, &self.routed);
        let domain = domains.of_cluster(at);
        for (node, to) in self.routed.keys().filter(|key| !routed.contains_key(key)) {
            changes.push(Change::Withdraw { domain, to: *to, origin: Origin::Node(at, node.clone()) });
        }
        for (key @ (node, to), way) in &routed {
            if self.routed.get(key) != Some(way) {
                changes.push(Change::Add(node_route(domains, at, node, *to, (way.port, way.address))));
            }
        }
        for (node, faults) in faults.iter().filter(|(node, faults)| self.faults.get(*node) != Some(faults)) {
            quarantines.push(Quarantine { cluster: at, node: node.clone(), faults: faults.clone() });
        }
        (self.routed, self.faults) = (routed, faults);
    }

    fn recalled(&self) -> Option<Recalled> {
        match self.known {
            Knowledge::Recalled(recalled) => Some(recalled),
            Knowledge::Nothing | Knowledge::Heard => None,
        }
    }

    fn row<'a>(&'a self, cluster: ClusterIdx, name: &str, known: &'a Known) -> NodeRow<'a> {
        let state = match self.faults.get(name) {
            Some(faults) => NodeState::Quarantined(faults.clone()),
            None if known.fact.pod_cidrs.is_empty() => NodeState::WithoutCidr,
            None => NodeState::Routed,
        };
        let first = (name.to_owned(), IpNet::V4(ipnet::Ipv4Net::default()));
        let own = self.routed.range(first..).take_while(|((of, _), _)| of == name);
        NodeRow {
            cluster,
            fact: &known.fact,
            routed: own.map(|((_, to), way)| (*to, way.address)).collect(),
            state,
            since: known.since,
            recalled: self.recalled(),
        }
    }
}
