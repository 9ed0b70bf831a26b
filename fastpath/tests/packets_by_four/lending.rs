//! Names that cannot be handed over to whom they were lent.

use causeway_fastpath::burst::Burst;
use causeway_fastpath::command::{PoolCursor, PoolPage, RefusedPage, SessionCursor};
use causeway_fastpath::forwarder::{Capacity, Forwarder};
use causeway_fastpath::fragment;
use causeway_fastpath::frame::Frame;
use causeway_fastpath::handoff::{Errand, Workers};
use causeway_fastpath::ids::{PoolId, WorkerId};
use causeway_fastpath::time::Instant;
use causeway_fastpath::verdict::Verdict;
use causeway_testkit::packet::*;

use crate::world::{NODE_A, NODES, Plan, UPLINK, V4, from};

/// Two workers with two ports each, and no room on the way between them for the first
/// grants. None of them is lost.
#[test]
fn a_grant_that_finds_no_room_leaves_the_port_with_the_lender() {
    let capacity = Capacity { sessions_v4: 64, sessions_v6: 64, fragments: fragment::Capacity::default() };
    let now = Instant::from_secs(1);
    let snapshot = Plan::island().with_ports(2_000, 2_003).compile(1);
    let worker = |me| Forwarder::of(Workers::new(WorkerId(me), 2, 7), capacity, [me as u8; 32], now);
    let mut workers: Vec<Forwarder> = (0..2).map(worker).collect();
    workers.iter_mut().for_each(|worker| drop(worker.install(snapshot.clone(), Instant::ZERO)));
    let (mut granted, mut sent) = (0, 0);
    for number in 0..12 {
        let bytes = from(NODE_A).ipv4(V4.pod_a, V4.outside).udp(5_000 + number, 53).build();
        let mut frame = Frame::boxed(&bytes, 128, 128);
        frame.ingress = NODES;
        let mut burst = Burst::new();
        burst.push(frame);
        workers[0].process(now, &mut burst);
        let mut at = 0;
        loop {
            let errand = workers[at].errand(0);
            let (frame, verdict) = burst.drain().next().expect("there is one");
            let Verdict::HandOff(to) = verdict else {
                sent += u32::from(verdict == Verdict::Forward(UPLINK));
                drop(frame.into_heap());
                break;
            };
            if let Errand::Granted(_) = errand {
                granted += 1;
                if granted <= 6 {
                    workers[at].hand_off_refused(to, errand);
                    drop(frame.into_heap());
                    break;
                }
            }
            at = to.index();
            burst.push(frame);
            workers[at].process_taken_over(now, &mut burst, &[errand]);
        }
    }
    assert_eq!((granted, sent), (8, 4), "six in vain, and then all ports are used");
    assert_eq!(workers.iter().map(Forwarder::lent).sum::<usize>(), 2);
    // The two that found nothing anywhere, each once.
    let (mut of_pool, mut of_hosts) = (0, 0);
    for worker in &workers {
        let mut pools =
            PoolPage { cursor: Some(PoolCursor::default()), end: PoolId(1), limit: 64, ..PoolPage::default() };
        pools.rows.reserve_exact(64);
        worker.list_pools(&mut pools);
        of_pool += pools.rows.iter().flat_map(|row| &row.loads).map(|load| load.refused).sum::<u64>();
        let mut hosts = RefusedPage { cursor: Some(SessionCursor::default()), limit: 64, ..RefusedPage::default() };
        hosts.rows.reserve_exact(64);
        while hosts.cursor.is_some() {
            worker.list_refused(&mut hosts);
            of_hosts += hosts.rows.iter().map(|row| row.2).sum::<u64>();
        }
    }
    assert_eq!((of_pool, of_hosts), (2, 2));
}
