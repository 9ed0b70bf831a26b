//! UDP-Lite: RFC 3828. A UDP header whose length field says how much is covered.

use super::get16;
use super::udp;

/// How many bytes the checksum covers, from the header on; 0 means all.
pub const COVERAGE: usize = 4;

/// May the checksum of a datagram of at most `most` bytes cover so much? The header always
/// is (RFC 3828, 3.1).
pub fn covers_header(header: &[u8; udp::HEADER_LEN], most: usize) -> bool {
    let coverage = usize::from(get16(header, COVERAGE));
    coverage == 0 || (udp::HEADER_LEN..=most).contains(&coverage)
}
