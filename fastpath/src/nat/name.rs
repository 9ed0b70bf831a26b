//! The choice of the name that a flow gets outside: address and port.

use super::behavior::{Behavior, Mapping};
use super::binding::{Binding, destination, endpoint};
use super::{Nat, Translation};
use crate::address::Address;
use crate::chance::Chance;
use crate::ids::{PoolId, VrfId};
use crate::session::FlowKey;
use crate::snapshot::Pool;
use crate::verdict::DropReason;
use crate::wire::protocol;

/// Ports that are tried for a flow. Those that destinations share are drawn: a quarter of them
/// in use makes a crowd, which knows its free ports; before that, so many draws fail together
/// less than once in 10^38 flows. Then, and while the set of a crowd is being filled, each is
/// looked at.
const DRAWS: usize = 64;

impl<A: Address> Nat<A> {
    /// The key of the answers to the flow, and the binding that the session will stand
    /// on.
    pub(super) fn name(
        &mut self,
        key: &FlowKey<A>,
        translation: Translation,
        chance: &mut Chance,
    ) -> Result<(FlowKey<A>, u32), DropReason> {
        let pool = translation.pool.index();
        let name = match self.pools[pool].behavior(key.protocol).mapping {
            Mapping::EndpointIndependent => self.name_by_endpoint(key, translation, chance),
            Mapping::AddressAndPortDependent => self.name_by_destination(key, translation, chance),
        };
        if name == Err(DropReason::NatPortsExhausted) {
            let address = self.paired(&self.pools[pool], key);
            self.spaces[pool].usage(key.protocol).refused(address);
        }
        name
    }

    /// Endpoint-independent mapping: the name the endpoint has, be it at rest, or a new one.
    ///
    /// Under neither may the answers look like packets of a flow that came in by a
    /// forward: that has one of the names if the forward is newer than the name, or gone.
    fn name_by_endpoint(
        &mut self,
        key: &FlowKey<A>,
        translation: Translation,
        chance: &mut Chance,
    ) -> Result<(FlowKey<A>, u32), DropReason> {
        let endpoint = endpoint(key);
        if let Some(number) = self.bindings.find(&endpoint, translation.pool.0) {
            let Binding { outside, port, sessions, .. } = *self.bindings.get(number);
            if sessions == 0 && self.forwards.holds_port(outside, key.protocol, port) {
                // While it rested its name became a service's.
                self.let_go(number);
            } else {
                let outside = outside_key(key, outside, port, translation.outer);
                let is_taken = self.sessions.find(&outside).is_some();
                return if is_taken { Err(DropReason::NatConflict) } else { Ok((outside, number)) };
            }
        }
        let (address, port) = self.take(key, translation, chance)?;
        let pool = &self.pools[translation.pool.index()];
        let is_open = pool.behavior(key.protocol).is_open();
        let outside = outside_key(key, pool.addresses[address as usize], port, translation.outer);
        // While the binding is noted, the place of the session arrives in the cache.
        self.sessions.prefetch(&outside);
        let binding = Binding {
            key: endpoint,
            outside: outside.dst,
            port,
            pool: translation.pool.0,
            address,
            ..Binding::default()
        };
        let Some(number) = self.bindings.insert(binding) else {
            self.spaces[translation.pool.index()].give_back(key.protocol, address, port);
            return Err(DropReason::NatTableFull);
        };
        if is_open
            && let Some(open) = &mut self.open
            && !open.enter(number, &self.bindings, translation.outer)
        {
            self.bindings.discard(number);
            self.spaces[translation.pool.index()].give_back(key.protocol, address, port);
            return Err(DropReason::NatTableFull);
        }
        Ok((outside, number))
    }

    /// Takes a free port for an endpoint that has none, and says on which address.
    fn take(
        &mut self,
        key: &FlowKey<A>,
        translation: Translation,
        chance: &mut Chance,
    ) -> Result<(u32, u16), DropReason> {
        let pool = &self.pools[translation.pool.index()];
        let (first, mut from) = (self.paired(pool, key), pool.first_choice(key, chance));
        let space = &mut self.spaces[translation.pool.index()];
        for _ in 0..DRAWS {
            let (address, port) = space.take(key.protocol, first, from).ok_or(DropReason::NatPortsExhausted)?;
            let outside = outside_key(key, pool.addresses[address as usize], port, translation.outer);
            if self.sessions.find(&outside).is_none() {
                return Ok((address, port));
            }
            space.give_back(key.protocol, address, port);
            from = if port == pool.last_port { pool.first_port } else { port + 1 };
        }
        Err(DropReason::NatConflict)
    }

    /// Mapping by destination: a port that is free toward this one. On the host's own
    /// address, or where every port of that is in use, on the next that has one.
    fn name_by_destination(
        &mut self,
        key: &FlowKey<A>,
        translation: Translation,
        chance: &mut Chance,
    ) -> Result<(FlowKey<A>, u32), DropReason> {
        let pool = &self.pools[translation.pool.index()];
        let (first, addresses) = (self.paired(pool, key) as usize, pool.addresses.len());
        for step in 0..addresses {
            let at = (first + step) % addresses;
            let address = self.pools[translation.pool.index()].addresses[at];
            let toward = destination(&FlowKey { vrf: translation.outer, ..*key }, address);
            let number = self.bindings.find(&toward, translation.pool.0);
            let outside = |port| outside_key(key, address, port, translation.outer);
            let Some(port) = self.port_toward(number, translation.pool, key, outside, chance) else {
                continue;
            };
            let binding = Binding { key: toward, pool: translation.pool.0, address: at as u32, ..Binding::default() };
            let number = number.or_else(|| self.bindings.insert(binding)).ok_or(DropReason::NatTableFull)?;
            return Ok((outside(port), number));
        }
        Err(DropReason::NatPortsExhausted)
    }

    /// A port that is free toward a destination; `binding` is that of the destination,
    /// if there is a session to it.
    fn port_toward(
        &mut self,
        binding: Option<u32>,
        pool: PoolId,
        key: &FlowKey<A>,
        outside: impl Fn(u16) -> FlowKey<A>,
        chance: &mut Chance,
    ) -> Option<u16> {
        let Nat { sessions, bindings, pools, forwards, spaces, .. } = self;
        let (pool, space) = (&pools[pool.index()], &mut spaces[pool.index()]);
        let is_free = |port| {
            let outside = outside(port);
            sessions.find(&outside).is_none() && !forwards.holds(outside.dst, port, key)
        };
        let first = pool.first_choice(key, chance);
        if let Some(binding) = binding {
            if bindings.get(binding).sessions as usize == pool.ports() {
                return None;
            }
            let shared = space.shared(key.protocol).expect("who maps by destination shares ports");
            match shared.crowds.pick(binding, first, is_free) {
                Ok(Some(port)) => return Some(port),
                Ok(None) => {}
                Err(_) => return None,
            }
        }
        if is_free(first) {
            return Some(first);
        }
        let drawn = (1..DRAWS).map(|_| chance.port(pool.first_port, pool.last_port)).find(|port| is_free(*port));
        drawn.or_else(|| {
            let (from, ports) = (usize::from(first - pool.first_port), pool.ports());
            let each = (1..ports).map(|step| pool.first_port + ((from + step) % ports) as u16);
            each.into_iter().find(|port| is_free(*port))
        })
    }

    /// The address of the pool that the host's flows are under: paired pooling (RFC
    /// 4787 REQ-2), by a keyed hash of the inside address.
    fn paired(&self, pool: &Pool<A>, key: &FlowKey<A>) -> u32 {
        (key.src.mix(self.seed.0[1] ^ u64::from(key.vrf.0)) % pool.addresses.len() as u64) as u32
    }
}

impl<A> Pool<A> {
    /// How names are given out for a protocol.
    pub(super) fn behavior(&self, protocol: u8) -> Behavior {
        match protocol {
            protocol::TCP => self.tcp,
            protocol::UDP => self.udp,
            _ => Behavior::UDP,
        }
    }

    /// The port that a flow gets, if it is free.
    fn first_choice(&self, key: &FlowKey<A>, chance: &mut Chance) -> u16 {
        if self.keep_ports && (self.first_port..=self.last_port).contains(&key.src_port) {
            key.src_port
        } else {
            chance.port(self.first_port, self.last_port)
        }
    }
}

/// How the answers to `key` arrive, if its sender is called `address`:`port` outside.
fn outside_key<A: Address>(key: &FlowKey<A>, address: A, port: u16, outer: VrfId) -> FlowKey<A> {
    FlowKey { src: key.dst, dst: address, src_port: key.dst_port, dst_port: port, vrf: outer, ..*key }
}
