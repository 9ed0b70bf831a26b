//! Waking a thread that sleeps in `poll(2)`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// A doorbell: an eventfd that whoever sleeps polls, and whoever has something
/// for him rings.
#[derive(Debug)]
pub struct Doorbell(OwnedFd);

impl Doorbell {
    /// A silent one.
    ///
    /// # Errors
    /// The process has no descriptors left.
    pub fn new() -> io::Result<Doorbell> {
        // SAFETY: a system call without pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made this descriptor for us.
        Ok(Doorbell(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Wakes whoever polls. A doorbell that rings already goes on ringing.
    pub fn ring(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight valid bytes. The one error there can be, an overflow after
        // 2^64 rings, leaves it ringing, which is all that is wanted.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Silences it.
    pub fn silence(&self) {
        let mut count = [0u8; 8];
        // SAFETY: eight bytes valid for writing. An error means that it was silent.
        unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }

    /// To be handed to another process.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// For `poll(2)`.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Sleeps until one of the descriptors is readable, or `patience` has passed.
///
/// Rounded up to whole milliseconds. Returns early on a signal.
pub fn sleep(fds: &mut [libc::pollfd], patience: Duration) {
    let patience = patience.as_micros().div_ceil(1000).min(60_000) as i32;
    // SAFETY: the slice is valid for reading and writing, and its length is given.
    unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, patience) };
}

/// After [`sleep`]: was it ended by descriptors that only ever report an error (a
/// device that has gone), so that sleeping again would not last either?
pub fn only_errors(fds: &[libc::pollfd]) -> bool {
    fds.iter().any(|fd| fd.revents != 0) && fds.iter().all(|fd| fd.revents & libc::POLLIN == 0)
}

/// What to hand to [`sleep`].
pub fn readable(fd: RawFd) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn only_what_brings_nothing_is_an_error_alone() {
        let (here, there) = UnixStream::pair().expect("a pair");
        let (hung_up, other) = io::pipe().expect("a pipe");
        drop(other);
        let mut fds = [readable(here.as_raw_fd()), readable(hung_up.as_raw_fd())];
        assert!(!only_errors(&fds));
        sleep(&mut fds, Duration::ZERO);
        assert!(only_errors(&fds), "a pipe without a writer");
        (&there).write_all(b"x").expect("there is room");
        sleep(&mut fds, Duration::ZERO);
        assert!(!only_errors(&fds), "something has arrived beside it");
    }
}
