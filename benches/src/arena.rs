//! Frame buffers on the heap, handed round as a NIC's ring does.

use std::ptr::NonNull;

use causeway_fastpath::burst::Burst;
use causeway_fastpath::frame::{BufferOwner, Frame};

use crate::packets::Slot;

/// Bytes of a cache line.
const LINE: usize = 64;
/// Bytes of a buffer.
const CAPACITY: usize = 2048;
/// Bytes before the packet.
const HEADROOM: usize = 128;
/// Bytes from a buffer to the next: an odd number of cache lines. At 2048 the
/// first lines of all packets would fall into two sets of the L1 cache, which
/// holds 24 of them: fewer than a burst has. DPDK's mempools and VPP's buffers
/// are spread likewise.
const STRIDE: usize = CAPACITY + LINE;
/// Buffers in the ring. As with a mempool's per-core cache, they come back before
/// the L2 cache has lost them.
const BUFFERS: usize = 512;
/// Nobody in fastpath knows this owner: its frames come back to us alone.
const OWNER: BufferOwner = BufferOwner(0);

/// A ring of buffers, and the burst that they are copied into.
pub struct Arena {
    memory: Box<[Line]>,
    next: usize,
    burst: Burst,
}

impl Arena {
    /// A ring of buffers.
    pub fn new() -> Arena {
        Arena { memory: vec![Line([0; LINE]); BUFFERS * STRIDE / LINE].into(), next: 0, burst: Burst::new() }
    }

    /// Copies up to 64 packets into fresh buffers and gives them to `process`.
    ///
    /// Only for this crate, because `process` must leave the frames in the burst:
    /// their buffers go back into the ring when it returns.
    #[inline(always)]
    pub(crate) fn feed(&mut self, packets: &[Slot], len: usize, process: impl FnOnce(&mut Burst)) {
        for packet in packets {
            let chunk = &mut self.memory[self.next * (STRIDE / LINE)..][..CAPACITY / LINE];
            self.next = (self.next + 1) % BUFFERS;
            // The whole line: a copy of fixed size is cheapest, and NICs do the same.
            chunk[HEADROOM / LINE].0 = packet.0;
            let buffer = NonNull::from(chunk).cast::<u8>();
            // SAFETY: the chunk belongs to the arena, which is borrowed until the burst
            // is empty again, and a burst is shorter than the ring, so no two frames
            // have one chunk. `every_buffer_is_its_own` would show it if they did.
            let frame = unsafe { Frame::from_raw(buffer, CAPACITY as u32, HEADROOM as u32, len as u32, OWNER, 0) };
            self.burst.push(frame);
        }
        process(&mut self.burst);
        drop(self.burst.drain());
    }
}

impl Default for Arena {
    fn default() -> Arena {
        Arena::new()
    }
}

/// A cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_buffer_is_its_own() {
        let packets: Vec<Slot> = (0..Burst::MAX).map(|number| Slot([number as u8; 64])).collect();
        let mut arena = Arena::new();
        for _ in 0..2 * BUFFERS / Burst::MAX {
            arena.feed(&packets, 60, |burst| {
                for (number, frame) in burst.frames().iter().enumerate() {
                    assert_eq!(frame.bytes(), [number as u8; 60]);
                }
                assert_eq!(burst.len(), Burst::MAX);
            });
        }
    }
}
