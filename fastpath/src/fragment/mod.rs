//! Datagrams in pieces: which flow does a fragment belong to?
//!
//! Virtual reassembly (RFC 4787 REQ-14; RFC 6146, 3.4): nothing is put together.
//! The first fragment shows the ports; the [`Table`] remembers them for the others,
//! and keeps copies of those that come before it.
//!
//! Everything is bounded, and strangers share nothing with conversations
//! (FragmentSmack, CVE-2018-5391): a datagram whose first fragment was let through
//! takes one of the places of the *known*; one of which only later fragments were
//! seen takes one of the few places of those that *wait*, and the oldest of these
//! gives way to the newest. Either has ten seconds, and a source its share.

mod cut;
mod datagram;
mod pieces;
mod queue;
mod reference;
mod store;
mod table;
mod tally;

pub use cut::{Cut, Cuttings, LONGEST_PIECE};
pub use datagram::{BadPiece, Datagram, Piece};
pub use store::LONGEST_FRAME;
pub use table::{Capacity, Standing, TIMEOUT, Table};

/// Room in front of a frame in a buffer of the forwarder's, for the headers of an ICMP error
/// about it.
const HEADROOM: usize = 128;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin_tests;
