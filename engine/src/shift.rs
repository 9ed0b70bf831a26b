//! A worker at work: turn after turn, until it is asked to stop.
//!
//! A panic is a bug, and the packet that met it may come again. It costs the worker its
//! sessions, and nobody else anything: the worker begins anew on its ports
//! (`docs/decisions/0016`). One that fails again and again ends the gateway, which whoever
//! started it starts again.

use std::any::Any;
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::Sender;
use std::time::Duration;

use causeway_control::config::{Config, Idle};
use causeway_fastpath::forwarder::{Capacity, Forwarder};
use causeway_fastpath::fragment;
use causeway_fastpath::time::Instant;

use crate::channel::Channel;
use crate::clock;
use crate::handoff::Colleagues;
use crate::port::{Link, OpenError, Port, PortInfo};
use crate::stats::StatsPage;
use crate::thread::Task;
use crate::wake::{only_errors, readable, sleep};
use crate::worker::Worker;

/// Commands that a worker obeys in one turn: a flood of them does not keep it
/// from its packets.
const COMMANDS_A_TURN: usize = 4;
/// How long a worker spins without a packet before it sleeps.
const SPIN: Duration = Duration::from_micros(20);
/// How long it sleeps at most: timers tick four times a second.
const SLEEP: Duration = Duration::from_millis(100);
/// How long it sleeps at most when a port has nothing to poll, or cannot be.
const NAP: Duration = Duration::from_millis(1);
/// How long a worker that is to stop goes on receiving what has come in by then, at most.
const LAST_CALL: Duration = Duration::from_millis(50);
/// How long it goes on with what others hand over, at most.
const DRAIN: Duration = Duration::from_millis(200);
/// How long a worker waits for the others to finish before it leaves its ports open: the
/// process ends anyway.
const LEAVING: Duration = Duration::from_secs(2);
/// Between two looks for the device of a port that has none.
const LOOK: Duration = Duration::from_millis(200);
/// Between two publications of what it counted.
const PUBLISH: Duration = Duration::from_millis(50);
/// So often a worker may fail within [`SPELL`]; once more, and it ends.
pub(crate) const MOST_FAILURES: usize = 5;
/// See [`MOST_FAILURES`].
const SPELL: Duration = Duration::from_secs(60);

/// What a worker has to say that is no answer. Rare, so it may allocate.
#[derive(Debug)]
pub enum Notice {
    /// It panicked, and has begun anew.
    BegunAnew {
        /// What the panic said.
        why: String,
        /// Sessions that were lost.
        sessions: usize,
    },
    /// A port whose device had gone stands on another one of that name.
    Reopened(PortInfo),
    /// There is one, and the port could not be opened on it.
    NotReopened(OpenError),
}

/// What a worker works with, beside its ports.
pub(crate) struct Shift<'a> {
    pub(crate) config: &'a Config,
    pub(crate) channel: &'a Channel,
    pub(crate) stats: &'a StatsPage,
    pub(crate) tell: Sender<Notice>,
}

impl Shift<'_> {
    /// Works until asked to stop.
    ///
    /// # Panics
    /// It has failed too often.
    pub(crate) fn work(&self, ports: Vec<Box<dyn Port>>, task: Task) {
        // Most sessions are IPv4; each family may use the whole bound.
        let most = self.config.gateway.sessions_per_worker();
        let capacity = Capacity { sessions_v4: most, sessions_v6: most, fragments: fragment::Capacity::default() };
        let forwarder = match &task.among {
            Some(_) => Forwarder::of(task.place, capacity, task.seed, clock::now()),
            None => Forwarder::new(capacity, task.seed, clock::now()),
        };
        let mut worker = Worker::new(ports, forwarder);
        if let Some(colleagues) = task.among {
            worker = worker.among(colleagues);
        }
        // Others hold buffers of its ports: should it panic for good, they stay mapped.
        let mut worker = ManuallyDrop::new(worker);
        let mut failures = Failures::default();
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.turns(&mut worker))) {
            let now = clock::now();
            if !failures.are_bearable(now) {
                resume_unwind(panic);
            }
            let sessions = worker.begin_anew(capacity, failures.seed(task.seed), now);
            self.stats.count_restart();
            // If control is gone, so is this worker soon.
            let _ = self.tell.send(Notice::BegunAnew { why: words(&*panic), sessions });
            self.channel.control_bell.ring();
        }
        publish(&worker, self.stats);
        publish_ports(&mut worker, self.stats);
        if let Some(colleagues) = worker.colleagues() {
            colleagues.leave();
            let patience = clock::now() + LEAVING;
            while !colleagues.all_have_left() {
                if clock::now() > patience {
                    // One hangs or has panicked, and may still look into a buffer.
                    return;
                }
                std::thread::sleep(NAP);
            }
        }
        drop(ManuallyDrop::into_inner(worker));
    }

    /// Turns until asked to stop, and once more for what has come in by then.
    fn turns(&self, worker: &mut Worker<dyn Port>) {
        let Shift { config, channel, stats, .. } = self;
        let (mut polled, mut all_poll) = poll_list(worker, channel);
        let mut published = Instant::ZERO;
        let mut last_busy = clock::now();
        let mut returns = vec![Return::default(); worker.ports().len()];
        while !channel.stopping() {
            let now = clock::now();
            let mut busy = false;
            for _ in 0..COMMANDS_A_TURN {
                let Some(command) = channel.next_command() else {
                    break;
                };
                worker.handle_command(command, now);
                busy = true;
            }
            let received = worker.turn(now);
            worker.flush();
            busy |= received > 0 || worker.is_behind();
            report(worker, channel);
            if now.nanos_since(published) >= PUBLISH.as_nanos() as u64 {
                published = now;
                publish(worker, stats);
                publish_ports(worker, stats);
                if self.reopen_ports(worker, &mut returns, now) {
                    (polled, all_poll) = poll_list(worker, channel);
                }
            }
            let patience = if all_poll { SLEEP } else { NAP };
            let rests = match config.gateway.idle {
                Idle::Busy => false,
                Idle::Poll => !busy,
                Idle::SpinThenPoll => !busy && now.nanos_since(last_busy) >= SPIN.as_nanos() as u64,
            };
            if busy {
                last_busy = now;
            } else if rests && worker.may_rest() && worker.colleagues().is_none_or(Colleagues::may_sleep) {
                publish(worker, stats);
                sleep(&mut polled, patience);
                if only_errors(&polled) {
                    // A TAP whose device was deleted says so at every call.
                    std::thread::sleep(NAP);
                }
                channel.worker_bell.silence();
                worker.colleagues().inspect(|colleagues| colleagues.awake());
                last_busy = clock::now();
            } else {
                std::hint::spin_loop();
            }
        }
        drain(worker);
    }

    /// Opens ports again whose device has gone, where there is another one by now; says whether
    /// it did so. Looks for one now and then only.
    fn reopen_ports(&self, worker: &mut Worker<dyn Port>, returns: &mut [Return], now: Instant) -> bool {
        let mut reopened = false;
        for (port, back) in worker.ports_mut().iter_mut().zip(returns) {
            if port.link() != Link::Gone || now < back.look_at {
                continue;
            }
            let notice = match port.reopen() {
                Ok(()) => {
                    reopened = true;
                    *back = Return::default();
                    Notice::Reopened(port.info().clone())
                }
                Err(error) => match back.put_off(error, now) {
                    Some(error) => Notice::NotReopened(error),
                    None => continue,
                },
            };
            let _ = self.tell.send(notice);
            self.channel.control_bell.ring();
        }
        reopened
    }
}

/// A port whose device has gone waits for another one.
#[derive(Clone, Default)]
struct Return {
    /// When it is looked for next.
    look_at: Instant,
    /// How often there was one that could not be used.
    refused: u32,
}

impl Return {
    /// It did not work. The error, if whoever runs the gateway should hear of it: there is a
    /// device, and that was not said before.
    fn put_off(&mut self, error: OpenError, now: Instant) -> Option<OpenError> {
        let is_absent = error.source.as_ref().and_then(std::io::Error::raw_os_error) == Some(libc::ENODEV);
        if is_absent {
            *self = Return { look_at: now + LOOK, refused: 0 };
            return None;
        }
        self.refused += 1;
        self.look_at = now + LOOK * (1 << self.refused.min(5));
        (self.refused == 1).then_some(error)
    }
}

/// The panics of a worker.
#[derive(Default)]
struct Failures {
    /// When, of those that are not long ago.
    recent: VecDeque<Instant>,
    /// How many there were in all.
    count: u32,
}

impl Failures {
    /// It failed again. May it begin anew?
    fn are_bearable(&mut self, now: Instant) -> bool {
        self.recent.retain(|at| now.nanos_since(*at) < SPELL.as_nanos() as u64);
        self.recent.push_back(now);
        self.count += 1;
        self.recent.len() <= MOST_FAILURES
    }

    /// Of the choices of the one that begins anew: other ones.
    fn seed(&self, mut first: [u8; 32]) -> [u8; 32] {
        first[24..28].iter_mut().zip(self.count.to_le_bytes()).for_each(|(byte, count)| *byte ^= count);
        first
    }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".to_owned())
}

/// What came in is decided about and sent, and so is what other workers hand over, until
/// none of them has anything left: for a bounded time.
fn drain(worker: &mut Worker<dyn Port>) {
    let begun = clock::now();
    let patience = begun + DRAIN;
    // All that waits in rings, but not what goes on coming in for ever.
    while worker.turn(clock::now()) > 0 && clock::now() < begun + LAST_CALL {
        worker.flush();
    }
    worker.flush();
    while let Some(colleagues) = worker.colleagues() {
        let now = clock::now();
        if colleagues.are_quiet() || now >= patience {
            return;
        }
        if colleagues.stirs() || worker.has_messages() {
            worker.take_rest(now);
            worker.flush();
        } else {
            colleagues.rests();
            std::thread::yield_now();
        }
    }
}

/// What to sleep by; and can every port be polled?
fn poll_list(worker: &Worker<dyn Port>, channel: &Channel) -> (Vec<libc::pollfd>, bool) {
    let mut fds = Vec::new();
    let all_poll = worker.ports().iter().all(|port| polls(port.as_ref(), &mut fds));
    fds.push(channel.worker_bell.fd());
    fds.extend(worker.colleagues().map(|colleagues| colleagues.bell().fd()));
    (fds.into_iter().map(readable).collect(), all_poll)
}

fn polls(port: &dyn Port, fds: &mut Vec<RawFd>) -> bool {
    let before = fds.len();
    port.poll_fds(fds);
    fds.len() > before
}

/// Sends what the worker has to tell; rings only when there is something.
fn report(worker: &mut Worker<dyn Port>, channel: &Channel) {
    let mut told = false;
    while let Some(event) = worker.poll_event() {
        if let Err(event) = channel.send_event(event) {
            worker.event_refused(event);
            break;
        }
        told = true;
    }
    if told {
        channel.control_bell.ring();
    }
}

/// Publishes what the forwarder counted: some hundred stores.
fn publish(worker: &Worker<dyn Port>, stats: &StatsPage) {
    stats.publish(worker.forwarder().counters(), worker.forwarder().sessions());
}

/// Publishes what the ports counted, for which drivers ask the kernel.
fn publish_ports(worker: &mut Worker<dyn Port>, stats: &StatsPage) {
    for (at, port) in worker.ports_mut().iter_mut().enumerate() {
        let counted = port.stats();
        stats.publish_port(at, &counted);
    }
}

#[cfg(test)]
#[path = "shift_tests.rs"]
mod tests;
