//! What a NAT needs to know of a TCP conversation: is it open, opening or closing?
//!
//! RFC 5382, section 5: an established session may be silent for long, one that
//! opens or closes only shortly. Which segment opened what is kept as a set of
//! facts, so that simultaneous open and half close need no states of their own.

use crate::wire::tcp::{self, ACK, FIN, RST, SYN};

use super::Direction;

/// What was seen of a conversation, a bit a fact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpState(u8);

const SYN_FORTH: u8 = 1;
const SYN_BACK: u8 = 2;
const ACK_FORTH: u8 = 4;
const ACK_BACK: u8 = 8;
const FIN_FORTH: u8 = 16;
const FIN_BACK: u8 = 32;
const RESET: u8 = 64;
/// The handshake is taken on trust: nobody saw it.
const UNSEEN: u8 = 128;

/// How long a session may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not yet open: SYN in one or both directions. Or open, for all its initiator says.
    Opening,
    /// Open.
    Established,
    /// Reset, or both sides have sent a FIN.
    Closing,
}

impl TcpState {
    /// Before the first segment.
    pub const NEW: TcpState = TcpState(0);
    /// Before the first segment that is seen of a conversation whose handshake was not: it
    /// is open once both sides have acknowledged something.
    pub const PICKED_UP: TcpState = TcpState(SYN_FORTH | SYN_BACK | UNSEEN);

    /// After a segment with these flags in this direction.
    #[must_use]
    pub fn after(self, flags: u8, direction: Direction) -> TcpState {
        let forth = direction == Direction::Forth;
        if self.phase() == Phase::Closing && tcp::opens(flags) {
            // The same ports again: a conversation of its own.
            return TcpState(if forth { SYN_FORTH } else { SYN_BACK });
        }
        let mut seen = self.0;
        if flags & RST != 0 {
            return TcpState(seen | RESET);
        }
        if flags & SYN != 0 {
            seen |= if forth { SYN_FORTH } else { SYN_BACK };
        }
        if flags & ACK != 0 {
            seen |= if forth { ACK_FORTH } else { ACK_BACK };
        }
        if flags & FIN != 0 {
            seen |= if forth { FIN_FORTH } else { FIN_BACK };
        }
        TcpState(seen)
    }

    /// After a segment with ACK, and without SYN, FIN and RST, in this direction.
    #[inline(always)]
    #[must_use]
    pub fn after_ack(self, direction: Direction) -> TcpState {
        TcpState(self.0 | if direction == Direction::Forth { ACK_FORTH } else { ACK_BACK })
    }

    /// Has this side acknowledged anything?
    pub(super) fn has_acknowledged(self, side: Direction) -> bool {
        self.0 & if side == Direction::Forth { ACK_FORTH } else { ACK_BACK } != 0
    }

    /// Was its SYN seen?
    pub(super) fn has_greeted(self, side: Direction) -> bool {
        !self.is_picked_up() && self.0 & if side == Direction::Forth { SYN_FORTH } else { SYN_BACK } != 0
    }

    /// Did nobody see the handshake?
    pub(super) fn is_picked_up(self) -> bool {
        self.0 & UNSEEN != 0
    }

    /// Where the conversation stands.
    pub fn phase(self) -> Phase {
        const OPEN: u8 = SYN_FORTH | SYN_BACK | ACK_FORTH | ACK_BACK;
        const CLOSED: u8 = FIN_FORTH | FIN_BACK;
        if self.0 & RESET != 0 || self.0 & CLOSED == CLOSED {
            Phase::Closing
        } else if self.0 & OPEN == OPEN {
            Phase::Established
        } else {
            Phase::Opening
        }
    }

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self.phase() {
            Phase::Closing if self.0 & RESET != 0 => "reset",
            Phase::Closing => "closing",
            Phase::Opening if self.0 & UNSEEN != 0 => "picked-up",
            Phase::Opening if self.0 & SYN_BACK == 0 => "syn-sent",
            Phase::Opening => "syn-received",
            Phase::Established if self.0 & (FIN_FORTH | FIN_BACK) != 0 => "half-closed",
            Phase::Established => "established",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Direction::{Back, Forth};
    use super::*;

    fn walk(steps: &[(u8, Direction)]) -> TcpState {
        steps.iter().fold(TcpState::NEW, |state, (flags, direction)| state.after(*flags, *direction))
    }

    const HANDSHAKE: [(u8, Direction); 3] = [(SYN, Forth), (SYN | ACK, Back), (ACK, Forth)];

    #[test]
    fn a_handshake_establishes() {
        assert_eq!(walk(&HANDSHAKE[..1]).name(), "syn-sent");
        assert_eq!(walk(&HANDSHAKE[..2]).name(), "syn-received");
        assert_eq!(walk(&HANDSHAKE).name(), "established");
    }

    #[test]
    fn a_simultaneous_open_establishes() {
        assert_eq!(
            walk(&[(SYN, Forth), (SYN, Back), (SYN | ACK, Forth), (SYN | ACK, Back)]).phase(),
            Phase::Established
        );
    }

    #[test]
    fn one_fin_is_half_closed_and_two_are_closing() {
        let half = walk(&HANDSHAKE).after(FIN | ACK, Forth);
        assert_eq!((half.phase(), half.name()), (Phase::Established, "half-closed"));
        assert_eq!(half.after(FIN | ACK, Back).phase(), Phase::Closing);
    }

    #[test]
    fn a_reset_closes_and_a_new_syn_opens_again() {
        let reset = walk(&HANDSHAKE).after(RST, Back);
        assert_eq!(reset.name(), "reset");
        assert_eq!(reset.after(SYN, Forth).name(), "syn-sent");
        assert_eq!(reset.after(ACK, Forth).name(), "reset", "a stray segment does not revive");
    }

    #[test]
    fn a_syn_on_an_open_session_changes_nothing() {
        assert_eq!(walk(&HANDSHAKE).after(SYN, Back).phase(), Phase::Established);
    }

    #[test]
    fn what_was_picked_up_is_open_once_both_sides_were_seen() {
        let picked_up = TcpState::PICKED_UP.after(ACK, Forth);
        assert_eq!((picked_up.name(), picked_up.phase()), ("picked-up", Phase::Opening));
        assert_eq!(picked_up.after(FIN | ACK, Forth).name(), "picked-up", "one side can say what it likes");
        assert_eq!(picked_up.after(ACK, Back).name(), "established");
        assert_eq!(picked_up.after(FIN | ACK, Back).name(), "half-closed");
        assert_eq!(picked_up.after(RST, Back).name(), "reset");
        assert_eq!(picked_up.after(RST, Back).after(SYN, Forth).name(), "syn-sent");
    }

    #[test]
    fn every_state_has_a_phase_under_every_segment() {
        for seen in 0..=255u8 {
            for flags in 0..=63u8 {
                for direction in [Back, Forth] {
                    let after = TcpState(seen).after(flags, direction);
                    assert!(!after.name().is_empty());
                    if flags & RST != 0 {
                        assert_eq!(after.phase(), Phase::Closing);
                    }
                    if flags & (SYN | FIN | RST) == 0 && flags & ACK != 0 {
                        assert_eq!(after, TcpState(seen).after_ack(direction));
                    }
                }
            }
        }
    }
}
