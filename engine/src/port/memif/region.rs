//! The memory that both sides see: a memfd of ours, mapped here and by the server.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64};

/// Shared memory, zeroed at first. Whatever is read from it the other side may have written,
/// and may write again at any moment: words are read as atomics, and bytes are copied out
/// before anybody looks at them.
#[derive(Debug)]
pub(crate) struct Region {
    base: NonNull<u8>,
    len: usize,
    file: OwnedFd,
}

// SAFETY: the mapping is the region's own until it is dropped. All access goes through atomics
// and copies of raw bytes, which other threads may do as another process may.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// So many bytes, all of them backed by memory now.
    ///
    /// # Errors
    /// There is no memory, or there are no descriptors.
    pub(crate) fn new(len: usize) -> io::Result<Region> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name is a C string.
        let fd = unsafe { libc::memfd_create(c"causeway-memif".as_ptr(), flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and nobody else knows it.
        let file = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: a system call without pointers.
        check(unsafe { libc::ftruncate(fd, len as libc::off_t) })?;
        // Whoever has the descriptor could take the memory away under our feet: not so.
        let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
        // SAFETY: as above.
        check(unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, seals) })?;
        Region::map(file, len)
    }

    /// Maps memory that is as long at least, and stays so.
    fn map(file: OwnedFd, len: usize) -> io::Result<Region> {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
        // SAFETY: a new mapping of the whole file, wherever the kernel likes.
        let base = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, file.as_raw_fd(), 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).expect("the kernel maps nothing at 0");
        Ok(Region { base, len, file })
    }

    /// As the other side sees it.
    #[cfg(test)]
    pub(crate) fn of_client(file: OwnedFd, len: usize) -> Region {
        Region::map(file, len).expect("the client's memory")
    }

    /// To be handed to the other side.
    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Where so many bytes are.
    ///
    /// # Panics
    /// They are not inside: offsets are ours, never the other side's.
    #[inline(always)]
    fn at(&self, offset: usize, bytes: usize) -> NonNull<u8> {
        assert!(offset <= self.len && bytes <= self.len - offset, "an offset of ours lies in the region");
        // SAFETY: inside the mapping, as was just asserted.
        unsafe { self.base.add(offset) }
    }

    #[inline(always)]
    pub(crate) fn u16(&self, offset: usize) -> &AtomicU16 {
        debug_assert!(offset.is_multiple_of(2), "aligned");
        // SAFETY: inside the mapping, aligned (the mapping is to a page), and as long as `self`.
        unsafe { self.at(offset, 2).cast().as_ref() }
    }

    pub(crate) fn u32(&self, offset: usize) -> &AtomicU32 {
        debug_assert!(offset.is_multiple_of(4), "aligned");
        // SAFETY: as in `u16`.
        unsafe { self.at(offset, 4).cast().as_ref() }
    }

    #[inline(always)]
    pub(crate) fn u64(&self, offset: usize) -> &AtomicU64 {
        debug_assert!(offset.is_multiple_of(8), "aligned");
        // SAFETY: as in `u16`.
        unsafe { self.at(offset, 8).cast().as_ref() }
    }

    /// Copies bytes out, as they are at this moment.
    #[inline(always)]
    pub(crate) fn copy_out(&self, offset: usize, to: &mut [u8]) {
        let from = self.at(offset, to.len()).as_ptr();
        // SAFETY: inside the mapping, and not the same memory as `to`, which is borrowed alone.
        // The other side may write meanwhile: then some mixture arrives, which is as good as
        // anything else that it could have sent, and does not change any more.
        unsafe { ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) }
    }

    /// Copies bytes in.
    #[inline(always)]
    pub(crate) fn copy_in(&self, offset: usize, from: &[u8]) {
        let to = self.at(offset, from.len()).as_ptr();
        // SAFETY: as in `copy_out`; nobody here holds a reference to bytes of the region.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: mapped in `new` with this length; no reference outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_the_memory_away() {
        let region = Region::new(8192).expect("memory");
        for len in [0, 4096, 16_384] {
            // SAFETY: a system call without pointers.
            let result = unsafe { libc::ftruncate(region.file().as_raw_fd(), len) };
            assert_eq!(result, -1, "{len}");
        }
        region.copy_in(8190, b"ok");
        let mut bytes = [0; 2];
        region.copy_out(8190, &mut bytes);
        assert_eq!(&bytes, b"ok");
    }

    #[test]
    #[should_panic(expected = "lies in the region")]
    fn nothing_is_written_behind_its_end() {
        Region::new(4096).expect("memory").copy_in(4095, b"no");
    }
}
