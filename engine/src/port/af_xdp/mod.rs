//! The `af-xdp` driver: frames straight from the NIC driver, on `libc` alone.
//!
//! `bpf` puts a six-instruction program on the device, which hands each frame
//! to the socket of its receive queue; `socket` and `ring` are the two ends of
//! such a queue; `umem` is the memory that all ports of a worker share, and
//! `ledger` knows where each of its chunks is; `partial` finds out what veth
//! does not say. `open` puts it together and explains what went wrong.
//!
//! Every receive queue is bound: what the device spreads to an unbound one would
//! go to the kernel, unseen. Several workers have every so manieth queue each. Sending uses
//! a worker's first, so frames keep their order.

mod bpf;
mod ledger;
mod membership;
mod open;
mod partial;
mod ring;
mod socket;
#[cfg(test)]
mod test_hosts;
#[cfg(test)]
mod tests;
mod umem;

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;

use causeway_fastpath::burst::Burst;
use causeway_fastpath::frame::{BufferOwner, Frame};

use super::device::Device;
use super::software::{Segments, complete_checksum};
use super::{Link, OpenError, Port, PortInfo, PortOptions, PortStats};

pub use ledger::Account;
pub use open::{Steering, privileged};
pub use umem::Umem;

use ledger::Holder;
use socket::{Sender, Socket};

/// A port on a network device, through AF_XDP sockets.
pub struct AfXdp {
    options: PortOptions,
    info: PortInfo,
    device: Device,
    /// Fields go in this order: first no more frames come, then nobody waits for
    /// them, then the chunks are free.
    _steering: Arc<Steering>,
    sender: Sender,
    sockets: Vec<Socket>,
    holders: Holders,
    umem: Rc<Umem>,
    zero_copy: bool,
    /// Does the peer leave checksums partial without saying so?
    checksums_hidden: bool,
    /// The socket whose turn is first in the next burst.
    turn: usize,
    counted: PortStats,
    /// Have the sockets lost their device for good?
    is_lost: bool,
}

impl AfXdp {
    /// Opens the device of `options` in native mode, every receive queue of it, or this
    /// worker's share of them, and sets it up if it is down.
    ///
    /// The frames lie in `umem`, which [`Umem::for_ports`] made for this port
    /// among others. Frames of other ports on the same `umem` are sent from where
    /// they lie; those of other owners are copied.
    ///
    /// # Errors
    /// No device, no privilege, no native XDP in its driver, another program or
    /// another socket there already, an MTU over 3506, no memory: each says what
    /// would do.
    pub fn open(options: &PortOptions, umem: &Rc<Umem>) -> Result<AfXdp, OpenError> {
        open::open(options, umem)
    }

    /// Does the driver send and receive without copying?
    pub fn is_zero_copy(&self) -> bool {
        self.zero_copy
    }

    /// How many of the frames in front of `frames` fit into the transmit ring,
    /// and into free chunks where they have to be copied.
    fn fitting(&mut self, frames: &[Frame]) -> usize {
        let mut room = self.sender.room(frames.len() as u32) as usize;
        let mut free = self.umem.account().free;
        for (index, frame) in frames.iter().enumerate() {
            let copied = frame.owner() != self.umem.owner() || frame.offload.is_super_frame();
            let slots = if frame.offload.is_super_frame() {
                self.segments(frame).map_or(0, |segments| segments.remaining())
            } else {
                1
            };
            if slots > room || (copied && slots > free) {
                return index;
            }
            room -= slots;
            free -= if copied { slots } else { 0 };
        }
        frames.len()
    }

    /// Sends one frame that fits; returns it if it was copied, or cannot be sent.
    #[inline]
    fn send(&mut self, mut frame: Frame) -> Option<Frame> {
        if frame.offload.is_super_frame() {
            self.send_segments(&frame);
            return Some(frame);
        }
        let sendable = (MINIMUM..=self.longest()).contains(&frame.len());
        if !sendable || complete_checksum(&mut frame).is_err() {
            self.counted.tx_errors += 1;
            return Some(frame);
        }
        if frame.owner() == self.umem.owner() {
            let address = frame.token() + frame.headroom() as u64;
            self.umem.ledger().lent_to_rings(self.umem.chunk_of(address), self.holder());
            self.queue(address, frame.len());
            return None;
        }
        self.send_copy(|room| {
            room[..frame.len()].copy_from_slice(frame.bytes());
            frame.len()
        });
        Some(frame)
    }

    fn send_segments(&mut self, frame: &Frame) {
        let Some(mut segments) = self.segments(frame) else {
            self.counted.tx_errors += 1;
            return;
        };
        while segments.remaining() > 0 {
            self.send_copy(|room| segments.write_next(room).expect("some remain"));
        }
    }

    /// The segments of a super-frame; `None` if it makes no sense, or is more
    /// than this port could ever send.
    fn segments<'a>(&self, frame: &'a Frame) -> Option<Segments<'a>> {
        let segments = Segments::of(frame).ok()?;
        let sendable = segments.longest() <= self.longest() && segments.remaining() <= self.sender.capacity() as usize;
        sendable.then_some(segments)
    }

    /// Sends what `write` puts into a free chunk, of the length it says.
    #[inline]
    fn send_copy(&mut self, write: impl FnOnce(&mut [u8]) -> usize) {
        let holder = self.holder();
        let chunk = self.umem.ledger().free_to_rings(holder).expect("`fitting` counted the free chunks");
        // SAFETY: the chunk was free and is now ours; its descriptor follows below.
        // Kept by the ledger, which panics on a chunk in two places.
        let len = write(unsafe { self.umem.copy_room(chunk) });
        self.queue(self.umem.base_of(chunk) + u64::from(HEADROOM), len);
    }

    #[inline]
    fn queue(&mut self, address: u64, len: usize) {
        self.sender.send(address, len as u32);
        self.counted.tx_packets += 1;
        self.counted.tx_bytes += len as u64;
    }

    fn holder(&self) -> Holder {
        self.sockets[0].holder
    }

    /// The longest frame the device takes: its MTU, Ethernet header and a VLAN tag.
    fn longest(&self) -> usize {
        usize::from(self.info.mtu) + 14 + 4
    }
}

impl Port for AfXdp {
    fn info(&self) -> &PortInfo {
        &self.info
    }

    fn owner(&self) -> BufferOwner {
        self.umem.owner()
    }

    fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        let before = burst.len();
        let mut ledger = self.umem.ledger();
        for _ in 0..self.sockets.len() {
            let socket = &mut self.sockets[self.turn];
            self.turn = (self.turn + 1) % self.holders.all.len();
            let mut received = 0;
            while burst.room() > 0
                && let Some((address, len)) = socket.receive()
            {
                ledger.rings_to_lent(self.umem.chunk_of(address), socket.holder);
                // SAFETY: the ledger just moved the chunk from the kernel to us,
                // and panics if it was not there.
                let mut frame = unsafe { self.umem.frame(address, len) };
                frame.ingress = self.info.id;
                if self.checksums_hidden {
                    frame.offload.checksum = partial::checksum_state(frame.bytes());
                }
                burst.push(frame);
                self.counted.rx_bytes += u64::from(len);
                received += 1;
            }
            socket.end_burst(received, &self.umem, &mut ledger);
            if burst.room() == 0 {
                break;
            }
        }
        let received = burst.len() - before;
        self.counted.rx_packets += received as u64;
        received
    }

    fn tx_burst(&mut self, frames: &mut Vec<Frame>, spent: &mut Vec<Frame>) -> usize {
        let holder = self.holder();
        self.sender.reap(holder, &self.umem);
        if self.counted.link != Link::Up {
            // The ring would keep them until it is up again, or for ever.
            return 0;
        }
        let fitting = self.fitting(frames);
        spent.extend(frames.drain(..fitting).filter_map(|frame| self.send(frame)));
        self.sender.queue.publish();
        fitting
    }

    fn flush(&mut self) {
        let refused = self.sender.kick(&self.sockets[0]);
        self.counted.tx_errors += refused;
        self.counted.tx_packets -= refused;
        let holder = self.holder();
        self.sender.reap(holder, &self.umem);
    }

    fn recycle(&mut self, frame: Frame) {
        self.umem.recycle(frame);
    }

    fn poll_fds(&self, fds: &mut Vec<RawFd>) {
        fds.extend(self.sockets.iter().map(|socket| socket.as_fd().as_raw_fd()));
    }

    fn stats(&mut self) -> PortStats {
        self.is_lost |= self.sockets.iter().any(Socket::has_lost_device);
        self.counted.link = if self.is_lost { Link::Gone } else { self.device.link() };
        let mut stats = self.counted;
        for kernel in self.sockets.iter().filter_map(|socket| socket.statistics().ok()) {
            stats.rx_missed += kernel.rx_ring_full;
            stats.tx_errors += kernel.tx_invalid_descs;
            // In copy mode each packet that found no chunk counts as dropped too,
            // which leaves those larger than a chunk. A zero-copy driver counts
            // its looks at an empty fill ring, not packets.
            if !self.zero_copy {
                stats.rx_missed += kernel.rx_fill_ring_empty_descs;
                stats.rx_errors += kernel.rx_dropped.saturating_sub(kernel.rx_fill_ring_empty_descs);
            }
            stats.rx_errors += kernel.rx_invalid_descs;
        }
        stats
    }

    fn link(&self) -> Link {
        self.counted.link
    }

    fn reopen(&mut self) -> Result<(), OpenError> {
        let fresh = open::open(&self.options, &self.umem)?;
        let mut gone = std::mem::replace(self, fresh);
        self.counted = PortStats { link: self.counted.link, ..gone.stats() };
        // A driver lets go of all chunks before its device is no more.
        gone.holders.keep &= !gone.is_lost;
        Ok(())
    }
}

/// The holders of a port's sockets; their chunks are free when this goes, which
/// must be after the sockets.
struct Holders {
    umem: Rc<Umem>,
    all: Vec<Holder>,
    /// A zero-copy driver lets go of its chunks some time after the socket is
    /// closed, and nobody says when: those chunks are not used again.
    keep: bool,
}

impl Holders {
    fn new_one(&mut self) -> Holder {
        let holder = self.umem.ledger().new_holder();
        self.all.push(holder);
        holder
    }
}

impl Drop for Holders {
    fn drop(&mut self) {
        if !self.keep {
            let mut ledger = self.umem.ledger();
            self.all.drain(..).for_each(|holder| ledger.reclaim(holder));
        }
    }
}

fn refused(options: &PortOptions, what: String, hint: &str, source: Option<io::Error>) -> OpenError {
    OpenError {
        port: options.name.clone(),
        driver: DRIVER,
        device: options.device.clone(),
        what,
        hint: hint.to_owned(),
        source,
    }
}

const DRIVER: &str = "af-xdp";
/// Bytes in front of a received frame: the kernel leaves `XDP_PACKET_HEADROOM`
/// there in copy mode and in zero-copy alike.
const HEADROOM: u32 = 256;
/// The largest MTU whose frames fit a page with the kernel's own headroom and
/// `skb_shared_info`, which native XDP without fragments asks for.
pub(super) const LARGEST_MTU: u32 = 3506;
/// An Ethernet header; the kernel refuses descriptors of no bytes.
const MINIMUM: usize = 14;
