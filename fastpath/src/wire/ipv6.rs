//! IPv6: RFC 8200.

/// Length of the fixed header.
pub const HEADER_LEN: usize = 40;
/// Version, traffic class, flow label.
pub const VERSION: usize = 0;
/// Length of everything behind the fixed header, in bytes.
pub const PAYLOAD_LENGTH: usize = 4;
/// Protocol of what follows.
pub const NEXT_HEADER: usize = 6;
/// Hop limit.
pub const HOP_LIMIT: usize = 7;
/// Source address.
pub const SOURCE: usize = 8;
/// Destination address.
pub const DESTINATION: usize = 24;

/// Length of a fragment header.
pub const FRAGMENT_LEN: usize = 8;
/// Fragment offset and flag, in a fragment header.
pub const FRAGMENT_WORD: usize = 2;
/// "More fragments", in that word.
pub const MORE_FRAGMENTS: u16 = 1;
/// Identification, in a fragment header.
pub const FRAGMENT_IDENTIFICATION: usize = 4;
/// The fragment offset in the second word of a fragment header, in bytes.
pub const FRAGMENT_OFFSET: u16 = 0xfff8;
/// The smallest MTU that a link may have; an ICMPv6 error is no longer than this
/// (RFC 4443, section 2.4 (c)).
pub const MINIMUM_MTU: usize = 1280;
