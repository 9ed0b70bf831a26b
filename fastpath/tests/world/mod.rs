//! A small world around one forwarder: an island, a shore, and what lies beyond.
//!
//! Frames go in by [`World::send`]; what comes back is a [`Sent`] with verdict,
//! bytes and offload state. After every step the world checks what must always
//! hold, so no test has to: every packet met exactly one end, the counters say
//! what the verdicts say, and what was dropped or punted was not written to.

mod family;
mod oracle;
mod plan;
mod sent;
mod team;

pub(crate) use family::{FAMILIES, Family, V4, V6};
pub(crate) use oracle::{Endpoint, is_private, is_sound, lies_between, numbered_as, source};
pub(crate) use plan::*;
pub(crate) use sent::Sent;
pub(crate) use team::{Ended, Team};

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use causeway_fastpath::command::{
    Event, PoolCursor, PoolPage, PoolRow, RefusedPage, SessionCursor, SessionPage, SessionRow,
};
use causeway_fastpath::counters::Counters;
use causeway_fastpath::forwarder::Capacity;
use causeway_fastpath::fragment;
use causeway_fastpath::frame::Frame;
use causeway_fastpath::ids::{PoolId, PortId, VrfId};
use causeway_fastpath::offload::Offload;
use causeway_fastpath::snapshot::Snapshot;
use causeway_fastpath::time::Instant;
use causeway_fastpath::verdict::Verdict;

/// Room in front of a packet, as ports give it: enough for the headers of an error.
const HEADROOM: usize = 128;

/// One worker or several, their clock, and what was counted up to the last look.
pub(crate) struct World {
    pub(crate) forwarder: Team,
    pub(crate) now: Instant,
    pub(crate) headroom: usize,
    /// Fragments that were released and walked on, since a test last took them.
    pub(crate) released: Vec<Sent>,
    /// What was cut off packets, and where it went, since a test last took it.
    pub(crate) cut_off: Vec<(PortId, Vec<u8>)>,
    epoch: u64,
    seen: Counters,
}

impl World {
    /// The island of [`Plan::island`], with room for 1000 sessions a family.
    pub(crate) fn new() -> World {
        World::with(&Plan::island())
    }

    /// Forwards by this plan.
    pub(crate) fn with(plan: &Plan) -> World {
        World::sized(plan, 1000)
    }

    /// Forwards by this plan, with room for so many sessions a family.
    pub(crate) fn sized(plan: &Plan, sessions: usize) -> World {
        let mut world = World::closed(sessions);
        world.install(plan);
        world
    }

    /// Before the first tables.
    pub(crate) fn closed(sessions: usize) -> World {
        let now = Instant::from_secs(1_000);
        let forwarder = Team::new(
            crate::WORKERS,
            Capacity { sessions_v4: sessions, sessions_v6: sessions, fragments: fragment::Capacity::default() },
            [7; 32],
            now,
        );
        World {
            forwarder,
            now,
            headroom: HEADROOM,
            released: Vec::new(),
            cut_off: Vec::new(),
            epoch: 0,
            seen: Counters::default(),
        }
    }

    /// Forwards by this plan from now on; the tables it replaces come back.
    pub(crate) fn install(&mut self, plan: &Plan) -> Arc<Snapshot> {
        self.epoch += 1;
        self.adopt(plan.compile(self.epoch))
    }

    /// As [`World::install`], and sessions are not judged but when they are touched.
    pub(crate) fn install_at_leisure(&mut self, plan: &Plan) {
        self.epoch += 1;
        self.forwarder.install(plan.compile(self.epoch), self.now);
    }

    /// Judges all sessions that have not been.
    pub(crate) fn settle(&mut self) {
        while self.forwarder.settle(self.now, 7) {}
    }

    /// As [`World::install`], for tables that were compiled before.
    pub(crate) fn adopt(&mut self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        assert_eq!(snapshot.check(), Ok(()), "the plan of a test is sound");
        let adopted = snapshot.epoch;
        match self.forwarder.install(snapshot, self.now) {
            Event::Installed { epoch, retired } => {
                assert_eq!(epoch, adopted);
                self.settle();
                retired
            }
            other => panic!("tables were installed, and the answer is {other:?}"),
        }
    }

    /// One frame, whole, as a NIC hands it over.
    #[track_caller]
    pub(crate) fn send(&mut self, port: PortId, frame: impl AsRef<[u8]>) -> Sent {
        self.send_with(port, frame, Offload::DONE)
    }

    /// One frame with something left undone.
    #[track_caller]
    pub(crate) fn send_with(&mut self, port: PortId, frame: impl AsRef<[u8]>, offload: Offload) -> Sent {
        self.burst(&[(port, frame.as_ref().to_vec(), offload)]).remove(0)
    }

    /// Several frames at once, in one burst.
    #[track_caller]
    pub(crate) fn burst(&mut self, frames: &[(PortId, Vec<u8>, Offload)]) -> Vec<Sent> {
        let before = self.forwarder.counters().clone();
        let boxed = |(port, bytes, offload): &(PortId, Vec<u8>, Offload)| {
            let mut frame = Frame::boxed(bytes, self.headroom, 0);
            frame.ingress = *port;
            frame.offload = *offload;
            frame
        };
        let ended = self.forwarder.process(self.now, frames.iter().map(boxed).collect());
        let sent: Vec<Sent> = ended.into_iter().zip(frames).map(|(ended, came)| Sent::new(came, ended)).collect();
        self.check(&before, &sent, |counters| &mut counters.received);
        while self.release() {}
        sent
    }

    /// Lets released fragments walk on, at most a burst of them; says whether there were any.
    #[track_caller]
    fn release(&mut self) -> bool {
        let before = self.forwarder.counters().clone();
        let mut came = Vec::new();
        let ended = self.forwarder.release(self.now, |frame| {
            came.push((frame.ingress, frame.bytes().to_vec(), frame.offload));
        });
        let mut sent = Vec::new();
        for (ended, came) in ended.into_iter().zip(&came) {
            sent.push(Sent::copied(came, &ended));
            self.forwarder.take_back(ended);
        }
        self.check(&before, &sent, |counters| &mut counters.released);
        self.released.extend(sent);
        !came.is_empty()
    }

    /// Lets time pass, and sessions that were silent for too long end.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        while self.forwarder.handle_timeout(self.now) {}
        assert!(self.forwarder.counters().conserve(), "time makes no packets");
    }

    /// Datagrams that are known, of which nothing more will come. Of several workers, one that
    /// keeps what is known of a datagram may not hear of its end and forgets it in time.
    pub(crate) fn datagrams_left(&mut self) -> [(usize, usize); 2] {
        if crate::WORKERS > 1 {
            self.wait(Duration::from_secs(10));
        }
        self.forwarder.datagrams()
    }

    /// Every counter that changed since the last look, with its change.
    pub(crate) fn counted(&mut self) -> BTreeMap<&'static str, u64> {
        let changes = changes(&self.seen, self.forwarder.counters());
        self.seen = self.forwarder.counters().clone();
        changes
    }

    /// Asserts which counters changed since the last look, and by how much.
    #[track_caller]
    pub(crate) fn expect_counted(&mut self, expected: &[(&'static str, u64)]) {
        assert_eq!(self.counted(), expected.iter().copied().collect());
    }

    /// All sessions, by pages of `limit` records.
    pub(crate) fn sessions(&self, limit: u32) -> Vec<SessionRow> {
        let mut page = SessionPage { cursor: Some(SessionCursor::default()), limit, ..SessionPage::default() };
        page.rows.reserve_exact(limit as usize);
        let mut rows = Vec::new();
        for _ in 0..1_000_000 {
            self.forwarder.list_sessions(self.now, &mut page);
            assert!(page.rows.len() <= limit as usize, "a page holds what was asked for");
            rows.append(&mut page.rows);
            if page.cursor.is_none() {
                return rows;
            }
        }
        panic!("the pages never end");
    }

    /// What is in use of each address of the first pools, by pages of `limit`.
    pub(crate) fn pools(&self, pools: u16, limit: u32) -> Vec<PoolRow> {
        let cursor = Some(PoolCursor::default());
        let mut page = PoolPage { cursor, end: PoolId(pools), limit, ..PoolPage::default() };
        page.rows.reserve_exact(limit as usize);
        let mut rows = Vec::new();
        while page.cursor.is_some() {
            self.forwarder.list_pools(&mut page);
            rows.append(&mut page.rows);
        }
        rows
    }

    /// Who was refused a session, and how often, by pages of `limit`.
    pub(crate) fn refused(&self, limit: u32) -> Vec<(VrfId, IpAddr, u64)> {
        let cursor = Some(SessionCursor::default());
        let mut page = RefusedPage { cursor, limit, ..RefusedPage::default() };
        page.rows.reserve_exact(limit as usize);
        let mut rows = Vec::new();
        while page.cursor.is_some() {
            self.forwarder.list_refused(&mut page);
            rows.append(&mut page.rows);
        }
        rows
    }

    /// What holds after every burst.
    #[track_caller]
    fn check(&mut self, before: &Counters, sent: &[Sent], came_in: impl Fn(&mut Counters) -> &mut u64) {
        let mut expected = before.clone();
        for piece in self.forwarder.cut_off() {
            self.cut_off.push(piece);
            expected.cut += 1;
            expected.forwarded += 1;
        }
        let after = self.forwarder.counters();
        assert!(after.conserve(), "every packet meets one end: {after:?}");
        *came_in(&mut expected) += sent.len() as u64;
        for one in sent {
            assert_ne!(one.verdict, Verdict::UNDECIDED, "{}", one.story());
            expected.count(one.verdict);
            if let Verdict::Drop(_) | Verdict::Punt(_) | Verdict::Hold = one.verdict {
                assert_eq!(one.bytes, one.came, "what does not go on is not written to: {}", one.story());
            }
        }
        // What was held and given up had its verdict before.
        let (gone, expected_gone) = (after.dropped.iter().sum::<u64>(), expected.dropped.iter().sum::<u64>());
        expected.released += gone - expected_gone;
        expected.dropped = after.dropped;
        // What happens beside the verdicts is each test's to say.
        expected.translated_out = after.translated_out;
        expected.translated_in = after.translated_in;
        expected.translated_errors = after.translated_errors;
        expected.sessions_created = after.sessions_created;
        expected.sessions_ended = after.sessions_ended;
        expected.sessions_ended_renamed = after.sessions_ended_renamed;
        expected.sessions_ended_policy = after.sessions_ended_policy;
        expected.sessions_ended_forward = after.sessions_ended_forward;
        assert_eq!(*after, expected, "the counters say what the verdicts say");
        let (v4, v6) = self.forwarder.sessions();
        assert_eq!(after.sessions_created - after.sessions_ended, (v4 + v6) as u64, "sessions begin and end once");
    }
}

/// Every counter that is larger in `after`, with the difference.
fn changes(before: &Counters, after: &Counters) -> BTreeMap<&'static str, u64> {
    let mut old = Vec::new();
    before.each(|_, _, count| old.push(count));
    let mut old = old.into_iter();
    let mut changes = BTreeMap::new();
    after.each(|_, name, count| {
        let change = count - old.next().expect("both have the same rows");
        if change > 0 {
            changes.insert(name, change);
        }
    });
    changes
}
