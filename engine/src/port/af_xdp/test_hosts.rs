//! For the tests of this driver: what hosts do, and worlds with several queues.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use causeway_lab::netlink::Netlink;
use causeway_lab::netns::Namespace;
use causeway_lab::privilege;

use super::privileged;
use crate::port::test_world::TestWorld;

/// May this machine's tests make namespaces and use AF_XDP? Says so aloud if not.
pub(super) fn able(test: &str) -> bool {
    if !privilege::require_for_test(test) {
        return false;
    }
    match privileged() {
        Ok(()) => true,
        Err(why) => {
            skipped(test, &why);
            false
        }
    }
}

/// Says aloud that a test was not run.
pub(super) fn skipped(test: &str, why: &str) {
    // Straight to the descriptor: the test harness would swallow `eprintln!`.
    let _ = io::stderr().lock().write_all(format!("\nSKIPPED: {test}: {why}\n").as_bytes());
}

/// A world as [`TestWorld::new`] makes it, with `queues` queues at every end.
pub(super) fn with_queues(queues: u32) -> Option<TestWorld> {
    let [left, middle, right] = [(); 3].map(|()| Namespace::new().expect("a namespace"));
    for (host, device, port, number) in [(&left, "left0", "port0", 1), (&right, "right0", "port1", 2)] {
        let far = format!("/proc/{}/fd/{}", std::process::id(), host.raw_fd());
        let queues = queues.to_string();
        let each = ["numrxqueues", &queues, "numtxqueues", &queues];
        let mut ip = middle.command("ip");
        ip.args(["link", "add", port]).args(each).args(["type", "veth", "peer", "name", device]);
        ip.args(each).args(["netns", &far]).status().ok().filter(|status| status.success())?;
        Netlink::open(&middle).expect("a socket").set_up(port).expect("just made");
        let mut netlink = Netlink::open(host).expect("a socket");
        netlink.set_up(device).expect("just made");
        let address = format!("10.9.0.{number}/24").parse().expect("an address");
        netlink.add_address(device, address).expect("a fresh device");
    }
    Some(TestWorld { left, middle, right })
}

/// A packet socket that hears what arrives at a device.
pub(super) struct Listener(OwnedFd);

impl Listener {
    /// Listens to a device in the namespace of the calling thread.
    pub(super) fn on(device: &str) -> Listener {
        let device = crate::port::device::Device::look_up(device).expect("it is there");
        let all = (libc::ETH_P_ALL as u16).to_be();
        // SAFETY: no pointer; the descriptor is new and owned here.
        let socket = unsafe {
            let fd = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
            assert!(fd >= 0, "{}", io::Error::last_os_error());
            OwnedFd::from_raw_fd(fd)
        };
        // SAFETY: zeros are a value of this plain struct.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = all;
        address.sll_ifindex = device.index as i32;
        let patience = libc::timeval { tv_sec: 0, tv_usec: 200_000 };
        // SAFETY: pointers and lengths are those of `address` and `patience`.
        unsafe {
            let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            assert_eq!(libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length), 0);
            let length = size_of::<libc::timeval>() as libc::socklen_t;
            let value = (&raw const patience).cast();
            libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVTIMEO, value, length);
        }
        Listener(socket)
    }

    /// The next frame that arrived from the peer; `None` after 200 ms of silence.
    pub(super) fn next(&self) -> Option<Vec<u8>> {
        loop {
            let mut bytes = vec![0; 65536];
            // SAFETY: zeros are a value of this plain struct.
            let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
            let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            // SAFETY: pointers and lengths are those of `bytes` and `from`.
            let received = unsafe {
                let address = (&raw mut from).cast();
                libc::recvfrom(self.0.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len(), 0, address, &mut length)
            };
            bytes.truncate(usize::try_from(received).ok()?);
            if from.sll_pkttype != libc::PACKET_OUTGOING {
                return Some(bytes);
            }
        }
    }
}

/// Sends echo requests one after another; says how many were answered.
pub(super) fn ping(to: IpAddr, count: u16, payload: usize) -> u16 {
    let (family, protocol, request, reply) = match to {
        IpAddr::V4(_) => (libc::AF_INET, libc::IPPROTO_ICMP, 8, 0),
        IpAddr::V6(_) => (libc::AF_INET6, libc::IPPROTO_ICMPV6, 128, 129),
    };
    // SAFETY: no pointer; the descriptor is new. A raw socket sends and receives
    // datagrams by the same calls as one of UDP.
    let socket = unsafe {
        let fd = libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol);
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        UdpSocket::from_raw_fd(fd)
    };
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("not zero");
    socket.connect((to, 0)).expect("a route");
    let answers = |sequence: &u16| {
        let mut message = vec![request, 0, 0, 0, 0x12, 0x34];
        message.extend(sequence.to_be_bytes());
        message.extend((0..payload).map(|byte| byte as u8));
        if to.is_ipv4() {
            let sum = causeway_testkit::checksum::internet(&message).to_be_bytes();
            message[2..4].copy_from_slice(&sum);
        }
        socket.send(&message).expect("sent");
        let header = if to.is_ipv4() { 20 } else { 0 };
        let mut answer = vec![0; 65536];
        loop {
            let Ok(length) = socket.recv(&mut answer) else { return false };
            let icmp = &answer[header..length];
            if icmp[0] == reply && icmp[4..] == message[4..] {
                return true;
            }
        }
    };
    (0..count).filter(answers).count() as u16
}

/// Sends datagrams of many lengths to an echo at `to`; says how many came back whole.
pub(super) fn udp_echo(from: &Namespace, at: &Namespace, to: IpAddr, count: u32) -> u32 {
    let any = if to.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let server = at.run(|| UdpSocket::bind((to, 0)).expect("a free port"));
    let client = from.run(|| UdpSocket::bind((any, 0)).expect("a free port"));
    client.connect(server.local_addr().expect("bound")).expect("a route");
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("not zero");
    }
    let echoed = |number: &u32| {
        let mut datagram = number.to_be_bytes().to_vec();
        datagram.resize(4 + *number as usize % 1400, *number as u8);
        client.send(&datagram).expect("sent");
        let mut bytes = [0; 2048];
        let (length, source) = server.recv_from(&mut bytes).expect("it arrives");
        server.send_to(&bytes[..length], source).expect("sent");
        client.recv(&mut bytes).is_ok_and(|length| bytes[..length] == datagram)
    };
    (0..count).filter(echoed).count() as u32
}
