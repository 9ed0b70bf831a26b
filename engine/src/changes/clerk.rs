//! Control's side of changes: what it hands to the thread that makes them, and what that has it do.
//!
//! The thread reads, writes and syncs; control's own never waits for a disk.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use causeway_control::api::{Answer, Refusal};
use causeway_control::config::Config;
use causeway_control::control::Control;
use causeway_fastpath::ids::Epoch;
use causeway_fastpath::time::Instant;
use tracing::warn;

use super::Changes;
use crate::api::Asked;
use crate::aside::{spawn_aside, wait_for};
use crate::wake::Doorbell;

/// How long a change waits for workers that judge sessions by the one before.
const PATIENCE: Duration = Duration::from_secs(5);
/// Questions that wait, at most: there are no more connections.
const MOST_WAITING: usize = 16;
/// What control is to do, at most: the thread waits for nearly all of it.
const MOST_VISITS: usize = 4;

/// The thread that changes the configuration, as control knows it. It ends when this is
/// dropped, unless a disk holds it.
pub(crate) struct Clerk {
    wishes: Arc<Wishes>,
    /// `None` when it is to end.
    visits: Option<Receiver<Visit>>,
    /// The change that waits for workers, and until when.
    held: Option<(Work, Instant)>,
    on_trial: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What is to be done to control.
type Work = Box<dyn FnOnce(&mut Control, Instant) + Send>;

/// From the thread to control.
enum Visit {
    /// It is looked at.
    Look(Work),
    /// Another configuration comes into force.
    Change(Work),
    /// Something for the gateway.
    Note(Note),
}

/// What the gateway has to do.
pub(crate) enum Note {
    /// Another configuration may be in force.
    Changed,
    /// A plan is to be made for this configuration, which is sound but for these warnings.
    Plan(Asked, Box<Config>, Vec<String>),
    /// This is true once these tables are in force and all sessions judged by them.
    Promise(Epoch, Asked, Answer),
}

impl Clerk {
    /// Starts the thread; `bell` rings when it wants something of control.
    pub(crate) fn start(changes: Changes, cores: &[usize], bell: Arc<Doorbell>) -> io::Result<Clerk> {
        let (send, visits) = mpsc::sync_channel(MOST_VISITS);
        let (wishes, on_trial) = (Arc::new(Wishes::default()), Arc::new(AtomicBool::new(false)));
        let floor = Floor { visits: send, bell, on_trial: Arc::clone(&on_trial) };
        let at = Arc::clone(&wishes);
        let thread = spawn_aside("changes", cores, move || changes.serve(&at, &floor))?;
        Ok(Clerk { wishes, visits: Some(visits), held: None, on_trial, thread: Some(thread) })
    }

    /// One more question about configurations.
    pub(crate) fn ask(&self, asked: Asked) {
        if let Err(asked) = self.wishes.put(asked) {
            let why = "too many changes wait already, for a disk or for each other; try again";
            asked.answer(Answer::Refused(Refusal::Not(why.to_owned())));
        }
    }

    /// The file is to be applied, for whoever sent SIGHUP. However many did since the last
    /// time, it is once.
    pub(crate) fn reload(&self) {
        self.wishes.say(|wanted| wanted.reload = true);
    }

    /// The gateway has come up with what it was started with.
    pub(crate) fn started(&self) {
        self.wishes.say(|wanted| wanted.started = true);
    }

    /// Is a configuration in force that may be taken back?
    pub(crate) fn has_trial(&self) -> bool {
        self.on_trial.load(Ordering::Acquire)
    }

    /// Does what the thread wants of control; the next thing that is left for the gateway.
    ///
    /// Another configuration waits until every worker has judged its sessions by the one
    /// before, since it would have to do so at once otherwise. A worker that does not get
    /// there is waited for no longer than [`PATIENCE`].
    pub(crate) fn next(&mut self, control: &mut Control, now: Instant) -> Option<Note> {
        loop {
            if let Some((_, until)) = &self.held {
                let is_judging = control.is_judging();
                if is_judging && now < *until {
                    return None;
                }
                if is_judging {
                    warn!("a worker has not judged its sessions in time: the next change makes it do so at once");
                }
                let (work, _) = self.held.take()?;
                work(control, now);
                return Some(Note::Changed);
            }
            match self.visits.as_ref()?.try_recv().ok()? {
                Visit::Look(work) => work(control, now),
                Visit::Change(work) => self.held = Some((work, now + PATIENCE)),
                Visit::Note(note) => return Some(note),
            }
        }
    }

    /// Has the thread failed?
    pub(crate) fn has_gone(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// When [`Clerk::next`] wants to be called at the latest.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.held.as_ref().map(|(_, until)| *until)
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        self.wishes.say(|wanted| wanted.end = true);
        // It waits for nothing that control would still do.
        self.visits = None;
        self.held = None;
        wait_for(self.thread.take());
    }
}

/// The thread's side: where control is met.
pub(super) struct Floor {
    visits: SyncSender<Visit>,
    bell: Arc<Doorbell>,
    on_trial: Arc<AtomicBool>,
}

impl Floor {
    /// Has a look at control.
    ///
    /// # Errors
    /// The gateway ends.
    pub(super) fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Control, Instant) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        self.visit(Visit::Look, work)
    }

    /// Has control work by another configuration, once workers are done with the one before.
    ///
    /// # Errors
    /// The gateway ends.
    pub(super) fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Control, Instant) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        self.visit(Visit::Change, work)
    }

    fn visit<T: Send + 'static>(
        &self,
        kind: fn(Work) -> Visit,
        work: impl FnOnce(&mut Control, Instant) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (reply, answered) = mpsc::sync_channel(1);
        let work = move |control: &mut Control, now| {
            // It waits for this.
            let _ = reply.send(work(control, now));
        };
        self.send(kind(Box::new(work)));
        answered
            .recv()
            .map_err(|_| Refusal::Not("the gateway ends; it starts again with what its file holds".to_owned()))
    }

    /// Something for the gateway.
    pub(super) fn note(&self, note: Note) {
        self.send(Visit::Note(note));
    }

    fn send(&self, visit: Visit) {
        // A gateway that ends does not hear it.
        let _ = self.visits.send(visit);
        self.bell.ring();
    }

    /// Says whether a configuration is in force that may be taken back.
    pub(super) fn set_trial(&self, on_trial: bool) {
        self.on_trial.store(on_trial, Ordering::Release);
    }
}

/// What the thread is to do, and has not begun.
#[derive(Default)]
pub(super) struct Wishes {
    wanted: Mutex<Wanted>,
    bell: Condvar,
}

#[derive(Default)]
struct Wanted {
    started: bool,
    reload: bool,
    asked: VecDeque<Asked>,
    end: bool,
}

/// The next thing to do.
pub(super) enum Wish {
    /// As [`Clerk::started`].
    Started,
    /// As [`Clerk::reload`].
    Reload,
    /// As [`Clerk::ask`].
    Asked(Asked),
    /// Nothing; but it may be time for something.
    Nothing,
    /// It is over.
    End,
}

impl Wishes {
    fn put(&self, asked: Asked) -> Result<(), Asked> {
        let mut wanted = self.lock();
        wanted.asked.retain(Asked::is_awaited);
        if wanted.asked.len() >= MOST_WAITING {
            return Err(asked);
        }
        wanted.asked.push_back(asked);
        self.bell.notify_one();
        Ok(())
    }

    fn say(&self, what: impl FnOnce(&mut Wanted)) {
        what(&mut self.lock());
        self.bell.notify_one();
    }

    /// What is to be done next. Waits for it, but no longer than that.
    pub(super) fn next(&self, patience: Option<Duration>) -> Wish {
        let is_idle = |wanted: &mut Wanted| !wanted.started && !wanted.reload && !wanted.end && wanted.asked.is_empty();
        let mut wanted = self.lock();
        wanted = match patience {
            None => self.bell.wait_while(wanted, is_idle).unwrap_or_else(PoisonError::into_inner),
            Some(patience) => {
                let waited = self.bell.wait_timeout_while(wanted, patience, is_idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        if wanted.end {
            Wish::End
        } else if std::mem::take(&mut wanted.started) {
            Wish::Started
        } else if std::mem::take(&mut wanted.reload) {
            Wish::Reload
        } else {
            wanted.asked.pop_front().map_or(Wish::Nothing, Wish::Asked)
        }
    }

    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
