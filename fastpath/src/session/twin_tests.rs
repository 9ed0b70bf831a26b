//! The session table must agree with the list.

use proptest::prelude::*;
use std::vec::Vec;

use super::reference::ReferenceTable;
use super::{FlowKey, Seed, Session, SessionTable};
use crate::ids::VrfId;
use crate::time::Instant;

/// A step in the life of a table; flows come from a small world so that they meet.
#[derive(Clone, Debug)]
enum Step {
    Insert { flow: u8, timeout_ms: u32 },
    Touch { flow: u8 },
    Remove { flow: u8 },
    Advance { ms: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<u8>(), 1u32..20_000).prop_map(|(flow, timeout_ms)| Step::Insert { flow, timeout_ms }),
        2 => any::<u8>().prop_map(|flow| Step::Touch { flow }),
        1 => any::<u8>().prop_map(|flow| Step::Remove { flow }),
        2 => (0u32..10_000).prop_map(|ms| Step::Advance { ms }),
    ]
}

fn keys(flow: u8) -> (FlowKey<u32>, FlowKey<u32>) {
    let forth = FlowKey {
        src: 0x0a01_0000 + u32::from(flow),
        dst: 0xc000_0201,
        src_port: 1000,
        dst_port: 80,
        vrf: VrfId(1),
        protocol: 17,
        hairpin: 0,
    };
    let back = FlowKey {
        src: forth.dst,
        dst: 0xcb00_7110,
        src_port: 80,
        dst_port: 2000 + u16::from(flow),
        vrf: VrfId::MAIN,
        ..forth
    };
    (forth, back)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_table_agrees_with_the_list(steps in proptest::collection::vec(step(), 1..300)) {
        const CAPACITY: usize = 100;
        let mut now = Instant::from_millis(1_000);
        let mut table = SessionTable::<u32>::new(CAPACITY, Seed([1, 2]), now);
        let mut reference = ReferenceTable::<u32>::default();
        for step in steps {
            match step {
                Step::Insert { flow, timeout_ms } => {
                    let (forth, back) = keys(flow);
                    if reference.find(&forth).is_some() {
                        continue;
                    }
                    // The timeout rides along in a field that the table leaves alone.
                    let mut session = Session::new(forth, back, now);
                    session.packets_forth = timeout_ms;
                    let taken = table.insert(session, timeout_ms, now);
                    prop_assert_eq!(taken.is_ok(), reference.sessions.len() < CAPACITY);
                    if taken.is_ok() {
                        reference.sessions.push((session, now.as_millis()));
                    }
                }
                Step::Touch { flow } => {
                    let (forth, _) = keys(flow);
                    if let Some(found) = table.find(&forth) {
                        table.get_mut(found.session).last_ms = now.as_millis() as u32;
                        let twin = reference.sessions.iter_mut().find(|(session, _)| session.forth == forth);
                        twin.expect("the list has it too").1 = now.as_millis();
                    }
                }
                Step::Remove { flow } => {
                    let (forth, _) = keys(flow);
                    if let Some(found) = table.find(&forth) {
                        prop_assert_eq!(table.remove(found.session).forth, forth);
                        reference.sessions.retain(|(session, _)| session.forth != forth);
                    }
                }
                Step::Advance { ms } => {
                    now = Instant::from_millis(now.as_millis() + u64::from(ms));
                    let mut ended = Vec::new();
                    let mut budget = 10_000;
                    while let Some(session) = table.expire(now, &mut budget, |session| session.packets_forth) {
                        ended.push(session.forth);
                    }
                    // What ended was due; what stayed is at most a tick overdue.
                    for forth in ended {
                        let at = reference.sessions.iter().position(|(session, _)| session.forth == forth);
                        let (session, touched) = reference.sessions.remove(at.expect("only live sessions end"));
                        prop_assert!(now.as_millis() - touched >= u64::from(session.packets_forth));
                    }
                    for (session, touched) in &reference.sessions {
                        let overdue = (now.as_millis() - touched).saturating_sub(u64::from(session.packets_forth));
                        prop_assert!(overdue <= super::Wheel::TICK_MS, "overdue by {} ms", overdue);
                    }
                }
            }
            prop_assert_eq!(table.len(), reference.sessions.len());
            for flow in 0..=255 {
                let (forth, back) = keys(flow);
                for key in [forth, back] {
                    let found = table.find(&key).map(|found| (table.get(found.session).forth, found.direction));
                    prop_assert_eq!(found, reference.find(&key));
                }
            }
        }
    }
}
