//! Last questions before a packet goes out: is the neighbour there, does it fit?

use super::refuse::Refusal;
use super::walk::{Note, Plan, Walk};
use crate::address::Address;
use crate::ids::AdjacencyId;
use crate::offload::Gso;
use crate::snapshot::NeighborState;
use crate::verdict::Verdict;
use crate::wire::ethernet::HEADER_LEN as L2;
use crate::wire::{ipv4, protocol, tcp, udp};

impl<A: Address> Walk<'_, A> {
    /// Sends a packet to a neighbour, if it is there and the packet fits. Says whether
    /// it was sent.
    pub(super) fn forward(&mut self, i: usize, to: AdjacencyId, plan: Plan) -> bool {
        let adjacency = &self.snapshot.adjacencies[to.index()];
        let taken = adjacency.takes(self.scratch.notes[i].end) || self.takes_oddly(i, to);
        let taken = taken && (matches!(plan, Plan::AsIs) || self.enter(i));
        if taken {
            self.verdicts[i] = Verdict::Forward(adjacency.port);
            self.rewrite(i, to, plan);
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
        self.refuse(i, Refusal::TooBig { mtu: adjacency.mtu });
        false
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
