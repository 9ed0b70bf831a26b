//! For tests of drivers: two hosts, and two ports between them.
//!
//! ```text
//! left  ( left0 )----( port0 )  middle  ( port1 )----( right0 )  right
//! ```
//! Both hosts are in one subnet: whoever carries frames between the two ports is
//! a wire.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use causeway_fastpath::burst::Burst;
use causeway_fastpath::frame::Frame;
use causeway_fastpath::ids::PortId;
use causeway_lab::netlink::Netlink;
use causeway_lab::netns::Namespace;

use super::{Port, PortOptions};

/// The three namespaces; gone when dropped.
pub(super) struct TestWorld {
    pub(super) left: Namespace,
    pub(super) middle: Namespace,
    pub(super) right: Namespace,
}

pub(super) const LEFT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
pub(super) const RIGHT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
pub(super) const RIGHT_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x9, 0, 0, 0, 0, 0, 2);

impl TestWorld {
    pub(super) fn new() -> TestWorld {
        let namespace = || Namespace::new().expect("a namespace");
        let world = TestWorld { left: namespace(), middle: namespace(), right: namespace() };
        world.add_host(&world.left, "left0", "port0", 1);
        world.add_host(&world.right, "right0", "port1", 2);
        world
    }

    fn add_host(&self, host: &Namespace, device: &str, port: &str, number: u8) {
        let mut netlink = Netlink::open(host).expect("netlink");
        netlink.create_veth(device, port, &self.middle).expect("a veth pair");
        let v4 = format!("10.9.0.{number}/24").parse().expect("an address");
        let v6 = format!("fd00:9::{number}/64").parse().expect("an address");
        netlink.set_up(device).expect("up");
        netlink.add_address(device, v4).expect("an IPv4 address");
        netlink.add_address(device, v6).expect("an IPv6 address");
        Netlink::open(&self.middle).expect("netlink").set_up(port).expect("up");
    }

    /// Runs `middle` in the middle namespace while `hosts` runs here; tells it to
    /// stop when `hosts` is done, also when that panics.
    pub(super) fn run<T: Send>(&self, middle: impl FnOnce(&AtomicBool) -> T + Send, hosts: impl FnOnce()) -> T {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let running = scope.spawn(|| self.middle.run(|| middle(&stop)));
            let stopper = Stopper(&stop);
            hosts();
            drop(stopper);
            running.join().expect("the middle does not panic")
        })
    }
}

struct Stopper<'a>(&'a AtomicBool);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Options for a port on `device`.
pub(super) fn options(id: u16, device: &str) -> PortOptions {
    PortOptions {
        id: PortId(id),
        name: format!("p{id}"),
        device: device.into(),
        ring: 256,
        mtu: None,
        mac: None,
        memif_id: 0,
        share: None,
    }
}

/// Carries frames between two ports until `stop`; shows each to `see`.
pub(super) fn wire(stop: &AtomicBool, ports: [&mut dyn Port; 2], mut see: impl FnMut(&Frame)) {
    let mut burst = Burst::new();
    let (mut frames, mut spent) = (Vec::new(), Vec::new());
    let mut fds = Vec::new();
    ports.iter().for_each(|port| port.poll_fds(&mut fds));
    let mut polls: Vec<_> = fds.iter().map(|fd| libc::pollfd { fd: *fd, events: libc::POLLIN, revents: 0 }).collect();
    let [left, right] = ports;
    while !stop.load(Ordering::Relaxed) {
        let mut moved = 0;
        for turn in 0..2 {
            let (from, to) = if turn == 0 { (&mut *left, &mut *right) } else { (&mut *right, &mut *left) };
            moved += from.rx_burst(&mut burst);
            frames.extend(burst.drain().map(|(frame, _)| frame));
            frames.iter().for_each(&mut see);
            to.tx_burst(&mut frames, &mut spent);
            to.flush();
            for frame in frames.drain(..).chain(spent.drain(..)) {
                if frame.owner() == to.owner() { to.recycle(frame) } else { from.recycle(frame) }
            }
        }
        if moved == 0 {
            // SAFETY: the array is ours and its length is told.
            unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as u64, 5) };
        }
    }
}

/// Downloads `len` bytes from `right`, at `address`, to `left` over kernel TCP
/// and compares them.
pub(super) fn download(world: &TestWorld, address: impl Into<IpAddr>, len: usize) {
    let expected: Vec<u8> = (0..len as u32).map(|at| (at ^ (at >> 9)) as u8).collect();
    let address = SocketAddr::new(address.into(), 5000);
    let listener = world.right.run(|| TcpListener::bind(address)).expect("bind");
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().expect("accept");
            stream.write_all(&expected).expect("write");
        });
        let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(10));
        let mut stream = world.left.run(connect).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        let mut got = Vec::with_capacity(len);
        stream.read_to_end(&mut got).expect("read");
        assert!(got == expected, "{} bytes of {len} came, or others", got.len());
    });
}
