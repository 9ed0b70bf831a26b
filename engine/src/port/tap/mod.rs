//! TAP: a device of the host's kernel whose other end is this port.
//!
//! What the kernel routes to the device comes in here, and what is sent here
//! arrives at the kernel. Super-frames and partial checksums pass both ways
//! (`IFF_VNET_HDR`). The device goes when the port does, unless it was made to
//! stay (`ip tuntap add`).
//!
//! Needs `CAP_NET_ADMIN`, or a device made beforehand for this user.

mod fd;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use causeway_fastpath::burst::Burst;
use causeway_fastpath::frame::{BufferOwner, Frame};

use super::device::{Device, local_mac};
use super::pool::Pool;
use super::vnet_hdr::VnetHdr;
use super::{Link, OpenError, Port, PortInfo, PortOptions, PortStats};

/// A port on a TAP device.
pub struct TapPort {
    options: PortOptions,
    info: PortInfo,
    device: Device,
    tap: OwnedFd,
    pool: Pool,
    stats: PortStats,
}

impl TapPort {
    /// Its name in the configuration.
    pub const DRIVER: &'static str = "tap";

    /// Makes the device, or attaches to it where it exists, and sets it up;
    /// frames travel under `owner`.
    ///
    /// The port's MAC is derived from the device's name, as the device's own is
    /// that of the kernel's end. Its MTU is the device's. `options.ring` buffers
    /// of 64 KiB, at most [`TapPort::MAX_BUFFERS`].
    ///
    /// # Errors
    /// No TAP in this kernel or container, no privilege, a device of this name
    /// that is no TAP or is in use.
    pub fn open(options: &PortOptions, owner: BufferOwner) -> Result<TapPort, OpenError> {
        let (tap, device, info) = attach(options)?;
        let buffers = (options.ring as usize).clamp(Burst::MAX, TapPort::MAX_BUFFERS);
        let pool = Pool::new(buffers, FRAME_LEN, HEADROOM, owner);
        let stats = PortStats { link: device.link(), ..PortStats::default() };
        Ok(TapPort { options: options.clone(), info, device, tap, pool, stats })
    }

    /// The most buffers a port gets: 17 MiB.
    pub const MAX_BUFFERS: usize = 256;

    /// Reads the next frame that is whole; `None` when none waits.
    fn receive(&mut self) -> Option<Frame> {
        let mut frame = self.pool.lend()?;
        frame.grow_back(self.pool.frame_len());
        // Damaged frames are skipped, a burst's worth at most.
        for _ in 0..Burst::MAX {
            match fd::read(&self.tap, frame.bytes_mut()) {
                Ok((header, len)) if len >= ETHERNET_HEADER => match header.offload(len) {
                    Ok(offload) => {
                        frame.truncate(len);
                        frame.offload = offload;
                        frame.ingress = self.info.id;
                        return Some(frame);
                    }
                    Err(_) => self.stats.rx_errors += 1,
                },
                Ok(_) => self.stats.rx_errors += 1,
                Err(_) => break,
            }
        }
        self.pool.give_back(frame);
        None
    }
}

impl Port for TapPort {
    fn info(&self) -> &PortInfo {
        &self.info
    }

    fn owner(&self) -> BufferOwner {
        self.pool.owner()
    }

    fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        let before = burst.len();
        while burst.room() > 0 {
            let Some(frame) = self.receive() else { break };
            self.stats.rx_packets += 1;
            self.stats.rx_bytes += frame.len() as u64;
            burst.push(frame);
        }
        burst.len() - before
    }

    fn tx_burst(&mut self, frames: &mut Vec<Frame>, spent: &mut Vec<Frame>) -> usize {
        let mut taken = 0;
        for frame in frames.iter() {
            let header = VnetHdr::of(&frame.offload, frame.len());
            match fd::write(&self.tap, &header, frame.bytes()).map_err(|error| error.raw_os_error()) {
                Ok(()) => {
                    self.stats.tx_packets += 1;
                    self.stats.tx_bytes += frame.len() as u64;
                }
                Err(Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM | libc::EINTR)) => break,
                // `tun_get_user` says EIO of a device that is down, EBADFD of one
                // that has gone.
                Err(Some(libc::EIO | libc::EBADFD | libc::ENETDOWN)) => {
                    self.stats.link = Link::Down;
                    break;
                }
                // The frame cannot be sent, today or tomorrow.
                Err(_) => self.stats.tx_errors += 1,
            }
            taken += 1;
        }
        spent.extend(frames.drain(..taken));
        taken
    }

    fn recycle(&mut self, frame: Frame) {
        self.pool.give_back(frame);
    }

    fn poll_fds(&self, fds: &mut Vec<RawFd>) {
        fds.push(self.tap.as_raw_fd());
    }

    /// Also looks whether the device is up: call it now and then. `rx_missed`
    /// stays 0: the kernel drops what finds no room before it tells us.
    fn stats(&mut self) -> PortStats {
        // Moved into a guest's namespace, the device is out of sight and at work.
        self.stats.link = match self.device.link() {
            Link::Gone if fd::is_attached(&self.tap) => Link::Up,
            link => link,
        };
        self.stats
    }

    fn link(&self) -> Link {
        self.stats.link
    }

    fn reopen(&mut self) -> Result<(), OpenError> {
        (self.tap, self.device, self.info) = attach(&self.options)?;
        self.stats.link = self.device.link();
        Ok(())
    }
}

/// Makes the device, or attaches to it, and sets it up.
fn attach(options: &PortOptions) -> Result<(OwnedFd, Device, PortInfo), OpenError> {
    let failed = |step| move |source| describe(options, step, source);
    let tap = fd::open().map_err(failed("open /dev/net/tun"))?;
    fd::attach(&tap, &options.device, options.share.is_some()).map_err(failed("attach to the device"))?;
    let mode = fd::set_offloads(&tap).map_err(failed("pass offloads on"))?;
    let device = Device::for_port(options, TapPort::DRIVER)?;
    device.bring_up().map_err(failed("set the device up"))?;
    let info = PortInfo {
        id: options.id,
        name: options.name.clone(),
        device: options.device.clone(),
        driver: TapPort::DRIVER,
        mode: mode.into(),
        mac: options.mac.unwrap_or_else(|| local_mac(&options.device)),
        mtu: options.mtu.unwrap_or(device.mtu.min(u32::from(u16::MAX)) as u16),
    };
    Ok((tap, device, info))
}

/// Why the port could not be opened, and what would do.
fn describe(options: &PortOptions, step: &str, source: io::Error) -> OpenError {
    let hint = match source.raw_os_error() {
        Some(libc::EACCES) => "/dev/net/tun must be readable and writable for this user (mode 0666 is usual)",
        Some(libc::EPERM) => {
            "this needs CAP_NET_ADMIN: run as root, give it to the service (AmbientCapabilities=CAP_NET_ADMIN), or make \
             the device beforehand for this user (ip tuntap add mode tap user NAME)"
        }
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => {
            "the kernel module tun must be loaded (modprobe tun), and a container must be given /dev/net/tun"
        }
        Some(libc::EBUSY) => "another process holds the device: a TAP has one other end",
        Some(libc::EINVAL) => "a device of this name exists that is no TAP, or none can be called so",
        _ => "",
    };
    OpenError {
        port: options.name.clone(),
        driver: TapPort::DRIVER,
        device: options.device.clone(),
        what: format!("cannot {step}: {source}"),
        hint: hint.into(),
        source: Some(source),
    }
}

/// The largest super-frame, with two tags.
const FRAME_LEN: usize = 65_600;
const HEADROOM: usize = 128;
const ETHERNET_HEADER: usize = 14;

#[cfg(test)]
mod tests;
