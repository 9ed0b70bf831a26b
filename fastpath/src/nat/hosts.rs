//! Who has how many sessions, where somebody must not have too many (RFC 6888, REQ-4).

use super::ledger::{Ledger, Use};
use crate::address::Address;
use crate::ids::VrfId;
use crate::session::Seed;

/// The sessions of each host inside that has any. Some 20 bytes a host for IPv4.
pub(super) struct Hosts<A>(Ledger<A, u32>);

impl<A: Address> Hosts<A> {
    /// No host has a session; at most `capacity` hosts may have one.
    pub(super) fn new(capacity: usize, seed: Seed) -> Hosts<A> {
        Hosts(Ledger::new(capacity, seed))
    }

    /// How many sessions the host has.
    pub(super) fn sessions(&self, address: A, vrf: VrfId) -> u32 {
        self.0.get(address, vrf.0.into()).map_or(0, |sessions| *sessions)
    }

    /// The host has one more.
    pub(super) fn add(&mut self, address: A, vrf: VrfId) {
        // There is room: as many hosts as sessions.
        if let Some(sessions) = self.0.get_or_insert(address, vrf.0.into(), || 0) {
            *sessions += 1;
        }
    }

    /// The host has one less. One that was begun before there were limits is not known.
    pub(super) fn remove(&mut self, address: A, vrf: VrfId) {
        self.0.change(address, vrf.0.into(), |sessions| {
            *sessions -= 1;
            if *sessions == 0 { Use::Over } else { Use::Needed }
        });
    }
}
