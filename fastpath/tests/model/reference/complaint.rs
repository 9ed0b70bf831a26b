//! ICMP errors (RFC 5508, REQ-3 to REQ-5).

use causeway_fastpath::ids::{AdjacencyId, VrfId};
use causeway_fastpath::snapshot::NeighborState;
use causeway_fastpath::verdict::DropReason;

use super::{Fate, Found, RefNat};
use crate::flow::{Complaint, Packet};
use crate::traffic::Item;

impl RefNat {
    /// An error comes from an island.
    pub(crate) fn complain_outward(&mut self, complaint: &Complaint, turned: bool) -> Fate {
        if self.scene.pods(complaint.vrf).contains(&complaint.dst) {
            let neighbor = self.scene.neighbor(complaint.vrf, complaint.dst);
            return self.pass_on(neighbor, *complaint, false);
        }
        let Some(outside) = self.about(complaint).map(|found| self.through(found, complaint)) else {
            return Fate::Drop(DropReason::NatIcmpErrorUnmatched);
        };
        if !self.scene.is_public(outside.dst) {
            return self.pass_on(self.scene.neighbor(VrfId::MAIN, outside.dst), outside, true);
        }
        match self.about(&outside) {
            Some(second) => self.bring_home(second, &outside),
            None if turned && self.scene.is_gateways(outside.dst) => Fate::Drop(DropReason::LocalUnwanted),
            None => Fate::Drop(DropReason::NatIcmpErrorUnmatched),
        }
    }

    /// An error comes from outside.
    pub(crate) fn complain_inward(&mut self, complaint: &Complaint) -> Fate {
        // What went round the hairpin was never outside.
        let peer = complaint.quote.flow.dst.0;
        match self.about(complaint).filter(|_| !self.scene.is_public(peer)) {
            _ if self.scene.is_public(complaint.src) => Fate::Drop(DropReason::MartianSource),
            Some(found) => self.bring_home(found, complaint),
            None if self.scene.is_gateways(complaint.dst) => Fate::Drop(DropReason::LocalUnwanted),
            None => Fate::Drop(DropReason::NatIcmpErrorUnmatched),
        }
    }

    /// The session that sent what the error quotes: the error goes the other way. It must
    /// be for whoever sent that (RFC 5927).
    fn about(&self, complaint: &Complaint) -> Option<Found> {
        let quoted = complaint.quote.flow;
        (complaint.is_sound() && quoted.src.0 == complaint.dst).then(|| self.find(&quoted.answered())).flatten()
    }

    /// The error on the other side of a session: the quote is what its receiver sent, and
    /// a sender who is hidden stays so.
    fn through(&self, (number, way): Found, complaint: &Complaint) -> Complaint {
        let session = &self.sessions[number];
        let (near, sent) = (session.answer(way.reversed()), session.answer(way));
        let hides = near.src.0 != sent.dst.0;
        Complaint {
            vrf: sent.vrf,
            src: if hides { sent.dst.0 } else { complaint.src },
            dst: sent.src.0,
            quote: Packet { flow: sent, ..complaint.quote },
            damage: complaint.damage,
        }
    }

    fn bring_home(&mut self, found: Found, outside: &Complaint) -> Fate {
        let home = self.through(found, outside);
        self.pass_on(self.scene.neighbor(home.vrf, home.dst), home, true)
    }

    /// To a neighbour, if it is there. Nobody is told of an error that an error was lost.
    fn pass_on(&mut self, to: AdjacencyId, complaint: Complaint, translated: bool) -> Fate {
        match self.scene.state(to) {
            NeighborState::Dead => Fate::Drop(DropReason::NeighborDead),
            NeighborState::Pending => Fate::Punt,
            NeighborState::Reachable => {
                self.tally.errors += u64::from(translated);
                Fate::Forward(to, Item::Complaint(complaint))
            }
        }
    }
}
