//! Routes with several next hops.

use super::walk::Walk;
use crate::address::Address;
use crate::ecmp::packet_hash;
use crate::ids::{AdjacencyId, GroupId};

impl<A: Address> Walk<'_, A> {
    /// The member of a group that the packet's flow belongs to.
    pub(super) fn pick(&self, i: usize, group: GroupId) -> AdjacencyId {
        let hash = packet_hash(self.snapshot.flow_seed, self.frames[i].bytes(), &self.look_into(i));
        self.snapshot.groups[group.index()].pick(hash)
    }
}
