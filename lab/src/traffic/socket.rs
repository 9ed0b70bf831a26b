//! The few sockets and options that the standard library does not make.

use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use crate::netns::check;
use crate::plan::Family;

/// How long anybody waits for a packet that should come: far longer than any
/// healthy path needs, short enough for a check that fails.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// A raw socket of `protocol`. It sends and receives as a [`UdpSocket`] does, in
/// ICMP messages instead of datagrams; IPv4 receives come with their IP header.
pub(super) fn raw(family: Family, protocol: libc::c_int) -> io::Result<UdpSocket> {
    open(domain(family), libc::SOCK_RAW, protocol).map(UdpSocket::from)
}

/// Any socket, closed on exec.
pub(super) fn open(domain: libc::c_int, kind: libc::c_int, protocol: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: socket takes no pointer.
    let fd = unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol) };
    check(fd)?;
    // SAFETY: a descriptor just made, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets an option whose value is a plain C structure or integer.
pub(super) fn set_option<T: Copy>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: T,
) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: pointer and length are those of `value`, alive across the call.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length) })
}

/// Accepts one connection, or gives up after `patience`.
pub(super) fn accept(listener: &TcpListener, patience: Duration) -> io::Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let start = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(_) if start.elapsed() > patience => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "nobody connected"));
            }
            Err(_) => thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// Receives again for as long as only a signal ends it: with a timeout set, the
/// kernel does not do that by itself (`signal(7)`).
pub(super) fn uninterrupted<T>(mut receive: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match receive() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Whether a receive ended by its timeout.
pub(super) fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn domain(family: Family) -> libc::c_int {
    match family {
        Family::V4 => libc::AF_INET,
        Family::V6 => libc::AF_INET6,
    }
}
