//! What becomes of sessions when another configuration comes into force at a worker: those
//! that a plan would let live do, under the name they had, and no other does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use causeway_fastpath::command::{SessionCursor, SessionPage, SessionRow};
use causeway_fastpath::forwarder::Forwarder;
use causeway_fastpath::ids::{Epoch, VrfId};
use causeway_fastpath::nat::{Basis, EndReason, Judge, Outcome};
use causeway_fastpath::snapshot::Snapshot;
use causeway_fastpath::time::Instant;
use causeway_fastpath::verdict::DropReason;

/// More than a worker has.
const PAGE: usize = 1_024;

/// Routing domains, by what people call them.
pub(crate) type Islands = BTreeMap<VrfId, String>;
type Endpoint = (IpAddr, u16);
/// What tells a session from others: its routing domain, protocol, who is inside, its name,
/// and its peer.
type Key = (VrfId, u8, Endpoint, Endpoint, Endpoint);

/// Tables that were sent, and what is expected of each worker.
pub(crate) struct Fates {
    tables: BTreeMap<Epoch, Arc<Snapshot>>,
    /// Those of them by which sessions are judged.
    judging: BTreeSet<Epoch>,
    /// Whose a routing domain is, from which tables on.
    islands: BTreeMap<Epoch, Islands>,
    expected: Vec<Option<Expected>>,
    page: SessionPage,
}

/// Of one worker that judges its sessions.
struct Expected {
    /// By which tables.
    by: Epoch,
    /// When it began to, and what it had counted by then.
    since: Instant,
    ended_otherwise: u64,
    outcomes: Vec<(Key, Outcome)>,
}

impl Fates {
    pub(crate) fn new(workers: usize) -> Fates {
        let page = SessionPage { limit: PAGE as u32, rows: Vec::with_capacity(PAGE), ..SessionPage::default() };
        let (tables, judging, islands) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Fates { tables, judging, islands, expected: (0..workers).map(|_| None).collect(), page }
    }

    /// Whose the routing domains are from these tables on.
    pub(crate) fn name(&mut self, epoch: Epoch, islands: Islands) {
        self.islands.insert(epoch, islands);
    }

    /// Was a routing domain another island's, or nobody's, in between?
    fn changed_hands(&self, domain: VrfId, before: Epoch, after: Epoch) -> bool {
        let begin = self.islands.range(..=before).next_back().map_or(before, |(epoch, _)| *epoch);
        let mut owners = self.islands.range(begin..=after).map(|(_, islands)| islands.get(&domain));
        let first = owners.next();
        owners.any(|owner| Some(owner) != first)
    }

    /// By these tables sessions will be judged.
    pub(crate) fn will_judge(&mut self, epoch: Epoch) {
        self.judging.insert(epoch);
    }

    /// Tables are on their way to workers.
    pub(crate) fn sent(&mut self, tables: &Arc<Snapshot>) {
        self.tables.entry(tables.epoch).or_insert_with(|| Arc::clone(tables));
    }

    /// The sessions of a worker whose turn comes, if tables may come into force in it by which
    /// they are judged.
    pub(crate) fn before(&mut self, forwarder: &Forwarder, in_force: Epoch, now: Instant) -> Vec<SessionRow> {
        let awaits = self.judging.range((Excluded(in_force), Unbounded)).next().is_some();
        if awaits { self.rows(forwarder, now) } else { Vec::new() }
    }

    /// The turn is over; these tables were in force before it and after it.
    pub(crate) fn after(
        &mut self,
        at: usize,
        sessions: &[SessionRow],
        (before, after): (&Arc<Snapshot>, &Arc<Snapshot>),
        ended_otherwise: u64,
        now: Instant,
    ) {
        let (mut last, mut by, mut judges) = (before, before.epoch, Vec::new());
        for (epoch, tables) in self.tables.range((Excluded(before.epoch), Included(after.epoch))) {
            if self.judging.contains(epoch) {
                judges.push(judges_of(last, tables));
                by = *epoch;
            }
            last = tables;
        }
        if !judges.is_empty() {
            // By the tables before some may have to end yet.
            let pending = self.expected[at].take().map(|expected| expected.outcomes).unwrap_or_default();
            let worst = |row: &SessionRow| {
                if self.changed_hands(row.vrf, before.epoch, after.epoch) {
                    return Some(Outcome::Ends(EndReason::Policy(DropReason::NotInIsland)));
                }
                let outcomes = judges.iter().filter_map(|(v4, v6)| v4.judge_row(row).or_else(|| v6.judge_row(row)));
                outcomes.reduce(|worst, next| if worst == Outcome::Survives { next } else { worst })
            };
            let is_to_end =
                |key: &Key| pending.iter().any(|(other, worst)| other == key && *worst != Outcome::Survives);
            let outcomes = sessions.iter().filter_map(|row| Some((key(row), worst(row)?)));
            let outcomes = outcomes.filter(|(key, worst)| *worst != Outcome::Survives || !is_to_end(key)).collect();
            self.expected[at] = Some(Expected { by, since: now, ended_otherwise, outcomes });
        } else if !selects_as(before, after) {
            // Some are judged by another selection than those before.
            self.expected[at] = None;
        }
    }

    /// A worker has judged all its sessions by these tables.
    pub(crate) fn settled(&mut self, at: usize, by: Epoch, forwarder: &Forwarder, ended_otherwise: u64, now: Instant) {
        let Some(expected) = self.expected[at].take_if(|expected| expected.by == by) else {
            return;
        };
        let rows = self.rows(forwarder, now);
        let sessions: BTreeMap<Key, &SessionRow> = rows.iter().map(|row| (key(row), row)).collect();
        let mut missing = Vec::new();
        for (key, outcome) in &expected.outcomes {
            match (sessions.get(key), outcome) {
                (None, Outcome::Survives) => missing.push(key),
                (Some(row), Outcome::TranslatedAnew | Outcome::Ends(_)) => {
                    let age = u64::from(row.age_ms) * 1_000_000;
                    assert!(
                        age <= now.nanos_since(expected.since),
                        "worker {at}: {outcome:?}, and it goes on: {row:?}"
                    );
                }
                _ => {}
            }
        }
        // Others have ended since, by their timers or as somebody wanted it.
        let ended = ended_otherwise - expected.ended_otherwise;
        assert!(missing.len() as u64 <= ended, "worker {at}: they were to survive: {missing:?}");
    }

    /// The sessions of a worker.
    pub(crate) fn rows(&mut self, forwarder: &Forwarder, now: Instant) -> Vec<SessionRow> {
        let mut rows = Vec::new();
        self.page.cursor = Some(SessionCursor::default());
        while self.page.cursor.is_some() {
            forwarder.list_sessions(now, &mut self.page);
            rows.append(&mut self.page.rows);
        }
        rows
    }

    /// Tables before these are in force nowhere any more.
    pub(crate) fn forget(&mut self, oldest: Epoch) {
        self.tables = self.tables.split_off(&oldest);
        self.judging = self.judging.split_off(&oldest);
    }
}

/// No two flows have one name toward one peer, wherever their sessions are.
pub(crate) fn assert_names_are_one_flows(sessions: impl Iterator<Item = (usize, SessionRow)>) {
    let mut names = BTreeMap::new();
    for (at, row) in sessions.filter(|(_, row)| matches!(row.basis, Basis::Translated | Basis::Hairpin | Basis::LetIn))
    {
        let name = (row.protocol, row.outside, row.peer, row.basis == Basis::Hairpin);
        if let Some((other_at, other)) = names.insert(name, (at, row)) {
            // While an island's number changes, workers may take two of them for the home of a host.
            let is_one_flow = (other.vrf, other.inside) == (row.vrf, row.inside);
            assert!(is_one_flow, "one name is two flows': {row:?} of worker {at}, {other:?} of worker {other_at}");
        }
    }
}

fn judges_of(before: &Snapshot, after: &Snapshot) -> (Judge<u32>, Judge<u128>) {
    (Judge::new(&before.v4, &after.v4, &after.ports), Judge::new(&before.v6, &after.v6, &after.ports))
}

fn selects_as(one: &Snapshot, other: &Snapshot) -> bool {
    let v4 = one.v4.selected.iter().zip(&other.v4.selected).all(|(one, other)| Arc::ptr_eq(one, other));
    v4 && one.v6.selected.iter().zip(&other.v6.selected).all(|(one, other)| Arc::ptr_eq(one, other))
}

fn key(row: &SessionRow) -> Key {
    (row.vrf, row.protocol, row.inside, row.outside, row.peer)
}
