//! A worker's thread: pinned to its core, it opens its ports and works.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;

use causeway_control::config::Config;
use causeway_fastpath::handoff::Workers;
use tracing::warn;

use crate::channel::Channel;
use crate::handoff::Colleagues;
use crate::port::open::open_ports;
use crate::port::{OpenError, PortInfo, Share};
use crate::shift::{Notice, Shift};
use crate::stats::StatsPage;

/// A worker at work.
pub struct WorkerThread {
    /// Its end of the rings.
    pub channel: Arc<Channel>,
    /// What it publishes.
    pub stats: Arc<StatsPage>,
    /// Its ports, as they were opened.
    pub ports: Vec<PortInfo>,
    /// What it has to say that is no answer.
    pub notices: Receiver<Notice>,
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
        let (tell, notices) = mpsc::channel();
        let handle = {
            let (config, channel, stats) = (config.clone(), Arc::clone(&channel), Arc::clone(&stats));
            std::thread::Builder::new().name(format!("worker-{}", task.core)).spawn(move || {
                pin(task.core);
                match open_ports(&config, &task.shares) {
                    Ok(ports) => {
                        let infos = ports.iter().map(|port| port.info().clone()).collect();
                        if report.send(Ok(infos)).is_ok() {
                            Shift { config: &config, channel: &channel, stats: &stats, tell }.work(ports, task);
                        }
                    }
                    // Nobody who would want to know is there any more if this fails.
                    Err(error) => drop(report.send(Err(error))),
                }
            })?
        };
        match opened.recv() {
            Ok(Ok(ports)) => Ok(WorkerThread { channel, stats, ports, notices, handle }),
            Ok(Err(error)) => Err(StartError::Port(error)),
            Err(_) => Err(StartError::Died),
        }
    }

    /// Did it end without being asked to? Then it has panicked too often.
    pub fn died(&self) -> bool {
        self.handle.is_finished()
    }

    /// Stops it and waits until its ports are closed. `false` if it had ended by a panic.
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
