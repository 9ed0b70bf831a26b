//! What a route leads to, in 31 bits.

use crate::ids::{AdjacencyId, GroupId, PortId, VrfId};

/// The answer of a lookup: a kind and an index, packed.
///
/// Bit 31 is always clear: the lookup structure uses it for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct NextHop(u32);

/// A [`NextHop`] unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hop {
    /// No route: ICMP network unreachable.
    NoRoute,
    /// Drop in silence.
    Blackhole,
    /// Drop, and say host unreachable.
    Unreachable,
    /// Drop, and say administratively prohibited.
    Prohibit,
    /// An address of the gateway itself.
    Local,
    /// An address of the gateway that also stands for an island's flows
    /// (masquerade): a session first, then the gateway itself.
    LocalTranslated,
    /// An address of a pool: a session, or nothing.
    Pool,
    /// On a connected subnet: the neighbour is the destination itself.
    Connected(PortId),
    /// A known neighbour.
    Adjacency(AdjacencyId),
    /// Out of the island, into another routing domain.
    Egress(VrfId),
    /// One of several known neighbours, by flow.
    Group(GroupId),
}

const INDEX_BITS: u32 = 27;
const INDEX_MASK: u32 = (1 << INDEX_BITS) - 1;

impl NextHop {
    /// No route.
    pub const NO_ROUTE: NextHop = NextHop::pack(0, 0);

    const fn pack(kind: u32, index: u32) -> NextHop {
        assert!(index <= INDEX_MASK, "an index of a next hop has 27 bits");
        NextHop(kind << INDEX_BITS | index)
    }

    /// Packs.
    ///
    /// # Panics
    /// An index of an adjacency or group over 2^27 - 1: tables of that size are refused before.
    pub const fn new(hop: Hop) -> NextHop {
        match hop {
            Hop::NoRoute => NextHop::NO_ROUTE,
            Hop::Blackhole => NextHop::pack(1, 0),
            Hop::Unreachable => NextHop::pack(2, 0),
            Hop::Prohibit => NextHop::pack(3, 0),
            Hop::Local => NextHop::pack(4, 0),
            Hop::LocalTranslated => NextHop::pack(5, 0),
            Hop::Pool => NextHop::pack(6, 0),
            Hop::Connected(port) => NextHop::pack(7, port.0 as u32),
            Hop::Adjacency(id) => NextHop::pack(8, id.0),
            Hop::Egress(vrf) => NextHop::pack(9, vrf.0 as u32),
            Hop::Group(id) => NextHop::pack(10, id.0),
        }
    }

    /// Unpacks.
    #[inline(always)]
    pub const fn hop(self) -> Hop {
        let index = self.0 & INDEX_MASK;
        match self.0 >> INDEX_BITS {
            8 => Hop::Adjacency(AdjacencyId(index)),
            1 => Hop::Blackhole,
            2 => Hop::Unreachable,
            3 => Hop::Prohibit,
            4 => Hop::Local,
            5 => Hop::LocalTranslated,
            6 => Hop::Pool,
            7 => Hop::Connected(PortId(index as u16)),
            9 => Hop::Egress(VrfId(index as u16)),
            10 => Hop::Group(GroupId(index)),
            _ => Hop::NoRoute,
        }
    }

    /// The 31 bits.
    pub(super) const fn raw(self) -> u32 {
        self.0
    }

    /// From the 31 bits.
    pub(super) const fn from_raw(raw: u32) -> NextHop {
        NextHop(raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_packing() {
        for hop in [
            Hop::NoRoute,
            Hop::Blackhole,
            Hop::Unreachable,
            Hop::Prohibit,
            Hop::Local,
            Hop::LocalTranslated,
            Hop::Pool,
            Hop::Connected(PortId(u16::MAX)),
            Hop::Adjacency(AdjacencyId(INDEX_MASK)),
            Hop::Egress(VrfId(u16::MAX)),
            Hop::Group(GroupId(INDEX_MASK)),
        ] {
            assert_eq!(NextHop::new(hop).hop(), hop);
            assert_eq!(NextHop::new(hop).raw() >> 31, 0);
        }
    }
}
