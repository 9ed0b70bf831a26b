//! IPv6 extension headers where NAT must find what stands behind them: in whole packets, in
//! fragments, in front of the fragment header and behind it, and in what ICMP errors quote.

use causeway_fastpath::verdict::DropReason;
use causeway_testkit::packet::*;
use causeway_testkit::print::assert_frames_eq;
use causeway_testkit::seed::{Rng, Seed};

use super::fragments::{Protocol, Way, outside_name, pieces, scene_behind};
use crate::world::{NODE_A, NODES, ROUTER, UPLINK, V6, World, from, source, to};

/// Adds headers to an IPv6 layer.
fn v6(ip: Ip, add: impl FnOnce(Ipv6) -> Ipv6) -> Ip {
    match ip {
        Ip::V6(ip) => Ip::V6(add(ip)),
        Ip::V4(_) => panic!("extension headers are of IPv6"),
    }
}

/// Destination options of at least 8 bytes, and this many more.
fn options(more: usize) -> Vec<u8> {
    let mut padding = vec![1, (4 + more) as u8];
    padding.resize(6 + more, 0);
    padding
}

/// Any headers that a packet may have, in front of where it is cut up and behind that.
fn any(rng: &mut Rng, ip: Ip) -> Ip {
    let header = |rng: &mut Rng, ip: Ipv6| match rng.below(3) {
        0 => ip.dest_opts(options(rng.range(0..8) * 8)),
        1 => ip.routing(4, 0, [0; 20]),
        _ => ip.routing(253, 0, [7; 4]),
    };
    v6(ip, |mut ip| {
        if rng.bool() {
            ip = ip.hop_by_hop([5, 2, 0, 0]);
        }
        for _ in 0..rng.below(3) {
            ip = header(rng, ip);
        }
        ip = ip.per_fragment();
        for _ in 0..rng.below(4) {
            ip = header(rng, ip);
        }
        ip
    })
}

const PROTOCOLS: [Protocol; 3] = [Protocol::Udp, Protocol::Tcp, Protocol::Echo];

#[test]
fn fragments_go_through_in_any_order_whatever_headers_stand_before_and_behind_theirs() {
    let seed = Seed::from_env_or(0xe47e);
    let mut rng = seed.rng();
    for _ in 0..60 {
        for (protocol, way) in PROTOCOLS.into_iter().flat_map(|protocol| [(protocol, Way::Out), (protocol, Way::In)]) {
            let headers = rng.u64();
            let mut scene = scene_behind(V6, protocol, way, |ip| any(&mut Seed::new(headers).rng(), ip));
            let mut order: Vec<_> = (0..scene.came.len()).collect();
            rng.shuffle(&mut order);
            scene.play(&order);
        }
    }
}

#[test]
fn fragments_behind_headers_begin_a_session_and_go_round_the_hairpin() {
    let mut world = World::new();
    let behind = |ip: Ip| v6(ip, |ip| ip.hop_by_hop([5, 2, 0, 0]).per_fragment().dest_opts(options(8)));
    let ip = |link: Eth, src: std::net::IpAddr| behind(link.ip(src, V6.outside.to_ip()));
    let came = pieces(Protocol::Udp, ip(from(NODE_A), V6.pod_a.to_ip()), (5_000, 53), 9);
    let went: Vec<_> = came.iter().map(|piece| world.send(NODES, piece).forwarded(UPLINK).to_vec()).collect();
    let [row] = world.sessions(8)[..] else { panic!("one session") };
    assert_eq!((row.inside.1, row.packets_out), (5_000, 4));
    assert_eq!(pieces(Protocol::Udp, ip(to(ROUTER), row.outside.0).ttl(63), (row.outside.1, 53), 9), went);

    let mut world = World::with(&crate::world::Plan::forwards());
    let opening = from(NODE_A).ip(V6.pod_a2, V6.pool).udp(40_000, 443).build();
    let name = source(world.send(NODES, opening).forwarded(NODES));
    let came = pieces(Protocol::Udp, behind(from(NODE_A).ip(V6.pod_a2, V6.pool)), (40_000, 443), 3);
    let went: Vec<_> = came.iter().map(|piece| world.send(NODES, piece).forwarded(NODES).to_vec()).collect();
    let expected = behind(to(crate::world::NODE_B).ip(name.0, V6.pod_b.to_ip()).ttl(63));
    assert_eq!(pieces(Protocol::Udp, expected, (name.1, 8_443), 3), went);
}

#[test]
fn an_atomic_fragment_in_front_of_headers_is_a_whole_datagram() {
    let seed = Seed::from_env_or(0xa70);
    let mut rng = seed.rng();
    for protocol in PROTOCOLS {
        let mut world = World::new();
        let name = outside_name(&mut world, V6, protocol);
        let atomic = |link: Eth, src: std::net::IpAddr, ttl, port, headers: u64| {
            let ip = any(&mut Seed::new(headers).rng(), link.ip(src, V6.outside.to_ip()).ttl(ttl));
            match protocol {
                Protocol::Tcp => ip.tcp(port, 53).flags(ACK).payload(b"all").fragments(7, 1_280),
                Protocol::Echo => ip.icmp_echo_request(port, 53).payload(b"all").fragments(7, 1_280),
                _ => ip.udp(port, 53).payload(b"all").fragments(7, 1_280),
            }
        };
        for _ in 0..50 {
            let headers = rng.u64();
            let out = world.send(NODES, &atomic(from(NODE_A), V6.pod_a.to_ip(), 64, 5_000, headers)[0]);
            assert_frames_eq(&atomic(to(ROUTER), name.0, 63, name.1, headers)[0], out.forwarded(UPLINK));
        }
        assert_eq!(world.datagrams_left(), [(0, 0); 2]);
    }
}

#[test]
fn a_first_fragment_that_does_not_show_all_headers_is_dropped() {
    let mut world = World::new();
    // 48 bytes of IPv6 and fragment header, 40 of options, 20 of TCP.
    let ip = || v6(from(NODE_A).ip(V6.pod_a, V6.outside), |ip| ip.per_fragment().dest_opts(options(32)));
    let tcp = ip().tcp(5_000, 53).flags(SYN).payload([0; 200]);
    for (mtu, shows_all) in [(56, false), (80, false), (88, false), (96, false), (104, false), (112, true)] {
        let fragments = tcp.fragments(mtu, mtu as usize);
        let sent = world.send(NODES, &fragments[0]);
        if shows_all { _ = sent.forwarded(UPLINK) } else { sent.dropped(DropReason::FragmentTiny) }
    }
    assert_eq!(world.sessions(8).len(), 1);
    // Nor does a whole one, whose options are longer than it is.
    let mut cut = ip().tcp(5_000, 53).fragments(1, 1_280)[0].clone();
    cut[63] = 200;
    world.send(NODES, cut).dropped(DropReason::L4HeaderBad);
}

#[test]
fn headers_that_no_translation_passes_do_not_pass_behind_a_fragment_header_either() {
    let mut world = World::new();
    let ip = || v6(from(NODE_A).ip(V6.pod_a, V6.outside), Ipv6::per_fragment);
    let udp = |ip: Ip| ip.udp(5_000, 53).payload([0; 2_000]).fragments(1, 1_280);
    let many = (0..9).fold(ip(), |ip, _| v6(ip, |ip| ip.dest_opts(options(0))));
    let eight = (0..8).fold(ip(), |ip, _| v6(ip, |ip| ip.dest_opts(options(0))));
    let (kind, code) = V6.port_unreachable;
    let quoted = from(NODE_A).ip(V6.outside, V6.pod_a).udp(1, 2).payload([0; 1_000]).packet();
    let error = v6(ip(), |ip| ip.dest_opts(options(0))).icmp_error(kind, code, [0; 4], &quoted).fragments(1, 400);
    for (fragments, reason) in [
        (udp(v6(ip(), |ip| ip.routing(0, 1, [0; 20]))), DropReason::SourceRoute),
        (udp(v6(ip(), |ip| ip.dest_opts(options(0)).fragment(2, 0, true))), DropReason::NatFragment),
        (udp(many), DropReason::Ipv6HeaderBad),
        (v6(ip(), |ip| ip.dest_opts(options(0))).raw(51, [0; 2_000]).fragments(1, 1_280), DropReason::NatProtocol),
        (error, DropReason::NatFragment),
    ] {
        world.send(NODES, &fragments[0]).dropped(reason);
    }
    assert_eq!((world.sessions(8).len(), world.forwarder.datagrams()), (0, [(0, 0); 2]));
    world.send(NODES, &udp(eight)[0]).forwarded(UPLINK);
}

/// What an error may quote: packets whose flow stands behind headers, as a function of IP layer
/// and ports. The last one shows none.
fn quoted(ip: Ip, ports: (u16, u16)) -> Vec<Vec<u8>> {
    let udp = |ip: Ip| ip.udp(ports.0, ports.1).payload([3; 1_000]);
    let options = |ip: Ip| v6(ip, |ip| ip.hop_by_hop([5, 2, 0, 0]).dest_opts(options(16)));
    let behind = |ip: Ip| v6(ip, |ip| ip.routing(253, 0, [7; 4]).per_fragment().dest_opts(self::options(8)));
    let [in_pieces, behind] = [ip.clone(), behind(ip.clone())].map(|ip| udp(ip).fragments(5, 600));
    [udp(options(ip)).build(), in_pieces[0].clone(), behind[0].clone(), behind[1].clone()]
        .map(|frame| frame[14..].to_vec())
        .into()
}

#[test]
fn an_error_reaches_whoever_sent_the_quoted_packet_behind_headers_or_in_fragments() {
    let (kind, code) = V6.too_big;
    let mtu = [0, 0, 5, 0];
    let error = |ip: Ip, quoted: &[u8]| ip.icmp_error(kind, code, mtu, quoted).build();
    // From a router outside, about what the pod sent.
    let mut world = World::new();
    let name = outside_name(&mut world, V6, Protocol::Udp);
    let shown = quoted(to(ROUTER).ip(name.0, V6.outside.to_ip()).ttl(9), (name.1, 53));
    let own = quoted(from(NODE_A).ip(V6.pod_a, V6.outside).ttl(9), (5_000, 53));
    for (at, (shown, own)) in shown.iter().zip(&own).enumerate() {
        let sent = world.send(UPLINK, error(from(ROUTER).ip(V6.router.to_ip(), name.0), shown));
        if at == 3 {
            sent.dropped(DropReason::NatIcmpErrorUnmatched);
        } else {
            assert_frames_eq(error(to(NODE_A).ip(V6.router, V6.pod_a).ttl(63), own), sent.forwarded(NODES));
        }
    }
    // From the pod, about the answers.
    let came = quoted(to(NODE_A).ip(V6.outside, V6.pod_a).ttl(9), (53, 5_000));
    let shown = quoted(from(ROUTER).ip(V6.outside.to_ip(), name.0).ttl(9), (53, name.1));
    for (at, (came, shown)) in came.iter().zip(&shown).enumerate() {
        let sent = world.send(NODES, error(from(NODE_A).ip(V6.pod_a, V6.outside), came));
        if at == 3 {
            sent.dropped(DropReason::NatIcmpErrorUnmatched);
        } else {
            let expected = to(ROUTER).ip(name.0, V6.outside.to_ip()).ttl(63);
            assert_frames_eq(error(expected, shown), sent.forwarded(UPLINK));
        }
    }
}

#[test]
fn a_first_fragment_that_is_an_error_or_may_be_one_is_not_answered() {
    let mut world = World::new();
    let ip = || v6(from(NODE_A).ip(V6.pod_a, V6.no_pod), |ip| ip.per_fragment().dest_opts(options(32)));
    let (kind, code) = V6.port_unreachable;
    let error = ip().icmp_error(kind, code, [0; 4], &[0; 1_000]);
    for mtu in [56, 400] {
        world.send(NODES, &error.fragments(1, mtu)[0]).dropped(DropReason::Unreachable);
    }
    world.send(NODES, &ip().icmp_echo_request(1, 2).payload([0; 1_000]).fragments(1, 400)[0]).replied();
}

#[test]
fn a_ping_in_fragments_behind_headers_is_answered_in_fragments() {
    let mut world = World::new();
    let headers = |ip: Ip| v6(ip, |ip| ip.hop_by_hop([5, 2, 0, 0]).per_fragment().dest_opts(options(8)));
    let ping = headers(from(NODE_A).ip(V6.node_a, V6.gateway_inside)).icmp_echo_request(7, 8).payload([9; 3_000]);
    let pong = headers(to(NODE_A).ip(V6.gateway_inside, V6.node_a)).icmp_echo_reply(7, 8).payload([9; 3_000]);
    for (asked, expected) in ping.fragments(1, 1_280).iter().zip(pong.fragments(1, 1_280)) {
        assert_frames_eq(expected, world.send(NODES, asked).answered());
    }
    // A later one waits: it may be of a ping.
    world.send(NODES, &ping.fragments(2, 1_280)[1]).held();
    let udp = headers(from(NODE_A).ip(V6.node_a, V6.gateway_inside)).udp(7, 8).payload([9; 3_000]).fragments(3, 1_280);
    world.send(NODES, &udp[0]).dropped(DropReason::LocalUnwanted);
}
