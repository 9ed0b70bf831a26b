//! SCTP: RFC 9260. Its CRC covers the ports, and no address.

/// Length of the common header.
pub const HEADER_LEN: usize = 12;
/// Source port.
pub const SOURCE_PORT: usize = 0;
/// Destination port.
pub const DESTINATION_PORT: usize = 2;
/// CRC-32C.
pub const CHECKSUM: usize = 8;
