//! Walks over what the workers' pools hold, and over who holds how much of them.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasher;
use std::net::IpAddr;

use causeway_fastpath::command::{
    Command, PoolCursor, PoolPage, PoolRow, RefusedPage, SessionCursor, SessionPage, SessionRow,
};
use causeway_fastpath::ids::{PoolId, VrfId, WorkerId};

use crate::alarm::{Alarm, Turn};
use crate::rounds::go_on;
use crate::sessions::first_page;

/// Records that one step looks at. Small, so that a worker is never kept long.
const PAGE: u32 = 256;
/// The same, of pools, of whose addresses more is looked at.
const POOL_PAGE: u32 = 64;

/// The walk over pools that goes on, what came of the last one, and which pools are full.
#[derive(Default)]
pub(crate) struct PoolWalk {
    workers: usize,
    going: Option<(u64, Vec<PoolRow>)>,
    done: Option<Vec<PoolRow>>,
    /// By pool, family (is it IPv6?) and protocol.
    alarms: BTreeMap<(PoolId, bool, usize), Alarm>,
}

/// A pool that has become full, or no longer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolAlarm {
    /// The pool.
    pub pool: PoolId,
    /// Of its IPv6 addresses?
    pub v6: bool,
    /// TCP, UDP or echo identifiers, as in [`PoolRow::loads`].
    pub protocol: usize,
    /// What became of it.
    pub turn: Turn,
    /// Ports that are not free.
    pub taken: u64,
    /// All ports.
    pub ports: u64,
}

impl PoolWalk {
    /// Over the pools of so many workers.
    pub(crate) fn new(workers: usize) -> PoolWalk {
        PoolWalk { workers, ..PoolWalk::default() }
    }

    /// The first step of a walk over the pools before `end`, unless one goes on.
    pub(crate) fn begin(&mut self, request: u64, end: PoolId) -> Option<(WorkerId, Command)> {
        if self.going.is_some() {
            return None;
        }
        self.going = Some((request, Vec::new()));
        let rows = Vec::with_capacity(POOL_PAGE as usize);
        let cursor = Some(PoolCursor::default());
        let page = PoolPage { request, cursor, end, limit: POOL_PAGE, rows };
        Some((WorkerId(0), Command::ListPools(Box::new(page))))
    }

    /// A page is there: the next step, if there is one.
    pub(crate) fn paged(&mut self, worker: WorkerId, mut page: Box<PoolPage>) -> Option<(WorkerId, Command)> {
        let (request, mut rows) = self.going.take_if(|(request, _)| *request == page.request)?;
        rows.append(&mut page.rows);
        if let Some((worker, cursor)) = go_on(self.workers, worker, page.cursor) {
            self.going = Some((request, rows));
            page.cursor = Some(cursor);
            return Some((worker, Command::ListPools(page)));
        }
        if self.workers > 1 {
            rows = added_up(&rows);
        }
        self.done = Some(rows);
        None
    }

    /// The result of a walk, once it is there, and which alarms it has changed.
    pub(crate) fn take(&mut self) -> Option<(Vec<PoolRow>, Vec<PoolAlarm>)> {
        let rows = self.done.take()?;
        let mut sums: BTreeMap<(PoolId, bool, usize), (u64, u64)> = BTreeMap::new();
        for row in &rows {
            for (protocol, load) in row.loads.iter().enumerate() {
                let sum = sums.entry((row.pool, row.address.is_ipv6(), protocol)).or_default();
                sum.0 += u64::from(load.used) + u64::from(load.resting) + u64::from(load.forwarded);
                sum.1 += u64::from(row.ports);
            }
        }
        let mut changed = Vec::new();
        for (key, (taken, ports)) in sums {
            if let Some(turn) = self.alarms.entry(key).or_default().update(taken, ports) {
                let (pool, v6, protocol) = key;
                changed.push(PoolAlarm { pool, v6, protocol, turn, taken, ports });
            }
        }
        Some((rows, changed))
    }

    /// Pools that are gone are no longer full.
    pub(crate) fn forget(&mut self, is_gone: impl Fn(PoolId) -> bool) {
        self.alarms.retain(|(pool, ..), _| !is_gone(*pool));
    }

    /// Is a pool full?
    pub(crate) fn is_full(&self, pool: PoolId, v6: bool, protocol: usize) -> bool {
        self.alarms.get(&(pool, v6, protocol)).is_some_and(Alarm::is_raised)
    }
}

/// The walk over sessions and refusals that goes on, and what came of the last one.
#[derive(Default)]
pub(crate) struct HostWalk {
    workers: usize,
    going: Option<(u64, Tallies)>,
    done: Option<Vec<HostRow>>,
}

/// What a host inside holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostRow {
    /// Its routing domain.
    pub vrf: VrfId,
    /// Its address.
    pub address: IpAddr,
    /// Sessions, whoever began them.
    pub sessions: u64,
    /// Names outside: addresses with a port or echo identifier.
    pub ports: u64,
    /// Sessions that it was refused since the start; where a thousand hosts are, up to what
    /// others were refused too many.
    pub refused: u64,
}

/// Hosts, and their names: hashes of them, which take less room. With a million names, one
/// in 30 million counts falls short.
#[derive(Default)]
struct Tallies {
    hosts: HashMap<(VrfId, IpAddr), HostRow>,
    names: HashSet<u64>,
    hasher: RandomState,
}

impl HostWalk {
    /// Over what so many workers know of hosts.
    pub(crate) fn new(workers: usize) -> HostWalk {
        HostWalk { workers, ..HostWalk::default() }
    }

    /// The first step of a walk, unless one goes on.
    pub(crate) fn begin(&mut self, request: u64) -> Option<(WorkerId, Command)> {
        if self.going.is_some() {
            return None;
        }
        self.going = Some((request, Tallies::default()));
        Some(first_page(request))
    }

    /// Is this page of sessions for the walk that goes on?
    pub(crate) fn wants(&self, page: &SessionPage) -> bool {
        self.going.as_ref().is_some_and(|(request, _)| *request == page.request)
    }

    /// A page of sessions is there: the next step.
    pub(crate) fn met(&mut self, worker: WorkerId, mut page: Box<SessionPage>) -> Option<(WorkerId, Command)> {
        let (_, tallies) = self.going.as_mut()?;
        page.rows.iter().for_each(|row| tallies.count(row));
        if let Some((worker, cursor)) = go_on(self.workers, worker, page.cursor) {
            page.cursor = Some(cursor);
            return Some((worker, Command::ListSessions(page)));
        }
        let (cursor, rows) = (Some(SessionCursor::default()), Vec::with_capacity(PAGE as usize));
        let page = RefusedPage { request: page.request, cursor, limit: PAGE, rows };
        Some((WorkerId(0), Command::ListRefused(Box::new(page))))
    }

    /// A page of hosts that were refused is there: the next step, if there is one.
    pub(crate) fn refused(&mut self, worker: WorkerId, mut page: Box<RefusedPage>) -> Option<(WorkerId, Command)> {
        let (request, mut tallies) = self.going.take_if(|(request, _)| *request == page.request)?;
        for (vrf, address, count) in &page.rows {
            tallies.host(*vrf, *address).refused += count;
        }
        if let Some((worker, cursor)) = go_on(self.workers, worker, page.cursor) {
            self.going = Some((request, tallies));
            page.cursor = Some(cursor);
            return Some((worker, Command::ListRefused(page)));
        }
        self.done = Some(tallies.hosts.into_values().collect());
        None
    }

    /// Every host that holds something or was refused, who has most sessions first, once
    /// all were looked at.
    pub(crate) fn take(&mut self) -> Option<Vec<HostRow>> {
        let mut hosts = self.done.take()?;
        hosts.sort_unstable_by_key(|host| (std::cmp::Reverse((host.sessions, host.refused)), host.vrf, host.address));
        Some(hosts)
    }
}

/// Rows of several workers, each of which gives out some ports of an address: a row an
/// address.
fn added_up(rows: &[PoolRow]) -> Vec<PoolRow> {
    let mut sums: BTreeMap<(PoolId, IpAddr), PoolRow> = BTreeMap::new();
    for row in rows {
        sums.entry((row.pool, row.address)).and_modify(|sum| sum.add(row)).or_insert(*row);
    }
    sums.into_values().collect()
}

impl Tallies {
    fn count(&mut self, row: &SessionRow) {
        // Many share a port where it is mapped by destination.
        let name = (row.vrf, row.inside.0, row.protocol, row.outside);
        let is_new = self.names.insert(self.hasher.hash_one(name));
        let host = self.host(row.vrf, row.inside.0);
        host.sessions += 1;
        host.ports += u64::from(is_new);
    }

    fn host(&mut self, vrf: VrfId, address: IpAddr) -> &mut HostRow {
        self.hosts.entry((vrf, address)).or_insert(HostRow { vrf, address, sessions: 0, ports: 0, refused: 0 })
    }
}
