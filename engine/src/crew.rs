//! The workers of a gateway, from control's side: one or several threads, and the commands
//! that wait for room in their rings.

use std::collections::VecDeque;
use std::sync::Arc;

use causeway_control::config::Config;
use causeway_control::control::Control;
use causeway_fastpath::chance::Chance;
use causeway_fastpath::command::{Command, Event};
use causeway_fastpath::handoff::Workers;
use causeway_fastpath::ids::WorkerId;

use crate::channel::Channel;
use crate::handoff::{Colleagues, Exchange};
use crate::port::{Link, PortInfo, PortStats, Share};
use crate::shift::Notice;
use crate::thread::{StartError, Task, WorkerThread};
use crate::wake::Doorbell;

/// Every worker of a gateway.
pub(crate) struct Crew {
    workers: Vec<Manned>,
}

/// A worker, and what waits for it.
struct Manned {
    thread: WorkerThread,
    /// Commands that the ring had no room for, in order.
    backlog: VecDeque<Command>,
}

impl Crew {
    /// Starts a worker on each core of the configuration, one after the other: the first one
    /// prepares devices that they share.
    pub(crate) fn start(config: &Config, seed: [u8; 32], control_bell: &Arc<Doorbell>) -> Result<Crew, StartError> {
        let cores = &config.gateway.cores;
        let exchange = Exchange::new(cores.len())?;
        let shares = Share::of_ports(config.ports.len(), cores.len());
        let secret = steering_secret(seed);
        let mut crew = Crew { workers: Vec::new() };
        for (me, core) in cores.iter().enumerate() {
            let me = WorkerId(me as u16);
            let among = (cores.len() > 1).then(|| Colleagues::new(Arc::clone(&exchange), me));
            let place = Workers::new(me, cores.len() as u16, secret);
            let shares = shares.iter().map(|share| share.as_ref().map(|share| share.for_worker(me))).collect();
            let task = Task { core: *core, place, among, shares, seed: seed_of(seed, me) };
            let channel = Arc::new(Channel::new(Arc::clone(control_bell))?);
            match WorkerThread::start(config, task, channel) {
                Ok(thread) => crew.workers.push(Manned { thread, backlog: VecDeque::new() }),
                Err(error) => {
                    exchange.never_came(cores.len() - crew.workers.len());
                    crew.stop();
                    return Err(error);
                }
            }
        }
        Ok(crew)
    }

    /// The ports, as the first worker opened them.
    pub(crate) fn ports(&self) -> &[PortInfo] {
        &self.workers[0].thread.ports
    }

    /// What the workers have to tell, each for itself in order.
    pub(crate) fn next_event(&self) -> Option<(WorkerId, Event)> {
        let next = |(at, manned): (usize, &Manned)| Some((WorkerId(at as u16), manned.thread.channel.next_event()?));
        self.workers.iter().enumerate().find_map(next)
    }

    /// What happened to a worker or its ports, and to which.
    pub(crate) fn next_notice(&self) -> Option<(WorkerId, Notice)> {
        let next = |(at, manned): (usize, &Manned)| Some((WorkerId(at as u16), manned.thread.notices.try_recv().ok()?));
        self.workers.iter().enumerate().find_map(next)
    }

    /// Sends commands, as far as there is room. A worker that is behind holds up nobody else.
    pub(crate) fn send_commands(&mut self, control: &mut Control) {
        for (at, manned) in self.workers.iter_mut().enumerate() {
            let Manned { thread, backlog } = manned;
            let mut sent = false;
            while let Some(command) = backlog.pop_front().or_else(|| control.poll_command_for(WorkerId(at as u16))) {
                if let Err(command) = thread.channel.send_command(command) {
                    backlog.push_front(command);
                    break;
                }
                sent = true;
            }
            if sent {
                thread.channel.worker_bell.ring();
            }
        }
    }

    /// Does no command wait for room?
    pub(crate) fn is_up_to_date(&self) -> bool {
        self.workers.iter().all(|manned| manned.backlog.is_empty())
    }

    /// Has one ended without being asked to?
    pub(crate) fn has_lost_one(&self) -> bool {
        self.workers.iter().any(|manned| manned.thread.died())
    }

    /// Stops all of them and waits until their ports are closed. `false`: one had panicked.
    pub(crate) fn stop(self) -> bool {
        // All are asked first: each waits for the others before it closes its ports.
        self.workers.iter().for_each(|manned| manned.thread.channel.stop());
        self.workers.into_iter().map(|manned| manned.thread.stop()).fold(true, |all, orderly| all & orderly)
    }

    /// What all of them have counted together, in a fixed order.
    pub(crate) fn counters(&self) -> Vec<(&'static str, &'static str, u64)> {
        let mut pages = self.workers.iter().map(|manned| manned.thread.stats.counters());
        let mut sum = pages.next().unwrap_or_default();
        for page in pages {
            sum.iter_mut().zip(page).for_each(|(row, other)| row.2 += other.2);
        }
        sum
    }

    /// Sessions alive: IPv4, IPv6.
    pub(crate) fn sessions(&self) -> (u64, u64) {
        self.sessions_of_each().fold((0, 0), |sum, own| (sum.0 + own.0, sum.1 + own.1))
    }

    /// Sessions alive at the worker that has most: IPv4, IPv6.
    pub(crate) fn fullest(&self) -> (u64, u64) {
        self.sessions_of_each().fold((0, 0), |most, own| (most.0.max(own.0), most.1.max(own.1)))
    }

    fn sessions_of_each(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let pages = self.workers.iter().map(|manned| &manned.thread.stats);
        pages.map(|stats| (stats.sessions_v4(), stats.sessions_v6()))
    }

    /// How is the port, at the worker where it is worst? `None` before anybody has said so.
    pub(crate) fn link(&self, port: usize) -> Option<Link> {
        self.workers.iter().filter_map(|manned| manned.thread.stats.link(port)).max()
    }

    /// A port was opened again, and is this now.
    pub(crate) fn port_is(&mut self, info: PortInfo) {
        let at = info.id.index();
        self.workers[0].thread.ports[at] = info;
    }

    /// What the workers counted at a port.
    pub(crate) fn port_stats(&self, port: usize) -> PortStats {
        let mut pages = self.workers.iter().map(|manned| manned.thread.stats.port(port));
        let first = pages.next().unwrap_or_default();
        pages.fold(first, |sum, own| sum + own)
    }
}

/// The seed of a worker's own choices.
pub(crate) fn seed_of(mut seed: [u8; 32], worker: WorkerId) -> [u8; 32] {
    seed[30] ^= worker.0 as u8;
    seed
}

/// The secret by which packets are steered to workers: a draw of its own.
pub(crate) fn steering_secret(mut seed: [u8; 32]) -> u64 {
    seed[31] ^= 0x7f;
    Chance::new(seed).seed().0[0]
}
