//! UDP: questions with answers, and a steady stream.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::socket::{self, timed_out, uninterrupted};
use crate::plan::Family;
use crate::world::Host;

/// What came of a [`udp_exchange`].
#[derive(Clone, Debug)]
pub struct UdpFigures {
    /// Datagrams sent.
    pub sent: u32,
    /// Datagrams answered with the same bytes.
    pub answered: u32,
    /// Answers with other bytes.
    pub damaged: u32,
    /// Who asked, as the answerer saw it; `None` when nothing arrived.
    pub seen: Option<SocketAddr>,
}

/// Sends `count` datagrams of 4 to 1 400 bytes from `from` to an echo server on
/// `address` of `to`, 16 at a time, and waits up to 300 ms for each 16 answers. Stops
/// early when 32 in a row went unanswered.
///
/// # Errors
/// The kernel refuses a socket, or has no route.
pub fn udp_exchange(from: &Host, to: &Host, address: IpAddr, count: u32) -> io::Result<UdpFigures> {
    let server = bind(to, address)?;
    let client = bind(from, address)?;
    client.connect(SocketAddr::new(address, server.local_addr()?.port()))?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let echo = scope.spawn(|| echo_until(&server, &stop));
        let asked = ask(&client, count);
        stop.store(true, Ordering::Relaxed);
        let seen = echo.join().expect("the echo server does not panic")?;
        asked.map(|figures| UdpFigures { seen, ..figures })
    })
}

fn ask(client: &UdpSocket, count: u32) -> io::Result<UdpFigures> {
    const WINDOW: u32 = 16;
    let mut figures = UdpFigures { sent: 0, answered: 0, damaged: 0, seen: None };
    let mut bytes = [0; 2048];
    let mut last_answer = 0;
    while figures.sent < count && figures.sent - last_answer < 2 * WINDOW {
        let window = WINDOW.min(count - figures.sent);
        for sequence in figures.sent..figures.sent + window {
            client.send(&datagram(sequence))?;
        }
        figures.sent += window;
        client.set_read_timeout(Some(Duration::from_millis(300)))?;
        for _ in 0..window {
            match uninterrupted(|| client.recv(&mut bytes)) {
                Ok(length) => {
                    last_answer = figures.sent;
                    match is_datagram(&bytes[..length]) {
                        true => figures.answered += 1,
                        false => figures.damaged += 1,
                    }
                }
                Err(error) if timed_out(&error) => break,
                // An ICMP error about an earlier datagram: that one is lost.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(figures)
}

fn echo_until(server: &UdpSocket, stop: &AtomicBool) -> io::Result<Option<SocketAddr>> {
    server.set_read_timeout(Some(Duration::from_millis(20)))?;
    let mut bytes = [0; 2048];
    let mut seen = None;
    while !stop.load(Ordering::Relaxed) {
        match uninterrupted(|| server.recv_from(&mut bytes)) {
            Ok((length, source)) => {
                seen = Some(source);
                // No way back is the asker's loss, and shows there.
                let _ = server.send_to(&bytes[..length], source);
            }
            Err(error) if timed_out(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(seen)
}

/// The datagram `sequence`: its number, then bytes that follow from it.
fn datagram(sequence: u32) -> Vec<u8> {
    let length = 4 + sequence.wrapping_mul(97) as usize % 1397;
    let mut bytes = sequence.to_be_bytes().to_vec();
    bytes.extend((4..length).map(|at| (at as u32 ^ sequence) as u8));
    bytes
}

fn is_datagram(bytes: &[u8]) -> bool {
    bytes.first_chunk().is_some_and(|number| bytes == datagram(u32::from_be_bytes(*number)))
}

/// What came of a [`udp_stream`].
#[derive(Clone, Copy, Debug)]
pub struct UdpStreamFigures {
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams received.
    pub received: u64,
    /// Bytes of payload in each.
    pub payload: usize,
    /// From the first send until the last receive.
    pub duration: Duration,
    /// Who sent, as the receiver saw it; `None` when nothing arrived.
    pub seen: Option<SocketAddr>,
}

impl UdpStreamFigures {
    /// The part that was lost, 0 to 1.
    pub fn loss(&self) -> f64 {
        self.sent.saturating_sub(self.received) as f64 / self.sent.max(1) as f64
    }

    /// Payload received, in bits a second.
    pub fn bits_per_second(&self) -> f64 {
        (self.received * self.payload as u64 * 8) as f64 / self.duration.as_secs_f64().max(1e-9)
    }
}

/// Sends datagrams of `payload` bytes from `from` to `address` of `to` for
/// `duration`, `rate` a second, evenly by the millisecond, and counts arrivals. What was due
/// more than 5 ms ago, because others had the core, is not sent: a lump fills any ring.
///
/// # Errors
/// The kernel refuses a socket, or has no route.
pub fn udp_stream(
    from: &Host,
    to: &Host,
    address: IpAddr,
    rate: u32,
    payload: usize,
    duration: Duration,
) -> io::Result<UdpStreamFigures> {
    let sink = bind(to, address)?;
    // A stream outruns a receiver that waits for its turn on a shared core. The
    // kernel cuts the request down to its limit, which is fine.
    socket::set_option(sink.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, 4 << 20)?;
    let client = bind(from, address)?;
    client.connect(SocketAddr::new(address, sink.local_addr()?.port()))?;
    let start = Instant::now();
    thread::scope(|scope| {
        let receiver = scope.spawn(|| count_until_silent(&sink, start));
        let sent = pour(&client, rate, payload, start, duration);
        let arrivals = receiver.join().expect("counting does not panic")?;
        let Arrivals { received, last, seen } = arrivals;
        Ok(UdpStreamFigures { sent: sent?, received, payload, duration: last, seen })
    })
}

fn pour(client: &UdpSocket, rate: u32, payload: usize, start: Instant, duration: Duration) -> io::Result<u64> {
    let bytes = vec![0x5a; payload];
    let lump = u64::from(rate / 200).max(1);
    let (mut sent, mut next) = (0, 0);
    while start.elapsed() < duration {
        let due = (start.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        next = next.max(due.saturating_sub(lump));
        while next < due {
            match client.send(&bytes) {
                Ok(_) => {}
                // An ICMP error about an earlier one; that one counts as lost.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
            (sent, next) = (sent + 1, next + 1);
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(sent)
}

/// What a receiver counted.
struct Arrivals {
    received: u64,
    /// When the last one came, from the start of the stream.
    last: Duration,
    seen: Option<SocketAddr>,
}

/// Counts datagrams until none came for 300 ms.
fn count_until_silent(sink: &UdpSocket, start: Instant) -> io::Result<Arrivals> {
    sink.set_read_timeout(Some(Duration::from_millis(300)))?;
    let mut bytes = [0; 2048];
    let mut arrivals = Arrivals { received: 0, last: Duration::ZERO, seen: None };
    loop {
        match uninterrupted(|| sink.recv_from(&mut bytes)) {
            Ok((_, source)) => {
                arrivals = Arrivals { received: arrivals.received + 1, last: start.elapsed(), seen: Some(source) };
            }
            Err(error) if timed_out(&error) => return Ok(arrivals),
            Err(error) => return Err(error),
        }
    }
}

pub(super) fn bind(host: &Host, towards: IpAddr) -> io::Result<UdpSocket> {
    host.run(|| UdpSocket::bind((Family::of(towards).unspecified(), 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_knows_itself() {
        for sequence in [0, 1, 16, 319, u32::MAX] {
            let mut bytes = datagram(sequence);
            assert!((4..=1400).contains(&bytes.len()), "{} bytes", bytes.len());
            assert!(is_datagram(&bytes));
            *bytes.last_mut().unwrap() ^= 1;
            assert!(!is_datagram(&bytes));
        }
        assert!(!is_datagram(&[1, 2]));
    }

    #[test]
    fn loss_is_a_part_of_what_was_sent() {
        let duration = Duration::from_secs(1);
        let figures = UdpStreamFigures { sent: 200, received: 150, payload: 100, duration, seen: None };
        assert_eq!(figures.loss(), 0.25);
        assert_eq!(figures.bits_per_second(), 120_000.0);
    }
}
