//! Workers in lockstep: what one hands over, the other takes at once, so that together they
//! must look like one.

use std::collections::VecDeque;

use causeway_fastpath::burst::Burst;
use causeway_fastpath::command::{Event, PoolPage, RefusedPage, SessionCursor, SessionKill, SessionPage};
use causeway_fastpath::counters::Counters;
use causeway_fastpath::forwarder::{Capacity, Forwarder};
use causeway_fastpath::frame::Frame;
use causeway_fastpath::handoff::{Errand, Workers};
use causeway_fastpath::ids::{PortId, WorkerId};
use causeway_fastpath::snapshot::Snapshot;
use causeway_fastpath::time::Instant;
use causeway_fastpath::verdict::Verdict;
use causeway_testkit::seed::Rng;
use std::sync::Arc;

/// Where in a cursor the worker stands.
const WORKER_AT: u32 = 26;

/// One worker, or several.
pub(crate) struct Team {
    workers: Vec<Forwarder>,
    together: Counters,
    /// To which worker packets come.
    arrivals: Rng,
    /// The most workers that a packet was handed to.
    pub(crate) longest_way: usize,
}

/// A packet that has its verdict.
pub(crate) struct Ended {
    pub(crate) frame: Frame,
    pub(crate) verdict: Verdict,
    /// As what it came in again, if it turned at another worker.
    pub(crate) turned: Option<Vec<u8>>,
    /// Whose buffer it is in.
    origin: usize,
}

impl Team {
    /// So many workers, each with room for so much.
    pub(crate) fn new(count: u16, capacity: Capacity, seed: [u8; 32], now: Instant) -> Team {
        let mut arrivals = Rng::new(u64::from(seed[0]));
        let secret = arrivals.u64();
        let worker = |me| {
            let mut seed = seed;
            seed[31] ^= me as u8;
            Forwarder::of(Workers::new(WorkerId(me), count, secret), capacity, seed, now)
        };
        let workers = match count {
            1 => vec![Forwarder::new(capacity, seed, now)],
            count => (0..count).map(worker).collect(),
        };
        Team { workers, together: Counters::default(), arrivals, longest_way: 0 }
    }

    /// Puts packets through; they come to whichever worker.
    pub(crate) fn process(&mut self, now: Instant, frames: Vec<Frame>) -> Vec<Ended> {
        if let [alone] = &mut self.workers[..] {
            let mut burst = Burst::new();
            frames.into_iter().for_each(|frame| burst.push(frame));
            alone.process(now, &mut burst);
            let ended = |(frame, verdict)| Ended { frame, verdict, turned: None, origin: 0 };
            return self.add_up(burst.drain().map(ended).collect());
        }
        let mut ended = Vec::new();
        for frame in frames {
            let at = self.arrivals.below(self.workers.len() as u64) as usize;
            let mut burst = Burst::new();
            burst.push(frame);
            self.workers[at].process(now, &mut burst);
            ended.push(self.follow(at, burst, now));
        }
        self.add_up(ended)
    }

    /// Lets released fragments walk on, at most a burst of each worker's.
    pub(crate) fn release(&mut self, now: Instant, mut released: impl FnMut(&Frame)) -> Vec<Ended> {
        let mut ended = Vec::new();
        for at in 0..self.workers.len() {
            let mut burst = Burst::new();
            let count = self.workers[at].release(&mut burst);
            assert_eq!(count, burst.len(), "it says how many there are");
            burst.frames().iter().for_each(&mut released);
            self.workers[at].process_released(now, &mut burst);
            let (frames, errands): (Vec<_>, Vec<_>) = self.taken_out(at, burst).into_iter().unzip();
            for ((frame, verdict), errand) in frames.into_iter().zip(errands) {
                ended.push(self.follow_one(at, frame, verdict, errand, now));
            }
        }
        self.add_up(ended)
    }

    /// What was cut off packets that were too big, and the ports that it leaves by.
    pub(crate) fn cut_off(&mut self) -> Vec<(PortId, Vec<u8>)> {
        let (mut pieces, mut burst) = (Vec::new(), Burst::new());
        for worker in &mut self.workers {
            while worker.cut_off(&mut burst) > 0 {
                for (frame, verdict) in burst.drain() {
                    let Verdict::Forward(port) = verdict else { panic!("a piece is sent: {verdict:?}") };
                    pieces.push((port, frame.bytes().to_vec()));
                    worker.take_back(frame);
                }
            }
        }
        self.add_up(pieces)
    }

    /// Gives a held buffer back.
    pub(crate) fn take_back(&mut self, ended: Ended) {
        self.workers[ended.origin].take_back(ended.frame);
    }

    fn follow(&mut self, at: usize, burst: Burst, now: Instant) -> Ended {
        let ((frame, verdict), errand) = self.taken_out(at, burst).remove(0);
        self.follow_one(at, frame, verdict, errand, now)
    }

    fn taken_out(&self, at: usize, mut burst: Burst) -> Vec<((Frame, Verdict), Errand)> {
        burst.drain().enumerate().map(|(i, pair)| (pair, self.workers[at].errand(i))).collect()
    }

    /// Hands a packet on until somebody keeps it.
    fn follow_one(&mut self, origin: usize, frame: Frame, verdict: Verdict, errand: Errand, now: Instant) -> Ended {
        let (mut frame, mut verdict, mut errand, mut at) = (frame, verdict, errand, origin);
        let (mut turned, mut way) = (None, 0);
        self.deliver(now);
        while let Verdict::HandOff(to) = verdict {
            assert_ne!(to.index(), at, "nobody hands a packet to himself");
            if errand == Errand::Inward {
                turned = Some(frame.bytes().to_vec());
            }
            way += 1;
            assert!(way <= 3 * self.workers.len() + 3, "a packet finds its worker: {errand:?}");
            at = to.index();
            let mut burst = Burst::new();
            burst.push(frame);
            self.workers[at].process_taken_over(now, &mut burst, &[errand]);
            ((frame, verdict), errand) = self.taken_out(at, burst).remove(0);
            self.deliver(now);
        }
        self.longest_way = self.longest_way.max(way);
        Ended { frame, verdict, turned, origin }
    }

    /// Carries messages.
    fn deliver(&mut self, now: Instant) {
        let mut messages = VecDeque::new();
        for worker in &mut self.workers {
            while let Some(message) = worker.poll_message() {
                messages.push_back(message);
            }
        }
        for (to, message) in messages {
            self.workers[to.index()].handle_message(message, now);
        }
    }

    fn add_up<T>(&mut self, result: T) -> T {
        self.together = Counters::default();
        for worker in &self.workers {
            assert!(worker.counters().conserve(), "every packet meets one end: {:?}", worker.counters());
            self.together.add(worker.counters());
        }
        assert_eq!(self.together.taken_over, self.together.handed_off, "what one hands off, another takes over");
        (self.together.taken_over, self.together.handed_off) = (0, 0);
        result
    }

    /// What all of them counted, but what went from one to the other.
    pub(crate) fn counters(&self) -> &Counters {
        match &self.workers[..] {
            [alone] => alone.counters(),
            _ => &self.together,
        }
    }

    /// Ends what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        let mut more = false;
        for worker in &mut self.workers {
            more |= worker.handle_timeout(now);
        }
        self.deliver(now);
        self.add_up(more)
    }

    /// All forward by these tables; the last one's answer.
    pub(crate) fn install(&mut self, snapshot: Arc<Snapshot>, now: Instant) -> Event {
        let install = |worker: &mut Forwarder| worker.install(Arc::clone(&snapshot), now);
        let events: Vec<Event> = self.workers.iter_mut().map(install).collect();
        self.add_up(events).pop().expect("there is a worker")
    }

    /// Each judges so many sessions more; are there others?
    pub(crate) fn settle(&mut self, now: Instant, budget: u32) -> bool {
        let mut more = false;
        for worker in &mut self.workers {
            more |= worker.settle(now, budget);
        }
        self.deliver(now);
        self.add_up(more)
    }

    /// Live sessions of all.
    pub(crate) fn sessions(&self) -> (usize, usize) {
        self.workers.iter().map(Forwarder::sessions).fold((0, 0), |sum, own| (sum.0 + own.0, sum.1 + own.1))
    }

    /// Datagrams that all of them know of.
    pub(crate) fn datagrams(&self) -> [(usize, usize); 2] {
        let add = |sum: [(usize, usize); 2], own: [(usize, usize); 2]| {
            [0, 1].map(|at| (sum[at].0 + own[at].0, sum[at].1 + own[at].1))
        };
        self.workers.iter().map(Forwarder::datagrams).fold([(0, 0); 2], add)
    }

    /// What all of them occupy.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        self.workers.iter().map(Forwarder::bytes).fold((0, 0), |sum, own| (sum.0 + own.0, sum.1 + own.1))
    }

    /// Names that are lent.
    pub(crate) fn lent(&self) -> usize {
        self.workers.iter().map(Forwarder::lent).sum()
    }

    /// The one worker there is.
    pub(crate) fn alone(&mut self) -> &mut Forwarder {
        assert_eq!(self.workers.len(), 1, "there are others");
        &mut self.workers[0]
    }

    /// A page of the sessions of one worker after the other.
    pub(crate) fn list_sessions(&self, now: Instant, page: &mut SessionPage) {
        let Some(at) = split(&mut page.cursor) else {
            return self.workers[0].list_sessions(now, page);
        };
        self.workers[at].list_sessions(now, page);
        self.join(&mut page.cursor, at);
    }

    /// Ends sessions of one worker after the other.
    pub(crate) fn end_sessions(&mut self, now: Instant, kill: &mut SessionKill) {
        let Some(at) = split(&mut kill.cursor) else {
            return self.workers[0].end_sessions(now, kill);
        };
        self.workers[at].end_sessions(now, kill);
        self.join(&mut kill.cursor, at);
        self.deliver(now);
        self.add_up(());
    }

    /// A page of what is in use of the pools of the one worker there is.
    pub(crate) fn list_pools(&self, page: &mut PoolPage) {
        self.alone_to_read().list_pools(page);
    }

    /// A page of whom the one worker there is refused.
    pub(crate) fn list_refused(&self, page: &mut RefusedPage) {
        self.alone_to_read().list_refused(page);
    }

    fn alone_to_read(&self) -> &Forwarder {
        assert_eq!(self.workers.len(), 1, "there are others");
        &self.workers[0]
    }

    fn join(&self, cursor: &mut Option<SessionCursor>, at: usize) {
        match cursor {
            Some(cursor) => cursor.number |= (at as u32) << WORKER_AT,
            None if at + 1 < self.workers.len() => {
                *cursor = Some(SessionCursor { v6: false, number: ((at + 1) as u32) << WORKER_AT });
            }
            None => {}
        }
    }
}

/// The worker that a cursor is at, and leaves its own place there in it.
fn split(cursor: &mut Option<SessionCursor>) -> Option<usize> {
    let cursor = cursor.as_mut()?;
    let at = cursor.number >> WORKER_AT;
    cursor.number &= (1 << WORKER_AT) - 1;
    Some(at as usize)
}
