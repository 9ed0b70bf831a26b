//! Learned nodes are written down, by a thread of its own, so that a restart knows them.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use causeway_control::config::Config;
use causeway_control::control::Control;
use causeway_control::nodes::Memory;
use causeway_fastpath::time::Instant;
use tracing::{info, warn};

use crate::aside::{spawn_aside, wait_for};
use crate::clock::wall_s;
use crate::state::{NodeStore, StateError};

/// Between two writes, at least: nodes that come and go all the time wear out no disk.
const REST: Duration = Duration::from_secs(10);
/// Between two writes, at most: so much older than they are nodes may look after a crash.
const LONGEST: Duration = Duration::from_secs(600);

/// Writes nodes down when they have changed, and now and then.
pub(crate) struct Keeper {
    pace: Pace,
    desk: Arc<Desk>,
    thread: JoinHandle<()>,
}

/// What was remembered, and who writes it down from now on.
pub(crate) struct Remembered {
    memory: Memory,
    store: NodeStore,
}

impl Remembered {
    /// `None` if nothing is to be remembered.
    ///
    /// # Errors
    /// What was cannot be read.
    pub(crate) fn open(config: &Config) -> Result<Option<Remembered>, StateError> {
        let opened = NodeStore::open(config)?;
        Ok(opened.map(|(memory, store)| Remembered { memory, store }))
    }

    /// Tells control the nodes that were remembered.
    pub(crate) fn recall(&self, control: &mut Control, now: Instant) {
        control.recall_nodes(&self.memory, now, wall_s());
        let nodes = control.nodes().count();
        if nodes > 0 {
            info!(nodes, "nodes are remembered, until their sources speak");
        }
    }

    /// Starts to write down what control learns.
    pub(crate) fn keep(self, control: &Control, now: Instant) -> io::Result<Keeper> {
        let desk = Arc::new(Desk::default());
        let (at, mut store) = (Arc::clone(&desk), self.store);
        let thread = spawn_aside("node-keeper", &control.config().gateway.cores, move || at.write_all(&mut store))?;
        Ok(Keeper { pace: Pace::new(control.learned_nodes().revision(), now), desk, thread })
    }
}

impl Keeper {
    /// Has nodes written down if it is time to.
    pub(crate) fn look(&mut self, control: &Control, now: Instant) {
        let revision = control.learned_nodes().revision();
        if self.pace.is_due(revision, now) {
            self.pace.wrote(revision, now);
            self.desk.put(memory(control, now), false);
        }
    }

    /// Has them written down once more; does not wait for a disk that hangs.
    pub(crate) fn end(self, control: &Control, now: Instant) {
        self.desk.put(memory(control, now), true);
        wait_for([self.thread]);
    }
}

fn memory(control: &Control, now: Instant) -> Memory {
    control.learned_nodes().memory(control.config(), now, wall_s())
}

/// When to write.
struct Pace {
    /// What was written last.
    written: u64,
    earliest: Instant,
    latest: Instant,
}

impl Pace {
    fn new(written: u64, now: Instant) -> Pace {
        Pace { written, earliest: now, latest: now + LONGEST }
    }

    fn is_due(&self, revision: u64, now: Instant) -> bool {
        now >= self.latest || now >= self.earliest && revision != self.written
    }

    fn wrote(&mut self, revision: u64, now: Instant) {
        *self = Pace { written: revision, earliest: now + REST, latest: now + LONGEST };
    }
}

/// Where what is to be written lies: the newest alone.
#[derive(Default)]
struct Desk {
    paper: Mutex<Paper>,
    bell: Condvar,
}

#[derive(Default)]
struct Paper {
    memory: Option<Memory>,
    last: bool,
}

impl Desk {
    fn put(&self, memory: Memory, last: bool) {
        *self.lock() = Paper { memory: Some(memory), last };
        self.bell.notify_one();
    }

    /// Until the last one is written.
    fn write_all(&self, store: &mut NodeStore) {
        let mut failed = false;
        loop {
            let mut paper = self.lock();
            while paper.memory.is_none() {
                paper = self.bell.wait(paper).unwrap_or_else(PoisonError::into_inner);
            }
            let Paper { memory, last } = std::mem::take(&mut *paper);
            drop(paper);
            match memory.map_or(Ok(()), |memory| store.save(&memory)) {
                Ok(()) => failed = false,
                Err(error) if !std::mem::replace(&mut failed, true) => {
                    warn!(%error, "learned nodes cannot be written to gateway.state: a restart would not know them");
                }
                Err(_) => {}
            }
            if last {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Paper> {
        self.paper.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_change_all_the_time_are_written_every_ten_seconds_and_others_now_and_then() {
        let mut pace = Pace::new(0, Instant::ZERO);
        // Tenths of seconds; nodes change in each until the minute is over.
        let mut written = Vec::new();
        for tenth in 0..20_000 {
            let (now, revision) = (Instant::from_millis(tenth * 100), tenth.min(600));
            if pace.is_due(revision, now) {
                pace.wrote(revision, now);
                written.push((tenth, revision));
            }
        }
        let expected = [1, 101, 201, 301, 401, 501, 601, 6_601, 12_601, 18_601].map(|at| (at, at.min(600)));
        assert_eq!(written, expected);
    }
}
