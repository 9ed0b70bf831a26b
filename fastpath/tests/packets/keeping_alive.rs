//! What keeps a TCP session alive: what its receiver may take (RFC 9293, 3.10.7.4), and nothing
//! that a stranger sends who sees nothing of it.

use std::time::Duration;

use causeway_testkit::packet::*;

use crate::world::{FAMILIES, Family, NODE_A, NODES, ROUTER, UPLINK, World, from, source};

/// Sequence numbers at which the two ends are.
const INSIDE: u32 = 1_000;
const OUTSIDE: u32 = 0x7000_0000;
/// Where neither of them expects anything.
const ELSEWHERE: u32 = 0x3000_0000;

/// An open conversation of pod A, silent for 7,000 seconds; and from inside and from outside a
/// segment of it with any flags and sequence number.
struct Open {
    world: World,
    segments: Box<dyn Fn(bool, u8, u32) -> Tcp>,
}

fn open(family: Family) -> Open {
    let mut world = World::new();
    let outward = from(NODE_A).ip(family.pod_a, family.outside);
    let syn = outward.clone().tcp(5_000, 443).flags(SYN).seq(INSIDE - 1).build();
    let name = source(world.send(NODES, syn).forwarded(UPLINK));
    let inward = from(ROUTER).ip(family.outside.to_ip(), name.0);
    let segments = move |inside, flags, sequence| match inside {
        true => outward.clone().tcp(5_000, 443).flags(flags).seq(sequence).ack(OUTSIDE),
        false => inward.clone().tcp(443, name.1).flags(flags).seq(sequence).ack(INSIDE),
    };
    world.send(UPLINK, segments(false, SYN | ACK, OUTSIDE - 1).build()).forwarded(NODES);
    world.send(NODES, segments(true, ACK, INSIDE).build()).forwarded(UPLINK);
    world.wait(Duration::from_secs(7_000));
    Open { world, segments: Box::new(segments) }
}

impl Open {
    /// For how many seconds it was silent, once this passed.
    fn silent_after(&mut self, inside: bool, frames: &[Vec<u8>]) -> u32 {
        let (port, other) = if inside { (NODES, UPLINK) } else { (UPLINK, NODES) };
        for frame in frames {
            self.world.send(port, frame).forwarded(other);
        }
        let [row] = self.world.sessions(8)[..] else { panic!("one session") };
        assert_eq!(u64::from(row.packets_out) + u64::from(row.packets_in), 3 + frames.len() as u64, "it is counted");
        row.idle_ms / 1_000
    }
}

#[test]
fn what_a_receiver_would_not_take_passes_and_keeps_no_session_alive() {
    for family in FAMILIES {
        for (inside, expected) in [(true, INSIDE), (false, OUTSIDE)] {
            for (flags, sequence) in [
                (RST, ELSEWHERE),
                (RST | ACK, ELSEWHERE),
                (ACK, ELSEWHERE),
                (PSH | ACK, ELSEWHERE),
                (FIN | ACK, ELSEWHERE),
                (SYN, expected),
                (SYN | ACK, expected),
                (PSH, expected),
            ] {
                let mut open = open(family);
                let frame = (open.segments)(inside, flags, sequence).build();
                assert_eq!(open.silent_after(inside, &[frame]), 7_000, "{flags:#x}");
                assert_eq!(open.world.sessions(8)[0].state, "established");
            }
        }
    }
}

#[test]
fn data_acknowledgements_keep_alives_and_what_is_sent_again_keep_a_session_alive() {
    for family in FAMILIES {
        for (inside, expected) in [(true, INSIDE), (false, OUTSIDE)] {
            for (flags, sequence) in [
                (ACK, expected),
                (ACK, expected.wrapping_sub(1)),
                (PSH | ACK, expected.wrapping_sub(30_000)),
                (PSH | ACK, expected + 60_000),
                (FIN | ACK, expected),
                (RST, expected),
            ] {
                let mut open = open(family);
                let frame = (open.segments)(inside, flags, sequence).build();
                assert_eq!(open.silent_after(inside, &[frame]), 0, "{flags:#x}");
            }
        }
    }
}

#[test]
fn of_a_segment_in_fragments_its_first_one_says_whether_it_keeps_a_session_alive() {
    for family in FAMILIES {
        for (inside, expected) in [(true, INSIDE), (false, OUTSIDE)] {
            for (sequence, silent) in [(expected, 0), (ELSEWHERE, 7_000)] {
                let mut open = open(family);
                let frames = (open.segments)(inside, ACK, sequence).payload([7; 3_000]).fragments(9, 1_280);
                assert_eq!(open.silent_after(inside, &frames), silent);
            }
        }
    }
}

#[test]
fn a_reset_that_comes_again_and_again_keeps_no_session_that_is_over() {
    for family in FAMILIES {
        for (inside, expected) in [(true, INSIDE), (false, OUTSIDE)] {
            let mut open = open(family);
            let reset = (open.segments)(inside, RST, expected).build();
            assert_eq!(open.silent_after(inside, std::slice::from_ref(&reset)), 0);
            for _ in 0..3 {
                open.world.wait(Duration::from_secs(60));
                let (port, other) = if inside { (NODES, UPLINK) } else { (UPLINK, NODES) };
                open.world.send(port, &reset).forwarded(other);
            }
            open.world.wait(Duration::from_secs(60));
            assert_eq!(open.world.sessions(8).len(), 0, "four minutes after the first");
        }
    }
}
