//! Answers that take a walk over a worker's sessions, one after the other.

use std::collections::VecDeque;

use causeway_control::api::{Answer, SessionView};
use causeway_control::control::Control;
use causeway_fastpath::session::SessionFilter;

use crate::api::Asked;

/// Who waits for a walk; the first one's is under way.
#[derive(Default)]
pub(crate) struct Walks {
    waiting: VecDeque<(Asked, SessionFilter, Purpose)>,
    /// Is it?
    walking: bool,
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
}

impl Walks {
    /// One more is to be answered.
    pub(crate) fn begin(&mut self, asked: Asked, filter: SessionFilter, purpose: Purpose) {
        self.waiting.push_back((asked, filter, purpose));
    }

    /// Answers who asked for a walk that is over, and starts the next; `alive` are all
    /// sessions there are.
    pub(crate) fn advance(&mut self, control: &mut Control, alive: u64) {
        if let Some(answer) = self.arrived(control, alive)
            && let Some((asked, ..)) = self.waiting.pop_front()
        {
            asked.answer(answer);
            self.walking = false;
        }
        if self.walking {
            return;
        }
        if let Some((_, filter, purpose)) = self.waiting.front() {
            self.walking = match *purpose {
                Purpose::List { most } => control.list_sessions(self.requests, most, filter.clone()),
                Purpose::Kill { dry_run } => control.kill_sessions(self.requests, filter.clone(), dry_run),
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
        }
    }
}
