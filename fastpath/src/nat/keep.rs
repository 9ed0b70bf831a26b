//! Names for protocols whose ports cannot be changed, or that have none.
//!
//! The CRC of an SCTP packet covers its ports, and to make it anew would take the whole
//! packet; GRE, ESP and the like have no ports. Their flows get another address and nothing
//! else, on an address where no other flow looks the same to their peer.

use super::binding::{Binding, destination};
use super::name::outside_key;
use super::{Nat, Translation};
use crate::address::Address;
use crate::session::FlowKey;
use crate::verdict::DropReason;
use crate::wire::protocol;

/// Do flows of this protocol keep their ports, or have none?
pub fn keeps_ports(protocol: u8) -> bool {
    use protocol::{ICMP, ICMPV6, TCP, UDP, UDP_LITE};
    !matches!(protocol, TCP | UDP | UDP_LITE | ICMP | ICMPV6)
}

impl<A: Address> Nat<A> {
    /// The name of a flow that keeps its ports, if it has any: on the host's own address of
    /// the pool, or on the next one where it is free.
    pub(super) fn name_as_it_is(
        &mut self,
        key: &FlowKey<A>,
        translation: Translation,
    ) -> Result<(FlowKey<A>, u32), DropReason> {
        let pool = &self.pools[translation.pool.index()];
        if key.protocol == protocol::SCTP {
            if !(pool.first_port..=pool.last_port).contains(&key.src_port) {
                return Err(DropReason::NatNameTaken);
            }
        } else if !pool.other_protocols {
            return Err(DropReason::NatProtocol);
        }
        let (first, count) = (self.paired(pool, key) as usize, pool.addresses.len());
        for step in 0..count {
            let at = (first + step) % count;
            let address = self.pools[translation.pool.index()].addresses[at];
            let outside = outside_key(key, address, key.src_port, translation.outer);
            let is_taken = self.sessions.find(&outside).is_some() || self.lent.find(&outside).is_some();
            if is_taken || self.forwards.holds(address, key.src_port, key) {
                continue;
            }
            let toward = destination(&FlowKey { vrf: translation.outer, ..*key }, address);
            let space = self.spaces.number(translation.pool);
            let binding = Binding { key: toward, space, address: at as u32, ..Binding::default() };
            let number = self.known(&toward, translation.pool);
            let number = number.or_else(|| self.bindings.insert(binding)).ok_or(DropReason::NatTableFull)?;
            return Ok((outside, number));
        }
        Err(DropReason::NatNameTaken)
    }
}
