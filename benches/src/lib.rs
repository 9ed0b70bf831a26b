//! What the benches measure with: routes, worlds, packets, and a clock.
//!
//! Everything follows from a seed, so that two runs measure the same work. A
//! [`world::World`] is a forwarder with its tables and the packets for it; an
//! [`arena::Arena`] copies those packets into fresh frames, as a NIC would; the
//! [`stopwatch`] says what a packet costs. [`control::Routing`] is the other half of a
//! gateway, with a large routing table.

pub mod arena;
pub mod bgp;
pub mod control;
pub mod flows;
pub mod handed;
pub mod packets;
pub mod rivals;
pub mod routes;
pub mod scale;
pub mod scenario;
pub mod stopwatch;
pub mod world;
