//! The unit of work: at most 64 packets, so that a set of them is one `u64`.

use alloc::vec::Vec;

use crate::frame::Frame;
use crate::verdict::Verdict;

/// Up to [`Burst::MAX`] frames on their way through the stages, with a verdict each.
///
/// `verdicts()[i]` belongs to `frames()[i]` once the forwarder has processed the
/// burst. Allocates once, when made.
pub struct Burst {
    frames: Vec<Frame>,
    verdicts: [Verdict; Burst::MAX],
}

impl Burst {
    /// The most frames a burst can hold.
    pub const MAX: usize = 64;

    /// An empty burst.
    pub fn new() -> Burst {
        Burst { frames: Vec::with_capacity(Burst::MAX), verdicts: [Verdict::UNDECIDED; Burst::MAX] }
    }

    /// How many frames still fit.
    pub fn room(&self) -> usize {
        Burst::MAX - self.frames.len()
    }

    /// How many frames there are.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Is there no frame in it?
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Adds a frame.
    ///
    /// # Panics
    /// The burst is full: a bug in the caller, who asks [`Burst::room`] first.
    #[inline]
    pub fn push(&mut self, frame: Frame) {
        assert!(self.frames.len() < Burst::MAX, "a burst holds at most 64 frames");
        self.frames.push(frame);
    }

    /// Adds a frame about which it is decided. Panics as [`Burst::push`].
    pub(crate) fn push_decided(&mut self, frame: Frame, verdict: Verdict) {
        self.push(frame);
        self.verdicts[self.frames.len() - 1] = verdict;
    }

    /// The frames.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// The frames, to be written to.
    pub fn frames_mut(&mut self) -> &mut [Frame] {
        &mut self.frames
    }

    /// What was decided, one verdict a frame.
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts[..self.frames.len()]
    }

    /// Frames and verdicts side by side, for the stages.
    #[inline(always)]
    pub fn split_mut(&mut self) -> (&mut [Frame], &mut [Verdict]) {
        let len = self.frames.len();
        (&mut self.frames, &mut self.verdicts[..len])
    }

    /// Takes everything out, each frame with its verdict, and leaves the burst empty.
    pub fn drain(&mut self) -> impl Iterator<Item = (Frame, Verdict)> + '_ {
        self.frames.drain(..).zip(self.verdicts.iter().copied())
    }
}

impl Default for Burst {
    /// What stands where a burst was taken from: it has no memory until it is filled.
    fn default() -> Burst {
        Burst { frames: Vec::new(), verdicts: [Verdict::UNDECIDED; Burst::MAX] }
    }
}
