//! IPv4 packets that are too big for a link and may be cut up (RFC 791, 3.2; RFC 1812,
//! 4.2.2.7 and 5.2.6).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::HEADROOM;
use crate::frame::Frame;
use crate::ids::PortId;
use crate::wire::checksum::{finish, sum};
use crate::wire::ethernet::HEADER_LEN as L2;
use crate::wire::{get16, ipv4, put16};

/// The longest piece that is cut off, in bytes of IP: where a link takes more, it gets
/// more pieces than it must.
pub const LONGEST_PIECE: usize = 9_216;
/// The longest IPv4 options.
const MOST_OPTIONS: usize = 40;

/// How a packet is cut up: as few pieces as may be, in order, of which the first keeps all
/// options and the others those that say so.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    header_len: usize,
    /// Length of the headers behind the first.
    later_header_len: usize,
    /// What a piece may carry: the first, and each of the others.
    first: usize,
    later: usize,
    /// Pieces behind the first.
    count: usize,
}

impl Cut {
    /// How the packet, whose header is sound, is cut up for a link that takes `mtu` bytes;
    /// the packet is longer. `None`: it cannot be.
    pub fn new(packet: &[u8], mtu: usize) -> Option<Cut> {
        let header_len = usize::from(packet[ipv4::VERSION_IHL] & 0x0f) * 4;
        let mut options = [0; MOST_OPTIONS];
        let kept = copied_options(&packet[ipv4::HEADER_LEN..header_len], &mut options);
        let later_header_len = ipv4::HEADER_LEN + kept;
        let payload = packet.len() - header_len;
        let (first, later) = (mtu.checked_sub(header_len)?, mtu.min(LONGEST_PIECE).checked_sub(later_header_len)?);
        // What reaches beyond the longest datagram has no offset to be written.
        let offset = usize::from(get16(packet, ipv4::FLAGS_FRAGMENT) & ipv4::FRAGMENT_OFFSET) * 8;
        if first < 8 || later < 8 || payload <= first || offset + payload > usize::from(u16::MAX) {
            return None;
        }
        let rest = payload - first / 8 * 8;
        let count = 1 + rest.saturating_sub(later).div_ceil(later / 8 * 8);
        Some(Cut { header_len, later_header_len, first, later, count })
    }

    /// Pieces behind the first.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// Writes the options that every piece carries to `out`; says how long they are, in whole
/// words.
fn copied_options(mut options: &[u8], out: &mut [u8; MOST_OPTIONS]) -> usize {
    let mut len = 0;
    while let [kind, tail @ ..] = options {
        match *kind {
            ipv4::OPTION_END => break,
            ipv4::OPTION_NOP => options = tail,
            _ => {
                let end = tail.first().map_or(0, |len| usize::from(*len)).clamp(1, options.len());
                if kind & ipv4::OPTION_COPIED != 0 {
                    out[len..len + end].copy_from_slice(&options[..end]);
                    len += end;
                }
                options = &options[end..];
            }
        }
    }
    len.next_multiple_of(4)
}

/// Pieces that were cut off, in buffers of the forwarder's own: each is free, waits to be
/// sent, or is lent out as a [`Frame`] until [`Cuttings::take_back`]. Fragments that were held
/// and are too long for the buffers in which they waited are lent out in these, too.
///
/// Allocates when it is made, and never after.
pub struct Cuttings {
    free: Vec<Frame>,
    ready: VecDeque<(Frame, PortId)>,
    lent: usize,
}

impl Cuttings {
    /// Buffers: enough for a burst of packets of [`LONGEST_PIECE`] bytes, cut up for a link
    /// of Ethernet's usual 1500.
    pub const BUFFERS: usize = 512;
    /// The token of its frames.
    pub const TOKEN: u64 = 0;

    /// All buffers free.
    pub fn new() -> Cuttings {
        let frame = |_| Frame::held(Cuttings::TOKEN, HEADROOM + L2 + LONGEST_PIECE);
        Cuttings {
            free: (0..Cuttings::BUFFERS).map(frame).collect(),
            ready: VecDeque::with_capacity(Cuttings::BUFFERS),
            lent: 0,
        }
    }

    /// What it occupies once every buffer was used, in bytes.
    pub fn bytes(&self) -> usize {
        Cuttings::BUFFERS * (HEADROOM + L2 + LONGEST_PIECE + 2 * size_of::<Frame>())
    }

    /// Are there buffers for all pieces?
    pub fn has_room(&self, cut: &Cut) -> bool {
        cut.count <= self.free.len()
    }

    /// Cuts up a packet that is sent to a port: its frame keeps the first piece, the others
    /// wait.
    ///
    /// # Panics
    /// The cut is another packet's, or there is no room.
    pub fn cut(&mut self, frame: &mut Frame, cut: &Cut, to: PortId) {
        let Cut { header_len, later_header_len, .. } = *cut;
        let bytes = frame.bytes();
        let (packet, flags) = (&bytes[L2..], get16(&bytes[L2..], ipv4::FLAGS_FRAGMENT));
        let mut header = [0; ipv4::HEADER_LEN + MOST_OPTIONS];
        header[..ipv4::HEADER_LEN].copy_from_slice(&packet[..ipv4::HEADER_LEN]);
        let mut options = [0; MOST_OPTIONS];
        copied_options(&packet[ipv4::HEADER_LEN..header_len], &mut options);
        header[ipv4::HEADER_LEN..].copy_from_slice(&options);
        header[ipv4::VERSION_IHL] = 0x40 | (later_header_len / 4) as u8;

        let payload = &packet[header_len..];
        let mut start = cut.first / 8 * 8;
        while start < payload.len() {
            let left = payload.len() - start;
            let len = if left <= cut.later { left } else { cut.later / 8 * 8 };
            let header = &mut header[..later_header_len];
            place(header, flags, start, len, start + len < payload.len());
            let mut piece = self.free.pop().expect("whoever cuts asked for room");
            piece.fill(&[&bytes[..L2], header, &payload[start..start + len]]);
            piece.ingress = frame.ingress;
            self.ready.push_back((piece, to));
            start += len;
        }
        let first = cut.first / 8 * 8;
        frame.truncate(L2 + header_len + first);
        place(&mut frame.bytes_mut()[L2..L2 + header_len], flags, 0, first, true);
    }

    /// The next piece to be sent, lent out, and by which port.
    pub fn next_ready(&mut self) -> Option<(Frame, PortId)> {
        let piece = self.ready.pop_front();
        self.lent += usize::from(piece.is_some());
        piece
    }

    /// A buffer for a frame that these bytes begin, lent out; `None`: there is none.
    pub(super) fn lend(&mut self, bytes: &[u8]) -> Option<Frame> {
        let mut frame = self.free.pop()?;
        frame.refill(HEADROOM, bytes);
        self.lent += 1;
        Some(frame)
    }

    /// Takes back the buffer of a piece that was sent or dropped. One too many is of buffers
    /// that these took the place of.
    pub fn take_back(&mut self, frame: Frame) {
        if self.lent == 0 {
            drop(frame.into_heap());
            return;
        }
        self.lent -= 1;
        self.free.push(frame);
    }
}

/// Makes a header that of the piece that carries `len` bytes from byte `start` of a packet
/// on, whose flags and offset are `flags`, with `more` of the packet behind it.
fn place(header: &mut [u8], flags: u16, start: usize, len: usize, more: bool) {
    let more = if more { ipv4::MORE_FRAGMENTS } else { 0 };
    put16(header, ipv4::TOTAL_LENGTH, (header.len() + len) as u16);
    put16(header, ipv4::FLAGS_FRAGMENT, (flags | more) + (start / 8) as u16);
    put16(header, ipv4::CHECKSUM, 0);
    let checksum = finish(sum(header));
    put16(header, ipv4::CHECKSUM, checksum);
}

impl Default for Cuttings {
    fn default() -> Cuttings {
        Cuttings::new()
    }
}

impl Drop for Cuttings {
    fn drop(&mut self) {
        for frame in self.free.drain(..).chain(self.ready.drain(..).map(|(frame, _)| frame)) {
            drop(frame.into_heap());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_testkit::packet::*;
    use proptest::prelude::*;

    /// The options of a header, cut down to those that every piece carries.
    fn copied(options: &[u8]) -> Vec<u8> {
        let mut out = [0; MOST_OPTIONS];
        let len = copied_options(options, &mut out);
        out[..len].to_vec()
    }

    #[test]
    fn options_are_copied_where_they_say_so() {
        assert_eq!(copied(&[]), []);
        // Record route is not; security and an unknown one with the flag are.
        assert_eq!(copied(&[7, 7, 4, 0, 0, 0, 0, 130, 4, 1, 2, 0x9e, 3, 9, 0]), [130, 4, 1, 2, 0x9e, 3, 9, 0]);
        assert_eq!(copied(&[1, 1, 148, 4, 0, 0, 0, 148]), [148, 4, 0, 0]);
    }

    #[test]
    fn what_has_no_room_or_no_offset_is_not_cut() {
        let packet = eth().ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).payload([0; 1_000]).packet();
        assert!(Cut::new(&packet, 28).is_some() && Cut::new(&packet, 27).is_none());
        let far = eth().ipv4("10.0.0.1", "10.0.0.2").fragment(65_000, false).raw(17, [0; 600]).packet();
        assert!(Cut::new(&far, 500).is_none());
    }

    proptest! {
        #[test]
        fn the_pieces_are_the_packet_and_as_few_as_may_be(
            payload in 9usize..40_000, mtu in 68usize..12_000, options in 0usize..=40, base in 0u16..1_000, more: bool,
        ) {
            let mut ip = eth().ipv4("10.0.0.1", "10.0.0.2").fragment(base * 8, more);
            if options >= 4 {
                ip = ip.options([&[0x82, options as u8][..], &std::vec![5; options - 2]].concat());
            }
            let payload: Vec<u8> = (0..payload).map(|at| (at * 7) as u8).collect();
            let original = ip.raw(17, &payload).build();
            let mut cuttings = Cuttings::new();
            let cut = (original.len() > L2 + mtu).then(|| Cut::new(&original[L2..], mtu)).flatten();
            prop_assert!(cut.is_some() || original.len() <= L2 + mtu || mtu < 88, "it can be cut");
            let Some(cut) = cut.filter(|cut| cuttings.has_room(cut)) else {
                return Ok(());
            };
            let mut frame = Frame::boxed(&original, 0, 0);
            cuttings.cut(&mut frame, &cut, PortId(3));
            let mut pieces = std::vec![frame.bytes().to_vec()];
            drop(frame.into_heap());
            while let Some((piece, to)) = cuttings.next_ready() {
                prop_assert_eq!(to, PortId(3));
                pieces.push(piece.bytes().to_vec());
                cuttings.take_back(piece);
            }
            prop_assert_eq!(pieces.len(), 1 + cut.count());
            let mut whole: Vec<u8> = Vec::new();
            for (at, piece) in pieces.iter().enumerate() {
                prop_assert_eq!(causeway_testkit::checksum::verify(piece), Ok(()));
                let header_len = usize::from(piece[L2] & 15) * 4;
                let word = get16(&piece[L2..], ipv4::FLAGS_FRAGMENT);
                prop_assert!(piece.len() <= L2 + mtu);
                prop_assert_eq!(usize::from(word & 0x1fff) * 8, usize::from(base) * 8 + whole.len());
                prop_assert_eq!(word & 0x2000 != 0, more || at + 1 < pieces.len());
                // As few as may be: nothing more would have fitted.
                let full = mtu.min(if at == 0 { mtu } else { LONGEST_PIECE }) - header_len;
                prop_assert!(at + 1 == pieces.len() || piece.len() - L2 - header_len == full / 8 * 8);
                whole.extend(&piece[L2 + header_len..]);
            }
            prop_assert_eq!(whole, payload);
        }
    }
}
