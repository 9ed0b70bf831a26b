//! Destinations toward which the pods of an island keep their own addresses.

use std::net::Ipv4Addr;

use causeway_fastpath::verdict::{DropReason, Verdict};
use causeway_testkit::packet::*;

use crate::sites::{ONE, OTHER, OUTSIDE, UPLINK, acquainted, from_node, from_router, source, to_node, to_router};
use crate::world::World;

const POD: &str = "10.1.0.5";
/// With static NAT.
const KNOWN_POD: &str = "10.1.0.9";
const EXEMPTED: &str = "10.200.3.4";

/// Two islands with the same pods; toward private addresses, and the subnet of the
/// uplink, those of the first one keep theirs.
fn gateway() -> World {
    let island = |name: &str, n: u8, more: &str| {
        format!(
            "[[cluster]]\nname = \"{name}\"\nmodel = \"island\"\npod-cidrs = [\"10.1.0.0/16\"]\negress = \"egress\"\n{more}\
             [[cluster.node]]\nname = \"a\"\naddress = \"192.168.{n}.11\"\n"
        )
    };
    let port = |name: &str, address: &str| {
        format!("[[port]]\nname = \"{name}\"\ndriver = \"memory\"\naddresses = [\"{address}/24\"]\n")
    };
    let text = format!(
        "gateway.name = \"gw\"\n{}{}{}[[route]]\nto = \"0.0.0.0/0\"\nvia = \"203.0.113.1\"\n\
         [[pool]]\nname = \"egress\"\naddresses = [\"203.0.113.16/29\"]\n{}{}\
         [[static-nat]]\ncluster = \"one\"\naddress = \"203.0.113.41\"\nto = \"{KNOWN_POD}\"\n\
         [[forward]]\ncluster = \"other\"\naddress = \"203.0.113.16\"\nprotocol = \"udp\"\nport = 53\nto = \"10.1.0.5\"\n",
        port("one", "192.168.1.1"),
        port("other", "192.168.2.1"),
        port("uplink", "203.0.113.2"),
        island("one", 1, "non-masquerade-cidrs = [\"ip-masq-agent\", \"203.0.113.0/24\"]\n"),
        island("other", 2, ""),
    );
    acquainted(World::start(&text))
}

#[test]
fn an_exempted_destination_sees_the_pod_and_answers_it() {
    let mut world = gateway();
    for (pod, peer) in [(POD, EXEMPTED), (POD, "203.0.113.10"), (KNOWN_POD, EXEMPTED)] {
        let out = |link: Eth, ttl| link.ipv4(pod, peer).ttl(ttl).tcp(5_000, 443).flags(SYN).build();
        world.send(ONE, out(from_node(ONE, 11), 64));
        world.expect(UPLINK, &[out(to_router(), 63)]);
        let back = |link: Eth, ttl| link.ipv4(peer, pod).ttl(ttl).tcp(443, 5_000).flags(SYN | ACK).build();
        world.send(UPLINK, back(from_router(), 64));
        world.expect(ONE, &[back(to_node(ONE, 11), 63)]);
    }
    let begun = from_router().ipv4(EXEMPTED, POD).tcp(1, 443).flags(SYN).build();
    assert_eq!(world.send(UPLINK, begun), Verdict::Drop(DropReason::NatUnsolicited));
}

#[test]
fn everybody_else_and_every_other_cluster_is_translated_as_before() {
    let mut world = gateway();
    let name = |world: &mut World, port, pod: &str, peer: &str| {
        world.send(port, from_node(port, 11).ipv4(pod, peer).udp(5_000, 99).build());
        source(&world.sent_by(UPLINK).remove(0)).0
    };
    let pooled = |address: Ipv4Addr| address.octets()[..3] == [203, 0, 113] && (16..24).contains(&address.octets()[3]);
    assert!(pooled(name(&mut world, ONE, POD, OUTSIDE)));
    assert_eq!(name(&mut world, ONE, KNOWN_POD, OUTSIDE), Ipv4Addr::new(203, 0, 113, 41));
    assert!(pooled(name(&mut world, OTHER, POD, EXEMPTED)));
}

#[test]
fn what_comes_in_again_has_a_name_though_its_public_address_is_exempted() {
    let mut world = gateway();
    world.send(ONE, from_node(ONE, 11).ipv4(POD, "203.0.113.16").ttl(64).udp(5_000, 53).build());
    let (asker, port) = source(&world.sent_by(OTHER).remove(0));
    assert_ne!(asker, Ipv4Addr::new(10, 1, 0, 5), "in the other island somebody else has it");
    world.send(OTHER, from_node(OTHER, 11).ipv4("10.1.0.5", asker).ttl(64).udp(53, port).build());
    world.expect(ONE, &[to_node(ONE, 11).ipv4("203.0.113.16", POD).ttl(63).udp(53, 5_000).build()]);
}

#[test]
fn nodes_do_not_walk_through_exemptions() {
    let world = gateway();
    let rules = &world.snapshot.v4.egress[1];
    let node = u32::from_be_bytes([192, 168, 1, 11]);
    assert!(rules[0].matches(node, 0), "they come by for each packet of theirs");
    assert_eq!(rules.len(), 1 + 5 + 1 + 1 + 1, "nodes, exemptions, static NAT, pods, nobody");
}
