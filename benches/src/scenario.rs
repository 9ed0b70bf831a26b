//! The worlds that the figures are measured in, by the names of their rows.

use causeway_fastpath::fib::Prefix;
use causeway_fastpath::snapshot::Snapshot;
use causeway_fastpath::wire::protocol;
use causeway_testkit::seed::Rng;

use crate::arena::Arena;
use crate::bgp;
use crate::flows::flows;
use crate::routes::{Family, pod_cidrs};
use crate::scale::Scale;
use crate::world::{With, World};

/// Neighbours that an Internet table leads to.
pub const PEERS: usize = 64;
/// Destinations of forwarded packets.
pub const DESTINATIONS: usize = 65_536;

/// A forwarder at work, and what the row is called.
pub struct Scenario {
    /// The name of the row.
    pub name: &'static str,
    make: fn(Scale, &mut Arena) -> World,
}

impl Scenario {
    /// Makes the world, of that size.
    pub fn world(&self, scale: Scale, arena: &mut Arena) -> World {
        (self.make)(scale, arena)
    }
}

/// What a warm forwarder does all day, in the order of the tables in
/// `docs/performance.md`.
pub const WARM: [Scenario; 10] = [
    Scenario { name: "fwd_v4_8", make: |scale, _| forwarding(scale, &eight_routes(), 8) },
    Scenario { name: "fwd_v4_10k", make: |scale, _| pods::<u32>(scale, 10_000) },
    Scenario {
        name: "fwd_v4_1m",
        make: |scale, _| forwarding(scale, &bgp::ipv4(scale.of(1_000_000), &mut Rng::new(1)), PEERS),
    },
    Scenario { name: "fwd_v6_10k", make: |scale, _| pods::<u128>(scale, 10_000) },
    Scenario { name: "nat_hit_1", make: |scale, arena| established(scale, arena, 1) },
    Scenario { name: "nat_hit_10k", make: |scale, arena| established(scale, arena, 10_000) },
    Scenario { name: "nat_hit_100k", make: |scale, arena| established(scale, arena, 100_000) },
    Scenario { name: "nat_hit_1m", make: |scale, arena| established(scale, arena, 1_000_000) },
    Scenario { name: "nat_tcp_10k", make: |scale, arena| segments(scale, arena, 10_000) },
    Scenario { name: "nat_fragments_10k", make: |scale, arena| in_fragments(scale, arena, 10_000) },
];

/// Every packet begins a session, for as many packets.
pub const NEW: Scenario =
    Scenario { name: "nat_new", make: |_, _| World::island(&flows(NEW_FLOWS, protocol::UDP, &mut Rng::new(1))) };
/// How many packets do, in [`NEW`].
pub const NEW_FLOWS: usize = 8192;

/// A pod CIDR and a neighbour a node.
fn pods<A: Family>(scale: Scale, nodes: usize) -> World
where
    Snapshot: With<A>,
{
    forwarding::<A>(scale, &pod_cidrs(scale.of(nodes)), scale.of(nodes))
}

fn forwarding<A: Family>(scale: Scale, prefixes: &[Prefix<A>], neighbors: usize) -> World
where
    Snapshot: With<A>,
{
    World::forwarding(prefixes, neighbors, scale.of(DESTINATIONS), scale == Scale::Quick, &mut Rng::new(1))
}

/// UDP sessions, each from an endpoint of its own.
fn established(scale: Scale, arena: &mut Arena, sessions: usize) -> World {
    let flows = flows(scale.of(sessions), protocol::UDP, &mut Rng::new(1));
    World::established(&flows, arena, scale == Scale::Quick, &mut Rng::new(1))
}

/// TCP sessions in which the initiator acknowledges.
fn segments(scale: Scale, arena: &mut Arena, sessions: usize) -> World {
    World::in_segments(&flows(scale.of(sessions), protocol::TCP, &mut Rng::new(1)), arena)
}

/// UDP sessions whose datagrams come in four fragments each.
fn in_fragments(scale: Scale, arena: &mut Arena, sessions: usize) -> World {
    World::in_fragments(&flows(scale.of(sessions), protocol::UDP, &mut Rng::new(1)), arena)
}

/// Eight /16 networks, a neighbour each.
fn eight_routes() -> Vec<Prefix<u32>> {
    (0..8).map(|number| Prefix::containing(0x0a00_0000 | number << 16, 16)).collect()
}
