//! The table must agree with the list.

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::vec::Vec;

use super::reference::{Name, ReferenceTable, buffers};
use super::store::BUFFER;
use super::{Capacity, Cuttings, Datagram, Piece, Standing, Table};
use crate::counters::Counters;
use crate::frame::Frame;
use crate::ids::VrfId;
use crate::session::{FlowKey, Seed};
use crate::time::Instant;
use crate::verdict::DropReason;

/// A step in the life of a table; datagrams are few, so that they meet.
#[derive(Clone, Debug)]
enum Step {
    Fragment {
        name: Name,
        piece: Piece,
    },
    Advance {
        ms: u64,
    },
    Expire,
    /// So many of the released walk on.
    Walk {
        count: usize,
    },
    /// A buffer that was lent out comes home.
    Home,
}

fn piece() -> impl Strategy<Value = Piece> {
    let fitting =
        (0u16..4, any::<bool>()).prop_map(|(at, more)| Piece::new(at * 16, 16, more || at < 3).expect("a sound piece"));
    let any = (0u16..5, 1usize..3, any::<bool>())
        .prop_map(|(at, len, more)| Piece::new(at * 8, len * 8, more).expect("a sound piece"))
        .prop_filter("a first fragment has more behind it", |piece| piece.start() != 0 || !piece.is_last());
    prop_oneof![6 => fitting, 1 => any]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => ((0u32..6, 0u32..5), piece()).prop_map(|(name, piece)| Step::Fragment { name, piece }),
        1 => (0u64..4_000).prop_map(|ms| Step::Advance { ms }),
        1 => Just(Step::Expire),
        2 => (1usize..4).prop_map(|count| Step::Walk { count }),
        3 => Just(Step::Home),
    ]
}

fn frame(name: Name, piece: Piece) -> Frame {
    let mut bytes = Vec::new();
    bytes.extend(name.0.to_be_bytes());
    bytes.extend(name.1.to_be_bytes());
    bytes.extend(piece.start().to_be_bytes());
    bytes.extend(piece.end().to_be_bytes());
    bytes.push(u8::from(piece.is_last()));
    bytes.extend((0..(buffers(piece) - 1) * BUFFER).map(|at| (at / 3) as u8));
    Frame::boxed(&bytes, 0, 0)
}

fn read(bytes: &[u8]) -> (Name, Piece) {
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let half = |at: usize| u16::from_be_bytes(bytes[at..at + 2].try_into().expect("two bytes"));
    let piece = Piece::new(half(8), usize::from(half(10) - half(8)), bytes[12] == 0);
    ((word(0), word(4)), piece.expect("it was sound"))
}

/// What the forwarder does with a fragment: `Ok(true)` goes on, `Ok(false)` is held.
fn walk(
    table: &mut Table<u32>,
    (name, piece): (Name, Piece),
    now: Instant,
    counters: &mut Counters,
) -> Result<bool, DropReason> {
    let datagram = Datagram::new((name.0, 9), name.1, 17, VrfId::MAIN);
    let expected = FlowKey { src: name.0, dst: name.1, ..FlowKey::default() };
    match table.standing(&datagram, now, counters) {
        Standing::Dead => Err(DropReason::FragmentOverlap),
        _ if piece.start() == 0 => table.first(&datagram, piece, expected, now, counters).map(|_| true),
        Standing::Known { number, flow } => {
            assert_eq!(flow, expected, "a fragment is of the flow of its first");
            table.pass(number, piece, counters).map(|()| true)
        }
        Standing::Unknown => {
            let original = frame(name, piece);
            let held = table.hold(&datagram, piece, &original, now, counters);
            drop(original.into_heap());
            held.map(|()| false)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_table_agrees_with_the_list(steps in proptest::collection::vec(step(), 1..400)) {
        let capacity = Capacity { datagrams: 36, held: 12 };
        let mut now = Instant::from_secs(1);
        let mut counters = Counters::default();
        let mut cuttings = Cuttings::new();
        let mut table = Table::<u32>::new(capacity, Seed([0x1234_5678_9abc_def1, 0x0fed_cba9_8765_4321]));
        let mut twin = ReferenceTable::new(capacity);
        let mut under_way = Vec::new();
        for step in steps {
            match step {
                Step::Fragment { name, piece } => {
                    let outcome = walk(&mut table, (name, piece), now, &mut counters);
                    prop_assert_eq!(outcome, twin.fragment(name, piece, now));
                    counters.held += u64::from(outcome == Ok(false));
                }
                Step::Advance { ms } => now = Instant::from_millis(now.as_millis() + ms),
                Step::Expire => {
                    let mut budget = u32::MAX;
                    table.expire(now, &mut budget, &mut counters);
                    twin.expire(now);
                    prop_assert!(!table.is_behind(now));
                }
                Step::Walk { count } => for _ in 0..count {
                    let released = table.next_released(&mut cuttings, &mut counters);
                    let fragment = released.as_ref().map(|frame| read(frame.bytes()));
                    prop_assert_eq!(fragment, twin.released.pop_front());
                    counters.released += u64::from(released.is_some());
                    if let (Some(released), Some((name, piece))) = (released, fragment) {
                        let original = frame(name, piece);
                        prop_assert_eq!(released.bytes(), original.bytes());
                        drop(original.into_heap());
                        // A long one is in a buffer of others.
                        match buffers(piece) {
                            1 => under_way.push(released),
                            many => {
                                cuttings.take_back(released);
                                twin.free += many;
                            }
                        }
                        let outcome = walk(&mut table, (name, piece), now, &mut counters);
                        prop_assert_eq!(outcome, twin.fragment(name, piece, now));
                        counters.held += u64::from(outcome == Ok(false));
                    }
                },
                Step::Home => if let Some(frame) = under_way.pop() {
                    table.take_back(frame);
                    twin.free += 1;
                },
            }
            prop_assert_eq!(table.len(), (twin.known.len(), twin.waiting.len()));
            let given_up: BTreeMap<_, _> =
                DropReason::ALL.iter().map(|reason| (*reason, counters.dropped[reason.index()])).filter(|row| row.1 > 0).collect();
            let expected: BTreeMap<_, _> = twin.given_up.iter().map(|row| (*row.0, *row.1)).filter(|row| row.1 > 0).collect();
            prop_assert_eq!(given_up, expected);
            let in_store = counters.held - counters.released;
            let expected = twin.waiting.iter().map(|entry| entry.held.len()).sum::<usize>() + twin.released.len();
            prop_assert_eq!(in_store as usize, expected, "what is held is in the store");
        }
        for frame in under_way {
            table.take_back(frame);
        }
    }
}
