//! The turns of a worker at its channel to control, and when it may sleep between them: what
//! its thread does, without the thread and its clock.

use std::time::Duration;

use causeway_control::config::Idle;
use causeway_fastpath::time::Instant;

use crate::channel::Channel;
use crate::handoff::Colleagues;
use crate::port::Port;
use crate::worker::Worker;

/// Commands that a worker obeys in one turn: a flood of them does not keep it
/// from its packets.
const COMMANDS_A_TURN: usize = 4;
/// How long a worker spins without a packet before it sleeps.
const SPIN: Duration = Duration::from_micros(20);

/// When a worker last had something to do, and what it does when it has nothing.
#[derive(Debug)]
pub struct Turns {
    idle: Idle,
    last_busy: Instant,
}

impl Turns {
    /// Of a worker that begins now.
    pub fn new(idle: Idle, now: Instant) -> Turns {
        Turns { idle, last_busy: now }
    }

    /// One turn: commands, timers, a burst from each port and from each other worker, and what
    /// control is to know of it. Says whether there was anything to do.
    pub fn turn<P: Port + ?Sized>(&mut self, worker: &mut Worker<P>, channel: &Channel, now: Instant) -> bool {
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
        if busy {
            self.last_busy = now;
        }
        busy
    }

    /// After a turn in which there was nothing to do: may the worker sleep until a port has
    /// something, or a bell rings? If so, others take it to sleep from now on, until
    /// [`Turns::awake`].
    pub fn may_sleep<P: Port + ?Sized>(&self, worker: &mut Worker<P>, now: Instant) -> bool {
        let rests = match self.idle {
            Idle::Busy => false,
            Idle::Poll => true,
            Idle::SpinThenPoll => now.nanos_since(self.last_busy) >= SPIN.as_nanos() as u64,
        };
        rests && worker.may_rest() && worker.colleagues().is_none_or(Colleagues::may_sleep)
    }

    /// It is awake again.
    pub fn awake<P: Port + ?Sized>(&mut self, worker: &Worker<P>, channel: &Channel, now: Instant) {
        channel.worker_bell.silence();
        worker.colleagues().inspect(|colleagues| colleagues.awake());
        self.last_busy = now;
    }
}

/// Sends what the worker has to tell; rings only when there is something.
fn report<P: Port + ?Sized>(worker: &mut Worker<P>, channel: &Channel) {
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
