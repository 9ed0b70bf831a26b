//! Last questions before a packet goes out: is the neighbour there, does it fit? What does
//! not, and may be cut up, is.

use super::refuse::Refusal;
use super::walk::{Note, Plan, Walk};
use crate::address::Address;
use crate::fragment::Cut;
use crate::ids::AdjacencyId;
use crate::offload::{self, ChecksumState, Gso};
use crate::snapshot::NeighborState;
use crate::verdict::{DropReason, Verdict};
use crate::wire::ethernet::HEADER_LEN as L2;
use crate::wire::{ipv4, protocol, tcp, udp};

impl<A: Address> Walk<'_, A> {
    /// Sends a packet to a neighbour, if it is there and the packet fits. Says whether
    /// it was sent.
    pub(super) fn forward(&mut self, i: usize, to: AdjacencyId, plan: Plan) -> bool {
        let adjacency = &self.snapshot.adjacencies[to.index()];
        let fits = adjacency.takes(self.scratch.notes[i].end);
        let taken = (fits || self.takes_oddly(i, to)) && (matches!(plan, Plan::AsIs) || self.enter(i));
        if taken {
            self.verdicts[i] = Verdict::Forward(adjacency.port);
            self.rewrite(i, to, plan);
            if !fits {
                self.cut_up(i, to);
            }
        }
        taken
    }

    /// The neighbour is not there, or the packet is large.
    #[cold]
    fn takes_oddly(&mut self, i: usize, to: AdjacencyId) -> bool {
        let adjacency = &self.snapshot.adjacencies[to.index()];
        match adjacency.state {
            NeighborState::Pending => {
                self.punt_unresolved(i);
                return false;
            }
            NeighborState::Dead => {
                self.refuse(i, Refusal::NeighborDead);
                return false;
            }
            NeighborState::Reachable => {}
        }
        if self.segment_len(i) <= usize::from(adjacency.mtu) {
            return true;
        }
        match self.cut(i, adjacency.mtu) {
            Some(cut) if self.cuttings.has_room(&cut) => return true,
            Some(_) => self.drop(i, DropReason::CutBuffersFull),
            None => self.refuse(i, Refusal::TooBig { mtu: adjacency.mtu }),
        }
        false
    }

    /// How a packet is cut up that does not fit; `None`: it may not be, or cannot.
    fn cut(&self, i: usize, mtu: u16) -> Option<Cut> {
        let (frame, Note { end, protocol, .. }) = (&self.frames[i], self.scratch.notes[i]);
        let can_be_completed = match frame.offload.checksum {
            ChecksumState::Complete => true,
            // What SCTP leaves undone is no sum.
            ChecksumState::Partial { start, offset } => {
                protocol != protocol::SCTP && u32::from(start) + u32::from(offset) + 2 <= end
            }
        };
        let may_be = !self.must_not_fragment(i) && !frame.offload.is_super_frame() && can_be_completed;
        may_be.then(|| Cut::new(&frame.bytes()[L2..end as usize], usize::from(mtu))).flatten()
    }

    /// Cuts up a packet that is ready to be sent, if it is too big.
    #[cold]
    fn cut_up(&mut self, i: usize, to: AdjacencyId) {
        let adjacency = &self.snapshot.adjacencies[to.index()];
        if self.segment_len(i) <= usize::from(adjacency.mtu) {
            return;
        }
        let cut = self.cut(i, adjacency.mtu).expect("it could be cut before it was rewritten");
        let frame = &mut self.frames[i];
        // Of the pieces none shows all that is summed.
        offload::complete_checksum(frame).expect("the field was in the packet");
        self.cuttings.cut(frame, &cut, adjacency.port);
        let pieces = cut.count() as u64;
        self.counters.cut += pieces;
        self.counters.forwarded += pieces;
    }

    /// Length of the IP packets that a frame becomes on the wire, in bytes.
    fn segment_len(&self, i: usize) -> usize {
        let Note { end, l4, protocol, .. } = self.scratch.notes[i];
        let (frame, l4) = (&self.frames[i], usize::from(l4));
        let whole = end as usize - L2;
        let header = match frame.offload.gso {
            Gso::None => return whole,
            Gso::TcpV4 { .. } | Gso::TcpV6 { .. } if protocol == protocol::TCP => {
                usize::from(frame.bytes().get(l4 + tcp::DATA_OFFSET).copied().unwrap_or(0) >> 4) * 4
            }
            Gso::Udp if protocol == protocol::UDP => udp::HEADER_LEN,
            _ => return whole,
        };
        (l4 - L2 + header + usize::from(frame.offload.gso_size)).min(whole)
    }

    /// May nobody on the way cut this packet up? Always so with IPv6.
    pub(super) fn must_not_fragment(&self, i: usize) -> bool {
        let flags = crate::wire::get16(self.frames[i].bytes(), L2 + ipv4::FLAGS_FRAGMENT);
        A::BITS == 128 || flags & ipv4::DONT_FRAGMENT != 0
    }
}
