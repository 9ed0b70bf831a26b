//! Do nodes answer, and what follows for their routes.
//!
//! Pure: routes, answers and the time come in, questions and changes of routes come out. A
//! cluster's nodes are asked in rounds. Whoever has left so many rounds unanswered is dead,
//! until it has answered so many. Where the configuration wants it, what leads to a dead
//! node is withdrawn; but not while most of a cluster are dead at once, as then it is likely
//! the gateway that is cut off.

pub(crate) mod echo;
mod routes;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use causeway_fastpath::time::Instant;

use crate::config::{self, Cluster, ClusterIdx, Config, PortIdx, Probe};
use crate::neighbors::State;
use crate::rib::{Change, Route};
use routes::Routes;

/// An address of a node, on the link of a port.
pub type Place = (PortIdx, IpAddr);

/// Whether nodes answer, by cluster.
#[derive(Debug, Default)]
pub struct Liveness {
    watches: BTreeMap<ClusterIdx, Watch>,
    routes: Routes,
    /// Who is no longer asked, since that was last asked for.
    left: Vec<Place>,
    /// What was found out since it was last asked for.
    news: Vec<News>,
}

/// A cluster whose nodes are asked.
#[derive(Debug)]
struct Watch {
    settings: config::Liveness,
    targets: BTreeMap<Place, Target>,
    /// When the next round begins.
    next: Instant,
    /// The number of the round.
    sequence: u16,
    /// Are most of them dead?
    cut_off: bool,
}

/// An address that node routes lead through.
#[derive(Debug)]
struct Target {
    node: String,
    /// How many routes do.
    routes: usize,
    dead: bool,
    /// Since when it has been dead, or not.
    since: Instant,
    /// Was it asked in this round, and has it answered?
    asked: bool,
    answered: bool,
    /// Rounds in a row that speak against what it counts as.
    against: u32,
}

/// What is to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Is it still there, by ARP or neighbour discovery?
    Neighbor(Place),
    /// An echo request with this sequence number.
    Echo(Place, u16),
}

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// An address of a node does not answer, or does again.
    Turned {
        /// The cluster.
        cluster: ClusterIdx,
        /// The node.
        node: String,
        /// Its address.
        address: IpAddr,
        /// Is it dead?
        dead: bool,
    },
    /// Most addresses of a cluster's nodes do not answer, or no longer most: nothing is
    /// withdrawn while that is so. Only where it would be.
    CutOff {
        /// The cluster.
        cluster: ClusterIdx,
        /// How many do not.
        dead: usize,
        /// Of how many.
        of: usize,
        /// Is it so?
        is_so: bool,
    },
}

/// An address of a node that does not answer, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dead {
    /// The cluster.
    pub cluster: ClusterIdx,
    /// The address.
    pub address: IpAddr,
    /// Is what leads through it withdrawn?
    pub withdrawn: bool,
    /// Since when it has been dead.
    pub since: Instant,
}

/// The identifier of the pings that ask nodes, if any are asked so: nobody off the link can
/// know it.
pub(crate) fn identifier(config: &Config, secret: u64) -> Option<u16> {
    let pings = |cluster: &Cluster| cluster.liveness.is_some_and(|liveness| liveness.probe == Probe::Icmp);
    config.clusters.iter().any(pings).then_some((secret >> 48) as u16)
}

impl Liveness {
    /// Nothing is known yet of the clusters whose nodes are asked.
    pub fn new(config: &Config, now: Instant) -> Liveness {
        let clusters = config.clusters.iter().enumerate();
        let watches = clusters.filter_map(|(at, cluster)| {
            let watch = |settings| Watch { settings, targets: BTreeMap::new(), next: now, sequence: 0, cut_off: false };
            Some((ClusterIdx(at), watch(cluster.liveness?)))
        });
        Liveness { watches: watches.collect(), routes: Routes::default(), left: Vec::new(), news: Vec::new() }
    }

    /// What is to change so that nothing is withdrawn.
    pub(crate) fn restore(&self) -> Vec<Change> {
        self.routes.clone().turn(BTreeSet::new())
    }

    /// That of another configuration, with these routes, of which none is withdrawn; and what is
    /// to change for those that are. Whoever was asked, by a cluster of the same name, counts as
    /// before.
    pub(crate) fn followed(
        &self,
        before: &Config,
        config: &Config,
        routes: impl Iterator<Item = Route>,
        now: Instant,
    ) -> (Liveness, Vec<Change>) {
        let mut liveness = Liveness::new(config, now);
        routes.for_each(|route| drop(liveness.pass(Change::Add(route), now)));
        for (at, watch) in &mut liveness.watches {
            let was = before.cluster_named(&config.clusters[at.0].name).and_then(|was| self.watches.get(&was));
            let Some(was) = was else {
                continue;
            };
            (watch.sequence, watch.cut_off) = (was.sequence, was.cut_off);
            for (place, target) in &mut watch.targets {
                if let Some(known) = was.targets.get(place) {
                    (target.dead, target.since, target.against) = (known.dead, known.since, known.against);
                }
            }
        }
        let asked = self.watches.values().flat_map(|watch| watch.targets.keys().copied());
        liveness.left = asked.filter(|place| !liveness.watches(*place)).collect();
        let withdrawn = liveness.reconcile();
        (liveness, withdrawn)
    }

    /// Takes note of a change of routes; what is to be done instead, as far as it is
    /// withdrawn.
    pub fn pass(&mut self, change: Change, now: Instant) -> Change {
        if self.watches.is_empty() {
            return change;
        }
        let (change, moved) = self.routes.pass(change, |cluster| self.watches.contains_key(&cluster));
        for (cluster, place) in moved.left {
            let targets = self.watches.get_mut(&cluster).map(|watch| &mut watch.targets);
            if let Some(targets) = targets
                && let Some(target) = targets.get_mut(&place)
            {
                target.routes -= 1;
                if target.routes == 0 {
                    targets.remove(&place);
                    self.left.push(place);
                }
            }
        }
        for (cluster, node, place) in moved.joined {
            if let Some(watch) = self.watches.get_mut(&cluster) {
                let new =
                    || Target { node, routes: 0, dead: false, since: now, asked: false, answered: false, against: 0 };
                watch.targets.entry(place).or_insert_with(new).routes += 1;
            }
        }
        change
    }

    /// Who is no longer asked since this was last asked for.
    pub(crate) fn take_left(&mut self) -> Vec<Place> {
        std::mem::take(&mut self.left)
    }

    /// Does somebody ask for this neighbour, whatever routes lead there?
    pub fn watches(&self, place: Place) -> bool {
        self.watches.values().any(|watch| watch.targets.contains_key(&place))
    }

    /// An echo reply came in by a port.
    pub fn heard(&mut self, place: Place, sequence: u16) {
        for watch in self.watches.values_mut().filter(|watch| watch.sequence == sequence) {
            if let Some(target) = watch.targets.get_mut(&place) {
                target.answered = true;
            }
        }
    }

    /// Ends and begins the rounds that are due; `state` is what is known of a neighbour.
    /// Says what is to be asked.
    pub fn handle_timeout(&mut self, now: Instant, state: impl Fn(Place) -> Option<State>) -> Vec<Question> {
        let mut questions = Vec::new();
        for (cluster, watch) in self.watches.iter_mut().filter(|(_, watch)| watch.next <= now) {
            watch.end_round(*cluster, now, &state, &mut self.news);
            watch.next = now + Duration::from_secs(u64::from(watch.settings.interval_s));
            watch.sequence = watch.sequence.wrapping_add(1);
            for (place, target) in &mut watch.targets {
                (target.asked, target.answered) = (true, false);
                questions.push(match watch.settings.probe {
                    Probe::Neighbor => Question::Neighbor(*place),
                    Probe::Icmp => Question::Echo(*place, watch.sequence),
                });
            }
        }
        questions
    }

    /// When [`Liveness::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.watches.values().filter(|watch| !watch.targets.is_empty()).map(|watch| watch.next).min()
    }

    /// What is to change so that what leads to dead nodes is withdrawn, and nothing else.
    pub fn reconcile(&mut self) -> Vec<Change> {
        let dead = |watch: &Watch| -> Vec<Place> {
            let gone = watch.targets.iter().filter(|(_, target)| target.dead && watch.withdraws());
            gone.map(|(place, _)| *place).collect()
        };
        let withdrawn: BTreeSet<Place> = self.watches.values().flat_map(dead).collect();
        self.routes.turn(withdrawn)
    }

    /// What was found out since this was last asked.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Every address of a node that does not answer.
    pub fn dead(&self) -> impl Iterator<Item = Dead> + '_ {
        self.watches.iter().flat_map(|(cluster, watch)| {
            let dead = watch.targets.iter().filter(|(_, target)| target.dead);
            dead.map(|((_, address), target)| Dead {
                cluster: *cluster,
                address: *address,
                withdrawn: watch.withdraws(),
                since: target.since,
            })
        })
    }

    /// Clusters of which most addresses of nodes are dead, so that nothing is withdrawn: how
    /// many, and of how many.
    pub fn cut_off(&self) -> impl Iterator<Item = (ClusterIdx, usize, usize)> + '_ {
        let cut_off = self.watches.iter().filter(|(_, watch)| watch.cut_off && watch.settings.withdraw);
        cut_off.map(|(cluster, watch)| (*cluster, watch.dead(), watch.targets.len()))
    }
}

impl Watch {
    fn end_round(
        &mut self,
        cluster: ClusterIdx,
        now: Instant,
        state: impl Fn(Place) -> Option<State>,
        news: &mut Vec<News>,
    ) {
        for (place, target) in self.targets.iter_mut().filter(|(_, target)| target.asked) {
            let answered = match self.settings.probe {
                Probe::Icmp => target.answered,
                Probe::Neighbor => match state(*place) {
                    Some(State::Static | State::Reachable) => true,
                    Some(State::Dead) => false,
                    // It is still being asked.
                    Some(State::Probing | State::Incomplete) | None => continue,
                },
            };
            // What it is taken for, it shows.
            target.against = if answered == target.dead { target.against + 1 } else { 0 };
            let enough = if target.dead { self.settings.successes } else { self.settings.failures };
            if target.against >= enough {
                (target.dead, target.since, target.against) = (!target.dead, now, 0);
                let (node, address, dead) = (target.node.clone(), place.1, target.dead);
                news.push(News::Turned { cluster, node, address, dead });
            }
        }
        let (dead, of) = (self.dead(), self.targets.len());
        let is_so = 2 * dead > of;
        if std::mem::replace(&mut self.cut_off, is_so) != is_so && self.settings.withdraw {
            news.push(News::CutOff { cluster, dead, of, is_so });
        }
    }

    fn dead(&self) -> usize {
        self.targets.values().filter(|target| target.dead).count()
    }

    fn withdraws(&self) -> bool {
        self.settings.withdraw && !self.cut_off
    }
}
