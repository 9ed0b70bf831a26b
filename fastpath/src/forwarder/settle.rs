//! Other tables while packets flow.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;

use super::Forwarder;
use super::set::Set;
use super::walk::Walk;
use crate::address::Address;
use crate::command::Event;
use crate::nat::{Room, icmp_error};
use crate::parse::Layers;
use crate::session::{FlowKey, Found};
use crate::snapshot::Snapshot;
use crate::time::Instant;

/// Rooms that wait for control to take them back. No more come than it sends.
const SPENT: usize = 8;

/// Room for changes of tables.
pub(super) struct Rooms {
    /// For the tables that come next.
    next: Option<Box<Room>>,
    /// Of those in force, while sessions are judged.
    settling: Option<Box<Room>>,
    spent: VecDeque<Box<Room>>,
}

impl Rooms {
    pub(super) fn new() -> Rooms {
        Rooms { next: None, settling: None, spent: VecDeque::with_capacity(SPENT) }
    }

    /// Takes over from a forwarder that failed: control gets its rooms back, but that for the
    /// tables that come next.
    pub(super) fn inherit(&mut self, failed: Rooms) {
        self.next = failed.next;
        self.spent.extend(failed.spent.into_iter().chain(failed.settling));
    }
}

impl Forwarder {
    /// Here is room for the tables that come next.
    pub fn prepare(&mut self, room: Box<Room>) {
        self.rooms.spent.extend(self.rooms.next.replace(room));
    }

    /// Forwards by these tables from now on; the event hands the old ones back. Sessions that
    /// they would not admit end when they are touched, or come up: [`Forwarder::settle`].
    ///
    /// If control has prepared no room and names or policy differ, it is made here, which
    /// allocates. If sessions have not all been judged since the change before, they are now,
    /// which takes as long as there are sessions.
    pub fn install(&mut self, snapshot: Arc<Snapshot>, now: Instant) -> Event {
        debug_assert_eq!(snapshot.check(), Ok(()), "control sends sound tables");
        if let Some(room) = self.room_for(&snapshot) {
            while self.settle(now, u32::MAX) {}
            let room = self.rooms.settling.insert(room);
            self.v4.install(&snapshot.v4, &mut room.v4, snapshot.epoch);
            self.v6.install(&snapshot.v6, &mut room.v6, snapshot.epoch);
        }
        self.v4.share(&snapshot.v4);
        self.v6.share(&snapshot.v6);
        // The limit is that of the gateway: each worker has its share.
        let share = |limit: u32| limit.div_ceil(self.handed.workers.count().into());
        let errors = share(snapshot.icmp_errors_per_second);
        self.limits.errors.set(errors, snapshot.icmp_errors_per_destination);
        let epoch = snapshot.epoch;
        let retired = core::mem::replace(&mut self.snapshot, snapshot);
        if self.sessions() == (0, 0) {
            // That there is nothing to judge is seen now, and no packet has to ask.
            self.settle(now, 1);
        }
        Event::Installed { epoch, retired }
    }

    /// The room to go over to these tables, if that takes any.
    fn room_for(&mut self, snapshot: &Snapshot) -> Option<Box<Room>> {
        let epochs = (self.snapshot.epoch, snapshot.epoch);
        let prepared = self.rooms.next.take_if(|room| room.epochs() == epochs);
        if prepared.is_some() {
            return prepared;
        }
        let sessions = (self.v4.sessions.capacity(), self.v6.sessions.capacity());
        let room = Room::new(&self.snapshot, snapshot, self.handed.workers, sessions, self.chance.seed());
        room.map(Box::new)
    }

    /// Judges more of the sessions that tables before have admitted, `budget` at most of each
    /// family; says whether there are more.
    pub fn settle(&mut self, now: Instant, budget: u32) -> bool {
        let Some(room) = &mut self.rooms.settling else {
            return false;
        };
        self.v4.settle(&mut room.v4, now, budget, &mut self.counters);
        if !self.v4.is_settling() {
            self.v6.settle(&mut room.v6, now, budget, &mut self.counters);
        }
        if !self.v4.is_settling() && !self.v6.is_settling() {
            self.rooms.spent.extend(self.rooms.settling.take());
        }
        self.rooms.settling.is_some()
    }

    /// All sessions were judged by the tables that this room was for: it goes back to control, to
    /// be freed along with what was replaced.
    pub fn poll_settled(&mut self) -> Option<Event> {
        self.rooms.spent.pop_front().map(Event::Settled)
    }
}

impl<A: Address> Walk<'_, A> {
    /// Of the sessions that were found, those that other tables ended are none.
    #[cold]
    pub(super) fn judge_found(&mut self, packets: Set) {
        for i in packets {
            // An earlier one of the burst may have ended it.
            if self.scratch.found[i].is_some() {
                self.scratch.found[i] = self.nat.find(&self.scratch.keys[i], self.now, self.counters);
            }
        }
    }

    /// The session that packets with this key belong to.
    pub(super) fn find(&mut self, key: &FlowKey<A>) -> Option<Found> {
        self.nat.find(key, self.now, self.counters)
    }

    /// The session that an ICMP error is about.
    pub(super) fn complained(&mut self, i: usize, layers: &Layers<A>) -> Option<Found> {
        let frame = &self.frames[i];
        let found = icmp_error::session(frame.bytes(), layers, &frame.offload, &self.nat.sessions)?;
        self.nat.judged(found, self.now, self.counters)
    }
}
