//! Sessions begin and end here: the choice of the outside name.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::binding::{BindingTable, endpoint};
use super::forward::Forwards;
use super::hosts::Hosts;
use super::identification::Identifications;
use super::space::Space;
use crate::address::Address;
use crate::chance::Chance;
use crate::ids::{PoolId, VrfId};
use crate::session::tcp::{Phase, Segment};
use crate::session::{Direction, FlowKey, Found, Seed, Session, SessionTable};
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
    /// Free ports by pool.
    pub(super) spaces: Vec<Space>,
    /// Sessions by who began them, once somebody must not have too many.
    hosts: Option<Hosts<A>>,
    /// Sessions that were begun from outside.
    forwarded: usize,
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
    /// Sessions that its sender may have at once.
    pub most_sessions: Option<u32>,
}

impl<A: Address> Nat<A> {
    /// Without a session, for at most `capacity`.
    pub fn new(capacity: usize, seed: Seed, now: Instant) -> Nat<A> {
        Nat {
            sessions: SessionTable::new(capacity, seed, now),
            identifications: Identifications::new(seed),
            bindings: BindingTable::new(capacity, seed),
            pools: Arc::from([]),
            forwards: Arc::new(Forwards::new()),
            spaces: Vec::new(),
            hosts: None,
            forwarded: 0,
            seed,
        }
    }

    /// What it occupies at full capacity, in bytes; pools not counted.
    pub fn bytes(&self) -> usize {
        self.sessions.bytes() + self.bindings.bytes() + self.identifications.bytes()
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
        }
        if !same_forwards || !same_pools {
            for (space, pool) in self.spaces.iter_mut().zip(&**pools) {
                let in_pool = |(public, port): (A, u16)| {
                    let address = pool.addresses.iter().position(|address| *address == public)?;
                    (pool.first_port..=pool.last_port).contains(&port).then_some((address as u32, port))
                };
                space.reserve(forwards.ports(protocol::UDP).filter_map(in_pool));
                space.hold(forwards.ports(protocol::TCP).filter_map(in_pool));
            }
            let Nat { sessions, bindings, spaces, .. } = self;
            for (public, port) in forwards_before.ports(protocol::TCP).chain(forwards.ports(protocol::TCP)) {
                let is_free = |binding| {
                    let outside = FlowKey { dst_port: port, ..bindings.get(binding).key.reversed() };
                    let is_held = forwards.holds_port(outside.dst, protocol::TCP, port);
                    !is_held && sessions.find(&outside).is_none()
                };
                for (space, _) in spaces.iter_mut().zip(&**pools).filter(|(_, pool)| pool.addresses.contains(&public)) {
                    space.crowds.look_again(port, is_free);
                }
            }
        }
        ended
    }

    /// Counts sessions by host from now on. Those there are do not count.
    pub fn count_hosts(&mut self) {
        if self.hosts.is_none() {
            self.hosts = Some(Hosts::new(self.sessions.capacity(), self.seed));
        }
    }

    /// Ends every session; says how many there were.
    fn end_all(&mut self) -> u64 {
        let mut ended = 0;
        let mut from = Some(0);
        while let Some(at) = from {
            let mut numbers = Vec::new();
            from = self.sessions.page(at, 4096, |number, _| numbers.push(number));
            for number in numbers {
                self.end(number);
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
        let pool = translation.pool.index();
        if self.pools[pool].addresses.is_empty() {
            return Err(DropReason::NatNoPool);
        }
        if self.sessions.len() == self.sessions.capacity() {
            return Err(DropReason::NatTableFull);
        }
        if let (Some(hosts), Some(most)) = (&self.hosts, translation.most_sessions)
            && hosts.sessions(key.src, key.vrf) >= most
        {
            return Err(DropReason::NatSourceLimit);
        }
        let named = FlowKey { hairpin: translation.inward.into(), ..*key };
        let (outside, binding) = self.name(&named, translation, chance)?;
        let mut session = Session::new(*key, outside, now);
        session.binding = binding;
        let timeout = timeout_ms(&session, timeouts);
        let standing = self.bindings.hold(binding);
        if key.protocol == protocol::TCP {
            let space = &mut self.spaces[pool];
            let taken = space.taken(self.bindings.get(binding).address, standing);
            space.crowds.began(binding, outside.dst_port, taken);
        }
        let number = self.sessions.insert(session, timeout, now).map_err(|_| {
            self.let_go(binding, outside.dst_port);
            DropReason::NatTableFull
        })?;
        if let Some(hosts) = &mut self.hosts {
            hosts.add(key.src, key.vrf);
        }
        Ok(number)
    }

    /// Begins the session of a flow that is forwarded: its packets arrive as `forth`,
    /// the answers as `back`.
    ///
    /// Half of the table is for those who are inside: a flood from outside does not
    /// get it.
    ///
    /// # Errors
    /// There is no room, or the answers could not be told from another flow. Then
    /// nothing was changed.
    pub fn begin_forwarded(
        &mut self,
        forth: &FlowKey<A>,
        back: &FlowKey<A>,
        timeouts: &Timeouts,
        now: Instant,
    ) -> Result<Found, DropReason> {
        if self.forwarded >= self.sessions.capacity().div_ceil(2) {
            return Err(DropReason::NatTableFull);
        }
        if self.sessions.find(back).is_some() {
            return Err(DropReason::NatConflict);
        }
        let session = Session::new(*forth, *back, now);
        let timeout = timeout_ms(&session, timeouts);
        let session = self.sessions.insert(session, timeout, now).map_err(|_| DropReason::NatTableFull)?;
        self.forwarded += 1;
        Ok(Found { session, direction: Direction::Forth })
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
        self.ended(&session);
        true
    }

    /// Ends a session.
    pub fn end(&mut self, number: u32) {
        let session = self.sessions.remove(number);
        self.ended(&session);
    }

    /// Gives back what a session had.
    fn ended(&mut self, session: &Session<A>) {
        if session.binding == Session::<A>::UNBOUND {
            self.forwarded -= 1;
            return;
        }
        self.let_go(session.binding, session.back.dst_port);
        if let Some(hosts) = &mut self.hosts {
            hosts.remove(session.forth.src, session.forth.vrf);
        }
    }

    /// A session that stood on the binding ended; it had this port.
    fn let_go(&mut self, number: u32, port: u16) {
        let binding = self.bindings.release(number);
        let space = &mut self.spaces[usize::from(binding.pool)];
        match binding.key.protocol {
            protocol::TCP => {
                let taken = space.taken(binding.address, binding.sessions);
                space.crowds.ended(number, port, taken, binding.sessions == 0);
            }
            protocol @ (protocol::UDP | protocol::ICMP | protocol::ICMPV6) if binding.sessions == 0 => {
                if self.forwards.holds_port(binding.outside, protocol, binding.port) {
                    space.give_to_forward(binding.address, binding.port);
                } else {
                    space.give_back(protocol, binding.address, binding.port);
                }
            }
            // The sessions are what says that a name is taken.
            _ => {}
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
        protocol::ICMP | protocol::ICMPV6 => timeouts.icmp_ms,
        _ => timeouts.udp_ms,
    }
}
