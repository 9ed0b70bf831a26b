//! Packets, ready to be copied into frames.

use causeway_fastpath::burst::Burst;
use causeway_testkit::seed::Rng;

/// A packet of up to 64 bytes, in a cache line of its own.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Slot(pub [u8; 64]);

/// Packets of one length, walked through in bursts, over and over.
pub struct Packets {
    slots: Vec<Slot>,
    frame_len: usize,
    at: usize,
}

/// The fewest packets in a mixture: more than caches near the core hold or branch
/// predictors remember.
const MIXTURE: usize = 65_536;

impl Packets {
    /// From frames of `frame_len` bytes each.
    ///
    /// # Panics
    /// A frame has another length, or is longer than a slot.
    pub fn new(frame_len: usize, frames: impl IntoIterator<Item = Vec<u8>>) -> Packets {
        let slot = |frame: Vec<u8>| {
            assert_eq!(frame.len(), frame_len, "all frames have one length");
            let mut slot = Slot([0; 64]);
            slot.0[..frame_len].copy_from_slice(&frame);
            slot
        };
        Packets { slots: frames.into_iter().map(slot).collect(), frame_len, at: 0 }
    }

    /// These packets in random order: each once, or where they are few, drawn
    /// 65 536 times (`quick`: 1024 times).
    #[must_use]
    pub fn mixed(mut self, quick: bool, rng: &mut Rng) -> Packets {
        let mixture = if quick { 1024 } else { MIXTURE };
        if self.slots.len() < mixture {
            self.slots = (0..mixture).map(|_| *rng.choose(&self.slots)).collect();
        } else {
            rng.shuffle(&mut self.slots);
        }
        self.at = 0;
        self
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes of each.
    pub fn frame_len(&self) -> usize {
        self.frame_len
    }

    /// The number of the packet that comes next.
    pub fn position(&self) -> usize {
        if self.at < self.slots.len() { self.at } else { 0 }
    }

    /// The next 64; fewer at the end, after which it starts anew.
    #[inline]
    pub fn next_burst(&mut self) -> &[Slot] {
        let from = self.position();
        self.at = (from + Burst::MAX).min(self.slots.len());
        &self.slots[from..self.at]
    }
}
