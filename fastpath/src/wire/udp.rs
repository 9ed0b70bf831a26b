//! UDP: RFC 768.

/// Length of the header.
pub const HEADER_LEN: usize = 8;
/// Source port.
pub const SOURCE_PORT: usize = 0;
/// Destination port.
pub const DESTINATION_PORT: usize = 2;
/// Length of header and payload, in bytes.
pub const LENGTH: usize = 4;
/// Checksum; 0 over IPv4 means that there is none.
pub const CHECKSUM: usize = 6;
