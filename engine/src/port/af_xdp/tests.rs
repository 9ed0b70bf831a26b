//! The driver on veth pairs, with real kernels at both ends.

use std::collections::BTreeSet;
use std::net::{IpAddr, UdpSocket};
use std::slice;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use causeway_fastpath::burst::Burst;
use causeway_fastpath::frame::{BufferOwner, Frame};
use causeway_fastpath::offload::{ChecksumState, Gso};
use causeway_lab::netlink::{Netlink, Offload};
use causeway_testkit::checksum;

use super::test_hosts::{Listener, able, ping, skipped, udp_echo, with_queues};
use super::*;
use crate::port::test_world::{LEFT, RIGHT, RIGHT_V6, TestWorld, download, options, wire};

#[test]
fn ping_tcp_and_udp_pass_and_no_bad_checksum_arrives() {
    if !able("ping_tcp_and_udp_pass_and_no_bad_checksum_arrives") {
        return;
    }
    let world = TestWorld::new();
    let listeners = [(&world.left, "left0"), (&world.right, "right0")]
        .map(|(host, device)| host.run(|| Listener::on(device)))
        .map(|listener| thread::spawn(move || check_all(&listener)));

    let outcome = passing(&world, |_| {
        let hosts = [(&world.left, RIGHT.into()), (&world.left, RIGHT_V6.into()), (&world.right, LEFT.into())];
        for (host, to) in hosts {
            assert_eq!(host.run(|| ping(to, 20, 56)), 20, "ping {to}");
            assert_eq!(host.run(|| ping(to, 5, 1400)), 5, "ping {to} with 1400 bytes");
        }
        for to in [IpAddr::from(RIGHT), RIGHT_V6.into()] {
            download(&world, to, 20 << 20);
            assert_eq!(udp_echo(&world.left, &world.right, to, 1000), 1000, "datagrams to {to}");
        }
    });

    for listener in listeners {
        let seen = listener.join().expect("every checksum is right");
        // It loses some when it gets no time; it looks at what it can.
        assert!(seen > 1000, "only {seen} frames were looked at");
    }
    for stats in outcome.stats {
        assert!(stats.link == Link::Up && stats.rx_packets > 5000 && stats.tx_packets > 5000, "{stats:?}");
        assert_eq!((stats.rx_errors, stats.tx_errors), (0, 0), "{stats:?}");
    }
    assert_eq!(outcome.open.lent, 0, "{:?}", outcome.open);
    assert_whole(outcome.open);
    assert_eq!(outcome.closed.free, outcome.closed.total, "{:?}", outcome.closed);
}

#[test]
fn every_queue_of_a_device_is_bound() {
    const NAME: &str = "every_queue_of_a_device_is_bound";
    if !able(NAME) {
        return;
    }
    let Some(world) = with_queues(4) else {
        return skipped(NAME, "no program `ip` that makes veth pairs with several queues");
    };
    let outcome = passing(&world, |mode| {
        assert_eq!(mode, "copy, 4 queues");
        let sink = world.right.run(|| UdpSocket::bind((RIGHT, 0)).expect("a free port"));
        sink.set_read_timeout(Some(Duration::from_secs(1))).expect("not zero");
        let target = sink.local_addr().expect("bound");
        // The kernel spreads flows over the transmit queues by their hash.
        let sent: BTreeSet<u32> = (0..200).collect();
        world.left.run(|| {
            for number in &sent {
                let socket = UdpSocket::bind((LEFT, 0)).expect("a free port");
                socket.send_to(&number.to_be_bytes(), target).expect("a route");
            }
        });
        let (mut arrived, mut bytes) = (BTreeSet::new(), [0; 4]);
        while arrived != sent && sink.recv(&mut bytes).is_ok() {
            arrived.insert(u32::from_be_bytes(bytes));
        }
        assert_eq!(arrived, sent, "flows that are missing hash to a queue nobody serves");
    });
    assert_eq!(outcome.closed.free, outcome.closed.total);
}

#[test]
fn a_second_open_says_that_a_program_is_attached() {
    if !able("a_second_open_says_that_a_program_is_attached") {
        return;
    }
    TestWorld::new().middle.run(|| {
        let first = open("port0").map(drop).and_then(|()| open_again("port0")).expect("opens again after a close");
        let error = open("port0").err().expect("one program a device").to_string();
        assert!(error.contains("another XDP program is attached to port0"), "{error}");
        drop(first);
        open_again("port0").expect("opens when the first has gone");
    });
}

#[test]
fn the_program_goes_with_the_port() {
    const NAME: &str = "the_program_goes_with_the_port";
    if !able(NAME) {
        return;
    }
    let world = TestWorld::new();
    let shows_program = || {
        let shown = world.middle.command("ip").args(["link", "show", "port0"]).output();
        shown.map(|shown| String::from_utf8_lossy(&shown.stdout).contains("prog/xdp"))
    };
    if shows_program().is_err() {
        return skipped(NAME, "no program `ip` that shows XDP programs");
    }
    let [before, during, after] = thread::scope(|scope| {
        let (ask, asked) = mpsc::channel();
        let (answer, answered) = mpsc::channel();
        let before = shows_program().expect("it ran before");
        scope.spawn(|| {
            world.middle.run(move || {
                let port = open("port0").expect("a port");
                ask.send(()).expect("the test waits");
                answered.recv().expect("the test answers");
                drop(port);
            });
        });
        asked.recv().expect("the port opens");
        let during = shows_program().expect("it ran before");
        answer.send(()).expect("the port waits");
        assert!(asked.recv().is_err(), "the port has gone");
        // As in `open_again`.
        let mut after = true;
        for _ in 0..1000 {
            after = shows_program().expect("it ran before");
            if !after {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        [before, during, after]
    });
    assert_eq!([before, during, after], [false, true, false]);
}

#[test]
fn a_device_that_goes_down_comes_back() {
    if !able("a_device_that_goes_down_comes_back") {
        return;
    }
    let world = TestWorld::new();
    let outcome = passing(&world, |_| {
        assert_eq!(world.left.run(|| ping(RIGHT.into(), 3, 56)), 3);
        let mut netlink = Netlink::open(&world.middle).expect("a socket");
        netlink.set_down("port1").expect("it is up");
        assert_eq!(world.left.run(|| ping(RIGHT.into(), 1, 56)), 0);
        netlink.set_up("port1").expect("it is down");
        // The kernel takes up to a second to believe in the carrier.
        assert!(world.left.run(|| (0..10).any(|_| ping(RIGHT.into(), 1, 56) == 1)));
    });
    assert_eq!(outcome.stats[1].link, Link::Up);
    assert_eq!(outcome.closed.free, outcome.closed.total);
}

#[test]
fn a_port_whose_device_goes_away_is_gone_and_silent() {
    if !able("a_port_whose_device_goes_away_is_gone_and_silent") {
        return;
    }
    let world = TestWorld::new();
    world.middle.run(|| {
        let (mut port, umem) = open("port0").expect("a port");
        Netlink::open(&world.middle).expect("a socket").delete_link("port0").expect("it is there");
        assert_eq!(port.stats().link, Link::Gone);
        let mut frames = vec![Frame::boxed(&[0; 60], 0, 0)];
        assert_eq!(port.tx_burst(&mut frames, &mut Vec::new()), 0, "nothing waits for a device that has gone");
        frames.into_iter().for_each(|frame| drop(frame.into_heap()));
        // What the peer's kernel said before is still there.
        let mut burst = Burst::new();
        port.rx_burst(&mut burst);
        burst.drain().for_each(|(frame, _)| port.recycle(frame));
        assert_eq!(port.rx_burst(&mut Burst::new()), 0);
        drop(port);
        assert_eq!(umem.account().free, umem.account().total);
    });
}

#[test]
fn a_port_stands_on_a_new_device_with_the_same_memory() {
    if !able("a_port_stands_on_a_new_device_with_the_same_memory") {
        return;
    }
    let world = TestWorld::new();
    world.middle.run(|| {
        let (mut port, umem) = open("port0").expect("a port");
        for _ in 0..4 {
            Netlink::open(&world.middle).expect("a socket").delete_link("port0").expect("it is there");
            assert_eq!(port.stats().link, Link::Gone);
            assert!(port.reopen().is_err(), "there is none yet");
            let mut left = Netlink::open(&world.left).expect("a socket");
            left.create_veth("left0", "port0", &world.middle).expect("a veth pair");
            left.set_up("left0").expect("up");
            left.add_address("left0", "10.9.0.1/24".parse().expect("an address")).expect("an address");
            port.reopen().expect("there is one");
            let mut burst = Burst::new();
            let asked = || {
                world.left.run(|| UdpSocket::bind((LEFT, 0)).and_then(|socket| socket.send_to(b"?", (RIGHT, 9)))).ok();
                thread::sleep(Duration::from_millis(5));
                port.rx_burst(&mut burst) > 0
            };
            assert!(causeway_tests::program::wait_until(Duration::from_secs(10), asked), "something arrives");
            burst.drain().for_each(|(frame, _)| port.recycle(frame));
            assert_eq!(port.stats().link, Link::Up);
        }
        assert!(port.stats().rx_packets >= 4, "it goes on counting");
        drop(port);
        assert_eq!(umem.account().free, umem.account().total);
    });
}

#[test]
fn frames_of_other_owners_are_copied_segmented_and_completed() {
    if !able("frames_of_other_owners_are_copied_segmented_and_completed") {
        return;
    }
    let world = TestWorld::new();
    let listener = world.right.run(|| Listener::on("right0"));
    let mut long = tcp_frame(3000);
    long.offload.gso = Gso::TcpV4 { ecn: false };
    long.offload.gso_size = 1000;
    let payload = long.bytes()[54..].to_vec();
    world.middle.run(|| {
        let (mut port, umem) = open("port1").expect("a port");
        send(&mut port, vec![long, tcp_frame(10), Frame::boxed(&[0; 4000], 0, 0), Frame::boxed(&[0; 5], 0, 0)]);
        let stats = port.stats();
        assert_eq!((stats.tx_packets, stats.tx_errors), (4, 2), "one is over the MTU, one shorter than a header");
        assert_eq!(umem.account().lent, 0);
        assert_whole(umem.account());
    });
    let arrived: Vec<_> = std::iter::from_fn(|| listener.next()).filter(|frame| frame[12..14] == [8, 0]).collect();
    assert_eq!(arrived.iter().map(Vec::len).collect::<Vec<_>>(), [1054, 1054, 1054, 64]);
    assert_eq!(arrived[..3].iter().flat_map(|frame| frame[54..].to_vec()).collect::<Vec<_>>(), payload);
    for frame in arrived {
        assert_eq!(checksum::verify(&frame), Ok(()));
    }
}

#[test]
fn what_does_not_fit_the_ring_stays_with_the_caller_in_order() {
    if !able("what_does_not_fit_the_ring_stays_with_the_caller_in_order") {
        return;
    }
    TestWorld::new().middle.run(|| {
        let (mut port, umem) = open("port0").expect("a port");
        let numbered = |number: usize| Frame::boxed(&number.to_be_bytes().repeat(8), 0, 0);
        let mut frames: Vec<_> = (0..300).map(numbered).collect();
        let mut spent = Vec::new();
        assert_eq!(port.tx_burst(&mut frames, &mut spent), 256, "the ring of 256 is full");
        assert_eq!((frames.len(), spent.len()), (44, 256));
        assert_eq!(frames[0].bytes()[..8], 256usize.to_be_bytes());
        assert_eq!(port.tx_burst(&mut frames, &mut spent), 0);
        port.flush();
        assert_eq!(port.tx_burst(&mut frames, &mut spent), 44, "the kernel has taken what was queued");
        port.flush();
        assert_whole(umem.account());
        spent.into_iter().for_each(|frame| drop(frame.into_heap()));
    });
}

#[test]
fn what_the_peers_kernel_left_partial_is_marked_so() {
    if !able("what_the_peers_kernel_left_partial_is_marked_so") {
        return;
    }
    let world = TestWorld::new();
    let mut host = Netlink::open(&world.left).expect("a socket");
    assert!(host.offload("left0", Offload::Tso).expect("veth has it"));
    world.middle.run(|| {
        let (mut port, _umem) = open("port0").expect("a port");
        assert!(!host.offload("left0", Offload::Tso).expect("veth has it"), "XDP turns off the peer's TSO");
        world.left.run(|| {
            let socket = UdpSocket::bind((LEFT, 4000)).expect("free");
            socket.set_broadcast(true).expect("allowed");
            socket.send_to(b"all", "10.9.0.255:4000").expect("no neighbour is asked for");
        });
        let mut burst = Burst::new();
        let found = (0..5000).any(|_| {
            thread::sleep(Duration::from_millis(1));
            port.rx_burst(&mut burst);
            burst.frames().iter().any(|frame| frame.bytes()[12..14] == [8, 0])
        });
        assert!(found, "the datagram arrives");
        for (frame, _) in burst.drain() {
            assert!(frame.headroom() >= 128, "room for headers in front");
            if frame.bytes()[12..14] == [8, 0] {
                assert_eq!(frame.offload.checksum, ChecksumState::Partial { start: 34, offset: 6 });
                assert!(checksum::verify(frame.bytes()).is_err() && checksum::verify_offloaded(frame.bytes()).is_ok());
            }
            port.recycle(frame);
        }
    });
}

#[test]
fn an_mtu_that_fits_no_buffer_is_refused_with_what_would_do() {
    if !able("an_mtu_that_fits_no_buffer_is_refused_with_what_would_do") {
        return;
    }
    let world = TestWorld::new();
    let mut netlink = Netlink::open(&world.middle).expect("a socket");
    netlink.set_mtu("port0", 9000).expect("veth allows it");
    let error = world.middle.run(|| open("port0").map(drop)).expect_err("9000 is too much").to_string();
    let expected =
        "MTU 9000 does not fit one AF_XDP buffer, which holds 3506 bytes; lower it (ip link set port0 mtu 3506)";
    assert!(error.contains(expected), "{error}");
    netlink.set_mtu("port0", 1500).expect("as it was");
    Netlink::open(&world.left).expect("a socket").set_mtu("left0", 9000).expect("veth allows it");
    let error = world.middle.run(|| open("port0").map(drop)).expect_err("the peer's is too much").to_string();
    assert!(error.contains("the MTU of the peer is too large for XDP"), "{error}");
}

#[test]
fn packets_of_3506_bytes_pass() {
    if !able("packets_of_3506_bytes_pass") {
        return;
    }
    let world = TestWorld::new();
    for (host, device) in
        [(&world.middle, "port0"), (&world.middle, "port1"), (&world.left, "left0"), (&world.right, "right0")]
    {
        Netlink::open(host).expect("a socket").set_mtu(device, LARGEST_MTU).expect("veth allows it");
    }
    passing(&world, |_| assert_eq!(world.left.run(|| ping(RIGHT.into(), 3, 3506 - 28)), 3));
}

/// What was seen when the frames no longer passed.
struct Outcome {
    stats: [PortStats; 2],
    /// The chunks after the last frame, before the ports went.
    open: Account,
    /// The chunks when the ports had gone.
    closed: Account,
}

/// Passes frames on between the two ports while `hosts`, told their mode, runs.
fn passing(world: &TestWorld, hosts: impl FnOnce(String)) -> Outcome {
    let (opened, open) = mpsc::channel();
    world.run(move |stop| pass_on(stop, &opened), || hosts(open.recv().expect("the ports open")))
}

fn pass_on(stop: &AtomicBool, opened: &mpsc::Sender<String>) -> Outcome {
    let options = [options(0, "port0"), options(1, "port1")];
    let umem = Umem::for_ports(&options, OWNER).expect("memory");
    let mut ports = [&options[0], &options[1]].map(|options| AfXdp::open(options, &umem).expect("a port"));
    opened.send(ports[0].info().mode.clone()).expect("the hosts wait");
    let [left, right] = &mut ports;
    wire(stop, [left, right], |_| assert_whole(umem.account()));
    let stats = ports.each_mut().map(|port| port.stats());
    let open = umem.account();
    drop(ports);
    Outcome { stats, open, closed: umem.account() }
}

fn assert_whole(account: Account) {
    assert_eq!(account.free + account.in_rings + account.lent, account.total, "{account:?}");
}

/// Opens one port by itself, in the namespace of the calling thread.
/// A port, once the kernel believes in its carrier; else it stays down.
fn open(device: &str) -> Result<(AfXdp, Rc<Umem>), OpenError> {
    let options = options(0, device);
    let umem = Umem::for_ports(slice::from_ref(&options), OWNER)?;
    let mut port = AfXdp::open(&options, &umem)?;
    let patience = std::time::Instant::now() + Duration::from_secs(2);
    while port.stats().link != Link::Up && std::time::Instant::now() < patience {
        thread::sleep(Duration::from_millis(5));
    }
    Ok((port, umem))
}

/// As [`open`], where there was another port until now. A child that another test has forked
/// holds what that one had until it becomes a program of its own.
fn open_again(device: &str) -> Result<(AfXdp, Rc<Umem>), OpenError> {
    let is_busy = |error: &OpenError| error.source.as_ref().and_then(std::io::Error::raw_os_error) == Some(libc::EBUSY);
    let patience = std::time::Instant::now() + Duration::from_secs(5);
    loop {
        match open(device) {
            Err(error) if is_busy(&error) && std::time::Instant::now() < patience => {
                thread::sleep(Duration::from_millis(5));
            }
            opened => return opened,
        }
    }
}

/// Sends heap frames and takes their memory back.
fn send(port: &mut AfXdp, mut frames: Vec<Frame>) {
    let (count, mut spent) = (frames.len(), Vec::new());
    assert_eq!(port.tx_burst(&mut frames, &mut spent), count, "the ring has room");
    port.flush();
    assert_eq!(spent.len(), count, "heap frames are copied and come back");
    spent.into_iter().for_each(|frame| drop(frame.into_heap().expect("from the heap")));
}

/// A TCP frame with a partial checksum and `payload` bytes.
fn tcp_frame(payload: usize) -> Frame {
    let mut bytes = vec![0xff; 6];
    bytes.extend([2, 0, 0, 0, 0, 1, 8, 0]);
    let [high, low] = ((40 + payload) as u16).to_be_bytes();
    bytes.extend([0x45, 0, high, low, 0, 1, 0x40, 0, 64, 6, 0, 0]);
    bytes.extend(LEFT.octets().into_iter().chain(RIGHT.octets()));
    let header = checksum::internet(&bytes[14..34]).to_be_bytes();
    bytes[24..26].copy_from_slice(&header);
    bytes.extend([0x10, 0, 0x20, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
    let pseudo = checksum::pseudo_header(LEFT.into(), RIGHT.into(), 6, 20 + payload);
    bytes[50..52].copy_from_slice(&checksum::sum(&pseudo).to_be_bytes());
    bytes.extend((0..payload).map(|byte| byte as u8));
    let mut frame = Frame::boxed(&bytes, 0, 0);
    frame.offload.checksum = ChecksumState::Partial { start: 34, offset: 16 };
    frame
}

/// Looks at all that arrives until it is silent for two seconds; the number of frames.
fn check_all(listener: &Listener) -> u64 {
    let (mut seen, mut silent) = (0, 0);
    while silent < 10 {
        let Some(frame) = listener.next() else {
            silent += 1;
            continue;
        };
        (seen, silent) = (seen + 1, 0);
        if let Err(fault) = checksum::verify(&frame)
            && !fault.ends_with(OTHER_ZERO)
        {
            panic!("{fault} in {}", causeway_testkit::print::text(&frame));
        }
    }
    seen
}

/// Both spell zero in one's complement; Linux too writes the first, for TCP as for UDP.
const OTHER_ZERO: &str = "bad checksum 0xffff, right is 0x0000";
const OWNER: BufferOwner = BufferOwner(3);
