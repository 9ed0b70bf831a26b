//! A worker's thread: pinned to its core, it turns until it is asked to stop.

use std::mem::ManuallyDrop;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use causeway_control::config::{Config, Idle};
use causeway_fastpath::forwarder::{Capacity, Forwarder};
use causeway_fastpath::fragment;
use causeway_fastpath::handoff::Workers;
use causeway_fastpath::time::Instant;
use tracing::warn;

use crate::channel::Channel;
use crate::clock;
use crate::handoff::Colleagues;
use crate::port::open::open_ports;
use crate::port::{OpenError, Port, PortInfo, Share};
use crate::stats::StatsPage;
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
/// How long a worker waits for the others to finish before it leaves its ports open: the
/// process ends anyway.
const LEAVING: Duration = Duration::from_secs(2);
/// Between two publications of what it counted.
const PUBLISH: Duration = Duration::from_millis(50);

/// A worker at work.
pub struct WorkerThread {
    /// Its end of the rings.
    pub channel: Arc<Channel>,
    /// What it publishes.
    pub stats: Arc<StatsPage>,
    /// Its ports, as they were opened.
    pub ports: Vec<PortInfo>,
    handle: JoinHandle<()>,
}

impl WorkerThread {
    /// Starts a worker and waits until its ports are open.
    ///
    /// # Errors
    /// A port that cannot be opened, or that the thread cannot be started.
    pub fn start(config: &Config, task: Task, channel: Arc<Channel>) -> Result<WorkerThread, StartError> {
        let stats = Arc::new(StatsPage::new(config.ports.len()));
        let (report, opened) = mpsc::channel();
        let handle = {
            let (config, channel, stats) = (config.clone(), Arc::clone(&channel), Arc::clone(&stats));
            std::thread::Builder::new().name(format!("worker-{}", task.core)).spawn(move || {
                pin(task.core);
                match open_ports(&config, &task.shares) {
                    Ok(ports) => {
                        let infos = ports.iter().map(|port| port.info().clone()).collect();
                        if report.send(Ok(infos)).is_ok() {
                            work(ports, &config, task, &channel, &stats);
                        }
                    }
                    // Nobody who would want to know is there any more if this fails.
                    Err(error) => drop(report.send(Err(error))),
                }
            })?
        };
        match opened.recv() {
            Ok(Ok(ports)) => Ok(WorkerThread { channel, stats, ports, handle }),
            Ok(Err(error)) => Err(StartError::Port(error)),
            Err(_) => Err(StartError::Died),
        }
    }

    /// Did it end without being asked to? Then it has panicked.
    pub fn died(&self) -> bool {
        self.handle.is_finished()
    }

    /// Stops it and waits until its ports are closed. `false` if it had panicked.
    pub fn stop(self) -> bool {
        self.channel.stop();
        self.handle.join().is_ok()
    }
}

/// What a worker is started with.
pub struct Task {
    /// The core that it is pinned to.
    pub core: usize,
    /// Which of all workers it is.
    pub place: Workers,
    /// The others, if there are any.
    pub among: Option<Colleagues>,
    /// By port: what it shares with the others.
    pub shares: Vec<Option<Share>>,
    /// Of its choices.
    pub seed: [u8; 32],
}

/// Why a worker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port could not be opened.
    #[error("{0}")]
    Port(#[from] OpenError),
    /// The system gives no thread.
    #[error("cannot start a worker: {0}")]
    Thread(#[from] std::io::Error),
    /// It ended before it had opened its ports.
    #[error("a worker ended before its ports were open: a bug in Causeway, please report it")]
    Died,
}

fn pin(core: usize) {
    let known = core_affinity::get_core_ids().unwrap_or_default();
    let pinned = known.into_iter().find(|id| id.id == core).is_some_and(core_affinity::set_for_current);
    if !pinned {
        warn!(core, "this process may not run on the core: the worker is not pinned; see gateway.cores");
    }
}

fn work(ports: Vec<Box<dyn Port>>, config: &Config, task: Task, channel: &Channel, stats: &StatsPage) {
    // Most sessions are IPv4; each family may use the whole bound.
    let most = config.gateway.sessions_per_worker();
    let capacity = Capacity { sessions_v4: most, sessions_v6: most, fragments: fragment::Capacity::default() };
    let mut fds = Vec::new();
    let all_poll = ports.iter().all(|port| polls(port.as_ref(), &mut fds));
    fds.push(channel.worker_bell.fd());
    let forwarder = match &task.among {
        Some(_) => Forwarder::of(task.place, capacity, task.seed, clock::now()),
        None => Forwarder::new(capacity, task.seed, clock::now()),
    };
    let mut worker = Worker::new(ports, forwarder);
    if let Some(colleagues) = task.among {
        fds.push(colleagues.bell().fd());
        worker = worker.among(colleagues);
    }
    // Others hold buffers of its ports: should it panic, they stay mapped.
    let mut worker = ManuallyDrop::new(worker);
    let mut polled: Vec<_> = fds.into_iter().map(readable).collect();
    let patience = if all_poll { SLEEP } else { NAP };

    let mut published = Instant::ZERO;
    let mut last_busy = clock::now();
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
        report(&mut worker, channel);
        if now.nanos_since(published) >= PUBLISH.as_nanos() as u64 {
            published = now;
            publish(&worker, stats);
            publish_ports(&mut worker, stats);
        }
        let rests = match config.gateway.idle {
            Idle::Busy => false,
            Idle::Poll => !busy,
            Idle::SpinThenPoll => !busy && now.nanos_since(last_busy) >= SPIN.as_nanos() as u64,
        };
        if busy {
            last_busy = now;
        } else if rests && worker.colleagues().is_none_or(Colleagues::may_sleep) {
            publish(&worker, stats);
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
    publish(&worker, stats);
    publish_ports(&mut worker, stats);
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
