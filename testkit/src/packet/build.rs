//! From a description to bytes.

use super::link::Cut;
use super::{Eth, Ip};

/// Every description that can become a frame.
pub trait Build: Sized {
    /// The Ethernet layer, for those who change it late.
    fn eth(&mut self) -> &mut Eth;

    /// The bytes behind the Ethernet header and tags, before anything is done to
    /// the frame's end.
    fn packet(&self) -> Vec<u8>;

    /// The frame, from destination address to last byte, without check sequence.
    fn build(&self) -> Vec<u8>;

    /// The first `len` bytes of [`Build::packet`], as an ICMP error quotes them.
    fn quote(&self, len: usize) -> Vec<u8> {
        let mut packet = self.packet();
        packet.truncate(len);
        packet
    }

    /// Pads the frame with zeros to Ethernet's least 60 bytes, as a NIC does.
    fn pad_to_60(mut self) -> Self {
        self.eth().pad = true;
        self
    }

    /// Adds bytes behind the packet that no length field counts.
    fn trailing(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.eth().trailing = bytes.as_ref().to_vec();
        self
    }

    /// Keeps at most the first `len` bytes of the frame; lengths still tell of the whole.
    fn truncate(mut self, len: usize) -> Self {
        self.eth().cut = Cut::To(len);
        self
    }

    /// Loses the last `count` bytes of the frame; lengths still tell of the whole.
    fn cut(mut self, count: usize) -> Self {
        self.eth().cut = Cut::Last(count);
        self
    }
}

/// What an IP packet carries.
pub trait Transport: Sized {
    /// The IP layer around it.
    fn ip(&self) -> &Ip;

    /// The IP layer around it, for those who change it late.
    fn ip_mut(&mut self) -> &mut Ip;

    /// The protocol number, and the bytes behind the IP header and extensions.
    fn segment(&self) -> (u8, Vec<u8>);

    /// The packet as frames of IP fragments, first to last, each of at most `mtu`
    /// bytes behind the Ethernet header; a packet that fits still comes as one
    /// frame, and for IPv6 as an atomic fragment (RFC 6946).
    ///
    /// # Panics
    /// `mtu` leaves no room for eight bytes behind the IP header.
    fn fragments(&self, id: u32, mtu: usize) -> Vec<Vec<u8>> {
        let (protocol, segment) = self.segment();
        let (ip, protocol, segment) = self.ip().fragmentable(protocol, segment);
        let header = ip.fragment(id, 0, false).encode(protocol, &[]).len();
        let room = mtu.saturating_sub(header) / 8 * 8;
        assert!(room > 0, "an MTU of {mtu} leaves no room behind {header} bytes of header");
        let count = segment.len().div_ceil(room).max(1);
        (0..count)
            .map(|index| {
                let start = index * room;
                let end = segment.len().min(start + room);
                let piece = ip.fragment(id, start, index + 1 < count);
                let packet = piece.encode(protocol, &segment[start..end]);
                piece.eth().encode(piece.ethertype(), &packet)
            })
            .collect()
    }
}

impl<T: Transport> Build for T {
    fn eth(&mut self) -> &mut Eth {
        self.ip_mut().eth_mut()
    }

    fn packet(&self) -> Vec<u8> {
        let (protocol, segment) = self.segment();
        self.ip().encode(protocol, &segment)
    }

    fn build(&self) -> Vec<u8> {
        let ip = self.ip();
        ip.eth().encode(ip.ethertype(), &self.packet())
    }
}

/// The first `len` bytes behind the Ethernet header and VLAN tags of a frame, as
/// an ICMP error about it quotes them.
pub fn quote(frame: &[u8], len: usize) -> Vec<u8> {
    let mut start = 12;
    while let Some([0x81, 0x00] | [0x88, 0xa8]) = frame.get(start..start + 2) {
        start += 4;
    }
    frame.iter().skip(start + 2).take(len).copied().collect()
}

/// What stands in a checksum field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sum {
    Right,
    Wrong,
    Is(u16),
    /// The pseudo-header's sum alone, not complemented: what Linux leaves in the
    /// field for hardware to complete (`CHECKSUM_PARTIAL`).
    Partial,
}

impl Sum {
    /// The value for the field, when `right` is the right one and `partial` the
    /// pseudo-header's sum.
    pub(super) fn resolve(self, right: u16, partial: u16) -> u16 {
        match self {
            Sum::Right => right,
            // Never 0, which UDP reads as "no checksum".
            Sum::Wrong if right == 0x0101 => 0x0202,
            Sum::Wrong => right ^ 0x0101,
            Sum::Is(value) => value,
            Sum::Partial => partial,
        }
    }
}
