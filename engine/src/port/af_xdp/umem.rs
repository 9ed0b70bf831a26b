//! The packet memory that all AF_XDP ports of a worker share.

use std::cell::{RefCell, RefMut};
use std::io;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::slice;

use causeway_fastpath::frame::{BufferOwner, Frame};

use super::ledger::{Account, Ledger};
use super::{HEADROOM, LARGEST_MTU, refused};
use crate::port::device::Device;
use crate::port::{OpenError, PortOptions};

/// Memory cut into chunks, one frame each; the kernel sees all of it.
///
/// Every port on it registers the same memory with the kernel for itself and has
/// rings of its own; which chunk is where stands in one ledger. That is why a
/// frame received by one port is sent by another from where it lies. (One
/// registration shared across devices with `XDP_SHARED_UMEM` would do too, but
/// forces the mode of the first device upon all: a zero-copy NIC and a veth
/// could not share.)
pub struct Umem {
    area: NonNull<u8>,
    chunk_size: u32,
    chunks: u32,
    owner: BufferOwner,
    ledger: RefCell<Ledger>,
}

impl Umem {
    /// Memory for the ports of one worker, whose frames travel under `owner`.
    ///
    /// Looks at each device: a chunk holds the largest MTU, and there are
    /// `ring` chunks for every receive queue, for the transmit ring, and for
    /// frames in the worker's hands, which is all that can be out at once.
    ///
    /// # Errors
    /// A device that does not exist, a ring or an MTU that does not fit, or no memory.
    pub fn for_ports(ports: &[PortOptions], owner: BufferOwner) -> Result<Rc<Umem>, OpenError> {
        let mut chunk_size = SMALL_CHUNK;
        let mut chunks = 0;
        for options in ports {
            let device = Device::for_port(options, super::DRIVER)?;
            let mtu = device.mtu.max(options.mtu.unwrap_or(0).into());
            check_ring(options)?;
            chunk_size = chunk_size.max(chunk_for(mtu).ok_or_else(|| mtu_too_large(options, mtu))?);
            chunks += u64::from(device.queues().rx + 2) * u64::from(options.ring);
        }
        let first = ports.first().expect("a worker asks for memory when it has an AF_XDP port");
        let bytes = chunks * u64::from(chunk_size);
        u32::try_from(chunks).map_err(io::Error::other).and_then(|chunks| Umem::new(chunk_size, chunks, owner)).map_err(
            |error| {
                let what = format!("no memory for {} MiB of packets: {error}", bytes >> 20);
                refused(first, what, "lower ring, or the number of queues (ethtool -L)", Some(error))
            },
        )
    }

    fn new(chunk_size: u32, chunks: u32, owner: BufferOwner) -> io::Result<Rc<Umem>> {
        let bytes = chunk_size as usize * chunks as usize;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let area = unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0)
        };
        if area == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // Fewer TLB misses where the kernel has huge pages to give; no matter if not.
        // SAFETY: advice about our own fresh mapping.
        unsafe { libc::madvise(area, bytes, libc::MADV_HUGEPAGE) };
        Ok(Rc::new(Umem {
            area: NonNull::new(area.cast()).expect("mmap without MAP_FIXED never answers 0"),
            chunk_size,
            chunks,
            owner,
            ledger: RefCell::new(Ledger::new(chunks)),
        }))
    }

    /// Under which name its frames travel.
    pub fn owner(&self) -> BufferOwner {
        self.owner
    }

    /// Where its chunks are now.
    pub fn account(&self) -> Account {
        self.ledger.borrow().account()
    }

    /// Takes back a frame of this memory, whichever port lent it.
    ///
    /// # Panics
    /// The frame has another owner, or came back before: a bug in the caller.
    #[inline]
    pub fn recycle(&self, frame: Frame) {
        assert!(frame.owner() == self.owner, "a frame goes back to its owner");
        self.ledger.borrow_mut().lent_to_free(self.chunk_of(frame.token()));
    }

    /// Do its chunks hold frames of this MTU?
    pub(super) fn holds(&self, mtu: u32) -> bool {
        chunk_for(mtu).is_some_and(|chunk| chunk <= self.chunk_size)
    }

    /// What the kernel has to know to register the memory.
    pub(super) fn registration(&self) -> libc::xdp_umem_reg {
        libc::xdp_umem_reg {
            addr: self.area.as_ptr() as u64,
            len: u64::from(self.chunk_size) * u64::from(self.chunks),
            chunk_size: self.chunk_size,
            headroom: 0,
            flags: 0,
            tx_metadata_len: 0,
        }
    }

    /// The ledger, for the length of one burst.
    #[inline]
    pub(super) fn ledger(&self) -> RefMut<'_, Ledger> {
        self.ledger.borrow_mut()
    }

    /// The chunk that a UMEM address lies in.
    #[inline(always)]
    pub(super) fn chunk_of(&self, address: u64) -> u32 {
        (address / u64::from(self.chunk_size)) as u32
    }

    /// The UMEM address of a chunk's first byte.
    #[inline(always)]
    pub(super) fn base_of(&self, chunk: u32) -> u64 {
        u64::from(chunk) * u64::from(self.chunk_size)
    }

    /// The frame of `len` bytes at `address`.
    ///
    /// # Safety
    /// The ledger says that the chunk is lent out, and no other frame of it lives.
    #[inline]
    pub(super) unsafe fn frame(&self, address: u64, len: u32) -> Frame {
        let base = address & !u64::from(self.chunk_size - 1);
        // SAFETY: the ledger knows the chunk, so it lies in the area; the caller
        // vouches that it is nobody else's.
        unsafe {
            let buffer = self.area.add(base as usize);
            Frame::from_raw(buffer, self.chunk_size, (address - base) as u32, len, self.owner, base)
        }
    }

    /// The bytes of a chunk, from where a packet that is copied in starts.
    ///
    /// # Safety
    /// The ledger says that the chunk is in our rings, and its descriptor is not
    /// yet written, so that neither the kernel nor a frame has it.
    #[inline]
    #[allow(clippy::mut_from_ref)] // exclusive by the caller's promise, as with `UnsafeCell`
    pub(super) unsafe fn copy_room(&self, chunk: u32) -> &mut [u8] {
        debug_assert!(chunk < self.chunks);
        // SAFETY: the chunk lies in the area and is the caller's alone.
        unsafe {
            let start = self.area.add(self.base_of(chunk) as usize + HEADROOM as usize);
            slice::from_raw_parts_mut(start.as_ptr(), (self.chunk_size - HEADROOM) as usize)
        }
    }
}

impl Drop for Umem {
    fn drop(&mut self) {
        let bytes = self.chunk_size as usize * self.chunks as usize;
        // SAFETY: our own mapping; ports hold an `Rc` on it, and frames are handed
        // back before the ports go (contract of `Port`). The kernel keeps the
        // pages themselves for as long as it needs them.
        unsafe { libc::munmap(self.area.as_ptr().cast(), bytes) };
    }
}

/// The smallest chunk that takes frames of this MTU, with the VLAN tag and the
/// headroom that the kernel puts in front; `None` if there is none.
fn chunk_for(mtu: u32) -> Option<u32> {
    match mtu {
        _ if mtu + LINK_HEADER + HEADROOM <= SMALL_CHUNK => Some(SMALL_CHUNK),
        _ if mtu <= LARGEST_MTU => Some(LARGE_CHUNK),
        _ => None,
    }
}

fn check_ring(options: &PortOptions) -> Result<(), OpenError> {
    if options.ring.is_power_of_two() && (SMALLEST_RING..=LARGEST_RING).contains(&options.ring) {
        return Ok(());
    }
    let what = format!("ring = {}: not a size that AF_XDP rings can have", options.ring);
    let hint = format!("a power of two from {SMALLEST_RING} to {LARGEST_RING} would do");
    Err(refused(options, what, &hint, None))
}

fn mtu_too_large(options: &PortOptions, mtu: u32) -> OpenError {
    let what = format!("MTU {mtu} does not fit one AF_XDP buffer, which holds {LARGEST_MTU} bytes");
    let hint = format!(
        "lower it (ip link set {} mtu {LARGEST_MTU}) or use driver = \"af-packet\", which carries any size",
        options.device
    );
    refused(options, what, &hint, None)
}

/// Without `XDP_UMEM_UNALIGNED_CHUNK_FLAG` a chunk is a power of two from 2048
/// to a page (Linux `xdp_umem_reg`).
const SMALL_CHUNK: u32 = 2048;
const LARGE_CHUNK: u32 = 4096;
/// Ethernet header and one VLAN tag.
const LINK_HEADER: u32 = 14 + 4;
/// `XDP_MAX_TX_SKB_BUDGET` cannot be smaller than 32, and it is set to a ring.
const SMALLEST_RING: u32 = 64;
const LARGEST_RING: u32 = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_holds_the_mtu_with_room_in_front() {
        let table = [(1500, Some(2048)), (1774, Some(2048)), (1775, Some(4096)), (3506, Some(4096)), (3507, None)];
        for (mtu, chunk) in table {
            assert_eq!(chunk_for(mtu), chunk, "MTU {mtu}");
        }
    }

    #[test]
    fn memory_for_lo_counts_one_queue_a_transmit_ring_and_what_is_in_hand() {
        let options = PortOptions {
            id: causeway_fastpath::ids::PortId(0),
            name: "loop".into(),
            device: "lo".into(),
            ring: 128,
            mtu: None,
            mac: None,
            memif_id: 0,
            share: None,
        };
        let error = Umem::for_ports(slice::from_ref(&options), BufferOwner(7)).err().expect("lo has an MTU of 65536");
        assert!(error.to_string().contains("MTU 65536 does not fit"), "{error}");
        let error = Umem::for_ports(&[PortOptions { ring: 100, ..options }], BufferOwner(7)).err();
        assert!(error.expect("100 is no power of two").to_string().contains("ring = 100"));
        let umem = Umem::new(2048, 384, BufferOwner(7)).expect("little memory");
        assert_eq!(umem.account(), Account { total: 384, free: 384, in_rings: 0, lent: 0 });
    }
}
