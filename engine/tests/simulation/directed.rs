//! Courses in which one thing goes wrong, at a moment of the test's choice.

use std::time::Duration;

use causeway_control::rib::{Change, Origin, Route, Via};
use causeway_fastpath::ids::VrfId;
use causeway_fastpath::time::Instant;
use causeway_testkit::memory::calls;
use causeway_testkit::packet::*;
use causeway_testkit::seed::{Rng, Seed};

use crate::frame::UDP;
use crate::place::{NODE_A, NODE_B, NODES, SERVER, own, pod_of, service};
use crate::run::{Run, START};
use crate::talk::Talk;

/// Four workers in good weather, with plenty of ports, and nobody who talks.
fn calm(rng: &mut Rng) -> Run {
    loop {
        let mut run = Run::new(4, rng.fork());
        if run.names.are_plenty() {
            run.weather.clear();
            run.talks.clear();
            return run;
        }
    }
}

fn play_until(run: &mut Run, end: Instant) {
    while run.now < end {
        run.step();
    }
}

/// Everybody whose packets the stalled worker has no part in is served, and tables that it
/// has not got yet are not said to be in force.
#[test]
fn a_worker_that_stalls_stalls_nobody_else() {
    let seed = Seed::from_env_or(5);
    let mut rng = seed.rng();
    for _ in 0..20 {
        let mut run = calm(&mut rng);
        play_until(&mut run, START + Duration::from_secs(1));
        assert!(run.gateway.control.is_settled(), "all have the first tables");
        let stalled = 3;
        run.gateway.crew[stalled].stalled_until = Instant::from_nanos(u64::MAX);
        run.weather.receivers = stalled;
        let domain = VrfId::MAIN;
        let to = "198.51.100.0/24".parse().expect("a prefix");
        let route = Route { domain, to, via: Via::Blackhole, origin: Origin::Static };
        run.gateway.control.change_routes([Change::Add(route)], run.now);
        let outside = own(SERVER, false);
        for pod in 0..8 {
            let inside = pod_of(NODE_A, pod, false);
            if run.gateway.home(inside) != stalled {
                let (id, to) = (run.talks.len() as u32, (outside, 53));
                let talk = Talk::new(id, UDP, (NODE_A, inside, 5_000), to, to, &mut rng);
                run.talks.push(talk.small(run.now));
            }
        }
        let end = run.now + Duration::from_secs(10);
        play_until(&mut run, end);
        let waits = run.talks.iter().find(|talk| !talk.is_over);
        assert!(waits.is_none_or(|talk| panic!("{talk} waits for a worker that it does not need")));
        assert!(!run.gateway.control.is_settled(), "the stalled worker has not got the new tables");
        run.gateway.crew[stalled].stalled_until = Instant::ZERO;
        let end = run.now + Duration::from_secs(1);
        play_until(&mut run, end);
        run.gateway.assert_quiet();
    }
}

/// Nobody repeats the packet: it is kept until the neighbour answers, and goes on at the
/// worker where it came in again.
#[test]
fn a_packet_that_turned_inward_waits_for_its_neighbour() {
    let seed = Seed::from_env_or(6);
    let mut rng = seed.rng();
    for v6 in [false, true] {
        let mut run = calm(&mut rng);
        run.stations[NODE_B].silent_until = START + Duration::from_millis(1_500);
        let server = pod_of(NODE_B, 0, v6);
        for pod in 0..3 {
            let inside = pod_of(NODE_A, pod, v6);
            let talk = Talk::new(pod as u32, UDP, (NODE_A, inside, 5_000), service(v6), (server, 8080), &mut rng);
            run.talks.push(talk.small(START + Duration::from_millis(500)));
        }
        let elsewhere = run.talks.iter().filter(|talk| run.gateway.home(talk.from.0) != run.gateway.home(server));
        assert!(elsewhere.count() > 0, "somebody's home is another worker");
        play_until(&mut run, START + Duration::from_millis(600));
        // Who was not answered says nothing more.
        run.talks.iter_mut().for_each(|talk| talk.next_at = START + Duration::from_secs(60));
        play_until(&mut run, START + Duration::from_secs(10));
        let waits = run.talks.iter().find(|talk| !talk.is_over);
        assert!(waits.is_none_or(|talk| panic!("{talk}: its packet was lost\n{}", run.gateway.story())));
    }
}

/// Not for a packet, nor for nothing, nor to hand over.
#[test]
fn a_warm_worker_turns_without_asking_for_memory() {
    let seed = Seed::from_env_or(7);
    let mut rng = seed.rng();
    let mut run = loop {
        let run = calm(&mut rng);
        // What finds no room is dropped, and what control is not told of it asks for again.
        if run.weather.rooms.hand_off.min(run.weather.rooms.channel) == 64 {
            break run;
        }
    };
    play_until(&mut run, START + Duration::from_secs(1));
    let link = eth().src(run.stations[NODE_A].mac).dst(run.gateway.macs[NODES.index()]);
    let question = |pod| link.clone().ip(pod_of(NODE_A, pod, false), own(SERVER, false)).udp(5_000, 53).build();
    let questions: Vec<_> = (0..8).map(question).collect();
    // The server is known once somebody has asked for it.
    questions.iter().for_each(|question| run.gateway.receive(0, NODES, question));
    play_until(&mut run, START + Duration::from_secs(2));
    let gateway = &mut run.gateway;
    for round in 0..100 {
        for question in questions.iter().cycle().take(32) {
            gateway.receive(round % 4, NODES, question);
        }
        let turns = calls(|| {
            for _ in 0..6 {
                for manned in &mut gateway.crew {
                    manned.worker.turn(run.now);
                    manned.worker.flush();
                }
            }
        });
        for peer in gateway.crew.iter().flat_map(|manned| &manned.peers) {
            while peer.pop_with(|_, _| ()).is_some() {}
        }
        assert!(round < 8 || turns == 0, "{turns} calls in round {round}");
    }
    assert!(gateway.counted("handed-off") > 1_000 && gateway.counted("translated-out") > 1_500, "{}", gateway.story());
}
