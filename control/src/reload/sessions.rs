//! What becomes of live sessions when another configuration comes into force.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use causeway_fastpath::command::{Command, SessionPage, SessionRow};
use causeway_fastpath::ids::{VrfId, WorkerId};
use causeway_fastpath::nat::{EndReason, Judge, Outcome};
use causeway_fastpath::snapshot::Snapshot;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::config::{ClusterIdx, Config};
use crate::domains::Domains;
use crate::nodes::Nodes;
use crate::rounds::go_on;
use crate::sessions::first_page;

/// Sessions that do not survive and are named, at most.
pub const MOST_NAMED: usize = 1000;

/// The walk that goes on, and what came of the last one.
#[derive(Default)]
pub(crate) struct JudgeWalk {
    workers: usize,
    going: Option<(u64, Judging)>,
    done: Option<Judged>,
}

struct Judging {
    v4: Judge<u32>,
    v6: Judge<u128>,
    owners: Owners,
    judged: Judged,
}

/// Live sessions, and what becomes of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// By cluster and node. Sessions of nobody's have empty names.
    pub counts: BTreeMap<Owner, Fates>,
    /// Why sessions end that no other takes the place of.
    pub ends: BTreeMap<&'static str, u64>,
    /// The first of those that do not survive.
    pub named: Vec<(SessionRow, Outcome)>,
}

/// Whose a session is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// The cluster; empty if it is nobody's.
    pub cluster: String,
    /// The node; empty if none is known.
    pub node: String,
}

/// What becomes of sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fates {
    /// They go on, and nobody notices.
    pub survive: u64,
    /// They end, and their next packet begins another one under another name.
    pub anew: u64,
    /// They end.
    pub end: u64,
}

impl Fates {
    /// One more.
    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Survives => self.survive += 1,
            Outcome::TranslatedAnew => self.anew += 1,
            Outcome::Ends(_) => self.end += 1,
        }
    }

    /// Those of both.
    pub fn plus(self, other: Fates) -> Fates {
        Fates { survive: self.survive + other.survive, anew: self.anew + other.anew, end: self.end + other.end }
    }
}

/// The word for what becomes of a session: `survives`, `anew`, or why it ends.
pub fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Survives => "survives",
        Outcome::TranslatedAnew => "anew",
        Outcome::Ends(EndReason::Policy(reason)) => reason.name(),
        Outcome::Ends(EndReason::Forward) => "no-forward",
    }
}

impl JudgeWalk {
    /// Over the sessions of so many workers.
    pub(crate) fn new(workers: usize) -> JudgeWalk {
        JudgeWalk { workers, ..JudgeWalk::default() }
    }

    /// The first step of judging what tables `after` would leave of sessions that those `before`
    /// have admitted, unless one goes on.
    pub(crate) fn begin(
        &mut self,
        request: u64,
        (before, after): (&Snapshot, &Snapshot),
        owners: Owners,
    ) -> Option<(WorkerId, Command)> {
        if self.going.is_some() {
            return None;
        }
        let v4 = Judge::new(&before.v4, &after.v4, &after.ports);
        let v6 = Judge::new(&before.v6, &after.v6, &after.ports);
        self.going = Some((request, Judging { v4, v6, owners, judged: Judged::default() }));
        Some(first_page(request))
    }

    /// Is this page for the walk that goes on?
    pub(crate) fn wants(&self, page: &SessionPage) -> bool {
        self.going.as_ref().is_some_and(|(request, _)| *request == page.request)
    }

    /// A page is there: the next step, if there is one.
    pub(crate) fn met(&mut self, worker: WorkerId, mut page: Box<SessionPage>) -> Option<(WorkerId, Command)> {
        let (request, mut judging) = self.going.take()?;
        page.rows.iter().for_each(|row| judging.judge(row));
        if let Some((worker, cursor)) = go_on(self.workers, worker, page.cursor) {
            self.going = Some((request, judging));
            page.cursor = Some(cursor);
            return Some((worker, Command::ListSessions(page)));
        }
        self.done = Some(judging.judged);
        None
    }

    /// The result, once all sessions were looked at.
    pub(crate) fn take(&mut self) -> Option<Judged> {
        self.done.take()
    }
}

impl Judging {
    fn judge(&mut self, row: &SessionRow) {
        let Some(outcome) = self.v4.judge_row(row).or_else(|| self.v6.judge_row(row)) else {
            return;
        };
        let judged = &mut self.judged;
        judged.counts.entry(self.owners.of(row.vrf, row.inside.0)).or_default().count(outcome);
        if let Outcome::Ends(_) = outcome {
            *judged.ends.entry(outcome_word(outcome)).or_default() += 1;
        }
        if outcome != Outcome::Survives && judged.named.len() < MOST_NAMED {
            judged.named.push((*row, outcome));
        }
    }
}

/// Whose addresses are, by routing domain: pods of nodes, nodes, and pods of clusters.
pub(crate) struct Owners {
    of: HashMap<(VrfId, IpNet), Owner>,
    /// Of any of them, the longest first: IPv4, IPv6.
    lengths: [Vec<u8>; 2],
}

impl Owners {
    pub(crate) fn new(config: &Config, domains: &Domains, nodes: &Nodes) -> Owners {
        let mut of = HashMap::new();
        let mut add = |cluster: ClusterIdx, to: IpNet, node: &str| {
            let owner = Owner { cluster: config.clusters[cluster.0].name.clone(), node: node.to_owned() };
            of.insert((domains.of_cluster(cluster), to), owner);
        };
        for (at, cluster) in config.clusters.iter().enumerate() {
            cluster.pod_cidrs.iter().for_each(|to| add(ClusterIdx(at), *to, ""));
            for node in &cluster.nodes {
                node.pod_cidrs.iter().for_each(|to| add(ClusterIdx(at), *to, &node.name));
                node.addresses.iter().for_each(|own| add(ClusterIdx(at), IpNet::from(*own), &node.name));
            }
        }
        for row in nodes.rows() {
            for (to, own) in &row.routed {
                add(row.cluster, *to, &row.fact.name);
                add(row.cluster, IpNet::from(*own), &row.fact.name);
            }
        }
        let lengths = |v6: bool| {
            let own = of.keys().filter(|(_, to)| to.addr().is_ipv6() == v6);
            let lengths: BTreeSet<u8> = own.map(|(_, to)| to.prefix_len()).collect();
            lengths.into_iter().rev().collect()
        };
        let lengths = [lengths(false), lengths(true)];
        Owners { of, lengths }
    }

    fn of(&self, domain: VrfId, address: IpAddr) -> Owner {
        let lengths = &self.lengths[usize::from(address.is_ipv6())];
        let find = |length: &u8| self.of.get(&(domain, IpNet::new(address, *length).ok()?.trunc()));
        lengths.iter().find_map(find).cloned().unwrap_or_default()
    }
}
