//! The chosen pods of every cluster, and the selections that their addresses are in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use causeway_fastpath::ids::VrfId;
use causeway_fastpath::nat::{Selection, Selections};
use causeway_fastpath::time::Instant;

use super::{NamespaceChosen, NamespaceUpdate, PodChosen, PodUpdate, Selectors};
use crate::config::{Cluster, ClusterIdx, Config};
use crate::domains::Domains;
use crate::feed::{NOT_REACHED, Named, Update};
use crate::nodes::SourceRow;

/// Chosen pods of one cluster, and as many namespaces.
const MOST_CHOSEN: usize = 262_144;
const CROWDED: &str = "egress rules choose more than 262144 pods or namespaces: the others are left out";

/// What sources last said of the pods of their clusters.
#[derive(Clone, Debug, Default)]
pub struct Pods {
    clusters: BTreeMap<ClusterIdx, ClusterPods>,
}

#[derive(Clone, Debug)]
struct ClusterPods {
    selectors: Selectors,
    pods: Known<PodChosen>,
    /// `None`: labels of namespaces are asked for by no rule.
    namespaces: Option<Known<NamespaceChosen>>,
    /// Has anything changed since addresses were last worked out?
    stale: bool,
}

/// What a source last said of objects of a kind.
#[derive(Clone, Debug)]
struct Known<T: Named> {
    all: BTreeMap<T::Name, T>,
    /// Were there more than [`MOST_CHOSEN`]?
    crowded: bool,
    /// Up to date, or why not.
    source: Result<(), String>,
    since: Instant,
}

/// The hosts of a routing domain that are in selections.
pub type SelectedHosts = Vec<(IpAddr, Selections)>;

impl Pods {
    /// Nothing is known of any cluster that has a rule which selects pods.
    pub fn new(config: &Config, now: Instant) -> Pods {
        let clusters = config.clusters.iter().enumerate().filter(|(_, cluster)| cluster.pods_from.is_some());
        let new = |cluster: &Cluster| {
            let selectors = Selectors::of(cluster);
            let namespaces = selectors.ask_for_namespaces().then(|| Known::new(now));
            ClusterPods { selectors, pods: Known::new(now), namespaces, stale: false }
        };
        Pods { clusters: clusters.map(|(at, cluster)| (ClusterIdx(at), new(cluster))).collect() }
    }

    /// Those of another configuration: in a cluster that keeps its name, selectors that stay
    /// choose whom they chose; whom a new one chooses is known once its source speaks.
    ///
    /// `former` are those that the other configuration had when it was last in force: they count
    /// where it has a cluster, a source or selectors that `before` has not, until the source
    /// speaks again.
    pub(crate) fn followed(&self, before: &Config, config: &Config, former: Option<&Pods>, now: Instant) -> Pods {
        let mut pods = Pods::new(config, now);
        for (at, own) in &mut pods.clusters {
            let cluster = &config.clusters[at.0];
            let was = before.cluster_named(&cluster.name);
            let was = was.and_then(|was| Some((self.clusters.get(&was)?, &before.clusters[was.0].pods_from)));
            let is_asked_the_same =
                was.is_some_and(|(was, from)| was.selectors == own.selectors && *from == cluster.pods_from);
            if let Some(former) = former.and_then(|former| former.clusters.get(at)).filter(|_| !is_asked_the_same) {
                own.clone_from(former);
                own.lose_source(now);
            } else if let Some((was, _)) = was {
                let renumbered = |by| was.selectors.renumbered(by, &own.selectors);
                own.pods = was.pods.renumbered(|pod| &mut pod.by, renumbered);
                if let (Some(own), Some(was)) = (&mut own.namespaces, &was.namespaces) {
                    *own = was.renumbered(|namespace| &mut namespace.by, renumbered);
                }
            }
            own.stale = true;
        }
        pods
    }

    /// The source of a cluster has something to say about pods. Nothing, if it has none.
    pub fn update_pods(&mut self, cluster: ClusterIdx, update: PodUpdate, now: Instant) {
        if let Some(cluster) = self.clusters.get_mut(&cluster) {
            cluster.stale |= cluster.pods.update(update, now);
        }
    }

    /// The same about namespaces. Nothing, if their labels matter to no rule.
    pub fn update_namespaces(&mut self, cluster: ClusterIdx, update: NamespaceUpdate, now: Instant) {
        if let Some(cluster) = self.clusters.get_mut(&cluster)
            && let Some(namespaces) = &mut cluster.namespaces
        {
            cluster.stale |= namespaces.update(update, now);
        }
    }

    /// The selected hosts of every routing domain in which that may have changed.
    pub fn reconcile(&mut self, config: &Config, domains: &Domains) -> Vec<(VrfId, SelectedHosts)> {
        let stale = self.clusters.iter().filter(|(_, cluster)| cluster.stale).map(|(at, _)| domains.of_cluster(*at));
        let stale: BTreeSet<VrfId> = stale.collect();
        self.clusters.values_mut().for_each(|cluster| cluster.stale = false);
        let hosts = |domain: VrfId| {
            let there = self.clusters.iter().filter(move |(at, _)| domains.of_cluster(**at) == domain);
            let found = there.flat_map(|(at, cluster)| cluster.chosen(&config.clusters[at.0]));
            found.flat_map(|(addresses, by)| addresses.into_iter().map(move |address| (address, by))).collect()
        };
        stale.into_iter().map(|domain| (domain, hosts(domain))).collect()
    }

    /// How many pods each selector of a cluster chooses now, by the number of its
    /// selection. Looks at every chosen pod.
    pub fn counts(&self, config: &Config, cluster: ClusterIdx) -> Vec<usize> {
        let mut counts = vec![0; Selection::MOST];
        let of = |known: &ClusterPods| known.chosen(&config.clusters[cluster.0]).collect::<Vec<_>>();
        for (_, by) in self.clusters.get(&cluster).map(of).unwrap_or_default() {
            for (at, count) in counts.iter_mut().enumerate() {
                *count += usize::from(Selection::new(at).is_some_and(|selection| by.contains(selection)));
            }
        }
        counts
    }

    /// The source of every cluster with a rule that selects pods: what it knows ("pods" or
    /// "namespaces"), and how it is.
    pub fn sources(&self) -> impl Iterator<Item = (&'static str, SourceRow<'_>)> + '_ {
        self.clusters.iter().flat_map(|(at, cluster)| {
            let namespaces = cluster.namespaces.as_ref().map(|known| ("namespaces", known.row(*at)));
            [("pods", cluster.pods.row(*at))].into_iter().chain(namespaces)
        })
    }
}

impl ClusterPods {
    /// What it knows, its source has said some time ago.
    fn lose_source(&mut self, now: Instant) {
        self.pods.turn(Err(NOT_REACHED.to_owned()), now);
        if let Some(namespaces) = &mut self.namespaces {
            namespaces.turn(Err(NOT_REACHED.to_owned()), now);
        }
    }

    /// Pods that are chosen and live where pods of the cluster do: by what, and their
    /// addresses.
    fn chosen<'a>(&'a self, cluster: &'a Cluster) -> impl Iterator<Item = (Vec<IpAddr>, Selections)> + 'a {
        let of_any = self.selectors.of_any_namespace();
        let is_pod = |address: &IpAddr| cluster.pod_cidrs.iter().any(|pods| pods.contains(address));
        self.pods.all.values().filter_map(move |pod| {
            let namespace = self.namespaces.as_ref().and_then(|known| known.all.get(&pod.name.namespace));
            let by = pod.by.both(namespace.map_or(of_any, |namespace| namespace.by.either(of_any)));
            let addresses: Vec<_> = pod.addresses.iter().copied().filter(is_pod).collect();
            (!by.is_empty() && !addresses.is_empty()).then_some((addresses, by))
        })
    }
}

impl<T: Named + PartialEq> Known<T> {
    fn new(now: Instant) -> Known<T> {
        Known { all: BTreeMap::new(), crowded: false, source: Err(NOT_REACHED.to_owned()), since: now }
    }

    /// The same, chosen by others; who is by none is left out.
    fn renumbered(&self, by: impl Fn(&mut T) -> &mut Selections, others: impl Fn(Selections) -> Selections) -> Known<T>
    where
        T: Clone,
        T::Name: Clone,
    {
        let mut known = Known { all: self.all.clone(), source: self.source.clone(), ..*self };
        known.all.retain(|_, one| {
            let by = by(one);
            *by = others(*by);
            !by.is_empty()
        });
        known
    }

    /// Did that change anything about the objects?
    fn update(&mut self, update: Update<T>, now: Instant) -> bool {
        match update {
            Update::All(all) => {
                self.crowded = false;
                let before = std::mem::take(&mut self.all);
                all.into_iter().for_each(|one| self.learn(one));
                self.all != before
            }
            Update::One(one) => {
                let is_new = self.all.get(one.name()) != Some(&one);
                self.learn(one);
                is_new
            }
            Update::Gone(name) => self.all.remove(&name).is_some(),
            Update::InStep => self.turn(Ok(()), now),
            Update::Away(why) => self.turn(Err(why), now),
        }
    }

    fn learn(&mut self, one: T) {
        if self.all.len() < MOST_CHOSEN || self.all.contains_key(one.name()) {
            self.all.insert(one.name().clone(), one);
        } else {
            self.crowded = true;
        }
    }

    /// No object has changed by that.
    fn turn(&mut self, source: Result<(), String>, now: Instant) -> bool {
        if self.source.is_ok() != source.is_ok() {
            self.since = now;
        }
        self.source = source;
        false
    }

    fn row(&self, cluster: ClusterIdx) -> SourceRow<'_> {
        let state = match &self.source {
            Ok(()) if self.crowded => Err(CROWDED),
            state => state.as_ref().copied().map_err(String::as_str),
        };
        SourceRow { cluster, state, since: self.since, recalled: None }
    }
}
