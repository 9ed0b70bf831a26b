//! The receive ring: slots that the kernel fills and we lend out one by one.
//!
//! Layout and hand-over are those of `Documentation/networking/packet_mmap.rst`,
//! TPACKET_V2. A slot belongs to the kernel while its status word is
//! `TP_STATUS_KERNEL`, and to us from the moment it has `TP_STATUS_USER` until we
//! write `TP_STATUS_KERNEL` again.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::vnet_hdr::VnetHdr;
use super::socket::set_option;

/// The receive ring of one socket.
///
/// Slots come in order and may go back in any order. The kernel fills them in
/// order too: a slot that does not come back stops reception once the kernel has
/// come round to it.
pub(super) struct RxRing {
    map: Map,
    slots: usize,
    next: usize,
    /// Which slots are out as frames: their status word alone does not tell
    /// them from slots that were filled anew.
    lent: Vec<bool>,
}

/// A filled slot.
pub(super) struct Filled {
    /// Which one; [`RxRing::give_back`] wants it again.
    pub(super) slot: usize,
    /// Its first byte that is ours to write to.
    pub(super) buffer: NonNull<u8>,
    /// Bytes from `buffer` to the end of the slot.
    pub(super) capacity: u32,
    /// Bytes from `buffer` to the frame.
    pub(super) start: u32,
    /// Bytes of the frame that are there.
    pub(super) len: u32,
    /// Bytes the frame had, before it was cut to the slot.
    pub(super) wire_len: u32,
    /// What the sender left undone.
    pub(super) vnet_hdr: VnetHdr,
    /// The VLAN tag that the kernel took out: TPID and TCI.
    pub(super) vlan: Option<(u16, u16)>,
}

impl RxRing {
    /// Sets up a ring of at least `slots` slots and maps it.
    ///
    /// # Errors
    /// `ENOMEM` when there is no memory for it; `EPERM` and `EAGAIN` at a limit.
    pub(super) fn new(socket: &OwnedFd, slots: usize) -> io::Result<RxRing> {
        let blocks = slots.div_ceil(SLOTS_A_BLOCK);
        let slots = blocks * SLOTS_A_BLOCK;
        let reserve = RESERVE as libc::c_uint;
        set_option(socket, libc::PACKET_RESERVE, &reserve)?;
        let request = libc::tpacket_req {
            tp_block_size: BLOCK as u32,
            tp_block_nr: blocks as u32,
            tp_frame_size: SLOT as u32,
            tp_frame_nr: slots as u32,
        };
        set_option(socket, libc::PACKET_RX_RING, &request)?;
        let map = Map::new(socket, blocks * BLOCK)?;
        Ok(RxRing { map, slots, next: 0, lent: vec![false; slots] })
    }

    /// How many slots it has.
    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// The next slot, if the kernel has filled it; it is lent from now on.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Filled> {
        let slot = self.next;
        if self.lent[slot] {
            return None;
        }
        let base = self.base(slot);
        // Acquire: what the kernel wrote before the status is seen after it.
        let status = self.status(slot).load(Ordering::Acquire);
        if status & libc::TP_STATUS_USER == 0 {
            return None;
        }
        self.lent[slot] = true;
        self.next = if slot + 1 == self.slots { 0 } else { slot + 1 };
        // SAFETY: the slot is ours by its status word and by `lent`, starts with
        // this header, and is aligned to 64 bytes. Kept by the kernel.
        let header = unsafe { base.cast::<libc::tpacket2_hdr>().read() };
        let frame_at = usize::from(header.tp_mac);
        let len = header.tp_snaplen as usize;
        assert!(
            frame_at >= HEADER + VnetHdr::LEN && frame_at + len <= SLOT,
            "the kernel keeps a frame inside its slot"
        );
        // SAFETY: the ten bytes before the frame lie inside the slot (asserted
        // above); the kernel put the header there, as `PACKET_VNET_HDR` is on.
        let vnet_hdr = unsafe { base.add(frame_at - VnetHdr::LEN).cast::<[u8; VnetHdr::LEN]>().read() };
        let vlan = (status & libc::TP_STATUS_VLAN_VALID != 0).then(|| {
            let with_tpid = status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
            (if with_tpid { header.tp_vlan_tpid } else { TPID_VLAN }, header.tp_vlan_tci)
        });
        Some(Filled {
            slot,
            // SAFETY: `HEADER` is less than the slot's length.
            buffer: unsafe { base.add(HEADER) },
            capacity: (SLOT - HEADER) as u32,
            start: (frame_at - HEADER) as u32,
            len: header.tp_snaplen,
            wire_len: header.tp_len,
            vnet_hdr: VnetHdr::from_bytes(vnet_hdr),
            vlan,
        })
    }

    /// Hands a slot back to the kernel.
    ///
    /// # Panics
    /// The slot is not lent: a frame was handed back twice.
    #[inline]
    pub(super) fn give_back(&mut self, slot: usize) {
        assert!(self.lent[slot], "a slot is handed back once");
        self.lent[slot] = false;
        // Release: our reads and writes of the slot are over before the kernel
        // sees that it may write.
        self.status(slot).store(libc::TP_STATUS_KERNEL, Ordering::Release);
    }

    /// Is no slot lent out?
    pub(super) fn is_whole(&self) -> bool {
        !self.lent.contains(&true)
    }

    #[inline]
    fn base(&self, slot: usize) -> NonNull<u8> {
        let offset = slot / SLOTS_A_BLOCK * BLOCK + slot % SLOTS_A_BLOCK * SLOT;
        debug_assert!(slot < self.slots);
        // SAFETY: `slot` indexed `lent` before, so it is below `slots`, and all
        // slots lie inside the map (`new` sized it).
        unsafe { self.map.start.add(offset) }
    }

    #[inline]
    fn status(&self, slot: usize) -> &AtomicU32 {
        // SAFETY: each slot starts with the status word, aligned; the kernel and
        // we access it atomically only, apart from the copy in `take`, made while
        // it is ours. The map lives as long as `self`.
        unsafe { self.base(slot).cast::<AtomicU32>().as_ref() }
    }
}

/// Memory shared with the kernel, unmapped on drop.
struct Map {
    start: NonNull<u8>,
    len: usize,
}

impl Map {
    fn new(socket: &OwnedFd, len: usize) -> io::Result<Map> {
        // SAFETY: a fresh mapping at an address that the kernel picks touches no
        // memory of ours.
        let start = unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(std::ptr::null_mut(), len, protection, libc::MAP_SHARED, socket.as_raw_fd(), 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Map { start: NonNull::new(start.cast()).expect("mmap picks no null address"), len })
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the range is exactly what `new` mapped. No frame outlives the
        // port that lent it (contract of `Port`), so nothing points into it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// A slot holds the largest super-frame (64 KiB of IP, two tags) with room
/// before it. An odd number of cache lines, so that the headers of
/// neighbouring slots do not fall on the same lines of the cache.
pub(super) const SLOT: usize = 65_536 + 19 * 64;
/// Slots do not cross blocks, and the kernel takes memory by the block.
const BLOCK: usize = 1 << 20;
const SLOTS_A_BLOCK: usize = BLOCK / SLOT;
/// What of a slot we never lend: the cache line of the kernel's header.
const HEADER: usize = 64;
/// Puts the frame at byte 256 of its slot: the kernel leaves 76 bytes by itself
/// (`tpacket_rcv`: header, address, virtio header, Ethernet), and its headers
/// share a cache line then.
const RESERVE: usize = 256 - 76;
const TPID_VLAN: u16 = 0x8100;

const _: () = {
    assert!(SLOT.is_multiple_of(64) && !(SLOT / 64).is_multiple_of(2), "slots start on cache lines, spread");
    assert!(SLOT >= 256 + 14 + 8 + 65_535, "the largest super-frame fits");
    assert!(size_of::<libc::tpacket2_hdr>() <= HEADER, "the kernel's header is not lent");
};
