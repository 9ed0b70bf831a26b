//! The pure packet path of Causeway: bytes, tables and time in, verdicts out.
//!
//! This crate has no clock, thread, socket or file to reach for: it is
//! `no_std` with `alloc`. What happens to a packet is a function of the bytes,
//! the [`Snapshot`](snapshot::Snapshot) and the time it is handed, which makes
//! replay, simulation and fuzzing one mechanism.
//!
//! Start reading at [`forwarder::Forwarder::process`]: it names the stages in
//! the order in which a burst walks through them.

#![no_std]
#![cfg_attr(not(test), warn(clippy::std_instead_of_core, clippy::std_instead_of_alloc, clippy::alloc_instead_of_core))]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod address;
pub mod burst;
pub mod chance;
pub mod command;
pub mod counters;
pub mod cpu;
pub mod ecmp;
pub mod fib;
pub mod forwarder;
pub mod fragment;
pub mod frame;
pub mod handoff;
pub mod ids;
pub mod limiter;
pub mod nat;
pub mod offload;
pub mod parse;
pub mod session;
pub mod snapshot;
pub mod time;
pub mod verdict;
pub mod wire;
