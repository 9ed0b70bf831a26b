//! Checksums that are not there, not yet there, or not a checksum at all.

use causeway_fastpath::offload::{ChecksumState, Gso, Offload};
use causeway_fastpath::verdict::DropReason;
use causeway_testkit::packet::*;
use causeway_testkit::print::assert_frames_eq;
use causeway_testkit::{checksum, print};

use crate::world::{FAMILIES, Family, NODE_A, NODE_B, NODES, ROUTER, UPLINK, World, from, numbered_as, source, to};

/// A checksum that is still the pseudo-header's sum, `offset` bytes into the L4 header.
fn partial(family: Family, offset: u16) -> Offload {
    let start = 14 + family.ip_header as u16;
    Offload { checksum: ChecksumState::Partial { start, offset }, ..Offload::DONE }
}

fn gso(family: Family, gso_size: u16) -> Offload {
    let gso = if family.v4 { Gso::TcpV4 { ecn: false } } else { Gso::TcpV6 { ecn: false } };
    Offload { gso, gso_size, ..partial(family, 16) }
}

/// The UDP checksum field of a frame without options and extension headers.
fn udp_checksum(family: Family, frame: &[u8]) -> u16 {
    let at = 14 + family.ip_header + 6;
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

#[test]
fn a_datagram_without_checksum_stays_without() {
    let mut world = World::new();
    let out = world.send(NODES, from(NODE_A).ipv4("10.1.1.10", "198.51.100.9").udp(1, 2).no_checksum().build());
    let name = source(out.forwarded(UPLINK));
    let expected = to(ROUTER).ip(name.0, "198.51.100.9".to_ip()).ttl(63).udp(name.1, 2).no_checksum().build();
    assert_frames_eq(expected, &out.bytes);
    let back = from(ROUTER).ip("198.51.100.9".to_ip(), name.0).udp(2, name.1).no_checksum().build();
    let expected = to(NODE_A).ip("198.51.100.9", "10.1.1.10").ttl(63).udp(2, 1).no_checksum().build();
    assert_frames_eq(expected, world.send(UPLINK, back).forwarded(NODES));
}

#[test]
fn a_checksum_that_comes_out_as_zero_is_sent_as_all_ones() {
    for family in FAMILIES {
        let mut world = World::new();
        let mut ones = [0; 2];
        // Every sum of a datagram once, so that each direction meets its zero.
        for word in 0..=u16::MAX {
            let payload = word.to_be_bytes();
            let ask = from(NODE_A).ip(family.pod_a, family.outside).udp(5_000, 53).payload(payload).build();
            let out = world.send(NODES, ask);
            let name = source(out.forwarded(UPLINK));
            ones[0] += u32::from(udp_checksum(family, &out.bytes) == 0xffff);
            assert_ne!(udp_checksum(family, &out.bytes), 0);
            let answer = from(ROUTER).ip(family.outside.to_ip(), name.0).udp(53, name.1).payload(payload).build();
            let out = world.send(UPLINK, answer);
            ones[1] += u32::from(udp_checksum(family, out.forwarded(NODES)) == 0xffff);
            assert_ne!(udp_checksum(family, &out.bytes), 0);
        }
        assert!(ones[0] > 0 && ones[1] > 0, "the case came up: {ones:?}");
    }
}

#[test]
fn a_wrong_checksum_is_not_repaired() {
    for family in FAMILIES {
        let mut world = World::new();
        let inside = || from(NODE_A).ip(family.pod_a, family.outside);
        for frame in [
            inside().udp(1, 2).bad_checksum().build(),
            inside().tcp(1, 2).flags(SYN).bad_checksum().build(),
            inside().icmp_echo_request(1, 2).bad_checksum().build(),
        ] {
            let out = world.send(NODES, frame);
            out.forwarded(UPLINK);
            let faults = checksum::verify(&out.bytes).expect_err("still wrong");
            assert!(faults.contains("bad checksum"), "{faults}");
        }
    }
}

#[test]
fn an_echo_of_nothing_but_zeros_is_translated_with_a_checksum_that_holds() {
    // The one message whose words are all 0, so that its checksum is 0xffff, not 0.
    let mut world = World::new();
    for payload in [&[][..], &[0; 4], &[0; 56]] {
        let ask = from(NODE_A).ip("10.1.1.10", "198.51.100.9").icmp_echo_request(0, 0).payload(payload).build();
        let name = source(world.send(NODES, ask).forwarded(UPLINK));
        let answer = from(ROUTER).ip("198.51.100.9".to_ip(), name.0).icmp_echo_reply(name.1, 0).payload(payload);
        let expected = to(NODE_A).ip("198.51.100.9", "10.1.1.10").ttl(63).icmp_echo_reply(0, 0).payload(payload);
        assert_frames_eq(expected.build(), world.send(UPLINK, answer.build()).forwarded(NODES));
    }
}

#[test]
fn a_partial_checksum_takes_the_new_addresses_and_stays_partial() {
    for family in FAMILIES {
        let mut world = World::new();
        let ask = from(NODE_A).ip(family.pod_a, family.outside).udp(5_000, 53).payload(b"late").partial_checksum();
        let out = world.send_with(NODES, ask.build(), partial(family, 6));
        let name = source(out.forwarded(UPLINK));
        let expected = to(ROUTER).ip(name.0, family.outside.to_ip()).ttl(63).udp(name.1, 53).payload(b"late");
        assert_frames_eq(expected.partial_checksum().build(), &out.bytes);
        assert_eq!(out.offload, partial(family, 6));
        let answer = from(ROUTER).ip(family.outside.to_ip(), name.0).udp(53, name.1).payload(b"er").partial_checksum();
        let out = world.send_with(UPLINK, answer.build(), partial(family, 6));
        let expected = to(NODE_A).ip(family.outside, family.pod_a).ttl(63).udp(53, 5_000).payload(b"er");
        assert_frames_eq(expected.partial_checksum().build(), out.forwarded(NODES));

        let ask = from(NODE_A).ip(family.pod_a, family.outside).tcp(5_000, 443).flags(SYN).partial_checksum().build();
        let out = world.send_with(NODES, ask, partial(family, 16));
        let name = source(out.forwarded(UPLINK));
        let expected = to(ROUTER).ip(name.0, family.outside.to_ip()).ttl(63).tcp(name.1, 443).flags(SYN);
        assert_frames_eq(expected.partial_checksum().build(), &out.bytes);
        assert_eq!(out.offload, partial(family, 16));
    }
}

#[test]
fn a_partial_checksum_of_an_inner_header_leaves_the_outer_one_complete() {
    // As a tunnel's outer datagram arrives: the offload is about what it carries.
    for family in FAMILIES {
        let mut world = World::new();
        let inner = Offload { checksum: ChecksumState::Partial { start: 120, offset: 16 }, ..Offload::DONE };
        let ask = from(NODE_A).ip(family.pod_a, family.outside).udp(5_000, 8_472).payload([7; 200]).build();
        let out = world.send_with(NODES, ask, inner);
        out.forwarded(UPLINK);
        assert_eq!(checksum::verify(&out.bytes), Ok(()), "{}", out.story());
        assert_eq!(out.offload, inner);
    }
}

#[test]
fn a_checksum_that_would_be_written_over_an_address_or_a_port_is_refused() {
    // Whoever completes it does so behind the translation.
    for family in FAMILIES {
        let l4 = 14 + family.ip_header as u16;
        let mut world = World::new();
        let inside = || from(NODE_A).ip(family.pod_a, family.outside);
        let tcp = inside().tcp(5_000, 443).flags(SYN).partial_checksum().build();
        let udp = inside().udp(5_000, 53).payload([7; 40]).partial_checksum().build();
        let echo = inside().icmp_echo_request(5_000, 1).payload([7; 40]).build();
        for (start, offset) in
            [(0, 26), (14, 12), (14, 16), (l4 - 2, 2), (l4, 0), (l4, 1), (l4, 4), (l4 + 1, 0), (l4 + 3, 30)]
        {
            let checksum = ChecksumState::Partial { start, offset };
            for frame in [&tcp, &udp, &echo] {
                let out = world.send_with(NODES, frame, Offload { checksum, ..Offload::DONE });
                out.dropped(DropReason::L4HeaderBad);
            }
        }
        assert_eq!(world.sessions(8).len(), 0);
    }
}

#[test]
fn a_super_frame_passes_by_the_size_of_its_segments() {
    for family in FAMILIES {
        let mut world = World::new();
        let headers = family.ip_header + 20;
        let super_frame = |link: Eth, src, ttl, port| {
            let ip = link.ip(src, family.outside.to_ip()).ttl(ttl).may_fragment();
            ip.tcp(port, 443).flags(SYN).payload(vec![1; 60_000]).partial_checksum().build()
        };
        let came = super_frame(from(NODE_A), family.pod_a.to_ip(), 64, 5_000);
        let most = (1_500 - headers) as u16;
        let out = world.send_with(NODES, &came, gso(family, most));
        let name = source(out.forwarded(UPLINK));
        assert_frames_eq(numbered_as(&out.bytes, super_frame(to(ROUTER), name.0, 63, name.1)), &out.bytes);
        assert_eq!(out.offload, gso(family, most), "the port still has to cut it up");
        // A byte more in each segment, and they are too long.
        let out = world.send_with(NODES, &came, gso(family, most + 1));
        if family.v4 {
            out.dropped(DropReason::MtuExceeded);
        } else {
            out.replied();
        }
    }
}

#[test]
fn a_super_frame_of_datagrams_is_judged_by_its_datagrams() {
    for family in FAMILIES {
        let mut world = World::new();
        let most = (1_500 - family.ip_header - 8) as u16;
        let offload = |gso_size| Offload { gso: Gso::Udp, gso_size, ..partial(family, 6) };
        let frame = |link: Eth, ttl| {
            let ip = link.ip(family.pod_a, family.pod_b).ttl(ttl);
            ip.udp(1, 2).payload(vec![1; 30_000]).partial_checksum().build()
        };
        let out = world.send_with(NODES, frame(from(NODE_A), 64), offload(most));
        assert_frames_eq(frame(to(NODE_B), 63), out.forwarded(NODES));
        let out = world.send_with(NODES, frame(from(NODE_A), 64), offload(most + 1));
        assert_ne!(out.verdict, causeway_fastpath::verdict::Verdict::Forward(NODES));
    }
}

#[test]
fn a_super_frame_that_says_it_is_something_else_is_judged_whole() {
    for family in FAMILIES {
        let mut world = World::new();
        let offload = Offload { gso: Gso::Udp, gso_size: 100, ..Offload::DONE };
        let frame = from(NODE_A).ip(family.pod_a, family.pod_b).tcp(1, 2).payload([0; 2_000]).build();
        let out = world.send_with(NODES, frame, offload);
        assert_ne!(out.verdict, causeway_fastpath::verdict::Verdict::Forward(NODES), "{}", print::line(&out.bytes));
    }
}

#[test]
fn the_error_about_a_super_frame_is_an_ordinary_frame() {
    for family in FAMILIES {
        let mut world = World::new();
        let sent = from(NODE_A).ip(family.pod_a, family.no_pod).tcp(1, 2).payload([3; 40_000]).partial_checksum();
        let out = world.send_with(NODES, sent.build(), gso(family, 1_400));
        let (kind, code) = family.host_unreachable;
        let ip = to(NODE_A).ip(family.gateway_inside, family.pod_a).tos(family.error_tos).df();
        assert_frames_eq(ip.icmp_error(kind, code, [0; 4], &sent.packet()).build(), out.replied());
        assert_eq!(out.offload, Offload::DONE);
    }
}
