//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

/// One's-complement sum of `bytes` as big-endian 16-bit words, not yet folded.
///
/// An odd last byte counts as the upper half of a word. Up to 64 KiB cannot
/// overflow the result.
pub fn sum(bytes: &[u8]) -> u64 {
    // Summing in native order and swapping once at the end gives the same
    // result (RFC 1071, section 2(B)); 4 bytes at a time into 64 bits.
    let mut words = bytes.chunks_exact(4);
    let mut total: u64 = 0;
    for word in words.by_ref() {
        let mut native = [0; 4];
        native.copy_from_slice(word);
        total += u64::from(u32::from_ne_bytes(native));
    }
    let mut tail = [0; 4];
    let rest = words.remainder();
    tail[..rest.len()].copy_from_slice(rest);
    total += u64::from(u32::from_ne_bytes(tail));
    u64::from(u16::from_be(fold(total)))
}

/// Folds a sum into 16 bits, carries added back in.
///
/// A number plus its halves exchanged holds, in its upper half, the sum of the
/// halves with its carry added back in.
#[inline(always)]
pub const fn fold(sum: u64) -> u16 {
    let sum = (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32;
    (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

/// One's-complement sum of two words: the carry is added back in.
#[inline(always)]
const fn add(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum + carry as u16
}

/// The checksum field for a packet whose sum, field taken as 0, is `sum`.
#[inline(always)]
pub const fn finish(sum: u64) -> u16 {
    !fold(sum)
}

/// Sum of the pseudo header without the addresses: protocol and L4 length.
#[inline(always)]
pub const fn pseudo(protocol: u8, l4_len: usize) -> u64 {
    protocol as u64 + l4_len as u64
}

/// The change of a one's-complement sum, as words are replaced.
///
/// Equation 3 of RFC 1624: `HC' = ~(~HC + ~m + m')`, with `~m + m'` gathered over
/// all the replaced words. It is what a translation adds to a checksum, computed
/// once a session.
///
/// Kept in network byte order, as a field is in a packet: such sums do not mind which
/// (RFC 1071, section 2(B)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta(u16);

impl Delta {
    /// No change.
    pub const NONE: Delta = Delta(0);
    /// The word of TTL and protocol, or hop limit, once the packet went one hop.
    pub const HOP: Delta = Delta::NONE.replace(0x0100, 0x0000);

    /// A word `old` becomes `new`.
    #[inline(always)]
    #[must_use]
    pub const fn replace(self, old: u16, new: u16) -> Delta {
        Delta(add(add(self.0, !old.to_be()), new.to_be()))
    }

    /// Something whose words sum to `old` becomes something whose words sum to `new`.
    #[inline(always)]
    #[must_use]
    pub const fn replace_sum(self, old: u64, new: u64) -> Delta {
        self.replace(fold(old), fold(new))
    }

    /// Both changes.
    #[inline(always)]
    #[must_use]
    pub const fn and(self, other: Delta) -> Delta {
        Delta(add(self.0, other.0))
    }

    /// The change back.
    #[inline(always)]
    #[must_use]
    pub const fn inverse(self) -> Delta {
        Delta(!self.0)
    }

    /// The change back, if so asked, without a branch.
    #[inline(always)]
    #[must_use]
    pub const fn inverse_if(self, back: bool) -> Delta {
        Delta(self.0 ^ (back as u16).wrapping_neg())
    }

    /// The checksum field `field` after the change.
    #[inline(always)]
    #[must_use]
    pub const fn apply(self, field: u16) -> u16 {
        u16::from_be(!add(!field.to_be(), self.0))
    }

    /// The field of a partial checksum (a sum, not complemented) after the change.
    #[inline(always)]
    #[must_use]
    pub const fn apply_partial(self, field: u16) -> u16 {
        u16::from_be(add(field.to_be(), self.0))
    }
}

/// The checksum field of an IPv4 header whose field was `field`, once its TTL is one
/// less (RFC 1141; the comparison is what RFC 1624 corrected).
#[inline(always)]
#[must_use]
pub const fn after_hop(field: u16) -> u16 {
    let sum = field as u32 + 0x0100;
    (sum + (sum >= 0xffff) as u32) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn a_hop_takes_one_from_the_ttl() {
        for field in 0..=u16::MAX {
            assert_eq!(after_hop(field), Delta::HOP.apply(field), "{field:#06x}");
        }
    }

    #[test]
    fn the_example_of_rfc_1071_sums_to_ddf2() {
        assert_eq!(fold(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])), 0xddf2);
    }

    #[test]
    fn the_example_of_rfc_1624_updates_to_zero() {
        // Section 4: HC = 0xdd2f, m = 0x5555, m' = 0x3285 gives 0x0000, not 0xffff.
        assert_eq!(Delta::NONE.replace(0x5555, 0x3285).apply(0xdd2f), 0x0000);
    }

    #[test]
    fn a_decremented_ttl_is_one_word_smaller() {
        let delta = Delta::NONE.replace(0x4006, 0x3f06);
        assert_eq!(delta, Delta::NONE.replace(0x0101, 0x0001));
    }

    proptest! {
        // Of nothing pnet says 0, where RFC 1071 has the complement of no sum.
        #[test]
        fn the_sum_equals_pnets(bytes in proptest::collection::vec(any::<u8>(), 1..2000)) {
            prop_assert_eq!(finish(sum(&bytes)), pnet_packet::util::checksum(&bytes, usize::MAX));
        }

        #[test]
        fn an_incremental_update_equals_the_full_sum(
            mut bytes in proptest::collection::vec(any::<u8>(), 20..200),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u16>()), 1..8),
        ) {
            // A one somewhere keeps the sum from being all zero, which no packet is.
            bytes[0] = 0x45;
            let mut field = finish(sum(&bytes));
            let mut delta = Delta::NONE;
            let mut log = Vec::new();
            for (index, new) in changes {
                let at = 2 + index.index(bytes.len() / 2 - 1) * 2;
                let old = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
                delta = delta.replace(old, new);
                log.push((at, old));
                bytes[at..at + 2].copy_from_slice(&new.to_be_bytes());
            }
            let before = field;
            field = delta.apply(field);
            prop_assert_eq!(field, finish(sum(&bytes)));
            let back = delta.inverse().apply(field);
            prop_assert_eq!(fold(u64::from(!back)), fold(u64::from(!before)));
        }
    }
}
