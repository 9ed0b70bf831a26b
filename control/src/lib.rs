//! The deciding half of Causeway: configuration, routes, neighbours, snapshots.
//!
//! Nothing here knows a thread, a ring or a NIC. [`Control`](control::Control) is
//! handed events and the time and answers with commands, so that the same code
//! runs the appliance, a replay and a test.

pub mod alarm;
pub mod api;
pub mod compile;
pub mod config;
pub mod control;
pub mod counters;
pub mod domains;
pub mod feed;
pub mod flannel;
pub mod holders;
pub mod ipam;
pub mod liveness;
pub mod neighbors;
pub mod nodes;
mod objects;
mod places;
pub mod pods;
pub mod reload;
pub mod rib;
mod rooms;
mod rounds;
mod sessions;
mod shore;
mod vacancies;
