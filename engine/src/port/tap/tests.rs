//! A host that reaches the wire through a TAP; skipped, loudly, without privilege.

use causeway_fastpath::frame::{BufferOwner, Frame};
use causeway_fastpath::offload::{ChecksumState, Offload};
use causeway_lab::netlink::Netlink;
use causeway_lab::netns::Namespace;
use causeway_lab::privilege::require_for_test;

use super::super::af_packet::AfPacketPort;
use super::super::test_world::{RIGHT, RIGHT_V6, TestWorld, download, options, wire};
use super::super::{Link, Port};
use super::TapPort;

/// As `require_for_test`, and /dev/net/tun must be ours to open: in a user
/// namespace that is the outer world's to allow.
fn may_run(name: &str) -> bool {
    use std::io::Write;
    if !require_for_test(name) {
        return false;
    }
    let Err(error) = super::fd::open() else { return true };
    // Straight to the descriptor: the test harness would swallow `println!`.
    let line = format!("\nSKIPPED: {name}: cannot open /dev/net/tun: {error}\n");
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
    false
}

#[test]
fn kernel_tcp_of_both_families_crosses_a_tap_in_super_frames() {
    if !may_run("kernel_tcp_of_both_families_crosses_a_tap_in_super_frames") {
        return;
    }
    // The left host has the TAP in place of its veth.
    let mut world = TestWorld::new();
    world.left = Namespace::new().expect("a namespace");
    let mut tap = world.left.run(|| TapPort::open(&options(0, "tap0"), BufferOwner(0))).expect("the port opens");
    let mut netlink = Netlink::open(&world.left).expect("netlink");
    netlink.add_address("tap0", "10.9.0.3/24".parse().expect("an address")).expect("an address");
    netlink.add_address("tap0", "fd00:9::3/64".parse().expect("an address")).expect("an address");
    assert!(tap.info().mac[0] & 3 == 2, "locally administered, unicast");
    assert_eq!(tap.info().mtu, 1500);
    let middle = |stop: &std::sync::atomic::AtomicBool| {
        let mut veth = AfPacketPort::open(&options(1, "port1"), BufferOwner(1)).expect("the port opens");
        let mut longest = [0, 0];
        wire(stop, [&mut tap, &mut veth], |frame| {
            let side = frame.ingress.index();
            longest[side] = longest[side].max(frame.len());
            assert!(frame.headroom() >= 128);
        });
        (longest, tap.stats(), veth.stats())
    };
    let (longest, tap, veth) = world.run(middle, || {
        download(&world, RIGHT, 30_000_000);
        download(&world, RIGHT_V6, 30_000_000);
    });
    assert!(longest[1] > 60_000, "{longest:?}");
    assert!(tap.link == Link::Up && tap.tx_bytes > 60_000_000, "{tap:?}");
    assert_eq!((tap.rx_errors, tap.tx_errors, veth.rx_errors, veth.tx_errors), (0, 0, 0, 0));
}

#[test]
fn what_cannot_be_sent_is_an_error_and_what_is_down_takes_nothing() {
    if !may_run("what_cannot_be_sent_is_an_error_and_what_is_down_takes_nothing") {
        return;
    }
    let host = Namespace::new().expect("a namespace");
    let mut tap = host.run(|| TapPort::open(&options(0, "tap0"), BufferOwner(0))).expect("the port opens");
    let frame = |offload: Offload| {
        let mut frame = Frame::boxed(&[0xff; 60], 0, 0);
        frame.offload = offload;
        frame
    };
    let outside = ChecksumState::Partial { start: 60_000, offset: 6 };
    let mut frames = vec![
        frame(Offload::DONE),
        frame(Offload { checksum: outside, ..Offload::DONE }),
        Frame::boxed(&[0xff; 3], 0, 0),
        frame(Offload::DONE),
    ];
    let mut spent = Vec::new();
    assert_eq!(tap.tx_burst(&mut frames, &mut spent), 4);
    let stats = tap.stats();
    assert_eq!((stats.tx_packets, stats.tx_errors, stats.link), (2, 2, Link::Up));
    Netlink::open(&host).expect("netlink").set_down("tap0").expect("down");
    let mut frames = vec![frame(Offload::DONE)];
    assert_eq!(tap.tx_burst(&mut frames, &mut spent), 0);
    assert_eq!(tap.stats().link, Link::Down);
    for frame in frames.into_iter().chain(spent) {
        frame.into_heap().expect("a frame of ours");
    }
}

#[test]
fn errors_say_what_would_do() {
    if !may_run("errors_say_what_would_do") {
        return;
    }
    let host = Namespace::new().expect("a namespace");
    let open = |device: &str| {
        let options = options(0, device);
        host.run(|| TapPort::open(&options, BufferOwner(0)).map_err(|error| error.to_string()))
    };
    let first = open("tap0").expect("the port opens");
    let busy = open("tap0").err().expect("in use");
    assert!(busy.starts_with("port \"p0\" (tap on tap0): cannot attach to the device: "), "{busy}");
    assert!(busy.ends_with("; another process holds the device: a TAP has one other end"), "{busy}");
    let no_tap = open("lo").err().expect("loopback is no TAP");
    assert!(no_tap.contains("that is no TAP"), "{no_tap}");
    drop(first);
    open("tap0").expect("the device went with its port");
}
