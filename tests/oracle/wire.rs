//! Just enough of packet formats to find names in them.

use std::net::IpAddr;

use causeway_testkit::packet::ToIp;

/// Length of an Ethernet header.
pub(crate) const L2: usize = 14;
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const SCTP: u8 = 132;
pub(crate) const UDP_LITE: u8 = 136;

/// An IP packet, or what is left of one in a quote.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) ttl: u8,
    /// Where its payload begins.
    pub(crate) l4: usize,
    /// It is a fragment, and not the first.
    pub(crate) is_later_piece: bool,
    /// It is a fragment.
    pub(crate) is_piece: bool,
}

/// Which end of a flow a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Source,
    Destination,
}

/// Finds the layers of an IP packet; `None` if there is none.
pub(crate) fn layout(packet: &[u8]) -> Option<Layout> {
    match packet.first()? >> 4 {
        4 => {
            let header = packet.first_chunk::<20>()?;
            let piece = u16::from_be_bytes([header[6], header[7]]);
            Some(Layout {
                src: header[12..16].first_chunk::<4>()?.to_ip(),
                dst: header[16..20].first_chunk::<4>()?.to_ip(),
                protocol: header[9],
                ttl: header[8],
                l4: usize::from(header[0] & 0x0f) * 4,
                is_later_piece: piece & 0x1fff != 0,
                is_piece: piece & 0x3fff != 0,
            })
        }
        6 => {
            let header = packet.first_chunk::<40>()?;
            let (mut protocol, mut l4, mut piece) = (header[6], 40, None);
            while let 0 | 43 | 44 | 60 = protocol {
                let extension = packet.get(l4..l4 + 4)?;
                let is_fragment = protocol == 44;
                if is_fragment {
                    piece = Some(word(extension, 2));
                }
                protocol = extension[0];
                l4 += if is_fragment { 8 } else { (usize::from(extension[1]) + 1) * 8 };
                if piece.is_some_and(|piece| piece & 0xfff8 != 0) {
                    break;
                }
            }
            Some(Layout {
                src: header[8..24].first_chunk::<16>()?.to_ip(),
                dst: header[24..40].first_chunk::<16>()?.to_ip(),
                protocol,
                ttl: header[7],
                l4,
                is_later_piece: piece.is_some_and(|piece| piece & 0xfff8 != 0),
                is_piece: piece.is_some(),
            })
        }
        _ => None,
    }
}

impl Layout {
    /// Where the port or query identifier of an end stands.
    pub(crate) fn name_at(&self, packet: &[u8], end: End) -> Option<usize> {
        let at = match self.protocol {
            _ if self.is_later_piece => return None,
            TCP | UDP | UDP_LITE => self.l4 + if end == End::Source { 0 } else { 2 },
            ICMP | ICMPV6 if self.is_query(packet) => self.l4 + 4,
            _ => return None,
        };
        (at + 2 <= packet.len()).then_some(at)
    }

    /// Where the transport checksum stands.
    pub(crate) fn checksum_at(&self, packet: &[u8]) -> Option<usize> {
        let at = self.l4
            + match self.protocol {
                _ if self.is_later_piece => return None,
                TCP => 16,
                UDP | UDP_LITE => 6,
                ICMP | ICMPV6 => 2,
                _ => return None,
            };
        (at + 2 <= packet.len()).then_some(at)
    }

    /// Is it an echo or a timestamp?
    pub(crate) fn is_query(&self, packet: &[u8]) -> bool {
        let kinds: &[u8] = if self.protocol == ICMP { &[8, 0, 13, 14] } else { &[128, 129] };
        packet.get(self.l4).is_some_and(|kind| kinds.contains(kind))
    }

    /// Where an ICMP error's quote begins.
    pub(crate) fn quote_at(&self, packet: &[u8]) -> Option<usize> {
        let kind = *packet.get(self.l4)?;
        let is_error = match self.protocol {
            ICMP => matches!(kind, 3 | 4 | 5 | 11 | 12),
            ICMPV6 => matches!(kind, 1..=4),
            _ => false,
        };
        (is_error && !self.is_later_piece).then_some(self.l4 + 8)
    }
}

/// The big-endian word at `at`.
pub(crate) fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}
