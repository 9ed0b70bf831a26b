//! The half of Causeway that touches the world: ports, threads, clocks.

pub mod api;
mod aside;
mod changes;
pub mod channel;
pub mod cli;
pub mod clock;
mod crew;
mod disk;
pub mod gateway;
pub mod handoff;
mod history;
pub mod ipam;
pub mod launch;
mod looks;
mod nodes;
pub mod pages;
pub mod port;
pub mod replay;
mod shift;
pub mod state;
pub mod stats;
pub mod thread;
pub mod turn;
pub mod wake;
mod walks;
pub mod worker;
