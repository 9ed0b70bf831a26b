//! Clusters whose pods are routable from everywhere: `configs/flat.toml`.

use std::net::Ipv4Addr;

use causeway_fastpath::verdict::{DropReason, Verdict};
use causeway_testkit::packet::*;

use crate::sites::{
    ONE as GREEN, OTHER as AMBER, OUTSIDE, UPLINK, acquainted, from_node, from_router, source, to_node, to_router,
};
use crate::world::{World, configs};

/// On node .11 of each cluster.
const GREEN_POD: &str = "10.1.0.5";
const AMBER_POD: &str = "10.2.0.7";
const OTHER_SITE: &str = "10.200.3.4";

fn text() -> String {
    std::fs::read_to_string(configs().join("flat.toml")).expect("the file is there")
}

fn flat() -> World {
    acquainted(World::load("flat.toml"))
}

/// The same without any translation.
fn plain() -> World {
    acquainted(World::start(&text().replace("egress = \"egress\"", "egress = \"none\"")))
}

fn in_pool(address: Ipv4Addr) -> bool {
    (16..24).contains(&address.octets()[3]) && address.octets()[..3] == [203, 0, 113]
}

#[test]
fn pods_of_flat_clusters_meet_untranslated_and_untracked_both_ways() {
    for mut world in [flat(), plain()] {
        let there = |link: Eth, ttl| link.ipv4(GREEN_POD, AMBER_POD).ttl(ttl).tcp(1, 443).flags(SYN).build();
        world.send(GREEN, there(from_node(GREEN, 11), 64));
        world.expect(AMBER, &[there(to_node(AMBER, 11), 63)]);
        let back = |link: Eth, ttl| link.ipv4(AMBER_POD, GREEN_POD).ttl(ttl).tcp(443, 1).flags(SYN | ACK).build();
        world.send(AMBER, back(from_node(AMBER, 11), 64));
        world.expect(GREEN, &[back(to_node(GREEN, 11), 63)]);
        let within = |link: Eth, ttl| link.ipv4(GREEN_POD, "10.1.1.5").ttl(ttl).sctp(1, 2, 3, b"chunks").build();
        world.send(GREEN, within(from_node(GREEN, 11), 64));
        world.expect(GREEN, &[within(to_node(GREEN, 12), 63)]);
        assert_eq!(world.forwarder.sessions(), (0, 0));
    }
}

#[test]
fn pods_and_whatever_is_inside_meet_under_their_own_addresses() {
    for mut world in [flat(), plain()] {
        // Hosts on subnets of the gateway, nodes of the other cluster, other sites.
        for (port, link, peer) in [
            (UPLINK, (from_router(), to_router()), "203.0.113.10"),
            (UPLINK, (from_router(), to_router()), OTHER_SITE),
            (AMBER, (from_node(AMBER, 12), to_node(AMBER, 12)), "192.168.2.12"),
            (GREEN, (from_node(GREEN, 12), to_node(GREEN, 12)), "192.168.1.12"),
        ] {
            for (pod_begins, flags) in [(true, SYN), (true, ACK), (false, SYN), (false, RST)] {
                let out = |link: Eth, ttl| link.ipv4(GREEN_POD, peer).ttl(ttl).tcp(1, 2).flags(flags).build();
                let back = |link: Eth, ttl| link.ipv4(peer, GREEN_POD).ttl(ttl).tcp(2, 1).flags(flags).build();
                if pod_begins {
                    world.send(GREEN, out(from_node(GREEN, 11), 64));
                    world.expect(port, &[out(link.1.clone(), 63)]);
                } else {
                    world.send(port, back(link.0.clone(), 64));
                    world.expect(GREEN, &[back(to_node(GREEN, 11), 63)]);
                }
            }
            let other = |link: Eth, ttl| link.ipv4(peer, GREEN_POD).ttl(ttl).gre(0x88b5, b"tunnelled").build();
            world.send(port, other(link.0.clone(), 64));
            world.expect(GREEN, &[other(to_node(GREEN, 11), 63)]);
        }
        assert_eq!(world.forwarder.sessions(), (0, 0), "nothing of it is tracked");
    }
}

#[test]
fn toward_the_internet_pods_have_an_address_of_the_pool() {
    let mut world = flat();
    world.send(GREEN, from_node(GREEN, 11).ipv4(GREEN_POD, OUTSIDE).ttl(64).udp(5_000, 53).payload("hello").build());
    let out = world.sent_by(UPLINK).remove(0);
    let (address, port) = source(&out);
    assert!(in_pool(address), "{address}");
    let answer = from_router().ipv4(OUTSIDE, address).ttl(64).udp(53, port).payload("answer").build();
    world.send(UPLINK, answer);
    let answered = to_node(GREEN, 11).ipv4(OUTSIDE, GREEN_POD).ttl(63).udp(53, 5_000).payload("answer").build();
    world.expect(GREEN, &[answered]);
    let stray = from_node(GREEN, 11).ipv4(GREEN_POD, OUTSIDE).tcp(1, 2).flags(ACK).build();
    assert_eq!(world.send(GREEN, stray), Verdict::Drop(DropReason::NatTcpNotSyn), "no private address leaks");
    let gre = from_node(GREEN, 11).ipv4(GREEN_POD, OUTSIDE).gre(0x0800, b"").build();
    assert_eq!(world.send(GREEN, gre), Verdict::Reply(GREEN), "refused, and the sender told");
    let spoof = from_node(GREEN, 11).ipv4("10.9.0.5", OUTSIDE).udp(1, 2).build();
    assert_eq!(world.send(GREEN, spoof), Verdict::Drop(DropReason::NotInIsland));
}

#[test]
fn without_egress_pods_are_under_their_own_addresses_everywhere() {
    let mut world = plain();
    let out = |link: Eth, ttl| link.ipv4(GREEN_POD, OUTSIDE).ttl(ttl).udp(5_000, 53).payload("hello").build();
    world.send(GREEN, out(from_node(GREEN, 11), 64));
    world.expect(UPLINK, &[out(to_router(), 63)]);
    let back = |link: Eth, ttl| link.ipv4(OUTSIDE, GREEN_POD).ttl(ttl).tcp(53, 5_000).flags(SYN).build();
    world.send(UPLINK, back(from_router(), 64));
    world.expect(GREEN, &[back(to_node(GREEN, 11), 63)]);
    assert_eq!(world.forwarder.sessions(), (0, 0));
    assert_eq!(world.control.domain_of(causeway_control::config::PortIdx(0)), "main");
}

#[test]
fn what_the_internet_begins_with_a_pod_is_answered_under_the_address_of_the_pod() {
    let mut world = flat();
    let ask = |link: Eth, ttl, flags| link.ipv4(OUTSIDE, GREEN_POD).ttl(ttl).tcp(40_000, 443).flags(flags).build();
    let answer = |link: Eth, ttl, flags| link.ipv4(GREEN_POD, OUTSIDE).ttl(ttl).tcp(443, 40_000).flags(flags).build();
    for (from_outside, flags) in [(true, SYN), (false, SYN | ACK), (true, ACK), (false, ACK)] {
        if from_outside {
            world.send(UPLINK, ask(from_router(), 64, flags));
            world.expect(GREEN, &[ask(to_node(GREEN, 11), 63, flags)]);
        } else {
            world.send(GREEN, answer(from_node(GREEN, 11), 64, flags));
            world.expect(UPLINK, &[answer(to_router(), 63, flags)]);
        }
    }
    let ping = |link: Eth, ttl| link.ipv4(OUTSIDE, GREEN_POD).ttl(ttl).icmp_echo_request(7, 1).build();
    world.send(UPLINK, ping(from_router(), 64));
    world.expect(GREEN, &[ping(to_node(GREEN, 11), 63)]);
    let pong = |link: Eth, ttl| link.ipv4(GREEN_POD, OUTSIDE).ttl(ttl).icmp_echo_reply(7, 1).build();
    world.send(GREEN, pong(from_node(GREEN, 11), 64));
    world.expect(UPLINK, &[pong(to_router(), 63)]);
    assert_eq!(world.forwarder.sessions(), (2, 0));
    let stray = ask(from_router(), 64, ACK)[..].to_vec();
    assert_eq!(world.send(UPLINK, stray), Verdict::Forward(GREEN), "it is of the session");
    world.sent();
    let other = from_router().ipv4(OUTSIDE, GREEN_POD).tcp(40_001, 443).flags(ACK).build();
    assert_eq!(world.send(UPLINK, other), Verdict::Drop(DropReason::NatTcpNotSyn));
}

#[test]
fn fragments_that_the_internet_sends_to_a_pod_arrive_and_so_do_the_answers() {
    let mut world = flat();
    let question =
        |link: Eth, ttl| link.ipv4(OUTSIDE, GREEN_POD).ttl(ttl).udp(53, 53).payload([5; 3_000]).fragments(7, 1_400);
    for (came, expected) in question(from_router(), 64).iter().zip(question(to_node(GREEN, 11), 63)) {
        world.send(UPLINK, came);
        world.expect(GREEN, &[expected]);
    }
    let answer =
        |link: Eth, ttl| link.ipv4(GREEN_POD, OUTSIDE).ttl(ttl).udp(53, 53).payload([6; 3_000]).fragments(8, 1_400);
    for (came, expected) in answer(from_node(GREEN, 11), 64).iter().zip(answer(to_router(), 63)) {
        world.send(GREEN, came);
        world.expect(UPLINK, &[expected]);
    }
}

#[test]
fn errors_come_through_whether_the_flow_is_tracked_translated_or_neither() {
    let mut world = flat();
    let router = "192.0.2.77";
    let error = |link: Eth, from: &str, to: &str, ttl, about: &[u8]| {
        link.ipv4(from, to).ttl(ttl).icmp_error(3, 4, [0, 0, 5, 0], about).build()
    };
    // To another site, untracked: any router on the way may complain.
    let about = eth().ipv4(GREEN_POD, OTHER_SITE).udp(1, 2).packet();
    world.send(UPLINK, error(from_router(), router, GREEN_POD, 64, &about));
    world.expect(GREEN, &[error(to_node(GREEN, 11), router, GREEN_POD, 63, &about)]);
    // About what the pod sent to somewhere that its own address does not go.
    let about = eth().ipv4(GREEN_POD, OUTSIDE).udp(1, 2).packet();
    let verdict = world.send(UPLINK, error(from_router(), router, GREEN_POD, 64, &about));
    assert_eq!(verdict, Verdict::Drop(DropReason::NatIcmpErrorUnmatched));
    // Tracked: of the answer, from outside; of the question, from the pod's side.
    world.send(UPLINK, from_router().ipv4(OUTSIDE, GREEN_POD).ttl(64).udp(2, 1).build());
    world.sent();
    world.send(UPLINK, error(from_router(), router, GREEN_POD, 64, &about));
    world.expect(GREEN, &[error(to_node(GREEN, 11), router, GREEN_POD, 63, &about)]);
    let about = eth().ipv4(OUTSIDE, GREEN_POD).udp(2, 1).packet();
    world.send(GREEN, error(from_node(GREEN, 11), "192.168.1.11", OUTSIDE, 64, &about));
    world.expect(UPLINK, &[error(to_router(), "192.168.1.11", OUTSIDE, 63, &about)]);
}

#[test]
fn a_flow_has_one_name_at_a_time() {
    let mut world = flat();
    world.send(GREEN, from_node(GREEN, 11).ipv4(GREEN_POD, OUTSIDE).udp(1, 2).build());
    world.sent();
    let same = from_router().ipv4(OUTSIDE, GREEN_POD).udp(2, 1).build();
    assert_eq!(world.send(UPLINK, same), Verdict::Drop(DropReason::NatConflict));
}

#[test]
fn nodes_are_under_their_own_addresses_everywhere() {
    let mut world = flat();
    let out = |link: Eth, ttl| link.ipv4("192.168.1.11", OUTSIDE).ttl(ttl).tcp(1, 2).flags(ACK).build();
    world.send(GREEN, out(from_node(GREEN, 11), 64));
    world.expect(UPLINK, &[out(to_router(), 63)]);
    let back = |link: Eth, ttl| link.ipv4(OUTSIDE, "192.168.1.11").ttl(ttl).tcp(2, 1).flags(ACK).build();
    world.send(UPLINK, back(from_router(), 64));
    world.expect(GREEN, &[back(to_node(GREEN, 11), 63)]);
}

#[test]
fn a_forward_leads_to_a_pod_from_outside_and_from_other_pods() {
    let forward = "[[forward]]\ncluster = \"green\"\naddress = \"203.0.113.16\"\nprotocol = \"udp\"\nport = 53\nto = \"10.1.0.5\"\n";
    for egress in ["egress = \"egress\"", "egress = \"none\""] {
        let mut world = acquainted(World::start(&(text().replace("egress = \"egress\"", egress) + forward)));
        let ask = |link: Eth, from: &str, to: &str, ttl| link.ipv4(from, to).ttl(ttl).udp(5_000, 53).build();
        world.send(UPLINK, ask(from_router(), OUTSIDE, "203.0.113.16", 64));
        world.expect(GREEN, &[ask(to_node(GREEN, 11), OUTSIDE, GREEN_POD, 63)]);
        world.send(GREEN, from_node(GREEN, 11).ipv4(GREEN_POD, OUTSIDE).ttl(64).udp(53, 5_000).build());
        world.expect(UPLINK, &[to_router().ipv4("203.0.113.16", OUTSIDE).ttl(63).udp(53, 5_000).build()]);
        // From inside it takes a name to come in again.
        let inside = world.send(AMBER, ask(from_node(AMBER, 11), AMBER_POD, "203.0.113.16", 64));
        if egress == "egress = \"none\"" {
            assert_eq!(inside, Verdict::Drop(DropReason::NatHairpin));
            continue;
        }
        let (asker, port) = source(&world.sent_by(GREEN).remove(0));
        assert!(in_pool(asker), "{asker}");
        world.send(GREEN, from_node(GREEN, 11).ipv4(GREEN_POD, asker).ttl(64).udp(53, port).build());
        world.expect(AMBER, &[to_node(AMBER, 11).ipv4("203.0.113.16", AMBER_POD).ttl(63).udp(53, 5_000).build()]);
    }
}

/// Flat on the first port; on the second a cluster of another model, with more lines.
fn beside(model: &str, more: &str) -> World {
    let text = text().replace(
        "egress = \"egress\"\nnon-masquerade-cidrs = [\"10.200.0.0/16\"]\n\n[[cluster.node]]\nname = \"amber-a\"",
        "EGRESS\n\n[[cluster.node]]\nname = \"amber-a\"",
    );
    let (first, second) = text.rsplit_once("model = \"flat\"").expect("there are two");
    acquainted(World::start(&format!("{first}model = \"{model}\"{}", second.replace("EGRESS", more))))
}

#[test]
fn pods_of_an_island_reach_flat_pods_under_their_names_and_are_answered() {
    for egress in ["egress = \"egress\"", "egress = \"masquerade\""] {
        let mut world = beside("island", egress);
        world.send(AMBER, from_node(AMBER, 11).ipv4(AMBER_POD, GREEN_POD).ttl(64).tcp(5_000, 80).flags(SYN).build());
        let asked = world.sent_by(GREEN).remove(0);
        let (asker, port) = source(&asked);
        let own = Ipv4Addr::new(192, 168, 1, 1);
        assert!(if egress.contains("masq") { asker == own } else { in_pool(asker) }, "{asker}");
        world.send(GREEN, from_node(GREEN, 11).ipv4(GREEN_POD, asker).ttl(64).tcp(80, port).flags(SYN | ACK).build());
        let answered = to_node(AMBER, 11).ipv4(GREEN_POD, AMBER_POD).ttl(63).tcp(80, 5_000).flags(SYN | ACK).build();
        world.expect(AMBER, &[answered]);
        // A complaint of the flat pod finds the way that the answer went.
        let complaint = |link: Eth, to: &str, about: &[u8], ttl| {
            link.ip(GREEN_POD, to).ttl(ttl).icmp_error(3, 4, [0, 0, 5, 0], about).build()
        };
        let seen = eth().ip(asker.to_string().as_str(), GREEN_POD).tcp(port, 80).packet();
        world.send(GREEN, complaint(from_node(GREEN, 11), &asker.to_string(), &seen, 64));
        let sent = eth().ip(AMBER_POD, GREEN_POD).tcp(5_000, 80).packet();
        world.expect(AMBER, &[complaint(to_node(AMBER, 11), AMBER_POD, &sent, 63)]);
        // The island is not entered.
        let other = from_node(GREEN, 11).ipv4(GREEN_POD, AMBER_POD).tcp(1, 2).flags(SYN).build();
        assert_eq!(world.send(GREEN, other), Verdict::Reply(GREEN));
        world.sent();
        // Its nodes are, and enter, under their own addresses.
        let node = |link: Eth, ttl| link.ipv4("192.168.2.11", GREEN_POD).ttl(ttl).tcp(5_000, 80).flags(SYN).build();
        world.send(AMBER, node(from_node(AMBER, 11), 64));
        world.expect(GREEN, &[node(to_node(GREEN, 11), 63)]);
        let back = |link: Eth, ttl| link.ipv4(GREEN_POD, "192.168.2.11").ttl(ttl).tcp(80, 5_000).flags(ACK).build();
        world.send(GREEN, back(from_node(GREEN, 11), 64));
        world.expect(AMBER, &[back(to_node(AMBER, 11), 63)]);
    }
}

#[test]
fn isolated_pods_and_flat_pods_do_not_meet() {
    let mut world = beside("isolated", "");
    let there = from_node(GREEN, 11).ipv4(GREEN_POD, AMBER_POD).udp(1, 2).build();
    assert_eq!(world.send(GREEN, there), Verdict::Reply(GREEN), "prohibited");
    assert_eq!(world.sent_by(GREEN)[0][34..36], [3, 13]);
    let back = from_node(AMBER, 11).ipv4(AMBER_POD, GREEN_POD).udp(1, 2).build();
    assert_eq!(world.send(AMBER, back), Verdict::Reply(AMBER));
    assert_eq!(world.sent_by(AMBER)[0][34..36], [3, 13]);
}

#[test]
fn the_second_family_is_flat_in_the_same_way() {
    let mut world = flat();
    for (port, last, address, own) in
        [(GREEN, 11, "fd00:a1::11", "fd00:a1::1"), (AMBER, 11, "fd00:a2::11", "fd00:a2::1")]
    {
        let solicitation = from_node(port, last).ipv6(address, own).ttl(255);
        world.send(port, solicitation.neighbour_advertisement(address, 6).build());
    }
    let router = from_router().ipv6("2001:db8:1::1", "2001:db8:1::2").ttl(255);
    world.send(UPLINK, router.neighbour_advertisement("2001:db8:1::1", 6).build());
    world.sent();
    let (green, amber, outside) = ("fd00:10:1::5", "fd00:10:2::7", "2001:db8:9::9");
    let there = |link: Eth, ttl| link.ipv6(green, amber).ttl(ttl).udp(1, 2).build();
    world.send(GREEN, there(from_node(GREEN, 11), 64));
    world.expect(AMBER, &[there(to_node(AMBER, 11), 63)]);
    world.send(GREEN, from_node(GREEN, 11).ipv6(green, outside).udp(1, 2).build());
    assert_eq!(world.sent_by(UPLINK)[0][22..28], [0x20, 1, 0xd, 0xb8, 0, 1], "a name of the pool");
    let in_by = |link: Eth, ttl| link.ipv6(outside, green).ttl(ttl).tcp(9, 80).flags(SYN).build();
    world.send(UPLINK, in_by(from_router(), 64));
    world.expect(GREEN, &[in_by(to_node(GREEN, 11), 63)]);
}

#[test]
fn a_pod_cidr_that_no_node_has_leads_nowhere_and_not_to_the_default_route() {
    for mut world in [flat(), plain()] {
        for (port, link) in [(UPLINK, from_router()), (AMBER, from_node(AMBER, 11))] {
            let from = if port == UPLINK { OUTSIDE } else { AMBER_POD };
            let lost = link.ip(from, "10.1.200.5").udp(1, 2).build();
            assert_eq!(world.send(port, lost), Verdict::Reply(port), "{from}");
            assert_eq!(world.sent_by(port)[0][34..36], [3, 1], "host unreachable");
        }
    }
}
