//! Other tables in the place of those there are: what sessions stand on goes over to them.
//!
//! With a million sessions it would take tens of milliseconds to look at each, and a worker
//! must not stop for that long. So the new tables are in force at once, and the sessions are
//! judged by and by, a few a turn: those whose number is below a mark have been, and whoever
//! is touched before his turn is judged first. So nothing leaves under a name that the new
//! tables do not own. What a name stands on stays where it was until then: the pools that
//! changed have new spaces, and the old ones remain until the last session was judged.
//!
//! What is large is made beforehand, off the packet cores ([`Room`]), and what it replaces
//! goes back there to be freed.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::Nat;
use super::binding::{BORROWED, Binding, BindingTable};
use super::hosts::Hosts;
use super::judge::{EndReason, Facts, Judge, Outcome, Place, Since};
use super::open::OpenNames;
use super::space::Space;
use super::spaces::Spaces;
use super::stripe::Stripe;
use crate::address::Address;
use crate::counters::Counters;
use crate::handoff::Workers;
use crate::ids::{Epoch, PoolId};
use crate::session::{FlowKey, Found, Seed, Session};
use crate::snapshot::{Pool, PortEntry, Snapshot, Tables};
use crate::time::Instant;
use crate::wire::protocol;

/// What a worker needs to go over from one snapshot to the next. To be made by whoever may
/// allocate, and freed there once it comes back with what it replaced.
pub struct Room {
    before: Epoch,
    after: Epoch,
    pub(crate) v4: Change<u32>,
    pub(crate) v6: Change<u128>,
}

impl Room {
    /// To go over from tables `before` to `after`, as the one of `workers`, with room for so many
    /// IPv4 and IPv6 sessions. `seed` is a secret that decides about hashes. `None`: names and
    /// policy are as before, and no room is needed.
    pub fn new(
        before: &Snapshot,
        after: &Snapshot,
        workers: Workers,
        sessions: (usize, usize),
        seed: Seed,
    ) -> Option<Room> {
        let masquerades = |port: &PortEntry| port.masquerade;
        let is_same = before.v4.admits_as(&after.v4)
            && before.v6.admits_as(&after.v6)
            && before.ports.iter().map(masquerades).eq(after.ports.iter().map(masquerades));
        (!is_same).then(|| Room {
            before: before.epoch,
            after: after.epoch,
            v4: Change::new(&before.v4, &after.v4, &after.ports, workers, sessions.0, seed),
            v6: Change::new(&before.v6, &after.v6, &after.ports, workers, sessions.1, seed),
        })
    }

    /// The tables to go over from, and to.
    pub fn epochs(&self) -> (Epoch, Epoch) {
        (self.before, self.after)
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("epochs", &self.epochs()).finish_non_exhaustive()
    }
}

impl<A: Address> Tables<A> {
    /// Do these tables admit what those do, under the same names?
    pub(crate) fn admits_as(&self, other: &Tables<A>) -> bool {
        let Tables { egress, pools, forwards, .. } = other;
        (Arc::ptr_eq(&self.pools, pools) || self.pools == *pools)
            && (Arc::ptr_eq(&self.forwards, forwards) || self.forwards == *forwards)
            && (Arc::ptr_eq(&self.egress, egress) || self.egress == *egress)
    }
}

/// The part of one family.
pub struct Change<A> {
    sweep: Option<Sweep<A>>,
    /// For all spaces.
    spaces: Spaces,
    /// Those of pools that have others now.
    fresh: Vec<Space>,
    hosts: Option<Hosts<A>>,
    open: Option<OpenNames<A>>,
    /// What was replaced.
    retired: Vec<Space>,
}

/// Sessions that are to be judged.
pub(super) struct Sweep<A> {
    judge: Judge<A>,
    /// Spaces that sessions may stand on yet though they are no pool's any more.
    old: Vec<u16>,
    /// The space that each pool had, by pool.
    had: Vec<u16>,
    /// Sessions, leases and bindings below were judged, in this order.
    sessions: u32,
    leases: u32,
    bindings: u32,
    /// Is all known in the spaces of pools that was given out of their addresses before?
    all_taken_over: bool,
    /// What taking addresses over has cost since a step began, in sessions that are judged.
    cost: u32,
}

/// Records that a step passes over, at most, for each of its budget: those that only have to be
/// told from what is to be judged.
const SKIPPED: u32 = 8;
/// Sessions that are judged in the time that it takes to take an address over.
const TAKE_OVER: u32 = 16;
/// Rules that are looked at in the time that a session takes anyway.
const RULES: usize = 16;

impl<A: Address> Change<A> {
    /// As [`Room::new`], for one family: `ports` are those that `after` goes with.
    pub fn new(
        before: &Tables<A>,
        after: &Tables<A>,
        ports: &[PortEntry],
        workers: Workers,
        capacity: usize,
        seed: Seed,
    ) -> Change<A> {
        let judge = Judge::new(before, after, ports);
        let pools = before.pools.len().max(after.pools.len());
        let fresh: Vec<Space> = (after.pools.iter().enumerate())
            .filter(|(at, pool)| {
                let was = before.pools.get(*at);
                !was.is_some_and(|was| {
                    pool.is_dealt_out_as(was)
                        && pool.is_one_hosts(&after.forwards) == was.is_one_hosts(&before.forwards)
                })
            })
            .map(|(at, pool)| space(PoolId(at as u16), pool, after, &judge, &workers, capacity))
            .collect();
        let resting = resting(&after.pools, capacity);
        let limits = after.limits_senders() && !before.limits_senders();
        let opens = resting > 0 && self::resting(&before.pools, capacity) == 0;
        Change {
            retired: Vec::with_capacity(2 * pools),
            sweep: Some(Sweep {
                judge,
                old: Vec::with_capacity(2 * pools),
                had: Vec::with_capacity(pools),
                sessions: 0,
                leases: 0,
                bindings: 0,
                all_taken_over: false,
                cost: 0,
            }),
            spaces: Spaces::for_pools(pools),
            fresh,
            hosts: limits.then(|| Hosts::new(capacity, seed)),
            open: opens.then(|| OpenNames::new(bindings(&workers, capacity, resting), capacity, seed)),
        }
    }
}

/// The ports of a pool that are this worker's, but those that are forwarded. Those of a host's own
/// address are its home's, all of them.
fn space<A: Address>(
    id: PoolId,
    pool: &Pool<A>,
    tables: &Tables<A>,
    judge: &Judge<A>,
    workers: &Workers,
    capacity: usize,
) -> Space {
    let whose = if pool.is_one_hosts(&tables.forwards) { &Workers::ALONE } else { workers };
    let mut space = Space::new(id, pool, Stripe::of(whose, pool.first_port, pool.last_port), capacity);
    reserve(&mut space, pool, tables);
    for (at, address) in pool.addresses.iter().enumerate() {
        if judge.place(*address).is_some_and(|place| place.is_kept && place.before.is_some()) {
            space.pending.insert(at as u32);
        }
    }
    space
}

/// Notes which ports of a pool are forwarded.
fn reserve<A: Address>(space: &mut Space, pool: &Pool<A>, tables: &Tables<A>) {
    let stripe = space.stripe;
    let in_pool = |(public, port): (A, u16)| {
        let address = pool.addresses.iter().position(|address| *address == public)?;
        stripe.number(port).map(|_| (address as u32, port))
    };
    for protocol in [protocol::TCP, protocol::UDP] {
        space.reserve(protocol, tables.forwards.ports(protocol).filter_map(in_pool));
    }
}

/// Names that may rest at a time, where some do. No more than `capacity`, as sessions live longer
/// than names rest, but those that were killed or to a port with a shorter timer: if there are too
/// many, who is new is refused.
fn resting<A: Address>(pools: &[Pool<A>], capacity: usize) -> usize {
    let is_open = |pool: &Pool<A>| [pool.tcp, pool.udp].iter().any(|behavior| behavior.is_open());
    if pools.iter().any(is_open) { capacity } else { 0 }
}

/// Bindings that so many sessions need: theirs, those of names that are lent, and of those at rest.
fn bindings(workers: &Workers, capacity: usize, resting: usize) -> usize {
    capacity + if workers.is_alone() { 0 } else { capacity } + resting
}

impl<A: Address> Nat<A> {
    /// Admits by these tables and takes names from their pools from now on, but those that belong to
    /// forwards. Sessions there are remain to be judged: [`Nat::settle`]. Those of the change before
    /// have been. What it replaces is put into `change`, once they are.
    pub fn install(&mut self, tables: &Tables<A>, change: &mut Change<A>, epoch: Epoch) {
        debug_assert!(self.sweep.is_none(), "one change after the other");
        let forwards_before = core::mem::replace(&mut self.forwards, Arc::clone(&tables.forwards));
        if self.hosts.is_none() {
            self.hosts = change.hosts.take();
        }
        let resting = resting(&tables.pools, self.sessions.capacity());
        if self.since == Epoch(0) && resting > 0 {
            // Before the first packet there is time.
            let all = bindings(&self.workers, self.sessions.capacity(), resting);
            self.bindings = BindingTable::new(all, self.seed);
        }
        if self.open.is_none() {
            self.open = change.open.take();
        }
        let mut sweep = change.sweep.take();
        if let Some(sweep) = &mut sweep {
            sweep.had.extend((0..self.pools.len()).map(|pool| self.spaces.number(PoolId(pool as u16))));
            core::mem::swap(&mut self.spaces, &mut change.spaces);
            self.spaces.succeed(&mut change.spaces, tables.pools.len(), &mut change.fresh, &mut sweep.old);
            for number in &sweep.old {
                if let Some(space) = self.spaces.at_mut(*number) {
                    for protocol in [protocol::TCP, protocol::UDP] {
                        space.reserve(protocol, core::iter::empty());
                    }
                }
            }
        }
        self.since = epoch;
        self.pools = Arc::clone(&tables.pools);
        if tables.forwards != forwards_before {
            for space in self.spaces.all_mut() {
                reserve(space, &tables.pools[space.pool.index()], tables);
            }
            self.look_again(&forwards_before, protocol::TCP);
            self.look_again(&forwards_before, protocol::UDP);
        }
        self.sweep = sweep;
    }

    /// Shares what does not differ with these tables, so that nothing of others has to be kept.
    pub(crate) fn share(&mut self, tables: &Tables<A>) {
        self.pools = Arc::clone(&tables.pools);
        self.forwards = Arc::clone(&tables.forwards);
        // Who is selected may change while sessions are judged.
        if let Some(sweep) = &mut self.sweep {
            sweep.judge.select(&tables.selected);
        }
    }

    /// Are there sessions yet that have to be judged?
    #[inline(always)]
    pub fn is_settling(&self) -> bool {
        self.sweep.is_some()
    }

    /// Judges more sessions, `budget` at most where rules are few; puts what is replaced into
    /// `change` once there are no more.
    pub fn settle(&mut self, change: &mut Change<A>, now: Instant, budget: u32, counters: &mut Counters) {
        let Some(sweep) = &self.sweep else {
            return;
        };
        let mut left = (budget as usize * RULES / (RULES + sweep.judge.longest())).max(1) as u32;
        let mut passed = left.saturating_mul(SKIPPED);
        while left > 0 && passed > 0 {
            passed -= 1;
            let Some(was_judged) = self.settle_one(now, counters) else {
                self.retire(change);
                return;
            };
            let taken_over = self.sweep.as_mut().map_or(0, |sweep| core::mem::take(&mut sweep.cost));
            left = left.saturating_sub(u32::from(was_judged) + taken_over);
        }
    }

    /// The next record; was there anything to judge? `None`: there is none left.
    fn settle_one(&mut self, now: Instant, counters: &mut Counters) -> Option<bool> {
        let sweep = self.sweep.as_mut()?;
        if let Some(live) = self.sessions.is_live(sweep.sessions) {
            let number = sweep.sessions;
            sweep.sessions += 1;
            if live {
                self.judge(number, now, counters);
            }
            return Some(live);
        }
        // No session is to be judged any more.
        sweep.sessions = u32::MAX;
        if !sweep.all_taken_over {
            let pending = self.spaces.all_mut().find_map(|space| Some((space.pool, space.pending.first_from(0)?)));
            if let Some((pool, address)) = pending {
                self.take_over(pool, address);
                return Some(true);
            }
            sweep.all_taken_over = true;
        }
        let sweep = self.sweep.as_mut()?;
        if let Some(lease) = self.lent.binding(sweep.leases) {
            sweep.leases += 1;
            if let Some(number) = lease
                && !self.adopt_if_kept(number)
            {
                let Binding { address, .. } = *self.bindings.get(number);
                self.bindings.move_to(number, Binding::<A>::NOWHERE, address);
            }
            return Some(lease.is_some());
        }
        let number = sweep.bindings;
        let rests = self.open.as_ref()?.rests(number)?;
        sweep.bindings += 1;
        // Also where it is: a forward may have its name by now.
        if rests && (self.kept(number).is_none() || !self.adopt_if_kept(number)) {
            self.let_go(number);
        }
        Some(rests)
    }

    /// Is the session there still, after a change?
    #[inline]
    pub(crate) fn judged(&mut self, found: Found, now: Instant, counters: &mut Counters) -> Option<Found> {
        let is_to_be = self.sweep.as_ref().is_some_and(|sweep| found.session >= sweep.sessions);
        (!is_to_be || self.judge(found.session, now, counters)).then_some(found)
    }

    /// Finds the session that a packet with this key belongs to, if it is there still.
    pub(crate) fn find(&mut self, key: &FlowKey<A>, now: Instant, counters: &mut Counters) -> Option<Found> {
        let found = self.sessions.find(key)?;
        self.judged(found, now, counters)
    }

    /// Judges a session, and ends it if need be; does it survive?
    fn judge(&mut self, number: u32, now: Instant, counters: &mut Counters) -> bool {
        let Some(sweep) = &self.sweep else {
            return true;
        };
        let session = self.sessions.get(number);
        let binding = session.binding;
        let stands_here =
            binding != Session::<A>::UNBOUND && self.spaces.is_current(self.bindings.get(binding).space());
        let since = if stands_here { Since::Now } else { Since::Before };
        match sweep.judge.judge_at(&Facts::of(session), since) {
            Outcome::Survives => {
                if binding != Session::<A>::UNBOUND {
                    self.adopt_if_kept(binding);
                }
                return true;
            }
            Outcome::TranslatedAnew => counters.sessions_ended_renamed += 1,
            Outcome::Ends(EndReason::Policy(_)) => counters.sessions_ended_policy += 1,
            Outcome::Ends(EndReason::Forward) => counters.sessions_ended_forward += 1,
        }
        counters.sessions_ended += 1;
        self.end(number, now);
        false
    }

    /// The binding of an endpoint or a destination in a pool, which comes over if need be.
    pub(super) fn known(&mut self, key: &FlowKey<A>, pool: PoolId) -> Option<u32> {
        let number = self.known_yet(key, pool)?;
        if !self.has_lost_its_name(self.bindings.get(number)) {
            self.adopt_if_kept(number);
            return Some(number);
        }
        if self.bindings.get(number).sessions == 0 {
            self.let_go(number);
        } else {
            // Sessions that are not judged yet.
            self.bindings.lose(number);
        }
        None
    }

    /// As [`Nat::known`], and it stays where it is.
    pub(super) fn known_yet(&self, key: &FlowKey<A>, pool: PoolId) -> Option<u32> {
        let known = self.bindings.find(key, self.spaces.number(pool));
        let Some(sweep) = self.sweep.as_ref().filter(|_| known.is_none()) else {
            return known;
        };
        let in_old = sweep.old.iter().filter_map(|space| self.bindings.find(key, *space));
        in_old.into_iter().find(|number| self.kept(*number).is_some_and(|place| place.pool == pool))
    }

    /// Is it the binding of a pool, or may it become that?
    pub(super) fn is_kept(&self, number: u32) -> bool {
        self.spaces.is_current(self.bindings.get(number).space()) || self.kept(number).is_some()
    }

    /// Where a binding of tables before is now, if its name is one that may be kept.
    fn kept(&self, number: u32) -> Option<Place> {
        if self.bindings.get(number).space() == Binding::<A>::NOWHERE {
            return None;
        }
        let (judge, binding) = (&self.sweep.as_ref()?.judge, self.bindings.get(number));
        let address = binding.public();
        let place = if binding.is_of_endpoint() {
            judge.keeps(&binding.key, address, binding.port)
        } else {
            judge.place(address).filter(|place| place.is_kept)
        };
        place.copied()
    }

    /// Lets a binding come over to the space that its pool has now, unless it is there; `false`: its
    /// name may not be kept.
    pub(super) fn adopt_if_kept(&mut self, number: u32) -> bool {
        if self.spaces.is_current(self.bindings.get(number).space()) {
            return true;
        }
        let Some(place) = self.kept(number) else {
            return false;
        };
        // Its port is among those that are taken over.
        self.take_over(place.pool, place.address);
        self.bindings.move_to(number, self.spaces.number(place.pool), place.address);
        let rests = self.open.as_ref().is_some_and(|open| open.rests(number) == Some(true));
        let Binding { key, port, sessions, .. } = *self.bindings.get(number);
        let space = self.spaces.of_mut(place.pool);
        // Whoever lent a name counts it.
        let is_borrowed = if self.bindings.get(number).is_of_endpoint() {
            self.workers.give_elsewhere(space.stripe.is_part(), port)
        } else {
            key.src_port == BORROWED
        };
        if !is_borrowed {
            space.came_over(key.protocol, place.address, sessions, rests);
        }
        true
    }

    /// Lets what was given out of a pool's address be known where it is given out now.
    pub(super) fn take_over(&mut self, pool: PoolId, address: u32) {
        let Some(sweep) = self.sweep.as_mut().filter(|_| self.spaces.of(pool).pending.contains(address)) else {
            return;
        };
        sweep.cost += TAKE_OVER;
        let name = self.pools[pool.index()].addresses[address as usize];
        let place = sweep.judge.place(name).and_then(|place| place.before);
        let had = place.map(|(pool, address)| (sweep.had[pool.index()], address));
        let own = self.spaces.number(pool);
        if let Some((had, as_it_was)) = had
            && let Some((space, before)) = self.spaces.both(own, had)
        {
            space.take_over(address, before, as_it_was);
        }
    }

    /// The port of an endpoint is free, in a space that is no pool's any more: it is so where it is
    /// given out now, too.
    pub(super) fn free_where_it_went(&mut self, binding: &Binding<A>) {
        let place = self.sweep.as_ref().and_then(|sweep| sweep.judge.place(binding.outside)).copied();
        let Some(Place { pool, address, is_kept: true, .. }) = place else {
            return;
        };
        let protocol = binding.key.protocol;
        let is_forwarded = self.forwards.holds_port(binding.outside, protocol, binding.port);
        let space = self.spaces.of_mut(pool);
        let is_known = !space.pending.contains(address) && space.stripe.number(binding.port).is_some();
        if is_known && space.owns(protocol) && !is_forwarded {
            space.give_back(protocol, address, binding.port);
        }
    }

    /// Nothing stands on what there was before any more.
    fn retire(&mut self, change: &mut Change<A>) {
        let Some(mut sweep) = self.sweep.take() else {
            return;
        };
        for number in sweep.old.drain(..) {
            change.retired.extend(self.spaces.retire(number));
        }
        change.sweep = Some(sweep);
    }
}
