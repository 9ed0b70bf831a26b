//! Several workers, each with sessions of its own: whose is a packet, and what do they
//! tell each other?
//!
//! Nothing is shared. Packets that are merely routed stay with the worker they came to.
//! Those that meet NAT belong to one worker: the [home](Workers::home) of the host inside,
//! where all that is known of the host is. The outside tells by the port: the ports of a
//! pool are dealt out to the workers, each of which takes names from its own, so that
//! answers find the way by arithmetic.
//!
//! Ports are dealt out evenly and used as it happens. A worker that has none left *seeks* one
//! with the others: the packet goes round, and whoever has a free port lends it. Answers to a
//! borrowed name come to the lender, who hands them on. So no flow is refused while a
//! permitted port is free anywhere, and no port moves.
//!
//! A worker that fails begins anew, without its sessions ([`Incarnations`]).

mod errand;
mod incarnations;
mod workers;

pub use errand::{Errand, Granted, Message, Name, Seek};
pub use incarnations::{Incarnations, Pact};
pub use workers::Workers;
