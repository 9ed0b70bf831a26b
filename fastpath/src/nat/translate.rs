//! Sessions begin and end here: the choice of the outside name.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::binding::{BindingTable, endpoint};
use super::forward::Forwards;
use super::hosts::Hosts;
use super::open::OpenNames;
use super::policy::SenderLimits;
use super::refused::Refused;
use super::space::Space;
use crate::address::Address;
use crate::chance::Chance;
use crate::ids::{PoolId, VrfId};
use crate::session::tcp::{Phase, Segment};
use crate::session::{FlowKey, Found, Seed, Session, SessionTable};
use crate::snapshot::{Pool, Timeouts};
use crate::time::Instant;
use crate::verdict::DropReason;
use crate::wire::protocol;

/// What NAT knows of one family: sessions, bindings, free ports.
pub struct Nat<A> {
    /// The sessions.
    pub sessions: SessionTable<A>,
    pub(super) bindings: BindingTable<A>,
    pub(super) pools: Arc<[Pool<A>]>,
    pub(super) forwards: Arc<Forwards<A>>,
    /// Free ports by pool.
    pub(super) spaces: Vec<Space>,
    /// Names that let strangers in, where a pool has such.
    pub(super) open: Option<OpenNames<A>>,
    /// Sessions by who is inside, once somebody must not have too many.
    hosts: Option<Hosts<A>>,
    /// Sessions that were begun from outside.
    pub(super) inbound: usize,
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
    /// What its sender may have.
    pub limits: SenderLimits,
}

impl<A: Address> Nat<A> {
    /// Without a session, for at most `capacity`.
    pub fn new(capacity: usize, seed: Seed, now: Instant) -> Nat<A> {
        Nat {
            sessions: SessionTable::new(capacity, seed, now),
            bindings: BindingTable::new(capacity, seed),
            pools: Arc::from([]),
            forwards: Arc::new(Forwards::new()),
            spaces: Vec::new(),
            open: None,
            hosts: None,
            inbound: 0,
            refused: Refused::new(seed),
            seed,
        }
    }

    /// What it occupies at full capacity, in bytes; what pools and limits need not counted.
    pub fn bytes(&self) -> usize {
        self.sessions.bytes() + self.bindings.bytes()
    }

    /// Takes names from these pools from now on, but those that belong to forwards.
    /// Where the pools differ from those before, every session ends; says how many.
    pub fn set_names(&mut self, pools: &Arc<[Pool<A>]>, forwards: &Arc<Forwards<A>>) -> u64 {
        let same_forwards = Arc::ptr_eq(forwards, &self.forwards) || **forwards == *self.forwards;
        let same_pools = Arc::ptr_eq(pools, &self.pools) || **pools == *self.pools;
        let forwards_before = core::mem::replace(&mut self.forwards, Arc::clone(forwards));
        let ended = if same_pools { 0 } else { self.end_all() };
        self.pools = Arc::clone(pools);
        if !same_pools {
            self.spaces = pools.iter().map(|pool| Space::new(pool, self.sessions.capacity())).collect();
            self.make_room_to_rest();
        }
        if !same_forwards || !same_pools {
            for (space, pool) in self.spaces.iter_mut().zip(&**pools) {
                let in_pool = |(public, port): (A, u16)| {
                    let address = pool.addresses.iter().position(|address| *address == public)?;
                    (pool.first_port..=pool.last_port).contains(&port).then_some((address as u32, port))
                };
                for protocol in [protocol::TCP, protocol::UDP] {
                    space.reserve(protocol, forwards.ports(protocol).filter_map(in_pool));
                }
            }
            self.look_again(&forwards_before, protocol::TCP);
            self.look_again(&forwards_before, protocol::UDP);
        }
        ended
    }

    /// Tells crowds which ports of a protocol other forwards have now, or none.
    fn look_again(&mut self, before: &Forwards<A>, protocol: u8) {
        let Nat { sessions, bindings, pools, forwards, spaces, .. } = self;
        for (public, port) in before.ports(protocol).chain(forwards.ports(protocol)) {
            let is_free = |binding| {
                let outside = FlowKey { dst_port: port, ..bindings.get(binding).key.reversed() };
                let is_held = forwards.holds_port(outside.dst, protocol, port);
                !is_held && sessions.find(&outside).is_none()
            };
            for (space, pool) in spaces.iter_mut().zip(&**pools) {
                if let Some(shared) = space.shared(protocol)
                    && pool.addresses.contains(&public)
                {
                    shared.crowds.look_again(port, is_free);
                }
            }
        }
    }

    /// Counts sessions by host from now on. Those there are do not count.
    pub fn count_hosts(&mut self) {
        if self.hosts.is_none() {
            self.hosts = Some(Hosts::new(self.sessions.capacity(), self.seed));
        }
    }

    /// Ends every session, and rest; says how many sessions there were.
    fn end_all(&mut self) -> u64 {
        // Nobody is let in any more, and nothing has to rest: the names are others.
        if let Some(mut open) = self.open.take() {
            while let Some(number) = open.longest_resting() {
                open.leave(number, &self.bindings);
                self.bindings.discard(number);
            }
        }
        let mut ended = 0;
        let mut from = Some(0);
        while let Some(at) = from {
            let mut numbers = Vec::new();
            from = self.sessions.page(at, 4096, |number, _| numbers.push(number));
            for number in numbers {
                self.end(number, Instant::ZERO);
                ended += 1;
            }
        }
        ended
    }

    /// Asks the CPU for what [`Nat::begin`] with this key will look at first.
    pub fn prefetch(&self, key: &FlowKey<A>) {
        if key.protocol != protocol::TCP {
            self.bindings.prefetch(&endpoint(key));
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
        timeouts: &Timeouts,
        now: Instant,
        chance: &mut Chance,
    ) -> Result<u32, DropReason> {
        let begun = self.try_begin(key, translation, timeouts, now, chance);
        if begun.is_err() {
            self.refused.count(key.src, key.vrf);
        }
        begun
    }

    fn try_begin(
        &mut self,
        key: &FlowKey<A>,
        translation: Translation,
        timeouts: &Timeouts,
        now: Instant,
        chance: &mut Chance,
    ) -> Result<u32, DropReason> {
        let pool = translation.pool.index();
        if self.pools[pool].addresses.is_empty() {
            return Err(DropReason::NatNoPool);
        }
        if self.sessions.len() == self.sessions.capacity() {
            return Err(DropReason::NatTableFull);
        }
        self.may_begin(key, translation.limits, now)?;
        let (outside, binding) = self.name(key, translation, chance)?;
        let mut session = Session::new(*key, outside, now);
        session.binding = binding;
        self.enter(session, translation.limits, timeouts, now)
    }

    /// May who sends packets with this key have another session?
    pub(super) fn may_begin(&self, key: &FlowKey<A>, limits: SenderLimits, now: Instant) -> Result<(), DropReason> {
        match &self.hosts {
            Some(hosts) => hosts.may_begin(key.src, key.vrf, limits, now),
            None => Ok(()),
        }
    }

    /// Enters a session that stands on a binding.
    pub(super) fn enter(
        &mut self,
        session: Session<A>,
        limits: SenderLimits,
        timeouts: &Timeouts,
        now: Instant,
    ) -> Result<u32, DropReason> {
        let (number, protocol) = (session.binding, session.forth.protocol);
        let standing = self.bindings.hold(number);
        let binding = self.bindings.get(number);
        let pool = usize::from(binding.pool);
        let inside = *session.outward();
        let mut rested = false;
        if let Some(shared) = self.spaces[pool].shared(protocol) {
            let taken = shared.taken(binding.address, standing);
            shared.crowds.began(number, session.back.dst_port, taken);
        }
        if let Some(open) = &mut self.open
            && self.pools[pool].behavior(protocol).is_open()
        {
            rested = open.wake(number);
            open.meet(number, inside.dst);
        }
        self.spaces[pool].usage(protocol).began(binding.address, standing, rested);
        if let Some(hosts) = &mut self.hosts {
            hosts.add(inside.src, inside.vrf, limits, now);
        }
        self.inbound += usize::from(session.is_inbound());
        let timeout = timeout_ms(&session, timeouts);
        self.sessions.insert(session, timeout, now).map_err(|_| {
            self.ended(&session, now);
            DropReason::NatTableFull
        })
    }

    /// A TCP segment passes through its session.
    pub fn pass(&mut self, found: Found, segment: Segment, timeouts: &Timeouts, now: Instant) {
        let tcp = &mut self.sessions.get_mut(found.session).tcp;
        let before = tcp.state.phase();
        tcp.pass(segment, found.direction);
        // The one change that shortens a deadline; longer ones are found out when the old one comes up.
        if before == Phase::Established && tcp.state.phase() == Phase::Closing {
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
        if session.binding == Session::<A>::UNBOUND {
            self.inbound -= 1;
            return;
        }
        self.inbound -= usize::from(session.is_inbound());
        let inside = session.outward();
        if let Some(hosts) = &mut self.hosts {
            hosts.remove(inside.src, inside.vrf);
        }
        let number = session.binding;
        let binding = self.bindings.release(number);
        let (pool, protocol) = (usize::from(binding.pool), binding.key.protocol);
        if let Some(shared) = self.spaces[pool].shared(protocol) {
            let taken = shared.taken(binding.address, binding.sessions);
            shared.crowds.ended(number, session.back.dst_port, taken, binding.sessions == 0);
        }
        let mut rests = false;
        if let Some(open) = &mut self.open
            && self.pools[pool].behavior(protocol).is_open()
        {
            open.part(number, inside.dst);
            rests = binding.sessions == 0;
            if rests {
                open.rest(number, now);
            }
        }
        self.spaces[pool].usage(protocol).ended(binding.address, binding.sessions, rests);
        if binding.sessions == 0 && !rests {
            self.let_go(number);
        }
    }

    /// A binding on which no session stands any more is gone, and its name free.
    pub(super) fn let_go(&mut self, number: u32) {
        let binding = *self.bindings.get(number);
        let (pool, protocol) = (usize::from(binding.pool), binding.key.protocol);
        if let Some(open) = &mut self.open
            && self.pools[pool].behavior(protocol).is_open()
            && open.leave(number, &self.bindings)
        {
            self.spaces[pool].usage(protocol).rested(binding.address);
        }
        self.bindings.discard(number);
        let space = &mut self.spaces[pool];
        if space.shared(protocol).is_some() {
            // Its ports are free toward whoever has none.
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
        _ => timeouts.icmp_ms,
    }
}
