//! Fragments that have to be translated: virtual reassembly (RFC 4787 REQ-14).
//!
//! Those that are merely routed never come here. A fragment is settled one at a time:
//! recognized, then named and routed as any packet of its flow, and only when nothing
//! stands in its way entered into the table: so that one which waits for a neighbour may
//! come again, and a stranger's makes no state.

use super::inbound::untranslatable;
use super::walk::Walk;
use crate::address::Address;
use crate::fragment::{Datagram, Piece, Standing};
use crate::nat::EgressAction;
use crate::offload::Offload;
use crate::parse::{self, L4Kind, Layers, Part};
use crate::session::{Direction, FlowKey};
use crate::verdict::{DropReason, Verdict};

/// Where a fragment stands in its datagram.
#[derive(Clone, Copy)]
pub(super) enum Place<A> {
    /// It is all of it; here the L4 header starts.
    Whole { l4: u16 },
    /// It is the first.
    First { datagram: Datagram<A>, piece: Piece, l4: u16 },
    /// It is a later one, of the datagram with this number in the table.
    Later { number: u32, piece: Piece },
}

impl<A> Place<A> {
    /// Where the L4 header starts; a later fragment has none.
    pub(super) fn l4(&self) -> Option<u16> {
        match self {
            Place::Whole { l4 } | Place::First { l4, .. } => Some(*l4),
            Place::Later { .. } => None,
        }
    }
}

/// What a fragment was recognized as.
enum Recognized<A> {
    /// A packet of this flow; whole and first ones show it.
    Known(Place<A>, FlowKey<A>, Option<Layers<A>>),
    /// The first of its datagram has not come.
    Early(Datagram<A>, Piece),
}

impl<A: Address> Walk<'_, A> {
    /// Lets a fragment that leaves its island be taken for a packet of its flow, and
    /// routes it anew. `false`: it has its verdict.
    pub(super) fn outbound_fragment(&mut self, i: usize) -> bool {
        let passes = match self.rule(i).map(|rule| rule.action) {
            Ok(EgressAction::Forward) => true,
            // Nobody has this address who could have a session.
            Ok(EgressAction::Drop(reason @ DropReason::NotInIsland)) | Err(reason) => {
                self.drop(i, reason);
                return false;
            }
            // Who may begin nothing may answer.
            Ok(_) => false,
        };
        if !self.fragment(i, passes) {
            return false;
        }
        let (mut target, mut beyond) = (self.scratch.keys[i].dst, self.scratch.hops[i].egress());
        if let Some(found) = self.scratch.found[i]
            && found.direction == Direction::Back
        {
            let answer = self.nat.sessions.get(found.session).answer(found.direction);
            (target, beyond) = (answer.src, Some(answer.vrf));
        }
        self.scratch.targets[i] = target;
        self.scratch.beyond[i] = beyond.unwrap_or(self.scratch.beyond[i]);
        self.scratch.onward[i] = self.tables.fib(self.scratch.beyond[i]).lookup(target);
        true
    }

    /// Lets a fragment be taken for a packet of its flow: notes flow, session and kind; the
    /// kind of a later one stays `Fragment`. One without session `passes` as it is, or
    /// waits, or is dropped. `false`: it has its verdict.
    pub(super) fn fragment(&mut self, i: usize, passes: bool) -> bool {
        self.scratch.found[i] = None;
        self.scratch.tcp_flags[i] = 0;
        match self.recognize(i) {
            Ok(Recognized::Known(place, mut flow, shown)) => {
                flow.hairpin |= u8::from(self.is_turned_inward(i));
                let found = self.find(&flow);
                if found.is_none() && passes {
                    return true;
                }
                self.scratch.fragments.insert(i);
                self.scratch.places[i] = place;
                self.scratch.keys[i] = flow;
                self.scratch.found[i] = found;
                if let Some(shown) = shown {
                    self.scratch.kinds[i] = shown.kind;
                    self.scratch.tcp_flags[i] = shown.tcp_flags;
                }
                true
            }
            // Were it of a session that answers a forward, it would show by its first
            // fragment only: early ones pass as most of their kind.
            _ if passes => true,
            Ok(Recognized::Early(datagram, piece)) => {
                let held = self.fragments.hold(&datagram, piece, &self.frames[i], self.now, self.counters);
                self.verdicts[i] = held.map_or_else(Verdict::Drop, |()| Verdict::Hold);
                false
            }
            Err(reason) => {
                self.drop(i, reason);
                false
            }
        }
    }

    fn recognize(&mut self, i: usize) -> Result<Recognized<A>, DropReason> {
        // Whoever fragments completes checksums first; a guest that says otherwise would
        // have two bytes written where a port was translated.
        if self.frames[i].offload != Offload::DONE {
            return Err(DropReason::NatFragment);
        }
        let layers = self.look_into(i);
        let parse::Fragment { datagram, part } = parse::fragment(self.frames[i].bytes(), &layers)?;
        let (place, shown) = match part {
            Part::Whole(shown) => (Place::Whole { l4: shown.l4 as u16 }, shown),
            Part::First(shown, piece) => (Place::First { datagram, piece, l4: shown.l4 as u16 }, shown),
            Part::Later(piece) => {
                return match self.fragments.standing(&datagram, self.now, self.counters) {
                    Standing::Known { number, flow } => {
                        Ok(Recognized::Known(Place::Later { number, piece }, flow, None))
                    }
                    Standing::Unknown => Ok(Recognized::Early(datagram, piece)),
                    Standing::Dead => Err(DropReason::FragmentOverlap),
                };
            }
        };
        match shown.kind {
            kind if kind.tells_flow() => Ok(Recognized::Known(place, shown.key, Some(shown))),
            // What it quotes goes on in fragments that nobody looks into.
            L4Kind::IcmpError => Err(DropReason::NatFragment),
            kind => Err(untranslatable(kind)),
        }
    }

    /// Enters a packet that will be sent into the table, if it is a fragment. `false`: it
    /// contradicts those that went before, or there are too many, and was dropped.
    pub(super) fn enter(&mut self, i: usize) -> bool {
        if !self.scratch.fragments.contains(i) {
            return true;
        }
        let flow = self.scratch.keys[i];
        self.scratch.identifications[i] = None;
        let entered = match self.scratch.places[i] {
            Place::Whole { .. } => Ok(()),
            Place::First { datagram, piece, .. } => {
                let entered = self.fragments.first(&datagram, piece, flow, self.now, self.counters);
                entered.map(|number| {
                    let identification = self.identification(i);
                    self.fragments.identify(number, identification);
                    self.scratch.identifications[i] = identification;
                })
            }
            Place::Later { number, piece } => {
                self.scratch.identifications[i] = self.fragments.identification(number);
                self.fragments.pass(number, piece, self.counters)
            }
        };
        if let Err(reason) = entered {
            self.drop(i, reason);
        } else if let Place::First { datagram, piece, .. } = self.scratch.places[i]
            && !self.handed.workers.is_alone()
            && self.scratch.hops[i].egress().is_none()
        {
            self.tell_of_fragment(&datagram, piece, &flow);
        }
        entered.is_ok()
    }

    /// The identification of a datagram whose first fragment this is; `None` keeps its own,
    /// as where it has its own source.
    fn identification(&mut self, i: usize) -> Option<u16> {
        let (found, flow) = (self.scratch.found[i].filter(|_| A::BITS == 32)?, self.scratch.keys[i]);
        let src = self.nat.sessions.get(found.session).answer(found.direction).dst;
        (src != flow.src).then(|| self.nat.identifications.next(src, flow.dst, flow.protocol))
    }
}
