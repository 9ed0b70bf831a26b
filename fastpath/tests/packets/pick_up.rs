//! Conversations of which the gateway did not see the beginning: it was not there yet.

use std::time::Duration;

use causeway_fastpath::verdict::DropReason;
use causeway_testkit::packet::*;

use crate::world::{FAMILIES, Family, NODE_A, NODES, Plan, ROUTER, UPLINK, World, from, source};

/// Conversations are picked up, and ports are kept where they are free.
fn plan() -> Plan {
    let mut plan = Plan::island().with_pick_up();
    (plan.v4.pools[0].keep_ports, plan.v6.pools[0].keep_ports) = (true, true);
    plan
}

fn outward(family: Family, flags: u8) -> Vec<u8> {
    from(NODE_A).ip(family.pod_a, family.outside).tcp(5_000, 443).flags(flags).seq(7).ack(9).build()
}

#[test]
fn a_conversation_goes_on_after_a_restart_and_keeps_its_name() {
    for family in FAMILIES {
        let mut before = World::with(&plan());
        let name = source(before.send(NODES, outward(family, SYN)).forwarded(UPLINK));
        let mut after = World::with(&plan());
        let inward = |flags| from(ROUTER).ip(family.outside.to_ip(), name.0).tcp(443, name.1).flags(flags).build();
        // From outside nothing is picked up.
        after.send(UPLINK, inward(ACK)).dropped(DropReason::NatUnsolicited);
        assert_eq!(source(after.send(NODES, outward(family, PSH | ACK)).forwarded(UPLINK)), name);
        let row = after.sessions(8)[0];
        assert_eq!((row.state, row.expires_ms), ("picked-up", 240_000), "only one side was seen");
        after.send(UPLINK, inward(ACK)).forwarded(NODES);
        let row = after.sessions(8)[0];
        assert_eq!((row.state, row.expires_ms), ("established", 7_440_000));
        // It closes as any other.
        after.send(NODES, outward(family, FIN | ACK)).forwarded(UPLINK);
        assert_eq!(after.sessions(8)[0].state, "half-closed");
        after.send(UPLINK, inward(FIN | ACK)).forwarded(NODES);
        assert_eq!(after.sessions(8)[0].state, "closing");
        after.wait(Duration::from_secs(240));
        assert_eq!(after.sessions(8).len(), 0);
    }
}

#[test]
fn what_picks_up_has_an_acknowledgement_and_neither_opens_nor_resets() {
    for family in FAMILIES {
        for flags in [0, FIN, PSH, URG, RST, RST | ACK, SYN | ACK, SYN | FIN, SYN | RST, 0xff] {
            let mut world = World::with(&plan());
            world.send(NODES, outward(family, flags)).dropped(DropReason::NatTcpNotSyn);
            assert_eq!(world.sessions(8).len(), 0);
        }
        for flags in [ACK, PSH | ACK, FIN | ACK, URG | ACK, ECE | ACK] {
            let mut world = World::with(&plan());
            world.send(NODES, outward(family, flags)).forwarded(UPLINK);
            assert_eq!(world.sessions(8)[0].state, "picked-up");
        }
    }
}

#[test]
fn a_peer_that_knows_nothing_of_it_ends_what_was_picked_up() {
    for family in FAMILIES {
        let mut world = World::with(&plan());
        let name = source(world.send(NODES, outward(family, ACK)).forwarded(UPLINK));
        // RFC 9293, 3.10.7.1: it resets where it was told to go on.
        let reset = from(ROUTER).ip(family.outside.to_ip(), name.0).tcp(443, name.1).flags(RST).seq(9).build();
        world.send(UPLINK, reset).forwarded(NODES);
        assert_eq!(world.sessions(8)[0].state, "reset");
        // The same ports again.
        assert_eq!(source(world.send(NODES, outward(family, SYN)).forwarded(UPLINK)), name);
        assert_eq!(world.sessions(8)[0].state, "syn-sent");
    }
}

#[test]
fn what_is_picked_up_counts_as_any_other_session() {
    for family in FAMILIES {
        let mut limited = plan().with_limit(3);
        limited.icmp_errors_per_second = 0;
        let mut world = World::with(&limited);
        let segment = |port| from(NODE_A).ip(family.pod_a, family.outside).tcp(port, 443).flags(ACK).build();
        for port in 1..=3 {
            world.send(NODES, segment(port)).forwarded(UPLINK);
        }
        world.send(NODES, segment(4)).dropped(DropReason::IcmpRateLimited);
    }
}
