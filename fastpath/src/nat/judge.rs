//! Which sessions survive other tables.
//!
//! One rule, and pure: workers end sessions by it, and control says beforehand what they
//! will do. A session survives if the new tables would admit it with the name that it has.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use hashbrown::HashMap;

use super::Selected;
use super::forward::Forwards;
use super::keep::keeps_ports;
use super::policy::{self, EgressAction, EgressRule};
use crate::address::Address;
use crate::command::SessionRow;
use crate::ids::{PoolId, VrfId};
use crate::session::{FlowKey, Session};
use crate::snapshot::{Pool, PortEntry, Tables};
use crate::verdict::DropReason;
use crate::wire::protocol;

/// Sentences over the sessions of one family, for one change of tables.
///
/// Made in time that grows with addresses of pools, off the packet cores; allocates.
#[derive(Debug)]
pub struct Judge<A> {
    egress: Arc<[Vec<EgressRule<A>>]>,
    selected: Vec<Arc<Selected<A>>>,
    pools: Arc<[Pool<A>]>,
    /// Those that there were.
    before: Arc<[Pool<A>]>,
    forwards: Arc<Forwards<A>>,
    /// By pool: does a port hide flows behind it?
    masquerades: Vec<bool>,
    places: HashMap<A, Place>,
}

/// Where a pool address is, and was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) pool: PoolId,
    pub(super) address: u32,
    /// Its pool before, and which address of that it was.
    pub(super) before: Option<(PoolId, u32)>,
    /// Are its ports dealt out to the workers as before, so that names on it stay with them?
    pub(super) is_kept: bool,
}

/// By which tables a name was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    Before,
    Now,
}

/// What becomes of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on, and nobody notices.
    Survives,
    /// Its flow may go on, but not under this name or not to this receiver: the session ends,
    /// and the next packet begins another. For TCP that is a segment in the middle of a
    /// conversation, which begins one only where the rule picks up, and to the peer it comes
    /// from a stranger: the connection breaks.
    TranslatedAnew,
    /// It ends.
    Ends(EndReason),
}

/// Why a session ends that no other takes the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Whoever began it may not any more; as what his packets are dropped.
    Policy(DropReason),
    /// Nothing leads in to its receiver any more.
    Forward,
}

/// How a session came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Who is inside began it, and got a name outside.
    Translated,
    /// Who is inside began it, and got a name outside by which it came in again.
    Hairpin,
    /// It goes under its own names.
    Tracked,
    /// Who is outside began it, and a forward led in.
    Forwarded,
    /// Who is outside began it by a name that lets strangers in.
    LetIn,
    /// Who is outside began it, and is hidden from who is inside behind a name.
    Hidden,
}

/// What a judge must know of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts<A> {
    /// Routing domain of who is inside.
    pub vrf: VrfId,
    /// IP protocol.
    pub protocol: u8,
    /// Who is inside: address, and port or echo identifier.
    pub inside: (A, u16),
    /// Who is inside, as the outside sees it.
    pub outside: (A, u16),
    /// The peer; 0 as port of an echo.
    pub peer: (A, u16),
    /// What who is inside calls a peer that is hidden from him.
    pub peer_as: Option<(A, u16)>,
    /// Was it begun by the peer?
    pub from_outside: bool,
    /// How it came to be.
    pub basis: Basis,
}

impl<A: Address> Facts<A> {
    /// Of a session.
    pub fn of(session: &Session<A>) -> Facts<A> {
        let Session { forth, back, .. } = session;
        let from_outside = session.is_inbound();
        let bound = session.binding != Session::<A>::UNBOUND;
        let is_led_in = (forth.dst, forth.dst_port) != (back.src, back.src_port);
        let basis = match (from_outside, bound) {
            (false, true) if back.hairpin != 0 => Basis::Hairpin,
            (false, true) => Basis::Translated,
            (true, true) if is_led_in => Basis::LetIn,
            (true, true) => Basis::Hidden,
            (true, false) if is_led_in => Basis::Forwarded,
            _ => Basis::Tracked,
        };
        let (outward, inward) = (session.outward(), session.inward());
        Facts {
            vrf: outward.vrf,
            protocol: forth.protocol,
            inside: (outward.src, outward.src_port),
            outside: (inward.dst, inward.dst_port),
            // As the initiator's packets have it: of an echo, only they say nothing of the peer's port.
            peer: if from_outside { (forth.src, forth.src_port) } else { (forth.dst, forth.dst_port) },
            peer_as: (basis == Basis::Hidden).then_some((back.dst, back.dst_port)),
            from_outside,
            basis,
        }
    }

    /// Of a session that was listed; `None`: it is of the other family.
    pub fn of_row(row: &SessionRow) -> Option<Facts<A>> {
        let end = |(address, port): (IpAddr, u16)| A::from_ip(address).map(|address| (address, port));
        let SessionRow { vrf, protocol, forwarded, basis, .. } = *row;
        let (inside, outside, peer) = (end(row.inside)?, end(row.outside)?, end(row.peer)?);
        let peer_as = row.peer_as.and_then(end);
        Some(Facts { vrf, protocol, inside, outside, peer, peer_as, from_outside: forwarded, basis })
    }

    /// How the packets of who is inside arrive.
    fn outward(&self) -> FlowKey<A> {
        let ((src, src_port), (dst, dst_port)) = (self.inside, self.peer);
        FlowKey { src, dst, src_port, dst_port, vrf: self.vrf, protocol: self.protocol, hairpin: 0 }
    }

    /// How those of who is outside do.
    fn inward(&self) -> FlowKey<A> {
        let ((src, src_port), (dst, dst_port)) = (self.peer, self.outside);
        FlowKey { src, dst, src_port, dst_port, vrf: VrfId::MAIN, protocol: self.protocol, hairpin: 0 }
    }
}

impl<A: Address> Judge<A> {
    /// For these tables in the place of those.
    pub fn new(before: &Tables<A>, tables: &Tables<A>, ports: &[PortEntry]) -> Judge<A> {
        let mut was = HashMap::new();
        for (pool, at, address) in addresses(&before.pools) {
            was.insert(address, (pool, at));
        }
        let mut places = HashMap::new();
        for (pool, address, name) in addresses(&tables.pools) {
            let before_it = was.get(&name).copied();
            let is_own = tables.pools[pool.index()].is_one_hosts(&tables.forwards);
            let was_own = |(pool, _): (PoolId, u32)| before.pools[pool.index()].is_one_hosts(&before.forwards);
            let is_kept = before_it.is_none_or(|place| was_own(place) == is_own);
            places.insert(name, Place { pool, address, before: before_it, is_kept });
        }
        let mut masquerades = vec![false; tables.pools.len()];
        for pool in ports.iter().filter_map(|port| port.masquerade) {
            masquerades[pool.index()] = true;
        }
        Judge {
            egress: Arc::clone(&tables.egress),
            selected: tables.selected.clone(),
            pools: Arc::clone(&tables.pools),
            before: Arc::clone(&before.pools),
            forwards: Arc::clone(&tables.forwards),
            masquerades,
            places,
        }
    }

    /// What becomes of a session. Looks at the rules of one routing domain at most.
    pub fn judge(&self, facts: &Facts<A>) -> Outcome {
        self.judge_at(facts, Since::Before)
    }

    /// As [`Judge::judge`], of a session whose name is known to be given out by these tables or by
    /// those before.
    pub(super) fn judge_at(&self, facts: &Facts<A>, since: Since) -> Outcome {
        match facts.basis {
            Basis::Forwarded => self.forwarded(facts),
            Basis::Tracked => self.tracked(facts),
            Basis::Translated | Basis::Hairpin | Basis::LetIn => {
                self.named(&facts.outward(), facts.outside, facts.basis, since)
            }
            Basis::Hidden => self.named(&facts.inward(), facts.peer_as.unwrap_or_default(), facts.basis, since),
        }
    }

    /// As [`Judge::judge`], of a session that was listed; `None`: it is of the other family.
    pub fn judge_row(&self, row: &SessionRow) -> Option<Outcome> {
        Facts::of_row(row).map(|facts| self.judge(&facts))
    }

    fn forwarded(&self, facts: &Facts<A>) -> Outcome {
        let flow = facts.inward();
        let Some(forward) = self.forwards.find(&flow) else {
            return Outcome::Ends(EndReason::Forward);
        };
        let answer = forward.answer(&flow);
        if (answer.vrf, answer.src, answer.src_port) == (facts.vrf, facts.inside.0, facts.inside.1) {
            Outcome::Survives
        } else {
            Outcome::TranslatedAnew
        }
    }

    fn tracked(&self, facts: &Facts<A>) -> Outcome {
        // A forward may lead to whoever has the address anyway.
        if facts.from_outside && self.forwarded(facts) == Outcome::Survives {
            return Outcome::Survives;
        }
        let (outward, inward) = (facts.outward(), facts.inward());
        let began = if facts.from_outside { inward } else { outward };
        match self.rule(&began) {
            Err(reason) => Outcome::Ends(EndReason::Policy(reason)),
            Ok(rule) if rule.renames() => Outcome::TranslatedAnew,
            Ok(_) => Outcome::Survives,
        }
    }

    /// Of a session whose one end sends `flow` and has this name toward the other.
    fn named(&self, flow: &FlowKey<A>, (address, port): (A, u16), basis: Basis, since: Since) -> Outcome {
        let first = match self.rule(flow) {
            Ok(rule) => rule,
            Err(reason) => return Outcome::Ends(EndReason::Policy(reason)),
        };
        let renaming = || self.about(flow).find(|rule| rule.renames());
        let rule = if basis == Basis::Hairpin { renaming().unwrap_or(first) } else { first };
        let place = self.places.get(&address).filter(|place| {
            let is_right = match rule.action {
                _ if basis == Basis::LetIn => {
                    rule.renames() && self.pools[place.pool.index()].behavior(flow.protocol).is_open()
                }
                EgressAction::Translate(pool) => place.pool == pool,
                // Whichever port it leaves by: a route that moves ends nothing.
                EgressAction::Masquerade => self.masquerades[place.pool.index()],
                EgressAction::Forward | EgressAction::Track | EgressAction::Drop(_) => false,
            };
            let is_kept = since == Since::Now || self.is_kept(place, flow.protocol);
            is_right && is_kept && self.gives(place, flow.protocol, port)
        });
        if place.is_some() && !self.forwards.holds(address, port, flow) {
            Outcome::Survives
        } else {
            Outcome::TranslatedAnew
        }
    }

    /// The rules about a flow, in their order.
    fn about(&self, flow: &FlowKey<A>) -> impl Iterator<Item = &EgressRule<A>> {
        let rules = self.egress.get(flow.vrf.index()).zip(self.selected.get(flow.vrf.index()));
        rules.into_iter().flat_map(|(rules, selected)| policy::about(rules, selected, flow.src, flow.dst))
    }

    /// The first rule about a flow; why it may not begin, if so.
    fn rule(&self, flow: &FlowKey<A>) -> Result<&EgressRule<A>, DropReason> {
        match self.about(flow).next() {
            None => Err(DropReason::NotInIsland),
            Some(EgressRule { action: EgressAction::Drop(reason), .. }) => Err(*reason),
            Some(rule) => Ok(rule),
        }
    }

    /// May names on an address be kept? Not where its ports were shared by destinations and are
    /// an endpoint's own from now on: nobody knows then which of them are anybody's.
    fn is_kept(&self, place: &Place, protocol: u8) -> bool {
        let shares = |pool: &Pool<A>| pool.behavior(protocol).mapping.shares_ports();
        let shared = place.before.is_some_and(|(was, _)| shares(&self.before[was.index()]));
        place.is_kept && (!shared || shares(&self.pools[place.pool.index()]))
    }

    /// These are selected in the routing domains from now on.
    pub(super) fn select(&mut self, selected: &[Arc<Selected<A>>]) {
        if self.selected.len() == selected.len() {
            self.selected.clone_from_slice(selected);
        }
    }

    /// May the pool give out this port?
    fn gives(&self, place: &Place, protocol: u8, port: u16) -> bool {
        let pool = &self.pools[place.pool.index()];
        let is_portless = keeps_ports(protocol) && protocol != protocol::SCTP;
        if is_portless { pool.other_protocols } else { (pool.first_port..=pool.last_port).contains(&port) }
    }

    /// Where a pool address is.
    pub(super) fn place(&self, address: A) -> Option<&Place> {
        self.places.get(&address)
    }

    /// Where the name of an endpoint is, if the endpoint may keep it.
    pub(super) fn keeps(&self, endpoint: &FlowKey<A>, address: A, port: u16) -> Option<&Place> {
        let protocol = endpoint.protocol;
        let is_to_be = |place: &&Place| self.is_kept(place, protocol) && self.gives(place, protocol, port);
        let place = self.places.get(&address).filter(is_to_be)?;
        (!self.forwards.holds(address, port, endpoint)).then_some(place)
    }

    /// The most rules that are looked at for a session.
    pub(super) fn longest(&self) -> usize {
        self.egress.iter().map(Vec::len).max().unwrap_or(0)
    }
}

impl<A: Address> Pool<A> {
    /// Are names of it given out as those of the other: the same ones, to as many?
    pub(super) fn is_dealt_out_as(&self, other: &Pool<A>) -> bool {
        let terms = |pool: &Pool<A>| (pool.first_port, pool.last_port, pool.tcp.mapping, pool.udp.mapping);
        self.addresses == other.addresses && terms(self) == terms(other)
    }

    /// Are all its addresses a host's own, to whom whatever is for them goes? Then its home
    /// gives out their ports, all of them.
    pub(super) fn is_one_hosts(&self, forwards: &Forwards<A>) -> bool {
        self.addresses.iter().all(|address| forwards.of_address(*address).is_some())
    }
}

fn addresses<A: Address>(pools: &[Pool<A>]) -> impl Iterator<Item = (PoolId, u32, A)> {
    pools.iter().enumerate().flat_map(|(pool, own)| {
        own.addresses.iter().enumerate().map(move |(at, address)| (PoolId(pool as u16), at as u32, *address))
    })
}
