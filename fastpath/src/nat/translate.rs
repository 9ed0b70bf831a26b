//! Sessions begin and end here: the choice of the outside name.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::binding::{Binding, BindingTable};
use super::ports::PortSet;
use crate::address::Address;
use crate::chance::Chance;
use crate::ids::{PoolId, VrfId};
use crate::session::tcp::Phase;
use crate::session::{Direction, FlowKey, Found, Seed, Session, SessionTable};
use crate::snapshot::{Pool, Timeouts};
use crate::time::Instant;
use crate::verdict::DropReason;
use crate::wire::checksum::Delta;
use crate::wire::protocol;

/// Addresses of a pool that are tried for one flow, its own first.
const ADDRESSES_TRIED: usize = 8;
/// Ports that are tried on an address for a TCP flow. With 64 tries an address
/// whose ports are 90 % in use toward one destination refuses 1 in 800 flows.
const TCP_PORTS_TRIED: usize = 64;

/// What NAT knows of one family: sessions, bindings, free ports.
pub struct Nat<A> {
    /// The sessions.
    pub sessions: SessionTable<A>,
    bindings: BindingTable<A>,
    pools: Arc<[Pool<A>]>,
    /// Free ports by pool and address.
    spaces: Vec<Vec<Space>>,
    seed: Seed,
}

/// Free ports of one outside address, for the protocols with endpoint-independent
/// mapping. TCP ports serve many destinations and are free unless a session says
/// otherwise.
struct Space {
    udp: PortSet,
    icmp: PortSet,
}

/// How a flow is to be translated.
#[derive(Clone, Copy, Debug)]
pub struct Translation {
    /// From which pool the outside name is taken.
    pub pool: PoolId,
    /// The routing domain it goes to.
    pub outer: VrfId,
}

impl<A: Address> Nat<A> {
    /// Without a session, for at most `capacity`.
    pub fn new(capacity: usize, seed: Seed, now: Instant) -> Nat<A> {
        Nat {
            sessions: SessionTable::new(capacity, seed, now),
            bindings: BindingTable::new(capacity, seed),
            pools: Arc::from([]),
            spaces: Vec::new(),
            seed,
        }
    }

    /// What it occupies at full capacity, in bytes; pools not counted.
    pub fn bytes(&self) -> usize {
        self.sessions.bytes() + self.bindings.bytes()
    }

    /// Takes names from these pools from now on. Where they differ from those
    /// before, every session ends; says how many.
    pub fn set_pools(&mut self, pools: &Arc<[Pool<A>]>) -> u64 {
        if Arc::ptr_eq(pools, &self.pools) || **pools == *self.pools {
            self.pools = Arc::clone(pools);
            return 0;
        }
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
        self.pools = Arc::clone(pools);
        self.spaces = pools
            .iter()
            .map(|pool| pool.addresses.iter().map(|_| Space::new(pool.first_port, pool.last_port)).collect())
            .collect();
        ended
    }

    /// Asks the CPU for what [`Nat::begin`] with this key will look at first.
    pub fn prefetch(&self, key: &FlowKey<A>) {
        if key.protocol != protocol::TCP {
            self.bindings.prefetch(&BindingTable::endpoint(key));
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
        let (outside, binding) = if key.protocol == protocol::TCP {
            (self.name_by_destination(key, translation, chance)?, u32::MAX)
        } else {
            self.name_by_endpoint(key, translation, chance)?
        };
        let mut session = Session::new(*key, outside, now);
        session.binding = binding;
        session.address_delta = Delta::NONE.replace_sum(key.src.sum(), outside.dst.sum());
        let port_delta = Delta::NONE.replace(key.src_port, outside.dst_port);
        let icmp_without_addresses = key.protocol == A::ICMP && !A::ICMP_PSEUDO_HEADER;
        session.flow_delta = if icmp_without_addresses { port_delta } else { session.address_delta.and(port_delta) };
        let timeout = timeout_ms(&session, timeouts);
        match self.sessions.insert(session, timeout, now) {
            Ok(number) => {
                if binding != u32::MAX {
                    self.bindings.hold(binding);
                }
                Ok(number)
            }
            Err(_) => {
                if binding != u32::MAX {
                    self.bindings.hold(binding);
                    self.let_go(binding);
                }
                Err(DropReason::NatTableFull)
            }
        }
    }

    /// A packet of the session passed.
    #[inline(always)]
    pub fn touch(&mut self, found: Found, tcp_flags: u8, timeouts: &Timeouts, now: Instant) {
        let session = self.sessions.get_mut(found.session);
        session.last_ms = now.as_millis() as u32;
        match found.direction {
            Direction::Out => session.packets_out = session.packets_out.wrapping_add(1),
            Direction::In => session.packets_in = session.packets_in.wrapping_add(1),
        }
        if session.inside.protocol == protocol::TCP {
            let before = session.tcp.phase();
            session.tcp = session.tcp.after(tcp_flags, found.direction);
            // The one change that shortens a deadline; longer ones are found out when the old one comes up.
            if before == Phase::Established && session.tcp.phase() == Phase::Closing {
                self.sessions.reschedule(found.session, timeouts.tcp_transitory_ms, now);
            }
        }
    }

    /// Ends one session that was silent for too long, if one is due; says whether.
    /// Looks at no more than `budget` of them and takes from it what it used.
    pub fn expire(&mut self, now: Instant, budget: &mut u32, timeouts: &Timeouts) -> bool {
        let Some(session) = self.sessions.expire(now, budget, |session| timeout_ms(session, timeouts)) else {
            return false;
        };
        if session.binding != u32::MAX {
            self.let_go(session.binding);
        }
        true
    }

    /// Ends a session.
    pub fn end(&mut self, number: u32) {
        let session = self.sessions.remove(number);
        if session.binding != u32::MAX {
            self.let_go(session.binding);
        }
    }

    /// Endpoint-dependent mapping: a port that is free toward this destination.
    fn name_by_destination(
        &self,
        key: &FlowKey<A>,
        translation: Translation,
        chance: &mut Chance,
    ) -> Result<FlowKey<A>, DropReason> {
        let pool = &self.pools[translation.pool.index()];
        for address in self.paired(pool, key) {
            for _ in 0..TCP_PORTS_TRIED {
                let port = chance.port(pool.first_port, pool.last_port);
                let outside = outside_key(key, pool.addresses[address], port, translation.outer);
                if self.sessions.find(&outside).is_none() {
                    return Ok(outside);
                }
            }
        }
        Err(DropReason::NatPortsExhausted)
    }

    /// Endpoint-independent mapping: the name the endpoint has, or a new one.
    fn name_by_endpoint(
        &mut self,
        key: &FlowKey<A>,
        translation: Translation,
        chance: &mut Chance,
    ) -> Result<(FlowKey<A>, u32), DropReason> {
        let endpoint = BindingTable::endpoint(key);
        if let Some(number) = self.bindings.find(&endpoint, translation.pool.0) {
            let binding = self.bindings.get(number);
            return Ok((outside_key(key, binding.outside, binding.port, translation.outer), number));
        }
        let pool_at = translation.pool.index();
        let pool = &self.pools[pool_at];
        for address in self.paired(pool, key) {
            let from = chance.port(pool.first_port, pool.last_port);
            let Some(port) = self.spaces[pool_at][address].of(key.protocol).take(from) else {
                continue;
            };
            let outside = outside_key(key, pool.addresses[address], port, translation.outer);
            // While the binding is noted, the place of the session arrives in the cache.
            self.sessions.prefetch(&outside);
            let binding = Binding {
                inside: endpoint,
                outside: outside.dst,
                port,
                pool: translation.pool.0,
                address: address as u32,
                ..Binding::default()
            };
            let Some(number) = self.bindings.insert(binding) else {
                self.spaces[pool_at][address].of(key.protocol).give_back(port);
                return Err(DropReason::NatTableFull);
            };
            return Ok((outside, number));
        }
        Err(DropReason::NatPortsExhausted)
    }

    /// The addresses to try, the host's own first: paired pooling (RFC 4787
    /// REQ-2), by a keyed hash of the inside address.
    fn paired(&self, pool: &Pool<A>, key: &FlowKey<A>) -> impl Iterator<Item = usize> + use<A> {
        let len = pool.addresses.len();
        let first = (key.src.mix(self.seed.0[1] ^ u64::from(key.vrf.0)) % len as u64) as usize;
        (0..len.min(ADDRESSES_TRIED)).map(move |step| (first + step) % len)
    }

    /// A session that stood on the binding ended.
    fn let_go(&mut self, binding: u32) {
        if let Some(binding) = self.bindings.release(binding) {
            self.spaces[usize::from(binding.pool)][binding.address as usize]
                .of(binding.inside.protocol)
                .give_back(binding.port);
        }
    }
}

impl Space {
    fn new(first: u16, last: u16) -> Space {
        Space { udp: PortSet::new(first, last), icmp: PortSet::new(first, last) }
    }

    fn of(&mut self, protocol: u8) -> &mut PortSet {
        if protocol == protocol::UDP { &mut self.udp } else { &mut self.icmp }
    }
}

/// How the answers to `key` arrive, if its sender is called `address`:`port` outside.
fn outside_key<A: Address>(key: &FlowKey<A>, address: A, port: u16, outer: VrfId) -> FlowKey<A> {
    FlowKey { src: key.dst, dst: address, src_port: key.dst_port, dst_port: port, vrf: outer, ..*key }
}

/// How long this session may be silent, in milliseconds.
pub fn timeout_ms<A: Address>(session: &Session<A>, timeouts: &Timeouts) -> u32 {
    match session.inside.protocol {
        protocol::TCP => match session.tcp.phase() {
            Phase::Established => timeouts.tcp_established_ms,
            Phase::Opening | Phase::Closing => timeouts.tcp_transitory_ms,
        },
        protocol::UDP => timeouts.udp_ms,
        _ => timeouts.icmp_ms,
    }
}
