//! IPv6 neighbour discovery: RFC 4861, RFC 4862.

use causeway_control::neighbors::State;
use causeway_fastpath::verdict::{DropReason, PuntReason, Verdict};
use causeway_testkit::packet::*;

use crate::lab::*;
use crate::world::{World, own_mac};

const ROUTER: u8 = 4;

/// The gateway's advertisement for `target` to somebody who asked.
fn advert(target: &str, to: &Host, address: &str) -> Vec<u8> {
    let flags = ROUTER | SOLICITED | OVERRIDE;
    eth().src(own_mac(to.port)).dst(to.mac).ipv6(target, address).neighbour_advertisement(target, flags).build()
}

/// A solicitation from the server for the gateway, to be made worse.
fn solicitation(target: &str) -> Icmp {
    let group = solicited_node(target);
    SERVER.eth().dst(multicast_mac(group)).ipv6("2001:db8:1::10", group).neighbour_solicitation(target)
}

#[test]
fn own_pool_and_link_local_addresses_are_answered_for() {
    let mut world = World::lab();
    let link_local = link_local(UPLINK);
    for target in ["2001:db8:1::2", "2001:db8:1::100", "2001:db8:1::107", link_local.as_str()] {
        assert_eq!(world.send(UPLINK, SERVER.asks(target)), Verdict::Punt(PuntReason::NeighborDiscovery));
        world.expect(UPLINK, &[advert(target, &SERVER, "2001:db8:1::10")]);
    }
    assert_eq!(world.state(UPLINK, "2001:db8:1::10"), Some((State::Reachable, Some(SERVER.mac))));
}

#[test]
fn nobody_else_is_answered_for() {
    let mut world = World::lab();
    let other_link_local = link_local(NODES);
    let targets = [
        "2001:db8:1::1",
        "2001:db8:1::108",
        "2001:db8:1::ff",
        "fd00:a::1",
        "fd00:10:0:1::5",
        other_link_local.as_str(),
    ];
    for target in targets {
        world.send(UPLINK, SERVER.asks(target));
        world.expect_silence();
    }
    assert_eq!(world.neighbor(UPLINK, "2001:db8:1::10"), None, "who does not ask us is not taken in");
}

#[test]
fn a_question_sent_to_the_gateway_alone_is_answered() {
    let mut world = World::lab();
    let probe = || SERVER.eth().ipv6("2001:db8:1::10", "2001:db8:1::2").neighbour_solicitation("2001:db8:1::2");
    world.send(UPLINK, probe().build());
    world.expect(UPLINK, &[advert("2001:db8:1::2", &SERVER, "2001:db8:1::10")]);
    // RFC 4861, 4.3: it may leave its link-layer address out, which is known by now.
    world.send(UPLINK, probe().without_options().build());
    world.expect(UPLINK, &[advert("2001:db8:1::2", &SERVER, "2001:db8:1::10")]);
}

#[test]
fn a_question_from_a_link_local_address_is_answered() {
    let mut world = World::lab();
    let group = solicited_node("2001:db8:1::2");
    let question =
        SERVER.eth().dst(multicast_mac(group)).ipv6("fe80::aa", group).neighbour_solicitation("2001:db8:1::2");
    world.send(UPLINK, question.build());
    world.expect(UPLINK, &[advert("2001:db8:1::2", &SERVER, "fe80::aa")]);
    assert_eq!(world.state(UPLINK, "fe80::aa"), Some((State::Reachable, Some(SERVER.mac))));
}

#[test]
fn duplicate_address_detection_is_answered_to_all_nodes() {
    let mut world = World::lab();
    let group = solicited_node("2001:db8:1::2");
    let probe = || SERVER.eth().dst(multicast_mac(group)).ipv6("::", group).neighbour_solicitation("2001:db8:1::2");
    let all_nodes = eth().src(own_mac(UPLINK)).dst(multicast_mac("ff02::1")).ipv6("2001:db8:1::2", "ff02::1");
    let advert = all_nodes.neighbour_advertisement("2001:db8:1::2", ROUTER | OVERRIDE).build();
    world.send(UPLINK, probe().without_options().build());
    world.expect(UPLINK, std::slice::from_ref(&advert));
    // RFC 7527: Linux adds a nonce.
    world.send(UPLINK, probe().without_options().nd_option(14, [1, 2, 3, 4, 5, 6]).build());
    world.expect(UPLINK, &[advert]);
    assert_eq!(world.neighbor(UPLINK, "::"), None);
    // RFC 4861, 7.1.1: neither with a link-layer address nor to us alone.
    world.send(UPLINK, probe().build());
    let alone = SERVER.eth().ipv6("::", "2001:db8:1::2").neighbour_solicitation("2001:db8:1::2").without_options();
    world.send(UPLINK, alone.build());
    world.expect_silence();
}

#[test]
fn a_solicitation_from_beyond_the_link_does_not_reach_control() {
    let mut world = World::lab();
    let group = solicited_node("2001:db8:1::2");
    for hops in [0, 1, 64, 254] {
        let ip = SERVER.eth().dst(multicast_mac(group)).ipv6("2001:db8:1::10", group).hop_limit(hops);
        let verdict = world.send(UPLINK, ip.neighbour_solicitation("2001:db8:1::2").build());
        assert_eq!(verdict, Verdict::Drop(DropReason::NdHopLimit));
    }
    world.expect_silence();
}

#[test]
fn a_solicitation_that_breaks_the_rules_is_ignored() {
    let mut world = World::lab();
    let good = || solicitation("2001:db8:1::2");
    let broken = [
        good().code(1).build(),
        good().bad_checksum().build(),
        good().checksum(0).build(),
        good().without_options().nd_option(1, [0; 6]).build(),
        good().without_options().nd_option(1, BROADCAST).build(),
        good().without_options().nd_option(1, multicast_mac("ff02::1")).build(),
        solicitation("ff02::1").build(),
        // Without a link-layer address there is nowhere to answer to.
        good().without_options().build(),
        // Cut within the target, and within the option.
        good().quote_len(12).without_options().build(),
        good().cut(1).build(),
    ];
    for frame in broken {
        world.send(UPLINK, frame);
        world.expect_silence();
    }
    // An option of length 0 would never end.
    let mut endless = good().build();
    let option = endless.len() - 8;
    endless[option + 1] = 0;
    world.send(UPLINK, endless);
    world.expect_silence();
    assert_eq!(world.neighbor(UPLINK, "2001:db8:1::10"), None);
}

#[test]
fn an_asker_from_another_subnet_or_with_our_own_address_is_ignored() {
    let mut world = World::lab();
    let before: Vec<_> = world.control.neighbors().collect();
    let group = solicited_node("2001:db8:1::2");
    let own_link_local = link_local(UPLINK);
    for sender in ["fd00:a::11", "2001:db8:9::1", "2001:db8:1::2", "2001:db8:1::100", own_link_local.as_str()] {
        let ip = SERVER.eth().dst(multicast_mac(group)).ipv6(sender, group);
        world.send(UPLINK, ip.neighbour_solicitation("2001:db8:1::2").build());
        world.expect_silence();
    }
    assert_eq!(world.control.neighbors().collect::<Vec<_>>(), before);
}

#[test]
fn routers_talk_and_redirects_are_ignored() {
    let mut world = lab_with(&[SERVER]);
    let before: Vec<_> = world.control.neighbors().collect();
    let ip = || SERVER.eth().dst(multicast_mac("ff02::1")).ipv6("fe80::aa", "ff02::1").hop_limit(255);
    let redirect = [&"2001:db8:1::30".to_ipv6().octets()[..], &"2001:db8:1::10".to_ipv6().octets()[..]].concat();
    let messages = [
        ip().router_solicitation().build(),
        ip().icmp(134, 0, [64, 0, 7, 8], [0; 8]).nd_option(1, SERVER.mac).build(),
        ip().icmp(137, 0, [0; 4], redirect).nd_option(2, [2, 0, 0, 0, 9, 9]).build(),
    ];
    for message in messages {
        assert_eq!(world.send(UPLINK, message), Verdict::Punt(PuntReason::NeighborDiscovery));
        world.expect_silence();
    }
    assert_eq!(world.control.neighbors().collect::<Vec<_>>(), before);
    assert!(world.steps().is_empty());
}

/// An advertisement for the server from `mac`.
fn claim(mac: Mac, flags: u8) -> Icmp {
    let ip = eth().src(mac).dst(own_mac(UPLINK)).ipv6("2001:db8:1::10", "2001:db8:1::2");
    ip.neighbour_advertisement("2001:db8:1::10", flags)
}

fn server(world: &World) -> (State, Option<Mac>) {
    world.state(UPLINK, "2001:db8:1::10").expect("it is known")
}

#[test]
fn another_address_counts_only_if_it_overrides() {
    let mut world = lab_with(&[SERVER]);
    let moved: Mac = [2, 0, 0, 0, 9, 9];
    for flags in [0, SOLICITED, ROUTER] {
        world.send(UPLINK, claim(moved, flags).build());
        assert_eq!(server(&world), (State::Reachable, Some(SERVER.mac)));
    }
    world.send(UPLINK, claim(moved, OVERRIDE).build());
    assert_eq!(server(&world), (State::Reachable, Some(moved)));
    world.send(NODES, NODE_A.udp("fd00:a::11", "2001:db8:1::10").build());
    assert_eq!(world.sent_by(UPLINK)[0][..6], moved);
}

#[test]
fn only_an_answer_confirms_that_a_neighbor_is_there() {
    let mut world = lab_with(&[SERVER]);
    world.wait(crate::world::seconds(30));
    assert_eq!(server(&world), (State::Probing, Some(SERVER.mac)));
    for flags in [0, OVERRIDE, ROUTER] {
        world.send(UPLINK, claim(SERVER.mac, flags).build());
        assert_eq!(server(&world).0, State::Probing, "nobody asked for it");
    }
    // 7.2.4: an answer to a unicast question need not say the address.
    world.send(UPLINK, claim(SERVER.mac, SOLICITED).without_options().build());
    assert_eq!(server(&world), (State::Reachable, Some(SERVER.mac)));
}

#[test]
fn an_advertisement_without_an_address_resolves_nobody() {
    let mut world = World::lab();
    world.send(NODES, NODE_A.udp("fd00:a::11", "2001:db8:1::10").build());
    world.send(UPLINK, claim(SERVER.mac, SOLICITED | OVERRIDE).without_options().build());
    assert_eq!(server(&world), (State::Incomplete, None));
    world.send(UPLINK, claim(SERVER.mac, SOLICITED).build());
    assert_eq!(server(&world), (State::Reachable, Some(SERVER.mac)));
}

#[test]
fn an_advertisement_introduces_nobody_and_own_addresses_are_never_learned() {
    let mut world = World::lab();
    let before: Vec<_> = world.control.neighbors().collect();
    for target in ["2001:db8:1::10", "2001:db8:1::2", "2001:db8:1::100", "fd00:a::11", "fe80::aa"] {
        for destination in ["ff02::1", "2001:db8:1::2"] {
            let ip = SERVER.eth().ipv6("2001:db8:1::10", destination);
            world.send(UPLINK, ip.neighbour_advertisement(target, OVERRIDE).build());
        }
    }
    world.expect_silence();
    assert_eq!(world.control.neighbors().collect::<Vec<_>>(), before);
}

#[test]
fn an_advertisement_that_breaks_the_rules_is_ignored() {
    let mut world = lab_with(&[SERVER]);
    let moved: Mac = [2, 0, 0, 0, 9, 9];
    let to_all = eth().src(moved).dst(multicast_mac("ff02::1")).ipv6("2001:db8:1::10", "ff02::1");
    let broken = [
        claim(moved, OVERRIDE).code(1).build(),
        claim(moved, OVERRIDE).bad_checksum().build(),
        claim(moved, OVERRIDE).without_options().nd_option(2, BROADCAST).build(),
        claim(moved, OVERRIDE).without_options().nd_option(2, [0; 6]).build(),
        // 7.1.2: solicited, and yet to all.
        to_all.neighbour_advertisement("2001:db8:1::10", SOLICITED | OVERRIDE).build(),
    ];
    for frame in broken {
        world.send(UPLINK, frame);
        assert_eq!(server(&world), (State::Reachable, Some(SERVER.mac)));
    }
}
