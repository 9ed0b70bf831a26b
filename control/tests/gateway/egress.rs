//! Routes and names on the way out, for other configurations than the lab's.

use causeway_control::rib::Via;
use causeway_fastpath::ids::VrfId;
use causeway_fastpath::verdict::{DropReason, PuntReason, Verdict};
use causeway_testkit::checksum;
use causeway_testkit::packet::*;

use crate::lab::{NODE_A, NODES, UPLINK};
use crate::world::{World, own_mac};

const ROUTER: Mac = [2, 0, 0, 0, 1, 0xfe];

/// An island on "nodes" behind an uplink, with more in its file. `egress` is what the key
/// says, and further lines of the cluster.
fn gateway(addresses: &str, egress: &str, more: &str) -> World {
    World::start(&format!(
        r#"
[gateway]
name = "gw"
[[port]]
name = "nodes"
driver = "memory"
addresses = ["192.168.0.1/24"]
[[port]]
name = "uplink"
driver = "memory"
addresses = {addresses}
[[cluster]]
name = "blue"
model = "island"
pod-cidrs = ["10.1.0.0/16"]
egress = {egress}
[[cluster.node]]
name = "node-a"
address = "192.168.0.11"
{more}
"#
    ))
    .started()
}

fn from_pod(dst: &str) -> Vec<u8> {
    NODE_A.eth().ipv4("10.1.0.10", dst).ttl(64).udp(5000, 53).payload("hello").build()
}

#[test]
fn masquerading_pods_leave_under_the_address_of_the_port_they_leave_by() {
    let mut world = World::load("masquerade.toml").started();
    world.send(NODES, from_pod("8.8.8.8"));
    let answer = eth().src(ROUTER).dst(own_mac(UPLINK)).arp_reply("198.51.100.1", "198.51.100.7").build();
    world.send(NODES, eth().src(NODE_A.mac).dst(own_mac(NODES)).arp_reply("192.168.0.11", "192.168.0.1").build());
    world.send(UPLINK, answer);
    let out = world.sent_by(UPLINK).remove(0);
    assert_eq!((&out[..6], &out[26..30]), (&ROUTER[..], &[198, 51, 100, 7][..]));
    assert_eq!(checksum::verify(&out), Ok(()));
    let port = u16::from_be_bytes([out[34], out[35]]);
    assert!(port >= 1024);
    let link = || eth().src(ROUTER).dst(own_mac(UPLINK));
    world.send(UPLINK, link().ipv4("8.8.8.8", "198.51.100.7").ttl(9).udp(53, port).payload("answer").build());
    let inside = eth().src(own_mac(NODES)).dst(NODE_A.mac).ipv4("8.8.8.8", "10.1.0.10").ttl(8);
    world.expect(NODES, &[inside.udp(53, 5000).payload("answer").build()]);
    // What belongs to no session is for the gateway itself.
    let ping = link().ipv4("8.8.8.8", "198.51.100.7").icmp_echo_request(7, 1).build();
    assert_eq!(world.send(UPLINK, ping), Verdict::Reply(UPLINK));
    let stranger = link().ipv4("8.8.8.8", "198.51.100.7").udp(53, port ^ 1).build();
    assert_eq!(world.send(UPLINK, stranger), Verdict::Reply(UPLINK), "port unreachable");
}

#[test]
fn masquerading_takes_the_first_address_of_the_port() {
    let mut world = gateway(r#"["203.0.113.2/24", "203.0.113.3/24", "198.51.100.7/24"]"#, "\"masquerade\"", "");
    world.send(UPLINK, eth().src(ROUTER).dst(own_mac(UPLINK)).arp_request("198.51.100.1", "198.51.100.7").build());
    world.sent();
    world.send(NODES, from_pod("198.51.100.1"));
    assert_eq!(world.sent_by(UPLINK)[0][26..30], [203, 0, 113, 2]);
}

#[test]
fn the_longest_static_route_decides_and_does_what_it_says() {
    let mut world = gateway(
        r#"["203.0.113.2/24"]"#,
        "\"masquerade\"",
        r#"
[[route]]
to = "0.0.0.0/0"
via = "203.0.113.1"
[[route]]
to = "172.16.0.0/12"
type = "unreachable"
[[route]]
to = "172.20.0.0/16"
type = "prohibit"
[[route]]
to = "172.20.1.0/24"
type = "blackhole"
[[route]]
to = "172.20.1.1/32"
via = "203.0.113.9"
[[route]]
to = "172.20.2.0/24"
type = "blackhole"
cluster = "blue"
"#,
    );
    world.send(UPLINK, eth().src(ROUTER).dst(own_mac(UPLINK)).arp_reply("203.0.113.1", "203.0.113.2").build());
    assert_eq!(world.send(NODES, from_pod("8.8.8.8")), Verdict::Forward(UPLINK));
    world.sent();
    for (target, error) in [("172.16.0.1", (3, 1)), ("172.31.255.255", (3, 1)), ("172.20.0.1", (3, 13))] {
        assert_eq!(world.send(NODES, from_pod(target)), Verdict::Reply(NODES));
        let reply = world.sent_by(NODES).remove(0);
        assert_eq!((reply[34], reply[35]), error, "{target}");
    }
    assert_eq!(world.send(NODES, from_pod("172.20.1.2")), Verdict::Drop(DropReason::Blackhole));
    assert_eq!(
        world.send(NODES, from_pod("172.20.1.1")),
        Verdict::Punt(PuntReason::Unresolved),
        "its router is asked for"
    );
    assert_eq!(
        world.send(NODES, from_pod("172.20.2.1")),
        Verdict::Drop(DropReason::Blackhole),
        "the island's own route"
    );
    let outside = eth().src(ROUTER).dst(own_mac(UPLINK)).ipv4("8.8.8.8", "172.20.2.1").udp(1, 2).build();
    assert_eq!(world.send(UPLINK, outside), Verdict::Reply(UPLINK), "which is nobody else's");
}

#[test]
fn a_pool_that_holds_the_end_of_a_subnet_gets_its_answers_there_too() {
    let more = "[[pool]]\nname = \"egress\"\naddresses = [\"203.0.113.255\"]";
    let mut world = gateway(r#"["203.0.113.2/24"]"#, "\"egress\"", more);
    world.send(UPLINK, eth().src(ROUTER).dst(own_mac(UPLINK)).arp_request("203.0.113.10", "203.0.113.2").build());
    world.send(NODES, eth().src(NODE_A.mac).dst(own_mac(NODES)).arp_reply("192.168.0.11", "192.168.0.1").build());
    world.sent();
    world.send(NODES, from_pod("203.0.113.10"));
    let out = world.sent_by(UPLINK).remove(0);
    let port = u16::from_be_bytes([out[34], out[35]]);
    let answer = eth().src(ROUTER).dst(own_mac(UPLINK)).ipv4("203.0.113.10", "203.0.113.255").udp(53, port).build();
    assert_eq!(world.send(UPLINK, answer), Verdict::Forward(NODES));
}

#[test]
fn one_route_is_left_of_those_to_one_destination_and_an_own_address_is_the_strongest() {
    // The second address is where the broadcast of the first one's subnet is.
    let world = gateway(r#"["172.16.0.1/24", "172.16.0.255/16", "172.16.0.9/24"]"#, "\"masquerade\"", "");
    let routes: Vec<_> = world.control.routes().collect();
    let mut destinations: Vec<_> = routes.iter().map(|route| (route.domain, route.to)).collect();
    let count = destinations.len();
    destinations.dedup();
    assert_eq!(destinations.len(), count);
    let to = |net: &str| {
        let to = net.parse().expect("a prefix");
        routes.iter().find(|route| route.domain.0 == 0 && route.to == to).map(|route| route.via.clone())
    };
    assert_eq!(to("172.16.0.255/32"), Some(Via::Local));
    assert_eq!(to("172.16.0.0/32"), Some(Via::Blackhole));
    assert_eq!(to("172.16.0.1/32"), Some(Via::LocalTranslated));
}

#[test]
fn an_island_leaves_for_own_addresses_that_are_translated_and_keeps_the_others() {
    let via = |addresses: &str, to: &str, domain| {
        let world = gateway(addresses, "\"masquerade\"", "");
        let to = to.parse().expect("a prefix");
        let found = world.control.routes().find(|route| route.domain == VrfId(domain) && route.to == to);
        found.expect("there is a route").via
    };
    let uplink = r#"["203.0.113.2/24", "203.0.113.3/24", "fe80::1/64"]"#;
    assert_eq!(via(uplink, "203.0.113.2/32", 0), Via::LocalTranslated);
    assert_eq!(via(uplink, "203.0.113.2/32", 1), Via::Egress(VrfId::MAIN));
    assert_eq!(via(uplink, "203.0.113.3/32", 1), Via::Local, "not the first one of the port");
    assert_eq!(via(uplink, "192.168.0.1/32", 1), Via::Local, "pods do not hide behind the nodes' side");
    assert_eq!(via(uplink, "fe80::1/128", 1), Via::Local, "it means the link");
}

#[test]
fn a_port_answers_by_an_address_that_is_known_beyond_its_link() {
    let mut world = gateway(r#"["fe80::1/64", "2001:db8:1::2/64"]"#, "\"masquerade\"", "");
    let server = eth().src(ROUTER).dst(own_mac(UPLINK));
    let packet = server.ipv6("2001:db8:1::10", "2001:db8:9::1").udp(1, 2).build();
    assert_eq!(world.send(UPLINK, packet), Verdict::Reply(UPLINK));
    let reply = world.sent_by(UPLINK).remove(0);
    assert_eq!(reply[22..38], "2001:db8:1::2".to_ipv6().octets());
}

#[test]
fn a_pod_has_as_many_sessions_as_its_cluster_lets_it() {
    let server = "[[neighbor]]\nport = \"uplink\"\naddress = \"203.0.113.9\"\nmac = \"02:00:00:00:01:fe\"\n";
    let mut world = gateway("[\"203.0.113.2/24\"]", "\"masquerade\"\nsessions-per-pod = 2", server);
    let flow = |pod: &str, port: u16| NODE_A.eth().ipv4(pod, "203.0.113.9").ttl(64).udp(port, 53).build();
    for port in [1, 2, 1, 2] {
        assert_eq!(world.send(NODES, flow("10.1.0.10", port)), Verdict::Forward(UPLINK));
    }
    assert_eq!(world.send(NODES, flow("10.1.0.10", 3)), Verdict::Reply(NODES));
    assert_eq!(world.send(NODES, flow("10.1.0.11", 3)), Verdict::Forward(UPLINK));
}
