//! One AF_XDP socket: the receive side of one queue, and the transmit side of a port.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::thread;
use std::time::Duration;

use super::ledger::{Holder, Ledger};
use super::ring::{Consumer, Producer};
use super::umem::Umem;

/// The socket of one receive queue, with its fill and receive rings.
pub(super) struct Socket {
    fd: OwnedFd,
    pub(super) holder: Holder,
    fill: Producer<u64>,
    received: Consumer<libc::xdp_desc>,
    ring: u32,
    /// Chunks handed to the kernel that have not come back as packets.
    filled: u32,
}

/// The transmit and completion rings of the socket that a port sends by.
pub(super) struct Sender {
    pub(super) queue: Producer<libc::xdp_desc>,
    completed: Consumer<u64>,
    ring: u32,
    /// Chunks queued or with the kernel. At most `ring`, so the completion ring
    /// never overflows.
    outstanding: u32,
}

/// At which step opening failed, and what the system said.
pub(super) struct Failed {
    pub(super) step: Step,
    pub(super) error: io::Error,
}

/// The steps of opening a socket that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// `socket(AF_XDP)`
    Socket,
    /// `XDP_UMEM_REG`
    Register,
    /// Sizes and mappings of the rings.
    Rings,
    /// `bind`
    Bind,
}

impl Step {
    fn failed(self, error: io::Error) -> Failed {
        Failed { step: self, error }
    }
}

impl Socket {
    /// Opens the first socket of a device, bound to queue 0: the one that
    /// registers the memory and sends.
    ///
    /// The kernel takes zero-copy where the driver has it, copy mode elsewhere.
    pub(super) fn first(
        umem: &Umem,
        ifindex: u32,
        queue: u32,
        ring: u32,
        holder: Holder,
    ) -> Result<(Socket, Sender), Failed> {
        let fd = open().map_err(|error| Step::Socket.failed(error))?;
        set(fd.as_fd(), libc::XDP_UMEM_REG, &umem.registration()).map_err(|error| Step::Register.failed(error))?;
        let (mut socket, sender) = Socket::with_rings(fd, ring, holder).map_err(|error| Step::Rings.failed(error))?;
        enlarge_send_buffer(socket.as_fd());
        socket.refill(umem, &mut umem.ledger());
        bind(socket.as_fd(), ifindex, queue, libc::XDP_USE_NEED_WAKEUP, 0).map_err(|error| Step::Bind.failed(error))?;
        Ok((socket, sender))
    }

    fn with_rings(fd: OwnedFd, ring: u32, holder: Holder) -> io::Result<(Socket, Sender)> {
        set(fd.as_fd(), libc::XDP_TX_RING, &ring)?;
        // Linux 6.17; older ones stop after 32 frames, and `Sender::kick` goes on.
        let _ = set(fd.as_fd(), XDP_MAX_TX_SKB_BUDGET, &ring);
        let (offsets, fill, received) = receive_rings(fd.as_fd(), ring, ring)?;
        // SAFETY: a transmit ring of descriptors and a completion ring of
        // addresses, both `ring` long, were set on this socket above; nobody
        // else has mapped them.
        let (queue, completed) = unsafe {
            let transmit = libc::XDP_PGOFF_TX_RING as u64;
            let completion = libc::XDP_UMEM_PGOFF_COMPLETION_RING;
            (
                Producer::map(fd.as_fd(), transmit, &offsets.tx, ring)?,
                Consumer::map(fd.as_fd(), completion, &offsets.cr, ring)?,
            )
        };
        let socket = Socket { fd, holder, fill, received, ring, filled: 0 };
        Ok((socket, Sender { queue, completed, ring, outstanding: 0 }))
    }

    /// Opens the socket of another queue of the device that `first` is bound to.
    pub(super) fn another(
        umem: &Umem,
        first: &Socket,
        ifindex: u32,
        queue: u32,
        holder: Holder,
    ) -> Result<Socket, Failed> {
        let fd = open().map_err(|error| Step::Socket.failed(error))?;
        let ring = first.ring;
        // The kernel wants a completion ring, though nothing is sent here.
        let (_, fill, received) = receive_rings(fd.as_fd(), ring, 2).map_err(|error| Step::Rings.failed(error))?;
        let mut socket = Socket { fd, holder, fill, received, ring, filled: 0 };
        socket.refill(umem, &mut umem.ledger());
        bind(socket.fd.as_fd(), ifindex, queue, libc::XDP_SHARED_UMEM, first.fd.as_raw_fd() as u32)
            .map_err(|error| Step::Bind.failed(error))?;
        Ok(socket)
    }

    /// Takes the next packet off the queue: UMEM address and length.
    #[inline]
    pub(super) fn receive(&mut self) -> Option<(u64, u32)> {
        let descriptor = self.received.read()?;
        self.filled -= 1;
        Some((descriptor.addr, descriptor.len))
    }

    /// Ends a burst: gives the kernel its slots back and new chunks to fill.
    #[inline]
    pub(super) fn end_burst(&mut self, received: usize, umem: &Umem, ledger: &mut Ledger) {
        if received > 0 {
            self.received.release();
        } else if self.fill.needs_wakeup() {
            self.wake();
        }
        // A few at a time: each publish costs a cache line that the kernel reads.
        if self.ring - self.filled >= REFILL_BATCH {
            self.refill(umem, ledger);
        }
    }

    /// Is the queue served without copying?
    pub(super) fn is_zero_copy(&self) -> io::Result<bool> {
        let options: libc::xdp_options = get(self.fd.as_fd(), libc::XDP_OPTIONS, libc::xdp_options { flags: 0 })?;
        Ok(options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0)
    }

    /// What the kernel counted on this queue.
    pub(super) fn statistics(&self) -> io::Result<libc::xdp_statistics> {
        let zero = libc::xdp_statistics {
            rx_dropped: 0,
            rx_invalid_descs: 0,
            tx_invalid_descs: 0,
            rx_ring_full: 0,
            rx_fill_ring_empty_descs: 0,
            tx_ring_empty_descs: 0,
        };
        get(self.fd.as_fd(), libc::XDP_STATISTICS, zero)
    }

    /// Has the device gone that it was bound to? Said once.
    pub(super) fn has_lost_device(&self) -> bool {
        let mut error: libc::c_int = 0;
        let mut length = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: pointer and length are those of `error`.
        let answer = unsafe {
            let value = (&raw mut error).cast();
            libc::getsockopt(self.fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ERROR, value, &mut length)
        };
        // `xsk_notifier` says so of a device that is unregistered, and of nothing else.
        answer == 0 && error == libc::ENETDOWN
    }

    fn refill(&mut self, umem: &Umem, ledger: &mut Ledger) {
        let wanted = self.ring - self.filled;
        let room = self.fill.room(wanted).min(wanted);
        for _ in 0..room {
            let Some(chunk) = ledger.free_to_rings(self.holder) else { break };
            self.fill.write(umem.base_of(chunk));
            self.filled += 1;
        }
        self.fill.publish();
    }

    /// Tells a sleeping driver that there are chunks to fill.
    fn wake(&self) {
        // SAFETY: no buffer is handed over. Whatever the answer, the next turn
        // finds out by itself.
        unsafe {
            libc::recvfrom(
                self.fd.as_raw_fd(),
                ptr::null_mut(),
                0,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Sender {
    /// How many frames can be queued now; asks the kernel only if fewer than `wanted`.
    pub(super) fn room(&mut self, wanted: u32) -> u32 {
        self.queue.room(wanted).min(self.ring - self.outstanding)
    }

    /// The longest queue there can be.
    pub(super) fn capacity(&self) -> u32 {
        self.ring
    }

    /// Queues a frame; there must be [`Sender::room`].
    #[inline]
    pub(super) fn send(&mut self, address: u64, len: u32) {
        self.queue.write(libc::xdp_desc { addr: address, len, options: 0 });
        self.outstanding += 1;
    }

    /// Takes back the chunks of what was sent.
    #[inline]
    pub(super) fn reap(&mut self, holder: Holder, umem: &Umem) {
        if self.outstanding == 0 {
            return;
        }
        let mut ledger = umem.ledger();
        let before = self.outstanding;
        while let Some(address) = self.completed.read() {
            ledger.rings_to_free(umem.chunk_of(address), holder);
            self.outstanding -= 1;
        }
        if self.outstanding != before {
            self.completed.release();
        }
    }

    /// Has the kernel send what is queued; says how many frames it could not send.
    ///
    /// In copy mode one call sends 32 frames (the budget on older kernels) or up
    /// to the first that the device refuses, so it takes several; their number
    /// is bounded by what is queued. What stays queued goes with the next kick.
    pub(super) fn kick(&self, socket: &Socket) -> u64 {
        let mut refused = 0;
        if self.outstanding == 0 || !self.queue.needs_wakeup() {
            return refused;
        }
        let calls = self.queue.pending().div_ceil(COPY_MODE_BUDGET);
        for _ in 0..calls {
            // SAFETY: no buffer is handed over; the descriptors are in the ring.
            let answer =
                unsafe { libc::sendto(socket.fd.as_raw_fd(), ptr::null(), 0, libc::MSG_DONTWAIT, ptr::null(), 0) };
            if answer >= 0 {
                break;
            }
            match io::Error::last_os_error().raw_os_error() {
                // The budget is used up, or the device is busy: go on.
                Some(libc::EAGAIN | libc::EINTR) => {}
                // One frame was refused by the device and is lost; go on with the next.
                Some(libc::EBUSY) => refused += 1,
                // No buffers just now, or the device is down or gone: next turn.
                _ => break,
            }
        }
        refused
    }
}

/// Asks the kernel for fill, receive and completion rings, maps the first two.
fn receive_rings(
    fd: BorrowedFd<'_>,
    ring: u32,
    completion: u32,
) -> io::Result<(libc::xdp_mmap_offsets, Producer<u64>, Consumer<libc::xdp_desc>)> {
    set(fd, libc::XDP_UMEM_FILL_RING, &ring)?;
    set(fd, libc::XDP_UMEM_COMPLETION_RING, &completion)?;
    set(fd, libc::XDP_RX_RING, &ring)?;
    let offset = || libc::xdp_ring_offset { producer: 0, consumer: 0, desc: 0, flags: 0 };
    let zero = libc::xdp_mmap_offsets { rx: offset(), tx: offset(), fr: offset(), cr: offset() };
    let offsets = get(fd, libc::XDP_MMAP_OFFSETS, zero)?;
    // SAFETY: a fill ring of addresses and a receive ring of descriptors, both
    // `ring` long, were set on this socket just now.
    unsafe {
        let fill = Producer::map(fd, libc::XDP_UMEM_PGOFF_FILL_RING, &offsets.fr, ring)?;
        let received = Consumer::map(fd, libc::XDP_PGOFF_RX_RING as u64, &offsets.rx, ring)?;
        Ok((offsets, fill, received))
    }
}

/// Does the kernel give us an AF_XDP socket at all?
///
/// # Errors
/// `EPERM` without `CAP_NET_RAW`, `EAFNOSUPPORT` from a kernel without AF_XDP.
pub(super) fn supported() -> io::Result<()> {
    open().map(drop)
}

fn open() -> io::Result<OwnedFd> {
    // SAFETY: no pointer is handed over.
    let fd = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Binds to a queue. A queue whose last socket was just closed stays busy until
/// the kernel's deferred work has cleaned up, so busy counts only if it lasts.
fn bind(fd: BorrowedFd<'_>, ifindex: u32, queue: u32, flags: u16, shared: u32) -> io::Result<()> {
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: flags,
        sxdp_ifindex: ifindex,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: shared,
    };
    let mut patience = BIND_RETRIES;
    loop {
        // SAFETY: pointer and length are those of `address`.
        let answer = unsafe {
            let length = size_of::<libc::sockaddr_xdp>() as libc::socklen_t;
            libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length)
        };
        if answer == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EBUSY) || patience == 0 {
            return Err(error);
        }
        patience -= 1;
        thread::sleep(BIND_PAUSE);
    }
}

/// Copy mode charges each frame to the socket until the NIC has sent it; the
/// default allows about 80. Without `CAP_NET_ADMIN` the default has to do.
fn enlarge_send_buffer(fd: BorrowedFd<'_>) {
    let _ = set_at(fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &SEND_BUFFER);
}

fn set<T>(fd: BorrowedFd<'_>, option: libc::c_int, value: &T) -> io::Result<()> {
    set_at(fd, libc::SOL_XDP, option, value)
}

fn set_at<T>(fd: BorrowedFd<'_>, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: pointer and length are those of `value`.
    let answer = unsafe {
        let length = size_of::<T>() as libc::socklen_t;
        libc::setsockopt(fd.as_raw_fd(), level, option, (value as *const T).cast(), length)
    };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// An option of the socket. `value` is what an older kernel leaves unwritten; `T`
/// is one of the plain structs of `linux/if_xdp.h`.
fn get<T>(fd: BorrowedFd<'_>, option: libc::c_int, mut value: T) -> io::Result<T> {
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: pointer and length are those of `value`, whose fields are integers.
    let answer =
        unsafe { libc::getsockopt(fd.as_raw_fd(), libc::SOL_XDP, option, (&raw mut value).cast(), &mut length) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

const REFILL_BATCH: u32 = 32;
/// `TX_BATCH_SIZE` of `net/xdp/xsk.c`.
const COPY_MODE_BUDGET: u32 = 32;
/// Not in `libc` yet; `linux/if_xdp.h` since 6.17.
const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;
const SEND_BUFFER: libc::c_int = 16 << 20;
const BIND_RETRIES: u32 = 25;
const BIND_PAUSE: Duration = Duration::from_millis(20);
