//! What tells one flow from another.

use crate::address::{Address, GOLDEN, folded_multiply};
use crate::ids::VrfId;

/// One direction of a conversation, as its packets show it.
///
/// Ports of TCP, UDP, UDP-Lite and SCTP; for ICMP a query carries its identifier as
/// `src_port` and a reply as `dst_port`, the other being 0, so that the reply's
/// key is the query's reversed. Other protocols have none: both are 0. The routing domain
/// is part of the key: islands may use the same addresses.
///
/// 16 bytes for IPv4, 48 for IPv6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct FlowKey<A> {
    /// Source address.
    pub src: A,
    /// Destination address.
    pub dst: A,
    /// Source port or echo identifier.
    pub src_port: u16,
    /// Destination port or echo identifier.
    pub dst_port: u16,
    /// Routing domain the packet is in.
    pub vrf: VrfId,
    /// IP protocol.
    pub protocol: u8,
    /// 1 where packets go round the hairpin: between public names, from inside to inside.
    /// What a port hands over has 0, so nobody outside can pretend to be such a packet.
    pub hairpin: u8,
}

/// The secret that keeps an outsider from choosing flows that collide.
#[derive(Clone, Copy, Debug)]
pub struct Seed(pub [u64; 2]);

impl<A: Address> FlowKey<A> {
    /// The key of the packets that answer.
    #[must_use]
    pub fn reversed(self) -> FlowKey<A> {
        FlowKey { src: self.dst, dst: self.src, src_port: self.dst_port, dst_port: self.src_port, ..self }
    }

    /// Everything but the addresses, in one word: with this layout, one load.
    #[inline(always)]
    fn rest(&self) -> u64 {
        u64::from(self.src_port)
            | u64::from(self.dst_port) << 16
            | u64::from(self.vrf.0) << 32
            | u64::from(self.protocol) << 48
            | u64::from(self.hairpin) << 56
    }

    /// As `==`, without a branch between the fields: a look-up compares keys that
    /// are most often equal, or differ anywhere.
    #[inline(always)]
    pub fn is(&self, other: &FlowKey<A>) -> bool {
        A::are((self.src, self.dst), (other.src, other.dst)) & (self.rest() == other.rest())
    }

    /// A keyed hash: without the seed nobody can say which flows collide.
    ///
    /// Two multiplications that keep all 128 bits, as in wyhash and foldhash, over
    /// words that are masked by the seed.
    #[inline(always)]
    pub fn hash(&self, seed: Seed) -> u64 {
        let mixed = folded_multiply(A::fold_pair(self.src, self.dst, seed.0[0]), self.rest() ^ seed.0[1]);
        folded_multiply(mixed ^ seed.0[1], GOLDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_packed_without_padding() {
        assert_eq!(size_of::<FlowKey<u32>>(), 16);
        assert_eq!(size_of::<FlowKey<u128>>(), 48);
    }

    #[test]
    fn the_reverse_of_the_reverse_is_the_key() {
        let key = FlowKey { src: 1u32, dst: 2, src_port: 3, dst_port: 4, vrf: VrfId(5), protocol: 6, hairpin: 0 };
        assert_eq!(key.reversed().reversed(), key);
        assert_ne!(key.reversed(), key);
    }

    #[test]
    fn another_seed_gives_another_hash() {
        let key = FlowKey { src: 1u32, dst: 2, src_port: 3, dst_port: 4, vrf: VrfId(5), protocol: 6, hairpin: 0 };
        assert_ne!(key.hash(Seed([1, 2])), key.hash(Seed([1, 3])));
        assert_ne!(key.hash(Seed([1, 2])), key.hash(Seed([2, 2])));
    }
}
