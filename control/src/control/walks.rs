//! What is asked of workers: their sessions, pools and hosts, a page at a time.

use causeway_fastpath::command::{Command, PoolRow, SessionRow};
use causeway_fastpath::ids::{PoolId, WorkerId};
use causeway_fastpath::session::SessionFilter;

use super::Control;
use crate::api::read_filter;
use crate::holders::{HostRow, PoolAlarm};
use crate::reload::{Judged, Owners, Prepared};

impl Control {
    /// Starts to find out what would become of each session. One such walk goes on at a time:
    /// `false` when one does already. [`Control::take_judged`] has the result.
    #[must_use]
    pub fn judge_sessions(&mut self, request: u64, prepared: &mut Prepared) -> bool {
        let after = prepared.snapshot(self.next_epoch());
        let owners = Owners::new(&self.config, &self.domains, &self.nodes);
        let first = self.judging.begin(request, (self.rooms.last(), &after), owners);
        let started = first.is_some();
        self.command(first);
        started
    }

    /// What would become of each session, once all were looked at.
    pub fn take_judged(&mut self) -> Option<Judged> {
        self.judging.take()
    }

    /// The filter that these words make, each as `inside=10.1.2.0/24`; all must hold.
    ///
    /// # Errors
    /// What is wrong with the first that is not sound, and what would do.
    pub fn session_filter(&self, words: &[String]) -> Result<SessionFilter, String> {
        read_filter(words, &self.domains)
    }

    /// Starts to collect sessions that are meant, `most` at most. One listing goes on at
    /// a time: `false` when one does already. [`Control::take_sessions`] has the result.
    #[must_use]
    pub fn list_sessions(&mut self, request: u64, most: usize, filter: SessionFilter) -> bool {
        let first = self.walks.list(request, most, filter);
        let started = first.is_some();
        self.command(first);
        started
    }

    /// The result of a listing, once it is there.
    pub fn take_sessions(&mut self) -> Option<(u64, Vec<SessionRow>)> {
        self.walks.take_listed()
    }

    /// Starts to end the sessions that are meant; with `dry_run`, only to count them.
    /// `false` when that goes on already. [`Control::take_killed`] has the result.
    #[must_use]
    pub fn kill_sessions(&mut self, request: u64, filter: SessionFilter, dry_run: bool) -> bool {
        let first = self.walks.kill(request, filter, dry_run);
        let started = first.is_some();
        self.command(first);
        started
    }

    /// The request, and how many sessions were meant, once all were looked at.
    pub fn take_killed(&mut self) -> Option<(u64, u64)> {
        self.walks.take_killed()
    }

    /// Starts to collect what is in use of the pools that have a name. One such walk goes on
    /// at a time: `false` when one does already. [`Control::take_pools`] has the result.
    #[must_use]
    pub fn list_pools(&mut self, request: u64) -> bool {
        let first = self.pools.begin(request, self.pool_ids.end());
        let started = first.is_some();
        self.command(first);
        started
    }

    /// What is in use of the pools, a row an address, once it is there; and which have become
    /// full since the last time, or no longer are.
    pub fn take_pools(&mut self) -> Option<(Vec<PoolRow>, Vec<PoolAlarm>)> {
        self.pools.take()
    }

    /// Was the pool full when it was last looked at? `protocol` as in [`PoolAlarm`].
    pub fn is_full(&self, pool: PoolId, v6: bool, protocol: usize) -> bool {
        self.pools.is_full(pool, v6, protocol)
    }

    /// What people call a pool: its name, or `masquerade` and the port whose addresses it has.
    pub fn pool_name(&self, pool: PoolId) -> &str {
        self.pool_ids.name(pool)
    }

    /// Starts to collect who holds sessions and who was refused some. One such walk goes on
    /// at a time: `false` when one does already. [`Control::take_hosts`] has the result.
    #[must_use]
    pub fn list_hosts(&mut self, request: u64) -> bool {
        let first = self.hosts.begin(request);
        let started = first.is_some();
        self.command(first);
        started
    }

    /// Every host that has sessions or was refused some, once it is there; who has most
    /// comes first.
    pub fn take_hosts(&mut self) -> Option<Vec<HostRow>> {
        self.hosts.take()
    }

    pub(super) fn command(&mut self, next: Option<(WorkerId, Command)>) {
        if let Some((worker, command)) = next {
            self.commands[worker.index()].push_back(command);
        }
    }
}
