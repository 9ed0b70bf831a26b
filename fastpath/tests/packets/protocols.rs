//! What is neither TCP, UDP nor an echo, and leaves an island all the same.

use std::collections::BTreeSet;
use std::time::Duration;

use causeway_fastpath::verdict::{DropReason, Verdict};
use causeway_testkit::packet::*;
use causeway_testkit::print::assert_frames_eq;

use crate::world::{
    Endpoint, FAMILIES, Family, NODE_A, NODE_B, NODES, Plan, ROUTER, UPLINK, V4, World, from, lies_between, source, to,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Protocol {
    UdpLite,
    Sctp,
    Gre,
    Esp,
}

use Protocol::{Esp, Gre, Sctp, UdpLite};

impl Protocol {
    /// A packet from a port to another, if there are ports.
    fn packet(self, ip: Ip, from: u16, to: u16) -> Raw {
        match self {
            UdpLite => ip.udp_lite(from, to, 8, b"covered in part"),
            Sctp => ip.sctp(from, to, 0x1234_5678, [1, 0, 0, 4]),
            Gre => ip.gre(0x0800, b"a tunnelled packet"),
            Esp => ip.raw(50, [9; 40]),
        }
    }

    /// The source of a packet; the port is 0 where there is none.
    fn name(self, frame: &[u8]) -> Endpoint {
        let address = source(frame).0;
        let l4 = if address.is_ipv4() { 34 } else { 54 };
        let has_ports = matches!(self, UdpLite | Sctp);
        (address, if has_ports { u16::from_be_bytes([frame[l4], frame[l4 + 1]]) } else { 0 })
    }
}

/// Every protocol may leave under the addresses of the pool, of which there are so many.
fn plan(addresses: usize) -> Plan {
    let mut plan = Plan::island();
    plan.v4.pools[0].other_protocols = true;
    plan.v6.pools[0].other_protocols = true;
    plan.v4.pools[0].addresses.truncate(addresses);
    plan.v6.pools[0].addresses.truncate(addresses);
    plan
}

/// The address of pod A alone, which has static NAT.
fn own(family: Family) -> &'static str {
    if family.v4 { "203.0.113.23" } else { "2001:db8:1::107" }
}

#[test]
fn timestamps_are_mapped_by_their_identifier_and_expire_as_pings_do() {
    let mut world = World::new();
    let query = |ip: Ipv4, kind, id: u16| ip.icmp(kind, 0, [id.to_be_bytes()[0], id.to_be_bytes()[1], 0, 1], [7; 12]);
    let ask = query(from(NODE_A).ipv4(V4.pod_a, V4.outside), 13, 77).build();
    let sent = world.send(NODES, ask);
    let name = source(sent.forwarded(UPLINK));
    assert!(lies_between(name.0, V4.pool, 8));
    assert_frames_eq(query(to(ROUTER).ipv4(name.0, V4.outside).ttl(63), 13, name.1).build(), &sent.bytes);
    let answer = query(from(ROUTER).ipv4(V4.outside, name.0), 14, name.1).build();
    let expected = query(to(NODE_A).ipv4(V4.outside, V4.pod_a).ttl(63), 14, 77).build();
    assert_frames_eq(expected, world.send(UPLINK, &answer).forwarded(NODES));
    // The identifier has one name, whatever the query and whomever it is for (RFC 5508 REQ-1).
    let ping = from(NODE_A).ipv4(V4.pod_a, V4.outside2).icmp_echo_request(77, 1).build();
    assert_eq!(source(world.send(NODES, ping).forwarded(UPLINK)), name);
    // Errors show the query that was sent.
    let saw = query(to(ROUTER).ipv4(name.0, V4.outside).ttl(1), 13, name.1).packet();
    let was = query(from(NODE_A).ipv4(V4.pod_a, V4.outside).ttl(1), 13, 77).packet();
    let error = from(ROUTER).ipv4(V4.router, name.0).icmp_error(3, 1, [0; 4], &saw).build();
    let expected = to(NODE_A).ipv4(V4.router, V4.pod_a).ttl(63).icmp_error(3, 1, [0; 4], &was).build();
    assert_frames_eq(expected, world.send(UPLINK, error).forwarded(NODES));
    world.wait(Duration::from_secs(60));
    assert_eq!(world.sessions(8).len(), 0);
    world.send(UPLINK, answer).dropped(DropReason::NatUnsolicited);
    // Nobody answers what was not asked, and the gateway answers pings alone.
    let stray = query(from(NODE_A).ipv4(V4.pod_a, V4.outside), 14, 5).build();
    world.send(NODES, stray).dropped(DropReason::NatUnsolicited);
    let own = query(from(NODE_A).ipv4(V4.pod_a, V4.gateway_inside), 13, 5).build();
    world.send(NODES, own).dropped(DropReason::LocalUnwanted);
}

#[test]
fn udp_lite_leaves_as_udp_does_whatever_its_checksum_covers() {
    for family in FAMILIES {
        let mut world = World::new();
        for coverage in [0, 8, 12, 18] {
            let ask = from(NODE_A).ip(family.pod_a, family.outside).udp_lite(5_000, 53, coverage, [5; 10]);
            let sent = world.send(NODES, ask.build());
            let name = UdpLite.name(sent.forwarded(UPLINK));
            assert!(lies_between(name.0, family.pool, 8) && name.1 >= 1_024);
            let expected =
                to(ROUTER).ip(name.0, family.outside.to_ip()).ttl(63).udp_lite(name.1, 53, coverage, [5; 10]);
            assert_frames_eq(expected.build(), &sent.bytes);
            let answer = from(ROUTER).ip(family.outside.to_ip(), name.0).udp_lite(53, name.1, coverage, [6; 10]);
            let expected = to(NODE_A).ip(family.outside, family.pod_a).ttl(63).udp_lite(53, 5_000, coverage, [6; 10]);
            assert_frames_eq(expected.build(), world.send(UPLINK, answer.build()).forwarded(NODES));
        }
        let rows = world.sessions(8);
        assert_eq!((rows.len(), rows[0].protocol, rows[0].inside.1), (1, 136, 5_000));
        // Another host with the same port is told from it.
        let other = from(NODE_A).ip(family.pod_a2, family.outside).udp_lite(5_000, 53, 0, b"").build();
        let other = UdpLite.name(world.send(NODES, other).forwarded(UPLINK));
        assert_ne!(other, rows[0].outside);
        world.wait(Duration::from_secs(300));
        assert_eq!(world.sessions(8).len(), 0);
    }
}

#[test]
fn a_udp_lite_datagram_without_a_checksum_stays_without() {
    let mut world = World::new();
    let mut bare = from(NODE_A).ip(V4.pod_a, V4.outside).udp_lite(5_000, 53, 8, b"bare").build();
    bare[40..42].fill(0);
    assert_eq!(world.send(NODES, bare).forwarded(UPLINK)[40..42], [0, 0]);
}

#[test]
fn protocols_that_keep_their_ports_change_their_address_alone() {
    for family in FAMILIES {
        for (protocol, port) in [(Sctp, 5_000), (Gre, 0), (Esp, 0)] {
            let mut world = World::with(&plan(8));
            let sent =
                world.send(NODES, protocol.packet(from(NODE_A).ip(family.pod_a, family.outside), port, 3_868).build());
            let name = protocol.name(sent.forwarded(UPLINK));
            assert!(lies_between(name.0, family.pool, 8));
            assert_eq!(name.1, port);
            let left = to(ROUTER).ip(name.0, family.outside.to_ip()).ttl(63);
            assert_frames_eq(protocol.packet(left, port, 3_868).build(), &sent.bytes);
            let answer = protocol.packet(from(ROUTER).ip(family.outside.to_ip(), name.0), 3_868, port);
            let expected = protocol.packet(to(NODE_A).ip(family.outside, family.pod_a).ttl(63), 3_868, port);
            assert_frames_eq(expected.build(), world.send(UPLINK, answer.build()).forwarded(NODES));
            let stranger = protocol.packet(from(ROUTER).ip(family.outside2.to_ip(), name.0), 3_868, port);
            world.send(UPLINK, stranger.build()).dropped(DropReason::NatUnsolicited);
            // It has the pod's address of the pool (RFC 4787 REQ-2).
            let ping = from(NODE_A).ip(family.pod_a, family.outside).icmp_echo_request(1, 1).build();
            assert_eq!(source(world.send(NODES, ping).forwarded(UPLINK)).0, name.0);
            world.wait(Duration::from_secs(299));
            assert_eq!(world.sessions(8).len(), 1);
            world.wait(Duration::from_secs(1));
            assert_eq!(world.sessions(8).len(), 0);
        }
    }
}

#[test]
fn a_name_that_another_has_is_found_on_another_address_until_there_is_none() {
    for family in FAMILIES {
        for (protocol, port) in [(Sctp, 5_000), (Gre, 0)] {
            let mut world = World::with(&plan(3));
            let pods = ["10", "11", "12", "13"].map(|last| match family.v4 {
                true => format!("10.1.1.{last}"),
                false => format!("fd00:10:0:1::{last}"),
            });
            let send = |world: &mut World, pod: &String, peer: &str| {
                world.send(NODES, protocol.packet(from(NODE_A).ip(pod.as_str(), peer), port, 3_868).build())
            };
            let names: Vec<_> = pods[..3]
                .iter()
                .map(|pod| protocol.name(send(&mut world, pod, family.outside).forwarded(UPLINK)))
                .collect();
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 3, "one each");
            // The fourth is refused, and told so.
            let refused = send(&mut world, &pods[3], family.outside);
            let (kind, code) = family.admin_prohibited;
            let was = protocol.packet(from(NODE_A).ip(pods[3].as_str(), family.outside), port, 3_868).packet();
            let error = to(NODE_A).ip(family.gateway_inside, pods[3].as_str()).tos(family.error_tos).df();
            assert_frames_eq(error.icmp_error(kind, code, [0; 4], &was).build(), refused.replied());
            // To another peer it may leave, and to this one once somebody is done.
            send(&mut world, &pods[3], family.outside2).forwarded(UPLINK);
            for pod in &pods[1..3] {
                world.wait(Duration::from_secs(100));
                send(&mut world, pod, family.outside).forwarded(UPLINK);
            }
            world.wait(Duration::from_secs(100));
            assert_eq!(protocol.name(send(&mut world, &pods[3], family.outside).forwarded(UPLINK)), names[0]);
            // An ICMP error may not be due.
            let grouped = from(NODE_A).src("03:00:00:00:00:01").ip(pods[0].as_str(), family.outside);
            world.send(NODES, protocol.packet(grouped, port, 3_868).build()).dropped(DropReason::NatNameTaken);
        }
    }
}

#[test]
fn sctp_does_not_leave_by_a_port_that_the_pool_has_not() {
    for family in FAMILIES {
        let mut world = World::new();
        let low = Sctp.packet(from(NODE_A).ip(family.pod_a, family.outside), 1_023, 3_868).build();
        assert_eq!(world.send(NODES, low).verdict, Verdict::Reply(NODES));
        let first = Sctp.packet(from(NODE_A).ip(family.pod_a, family.outside), 1_024, 3_868).build();
        world.send(NODES, first).forwarded(UPLINK);
    }
}

#[test]
fn a_pool_carries_protocols_without_ports_only_where_it_is_told_to() {
    for family in FAMILIES {
        let mut world = World::new();
        for protocol in [Gre, Esp] {
            let (kind, code) = family.admin_prohibited;
            let sent = protocol.packet(from(NODE_A).ip(family.pod_a, family.outside), 0, 0);
            let error = to(NODE_A).ip(family.gateway_inside, family.pod_a).tos(family.error_tos).df();
            let error = error.icmp_error(kind, code, [0; 4], &sent.packet()).build();
            assert_frames_eq(error, world.send(NODES, sent.build()).replied());
        }
        assert_eq!(world.sessions(8).len(), 0);
    }
}

#[test]
fn what_covers_its_addresses_is_refused_from_inside_and_unwelcome_from_outside() {
    for family in FAMILIES {
        let mut plan = plan(8);
        plan.v4.pools[0].keep_ports = true;
        let mut world = World::with(&plan);
        // AH, DCCP, mobility, HIP, and the ICMP of the other family.
        for protocol in [51, 33, 135, 139, if family.v4 { 58 } else { 1 }] {
            let signed = from(NODE_A).ip(family.pod_a, family.outside).raw(protocol, [0; 40]).build();
            assert_eq!(world.send(NODES, signed).verdict, Verdict::Reply(NODES));
            let signed = from(ROUTER).ip(family.outside, family.pool).raw(protocol, [0; 40]).build();
            world.send(UPLINK, signed).dropped(DropReason::NatProtocol);
        }
        assert_eq!(world.sessions(8).len(), 0);
    }
}

#[test]
fn static_nat_carries_every_protocol_both_ways() {
    for family in FAMILIES {
        for (protocol, port) in [(Sctp, 700), (UdpLite, 700), (Gre, 0), (Esp, 0)] {
            let mut world = World::with(&Plan::forwards());
            // Out first.
            let out = protocol.packet(from(NODE_A).ip(family.pod_a, family.outside), port, 9).build();
            let expected = protocol.packet(to(ROUTER).ip(own(family), family.outside).ttl(63), port, 9).build();
            assert_frames_eq(expected, world.send(NODES, out).forwarded(UPLINK));
            // In first.
            let ask = protocol.packet(from(ROUTER).ip(family.outside2, own(family)), 9, port).build();
            let expected = protocol.packet(to(NODE_A).ip(family.outside2, family.pod_a).ttl(63), 9, port).build();
            assert_frames_eq(expected, world.send(UPLINK, ask).forwarded(NODES));
            let answer = protocol.packet(from(NODE_A).ip(family.pod_a, family.outside2), port, 9).build();
            let expected = protocol.packet(to(ROUTER).ip(own(family), family.outside2).ttl(63), port, 9).build();
            assert_frames_eq(expected, world.send(NODES, answer).forwarded(UPLINK));
            assert_eq!(world.sessions(8).len(), 2);
            // Round the hairpin, under a name of the pool.
            if matches!(protocol, Sctp | UdpLite) {
                let ask = protocol.packet(from(NODE_B).ip(family.pod_b, own(family)), 5_000, port).build();
                let sent = world.send(NODES, ask);
                let name = protocol.name(sent.forwarded(NODES));
                assert!(lies_between(name.0, family.pool, 7));
                let answer = protocol.packet(from(NODE_A).ip(family.pod_a.to_ip(), name.0), port, name.1).build();
                let expected = protocol.packet(to(NODE_B).ip(own(family), family.pod_b).ttl(63), port, 5_000).build();
                assert_frames_eq(expected, world.send(NODES, answer).forwarded(NODES));
            }
        }
    }
}

#[test]
fn errors_about_other_protocols_show_the_packet_that_was_sent() {
    for family in FAMILIES {
        for (protocol, port) in [(UdpLite, 5_000), (Sctp, 5_000), (Gre, 0), (Esp, 0)] {
            let mut world = World::with(&plan(8));
            let sent =
                world.send(NODES, protocol.packet(from(NODE_A).ip(family.pod_a, family.outside), port, 9).build());
            let name = protocol.name(sent.forwarded(UPLINK));
            let (kind, code) = family.host_unreachable;
            // From outside, about what the pod sent.
            let saw = protocol.packet(to(ROUTER).ip(name.0, family.outside.to_ip()).ttl(3), name.1, 9).packet();
            let was = protocol.packet(from(NODE_A).ip(family.pod_a, family.outside).ttl(3), port, 9).packet();
            let error = from(ROUTER).ip(family.router.to_ip(), name.0).icmp_error(kind, code, [0; 4], &saw).build();
            let expected = to(NODE_A).ip(family.router, family.pod_a).ttl(63);
            assert_frames_eq(
                expected.icmp_error(kind, code, [0; 4], &was).build(),
                world.send(UPLINK, error).forwarded(NODES),
            );
            // From the pod, about what it got.
            let saw = protocol.packet(to(NODE_A).ip(family.outside, family.pod_a).ttl(3), 9, port).packet();
            let was = protocol.packet(from(ROUTER).ip(family.outside.to_ip(), name.0).ttl(3), 9, name.1).packet();
            let error = from(NODE_A).ip(family.pod_a, family.outside).icmp_error(kind, code, [0; 4], &saw).build();
            let expected = to(ROUTER).ip(name.0, family.outside.to_ip()).ttl(63);
            assert_frames_eq(
                expected.icmp_error(kind, code, [0; 4], &was).build(),
                world.send(NODES, error).forwarded(UPLINK),
            );
            world.expect_counted(&[
                ("received", 3),
                ("forwarded", 3),
                ("translated-out", 1),
                ("translated-errors", 2),
                ("sessions-created", 1),
            ]);
        }
    }
}

#[test]
fn fragments_of_other_protocols_follow_their_first_one() {
    for family in FAMILIES {
        for (protocol, number) in [("sctp", 132), ("udp-lite", 136), ("gre", 47)] {
            let mut world = World::with(&plan(8));
            let whole = |ip: Ip, port| match number {
                132 => ip.sctp(port, 9, 1, [3; 3_000]),
                136 => ip.udp_lite(port, 9, 2_000, [3; 3_000]),
                _ => ip.gre(0x0800, [3; 3_000]),
            };
            let pieces = whole(from(NODE_A).ip(family.pod_a, family.outside), 5_000).fragments(7, 1_280);
            world.send(NODES, &pieces[1]).held();
            let first = world.send(NODES, &pieces[0]).forwarded(UPLINK).to_vec();
            let from_name = source(&first).0;
            let port = match family.v4 {
                true => u16::from_be_bytes([first[34], first[35]]),
                false => u16::from_be_bytes([first[62], first[63]]),
            };
            let last = world.send(NODES, &pieces[2]);
            let expected = whole(to(ROUTER).ip(from_name, family.outside.to_ip()).ttl(63), port).fragments(7, 1_280);
            assert_frames_eq(&expected[0], &first);
            assert_frames_eq(&expected[1], world.released[0].forwarded(UPLINK));
            assert_frames_eq(&expected[2], last.forwarded(UPLINK));
            assert!(number != 132 || port == 5_000, "{protocol}");
        }
    }
}
