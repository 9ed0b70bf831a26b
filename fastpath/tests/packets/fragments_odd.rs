//! Fragments that are late, too many, tiny, twice, or lies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use causeway_fastpath::offload::{ChecksumState, Gso, Offload};
use causeway_fastpath::verdict::DropReason;
use causeway_testkit::packet::*;
use causeway_testkit::print::{assert_frame_lists_eq, assert_frames_eq};
use causeway_testkit::random;
use causeway_testkit::seed::Seed;

use super::fragments::{Protocol, Way, as_sent, each_scene, pieces, scene};
use super::world::*;

#[test]
fn a_fragment_that_comes_twice_goes_on_once() {
    each_scene(|mut scene| {
        for at in [2, 0, 1] {
            scene.world.send(scene.from, &scene.came[at]);
            scene.world.send(scene.from, &scene.came[at]).dropped(DropReason::FragmentDuplicate);
        }
        scene.world.send(scene.from, &scene.came[3]).forwarded(scene.to);
        assert!(scene.forwarder_is_empty());
    });
}

#[test]
fn what_overlaps_kills_the_datagram_until_its_time_is_up() {
    // With several, the first fragment may go to a worker that knows of no overlap.
    if crate::WORKERS > 1 {
        return;
    }
    each_scene(|mut scene| {
        // The third piece once more, eight bytes further on.
        let mut overlap = scene.came[2].clone();
        shift(&mut overlap);
        for known in [false, true] {
            let held = if known {
                scene.world.send(scene.from, &scene.came[0]).forwarded(scene.to);
                scene.world.send(scene.from, &scene.came[2]).forwarded(scene.to);
                0
            } else {
                scene.world.send(scene.from, &scene.came[2]).held();
                1
            };
            scene.world.counted();
            scene.world.send(scene.from, &overlap).dropped(DropReason::FragmentOverlap);
            for at in [0, 1, 3] {
                scene.world.send(scene.from, &scene.came[at]).dropped(DropReason::FragmentOverlap);
            }
            let counted = scene.world.counted();
            assert_eq!(counted["fragment-overlap"], 4 + held, "what was held of it is dropped as well");
            scene.world.wait(Duration::from_secs(10));
            assert!(scene.forwarder_is_empty());
        }
        scene.play(&[0, 1, 2, 3]);
    });
}

/// Moves a fragment eight bytes further into its datagram.
fn shift(frame: &mut [u8]) {
    let v4 = frame[12..14] == [8, 0];
    let (at, step) = if v4 { (20, 1) } else { (56, 8) };
    let word = u16::from_be_bytes([frame[at], frame[at + 1]]) + step;
    frame[at..at + 2].copy_from_slice(&word.to_be_bytes());
    if v4 {
        frame[24..26].fill(0);
        let sum = causeway_testkit::checksum::internet(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
}

#[test]
fn what_waits_for_the_first_fragment_waits_ten_seconds() {
    for (ms, in_time) in [(9_999, true), (10_000, false), (10_001, false)] {
        each_scene(|mut scene| {
            scene.world.send(scene.from, &scene.came[1]).held();
            scene.world.counted();
            scene.world.wait(Duration::from_millis(ms));
            scene.world.send(scene.from, &scene.came[0]).forwarded(scene.to);
            assert_eq!(scene.world.released.len(), usize::from(in_time));
            let timeouts = scene.world.counted().get("fragment-timeout").copied().unwrap_or(0);
            assert_eq!(timeouts, u64::from(!in_time));
        });
    }
}

#[test]
fn what_follows_the_first_fragment_may_do_so_for_ten_seconds() {
    for (ms, in_time) in [(9_999, true), (10_000, false), (10_001, false)] {
        each_scene(|mut scene| {
            let first = scene.world.send(scene.from, &scene.came[0]).forwarded(scene.to).to_vec();
            scene.world.wait(Duration::from_millis(ms));
            let sent = scene.world.send(scene.from, &scene.came[1]);
            if in_time {
                assert_frames_eq(&as_sent(scene.from, &scene.expected, &first)[1], sent.forwarded(scene.to));
            } else {
                sent.held();
            }
        });
    }
}

#[test]
fn fragments_of_jumbo_frames_wait_for_the_first_as_others_do() {
    for family in FAMILIES {
        let mut plan = Plan::island();
        plan.adjacencies[ROUTER.index()].mtu = 9_216;
        let mut world = World::with(&plan);
        let opening = from(NODE_A).ip(family.pod_a, family.outside).udp(5_000, 53).build();
        let name = source(world.send(NODES, opening).forwarded(UPLINK));
        let data: Vec<u8> = (0..40_000u32).map(|at| ((at * at) >> 5) as u8).collect();
        for mtu in [3_000, 9_000, 9_216] {
            let pieces = |link: Eth, (src, port): Endpoint, ttl| {
                link.ip(src, family.outside.to_ip()).ttl(ttl).udp(port, 53).payload(&data).fragments(7, mtu)
            };
            let came = pieces(from(NODE_A), (family.pod_a.to_ip(), 5_000), 64);
            for late in came[1..].iter().rev() {
                world.send(NODES, late).held();
            }
            let first = world.send(NODES, &came[0]).forwarded(UPLINK).to_vec();
            let mut went = vec![first.clone()];
            went.extend(world.released.drain(..).map(|sent| sent.forwarded(UPLINK).to_vec()));
            let expected = as_sent(NODES, &pieces(to(ROUTER), name, 63), &first);
            went.sort_by_key(|frame| expected.iter().position(|expected| expected == frame));
            assert_frame_lists_eq(&expected, &went);
            assert_eq!(world.datagrams_left(), [(0, 0); 2]);
        }
        let longer = from(NODE_A).ip(family.pod_a, family.outside).udp(5_000, 53).payload(&data).fragments(8, 9_232);
        world.send(NODES, &longer[1]).dropped(DropReason::FragmentTooLong);
    }
}

#[test]
fn a_header_in_two_fragments_is_dropped() {
    for family in FAMILIES {
        let mut world = World::new();
        let ip = || from(NODE_A).ip(family.pod_a, family.outside);
        let headers = if family.v4 { 20 } else { 48 };
        let tcp = ip().tcp(1, 2).flags(SYN).payload([0; 64]);
        world.send(NODES, &tcp.fragments(1, headers + 8)[0]).dropped(DropReason::FragmentTiny);
        world.send(NODES, &tcp.fragments(1, headers + 16)[0]).dropped(DropReason::FragmentTiny);
        world.send(NODES, &tcp.fragments(1, headers + 8)[1]).dropped(DropReason::FragmentTiny);
        let long = ip().tcp(1, 2).flags(SYN).options([1; 8]).payload([0; 64]);
        world.send(NODES, &long.fragments(2, headers + 24)[0]).dropped(DropReason::FragmentTiny);
        assert_eq!((world.sessions(8).len(), world.forwarder.datagrams()), (0, [(0, 0); 2]));
        world.send(NODES, &long.fragments(3, headers + 32)[0]).forwarded(UPLINK);
    }
}

#[test]
fn what_no_datagram_has_is_dropped() {
    for family in FAMILIES {
        let mut world = World::new();
        let ip = || from(NODE_A).ip(family.pod_a, family.outside);
        let uneven = |link: Ip| match link {
            Ip::V4(ip) => ip.fragment(16, true).raw(17, [0; 9]).build(),
            Ip::V6(ip) => ip.fragment(1, 16, true).raw(17, [0; 9]).build(),
        };
        let endless = |link: Ip| match link {
            Ip::V4(ip) => ip.fragment(65_528, false).raw(17, [0; 8]).build(),
            Ip::V6(ip) => ip.fragment(1, 65_528, false).raw(17, [0; 8]).build(),
        };
        world.send(NODES, uneven(ip())).dropped(DropReason::FragmentBad);
        world.send(NODES, endless(ip())).dropped(DropReason::FragmentBad);
        for piece in ip().raw(51, [0; 2_000]).fragments(1, 1_280) {
            world.send(NODES, piece).dropped(DropReason::NatProtocol);
        }
        let quoted = from(NODE_A).ip(family.outside, family.pod_a).udp(1, 2).payload([0; 400]).packet();
        let (kind, code) = family.port_unreachable;
        let error = ip().icmp_error(kind, code, [0; 4], &quoted).fragments(1, 200);
        world.send(NODES, &error[0]).dropped(DropReason::NatFragment);
        let whole = ip().udp(1, 2).payload([0; 2_000]).fragments(1, 1_280);
        let partial = ChecksumState::Partial { start: 300, offset: 6 };
        for offload in
            [Offload { checksum: partial, ..Offload::DONE }, Offload { gso: Gso::Udp, gso_size: 100, ..Offload::DONE }]
        {
            world.send_with(NODES, &whole[1], offload).dropped(DropReason::NatFragment);
        }
        assert_eq!((world.sessions(8).len(), world.forwarder.datagrams()), (0, [(0, 0); 2]));
    }
}

#[test]
fn strangers_fragments_make_no_session_and_nothing_of_them_goes_on() {
    for family in FAMILIES {
        let mut world = World::new();
        let came = pieces(Protocol::Udp, from(ROUTER).ip(family.outside, family.pool), (53, 2_000), 1);
        world.send(UPLINK, &came[0]).dropped(DropReason::NatUnsolicited);
        world.send(UPLINK, &came[1]).held();
        world.send(UPLINK, &came[0]).dropped(DropReason::NatUnsolicited);
        world.wait(Duration::from_secs(10));
        assert_eq!(world.forwarder.counters().dropped[DropReason::FragmentTimeout.index()], 1);
        assert_eq!((world.sessions(8).len(), world.forwarder.datagrams()), (0, [(0, 0); 2]));
    }
}

#[test]
fn a_flood_of_fragments_stops_neither_a_flow_nor_a_datagram_in_fragments() {
    let mut rng = Seed::from_env_or(0xf100d).rng();
    for family in FAMILIES {
        let mut scene = scene(family, Protocol::Udp, Way::Out);
        let whole = |link: Eth| link.ip(family.pod_a, family.outside).udp(5_000, 53).payload(b"!").build();
        let bytes = scene.world.forwarder.bytes();
        let mut first: Option<Vec<u8>> = None;
        for round in 0..100_000u32 {
            let stranger: IpAddr = if family.v4 {
                Ipv4Addr::from_bits(0x5000_0000 | rng.u32() >> 8).into()
            } else {
                Ipv6Addr::from_bits(0x2600_u128 << 112 | u128::from(rng.u64()) << 32).into()
            };
            let ip = from(ROUTER).ip(stranger, family.pool.to_ip());
            let offset = rng.below(8) as u16 * 8;
            let piece = match ip {
                Ip::V4(ip) => ip.id(rng.u16()).fragment(offset, rng.bool()).raw(17, [0; 64]).build(),
                Ip::V6(ip) => ip.fragment(rng.u32(), offset, rng.bool()).raw(17, [0; 64]).build(),
            };
            scene.world.send(UPLINK, piece);
            // A pod that floods as well, from one address, with sessions of its own.
            let pod = from(NODE_A).ip(family.pod_a2, family.outside).udp(rng.below(100) as u16, 9).payload([0; 200]);
            scene.world.send(NODES, pod.fragments(rng.u32(), 120)[rng.range(0..2)].clone());
            if round % 25_000 < 4 {
                scene.world.send(NODES, whole(from(NODE_A))).forwarded(UPLINK);
            }
            // One piece every 25 000 rounds: the datagram is never done in between.
            if round % 25_000 == 0 {
                let at = (round / 25_000) as usize;
                let out = scene.world.send(NODES, &scene.came[at]).forwarded(UPLINK).to_vec();
                // One identification for all of them.
                first.get_or_insert(out.clone());
                let expected = as_sent(NODES, &scene.expected, first.as_ref().expect("it was set"));
                assert_frames_eq(&expected[at], out);
            }
            scene.world.released.clear();
        }
        assert_eq!(scene.world.forwarder.bytes(), bytes);
        let counters = scene.world.forwarder.counters();
        assert!(counters.dropped[DropReason::FragmentStoreFull.index()] > 50_000, "{counters:?}");
        assert!(counters.dropped[DropReason::FragmentSourceLimit.index()] > 10_000, "{counters:?}");
    }
}

#[test]
fn random_fragments_keep_the_law_and_nothing_is_left_of_them() {
    let seed = Seed::from_env_or(0xf4a6_0001);
    let mut rng = seed.rng();
    let mut world = World::new();
    for _ in 0..20_000 {
        let family = *rng.choose(&FAMILIES);
        let (port, ip) = if rng.bool() {
            (NODES, from(NODE_A).ip(family.pod_a, family.outside))
        } else {
            (UPLINK, from(ROUTER).ip(family.outside, family.pool))
        };
        let len = if rng.chance(1, 20) { rng.range(0..200) } else { 120 };
        let frames = ip.udp(1 + rng.below(4) as u16, 1_024 + rng.below(4) as u16).payload(rng.bytes(len));
        let frames = frames.fragments(rng.below(64) as u32, 88);
        let mut frame = rng.choose(&frames).clone();
        if rng.chance(1, 20) {
            frame = random::mangle(&mut rng, &frame);
        }
        world.send(port, frame);
        if rng.chance(1, 200) {
            world.wait(Duration::from_millis(rng.below(12_000)));
        }
    }
    world.wait(Duration::from_secs(20));
    let counters = world.forwarder.counters();
    assert_eq!(world.forwarder.datagrams(), [(0, 0); 2], "seed {seed:?}");
    assert_eq!(counters.held, counters.released, "seed {seed:?}");
    let ends = (counters.held, counters.forwarded, world.released.len());
    assert!(ends.0 > 1_000 && ends.1 > 1_000 && ends.2 > 500, "{ends:?} reached few ends");
}
