//! Conversations that leave an island, and their packets.

use causeway_fastpath::fib::Prefix;
use causeway_fastpath::ids::VrfId;
use causeway_fastpath::session::{FlowKey, Session};
use causeway_fastpath::time::Instant;
use causeway_fastpath::wire::protocol;
use causeway_testkit::packet::{Build, Ip, Network, SYN, Transport, eth};
use causeway_testkit::seed::Rng;

use crate::packets::Packets;
use crate::routes::{Family, addresses};
use crate::world::{GATEWAY_MAC, HOST_MAC, ISLAND};

/// Nodes of the island.
pub const NODES: usize = 1000;
/// Pods of a node that talk.
const PODS: usize = 100;
/// Servers outside that they talk to.
const SERVERS: usize = 4096;

/// A conversation, as its initiator sees it.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// The pod, on a node of its own pod CIDR.
    pub pod: u32,
    /// The server.
    pub server: u32,
    /// The pod's port.
    pub pod_port: u16,
    /// The server's port.
    pub server_port: u16,
    /// UDP or TCP.
    pub protocol: u8,
}

/// `count` conversations, each from an endpoint of its own, to servers drawn at
/// random: neighbouring flows share a node, as those of a real burst may.
///
/// # Panics
/// More than 2.8 billion are asked for.
pub fn flows(count: usize, protocol: u8, rng: &mut Rng) -> Vec<Flow> {
    let outside = Prefix::containing(0xc612_0000, 15);
    let servers: Vec<u32> = addresses(&[outside], SERVERS, rng);
    (0..count)
        .map(|number| {
            let pod = number % (NODES * PODS);
            Flow {
                pod: u32::pod_cidr(pod / PODS).address() + 2 + (pod % PODS) as u32,
                server: *rng.choose(&servers),
                pod_port: 32_768 + u16::try_from(number / (NODES * PODS)).expect("a pod has ports enough"),
                server_port: *rng.choose(&[53, 123, 443]),
                protocol,
            }
        })
        .collect()
}

impl Flow {
    /// The key of the initiator's packets.
    pub fn key(&self) -> FlowKey<u32> {
        FlowKey {
            src: self.pod,
            dst: self.server,
            src_port: self.pod_port,
            dst_port: self.server_port,
            vrf: ISLAND,
            protocol: self.protocol,
            hairpin: 0,
        }
    }
}

/// A session of a flow under an outside name that no other `number` gets.
pub fn session(flow: &Flow, number: usize) -> Session<u32> {
    let name = 0xcb00_7100 + (number / 60_000) as u32;
    let inside = flow.key();
    let outside =
        FlowKey { dst: name, dst_port: 1024 + (number % 60_000) as u16, vrf: VrfId::MAIN, ..inside.reversed() };
    Session::new(inside, outside, Instant::ZERO)
}

/// A 60-byte packet of each flow, from its initiator: for TCP the SYN.
pub fn packets(flows: &[Flow]) -> Packets {
    segments(flows, SYN)
}

/// The same, with these flags where it is TCP.
pub fn segments(flows: &[Flow], flags: u8) -> Packets {
    Packets::new(
        60,
        flows.iter().map(|flow| {
            // With DF, as hosts send nearly everything.
            let ip =
                eth().src(HOST_MAC).dst(GATEWAY_MAC).ipv4(flow.pod.to_be_bytes(), flow.server.to_be_bytes()).ttl(64);
            match flow.protocol {
                protocol::TCP => ip.tcp(flow.pod_port, flow.server_port).flags(flags).payload([0; 6]).build(),
                _ => ip.udp(flow.pod_port, flow.server_port).payload([0; 18]).build(),
            }
        }),
    )
}

/// A datagram of each flow in four fragments of 58 bytes, in order.
pub fn fragments(flows: &[Flow]) -> Packets {
    let datagram = |(number, flow): (usize, &Flow)| {
        let ip = eth().src(HOST_MAC).dst(GATEWAY_MAC).ipv4(flow.pod.to_be_bytes(), flow.server.to_be_bytes()).ttl(64);
        Ip::V4(ip).udp(flow.pod_port, flow.server_port).payload([0; 88]).fragments(number as u32, 44)
    };
    Packets::new(58, flows.iter().enumerate().flat_map(datagram))
}

/// A packet to each destination: 60 bytes for IPv4; IPv6 does not fit into fewer
/// than 62.
pub fn packets_to<A: Family>(destinations: &[A]) -> Packets {
    let source = A::pod_cidr(u16::MAX.into()).address().offset(5);
    let payload = if A::BITS == 32 { &[0; 18][..] } else { &[] };
    let frame = |destination: &A| {
        let ip = eth().src(HOST_MAC).dst(GATEWAY_MAC).ip(source.to_ip(), destination.to_ip()).ttl(64);
        ip.udp(5000, 5001).payload(payload).build()
    };
    Packets::new(if A::BITS == 32 { 60 } else { 62 }, destinations.iter().map(frame))
}
