//! TSO and USO in software: one super-frame becomes many frames.

use causeway_fastpath::frame::Frame;
use causeway_fastpath::offload::{ChecksumState, Gso};

use super::{Unfit, checksum};

/// The segments of a super-frame, written one at a time into the caller's buffers.
///
/// Every segment is a finished frame: lengths, IPv4 identification, TCP sequence
/// number and flags are its own, its checksums are complete. The order is that
/// of the payload. Nothing is allocated.
pub struct Segments<'a> {
    /// Ethernet header to the end of the L4 header, as all segments start.
    headers: &'a [u8],
    payload: &'a [u8],
    size: usize,
    next: usize,
    count: usize,
    layout: Layout,
}

impl<'a> Segments<'a> {
    /// The most segments one frame may ask for: 64 KiB at 64 bytes each. It
    /// bounds what a sender who claims tiny segments can make us do.
    pub const MAX: usize = 1024;

    /// Prepares to segment `frame` as its `offload` says.
    ///
    /// # Errors
    /// The offload state does not fit the bytes, or the frame is none to be
    /// segmented. Nothing is written.
    pub fn of(frame: &'a Frame) -> Result<Segments<'a>, Unfit> {
        let offload = &frame.offload;
        let size = usize::from(offload.gso_size);
        let (layout, end) = Layout::read(frame.bytes(), offload.gso).ok_or(Unfit::Headers)?;
        if let ChecksumState::Partial { start, offset } = offload.checksum
            && (usize::from(start), usize::from(offset)) != (layout.l4, layout.l4_kind.checksum_offset())
        {
            return Err(Unfit::ChecksumElsewhere);
        }
        let (headers, payload) = frame.bytes()[..end].split_at(layout.payload);
        if size == 0 || headers.len() - layout.l3 + size > usize::from(u16::MAX) {
            return Err(Unfit::SegmentSize);
        }
        let count = payload.len().div_ceil(size).max(1);
        if count > Segments::MAX {
            return Err(Unfit::TooMany);
        }
        Ok(Segments { headers, payload, size, next: 0, count, layout })
    }

    /// How many segments are still to be written.
    pub fn remaining(&self) -> usize {
        self.count - self.next
    }

    /// Length in bytes of the longest segment, Ethernet header included.
    pub fn longest(&self) -> usize {
        self.headers.len() + self.size.min(self.payload.len())
    }

    /// Length in bytes of the segment that [`Segments::write_next`] would write;
    /// `None` after the last.
    pub fn next_len(&self) -> Option<usize> {
        (self.next < self.count).then(|| self.headers.len() + self.chunk().len())
    }

    /// Writes the next segment to the front of `out`; says how long it is, `None`
    /// after the last.
    ///
    /// # Panics
    /// `out` is shorter than [`Segments::next_len`]: a bug in the caller.
    pub fn write_next(&mut self, out: &mut [u8]) -> Option<usize> {
        let len = self.next_len()?;
        let out = &mut out[..len];
        let (headers, payload) = out.split_at_mut(self.headers.len());
        headers.copy_from_slice(self.headers);
        payload.copy_from_slice(self.chunk());
        self.fix_ip(out);
        self.fix_l4(out);
        self.next += 1;
        Some(len)
    }

    fn chunk(&self) -> &'a [u8] {
        let start = self.next * self.size;
        &self.payload[start..self.payload.len().min(start + self.size)]
    }

    fn fix_ip(&self, out: &mut [u8]) {
        let ip = &mut out[self.layout.l3..];
        let len = ip.len();
        if self.layout.v6 {
            ip[4..6].copy_from_slice(&((len - IPV6_HEADER) as u16).to_be_bytes());
            return;
        }
        ip[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        // Linux counts up as well, DF or not: receivers that merge segments
        // again (GRO) want it.
        let id = u16::from_be_bytes([ip[4], ip[5]]).wrapping_add(self.next as u16);
        ip[4..6].copy_from_slice(&id.to_be_bytes());
        ip[10..12].fill(0);
        let sum = checksum::finish_ipv4_header(checksum::sum(&ip[..self.layout.l3_header]));
        ip[10..12].copy_from_slice(&sum);
    }

    fn fix_l4(&self, out: &mut [u8]) {
        let (before, l4) = out.split_at_mut(self.layout.l4);
        let last = self.next + 1 == self.count;
        match self.layout.l4_kind {
            L4::Tcp { ecn } => {
                let moved = (self.next * self.size) as u32;
                let sequence = u32::from_be_bytes([l4[4], l4[5], l4[6], l4[7]]).wrapping_add(moved);
                l4[4..8].copy_from_slice(&sequence.to_be_bytes());
                if !last {
                    l4[13] &= !(TCP_FIN | TCP_PSH);
                }
                if ecn && self.next > 0 {
                    l4[13] &= !TCP_CWR;
                }
            }
            L4::Udp => {
                let len = l4.len() as u16;
                l4[4..6].copy_from_slice(&len.to_be_bytes());
            }
        }
        let ip = &before[self.layout.l3..];
        let addresses = if self.layout.v6 { &ip[8..40] } else { &ip[12..20] };
        let field = self.layout.l4_kind.checksum_offset();
        l4[field..field + 2].fill(0);
        let pseudo = checksum::pseudo_header(addresses, self.layout.l4_kind.protocol(), l4.len() as u16);
        let sum = checksum::finish(pseudo + checksum::sum(l4));
        l4[field..field + 2].copy_from_slice(&sum);
    }
}

/// Where the headers of a super-frame start, in bytes from its first.
#[derive(Clone, Copy)]
struct Layout {
    v6: bool,
    l3: usize,
    /// Length of the IP header without IPv6 extension headers.
    l3_header: usize,
    l4: usize,
    l4_kind: L4,
    payload: usize,
}

#[derive(Clone, Copy)]
enum L4 {
    Tcp { ecn: bool },
    Udp,
}

impl Layout {
    /// Walks the headers; also says where the IP packet ends. `None` when they
    /// are cut short or not those that `gso` claims.
    fn read(bytes: &[u8], gso: Gso) -> Option<(Layout, usize)> {
        let (want_v6, l4_kind) = match gso {
            Gso::None => return None,
            Gso::TcpV4 { ecn } => (Some(false), L4::Tcp { ecn }),
            Gso::TcpV6 { ecn } => (Some(true), L4::Tcp { ecn }),
            Gso::Udp => (None, L4::Udp),
        };
        let (ether_type, l3) = ether_type(bytes)?;
        let v6 = match ether_type {
            ETHERTYPE_IPV4 => false,
            ETHERTYPE_IPV6 => true,
            _ => return None,
        };
        if want_v6.is_some_and(|want| want != v6) {
            return None;
        }
        let ip = &bytes[l3..];
        let (l3_header, l4, protocol, packet) = if v6 { ipv6(ip)? } else { ipv4(ip)? };
        if protocol != l4_kind.protocol() {
            return None;
        }
        let l4_bytes = ip.get(l4..packet)?;
        let l4_header = match l4_kind {
            L4::Tcp { .. } => usize::from(l4_bytes.get(12)? >> 4) * 4,
            L4::Udp => UDP_HEADER,
        };
        if l4_header < l4_kind.shortest_header() || l4_header > l4_bytes.len() {
            return None;
        }
        let layout = Layout { v6, l3, l3_header, l4: l3 + l4, l4_kind, payload: l3 + l4 + l4_header };
        Some((layout, l3 + packet))
    }
}

impl L4 {
    fn protocol(self) -> u8 {
        match self {
            L4::Tcp { .. } => 6,
            L4::Udp => 17,
        }
    }

    fn checksum_offset(self) -> usize {
        match self {
            L4::Tcp { .. } => 16,
            L4::Udp => 6,
        }
    }

    fn shortest_header(self) -> usize {
        match self {
            L4::Tcp { .. } => 20,
            L4::Udp => UDP_HEADER,
        }
    }
}

/// EtherType and start of the network header, past at most two VLAN tags.
fn ether_type(bytes: &[u8]) -> Option<(u16, usize)> {
    let mut at = 12;
    for _ in 0..3 {
        let ether_type = u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]);
        if ether_type != ETHERTYPE_VLAN && ether_type != ETHERTYPE_QINQ {
            return Some((ether_type, at + 2));
        }
        at += 4;
    }
    None
}

/// Header length, start of L4, protocol, end of the packet.
fn ipv4(ip: &[u8]) -> Option<(usize, usize, u8, usize)> {
    let header = usize::from(ip.first()? & 0xf) * 4;
    if ip[0] >> 4 != 4 || header < 20 || ip.len() < header {
        return None;
    }
    let packet = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    let fragment = u16::from_be_bytes([ip[6], ip[7]]) & 0x3fff;
    (fragment == 0 && packet >= header && packet <= ip.len()).then_some((header, header, ip[9], packet))
}

/// As [`ipv4`], past the extension headers that may stand before TCP and UDP.
fn ipv6(ip: &[u8]) -> Option<(usize, usize, u8, usize)> {
    if ip.len() < IPV6_HEADER || ip[0] >> 4 != 6 {
        return None;
    }
    let packet = IPV6_HEADER + usize::from(u16::from_be_bytes([ip[4], ip[5]]));
    let ip = ip.get(..packet)?;
    let mut next_header = ip[6];
    let mut at = IPV6_HEADER;
    // Hop-by-hop, routing and destination options (RFC 8200, 4.1); each is at
    // least eight bytes long, so the packet bounds the loop.
    while matches!(next_header, 0 | 43 | 60) {
        let header = ip.get(at..at + 2)?;
        next_header = header[0];
        at += (usize::from(header[1]) + 1) * 8;
    }
    Some((IPV6_HEADER, at, next_header, packet))
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_QINQ: u16 = 0x88a8;
const IPV6_HEADER: usize = 40;
const UDP_HEADER: usize = 8;
const TCP_FIN: u8 = 0x01;
const TCP_PSH: u8 = 0x08;
const TCP_CWR: u8 = 0x80;

#[cfg(test)]
#[path = "segment_tests.rs"]
mod tests;
