//! Any sequence of frames, pauses and new tables through a forwarder.
//!
//! The world of the packet tests checks after every burst that each packet met
//! exactly one end, that the counters say what the verdicts say, and that what
//! was dropped or punted was not written to.
#![no_main]

#[path = "../../fastpath/tests/world/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the fuzzer needs a part of the world only")]
mod world;

/// Workers of the worlds.
const WORKERS: u16 = 1;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use causeway_fastpath::ids::PortId;
use causeway_fastpath::offload::{ChecksumState, Gso, Offload};
use causeway_fastpath::snapshot::{NeighborState, Snapshot};
use causeway_fastpath::verdict::Verdict;
use causeway_testkit::checksum;
use causeway_testkit::packet::*;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use world::{FAMILIES, FIRST_PORT, Family, NODE_A, NODE_B, PORT_MACS, Plan, ROUTER, UPLINK, World, from, is_private};

/// Steps of one run.
const STEPS: usize = 200;

fuzz_target!(|data: &[u8]| {
    // The end of the input ends the run.
    let _ = run(&mut Unstructured::new(data));
});

fn run(input: &mut Unstructured<'_>) -> Result<()> {
    let mut world = World::closed(16);
    world.adopt(Arc::clone(&tables()[0]));
    let mut left = Vec::new();
    for _ in 0..STEPS {
        match input.int_in_range(0..=15)? {
            0 => world.wait(Duration::from_millis(input.int_in_range(0..=10_000_000)?)),
            1 => drop(world.adopt(Arc::clone(input.choose(tables())?))),
            _ => {
                let mut burst = Vec::new();
                for _ in 0..input.int_in_range(1..=4)? {
                    burst.push((PortId(input.int_in_range(0..=3)?), frame(input, &left)?, offload(input)?));
                }
                for (sent, (port, ..)) in world.burst(&burst).iter().zip(&burst) {
                    if sent.verdict != Verdict::Forward(UPLINK) {
                        continue;
                    }
                    if *port != UPLINK {
                        assert!(!is_private(source_address(&sent.bytes)), "a pod's address left: {}", sent.story());
                    }
                    left.truncate(7);
                    left.insert(0, sent.bytes.clone());
                }
            }
        }
    }
    Ok(())
}

/// Tables in which a neighbour, a pool, the timers or the limits have changed. Compiled
/// once, for that takes longer than a run.
fn tables() -> &'static [Arc<Snapshot>] {
    static TABLES: OnceLock<Vec<Arc<Snapshot>>> = OnceLock::new();
    TABLES.get_or_init(|| {
        let states = [NeighborState::Reachable, NeighborState::Pending, NeighborState::Dead];
        let mut tables = Vec::new();
        for (epoch, mtu) in [1_500, 0, 68, 576, 1_280, u16::MAX].into_iter().enumerate() {
            let mut plan = Plan::two_islands();
            if epoch % 2 == 1 {
                plan = plan.with_forwards().with_groups().with_limit(8);
            }
            plan.adjacencies[NODE_B.index()].state = states[epoch % 3];
            plan.adjacencies[NODE_B.index()].mtu = mtu;
            // Few ports, so that they run out.
            plan.v4.pools[0].last_port = FIRST_PORT + epoch as u16 / 2;
            plan.v6.pools[0].last_port = FIRST_PORT + epoch as u16 / 2;
            plan.timeouts.udp_ms = 300_000 / (epoch as u32 + 1);
            plan.icmp_errors_per_second = [100_000, 1, 0][epoch % 3];
            tables.push(plan.compile(epoch as u64 + 1));
        }
        tables
    })
}

/// A frame from nowhere, from a template or from what went out, with changes; most
/// often with a destination and a header checksum that let it pass the first look.
fn frame(input: &mut Unstructured<'_>, left: &[Vec<u8>]) -> Result<Vec<u8>> {
    let family = *input.choose(&FAMILIES)?;
    let mut frame = match input.int_in_range(0..=3)? {
        0 => {
            let len = input.int_in_range(0..=200)?;
            input.bytes(len)?.to_vec()
        }
        1 if !left.is_empty() => answer(input.choose(left)?),
        2 if !left.is_empty() => error_about(input.choose(left)?, input.arbitrary_len::<u8>()?),
        _ => template(input, family)?,
    };
    for _ in 0..input.int_in_range(0..=3)? {
        let at: usize = input.int_in_range(0..=127)?;
        let value = input.arbitrary()?;
        if let Some(byte) = frame.get_mut(at) {
            *byte = value;
        }
    }
    if input.ratio(1, 16)? {
        frame.truncate(input.int_in_range(0..=100)?);
    }
    if frame.len() >= 34 && !input.ratio(1, 16)? {
        frame[..6].copy_from_slice(input.choose(&PORT_MACS)?);
        let header = 14 + usize::from(frame[14] & 0x0f) * 4;
        if frame[12..14] == [8, 0] && (34..=frame.len()).contains(&header) {
            frame[24..26].fill(0);
            let sum = checksum::internet(&frame[14..header]);
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
        }
    }
    Ok(frame)
}

fn template(input: &mut Unstructured<'_>, family: Family) -> Result<Vec<u8>> {
    let src = *input.choose(&[family.pod_a, family.pod_b, family.node_a, family.outside])?;
    let dst = [family.pod_b, family.outside, family.server, family.pool, family.gateway_inside, family.no_pod];
    let ip = from(NODE_A).ip(src, *input.choose(&dst)?);
    let (port, peer_port) = (input.int_in_range(1..=4)?, *input.choose(&[1, 2, 443])?);
    Ok(match input.int_in_range(0..=5)? {
        0 => ip.udp(port, peer_port).payload([port as u8; 3]).build(),
        1 => ip.tcp(port, peer_port).flags(input.arbitrary()?).build(),
        2 => ip.icmp_echo_request(port, peer_port).build(),
        3 => ip.udp(port, peer_port).payload([0; 1_470]).build(),
        4 => ip.udp(port, peer_port).payload([0; 64]).fragments(9, 88).swap_remove(input.int_in_range(0..=1)?),
        _ => {
            let quoted = from(ROUTER).ip(family.outside, src).udp(peer_port, port).packet();
            ip.icmp_error(family.time_exceeded.0, 0, [0; 4], &quoted).build()
        }
    })
}

/// Addresses and ports swapped, which keeps every sum.
fn answer(frame: &[u8]) -> Vec<u8> {
    let mut answer = frame.to_vec();
    let (source, end) = if frame[12..14] == [8, 0] { (26, 34) } else { (22, 54) };
    answer[source..end].rotate_left((end - source) / 2);
    if frame.len() >= end + 4 {
        answer[end..end + 4].rotate_left(2);
    }
    answer
}

fn error_about(frame: &[u8], len: usize) -> Vec<u8> {
    let family = FAMILIES[usize::from(frame[12..14] != [8, 0])];
    let ip = from(ROUTER).ip(family.router.to_ip(), source_address(frame));
    ip.icmp_error(family.time_exceeded.0, 0, [0; 4], &quote(frame, len)).build()
}

fn source_address(frame: &[u8]) -> std::net::IpAddr {
    match frame[12..14] {
        [8, 0] => <[u8; 4]>::try_from(&frame[26..30]).expect("four bytes").into(),
        _ => <[u8; 16]>::try_from(&frame[22..38]).expect("sixteen bytes").into(),
    }
}

fn offload(input: &mut Unstructured<'_>) -> Result<Offload> {
    if input.ratio(3, 4)? {
        return Ok(Offload::DONE);
    }
    let checksum = ChecksumState::Partial { start: *input.choose(&[34, 54, 0, 9_999])?, offset: 16 };
    let gso = *input.choose(&[Gso::None, Gso::TcpV4 { ecn: true }, Gso::TcpV6 { ecn: false }, Gso::Udp])?;
    Ok(Offload { checksum, gso, gso_size: input.arbitrary()? })
}
