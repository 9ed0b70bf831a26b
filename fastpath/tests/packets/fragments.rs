//! Datagrams in pieces, to be translated: what comes out are the pieces of the
//! translated datagram, byte for byte, whatever order they come in.

use std::net::IpAddr;

use causeway_fastpath::ids::PortId;
use causeway_fastpath::offload::Offload;
use causeway_fastpath::snapshot::NeighborState;
use causeway_fastpath::verdict::{DropReason, PuntReason, Verdict};
use causeway_testkit::packet::*;
use causeway_testkit::print::{assert_frame_lists_eq, assert_frames_eq};
use causeway_testkit::seed::Seed;

use super::world::*;

/// What datagrams carry.
#[derive(Clone, Copy, Debug)]
pub(super) enum Protocol {
    Udp,
    UdpWithoutChecksum,
    Tcp,
    Echo,
}

const PROTOCOLS: [Protocol; 4] = [Protocol::Udp, Protocol::UdpWithoutChecksum, Protocol::Tcp, Protocol::Echo];

/// The pieces of a datagram of 4000 bytes from port or echo identifier `src_port`
/// (`dst_port` of a reply).
pub(super) fn pieces(protocol: Protocol, ip: Ip, (src_port, dst_port): (u16, u16), id: u32) -> Vec<Vec<u8>> {
    let data: Vec<u8> = (0..4_000u32).map(|at| ((at * at) >> 4) as u8).collect();
    match protocol {
        Protocol::Udp => ip.udp(src_port, dst_port).payload(data).fragments(id, 1_280),
        // IPv6 has no datagrams without.
        Protocol::UdpWithoutChecksum => match ip {
            Ip::V4(_) => ip.udp(src_port, dst_port).payload(data).no_checksum().fragments(id, 1_280),
            Ip::V6(_) => ip.udp(src_port, dst_port).payload(data).fragments(id, 1_280),
        },
        Protocol::Tcp => ip.tcp(src_port, dst_port).flags(ACK).payload(data).fragments(id, 1_280),
        Protocol::Echo if dst_port == 53 => ip.icmp_echo_request(src_port, 7).payload(data).fragments(id, 1_280),
        Protocol::Echo => ip.icmp_echo_reply(dst_port, 7).payload(data).fragments(id, 1_280),
    }
}

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Out,
    In,
}

/// A world with a session, and a datagram of it: its pieces as they come, and as they are
/// to go on.
pub(super) struct Scene {
    pub(super) world: World,
    pub(super) from: PortId,
    pub(super) to: PortId,
    pub(super) came: Vec<Vec<u8>>,
    pub(super) expected: Vec<Vec<u8>>,
}

pub(super) fn scene(family: Family, protocol: Protocol, way: Way) -> Scene {
    scene_behind(family, protocol, way, |ip| ip)
}

/// As [`scene`], and these headers are added to the IP layer of the datagram.
pub(super) fn scene_behind(family: Family, protocol: Protocol, way: Way, headers: impl Fn(Ip) -> Ip) -> Scene {
    let pieces = |protocol, ip, ports, id| pieces(protocol, headers(ip), ports, id);
    let mut world = World::new();
    let name = outside_name(&mut world, family, protocol);
    let id = 0x1234_5678;
    let (pod, peer) = (family.pod_a.to_ip(), family.outside.to_ip());
    let (came, expected) = match way {
        Way::Out => (
            pieces(protocol, from(NODE_A).ip(pod, peer), (5_000, 53), id),
            pieces(protocol, to(ROUTER).ip(name.0, peer).ttl(63), (name.1, 53), id),
        ),
        Way::In => (
            pieces(protocol, from(ROUTER).ip(peer, name.0), (53, name.1), id),
            pieces(protocol, to(NODE_A).ip(peer, pod).ttl(63), (53, 5_000), id),
        ),
    };
    let (from, to) = match way {
        Way::Out => (NODES, UPLINK),
        Way::In => (UPLINK, NODES),
    };
    Scene { world, from, to, came, expected }
}

/// Begins a session, and says what the outside sees.
pub(super) fn outside_name(world: &mut World, family: Family, protocol: Protocol) -> Endpoint {
    let ip = from(NODE_A).ip(family.pod_a, family.outside);
    let opening = match protocol {
        Protocol::Udp | Protocol::UdpWithoutChecksum => ip.udp(5_000, 53).build(),
        Protocol::Tcp => ip.tcp(5_000, 53).flags(SYN).build(),
        Protocol::Echo => ip.icmp_echo_request(5_000, 1).build(),
    };
    source(world.send(NODES, opening).forwarded(UPLINK))
}

/// The pieces of a datagram as they are to go on: what comes from inside gets another source,
/// and one identification for all, that of `went`.
pub(super) fn as_sent(from: PortId, expected: &[Vec<u8>], went: &[u8]) -> Vec<Vec<u8>> {
    let numbered = |frame: &Vec<u8>| numbered_as(if from == NODES { went } else { frame }, frame.clone());
    expected.iter().map(numbered).collect()
}

impl Scene {
    /// Sends the pieces in this order; each goes on, at once or when the first has come.
    pub(super) fn play(&mut self, order: &[usize]) {
        let mut went = Vec::new();
        let mut shown = false;
        for at in order {
            let sent = self.world.send(self.from, &self.came[*at]);
            shown |= *at == 0;
            if shown {
                went.push(sent.forwarded(self.to).to_vec());
                went.extend(self.world.released.drain(..).map(|sent| sent.forwarded(self.to).to_vec()));
            } else {
                sent.held();
                assert!(self.world.released.is_empty(), "without the first nothing is released");
            }
        }
        let expected = as_sent(self.from, &self.expected, &went[0]);
        went.sort_by_key(|frame| expected.iter().position(|expected| expected[14..] == frame[14..]));
        assert_frame_lists_eq(&expected, &went);
        assert_eq!(self.world.datagrams_left(), [(0, 0); 2], "nothing is kept of what is done");
    }

    pub(super) fn forwarder_is_empty(&mut self) -> bool {
        let left = self.world.datagrams_left();
        let counters = self.world.forwarder.counters();
        left == [(0, 0); 2] && counters.held == counters.released
    }
}

pub(super) fn each_scene(mut play: impl FnMut(Scene)) {
    for family in FAMILIES {
        for protocol in PROTOCOLS {
            for way in [Way::Out, Way::In] {
                play(scene(family, protocol, way));
            }
        }
    }
}

#[test]
fn fragments_in_order_are_those_of_the_translated_datagram() {
    each_scene(|mut scene| {
        scene.world.counted();
        let count = scene.came.len() as u64;
        scene.play(&[0, 1, 2, 3]);
        let translated = if scene.to == UPLINK { "translated-out" } else { "translated-in" };
        scene.world.expect_counted(&[("received", count), ("forwarded", count), (translated, count)]);
    });
}

#[test]
fn fragments_in_reverse_wait_for_the_first_and_follow_it() {
    each_scene(|mut scene| {
        scene.world.counted();
        scene.play(&[3, 2, 1, 0]);
        let translated = if scene.to == UPLINK { "translated-out" } else { "translated-in" };
        scene.world.expect_counted(&[("received", 4), ("held", 3), ("released", 3), ("forwarded", 4), (translated, 4)]);
    });
}

#[test]
fn fragments_in_any_order_go_through() {
    let mut rng = Seed::from_env_or(0xf4a6).rng();
    for _ in 0..6 {
        each_scene(|mut scene| {
            let mut order = [0, 1, 2, 3];
            rng.shuffle(&mut order);
            scene.play(&order);
            // And once more: the identification is free again.
            rng.shuffle(&mut order);
            scene.play(&order);
        });
    }
}

#[test]
fn fragments_of_one_burst_go_through_together() {
    each_scene(|mut scene| {
        for (round, order) in [[0, 1, 2, 3], [2, 0, 3, 1]].into_iter().enumerate() {
            let burst: Vec<_> = order.iter().map(|at| (scene.from, scene.came[*at].clone(), Offload::DONE)).collect();
            let sent = scene.world.burst(&burst);
            for (sent, at) in sent.iter().zip(order) {
                if round == 1 && at == 2 {
                    sent.held();
                } else {
                    let went = sent.forwarded(scene.to);
                    assert_frames_eq(&as_sent(scene.from, &scene.expected, went)[at], went);
                }
            }
            for released in scene.world.released.drain(..) {
                let went = released.forwarded(scene.to);
                assert_frames_eq(&as_sent(scene.from, &scene.expected, went)[2], went);
            }
            assert!(scene.forwarder_is_empty());
        }
    });
}

#[test]
fn a_first_fragment_begins_the_session_of_its_datagram() {
    for family in FAMILIES {
        for protocol in [Protocol::Udp, Protocol::Echo] {
            for order in [[0, 1, 2, 3], [3, 1, 0, 2]] {
                let mut world = World::new();
                let ip = |link: Eth, src| link.ip(src, family.outside.to_ip());
                let came = pieces(protocol, ip(from(NODE_A), family.pod_a.to_ip()), (5_000, 53), 9);
                let mut went: Vec<Vec<u8>> = Vec::new();
                for at in order {
                    let sent = world.send(NODES, &came[at]);
                    if sent.verdict != Verdict::Hold {
                        went.push(sent.forwarded(UPLINK).to_vec());
                    }
                    went.extend(world.released.drain(..).map(|sent| sent.forwarded(UPLINK).to_vec()));
                }
                let [row] = world.sessions(8)[..] else { panic!("one session") };
                assert_eq!((row.inside.1, row.packets_out), (5_000, 4));
                let expected = pieces(protocol, ip(to(ROUTER), row.outside.0).ttl(63), (row.outside.1, 53), 9);
                went.sort_by_key(|frame| expected.iter().position(|expected| expected == frame));
                assert_frame_lists_eq(&expected, &went);
            }
        }
    }
}

#[test]
fn an_atomic_fragment_is_a_whole_datagram() {
    let mut world = World::new();
    let atomic = |link: Eth, src: IpAddr, ttl, port: u16| {
        link.ip(src, V6.outside.to_ip()).ttl(ttl).udp(port, 53).payload(b"all").fragments(7, 1_280)
    };
    let name = outside_name(&mut world, V6, Protocol::Udp);
    for _ in 0..3 {
        let out = world.send(NODES, &atomic(from(NODE_A), V6.pod_a.to_ip(), 64, 5_000)[0]);
        assert_frames_eq(&atomic(to(ROUTER), name.0, 63, name.1)[0], out.forwarded(UPLINK));
        assert_eq!(world.forwarder.datagrams(), [(0, 0); 2]);
    }
}

#[test]
fn datagrams_with_one_identification_are_told_apart() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::two_islands());
        let ip = |node, src, dst| from(node).ip(src, dst);
        let datagrams = [
            (NODES, pieces(Protocol::Udp, ip(NODE_A, family.pod_a, family.outside), (5_000, 53), 7)),
            (NODES, pieces(Protocol::Udp, ip(NODE_A, family.pod_a2, family.outside), (5_001, 53), 7)),
            (NODES, pieces(Protocol::Udp, ip(NODE_A, family.pod_a, family.outside2), (5_002, 53), 7)),
            (OTHER_NODES, pieces(Protocol::Udp, ip(NODE_C, family.pod_a, family.outside), (5_003, 53), 7)),
        ];
        // IPv6 tells fragments apart by addresses and identification alone.
        let echo =
            pieces(Protocol::Echo, ip(NODE_A, family.pod_a, family.outside), (5_004, 53), 7 + u32::from(!family.v4));
        let all: Vec<_> = datagrams.into_iter().chain([(NODES, echo)]).collect();
        for (port, came) in &all {
            world.send(*port, &came[0]).forwarded(UPLINK);
        }
        for at in 1..4 {
            for (port, came) in &all {
                world.send(*port, &came[at]).forwarded(UPLINK);
            }
        }
        let packets: Vec<_> = world.sessions(8).iter().map(|row| (row.inside.1, row.packets_out)).collect();
        assert_eq!(packets.len(), 5);
        assert!(packets.iter().all(|row| row.1 == 4), "each session has its four fragments: {packets:?}");
    }
}

#[test]
fn a_fragment_that_waits_for_a_neighbor_may_come_again() {
    for family in FAMILIES {
        let mut plan = Plan::island();
        plan.adjacencies[ROUTER.index()].state = NeighborState::Pending;
        plan.adjacencies[NODE_A.index()].state = NeighborState::Pending;
        let mut world = World::new();
        let name = outside_name(&mut world, family, Protocol::Udp);
        let out = pieces(Protocol::Udp, from(NODE_A).ip(family.pod_a, family.outside), (5_000, 53), 1);
        let into = pieces(Protocol::Udp, from(ROUTER).ip(family.outside.to_ip(), name.0), (53, name.1), 1);
        world.install(&plan);
        world.send(NODES, &out[0]).punted(PuntReason::Unresolved);
        world.send(UPLINK, &into[0]).punted(PuntReason::Unresolved);
        assert_eq!(world.forwarder.datagrams(), [(0, 0); 2]);
        world.install(&Plan::island());
        for (port, egress, frames) in [(NODES, UPLINK, &out), (UPLINK, NODES, &into)] {
            for frame in frames {
                world.send(port, frame).forwarded(egress);
            }
        }
    }
}

#[test]
fn fragments_to_an_own_address_find_their_session_or_nobody() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::masquerade());
        let name = outside_name(&mut world, family, Protocol::Udp);
        assert_eq!(name.0, family.gateway_outside.to_ip());
        let answer =
            |port| pieces(Protocol::Udp, from(ROUTER).ip(family.outside.to_ip(), name.0), (53, port), u32::from(port));
        for piece in answer(name.1) {
            world.send(UPLINK, piece).forwarded(NODES);
        }
        world.send(UPLINK, &answer(name.1 ^ 1)[0]).dropped(DropReason::LocalUnwanted);
    }
}

#[test]
fn fragments_of_a_forwarded_flow_find_the_pod_and_the_client() {
    for family in FAMILIES {
        for order in [[0, 1, 2, 3], [2, 3, 0, 1]] {
            let mut world = World::with(&Plan::forwards());
            let pieces = |ip: Ip, ports| pieces(Protocol::Udp, ip, ports, 3);
            let ask = from(ROUTER).ip(family.outside, family.pool);
            let asked = to(NODE_B).ip(family.outside, family.pod_b).ttl(63);
            pass(&mut world, (UPLINK, NODES), order, pieces(ask, (50_000, 443)), pieces(asked, (50_000, 8_443)));
            let answer = from(NODE_B).ip(family.pod_b, family.outside);
            let answered = to(ROUTER).ip(family.pool, family.outside).ttl(63);
            pass(&mut world, (NODES, UPLINK), order, pieces(answer, (8_443, 50_000)), pieces(answered, (443, 50_000)));
            let [row] = world.sessions(8)[..] else { panic!("one session") };
            assert_eq!((row.packets_in, row.packets_out), (4, 4));
        }
    }
}

#[test]
fn fragments_go_round_the_hairpin() {
    for family in FAMILIES {
        for order in [[0, 1, 2, 3], [3, 0, 2, 1]] {
            let mut world = World::with(&Plan::forwards());
            let opening = from(NODE_A).ip(family.pod_a2, family.pool).udp(40_000, 443).build();
            let name = source(world.send(NODES, opening).forwarded(NODES));
            let pieces = |ip: Ip, ports| pieces(Protocol::Udp, ip, ports, 3);
            let ask = from(NODE_A).ip(family.pod_a2, family.pool);
            let asked = to(NODE_B).ip(name.0, family.pod_b.to_ip()).ttl(63);
            pass(&mut world, (NODES, NODES), order, pieces(ask, (40_000, 443)), pieces(asked, (name.1, 8_443)));
            let answer = from(NODE_B).ip(family.pod_b.to_ip(), name.0);
            let answered = to(NODE_A).ip(family.pool, family.pod_a2).ttl(63);
            pass(&mut world, (NODES, NODES), order, pieces(answer, (8_443, name.1)), pieces(answered, (443, 40_000)));
        }
    }
}

/// Sends the pieces in this order, between these ports, and compares what went on with what
/// was expected, piece by piece.
fn pass(world: &mut World, ports: (PortId, PortId), order: [usize; 4], came: Vec<Vec<u8>>, expected: Vec<Vec<u8>>) {
    let mut went = Vec::new();
    for at in order {
        let sent = world.send(ports.0, &came[at]);
        if sent.verdict != Verdict::Hold {
            went.push(sent.forwarded(ports.1).to_vec());
        }
        went.extend(world.released.drain(..).map(|sent| sent.forwarded(ports.1).to_vec()));
    }
    let expected = as_sent(ports.0, &expected, &went[0]);
    went.sort_by_key(|frame| expected.iter().position(|expected| expected[14..] == frame[14..]));
    assert_frame_lists_eq(&expected, &went);
    assert_eq!(world.datagrams_left(), [(0, 0); 2], "nothing is kept of what is done");
}
