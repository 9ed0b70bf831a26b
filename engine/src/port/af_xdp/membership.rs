//! Keeps the NIC from filtering out what a router must see.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::port::device::Device;

/// The device receives all multicast, and all unicast if asked, while this lives.
///
/// XDP sees what the NIC lets through, and nobody joins the groups of the
/// gateway's addresses in the kernel: without this no IPv6 neighbour solicitation
/// would arrive.
#[derive(Debug)]
pub(super) struct Membership {
    _socket: OwnedFd,
}

impl Membership {
    /// Joins on a packet socket without protocol, which itself receives nothing.
    ///
    /// # Errors
    /// `EPERM` without `CAP_NET_RAW`.
    pub(super) fn join(device: &Device, promiscuous: bool) -> io::Result<Membership> {
        // SAFETY: no pointer is handed over.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just opened and nobody else knows it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let kind = if promiscuous { libc::PACKET_MR_PROMISC } else { libc::PACKET_MR_ALLMULTI };
        let request = libc::packet_mreq {
            mr_ifindex: device.index as libc::c_int,
            mr_type: kind as libc::c_ushort,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        // SAFETY: pointer and length are those of `request`.
        let answer = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_ADD_MEMBERSHIP,
                (&raw const request).cast(),
                size_of::<libc::packet_mreq>() as libc::socklen_t,
            )
        };
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(Membership { _socket: socket }) }
    }
}
