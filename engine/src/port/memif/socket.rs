//! The control socket: whole messages, some of which bring a descriptor along.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use super::message::LEN;

/// A socket of messages (`SOCK_SEQPACKET`) on which nothing ever waits.
#[derive(Debug)]
pub(super) struct ControlSocket(OwnedFd);

impl ControlSocket {
    /// Connects to the socket of this name.
    ///
    /// # Errors
    /// Nobody listens there; `EINVAL` if nobody can.
    pub(super) fn connect(path: &Path) -> io::Result<ControlSocket> {
        let flags = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: a system call without pointers.
        let fd = unsafe { libc::socket(libc::AF_UNIX, flags, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and nobody else knows it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let address = address(path)?;
        // SAFETY: a whole address, whose length is given.
        let result = unsafe { libc::connect(fd, (&raw const address).cast(), mem::size_of_val(&address) as u32) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(ControlSocket(socket)) }
    }

    /// A connected one.
    #[cfg(test)]
    pub(super) fn of(socket: OwnedFd) -> ControlSocket {
        ControlSocket(socket)
    }

    /// Sends a message, with a descriptor if there is one.
    ///
    /// # Errors
    /// The other side has gone, or does not read.
    pub(super) fn send(&self, message: &[u8; LEN], attached: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let mut part = libc::iovec { iov_base: message.as_ptr().cast_mut().cast(), iov_len: LEN };
        // Words, so that a header in it is aligned.
        let mut control = [0u64; 4];
        // SAFETY: zeros are a valid header.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        if let Some(attached) = attached {
            const FD: u32 = mem::size_of::<libc::c_int>() as u32;
            header.msg_control = control.as_mut_ptr().cast();
            // SAFETY: computes a length.
            header.msg_controllen = unsafe { libc::CMSG_SPACE(FD) } as _;
            debug_assert!(header.msg_controllen as usize <= mem::size_of_val(&control));
            // SAFETY: the control buffer is aligned, zeroed, and long enough for this one header
            // and its descriptor, as asserted above.
            unsafe {
                let entry = libc::CMSG_FIRSTHDR(&raw const header);
                (*entry).cmsg_level = libc::SOL_SOCKET;
                (*entry).cmsg_type = libc::SCM_RIGHTS;
                (*entry).cmsg_len = libc::CMSG_LEN(FD) as _;
                ptr::write_unaligned(libc::CMSG_DATA(entry).cast(), attached.as_raw_fd());
            }
        }
        // SAFETY: header, part and control buffer live until the call returns, and it only reads.
        let sent = unsafe { libc::sendmsg(self.0.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// The next message, if one has come. Descriptors that came along are closed by the kernel,
    /// as there is no room given for them.
    ///
    /// # Errors
    /// `UnexpectedEof`: the other side has gone. `InvalidData`: that was no message.
    pub(super) fn receive(&self) -> io::Result<Option<[u8; LEN]>> {
        let mut message = [0; LEN];
        // `MSG_TRUNC`: the length is that of the message, whatever there was room for.
        // SAFETY: the bytes are valid for writing, and their number is given.
        let len = unsafe { libc::recv(self.0.as_raw_fd(), message.as_mut_ptr().cast(), LEN, libc::MSG_TRUNC) };
        match len {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ if len == LEN as isize => Ok(Some(message)),
            _ if len > 0 => Err(io::Error::new(io::ErrorKind::InvalidData, "a message of another length")),
            _ => match io::Error::last_os_error() {
                error if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
                error => Err(error),
            },
        }
    }
}

impl AsFd for ControlSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

pub(super) fn address(path: &Path) -> io::Result<libc::sockaddr_un> {
    // SAFETY: plain old data, for which zeros are a value.
    let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() || bytes.len() >= address.sun_path.len() || bytes.contains(&0) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    Ok(address)
}
