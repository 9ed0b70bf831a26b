//! Routers that share a route, as workers see them.

use std::net::IpAddr;
use std::sync::Arc;

use causeway_fastpath::ecmp::{self, Group};
use causeway_fastpath::ids::{AdjacencyId, GroupId};
use causeway_fastpath::snapshot::NeighborState;

use super::NeighborFacts;
use super::numbers::Numbers;
use crate::rib::Member;

/// Every group that a route leads to; routes with equal routers share one.
///
/// A dead router is left out of its group while another one lives, and its flows are
/// dealt out among those. Who is merely being asked for stays: packets are what gets
/// it asked. When all are dead none is left out, and senders learn that.
#[derive(Clone, Debug)]
pub(super) struct Groups {
    numbers: Numbers<Arc<[Member]>>,
    /// By number. What has no number any more keeps its table until it is used again.
    tables: Vec<Table>,
    published: Arc<[Group]>,
    stale: bool,
}

#[derive(Clone, Debug)]
struct Table {
    /// In the order of the group's routers.
    members: Vec<ecmp::Member>,
    /// A bit for each member that is not left out.
    in_use: u64,
    group: Group,
}

impl Groups {
    pub(super) fn new() -> Groups {
        Groups { numbers: Numbers::new(), tables: Vec::new(), published: Arc::from([]), stale: false }
    }

    /// One more route leads there: the group's number, and whether it is a new one,
    /// for which [`Groups::make`] has to be called.
    pub(super) fn acquire(&mut self, routers: &Arc<[Member]>) -> (GroupId, bool) {
        let (number, new) = self.numbers.acquire(routers);
        (GroupId(number as u32), new)
    }

    /// Deals out the buckets of a new group; `members` in the order of its routers.
    pub(super) fn make(&mut self, id: GroupId, members: Vec<ecmp::Member>, known: &NeighborFacts) {
        let routers = self.numbers.get(id.index()).expect("a group is made when it has a number");
        let in_use = in_use(routers, known);
        let table = Table { group: deal(&members, in_use), members, in_use };
        match self.tables.get_mut(id.index()) {
            Some(slot) => *slot = table,
            None => self.tables.push(table),
        }
        self.stale = true;
    }

    /// One route less leads there; says whether it was the last.
    pub(super) fn release(&mut self, routers: &[Member]) -> bool {
        self.numbers.release(routers)
    }

    /// Deals out anew the buckets of groups of which a router has died or come back.
    pub(super) fn follow(&mut self, known: &NeighborFacts) {
        for (routers, table) in self.numbers.slots().zip(&mut self.tables) {
            let Some(routers) = routers else {
                continue;
            };
            let in_use = in_use(routers, known);
            if in_use != table.in_use {
                table.in_use = in_use;
                table.group = deal(&table.members, in_use);
                self.stale = true;
            }
        }
    }

    /// Whom the flow with this hash is handed to.
    pub(super) fn pick(&self, id: GroupId, hash: u32) -> AdjacencyId {
        self.tables[id.index()].group.pick(hash)
    }

    /// As workers see them: the same as before if nothing has changed.
    pub(super) fn publish(&mut self) -> Arc<[Group]> {
        if std::mem::take(&mut self.stale) {
            self.published = self.tables.iter().map(|table| table.group.clone()).collect();
        }
        Arc::clone(&self.published)
    }
}

fn in_use(routers: &[Member], known: &NeighborFacts) -> u64 {
    let dead = |router: &Member| {
        known.get(&(router.port, router.address)).is_some_and(|fact| fact.state == NeighborState::Dead)
    };
    let bits = routers.iter().enumerate().filter(|(_, router)| !dead(router)).fold(0, |bits, (at, _)| bits | 1 << at);
    if bits == 0 { u64::MAX } else { bits }
}

fn deal(members: &[ecmp::Member], in_use: u64) -> Group {
    let used = members.iter().enumerate().filter(|(at, _)| in_use >> at & 1 == 1);
    Group::new(&used.map(|(_, member)| *member).collect::<Vec<_>>())
}

/// What a router is known by when buckets are dealt out: its port's name and its
/// address (FNV-1a: RFC 9923), whatever else a configuration holds.
pub(super) fn identity(port: &str, address: IpAddr) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut take = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    take(port.as_bytes());
    // No name holds a zero.
    take(&[0]);
    match address {
        IpAddr::V4(address) => take(&address.octets()),
        IpAddr::V6(address) => take(&address.octets()),
    }
    hash
}
