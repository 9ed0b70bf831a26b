//! IPv4: RFC 791.

/// Length of a header without options.
pub const HEADER_LEN: usize = 20;
/// Version and header length in 32-bit words.
pub const VERSION_IHL: usize = 0;
/// DSCP and ECN.
pub const TOS: usize = 1;
/// Length of header and payload, in bytes.
pub const TOTAL_LENGTH: usize = 2;
/// Identification: which fragments belong together.
pub const IDENTIFICATION: usize = 4;
/// Flags and fragment offset.
pub const FLAGS_FRAGMENT: usize = 6;
/// Time to live.
pub const TTL: usize = 8;
/// Protocol.
pub const PROTOCOL: usize = 9;
/// Header checksum.
pub const CHECKSUM: usize = 10;
/// Source address.
pub const SOURCE: usize = 12;
/// Destination address.
pub const DESTINATION: usize = 16;

/// "Don't fragment", in the flags word.
pub const DONT_FRAGMENT: u16 = 0x4000;
/// "More fragments", in the flags word.
pub const MORE_FRAGMENTS: u16 = 0x2000;
/// The fragment offset in the flags word, in units of 8 bytes.
pub const FRAGMENT_OFFSET: u16 = 0x1fff;

/// End of the option list.
pub const OPTION_END: u8 = 0;
/// One byte of padding between options.
pub const OPTION_NOP: u8 = 1;
/// In the kind of an option: each piece of the packet carries it.
pub const OPTION_COPIED: u8 = 0x80;
/// Loose source route.
pub const OPTION_LSRR: u8 = 131;
/// Strict source route.
pub const OPTION_SSRR: u8 = 137;

/// Is the checksum of a header without options right?
///
/// In the byte order of the machine: a sum of 0xffff is one in any order (RFC
/// 1071, section 2(B)).
#[inline(always)]
pub fn is_whole(header: &[u8; HEADER_LEN]) -> bool {
    let words = header.as_chunks::<4>().0;
    let sum = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    super::checksum::fold(sum) == 0xffff
}
