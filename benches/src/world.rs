//! Forwarders with their tables, and the packets for them.

use std::hint::black_box;
use std::net::Ipv6Addr;
use std::sync::Arc;

use causeway_fastpath::burst::Burst;
use causeway_fastpath::fib::{Fib, FibBuilder, Hop, NextHop, Prefix};
use causeway_fastpath::forwarder::{Capacity, Forwarder, Stage};
use causeway_fastpath::fragment;
use causeway_fastpath::handoff::Workers;
use causeway_fastpath::ids::{Epoch, PoolId, PortId, VrfId};
use causeway_fastpath::nat::{EgressAction, EgressRule, Room};
use causeway_fastpath::session::Seed;
use causeway_fastpath::snapshot::{Adjacency, NeighborState, Pool, PortEntry, Snapshot, Tables, Timeouts};
use causeway_fastpath::time::Instant;
use causeway_testkit::packet::ACK;
use causeway_testkit::seed::Rng;

use crate::arena::Arena;
use crate::flows::{self, Flow, NODES};
use crate::packets::Packets;
use crate::routes::{Family, addresses, fib, pod_cidrs, toward};

/// The gateway's MAC address, on every port.
pub const GATEWAY_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// The sender's.
pub const HOST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Where packets come in.
const NODES_PORT: PortId = PortId(0);
/// Where they leave the island.
const UPLINK_PORT: PortId = PortId(1);
/// The island.
pub const ISLAND: VrfId = VrfId(1);
/// Outside ports an address of the pool is planned for: half of those it has, so
/// that the search for a free one is neither idle nor desperate.
const SESSIONS_AN_ADDRESS: usize = 32_768;
/// From a burst to the next: 64 packets at 20 Mpps.
const BURST_NS: u64 = 3200;

/// A forwarder and the packets it is given.
pub struct World {
    forwarder: Forwarder,
    packets: Packets,
    now: Instant,
    /// Of the tables in force.
    epoch: u64,
}

impl World {
    /// Plain forwarding by `prefixes` to `neighbors` neighbours: packets to
    /// `destinations` addresses in random routes, in random order.
    pub fn forwarding<A: Family>(
        prefixes: &[Prefix<A>],
        neighbors: usize,
        destinations: usize,
        quick: bool,
        rng: &mut Rng,
    ) -> World
    where
        Snapshot: With<A>,
    {
        let packets = flows::packets_to(&addresses(prefixes, destinations, rng));
        let mut snapshot = snapshot(vec![VrfId::MAIN], neighbors);
        snapshot.set_fib(fib(prefixes, neighbors));
        World::new(snapshot, 0, packets.mixed(quick, rng))
    }

    /// An island behind NAT that `flows` leave, with room for exactly their
    /// sessions, none of which was begun yet.
    pub fn island(flows: &[Flow]) -> World {
        World::new(World::island_tables(flows), flows.len(), flows::packets(flows))
    }

    /// Installs other tables under live sessions, with these prefixes routed outside: the pool has
    /// one address less, so that some sessions end, and its others are in another order. Says how
    /// long the worker was kept by the installation and by each call of its timers until all
    /// sessions were judged, in nanoseconds.
    pub fn install_measured(&mut self, flows: &[Flow], prefixes: &[Prefix<u32>]) -> Vec<u64> {
        let workers = Workers::ALONE;
        let tables = |epoch, change: &dyn Fn(&mut Vec<u32>)| {
            let mut snapshot = World::island_tables(flows);
            let mut pool = snapshot.v4.pools[0].clone();
            change(&mut pool.addresses);
            snapshot.v4.pools = Arc::from([pool]);
            snapshot.v4.fibs[0] = Arc::new(fib(prefixes, NODES));
            snapshot.epoch = Epoch(epoch);
            Arc::new(snapshot)
        };
        let before = tables(self.epoch, &|_| {});
        self.epoch += 1;
        let after = tables(self.epoch, &|addresses| {
            // Of a single one there is none to take away: another comes before it.
            match addresses[..] {
                [only] => addresses.insert(0, only ^ 1),
                _ => drop(addresses.pop()),
            }
            addresses.reverse();
        });
        let room = Room::new(&before, &after, workers, (flows.len(), 0), Seed([1, 2])).expect("pools differ");
        self.forwarder.prepare(Box::new(room));
        let mut calls = Vec::with_capacity(1 << 16);
        let mut measure = |work: &mut dyn FnMut() -> bool| {
            let start = std::time::Instant::now();
            let more = work();
            calls.push(start.elapsed().as_nanos() as u64);
            more
        };
        let mut retired = None;
        measure(&mut || {
            retired = Some(self.forwarder.install(Arc::clone(&after), self.now));
            true
        });
        while measure(&mut || self.forwarder.handle_timeout(self.now)) {}
        drop((retired, self.forwarder.poll_settled()));
        calls
    }

    /// The tables of [`World::island`].
    pub(crate) fn island_tables(flows: &[Flow]) -> Snapshot {
        let uplink = NODES;
        let mut snapshot = snapshot(vec![ISLAND, VrfId::MAIN], NODES + 1);
        let pool: Vec<u32> =
            (0..=flows.len() / SESSIONS_AN_ADDRESS).map(|number| 0xcb00_7100 + number as u32).collect();

        let mut inside = FibBuilder::new();
        for (node, prefix) in pod_cidrs(NODES).into_iter().enumerate() {
            inside.insert(prefix, toward(node));
        }
        inside.insert(Prefix::containing(0, 0), NextHop::new(Hop::Egress(VrfId::MAIN)));
        let mut outside = FibBuilder::new();
        for address in &pool {
            outside.insert(Prefix::host(*address), NextHop::new(Hop::Pool));
        }
        outside.insert(Prefix::containing(0, 0), toward(uplink));

        let (pods, everywhere) = (Prefix::containing(0x0a00_0000, 8), Prefix::containing(0, 0));
        let rule = EgressRule::new(pods, everywhere, EgressAction::Translate(PoolId(0)));
        snapshot.v4 = Tables {
            fibs: vec![Arc::new(outside.build()), Arc::new(inside.build())],
            egress: Arc::from([Vec::new(), vec![rule]]),
            selected: vec![Arc::default(); 2],
            pools: Arc::from([Pool { addresses: pool, ..Pool::default() }]),
            ..Tables::empty()
        };
        let nothing = Tables::<u128>::empty();
        snapshot.v6 = Tables {
            fibs: vec![Arc::clone(&nothing.fibs[0]), Arc::clone(&nothing.fibs[0])],
            egress: Arc::from([Vec::new(), Vec::new()]),
            selected: vec![Arc::default(); 2],
            pools: Arc::from([Pool::default()]),
            ..nothing
        };
        snapshot
    }

    /// As [`World::island`], each flow having its session; their packets come in
    /// random order.
    pub fn established(flows: &[Flow], arena: &mut Arena, quick: bool, rng: &mut Rng) -> World {
        let mut world = World::island(flows);
        for _ in 0..flows.len().div_ceil(64) {
            world.turn_by(arena, Forwarder::process);
        }
        assert_eq!(world.forwarder.sessions().0, flows.len(), "every flow has a session");
        World { packets: world.packets.mixed(quick, rng), ..world }
    }

    /// As [`World::established`], of TCP: each initiator sends acknowledgements.
    pub fn in_segments(flows: &[Flow], arena: &mut Arena) -> World {
        let mut rng = Rng::new(1);
        let world = World::established(flows, arena, true, &mut rng);
        World { packets: flows::segments(flows, ACK).mixed(true, &mut rng), ..world }
    }

    /// As [`World::established`]; each flow sends datagrams in fragments, one datagram
    /// after the other.
    pub fn in_fragments(flows: &[Flow], arena: &mut Arena) -> World {
        let world = World::established(flows, arena, true, &mut Rng::new(1));
        World { packets: flows::fragments(flows), ..world }
    }

    fn new(snapshot: Snapshot, sessions: usize, packets: Packets) -> World {
        let now = Instant::from_secs(1);
        let capacity = Capacity { sessions_v4: sessions, sessions_v6: 0, fragments: fragment::Capacity::default() };
        let mut forwarder = Forwarder::new(capacity, [7; 32], now);
        snapshot.check().expect("the tables are sound");
        let epoch = snapshot.epoch.0;
        forwarder.install(Arc::new(snapshot), Instant::ZERO);
        World { forwarder, packets, now, epoch }
    }

    /// The packets.
    pub fn packets(&self) -> &Packets {
        &self.packets
    }

    /// The forwarder.
    pub fn forwarder(&self) -> &Forwarder {
        &self.forwarder
    }

    /// Feeds 64 packets and lets the forwarder process them. Says how many there were.
    pub fn turn(&mut self, arena: &mut Arena) -> usize {
        self.turn_by(arena, process)
    }

    /// As [`World::turn`]; `observe` is told when the forwarder gets the burst (`None`)
    /// and of each stage behind which the burst is.
    pub fn turn_observed(&mut self, arena: &mut Arena, mut observe: impl FnMut(Option<Stage>)) -> usize {
        self.turn_by(arena, |forwarder, now, burst| {
            observe(None);
            forwarder.process_observed(now, burst, &mut |stage| observe(Some(stage)));
        })
    }

    #[inline(always)]
    fn turn_by(&mut self, arena: &mut Arena, process: impl FnOnce(&mut Forwarder, Instant, &mut Burst)) -> usize {
        self.now = Instant::from_nanos(self.now.as_nanos() + BURST_NS);
        let len = self.packets.frame_len();
        let packets = self.packets.next_burst();
        arena.feed(packets, len, |burst| process(&mut self.forwarder, self.now, burst));
        packets.len()
    }

    /// Feeds 64 packets to nobody: what [`World::turn`] costs without the forwarder.
    pub fn feed(&mut self, arena: &mut Arena) -> usize {
        let len = self.packets.frame_len();
        let packets = self.packets.next_burst();
        arena.feed(packets, len, |burst| _ = black_box(burst));
        packets.len()
    }

    /// Has each packet its session?
    pub fn is_full(&self) -> bool {
        self.forwarder.sessions().0 == self.packets.len()
    }

    /// Lets time pass until every session has ended.
    pub fn end_all(&mut self) {
        while self.forwarder.sessions() != (0, 0) {
            self.now = Instant::from_nanos(self.now.as_nanos() + 60_000_000_000);
            while self.forwarder.handle_timeout(self.now) {}
        }
    }

    /// As [`World::end_all`]; each call of the timers is measured by itself. Says how long
    /// the calls took, in nanoseconds: the shortest ones first.
    pub fn end_all_measured(&mut self) -> Vec<u64> {
        self.now = Instant::from_nanos(self.now.as_nanos() + 600_000_000_000);
        let mut calls = Vec::with_capacity(1 << 16);
        while self.forwarder.sessions() != (0, 0) {
            let start = std::time::Instant::now();
            self.forwarder.handle_timeout(self.now);
            calls.push(start.elapsed().as_nanos() as u64);
        }
        calls.sort_unstable();
        calls
    }

    /// # Panics
    /// A packet was not forwarded: then something else was measured than meant.
    pub fn check(&self) {
        let counters = self.forwarder.counters();
        assert_eq!(counters.forwarded, counters.received, "every packet was forwarded: {counters:?}");
    }
}

/// What [`World::turn`] measures: never part of another function, so that a profiler
/// can tell it from the copy that feeds it. The bench `instructions` knows its name.
#[inline(never)]
fn process(forwarder: &mut Forwarder, now: Instant, burst: &mut Burst) {
    forwarder.process(now, burst);
}

/// Tables of one family being set in a snapshot.
pub trait With<A> {
    /// Forwards by this table in the main routing domain.
    fn set_fib(&mut self, fib: Fib<A>);
}

impl With<u32> for Snapshot {
    fn set_fib(&mut self, fib: Fib<u32>) {
        self.v4.fibs = vec![Arc::new(fib)];
    }
}

impl With<u128> for Snapshot {
    fn set_fib(&mut self, fib: Fib<u128>) {
        self.v6.fibs = vec![Arc::new(fib)];
    }
}

/// Ports in these routing domains, and neighbours, the last one on the last port.
fn snapshot(vrfs: Vec<VrfId>, neighbors: usize) -> Snapshot {
    let last_port = if vrfs.len() > 1 { UPLINK_PORT } else { NODES_PORT };
    let port = |vrf| PortEntry {
        vrf,
        mac: GATEWAY_MAC,
        v4: Some(0xc0a8_0001),
        v6: None,
        link_local: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).to_bits(),
        masquerade: None,
    };
    let neighbor = |number: usize| {
        let mut macs = [0; 12];
        macs[..6].copy_from_slice(&(0x0200_0100_0000u64 + number as u64).to_be_bytes()[2..]);
        macs[6..].copy_from_slice(&GATEWAY_MAC);
        let port = if number + 1 == neighbors { last_port } else { NODES_PORT };
        Adjacency { macs, port, mtu: 1500, state: NeighborState::Reachable }
    };
    Snapshot {
        epoch: Epoch(1),
        ports: vrfs.into_iter().map(port).collect(),
        adjacencies: (0..neighbors).map(neighbor).collect(),
        groups: Arc::from([]),
        flow_seed: 0,
        probes: None,
        v4: Tables::empty(),
        v6: Tables::empty(),
        timeouts: Timeouts::default(),
        icmp_errors_per_second: 1000,
        icmp_errors_per_destination: 100,
    }
}
