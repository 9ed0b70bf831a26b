//! Which segments a TCP conversation is judged by: those that their receiver would believe.
//!
//! A reset or FIN counts where its receiver expects the next segment, and an answer to a SYN
//! where it acknowledges that one (RFC 7857, 2.2; RFC 5961; RFC 9293, 3.10.7): who cannot see
//! the conversation can neither end it nor shorten its timer. Nor can he keep it alive: what its
//! receiver would not take refreshes nothing. Nothing is held back for that; the ends judge for
//! themselves.
//!
//! For that a side needs to be known by what it acknowledged last and the window that it
//! announced with that. 24 bits hold both: the upper 20 bits of the number, and the magnitude
//! of the window, as a power of two. So a reset that is believed may be less than 4 KiB behind
//! the window, or less than that and the window's own width in front of it. A forged segment
//! spoils what is known of the side that it claims to be from, by which only what its peer sends
//! is judged: nobody prepares a reset of his own with it.

use super::Direction;
use super::tcp::{Phase, TcpState};
use crate::wire::tcp::{self, ACK, FIN, RST, SYN};
use crate::wire::{get16, get32};

/// What is kept of a TCP conversation, in 8 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tcp {
    /// What was seen of it.
    pub state: TcpState,
    /// One more than the shift counts of the windows of the initiator and its peer (RFC 7323),
    /// four bits each; 0: it announced none.
    scales: u8,
    /// Of the initiator, and of its peer.
    sides: [Side; 2],
}

/// What a conversation is told by of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Flags.
    pub flags: u8,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// Window, unscaled.
    pub window: u16,
    /// Of a SYN, the shift count that it announces for later windows.
    pub scale: Option<u8>,
}

/// What a segment that passed means to its conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// Nothing, as its receiver does not take it: a blind one, or one that is of no use any more.
    Unheard,
    /// Its receiver may take it: both are still there.
    Heard,
    /// It ended what was open.
    Ended,
}

/// The number that a side acknowledged last, or before that the one that its SYN had; and the
/// magnitude of its window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Side([u8; 3]);

/// Numbers are known to so many bytes: that of a side is at most one less ahead of its `floor`.
const GRANULE: u32 = 1 << 12;
/// As wide is the window of a conversation whose handshake nobody saw: scales are unknown. A
/// blind reset passes this once in 16 384 guesses, and then shortens a timer; one that is too
/// far ahead leaves a closed conversation its long one.
const UNSEEN_WINDOW: u32 = 1 << 18;
/// What a SYN may carry, and its answer acknowledge (RFC 7413).
const FAST_OPEN: u32 = 1 << 16;
/// How much in front of what is expected a segment may begin: what was sent before, in part, is
/// sent again with it, and keep-alives are one byte back (RFC 9293, 3.8.4).
const AGAIN: u32 = 1 << 16;

impl Segment {
    /// Reads a TCP header; what follows is not looked at.
    ///
    /// # Panics
    /// It is cut short.
    #[inline(always)]
    pub fn read(header: &[u8]) -> Segment {
        let fixed = header.first_chunk::<{ tcp::HEADER_LEN }>().expect("a TCP header is whole");
        let flags = fixed[tcp::FLAGS];
        Segment {
            flags,
            sequence: get32(fixed, tcp::SEQUENCE),
            acknowledgement: get32(fixed, tcp::ACKNOWLEDGEMENT),
            window: get16(fixed, tcp::WINDOW),
            scale: if flags & SYN != 0 { tcp::window_scale(header) } else { None },
        }
    }
}

impl Side {
    /// A number, and a window as it stands in a header.
    #[inline(always)]
    fn new(number: u32, window: u16) -> Side {
        let [low, mid, high, _] = ((number & !(GRANULE - 1)) >> 8 | (window | 1).ilog2()).to_le_bytes();
        Side([low, mid, high])
    }

    fn word(self) -> u32 {
        let [low, mid, high] = self.0;
        u32::from_le_bytes([low, mid, high, 0])
    }

    /// The number, rounded down.
    fn floor(self) -> u32 {
        (self.word() << 8) & !(GRANULE - 1)
    }

    /// More than the window, unscaled, and at most twice as much; 2 if there is none.
    fn reach(self) -> u32 {
        2 << (self.word() & 15)
    }

    /// Is a number at most `most` ahead of the side's, as far as is known?
    fn is_within(self, number: u32, most: u32) -> bool {
        number.wrapping_sub(self.floor()) < GRANULE + most
    }
}

impl Tcp {
    /// A segment passes in this direction.
    #[inline]
    pub fn pass(&mut self, segment: &Segment, direction: Direction) -> Passed {
        if segment.flags & (SYN | FIN | RST) != 0 {
            return self.pass_odd(segment, direction);
        }
        // Nobody takes such a one (RFC 9293, 3.10.7.4).
        if segment.flags & ACK == 0 {
            return Passed::Unheard;
        }
        let other = direction.reversed();
        // Nearly every one is so close that nobody need ask how wide the window is.
        let ahead = segment.sequence.wrapping_add(AGAIN).wrapping_sub(self.sides[other as usize].floor());
        let is_heard = ahead < 2 * AGAIN || self.may_be_heard(segment.sequence, other);
        self.state = self.state.after_ack(direction);
        self.sides[direction as usize] = Side::new(segment.acknowledgement, segment.window);
        if is_heard { Passed::Heard } else { Passed::Unheard }
    }

    /// One that may open or close.
    #[cold]
    #[inline(never)]
    fn pass_odd(&mut self, segment: &Segment, direction: Direction) -> Passed {
        let flags = segment.flags;
        let before = self.state;
        let mut is_heard = false;
        if flags & RST != 0 {
            if self.may_reset(segment, direction) {
                self.state = before.after(flags, direction);
                // What is over stays so no longer for being said again.
                is_heard = before.phase() != Phase::Closing;
            }
        } else if before.phase() == Phase::Closing && tcp::opens(flags) {
            // The same ports again: nothing that was known before counts.
            *self = Tcp { state: before.after(flags, direction), ..Tcp::default() };
            self.learn(segment, direction);
            is_heard = true;
        } else if self.answers(segment, direction) && self.may_finish(segment, direction) {
            let other = direction.reversed();
            let is_new = !before.has_acknowledged(direction) || (flags & ACK != 0 && !before.has_acknowledged(other));
            self.state = before.after(flags, direction);
            if flags & SYN == 0 || is_new {
                self.learn(segment, direction);
                is_heard = true;
            }
        }
        if before.phase() == Phase::Established && self.state.phase() == Phase::Closing {
            Passed::Ended
        } else if is_heard {
            Passed::Heard
        } else {
            Passed::Unheard
        }
    }

    /// May this side take a segment with this number, which is far from what it acknowledged last?
    #[inline(never)]
    fn may_be_heard(&self, sequence: u32, side: Direction) -> bool {
        let sequence = sequence.wrapping_add(AGAIN);
        // How wide the windows are of what was picked up nobody knows.
        !self.state.has_acknowledged(side)
            || self.state.is_picked_up()
            || self.sides[side as usize].is_within(sequence, self.window(side) + AGAIN)
    }

    /// Takes a side's numbers from what it says.
    fn learn(&mut self, segment: &Segment, direction: Direction) {
        let Segment { flags, sequence, acknowledgement, window, scale } = *segment;
        let mut shift = 0;
        if flags & SYN != 0 {
            let nibble = scale.map_or(0, |scale| scale.min(tcp::MAX_SCALE) + 1);
            let at = 4 * direction as u8;
            self.scales = self.scales & !(15 << at) | nibble << at;
            // The window of a SYN is not scaled, and is kept as if it were.
            shift = self.shift(direction);
        }
        if flags & ACK != 0 {
            self.sides[direction as usize] = Side::new(acknowledgement, window >> shift);
        } else if flags & SYN != 0 {
            self.sides[direction as usize] = Side::new(sequence, 0);
        }
    }

    /// By how many bits the windows of a side are shifted: none unless both announced it.
    fn shift(&self, side: Direction) -> u32 {
        let nibble = |side| u32::from(self.scales >> (4 * side as u8) & 15);
        if nibble(side.reversed()) == 0 { 0 } else { nibble(side).saturating_sub(1) }
    }

    /// If a segment answers a SYN, is it that of the other side? Nobody knows any more once that
    /// one has acknowledged something.
    fn answers(&self, segment: &Segment, direction: Direction) -> bool {
        let other = direction.reversed();
        let is_answer = segment.flags & (SYN | ACK) == SYN | ACK;
        let is_known = self.state.has_greeted(other) && !self.state.has_acknowledged(other);
        !is_answer || !is_known || self.sides[other as usize].is_within(segment.acknowledgement, FAST_OPEN)
    }

    /// May a reset in this direction be from who it says?
    fn may_reset(&self, segment: &Segment, direction: Direction) -> bool {
        let other = direction.reversed();
        if self.state.has_acknowledged(other) {
            self.sides[other as usize].is_within(segment.sequence, self.window(other))
        } else if self.state.has_greeted(other) {
            // It waits for an answer to its SYN (RFC 9293, 3.10.7.3).
            let is_answer = self.sides[other as usize].is_within(segment.acknowledgement, FAST_OPEN);
            segment.flags & ACK != 0 && is_answer
        } else {
            // It has heard of nothing but the SYN of who resets, if that is known.
            let is_known = self.state.has_greeted(direction) && !self.state.has_acknowledged(direction);
            !is_known || self.sides[direction as usize].is_within(segment.sequence, FAST_OPEN)
        }
    }

    /// May a FIN, if the segment has one, be from who it says?
    fn may_finish(&self, segment: &Segment, direction: Direction) -> bool {
        let other = direction.reversed();
        let sequence = segment.sequence.wrapping_add(AGAIN);
        segment.flags & FIN == 0
            || !self.state.has_acknowledged(other)
            || self.sides[other as usize].is_within(sequence, self.window(other) + AGAIN)
    }

    /// The window of a side, rounded up.
    fn window(&self, side: Direction) -> u32 {
        if self.state.is_picked_up() { UNSEEN_WINDOW } else { self.sides[side as usize].reach() << self.shift(side) }
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
