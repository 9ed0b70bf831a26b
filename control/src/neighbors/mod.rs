//! Neighbours: who is on the link, and under which MAC address.
//!
//! ARP (RFC 826) and IPv6 neighbour discovery (RFC 4861) as a machine without a
//! clock or a socket: packets and time come in, packets and facts come out.

mod arp;
mod cache;
mod discovery;
mod entry;
mod link;
mod table;

pub use entry::State;
pub(crate) use entry::free;
pub use table::{Effect, Neighbors, Row, Waiting};
