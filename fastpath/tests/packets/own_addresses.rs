//! Packets to the gateway itself.

use std::time::Duration;

use causeway_fastpath::ids::{AdjacencyId, PortId};
use causeway_fastpath::offload::{ChecksumState, Gso, Offload};
use causeway_fastpath::verdict::{DropReason, PuntReason, Verdict};
use causeway_testkit::checksum;
use causeway_testkit::packet::*;
use causeway_testkit::print::{assert_frame_lists_eq, assert_frames_eq};

use crate::world::{FAMILIES, Family, NODE_A, NODES, PROBES, Plan, ROUTER, UPLINK, World, from, link_local, to};

/// Both own addresses of a family: port, who asks, his address, ours.
fn own(family: Family) -> [(PortId, AdjacencyId, &'static str, &'static str); 2] {
    [(NODES, NODE_A, family.node_a, family.gateway_inside), (UPLINK, ROUTER, family.outside, family.gateway_outside)]
}

#[test]
fn a_ping_is_answered_with_all_its_data() {
    for family in FAMILIES {
        let mut world = World::new();
        for (port, asker, his, ours) in own(family) {
            for len in [0, 1, 2, 17, 56, 1_399, 1_400, 8_000] {
                for ttl in [1, 64, 255] {
                    let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
                    let ask = from(asker).ip(his, ours).ttl(ttl).tos(8).icmp_echo_request(7, 9).payload(&payload);
                    let out = world.send(port, ask.pad_to_60().build());
                    let answer = to(asker).ip(ours, his).ttl(64).tos(8).icmp_echo_reply(7, 9).payload(&payload);
                    assert_frames_eq(answer.build(), out.replied());
                }
            }
        }
        world.expect_counted(&[("received", 48), ("replied", 48)]);
    }
}

/// A ping with 3,000 bytes of data in fragments, and its answer.
fn large_ping((asker, his, ours): (AdjacencyId, &str, &str), id: u32) -> [Vec<Vec<u8>>; 2] {
    let payload: Vec<u8> = (0..3_000u32).map(|at| ((at * at) >> 3) as u8).collect();
    let ask = from(asker).ip(his, ours).icmp_echo_request(7, 9).payload(&payload).fragments(id, 1_280);
    [ask, to(asker).ip(ours, his).icmp_echo_reply(7, 9).payload(&payload).fragments(id, 1_280)]
}

#[test]
fn a_ping_in_fragments_is_answered_in_fragments_whatever_their_order() {
    for family in FAMILIES {
        for plan in [Plan::island(), Plan::masquerade()] {
            let inside = (NODES, NODE_A, family.pod_a, family.gateway_outside);
            for (port, asker, his, ours) in own(family).into_iter().chain([inside]) {
                let mut world = World::with(&plan);
                for (id, order) in [[0, 1, 2], [0, 2, 1], [2, 1, 0], [1, 0, 2]].into_iter().enumerate() {
                    let [ask, answer] = large_ping((asker, his, ours), id as u32 + 1);
                    let mut answered = Vec::new();
                    for at in order {
                        let sent = world.send(port, &ask[at]);
                        if order.iter().take_while(|before| **before != 0).any(|early| *early == at) {
                            sent.held();
                        } else {
                            answered.push(sent.answered().to_vec());
                        }
                    }
                    answered.extend(world.released.drain(..).map(|sent| sent.answered().to_vec()));
                    answered.sort_by_key(|frame| answer.iter().position(|one| one == frame));
                    assert_frame_lists_eq(&answer, &answered);
                }
                assert_eq!(world.sessions(8), []);
                assert_eq!(world.datagrams_left(), [(0, 0); 2]);
            }
        }
    }
}

#[test]
fn pings_in_fragments_that_are_never_completed_take_no_room_of_others() {
    for family in FAMILIES {
        let mut world = World::new();
        let (port, asker, _, ours) = own(family)[0];
        let mut begun = 0;
        for number in 0..1_000u16 {
            let his =
                if family.v4 { format!("192.168.0.{}", 20 + number % 200) } else { format!("fd00:a::{number:x}:1") };
            let [ask, _] = large_ping((asker, &his, ours), 1);
            begun += u32::from(world.send(port, &ask[0]).verdict == Verdict::Reply(port));
        }
        assert!((1..=11 * u32::from(crate::WORKERS)).contains(&begun), "{begun} at once");
        world.wait(Duration::from_secs(10));
        assert_eq!(world.forwarder.datagrams(), [(0, 0); 2]);
        let [ask, answer] = large_ping((asker, own(family)[0].2, ours), 1);
        for (ask, answer) in ask.iter().zip(answer) {
            assert_frames_eq(answer, world.send(port, ask).answered());
        }
    }
}

#[test]
fn what_nodes_answer_to_pings_of_control_goes_there_and_nothing_else() {
    for family in FAMILIES {
        let mut world = World::new();
        let answer = |identifier| {
            from(NODE_A).ip(family.node_a, family.gateway_inside).icmp_echo_reply(identifier, 9).payload("x").build()
        };
        let out = world.send(NODES, answer(PROBES));
        assert_eq!(out.verdict, Verdict::Punt(PuntReason::EchoReply));
        world.send(NODES, answer(PROBES ^ 1)).dropped(DropReason::LocalUnwanted);
        let pod = from(NODE_A).ip(family.node_a, family.pod_b).icmp_echo_reply(PROBES, 9).build();
        assert!(!matches!(world.send(NODES, pod).verdict, Verdict::Punt(_)), "it is for somebody else");
    }
}

#[test]
fn a_ping_of_nothing_but_zeros_is_answered_with_a_checksum_that_holds() {
    for family in FAMILIES {
        let mut world = World::new();
        for payload in [&[][..], &[0; 3], &[0; 56]] {
            let ask = from(NODE_A).ip(family.node_a, family.gateway_inside).icmp_echo_request(0, 0).payload(payload);
            let answer = to(NODE_A).ip(family.gateway_inside, family.node_a).icmp_echo_reply(0, 0).payload(payload);
            assert_frames_eq(answer.build(), world.send(NODES, ask.build()).replied());
        }
    }
}

#[test]
fn a_ping_to_the_link_local_address_is_answered() {
    let mut world = World::new();
    for (port, asker) in [(NODES, NODE_A), (UPLINK, ROUTER)] {
        let ask = from(asker).ipv6("fe80::77", link_local(port)).icmp_echo_request(1, 2).build();
        let answer = to(asker).ipv6(link_local(port), "fe80::77").icmp_echo_reply(1, 2).build();
        assert_frames_eq(answer, world.send(port, ask).replied());
        // From a link-local address to a global one of ours.
        let ours = if port == NODES { "fd00:a::1" } else { "2001:db8:1::2" };
        let ask = from(asker).ipv6("fe80::77", ours).icmp_echo_request(1, 2).build();
        let answer = to(asker).ipv6(ours, "fe80::77").icmp_echo_reply(1, 2).build();
        assert_frames_eq(answer, world.send(port, ask).replied());
    }
    let other = from(NODE_A).ipv6("fe80::77", link_local(UPLINK)).icmp_echo_request(1, 2).build();
    world.send(NODES, other).dropped(DropReason::MartianDestination);
}

#[test]
fn a_ping_with_options_or_extension_headers_is_answered() {
    let mut world = World::new();
    let ask = |link: Eth, src: &str, dst: &str| link.ipv4(src, dst).options([1, 1, 148, 4, 0, 0]);
    let out = world.send(NODES, ask(from(NODE_A), "192.168.0.11", "192.168.0.1").icmp_echo_request(1, 2).build());
    assert_frames_eq(ask(to(NODE_A), "192.168.0.1", "192.168.0.11").icmp_echo_reply(1, 2).build(), out.replied());
    let ask = |link: Eth, src: &str, dst: &str| link.ipv6(src, dst).dest_opts([1, 4, 0, 0, 0, 0]);
    let out = world.send(NODES, ask(from(NODE_A), "fd00:a::11", "fd00:a::1").icmp_echo_request(1, 2).build());
    assert_frames_eq(ask(to(NODE_A), "fd00:a::1", "fd00:a::11").icmp_echo_reply(1, 2).build(), out.replied());
}

#[test]
fn a_ping_with_a_partial_checksum_gets_an_answer_with_one() {
    let mut world = World::new();
    let offload = Offload { checksum: ChecksumState::Partial { start: 54, offset: 2 }, gso: Gso::None, gso_size: 0 };
    let partial = |echo: Icmp| {
        let (src, dst) = ("fd00:a::11".to_ip(), "fd00:a::1".to_ip());
        let pseudo = checksum::pseudo_header(src, dst, 58, echo.packet().len() - 40);
        echo.checksum(checksum::sum(&pseudo)).build()
    };
    let ask = partial(from(NODE_A).ip("fd00:a::11", "fd00:a::1").icmp_echo_request(1, 2).payload(b"odd"));
    let answer = partial(to(NODE_A).ip("fd00:a::1", "fd00:a::11").icmp_echo_reply(1, 2).payload(b"odd"));
    let out = world.send_with(NODES, ask, offload);
    assert_frames_eq(answer, out.replied());
    assert_eq!(out.offload, offload);
}

#[test]
fn nobody_listens_on_tcp_and_udp() {
    for family in FAMILIES {
        let mut world = World::new();
        let (kind, code) = family.port_unreachable;
        for (port, asker, his, ours) in own(family) {
            for sent in [
                from(asker).ip(his, ours).ttl(1).udp(1, 53).packet(),
                from(asker).ip(his, ours).tcp(1, 22).flags(SYN).packet(),
            ] {
                let ethertype = if family.v4 { 0x0800 } else { 0x86dd };
                let out = world.send(port, from(asker).raw(ethertype, &sent).build());
                let error = to(asker).ip(ours, his).tos(family.error_tos).df().icmp_error(kind, code, [0; 4], &sent);
                assert_frames_eq(error.build(), out.replied());
            }
        }
    }
}

#[test]
fn anything_else_to_the_gateway_is_unwanted() {
    for family in FAMILIES {
        let mut world = World::new();
        let (kind, code) = family.port_unreachable;
        for (port, asker, his, ours) in own(family) {
            let ip = || from(asker).ip(his, ours);
            let quoted = to(asker).ip(ours, his).icmp_echo_reply(1, 2).packet();
            for frame in [
                ip().icmp_echo_reply(1, 2).build(),
                ip().icmp_error(kind, code, [0; 4], &quoted).build(),
                ip().icmp(if family.v4 { 13 } else { 130 }, 0, [0; 4], [0; 16]).build(),
                ip().udp(1, 2).length(7).build(),
                ip().raw(if family.v4 { 1 } else { 58 }, [8, 0, 0]).build(),
                ip().tcp(1, 22).flags(ACK).build(),
                ip().tcp(1, 22).flags(RST).build(),
                ip().tcp(1, 22).flags(SYN | ACK).build(),
            ] {
                world.send(port, frame).dropped(DropReason::LocalUnwanted);
            }
            for fragments in [
                ip().udp(1, 2).payload([0; 2_000]).fragments(1, 1_280),
                ip().tcp(1, 2).payload([0; 2_000]).fragments(2, 1_280),
            ] {
                fragments.iter().for_each(|one| world.send(port, one).dropped(DropReason::LocalUnwanted));
            }
            let reply = ip().icmp_echo_reply(1, 2).payload([0; 2_000]).fragments(3, 1_280);
            world.send(port, &reply[0]).dropped(DropReason::LocalUnwanted);
            // Nobody knows of what the second is.
            world.send(port, &reply[1]).held();
        }
    }
}

#[test]
fn other_protocols_are_refused_and_what_is_damaged_is_not_answered() {
    for family in FAMILIES {
        let mut world = World::new();
        let (kind, code, rest) = if family.v4 { (3, 2, 0) } else { (4, 1, 6) };
        for (port, asker, his, ours) in own(family) {
            let ip = || from(asker).ip(his, ours);
            for sent in [ip().gre(0x0800, b"").packet(), ip().sctp(1, 2, 3, b"").packet()] {
                let ethertype = if family.v4 { 0x0800 } else { 0x86dd };
                let out = world.send(port, from(asker).raw(ethertype, &sent).build());
                let error = to(asker).ip(ours, his).tos(family.error_tos).df();
                assert_frames_eq(error.icmp_error(kind, code, [0, 0, 0, rest], &sent).build(), out.replied());
            }
            for damaged in [
                ip().udp(1, 2).payload(b"data").bad_checksum().build(),
                ip().tcp(1, 22).flags(SYN).bad_checksum().build(),
            ] {
                world.send(port, damaged).dropped(DropReason::L4HeaderBad);
            }
            // Without a checksum: fine in IPv4 only.
            let bare = world.send(port, ip().udp(1, 2).no_checksum().build());
            if family.v4 { _ = bare.replied() } else { bare.dropped(DropReason::L4HeaderBad) }
        }
    }
}

#[test]
fn the_gateways_outside_address_answers_from_inside_too() {
    for family in FAMILIES {
        let mut world = World::new();
        let ping = from(NODE_A).ip(family.pod_a, family.gateway_outside).icmp_echo_request(1, 2).build();
        let pong = to(NODE_A).ip(family.gateway_outside, family.pod_a).icmp_echo_reply(1, 2).build();
        assert_frames_eq(pong, world.send(NODES, ping).replied());
        assert_eq!(world.sessions(8).len(), 0);
    }
}

#[test]
fn a_link_local_sender_gets_the_same_answer_whatever_was_sent_before() {
    let mut world = World::with(&Plan::masquerade());
    let [stranger, _] = FAMILIES.map(|family| from(ROUTER).ip(family.outside, family.gateway_outside));
    let other = from(ROUTER).ipv6("2001:db8:9::9", "2001:db8:1::2").tcp(5, 22).flags(SYN).build();
    for before in [stranger.tcp(5, 22).flags(SYN).build(), other] {
        world.send(UPLINK, before).dropped(DropReason::LocalUnwanted);
        let syn = from(NODE_A).ipv6("fe80::11", "fd00:a::1").tcp(5, 22).flags(SYN).build();
        world.send(NODES, syn).replied();
    }
}
