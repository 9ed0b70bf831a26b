//! Against a server in the same process, which is honest or not as the test wants it.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use causeway_fastpath::burst::Burst;
use causeway_fastpath::frame::{BufferOwner, Frame};
use causeway_fastpath::ids::WorkerId;
use causeway_fastpath::offload::{ChecksumState, Gso, Offload};

use super::super::test_world::options;
use super::super::{Link, Port, PortOptions, Share};
use super::message::Message;
use super::test_server::{Served, TestServer};
use super::{MemifPort, ring};
use crate::wake::{readable, sleep};

const PATIENCE: Duration = Duration::from_secs(20);

/// Options for a port at this server, with rings of 64.
fn at(server: &TestServer) -> PortOptions {
    PortOptions { ring: 64, ..options(0, server.path().to_str().expect("a path of letters")) }
}

fn open(options: &PortOptions) -> MemifPort {
    MemifPort::open(options, BufferOwner(0)).expect("the port opens")
}

/// A port and the server that it is connected to.
fn connected(options: &PortOptions, server: &TestServer) -> (MemifPort, Served) {
    thread::scope(|scope| {
        let serving = scope.spawn(|| server.serve());
        let mut port = open(options);
        await_connection(&mut port);
        (port, serving.join().expect("they agree"))
    })
}

fn await_connection(port: &mut MemifPort) {
    until("the port is connected", || port.link() == Link::Up || port.reopen().is_ok());
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// What came in; their buffers go back.
fn receive(port: &mut MemifPort) -> Vec<Vec<u8>> {
    let mut burst = Burst::new();
    port.rx_burst(&mut burst);
    let frames: Vec<Frame> = burst.drain().map(|(frame, _)| frame).collect();
    let bytes = frames.iter().map(|frame| frame.bytes().to_vec()).collect();
    frames.into_iter().for_each(|frame| port.recycle(frame));
    bytes
}

/// Sends them; says how many were taken.
fn send(port: &mut MemifPort, frames: Vec<Frame>) -> usize {
    let (mut frames, mut spent) = (frames, Vec::new());
    let taken = port.tx_burst(&mut frames, &mut spent);
    port.flush();
    frames.into_iter().chain(spent).for_each(|frame| drop(frame.into_heap()));
    taken
}

fn frame(number: u8, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at as u8) ^ number).collect()
}

fn boxed(bytes: &[u8]) -> Frame {
    Frame::boxed(bytes, 0, 0)
}

#[test]
fn frames_of_every_length_cross_both_ways() {
    let server = TestServer::new();
    let (mut port, mut served) = connected(&PortOptions { mtu: Some(9000), ..at(&server) }, &server);
    assert_eq!((port.link(), port.info().mtu), (Link::Up, 9000));
    assert_eq!(port.info().mode, "1 queue pair of 64 frames with test server (test0)");
    let side = &mut served.pairs[0].side;
    let lens = [14, 60, 2047, 2048, 2049, 9014, 9022];
    for (number, len) in lens.into_iter().enumerate() {
        let frame = frame(number as u8, len);
        assert!(side.push(&frame, ring::BUFFER));
        assert_eq!(receive(&mut port), std::slice::from_ref(&frame));
        assert_eq!(send(&mut port, vec![boxed(&frame)]), 1);
        assert_eq!(side.pop(), Some(frame));
    }
    let stats = port.stats();
    let bytes = lens.iter().sum::<usize>() as u64;
    assert_eq!((stats.rx_packets, stats.rx_bytes, stats.tx_packets, stats.tx_bytes), (7, bytes, 7, bytes));
    assert_eq!((stats.rx_errors, stats.tx_errors), (0, 0));
}

#[test]
fn a_full_ring_takes_nothing_more_and_loses_nothing() {
    let server = TestServer::new();
    let (mut port, mut served) = connected(&at(&server), &server);
    let side = &mut served.pairs[0].side;
    let frames = |numbers: std::ops::Range<u8>| numbers.map(|number| boxed(&frame(number, 60))).collect::<Vec<_>>();
    assert_eq!(send(&mut port, frames(0..100)), 64);
    assert_eq!(send(&mut port, frames(0..1)), 0);
    assert_eq!((side.pop(), side.pop()), (Some(frame(0, 60)), Some(frame(1, 60))));
    assert_eq!(send(&mut port, frames(64..100)), 2);
    for number in 2..66 {
        assert_eq!(side.pop(), Some(frame(number, 60)));
    }
    assert_eq!(side.pop(), None);
    // The other way it is the server that finds no room.
    assert!((0..64).all(|number| side.push(&frame(number, 60), ring::BUFFER)));
    assert!(!side.push(&frame(64, 60), ring::BUFFER));
    assert_eq!(receive(&mut port).len(), 64);
    assert!(side.push(&frame(64, 60), ring::BUFFER));
}

#[test]
fn offloads_are_made_good_and_what_cannot_be_is_an_error() {
    let server = TestServer::new();
    let (mut port, mut served) = connected(&at(&server), &server);
    let mut udp = [0u8; 14 + 20 + 8 + 30];
    udp[12..18].copy_from_slice(&[0x08, 0x00, 0x45, 0, 0, 58]);
    udp[23] = 17;
    let with = |gso, gso_size, start| {
        let mut frame = boxed(&udp);
        frame.offload = Offload { checksum: ChecksumState::Partial { start, offset: 6 }, gso, gso_size };
        frame
    };
    let frames = vec![
        with(Gso::Udp, 20, 34),
        with(Gso::None, 0, 34),
        // The segments are of no bytes; the checksum lies outside; more of them than the ring holds.
        with(Gso::Udp, 0, 34),
        with(Gso::None, 0, 60_000),
        {
            let mut large = vec![0; 42 + 65 * 20];
            large[..42].copy_from_slice(&udp[..42]);
            large[16..18].copy_from_slice(&(28u16 + 65 * 20).to_be_bytes());
            let mut frame = boxed(&large);
            frame.offload = with(Gso::Udp, 20, 34).offload;
            frame
        },
    ];
    assert_eq!(send(&mut port, frames), 5);
    let lens: Vec<_> = std::iter::from_fn(|| served.pairs[0].side.pop())
        .inspect(|frame| assert_ne!(frame[40..42], [0, 0], "a checksum"))
        .map(|frame| frame.len())
        .collect();
    assert_eq!(lens, [62, 52, 72]);
    let stats = port.stats();
    assert_eq!((stats.tx_packets, stats.tx_errors), (3, 3));
}

#[test]
fn bad_descriptors_are_errors_and_the_port_goes_on() {
    let server = TestServer::new();
    let (mut port, mut served) = connected(&at(&server), &server);
    let side = &mut served.pairs[0].side;
    // A runt, one longer than its buffer, one that goes on where nothing is: all in one burst.
    assert!(side.push(&frame(0, 13), ring::BUFFER) && side.push(&frame(1, 60), ring::BUFFER));
    assert!(side.push(&frame(2, 60), ring::BUFFER) && side.push(&frame(3, 60), ring::BUFFER));
    side.describe(1, 0, u32::MAX);
    side.describe(3, 1, 60);
    assert_eq!(receive(&mut port), [frame(2, 60)]);
    assert!(side.push(&frame(4, 60), ring::BUFFER));
    assert_eq!(receive(&mut port), [frame(4, 60)]);
    let stats = port.stats();
    assert_eq!((stats.rx_packets, stats.rx_errors, stats.link), (2, 3, Link::Up));
}

#[test]
fn a_server_that_goes_on_talking_is_cut_off() {
    let server = TestServer::new();
    let (mut port, served) = connected(&at(&server), &server);
    served.conversation.say(&Message::Ack);
    let (said, _) = served.conversation.hear().expect("it says why");
    let reason = "the server said something that does not belong there: an acknowledgement".into();
    assert_eq!(said, Message::Disconnect { reason });
    until("the port sees it", || port.stats().link == Link::Gone);
    come_back(&mut port, &server);
}

/// How a server may break a ring, with what the port does then.
type Breach = fn(&mut MemifPort, &Served);

#[test]
fn a_server_whose_counters_make_no_sense_is_cut_off_and_met_anew() {
    let breaches: [Breach; 2] = [
        |port, served| {
            let side = &served.pairs[0].side;
            side.set_tail(side.filled, 65);
            assert!(receive(port).is_empty());
        },
        |port, served| {
            let side = &served.pairs[0].side;
            side.set_tail(side.taken_from, 1);
            assert_eq!(send(port, vec![boxed(&frame(0, 60))]), 0);
        },
    ];
    for breach in breaches {
        let server = TestServer::new();
        let (mut port, served) = connected(&at(&server), &server);
        breach(&mut port, &served);
        assert_eq!((port.link(), port.stats().rx_errors), (Link::Gone, 1));
        assert!(port.may_rest(), "nobody spins for its sake");
        let (said, _) = served.conversation.hear().expect("it says why");
        assert_eq!(said, Message::Disconnect { reason: "counters of a ring make no sense".into() });
        come_back(&mut port, &server);
    }
}

/// The server serves again, and the port finds it.
fn come_back(port: &mut MemifPort, server: &TestServer) -> Served {
    let mut served = server.serve();
    await_connection(port);
    let side = &mut served.pairs[0].side;
    assert!(side.push(&frame(9, 60), ring::BUFFER));
    assert_eq!(receive(port), [frame(9, 60)]);
    assert_eq!(send(port, vec![boxed(&frame(9, 70))]), 1);
    assert_eq!(side.pop(), Some(frame(9, 70)));
    served
}

#[test]
fn a_server_goes_and_comes_back() {
    let server = TestServer::new();
    let (mut port, mut served) = connected(&at(&server), &server);
    assert!(served.pairs[0].side.push(&frame(0, 60), ring::BUFFER));
    let mut burst = Burst::new();
    assert_eq!(port.rx_burst(&mut burst), 1);
    let ends: [fn(&Served); 2] =
        [|_| {}, |served| served.conversation.say(&Message::Disconnect { reason: "interface deleted".into() })];
    for end in ends {
        end(&served);
        drop(served);
        until("the port sees it", || port.stats().link == Link::Gone);
        let error = port.reopen().expect_err("there is none yet");
        assert_eq!(error.source.and_then(|error| error.raw_os_error()), Some(libc::ENODEV));
        assert_eq!(send(&mut port, vec![boxed(&frame(0, 60))]), 0);
        served = come_back(&mut port, &server);
    }
    assert_eq!(port.stats().rx_packets, 3, "it goes on counting");
    // A frame of the first connection is still whole, and goes back.
    for (held, _) in burst.drain() {
        assert_eq!(held.bytes(), frame(0, 60));
        port.recycle(held);
    }
    assert_eq!(port.pool.free(), 64);
}

#[test]
fn a_port_without_a_server_waits_for_one() {
    let server = TestServer::new();
    let options = at(&server);
    let path = server.path();
    std::fs::rename(&path, path.with_extension("away")).expect("moved");
    let mut port = open(&options);
    assert_eq!((port.link(), port.info().mode.as_str()), (Link::Gone, "no server yet"));
    let mut fds = Vec::new();
    port.poll_fds(&mut fds);
    let mut polled: Vec<_> = fds.into_iter().map(readable).collect();
    sleep(&mut polled, Duration::ZERO);
    assert!(port.may_rest() && polled.len() == 1 && polled[0].revents == 0, "a worker may sleep meanwhile");
    std::fs::rename(path.with_extension("away"), &path).expect("moved");
    come_back(&mut port, &server);
}

#[test]
fn what_is_no_handshake_leads_nowhere_and_is_tried_again() {
    type Answer = fn(&TestServer);
    let answers: [Answer; 7] = [
        // Nothing at all, until the client has had enough.
        |server| assert!(server.accept().hear().is_none()),
        |server| drop(server.greet()),
        |server| server.greet().say(&Message::Connected { name: "too early".into() }),
        |server| server.greet().say_bytes(&[0xff; 128]),
        |server| server.greet().say(&Message::Disconnect { reason: "ID not found".into() }),
        |server| drop(server.greet_with(254, 3).hear()),
        // Half of a handshake.
        |server| {
            let client = server.greet();
            drop(client.hear());
            client.say(&Message::Ack);
            assert!(matches!(client.hear(), Some((Message::AddRegion { .. }, Some(_)))));
        },
    ];
    for answer in answers {
        let server = TestServer::new();
        let mut port = thread::scope(|scope| {
            scope.spawn(|| answer(&server));
            open(&at(&server))
        });
        assert_eq!(port.link(), Link::Gone);
        come_back(&mut port, &server);
    }
}

#[test]
fn a_server_rings_only_while_the_worker_rests() {
    let server = TestServer::new();
    let (mut port, mut served) = connected(&at(&server), &server);
    let pair = &mut served.pairs[0];
    let rung = |port: &MemifPort| {
        let mut fds = Vec::new();
        port.poll_fds(&mut fds);
        let mut polled = [readable(fds[0])];
        sleep(&mut polled, Duration::ZERO);
        polled[0].revents != 0
    };
    assert!(!pair.side.is_to_wake(), "at work, it looks by itself");
    assert!(port.may_rest() && pair.side.is_to_wake() && !rung(&port));
    assert!(pair.side.push(&frame(0, 60), ring::BUFFER));
    pair.rings.write_all(&1u64.to_ne_bytes()).expect("there is room");
    assert!(rung(&port));
    assert_eq!(receive(&mut port).len(), 1);
    assert!(!pair.side.is_to_wake(), "it is awake");
    // A bell that rang before does not keep it from sleep; a frame does.
    assert!(port.may_rest() && !rung(&port));
    assert!(pair.side.push(&frame(1, 60), ring::BUFFER));
    assert!(!port.may_rest());
    assert_eq!(receive(&mut port).len(), 1);
    // Nor does one that rang very often, or that would have who reads an empty bell wait.
    pair.rings.write_all(&(u64::MAX - 1).to_ne_bytes()).expect("there is room");
    // SAFETY: a system call without pointers.
    unsafe { libc::fcntl(pair.rings.as_raw_fd(), libc::F_SETFL, 0) };
    assert!(port.may_rest() && !rung(&port));
    assert!(port.may_rest());
}

#[test]
fn a_server_that_wants_it_is_woken_once_a_turn() {
    let server = TestServer::new();
    let (mut port, mut served) = connected(&at(&server), &server);
    let pair = &mut served.pairs[0];
    let two = || vec![boxed(&frame(0, 60)), boxed(&frame(1, 60))];
    let rings = |pair: &mut super::test_server::ServedPair| {
        std::iter::from_fn(|| pair.hears.recv(&mut [0; 8]).ok()).collect::<Vec<_>>()
    };
    pair.side.ask_for_waking(false);
    assert_eq!((send(&mut port, two()), rings(pair)), (2, Vec::<usize>::new()));
    pair.side.ask_for_waking(true);
    assert_eq!((send(&mut port, two()), rings(pair)), (2, vec![8]));
    port.flush();
    assert!(rings(pair).is_empty(), "nothing was sent since");
    // One who does not listen keeps nobody waiting.
    let (mut sent, mut spent) = (Vec::new(), Vec::new());
    for _ in 0..2000 {
        sent.push(boxed(&frame(0, 60)));
        assert_eq!(port.tx_burst(&mut sent, &mut spent), 1);
        port.flush();
        assert!(pair.side.pop().is_some());
    }
    spent.into_iter().for_each(|frame| drop(frame.into_heap()));
}

#[test]
fn each_of_two_workers_has_a_pair_of_its_own() {
    let server = TestServer::new();
    let shares = Share::of_ports(1, 2);
    let first = shares[0].as_ref().expect("there are two");
    let options = [0, 1].map(|me| PortOptions { share: Some(first.for_worker(WorkerId(me))), ..at(&server) });
    let (mut ports, mut served) = thread::scope(|scope| {
        let serving = scope.spawn(|| server.serve());
        (options.each_ref().map(open), serving.join().expect("they agree"))
    });
    assert_eq!(served.pairs.len(), 2);
    ports.iter_mut().for_each(await_connection);
    for round in 0..2 {
        for (me, port) in ports.iter_mut().enumerate() {
            assert_eq!(port.info().mode, "2 queue pairs of 64 frames with test server (test0)");
            let (number, side) = (me as u8, &mut served.pairs[me].side);
            assert!(side.push(&frame(number, 60), ring::BUFFER));
            assert_eq!(receive(port), [frame(number, 60)]);
            assert_eq!(send(port, vec![boxed(&frame(number, 80))]), 1);
            assert_eq!(side.pop(), Some(frame(number, 80)));
        }
        if round == 0 {
            // Each of them finds the next server by itself.
            drop(served);
            for port in &mut ports {
                until("the port sees it", || port.stats().link == Link::Gone);
            }
            served = server.serve();
            ports.iter_mut().for_each(await_connection);
        }
    }
    let [one, other] = ports;
    drop(one);
    assert_eq!(other.link(), Link::Up, "the line is both workers'");
    drop(other);
    let (said, _) = served.conversation.hear().expect("it takes its leave");
    assert_eq!(said, Message::Disconnect { reason: "the port was closed".into() });
}

#[test]
fn a_server_of_fewer_queues_than_workers_is_refused() {
    let server = TestServer::new();
    let shares = Share::of_ports(1, 2);
    let options = PortOptions { share: shares[0].clone(), ..at(&server) };
    let (port, said) = thread::scope(|scope| {
        let serving = scope.spawn(|| server.greet_with(0, 10).hear());
        (open(&options), serving.join().expect("it hears"))
    });
    assert_eq!(port.link(), Link::Gone);
    let reason = "the server takes 1 queues each way, and a worker needs one each: 2".to_owned();
    assert_eq!(said.map(|(message, _)| message), Some(Message::Disconnect { reason }));
}
