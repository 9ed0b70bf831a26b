//! Traffic that nobody asked for, and a bait that shows whether it arrived.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use super::socket::{timed_out, uninterrupted};
use crate::plan::Family;
use crate::world::Host;

/// What came of a TCP connection attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It was accepted.
    Connected,
    /// It was answered with a reset.
    Refused,
    /// It was answered with an ICMP error.
    Unreachable,
    /// It was not answered.
    Silence,
}

/// Has `from` try a TCP connection to `target`.
///
/// # Errors
/// The kernel refuses a socket: no route is [`Attempt::Unreachable`], not an error.
pub fn connect_to(from: &Host, target: SocketAddr, patience: Duration) -> io::Result<Attempt> {
    match from.run(|| TcpStream::connect_timeout(&target, patience)) {
        Ok(_) => Ok(Attempt::Connected),
        Err(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Ok(Attempt::Refused),
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Ok(Attempt::Unreachable),
            io::ErrorKind::TimedOut => Ok(Attempt::Silence),
            _ => Err(error),
        },
    }
}

/// Has `from` send `count` UDP datagrams to `target`.
///
/// # Errors
/// The kernel refuses a socket, or has no route.
pub fn throw_datagrams(from: &Host, target: SocketAddr, count: u32) -> io::Result<()> {
    let socket = from.run(|| UdpSocket::bind((Family::of(target.ip()).unspecified(), 0)))?;
    for _ in 0..count {
        socket.send_to(b"unsolicited", target)?;
    }
    Ok(())
}

/// A TCP and a UDP socket that wait on one port of a host for what should not come.
#[derive(Debug)]
pub struct Bait {
    tcp: TcpListener,
    udp: UdpSocket,
}

impl Bait {
    /// Lays it out on a free port of `host`.
    ///
    /// # Errors
    /// The kernel refuses a socket.
    pub fn lay(host: &Host, family: Family) -> io::Result<Self> {
        host.run(|| {
            let tcp = TcpListener::bind((family.unspecified(), 0))?;
            let udp = UdpSocket::bind(tcp.local_addr()?)?;
            tcp.set_nonblocking(true)?;
            udp.set_nonblocking(true)?;
            Ok(Self { tcp, udp })
        })
    }

    /// The port it waits on, the same for TCP and UDP.
    ///
    /// # Errors
    /// None that a bound socket gives.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.tcp.local_addr()?.port())
    }

    /// Who came until now: "TCP from 203.0.113.20:4242". Does not wait.
    ///
    /// # Errors
    /// The kernel gives up on a socket.
    pub fn caught(&self) -> io::Result<Vec<String>> {
        let mut visitors = Vec::new();
        loop {
            match self.tcp.accept() {
                Ok((_, source)) => visitors.push(format!("TCP from {source}")),
                Err(error) if timed_out(&error) => break,
                Err(error) => return Err(error),
            }
        }
        let mut bytes = [0; 64];
        loop {
            match uninterrupted(|| self.udp.recv_from(&mut bytes)) {
                Ok((_, source)) => visitors.push(format!("UDP from {source}")),
                Err(error) if timed_out(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(visitors)
    }
}
