//! What is known of a TCP conversation (RFC 5382, section 5; RFC 7857, 2.2; RFC 5961).

use causeway_testkit::packet::{ACK, FIN, RST, SYN};

use crate::flow::Segment;

/// Numbers are known to 4 KiB.
const GRANULE: u32 = 4_096;

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
    /// The number of its SYN.
    syn: Option<u32>,
    fin: bool,
    /// By how much it said that its windows are shifted.
    scale: Option<u8>,
    /// The last acknowledgement, and the window that came with it, as if it were scaled.
    acknowledged: Option<(u32, u16)>,
}

impl Conversation {
    /// One that is open for all that its initiator says.
    pub(crate) fn picked_up() -> Conversation {
        let greeted = Side { syn: Some(0), ..Side::default() };
        Conversation { sides: [greeted; 2], picked_up: true, ..Conversation::default() }
    }

    /// A segment passes. May its receiver take it?
    pub(crate) fn pass(&mut self, segment: Segment, way: Way) -> bool {
        let has = |flag| segment.flags & flag != 0;
        if has(RST) {
            let (was_over, believed) = (self.is_over(), self.believes_reset(&segment, way));
            self.reset |= believed;
            return believed && !was_over;
        }
        if self.is_over() && has(SYN) && !has(ACK) && !has(FIN) {
            *self = Conversation::default();
        }
        let was_open = self.is_open();
        let other = self.sides[way.reversed() as usize];
        // An answer must be for the SYN of the other side, as long as that is what it waits for.
        if has(SYN)
            && has(ACK)
            && !self.picked_up
            && let Side { syn: Some(syn), acknowledged: None, .. } = other
            && !is_within(segment.acknowledgement, syn, 65_536)
        {
            return false;
        }
        // A FIN must be where it is expected, or somewhat before, where it is sent again.
        if has(FIN)
            && let Some((number, _)) = other.acknowledged
            && !is_within(segment.sequence.wrapping_add(65_536), number, self.window(way.reversed()) + 65_536)
        {
            return false;
        }
        let taken = has(SYN) || has(FIN) || (has(ACK) && self.expects(&segment, way));
        let side = &mut self.sides[way as usize];
        side.fin |= has(FIN);
        let acknowledged = side.acknowledged;
        if has(SYN) {
            // Of what is known, only what is new matters.
            let is_new = acknowledged.is_none() || (has(ACK) && other.acknowledged.is_none());
            if !is_new {
                side.syn = side.syn.or(Some(0));
                // With the other FIN it ends the conversation all the same.
                return was_open && self.is_over();
            }
            side.scale = segment.scale;
            side.syn = if has(ACK) { side.syn.or(Some(segment.sequence)) } else { Some(segment.sequence) };
        }
        if has(ACK) {
            // That of a SYN is not.
            let shift = if has(SYN) { self.shift(way) } else { 0 };
            self.sides[way as usize].acknowledged = Some((segment.acknowledgement, segment.window >> shift));
        }
        taken
    }

    /// Is a segment where its receiver waits for one, or 64 KiB before that or behind it?
    fn expects(&self, segment: &Segment, way: Way) -> bool {
        let other = self.sides[way.reversed() as usize];
        other.acknowledged.is_none_or(|(number, _)| {
            let most = (self.window(way.reversed()) + GRANULE).max(65_536);
            let from = (number & !(GRANULE - 1)).wrapping_sub(65_536);
            self.picked_up || segment.sequence.wrapping_sub(from) < 65_536 + most
        })
    }

    /// May a reset be from whom it says it is?
    fn believes_reset(&self, segment: &Segment, way: Way) -> bool {
        let (own, other) = (self.sides[way as usize], self.sides[way.reversed() as usize]);
        match (other.acknowledged, other.syn, own.syn) {
            (Some((number, _)), ..) => is_within(segment.sequence, number, self.window(way.reversed())),
            _ if self.picked_up => true,
            (None, Some(syn), _) => segment.flags & ACK != 0 && is_within(segment.acknowledgement, syn, 65_536),
            (None, None, Some(syn)) => own.acknowledged.is_some() || is_within(segment.sequence, syn, 65_536),
            (None, None, None) => true,
        }
    }

    /// How wide the window of a side is, as far as is known: to a power of two.
    fn window(&self, way: Way) -> u32 {
        if self.picked_up {
            return 256 * 1024;
        }
        let announced = self.sides[way as usize].acknowledged.map_or(0, |(_, window)| u32::from(window));
        let more = (1..=16).map(|bits| 1u32 << bits).find(|power| announced < *power);
        more.expect("a window has 16 bits") << self.shift(way)
    }

    /// By how much the windows of a side are shifted, if both said so.
    fn shift(&self, way: Way) -> u32 {
        let scales = self.sides[way as usize].scale.zip(self.sides[way.reversed() as usize].scale);
        scales.map_or(0, |(own, _)| u32::from(own.min(14)))
    }

    /// Reset, or closed by both sides.
    pub(crate) fn is_over(&self) -> bool {
        self.reset || self.sides.iter().all(|side| side.fin)
    }

    /// Both have greeted and acknowledged.
    pub(crate) fn is_open(&self) -> bool {
        !self.is_over() && self.sides.iter().all(|side| side.syn.is_some() && side.acknowledged.is_some())
    }

    /// As people call it.
    pub(crate) fn name(&self) -> &'static str {
        match (self.is_over(), self.is_open()) {
            (true, _) if self.reset => "reset",
            (true, _) => "closing",
            (_, true) if self.sides.iter().any(|side| side.fin) => "half-closed",
            (_, true) => "established",
            _ if self.picked_up => "picked-up",
            _ if self.sides[Way::Back as usize].syn.is_some() => "syn-received",
            _ => "syn-sent",
        }
    }

    /// What this side acknowledged last.
    pub(crate) fn acknowledged(&self, way: Way) -> u32 {
        self.sides[way as usize].acknowledged.map_or(0, |(number, _)| number)
    }

    /// The number of this side's SYN.
    pub(crate) fn first(&self, way: Way) -> u32 {
        self.sides[way as usize].syn.unwrap_or(0)
    }
}

/// Is a number at most so far ahead of the granule in which another lies, and a granule?
fn is_within(number: u32, other: u32, most: u32) -> bool {
    number.wrapping_sub(other & !(GRANULE - 1)) < GRANULE + most
}
