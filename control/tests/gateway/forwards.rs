//! Port forwards and static NAT, from the file to the packet.

use std::collections::BTreeSet;

use causeway_control::api::{ForwardView, SessionView};
use causeway_control::rib::{Origin, Via};
use causeway_fastpath::ids::{PoolId, VrfId};
use causeway_fastpath::nat::EgressAction;
use causeway_fastpath::session::SessionFilter;
use causeway_fastpath::snapshot::Pool;
use causeway_fastpath::verdict::{DropReason, PuntReason, Verdict};
use causeway_testkit::packet::*;

use crate::lab::*;
use crate::world::{World, own_mac};

/// A service under an address of the pool, one under the gateway's own, both on node B,
/// one under an address that is nobody's, on a host of the nodes' link, and a pod on node
/// A with an address of its own.
const FORWARDS: &str = r#"
[[forward]]
cluster = "blue"
address = "203.0.113.16"
protocol = ["tcp", "udp"]
port = 443
to = "10.1.2.20"
to-port = 8443
[[forward]]
cluster = "blue"
address = "2001:db8:1::100"
protocol = ["tcp", "udp"]
port = 443
to = "fd00:10:0:2::20"
to-port = 8443
[[forward]]
cluster = "blue"
address = "203.0.113.2"
protocol = "tcp"
port = "8000-8003"
to = "10.1.2.20"
to-port = "9000-9003"
[[forward]]
cluster = "blue"
address = "203.0.113.40"
protocol = "udp"
port = 53
to = "192.168.0.77"
[[static-nat]]
cluster = "blue"
address = "203.0.113.41"
to = "10.1.1.10"
[[static-nat]]
cluster = "blue"
address = "2001:db8:1::141"
to = "fd00:10:0:1::10"
"#;

/// A service, by family: its public address, the pod's, and who else there is.
struct Names {
    public: &'static str,
    service: &'static str,
    /// Of the pod on node A.
    own: &'static str,
    owner: &'static str,
    /// A pod on node A like any other.
    pod: &'static str,
    client: &'static str,
}

fn names(family: Family) -> Names {
    match family {
        Family::V4 => Names {
            public: "203.0.113.16",
            service: "10.1.2.20",
            own: "203.0.113.41",
            owner: "10.1.1.10",
            pod: "10.1.1.11",
            client: SERVER.v4,
        },
        Family::V6 => Names {
            public: "2001:db8:1::100",
            service: "fd00:10:0:2::20",
            own: "2001:db8:1::141",
            owner: "fd00:10:0:1::10",
            pod: "fd00:10:0:1::11",
            client: SERVER.v6,
        },
    }
}

fn gateway() -> World {
    lab_and(FORWARDS, &[NODE_A, NODE_B, SERVER])
}

/// A frame's Ethernet layer from the gateway to a host.
fn toward(host: Host) -> Eth {
    eth().src(own_mac(host.port)).dst(host.mac)
}

#[test]
fn a_client_outside_reaches_a_pod_through_a_forward() {
    for family in FAMILIES {
        let (mut world, names) = (gateway(), names(family));
        let ask = |link: Eth, to: &str, ttl, port, flags| {
            link.ip(names.client, to).ttl(ttl).tcp(50_000, port).flags(flags).build()
        };
        for (flags, answer) in [(SYN, SYN | ACK), (ACK, ACK)] {
            world.send(UPLINK, ask(SERVER.eth(), names.public, 64, 443, flags));
            world.expect(NODES, &[ask(toward(NODE_B), names.service, 63, 8_443, flags)]);
            let back = NODE_B.eth().ip(names.service, names.client).ttl(64).tcp(8_443, 50_000).flags(answer);
            world.send(NODES, back.build());
            let back = toward(SERVER).ip(names.public, names.client).ttl(63).tcp(443, 50_000).flags(answer);
            world.expect(UPLINK, &[back.build()]);
        }
        let row = list(&mut world).remove(0);
        assert!(row.forwarded && row.domain == "blue" && row.state == "established", "{row:?}");
        assert_eq!((row.inside, row.inside_port), (names.service.to_ip(), 8_443));
    }
}

fn list(world: &mut World) -> Vec<SessionView> {
    assert!(world.control.list_sessions(1, 100, SessionFilter::default()));
    world.settle();
    let (_, rows) = world.control.take_sessions().expect("it is there");
    rows.iter().map(|row| SessionView::of(&world.control, row)).collect()
}

#[test]
fn a_pod_reaches_its_own_service_by_the_public_address() {
    for family in FAMILIES {
        let (mut world, names) = (gateway(), names(family));
        let syn = NODE_A.eth().ip(names.pod, names.public).ttl(64).tcp(40_000, 443).flags(SYN).build();
        assert_eq!(world.send(NODES, syn), Verdict::Forward(NODES));
        let (from, to) = ends(&world.sent_by(NODES).remove(0), family);
        assert_eq!(to, (names.service.to_ip(), 8_443));
        assert_ne!(from.0, names.pod.to_ip(), "the service sees a public name");
        let answer = NODE_B.eth().ip(names.service.to_ip(), from.0).ttl(64).tcp(8_443, from.1).flags(SYN | ACK);
        world.send(NODES, answer.build());
        let expected = toward(NODE_A).ip(names.public, names.pod).ttl(63).tcp(443, 40_000).flags(SYN | ACK);
        world.expect(NODES, &[expected.build()]);
        // Who has an address of its own comes under that.
        world.send(NODES, NODE_A.eth().ip(names.owner, names.public).ttl(64).udp(5_353, 443).build());
        let expected = toward(NODE_B).ip(names.own, names.service).ttl(63).udp(5_353, 8_443);
        world.expect(NODES, &[expected.build()]);
    }
}

/// Source and destination of a TCP or UDP frame.
fn ends(frame: &[u8], family: Family) -> ((std::net::IpAddr, u16), (std::net::IpAddr, u16)) {
    let port = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    match family {
        Family::V4 => {
            let address = |at: usize| <[u8; 4]>::try_from(&frame[at..at + 4]).expect("four bytes").into();
            ((address(26), port(34)), (address(30), port(36)))
        }
        Family::V6 => {
            let address = |at: usize| <[u8; 16]>::try_from(&frame[at..at + 16]).expect("sixteen bytes").into();
            ((address(22), port(54)), (address(38), port(56)))
        }
    }
}

#[test]
fn an_own_address_serves_its_forwards_and_stays_the_gateways() {
    let mut world = gateway();
    let syn = |port| SERVER.eth().ipv4(SERVER.v4, "203.0.113.2").ttl(64).tcp(50_000, port).flags(SYN).build();
    assert_eq!(world.send(UPLINK, syn(8_002)), Verdict::Forward(NODES));
    assert_eq!(ends(&world.sent_by(NODES)[0], Family::V4).1, ("10.1.2.20".to_ip(), 9_002));
    assert_eq!(world.send(UPLINK, syn(8_004)), Verdict::Drop(DropReason::LocalUnwanted), "nothing listens there");
    let ping = SERVER.eth().ipv4(SERVER.v4, "203.0.113.2").icmp_echo_request(7, 1).build();
    assert_eq!(world.send(UPLINK, ping), Verdict::Reply(UPLINK));
    world.sent();
    // From inside, too.
    let inside = |port| NODE_A.eth().ipv4("10.1.1.11", "203.0.113.2").ttl(64).tcp(40_000, port).flags(SYN).build();
    assert_eq!(world.send(NODES, inside(8_000)), Verdict::Forward(NODES));
    assert_eq!(world.send(NODES, inside(80)), Verdict::Reply(NODES));
    let ping = NODE_A.eth().ipv4("10.1.1.11", "203.0.113.2").ttl(64).icmp_echo_request(7, 1).build();
    assert_eq!(world.send(NODES, ping), Verdict::Reply(NODES));
}

#[test]
fn an_address_of_its_own_serves_a_pod_in_both_directions() {
    for family in FAMILIES {
        let (mut world, names) = (gateway(), names(family));
        // Out: its address, its port.
        let out = NODE_A.eth().ip(names.owner, names.client).ttl(64).udp(5_353, 53).build();
        world.send(NODES, out);
        world.expect(UPLINK, &[toward(SERVER).ip(names.own, names.client).ttl(63).udp(5_353, 53).build()]);
        // In: whatever port.
        for port in [22, 5_353, 60_000] {
            let syn = |link: Eth, to, ttl| link.ip(names.client, to).ttl(ttl).tcp(50_000, port).flags(SYN).build();
            world.send(UPLINK, syn(SERVER.eth(), names.own, 64));
            world.expect(NODES, &[syn(toward(NODE_A), names.owner, 63)]);
            let ack =
                |link: Eth, from, ttl| link.ip(from, names.client).ttl(ttl).tcp(port, 50_000).flags(SYN | ACK).build();
            world.send(NODES, ack(NODE_A.eth(), names.owner, 64));
            world.expect(UPLINK, &[ack(toward(SERVER), names.own, 63)]);
        }
        // Its neighbour leaves by the pool.
        world.send(NODES, NODE_A.eth().ip(names.pod, names.client).ttl(64).udp(5_353, 53).build());
        assert_ne!(ends(&world.sent_by(UPLINK)[0], family).0.0, names.own.to_ip());
    }
}

#[test]
fn the_gateway_answers_for_addresses_that_it_takes_over() {
    let mut world = gateway();
    for target in ["203.0.113.40", "203.0.113.41", "2001:db8:1::141"] {
        world.send(UPLINK, SERVER.asks(target));
        assert_eq!(world.sent_by(UPLINK).len(), 1, "{target}");
        world.send(NODES, NODE_A.asks(target));
        world.expect_silence();
    }
    world.send(UPLINK, SERVER.asks("203.0.113.42"));
    world.expect_silence();
    let routes: BTreeSet<_> = world
        .control
        .routes()
        .filter(|route| route.origin == Origin::Forward)
        .map(|route| (route.domain, route.to.to_string(), route.via == Via::Pool))
        .collect();
    let expected = ["203.0.113.40/32", "203.0.113.41/32", "2001:db8:1::141/128"];
    assert_eq!(routes, expected.map(|to| (VrfId::MAIN, to.to_owned(), true)).into());
}

#[test]
fn a_receiver_on_the_link_is_asked_for_and_gets_the_packet_that_waited() {
    let mut world = gateway();
    let question = |link: Eth, to, ttl| link.ipv4(SERVER.v4, to).ttl(ttl).udp(4_000, 53).payload("who?").build();
    assert_eq!(world.send(UPLINK, question(SERVER.eth(), "203.0.113.40", 64)), Verdict::Punt(PuntReason::Unresolved));
    world.expect(NODES, &[PLAIN.asked_for(Family::V4, None)]);
    world.send(NODES, PLAIN.answers(Family::V4));
    world.expect(NODES, &[question(toward(PLAIN), "192.168.0.77", 63)]);
}

#[test]
fn pools_of_static_addresses_come_last_and_their_rules_before_those_of_pods() {
    for (egress, ports) in [("egress = \"egress\"", 0), ("egress = \"masquerade\"", 2)] {
        let lab = std::fs::read_to_string(crate::world::configs().join("lab.toml")).expect("the file is there");
        let world = World::start(&(lab.replace("egress = \"egress\"", egress) + FORWARDS));
        let tables = &world.snapshot.v4;
        assert_eq!(tables.pools.len(), 1 + ports + 2);
        let own = |at: usize| u32::from_be_bytes([203, 0, 113, 41]) * u32::from(at == 0);
        for (at, pool) in tables.pools[1 + ports..].iter().enumerate() {
            let addresses = if at == 0 { vec![own(0)] } else { Vec::new() };
            let expected =
                Pool { addresses, first_port: 1, keep_ports: true, other_protocols: true, ..Pool::default() };
            assert_eq!(*pool, expected);
        }
        let pod = u32::from_be_bytes([10, 1, 1, 10]);
        let rule = tables.egress[1].iter().find(|rule| rule.matches(pod, 0)).expect("it is a pod");
        assert_eq!(rule.action, EgressAction::Translate(PoolId(1 + ports as u16)));
        assert!(rule.matches(pod, 0) && !rule.matches(u32::from_be_bytes([10, 1, 1, 11]), 0));
        let masquerade = world.snapshot.ports.iter().map(|port| port.masquerade).collect::<Vec<_>>();
        assert_eq!(masquerade, [None, (ports > 0).then_some(PoolId(2))]);
    }
}

#[test]
fn a_pool_carries_protocols_without_ports_where_it_says_so_and_sessions_tell_them_by_name() {
    let lab = std::fs::read_to_string(crate::world::configs().join("lab.toml")).expect("the file is there");
    for (word, carries) in [("true", true), ("false", false)] {
        let told = lab.replace("name = \"egress\"", &format!("name = \"egress\"\nother-protocols = {word}"));
        let mut world = acquainted(World::start(&told).started(), &[NODE_A, SERVER]);
        for family in FAMILIES {
            let names = names(family);
            let packet = NODE_A.eth().ip(names.pod, names.client).gre(0x0800, b"inner").build();
            let verdict = world.send(NODES, packet);
            assert_eq!(verdict, if carries { Verdict::Forward(UPLINK) } else { Verdict::Reply(NODES) });
        }
        let rows: Vec<_> = list(&mut world).into_iter().map(|row| (row.protocol, row.inside_port)).collect();
        assert_eq!(rows, vec![("gre".to_owned(), 0); if carries { 2 } else { 0 }]);
    }
}

#[test]
fn what_the_outside_may_not_begin_stays_outside() {
    let mut world = gateway();
    let syn = |to: &str, port| SERVER.eth().ip(SERVER.v4, to).ttl(64).tcp(50_000, port).flags(SYN).build();
    for (to, port) in [("203.0.113.16", 444), ("203.0.113.17", 443), ("203.0.113.40", 53)] {
        assert_eq!(world.send(UPLINK, syn(to, port)), Verdict::Drop(DropReason::NatUnsolicited), "{to}:{port}");
    }
}

#[test]
fn forwards_are_shown_a_row_a_protocol() {
    let world = gateway();
    let rows = ForwardView::all(world.control.config());
    let words: Vec<_> = rows.iter().map(|row| (row.kind.as_str(), row.protocol.as_str(), row.ports)).collect();
    let expected = [
        ("forward", "tcp", Some([443, 443])),
        ("forward", "udp", Some([443, 443])),
        ("forward", "tcp", Some([443, 443])),
        ("forward", "udp", Some([443, 443])),
        ("forward", "tcp", Some([8_000, 8_003])),
        ("forward", "udp", Some([53, 53])),
        ("static-nat", "any", None),
        ("static-nat", "any", None),
    ];
    assert_eq!(words, expected);
    assert_eq!(rows[4].to_ports, Some([9_000, 9_003]));
}
