//! What the table promises about time, room and neighbours.

use core::time::Duration;
use std::vec::Vec;

use super::{Capacity, Cuttings, Datagram, LONGEST_FRAME, Piece, Standing, TIMEOUT, Table};
use crate::counters::Counters;
use crate::frame::Frame;
use crate::ids::VrfId;
use crate::session::{FlowKey, Seed};
use crate::time::Instant;
use crate::verdict::DropReason;

const T0: Instant = Instant::from_secs(50);
const SEED: Seed = Seed([0x1234_5678_9abc_def1, 0x0fed_cba9_8765_4321]);

struct Bench {
    table: Table<u32>,
    cuttings: Cuttings,
    counters: Counters,
    now: Instant,
}

impl Bench {
    fn new() -> Bench {
        let (table, cuttings) = (Table::new(Capacity::default(), SEED), Cuttings::new());
        Bench { table, cuttings, counters: Counters::default(), now: T0 }
    }

    fn first(&mut self, datagram: &Datagram<u32>) -> Result<(), DropReason> {
        let first = self.table.first(datagram, piece(0, true), FlowKey::default(), self.now, &mut self.counters);
        first.map(|_| ())
    }

    fn hold(&mut self, datagram: &Datagram<u32>, piece: Piece) -> Result<(), DropReason> {
        self.hold_long(datagram, piece, 64)
    }

    /// In a frame of so many bytes.
    fn hold_long(&mut self, datagram: &Datagram<u32>, piece: Piece, len: usize) -> Result<(), DropReason> {
        let frame = Frame::boxed(&std::vec![1; len], 0, 0);
        let held = self.table.hold(datagram, piece, &frame, self.now, &mut self.counters);
        drop(frame.into_heap());
        held
    }

    fn next_released(&mut self) -> Option<Frame> {
        self.table.next_released(&mut self.cuttings, &mut self.counters)
    }

    fn standing(&mut self, datagram: &Datagram<u32>) -> Standing<u32> {
        self.table.standing(datagram, self.now, &mut self.counters)
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.counters.dropped[reason.index()]
    }
}

fn datagram(src: u32, id: u32) -> Datagram<u32> {
    Datagram::new((src, 1), id, 17, VrfId::MAIN)
}

/// Sixteen bytes, by their place.
fn piece(at: u16, more: bool) -> Piece {
    Piece::new(at * 16, 16, more).expect("a sound piece")
}

#[test]
fn a_datagram_has_ten_seconds_to_show_its_first_fragment_and_not_a_nanosecond_more() {
    for (ns, in_time) in [(-1i64, true), (0, false), (1, false)] {
        let mut bench = Bench::new();
        bench.hold(&datagram(1, 1), piece(1, false)).expect("there is room");
        bench.now = Instant::from_nanos((T0 + TIMEOUT).as_nanos().wrapping_add_signed(ns));
        bench.first(&datagram(1, 1)).expect("there is room");
        assert_eq!(bench.next_released().map(|frame| bench.table.take_back(frame)).is_some(), in_time);
        assert_eq!(bench.dropped(DropReason::FragmentTimeout), u64::from(!in_time));
    }
}

#[test]
fn a_known_datagram_is_forgotten_after_ten_seconds_by_the_look_up_and_by_the_timer() {
    for timer in [false, true] {
        let mut bench = Bench::new();
        bench.first(&datagram(1, 1)).expect("there is room");
        bench.now = T0 + (TIMEOUT - Duration::from_nanos(1));
        bench.table.expire(bench.now, &mut 100, &mut bench.counters);
        assert!(matches!(bench.standing(&datagram(1, 1)), Standing::Known { .. }));
        bench.now = T0 + TIMEOUT;
        if timer {
            assert!(bench.table.is_behind(bench.now));
            bench.table.expire(bench.now, &mut 100, &mut bench.counters);
            assert!(bench.table.is_empty());
        }
        assert_eq!(bench.standing(&datagram(1, 1)), Standing::Unknown);
        assert!(bench.table.is_empty());
    }
}

#[test]
fn timers_take_no_more_than_their_budget() {
    let mut bench = Bench::new();
    for id in 0..100 {
        bench.first(&datagram(1, id)).expect("there is room");
    }
    let mut budget = 30;
    bench.table.expire(T0 + TIMEOUT, &mut budget, &mut bench.counters);
    assert_eq!((budget, bench.table.len(), bench.table.is_behind(T0 + TIMEOUT)), (0, (70, 0), true));
}

#[test]
fn a_datagram_of_which_every_byte_was_seen_takes_no_room() {
    let mut bench = Bench::new();
    for id in 0..100_000 {
        let name = datagram(1, id);
        bench.first(&name).expect("there is room");
        for (at, more) in [(1, true), (2, false)] {
            let Standing::Known { number, .. } = bench.standing(&name) else { panic!("it is known") };
            bench.table.pass(number, piece(at, more), &mut bench.counters).expect("it fits");
        }
        assert!(bench.table.is_empty());
    }
}

#[test]
fn one_id_names_as_many_datagrams_as_there_are_addresses_protocols_and_domains() {
    let mut bench = Bench::new();
    let names = [
        Datagram::new((1, 2), 7, 17, VrfId(0)),
        Datagram::new((3, 2), 7, 17, VrfId(0)),
        Datagram::new((1, 3), 7, 17, VrfId(0)),
        Datagram::new((1, 2), 8, 17, VrfId(0)),
        Datagram::new((1, 2), 7 << 16, 17, VrfId(0)),
        Datagram::new((1, 2), 7, 1, VrfId(0)),
        Datagram::new((1, 2), 7, 17, VrfId(1)),
    ];
    for (port, name) in (1u16..).zip(&names) {
        let flow = FlowKey { src_port: port, ..FlowKey::default() };
        bench.table.first(name, piece(0, true), flow, T0, &mut bench.counters).expect("there is room");
    }
    for (port, name) in (1u16..).zip(&names) {
        let Standing::Known { flow, .. } = bench.standing(name) else { panic!("it is known") };
        assert_eq!(flow.src_port, port);
    }
}

#[test]
fn what_overlaps_kills_its_datagram_and_no_other() {
    let mut bench = Bench::new();
    let (bad, good) = (datagram(1, 1), datagram(1, 2));
    for name in [&bad, &good] {
        bench.hold(name, piece(1, true)).expect("there is room");
        bench.hold(name, piece(2, true)).expect("there is room");
    }
    let overlap = Piece::new(24, 16, true).expect("a sound piece");
    assert_eq!(bench.hold(&bad, overlap), Err(DropReason::FragmentOverlap));
    assert_eq!(bench.dropped(DropReason::FragmentOverlap), 2, "those that were held");
    assert_eq!(bench.standing(&bad), Standing::Dead);
    assert_eq!(bench.first(&bad), Err(DropReason::FragmentOverlap));
    assert_eq!(bench.hold(&good, piece(1, true)), Err(DropReason::FragmentDuplicate));
    bench.first(&good).expect("nothing is wrong with it");
    bench.now = T0 + TIMEOUT;
    assert_eq!(bench.standing(&bad), Standing::Unknown, "a datagram is dead until its time is up");
}

#[test]
fn a_source_has_its_share_of_the_table_and_of_the_store_and_others_have_theirs() {
    let mut bench = Bench::new();
    let known = (0..1_000).filter(|id| bench.first(&datagram(1, *id)).is_ok()).count();
    let held = (0..1_000).filter(|id| bench.hold(&datagram(2, *id), piece(1, true)).is_ok()).count();
    assert_eq!((known, held), (256, 64));
    assert_eq!(bench.first(&datagram(1, 5_000)), Err(DropReason::FragmentSourceLimit));
    assert_eq!(bench.hold(&datagram(2, 5_000), piece(1, true)), Err(DropReason::FragmentSourceLimit));
    bench.first(&datagram(3, 1)).expect("another source");
    bench.hold(&datagram(4, 1), piece(1, true)).expect("another source");
    // What it gives back it has again.
    bench.now = T0 + TIMEOUT;
    bench.table.expire(bench.now, &mut 10_000, &mut bench.counters);
    bench.first(&datagram(1, 1)).expect("its datagrams are gone");
    bench.hold(&datagram(2, 1), piece(1, true)).expect("its fragments are gone");
}

#[test]
fn strangers_take_nothing_from_a_datagram_that_is_known_and_the_newest_of_them_is_held() {
    let mut bench = Bench::new();
    let good = datagram(77, 1);
    bench.first(&good).expect("there is room");
    for stranger in 1_000..101_000 {
        bench.hold(&datagram(stranger, stranger), piece(1, true)).expect("older ones give way");
    }
    assert_eq!(bench.table.len(), (1, 256));
    assert_eq!(bench.dropped(DropReason::FragmentStoreFull), 100_000 - 256);
    let Standing::Known { number, .. } = bench.standing(&good) else { panic!("it is known") };
    bench.table.pass(number, piece(1, false), &mut bench.counters).expect("it fits");
    bench.first(&datagram(100_999, 100_999)).expect("there is room");
    let released = bench.next_released().expect("the newest was held");
    bench.table.take_back(released);
}

#[test]
fn long_fragments_take_as_many_buffers_as_they_need_and_the_oldest_give_way_to_them() {
    let mut bench = Bench::new();
    let long = |bench: &mut Bench, src: u32| bench.hold_long(&datagram(src, 1), piece(1, true), LONGEST_FRAME);
    // Five buffers each: a source may have 64.
    let held = (0..20).filter(|id| bench.hold_long(&datagram(1, *id), piece(1, true), LONGEST_FRAME).is_ok()).count();
    assert_eq!(held, 12);
    for stranger in 1_000..11_000 {
        long(&mut bench, stranger).expect("older ones give way");
    }
    assert_eq!(bench.table.len(), (0, 256 / 5));
    for stranger in 20_000..20_256 {
        bench.hold(&datagram(stranger, 1), piece(1, true)).expect("older ones give way");
    }
    assert_eq!(bench.table.len(), (0, 256), "the last of the long ones is gone");
    long(&mut bench, 30_000).expect("five short ones give way");
    assert_eq!((bench.table.len(), bench.dropped(DropReason::FragmentStoreFull)), ((0, 252), 12 + 10_000 + 5));
    bench.first(&datagram(30_000, 1)).expect("there is room");
    let released = bench.next_released().expect("it was held");
    assert_eq!(released.bytes(), [1; LONGEST_FRAME]);
    bench.cuttings.take_back(released);
}

#[test]
fn a_table_full_of_known_datagrams_forgets_the_oldest() {
    let mut bench = Bench::new();
    let names: Vec<_> = (0..4_097).map(|at| datagram(at, at)).collect();
    for name in &names {
        bench.first(name).expect("the oldest gives way");
    }
    assert_eq!(bench.table.len(), (4_096, 0));
    assert_eq!(bench.standing(&names[0]), Standing::Unknown);
    assert!(matches!(bench.standing(&names[1]), Standing::Known { .. }));
}

#[test]
fn a_fragment_longer_than_any_piece_is_not_held_nor_any_without_buffers() {
    let mut bench = Bench::new();
    assert_eq!(bench.hold_long(&datagram(1, 1), piece(1, true), LONGEST_FRAME + 1), Err(DropReason::FragmentTooLong));
    bench.hold_long(&datagram(1, 1), piece(1, true), LONGEST_FRAME).expect("there is room");
    bench.table = Table::new(Capacity::NONE, SEED);
    assert_eq!(bench.hold(&datagram(1, 1), piece(1, true)), Err(DropReason::FragmentStoreFull));
    assert_eq!(bench.first(&datagram(1, 1)), Err(DropReason::FragmentTableFull));
}
