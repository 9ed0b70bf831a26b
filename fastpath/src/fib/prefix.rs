//! An address range of a power of two: parsed once, trusted ever after.

use core::fmt;

use crate::address::Address;

/// The addresses that share the first `len` bits with `address`.
///
/// Host bits are 0 and `len` is at most the family's bits: [`Prefix::new`] sees to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix<A> {
    address: A,
    len: u8,
}

/// A prefix that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixError {
    /// The length exceeds the bits of the family.
    TooLong {
        /// The length asked for.
        len: u8,
        /// The most the family has.
        max: u8,
    },
    /// Bits behind the prefix length are set.
    HostBits,
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrefixError::TooLong { len, max } => write!(f, "a prefix length is 0 to {max}, not {len}"),
            PrefixError::HostBits => f.write_str("bits behind the prefix length are set"),
        }
    }
}

impl core::error::Error for PrefixError {}

impl<A: Address> Prefix<A> {
    /// The prefix `address/len`.
    ///
    /// # Errors
    /// The length is over the family's bits, or host bits are set.
    pub fn new(address: A, len: u8) -> Result<Prefix<A>, PrefixError> {
        if u32::from(len) > A::BITS {
            return Err(PrefixError::TooLong { len, max: A::BITS as u8 });
        }
        if address.masked(len) != address {
            return Err(PrefixError::HostBits);
        }
        Ok(Prefix { address, len })
    }

    /// The prefix of `len` bits that holds `address`. `len` over the family's bits
    /// counts as all of them.
    pub fn containing(address: A, len: u8) -> Prefix<A> {
        let len = len.min(A::BITS as u8);
        Prefix { address: address.masked(len), len }
    }

    /// The prefix of one address.
    pub fn host(address: A) -> Prefix<A> {
        Prefix { address, len: A::BITS as u8 }
    }

    /// The lowest address.
    pub fn address(self) -> A {
        self.address
    }

    /// Bits that are fixed.
    #[expect(clippy::len_without_is_empty, reason = "a length in bits, not of a container")]
    pub fn len(self) -> u8 {
        self.len
    }

    /// Does it hold `address`?
    #[inline(always)]
    pub fn contains(self, address: A) -> bool {
        address.masked(self.len) == self.address
    }
}

impl<A: Address> fmt::Display for Prefix<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address.to_ip(), self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_33_is_refused() {
        assert_eq!(Prefix::new(0u32, 33), Err(PrefixError::TooLong { len: 33, max: 32 }));
        assert!(Prefix::new(0u32, 0).is_ok());
        assert!(Prefix::new(u128::MAX, 128).is_ok());
    }

    #[test]
    fn host_bits_are_refused_or_cut() {
        assert_eq!(Prefix::new(0x0a00_0001u32, 24), Err(PrefixError::HostBits));
        assert_eq!(Prefix::containing(0x0a00_0001u32, 24).address(), 0x0a00_0000);
    }
}
