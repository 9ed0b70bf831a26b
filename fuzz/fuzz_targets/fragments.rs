//! Any sequence of fragments, from inside and outside, through a forwarder.
//!
//! Besides what the world of the packet tests checks: no two fragments of a datagram go
//! on that overlap (RFC 5722), no pod's address leaves, and nothing is left of any of
//! them once their time is up.
#![no_main]

#[path = "../../fastpath/tests/world/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the fuzzer needs a part of the world only")]
mod world;

/// Workers of the worlds.
const WORKERS: u16 = 1;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use causeway_fastpath::fragment::TIMEOUT;
use causeway_fastpath::offload::Offload;
use causeway_fastpath::snapshot::Snapshot;
use causeway_fastpath::time::Instant;
use causeway_fastpath::verdict::Verdict;
use causeway_testkit::packet::*;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use world::{Endpoint, FAMILIES, Family, NODE_A, NODES, Plan, ROUTER, Sent, UPLINK, World, from, is_private, source};

/// Steps of one run.
const STEPS: usize = 200;

/// What went on of datagrams that are not done, by what tells them apart.
type Gone = HashMap<Vec<u8>, Pieces>;

/// Since when, and bytes from where to where, and whether they are the last.
type Pieces = (Instant, Vec<(usize, usize, bool)>);

fuzz_target!(|data: &[u8]| {
    // The end of the input ends the run.
    let mut world = World::closed(16);
    world.adopt(Arc::clone(tables()));
    let _ = run(&mut world, &mut Unstructured::new(data));
    world.wait(Duration::from_secs(10));
    world.wait(Duration::from_secs(10));
    let counters = world.forwarder.counters();
    assert_eq!((world.forwarder.datagrams(), counters.held), ([(0, 0); 2], counters.released));
});

fn run(world: &mut World, input: &mut Unstructured<'_>) -> Result<()> {
    let names = FAMILIES.map(|family| {
        let opening = from(NODE_A).ip(family.pod_a, family.outside).udp(5_000, 53).build();
        source(world.send(NODES, opening).forwarded(UPLINK))
    });
    let mut gone = Gone::new();
    for _ in 0..STEPS {
        if input.ratio(1, 16)? {
            world.wait(Duration::from_millis(input.int_in_range(0..=12_000)?));
            gone.retain(|_, (since, _)| *since + TIMEOUT > world.now);
        }
        let at = input.int_in_range(0..=1)?;
        let mut burst = Vec::new();
        for _ in 0..input.int_in_range(1..=4)? {
            let outward = input.arbitrary()?;
            let frame = fragment(input, FAMILIES[at], names[at], outward)?;
            burst.push((if outward { NODES } else { UPLINK }, frame, Offload::DONE));
        }
        for sent in world.burst(&burst) {
            judge(&sent, &mut gone, world.now);
        }
        for sent in std::mem::take(&mut world.released) {
            judge(&sent, &mut gone, world.now);
        }
    }
    Ok(())
}

/// A fragment of one of a few datagrams: its place and its bytes are anybody's choice.
fn fragment(input: &mut Unstructured<'_>, family: Family, name: Endpoint, outward: bool) -> Result<Vec<u8>> {
    let ip = if outward {
        from(NODE_A).ip(family.pod_a.to_ip(), family.outside.to_ip())
    } else {
        from(ROUTER).ip(family.outside.to_ip(), name.0)
    };
    let (id, more) = (input.int_in_range(0..=2)?, input.ratio(3, 4)?);
    let offset = input.int_in_range(0..=8u16)? * 8;
    let mut payload = vec![0; input.int_in_range(0..=5)? * 8 + if more { 0 } else { input.int_in_range(0..=7)? }];
    let protocol = *input.choose(&[17, 17, 17, 6, if family.v4 { 1 } else { 58 }])?;
    if offset == 0 && payload.len() >= 8 {
        let (src, dst) = if outward { (5_000u16, 53u16) } else { (53, name.1) };
        let header = [src, dst, input.int_in_range(0..=80)?, input.arbitrary()?];
        payload[..8].copy_from_slice(&header.map(u16::to_be_bytes).concat());
    }
    Ok(match ip {
        Ip::V4(ip) => ip.id(id).fragment(offset, more).raw(protocol, payload).build(),
        Ip::V6(ip) => {
            let options = |ip: Ipv6| ip.dest_opts([1, 4, 0, 0, 0, 0]);
            let before = (0..input.int_in_range(0..=2)?).fold(ip, |ip, _| options(ip));
            let ip = before.fragment(id.into(), offset, more);
            // What stands behind its header a later one tells of, and does not show.
            match (input.int_in_range(0..=9u8)?.saturating_sub(6), offset) {
                (0, _) => ip.raw(protocol, payload).build(),
                (count, 0) => (0..count).fold(ip, |ip, _| options(ip)).raw(protocol, payload).build(),
                _ => ip.raw(60, payload).build(),
            }
        }
    })
}

/// Where the fragment header of an IPv6 frame begins.
fn fragment_header(frame: &[u8]) -> usize {
    let (mut next, mut at) = (frame[20], 54);
    while next != 44 {
        (next, at) = (frame[at], at + 8 * (usize::from(frame[at + 1]) + 1));
    }
    at
}

fn judge(sent: &Sent, gone: &mut Gone, now: Instant) {
    let Verdict::Forward(port) = sent.verdict else {
        return;
    };
    let (frame, v4) = (&sent.bytes, sent.bytes[12..14] == [8, 0]);
    if port == UPLINK {
        let source: std::net::IpAddr = match v4 {
            true => <[u8; 4]>::try_from(&frame[26..30]).expect("four bytes").into(),
            false => <[u8; 16]>::try_from(&frame[22..38]).expect("sixteen bytes").into(),
        };
        assert!(!is_private(source), "a pod's address left: {}", sent.story());
    }
    let word = |at: usize| usize::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
    // Addresses, protocol and identification; the place; the length.
    let (datagram, start, more, len) = if v4 {
        let place = word(20);
        (
            [&frame[26..34], &frame[23..24], &frame[18..20]].concat(),
            (place & 0x1fff) * 8,
            place & 0x2000 != 0,
            word(16) - 20,
        )
    } else {
        let header = fragment_header(frame);
        let (place, id, end) = (word(header + 2), &frame[header + 4..header + 8], 54 + word(18));
        ([&frame[22..54], id].concat(), place & 0xfff8, place & 1 != 0, end - header - 8)
    };
    if start == 0 && !more {
        return;
    }
    let (_, pieces) = gone.entry(datagram.clone()).or_insert((now, Vec::new()));
    let overlaps = pieces.iter().any(|piece| piece.0 < start + len && start < piece.1);
    assert!(!overlaps, "fragments that overlap went on: {pieces:?} {}", sent.story());
    pieces.push((start, start + len, !more));
    let seen: usize = pieces.iter().map(|piece| piece.1 - piece.0).sum();
    if pieces.iter().any(|piece| piece.2 && piece.1 == seen) {
        gone.remove(&datagram);
    }
}

/// Compiled once, for that takes longer than a run.
fn tables() -> &'static Arc<Snapshot> {
    static TABLES: OnceLock<Arc<Snapshot>> = OnceLock::new();
    TABLES.get_or_init(|| Plan::island().compile(1))
}
