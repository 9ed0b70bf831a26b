//! Who has and begins how many sessions, where somebody must not have or begin too many
//! (RFC 6888, REQ-4 and REQ-5).

use super::ledger::{Ledger, Use};
use super::policy::SenderLimits;
use crate::address::Address;
use crate::ids::VrfId;
use crate::limiter::Pace;
use crate::session::Seed;
use crate::time::Instant;
use crate::verdict::DropReason;

/// Each host inside that has a session. Some 40 bytes a host for IPv4.
pub(super) struct Hosts<A>(Ledger<A, Host>);

/// What is kept of one.
#[derive(Default)]
struct Host {
    sessions: u32,
    /// Of the sessions that it begins. Whose last session has ended was silent for longer
    /// than a pace remembers, so it goes with that.
    pace: Pace,
}

impl<A: Address> Hosts<A> {
    /// No host has a session; at most `capacity` hosts may have one.
    pub(super) fn new(capacity: usize, seed: Seed) -> Hosts<A> {
        Hosts(Ledger::new(capacity, seed))
    }

    /// May the host have another session?
    pub(super) fn may_begin(
        &self,
        address: A,
        vrf: VrfId,
        limits: SenderLimits,
        now: Instant,
    ) -> Result<(), DropReason> {
        let Some(host) = self.0.get(address, vrf.0.into()) else {
            return Ok(());
        };
        if limits.sessions.is_some_and(|most| host.sessions >= most) {
            Err(DropReason::NatSourceLimit)
        } else if limits.new_per_second.is_some_and(|rate| !host.pace.allows(rate, now)) {
            Err(DropReason::NatSourceRate)
        } else {
            Ok(())
        }
    }

    /// The host has begun one more.
    pub(super) fn add(&mut self, address: A, vrf: VrfId, limits: SenderLimits, now: Instant) {
        // There is room: as many hosts as sessions.
        if let Some(host) = self.0.get_or_insert(address, vrf.0.into(), Host::default) {
            host.sessions += 1;
            if let Some(rate) = limits.new_per_second {
                host.pace.spend(rate, now);
            }
        }
    }

    /// The host has one less. One that was begun before there were limits is not known.
    pub(super) fn remove(&mut self, address: A, vrf: VrfId) {
        self.0.change(address, vrf.0.into(), |host| {
            host.sessions -= 1;
            if host.sessions == 0 { Use::Over } else { Use::Needed }
        });
    }
}
