//! What is known of a TCP conversation (RFC 5382, section 5; RFC 7857, 2.2).

use causeway_testkit::packet::{ACK, FIN, RST, SYN};

use crate::flow::Segment;

/// Which way a packet goes through its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the initiator.
    Forth,
    /// To the initiator.
    Back,
}

impl Way {
    pub(crate) fn reversed(self) -> Way {
        if self == Way::Forth { Way::Back } else { Way::Forth }
    }
}

/// Both sides of a conversation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Conversation {
    sides: [Side; 2],
    reset: bool,
    /// Did nobody see it begin?
    picked_up: bool,
}

/// What a side has said.
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    syn: bool,
    fin: bool,
    /// The last acknowledgement.
    acknowledged: Option<u32>,
}

impl Conversation {
    /// One that is open for all that its initiator says.
    pub(crate) fn picked_up() -> Conversation {
        let greeted = Side { syn: true, ..Side::default() };
        Conversation { sides: [greeted; 2], picked_up: true, ..Conversation::default() }
    }

    /// A segment passes.
    pub(crate) fn pass(&mut self, segment: Segment, way: Way) {
        let has = |flag| segment.flags & flag != 0;
        if has(RST) {
            // It counts where the other side expects the next segment, or said nothing yet.
            let expected = self.sides[way.reversed() as usize].acknowledged;
            self.reset |= expected.is_none_or(|expected| is_ahead(segment.sequence, expected));
            return;
        }
        if self.is_over() && has(SYN) && !has(ACK) && !has(FIN) {
            *self = Conversation::default();
        }
        let side = &mut self.sides[way as usize];
        side.syn |= has(SYN);
        side.fin |= has(FIN);
        if has(ACK) {
            side.acknowledged = Some(segment.acknowledgement);
        }
    }

    /// Reset, or closed by both sides.
    pub(crate) fn is_over(&self) -> bool {
        self.reset || self.sides.iter().all(|side| side.fin)
    }

    /// Both have greeted and acknowledged.
    pub(crate) fn is_open(&self) -> bool {
        !self.is_over() && self.sides.iter().all(|side| side.syn && side.acknowledged.is_some())
    }

    /// As people call it.
    pub(crate) fn name(&self) -> &'static str {
        match (self.is_over(), self.is_open()) {
            (true, _) if self.reset => "reset",
            (true, _) => "closing",
            (_, true) if self.sides.iter().any(|side| side.fin) => "half-closed",
            (_, true) => "established",
            _ if self.picked_up => "picked-up",
            _ if self.sides[Way::Back as usize].syn => "syn-received",
            _ => "syn-sent",
        }
    }

    /// What this side acknowledged last.
    pub(crate) fn acknowledged(&self, way: Way) -> u32 {
        self.sides[way as usize].acknowledged.unwrap_or(0)
    }
}

/// Is a sequence number at most 256 KiB ahead of what is expected? The last eight bits of
/// that are not kept.
fn is_ahead(sequence: u32, expected: u32) -> bool {
    sequence.wrapping_sub(expected & !0xff) < 256 * 1024
}
