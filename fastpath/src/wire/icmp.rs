//! ICMP for IPv4 (RFC 792) and IPv6 (RFC 4443): the header is the same shape.

/// Length of the header.
pub const HEADER_LEN: usize = 8;
/// Type.
pub const TYPE: usize = 0;
/// Code.
pub const CODE: usize = 1;
/// Checksum.
pub const CHECKSUM: usize = 2;
/// Identifier of an echo, or of another query.
pub const IDENTIFIER: usize = 4;
/// The second header word: unused, MTU, or pointer.
pub const REST: usize = 4;

/// Puts right the one checksum that an update by increments gets wrong: that of a
/// message of nothing but zeros, an echo reply, is all ones (RFC 1624, section 3:
/// a sum of zero has two names).
pub fn settle_checksum(message: &mut [u8]) {
    if message.iter().all(|byte| *byte == 0) {
        super::put16(message, CHECKSUM, 0xffff);
    }
}

/// Types and codes of ICMP for IPv4.
pub mod v4 {
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;
    /// Timestamp.
    pub const TIMESTAMP: u8 = 13;
    /// Timestamp reply.
    pub const TIMESTAMP_REPLY: u8 = 14;

    /// Code of unreachable: no route to the network.
    pub const NET_UNREACHABLE: u8 = 0;
    /// Code of unreachable: the host does not answer.
    pub const HOST_UNREACHABLE: u8 = 1;
    /// Queries besides echo and their replies: timestamp, information, address mask.
    pub const QUERIES: core::ops::RangeInclusive<u8> = 13..=18;

    /// Code of unreachable: the host does not speak the protocol.
    pub const PROTOCOL_UNREACHABLE: u8 = 2;
    /// Code of unreachable: nobody listens at the port.
    pub const PORT_UNREACHABLE: u8 = 3;
    /// Code of unreachable: too big, and must not be fragmented.
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Code of unreachable: administratively prohibited.
    pub const ADMIN_PROHIBITED: u8 = 13;
}

/// Types and codes of ICMP for IPv6.
pub mod v6 {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Packet too big.
    pub const PACKET_TOO_BIG: u8 = 2;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 129;
    /// Router solicitation, the first of neighbour discovery (RFC 4861).
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// Redirect, the last of neighbour discovery.
    pub const REDIRECT: u8 = 137;

    /// Code of unreachable: no route.
    pub const NO_ROUTE: u8 = 0;
    /// Code of unreachable: administratively prohibited.
    pub const ADMIN_PROHIBITED: u8 = 1;
    /// Code of unreachable: the address does not answer.
    pub const ADDRESS_UNREACHABLE: u8 = 3;
    /// Code of unreachable: nobody listens at the port.
    pub const PORT_UNREACHABLE: u8 = 4;
    /// Code of parameter problem: the next header is unknown.
    pub const UNRECOGNIZED_NEXT_HEADER: u8 = 1;
    /// The types below it are errors.
    pub const FIRST_QUERY: u8 = 128;
}
