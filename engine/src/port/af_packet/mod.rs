//! AF_PACKET: works on every Ethernet device, with no driver's help.
//!
//! Frames are lent straight from a memory-mapped receive ring (TPACKET_V2) and
//! sent straight from whatever buffer they lie in. `PACKET_VNET_HDR` on both ways
//! carries 64 KiB super-frames and partial checksums, which is what makes TCP
//! between veth pairs, containers and VMs fast.
//!
//! The host's own stack sees a copy of every packet that comes in. A device that
//! Causeway stands on should carry no addresses, or the host answers beside us,
//! and `ip_forward` on it should be off.
//!
//! Needs `CAP_NET_RAW`, and nothing else; an unprivileged user namespace will do.

mod ring;
mod send;
mod socket;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use causeway_fastpath::burst::Burst;
use causeway_fastpath::frame::{BufferOwner, Frame};
use causeway_fastpath::offload::{ChecksumState, Offload};

use self::ring::{Filled, RxRing};
use self::send::{Sender, Stop};
use super::device::Device;
use super::{Link, OpenError, Port, PortInfo, PortOptions, PortStats};

/// A port on a packet socket.
pub struct AfPacketPort {
    options: PortOptions,
    info: PortInfo,
    owner: BufferOwner,
    device: Device,
    // Before the socket: the ring goes first.
    ring: RxRing,
    /// How often it was opened again. Frames say in which of its rings they lie.
    generation: u32,
    /// Rings of devices that have gone, some of whose slots are still lent out.
    retired: Vec<(u32, RxRing)>,
    socket: OwnedFd,
    sender: Sender,
    stats: PortStats,
}

impl AfPacketPort {
    /// Its name in the configuration.
    pub const DRIVER: &'static str = "af-packet";

    /// Opens the port; its frames will travel under `owner`.
    ///
    /// `options.ring` is rounded up to whole blocks of the ring and bounded by
    /// [`AfPacketPort::MAX_SLOTS`], as each slot takes 65 KiB. The device may be
    /// down; the port comes up with it.
    ///
    /// # Errors
    /// There is no such device, no privilege, no memory for the ring.
    pub fn open(options: &PortOptions, owner: BufferOwner) -> Result<AfPacketPort, OpenError> {
        let device = Device::for_port(options, AfPacketPort::DRIVER)?;
        let failed = |step| move |source| describe(options, step, source);
        let socket = socket::open().map_err(failed("open a packet socket"))?;
        let slots = (options.ring as usize).clamp(1, AfPacketPort::MAX_SLOTS);
        let ring = RxRing::new(&socket, slots).map_err(failed("set up the receive ring"))?;
        let promiscuous = options.mac.is_some_and(|mac| mac != device.mac);
        socket::bind(&socket, &device, promiscuous).map_err(failed("bind to the device"))?;
        if let Some(share) = &options.share {
            let group = &mut share.common().fanout;
            socket::join_fanout_of(&socket, device.index, group).map_err(failed("share the device between workers"))?;
        }
        let info = PortInfo {
            id: options.id,
            name: options.name.clone(),
            device: options.device.clone(),
            driver: AfPacketPort::DRIVER,
            mode: format!("mapped ring of {} slots of 64 KiB, checksum and segmentation passed on", ring.slots()),
            mac: options.mac.unwrap_or(device.mac),
            mtu: options.mtu.unwrap_or(device.mtu.min(u32::from(u16::MAX)) as u16),
        };
        let stats = PortStats { link: device.link(), ..PortStats::default() };
        Ok(AfPacketPort {
            options: options.clone(),
            info,
            owner,
            device,
            ring,
            generation: 0,
            retired: Vec::new(),
            socket,
            sender: Sender::new(),
            stats,
        })
    }

    /// The most slots a ring gets: 17 MiB of kernel memory. More of them do not
    /// make TCP faster (super-frames then wander through more memory than the
    /// caches hold), and all of them are allocated at once.
    pub const MAX_SLOTS: usize = 256;

    /// A frame of a device that has gone comes back. The last one takes its ring along.
    #[cold]
    fn give_back_to_retired(&mut self, generation: u32, slot: usize) {
        let of = self.retired.iter_mut().find(|(of, _)| *of == generation);
        let (_, ring) = of.expect("a ring waits for all of its slots");
        ring.give_back(slot);
        self.retired.retain(|(_, ring)| !ring.is_whole());
    }

    /// Makes a frame of a filled slot; `None` when it is damaged.
    #[inline]
    fn frame(&self, filled: &Filled) -> Option<Frame> {
        let Filled { buffer, capacity, start, len, .. } = *filled;
        if len < filled.wire_len || len < ETHERNET_HEADER {
            return None;
        }
        let offload = filled.vnet_hdr.offload(len as usize).ok()?;
        let token = u64::from(self.generation) << 32 | filled.slot as u64;
        // SAFETY: the slot is ours until `give_back` (contract of `RxRing::take`),
        // which `recycle` calls with the slot's number, in the token.
        let mut frame = unsafe { Frame::from_raw(buffer, capacity, start, len, self.owner, token) };
        frame.offload = offload;
        frame.ingress = self.info.id;
        if let Some(vlan) = filled.vlan {
            put_tag_back(&mut frame, vlan);
        }
        Some(frame)
    }
}

impl Port for AfPacketPort {
    fn info(&self) -> &PortInfo {
        &self.info
    }

    fn owner(&self) -> BufferOwner {
        self.owner
    }

    fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        let before = burst.len();
        for _ in 0..burst.room() {
            let Some(filled) = self.ring.take() else { break };
            match self.frame(&filled) {
                Some(frame) => {
                    self.stats.rx_packets += 1;
                    self.stats.rx_bytes += frame.len() as u64;
                    burst.push(frame);
                }
                None => {
                    self.stats.rx_errors += 1;
                    self.ring.give_back(filled.slot);
                }
            }
        }
        burst.len() - before
    }

    fn tx_burst(&mut self, frames: &mut Vec<Frame>, spent: &mut Vec<Frame>) -> usize {
        let mut total = 0;
        // Every turn takes a frame or is the last.
        while !frames.is_empty() {
            let (taken, stop) = self.sender.send(&self.socket, frames);
            self.stats.tx_packets += taken as u64;
            self.stats.tx_bytes += frames[..taken].iter().map(|frame| frame.len() as u64).sum::<u64>();
            // A frame that can never be sent is taken as well, and is an error.
            let refused = usize::from(stop == Stop::Refused);
            self.stats.tx_errors += refused as u64;
            spent.extend(frames.drain(..taken + refused));
            total += taken + refused;
            match stop {
                Stop::Done | Stop::Refused => {}
                Stop::Full => break,
                Stop::Down => {
                    self.stats.link = self.stats.link.max(Link::Down);
                    break;
                }
            }
        }
        total
    }

    #[inline]
    fn recycle(&mut self, frame: Frame) {
        debug_assert_eq!(frame.owner(), self.owner, "a frame goes back to its owner");
        let (generation, slot) = ((frame.token() >> 32) as u32, frame.token() as u32 as usize);
        if generation == self.generation {
            self.ring.give_back(slot);
        } else {
            self.give_back_to_retired(generation, slot);
        }
    }

    fn poll_fds(&self, fds: &mut Vec<RawFd>) {
        fds.push(self.socket.as_raw_fd());
    }

    /// Also looks whether the device is up: call it now and then. Between a
    /// device's going down and the next call, `poll` reports the socket as ready.
    fn stats(&mut self) -> PortStats {
        self.stats.rx_missed += socket::take_drops(&self.socket);
        self.stats.link = if socket::is_bound(&self.socket) { self.device.link() } else { Link::Gone };
        if self.stats.link != Link::Up {
            socket::clear_error(&self.socket);
        }
        self.stats
    }

    fn link(&self) -> Link {
        self.stats.link
    }

    fn reopen(&mut self) -> Result<(), OpenError> {
        let fresh = AfPacketPort::open(&self.options, self.owner)?;
        let AfPacketPort { ring, generation, mut retired, stats, .. } = std::mem::replace(self, fresh);
        if !ring.is_whole() {
            retired.push((generation, ring));
        }
        self.generation = generation + 1;
        self.retired = retired;
        self.stats = PortStats { link: self.stats.link, ..stats };
        Ok(())
    }
}

/// Puts a VLAN tag, which the kernel hands over beside the frame, back where it
/// was on the wire: after the two addresses.
fn put_tag_back(frame: &mut Frame, (tpid, tci): (u16, u16)) {
    frame.move_start(-4);
    let bytes = frame.bytes_mut();
    bytes.copy_within(4..16, 0);
    bytes[12..14].copy_from_slice(&tpid.to_be_bytes());
    bytes[14..16].copy_from_slice(&tci.to_be_bytes());
    if let Offload { checksum: ChecksumState::Partial { start, .. }, .. } = &mut frame.offload {
        // Near the end of a super-frame, where the sum would overflow, no L4
        // header starts: such a claim is nonsense before and after.
        *start = start.saturating_add(4);
    }
}

/// Why the port could not be opened, and what would do.
fn describe(options: &PortOptions, step: &str, source: io::Error) -> OpenError {
    let hint = match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "this needs CAP_NET_RAW: run as root, or give it to the service (AmbientCapabilities=CAP_NET_RAW)".into()
        }
        Some(libc::ENOMEM | libc::ENOBUFS) => {
            format!("a smaller ring takes less memory; this one: ring = {}", options.ring)
        }
        Some(libc::EAFNOSUPPORT) => "this kernel has no packet sockets (CONFIG_PACKET)".into(),
        Some(libc::ENOPROTOOPT) => "this needs Linux 4.20 or later".into(),
        _ => String::new(),
    };
    OpenError {
        port: options.name.clone(),
        driver: AfPacketPort::DRIVER,
        device: options.device.clone(),
        what: format!("cannot {step}: {source}"),
        hint,
        source: Some(source),
    }
}

const ETHERNET_HEADER: u32 = 14;

#[cfg(test)]
mod tests;
