use super::Direction::{Back, Forth};
use super::*;
use proptest::prelude::*;

/// First numbers of both sides: the peer's wraps soon.
const CLIENT: u32 = 0x1234_5678;
const SERVER: u32 = u32::MAX - 5_000;

fn segment(flags: u8, sequence: u32, acknowledgement: u32) -> Segment {
    Segment { flags, sequence, acknowledgement, window: 65_535, scale: None }
}

/// A conversation in which these segments passed.
fn after(segments: &[(Segment, Direction)]) -> Tcp {
    let mut tcp = Tcp::default();
    segments.iter().for_each(|(segment, direction)| {
        tcp.pass(segment, *direction);
    });
    tcp
}

/// The three segments of a handshake, with these scales.
fn handshake(scales: [Option<u8>; 2]) -> [(Segment, Direction); 3] {
    [
        (Segment { scale: scales[0], ..segment(SYN, CLIENT, 0) }, Forth),
        (Segment { scale: scales[1], ..segment(SYN | ACK, SERVER, CLIENT + 1) }, Back),
        (segment(ACK, CLIENT + 1, SERVER + 1), Forth),
    ]
}

/// An open conversation whose sides have acknowledged these numbers and announced these windows.
fn open(scales: [Option<u8>; 2], forth: (u32, u16), back: (u32, u16)) -> Tcp {
    let mut tcp = after(&handshake(scales));
    assert_eq!(tcp.state.name(), "established");
    tcp.pass(&Segment { window: forth.1, ..segment(ACK, CLIENT + 1, forth.0) }, Forth);
    tcp.pass(&Segment { window: back.1, ..segment(ACK, SERVER + 1, back.0) }, Back);
    tcp
}

fn name_after(tcp: Tcp, passed: &Segment, direction: Direction) -> &'static str {
    let mut tcp = tcp;
    tcp.pass(passed, direction);
    tcp.state.name()
}

fn resets(tcp: Tcp, sequence: u32, direction: Direction) -> bool {
    let mut tcp = tcp;
    let passed = tcp.pass(&segment(RST, sequence, 0), direction);
    assert_eq!(passed, if tcp.state.name() == "reset" { Passed::Ended } else { Passed::Unheard });
    passed == Passed::Ended
}

#[test]
fn a_reset_counts_within_the_window_of_its_receiver_and_not_a_byte_beyond_what_is_known_of_it() {
    // What each side acknowledged, on a granule, in the middle, at its end, and about to wrap.
    for number in [0x2000_0000, 0x2000_0001, 0x2000_0800, 0x2000_0fff, 0, u32::MAX, u32::MAX - 4_095, u32::MAX - 1_460]
    {
        for (window, reach) in
            [(0, 2), (1, 2), (2, 4), (3, 4), (255, 256), (256, 512), (501, 512), (32_767, 1 << 15), (65_535, 1 << 16)]
        {
            for (scales, shifts) in [
                ([None, None], [0, 0]),
                ([Some(0), Some(0)], [0, 0]),
                ([Some(7), None], [0, 0]),
                ([None, Some(7)], [0, 0]),
                ([Some(7), Some(2)], [7, 2]),
                ([Some(14), Some(1)], [14, 1]),
                // More than 14 is taken for 14 (RFC 7323, 2.3).
                ([Some(15), Some(255)], [14, 14]),
            ] {
                let tcp = open(scales, (number, window), (number, window));
                for (direction, shift) in [(Back, shifts[0]), (Forth, shifts[1])] {
                    let (first, end) = (number & !4_095, 4_096 + (reach << shift));
                    for (ahead, counts) in [
                        (0, true),
                        (number - first, true),
                        ((number - first) + (u32::from(window) << shift), true),
                        (end - 1, true),
                        (end, false),
                        (end + 1, false),
                        (u32::MAX, false),
                        (1 << 31, false),
                    ] {
                        let at = first.wrapping_add(ahead);
                        assert_eq!(resets(tcp, at, direction), counts, "{number:#x} {window} {scales:?} {ahead}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_fin_counts_there_too_and_where_a_segment_is_sent_again_with_it() {
    let tcp = open([Some(4), Some(4)], (0x2000_0000, 100), (0x3000_0000, 100));
    let end = 4_096 + (128 << 4);
    for (direction, number, half) in [(Back, 0x2000_0000u32, "half-closed"), (Forth, 0x3000_0000, "half-closed")] {
        for (ahead, counts) in [
            (0, true),
            (end - 1, true),
            (end, false),
            (0u32.wrapping_sub(AGAIN), true),
            (0u32.wrapping_sub(AGAIN + 1), false),
            (1 << 31, false),
        ] {
            let fin = segment(FIN | ACK, number.wrapping_add(ahead), if direction == Back { CLIENT } else { SERVER });
            let expected = if counts { half } else { "established" };
            assert_eq!(name_after(tcp, &fin, direction), expected, "{ahead:#x}");
        }
    }
    // Nobody ends a conversation by two of which he saw nothing.
    let mut blind = tcp;
    for direction in [Back, Forth] {
        assert_eq!(blind.pass(&segment(FIN | ACK, 7, 7), direction), Passed::Unheard);
    }
    assert_eq!(blind, tcp);
    let mut closed = tcp;
    assert_eq!(closed.pass(&segment(FIN | ACK, 0x2000_0000, 0x3000_0000), Back), Passed::Heard);
    let last = closed.pass(&segment(FIN | ACK, 0x3000_0000, 0x2000_0001), Forth);
    assert_eq!(last, Passed::Ended, "it was open, and is not any more");
}

#[test]
fn the_window_of_a_syn_is_not_scaled() {
    let [syn, answer, _] = handshake([Some(7), Some(7)]);
    let tcp = after(&[syn, (Segment { window: 1_024, ..answer.0 }, Back)]);
    let (floor, end) = ((CLIENT + 1) & !4_095, 4_096 + 2_048);
    assert!(resets_quietly(tcp, floor + end - 1) && !resets_quietly(tcp, floor + end));

    fn resets_quietly(tcp: Tcp, sequence: u32) -> bool {
        name_after(tcp, &segment(RST, sequence, 0), Forth) == "reset"
    }
}

#[test]
fn an_answer_counts_that_acknowledges_the_syn_and_no_other() {
    let [syn, answer, ack] = handshake([Some(7), Some(7)]);
    let floor = CLIENT & !4_095;
    for (acknowledgement, counts) in [
        (CLIENT + 1, true),
        (CLIENT + 1_461, true),
        (floor + 4_095 + FAST_OPEN, true),
        (floor + 4_096 + FAST_OPEN, false),
        (floor - 1, false),
        (0, false),
        (CLIENT ^ 1 << 31, false),
    ] {
        let forged = Segment { acknowledgement, scale: Some(14), ..answer.0 };
        let tcp = after(&[syn, (forged, Back)]);
        assert_eq!(tcp.state.name(), if counts { "syn-received" } else { "syn-sent" });
        assert_eq!(tcp == after(&[syn]), !counts, "it leaves no trace");
    }
    // What the client answers to one that it does not expect ends nothing, and the right one opens.
    let forged = segment(SYN | ACK, 1, 0x7000_0000);
    let tcp = after(&[syn, (forged, Back), (segment(RST, 0x7000_0000, 0), Forth), answer, ack]);
    assert_eq!(tcp, after(&[syn, answer, ack]));
    // Once it is open, no answer and no SYN changes what is known.
    for late in [segment(SYN | ACK, 9, 9), segment(SYN, 9, 9), Segment { scale: Some(14), ..answer.0 }] {
        assert_eq!(after(&[syn, answer, ack, (late, Back)]), after(&[syn, answer, ack]));
    }
}

#[test]
fn who_gives_up_before_he_was_answered_begins_anew_with_other_numbers() {
    let [syn, answer, ack] = handshake([Some(7), Some(7)]);
    let earlier = (Segment { scale: Some(3), ..segment(SYN, CLIENT ^ 1 << 30, 0) }, Forth);
    assert_eq!(after(&[earlier, syn, answer, ack]), after(&[syn, answer, ack]));
    let late = (Segment { acknowledgement: (CLIENT ^ 1 << 30) + 1, ..answer.0 }, Back);
    assert_eq!(after(&[earlier, late, syn, answer, ack]), after(&[syn, answer, ack]));
}

#[test]
fn who_begins_anew_on_an_open_session_is_challenged_resets_and_is_let_open() {
    let mut tcp = open([Some(7), Some(7)], (SERVER + 1_000, 500), (CLIENT + 2_000, 500));
    let known = tcp;
    // The client has forgotten everything, and the server has not (RFC 9293, 3.5.2; RFC 5961, 4.2).
    tcp.pass(&segment(SYN, 7, 0), Forth);
    assert_eq!(tcp, known);
    tcp.pass(&Segment { window: 500, ..segment(ACK, SERVER + 1_000, CLIENT + 2_000) }, Back);
    assert_eq!(tcp, known);
    let passed = tcp.pass(&segment(RST, CLIENT + 2_000, 0), Forth);
    assert_eq!(passed, Passed::Ended, "it is where the server expects it");
    for (passed, direction) in
        [(segment(SYN, 7, 0), Forth), (segment(SYN | ACK, 9_000, 8), Back), (segment(ACK, 8, 9_001), Forth)]
    {
        tcp.pass(&passed, direction);
    }
    assert_eq!(tcp.state.name(), "established");
}

#[test]
fn a_refusal_counts_that_acknowledges_the_syn_and_a_reset_that_has_its_number() {
    let syn = after(&handshake([None, None])[..1]);
    let floor = CLIENT & !4_095;
    for (passed, direction, counts) in [
        (segment(RST | ACK, 0, CLIENT + 1), Back, true),
        (segment(RST | ACK, 0, floor + 4_095 + FAST_OPEN), Back, true),
        (segment(RST | ACK, 0, floor + 4_096 + FAST_OPEN), Back, false),
        (segment(RST | ACK, 0, floor - 1), Back, false),
        (segment(RST, 0, CLIENT + 1), Back, false),
        (segment(RST, CLIENT + 1, 0), Forth, true),
        (segment(RST, floor - 1, 0), Forth, false),
        (segment(RST, floor + 4_096 + FAST_OPEN, 0), Forth, false),
    ] {
        let expected = if counts { "reset" } else { "syn-sent" };
        assert_eq!(name_after(syn, &passed, direction), expected, "{passed:?}");
    }
    // The same ports again: what was known before does not count.
    let mut again = syn;
    again.pass(&segment(RST | ACK, 0, CLIENT + 1), Back);
    again.pass(&segment(SYN, 7_000_000, 0), Forth);
    assert_eq!(name_after(again, &segment(RST | ACK, 0, CLIENT + 1), Back), "syn-sent");
    assert_eq!(name_after(again, &segment(RST | ACK, 0, 7_000_001), Back), "reset");
}

#[test]
fn a_simultaneous_open_is_followed_on_both_sides() {
    let syns = [(segment(SYN, CLIENT, 0), Forth), (segment(SYN, SERVER, 0), Back)];
    let answers = [(segment(SYN | ACK, CLIENT, SERVER + 1), Forth), (segment(SYN | ACK, SERVER, CLIENT + 1), Back)];
    for order in [[0, 1], [1, 0]] {
        let tcp = after(&[syns[0], syns[1], answers[order[0]], answers[order[1]]]);
        assert_eq!(tcp.state.name(), "established");
        assert!(resets(tcp, CLIENT + 1, Forth) && resets(tcp, SERVER + 1, Back));
        assert!(!resets(tcp, SERVER ^ 1 << 31, Back) && !resets(tcp, CLIENT ^ 1 << 31, Forth));
    }
    // The first answer is checked against the SYN that it is for.
    let forged = (segment(SYN | ACK, CLIENT, SERVER ^ 1 << 31), Forth);
    assert_eq!(after(&[syns[0], syns[1], forged]), after(&syns));
}

#[test]
fn of_what_was_picked_up_windows_are_not_known() {
    let mut tcp = Tcp { state: TcpState::PICKED_UP, ..Tcp::default() };
    assert_eq!(name_after(tcp, &segment(RST, 77, 0), Back), "reset", "nobody knows yet");
    tcp.pass(&Segment { window: 1, ..segment(ACK, 7, 0x2000_0000) }, Forth);
    for (ahead, counts) in [(0, true), (4_095 + UNSEEN_WINDOW, true), (4_096 + UNSEEN_WINDOW, false), (u32::MAX, false)]
    {
        let expected = if counts { "reset" } else { "picked-up" };
        let passed = segment(RST, 0x2000_0000u32.wrapping_add(ahead), 0);
        assert_eq!(name_after(tcp, &passed, Back), expected);
    }
}

#[test]
fn what_its_receiver_takes_keeps_a_conversation_alive_and_nothing_else_does() {
    use Passed::{Heard, Unheard};
    // Windows of 640 KiB, of which a power of two more is known.
    let tcp = open([Some(10), Some(10)], (0x2000_0000, 640), (0x3000_0000, 640));
    let heard = |tcp: Tcp, passed: Segment, direction| {
        let mut tcp = tcp;
        tcp.pass(&passed, direction)
    };
    let end = 4_096 + (1_024 << 10);
    for (direction, number) in [(Back, 0x2000_0000u32), (Forth, 0x3000_0000)] {
        for (ahead, expected) in [
            (0, Heard),
            (u32::MAX, Heard),
            (0u32.wrapping_sub(AGAIN), Heard),
            (0u32.wrapping_sub(AGAIN + 1), Unheard),
            (640 << 10, Heard),
            (end - 1, Heard),
            (end, Unheard),
            (1 << 31, Unheard),
        ] {
            let passed = segment(ACK, number.wrapping_add(ahead), 0);
            assert_eq!(heard(tcp, passed, direction), expected, "{ahead:#x}");
        }
        // Without an acknowledgement, from somewhere else, and what an open conversation is not begun by.
        assert_eq!(heard(tcp, segment(0, number, 0), direction), Unheard);
        assert_eq!(heard(tcp, segment(RST, number ^ 1 << 31, 0), direction), Unheard);
        assert_eq!(heard(tcp, segment(FIN | ACK, number ^ 1 << 31, 0), direction), Unheard);
        assert_eq!(heard(tcp, segment(SYN, number, 0), direction), Unheard);
        assert_eq!(heard(tcp, segment(SYN | ACK, number, number), direction), Unheard);
        // A reset ends it, and says no more when it comes again.
        let mut reset = tcp;
        assert_eq!(reset.pass(&segment(RST, number, 0), direction), Passed::Ended);
        assert_eq!(reset.pass(&segment(RST, number, 0), direction), Unheard);
        assert_eq!(reset.pass(&segment(ACK, number, 0), direction), Heard);
    }
    // While it opens, SYNs and answers are sent again; a narrow window has 64 KiB at least.
    let [syn, answer, ack] = handshake([None, None]);
    assert!(
        [syn, syn, answer, answer, ack]
            .iter()
            .try_fold(Tcp::default(), |mut tcp, (segment, direction)| {
                (tcp.pass(segment, *direction) == Heard).then_some(tcp)
            })
            .is_some()
    );
    let narrow = open([None, None], (0x2000_0000, 0), (0x3000_0000, 0));
    assert_eq!(heard(narrow, segment(ACK, 0x2000_ffff, 0), Back), Heard);
    assert_eq!(heard(narrow, segment(ACK, 0x2001_0000, 0), Back), Unheard);
    // How wide the windows are of what was picked up nobody knows.
    let mut picked_up = Tcp { state: TcpState::PICKED_UP, ..Tcp::default() };
    assert_eq!(picked_up.pass(&segment(ACK, 7, 0x2000_0000), Forth), Heard);
    assert_eq!(picked_up.pass(&segment(ACK, 0xa000_0000, 7), Back), Heard);
}

/// A side as it would be kept with room enough: exactly.
#[derive(Clone, Copy, Debug)]
struct Exact {
    acknowledged: u32,
    window: u32,
}

proptest! {
    /// What the receiver would believe always counts; and what lies more than a granule in front of its
    /// window, or a granule and that window once more behind, never.
    #[test]
    fn no_reset_is_missed_and_few_others_are_taken(
        number: u32, window: u16, shift in 0..=14u8, offset in any::<i64>(), near in -20_000..20_000i64, which in 0..3,
    ) {
        let exact = Exact { acknowledged: number, window: u32::from(window) << shift };
        let tcp = open([Some(shift), Some(0)], (number, window), (CLIENT + 1, 1));
        let from = match which { 0 => 0, 1 => i64::from(exact.window), _ => offset };
        let ahead = from.wrapping_add(near).rem_euclid(1 << 32);
        let sequence = exact.acknowledged.wrapping_add(ahead as u32);
        let counts = resets(tcp, sequence, Back);
        if ahead <= i64::from(exact.window) {
            prop_assert!(counts);
        }
        let behind = (1 << 32) - ahead;
        if ahead > 2 * i64::from(exact.window.max(1 << shift)) + 4_096 && behind >= 4_096 {
            prop_assert!(!counts);
        }
    }

    /// What the receiver takes is never unheard, wherever its numbers are.
    #[test]
    fn nothing_that_a_receiver_takes_lets_its_session_end(
        number: u32, window: u16, shift in 0..=14u8, at in 0.0..1.0f64, again in 0..AGAIN,
    ) {
        let exact = Exact { acknowledged: number, window: u32::from(window) << shift };
        let tcp = open([Some(shift), Some(0)], (number, window), (CLIENT + 1, 1));
        let ahead = (f64::from(exact.window) * at) as u32;
        for sequence in [exact.acknowledged.wrapping_add(ahead), exact.acknowledged.wrapping_sub(again)] {
            let mut tcp = tcp;
            prop_assert_eq!(tcp.pass(&segment(ACK, sequence, CLIENT + 1), Back), Passed::Heard);
        }
    }

    /// Whatever passes, the state is one that has a name, and nothing panics.
    #[test]
    fn no_segments_confuse_it(
        passed in prop::collection::vec((any::<[u32; 2]>(), any::<u8>(), any::<u16>(), any::<Option<u8>>(), any::<bool>()), 0..40),
    ) {
        let mut tcp = Tcp::default();
        for ([sequence, acknowledgement], flags, window, scale, back) in passed {
            let was_open = tcp.state.phase() == Phase::Established;
            let direction = if back { Back } else { Forth };
            let passed = tcp.pass(&Segment { flags, sequence, acknowledgement, window, scale }, direction);
            prop_assert_eq!(passed == Passed::Ended, was_open && tcp.state.phase() == Phase::Closing);
            prop_assert!(!tcp.state.name().is_empty());
        }
    }
}
