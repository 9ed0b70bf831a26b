//! A port without a device: whoever holds the other end puts packets in and takes
//! packets out. For tests, simulations and benches.

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard};

use causeway_fastpath::burst::Burst;
use causeway_fastpath::frame::{BufferOwner, Frame};
use causeway_fastpath::offload::Offload;

use super::device::local_mac;
use super::pool::Pool;
use super::software::{Segments, complete_checksum};
use super::{Link, OpenError, Port, PortInfo, PortOptions, PortStats};

/// How a [`MemoryPort`] is to behave.
#[derive(Clone, Debug)]
pub struct MemoryOptions {
    /// Buffers for both directions together.
    pub buffers: usize,
    /// Longest frame in bytes, Ethernet header included.
    pub frame_len: usize,
    /// Most frames that wait to be received; more are missed.
    pub rx_capacity: usize,
    /// Most frames that wait to be taken by the peer; more are not accepted.
    pub tx_capacity: usize,
    /// Does it pass offloads on? If not, it makes them good in software, as a
    /// port on a NIC without offloads does.
    pub offloads: bool,
}

impl Default for MemoryOptions {
    /// Room for a few bursts of super-frames, and offloads passed on.
    fn default() -> MemoryOptions {
        MemoryOptions { buffers: 256, frame_len: 65_600, rx_capacity: 1024, tx_capacity: 1024, offloads: true }
    }
}

/// The gateway's end. Warm, it does not allocate; it locks once a burst.
pub struct MemoryPort {
    info: PortInfo,
    owner: BufferOwner,
    wire: Arc<Mutex<Wire>>,
}

/// The outside's end; clones are the same end.
#[derive(Clone)]
pub struct MemoryPeer {
    wire: Arc<Mutex<Wire>>,
}

impl MemoryPort {
    /// Its name in the configuration.
    pub const DRIVER: &'static str = "memory";

    /// Makes a port and its other end; the port's frames travel under `owner`.
    /// Its MAC is derived from its name, its MTU is 1500, where `options` says
    /// nothing else.
    pub fn pair(options: &PortOptions, owner: BufferOwner, behavior: &MemoryOptions) -> (MemoryPort, MemoryPeer) {
        let wire = Wire {
            pool: Pool::new(behavior.buffers, behavior.frame_len, HEADROOM, owner),
            inward: VecDeque::with_capacity(behavior.rx_capacity),
            outward: VecDeque::with_capacity(behavior.tx_capacity),
            behavior: behavior.clone(),
            stats: PortStats { link: Link::Up, ..PortStats::default() },
        };
        let wire = Arc::new(Mutex::new(wire));
        let info = PortInfo {
            id: options.id,
            name: options.name.clone(),
            device: options.device.clone(),
            driver: MemoryPort::DRIVER,
            mode: "in process".into(),
            mac: options.mac.unwrap_or_else(|| local_mac(&options.name)),
            mtu: options.mtu.unwrap_or(1500),
        };
        (MemoryPort { info, owner, wire: Arc::clone(&wire) }, MemoryPeer { wire })
    }
}

impl MemoryPeer {
    /// Puts a frame where the port will receive it; says whether there was room.
    /// What finds none counts as missed.
    ///
    /// # Panics
    /// The frame is longer than the buffers.
    pub fn push(&self, bytes: &[u8], offload: Offload) -> bool {
        let wire = &mut *lock(&self.wire);
        let room = wire.inward.len() < wire.behavior.rx_capacity;
        match room.then(|| wire.pool.lend_with(bytes)).flatten() {
            Some(mut frame) if wire.stats.link == Link::Up => {
                frame.offload = offload;
                wire.inward.push_back(frame);
                true
            }
            Some(frame) => {
                wire.pool.give_back(frame);
                false
            }
            None => {
                wire.stats.rx_missed += 1;
                false
            }
        }
    }

    /// Shows the oldest frame that the port sent to `take`, and forgets it.
    /// `None` when there is none.
    pub fn pop_with<T>(&self, take: impl FnOnce(&[u8], Offload) -> T) -> Option<T> {
        let wire = &mut *lock(&self.wire);
        let frame = wire.outward.pop_front()?;
        let result = take(frame.bytes(), frame.offload);
        wire.pool.give_back(frame);
        Some(result)
    }

    /// The oldest frame that the port sent. Allocates.
    pub fn pop(&self) -> Option<Vec<u8>> {
        self.pop_with(|bytes, _| bytes.to_vec())
    }

    /// How many frames the port sent that were not taken yet.
    pub fn waiting(&self) -> usize {
        lock(&self.wire).outward.len()
    }

    /// How many buffers are neither lent nor in a queue: with both queues empty,
    /// all of them, or somebody keeps frames.
    pub fn free_buffers(&self) -> usize {
        lock(&self.wire).pool.free()
    }

    /// Sets the most frames that may wait to be taken; 0 makes the port full.
    pub fn set_tx_capacity(&self, frames: usize) {
        lock(&self.wire).behavior.tx_capacity = frames;
    }

    /// Plugs the cable in or out. A port that is down takes and brings nothing.
    pub fn set_up(&self, up: bool) {
        self.set_link(if up { Link::Up } else { Link::Down });
    }

    /// As [`MemoryPeer::set_up`]; a port whose device has gone is down until it is opened again.
    pub fn set_link(&self, link: Link) {
        lock(&self.wire).stats.link = link;
    }
}

impl Port for MemoryPort {
    fn info(&self) -> &PortInfo {
        &self.info
    }

    fn owner(&self) -> BufferOwner {
        self.owner
    }

    fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        let wire = &mut *lock(&self.wire);
        let count = burst.room().min(wire.inward.len());
        for mut frame in wire.inward.drain(..count) {
            frame.ingress = self.info.id;
            wire.stats.rx_packets += 1;
            wire.stats.rx_bytes += frame.len() as u64;
            burst.push(frame);
        }
        count
    }

    fn tx_burst(&mut self, frames: &mut Vec<Frame>, spent: &mut Vec<Frame>) -> usize {
        let wire = &mut *lock(&self.wire);
        let mut taken = 0;
        while taken < frames.len() && wire.stats.link == Link::Up && wire.send(&frames[taken]) {
            taken += 1;
        }
        spent.extend(frames.drain(..taken));
        taken
    }

    fn recycle(&mut self, frame: Frame) {
        lock(&self.wire).pool.give_back(frame);
    }

    /// None: the port is polled.
    fn poll_fds(&self, _: &mut Vec<RawFd>) {}

    fn stats(&mut self) -> PortStats {
        lock(&self.wire).stats
    }

    fn link(&self) -> Link {
        lock(&self.wire).stats.link
    }

    fn reopen(&mut self) -> Result<(), OpenError> {
        lock(&self.wire).stats.link = Link::Up;
        Ok(())
    }
}

/// What both ends share.
struct Wire {
    pool: Pool,
    inward: VecDeque<Frame>,
    outward: VecDeque<Frame>,
    behavior: MemoryOptions,
    stats: PortStats,
}

impl Wire {
    /// Queues a copy of a frame, or its segments; says whether it was taken.
    /// What can never be sent is taken, and is an error.
    fn send(&mut self, frame: &Frame) -> bool {
        let room = self.behavior.tx_capacity.saturating_sub(self.outward.len()).min(self.pool.free());
        if frame.offload.is_super_frame() && !self.behavior.offloads {
            return match Segments::of(frame) {
                Ok(segments) if segments.longest() <= self.pool.frame_len() => self.send_segments(segments, room),
                _ => self.refuse(),
            };
        }
        if frame.len() > self.pool.frame_len() {
            return self.refuse();
        }
        if room == 0 {
            return false;
        }
        let mut copy = self.pool.lend_with(frame.bytes()).expect("room counts free buffers");
        copy.offload = frame.offload;
        if !self.behavior.offloads && complete_checksum(&mut copy).is_err() {
            self.pool.give_back(copy);
            return self.refuse();
        }
        self.queue(copy);
        true
    }

    fn send_segments(&mut self, mut segments: Segments<'_>, room: usize) -> bool {
        if segments.remaining() > room {
            return false;
        }
        while let Some(len) = segments.next_len() {
            let mut out = self.pool.lend().expect("room counts free buffers");
            out.grow_back(len);
            segments.write_next(out.bytes_mut());
            self.queue(out);
        }
        true
    }

    fn queue(&mut self, frame: Frame) {
        self.stats.tx_packets += 1;
        self.stats.tx_bytes += frame.len() as u64;
        self.outward.push_back(frame);
    }

    fn refuse(&mut self) -> bool {
        self.stats.tx_errors += 1;
        true
    }
}

fn lock(wire: &Mutex<Wire>) -> MutexGuard<'_, Wire> {
    wire.lock().expect("nobody panics with the wire in hand")
}

const HEADROOM: usize = 128;

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
