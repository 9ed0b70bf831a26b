//! What the two address families have in common, so that each stage is written once.

use core::fmt::Debug;
use core::hash::Hash;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::wire::{self, ethernet, ipv4, ipv6, protocol};

/// An IP address in host order: `u32` or `u128`.
///
/// Everything about a header that differs between the families and that the
/// stages need hangs on this trait; the stages are generic over it and compiled
/// twice. Nobody else implements it: the session table counts on addresses of
/// zeros being valid.
pub trait Address: sealed::Sealed + Copy + Eq + Ord + Hash + Debug + Default + Send + Sync + 'static {
    /// Bits of an address.
    const BITS: u32;
    /// The address of all ones.
    const MAX: Self;
    /// EtherType that announces the family.
    const ETHERTYPE: u16;
    /// Its ICMP.
    const ICMP: u8;
    /// Where the source address lies in the IP header.
    const SOURCE_AT: usize;
    /// Where the destination address lies in the IP header.
    const DESTINATION_AT: usize;
    /// Where TTL or hop limit lies in the IP header.
    const TTL_AT: usize;
    /// Where the protocol or next header lies in the IP header.
    const PROTOCOL_AT: usize;
    /// Does the family's ICMP checksum cover a pseudo header?
    const ICMP_PSEUDO_HEADER: bool;

    /// `n` bits starting at bit `at`, counted from the most significant; bits past
    /// the end are 0. `n` is 1 to 32.
    fn bits(self, at: u32, n: u32) -> u32;
    /// The address that begins with the lowest `n` bits of `bits`; the others are 0. `n` is 1 to 32.
    fn from_bits(bits: u32, n: u32) -> Self;
    /// The 64 bits before the last `shift` ones; bits before the beginning are 0.
    fn ending(self, shift: u32) -> u64;
    /// How many bits it begins with as `other` does.
    fn common_bits(self, other: Self) -> u32;
    /// The address with all but its first `len` bits cleared.
    fn masked(self, len: u8) -> Self;
    /// The address `n` after this one, wrapping around.
    fn offset(self, n: u64) -> Self;
    /// Folds the address into 64 bits under a seed.
    fn mix(self, seed: u64) -> u64;
    /// Folds two addresses, in this order, into 64 bits under a seed.
    fn fold_pair(a: Self, b: Self, seed: u64) -> u64;
    /// Are two pairs of addresses equal? Without a branch in between.
    fn are(these: (Self, Self), those: (Self, Self)) -> bool;
    /// The sum of its 16-bit words, for checksums.
    fn sum(self) -> u64;
    /// Reads one from a header.
    fn get(bytes: &[u8], at: usize) -> Self;
    /// Writes it to a header.
    fn put(self, bytes: &mut [u8], at: usize);
    /// As the standard library's type.
    fn to_ip(self) -> IpAddr;
    /// From the standard library's type; `None` for the other family.
    fn from_ip(ip: IpAddr) -> Option<Self>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for u32 {}
    impl Sealed for u128 {}
}

/// Multiplies to 128 bits and folds the halves: a cheap keyed mixer.
#[inline(always)]
pub(crate) fn folded_multiply(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    (wide as u64) ^ ((wide >> 64) as u64)
}

/// Odd constant with well spread bits (the fraction of the golden ratio).
pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Address for u32 {
    const BITS: u32 = 32;
    const MAX: u32 = u32::MAX;
    const ETHERTYPE: u16 = ethernet::IPV4;
    const ICMP: u8 = protocol::ICMP;
    const SOURCE_AT: usize = ipv4::SOURCE;
    const DESTINATION_AT: usize = ipv4::DESTINATION;
    const TTL_AT: usize = ipv4::TTL;
    const PROTOCOL_AT: usize = ipv4::PROTOCOL;
    const ICMP_PSEUDO_HEADER: bool = false;

    #[inline(always)]
    fn bits(self, at: u32, n: u32) -> u32 {
        // Through 64 bits, so that a stride may reach past the last bit.
        (((u64::from(self) << 32) << at) >> (64 - n)) as u32
    }

    fn from_bits(bits: u32, n: u32) -> u32 {
        bits << (32 - n)
    }

    #[inline(always)]
    fn ending(self, shift: u32) -> u64 {
        u64::from(self) >> shift
    }

    #[inline(always)]
    fn common_bits(self, other: u32) -> u32 {
        (self ^ other).leading_zeros()
    }

    #[inline(always)]
    fn masked(self, len: u8) -> u32 {
        self & u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0)
    }

    fn offset(self, n: u64) -> u32 {
        self.wrapping_add(n as u32)
    }

    #[inline(always)]
    fn mix(self, seed: u64) -> u64 {
        folded_multiply(u64::from(self) ^ seed, GOLDEN)
    }

    #[inline(always)]
    fn fold_pair(a: u32, b: u32, seed: u64) -> u64 {
        (u64::from(a) | u64::from(b) << 32) ^ seed
    }

    #[inline(always)]
    fn are(these: (u32, u32), those: (u32, u32)) -> bool {
        // Side by side in a key, they are one load each.
        u32::fold_pair(these.0, these.1, 0) == u32::fold_pair(those.0, those.1, 0)
    }

    #[inline(always)]
    fn sum(self) -> u64 {
        u64::from(self >> 16) + u64::from(self & 0xffff)
    }

    #[inline(always)]
    fn get(bytes: &[u8], at: usize) -> u32 {
        wire::get32(bytes, at)
    }

    #[inline(always)]
    fn put(self, bytes: &mut [u8], at: usize) {
        wire::put32(bytes, at, self);
    }

    fn to_ip(self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(self))
    }

    fn from_ip(ip: IpAddr) -> Option<u32> {
        match ip {
            IpAddr::V4(v4) => Some(v4.to_bits()),
            IpAddr::V6(_) => None,
        }
    }
}

impl Address for u128 {
    const BITS: u32 = 128;
    const MAX: u128 = u128::MAX;
    const ETHERTYPE: u16 = ethernet::IPV6;
    const ICMP: u8 = protocol::ICMPV6;
    const SOURCE_AT: usize = ipv6::SOURCE;
    const DESTINATION_AT: usize = ipv6::DESTINATION;
    const TTL_AT: usize = ipv6::HOP_LIMIT;
    const PROTOCOL_AT: usize = ipv6::NEXT_HEADER;
    const ICMP_PSEUDO_HEADER: bool = true;

    #[inline(always)]
    fn bits(self, at: u32, n: u32) -> u32 {
        ((self << at) >> (128 - n)) as u32
    }

    fn from_bits(bits: u32, n: u32) -> u128 {
        u128::from(bits) << (128 - n)
    }

    #[inline(always)]
    fn ending(self, shift: u32) -> u64 {
        // As a shift of 128 bits by any number, but in half the instructions.
        let (high, low) = ((self >> 64) as u64, self as u64);
        let (lower, upper) = if shift >= 64 { (high, 0) } else { (low, high) };
        let shift = shift % 64;
        lower >> shift | (upper << 1) << (63 - shift)
    }

    #[inline(always)]
    fn common_bits(self, other: u128) -> u32 {
        (self ^ other).leading_zeros()
    }

    #[inline(always)]
    fn masked(self, len: u8) -> u128 {
        self & u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0)
    }

    fn offset(self, n: u64) -> u128 {
        self.wrapping_add(u128::from(n))
    }

    #[inline(always)]
    fn mix(self, seed: u64) -> u64 {
        let (high, low) = ((self >> 64) as u64, self as u64);
        folded_multiply(high ^ seed, low ^ GOLDEN)
    }

    #[inline(always)]
    fn fold_pair(a: u128, b: u128, seed: u64) -> u64 {
        a.mix(seed) ^ b.mix(seed.rotate_left(32)).rotate_left(32)
    }

    #[inline(always)]
    fn are(these: (u128, u128), those: (u128, u128)) -> bool {
        (these.0 ^ those.0) | (these.1 ^ those.1) == 0
    }

    #[inline(always)]
    fn sum(self) -> u64 {
        let (high, low) = ((self >> 64) as u64, self as u64);
        (high >> 32) + (high & 0xffff_ffff) + (low >> 32) + (low & 0xffff_ffff)
    }

    #[inline(always)]
    fn get(bytes: &[u8], at: usize) -> u128 {
        wire::get128(bytes, at)
    }

    #[inline(always)]
    fn put(self, bytes: &mut [u8], at: usize) {
        wire::put128(bytes, at, self);
    }

    fn to_ip(self) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from_bits(self))
    }

    fn from_ip(ip: IpAddr) -> Option<u128> {
        match ip {
            IpAddr::V6(v6) => Some(v6.to_bits()),
            IpAddr::V4(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_count_from_the_most_significant() {
        assert_eq!(0x0a01_0203u32.bits(0, 16), 0x0a01);
        assert_eq!(0x0a01_0203u32.bits(16, 6), 0);
        assert_eq!(0x0a01_0203u32.bits(22, 6), 0b10_0000);
        assert_eq!(u32::MAX.bits(28, 6), 0b11_1100, "past the end is 0");
        assert_eq!(u128::MAX.bits(124, 6), 0b11_1100, "past the end is 0");
        assert_eq!((0xfd00u128 << 112).bits(0, 16), 0xfd00);
    }

    #[test]
    fn masks_reach_from_nothing_to_everything() {
        assert_eq!(u32::MAX.masked(0), 0);
        assert_eq!(u32::MAX.masked(8), 0xff00_0000);
        assert_eq!(u32::MAX.masked(32), u32::MAX);
        assert_eq!(u128::MAX.masked(0), 0);
        assert_eq!(u128::MAX.masked(128), u128::MAX);
    }

    #[test]
    fn the_word_sum_is_that_of_the_bytes() {
        let v6 = 0xfd00_0010_0000_0001_dead_beef_0123_4567u128;
        assert_eq!(wire::checksum::fold(v6.sum()), wire::checksum::fold(wire::checksum::sum(&v6.to_be_bytes())));
        let v4 = 0xc0a8_0001u32;
        assert_eq!(wire::checksum::fold(v4.sum()), wire::checksum::fold(wire::checksum::sum(&v4.to_be_bytes())));
    }
}
