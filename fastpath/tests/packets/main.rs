//! Whole packets through the forwarder: the packet that goes in, the packet that
//! comes out, the verdict, and every counter that moved.

#[path = "../world/mod.rs"]
#[expect(dead_code, reason = "other tests need all of the world")]
mod world;

/// Workers of the worlds.
const WORKERS: u16 = 1;

mod changes;
mod cutting;
mod errors_from_inside;
mod errors_from_outside;
mod exhaustion;
mod extension_headers;
mod filtering;
mod forwards;
mod fragments;
mod fragments_odd;
mod groups;
mod hairpin;
mod hostile;
mod identification;
mod islands;
mod keeping_alive;
mod limits;
mod mapping;
mod masquerade;
mod neighbors;
mod offloads;
mod own_addresses;
mod pick_up;
mod pod_to_pod;
mod protocols;
mod random_frames;
mod refusals;
mod refusals_not_sent;
mod selected;
mod session_ends;
mod session_kill;
mod session_list;
mod too_big;
mod tracked;
mod translation;
mod usage;
