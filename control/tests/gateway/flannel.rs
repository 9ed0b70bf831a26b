//! Islands that behave as their nodes would with `flanneld --ip-masq`.

use causeway_fastpath::verdict::{DropReason, Verdict};
use causeway_testkit::packet::*;

use crate::sites::{
    ONE as NODES, OTHER as ISLAND, OUTSIDE, UPLINK, acquainted, from_node, from_router, source, to_node, to_router,
};
use crate::world::World;

const POD: &str = "10.244.0.5";

/// A flannel network beside an ordinary island.
fn gateway(variant: &str, egress: &str) -> World {
    let port = |name: &str, address: &str| {
        format!("[[port]]\nname = \"{name}\"\ndriver = \"memory\"\naddresses = [\"{address}/24\"]\n")
    };
    acquainted(World::start(&format!(
        "gateway.name = \"gw\"\n{}{}{}[[route]]\nto = \"0.0.0.0/0\"\nvia = \"203.0.113.1\"\n\
         [[pool]]\nname = \"egress\"\naddresses = [\"203.0.113.16/29\"]\n\
         [[cluster]]\nname = \"f\"\nmodel = \"island\"\npod-cidrs = [\"10.244.0.0/16\"]\negress = \"{egress}\"\n\
         flannel-ip-masq = \"{variant}\"\n[[cluster.node]]\nname = \"a\"\naddress = \"192.168.1.11\"\n\
         [[cluster]]\nname = \"i\"\nmodel = \"island\"\npod-cidrs = [\"10.1.0.0/16\"]\negress = \"egress\"\n\
         [[cluster.node]]\nname = \"b\"\naddress = \"192.168.2.11\"\n",
        port("nodes", "192.168.1.1"),
        port("others", "192.168.2.1"),
        port("uplink", "203.0.113.2"),
    )))
}

#[test]
fn who_comes_from_outside_is_seen_with_nft_and_hidden_with_iptables() {
    for egress in ["egress", "masquerade"] {
        for (variant, hidden) in [("nft", false), ("iptables", true)] {
            let mut world = gateway(variant, egress);
            world.send(UPLINK, from_router().ipv4(OUTSIDE, POD).ttl(64).tcp(40_000, 80).flags(SYN).build());
            let asked = world.sent_by(NODES).remove(0);
            let (asker, port) = source(&asked);
            let expected = if hidden { "192.168.1.1" } else { OUTSIDE };
            assert_eq!(asker.to_string(), expected, "{variant}");
            assert!(hidden || port == 40_000);
            let answer = from_node(NODES, 11).ipv4(POD, asker).ttl(64).tcp(80, port).flags(SYN | ACK).build();
            world.send(NODES, answer);
            let answered = to_router().ipv4(POD, OUTSIDE).ttl(63).tcp(80, 40_000).flags(SYN | ACK).build();
            world.expect(UPLINK, &[answered]);
            // What the pod begins has a name, with either.
            world.send(NODES, from_node(NODES, 11).ipv4(POD, OUTSIDE).udp(1, 2).build());
            assert_ne!(source(&world.sent_by(UPLINK).remove(0)).0.to_string(), POD);
            let group = from_node(NODES, 11).ipv4(POD, "224.0.1.7").udp(1, 2).build();
            assert_eq!(world.send(NODES, group), Verdict::Drop(DropReason::Multicast), "it stays on its link");
            assert_eq!(world.forwarder.sessions(), (2, 0));
        }
    }
}

#[test]
fn hidden_strangers_get_half_of_the_table_and_the_gateway_stays_what_it_is() {
    let mut world = gateway("iptables", "egress");
    let ask = |port: u16, to: u16| from_router().ipv4(OUTSIDE, POD).udp(port, to).build();
    for port in 1..=1_000 {
        assert_eq!(world.send(UPLINK, ask(port, 53)), Verdict::Forward(NODES), "{port}");
    }
    assert_eq!(world.send(UPLINK, ask(1_001, 53)), Verdict::Reply(UPLINK), "refused");
    assert_eq!(world.send(NODES, from_node(NODES, 11).ipv4(POD, OUTSIDE).udp(1, 2).build()), Verdict::Forward(UPLINK));
    // The address behind which they are is still the gateway's own.
    let ping = from_node(NODES, 11).ipv4(POD, "192.168.1.1").icmp_echo_request(7, 1).build();
    assert_eq!(world.send(NODES, ping), Verdict::Reply(NODES));
    let ping = from_node(NODES, 11).ipv4("192.168.1.11", "192.168.1.1").icmp_echo_request(7, 1).build();
    assert_eq!(world.send(NODES, ping), Verdict::Reply(NODES));
}

#[test]
fn pods_of_an_island_reach_the_network_under_their_names() {
    let mut world = gateway("iptables", "egress");
    world.send(ISLAND, from_node(ISLAND, 11).ipv4("10.1.0.5", POD).ttl(64).tcp(5_000, 80).flags(SYN).build());
    let (asker, port) = source(&world.sent_by(NODES).remove(0));
    assert_eq!(asker.octets()[..3], [203, 0, 113]);
    world.send(NODES, from_node(NODES, 11).ipv4(POD, asker).ttl(64).tcp(80, port).flags(SYN | ACK).build());
    let answered = to_node(ISLAND, 11).ipv4(POD, "10.1.0.5").ttl(63).tcp(80, 5_000).flags(SYN | ACK).build();
    world.expect(ISLAND, &[answered]);
}
