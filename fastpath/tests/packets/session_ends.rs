//! How long sessions live: RFC 4787 REQ-5, RFC 5382 REQ-5, RFC 5508 REQ-2.

use std::sync::Arc;
use std::time::Duration;

use causeway_fastpath::snapshot::WELL_KNOWN_PORTS;
use causeway_fastpath::verdict::DropReason;
use causeway_testkit::packet::*;

use crate::world::{Endpoint, FAMILIES, Family, NODE_A, NODES, Plan, ROUTER, UPLINK, World, from, source};

/// Timers are looked at this often.
const TICK: Duration = Duration::from_millis(250);
const MS: Duration = Duration::from_millis(1);
const TRANSITORY: Duration = Duration::from_secs(240);
const ESTABLISHED: Duration = Duration::from_secs(7_440);

/// A TCP conversation between pod A and the outside.
struct Conversation {
    world: World,
    family: Family,
    name: Endpoint,
}

impl Conversation {
    fn new(family: Family) -> Conversation {
        Conversation::under(family, &Plan::island())
    }

    fn under(family: Family, plan: &Plan) -> Conversation {
        let mut world = World::with(plan);
        let syn = from(NODE_A).ip(family.pod_a, family.outside).tcp(5_000, 443).flags(SYN).build();
        let name = source(world.send(NODES, syn).forwarded(UPLINK));
        Conversation { world, family, name }
    }

    fn established(family: Family) -> Conversation {
        let mut conversation = Conversation::new(family);
        conversation.receive(SYN | ACK);
        conversation.send(ACK);
        conversation
    }

    /// A segment from inside.
    #[track_caller]
    fn send(&mut self, flags: u8) {
        let frame = from(NODE_A).ip(self.family.pod_a, self.family.outside).tcp(5_000, 443).flags(flags).build();
        assert_eq!(source(self.world.send(NODES, frame).forwarded(UPLINK)), self.name, "the name is kept");
    }

    /// A segment from outside.
    #[track_caller]
    fn receive(&mut self, flags: u8) {
        let frame = from(ROUTER).ip(self.family.outside.to_ip(), self.name.0).tcp(443, self.name.1).flags(flags);
        self.world.send(UPLINK, frame.build()).forwarded(NODES);
    }

    fn state(&self) -> Option<&'static str> {
        self.world.sessions(8).first().map(|row| row.state)
    }

    /// Asserts that the session ends after `timeout` of silence, at a tick and not before.
    #[track_caller]
    fn ends_after(&mut self, timeout: Duration) {
        ends_after(&mut self.world, timeout);
    }
}

#[track_caller]
fn ends_after(world: &mut World, timeout: Duration) {
    assert_eq!(world.sessions(8)[0].expires_ms, timeout.as_millis() as u32);
    world.wait(timeout - MS);
    assert_eq!(world.sessions(8).len(), 1, "alive a millisecond before its time");
    world.counted();
    world.wait(MS);
    assert_eq!(world.sessions(8).len(), 0, "over at its time, which is a tick");
    world.expect_counted(&[("sessions-ended", 1)]);
    world.wait(MS);
    assert_eq!(world.counted(), Default::default(), "a session ends once");
}

#[test]
fn udp_sessions_end_after_five_minutes_and_pings_after_one() {
    for family in FAMILIES {
        for back in [false, true] {
            let mut world = World::new();
            let ask = from(NODE_A).ip(family.pod_a, family.outside).udp(5_000, 53).build();
            let name = source(world.send(NODES, ask).forwarded(UPLINK));
            if back {
                // Either direction refreshes.
                world.wait(Duration::from_secs(200));
                let answer = from(ROUTER).ip(family.outside.to_ip(), name.0).udp(53, name.1).build();
                world.send(UPLINK, answer).forwarded(NODES);
            }
            ends_after(&mut world, Duration::from_secs(300));

            let ask = from(NODE_A).ip(family.pod_a, family.outside).icmp_echo_request(7, 1).build();
            let name = source(world.send(NODES, ask).forwarded(UPLINK));
            if back {
                world.wait(Duration::from_secs(50));
                let answer = from(ROUTER).ip(family.outside.to_ip(), name.0).icmp_echo_reply(name.1, 1).build();
                world.send(UPLINK, answer).forwarded(NODES);
            }
            world.wait(TICK - Duration::from_nanos(world.now.as_nanos() % 250_000_000));
            let left = world.sessions(8)[0].expires_ms;
            assert!((59_750..=60_000).contains(&left), "{left}");
            world.wait(Duration::from_millis(u64::from(left) - 1));
            assert_eq!(world.sessions(8).len(), 1);
            world.wait(TICK);
            assert_eq!(world.sessions(8).len(), 0);
        }
    }
}

#[test]
fn a_session_that_is_over_between_two_ticks_ends_with_the_next() {
    for family in FAMILIES {
        let mut world = World::new();
        world.wait(Duration::from_millis(100));
        world.send(NODES, from(NODE_A).ip(family.pod_a, family.outside).udp(5_000, 53).build()).forwarded(UPLINK);
        world.wait(Duration::from_secs(300));
        assert_eq!(world.sessions(8).len(), 1);
        world.wait(Duration::from_millis(149));
        assert_eq!(world.sessions(8).len(), 1);
        world.wait(MS);
        assert_eq!(world.sessions(8).len(), 0);
    }
}

#[test]
fn a_tcp_session_that_never_opened_ends_after_four_minutes() {
    for family in FAMILIES {
        Conversation::new(family).ends_after(TRANSITORY);
        let mut half = Conversation::new(family);
        half.world.wait(Duration::from_secs(239));
        half.receive(SYN | ACK);
        assert_eq!(half.state(), Some("syn-received"));
        half.ends_after(TRANSITORY);
    }
}

#[test]
fn an_open_tcp_session_ends_after_two_hours_and_four_minutes_of_silence() {
    for family in FAMILIES {
        let mut open = Conversation::established(family);
        assert_eq!(open.state(), Some("established"));
        open.world.wait(ESTABLISHED - Duration::from_secs(1));
        open.receive(ACK);
        open.ends_after(ESTABLISHED);
    }
}

#[test]
fn a_reset_session_ends_after_four_minutes_however_old_it_is() {
    for family in FAMILIES {
        for age in [0, 100, 241, 1_000, 7_000] {
            for from_outside in [false, true] {
                let mut reset = Conversation::established(family);
                reset.world.wait(Duration::from_secs(age));
                if from_outside {
                    reset.receive(RST)
                } else {
                    reset.send(RST)
                }
                assert_eq!(reset.state(), Some("reset"));
                reset.ends_after(TRANSITORY);
            }
        }
    }
}

#[test]
fn a_reset_from_somewhere_else_in_the_sequence_passes_and_ends_nothing() {
    for family in FAMILIES {
        let mut world = World::with(&Plan::island());
        let outward = from(NODE_A).ip(family.pod_a, family.outside);
        let segment =
            |flags, seq: u32, ack: u32| outward.clone().tcp(5_000, 443).flags(flags).seq(seq).ack(ack).build();
        let name = source(world.send(NODES, segment(SYN, 99, 0)).forwarded(UPLINK));
        let inward = from(ROUTER).ip(family.outside.to_ip(), name.0);
        let answer = |flags, seq: u32| inward.clone().tcp(443, name.1).flags(flags).seq(seq).ack(100).build();
        world.send(UPLINK, answer(SYN | ACK, 0x7000_0000)).forwarded(NODES);
        world.send(NODES, segment(ACK, 100, 0x7000_0001)).forwarded(UPLINK);
        // RFC 7857, 2.2: the end it is for judges, but no mapping ends by it.
        for guess in [0, 0x6fff_0000, 0x7010_0000, 0xf000_0000] {
            world.send(UPLINK, answer(RST, guess)).forwarded(NODES);
        }
        assert_eq!(world.sessions(8)[0].state, "established");
        world.send(UPLINK, answer(RST, 0x7000_0001)).forwarded(NODES);
        assert_eq!(world.sessions(8)[0].state, "reset");
        ends_after(&mut world, TRANSITORY);
    }
}

#[test]
fn a_closed_session_ends_after_four_minutes_however_old_it_is_and_half_closed_it_stays_open() {
    for family in FAMILIES {
        for age in [0, 100, 241, 1_000, 7_000] {
            let mut closed = Conversation::established(family);
            closed.world.wait(Duration::from_secs(age));
            closed.send(FIN | ACK);
            assert_eq!(closed.state(), Some("half-closed"));
            closed.world.wait(Duration::from_secs(7_000));
            closed.receive(ACK);
            closed.receive(FIN | ACK);
            closed.send(ACK);
            assert_eq!(closed.state(), Some("closing"));
            closed.ends_after(TRANSITORY);
        }
    }
}

#[test]
fn the_same_five_tuple_opens_again_after_both_have_closed_or_one_has_reset() {
    for family in FAMILIES {
        for reset in [false, true] {
            for age in [1, 500] {
                let mut again = Conversation::established(family);
                again.world.wait(Duration::from_secs(age));
                if reset {
                    again.receive(RST);
                } else {
                    again.send(FIN | ACK);
                    again.receive(FIN | ACK);
                    again.send(ACK);
                }
                again.world.counted();
                again.send(SYN);
                again.receive(SYN | ACK);
                again.send(ACK);
                assert_eq!(again.state(), Some("established"));
                again.world.expect_counted(&[
                    ("received", 3),
                    ("forwarded", 3),
                    ("translated-out", 2),
                    ("translated-in", 1),
                ]);
                again.world.wait(Duration::from_secs(300));
                assert_eq!(again.state(), Some("established"), "the old timer does not end the new conversation");
                again.send(ACK);
                again.ends_after(ESTABLISHED);
            }
        }
    }
}

#[test]
fn a_port_is_the_same_conversations_until_it_ends_and_then_anybodys() {
    for family in FAMILIES {
        let mut over = Conversation::new(family);
        over.world.wait(TRANSITORY);
        let frame = from(ROUTER).ip(family.outside.to_ip(), over.name.0).tcp(443, over.name.1).flags(SYN | ACK).build();
        over.world.send(UPLINK, frame).dropped(DropReason::NatUnsolicited);
        let stray = from(NODE_A).ip(family.pod_a, family.outside).tcp(5_000, 443).flags(ACK).build();
        over.world.send(NODES, stray).dropped(DropReason::NatTcpNotSyn);
    }
}

#[test]
fn timeouts_are_the_operators_to_set() {
    for family in FAMILIES {
        let mut plan = Plan::island();
        plan.timeouts.tcp_transitory_ms = 5_000;
        plan.timeouts.tcp_established_ms = 10_000;
        Conversation::under(family, &plan).ends_after(Duration::from_secs(5));
        let mut open = Conversation::under(family, &plan);
        open.receive(SYN | ACK);
        open.send(ACK);
        open.ends_after(Duration::from_secs(10));
    }
}

#[test]
fn a_well_known_udp_port_may_have_a_timer_of_its_own() {
    for family in FAMILIES {
        let mut plan = Plan::forwards();
        let mut ports = [0; WELL_KNOWN_PORTS];
        (ports[53], ports[443]) = (20_000, 30_000);
        plan.timeouts.udp_ports_ms = Some(Arc::new(ports));
        for (port, seconds) in [(53, 20), (54, 300), (443, 30), (1_023, 300), (1_024, 300)] {
            let mut world = World::with(&plan);
            let ask = from(NODE_A).ip(family.pod_a2, family.outside).udp(53, port).build();
            world.send(NODES, ask).forwarded(UPLINK);
            ends_after(&mut world, Duration::from_secs(seconds));
        }
        // It is the port that was asked for, not the one behind a forward; TCP has none.
        let mut world = World::with(&plan);
        let outside = || from(ROUTER).ip(family.outside, family.pool);
        world.send(UPLINK, outside().udp(53, 443).build()).forwarded(NODES);
        ends_after(&mut world, Duration::from_secs(30));
        let mut world = World::with(&plan);
        let syn = from(NODE_A).ip(family.pod_a2, family.outside).tcp(5_000, 53).flags(SYN).build();
        world.send(NODES, syn).forwarded(UPLINK);
        ends_after(&mut world, Duration::from_secs(240));
    }
}

#[test]
fn thousands_of_sessions_end_in_bounded_steps_and_all_of_them() {
    for family in FAMILIES {
        let mut world = World::sized(&Plan::island(), 3_000);
        for port in 1..=3_000 {
            world.send(NODES, from(NODE_A).ip(family.pod_a, family.outside).udp(port, 53).build()).forwarded(UPLINK);
        }
        world.now = world.now + Duration::from_secs(400);
        let mut calls = 0;
        loop {
            let before = world.forwarder.counters().sessions_ended;
            let more = world.forwarder.handle_timeout(world.now);
            assert!(world.forwarder.counters().sessions_ended - before <= 64 + 256, "a call is bounded");
            calls += 1;
            if !more {
                break;
            }
        }
        assert!((40..80).contains(&calls), "{calls} calls");
        assert_eq!(world.sessions(64).len(), 0);
        assert_eq!(world.forwarder.counters().sessions_ended, 3_000);
    }
}

#[test]
fn neither_family_waits_for_the_other_to_end_its_sessions() {
    let mut world = World::sized(&Plan::island(), 1_000);
    for family in FAMILIES {
        for port in 1..=1_000 {
            world.send(NODES, from(NODE_A).ip(family.pod_a, family.outside).udp(port, 53).build()).forwarded(UPLINK);
        }
    }
    world.forwarder.handle_timeout(world.now);
    world.now = world.now + Duration::from_secs(400);
    for _ in 0..14 {
        world.forwarder.handle_timeout(world.now);
    }
    let (v4, v6) = world.forwarder.sessions();
    assert!(v4 < 1_000 && v6 < 1_000, "{v4} and {v6} are left");
}

#[test]
fn a_long_sleep_is_caught_up_with_at_once() {
    // As in a replay, whose clock jumps from packet to packet.
    for family in FAMILIES {
        for seconds in [64, 65, 300, 3_600, 86_400] {
            let mut world = World::new();
            world.send(NODES, from(NODE_A).ip(family.pod_a, family.outside).icmp_echo_request(1, 2).build());
            world.wait(Duration::from_secs(seconds));
            assert_eq!(world.sessions(8).len(), 0, "after {seconds} s");
        }
    }
}
