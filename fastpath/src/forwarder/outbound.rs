//! Packets that leave an island: under which name?

use super::inbound::untranslatable;
use super::refuse::Refusal;
use super::route::look_up;
use super::set::Set;
use super::walk::{Plan, Scratch, Walk};
use crate::address::Address;
use crate::fib::Hop;
use crate::ids::{AdjacencyId, PortId, VrfId};
use crate::nat::{Choice, EgressAction, EgressRule, Translation};
use crate::parse::{self, L4Kind};
use crate::session::tcp::TcpState;
use crate::session::{Direction, FlowKey, Found};
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
            if self.scratch.kinds[i] == L4Kind::IcmpError {
                self.address_error(i);
            }
            match self.scratch.onward[i].hop() {
                Hop::Pool | Hop::LocalTranslated => self.hairpin(i, local),
                Hop::Local => local.insert(i),
                _ => self.leave(i),
            }
        }
    }

    /// Routes an error to whom the session says that it is about: by its own addressee it
    /// would go where that one's name is known.
    fn address_error(&mut self, i: usize) {
        let layers = self.look_into(i);
        if let Some(found) = self.complained(i, &layers) {
            self.address_by(i, found);
            self.scratch.onward[i] = self.tables.fib(self.scratch.beyond[i]).lookup(self.scratch.targets[i]);
        }
    }

    /// Asks for what the sessions to be begun will need. What answers a forwarded flow
    /// goes to whom its session says.
    fn prepare(&mut self, packets: Set) {
        for i in packets {
            match self.scratch.found[i] {
                None if self.scratch.kinds[i].tells_flow() => self.prepare_name(i),
                Some(found) if found.direction == Direction::Back => {
                    self.address_by(i, found);
                }
                _ => {}
            }
        }
    }

    /// Asks for what a name will need, before the look-up of where it goes.
    fn prepare_name(&mut self, i: usize) {
        let key = &self.scratch.keys[i];
        self.nat.prefetch(key);
        // A masquerading port is known once it is known to whom the packet goes.
        if let Ok(EgressRule { action: EgressAction::Translate(pool), limits, .. }) = self.rule(i) {
            let word = self.chance.word();
            self.scratch.words[i] = Some(word);
            let outer = self.scratch.beyond[i];
            let translation = Translation { pool: *pool, outer, inward: false, limits: *limits, word };
            self.nat.prefetch_answers(&self.scratch.keys[i], translation);
        }
    }

    /// Settles under which name a packet leaves, and sends it.
    fn leave(&mut self, i: usize) {
        // Whom policy keeps inside makes nobody be asked for.
        let rule = match self.admit(i) {
            Ok(rule) => rule,
            Err(reason) => return self.refuse_name(i, reason),
        };
        let Some(id) = self.reach(i, self.scratch.onward[i]) else {
            return;
        };
        match self.name(i, rule, Way::Neighbor(id)) {
            Ok(Plan::HandedOff) => {}
            Ok(plan) => {
                if self.forward(i, id, plan) && !matches!(plan, Plan::AsIs) {
                    self.count_out(i);
                }
            }
            Err(reason) => self.refuse_name(i, reason),
        }
    }

    /// A packet gets no name: who waits for one is told (RFC 5508 REQ-8), and so is who asks
    /// for what cannot be.
    pub(super) fn refuse_name(&mut self, i: usize, reason: DropReason) {
        match reason {
            DropReason::NatPortsExhausted
            | DropReason::NatTableFull
            | DropReason::NatNoPool
            | DropReason::NatNameTaken
            | DropReason::NatProtocol
            | DropReason::NatSourceLimit
            | DropReason::NatSourceRate => {
                self.refuse(i, Refusal::NatResources(reason));
            }
            // Outside, nobody learns who is there.
            DropReason::ModelIsolated | DropReason::PolicyDenied if self.scratch.domains[i] != VrfId::MAIN => {
                self.refuse(i, Refusal::Policy(reason));
            }
            reason => self.drop(i, reason),
        }
    }

    /// The rule by which a packet may leave. What has a session needs none, and an error
    /// goes by what it quotes.
    pub(super) fn admit(&self, i: usize) -> Result<Option<&'a EgressRule<A>>, DropReason> {
        let known = match self.scratch.kinds[i] {
            L4Kind::IcmpError => true,
            kind => (kind.tells_flow() || kind == L4Kind::Fragment) && self.scratch.found[i].is_some(),
        };
        if known {
            return Ok(None);
        }
        let rule = self.rule(i)?;
        match rule.action {
            EgressAction::Drop(reason) => Err(reason),
            _ => Ok(Some(rule)),
        }
    }

    /// Under which name a packet leaves that was admitted by this rule.
    pub(super) fn name(&mut self, i: usize, rule: Option<&'a EgressRule<A>>, way: Way) -> Result<Plan, DropReason> {
        match (self.scratch.kinds[i], rule, self.scratch.found[i]) {
            (L4Kind::IcmpError, ..) => self.error_from_inside(i),
            (_, Some(rule), _) if rule.action == EgressAction::Forward => Ok(Plan::AsIs),
            (kind, Some(rule), _) if kind.tells_flow() => self.begin(i, rule, way),
            (_, None, Some(found)) => Ok(Plan::Translate(found)),
            (kind, ..) => Err(untranslatable(kind)),
        }
    }

    /// Begins a session, as the rule wants it.
    fn begin(&mut self, i: usize, rule: &EgressRule<A>, way: Way) -> Result<Plan, DropReason> {
        let key = self.scratch.keys[i];
        let pool = match rule.action {
            EgressAction::Forward => return Ok(Plan::AsIs),
            EgressAction::Drop(reason) => return Err(reason),
            EgressAction::Track => None,
            EgressAction::Translate(pool) => Some(pool),
            EgressAction::Masquerade => {
                let port = match way {
                    Way::Neighbor(to) => self.snapshot.adjacencies[to.index()].port,
                    Way::Inward(port) => port,
                };
                Some(self.snapshot.ports[port.index()].masquerade.ok_or(DropReason::NatNoPool)?)
            }
        };
        // An earlier packet of the burst may have begun it.
        if let Some(found) = self.find(&key) {
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
        let (outer, limits) = (self.scratch.beyond[i], rule.limits);
        let begun = match pool {
            Some(pool) => {
                let word = self.scratch.words[i].take().unwrap_or_else(|| self.chance.word());
                let translation = Translation { pool, outer, inward: matches!(way, Way::Inward(_)), limits, word };
                self.begin_among(i, &key, translation)?
            }
            None => {
                let session = self.nat.track(&key, outer, limits, &self.snapshot.timeouts, self.now, self.counters)?;
                self.begun(session)
            }
        };
        if let (Plan::Translate(found), true) = (begun, is_picked_up) {
            self.nat.sessions.get_mut(found.session).tcp.state = TcpState::PICKED_UP;
        }
        Ok(begun)
    }

    /// Begins a session under a name of this choice.
    pub(super) fn begin_session(
        &mut self,
        key: &FlowKey<A>,
        translation: Translation,
        choice: Choice<A>,
    ) -> Result<Plan, DropReason> {
        let session = self.nat.begin(key, translation, choice, &self.snapshot.timeouts, self.now, self.chance)?;
        Ok(self.begun(session))
    }

    /// A session has begun, by which the packet goes.
    fn begun(&mut self, session: u32) -> Plan {
        self.counters.sessions_created += 1;
        Plan::Translate(Found { session, direction: Direction::Forth })
    }

    /// May a packet open a session?
    pub(super) fn opens(&self, i: usize) -> Result<(), DropReason> {
        match self.scratch.kinds[i] {
            L4Kind::Tcp if !tcp::opens(self.scratch.tcp_flags[i]) => Err(DropReason::NatTcpNotSyn),
            L4Kind::EchoReply | L4Kind::QueryReply => Err(DropReason::NatUnsolicited),
            L4Kind::Fragment => Err(DropReason::NatFragment),
            _ => Ok(()),
        }
    }

    /// An ICMP error from inside: about a translated flow, or about one that
    /// travels under its own name.
    fn error_from_inside(&mut self, i: usize) -> Result<Plan, DropReason> {
        let layers = self.look_into(i);
        if let Some(found) = self.complained(i, &layers) {
            return Ok(Plan::Translate(found));
        }
        // The quote must not show a private address either. Who complains need not be who
        // was spoken to, but must be one who may show its name.
        let frame = &self.frames[i];
        let quoted = parse::quote::<A>(&frame.bytes()[layers.l4 as usize + icmp::HEADER_LEN..layers.end as usize]);
        let quoted = quoted.ok_or(DropReason::NatIcmpErrorUnmatched)?.key;
        let addressee = layers.key.dst;
        let action = |src: A| self.tables.egress_rule(layers.key.vrf, src, addressee).map(|rule| rule.action);
        let shows_itself = matches!(action(layers.key.src), Some(EgressAction::Forward | EgressAction::Track));
        if quoted.src == addressee && shows_itself && action(quoted.dst) == Some(EgressAction::Forward) {
            Ok(Plan::AsIs)
        } else {
            Err(DropReason::NatIcmpErrorUnmatched)
        }
    }

    pub(super) fn rule(&self, i: usize) -> Result<&'a EgressRule<A>, DropReason> {
        let key = &self.scratch.keys[i];
        self.tables.egress_rule(key.vrf, key.src, key.dst).ok_or(DropReason::NotInIsland)
    }
}
