//! All the tables a worker only reads, as one immutable value.
//!
//! Control compiles a snapshot, shares what did not change with the one before,
//! and sends it down the ring; the one it replaces travels back, so a worker
//! never frees a table.

use alloc::sync::Arc;
use alloc::vec::Vec;

use hashbrown::HashMap;

use crate::address::Address;
use crate::ecmp::Group;
use crate::fib::Fib;
use crate::ids::{AdjacencyId, Epoch, PoolId, PortId, VrfId};
use crate::nat::{Behavior, EgressRule, Forward, Forwards, Selected, SenderLimits, rules_about};
use crate::session::FlowKey;
use crate::wire::ethernet::{HEADER_LEN, Mac};

/// What a worker forwards by.
#[derive(Debug)]
pub struct Snapshot {
    /// Its version.
    pub epoch: Epoch,
    /// By [`PortId`].
    pub ports: Arc<[PortEntry]>,
    /// By [`AdjacencyId`].
    pub adjacencies: Arc<[Adjacency]>,
    /// By [`GroupId`](crate::ids::GroupId).
    pub groups: Arc<[Group]>,
    /// The secret of [`flow_hash`](crate::ecmp::flow_hash).
    pub flow_seed: u64,
    /// IPv4.
    pub v4: Tables<u32>,
    /// IPv6.
    pub v6: Tables<u128>,
    /// How long sessions may be silent.
    pub timeouts: Timeouts,
    /// The identifier of pings by which control asks nodes whether they live, if it does.
    pub probes: Option<u16>,
    /// ICMP errors that a worker may originate, a second.
    pub icmp_errors_per_second: u32,
    /// ICMP errors of these that one destination may get, a second.
    pub icmp_errors_per_destination: u32,
}

/// The tables of one family.
#[derive(Debug)]
pub struct Tables<A> {
    /// Forwarding tables by [`VrfId`]; the main one is always there.
    pub fibs: Vec<Arc<Fib<A>>>,
    /// What may leave a routing domain and under which name, by [`VrfId`]; first match wins.
    pub egress: Arc<[Vec<EgressRule<A>>]>,
    /// Who is selected by rules of a routing domain, by [`VrfId`].
    pub selected: Vec<Arc<Selected<A>>>,
    /// Neighbours on connected subnets.
    pub neighbors: Arc<HashMap<(PortId, A), AdjacencyId>>,
    /// Outside addresses by [`PoolId`].
    pub pools: Arc<[Pool<A>]>,
    /// What from outside may begin, and to whom it goes.
    pub forwards: Arc<Forwards<A>>,
}

/// A port, as far as forwarding needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortEntry {
    /// The routing domain of what arrives.
    pub vrf: VrfId,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its IPv4 address: the source of ICMP errors.
    pub v4: Option<u32>,
    /// Its IPv6 address.
    pub v6: Option<u128>,
    /// Its IPv6 link-local address.
    pub link_local: u128,
    /// The pool that stands for "the port's own address" (masquerade).
    pub masquerade: Option<PoolId>,
}

/// A neighbour: where to send, and with which Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adjacency {
    /// Destination and source MAC, as they stand in the frame.
    pub macs: [u8; 12],
    /// Out of this port.
    pub port: PortId,
    /// Largest IP packet.
    pub mtu: u16,
    /// Whether the MAC address is known.
    pub state: NeighborState,
}

impl Adjacency {
    /// Is it there for a frame whose IP packet ends `end` bytes from its start, and
    /// does that fit?
    #[inline(always)]
    pub fn takes(&self, end: u32) -> bool {
        (self.state == NeighborState::Reachable) & (end <= HEADER_LEN as u32 + u32::from(self.mtu))
    }
}

/// What is known about a neighbour's MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeighborState {
    /// It is known.
    Reachable,
    /// It is being asked for: packets go to control, which keeps a few.
    Pending,
    /// It did not answer: packets are refused.
    Dead,
}

/// Outside addresses and the ports on them that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool<A> {
    /// The addresses. May be empty: the pool has none of this family.
    pub addresses: Vec<A>,
    /// The lowest port that may be used.
    pub first_port: u16,
    /// The highest.
    pub last_port: u16,
    /// Does a flow keep its own port where that is free? Otherwise ports are drawn, so
    /// that nobody can foresee them (RFC 6056).
    pub keep_ports: bool,
    /// How names are given out to TCP.
    pub tcp: Behavior,
    /// How to UDP.
    pub udp: Behavior,
    /// Do protocols without ports leave under its addresses, such as GRE and ESP?
    pub other_protocols: bool,
}

/// Ports that the RFCs call well-known: those below.
pub const WELL_KNOWN_PORTS: usize = 1024;

/// How long a session may be silent, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP, open (RFC 5382 REQ-5: 2 h 4 min at least).
    pub tcp_established_ms: u32,
    /// TCP, opening or closing (RFC 5382 REQ-5: 4 min at least).
    pub tcp_transitory_ms: u32,
    /// UDP (RFC 4787 REQ-5: 2 min at least), and every protocol that has no timer of its own.
    pub udp_ms: u32,
    /// UDP to a well-known port, by the port; 0 is as any other (RFC 4787 REQ-5 allows
    /// these less). `None`: none has a timer of its own.
    pub udp_ports_ms: Option<Arc<[u32; WELL_KNOWN_PORTS]>>,
    /// ICMP queries (RFC 5508 REQ-2: 60 s at least).
    pub icmp_ms: u32,
    /// Not a session, but a name that let strangers in, before it is somebody else's
    /// (RFC 6888 REQ-8: 120 s at least).
    pub rest_ms: u32,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            tcp_established_ms: 7_440_000,
            tcp_transitory_ms: 240_000,
            udp_ms: 300_000,
            udp_ports_ms: None,
            icmp_ms: 60_000,
            rest_ms: 120_000,
        }
    }
}

impl Timeouts {
    /// How long a UDP session may be silent whose first packet went to this port.
    pub fn udp_ms_to(&self, port: u16) -> u32 {
        let own = self.udp_ports_ms.as_ref().and_then(|ports| ports.get(usize::from(port)));
        own.copied().filter(|own| *own > 0).unwrap_or(self.udp_ms)
    }
}

impl<A: Address> Tables<A> {
    /// Tables without a route.
    pub fn empty() -> Tables<A> {
        Tables {
            fibs: alloc::vec![Arc::new(crate::fib::FibBuilder::new().build())],
            egress: Arc::from([Vec::new()]),
            selected: alloc::vec![Arc::default()],
            neighbors: Arc::new(HashMap::new()),
            pools: Arc::from([]),
            forwards: Arc::new(Forwards::new()),
        }
    }

    /// The forwarding table of a routing domain.
    #[inline(always)]
    pub fn fib(&self, vrf: VrfId) -> &Fib<A> {
        &self.fibs[vrf.index()]
    }

    /// Must somebody not have or begin too many sessions?
    pub fn limits_senders(&self) -> bool {
        self.egress.iter().flatten().any(|rule| rule.limits != SenderLimits::default())
    }

    /// The forward for a flow from outside.
    pub fn forward(&self, flow: &FlowKey<A>) -> Option<Forward<A>> {
        self.forwards.find(flow).copied()
    }

    /// What may leave `vrf`, and under which name; the first rule that matches.
    pub fn egress_rule(&self, vrf: VrfId, src: A, dst: A) -> Option<&EgressRule<A>> {
        self.rules(vrf, src, dst).next()
    }

    /// The first rule that matches and gives the sender another name.
    pub fn renaming_rule(&self, vrf: VrfId, src: A, dst: A) -> Option<&EgressRule<A>> {
        self.rules(vrf, src, dst).find(|rule| rule.renames())
    }

    fn rules(&self, vrf: VrfId, src: A, dst: A) -> impl Iterator<Item = &EgressRule<A>> {
        rules_about(&self.egress[vrf.index()], &self.selected[vrf.index()], src, dst)
    }
}

impl Snapshot {
    /// Tables by which nothing is forwarded: what a worker starts with, so that
    /// nothing leaves before control has spoken.
    pub fn closed() -> Snapshot {
        Snapshot {
            epoch: Epoch(0),
            ports: Arc::from([]),
            adjacencies: Arc::from([]),
            groups: Arc::from([]),
            flow_seed: 0,
            v4: Tables::empty(),
            v6: Tables::empty(),
            timeouts: Timeouts::default(),
            probes: None,
            icmp_errors_per_second: 0,
            icmp_errors_per_destination: 0,
        }
    }

    /// States in words what a compiler of snapshots must keep: the tables
    /// that are indexed by one another are of one size. Next hops are not looked at.
    ///
    /// # Errors
    /// The sentence that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        let vrfs = self.v4.fibs.len();
        let holds = [
            (vrfs >= 1 && self.v6.fibs.len() == vrfs, "both families have the same routing domains, main first"),
            (self.v4.egress.len() == vrfs && self.v6.egress.len() == vrfs, "every routing domain has egress rules"),
            (
                self.v4.selected.len() == vrfs && self.v6.selected.len() == vrfs,
                "every routing domain knows who is selected",
            ),
            (self.ports.iter().all(|port| port.vrf.index() < vrfs), "a port is in a routing domain"),
            (self.v4.pools.len() == self.v6.pools.len(), "both families have the same pools"),
            (
                self.ports.iter().filter_map(|port| port.masquerade).all(|pool| pool.index() < self.v4.pools.len()),
                "a port masquerades by a pool",
            ),
            (
                self.adjacencies.iter().all(|adjacency| adjacency.port.index() < self.ports.len()),
                "an adjacency is on a port",
            ),
            (
                self.groups.iter().all(|group| group.buckets().iter().all(|id| id.index() < self.adjacencies.len())),
                "a member of a group is an adjacency",
            ),
            (
                self.v4
                    .neighbors
                    .values()
                    .chain(self.v6.neighbors.values())
                    .all(|id| id.index() < self.adjacencies.len()),
                "a neighbour is an adjacency",
            ),
            (
                self.v4.forwards.iter().all(|forward| forward.vrf.index() < vrfs)
                    && self.v6.forwards.iter().all(|forward| forward.vrf.index() < vrfs),
                "a forward leads into a routing domain",
            ),
            (
                self.v4.pools.iter().all(Pool::is_sound) && self.v6.pools.iter().all(Pool::is_sound),
                "pool ports go upwards, and what is open to strangers is one endpoint's",
            ),
        ];
        match holds.into_iter().find(|(holds, _)| !holds) {
            Some((_, sentence)) => Err(sentence),
            None => Ok(()),
        }
    }
}

impl<A> Default for Pool<A> {
    /// No address, all ports, and behaviour as nobody asked for another.
    fn default() -> Pool<A> {
        Pool {
            addresses: Vec::new(),
            first_port: 1024,
            last_port: u16::MAX,
            keep_ports: false,
            tcp: Behavior::TCP,
            udp: Behavior::UDP,
            other_protocols: false,
        }
    }
}

impl<A> Pool<A> {
    /// How many ports an address has.
    pub fn ports(&self) -> usize {
        usize::from(self.last_port - self.first_port) + 1
    }

    fn is_sound(&self) -> bool {
        self.first_port <= self.last_port && self.first_port > 0 && self.tcp.is_sound() && self.udp.is_sound()
    }
}
