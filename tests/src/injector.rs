//! Frames onto a wire and off it, byte by byte as they are.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use causeway_lab::Host;
use causeway_lab::netlink::Netlink;
use causeway_lab::netns::Namespace;

/// A raw packet socket on one interface.
#[derive(Debug)]
pub struct Injector(OwnedFd);

impl Injector {
    /// On `interface` of `host`; it hears nothing.
    ///
    /// # Panics
    /// There is no such interface, or no privilege.
    pub fn on(host: &Host, interface: &str) -> Injector {
        Injector::open(host.namespace(), interface, 0)
    }

    /// On `interface` in `namespace`, hearing every frame that arrives there.
    ///
    /// # Panics
    /// As [`Injector::on`].
    pub fn listening(namespace: &Namespace, interface: &str) -> Injector {
        Injector::open(namespace, interface, libc::ETH_P_ALL as u16)
    }

    fn open(namespace: &Namespace, interface: &str, protocol: u16) -> Injector {
        let index = Netlink::open(namespace).and_then(|mut netlink| netlink.index(interface)).expect("an interface");
        let socket = namespace.run(|| packet_socket(index, protocol));
        Injector(socket.unwrap_or_else(|error| panic!("a packet socket on {interface}: {error}")))
    }

    /// Sends a frame; `false` if the interface takes no such frame: shorter than an
    /// Ethernet header, or longer than its MTU.
    ///
    /// # Panics
    /// The interface is down or gone.
    pub fn send(&self, frame: &[u8]) -> bool {
        loop {
            // SAFETY: pointer and length are those of a live slice.
            let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
            if sent >= 0 {
                return true;
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINVAL | libc::EMSGSIZE) => return false,
                Some(libc::ENOBUFS | libc::EAGAIN) => std::thread::yield_now(),
                _ => panic!("sending a frame of {} bytes: {error}", frame.len()),
            }
        }
    }

    /// The next frame that arrived, or will within `patience`.
    ///
    /// # Panics
    /// The interface is down or gone.
    pub fn receive(&self, patience: Duration) -> Option<Vec<u8>> {
        let mut frame = vec![0; 65536];
        loop {
            // SAFETY: pointer and length are those of `frame`.
            let length =
                unsafe { libc::recv(self.0.as_raw_fd(), frame.as_mut_ptr().cast(), frame.len(), libc::MSG_DONTWAIT) };
            if let Ok(length) = usize::try_from(length) {
                frame.truncate(length);
                return Some(frame);
            }
            let error = io::Error::last_os_error();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "receiving a frame: {error}");
            if !self.is_readable_within(patience) {
                return None;
            }
        }
    }

    fn is_readable_within(&self, patience: Duration) -> bool {
        let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one live pollfd.
        let ready = unsafe { libc::poll(&raw mut poll, 1, patience.as_millis() as libc::c_int) };
        ready > 0
    }
}

fn packet_socket(interface: u32, protocol: u16) -> io::Result<OwnedFd> {
    // Protocol 0 until it is bound: else it would hear all interfaces so long.
    // SAFETY: numbers only.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor for us.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: sockaddr_ll is plain data for which zero bytes are a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = interface as i32;
    let length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: a live address of the type that goes with the socket, and its size.
    let answer = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}
