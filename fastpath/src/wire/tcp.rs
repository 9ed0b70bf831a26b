//! TCP: RFC 9293.

/// Length of a header without options.
pub const HEADER_LEN: usize = 20;
/// Source port.
pub const SOURCE_PORT: usize = 0;
/// Destination port.
pub const DESTINATION_PORT: usize = 2;
/// Sequence number.
pub const SEQUENCE: usize = 4;
/// Acknowledgement number.
pub const ACKNOWLEDGEMENT: usize = 8;
/// Header length in 32-bit words, in the upper half of the byte.
pub const DATA_OFFSET: usize = 12;
/// Flags.
pub const FLAGS: usize = 13;
/// Checksum.
pub const CHECKSUM: usize = 16;

/// Flag: no more data from the sender.
pub const FIN: u8 = 0x01;
/// Flag: synchronise sequence numbers.
pub const SYN: u8 = 0x02;
/// Flag: reset.
pub const RST: u8 = 0x04;
/// Flag: the acknowledgement field counts.
pub const ACK: u8 = 0x10;

/// Do the flags ask for a new connection: SYN, and none of ACK, RST and FIN?
/// RFC 9293, section 3.5.
#[inline(always)]
pub const fn opens(flags: u8) -> bool {
    flags & (SYN | ACK | RST | FIN) == SYN
}

/// May a segment with these flags be of a connection that is open: ACK, and neither SYN nor
/// RST? RFC 9293, section 3.10.7.4.
#[inline(always)]
pub const fn goes_on(flags: u8) -> bool {
    flags & (SYN | ACK | RST) == ACK
}
