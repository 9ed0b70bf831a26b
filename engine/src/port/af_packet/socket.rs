//! The packet socket: opening it, its options, its errors.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::super::device::Device;

/// A packet socket that takes no packet yet: the ring comes first, then [`bind`].
///
/// # Errors
/// `EPERM` without `CAP_NET_RAW`; `EAFNOSUPPORT` on a kernel without `CONFIG_PACKET`.
pub(super) fn open() -> io::Result<OwnedFd> {
    // Protocol 0: nothing is received before `bind`.
    // SAFETY: no memory is handed over.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened and nobody else knows it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let version = libc::tpacket_versions::TPACKET_V2 as libc::c_int;
    let on: libc::c_int = 1;
    set_option(&socket, libc::PACKET_VERSION, &version)?;
    set_option(&socket, libc::PACKET_VNET_HDR, &on)?;
    // What the host itself sends on the device is not ours to forward.
    set_option(&socket, libc::PACKET_IGNORE_OUTGOING, &on)?;
    // Queueing disciplines are for hosts; our queue is the device's.
    set_option(&socket, libc::PACKET_QDISC_BYPASS, &on)?;
    grow_send_buffer(&socket);
    Ok(socket)
}

/// Starts reception of everything that comes in on `device`.
///
/// All multicast is asked for, as neighbour solicitations go to groups that
/// nobody joined; `promiscuous` also what goes to other stations.
///
/// # Errors
/// `ENODEV` when the device has gone.
pub(super) fn bind(socket: &OwnedFd, device: &Device, promiscuous: bool) -> io::Result<()> {
    // SAFETY: plain old data, for which zeros are a value.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = device.index as i32;
    // SAFETY: the address is a whole `sockaddr_ll` and its length is told.
    let result = unsafe {
        let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len)
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let join = |kind: libc::c_int| {
        let request =
            libc::packet_mreq { mr_ifindex: device.index as i32, mr_type: kind as u16, mr_alen: 0, mr_address: [0; 8] };
        set_option(socket, libc::PACKET_ADD_MEMBERSHIP, &request)
    };
    join(libc::PACKET_MR_ALLMULTI)?;
    if promiscuous { join(libc::PACKET_MR_PROMISC) } else { Ok(()) }
}

/// Joins the group of sockets that share the device of this index, of which `group` knows the
/// last, or begins one and notes it there.
pub(super) fn join_fanout_of(socket: &OwnedFd, index: u32, group: &mut Option<(u32, u16)>) -> io::Result<()> {
    if let Some((of, number)) = *group
        && of == index
    {
        match join_fanout(socket, Some(number)) {
            // It stands on an earlier device of this index.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            joined => return joined.map(drop),
        }
    }
    *group = Some((index, join_fanout(socket, None)?));
    Ok(())
}

/// Joins other sockets that are bound to the device: each packet comes to one of them, all
/// of a flow to the same, and it makes no matter to which. Without a `group` it is the first,
/// and its number is one that nobody has (Linux 4.13).
///
/// # Errors
/// `EINVAL` when the group is of another device.
fn join_fanout(socket: &OwnedFd, group: Option<u16>) -> io::Result<u16> {
    let flags = if group.is_some() { 0 } else { libc::PACKET_FANOUT_FLAG_UNIQUEID };
    // The group receives, not the socket, and does not heed PACKET_IGNORE_OUTGOING.
    let flags = flags | libc::PACKET_FANOUT_FLAG_IGNORE_OUTGOING;
    let mode = (libc::PACKET_FANOUT_HASH | flags) << 16 | libc::c_uint::from(group.unwrap_or(0));
    set_option(socket, libc::PACKET_FANOUT, &mode)?;
    let mut answer: libc::c_uint = 0;
    get_option(socket, libc::SOL_PACKET, libc::PACKET_FANOUT, &mut answer)?;
    Ok(answer as u16)
}

/// Is it still bound to a device? One that has gone, if only to another namespace, lets go of
/// its sockets, and does not take them up again.
pub(super) fn is_bound(socket: &OwnedFd) -> bool {
    // SAFETY: plain old data, for which zeros are a value.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    let mut len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the address is a whole `sockaddr_ll`, valid for writing, and its length is told.
    let result = unsafe { libc::getsockname(socket.as_raw_fd(), (&raw mut address).cast(), &mut len) };
    result == 0 && address.sll_ifindex > 0
}

/// Frames dropped since the last call, for want of a free slot.
pub(super) fn take_drops(socket: &OwnedFd) -> u64 {
    let mut counts = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    match get_option(socket, libc::SOL_PACKET, libc::PACKET_STATISTICS, &mut counts) {
        Ok(()) => u64::from(counts.tp_drops),
        Err(_) => 0,
    }
}

/// Takes the pending error off the socket, where a device that went down leaves
/// one: `poll` would report it for ever.
pub(super) fn clear_error(socket: &OwnedFd) {
    let mut error: libc::c_int = 0;
    // Nothing to do about a failure, and none is possible on an open socket.
    let _ = get_option(socket, libc::SOL_SOCKET, libc::SO_ERROR, &mut error);
}

/// Sets an option at `SOL_PACKET`; `T` is the type that the option takes.
pub(super) fn set_option<T>(socket: &OwnedFd, name: libc::c_int, value: &T) -> io::Result<()> {
    set_option_at(socket, libc::SOL_PACKET, name, value)
}

/// Room for a whole burst of super-frames, where we may ask for it. Without
/// `CAP_NET_ADMIN` the system's limit holds (`net.core.wmem_max`), and bursts
/// are taken in smaller pieces.
fn grow_send_buffer(socket: &OwnedFd) {
    let bytes: libc::c_int = 64 * 128 * 1024;
    if set_option_at(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &bytes).is_err() {
        let _ = set_option_at(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, &bytes);
    }
}

fn set_option_at<T>(socket: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: pointer and length describe `value`, which the kernel only reads.
    let result = unsafe {
        let len = size_of::<T>() as libc::socklen_t;
        libc::setsockopt(socket.as_raw_fd(), level, name, (value as *const T).cast(), len)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `T` must be plain old data: the kernel fills it byte by byte.
fn get_option<T: Copy>(socket: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &mut T) -> io::Result<()> {
    let mut len = size_of::<T>() as libc::socklen_t;
    // SAFETY: pointer and length describe `value`; both types used here are
    // integers and structures of integers, for which any bytes are a value.
    let result = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (value as *mut T).cast(), &mut len) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
