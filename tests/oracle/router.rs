//! What the two routers have in common: frames go in, frames come out.

use crate::place::Side;

/// A router between an inside and an outside.
pub(crate) trait Router {
    fn name(&self) -> &'static str;

    /// Everything that a frame from one side makes the router send.
    fn pass(&mut self, from: Side, frame: &[u8]) -> Passed;
}

/// What a router sent because of a frame.
#[derive(Debug)]
pub(crate) struct Passed {
    /// The frames, each with the side it left by.
    pub(crate) out: Vec<(Side, Vec<u8>)>,
    /// What the router says about it, if it speaks.
    pub(crate) note: String,
}
