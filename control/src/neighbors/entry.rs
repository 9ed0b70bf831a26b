//! One neighbour, and what time does to it.

use std::collections::VecDeque;
use std::time::Duration;

use causeway_fastpath::frame::Frame;
use causeway_fastpath::snapshot::NeighborState;
use causeway_fastpath::time::Instant;

use super::Waiting;
use crate::compile::NeighborFact;

/// Packets kept while a neighbour is being asked for (RFC 1122, 2.3.2.2: at least one).
const KEPT: usize = 3;
/// Between two questions: at most one a second (RFC 1122, 2.3.2.1).
const RETRY: Duration = Duration::from_secs(1);
/// Questions without an answer after which a neighbour counts as dead
/// (RFC 4861, section 10: MAX_MULTICAST_SOLICIT).
const QUESTIONS: u8 = 3;
/// After an answer, how long it is believed (RFC 4861, section 10: REACHABLE_TIME).
const BELIEVED: Duration = Duration::from_secs(30);
/// Between two questions to a dead neighbour that a route needs.
const REVIVE: Duration = Duration::from_secs(5);
/// After which a dead neighbour that no route needs is forgotten.
const FORGET: Duration = Duration::from_secs(20);
/// What is due later is due at a multiple of this, in nanoseconds: of a crowd that
/// came one by one, many die at once, and new tables are made once for them.
const BEAT_NS: u64 = 50_000_000;

/// A neighbour.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) state: State,
    pub(super) mac: [u8; 6],
    /// When something is to be done about it; `None` for static entries.
    pub(super) due: Option<Instant>,
    /// Questions since the last answer.
    asked: u8,
    /// Does a route lead to it? Then it is never forgotten.
    pub(super) router: bool,
    /// Packets that wait for the answer.
    waiting: VecDeque<Waiting>,
    /// Since when it has been in this state.
    pub(super) since: Instant,
}

/// What is known about a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Configured: never asked for, never forgotten.
    Static,
    /// It answered not long ago.
    Reachable,
    /// It is being asked whether it is still there; its address is still used.
    Probing,
    /// It is being asked for the first time, or again after it was dead.
    Incomplete,
    /// It does not answer.
    Dead,
}

/// What time asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Ask for it: everybody, or only the one with this MAC address.
    Ask(Option<[u8; 6]>),
    /// It is dead now: the tables must learn, and who waited is told.
    Died,
    /// Forget it.
    Forget,
}

impl Entry {
    pub(super) fn new_static(mac: [u8; 6], router: bool, now: Instant) -> Entry {
        Entry { state: State::Static, mac, due: None, asked: 0, router, waiting: VecDeque::new(), since: now }
    }

    /// A neighbour that will be asked for at once.
    pub(super) fn wanted(router: bool, now: Instant) -> Entry {
        Entry {
            state: State::Incomplete,
            mac: [0; 6],
            due: Some(now),
            asked: 0,
            router,
            waiting: VecDeque::new(),
            since: now,
        }
    }

    /// A route leads to it from now on, or none does any more.
    pub(super) fn set_router(&mut self, router: bool, now: Instant) {
        self.router = router;
        if router && self.state == State::Dead {
            // It may be back, and would only be forgotten.
            self.due = Some(now);
        }
    }

    /// Does it come and go: neither configured nor needed by a route?
    pub(super) fn is_guest(&self) -> bool {
        !self.router && self.state != State::Static
    }

    /// Since when it has been asked for, if it is a guest and that is all there is
    /// to it.
    pub(super) fn sought_since(&self) -> Option<Instant> {
        (self.is_guest() && self.state == State::Incomplete).then_some(self.since)
    }

    /// What the forwarding tables must hold about it; nothing while it is only
    /// being asked for.
    pub(super) fn fact(&self) -> Option<NeighborFact> {
        let state = match self.state {
            State::Static | State::Reachable | State::Probing => NeighborState::Reachable,
            State::Incomplete => return None,
            State::Dead => NeighborState::Dead,
        };
        Some(NeighborFact { state, mac: self.mac })
    }

    /// Is the MAC address to be used?
    pub(super) fn usable(&self) -> bool {
        matches!(self.state, State::Static | State::Reachable | State::Probing)
    }

    /// Keeps a packet until the neighbour answers; the oldest one goes when there
    /// are too many. What is returned is not kept.
    pub(super) fn wait(&mut self, packet: Waiting) -> Option<Waiting> {
        self.waiting.push_back(packet);
        if self.waiting.len() > KEPT { self.waiting.pop_front() } else { None }
    }

    /// The packets that waited.
    pub(super) fn take_waiting(&mut self) -> VecDeque<Waiting> {
        std::mem::take(&mut self.waiting)
    }

    /// It said that its address is `mac`. Says whether the tables must learn of it.
    pub(super) fn heard(&mut self, mac: [u8; 6], now: Instant) -> bool {
        if self.state == State::Static {
            return false;
        }
        let changed = self.mac != mac || !self.usable();
        if self.state != State::Reachable || changed {
            self.since = now;
        }
        self.state = State::Reachable;
        self.mac = mac;
        self.asked = 0;
        self.due = Some(later(now, BELIEVED));
        changed
    }

    /// If it is believed to be there, it is asked at once whether it still is.
    pub(super) fn verify(&mut self, now: Instant) {
        if self.state == State::Reachable {
            self.due = Some(now);
        }
    }

    /// What is to be done now that `due` has come.
    pub(super) fn timeout(&mut self, now: Instant) -> Due {
        match self.state {
            State::Static => unreachable!("nothing is ever due about a static neighbour"),
            State::Reachable => {
                self.state = State::Probing;
                self.since = now;
                self.ask(now)
            }
            State::Probing | State::Incomplete if self.asked < QUESTIONS => self.ask(now),
            State::Probing | State::Incomplete => {
                self.state = State::Dead;
                self.since = now;
                self.due = Some(later(now, if self.router { REVIVE } else { FORGET }));
                Due::Died
            }
            State::Dead if self.router => {
                // It stays dead in the tables until it answers: senders are told at once.
                self.due = Some(later(now, REVIVE));
                Due::Ask(None)
            }
            State::Dead => Due::Forget,
        }
    }

    fn ask(&mut self, now: Instant) -> Due {
        self.asked += 1;
        self.due = Some(later(now, RETRY));
        // At first alone, where it was last; then everybody, as it may have moved to
        // another MAC address without a word.
        Due::Ask((self.state == State::Probing && self.asked == 1).then_some(self.mac))
    }
}

impl Drop for Entry {
    /// Dropping a frame does not free its memory.
    fn drop(&mut self) {
        for packet in self.take_waiting() {
            free(packet.frame);
        }
    }
}

/// The first beat at which `span` is over.
fn later(now: Instant, span: Duration) -> Instant {
    let due = (now + span).as_nanos();
    Instant::from_nanos(due.checked_next_multiple_of(BEAT_NS).unwrap_or(u64::MAX))
}

/// Frees a frame that control owns.
pub(crate) fn free(frame: Frame) {
    let freed = frame.into_heap();
    debug_assert!(freed.is_ok(), "a frame in control is on the heap");
}
