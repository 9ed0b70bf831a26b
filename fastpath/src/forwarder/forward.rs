//! Last questions before a packet goes out: is the neighbour there, does it fit?

use super::refuse::Refusal;
use super::set::Set;
use super::walk::Walk;
use crate::address::Address;
use crate::offload::Gso;
use crate::snapshot::NeighborState;
use crate::verdict::Verdict;
use crate::wire::ethernet::HEADER_LEN as L2;
use crate::wire::{ipv4, protocol, tcp, udp};

impl<A: Address> Walk<'_, A> {
    /// Settles the egress port of packets that have an adjacency. What is returned
    /// goes out.
    pub(super) fn forward(&mut self, packets: Set) -> Set {
        let mut ready = packets;
        for i in packets {
            let adjacency = &self.snapshot.adjacencies[self.scratch.metas[i].adjacency.index()];
            let fits = self.scratch.metas[i].layers.end as usize - L2 <= usize::from(adjacency.mtu);
            if adjacency.state == NeighborState::Reachable && fits {
                self.verdicts[i] = Verdict::Forward(adjacency.port);
            } else if !self.forward_oddly(i) {
                ready.remove(i);
            }
        }
        ready
    }

    /// The neighbour is not there, or the packet is large.
    #[cold]
    fn forward_oddly(&mut self, i: usize) -> bool {
        let adjacency = &self.snapshot.adjacencies[self.scratch.metas[i].adjacency.index()];
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
            self.verdicts[i] = Verdict::Forward(adjacency.port);
            return true;
        }
        self.refuse(i, Refusal::TooBig { mtu: adjacency.mtu });
        false
    }

    /// Length of the IP packets that a frame becomes on the wire, in bytes.
    fn segment_len(&self, i: usize) -> usize {
        let layers = &self.scratch.metas[i].layers;
        let (frame, l4) = (&self.frames[i], layers.l4 as usize);
        let whole = layers.end as usize - L2;
        let header = match frame.offload.gso {
            Gso::None => return whole,
            Gso::TcpV4 { .. } | Gso::TcpV6 { .. } if layers.key.protocol == protocol::TCP => {
                usize::from(frame.bytes().get(l4 + tcp::DATA_OFFSET).copied().unwrap_or(0) >> 4) * 4
            }
            Gso::Udp if layers.key.protocol == protocol::UDP => udp::HEADER_LEN,
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
