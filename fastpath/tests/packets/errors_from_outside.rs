//! ICMP errors from outside about translated flows: RFC 5508, REQ-3, 4 and 6.

use std::net::IpAddr;
use std::time::Duration;

use causeway_fastpath::offload::{ChecksumState, Offload};
use causeway_fastpath::verdict::DropReason;
use causeway_testkit::packet::*;
use causeway_testkit::print::assert_frames_eq;

use crate::world::{Endpoint, FAMILIES, Family, NODE_A, NODES, ROUTER, UPLINK, World, from, source, to};

/// What pod A sends, by IP layer and own port or identifier.
type Probe = fn(Ip, u16) -> Vec<u8>;

const PROBES: [Probe; 4] = [
    |ip, port| ip.udp(port, 33_434).payload(b"traceroute-like probe").packet(),
    |ip, port| ip.tcp(port, 443).flags(SYN).seq(77).mss(1_400).packet(),
    |ip, id| ip.icmp_echo_request(id, 9).payload([5; 32]).packet(),
    |ip, port| ip.udp(port, 33_434).payload(vec![3; 1_400]).packet(),
];

/// A world in which pod A has sent `probe`, and the name it has outside.
fn world_after(family: Family, probe: Probe) -> (World, Endpoint) {
    let mut world = World::new();
    let ethertype = if family.v4 { 0x0800 } else { 0x86dd };
    let frame = from(NODE_A).raw(ethertype, probe(inside(family), 5_000)).build();
    let name = source(world.send(NODES, frame).forwarded(UPLINK));
    world.counted();
    (world, name)
}

/// The IP layer of a probe as pod A sent it.
fn inside(family: Family) -> Ip {
    from(NODE_A).ip(family.pod_a, family.outside).ttl(3).tos(1)
}

/// The same as the outside saw it, four hops on.
fn outside(family: Family, name: IpAddr, ttl: u8) -> Ip {
    to(ROUTER).ip(name, family.outside.to_ip()).ttl(ttl).tos(1)
}

/// The address of the pool with this number.
fn pool_address(family: Family, number: u8) -> IpAddr {
    match family.pool.to_ip() {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() + u32::from(number)).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() + u128::from(number)).into()),
    }
}

/// The errors that a router or host outside may send, with their second word.
fn kinds(family: Family) -> Vec<(u8, u8, [u8; 4])> {
    let mut kinds: Vec<_> = [
        family.time_exceeded,
        family.no_route,
        family.host_unreachable,
        family.port_unreachable,
        family.admin_prohibited,
    ]
    .map(|(kind, code)| (kind, code, [0; 4]))
    .into();
    kinds.push((family.too_big.0, family.too_big.1, [0, 0, 5, 0]));
    kinds.push(if family.v4 { (12, 0, [20, 0, 0, 0]) } else { (4, 1, [0, 0, 0, 6]) });
    kinds
}

#[test]
fn an_error_reaches_the_pod_with_its_own_packet_in_the_quote() {
    for family in FAMILIES {
        for probe in PROBES {
            let (mut world, name) = world_after(family, probe);
            for (kind, code, rest) in kinds(family) {
                let quoted = probe(outside(family, name.0, 1), name.1);
                let came = from(ROUTER).ip(family.router.to_ip(), name.0).ttl(60).icmp_error(kind, code, rest, &quoted);
                let out = world.send(UPLINK, came.build());
                let quoted = probe(inside(family).ttl(1), 5_000);
                let expected = to(NODE_A).ip(family.router, family.pod_a).ttl(59).icmp_error(kind, code, rest, &quoted);
                assert_frames_eq(expected.build(), out.forwarded(NODES));
            }
            let many = kinds(family).len() as u64;
            world.expect_counted(&[("received", many), ("forwarded", many), ("translated-errors", many)]);
        }
    }
}

#[test]
fn a_quote_may_be_cut_anywhere_behind_its_ports() {
    for family in FAMILIES {
        for (at, probe) in PROBES[..3].iter().enumerate() {
            let (mut world, name) = world_after(family, *probe);
            let (kind, code) = family.time_exceeded;
            let quoted = probe(outside(family, name.0, 1), name.1);
            let error = |link: Eth, src: IpAddr, dst, ttl, quoted: &[u8], len| {
                link.ip(src, dst).ttl(ttl).icmp_error(kind, code, [0; 4], quoted).quote_len(len).build()
            };
            for len in 0..=quoted.len() {
                let out = world.send(UPLINK, error(from(ROUTER), family.router.to_ip(), name.0, 64, &quoted, len));
                if len < family.ip_header + 8 {
                    out.dropped(DropReason::NatIcmpErrorUnmatched);
                    continue;
                }
                let checksum = family.ip_header + [6, 16, 2][at];
                if len == checksum + 1 {
                    // Half a checksum stays what it was.
                    out.forwarded(NODES);
                    continue;
                }
                let quoted = probe(inside(family).ttl(1), 5_000);
                let expected = error(to(NODE_A), family.router.to_ip(), family.pod_a.to_ip(), 63, &quoted, len);
                assert_frames_eq(expected, out.forwarded(NODES));
            }
        }
    }
}

#[test]
fn what_follows_the_quote_is_kept_and_summed() {
    // Extensions of RFC 4884, and a quote with IP options.
    for family in FAMILIES {
        let (mut world, name) = world_after(family, PROBES[0]);
        let (kind, code) = family.time_exceeded;
        let with_extension = |mut quoted: Vec<u8>| {
            quoted.resize(128, 0);
            quoted.extend([0x20, 0, 0, 0, 0, 8, 1, 1, 0xde, 0xad, 0xbe, 0xef]);
            quoted
        };
        let rest = if family.v4 { [0, 32, 0, 0] } else { [16, 0, 0, 0] };
        let quoted = with_extension(PROBES[0](outside(family, name.0, 1), name.1));
        let came = from(ROUTER).ip(family.router.to_ip(), name.0).icmp_error(kind, code, rest, &quoted);
        let quoted = with_extension(PROBES[0](inside(family).ttl(1), 5_000));
        let expected = to(NODE_A).ip(family.router, family.pod_a).ttl(63).icmp_error(kind, code, rest, &quoted);
        assert_frames_eq(expected.build(), world.send(UPLINK, came.build()).forwarded(NODES));
    }
    let (mut world, name) = world_after(FAMILIES[0], PROBES[0]);
    let probe = |src: IpAddr, port| {
        let ip = to(ROUTER).ipv4(src, "198.51.100.9").options([1, 1, 7, 3, 4]);
        ip.udp(port, 33_434).payload(b"x").packet()
    };
    let error = |link: Eth, dst, ttl, quoted: &[u8]| {
        link.ip("203.0.113.1".to_ip(), dst).ttl(ttl).icmp_error(11, 0, [0; 4], quoted).build()
    };
    let came = error(from(ROUTER), name.0, 64, &probe(name.0, name.1));
    let expected = error(to(NODE_A), "10.1.1.10".to_ip(), 63, &probe("10.1.1.10".to_ip(), 5_000));
    assert_frames_eq(expected, world.send(UPLINK, came).forwarded(NODES));
}

#[test]
fn a_quoted_datagram_without_checksum_stays_without() {
    let probe: Probe = |ip, port| ip.udp(port, 33_434).payload(b"none").no_checksum().packet();
    let family = FAMILIES[0];
    let (mut world, name) = world_after(family, probe);
    let came = from(ROUTER).ip(family.router.to_ip(), name.0);
    let came = came.icmp_error(3, 3, [0; 4], &probe(outside(family, name.0, 1), name.1)).build();
    let expected = to(NODE_A).ip(family.router, family.pod_a).ttl(63);
    let expected = expected.icmp_error(3, 3, [0; 4], &probe(inside(family).ttl(1), 5_000)).build();
    assert_frames_eq(expected, world.send(UPLINK, came).forwarded(NODES));
}

#[test]
fn an_error_with_a_bad_checksum_is_dropped() {
    for family in FAMILIES {
        let (mut world, name) = world_after(family, PROBES[0]);
        let (kind, code) = family.port_unreachable;
        let quoted = PROBES[0](outside(family, name.0, 1), name.1);
        let error = from(ROUTER).ip(family.router.to_ip(), name.0).icmp_error(kind, code, [0; 4], &quoted);
        world.send(UPLINK, error.clone().bad_checksum().build()).dropped(DropReason::NatIcmpErrorUnmatched);
        world.send(UPLINK, error.build()).forwarded(NODES);
    }
}

#[test]
fn a_partial_icmpv6_checksum_takes_the_new_address() {
    let family = FAMILIES[1];
    let (mut world, name) = world_after(family, PROBES[0]);
    let offload = Offload { checksum: ChecksumState::Partial { start: 54, offset: 2 }, ..Offload::DONE };
    let error = |link: Eth, dst: IpAddr, ttl, quoted: &[u8]| {
        let error = link.ip(family.router.to_ip(), dst).ttl(ttl).icmp_error(1, 4, [0; 4], quoted);
        let length = error.packet().len() - 40;
        let pseudo = causeway_testkit::checksum::pseudo_header(family.router.to_ip(), dst, 58, length);
        error.checksum(causeway_testkit::checksum::sum(&pseudo)).build()
    };
    let came = error(from(ROUTER), name.0, 64, &PROBES[0](outside(family, name.0, 1), name.1));
    let out = world.send_with(UPLINK, came, offload);
    let expected = error(to(NODE_A), family.pod_a.to_ip(), 63, &PROBES[0](inside(family).ttl(1), 5_000));
    assert_frames_eq(expected, out.forwarded(NODES));
}

#[test]
fn a_quote_that_matches_no_session_is_dropped() {
    for family in FAMILIES {
        let (mut world, name) = world_after(family, PROBES[0]);
        let (kind, code) = family.port_unreachable;
        let quote = |dst: &str, src_port, dst_port| to(ROUTER).ip(name.0, dst.to_ip()).udp(src_port, dst_port).packet();
        let mut forged = vec![
            quote(family.outside2, name.1, 33_434),
            quote(family.outside, name.1 ^ 1, 33_434),
            quote(family.outside, name.1, 33_435),
            // As tcp, as its own answer, by its inside name, and as an error.
            to(ROUTER).ip(name.0, family.outside.to_ip()).tcp(name.1, 33_434).packet(),
            to(ROUTER).ip(family.outside.to_ip(), name.0).udp(33_434, name.1).packet(),
            inside(family).udp(5_000, 33_434).packet(),
            to(ROUTER).ip(name.0, family.outside.to_ip()).icmp_error(kind, code, [0; 4], &[0; 48]).packet(),
            // Nothing, and noise.
            vec![],
            vec![0xff; 100],
        ];
        let sound = quote(family.outside, name.1, 33_434);
        let mut version = sound.clone();
        version[0] ^= 0x20;
        forged.push(version);
        if family.v4 {
            let ip = to(ROUTER).ipv4(name.0, family.outside);
            forged.push(ip.clone().bad_checksum().udp(name.1, 33_434).packet());
            forged.push(ip.clone().fragment(8, false).udp(name.1, 33_434).packet());
            forged.push(ip.ihl(4).udp(name.1, 33_434).packet());
        }
        for quoted in &forged {
            let error = from(ROUTER).ip(family.router.to_ip(), name.0).icmp_error(kind, code, [0; 4], quoted).build();
            world.send(UPLINK, error).dropped(DropReason::NatIcmpErrorUnmatched);
        }
        // The quote is right, but it went out under another address.
        let other = (0..8).map(|n| pool_address(family, n)).find(|address| *address != name.0).expect("one of eight");
        let error = from(ROUTER).ip(family.router.to_ip(), other).icmp_error(kind, code, [0; 4], &sound).build();
        world.send(UPLINK, error).dropped(DropReason::NatIcmpErrorUnmatched);
        let error = from(ROUTER).ip(family.router.to_ip(), name.0).icmp_error(kind, code, [0; 4], &sound).build();
        world.send(UPLINK, error).forwarded(NODES);
    }
}

#[test]
fn errors_neither_refresh_nor_end_a_session() {
    for family in FAMILIES {
        let (mut world, name) = world_after(family, PROBES[0]);
        let (kind, code) = family.port_unreachable;
        let quoted = PROBES[0](outside(family, name.0, 1), name.1);
        let error = from(ROUTER).ip(family.router.to_ip(), name.0).icmp_error(kind, code, [0; 4], &quoted).build();
        world.wait(Duration::from_secs(299));
        world.send(UPLINK, &error).forwarded(NODES);
        assert_eq!(world.sessions(8).len(), 1);
        world.wait(Duration::from_secs(1));
        assert_eq!(world.sessions(8).len(), 0);
        world.send(UPLINK, &error).dropped(DropReason::NatIcmpErrorUnmatched);
    }
}

#[test]
fn other_icmp_to_a_pool_address_is_dropped() {
    for family in FAMILIES {
        let mut world = World::new();
        for kind in if family.v4 { [4, 5, 15, 17] } else { [0, 100, 130, 143] } {
            let frame = from(ROUTER).ip(family.outside, family.pool).icmp(kind, 0, [0; 4], [0; 40]).build();
            world.send(UPLINK, frame).dropped(DropReason::NatIcmpQuery);
        }
    }
}

#[test]
fn an_error_whose_ttl_runs_out_is_not_answered() {
    for family in FAMILIES {
        let (mut world, name) = world_after(family, PROBES[0]);
        let (kind, code) = family.port_unreachable;
        let quoted = PROBES[0](outside(family, name.0, 1), name.1);
        let error = from(ROUTER).ip(family.router.to_ip(), name.0).ttl(1).icmp_error(kind, code, [0; 4], &quoted);
        world.send(UPLINK, error.build()).dropped(DropReason::TtlExpired);
    }
}
