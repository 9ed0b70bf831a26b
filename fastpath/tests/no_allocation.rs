//! Warmed up, a forwarder neither allocates nor frees.

#[path = "world/mod.rs"]
#[expect(dead_code, unused_imports, reason = "this test needs a part of the world only")]
mod world;

/// Workers of the worlds.
const WORKERS: u16 = 1;

use std::sync::Arc;
use std::time::Duration;

use causeway_fastpath::burst::Burst;
use causeway_fastpath::command::{SessionCursor, SessionKill, SessionPage};
use causeway_fastpath::forwarder::{Capacity, Forwarder};
use causeway_fastpath::fragment;
use causeway_fastpath::frame::Frame;
use causeway_fastpath::handoff::{Errand, Workers};
use causeway_fastpath::ids::{PortId, WorkerId};
use causeway_fastpath::nat::{Filtering, Room};
use causeway_fastpath::offload::Offload;
use causeway_fastpath::session::{Condition, Seed, SessionFilter};
use causeway_fastpath::time::Instant;
use causeway_fastpath::verdict::Verdict;
use causeway_fastpath::wire::protocol;
use causeway_testkit::memory::{Counting, calls};
use causeway_testkit::packet::*;

use world::{FAMILIES, NODE_A, NODES, Plan, ROUTER, UPLINK, V4, World, from, source};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Every kind of packet there is an answer to, as it arrives; `round` makes new flows.
fn traffic(world: &mut World, round: u16) -> Vec<(PortId, Vec<u8>)> {
    let mut frames = Vec::new();
    for family in FAMILIES {
        let old = from(NODE_A).ip(family.pod_a, family.outside).udp(5_000, 53).build();
        let name = source(world.send(NODES, &old).forwarded(UPLINK));
        let quoted = from(ROUTER).ip(name.0, family.outside.to_ip()).udp(name.1, 53).packet();
        let inside = |peer: &str| from(NODE_A).ip(family.pod_a, peer);
        let outside = || from(ROUTER).ip(family.outside.to_ip(), name.0);
        frames.extend([
            (NODES, old),
            (UPLINK, outside().udp(53, name.1).build()),
            (NODES, inside(family.outside).udp(10_000 + round, 53).build()),
            (NODES, inside(family.outside).tcp(10_000 + round, 53).flags(SYN).build()),
            (NODES, inside(family.outside).icmp_echo_request(10_000 + round, 1).build()),
            (NODES, inside(family.pod_b).udp(1, 2).build()),
            (NODES, inside(family.pod_b).ttl(1).udp(1, 2).build()),
            (NODES, inside(family.pod_b).may_fragment().udp(1, 2).payload([0; 3_000]).build()),
            (NODES, inside(family.outside).may_fragment().udp(5_000, 53).build()),
            (NODES, inside(family.no_pod).udp(1, 2).payload([0; 1_400]).build()),
            (NODES, inside(family.blackhole).udp(1, 2).build()),
            (NODES, inside(family.unknown_server).udp(1, 2).build()),
            (NODES, inside(family.gateway_inside).icmp_echo_request(1, 2).build()),
            (NODES, inside(family.gateway_inside).udp(1, 2).build()),
            (NODES, inside(family.outside).gre(0x0800, b"").build()),
            (NODES, from(NODE_A).ip(family.node_a, family.outside).udp(1, 2).build()),
            (UPLINK, outside().udp(54, name.1).build()),
            (UPLINK, outside().icmp_error(family.time_exceeded.0, 0, [0; 4], &quoted).build()),
            (UPLINK, from(ROUTER).arp_request("203.0.113.1", "203.0.113.2").build()),
        ]);
        // One waits for the first, which another follows; of the answer nothing but the end.
        let outward = inside(family.outside).udp(5_000, 53).payload([0; 3_000]).fragments(round.into(), 1_280);
        frames.extend([1, 0, 2].map(|at: usize| (NODES, outward[at].clone())));
        let inward = outside().udp(53, name.1).payload([0; 3_000]).fragments(round.into(), 1_280);
        frames.push((UPLINK, inward[2].clone()));
        // One that waits in several buffers, and is short enough for the link.
        let long = inside(family.outside).udp(5_000, 53).payload([0; 8_000]).fragments(1_000 + u32::from(round), 4_000);
        frames.extend([1, 0, 2].map(|at: usize| (NODES, long[at].clone())));
    }
    frames
}

#[test]
fn a_warm_forwarder_never_asks_for_memory() {
    never_asks(&Plan::island());
    never_asks(&Plan::island().with_open_names(Filtering::AddressDependent).with_limit(2_000));
}

fn never_asks(plan: &Plan) {
    let mut plan = plan.clone();
    plan.adjacencies[ROUTER.index()].mtu = 9_000;
    let mut world = World::with(&plan);
    let mut burst = Burst::new();
    for round in 0..50 {
        for (port, bytes) in traffic(&mut world, round) {
            let mut frame = Frame::boxed(&bytes, 128, 0);
            frame.ingress = port;
            frame.offload = Offload::DONE;
            burst.push(frame);
        }
        let asked = calls(|| world.forwarder.alone().process(world.now, &mut burst));
        assert!(round == 0 || asked == 0, "{asked} calls in round {round}");
        for (frame, _) in burst.drain() {
            drop(frame.into_heap());
        }
        let asked = calls(|| {
            assert_eq!(world.forwarder.alone().release(&mut burst), 2 * FAMILIES.len());
            world.forwarder.alone().process_released(world.now, &mut burst);
            for (frame, _) in burst.drain() {
                world.forwarder.alone().take_back(frame);
            }
            assert_eq!(world.forwarder.alone().cut_off(&mut burst), 2, "of IPv4 alone");
            for (frame, _) in burst.drain() {
                world.forwarder.alone().take_back(frame);
            }
        });
        assert_eq!(asked, 0, "calls for what was released and cut off in round {round}");
        assert!(world.forwarder.counters().conserve());
    }
    let counters = world.forwarder.counters();
    assert!(counters.forwarded > 0 && counters.replied > 0 && counters.translated_errors > 0);
    assert!(counters.sessions_created > 200, "new flows are part of it");

    // Nor do the other calls of a worker.
    let mut page = SessionPage { limit: 64, cursor: Some(SessionCursor::default()), ..SessionPage::default() };
    page.rows.reserve_exact(64);
    assert_eq!(calls(|| world.forwarder.alone().list_sessions(world.now, &mut page)), 0);
    assert_eq!(page.rows.len(), 64);
    let filter = SessionFilter { conditions: vec![Condition::Protocol(protocol::UDP)] };
    let mut kill = SessionKill { cursor: Some(SessionCursor::default()), limit: 64, filter, ..SessionKill::default() };
    assert_eq!(calls(|| world.forwarder.alone().end_sessions(world.now, &mut kill)), 0);
    assert!(kill.met > 0, "some were ended");
    let later = world.now + Duration::from_secs(1_000);
    assert_eq!(calls(|| while world.forwarder.alone().handle_timeout(later) {}), 0);
    assert_eq!((world.forwarder.sessions(), world.forwarder.datagrams()), ((0, 0), [(0, 0); 2]));
    let again = plan.compile(9);
    let mut event = None;
    assert_eq!(calls(|| event = Some(world.forwarder.alone().install(again, Instant::ZERO))), 0);
}

#[test]
fn nor_does_a_forwarder_that_goes_over_to_other_tables_with_the_room_that_was_made_for_it() {
    let (before, capacity) = (Plan::island(), 1_000);
    let mut after = before.clone().with_open_names(Filtering::EndpointIndependent).with_limit(50).with_pick_up();
    after.v4.pools[0].addresses.remove(1);
    let mut world = World::sized(&before, capacity);
    let asks = |port| (NODES, from(NODE_A).ip(V4.pod_a, V4.outside).udp(port, 53).build(), Offload::DONE);
    for port in 0..600 {
        world.burst(&[asks(5_000 + port)]);
    }
    let (old, new) = (before.compile(1), after.compile(2));
    let room = Room::new(&old, &new, Workers::ALONE, (capacity, capacity), Seed([1, 2])).expect("names differ");
    let (mut room, mut gone) = (Some(Box::new(room)), (None, None));
    let forwarder = world.forwarder.alone();
    let now = world.now;
    let asked = calls(|| {
        forwarder.prepare(room.take().expect("there is one"));
        gone.0 = Some(forwarder.install(new, now));
        while forwarder.settle(now, 64) {}
        gone.1 = forwarder.poll_settled();
    });
    assert_eq!(asked, 0);
    assert!(gone.1.is_some(), "the room comes back");
}

#[test]
fn nor_do_warm_workers_that_hand_packets_to_one_another() {
    // Few ports, so that names are lent.
    let mut plan = Plan::island();
    let pool = &mut plan.v4.pools[0];
    (pool.first_port, pool.last_port) = (1024, 1024 + 63);
    pool.addresses.truncate(1);
    let (now, tables) = (Instant::from_secs(1_000), plan.compile(1));
    let capacity = Capacity { sessions_v4: 1000, sessions_v6: 1000, fragments: fragment::Capacity::default() };
    let mut workers = [0, 1].map(|me| Forwarder::of(Workers::new(WorkerId(me), 2, 7), capacity, [me as u8; 32], now));
    for worker in &mut workers {
        worker.install(Arc::clone(&tables), Instant::ZERO);
    }
    let mut handed: [Vec<(Frame, Errand)>; 2] = [Vec::with_capacity(256), Vec::with_capacity(256)];
    let (mut burst, mut errands, mut lent) = (Burst::new(), Vec::with_capacity(64), 0);
    for round in 0..40u16 {
        for port in 0..40 {
            let datagram = from(NODE_A).ip(V4.pod_a, V4.outside).udp(5_000 + port, 53 + round);
            let mut frame = Frame::boxed(&datagram.build(), 128, 0);
            frame.ingress = NODES;
            burst.push(frame);
        }
        let mut done = Vec::with_capacity(256);
        let asked = calls(|| {
            let at = usize::from(round % 2);
            workers[at].process(now, &mut burst);
            collect(&mut workers[at], &mut burst, &mut handed, &mut done);
            for _ in 0..6 {
                for at in [0, 1] {
                    errands.clear();
                    while let Some((frame, errand)) = handed[at].pop()
                        && burst.room() > 0
                    {
                        burst.push(frame);
                        errands.push(errand);
                    }
                    workers[at].process_taken_over(now, &mut burst, &errands);
                    collect(&mut workers[at], &mut burst, &mut handed, &mut done);
                    while let Some((to, message)) = workers[at].poll_message() {
                        workers[to.index()].handle_message(message, now);
                    }
                }
            }
        });
        assert!(round == 0 || asked == 0, "{asked} calls in round {round}");
        assert_eq!(done.len(), 40);
        lent = workers.iter().map(Forwarder::lent).sum();
        done.into_iter().for_each(|frame| drop(frame.into_heap()));
    }
    assert!(lent > 0, "names are lent");
    assert!(workers.iter().all(|worker| worker.counters().taken_over > 0 && worker.counters().conserve()));
}

/// Sorts a burst: handed over, or done.
fn collect(worker: &mut Forwarder, burst: &mut Burst, handed: &mut [Vec<(Frame, Errand)>; 2], done: &mut Vec<Frame>) {
    for (i, (frame, verdict)) in burst.drain().enumerate() {
        match verdict {
            Verdict::HandOff(to) => handed[to.index()].push((frame, worker.errand(i))),
            _ => done.push(frame),
        }
    }
}
