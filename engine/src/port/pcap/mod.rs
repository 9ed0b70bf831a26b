//! Capture files as a port: what was captured comes in, at the time at which it
//! was captured; what is sent is written to another file.
//!
//! Time stands still unless [`PcapPort::set_now`] moves it, so that a replay is
//! the same each time. Several workers play one pair of files, as they share a device: a
//! hash of its flow says to whom a frame comes.

mod capture;

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::fd::RawFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use causeway_fastpath::burst::Burst;
use causeway_fastpath::ecmp::packet_hash;
use causeway_fastpath::frame::{BufferOwner, Frame};
use causeway_fastpath::ids::VrfId;
use causeway_fastpath::parse;
use causeway_fastpath::time::Instant;
use causeway_fastpath::wire::ethernet;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::{DataLink, Endianness, PcapError, TsResolution};

use self::capture::Capture;
use super::device::local_mac;
use super::pool::Pool;
use super::software::complete_checksum;
use super::{Link, OpenError, Port, PortInfo, PortOptions, PortStats};

/// A port on a capture to read and a capture to write; either may be missing.
pub struct PcapPort {
    info: PortInfo,
    tape: Rc<RefCell<Tape>>,
    /// Which of so many workers it is to whom frames come.
    place: (u32, u32),
    pool: Pool,
    stats: PortStats,
}

/// The files, and how far they have been played.
struct Tape {
    input: Capture,
    next: usize,
    output: Option<PcapWriter<BufWriter<File>>>,
    /// The first error in writing; nothing was written after it.
    failed: Option<io::Error>,
    now: Instant,
}

impl PcapPort {
    /// Its name in the configuration.
    pub const DRIVER: &'static str = "pcap";

    /// Reads the whole of `input`, pcap or pcapng, and starts `output`, a pcap
    /// file with nanoseconds. Frames travel under `owner`.
    ///
    /// Memory: that of the file and 24 bytes a frame. MAC and MTU are made up
    /// (from the name, and 1500) where `options` says nothing.
    ///
    /// # Errors
    /// A file that cannot be read or written; a capture that is damaged, with the
    /// place; one of frames that are not Ethernet.
    pub fn open(
        options: &PortOptions,
        owner: BufferOwner,
        input: Option<&Path>,
        output: Option<&Path>,
    ) -> Result<PcapPort, OpenError> {
        let input = match input {
            Some(path) => read(options, path)?,
            None => Capture::parse(Vec::new()).expect("nothing is not damaged"),
        };
        let output = match output {
            Some(path) => Some(create(path).map_err(|source| {
                let what = format!("cannot write the capture: {source}");
                error(options, path, what, Some(source))
            })?),
            None => None,
        };
        let info = PortInfo {
            id: options.id,
            name: options.name.clone(),
            device: options.device.clone(),
            driver: PcapPort::DRIVER,
            mode: format!("{} frames to replay", input.len()),
            mac: options.mac.unwrap_or_else(|| local_mac(&options.name)),
            mtu: options.mtu.unwrap_or(1500),
        };
        let tape = Tape { input, next: 0, output, failed: None, now: Instant::ZERO };
        Ok(PcapPort::play(info, Rc::new(RefCell::new(tape)), (0, 1), owner))
    }

    /// The same port for each of these `owners`, one a worker: a frame comes to one of them,
    /// and all of them write to one file.
    pub fn shared_by(self, owners: &[BufferOwner]) -> Vec<PcapPort> {
        let place = |at| (at as u32, owners.len() as u32);
        let port = |(at, owner)| PcapPort::play(self.info.clone(), Rc::clone(&self.tape), place(at), owner);
        owners.iter().copied().enumerate().map(port).collect()
    }

    fn play(info: PortInfo, tape: Rc<RefCell<Tape>>, place: (u32, u32), owner: BufferOwner) -> PcapPort {
        let pool = Pool::new(BUFFERS, FRAME_LEN, HEADROOM, owner);
        let stats = PortStats { link: Link::Up, ..PortStats::default() };
        PcapPort { info, tape, place, pool, stats }
    }

    /// When the next frame comes in, in nanoseconds since 1970; `None` after the
    /// last.
    pub fn peek_time(&self) -> Option<Instant> {
        let tape = self.tape.borrow();
        tape.input.get(tape.next).map(|(record, _)| record.time)
    }

    /// Moves time: frames captured until `now` come in, and what is sent is
    /// stamped with it.
    pub fn set_now(&mut self, now: Instant) {
        self.tape.borrow_mut().now = now;
    }

    /// Writes out what is buffered. Whoever shares the file writes nothing more.
    ///
    /// # Errors
    /// The first error in writing since the port was opened: a full disk, say.
    pub fn finish(self) -> io::Result<()> {
        let mut tape = self.tape.borrow_mut();
        match (tape.failed.take(), tape.output.take()) {
            (Some(error), _) => Err(error),
            (None, Some(output)) => output.into_writer().flush(),
            (None, None) => Ok(()),
        }
    }

    /// Writes one frame; counts it.
    fn write(&mut self, frame: &mut Frame) {
        // A capture of frames without checksums would look like one of errors.
        if complete_checksum(frame).is_err() {
            self.stats.tx_errors += 1;
            return;
        }
        let mut tape = self.tape.borrow_mut();
        let now = Duration::from_nanos(tape.now.as_nanos());
        let result = match &mut tape.output {
            Some(output) => output.write_packet(&PcapPacket::new(now, frame.len() as u32, frame.bytes())),
            None => Ok(0),
        };
        match result {
            Ok(_) => {
                self.stats.tx_packets += 1;
                self.stats.tx_bytes += frame.len() as u64;
            }
            Err(error) => {
                self.stats.tx_errors += 1;
                self.stats.link = Link::Down;
                tape.failed = Some(io_error(error));
            }
        }
    }
}

impl Port for PcapPort {
    fn info(&self) -> &PortInfo {
        &self.info
    }

    fn owner(&self) -> BufferOwner {
        self.pool.owner()
    }

    fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        let before = burst.len();
        let tape = &mut *self.tape.borrow_mut();
        while burst.room() > 0 && self.pool.free() > 0 {
            let Some((record, bytes)) = tape.input.get(tape.next) else { break };
            if record.time > tape.now || (self.place.1 > 1 && worker_for(bytes, self.place.1) != self.place.0) {
                break;
            }
            tape.next += 1;
            // What the capture cut short is damaged.
            if bytes.len() < record.wire_len as usize || bytes.len() > self.pool.frame_len() {
                self.stats.rx_errors += 1;
                continue;
            }
            let mut frame = self.pool.lend_with(bytes).expect("a free buffer was seen");
            frame.ingress = self.info.id;
            self.stats.rx_packets += 1;
            self.stats.rx_bytes += bytes.len() as u64;
            burst.push(frame);
        }
        burst.len() - before
    }

    fn tx_burst(&mut self, frames: &mut Vec<Frame>, spent: &mut Vec<Frame>) -> usize {
        let mut taken = 0;
        while taken < frames.len() && self.tape.borrow().failed.is_none() {
            self.write(&mut frames[taken]);
            taken += 1;
        }
        spent.extend(frames.drain(..taken));
        taken
    }

    fn recycle(&mut self, frame: Frame) {
        self.pool.give_back(frame);
    }

    /// None: a file is always ready.
    fn poll_fds(&self, _: &mut Vec<RawFd>) {}

    fn stats(&mut self) -> PortStats {
        self.stats
    }

    fn link(&self) -> Link {
        self.stats.link
    }
}

/// Of so many workers the one that a frame comes to.
fn worker_for(frame: &[u8], workers: u32) -> u32 {
    let v4 = || Some(packet_hash(0, frame, &parse::layers(frame, &parse::ipv4(frame).ok()?, VrfId::MAIN)));
    let v6 = || Some(packet_hash(0, frame, &parse::layers(frame, &parse::ipv6(frame).ok()?, VrfId::MAIN)));
    let hash = match frame.get(ethernet::ETHERTYPE..ethernet::HEADER_LEN) {
        Some([0x08, 0x00]) => v4(),
        Some([0x86, 0xdd]) => v6(),
        _ => None,
    };
    hash.unwrap_or(0) % workers
}

fn read(options: &PortOptions, path: &Path) -> Result<Capture, OpenError> {
    let bytes = fs::read(path).map_err(|source| {
        let what = format!("cannot read the capture: {source}");
        error(options, path, what, Some(source))
    })?;
    Capture::parse(bytes).map_err(|damage| error(options, path, damage.to_string(), None))
}

fn create(path: &Path) -> io::Result<PcapWriter<BufWriter<File>>> {
    let header = PcapHeader {
        datalink: DataLink::ETHERNET,
        ts_resolution: TsResolution::NanoSecond,
        // The same file on every machine.
        endianness: Endianness::Little,
        snaplen: SNAPLEN,
        ..PcapHeader::default()
    };
    PcapWriter::with_header(BufWriter::new(File::create(path)?), header).map_err(io_error)
}

fn io_error(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        error => io::Error::other(error),
    }
}

fn error(options: &PortOptions, path: &Path, what: String, source: Option<io::Error>) -> OpenError {
    OpenError {
        port: options.name.clone(),
        driver: PcapPort::DRIVER,
        device: path.display().to_string(),
        what,
        hint: String::new(),
        source,
    }
}

/// Four bursts in flight.
const BUFFERS: usize = 4 * Burst::MAX;
/// The largest super-frame, with two tags.
const FRAME_LEN: usize = 65_600;
const HEADROOM: usize = 128;
/// What `tcpdump` writes since 2013: no frame is cut.
const SNAPLEN: u32 = 262_144;

#[cfg(test)]
mod tests;
