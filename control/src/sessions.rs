//! Walks over the session tables of one worker after the other: to list sessions, and to
//! end them.

use causeway_fastpath::command::{Command, SessionCursor, SessionKill, SessionPage, SessionRow};
use causeway_fastpath::ids::WorkerId;
use causeway_fastpath::session::SessionFilter;

use crate::rounds::go_on;

/// Records that one step looks at. Small, so that a worker is never kept long.
const PAGE: u32 = 256;

/// The walks that go on, one of each kind at most, and what came of the last ones.
#[derive(Default)]
pub(crate) struct Walks {
    workers: usize,
    listing: Option<Listing>,
    listed: Option<(u64, Vec<SessionRow>)>,
    /// The request that a killing answers.
    killing: Option<u64>,
    killed: Option<(u64, u64)>,
}

struct Listing {
    request: u64,
    most: usize,
    filter: SessionFilter,
    rows: Vec<SessionRow>,
}

impl Walks {
    /// Over the tables of so many workers.
    pub(crate) fn new(workers: usize) -> Walks {
        Walks { workers, ..Walks::default() }
    }

    /// The first step of a listing of `most` sessions that are meant, unless one goes on.
    pub(crate) fn list(&mut self, request: u64, most: usize, filter: SessionFilter) -> Option<(WorkerId, Command)> {
        if self.listing.is_some() {
            return None;
        }
        self.listing = Some(Listing { request, most, filter, rows: Vec::new() });
        Some(first_page(request))
    }

    /// The first step of ending the sessions that are meant, or of counting them, unless
    /// some are being ended already.
    pub(crate) fn kill(&mut self, request: u64, filter: SessionFilter, dry_run: bool) -> Option<(WorkerId, Command)> {
        if self.killing.is_some() {
            return None;
        }
        self.killing = Some(request);
        let cursor = Some(SessionCursor::default());
        let kill = SessionKill { request, cursor, limit: PAGE, filter, dry_run, met: 0 };
        Some((WorkerId(0), Command::EndSessions(Box::new(kill))))
    }

    /// A worker's page is there: the next step of the listing, if there is one.
    pub(crate) fn paged(&mut self, worker: WorkerId, found: SessionPage) -> Option<(WorkerId, Command)> {
        let mut listing = self.listing.take_if(|listing| listing.request == found.request)?;
        let meant = found.rows.iter().filter(|row| listing.filter.matches(row));
        listing.rows.extend(meant.take(listing.most - listing.rows.len()));
        if let Some((worker, cursor)) = go_on(self.workers, worker, found.cursor)
            && listing.rows.len() < listing.most
        {
            self.listing = Some(listing);
            return Some((worker, page(found.request, cursor, found.rows)));
        }
        self.listed = Some((listing.request, listing.rows));
        None
    }

    /// A part of a worker's table was walked over: the next step of the killing, if there is
    /// one.
    pub(crate) fn ended(&mut self, worker: WorkerId, mut kill: Box<SessionKill>) -> Option<(WorkerId, Command)> {
        let request = self.killing.take_if(|request| *request == kill.request)?;
        if let Some((worker, cursor)) = go_on(self.workers, worker, kill.cursor) {
            self.killing = Some(request);
            kill.cursor = Some(cursor);
            return Some((worker, Command::EndSessions(kill)));
        }
        self.killed = Some((request, kill.met));
        None
    }

    /// The result of a listing, once it is there.
    pub(crate) fn take_listed(&mut self) -> Option<(u64, Vec<SessionRow>)> {
        self.listed.take()
    }

    /// How many sessions were ended or counted, once all were looked at.
    pub(crate) fn take_killed(&mut self) -> Option<(u64, u64)> {
        self.killed.take()
    }
}

/// The first step of a walk over all sessions.
pub(crate) fn first_page(request: u64) -> (WorkerId, Command) {
    (WorkerId(0), page(request, SessionCursor::default(), Vec::with_capacity(PAGE as usize)))
}

fn page(request: u64, cursor: SessionCursor, rows: Vec<SessionRow>) -> Command {
    Command::ListSessions(Box::new(SessionPage { request, cursor: Some(cursor), limit: PAGE, rows }))
}
