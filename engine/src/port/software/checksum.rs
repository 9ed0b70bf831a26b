//! The Internet checksum (RFC 1071), over long runs of bytes.
//!
//! Sums are kept in the machine's byte order: the ones' complement sum does not
//! mind, as long as the result is stored in the same order (RFC 1071, 2.B).

/// Unfolded sum of `bytes`, an odd last byte padded with zero.
///
/// Sums may be added to each other as long as each of them, but the last,
/// covers an even number of bytes.
pub(super) fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    // Four accumulators' worth of independent additions: the compiler makes
    // vectors of it, as no carry binds one word to the next.
    let mut total: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    total += u64::from(u32::from_ne_bytes(last));
    total
}

/// The sum of the pseudo header of RFC 9293 3.1, RFC 768 and RFC 8200 8.1.
///
/// `addresses` are source and destination as they stand in the IP header;
/// `length` is that of the L4 header and what follows it.
pub(super) fn pseudo_header(addresses: &[u8], protocol: u8, length: u16) -> u64 {
    sum(addresses) + u64::from(u16::from(protocol).to_be()) + u64::from(length.to_be())
}

/// Folds and complements a sum into the two bytes of a checksum field; 0 becomes
/// 0xffff, which means the same and is what UDP must send.
pub(super) fn finish(sum: u64) -> [u8; 2] {
    let checksum = !fold(sum);
    if checksum == 0 { [0xff, 0xff] } else { checksum.to_ne_bytes() }
}

/// As [`finish`], for the IPv4 header, where 0 is as good as any.
pub(super) fn finish_ipv4_header(sum: u64) -> [u8; 2] {
    (!fold(sum)).to_ne_bytes()
}

fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}
