//! Routes with several next hops: which flow does a packet belong to?

use super::walk::Walk;
use crate::address::Address;
use crate::ecmp::flow_hash;
use crate::ids::{AdjacencyId, GroupId};
use crate::parse::{self, L4Kind};
use crate::wire::icmp;

impl<A: Address> Walk<'_, A> {
    /// The member of a group that the packet's flow belongs to.
    ///
    /// Later fragments show no ports, so those of the first do not count either. An
    /// ICMP error goes the way of the packet that it quotes: there is who wants to
    /// hear of it (RFC 7690).
    pub(super) fn pick(&self, i: usize, group: GroupId) -> AdjacencyId {
        let layers = self.look_into(i);
        let mut key = layers.key;
        if layers.kind == L4Kind::IcmpError {
            let quote = &self.frames[i].bytes()[layers.l4 as usize + icmp::HEADER_LEN..layers.end as usize];
            key = parse::quote::<A>(quote).map_or(key, |quote| quote.key);
        }
        let ends = [(key.src, key.src_port), (key.dst, key.dst_port)];
        self.snapshot.groups[group.index()].pick(flow_hash(self.snapshot.flow_seed, key.protocol, ends))
    }
}
