//! Packets that leave an island: under which name?

use super::inbound::untranslatable;
use super::refuse::Refusal;
use super::route::look_up;
use super::set::Set;
use super::walk::{Plan, Scratch, Walk};
use crate::address::Address;
use crate::fib::Hop;
use crate::ids::{AdjacencyId, PortId};
use crate::nat::{EgressAction, EgressRule, Translation, icmp_error};
use crate::parse::{self, L4Kind};
use crate::session::tcp::TcpState;
use crate::session::{Direction, Found};
use crate::snapshot::NeighborState;
use crate::verdict::DropReason;
use crate::wire::{icmp, tcp};

/// Which way a packet goes that gets a name.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// Out, to this neighbour.
    Neighbor(AdjacencyId),
    /// In again, as if it had come in by this port.
    Inward(PortId),
}

impl<'a, A: Address> Walk<'a, A> {
    /// Finds or begins the sessions of packets that leave their routing domain, and
    /// routes them in the one they go to. What is for the gateway itself joins `local`.
    pub(super) fn outbound(&mut self, packets: Set, local: &mut Set) {
        if packets.is_empty() {
            return;
        }
        let tally = self.find_sessions(packets);
        if tally.missing || tally.back {
            self.prepare(packets);
        }
        // Before a session begins it must be known that the packet can go on.
        let Scratch { targets, beyond, onward, .. } = &mut *self.scratch;
        look_up(self.tables, packets, beyond, targets, onward);
        let (odd, sent) = self.send(packets);
        self.counters.translated_out += sent;
        for i in odd {
            if self.scratch.kinds[i] == L4Kind::Fragment && !self.outbound_fragment(i) {
                continue;
            }
            match self.scratch.onward[i].hop() {
                Hop::Pool | Hop::LocalTranslated => self.hairpin(i, local),
                Hop::Local => local.insert(i),
                _ => self.leave(i),
            }
        }
    }

    /// Asks for what the sessions to be begun will need. What answers a forwarded flow
    /// goes to whom its session says.
    fn prepare(&mut self, packets: Set) {
        for i in packets {
            match self.scratch.found[i] {
                None => self.nat.prefetch(&self.scratch.keys[i]),
                Some(found) if found.direction == Direction::Back => {
                    self.address_by(i, found);
                }
                Some(_) => {}
            }
        }
    }

    /// Settles under which name a packet leaves, and sends it.
    fn leave(&mut self, i: usize) {
        let Some(id) = self.reach(i, self.scratch.onward[i]) else {
            return;
        };
        match self.name(i, Way::Neighbor(id)) {
            Ok(plan) => {
                if self.forward(i, id, plan) {
                    match (plan, self.scratch.kinds[i]) {
                        (Plan::AsIs, _) => {}
                        (_, L4Kind::IcmpError) => self.counters.translated_errors += 1,
                        _ => self.counters.translated_out += 1,
                    }
                }
            }
            Err(reason) => self.refuse_name(i, reason),
        }
    }

    /// A packet gets no name: who waits for one is told (RFC 5508 REQ-8).
    pub(super) fn refuse_name(&mut self, i: usize, reason: DropReason) {
        match reason {
            DropReason::NatPortsExhausted
            | DropReason::NatTableFull
            | DropReason::NatNoPool
            | DropReason::NatSourceLimit
            | DropReason::NatSourceRate => {
                self.refuse(i, Refusal::NatResources(reason));
            }
            reason => self.drop(i, reason),
        }
    }

    /// Under which name a packet leaves.
    pub(super) fn name(&mut self, i: usize, way: Way) -> Result<Plan, DropReason> {
        match self.scratch.kinds[i] {
            kind if kind.has_ports() => match self.scratch.found[i] {
                Some(found) => Ok(Plan::Translate(found)),
                None => self.begin(i, way),
            },
            L4Kind::IcmpError => self.error_from_inside(i),
            L4Kind::Fragment if let Some(found) = self.scratch.found[i] => Ok(Plan::Translate(found)),
            kind => self.untranslated(i).ok_or(untranslatable(kind)),
        }
    }

    /// Begins a session, where policy wants one.
    fn begin(&mut self, i: usize, way: Way) -> Result<Plan, DropReason> {
        let key = self.scratch.keys[i];
        let rule = self.rule(i)?;
        let pool = match rule.action {
            EgressAction::Forward => return Ok(Plan::AsIs),
            EgressAction::Drop(reason) => return Err(reason),
            EgressAction::Translate(pool) => pool,
            EgressAction::Masquerade => {
                let port = match way {
                    Way::Neighbor(to) => self.snapshot.adjacencies[to.index()].port,
                    Way::Inward(port) => port,
                };
                self.snapshot.ports[port.index()].masquerade.ok_or(DropReason::NatNoPool)?
            }
        };
        // An earlier packet of the burst may have begun it.
        if let Some(found) = self.nat.sessions.find(&key) {
            return Ok(Plan::Translate(found));
        }
        let opens = self.opens(i);
        let is_picked_up =
            opens == Err(DropReason::NatTcpNotSyn) && rule.picks_up && tcp::goes_on(self.scratch.tcp_flags[i]);
        if !is_picked_up {
            opens?;
        }
        // With nobody to hand it to, `forward` punts or refuses the packet, and no
        // name is spent on it.
        if let Way::Neighbor(to) = way
            && self.snapshot.adjacencies[to.index()].state != NeighborState::Reachable
        {
            return Ok(Plan::AsIs);
        }
        let translation = Translation { pool, outer: self.scratch.beyond[i], limits: rule.limits };
        let session = self.nat.begin(&key, translation, &self.snapshot.timeouts, self.now, self.chance)?;
        if is_picked_up {
            self.nat.sessions.get_mut(session).tcp.state = TcpState::PICKED_UP;
        }
        self.counters.sessions_created += 1;
        Ok(Plan::Translate(Found { session, direction: Direction::Forth }))
    }

    /// May a packet open a session?
    pub(super) fn opens(&self, i: usize) -> Result<(), DropReason> {
        match self.scratch.kinds[i] {
            L4Kind::Tcp if !tcp::opens(self.scratch.tcp_flags[i]) => Err(DropReason::NatTcpNotSyn),
            L4Kind::EchoReply => Err(DropReason::NatUnsolicited),
            L4Kind::Fragment => Err(DropReason::NatFragment),
            _ => Ok(()),
        }
    }

    /// An ICMP error from inside: about a translated flow, or about one that
    /// travels under its own name.
    fn error_from_inside(&mut self, i: usize) -> Result<Plan, DropReason> {
        let layers = self.look_into(i);
        let frame = &self.frames[i];
        if let Some(found) = icmp_error::session(frame.bytes(), &layers, &frame.offload, &self.nat.sessions) {
            return Ok(Plan::Translate(found));
        }
        // The quote must not show a private address either.
        let quoted = parse::quote::<A>(&frame.bytes()[layers.l4 as usize + icmp::HEADER_LEN..layers.end as usize]);
        let quoted = quoted.ok_or(DropReason::NatIcmpErrorUnmatched)?.key;
        let passes = |src: A, dst: A| matches!(self.tables.egress_rule(layers.key.vrf, src, dst), Some(rule) if rule.action == EgressAction::Forward);
        let addressee = layers.key.dst;
        if quoted.src == addressee && passes(layers.key.src, addressee) && passes(quoted.dst, addressee) {
            Ok(Plan::AsIs)
        } else {
            Err(DropReason::NatIcmpErrorUnmatched)
        }
    }

    /// A packet that could not be translated may pass where policy wants it
    /// untranslated.
    fn untranslated(&self, i: usize) -> Option<Plan> {
        self.rule(i).is_ok_and(|rule| rule.action == EgressAction::Forward).then_some(Plan::AsIs)
    }

    pub(super) fn rule(&self, i: usize) -> Result<&'a EgressRule<A>, DropReason> {
        let key = &self.scratch.keys[i];
        self.tables.egress_rule(key.vrf, key.src, key.dst).ok_or(DropReason::NotInIsland)
    }
}
