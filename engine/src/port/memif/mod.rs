//! memif: shared memory with VPP, DPDK or any other server, without the kernel.
//!
//! The port is a memif 2.0 client: it makes the memory and the rings, a pair for each worker,
//! and offers them over the server's socket. When the server goes the port's device has gone,
//! and it is there again once the server is back (`line`).
//!
//! Nothing that the server writes is trusted: of its counters and descriptors each is read once
//! and checked (`ring`), and frames are copied out of the shared memory before anybody looks
//! at them. Offloads, which memif knows none of, are made good in software.
//!
//! Needs no privilege, but that of connecting to the socket.

mod client;
mod line;
mod message;
mod region;
mod ring;
mod socket;

use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;

use causeway_fastpath::burst::Burst;
use causeway_fastpath::frame::{BufferOwner, Frame};

use self::client::Wish;
pub(super) use self::line::Line;
use self::line::{Pair, Settings};
use self::ring::{LEAST_LOG2, Lie, MOST_LOG2, Sender, Taken};
use super::device::local_mac;
use super::pool::Pool;
use super::software::{Segments, complete_checksum};
use super::{Link, OpenError, Port, PortInfo, PortOptions, PortStats, Share};

/// A port on a memif.
pub struct MemifPort {
    options: PortOptions,
    info: PortInfo,
    line: Arc<Line>,
    /// Which pair of each connection is this worker's.
    number: usize,
    /// Its pair of the newest connection; `None` before the first.
    pair: Option<Pair>,
    /// What is polled before that: never readable.
    silence: UnixDatagram,
    pool: Pool,
    /// Where segments are made.
    scratch: Vec<u8>,
    /// Was the server asked to wake us?
    asked: bool,
    /// Was something sent that the server may have to be woken for?
    unannounced: bool,
    stats: PortStats,
}

impl MemifPort {
    /// Its name in the configuration.
    pub const DRIVER: &'static str = "memif";

    /// Opens the port on the server's socket, `options.device`; frames travel under `owner`.
    ///
    /// A server that is not there yet is waited for by a thread, while the port is
    /// [`Link::Gone`]. The port's MAC is derived from the socket and the id unless `options`
    /// says another, and its MTU is 1500: a server tells of neither. `options.ring` slots each
    /// way, at most 4096, of 2 KiB.
    ///
    /// # Errors
    /// No descriptors, or no thread.
    pub fn open(options: &PortOptions, owner: BufferOwner) -> Result<MemifPort, OpenError> {
        let failed = |step: &'static str| {
            move |source: std::io::Error| OpenError {
                port: options.name.clone(),
                driver: MemifPort::DRIVER,
                device: options.device.clone(),
                what: format!("cannot {step}: {source}"),
                hint: String::new(),
                source: Some(source),
            }
        };
        let line = Line::of(options).map_err(failed("start a thread for the line to the server"))?;
        let silence = UnixDatagram::unbound().map_err(failed("make a socket"))?;
        let mtu = options.mtu.unwrap_or(1500);
        let frame_len = (usize::from(mtu) + ETHERNET_AND_TAGS).max(ring::BUFFER);
        let buffers = (options.ring as usize).clamp(Burst::MAX, 1 << MOST_LOG2);
        let info = PortInfo {
            id: options.id,
            name: options.name.clone(),
            device: options.device.clone(),
            driver: MemifPort::DRIVER,
            mode: "no server yet".to_owned(),
            mac: options.mac.unwrap_or_else(|| local_mac(&format!("{} {}", options.device, options.memif_id))),
            mtu,
        };
        let mut port = MemifPort {
            options: options.clone(),
            info,
            line,
            number: options.share.as_ref().map_or(0, |share| usize::from(share.worker().0)),
            pair: None,
            silence,
            pool: Pool::new(buffers, frame_len, HEADROOM, owner),
            scratch: vec![0; frame_len],
            asked: false,
            unannounced: false,
            stats: PortStats { link: Link::Gone, ..PortStats::default() },
        };
        // Without a server, it is one that comes later.
        port.connect();
        Ok(port)
    }

    /// Takes up the newest connection; says whether there is one.
    fn connect(&mut self) -> bool {
        let Some((pair, with)) = self.line.take(self.number, &mut self.pair) else {
            return false;
        };
        self.pair = Some(pair);
        self.info.mode = with;
        (self.asked, self.unannounced) = (false, false);
        self.stats.link = Link::Up;
        true
    }

    /// What the server says of a ring makes no sense.
    #[cold]
    fn break_off(&mut self) {
        if let Some(pair) = &self.pair {
            self.line.break_off(&pair.tie);
        }
        self.stats.rx_errors += 1;
        self.stats.link = Link::Gone;
    }

    /// Is there a server? Where there is none any more, the port has gone.
    #[inline(always)]
    fn holds(&mut self) -> bool {
        let holds = self.pair.as_ref().is_some_and(|pair| pair.tie.holds());
        if !holds {
            self.stats.link = Link::Gone;
        }
        holds
    }

    fn receive(&mut self, burst: &mut Burst) -> Result<usize, Lie> {
        let MemifPort { pair: Some(pair), pool, stats, info, asked, .. } = self else { return Ok(0) };
        let mut waiting = pair.receiver.waiting()?;
        if waiting == 0 {
            return Ok(0);
        }
        if std::mem::take(asked) {
            pair.receiver.ask_for_waking(false);
        }
        let before = burst.len();
        while waiting > 0 && burst.room() > 0 {
            let Some(mut frame) = pool.lend() else { break };
            frame.grow_back(pool.frame_len());
            match pair.receiver.take(&mut waiting, frame.bytes_mut()) {
                Taken::Frame(len) if len >= ETHERNET_HEADER => {
                    frame.truncate(len);
                    frame.ingress = info.id;
                    stats.rx_bytes += len as u64;
                    burst.push(frame);
                }
                Taken::Frame(_) | Taken::Bad => {
                    stats.rx_errors += 1;
                    pool.give_back(frame);
                }
            }
        }
        pair.receiver.supply();
        let received = burst.len() - before;
        stats.rx_packets += received as u64;
        Ok(received)
    }

    /// Puts as many frames into the ring as there is room for; says how many were dealt with.
    fn send(&mut self, frames: &mut [Frame]) -> Result<usize, Lie> {
        let MemifPort { pair: Some(pair), scratch, stats, unannounced, .. } = self else { return Ok(0) };
        let sender = &mut pair.sender;
        let mut free = sender.free()?;
        let mut dealt_with = 0;
        for frame in frames {
            if frame.offload.is_super_frame() {
                match segments(frame, scratch.len(), sender.slots()) {
                    Some((_, slots)) if slots > free => break,
                    Some((mut segments, slots)) => {
                        while let Some(len) = segments.write_next(scratch) {
                            put(sender, &scratch[..len], stats);
                        }
                        free -= slots;
                    }
                    None => stats.tx_errors += 1,
                }
            } else {
                let slots = Sender::slots_for(frame.len());
                if slots > free {
                    break;
                }
                if complete_checksum(frame).is_ok() {
                    put(sender, frame.bytes(), stats);
                    free -= slots;
                } else {
                    stats.tx_errors += 1;
                }
            }
            dealt_with += 1;
        }
        sender.publish();
        *unannounced = true;
        Ok(dealt_with)
    }
}

/// The segments of a super-frame, and how many slots they take at most; `None` if it makes no
/// sense, or is more than the ring could ever hold.
fn segments(frame: &Frame, longest: usize, most: usize) -> Option<(Segments<'_>, usize)> {
    let segments = Segments::of(frame).ok()?;
    let slots = segments.remaining() * Sender::slots_for(segments.longest());
    (segments.longest() <= longest && slots <= most).then_some((segments, slots))
}

#[inline(always)]
fn put(sender: &mut Sender, bytes: &[u8], stats: &mut PortStats) {
    sender.put(bytes);
    stats.tx_packets += 1;
    stats.tx_bytes += bytes.len() as u64;
}

impl Port for MemifPort {
    fn info(&self) -> &PortInfo {
        &self.info
    }

    fn owner(&self) -> BufferOwner {
        self.pool.owner()
    }

    fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        if !self.holds() {
            return 0;
        }
        self.receive(burst).unwrap_or_else(|Lie| {
            self.break_off();
            0
        })
    }

    fn tx_burst(&mut self, frames: &mut Vec<Frame>, spent: &mut Vec<Frame>) -> usize {
        if !self.holds() {
            return 0;
        }
        let taken = self.send(frames).unwrap_or_else(|Lie| {
            self.break_off();
            0
        });
        spent.extend(frames.drain(..taken));
        taken
    }

    fn flush(&mut self) {
        if !std::mem::take(&mut self.unannounced) {
            return;
        }
        if let Some(pair) = &self.pair
            && pair.sender.is_to_wake()
        {
            // No room: then there is enough to wake it already.
            let _ = pair.knock.send(&1u64.to_ne_bytes());
        }
    }

    fn recycle(&mut self, frame: Frame) {
        self.pool.give_back(frame);
    }

    /// Becomes readable after [`Port::may_rest`] only: until then the server is asked not to
    /// wake anybody.
    fn poll_fds(&self, fds: &mut Vec<RawFd>) {
        fds.push(self.pair.as_ref().map_or(self.silence.as_raw_fd(), |pair| pair.heard.fd()));
    }

    fn may_rest(&mut self) -> bool {
        let Some(pair) = self.pair.as_ref().filter(|pair| pair.tie.holds()) else { return true };
        // What rang before is over.
        pair.heard.silence();
        pair.receiver.ask_for_waking(true);
        self.asked = true;
        pair.receiver.waiting() == Ok(0)
    }

    /// `rx_missed` stays 0: what finds the ring full the server has to itself.
    fn stats(&mut self) -> PortStats {
        self.holds();
        self.stats
    }

    fn link(&self) -> Link {
        self.stats.link
    }

    fn reopen(&mut self) -> Result<(), OpenError> {
        if self.connect() {
            return Ok(());
        }
        Err(OpenError {
            port: self.options.name.clone(),
            driver: MemifPort::DRIVER,
            device: self.options.device.clone(),
            what: "there is no server".to_owned(),
            hint: "the line to it is tried again and again".to_owned(),
            source: Some(std::io::Error::from_raw_os_error(libc::ENODEV)),
        })
    }
}

impl Line {
    /// The line of a port: the first worker's begins it, the others join.
    fn of(options: &PortOptions) -> std::io::Result<Arc<Line>> {
        let pairs = options.share.as_ref().map_or(1, Share::workers) as u16;
        let begin = || {
            let log2_ring = (options.ring.max(1).ilog2() as u8).clamp(LEAST_LOG2, MOST_LOG2);
            let wish = Wish { id: options.memif_id, name: format!("causeway {}", options.name), pairs, log2_ring };
            let settings = Settings { port: options.name.clone(), socket: options.device.clone().into(), wish };
            Line::start(settings).map(Arc::new)
        };
        let Some(share) = &options.share else { return begin() };
        let mut common = share.common();
        if let Some(line) = common.memif.upgrade() {
            return Ok(line);
        }
        let line = begin()?;
        common.memif = Arc::downgrade(&line);
        Ok(line)
    }
}

/// An Ethernet header with two tags.
const ETHERNET_AND_TAGS: usize = 22;
const ETHERNET_HEADER: usize = 14;
const HEADROOM: usize = 128;

#[cfg(test)]
mod test_server;
#[cfg(test)]
mod test_side;
#[cfg(test)]
mod tests;
