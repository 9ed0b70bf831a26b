//! ICMP echo.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::socket::{self, timed_out, uninterrupted};
use crate::plan::Family;
use crate::world::Host;

/// What came of a [`ping`].
#[derive(Clone, Debug, Default)]
pub struct PingFigures {
    /// Requests sent.
    pub sent: u32,
    /// Round-trip times of the requests that were answered, in the order sent.
    pub round_trips: Vec<Duration>,
}

impl PingFigures {
    /// Requests that were answered.
    pub fn received(&self) -> u32 {
        self.round_trips.len() as u32
    }

    /// The middle round trip; zero when none came back.
    pub fn median(&self) -> Duration {
        let mut sorted = self.round_trips.clone();
        sorted.sort();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// The longest round trip; zero when none came back.
    pub fn longest(&self) -> Duration {
        self.round_trips.iter().max().copied().unwrap_or_default()
    }
}

/// Sends `count` echo requests of `payload` bytes, each after the answer to the one
/// before or `patience`, and 5 ms apart.
///
/// # Errors
/// No privilege for raw sockets; no route from `from` to `to`.
///
/// # Panics
/// `payload` is over 60 000.
pub fn ping(from: &Host, to: IpAddr, count: u16, payload: usize, patience: Duration) -> io::Result<PingFigures> {
    assert!(payload <= 60_000, "an echo request of {payload} bytes");
    let protocol = Protocol::of(to);
    let socket = from.run(|| socket::raw(Family::of(to), protocol.number))?;
    let identifier = NEXT_IDENTIFIER.fetch_add(1, Ordering::Relaxed);
    let mut figures = PingFigures::default();
    for sequence in 0..count {
        let request = protocol.request(identifier, sequence, payload);
        let start = Instant::now();
        socket.send_to(&request, SocketAddr::new(to, 0))?;
        figures.sent += 1;
        if await_reply(&socket, &protocol, to, &request, patience)? {
            figures.round_trips.push(start.elapsed());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(figures)
}

/// Each ping has its own identifier, so that pings from one host do not mix.
static NEXT_IDENTIFIER: AtomicU16 = AtomicU16::new(0x4c00);

fn await_reply(
    socket: &UdpSocket,
    protocol: &Protocol,
    to: IpAddr,
    request: &[u8],
    patience: Duration,
) -> io::Result<bool> {
    let start = Instant::now();
    let mut bytes = vec![0; 65_536];
    while let Some(left) = patience.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        socket.set_read_timeout(Some(left))?;
        match uninterrupted(|| socket.recv_from(&mut bytes)) {
            Ok((length, source)) if source.ip() == to && protocol.answers(&bytes[..length], request) => {
                return Ok(true);
            }
            Ok(_) => {} // a raw socket hears all ICMP of its host
            Err(error) if timed_out(&error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// ICMP or ICMPv6, as far as echo differs.
struct Protocol {
    number: libc::c_int,
    request: u8,
    reply: u8,
    v4: bool,
}

impl Protocol {
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self { number: libc::IPPROTO_ICMP, request: 8, reply: 0, v4: true },
            IpAddr::V6(_) => Self { number: libc::IPPROTO_ICMPV6, request: 128, reply: 129, v4: false },
        }
    }

    /// An echo request; the kernel completes the checksum of ICMPv6 itself.
    fn request(&self, identifier: u16, sequence: u16, payload: usize) -> Vec<u8> {
        let mut message = vec![self.request, 0, 0, 0];
        message.extend(identifier.to_be_bytes());
        message.extend(sequence.to_be_bytes());
        message.extend((0..payload).map(|at| (at as u8) ^ (sequence as u8)));
        if self.v4 {
            let sum = checksum(&message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        message
    }

    /// Whether `received` is the reply to `request`, byte for byte after type, code
    /// and checksum.
    fn answers(&self, received: &[u8], request: &[u8]) -> bool {
        let message = if self.v4 {
            let header = received.first().map_or(0, |first| usize::from(first & 0xf) * 4);
            received.get(header..).unwrap_or_default()
        } else {
            received
        };
        message.len() == request.len() && message[..2] == [self.reply, 0] && message[4..] == request[4..]
    }
}

/// The Internet checksum of RFC 1071, over bytes that hold zero in its place.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correct_checksum_sums_to_zero() {
        let protocol = Protocol::of("192.0.2.1".parse().unwrap());
        for payload in [0, 1, 56, 1401] {
            let request = protocol.request(7, 9, payload);
            assert_eq!(checksum(&request), 0, "payload of {payload}");
        }
    }

    #[test]
    fn only_the_reply_to_the_request_answers_it() {
        let protocol = Protocol::of("2001:db8::1".parse().unwrap());
        let request = protocol.request(7, 9, 8);
        let mut reply = request.clone();
        assert!(!protocol.answers(&reply, &request), "its own echo");
        reply[0] = 129;
        assert!(protocol.answers(&reply, &request));
        assert!(!protocol.answers(&reply[..reply.len() - 1], &request), "cut short");
        reply[10] ^= 1;
        assert!(!protocol.answers(&reply, &request), "payload changed");
    }

    #[test]
    fn the_ip_header_of_an_ipv4_reply_is_skipped() {
        let protocol = Protocol::of("192.0.2.1".parse().unwrap());
        let request = protocol.request(7, 9, 8);
        let mut reply = vec![0x45; 20];
        reply.extend(&request);
        reply[20] = 0;
        assert!(protocol.answers(&reply, &request));
        assert!(!protocol.answers(&[], &request));
    }

    #[test]
    fn figures_of_no_answer_are_zero() {
        let figures = PingFigures { sent: 3, round_trips: vec![] };
        assert_eq!((figures.received(), figures.median(), figures.longest()), (0, Duration::ZERO, Duration::ZERO));
    }
}
