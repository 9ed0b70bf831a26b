//! What leaves the island takes a public name, and what answers finds back.

use std::collections::BTreeSet;

use causeway_fastpath::offload::Offload;
use causeway_fastpath::verdict::DropReason;
use causeway_testkit::packet::*;
use causeway_testkit::print::assert_frames_eq;

use crate::world::{
    FAMILIES, FIRST_PORT, Family, NODE_A, NODES, Plan, ROUTER, SERVER, UPLINK, World, from, is_private, lies_between,
    source, to,
};

/// A pod speaks first and is answered: packets of one kind, by IP layer, own port
/// or identifier, and payload.
type Exchange = (fn(Ip, u16, &[u8]) -> Vec<u8>, fn(Ip, u16, &[u8]) -> Vec<u8>);

const EXCHANGES: [Exchange; 3] = [
    (
        |ip, port, payload| ip.udp(port, 53).payload(payload).build(),
        |ip, port, payload| ip.udp(53, port).payload(payload).build(),
    ),
    (
        |ip, port, payload| ip.tcp(port, 443).flags(SYN).mss(1_400).payload(payload).build(),
        |ip, port, payload| ip.tcp(443, port).flags(SYN | ACK).mss(1_460).payload(payload).build(),
    ),
    (
        |ip, id, payload| ip.icmp_echo_request(id, 3).payload(payload).build(),
        |ip, id, payload| ip.icmp_echo_reply(id, 3).payload(payload).build(),
    ),
];

#[track_caller]
fn is_a_pool_name(family: Family, (address, port): (std::net::IpAddr, u16)) {
    assert!(lies_between(address, family.pool, 8), "{address} is in the pool");
    assert!(port >= FIRST_PORT, "{port} is in the pool's range");
}

#[test]
fn a_flow_leaves_under_a_pool_address_and_its_answers_come_home() {
    for family in FAMILIES {
        for (ask, answer) in EXCHANGES {
            for payload in [&b""[..], b"x", b"even", b"odd length"] {
                let mut world = World::new();
                let came = ask(from(NODE_A).ip(family.pod_a, family.outside).ttl(64), 5_000, payload);
                let out = world.send(NODES, came);
                let name = source(out.forwarded(UPLINK));
                is_a_pool_name(family, name);
                let expected = ask(to(ROUTER).ip(name.0, family.outside.to_ip()).ttl(63), name.1, payload);
                assert_frames_eq(expected, &out.bytes);
                world.expect_counted(&[
                    ("received", 1),
                    ("forwarded", 1),
                    ("translated-out", 1),
                    ("sessions-created", 1),
                ]);

                let came = answer(from(ROUTER).ip(family.outside.to_ip(), name.0).ttl(57), name.1, payload);
                let out = world.send(UPLINK, came);
                let expected = answer(to(NODE_A).ip(family.outside, family.pod_a).ttl(56), 5_000, payload);
                assert_frames_eq(expected, out.forwarded(NODES));
                world.expect_counted(&[("received", 1), ("forwarded", 1), ("translated-in", 1)]);

                // The session keeps its name.
                let again = ask(from(NODE_A).ip(family.pod_a, family.outside).ttl(64), 5_000, payload);
                assert_eq!(source(world.send(NODES, again).forwarded(UPLINK)), name);
                world.expect_counted(&[("received", 1), ("forwarded", 1), ("translated-out", 1)]);
            }
        }
    }
}

#[test]
fn two_packets_of_a_new_flow_in_one_burst_make_one_session() {
    for family in FAMILIES {
        for (ask, _) in EXCHANGES {
            let mut world = World::new();
            let frame = ask(from(NODE_A).ip(family.pod_a, family.outside), 5_000, b"hello");
            let sent = world.burst(&vec![(NODES, frame, Default::default()); 64]);
            let names: BTreeSet<_> = sent.iter().map(|sent| source(sent.forwarded(UPLINK))).collect();
            assert_eq!(names.len(), 1);
            world.expect_counted(&[
                ("received", 64),
                ("forwarded", 64),
                ("translated-out", 64),
                ("sessions-created", 1),
            ]);
        }
    }
}

#[test]
fn many_flows_have_right_checksums_and_names_of_their_own() {
    for family in FAMILIES {
        for (ask, _) in EXCHANGES {
            let mut world = World::sized(&Plan::island(), 5_000);
            let mut names = BTreeSet::new();
            for port in 1..=5_000 {
                let frame = ask(from(NODE_A).ip(family.pod_a, family.outside), port, b"payload");
                let name = source(world.send(NODES, frame).forwarded(UPLINK));
                is_a_pool_name(family, name);
                assert!(names.insert(name), "{name:?} is taken twice");
            }
            let addresses: BTreeSet<_> = names.iter().map(|name| name.0).collect();
            assert_eq!(addresses.len(), 1, "a pod keeps to one address as long as that has ports");
        }
    }
}

#[test]
fn a_udp_endpoint_and_an_echo_identifier_keep_their_name_for_every_destination() {
    for family in FAMILIES {
        for (ask, _) in [EXCHANGES[0], EXCHANGES[2]] {
            let mut world = World::new();
            let mut name = |destination: &str| {
                let frame = ask(from(NODE_A).ip(family.pod_a, destination), 5_000, b"");
                source(world.send(NODES, frame).forwarded(UPLINK))
            };
            let first = name(family.outside);
            assert_eq!(name(family.outside2), first);
        }
        let mut world = World::new();
        let mut name = |pod: &str, port, peer_port| {
            let frame = from(NODE_A).ip(pod, family.outside).udp(port, peer_port).build();
            source(world.send(NODES, frame).forwarded(UPLINK))
        };
        let first = name(family.pod_a, 5_000, 53);
        assert_eq!(name(family.pod_a, 5_000, 54), first);
        assert_ne!(name(family.pod_a, 5_001, 53), first);
        assert_ne!(name(family.pod_a2, 5_000, 53), first);
    }
}

#[test]
fn all_protocols_of_a_pod_share_one_pool_address() {
    for family in FAMILIES {
        let mut world = World::new();
        let addresses: BTreeSet<_> = EXCHANGES
            .iter()
            .map(|(ask, _)| {
                let frame = ask(from(NODE_A).ip(family.pod_a, family.outside), 5_000, b"");
                source(world.send(NODES, frame).forwarded(UPLINK)).0
            })
            .collect();
        assert_eq!(addresses.len(), 1);
    }
}

#[test]
fn unsolicited_inbound_is_dropped_and_strangers_make_no_state() {
    for family in FAMILIES {
        let mut world = World::new();
        let opening = from(NODE_A).ip(family.pod_a, family.outside).udp(5_000, 53).build();
        let name = source(world.send(NODES, opening).forwarded(UPLINK));
        world.counted();
        let inbound = |src: &str| from(ROUTER).ip(src.to_ip(), name.0);
        let unsolicited = [
            inbound(family.outside2).udp(53, name.1).build(),
            inbound(family.outside).udp(54, name.1).build(),
            inbound(family.outside).udp(53, name.1 ^ 1).build(),
            inbound(family.outside).tcp(53, name.1).flags(SYN).build(),
            inbound(family.outside).tcp(53, name.1).flags(RST).build(),
            inbound(family.outside).icmp_echo_request(name.1, 1).build(),
            inbound(family.outside).icmp_echo_reply(name.1, 1).build(),
        ];
        for frame in &unsolicited {
            world.send(UPLINK, frame).dropped(DropReason::NatUnsolicited);
        }
        world.expect_counted(&[("received", 7), ("nat-unsolicited", 7)]);
        assert_eq!(world.sessions(64).len(), 1);
    }
}

#[test]
fn an_unsolicited_reply_or_segment_from_inside_makes_no_state() {
    for family in FAMILIES {
        let mut world = World::new();
        let inside = || from(NODE_A).ip(family.pod_a, family.outside);
        world.send(NODES, inside().icmp_echo_reply(9, 1).build()).dropped(DropReason::NatUnsolicited);
        for flags in [0, ACK, SYN | ACK, FIN | ACK, RST, RST | ACK, SYN | FIN, SYN | RST, PSH | ACK, 0xff] {
            world.send(NODES, inside().tcp(1, 2).flags(flags).build()).dropped(DropReason::NatTcpNotSyn);
        }
        for flags in [SYN, SYN | ECE | CWR, SYN | PSH, SYN | URG] {
            world.send(NODES, inside().tcp(u16::from(flags), 2).flags(flags).build()).forwarded(UPLINK);
        }
    }
}

#[test]
fn what_cannot_be_translated_does_not_leave() {
    for family in FAMILIES {
        let mut world = World::new();
        let inside = || from(NODE_A).ip(family.pod_a, family.outside);
        for (frame, reason) in [
            (inside().udp_lite(1, 2, 7, b"lite").build(), DropReason::L4HeaderBad),
            (inside().udp_lite(1, 2, 13, b"lite").build(), DropReason::L4HeaderBad),
            (inside().raw(132, [0; 11]).build(), DropReason::L4HeaderBad),
            (inside().udp(1, 2).length(7).build(), DropReason::L4HeaderBad),
            (inside().tcp(1, 2).data_offset(4).build(), DropReason::L4HeaderBad),
            (inside().raw(6, [0; 19]).build(), DropReason::L4HeaderBad),
            (inside().raw(17, [0; 7]).build(), DropReason::L4HeaderBad),
            (inside().icmp(if family.v4 { 15 } else { 130 }, 0, [0; 4], [0; 12]).build(), DropReason::NatIcmpQuery),
        ] {
            world.send(NODES, frame).dropped(reason);
        }
        assert_eq!(world.sessions(64).len(), 0);
    }
}

#[test]
fn a_node_leaves_under_its_own_name_whatever_it_sends() {
    for family in FAMILIES {
        let mut world = World::new();
        let all = |link: fn(causeway_fastpath::ids::AdjacencyId) -> Eth, at, ttl| {
            let ip = || link(at).ip(family.node_a, family.server).ttl(ttl);
            let mut frames = vec![
                ip().udp(1, 2).build(),
                ip().tcp(1, 2).flags(ACK).build(),
                ip().icmp_echo_reply(1, 2).build(),
                ip().gre(0x0800, b"").build(),
            ];
            frames.extend(ip().udp(1, 2).payload([0; 2_000]).fragments(1, 1_280));
            frames
        };
        for (came, expected) in all(from, NODE_A, 64).iter().zip(all(to, SERVER, 63)) {
            assert_frames_eq(expected, world.send(NODES, came).forwarded(UPLINK));
        }
        world.expect_counted(&[("received", 6), ("forwarded", 6)]);
    }
}

#[test]
fn a_sender_of_no_island_may_not_leave() {
    for family in FAMILIES {
        let mut world = World::new();
        let frame = from(NODE_A).ip(family.stranger, family.outside).udp(1, 2).build();
        world.send(NODES, frame).dropped(DropReason::NotInIsland);
    }
}

#[test]
fn a_neighbor_on_the_uplink_is_reached_without_the_router() {
    for family in FAMILIES {
        let mut world = World::new();
        let out = world.send(NODES, from(NODE_A).ip(family.pod_a, family.server).udp(1, 2).build());
        let name = source(out.forwarded(UPLINK));
        assert_frames_eq(to(SERVER).ip(name.0, family.server.to_ip()).ttl(63).udp(name.1, 2).build(), &out.bytes);
        assert!(!is_private(name.0));
    }
}

#[test]
fn extension_headers_do_not_stop_translation() {
    let mut world = World::new();
    let v6 = |link: Eth, src: std::net::IpAddr, ttl, port| {
        let ip =
            link.ipv6(src, "2001:db8:9::9".to_ip()).ttl(ttl).hop_by_hop([5, 2, 0, 0]).dest_opts([1, 4, 0, 0, 0, 0]);
        ip.udp(port, 53).payload(b"data").build()
    };
    let out = world.send(NODES, v6(from(NODE_A), "fd00:10:0:1::10".to_ip(), 64, 5_000));
    out.forwarded(UPLINK);
    let row = world.sessions(8)[0];
    assert_frames_eq(v6(to(ROUTER), row.outside.0, 63, row.outside.1), &out.bytes);
    let v4 = |link: Eth, src: std::net::IpAddr, ttl, port| {
        let ip = link.ipv4(src, "198.51.100.9".to_ip()).ttl(ttl).options([1, 1, 148, 4, 0, 0]);
        ip.udp(port, 53).payload(b"data").build()
    };
    let out = world.send(NODES, v4(from(NODE_A), "10.1.1.10".to_ip(), 64, 5_000));
    out.forwarded(UPLINK);
    let row = world.sessions(8)[0];
    assert_frames_eq(v4(to(ROUTER), row.outside.0, 63, row.outside.1), &out.bytes);
}

#[test]
fn a_segment_in_the_same_burst_as_the_one_that_opens_follows_it() {
    for family in FAMILIES {
        let mut world = World::new();
        let segment = |flags| {
            let frame = from(NODE_A).ip(family.pod_a, family.outside).tcp(5_000, 443).flags(flags).build();
            (NODES, frame, Offload::DONE)
        };
        for sent in world.burst(&[segment(SYN), segment(RST)]) {
            sent.forwarded(UPLINK);
        }
        assert_eq!(world.sessions(8).len(), 1);
    }
}

#[test]
fn identifier_0_is_translated_in_replies_as_in_requests() {
    for family in FAMILIES {
        let mut world = World::new();
        let inside = || from(NODE_A).ip(family.pod_a, family.outside);
        let ask = inside().icmp_echo_request(0, 1).payload(b"ask").build();
        let name = source(world.send(NODES, ask).forwarded(UPLINK));
        // A reply looks like another packet of the flow: it leaves under the flow's name.
        let reply = inside().icmp_echo_reply(0, 1).payload(b"reply").build();
        let expected = to(ROUTER).ip(name.0, family.outside.to_ip()).ttl(63);
        assert_frames_eq(
            expected.icmp_echo_reply(name.1, 1).payload(b"reply").build(),
            world.send(NODES, reply).forwarded(UPLINK),
        );
    }
}
