//! What workers need to go over to other tables: made here, as they do not allocate.

use std::sync::Arc;

use causeway_fastpath::handoff::Workers;
use causeway_fastpath::ids::WorkerId;
use causeway_fastpath::nat::Room;
use causeway_fastpath::session::Seed;
use causeway_fastpath::snapshot::Snapshot;

/// Makes rooms from the tables that were sent last to those that come next.
pub(crate) struct Rooms {
    last: Arc<Snapshot>,
    workers: u16,
    /// Sessions of a family that a worker may have.
    sessions: usize,
    seed: Seed,
}

impl Rooms {
    /// For so many workers, which start without tables, and so many sessions of a family at each.
    pub(crate) fn new(workers: usize, sessions: usize, secret: u64) -> Rooms {
        let seed = Seed([secret, !secret.rotate_left(17)]);
        Rooms { last: Arc::new(Snapshot::closed()), workers: workers as u16, sessions, seed }
    }

    /// The tables that were sent last.
    pub(crate) fn last(&self) -> &Snapshot {
        &self.last
    }

    /// For each worker the room to go over to these tables, if that takes any.
    pub(crate) fn next(&mut self, snapshot: &Arc<Snapshot>) -> Vec<Option<Box<Room>>> {
        let last = std::mem::replace(&mut self.last, Arc::clone(snapshot));
        let room = |worker| {
            // Whose a port is takes no secret.
            let place = Workers::new(WorkerId(worker), self.workers, 0);
            Room::new(&last, snapshot, place, (self.sessions, self.sessions), self.seed).map(Box::new)
        };
        (0..self.workers).map(room).collect()
    }
}
