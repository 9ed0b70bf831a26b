//! Ports: where packets come from and go to.
//!
//! A driver implements [`Port`]; the worker asks it for bursts and hands it
//! bursts. Dispatch is dynamic once a burst, never once a packet. Ports are
//! opened and used on the worker's own thread, so nothing in them is shared.

pub mod af_packet;
pub mod af_xdp;
pub mod auto;
pub mod device;
pub mod forwarding;
pub mod memif;
pub mod memory;
mod netdev;
pub mod open;
pub mod pcap;
mod pool;
mod share;
pub mod software;
pub mod tap;
#[cfg(test)]
mod test_world;
mod vnet_hdr;

use std::io;
use std::ops::Add;
use std::os::fd::RawFd;

use causeway_fastpath::burst::Burst;
use causeway_fastpath::frame::{BufferOwner, Frame};
use causeway_fastpath::ids::PortId;

pub use share::Share;

/// A place where packets come in and go out.
///
/// # The life of a buffer
/// `rx_burst` lends buffers out as [`Frame`]s. Each of them ends in one of two
/// ways: a `tx_burst` keeps it (the driver sends straight from the buffer and
/// returns it to its pool when the kernel is done), or it is handed to
/// [`Port::recycle`] of the port whose [`Port::owner`] it carries.
pub trait Port {
    /// What the port is and can do, as it was opened.
    fn info(&self) -> &PortInfo;

    /// Under which name this port's buffers travel. Ports that share one UMEM
    /// share one owner, and each of them can recycle for the others.
    fn owner(&self) -> BufferOwner;

    /// Fills `burst` with what arrived, as far as it has room; says how many.
    /// Never waits. Sets `ingress` and `offload` of each frame.
    fn rx_burst(&mut self, burst: &mut Burst) -> usize;

    /// Queues frames from the front of `frames` for sending; says how many.
    ///
    /// A frame that was copied out goes to `spent`, from where the worker
    /// recycles it; one that the driver sends from its buffer is kept. What the
    /// port would not take stays in `frames`, in order. A frame whose
    /// [`Offload`](causeway_fastpath::offload::Offload) the port cannot pass on is
    /// segmented and its checksum completed here.
    fn tx_burst(&mut self, frames: &mut Vec<Frame>, spent: &mut Vec<Frame>) -> usize;

    /// Tells the kernel (or the peer) about what was queued, at most once a turn.
    fn flush(&mut self) {}

    /// Takes back the buffer of a frame that [`Port::owner`] lent out.
    fn recycle(&mut self, frame: Frame);

    /// Descriptors that become readable when packets arrive, for `poll(2)`.
    /// A driver without any is polled in short intervals.
    fn poll_fds(&self, fds: &mut Vec<RawFd>);

    /// The worker is about to sleep by [`Port::poll_fds`]: a driver that must ask to be woken
    /// does so now. `false`: something has come in meanwhile.
    fn may_rest(&mut self) -> bool {
        true
    }

    /// What was counted since the port was first opened. Also looks at the device.
    fn stats(&mut self) -> PortStats;

    /// How its device was when it was last looked at. Cheap.
    fn link(&self) -> Link;

    /// Opens it again, on the device that has its name by now; its own has [gone](Link::Gone).
    /// What it lent out it takes back as ever, and it goes on counting. A driver that has no
    /// device never needs it.
    ///
    /// # Errors
    /// As when it was first opened. It is as it was then.
    fn reopen(&mut self) -> Result<(), OpenError> {
        Ok(())
    }
}

/// How the device of a port is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// It carries packets.
    Up,
    /// It is set down, or has no carrier.
    #[default]
    Down,
    /// It was deleted, renamed or moved away.
    Gone,
}

/// What a port is, as the driver found it when opening.
#[derive(Clone, Debug)]
pub struct PortInfo {
    /// Place in the configuration.
    pub id: PortId,
    /// Name in the configuration.
    pub name: String,
    /// Device, file or peer it stands on.
    pub device: String,
    /// The driver, as it is called in the configuration.
    pub driver: &'static str,
    /// How the driver works with this device, for people: "zero-copy, 4 queues".
    pub mode: String,
    /// Ethernet address.
    pub mac: [u8; 6],
    /// Largest IP packet it sends, in bytes.
    pub mtu: u16,
}

/// What a port has counted. Bytes are those of frames, Ethernet header included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Frames received; a super-frame counts once.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Frames lost before we saw them: the ring was full.
    pub rx_missed: u64,
    /// Frames that arrived damaged or larger than a buffer.
    pub rx_errors: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Frames the driver took and could not send.
    pub tx_errors: u64,
    /// How is the device?
    pub link: Link,
}

/// How a port is to be opened.
#[derive(Clone, Debug)]
pub struct PortOptions {
    /// Place in the configuration.
    pub id: PortId,
    /// Name in the configuration.
    pub name: String,
    /// Device, file or peer.
    pub device: String,
    /// Frames a ring, a power of two.
    pub ring: u32,
    /// MTU to use instead of the device's.
    pub mtu: Option<u16>,
    /// Ethernet address to use instead of the device's.
    pub mac: Option<[u8; 6]>,
    /// Which of the interfaces behind a memif server's socket. Nobody else looks at it.
    pub memif_id: u32,
    /// What it has in common with the same port of other workers, if there are any.
    pub share: Option<Share>,
}

impl Add for PortStats {
    type Output = PortStats;

    /// What two workers counted at one port.
    fn add(self, other: PortStats) -> PortStats {
        PortStats {
            rx_packets: self.rx_packets + other.rx_packets,
            rx_bytes: self.rx_bytes + other.rx_bytes,
            rx_missed: self.rx_missed + other.rx_missed,
            rx_errors: self.rx_errors + other.rx_errors,
            tx_packets: self.tx_packets + other.tx_packets,
            tx_bytes: self.tx_bytes + other.tx_bytes,
            tx_errors: self.tx_errors + other.tx_errors,
            link: self.link.max(other.link),
        }
    }
}

/// Why a port could not be opened: where, what, and what would do.
#[derive(Debug, thiserror::Error)]
#[error("port \"{port}\" ({driver} on {device}): {what}{}{hint}", if hint.is_empty() { "" } else { "; " })]
pub struct OpenError {
    /// Name in the configuration.
    pub port: String,
    /// The driver that was tried.
    pub driver: &'static str,
    /// The device it was tried on.
    pub device: String,
    /// What went wrong.
    pub what: String,
    /// What would do; may be empty.
    pub hint: String,
    /// What the system said, where it did.
    #[source]
    pub source: Option<io::Error>,
}
