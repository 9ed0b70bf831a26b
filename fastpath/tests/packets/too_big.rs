//! Packets that do not fit.

use causeway_testkit::packet::*;
use causeway_testkit::print::assert_frames_eq;

use crate::world::{FAMILIES, Family, NODE_A, NODE_B, NODES, Plan, ROUTER, UPLINK, V6, World, from, source, to};

/// Links to node B and to the router that take 1400 bytes.
fn narrow() -> World {
    let mut plan = Plan::island();
    plan.adjacencies[NODE_B.index()].mtu = 1_400;
    plan.adjacencies[ROUTER.index()].mtu = 1_400;
    World::with(&plan)
}

/// An IP packet of `len` bytes, DF set where there is such a thing.
fn packet(family: Family, link: Eth, (src, dst): (&str, &str), ttl: u8, len: usize) -> Udp {
    let ip: Ip = if family.v4 { link.ipv4(src, dst).df().ttl(ttl).into() } else { link.ip(src, dst).ttl(ttl) };
    ip.udp(5_000, 53).payload(vec![8; len - family.ip_header - 8])
}

fn too_big(family: Family, mtu: u16, quoted: &[u8]) -> Vec<u8> {
    let [high, low] = mtu.to_be_bytes();
    let (kind, code) = family.too_big;
    let ip = to(NODE_A).ip(family.gateway_inside, family.pod_a).tos(family.error_tos).df();
    ip.icmp_error(kind, code, [0, 0, high, low], quoted).build()
}

#[test]
fn a_packet_of_just_the_mtu_passes_and_a_byte_more_is_refused_with_the_mtu() {
    for family in FAMILIES {
        let mut world = narrow();
        let pods = (family.pod_a, family.pod_b);
        let out = world.send(NODES, packet(family, from(NODE_A), pods, 64, 1_400).build());
        assert_frames_eq(packet(family, to(NODE_B), pods, 63, 1_400).build(), out.forwarded(NODES));
        let sent = packet(family, from(NODE_A), pods, 64, 1_401);
        let out = world.send(NODES, sent.build());
        assert_frames_eq(too_big(family, 1_400, &sent.packet()), out.replied());
        world.expect_counted(&[("received", 2), ("forwarded", 1), ("replied", 1)]);
    }
}

#[test]
fn ethernet_padding_does_not_count() {
    for family in FAMILIES {
        let mut world = narrow();
        let pods = (family.pod_a, family.pod_b);
        let sent = packet(family, from(NODE_A), pods, 64, 1_400).trailing([0; 60]);
        world.send(NODES, sent.build()).forwarded(NODES);
    }
}

#[test]
fn an_outbound_packet_that_is_too_big_is_quoted_under_its_inside_name() {
    for family in FAMILIES {
        let mut world = narrow();
        let sent = packet(family, from(NODE_A), (family.pod_a, family.outside), 64, 1_500);
        let out = world.send(NODES, sent.build());
        assert_frames_eq(too_big(family, 1_400, &sent.packet()), out.replied());
    }
}

#[test]
fn an_inbound_packet_that_is_too_big_is_quoted_under_its_outside_name() {
    for family in FAMILIES {
        let mut plan = Plan::island();
        plan.adjacencies[NODE_A.index()].mtu = 1_400;
        let mut world = World::with(&plan);
        let ask = from(NODE_A).ip(family.pod_a, family.outside).udp(5_000, 53).build();
        let name = source(world.send(NODES, ask).forwarded(UPLINK));
        let public = name.0.to_string();
        let mut sent = packet(family, from(ROUTER), (family.outside, &public), 64, 1_500);
        if family.v4 {
            let ip = from(ROUTER).ipv4(family.outside, public.as_str()).df();
            sent = ip.udp(53, name.1).payload([8; 1_472]);
        } else {
            let ip = from(ROUTER).ipv6(family.outside, public.as_str());
            sent = ip.udp(53, name.1).payload(vec![8; sent.packet().len() - 48]);
        }
        let out = world.send(UPLINK, sent.build());
        let (kind, code) = family.too_big;
        let ip = to(ROUTER).ip(family.gateway_outside, family.outside).tos(family.error_tos).df();
        assert_frames_eq(ip.icmp_error(kind, code, [0, 0, 5, 120], &sent.packet()).build(), out.replied());
    }
}

#[test]
fn an_ipv6_fragment_that_does_not_fit_is_refused_with_the_mtu() {
    let mut world = narrow();
    let whole = from(NODE_A).ip(V6.pod_a, V6.pod_b).udp(1, 2).payload([0; 4_000]);
    for fragment in &whole.fragments(1, 1_500)[..2] {
        let out = world.send(NODES, fragment);
        assert_frames_eq(too_big(V6, 1_400, &quote(fragment, 1_500)), out.replied());
    }
}
