//! A hundred thousand frames that nobody thought of.

use std::net::IpAddr;
use std::time::Duration;

use causeway_fastpath::ids::PortId;
use causeway_fastpath::offload::{ChecksumState, Gso, Offload};
use causeway_fastpath::snapshot::NeighborState;
use causeway_fastpath::verdict::Verdict;
use causeway_testkit::packet::*;
use causeway_testkit::print::decode;
use causeway_testkit::random;
use causeway_testkit::seed::{Rng, Seed};

use crate::world::{
    FAMILIES, NODE_A, NODE_B, NODES, OTHER_NODES, PORT_MACS, Plan, ROUTER, Sent, UPLINK, World, from, is_private,
    is_sound,
};

const FRAMES: usize = 400_000;

#[test]
fn whatever_comes_in_meets_one_end_leaks_nothing_and_keeps_its_checksums() {
    let seed = Seed::from_env_or(0xca05_e1a1);
    let mut rng = seed.rng();
    let mut world = World::sized(&Plan::two_islands(), 300);
    let mut left = Vec::new();
    let mut frames = 0;
    while frames < FRAMES {
        if rng.chance(1, 50) {
            world.install(&any_plan(&mut rng));
        }
        let burst: Vec<_> = (0..rng.range(1..65))
            .map(|_| {
                let port = *rng.choose(&[NODES, UPLINK, OTHER_NODES, NODES, UPLINK, OTHER_NODES, PortId(9)]);
                (port, any_frame(&mut rng, &left, port), any_offload(&mut rng))
            })
            .collect();
        for (sent, (_, _, came)) in world.burst(&burst).iter().zip(&burst) {
            leaks_nothing(sent);
            stays_sound(sent, came);
            if sent.verdict == Verdict::Forward(UPLINK) {
                let place = rng.range(0..32);
                if left.len() <= place { left.push(sent.bytes.clone()) } else { left[place] = sent.bytes.clone() }
            }
        }
        frames += burst.len();
        let pause = if rng.chance(1, 100) { rng.below(400_000) } else { rng.below(20) };
        world.wait(Duration::from_millis(pause));
    }
    let counters = world.forwarder.counters();
    for (what, count) in [
        ("forwarded", counters.forwarded),
        ("replied", counters.replied),
        ("translated out", counters.translated_out),
        ("translated in", counters.translated_in),
        ("errors translated", counters.translated_errors),
        ("sessions", counters.sessions_created),
    ] {
        assert!(count > 100, "the test reaches what it is about: {what} {count}");
    }
}

/// Tables in which anything may have happened to a neighbour or a pool.
fn any_plan(rng: &mut Rng) -> Plan {
    let mut plan = Plan::two_islands();
    if rng.bool() {
        plan = plan.with_forwards();
    }
    if rng.bool() {
        plan = plan.with_groups();
    }
    if rng.chance(1, 4) {
        plan = plan.with_limit(4);
    }
    let node_b = &mut plan.adjacencies[NODE_B.index()];
    node_b.state = *rng.choose(&[NeighborState::Reachable, NeighborState::Pending, NeighborState::Dead]);
    node_b.mtu = *rng.choose(&[576, 1_280, 1_500]);
    plan.icmp_errors_per_second = *rng.choose(&[0, 100, 100_000]);
    plan.v4.pools[0].other_protocols = rng.bool();
    plan.v6.pools[0].other_protocols = rng.bool();
    if rng.chance(1, 4) {
        plan.v4.pools[0].last_port = 1_100;
        plan.v6.pools[0].last_port = 1_100;
    }
    plan
}

/// Any frame, most often one that passes the Ethernet layer.
fn any_frame(rng: &mut Rng, left: &[Vec<u8>], port: PortId) -> Vec<u8> {
    let mut frame = match rng.below(4) {
        0 if !left.is_empty() => {
            let frame = rng.choose(left).clone();
            if rng.bool() { answer_to(&frame) } else { error_about(rng, &frame) }
        }
        1 if port == UPLINK => towards_the_services(rng),
        1 => towards_the_world(rng),
        _ => random::frame(rng),
    };
    if rng.chance(1, 2) {
        frame = random::mangle(rng, &frame);
    }
    if !rng.chance(1, 16) && frame.len() >= 6 {
        let mac = PORT_MACS.get(port.index()).unwrap_or(&PORT_MACS[0]);
        frame[..6].copy_from_slice(mac);
    }
    frame
}

/// What a pod or a node sends to a few destinations outside.
fn towards_the_world(rng: &mut Rng) -> Vec<u8> {
    let family = *rng.choose(&FAMILIES);
    let sender = *rng.choose(&[family.pod_a, family.pod_a2, family.pod_b, family.node_a]);
    let peer = *rng.choose(&[family.outside, family.outside2, family.server, family.pool, family.unknown_server]);
    let ip = from(NODE_A).ip(sender, peer).ttl(1 + rng.below(40) as u8);
    let port = 5_000 + rng.below(8) as u16;
    match rng.below(4) {
        0 => ip.udp(port, 53).payload(rng.bytes(9)).build(),
        1 => ip.tcp(port, 443).flags(*rng.choose(&[SYN, SYN, ACK, FIN | ACK, RST])).build(),
        2 => ip.icmp_echo_request(port, 1).build(),
        _ => {
            let quoted = from(ROUTER).ip(peer, sender).udp(53, port).packet();
            ip.icmp_error(family.time_exceeded.0, 0, [0; 4], &quoted).build()
        }
    }
}

/// What clients outside send to what is forwarded.
fn towards_the_services(rng: &mut Rng) -> Vec<u8> {
    let family = *rng.choose(&FAMILIES);
    let own = if family.v4 { "203.0.113.23" } else { "2001:db8:1::107" };
    let ip = from(ROUTER).ip(family.outside, *rng.choose(&[family.pool, own])).ttl(1 + rng.below(40) as u8);
    let port = 5_000 + rng.below(8) as u16;
    match rng.below(3) {
        0 => ip.udp(port, 443).payload(rng.bytes(9)).build(),
        1 => ip.tcp(port, 443).flags(*rng.choose(&[SYN, SYN, ACK, FIN | ACK, RST])).build(),
        _ => ip.icmp_echo_request(port, 1).build(),
    }
}

/// Where source and destination address lie in a frame.
fn addresses(frame: &[u8]) -> (usize, usize, usize) {
    if frame[12..14] == [8, 0] { (26, 30, 34) } else { (22, 38, 54) }
}

/// The frame with addresses and ports swapped, which keeps every sum.
fn answer_to(frame: &[u8]) -> Vec<u8> {
    let (source, destination, end) = addresses(frame);
    let mut answer = frame.to_vec();
    answer[source..end].rotate_left(destination - source);
    let protocol = frame[if end == 34 { 23 } else { 20 }];
    if matches!(protocol, 6 | 17) && frame.len() >= end + 4 {
        answer[end..end + 4].rotate_left(2);
    }
    answer
}

/// An error about a frame, from the next router.
fn error_about(rng: &mut Rng, frame: &[u8]) -> Vec<u8> {
    let (source, destination, _) = addresses(frame);
    let family = FAMILIES[usize::from(destination - source != 4)];
    let sender = &frame[source..destination];
    let sender: IpAddr = match <[u8; 4]>::try_from(sender) {
        Ok(v4) => v4.into(),
        Err(_) => <[u8; 16]>::try_from(sender).expect("an address of either family").into(),
    };
    let ip = from(ROUTER).ip(family.router.to_ip(), sender);
    ip.icmp_error(family.time_exceeded.0, 0, [0; 4], &quote(frame, rng.range(0..frame.len()))).build()
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

/// What leaves an island shows no pod's address, not even in a quote.
fn leaks_nothing(sent: &Sent) {
    if sent.verdict != Verdict::Forward(UPLINK) || sent.ingress == UPLINK {
        return;
    }
    let layers = decode(&sent.bytes);
    // Source quench and redirect are no errors any more (RFC 6633): what a node says
    // in them under its own name is its own affair.
    let retired = |(name, value): &(&str, String)| *name == "type" && (value == "4" || value == "5");
    let depth = match layers.iter().find(|layer| layer.name == "ICMP" && layer.depth == 0) {
        Some(icmp) if icmp.fields.iter().any(retired) => 0,
        _ => 1,
    };
    let shown = layers.iter().filter(|layer| layer.depth <= depth).flat_map(|layer| &layer.fields);
    let addresses = shown.filter(|(name, _)| *name == "source" || *name == "destination");
    for address in addresses.filter_map(|(_, value)| value.parse::<IpAddr>().ok()) {
        assert!(!is_private(address), "{address} is shown outside: {}", sent.story());
    }
}

/// What came in with right checksums goes out with right ones. Of an answer the quote
/// is not judged: it may be cut anywhere.
fn stays_sound(sent: &Sent, came: &Offload) {
    if is_sound(&sent.came, came).is_err() {
        return;
    }
    match sent.verdict {
        Verdict::Forward(_) => assert_eq!(is_sound(&sent.bytes, &sent.offload), Ok(()), "{}", sent.story()),
        Verdict::Reply(_) => {
            let layers = decode(&sent.bytes);
            let whole = layers.iter().all(|layer| layer.depth > 0 || layer.faults.is_empty());
            assert!(whole || sent.offload != Offload::DONE, "{}", sent.story());
        }
        _ => {}
    }
}
