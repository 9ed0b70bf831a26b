//! On real veth pairs in namespaces of their own; skipped, loudly, without
//! privilege.

use std::net::UdpSocket;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use causeway_fastpath::burst::Burst;
use causeway_fastpath::frame::{BufferOwner, Frame};
use causeway_fastpath::ids::WorkerId;
use causeway_fastpath::offload::{ChecksumState, Gso, Offload};
use causeway_lab::netlink::Netlink;
use causeway_lab::privilege::require_for_test;

use super::super::test_world::{LEFT, RIGHT, RIGHT_V6, TestWorld, download, options, wire};
use super::super::{Link, Port, PortOptions, PortStats, Share};
use super::{AfPacketPort, describe, put_tag_back};

fn open(id: u16, device: &str) -> AfPacketPort {
    AfPacketPort::open(&options(id, device), BufferOwner(id)).expect("the port opens")
}

/// What went over a wire of two ports.
#[derive(Default)]
struct Seen {
    longest: usize,
    super_frames: usize,
    partial: usize,
    least_headroom: usize,
    stats: [PortStats; 2],
}

/// Runs `hosts` with a wire of AF_PACKET ports between them.
fn on_the_wire(world: &TestWorld, hosts: impl FnOnce()) -> Seen {
    let middle = |stop: &AtomicBool| {
        let (mut left, mut right) = (open(0, "port0"), open(1, "port1"));
        let mut seen = Seen { least_headroom: usize::MAX, ..Seen::default() };
        wire(stop, [&mut left, &mut right], |frame| {
            seen.longest = seen.longest.max(frame.len());
            seen.super_frames += usize::from(frame.offload.is_super_frame());
            seen.partial += usize::from(frame.offload.checksum != ChecksumState::Complete);
            seen.least_headroom = seen.least_headroom.min(frame.headroom());
        });
        seen.stats = [left.stats(), right.stats()];
        seen
    };
    world.run(middle, hosts)
}

#[test]
fn kernel_tcp_of_both_families_crosses_in_super_frames() {
    if !require_for_test("kernel_tcp_of_both_families_crosses_in_super_frames") {
        return;
    }
    let world = TestWorld::new();
    let seen = on_the_wire(&world, || {
        download(&world, RIGHT, 50_000_000);
        download(&world, RIGHT_V6, 50_000_000);
    });
    assert!(seen.longest > 60_000 && seen.super_frames > 100, "{} in {}", seen.longest, seen.super_frames);
    assert!(seen.partial > 100);
    assert!(seen.least_headroom >= 128, "{}", seen.least_headroom);
    let [left, right] = seen.stats;
    assert_eq!((left.link, right.link), (Link::Up, Link::Up));
    assert_eq!((left.rx_errors, right.rx_errors, left.tx_errors, right.tx_errors), (0, 0, 0, 0));
    assert!(right.rx_bytes > 100_000_000 && left.tx_bytes > 100_000_000);
}

#[test]
fn slots_may_come_back_in_any_order_and_a_full_ring_is_counted() {
    if !require_for_test("slots_may_come_back_in_any_order_and_a_full_ring_is_counted") {
        return;
    }
    let world = TestWorld::new();
    // Broadcasts need no neighbour to answer.
    let flood = || {
        let socket = world.left.run(|| UdpSocket::bind((LEFT, 0))).expect("bind");
        socket.set_broadcast(true).expect("broadcast");
        for number in 0..1000u32 {
            socket.send_to(&number.to_be_bytes(), "10.9.0.255:9").expect("send");
        }
    };
    world.middle.run(|| {
        let mut port = open(0, "port0");
        flood();
        let held = drain(&mut port);
        let stats = port.stats();
        assert!(held.len() >= 256 && held.len() < 512, "the whole ring was lent: {}", held.len());
        assert_eq!(stats.rx_packets, held.len() as u64);
        assert!(stats.rx_missed >= 1000 - held.len() as u64, "{stats:?}");
        // The even ones backwards, then the odd ones.
        let (odd, even): (Vec<_>, Vec<_>) = held.into_iter().partition(|frame| frame.token() % 2 == 1);
        even.into_iter().rev().chain(odd).for_each(|frame| port.recycle(frame));
        // The ring goes on as if nothing had been, past the place where it stood.
        for _ in 0..3 {
            flood();
            let held = drain(&mut port);
            assert!(held.len() >= 256, "the whole ring is free again: {}", held.len());
            held.into_iter().for_each(|frame| port.recycle(frame));
        }
    });
}

/// Takes everything that came in; the frames are still lent.
fn drain(port: &mut AfPacketPort) -> Vec<Frame> {
    let mut held = Vec::new();
    let mut burst = Burst::new();
    while port.rx_burst(&mut burst) > 0 {
        held.extend(burst.drain().map(|(frame, _)| frame));
    }
    held
}

#[test]
fn a_port_goes_down_and_comes_back_with_its_device() {
    if !require_for_test("a_port_goes_down_and_comes_back_with_its_device") {
        return;
    }
    let world = TestWorld::new();
    let mut left = Netlink::open(&world.left).expect("netlink");
    world.middle.run(|| {
        let mut port = open(0, "port0");
        await_link(&mut port, Link::Up);
        left.set_down("left0").expect("down");
        await_link(&mut port, Link::Down);
        left.set_up("left0").expect("up");
        let mut middle = Netlink::open(&world.middle).expect("netlink");
        middle.set_down("port0").expect("down");
        let (mut frames, mut spent) = (vec![broadcast()], Vec::new());
        assert_eq!(port.tx_burst(&mut frames, &mut spent), 0, "what is down takes nothing");
        assert_eq!((frames.len(), spent.len()), (1, 0));
        assert_eq!(port.stats().link, Link::Down);
        middle.set_up("port0").expect("up");
        await_link(&mut port, Link::Up);
        assert_eq!(port.tx_burst(&mut frames, &mut spent), 1);
        // What the returned link brings: neighbour discovery of the left host.
        let mut burst = Burst::new();
        let deadline = Instant::now() + PATIENCE;
        while port.rx_burst(&mut burst) == 0 {
            assert!(Instant::now() < deadline, "reception returns");
            thread::sleep(Duration::from_millis(5));
        }
        burst.drain().for_each(|(frame, _)| port.recycle(frame));
        free(spent);
    });
}

#[test]
fn a_frame_that_cannot_be_sent_is_an_error_and_the_others_go() {
    if !require_for_test("a_frame_that_cannot_be_sent_is_an_error_and_the_others_go") {
        return;
    }
    let world = TestWorld::new();
    world.middle.run(|| {
        let mut port = open(0, "port0");
        let mut lying = broadcast();
        lying.offload = Offload { gso: Gso::TcpV6 { ecn: false }, gso_size: 9, ..Offload::DONE };
        let mut outside = broadcast();
        outside.offload.checksum = ChecksumState::Partial { start: 60_000, offset: 6 };
        let giant = Frame::boxed(&[0xff; 4000], 0, 0);
        let runt = Frame::boxed(&[0xff; 3], 0, 0);
        let mut frames = vec![broadcast(), giant, broadcast(), runt, lying, outside, broadcast()];
        let mut spent = Vec::new();
        assert_eq!(port.tx_burst(&mut frames, &mut spent), 7);
        assert_eq!((frames.len(), spent.len()), (0, 7));
        let stats = port.stats();
        assert_eq!((stats.tx_packets, stats.tx_errors), (3, 4), "{stats:?}");
        free(spent);
    });
}

#[test]
fn a_device_that_does_not_exist_is_an_error_that_says_so() {
    let result = AfPacketPort::open(&options(0, "nosuchdev0"), BufferOwner(0));
    let error = result.err().expect("no such device").to_string();
    assert!(error.contains("(af-packet on nosuchdev0): there is no such device; devices here are: "), "{error}");
}

#[test]
fn missing_privilege_is_named() {
    let refused = std::io::Error::from_raw_os_error(libc::EPERM);
    let error = describe(&options(0, "eth1"), "open a packet socket", refused).to_string();
    let start = "port \"p0\" (af-packet on eth1): cannot open a packet socket: ";
    assert!(error.starts_with(start) && error.contains("; this needs CAP_NET_RAW: "), "{error}");
}

#[test]
fn a_tagged_frame_comes_in_as_it_was_sent() {
    if !require_for_test("a_tagged_frame_comes_in_as_it_was_sent") {
        return;
    }
    let world = TestWorld::new();
    let plain = broadcast();
    let mut bytes = plain.bytes().to_vec();
    free(vec![plain]);
    bytes.splice(12..12, [0x88, 0xa8, 0x20, 0x05, 0x81, 0x00, 0x00, 0x07]);
    let send = || {
        let (mut frames, mut spent) = (vec![Frame::boxed(&bytes, 0, 0)], Vec::new());
        assert_eq!(open(9, "left0").tx_burst(&mut frames, &mut spent), 1);
        free(spent);
    };
    world.middle.run(|| {
        let mut port = open(0, "port0");
        world.left.run(send);
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "the frame arrives");
            let held = drain(&mut port);
            let found = held.iter().any(|frame| frame.bytes() == bytes);
            held.into_iter().for_each(|frame| port.recycle(frame));
            if found {
                break;
            }
        }
    });
}

#[test]
fn a_vlan_tag_goes_back_behind_the_addresses() {
    let mut frame = Frame::boxed(b"ddddddssssss\x08\x00packet", 8, 0);
    frame.offload.checksum = ChecksumState::Partial { start: 34, offset: 16 };
    put_tag_back(&mut frame, (0x88a8, 0x2005));
    assert_eq!(frame.bytes(), b"ddddddssssss\x88\xa8\x20\x05\x08\x00packet");
    assert_eq!(frame.offload.checksum, ChecksumState::Partial { start: 38, offset: 16 });
}

/// Brings what arrives, until there is something.
fn receive(port: &mut AfPacketPort) -> Vec<Frame> {
    let (mut burst, deadline) = (Burst::new(), Instant::now() + PATIENCE);
    while port.rx_burst(&mut burst) == 0 {
        assert!(Instant::now() < deadline, "something arrives");
        thread::sleep(Duration::from_millis(5));
    }
    burst.drain().map(|(frame, _)| frame).collect()
}

#[test]
fn a_port_stands_on_a_new_device_and_takes_frames_of_the_old_one_back() {
    if !require_for_test("a_port_stands_on_a_new_device_and_takes_frames_of_the_old_one_back") {
        return;
    }
    let world = TestWorld::new();
    let mut left = Netlink::open(&world.left).expect("netlink");
    world.middle.run(|| {
        let mut port = open(0, "port0");
        let mut lent = receive(&mut port);
        let counted = port.stats().rx_packets;
        for round in 1..=2 {
            Netlink::open(&world.middle).expect("netlink").delete_link("port0").expect("it is there");
            assert_eq!(port.stats().link, Link::Gone);
            let (mut frames, mut spent) = (vec![broadcast()], Vec::new());
            assert_eq!(port.tx_burst(&mut frames, &mut spent), 0);
            free(frames);
            let error = port.reopen().expect_err("there is none yet");
            assert_eq!(error.source.and_then(|error| error.raw_os_error()), Some(libc::ENODEV));
            left.create_veth("left0", "port0", &world.middle).expect("a veth pair");
            left.set_up("left0").expect("up");
            Netlink::open(&world.middle).expect("netlink").set_up("port0").expect("up");
            port.reopen().expect("there is one");
            await_link(&mut port, Link::Up);
            assert_eq!(port.retired.len(), round, "frames of the old rings are still out");
            lent.extend(receive(&mut port));
        }
        assert!(port.stats().rx_packets > counted, "it goes on counting");
        // Their memory is still there, and goes with the last of them.
        assert!(lent.iter().all(|frame| frame.len() >= 42));
        lent.into_iter().for_each(|frame| port.recycle(frame));
        assert!(port.retired.is_empty() && port.ring.is_whole());
    });
}

/// The sockets of two workers, that share a device by fanout.
#[test]
fn what_the_host_sends_itself_is_not_taken_for_traffic() {
    if !require_for_test("what_the_host_sends_itself_is_not_taken_for_traffic") {
        return;
    }
    let world = TestWorld::new();
    world.middle.run(|| {
        let mut middle = Netlink::open(&world.middle).expect("netlink");
        middle.add_address("port0", "10.9.0.99/24".parse().expect("an address")).expect("an address");
        let shares = Share::of_ports(1, 2);
        let first = shares[0].as_ref().expect("there are two");
        let mut ports = [0, 1].map(|me| {
            let share = Some(first.for_worker(WorkerId(me)));
            let options = PortOptions { share, ..options(0, "port0") };
            AfPacketPort::open(&options, BufferOwner(me)).expect("a port")
        });
        let own = ports[0].device.mac;
        await_link(&mut ports[0], Link::Up);
        let socket = UdpSocket::bind("10.9.0.99:0").expect("a socket");
        // Broadcasts of ours, and then an answer that the left host gives.
        socket.set_broadcast(true).expect("a switch");
        (0..50).for_each(|_| drop(socket.send_to(b"ours", "10.9.0.255:9")));
        let mut seen = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while !seen.iter().any(|source| *source != own) {
            assert!(Instant::now() < deadline, "the left host answers");
            let _ = socket.send_to(b"theirs", (LEFT, 9));
            thread::sleep(Duration::from_millis(5));
            for port in &mut ports {
                let mut burst = Burst::new();
                port.rx_burst(&mut burst);
                for (frame, _) in burst.drain() {
                    seen.push(<[u8; 6]>::try_from(&frame.bytes()[6..12]).expect("six bytes"));
                    port.recycle(frame);
                }
            }
        }
        assert!(!seen.contains(&own), "{seen:?}");
    });
}

/// The kernel tells of a carrier a moment later (`linkwatch`).
fn await_link(port: &mut AfPacketPort, link: Link) {
    let deadline = Instant::now() + PATIENCE;
    while port.stats().link != link {
        assert!(Instant::now() < deadline, "the port is {:?}", port.link());
        thread::sleep(Duration::from_millis(5));
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

/// A broadcast frame that nobody understands.
fn broadcast() -> Frame {
    let mut bytes = [0; 60];
    bytes[..6].fill(0xff);
    bytes[6..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
    Frame::boxed(&bytes, 0, 0)
}

fn free(frames: Vec<Frame>) {
    for frame in frames {
        frame.into_heap().expect("a frame of ours");
    }
}
