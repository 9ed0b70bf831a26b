//! Sessions begin and end here: the choice of the outside name.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use super::behavior::Mapping;
use super::binding::{Binding, BindingTable, endpoint, endpoint_toward};
use super::change::Sweep;
use super::forward::Forwards;
use super::hosts::Hosts;
use super::identification::Identifications;
use super::lent::Lent;
use super::open::OpenNames;
use super::policy::SenderLimits;
use super::refused::Refused;
use super::spaces::Spaces;
use crate::address::Address;
use crate::chance::Chance;
use crate::counters::Counters;
use crate::handoff::Workers;
use crate::ids::{Epoch, PoolId, VrfId};
use crate::session::tcp::Phase;
use crate::session::window::{Passed, Segment};
use crate::session::{FlowKey, Found, Seed, Session, SessionTable};
use crate::snapshot::{Pool, Timeouts};
use crate::time::Instant;
use crate::verdict::DropReason;
use crate::wire::protocol;

/// What NAT knows of one family: sessions, bindings, free ports.
pub struct Nat<A> {
    /// The sessions.
    pub sessions: SessionTable<A>,
    /// Of datagrams that leave under another source.
    pub(crate) identifications: Identifications,
    pub(super) bindings: BindingTable<A>,
    pub(super) pools: Arc<[Pool<A>]>,
    pub(super) forwards: Arc<Forwards<A>>,
    /// Free ports of pools.
    pub(super) spaces: Spaces,
    /// Sessions that tables before have admitted, while they are being judged.
    pub(super) sweep: Option<Sweep<A>>,
    /// Names that let strangers in, where a pool has such.
    pub(super) open: Option<OpenNames<A>>,
    /// Sessions by who is inside, once somebody must not have too many.
    pub(super) hosts: Option<Hosts<A>>,
    /// Sessions that were begun from outside.
    pub(super) inbound: usize,
    /// Names that other workers use.
    pub(super) lent: Lent<A>,
    /// Names that others lent and that are not used any more, to be given back.
    pub(super) returned: VecDeque<FlowKey<A>>,
    pub(super) workers: Workers,
    /// The tables that brought these pools: what others seek or found by other tables is not
    /// for them.
    pub(super) since: Epoch,
    /// The secret of paired pooling.
    pub(super) pairing: u64,
    /// Hosts that were refused a session.
    pub(super) refused: Refused<A>,
    pub(super) seed: Seed,
}

/// How a flow is to be translated.
#[derive(Clone, Copy, Debug)]
pub struct Translation {
    /// From which pool the outside name is taken.
    pub pool: PoolId,
    /// The routing domain it goes to.
    pub outer: VrfId,
    /// Does it come in again there, round the hairpin?
    pub inward: bool,
    /// What its sender may have.
    pub limits: SenderLimits,
    /// Of chance: decides which port is tried first.
    pub word: u32,
}

/// Where a name for a flow is taken from.
#[derive(Clone, Copy, Debug)]
pub enum Choice<A> {
    /// From this worker's ports of any address of the pool, the one that the host is under
    /// first.
    Any,
    /// From this worker's ports of that one.
    Paired,
    /// Another worker lent it.
    Lent {
        /// Which address of the pool it has.
        address: u32,
        /// How the answers arrive.
        outside: FlowKey<A>,
    },
}

impl<A: Address> Nat<A> {
    /// Without a session, for at most `capacity`, for one of the workers.
    pub fn new(capacity: usize, seed: Seed, workers: Workers, now: Instant) -> Nat<A> {
        let others = if workers.is_alone() { 0 } else { capacity };
        Nat {
            sessions: SessionTable::new(capacity, seed, now),
            identifications: Identifications::new(seed, workers),
            bindings: BindingTable::new(capacity + others, seed),
            pools: Arc::from([]),
            forwards: Arc::new(Forwards::new()),
            spaces: Spaces::for_pools(0),
            sweep: None,
            open: None,
            hosts: None,
            inbound: 0,
            lent: Lent::new(others, seed),
            returned: VecDeque::with_capacity(others),
            workers,
            since: Epoch(0),
            pairing: if workers.is_alone() { seed.0[1] } else { workers.pairing() },
            refused: Refused::new(seed),
            seed,
        }
    }

    /// What it occupies at full capacity, in bytes; what pools and limits need not counted.
    pub fn bytes(&self) -> usize {
        let returned = self.returned.capacity() * size_of::<FlowKey<A>>();
        let names = self.bindings.bytes() + self.lent.bytes() + returned;
        self.sessions.bytes() + names + self.identifications.bytes()
    }

    /// Tells crowds which ports of a protocol other forwards have now, or none.
    pub(super) fn look_again(&mut self, before: &Forwards<A>, protocol: u8) {
        let Nat { sessions, bindings, pools, forwards, spaces, lent, .. } = self;
        for (public, port) in before.ports(protocol).chain(forwards.ports(protocol)) {
            let is_free = |binding| {
                let outside = FlowKey { dst_port: port, ..bindings.get(binding).key.reversed() };
                let is_held = forwards.holds_port(outside.dst, protocol, port);
                !is_held && sessions.find(&outside).is_none() && lent.find(&outside).is_none()
            };
            for space in spaces.all_mut() {
                let pool = &pools[space.pool.index()];
                if let Some(shared) = space.shared(protocol)
                    && pool.addresses.contains(&public)
                {
                    shared.crowds.look_again(port, is_free);
                }
            }
        }
    }

    /// Asks the CPU for what [`Nat::begin`] with this key will look at first.
    pub fn prefetch(&self, key: &FlowKey<A>) {
        if key.protocol != protocol::TCP {
            self.bindings.prefetch(&endpoint(key));
        }
    }

    /// Asks the CPU for where the answers of the flow will be looked for, if the port that
    /// [`Nat::begin`] tries first is free.
    pub fn prefetch_answers(&self, key: &FlowKey<A>, translation: Translation) {
        if let Some(outside) = self.first_name(key, translation) {
            self.sessions.prefetch(&outside);
        }
    }

    /// Begins a session for the flow that `key` opens.
    ///
    /// # Errors
    /// Why it cannot be: no address of this family, no free port, no room. Then
    /// nothing was changed.
    pub fn begin(
        &mut self,
        key: &FlowKey<A>,
        translation: Translation,
        choice: Choice<A>,
        timeouts: &Timeouts,
        now: Instant,
        chance: &mut Chance,
    ) -> Result<u32, DropReason> {
        let begun = self.try_begin(key, translation, choice, timeouts, now, chance);
        match begun {
            // Another worker may have a port yet.
            Err(DropReason::NatPortsExhausted) if self.is_dealt_out(translation.pool) => {}
            Err(DropReason::NatPortsExhausted) => self.exhausted(key, translation.pool),
            Err(_) => self.refused.count(key.src, key.vrf),
            Ok(_) => {}
        }
        begun
    }

    fn try_begin(
        &mut self,
        key: &FlowKey<A>,
        translation: Translation,
        choice: Choice<A>,
        timeouts: &Timeouts,
        now: Instant,
        chance: &mut Chance,
    ) -> Result<u32, DropReason> {
        if self.pools[translation.pool.index()].addresses.is_empty() {
            return Err(DropReason::NatNoPool);
        }
        let is_inbound = key.vrf == VrfId::MAIN;
        if self.sessions.len() == self.sessions.capacity() || (is_inbound && self.is_full_of_inbound()) {
            return Err(DropReason::NatTableFull);
        }
        self.may_begin(key, translation.limits, now)?;
        let named = FlowKey { hairpin: translation.inward.into(), ..*key };
        let (outside, binding) = self.name(&named, translation, choice, chance)?;
        let mut session = Session::new(*key, outside, now);
        session.binding = binding;
        self.enter(session, translation.limits, timeouts, now)
    }

    /// Begins the session of a flow that keeps its names on the way to the routing domain
    /// `outer`.
    ///
    /// # Errors
    /// There is no room, or the answers could not be told from another flow. Then
    /// nothing was changed.
    pub(crate) fn track(
        &mut self,
        key: &FlowKey<A>,
        outer: VrfId,
        limits: SenderLimits,
        timeouts: &Timeouts,
        now: Instant,
        counters: &mut Counters,
    ) -> Result<u32, DropReason> {
        let session = Session::new(*key, FlowKey { vrf: outer, ..key.reversed() }, now);
        if session.is_inbound() && self.is_full_of_inbound() {
            return Err(DropReason::NatTableFull);
        }
        self.may_begin(session.outward(), limits, now)?;
        if self.find(&session.back, now, counters).is_some() {
            return Err(DropReason::NatConflict);
        }
        self.enter(session, limits, timeouts, now)
    }

    /// Half of the table is for those who are inside: a flood from outside does not get it.
    pub(super) fn is_full_of_inbound(&self) -> bool {
        self.inbound >= self.sessions.capacity().div_ceil(2)
    }

    /// May who sends packets with this key have another session?
    pub(super) fn may_begin(&self, key: &FlowKey<A>, limits: SenderLimits, now: Instant) -> Result<(), DropReason> {
        match &self.hosts {
            Some(hosts) => hosts.may_begin(key.src, key.vrf, limits, now),
            None => Ok(()),
        }
    }

    /// Enters a session, which stands on a binding or on none.
    pub(super) fn enter(
        &mut self,
        session: Session<A>,
        limits: SenderLimits,
        timeouts: &Timeouts,
        now: Instant,
    ) -> Result<u32, DropReason> {
        let number = session.binding;
        let inside = *session.outward();
        if number != Session::<A>::UNBOUND {
            let mut rested = false;
            if let Some(open) = self.open.as_mut().filter(|open| open.has(number)) {
                rested = open.wake(number);
                open.meet(number, inside.dst);
            }
            self.hold(number, session.inward().dst_port, rested);
        }
        if let Some(hosts) = &mut self.hosts
            && session.is_of_its_host()
        {
            hosts.add(inside.src, inside.vrf, limits, now);
        }
        self.inbound += usize::from(session.is_inbound());
        let timeout = timeout_ms(&session, timeouts);
        self.sessions.insert(session, timeout, now).map_err(|_| {
            self.ended(&session, now);
            DropReason::NatTableFull
        })
    }

    /// A TCP segment passes through its session, which it keeps alive if its receiver may take it.
    pub fn pass(&mut self, found: Found, segment: &Segment, timeouts: &Timeouts, now: Instant) {
        let session = self.sessions.get_mut(found.session);
        let passed = session.tcp.pass(segment, found.direction);
        if passed != Passed::Unheard {
            session.last_ms = now.as_millis() as u32;
        }
        // The one change that shortens a deadline; longer ones are found out when the old one comes up.
        if passed == Passed::Ended {
            self.sessions.reschedule(found.session, timeouts.tcp_transitory_ms, now);
        }
    }

    /// Ends one session that was silent for too long, if one is due; says whether.
    /// Looks at no more than `budget` of them and takes from it what it used.
    pub fn expire(&mut self, now: Instant, budget: &mut u32, timeouts: &Timeouts) -> bool {
        let Some(session) = self.sessions.expire(now, budget, |session| timeout_ms(session, timeouts)) else {
            return false;
        };
        self.ended(&session, now);
        true
    }

    /// Ends a session.
    pub fn end(&mut self, number: u32, now: Instant) {
        let session = self.sessions.remove(number);
        self.ended(&session, now);
    }

    /// Gives back what a session had.
    fn ended(&mut self, session: &Session<A>, now: Instant) {
        self.inbound -= usize::from(session.is_inbound());
        let inside = session.outward();
        if let Some(hosts) = &mut self.hosts
            && session.is_of_its_host()
        {
            hosts.remove(inside.src, inside.vrf);
        }
        let number = session.binding;
        if number == Session::<A>::UNBOUND {
            return;
        }
        let binding = self.release(number, session.inward());
        if let Some(open) = self.open.as_mut().filter(|open| open.has(number)) {
            open.part(number, inside.dst);
            if binding.sessions == 0 {
                open.rest(number, now);
            }
        } else if binding.sessions == 0 {
            self.let_go(number);
        }
    }

    /// Another session, or lease, stands on a binding, and has this port. Did its name rest?
    pub(super) fn hold(&mut self, number: u32, port: u16, rested: bool) {
        let standing = self.bindings.hold(number);
        let binding = *self.bindings.get(number);
        let Binding { address, key, .. } = binding;
        let Some(space) = self.spaces.at_mut(binding.space()) else {
            return;
        };
        if self.workers.give_elsewhere(space.stripe.is_part(), port) {
            // Whoever lent the name counts it.
            return;
        }
        if let Some(shared) = space.shared(key.protocol).filter(|_| !binding.is_of_endpoint()) {
            shared.crowds.began(number, port, shared.taken(address, standing));
        }
        space.began(key.protocol, address, standing, rested);
    }

    /// It no longer does; its answers looked like this.
    pub(super) fn release(&mut self, number: u32, outside: &FlowKey<A>) -> Binding<A> {
        let binding = self.bindings.release(number);
        let Binding { address, sessions, key: FlowKey { protocol, .. }, .. } = binding;
        let rests = sessions == 0 && self.open.as_ref().is_some_and(|open| open.has(number));
        let Some(space) = self.spaces.at_mut(binding.space()) else {
            return binding;
        };
        if !self.workers.give_elsewhere(space.stripe.is_part(), outside.dst_port) {
            if let Some(shared) = space.shared(protocol).filter(|_| !binding.is_of_endpoint()) {
                shared.crowds.ended(number, outside.dst_port, shared.taken(address, sessions), sessions == 0);
            }
            space.ended(protocol, address, sessions, rests);
        } else if !binding.is_of_endpoint() {
            self.returned.push_back(*outside);
        }
        binding
    }

    /// Does the name of an endpoint in this pool let strangers in? One that is lent does so at its
    /// home.
    pub(super) fn is_to_be_open(&self, endpoint: &FlowKey<A>, pool: PoolId) -> bool {
        let FlowKey { src, vrf, protocol, .. } = *endpoint;
        let is_open = self.pools[pool.index()].behavior(protocol).is_open();
        is_open && (self.workers.is_alone() || self.workers.home(vrf, src) == self.workers.me())
    }

    /// The key of the binding that has the name under which a flow leaves; `None` where
    /// bindings share ports.
    pub(super) fn name_owner(&self, pool: PoolId, key: &FlowKey<A>) -> Option<FlowKey<A>> {
        match self.pools[pool.index()].behavior(key.protocol).mapping {
            Mapping::EndpointIndependent => Some(endpoint(key)),
            Mapping::AddressDependent => Some(endpoint_toward(key)),
            Mapping::AddressAndPortDependent => None,
        }
    }

    /// That binding, if there is one yet.
    pub(super) fn named(&self, pool: PoolId, key: &FlowKey<A>) -> Option<u32> {
        self.name_owner(pool, key).and_then(|owner| self.known_yet(&owner, pool))
    }

    /// A binding on which no session stands any more is gone, and its name free.
    pub(super) fn let_go(&mut self, number: u32) {
        let binding = *self.bindings.get(number);
        let protocol = binding.key.protocol;
        let rested = match self.open.as_mut().filter(|open| open.has(number)) {
            Some(open) => open.leave(number, &self.bindings),
            None => false,
        };
        self.bindings.discard(number);
        let is_current = self.spaces.is_current(binding.space());
        let Some(space) = self.spaces.at_mut(binding.space()).filter(|_| binding.is_of_endpoint()) else {
            // The ports of a destination are free toward whoever has none.
            return;
        };
        if self.workers.give_elsewhere(space.stripe.is_part(), binding.port) {
            let name = FlowKey { dst: binding.outside, dst_port: binding.port, protocol, ..FlowKey::default() };
            self.returned.push_back(name);
            return;
        }
        if rested {
            space.rested(protocol, binding.address);
        }
        if !space.owns(protocol) {
            // Ports serve many destinations by now.
        } else if !is_current {
            space.give_back(protocol, binding.address, binding.port);
            self.free_where_it_went(&binding);
        } else if self.forwards.holds_port(binding.outside, protocol, binding.port) {
            space.give_to_forward(protocol, binding.address, binding.port);
        } else {
            space.give_back(protocol, binding.address, binding.port);
        }
    }
}

/// How long this session may be silent, in milliseconds.
pub fn timeout_ms<A: Address>(session: &Session<A>, timeouts: &Timeouts) -> u32 {
    match session.forth.protocol {
        protocol::TCP => match session.tcp.state.phase() {
            Phase::Established => timeouts.tcp_established_ms,
            Phase::Opening | Phase::Closing => timeouts.tcp_transitory_ms,
        },
        protocol::UDP => timeouts.udp_ms_to(session.forth.dst_port),
        protocol::ICMP | protocol::ICMPV6 => timeouts.icmp_ms,
        _ => timeouts.udp_ms,
    }
}
