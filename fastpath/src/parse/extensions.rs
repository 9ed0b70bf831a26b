//! IPv6 extension headers (RFC 8200, section 4), in whatever order they stand.

use crate::verdict::DropReason;
use crate::wire::protocol;

/// The headers that are walked at most in a row: in front of a fragment header, and behind
/// it (RFC 7045 leaves the limit to the implementation; RFC 8883 suggests 8).
const MOST: usize = 8;

/// Walks extension headers to what they lead to, and says where that begins and which
/// protocol it is of. The first begins at `at`, which lies in the packet, and is of
/// `protocol`, if it is one. Where a header is cut short, the walk ends in front of it.
///
/// # Errors
/// A source route, or too many of them.
pub(super) fn behind_extensions(packet: &[u8], mut at: usize, mut protocol: u8) -> Result<(usize, u8), DropReason> {
    // Once more, for what stands behind the last of them.
    for _ in 0..=MOST {
        if !is_extension(protocol) {
            return Ok((at, protocol));
        }
        let Some(extension) = packet[at..].first_chunk::<8>() else {
            return Ok((at, protocol));
        };
        let len = (usize::from(extension[1]) + 1) * 8;
        if at + len > packet.len() {
            return Ok((at, protocol));
        }
        // Type 0 with segments left is the source route of RFC 5095.
        if protocol == protocol::ROUTING && extension[2] == 0 && extension[3] != 0 {
            return Err(DropReason::SourceRoute);
        }
        (at, protocol) = (at + len, extension[0]);
    }
    Err(DropReason::Ipv6HeaderBad)
}

/// Is it an extension header that is walked?
///
/// AH is not: what it authenticates cannot be translated (RFC 3715, 2.1).
pub(super) fn is_extension(protocol: u8) -> bool {
    matches!(protocol, protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS)
}
