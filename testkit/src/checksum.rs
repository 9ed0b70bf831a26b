//! Checksums the plain way: sum everything, every time.
//!
//! The gateway updates checksums by increments; a test kit that did the same
//! would share its mistakes. Every function here walks all the bytes.

use std::net::IpAddr;

use crate::print::{Fault, decode};

/// Checks every checksum of a whole Ethernet frame: the IPv4 header, TCP, UDP,
/// UDP-Lite, SCTP, ICMP, ICMPv6, and in ICMP errors the quoted packet too (its
/// IPv4 header if all of it is there, its transport if the quote is complete).
///
/// Frames without checksums (ARP, unknown EtherTypes), UDP over IPv4 with
/// checksum 0, and the transport of an IP fragment have nothing to check and
/// pass.
///
/// # Errors
/// One line for each checksum that is wrong, partial, or uncheckable because the
/// packet is shorter than it says.
pub fn verify(frame: &[u8]) -> Result<(), String> {
    report(frame, |_| true)
}

/// As [`verify`], but a transport checksum that holds the pseudo-header's sum
/// alone (Linux' `CHECKSUM_PARTIAL`) also passes.
///
/// # Errors
/// As [`verify`], without the lines about partial checksums.
pub fn verify_offloaded(frame: &[u8]) -> Result<(), String> {
    report(frame, |fault| !matches!(fault, Fault::Partial(_)))
}

fn report(frame: &[u8], counts: impl Fn(&Fault) -> bool) -> Result<(), String> {
    let lines: Vec<String> = decode(frame)
        .iter()
        .flat_map(|layer| layer.faults.iter().map(move |fault| (layer, fault)))
        .filter(|(_, fault)| counts(fault))
        .map(|(layer, fault)| format!("{}: {fault}", layer.name))
        .collect();
    if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) }
}

/// The Internet checksum (RFC 1071) of `bytes`, as it stands in a header whose
/// checksum field was zero.
pub fn internet(bytes: &[u8]) -> u16 {
    !sum(bytes)
}

/// The folded ones' complement sum of `bytes` as big-endian 16-bit words, the
/// last byte of an odd length counting as a high byte. Not complemented.
pub fn sum(bytes: &[u8]) -> u16 {
    let mut total = 0u64;
    for pair in bytes.chunks(2) {
        let low = pair.get(1).copied().unwrap_or(0);
        total += u64::from(u16::from_be_bytes([pair[0], low]));
    }
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

/// The pseudo-header that TCP, UDP and ICMPv6 sum before themselves: 12 bytes
/// for IPv4 (RFC 768), 40 for IPv6 (RFC 8200, 8.1). `length` counts the transport
/// header and what follows.
///
/// # Panics
/// The two addresses are of different families.
pub fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(40);
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            bytes.extend(src.octets());
            bytes.extend(dst.octets());
            bytes.extend([0, protocol]);
            bytes.extend((length as u16).to_be_bytes());
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            bytes.extend(src.octets());
            bytes.extend(dst.octets());
            bytes.extend((length as u32).to_be_bytes());
            bytes.extend([0, 0, 0, protocol]);
        }
        _ => panic!("a packet has both addresses of one family: {src} > {dst}"),
    }
    bytes
}

/// CRC-32C (Castagnoli) bit by bit, as SCTP uses it (RFC 9260, appendix A).
pub fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rfc_1071_example_sums_to_ddf2() {
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
    }

    #[test]
    fn an_odd_last_byte_counts_as_a_high_byte() {
        assert_eq!(sum(&[0x01]), 0x0100);
        assert_eq!(sum(&[]), 0);
    }

    #[test]
    fn crc32c_gives_the_standard_check_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
