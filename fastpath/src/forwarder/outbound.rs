//! Packets that leave an island: under which name?

use super::inbound::untranslatable;
use super::refuse::Refusal;
use super::route::look_up;
use super::set::Set;
use super::walk::{Plan, Scratch, Walk};
use crate::address::Address;
use crate::ids::AdjacencyId;
use crate::nat::{EgressAction, Translation, icmp_error};
use crate::parse::{self, L4Kind};
use crate::session::{Direction, Found};
use crate::snapshot::NeighborState;
use crate::verdict::DropReason;
use crate::wire::icmp;
use crate::wire::tcp::{ACK, FIN, RST, SYN};

impl<A: Address> Walk<'_, A> {
    /// Finds or begins the sessions of packets that leave their routing domain, and
    /// routes them in the one they go to.
    pub(super) fn outbound(&mut self, packets: Set) {
        if packets.is_empty() {
            return;
        }
        if !self.find_sessions(packets) {
            for i in packets {
                if self.scratch.found[i].is_none() {
                    self.nat.prefetch(&self.scratch.keys[i]);
                }
            }
        }
        // Before a session begins it must be known that the packet can go on.
        let Scratch { targets, beyond, onward, .. } = &mut *self.scratch;
        look_up(self.tables, packets, beyond, targets, onward);
        let odd = self.send(packets, Direction::Out);
        for i in odd {
            if let Some(id) = self.reach(i, self.scratch.onward[i])
                && let Some(plan) = self.name(i, id)
            {
                self.forward(i, id, plan);
            }
        }
    }

    /// Settles under which name a packet leaves, to this neighbour; `None` where it
    /// may not.
    #[inline(always)]
    fn name(&mut self, i: usize, to: AdjacencyId) -> Option<Plan> {
        if let Some(found) = self.scratch.found[i]
            && found.direction == Direction::Out
            && self.scratch.kinds[i].has_ports()
        {
            return Some(Plan::Translate(found));
        }
        match self.name_anew(i, to) {
            Ok(plan) => return Some(plan),
            // Tell the sender (RFC 5508 REQ-8).
            Err(reason @ (DropReason::NatPortsExhausted | DropReason::NatTableFull | DropReason::NatNoPool)) => {
                self.refuse(i, Refusal::NatResources(reason))
            }
            Err(reason) => self.drop(i, reason),
        }
        None
    }

    /// As [`Walk::name`], for what belongs to no session, or not to one yet.
    #[inline(never)]
    fn name_anew(&mut self, i: usize, to: AdjacencyId) -> Result<Plan, DropReason> {
        match self.scratch.kinds[i] {
            kind if kind.has_ports() => self.begin(i, to),
            L4Kind::IcmpError => self.error_from_inside(i),
            kind => self.untranslated(i).ok_or(untranslatable(kind)),
        }
    }

    /// Begins a session, where policy wants one.
    fn begin(&mut self, i: usize, to: AdjacencyId) -> Result<Plan, DropReason> {
        let key = self.scratch.keys[i];
        let pool = match self.action(i)? {
            EgressAction::Forward => return Ok(Plan::AsIs),
            EgressAction::Drop(reason) => return Err(reason),
            EgressAction::Translate(pool) => pool,
            EgressAction::Masquerade => {
                let port = self.snapshot.adjacencies[to.index()].port;
                self.snapshot.ports[port.index()].masquerade.ok_or(DropReason::NatNoPool)?
            }
        };
        // An earlier packet of the burst may have begun it.
        if let Some(found) = self.nat.sessions.find(&key) {
            return Ok(Plan::Translate(found));
        }
        match self.scratch.kinds[i] {
            L4Kind::Tcp if self.scratch.tcp_flags[i] & (SYN | ACK | RST | FIN) != SYN => {
                return Err(DropReason::NatTcpNotSyn);
            }
            L4Kind::EchoReply => return Err(DropReason::NatUnsolicited),
            _ => {}
        }
        // With nobody to hand it to, `forward` punts or refuses the packet, and no
        // name is spent on it.
        if self.snapshot.adjacencies[to.index()].state != NeighborState::Reachable {
            return Ok(Plan::AsIs);
        }
        let translation = Translation { pool, outer: self.scratch.beyond[i] };
        let session = self.nat.begin(&key, translation, &self.snapshot.timeouts, self.now, self.chance)?;
        self.counters.sessions_created += 1;
        Ok(Plan::Translate(Found { session, direction: Direction::Out }))
    }

    /// An ICMP error from inside: about a translated flow, or about one that
    /// travels under its own name.
    fn error_from_inside(&mut self, i: usize) -> Result<Plan, DropReason> {
        let layers = self.look_into(i);
        let frame = &self.frames[i];
        let found = icmp_error::session(frame.bytes(), &layers, &frame.offload, &self.nat.sessions, Direction::Out);
        if let Some(found) = found {
            return Ok(Plan::TranslateError(found));
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
        matches!(self.action(i), Ok(EgressAction::Forward)).then_some(Plan::AsIs)
    }

    fn action(&self, i: usize) -> Result<EgressAction, DropReason> {
        let key = &self.scratch.keys[i];
        let rule = self.tables.egress_rule(key.vrf, key.src, key.dst);
        rule.map(|rule| rule.action).ok_or(DropReason::NotInIsland)
    }
}
