//! The IP header: what a router checks (RFC 1812, 5.2.2; RFC 8200, section 4).
//!
//! Damage above IP is not looked for: it does not concern those who merely route.

use super::extensions::behind_extensions;
use crate::address::Address;
use crate::verdict::DropReason;
use crate::wire::checksum::{fold, sum};
use crate::wire::ethernet::HEADER_LEN as L2;
use crate::wire::{get16, ipv4, ipv6, protocol};

/// What was found in an IP header.
///
/// Offsets count from the start of the frame and were checked: `l4` is at most
/// `end`, `end` at most the length of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpHeader<A> {
    /// Source address.
    pub src: A,
    /// Destination address.
    pub dst: A,
    /// End of the IP packet; Ethernet padding may follow.
    pub end: u32,
    /// Start of what the packet carries, behind options and extension headers.
    pub l4: u16,
    /// TTL or hop limit.
    pub ttl: u8,
    /// What it carries; an extension header, where one is cut short.
    pub protocol: u8,
}

/// Finds the IPv4 header in an Ethernet frame.
///
/// # Errors
/// The reason for which a router must drop the packet.
pub fn ipv4(frame: &[u8]) -> Result<IpHeader<u32>, DropReason> {
    if let Some(header) = plain_ipv4(frame) {
        return Ok(header);
    }
    let (header, rest) = sound_but_for_options(frame)?;
    options(rest).map_err(|(reason, _)| reason)?;
    Ok(header)
}

/// Finds the IPv4 header in an Ethernet frame whose options overrun it, and from the start
/// of the header where the first of those begins. `None`: that is not what is wrong with it.
pub fn ipv4_with_bad_options(frame: &[u8]) -> Option<(IpHeader<u32>, u8)> {
    let (header, rest) = sound_but_for_options(frame).ok()?;
    match options(rest) {
        Err((DropReason::OptionsBad, at)) => Some((header, (ipv4::HEADER_LEN + at) as u8)),
        _ => None,
    }
}

/// The header, in which nothing is wrong but perhaps options, and those.
fn sound_but_for_options(frame: &[u8]) -> Result<(IpHeader<u32>, &[u8]), DropReason> {
    let Some(header) = frame.get(L2..).and_then(|packet| packet.first_chunk::<{ ipv4::HEADER_LEN }>()) else {
        return Err(DropReason::FrameTruncated);
    };
    let header_len = usize::from(header[ipv4::VERSION_IHL] & 0x0f) * 4;
    let total = usize::from(get16(header, ipv4::TOTAL_LENGTH));
    if header[ipv4::VERSION_IHL] >> 4 != 4 || header_len < ipv4::HEADER_LEN || total < header_len {
        return Err(DropReason::Ipv4HeaderBad);
    }
    let Some(whole) = frame[L2..].get(..total).map(|packet| &packet[..header_len]) else {
        return Err(DropReason::FrameTruncated);
    };
    if fold(sum(whole)) != 0xffff {
        return Err(DropReason::Ipv4ChecksumBad);
    }
    Ok((IpHeader { l4: (L2 + header_len) as u16, ..found(header, total) }, &whole[ipv4::HEADER_LEN..]))
}

/// As [`ipv4`], for a sound packet without options: nearly every one. `None` says
/// nothing but that [`ipv4`] must look closer.
#[inline(always)]
pub(crate) fn plain_ipv4(frame: &[u8]) -> Option<IpHeader<u32>> {
    let start = frame.first_chunk::<{ L2 + ipv4::HEADER_LEN }>()?;
    let header = start.last_chunk::<{ ipv4::HEADER_LEN }>()?;
    let total = usize::from(get16(header, ipv4::TOTAL_LENGTH));
    // One branch for all: they hold together or the packet is odd.
    let plain = (header[ipv4::VERSION_IHL] == 0x45)
        & (total >= ipv4::HEADER_LEN)
        & (L2 + total <= frame.len())
        & ipv4::is_whole(header);
    plain.then(|| found(header, total))
}

#[inline(always)]
fn found<A: Address, const LEN: usize>(header: &[u8; LEN], total: usize) -> IpHeader<A> {
    IpHeader {
        src: A::get(header, A::SOURCE_AT),
        dst: A::get(header, A::DESTINATION_AT),
        end: (L2 + total) as u32,
        l4: (L2 + LEN) as u16,
        ttl: header[A::TTL_AT],
        protocol: header[A::PROTOCOL_AT],
    }
}

/// Finds the IPv6 header in an Ethernet frame, and walks the extension headers.
///
/// # Errors
/// The reason for which a router must drop the packet.
pub fn ipv6(frame: &[u8]) -> Result<IpHeader<u128>, DropReason> {
    if let Some(header) = plain_ipv6(frame) {
        return Ok(header);
    }
    let Some(packet) = frame.get(L2..) else {
        return Err(DropReason::FrameTruncated);
    };
    let Some(header) = packet.first_chunk::<{ ipv6::HEADER_LEN }>() else {
        return Err(DropReason::FrameTruncated);
    };
    if header[ipv6::VERSION] >> 4 != 6 {
        return Err(DropReason::Ipv6HeaderBad);
    }
    let total = ipv6::HEADER_LEN + usize::from(get16(header, ipv6::PAYLOAD_LENGTH));
    if total > packet.len() {
        return Err(DropReason::FrameTruncated);
    }
    let header: IpHeader<u128> = found(header, total);
    let (l4, protocol) = behind_extensions(&frame[..header.end as usize], header.l4.into(), header.protocol)?;
    Ok(IpHeader { l4: l4 as u16, protocol, ..header })
}

/// As [`ipv6`], for a sound TCP or UDP packet without extension headers. `None`
/// says nothing but that [`ipv6`] must look closer.
#[inline(always)]
pub(crate) fn plain_ipv6(frame: &[u8]) -> Option<IpHeader<u128>> {
    let start = frame.first_chunk::<{ L2 + ipv6::HEADER_LEN }>()?;
    let header = start.last_chunk::<{ ipv6::HEADER_LEN }>()?;
    let total = ipv6::HEADER_LEN + usize::from(get16(header, ipv6::PAYLOAD_LENGTH));
    let next = header[ipv6::NEXT_HEADER];
    let plain = (header[ipv6::VERSION] >> 4 == 6)
        & (L2 + total <= frame.len())
        & ((next == protocol::TCP) | (next == protocol::UDP));
    plain.then(|| found(header, total))
}

/// Walks the options (RFC 791, 3.1). Unknown ones pass; source routes do not
/// (RFC 7126, 4.3 and 4.4), nor does what overruns the header. Says why, and where the
/// option begins that does not pass.
fn options(options: &[u8]) -> Result<(), (DropReason, usize)> {
    let mut rest = options;
    while let [kind, tail @ ..] = rest {
        let at = options.len() - rest.len();
        match *kind {
            ipv4::OPTION_END => return Ok(()),
            ipv4::OPTION_NOP => rest = tail,
            ipv4::OPTION_LSRR | ipv4::OPTION_SSRR => return Err((DropReason::SourceRoute, at)),
            _ => {
                let len = tail.first().copied().map_or(0, usize::from);
                if len < 2 || len > rest.len() {
                    return Err((DropReason::OptionsBad, at));
                }
                rest = &rest[len..];
            }
        }
    }
    Ok(())
}
