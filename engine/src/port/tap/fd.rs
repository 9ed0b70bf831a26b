//! The descriptor of a TAP device (Linux `Documentation/networking/tuntap.rst`).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::super::device;
use super::super::vnet_hdr::VnetHdr;

/// Opens the door to TAP devices; which one, [`attach`] says.
pub(super) fn open() -> io::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_CLOEXEC | libc::O_NONBLOCK;
    // SAFETY: the path is a C string.
    let fd = unsafe { libc::open(c"/dev/net/tun".as_ptr(), flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes the TAP device `name`, or attaches to it, with a virtio header before
/// each frame. With several `queues`, each descriptor that is attached is one of them.
pub(super) fn attach(tap: &OwnedFd, name: &str, queues: bool) -> io::Result<()> {
    let mut request = device::request(name)?;
    let multi_queue = if queues { libc::IFF_MULTI_QUEUE } else { 0 };
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR | multi_queue;
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: TUNSETIFF takes an `ifreq`.
    check(unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    let header_len = VnetHdr::LEN as libc::c_int;
    // SAFETY: TUNSETVNETHDRSZ reads an int.
    check(unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const header_len) })
}

/// Tells the kernel that we take partial checksums and super-frames; says which,
/// for people.
pub(super) fn set_offloads(tap: &OwnedFd) -> io::Result<&'static str> {
    let tcp = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
    let set = |offloads: libc::c_uint| {
        // SAFETY: TUNSETOFFLOAD takes its argument by value.
        check(unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(offloads)) })
    };
    // UDP segments since Linux 6.2.
    if set(tcp | libc::TUN_F_USO4 | libc::TUN_F_USO6).is_ok() {
        return Ok("checksum, TCP and UDP segmentation passed on");
    }
    set(tcp)?;
    Ok("checksum and TCP segmentation passed on")
}

/// Is there still a device behind the descriptor, in whatever namespace?
pub(super) fn is_attached(tap: &OwnedFd) -> bool {
    // SAFETY: an all-zero `ifreq` is one; TUNGETIFF writes to it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // SAFETY: TUNGETIFF takes an `ifreq`, which is valid for writing.
    check(unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNGETIFF, &raw mut request) }).is_ok()
}

/// Reads one frame into `frame`; says how long it is.
pub(super) fn read(tap: &OwnedFd, frame: &mut [u8]) -> io::Result<(VnetHdr, usize)> {
    let mut header = [0u8; VnetHdr::LEN];
    let vectors = [
        libc::iovec { iov_base: header.as_mut_ptr().cast(), iov_len: header.len() },
        libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: frame.len() },
    ];
    // SAFETY: both vectors describe memory that is ours alone during the call.
    let count = unsafe { libc::readv(tap.as_raw_fd(), vectors.as_ptr(), 2) };
    if count < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((VnetHdr::from_bytes(header), (count as usize).saturating_sub(VnetHdr::LEN)))
}

/// Writes one frame.
pub(super) fn write(tap: &OwnedFd, header: &VnetHdr, frame: &[u8]) -> io::Result<()> {
    let vectors = [
        libc::iovec { iov_base: (&raw const *header).cast_mut().cast(), iov_len: VnetHdr::LEN },
        libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() },
    ];
    // SAFETY: both vectors describe memory that outlives the call, which only
    // reads it.
    let count = unsafe { libc::writev(tap.as_raw_fd(), vectors.as_ptr(), 2) };
    if count < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
