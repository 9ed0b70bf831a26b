//! One session: what is kept of a conversation.

use super::FlowKey;
use super::window::Tcp;
use crate::address::Address;
use crate::ids::VrfId;
use crate::time::Instant;
use crate::wire::checksum::Delta;

/// One conversation, as both its ends know it.
///
/// One cache line for IPv4. Both keys are in the index; they are inverse to each
/// other: `forth` is how the initiator's packets arrive, `back` how the answers do.
/// A packet that arrives as one leaves as the other, read backwards: whichever of
/// its ends differ are translated.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Session<A> {
    /// The initiator's packets, before translation.
    pub forth: FlowKey<A>,
    /// The answers, before translation.
    pub back: FlowKey<A>,
    /// When a packet last passed that keeps it alive, in milliseconds, wrapping after 49 days.
    pub last_ms: u32,
    /// When it began, likewise.
    pub created_ms: u32,
    /// Packets from the initiator.
    pub packets_forth: u32,
    /// Packets to the initiator.
    pub packets_back: u32,
    /// The binding it stands on, [`Session::UNBOUND`], or the number of a record that waits for its next session.
    pub binding: u32,
    /// What translating the initiator's packets adds to a sum over the addresses.
    pub address_delta: Delta,
    /// What it adds to a sum over addresses and ports.
    pub flow_delta: Delta,
    /// Where a TCP conversation stands.
    pub tcp: Tcp,
}

impl<A: Address> Session<A> {
    /// The number of no binding.
    pub const UNBOUND: u32 = u32::MAX;
    /// In the place of a binding: it ended, and the record waits for the next.
    pub(super) const VACANT: u32 = u32::MAX - 1;

    /// A session that begins now, under both its names and with no packet yet.
    pub fn new(forth: FlowKey<A>, back: FlowKey<A>, now: Instant) -> Session<A> {
        let now_ms = now.as_millis() as u32;
        let addresses = |key: &FlowKey<A>| key.src.sum() + key.dst.sum();
        let ports = |key: &FlowKey<A>| u64::from(key.src_port) + u64::from(key.dst_port);
        let address_delta = Delta::NONE.replace_sum(addresses(&forth), addresses(&back));
        let port_delta = Delta::NONE.replace_sum(ports(&forth), ports(&back));
        // The checksum of ICMP for IPv4 covers no address.
        let without_addresses = forth.protocol == A::ICMP && !A::ICMP_PSEUDO_HEADER;
        let flow_delta = if without_addresses { port_delta } else { address_delta.and(port_delta) };
        let unbound = Session { binding: Session::<A>::UNBOUND, address_delta, flow_delta, ..Session::default() };
        Session { forth, back, last_ms: now_ms, created_ms: now_ms, ..unbound }
    }

    /// As what a packet leaves that goes through in this direction: the key of what
    /// answers it. Source and destination change places.
    #[inline(always)]
    pub fn answer(&self, direction: Direction) -> &FlowKey<A> {
        match direction {
            Direction::Forth => &self.back,
            Direction::Back => &self.forth,
        }
    }

    /// What translating a packet adds to a sum over its addresses, and over addresses
    /// and ports.
    #[inline(always)]
    pub fn deltas(&self, direction: Direction) -> (Delta, Delta) {
        let back = direction == Direction::Back;
        (self.address_delta.inverse_if(back), self.flow_delta.inverse_if(back))
    }

    /// Was it begun from outside? Then it is the initiator's destination that is
    /// translated; or nobody is, and who is outside is in the main routing domain.
    pub fn is_inbound(&self) -> bool {
        let Session { forth, back, .. } = self;
        (forth.dst, forth.dst_port) != (back.src, back.src_port)
            || (forth.vrf == VrfId::MAIN && back.vrf != VrfId::MAIN)
    }

    /// Does it count for the host inside? What a forward brings him, he did not ask for.
    pub fn is_of_its_host(&self) -> bool {
        self.binding != Session::<A>::UNBOUND || !self.is_inbound()
    }

    /// How the packets arrive of who is inside.
    pub fn outward(&self) -> &FlowKey<A> {
        if self.is_inbound() { &self.back } else { &self.forth }
    }

    /// How the packets arrive of who is outside.
    pub fn inward(&self) -> &FlowKey<A> {
        if self.is_inbound() { &self.forth } else { &self.back }
    }

    /// A packet passes in this direction. Whether that keeps the session alive is said by
    /// `last_ms`, which a TCP segment sets only where its receiver may take it.
    #[inline(always)]
    pub fn count(&mut self, direction: Direction) {
        match direction {
            Direction::Forth => self.packets_forth = self.packets_forth.wrapping_add(1),
            Direction::Back => self.packets_back = self.packets_back.wrapping_add(1),
        }
    }

    /// Which way packets with this key go through the session, if they belong to it.
    #[inline(always)]
    pub(super) fn direction(&self, key: &FlowKey<A>) -> Option<Direction> {
        let (forth, back) = (self.forth.is(key), self.back.is(key));
        (forth | back).then_some(if back { Direction::Back } else { Direction::Forth })
    }
}

/// Which way a packet goes through its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the initiator.
    Forth,
    /// To the initiator.
    Back,
}

impl Direction {
    /// The other one.
    #[inline(always)]
    #[must_use]
    pub fn reversed(self) -> Direction {
        match self {
            Direction::Forth => Direction::Back,
            Direction::Back => Direction::Forth,
        }
    }
}

/// A session that was found, and the direction the key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its number.
    pub session: u32,
    /// Whose packet it is.
    pub direction: Direction,
}
