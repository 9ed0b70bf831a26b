//! Names that are lent to other workers, and borrowed from them.

use super::binding::Binding;
use super::lent::endpoint_outside;
use super::translate::{Choice, Nat, Translation};
use crate::address::Address;
use crate::chance::Chance;
use crate::ids::{Epoch, PoolId, WorkerId};
use crate::session::FlowKey;
use crate::verdict::DropReason;

impl<A: Address> Nat<A> {
    /// Lends a name to a flow that another worker is the home of: which address of the pool
    /// it has, and how the answers arrive.
    ///
    /// # Errors
    /// No port is free here, or there is no room to remember. Then nothing was changed.
    pub fn lend(
        &mut self,
        key: &FlowKey<A>,
        translation: Translation,
        choice: Choice<A>,
        to: WorkerId,
        chance: &mut Chance,
    ) -> Result<(u32, FlowKey<A>), DropReason> {
        self.forget_lost_name(key, translation.pool);
        let named = FlowKey { hairpin: translation.inward.into(), ..*key };
        let (outside, binding) = self.name(&named, translation, choice, chance)?;
        let by_endpoint = self.maps_by_endpoint(translation.pool, key.protocol);
        let lent = if by_endpoint { endpoint_outside(&outside) } else { outside };
        if !self.lent.lend_again(&lent, to) {
            self.hold(binding, outside.dst_port, false);
            if !self.lent.lend(lent, to, binding) {
                self.unlend(binding, &outside);
                return Err(DropReason::NatTableFull);
            }
        }
        Ok((self.bindings.get(binding).address, outside))
    }

    /// Nobody had a port for the flow.
    pub fn exhausted(&mut self, key: &FlowKey<A>, pool: PoolId) {
        let address = self.paired(&self.pools[pool.index()], key);
        self.spaces.of_mut(pool).refused(key.protocol, address);
        self.refused.count(key.src, key.vrf);
    }

    /// To whom was the name lent that this packet from outside is for?
    pub fn borrower(&self, flow: &FlowKey<A>) -> Option<WorkerId> {
        self.lent.find(flow)
    }

    /// A name that was lent comes back from who had it.
    pub fn take_back(&mut self, outside: &FlowKey<A>, from: WorkerId) {
        if let Some(binding) = self.lent.release(outside, from) {
            self.unlend(binding, outside);
        }
    }

    /// A name that was borrowed is not needed.
    pub fn give_back(&mut self, outside: FlowKey<A>) {
        self.returned.push_back(outside);
    }

    /// The next name that goes back to whom it was borrowed from.
    pub fn next_returned(&mut self) -> Option<FlowKey<A>> {
        self.returned.pop_front()
    }

    /// Are there names that go back?
    pub fn has_returned(&self) -> bool {
        !self.returned.is_empty()
    }

    /// It could not be sent: it comes again, behind those of workers that may listen.
    pub fn not_returned(&mut self, outside: FlowKey<A>) {
        self.returned.push_back(outside);
    }

    /// Do several workers give out the ports of a pool?
    pub fn is_dealt_out(&self, pool: PoolId) -> bool {
        self.spaces.of(pool).stripe.is_part()
    }

    /// Is this one of the ports of a pool that this worker gives out?
    pub fn gives_out(&self, pool: PoolId, port: u16) -> bool {
        self.spaces.of(pool).stripe.number(port).is_some()
    }

    /// The tables that brought the pools.
    pub fn since(&self) -> Epoch {
        self.since
    }

    /// Names that other workers use.
    pub fn lent(&self) -> usize {
        self.lent.len()
    }

    /// The endpoint seeks a name, though one is lent to it, and that is a service's by now: it
    /// has let go of it, and the message is on its way.
    fn forget_lost_name(&mut self, key: &FlowKey<A>, pool: PoolId) {
        let Some(number) = self.endpoint_in(key, pool) else {
            return;
        };
        let Binding { outside, port, .. } = *self.bindings.get(number);
        if self.forwards.holds_port(outside, key.protocol, port) {
            let name = FlowKey { dst: outside, dst_port: port, protocol: key.protocol, ..FlowKey::default() };
            if self.lent.end(&name) {
                self.unlend(number, &name);
            }
        }
    }

    /// A name is not lent any more.
    fn unlend(&mut self, binding: u32, outside: &FlowKey<A>) {
        if self.release(binding, outside).sessions == 0 {
            self.let_go(binding);
        }
    }
}
