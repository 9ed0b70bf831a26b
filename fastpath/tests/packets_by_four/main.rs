//! The tests of whole packets once more, with four workers instead of one: what goes in
//! comes to any of them, and what comes out is the same. Left out is what each worker has for
//! itself: rate limits, and packets that control gives back.

#[path = "../world/mod.rs"]
#[expect(dead_code, reason = "these tests need a part of the world only")]
mod world;

/// Workers of the worlds.
const WORKERS: u16 = 4;

#[path = "../packets/changes.rs"]
mod changes;
#[path = "../packets/cutting.rs"]
mod cutting;
#[path = "../packets/errors_from_inside.rs"]
mod errors_from_inside;
#[path = "../packets/errors_from_outside.rs"]
mod errors_from_outside;
#[path = "../packets/exhaustion.rs"]
mod exhaustion;
#[path = "../packets/extension_headers.rs"]
mod extension_headers;
mod failing;
#[path = "../packets/filtering.rs"]
mod filtering;
#[path = "../packets/forwards.rs"]
mod forwards;
#[path = "../packets/fragments.rs"]
mod fragments;
#[path = "../packets/fragments_odd.rs"]
mod fragments_odd;
#[path = "../packets/groups.rs"]
mod groups;
#[path = "../packets/hairpin.rs"]
mod hairpin;
#[path = "../packets/hostile.rs"]
mod hostile;
#[path = "../packets/identification.rs"]
mod identification;
#[path = "../packets/islands.rs"]
mod islands;
#[path = "../packets/keeping_alive.rs"]
mod keeping_alive;
mod lending;
#[path = "../packets/mapping.rs"]
mod mapping;
#[path = "../packets/masquerade.rs"]
mod masquerade;
#[path = "../packets/offloads.rs"]
mod offloads;
#[path = "../packets/own_addresses.rs"]
mod own_addresses;
#[path = "../packets/pod_to_pod.rs"]
mod pod_to_pod;
#[path = "../packets/protocols.rs"]
mod protocols;
#[path = "../packets/random_frames.rs"]
mod random_frames;
#[path = "../packets/refusals.rs"]
mod refusals;
#[path = "../packets/refusals_not_sent.rs"]
mod refusals_not_sent;
#[path = "../packets/session_ends.rs"]
mod session_ends;
#[path = "../packets/session_kill.rs"]
mod session_kill;
#[path = "../packets/session_list.rs"]
mod session_list;
#[path = "../packets/too_big.rs"]
mod too_big;
#[path = "../packets/tracked.rs"]
mod tracked;
#[path = "../packets/translation.rs"]
mod translation;
