//! The choice of the name that a flow gets outside: address and port.

use super::behavior::Behavior;
use super::binding::{Binding, borrowed, destination};
use super::keep::keeps_ports;
use super::stripe::Stripe;
use super::{Choice, Nat, Translation};
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
        choice: Choice<A>,
        chance: &mut Chance,
    ) -> Result<(FlowKey<A>, u32), DropReason> {
        if let Choice::Lent { address, outside } = choice {
            return self.name_lent(key, translation, address, outside);
        }
        if keeps_ports(key.protocol) {
            return self.name_as_it_is(key, translation);
        }
        match self.name_owner(translation.pool, key) {
            Some(owner) => self.name_by_owner(key, owner, translation, choice),
            None => self.name_by_destination(key, translation, choice, chance),
        }
    }

    /// Has the endpoint that sends the flow a name already, under which it leaves?
    pub fn is_named(&self, key: &FlowKey<A>, pool: PoolId) -> bool {
        self.named(pool, key).is_some_and(|number| !self.has_lost_its_name(self.bindings.get(number)))
    }

    /// Did its name become a service's?
    pub(super) fn has_lost_its_name(&self, binding: &Binding<A>) -> bool {
        binding.is_of_endpoint() && self.forwards.holds(binding.outside, binding.port, &binding.key)
    }

    /// The name that another worker lent. The flow, or its endpoint, has none yet.
    fn name_lent(
        &mut self,
        key: &FlowKey<A>,
        translation: Translation,
        address: u32,
        outside: FlowKey<A>,
    ) -> Result<(FlowKey<A>, u32), DropReason> {
        let Translation { pool, outer, .. } = translation;
        let own = self.name_owner(pool, key).unwrap_or(borrowed(&outside));
        if let Some(number) = self.known(&own, pool) {
            return Ok((outside, number));
        }
        let (port, space) = (outside.dst_port, self.spaces.number(pool));
        let binding = Binding { key: own, outside: outside.dst, port, space, address, ..Binding::default() };
        Ok((outside, self.bind(binding, pool, outer)?))
    }

    /// Adds a binding, whose name lets strangers in where the pool has it so.
    fn bind(&mut self, binding: Binding<A>, pool: PoolId, outer: VrfId) -> Result<u32, DropReason> {
        let number = self.bindings.insert(binding).ok_or(DropReason::NatTableFull)?;
        if binding.is_of_endpoint()
            && self.is_to_be_open(&binding.key, pool)
            && let Some(open) = &mut self.open
            && !open.enter(number, &self.bindings, outer)
        {
            self.bindings.discard(number);
            return Err(DropReason::NatTableFull);
        }
        Ok(number)
    }

    /// Mapping by endpoint, or by endpoint and address outside: the name the `owner` has, be
    /// it at rest, or a new one.
    ///
    /// Under neither may the answers look like packets of a flow that came in by a
    /// forward: that has one of the names if the forward is newer than the name, or gone.
    fn name_by_owner(
        &mut self,
        key: &FlowKey<A>,
        owner: FlowKey<A>,
        translation: Translation,
        choice: Choice<A>,
    ) -> Result<(FlowKey<A>, u32), DropReason> {
        if let Some(number) = self.known(&owner, translation.pool) {
            let Binding { outside, port, .. } = *self.bindings.get(number);
            let outside = outside_key(key, outside, port, translation.outer);
            let is_taken = self.sessions.find(&outside).is_some();
            return if is_taken { Err(DropReason::NatConflict) } else { Ok((outside, number)) };
        }
        let (address, port) = self.take(key, translation, choice)?;
        let pool = &self.pools[translation.pool.index()];
        let outside = outside_key(key, pool.addresses[address as usize], port, translation.outer);
        let space = self.spaces.number(translation.pool);
        let binding = Binding { key: owner, outside: outside.dst, port, space, address, ..Binding::default() };
        let bound = self.bind(binding, translation.pool, translation.outer);
        if bound.is_err() {
            self.spaces.of_mut(translation.pool).give_back(key.protocol, address, port);
        }
        Ok((outside, bound?))
    }

    /// How the answers arrive if the port that is tried first is free, and the flow gets a new
    /// name.
    pub(super) fn first_name(&self, key: &FlowKey<A>, translation: Translation) -> Option<FlowKey<A>> {
        let pool = &self.pools[translation.pool.index()];
        if pool.addresses.is_empty() {
            return None;
        }
        let stripe = self.spaces.of(translation.pool).stripe;
        let port = stripe.port(first_choice(pool, stripe, key, translation.word)?);
        Some(outside_key(key, pool.addresses[self.paired(pool, key) as usize], port, translation.outer))
    }

    /// Takes a free port for an endpoint that has none, and says on which address.
    fn take(
        &mut self,
        key: &FlowKey<A>,
        translation: Translation,
        choice: Choice<A>,
    ) -> Result<(u32, u16), DropReason> {
        let pool = &self.pools[translation.pool.index()];
        let (first, only) = (self.paired(pool, key), matches!(choice, Choice::Paired));
        let stripe = self.spaces.of(translation.pool).stripe;
        let mut from = first_choice(pool, stripe, key, translation.word).ok_or(DropReason::NatPortsExhausted)?;
        let mut draws = DRAWS;
        while draws > 0 {
            let space = self.spaces.of_mut(translation.pool);
            let taken = space.take(key.protocol, first, only, from);
            let (address, port) = taken.ok_or(DropReason::NatPortsExhausted)?;
            if space.pending.contains(address) {
                // Once an address: what is given out of it is known from now on.
                space.give_back(key.protocol, address, port);
                self.take_over(translation.pool, address);
                continue;
            }
            let name = self.pools[translation.pool.index()].addresses[address as usize];
            let outside = outside_key(key, name, port, translation.outer);
            if self.sessions.find(&outside).is_none() && self.lent.find(&outside).is_none() {
                return Ok((address, port));
            }
            space.give_back(key.protocol, address, port);
            from = stripe.number(port).map_or(0, |number| number + 1);
            draws -= 1;
        }
        Err(DropReason::NatConflict)
    }

    /// Mapping by destination: a port that is free toward this one. On the host's own
    /// address, or where every port of that is in use, on the next that has one.
    fn name_by_destination(
        &mut self,
        key: &FlowKey<A>,
        translation: Translation,
        choice: Choice<A>,
        chance: &mut Chance,
    ) -> Result<(FlowKey<A>, u32), DropReason> {
        let pool = &self.pools[translation.pool.index()];
        let (first, addresses) = (self.paired(pool, key) as usize, pool.addresses.len());
        let steps = if matches!(choice, Choice::Paired) { 1 } else { addresses };
        for step in 0..steps {
            let at = (first + step) % addresses;
            let address = self.pools[translation.pool.index()].addresses[at];
            let toward = destination(&FlowKey { vrf: translation.outer, ..*key }, address);
            let number = self.known(&toward, translation.pool);
            let outside = |port| outside_key(key, address, port, translation.outer);
            let Some(port) = self.port_toward(number, translation, key, outside, chance) else {
                continue;
            };
            let space = self.spaces.number(translation.pool);
            let binding = Binding { key: toward, space, address: at as u32, ..Binding::default() };
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
        translation: Translation,
        key: &FlowKey<A>,
        outside: impl Fn(u16) -> FlowKey<A>,
        chance: &mut Chance,
    ) -> Option<u16> {
        let Nat { sessions, bindings, pools, forwards, spaces, lent, sweep, .. } = self;
        let (pool, space) = (&pools[translation.pool.index()], spaces.of_mut(translation.pool));
        let stripe = space.stripe;
        let is_free = |port| {
            let outside = outside(port);
            let is_lent = lent.find(&outside).is_some();
            sessions.find(&outside).is_none() && !is_lent && !forwards.holds(outside.dst, port, key)
        };
        let first = first_choice(pool, stripe, key, translation.word)?;
        if let Some(binding) = binding {
            // Of those that are not judged yet, some may have ports that are no longer given out.
            if sweep.is_none() && bindings.get(binding).sessions as usize == stripe.len() {
                return None;
            }
            let shared = space.shared(key.protocol).expect("who maps by destination shares ports");
            match shared.crowds.pick(binding, first, is_free) {
                Ok(Some(port)) => return Some(port),
                Ok(None) => {}
                Err(_) => return None,
            }
        }
        if is_free(stripe.port(first)) {
            return Some(stripe.port(first));
        }
        let drawn = (1..DRAWS).map(|_| stripe.port(stripe.draw(chance.word()))).find(|port| is_free(*port));
        drawn.or_else(|| {
            let ports = stripe.len() as u32;
            let each = (1..ports).map(|step| stripe.port((first + step) % ports));
            each.into_iter().find(|port| is_free(*port))
        })
    }

    /// The address of the pool that the host's flows are under: paired pooling (RFC
    /// 4787 REQ-2), by a keyed hash of the inside address.
    pub(super) fn paired(&self, pool: &Pool<A>, key: &FlowKey<A>) -> u32 {
        (key.src.mix(self.pairing ^ u64::from(key.vrf.0)) % pool.addresses.len() as u64) as u32
    }
}

impl<A> Pool<A> {
    /// How names are given out for a protocol.
    pub(super) fn behavior(&self, protocol: u8) -> Behavior {
        match protocol {
            protocol::TCP => self.tcp,
            protocol::UDP => self.udp,
            protocol::ICMP | protocol::ICMPV6 => Behavior::UDP,
            // As of TCP: a name is taken toward a destination alone.
            _ => Behavior::TCP,
        }
    }
}

/// The number of the port that a flow gets, if it is free; `None`: the worker has no port
/// of the pool.
fn first_choice<A>(pool: &Pool<A>, stripe: Stripe, key: &FlowKey<A>, word: u32) -> Option<u32> {
    let kept = if pool.keep_ports { stripe.number(key.src_port) } else { None };
    kept.or_else(|| (stripe.len() > 0).then(|| stripe.draw(word)))
}

/// How the answers to `key` arrive, if its sender is called `address`:`port` outside.
pub(super) fn outside_key<A: Address>(key: &FlowKey<A>, address: A, port: u16, outer: VrfId) -> FlowKey<A> {
    FlowKey { src: key.dst, dst: address, src_port: key.dst_port, dst_port: port, vrf: outer, ..*key }
}
