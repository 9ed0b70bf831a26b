//! Names that let strangers in (RFC 4787, section 5): whose they are, whom their owners
//! talk to, and the rest they have before they are somebody else's.

use alloc::vec;
use alloc::vec::Vec;

use super::Nat;
use super::behavior::Filtering;
use super::binding::BindingTable;
use super::ledger::{Ledger, Use};
use crate::address::Address;
use crate::ids::VrfId;
use crate::session::{FlowKey, Index, Seed};
use crate::snapshot::Timeouts;
use crate::time::Instant;

/// The bindings whose names are open. Allocates once, when made.
pub(super) struct OpenNames<A> {
    /// Bindings by their names.
    index: Index,
    /// By number of the binding.
    places: Vec<Place>,
    /// Sessions by peer's address and binding, where that decides who comes in.
    peers: Ledger<A, u32>,
    /// Who rests longest, and who went to rest last.
    first: u32,
    last: u32,
    seed: Seed,
}

/// What is known of a binding beside what it itself says.
#[derive(Clone, Copy, Default)]
struct Place {
    /// The routing domain in which it has its name.
    outer: VrfId,
    /// Is its name open?
    is_open: bool,
    /// Does no session stand on it any more?
    rests: bool,
    /// Since when, in milliseconds, and the neighbours in the queue of those who rest.
    since_ms: u64,
    before: u32,
    after: u32,
}

const NONE: u32 = u32::MAX;

/// The key of a name: what a packet to it says of it.
fn name<A: Address>(outside: A, port: u16, protocol: u8, outer: VrfId) -> FlowKey<A> {
    FlowKey { dst: outside, dst_port: port, vrf: outer, protocol, ..FlowKey::default() }
}

impl<A: Address> OpenNames<A> {
    /// No name, for so many bindings and sessions.
    pub(super) fn new(bindings: usize, sessions: usize, seed: Seed) -> OpenNames<A> {
        OpenNames {
            index: Index::with_capacity(bindings),
            places: vec![Place::default(); bindings],
            peers: Ledger::new(sessions, seed),
            first: NONE,
            last: NONE,
            seed,
        }
    }

    /// Is the name of this binding one?
    pub(super) fn has(&self, number: u32) -> bool {
        self.places[number as usize].is_open
    }

    /// Does the name of this binding rest? `None`: there is no such binding.
    pub(super) fn rests(&self, number: u32) -> Option<bool> {
        self.places.get(number as usize).map(|place| place.rests)
    }

    /// A new binding's name is open in this routing domain; `false` when there is no room
    /// to note it.
    #[must_use]
    pub(super) fn enter(&mut self, number: u32, bindings: &BindingTable<A>, outer: VrfId) -> bool {
        self.places[number as usize] = Place { outer, is_open: true, ..Place::default() };
        let is_entered = self.index.insert(self.hash(number, bindings), number);
        self.places[number as usize].is_open = is_entered;
        is_entered
    }

    /// The binding is about to be gone; did it rest?
    pub(super) fn leave(&mut self, number: u32, bindings: &BindingTable<A>) -> bool {
        self.index.remove(self.hash(number, bindings), number);
        self.places[number as usize].is_open = false;
        self.wake(number)
    }

    /// The binding that a packet from outside is for by its name, and for which `is` holds:
    /// after a change of tables one that is about to go may have the same name.
    pub(super) fn find(
        &self,
        packet: &FlowKey<A>,
        bindings: &BindingTable<A>,
        is: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let key = name(packet.dst, packet.dst_port, packet.protocol, packet.vrf);
        self.index.find(key.hash(self.seed), |number| self.name(number, bindings).is(&key) && is(number))
    }

    /// Is the name of this binding in use, and does `filtering` let this peer in?
    pub(super) fn lets_in(&self, number: u32, peer: A, filtering: Filtering) -> bool {
        let is_let_in = match filtering {
            Filtering::EndpointIndependent => true,
            Filtering::AddressDependent => self.peers.get(peer, number).is_some(),
            Filtering::AddressAndPortDependent => false,
        };
        is_let_in && !self.places[number as usize].rests
    }

    /// A session with a peer at this address stands on the binding.
    pub(super) fn meet(&mut self, number: u32, peer: A) {
        // There is room: as many as sessions.
        if let Some(sessions) = self.peers.get_or_insert(peer, number, || 0) {
            *sessions += 1;
        }
    }

    /// It no longer does.
    pub(super) fn part(&mut self, number: u32, peer: A) {
        self.peers.change(peer, number, |sessions| {
            *sessions -= 1;
            if *sessions == 0 { Use::Over } else { Use::Needed }
        });
    }

    /// No session stands on the binding any more: its name rests.
    pub(super) fn rest(&mut self, number: u32, now: Instant) {
        let before = self.last;
        let place = &mut self.places[number as usize];
        *place = Place { rests: true, since_ms: now.as_millis(), before, after: NONE, ..*place };
        *self.link(before, Side::After) = number;
        self.last = number;
    }

    /// The binding rests no longer; did it?
    pub(super) fn wake(&mut self, number: u32) -> bool {
        let Place { rests, before, after, .. } = self.places[number as usize];
        if rests {
            self.places[number as usize].rests = false;
            *self.link(before, Side::After) = after;
            *self.link(after, Side::Before) = before;
        }
        rests
    }

    /// A binding that has rested for so long, if there is one.
    pub(super) fn rested(&self, now: Instant, rest_ms: u32) -> Option<u32> {
        let number = self.longest_resting()?;
        let until = self.places[number as usize].since_ms + u64::from(rest_ms);
        (until <= now.as_millis()).then_some(number)
    }

    /// The binding that has rested longest.
    pub(super) fn longest_resting(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    /// The bindings that rest, the longest first.
    pub(super) fn resting(&self) -> impl Iterator<Item = u32> + '_ {
        let some = |number: u32| (number != NONE).then_some(number);
        core::iter::successors(some(self.first), move |number| some(self.places[*number as usize].after))
    }

    /// What leads from a place to its neighbour; from nowhere, to the queue's end.
    fn link(&mut self, number: u32, side: Side) -> &mut u32 {
        match (self.places.get_mut(number as usize), side) {
            (Some(place), Side::Before) => &mut place.before,
            (Some(place), Side::After) => &mut place.after,
            (None, Side::Before) => &mut self.last,
            (None, Side::After) => &mut self.first,
        }
    }

    fn name(&self, number: u32, bindings: &BindingTable<A>) -> FlowKey<A> {
        let binding = bindings.get(number);
        name(binding.outside, binding.port, binding.key.protocol, self.places[number as usize].outer)
    }

    fn hash(&self, number: u32, bindings: &BindingTable<A>) -> u64 {
        self.name(number, bindings).hash(self.seed)
    }
}

impl<A: Address> Nat<A> {
    /// Lets go of names that have rested, as many as `budget` allows; takes from it what
    /// it used.
    pub fn end_rests(&mut self, now: Instant, budget: &mut u32, timeouts: &Timeouts) {
        while *budget > 0
            && let Some(open) = &self.open
            && let Some(number) = open.rested(now, timeouts.rest_ms)
        {
            *budget -= 1;
            self.let_go(number);
        }
    }
}

/// Of a place in the queue.
#[derive(Clone, Copy)]
enum Side {
    Before,
    After,
}
