//! Between control and a worker: one ordered lock-free ring each way.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use causeway_fastpath::command::{Command, Event};
use crossbeam::queue::ArrayQueue;

use crate::wake::Doorbell;

/// Commands or events that a ring holds.
const RING: usize = 4096;

/// The two rings, and a doorbell at each end.
#[derive(Debug)]
pub struct Channel {
    commands: ArrayQueue<Command>,
    events: ArrayQueue<Event>,
    stop: AtomicBool,
    /// Rings when there is a command.
    pub worker_bell: Doorbell,
    /// Rings when there is an event.
    pub control_bell: Arc<Doorbell>,
}

impl Channel {
    /// Empty rings; `control_bell` is the one that control sleeps by.
    ///
    /// # Errors
    /// The process has no descriptors left.
    pub fn new(control_bell: Arc<Doorbell>) -> io::Result<Channel> {
        Channel::with_rings(control_bell, RING)
    }

    /// As [`Channel::new`], with rings that hold so much.
    ///
    /// # Errors
    /// As there.
    pub fn with_rings(control_bell: Arc<Doorbell>, room: usize) -> io::Result<Channel> {
        Ok(Channel {
            commands: ArrayQueue::new(room),
            events: ArrayQueue::new(room),
            stop: AtomicBool::new(false),
            worker_bell: Doorbell::new()?,
            control_bell,
        })
    }

    /// Control's side: sends a command; gives it back when the ring is full.
    ///
    /// # Errors
    /// The command: the worker is behind. Keep the order, try again later.
    pub fn send_command(&self, command: Command) -> Result<(), Command> {
        self.commands.push(command)
    }

    /// The worker's side: the next command.
    pub fn next_command(&self) -> Option<Command> {
        self.commands.pop()
    }

    /// The worker's side: sends an event; gives it back when the ring is full.
    ///
    /// # Errors
    /// The event: control is behind.
    #[expect(clippy::result_large_err, reason = "it comes back as it was, and nothing is allocated for it")]
    pub fn send_event(&self, event: Event) -> Result<(), Event> {
        self.events.push(event)
    }

    /// Control's side: the next event.
    pub fn next_event(&self) -> Option<Event> {
        self.events.pop()
    }

    /// Asks the worker to stop.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.worker_bell.ring();
    }

    /// Was the worker asked to stop?
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}
