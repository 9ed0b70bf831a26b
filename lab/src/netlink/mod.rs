//! A small blocking rtnetlink client: what `ip link`, `ip address` and
//! `ip route` would do, one request and one acknowledgement at a time.

mod ethtool;
mod inet;
mod link;

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;

pub use ethtool::Offload;
pub use link::Mac;

use crate::error::{During, SetupError};
use crate::netns::{Namespace, check};

/// A conversation with the kernel about one namespace.
///
/// Bound to the namespace it was opened on, whichever thread uses it.
/// Interfaces are named, as with `ip`. Every method waits for the kernel's answer.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Opens a conversation about `namespace`.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn open(namespace: &Namespace) -> Result<Self, SetupError> {
        let socket = namespace.run(open_socket).during(|| "opening a netlink socket".into())?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends one request with `flags` beside `REQUEST | ACK`, waits for its answer.
    /// `step` names it in the error.
    fn request(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        step: impl FnOnce() -> String,
    ) -> Result<(), SetupError> {
        self.exchange(message, flags).during(step)
    }

    fn exchange(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        header.sequence_number = self.sequence;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);

        // SAFETY: pointer and length are those of `bytes`, alive across the call.
        let sent = unsafe { libc::send(self.socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        self.acknowledgement()
    }

    fn acknowledgement(&self) -> io::Result<()> {
        let mut bytes = [0; 8192];
        loop {
            // SAFETY: pointer and length are those of `bytes`.
            let length = unsafe { libc::recv(self.socket.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len(), 0) };
            let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
            let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&bytes[..length])
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            if answer.header.sequence_number != self.sequence {
                continue; // the late answer to a request that timed out
            }
            if let NetlinkPayload::Error(error) = answer.payload {
                return match error.code {
                    None => Ok(()),
                    Some(code) => Err(io::Error::from_raw_os_error(-code.get())),
                };
            }
        }
    }
}

fn open_socket() -> io::Result<OwnedFd> {
    // SAFETY: socket takes no pointer.
    let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE) };
    check(fd)?;
    // SAFETY: a descriptor just made, owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // The kernel answers at once; a limit keeps a surprise from becoming a hang.
    let limit = libc::timeval { tv_sec: 5, tv_usec: 0 };
    // SAFETY: the option's value is a timeval of the length given.
    check(unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_RCVTIMEO,
            (&raw const limit).cast(),
            size_of::<libc::timeval>() as libc::socklen_t,
        )
    })?;
    Ok(socket)
}
