//! What a gateway finds on its wires: super-frames with partial checksums as long as
//! the wires' offloads are on, and plain complete frames when they are off.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use causeway_lab::privilege::require_for_test;
use causeway_lab::{Host, World, traffic};

#[test]
fn offloads_decide_what_arrives_at_the_gateway() {
    if !require_for_test("offloads_decide_what_arrives_at_the_gateway") {
        return;
    }
    let world = World::island().pods_per_node(1).build().unwrap();
    world.route_with_kernel().unwrap();

    let seen = frames_of_a_download(&world);
    assert!(seen.longest > 10_000, "no super-frame: {seen:?}");
    assert!(seen.partial > 0, "no partial checksum: {seen:?}");

    world.set_wire_offloads(false).unwrap();
    let seen = frames_of_a_download(&world);
    assert!(seen.longest <= 1500, "longer than a wire carries: {seen:?}");
    assert_eq!(seen.partial, 0, "partial checksums on a wire: {seen:?}");
    assert!(seen.segments > 1000, "{seen:?}");

    world.set_wire_offloads(true).unwrap();
    assert!(frames_of_a_download(&world).longest > 10_000, "switched on again");
}

/// What was seen of the TCP segments that came in from a server.
#[derive(Debug, Default)]
struct Seen {
    segments: u32,
    /// Bytes from the IP header on.
    longest: usize,
    /// Segments whose checksum is not complete.
    partial: u32,
}

fn frames_of_a_download(world: &World) -> Seen {
    let socket = capture(world.gateway()).unwrap();
    let (pod, server) = (world.host("pod-a1"), world.host("server"));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&socket, server.v4(), &done));
        let limit = Duration::from_secs(10);
        let figures = traffic::tcp_exchange(pod, server, server.v4().into(), 0, 20_000_000, limit).unwrap();
        done.store(true, Ordering::Relaxed);
        assert!(figures.down.intact());
        watcher.join().unwrap()
    })
}

fn watch(socket: &UdpSocket, source: Ipv4Addr, done: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut packet = vec![0; 1 << 17];
    while !done.load(Ordering::Relaxed) {
        let Ok(length) = socket.recv(&mut packet) else { continue };
        let packet = &packet[..length];
        // IPv4 without options, TCP, from the source, with its length as it says.
        if packet[0] != 0x45 || packet[9] != 6 || packet[12..16] != source.octets() {
            continue;
        }
        seen.segments += 1;
        seen.longest = seen.longest.max(length);
        seen.partial += u32::from(!is_complete(packet));
    }
    seen
}

/// Whether the TCP checksum of an IPv4 packet covers all that it should.
fn is_complete(packet: &[u8]) -> bool {
    let tcp_length = packet.len() - 20;
    let pseudo_header = [&packet[12..20], &[0, 6], &(tcp_length as u16).to_be_bytes()].concat();
    let words = pseudo_header.chunks(2).chain(packet[20..].chunks(2));
    let sum: u64 = words.map(|word| u64::from(word[0]) << 8 | u64::from(*word.get(1).unwrap_or(&0))).sum();
    sum > 0 && sum.is_multiple_of(0xffff)
}

/// A packet socket that hears all IPv4 that comes in over `eth0`.
fn capture(host: &Host) -> io::Result<UdpSocket> {
    let protocol = (libc::ETH_P_IP as u16).to_be();
    let index = host.netlink().unwrap().index("eth0").unwrap();
    let socket = host.run(|| {
        // SAFETY: socket takes no pointer; a good answer is a descriptor of our own.
        unsafe {
            let fd = libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
            (fd >= 0).then(|| UdpSocket::from_raw_fd(fd)).ok_or_else(io::Error::last_os_error)
        }
    })?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    // SAFETY: sockaddr_ll is plain data for which zero bytes are a value; its pointer
    // and length are given to bind together.
    let bound = unsafe {
        let mut address: libc::sockaddr_ll = std::mem::zeroed();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = protocol;
        address.sll_ifindex = index as i32;
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size_of_val(&address) as u32)
    };
    if bound == 0 { Ok(socket) } else { Err(io::Error::last_os_error()) }
}
