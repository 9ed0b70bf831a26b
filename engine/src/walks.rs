//! Answers that take a walk over a worker's sessions, one after the other.

use std::collections::VecDeque;

use causeway_control::alarm::Turn;
use causeway_control::api::{Answer, HostView, PoolView, SessionView};
use causeway_control::control::Control;
use causeway_fastpath::session::SessionFilter;
use tracing::{info, warn};

use crate::api::Asked;

/// Who waits for a walk; the first one's is under way.
#[derive(Default)]
pub(crate) struct Walks {
    waiting: VecDeque<(Option<Asked>, SessionFilter, Purpose)>,
    /// Is it?
    walking: bool,
    /// Are pools going to be looked at, though nobody asks?
    watching: bool,
    requests: u64,
}

/// What is done with the sessions that are met.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// They are listed.
    List {
        /// So many, at most.
        most: usize,
    },
    /// They end.
    Kill {
        /// Are they only counted?
        dry_run: bool,
    },
    /// Pools are listed, not sessions.
    Pools {
        /// Each address?
        addresses: bool,
    },
    /// Those who hold sessions are.
    Hosts {
        /// So many, at most.
        most: usize,
    },
    /// Pools are looked at, for alarms.
    Watch,
}

impl Walks {
    /// One more is to be answered.
    pub(crate) fn begin(&mut self, asked: Asked, filter: SessionFilter, purpose: Purpose) {
        self.waiting.push_back((Some(asked), filter, purpose));
    }

    /// Pools are to be looked at, when their turn comes.
    pub(crate) fn watch(&mut self) {
        if !self.watching {
            self.watching = true;
            self.waiting.push_back((None, SessionFilter::default(), Purpose::Watch));
        }
    }

    /// Answers who asked for a walk that is over, and starts the next; `alive` are all
    /// sessions there are.
    pub(crate) fn advance(&mut self, control: &mut Control, alive: u64) {
        if let Some(answer) = self.arrived(control, alive)
            && let Some((asked, ..)) = self.waiting.pop_front()
        {
            self.watching &= asked.is_some();
            if let Some(asked) = asked {
                asked.answer(answer);
            }
            self.walking = false;
        }
        if self.walking {
            return;
        }
        if let Some((_, filter, purpose)) = self.waiting.front() {
            self.walking = match *purpose {
                Purpose::List { most } => control.list_sessions(self.requests, most, filter.clone()),
                Purpose::Kill { dry_run } => control.kill_sessions(self.requests, filter.clone(), dry_run),
                Purpose::Pools { .. } | Purpose::Watch => control.list_pools(self.requests),
                Purpose::Hosts { .. } => control.list_hosts(self.requests),
            };
            self.requests += 1;
        }
    }

    fn arrived(&self, control: &mut Control, alive: u64) -> Option<Answer> {
        let (_, _, purpose) = self.waiting.front()?;
        match *purpose {
            Purpose::List { .. } => {
                let (_, rows) = control.take_sessions()?;
                let sessions = rows.iter().map(|row| SessionView::of(control, row)).collect();
                Some(Answer::Sessions { alive, sessions })
            }
            Purpose::Kill { dry_run } => {
                let (_, killed) = control.take_killed()?;
                Some(Answer::SessionsKilled { killed, dry_run })
            }
            Purpose::Pools { addresses } => Some(Answer::Pools(pools(control, addresses)?)),
            Purpose::Watch => Some(Answer::Pools(pools(control, false)?)),
            Purpose::Hosts { most } => {
                let rows = control.take_hosts()?;
                let hosts = rows.iter().take(most).map(|row| HostView::of(control, row)).collect();
                Some(Answer::Hosts { known: rows.len() as u64, hosts })
            }
        }
    }
}

/// What is in use of pools, once it is there. Says if one has become full since.
fn pools(control: &mut Control, addresses: bool) -> Option<Vec<PoolView>> {
    let (rows, changed) = control.take_pools()?;
    for alarm in changed {
        let (pool, family, protocol) = alarm.words(control);
        let (taken, ports) = (alarm.taken, alarm.ports);
        match alarm.turn {
            Turn::Raised => warn!(
                pool,
                family, protocol, taken, ports, "the pool is nearly used up: causeway show hosts says who holds most"
            ),
            Turn::Cleared => info!(pool, family, protocol, taken, ports, "the pool has ports again"),
        }
    }
    Some(PoolView::all(control, &rows, addresses))
}
