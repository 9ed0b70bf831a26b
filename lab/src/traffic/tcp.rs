//! TCP: bytes in one direction or both, compared by their SHA-256.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::socket::{self, PATIENCE};
use crate::plan::Family;
use crate::world::Host;

/// What came of a [`tcp_exchange`].
#[derive(Clone, Debug)]
pub struct TcpFigures {
    /// From the one who connected to the one who listened.
    pub up: Transfer,
    /// From the one who listened to the one who connected.
    pub down: Transfer,
    /// Who connected, as the listener saw it.
    pub seen: SocketAddr,
}

/// Bytes that went in one direction.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    /// Bytes received.
    pub bytes: u64,
    /// From the connection's start until the last byte was received.
    pub duration: Duration,
    /// SHA-256 of what was sent.
    pub sent_hash: [u8; 32],
    /// SHA-256 of what was received.
    pub received_hash: [u8; 32],
}

impl Transfer {
    /// Whether what arrived is what was sent.
    pub fn intact(&self) -> bool {
        self.sent_hash == self.received_hash
    }

    /// Payload rate, in bits a second.
    pub fn bits_per_second(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.duration.as_secs_f64().max(1e-9)
    }
}

/// Connects `from` to `to` (listening on `address` of `to`, any free port), sends
/// `up` bytes one way and `down` bytes the other at the same time.
///
/// What is received is kept in memory and hashed when the clock has stopped.
///
/// # Errors
/// The connection is refused, stalls for 2 s, or is not through after `limit`.
pub fn tcp_exchange(
    from: &Host,
    to: &Host,
    address: IpAddr,
    up: u64,
    down: u64,
    limit: Duration,
) -> io::Result<TcpFigures> {
    let any = SocketAddr::new(Family::of(address).unspecified(), 0);
    let listener = to.run(|| TcpListener::bind(any))?;
    let target = SocketAddr::new(address, listener.local_addr()?.port());
    let stream = from.run(|| TcpStream::connect_timeout(&target, PATIENCE))?;
    let accepted = socket::accept(&listener, PATIENCE)?;
    let seen = accepted.peer_addr()?;
    let clock = Clock { start: Instant::now(), limit };
    for end in [&stream, &accepted] {
        end.set_read_timeout(Some(PATIENCE))?;
        end.set_write_timeout(Some(PATIENCE))?;
    }
    thread::scope(|scope| {
        let senders = [
            scope.spawn(|| send(&stream, Content::new(UP_SEED), up, clock)),
            scope.spawn(|| send(&accepted, Content::new(DOWN_SEED), down, clock)),
        ];
        let receivers = [scope.spawn(|| receive(&accepted, up, clock)), scope.spawn(|| receive(&stream, down, clock))];
        let [sent_up, sent_down] = senders.map(|thread| thread.join().expect("a sender does not panic"));
        let [got_up, got_down] = receivers.map(|thread| thread.join().expect("a receiver does not panic"));
        sent_up.and(sent_down)?;
        let (got_up, got_down) = (got_up?, got_down?);
        // The hashes take longer than the transfer may: one core each.
        let up_thread = scope.spawn(move || got_up.compare(Content::new(UP_SEED)));
        let down = got_down.compare(Content::new(DOWN_SEED));
        Ok(TcpFigures { up: up_thread.join().expect("hashing does not panic"), down, seen })
    })
}

const UP_SEED: u64 = 0x00c0_ffee;
const DOWN_SEED: u64 = 0xca05_e0a7;

/// When an exchange has to be over.
#[derive(Clone, Copy)]
struct Clock {
    start: Instant,
    limit: Duration,
}

impl Clock {
    fn check(&self) -> io::Result<()> {
        if self.start.elapsed() < self.limit {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("not through after {:?}", self.limit)))
    }
}

/// Bytes without end that repeat nowhere: a random block, stamped anew each round.
struct Content {
    block: Vec<u8>,
    round: u64,
}

impl Content {
    const BLOCK: usize = 256 * 1024;

    fn new(seed: u64) -> Self {
        let mut state = seed | 1;
        let words = std::iter::repeat_with(|| {
            // xorshift64: not for secrets, but no two rounds of it look alike.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        });
        Self { block: words.take(Self::BLOCK / 8).flat_map(u64::to_le_bytes).collect(), round: 0 }
    }

    /// The next bytes, at most `most`.
    fn next(&mut self, most: u64) -> &[u8] {
        self.block[..8].copy_from_slice(&self.round.to_le_bytes());
        self.round += 1;
        let length = Self::BLOCK.min(usize::try_from(most).unwrap_or(usize::MAX));
        &self.block[..length]
    }
}

fn send(mut stream: &TcpStream, mut content: Content, bytes: u64, clock: Clock) -> io::Result<()> {
    let mut left = bytes;
    while left > 0 {
        clock.check()?;
        let block = content.next(left);
        stream.write_all(block)?;
        left -= block.len() as u64;
    }
    stream.shutdown(Shutdown::Write)
}

/// What one side received, and how long that took.
struct Received {
    bytes: Vec<u8>,
    duration: Duration,
}

fn receive(mut stream: &TcpStream, expected: u64, clock: Clock) -> io::Result<Received> {
    let expected = usize::try_from(expected).map_err(io::Error::other)?;
    // One byte of room beyond, so that a surplus shows.
    let mut bytes = vec![0; expected + 1];
    let mut filled = 0;
    loop {
        clock.check()?;
        match stream.read(&mut bytes[filled..])? {
            0 => break,
            length => filled += length,
        }
    }
    bytes.truncate(filled);
    Ok(Received { bytes, duration: clock.start.elapsed() })
}

impl Received {
    fn compare(self, mut content: Content) -> Transfer {
        let mut sent = Sha256::new();
        let mut left = self.bytes.len() as u64;
        while left > 0 {
            let block = content.next(left);
            sent.update(block);
            left -= block.len() as u64;
        }
        Transfer {
            bytes: self.bytes.len() as u64,
            duration: self.duration,
            sent_hash: sent.finalize().into(),
            received_hash: Sha256::digest(&self.bytes).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(bytes: u64) -> Vec<u8> {
        let mut content = Content::new(1);
        let mut all = Vec::new();
        while (all.len() as u64) < bytes {
            let block = content.next(bytes - all.len() as u64);
            all.extend_from_slice(block);
        }
        all
    }

    #[test]
    fn what_was_received_whole_is_intact() {
        let bytes = first(600_001);
        let transfer = Received { bytes, duration: Duration::from_millis(1) }.compare(Content::new(1));
        assert!(transfer.intact());
        assert_eq!(transfer.bytes, 600_001);
    }

    #[test]
    fn a_changed_bit_or_a_block_out_of_order_is_not_intact() {
        let mut flipped = first(600_001);
        flipped[599_000] ^= 1;
        let mut swapped = first(2 * Content::BLOCK as u64);
        swapped.rotate_left(Content::BLOCK);
        for bytes in [flipped, swapped] {
            assert!(!Received { bytes, duration: Duration::ZERO }.compare(Content::new(1)).intact());
        }
    }
}
