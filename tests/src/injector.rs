//! Frames onto a wire, byte by byte as given.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use causeway_lab::Host;

/// A raw packet socket on one interface.
#[derive(Debug)]
pub struct Injector(OwnedFd);

impl Injector {
    /// On `interface` of `host`.
    ///
    /// # Panics
    /// There is no such interface, or no privilege.
    pub fn on(host: &Host, interface: &str) -> Injector {
        let index = host.netlink().and_then(|mut netlink| netlink.index(interface)).expect("an interface");
        host.run(|| Injector::open(index)).unwrap_or_else(|error| panic!("a packet socket on {interface}: {error}"))
    }

    fn open(index: u32) -> io::Result<Injector> {
        // Protocol 0: it hears nothing.
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
        address.sll_ifindex = index as i32;
        let length = size_of_val(&address) as libc::socklen_t;
        // SAFETY: a live address of the type that goes with the socket, and its size.
        let answer = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(Injector(socket)) }
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
}
