//! Our forwarder as the router, in memory: an island that masquerades.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use causeway_fastpath::address::Address;
use causeway_fastpath::burst::Burst;
use causeway_fastpath::fib::{FibBuilder, Hop, NextHop, Prefix};
use causeway_fastpath::forwarder::{Capacity, Forwarder};
use causeway_fastpath::fragment;
use causeway_fastpath::frame::Frame;
use causeway_fastpath::ids::{AdjacencyId, Epoch, PoolId, PortId, VrfId};
use causeway_fastpath::nat::{EgressAction, EgressRule};
use causeway_fastpath::snapshot::{Adjacency, NeighborState, Pool, PortEntry, Snapshot, Tables, Timeouts};
use causeway_fastpath::time::Instant;
use causeway_fastpath::verdict::Verdict;
use causeway_testkit::packet::ToIp;
use ipnet::IpNet;

use crate::place::{NARROW_MTU, Place, Side, V4, V6};
use crate::router::{Passed, Router};

const ISLAND: VrfId = VrfId(1);
/// Room in front of a packet for the headers of an error, as ports give it.
const HEADROOM: usize = 128;

/// A forwarder and its clock.
pub(crate) struct Causeway {
    forwarder: Forwarder,
    now: Instant,
}

impl Causeway {
    pub(crate) fn new(narrow: Side, seed: u64) -> Causeway {
        let now = Instant::from_secs(1_000);
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let capacity = Capacity { sessions_v4: 50_000, sessions_v6: 50_000, fragments: fragment::Capacity::default() };
        let mut forwarder = Forwarder::new(capacity, key, now);
        let snapshot = snapshot(narrow);
        assert_eq!(snapshot.check(), Ok(()));
        forwarder.install(Arc::new(snapshot), Instant::ZERO);
        Causeway { forwarder, now }
    }
}

impl Router for Causeway {
    fn name(&self) -> &'static str {
        "Causeway"
    }

    fn pass(&mut self, from: Side, frame: &[u8]) -> Passed {
        // Fast enough that nothing expires, slow enough that errors are not limited.
        self.now = self.now + Duration::from_micros(100);
        let mut burst = Burst::new();
        let mut frame = Frame::boxed(frame, HEADROOM, 0);
        frame.ingress = port(from);
        burst.push(frame);
        self.forwarder.process(self.now, &mut burst);
        assert!(self.forwarder.counters().conserve(), "every packet meets one end");
        let (frame, verdict) = burst.drain().next().expect("what went in comes out");
        let mut out: Vec<_> = sent(&frame, verdict).into_iter().collect();
        drop(frame.into_heap().expect("tests keep their frames on the heap"));
        while self.forwarder.cut_off(&mut burst) > 0 {
            for (frame, verdict) in burst.drain() {
                out.extend(sent(&frame, verdict));
                self.forwarder.take_back(frame);
            }
        }
        while self.forwarder.release(&mut burst) > 0 {
            self.forwarder.process_released(self.now, &mut burst);
            for (frame, verdict) in burst.drain() {
                out.extend(sent(&frame, verdict));
                self.forwarder.take_back(frame);
            }
        }
        Passed { out, note: format!("{verdict:?}") }
    }
}

/// What goes out, and where.
fn sent(frame: &Frame, verdict: Verdict) -> Option<(Side, Vec<u8>)> {
    match verdict {
        Verdict::Forward(port) | Verdict::Reply(port) => Some((side(port), frame.bytes().to_vec())),
        Verdict::Drop(_) | Verdict::Punt(_) | Verdict::HandOff(_) | Verdict::Hold => None,
    }
}

fn port(side: Side) -> PortId {
    PortId(side as _)
}

fn side(port: PortId) -> Side {
    Side::BOTH[port.index()]
}

fn neighbor(side: Side) -> AdjacencyId {
    AdjacencyId(side as _)
}

fn snapshot(narrow: Side) -> Snapshot {
    let entry = |side: Side, vrf, link_local, masquerade| PortEntry {
        vrf,
        mac: side.router_mac(),
        v4: Some(address(V4.router(side))),
        v6: Some(address(V6.router(side))),
        link_local,
        masquerade,
    };
    let adjacency = |side: Side| {
        let mut macs = [0; 12];
        macs[..6].copy_from_slice(&side.neighbor_mac());
        macs[6..].copy_from_slice(&side.router_mac());
        let mtu = if side == narrow { NARROW_MTU } else { 1500 };
        Adjacency { macs, port: port(side), mtu, state: NeighborState::Reachable }
    };
    let link_local = |nth: u128| (0xfe80 << 112) | nth;
    Snapshot {
        epoch: Epoch(1),
        ports: Arc::from([
            entry(Side::Inside, ISLAND, link_local(1), None),
            entry(Side::Outside, VrfId::MAIN, link_local(2), Some(PoolId(0))),
        ]),
        adjacencies: Side::BOTH.map(adjacency).into(),
        groups: Arc::from([]),
        flow_seed: 0,
        probes: None,
        v4: tables(&V4),
        v6: tables(&V6),
        timeouts: Timeouts::default(),
        icmp_errors_per_second: 1_000_000,
        icmp_errors_per_destination: 1_000_000,
    }
}

/// The island's table and the main one, in which hosts inside cannot be reached.
fn tables<A: Address>(place: &Place) -> Tables<A> {
    let mut main = FibBuilder::new();
    main.insert(prefix(place.outside_net), NextHop::new(Hop::Adjacency(neighbor(Side::Outside))));
    main.insert(prefix(place.peers), NextHop::new(Hop::Adjacency(neighbor(Side::Outside))));
    main.insert(host(place.public), NextHop::new(Hop::LocalTranslated));
    main.insert(prefix(place.hosts), NextHop::new(Hop::Blackhole));
    main.insert(prefix(place.inside_net), NextHop::new(Hop::Blackhole));
    let mut island = FibBuilder::new();
    island.insert(prefix(place.inside_net), NextHop::new(Hop::Adjacency(neighbor(Side::Inside))));
    island.insert(prefix(place.hosts), NextHop::new(Hop::Adjacency(neighbor(Side::Inside))));
    island.insert(host(place.router_inside), NextHop::new(Hop::Local));
    island.insert(everything(), NextHop::new(Hop::Egress(VrfId::MAIN)));
    let masquerade = |source| EgressRule::new(source, everything(), EgressAction::Masquerade);
    let rules = vec![masquerade(prefix(place.hosts)), masquerade(prefix(place.inside_net))];
    let addresses = vec![address(place.public.to_ip())];
    let pool = Pool { addresses, ..Pool::default() };
    Tables {
        fibs: [main, island].iter_mut().map(|fib| Arc::new(fib.build())).collect(),
        egress: Arc::from([Vec::new(), rules]),
        selected: vec![Arc::default(); 2],
        neighbors: Arc::default(),
        pools: Arc::from([pool]),
        forwards: Arc::default(),
    }
}

fn address<A: Address>(address: IpAddr) -> A {
    A::from_ip(address).expect("an address of this family")
}

fn host<A: Address>(text: &str) -> Prefix<A> {
    Prefix::containing(address(text.to_ip()), A::BITS as _)
}

fn everything<A: Address>() -> Prefix<A> {
    Prefix::containing(A::default(), 0)
}

fn prefix<A: Address>(text: &str) -> Prefix<A> {
    let net: IpNet = text.parse().expect("a network");
    Prefix::new(address(net.addr()), net.prefix_len()).expect("a sound prefix")
}
