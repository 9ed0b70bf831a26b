//! A hundred thousand frames that nobody thought of.

use std::time::Duration;

use causeway_fastpath::ids::PortId;
use causeway_fastpath::offload::{ChecksumState, Gso, Offload};
use causeway_fastpath::verdict::{DropReason, Verdict};
use causeway_testkit::packet::*;
use causeway_testkit::print::decode;
use causeway_testkit::random;
use causeway_testkit::seed::{Rng, Seed};

use crate::world::{FAMILIES, NODE_A, NODES, OTHER_NODES, PORT_MACS, Plan, ROUTER, Sent, UPLINK, World, from};
use crate::world::{is_private, is_sound};

/// Any frame, most often one that passes the Ethernet layer.
fn any_frame(rng: &mut Rng, known: &[Vec<u8>], port: PortId) -> Vec<u8> {
    let mut frame = match rng.below(4) {
        0 if !known.is_empty() => rng.choose(known).clone(),
        1 => towards_the_world(rng),
        _ => random::frame(rng),
    };
    if !rng.chance(1, 16) && frame.len() >= 6 {
        frame[..6].copy_from_slice(&PORT_MACS[port.index()]);
    }
    if rng.bool() { random::mangle(rng, &frame) } else { frame }
}

/// What a pod sends to a few destinations outside, or gets back from there.
fn towards_the_world(rng: &mut Rng) -> Vec<u8> {
    let family = *rng.choose(&FAMILIES);
    let pod = *rng.choose(&[family.pod_a, family.pod_a2, family.pod_b, family.node_a]);
    let peer = *rng.choose(&[family.outside, family.outside2, family.server, family.pool, family.unknown_server]);
    let ip = from(NODE_A).ip(pod, peer).ttl(1 + rng.below(3) as u8);
    let port = 5_000 + rng.below(8) as u16;
    match rng.below(4) {
        0 => ip.udp(port, 53).payload(rng.bytes(9)).build(),
        1 => ip.tcp(port, 443).flags(*rng.choose(&[SYN, SYN, ACK, FIN | ACK, RST])).build(),
        2 => ip.icmp_echo_request(port, 1).build(),
        _ => {
            let quoted = from(ROUTER).ip(peer, pod).udp(53, port).packet();
            ip.icmp_error(family.time_exceeded.0, 0, [0; 4], &quoted).build()
        }
    }
}

/// The answer to a frame that left, or an error about it, as the outside may send it.
fn answer_to(rng: &mut Rng, frame: &[u8]) -> Option<Vec<u8>> {
    let v4 = frame[12..14] == [8, 0];
    let (header, addresses) = if v4 { (34, 26..34) } else { (54, 22..54) };
    let mut answer = frame.to_vec();
    let half = addresses.len() / 2;
    answer[addresses.clone()].rotate_left(half);
    if rng.bool() {
        // Swapped addresses and ports sum to the same.
        if frame.len() >= header + 4 && matches!(frame[if v4 { 23 } else { 20 }], 6 | 17) {
            answer[header..header + 4].rotate_left(2);
        }
        return Some(answer);
    }
    let src = |range: std::ops::Range<usize>| match v4 {
        true => <[u8; 4]>::try_from(&frame[range]).ok().map(std::net::IpAddr::from),
        false => <[u8; 16]>::try_from(&frame[range]).ok().map(std::net::IpAddr::from),
    };
    let back = src(addresses.start..addresses.start + half)?;
    let router = if v4 { "203.0.113.1" } else { "2001:db8:1::1" };
    let ip = from(ROUTER).ip(router.to_ip(), back);
    let kind = if v4 { 11 } else { 3 };
    let len = rng.range(0..frame.len());
    Some(ip.icmp_error(kind, 0, [0; 4], &quote(frame, len)).build())
}

fn any_offload(rng: &mut Rng) -> Offload {
    if rng.bool() {
        return Offload::DONE;
    }
    let checksum = match rng.below(3) {
        0 => ChecksumState::Complete,
        1 => ChecksumState::Partial { start: *rng.choose(&[34, 54]), offset: *rng.choose(&[2, 6, 16]) },
        _ => ChecksumState::Partial { start: rng.u16(), offset: rng.u16() },
    };
    let gso = *rng.choose(&[Gso::None, Gso::TcpV4 { ecn: false }, Gso::TcpV6 { ecn: true }, Gso::Udp]);
    Offload { checksum, gso, gso_size: rng.u16() }
}

/// No frame that leaves the island shows a pod's address, not even in a quote.
fn leaks_nothing(sent: &Sent) {
    if sent.verdict != Verdict::Forward(UPLINK) {
        return;
    }
    for layer in decode(&sent.bytes).iter().filter(|layer| layer.name == "IPv4" || layer.name == "IPv6") {
        // What the sender invented from outside is his to invent.
        let own = layer.depth == 0 || sent.came[..6] == PORT_MACS[NODES.index()];
        let inner = if layer.depth % 2 == 0 { "source" } else { "destination" };
        let shown = layer.fields.iter().find(|(name, _)| *name == inner).map(|(_, value)| value.to_ip_of_field());
        if let Some(Some(address)) = shown
            && own
            && layer.depth < 2
            && sent.came[..6] != PORT_MACS[UPLINK.index()]
        {
            assert!(!is_private(address), "{}", sent.story());
        }
    }
}

trait Field {
    fn to_ip_of_field(&self) -> Option<std::net::IpAddr>;
}

impl Field for String {
    fn to_ip_of_field(&self) -> Option<std::net::IpAddr> {
        self.parse().ok()
    }
}
