//! Frame buffers on the heap, handed round as a NIC's ring does.

use std::collections::VecDeque;
use std::ptr::NonNull;

use causeway_fastpath::burst::Burst;
use causeway_fastpath::frame::{BufferOwner, Frame};

use crate::packets::Packets;

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
    free: VecDeque<Frame>,
    burst: Burst,
}

impl Arena {
    /// A ring of buffers for packets of `len` bytes.
    ///
    /// The memory is never given back: about a megabyte for each arena made.
    ///
    /// # Panics
    /// A buffer cannot hold so long a packet.
    pub fn new(len: usize) -> Arena {
        let memory = Box::leak(vec![Line([0; LINE]); STRIDE / LINE * BUFFERS].into_boxed_slice());
        let mut free = VecDeque::with_capacity(BUFFERS);
        for (token, chunk) in memory.chunks_exact_mut(STRIDE / LINE).enumerate() {
            let buffer = NonNull::from(chunk).cast::<u8>();
            // SAFETY: the memory was leaked, so it is valid for good; chunks do not
            // overlap, and each is given to one frame, which is moved and never
            // copied. `every_buffer_is_its_own` would show two frames in one chunk.
            free.push_back(unsafe {
                Frame::from_raw(buffer, CAPACITY as u32, HEADROOM as u32, len as u32, OWNER, token as u64)
            });
        }
        Arena { free, burst: Burst::new() }
    }

    /// The next 64 packets in fresh buffers. What the burst held goes back into
    /// the ring.
    pub fn feed(&mut self, packets: &mut Packets) -> &mut Burst {
        self.free.extend(self.burst.drain().map(|(frame, _)| frame));
        let len = packets.frame_len();
        for packet in packets.next_burst() {
            let mut frame = self.free.pop_front().expect("the ring is larger than a burst");
            frame.bytes_mut().copy_from_slice(&packet.0[..len]);
            self.burst.push(frame);
        }
        &mut self.burst
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
        let mut packets = Packets::new(60, (0..BUFFERS).map(|number| vec![number as u8; 60]));
        let mut arena = Arena::new(60);
        for _ in 0..2 * BUFFERS / Burst::MAX {
            let first = packets.position() as u8;
            let burst = arena.feed(&mut packets);
            for (number, frame) in burst.frames().iter().enumerate() {
                assert_eq!(frame.bytes(), [first.wrapping_add(number as u8); 60]);
            }
            assert_eq!(burst.len(), Burst::MAX);
        }
    }
}
