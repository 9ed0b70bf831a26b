//! A worker has failed: its forwarder begins anew, and the others hear of it.

use alloc::sync::Arc;

use super::{Capacity, Forwarder};
use crate::command::Event;
use crate::counters::Counters;
use crate::fragment;
use crate::ids::{Incarnation, WorkerId};
use crate::snapshot::Snapshot;
use crate::time::Instant;
use crate::verdict::{DropReason, Verdict};

impl Forwarder {
    /// Begins anew, by these tables: whatever it was at may be half done. Its sessions and the
    /// fragments it held are lost, the names under which they were known are free (see
    /// [`Incarnations`](crate::handoff::Incarnations)). Counters go on; packets that came in and
    /// met no end are counted as dropped.
    ///
    /// Says how many sessions were lost, and what [`Forwarder::install`] says. Allocates all
    /// its tables.
    pub fn begin_anew(
        &mut self,
        tables: Arc<Snapshot>,
        capacity: Capacity,
        seed: [u8; 32],
        now: Instant,
    ) -> (usize, Event) {
        let sessions = self.sessions();
        // The old tables go before the new ones come.
        let successor = Forwarder::of(self.handed.workers, Capacity::NONE, seed, now);
        let failed = core::mem::replace(self, successor);
        let Forwarder { counters, handed, cuttings, rooms, snapshot, .. } = failed;
        let admits_as_before = snapshot.v4.admits_as(&tables.v4) && snapshot.v6.admits_as(&tables.v6);
        let (v4, v6) = (failed.v4.into_legacy(), failed.v6.into_legacy());
        let counters = closed(counters, cuttings);
        *self = Forwarder::of(self.handed.workers, capacity, seed, now);
        self.handed.begin_anew(handed);
        self.created_before = counters.sessions_created;
        self.counters = counters;
        let event = self.install(tables, now);
        self.rooms.inherit(rooms);
        self.v4.succeed(v4, admits_as_before);
        self.v6.succeed(v6, admits_as_before);
        (sessions.0 + sessions.1, event)
    }

    /// Something comes from this incarnation of a worker. If it is a new one, names of earlier
    /// ones are void.
    ///
    /// Looks at every session then.
    pub(super) fn meet(&mut self, worker: WorkerId, incarnation: Incarnation, now: Instant) {
        if self.handed.incarnations.meet(worker, incarnation) {
            self.counters.sessions_ended += self.v4.part_with(worker, now) + self.v6.part_with(worker, now);
            self.handed.tell_of_forgetting(worker, incarnation);
        }
    }
}

impl Capacity {
    /// For nothing at all.
    const NONE: Capacity = Capacity { sessions_v4: 0, sessions_v6: 0, fragments: fragment::Capacity::NONE };
}

/// Counters as the successor goes on with them: nothing is under way.
fn closed(mut counters: Counters, mut cuttings: fragment::Cuttings) -> Counters {
    counters.sessions_ended = counters.sessions_created;
    while let Some((frame, port)) = cuttings.next_ready() {
        counters.recount_as_dropped(Verdict::Forward(port), DropReason::WorkerFailed);
        cuttings.take_back(frame);
    }
    counters.give_up(DropReason::WorkerFailed, counters.held.saturating_sub(counters.released));
    counters.dropped[DropReason::WorkerFailed.index()] += counters.came_in().saturating_sub(counters.accounted_for());
    counters
}
