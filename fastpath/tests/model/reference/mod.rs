//! The NAT as the rules have it: every question is asked of every session there is.
//!
//! Written from `docs/rfc.md` and what `nat/` and `forwarder/` say they do, not from how.
//! Where the rules leave a choice, [`RefNat`] is told what was chosen and judges whether
//! that was allowed.

mod complaint;
mod names;
mod tcp;

use causeway_fastpath::command::SessionRow;
use causeway_fastpath::ids::{AdjacencyId, VrfId};
use causeway_fastpath::nat::Basis;
use causeway_fastpath::snapshot::NeighborState;
use causeway_fastpath::verdict::DropReason;
use causeway_testkit::packet::{ACK, FIN, RST, SYN};

use crate::flow::{Flow, Packet, Protocol};
use crate::scene::{DNS_MS, Scene, TIMEOUTS};
use crate::traffic::Item;
use crate::world::Endpoint;
pub(crate) use names::NO_NAME;
pub(crate) use tcp::{Conversation, Way};

/// Sessions end at ticks.
const TICK_MS: u64 = 250;

/// One conversation.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// How the initiator's packets arrive.
    pub(crate) forth: Flow,
    /// How the answers arrive.
    pub(crate) back: Flow,
    /// The pool its name is from; `None` where a forward leads in, or it keeps its own.
    pool: Option<usize>,
    /// Was it begun from outside?
    inbound: bool,
    created: u64,
    last: u64,
    packets: [u32; 2],
    pub(crate) tcp: Conversation,
}

/// A session, and which way a packet goes through it.
pub(crate) type Found = (usize, Way);

/// What becomes of a packet.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// To this neighbour, as this.
    Forward(AdjacencyId, Item),
    /// Its sender is told why not.
    Refuse(DropReason),
    /// In silence.
    Drop(DropReason),
    /// The gateway answers the ping.
    Pong,
    /// Control looks for the neighbour.
    Punt,
}

/// Beside the verdicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) out: u64,
    pub(crate) inward: u64,
    pub(crate) errors: u64,
    pub(crate) begun: u64,
    pub(crate) ended: u64,
}

/// What was chosen where the rules leave a choice.
pub(crate) trait Chosen {
    /// Under which name does this flow leave, if it does?
    fn name(&self, flow: &Flow) -> Option<Endpoint>;
}

/// The reference.
pub(crate) struct RefNat {
    pub(crate) scene: Scene,
    pub(crate) sessions: Vec<Session>,
    /// Flows of some sessions that ended lately.
    pub(crate) ended: Vec<(Flow, Flow)>,
    pub(crate) tally: Tally,
    /// In milliseconds.
    pub(crate) now: u64,
    homes: names::Homes,
    rests: Vec<names::Rest>,
    /// Are there sessions yet whose end the other one has not noticed? They may keep names from
    /// those that come.
    pub(crate) unsettled: bool,
}

impl RefNat {
    pub(crate) fn new(scene: Scene, now: u64) -> RefNat {
        RefNat {
            scene,
            sessions: Vec::new(),
            ended: Vec::new(),
            tally: Tally::default(),
            now,
            homes: names::Homes::default(),
            rests: Vec::new(),
            unsettled: false,
        }
    }

    /// Timers run: what was silent for too long ends, with the next tick at the latest.
    pub(crate) fn tick(&mut self, listed: &[SessionRow]) {
        let (now, scene) = (self.now, self.scene.clone());
        self.end(|session| {
            let must = session.deadline().div_ceil(TICK_MS) <= now / TICK_MS;
            let may = session.deadline() <= now;
            must || (may && !listed.contains(&session.row(&scene, now)))
        });
        self.rests.retain(|rest| rest.since + u64::from(TIMEOUTS.rest_ms) > now);
    }

    /// Everything changes, and the sessions end that would not begin now under their names.
    pub(crate) fn install(&mut self, scene: Scene) {
        if scene.addresses != self.scene.addresses {
            self.homes = names::Homes::default();
        }
        // The ports of a host's own address are dealt out otherwise once it is closed or opened.
        let toggled = scene.has_own && scene.own_is_open != self.scene.own_is_open;
        self.scene = scene.clone();
        let is_kept = |pool: usize| !(toggled && pool == 1);
        self.end(|session| !session.is_legal(&scene) || session.pool.is_some_and(|pool| !is_kept(pool)));
        self.rests.retain(|rest| rest.is_legal(&scene) && is_kept(rest.pool()));
    }

    fn end(&mut self, over: impl Fn(&Session) -> bool) {
        let ended: Vec<Session> = self.sessions.extract_if(.., |session| over(session)).collect();
        for session in ended {
            self.tally.ended += 1;
            self.ended.push((session.forth, session.back));
            self.rest(&session);
        }
        let old = self.ended.len().saturating_sub(8);
        self.ended.drain(..old);
    }

    /// A packet comes from an island. One that `turned` left it at one worker, and came in at
    /// another: whatever becomes of it there, it has left.
    pub(crate) fn go_out(&mut self, packet: &Packet, chosen: &impl Chosen, turned: bool) -> Result<Fate, String> {
        let flow = packet.flow;
        if self.scene.pods(flow.vrf).contains(&flow.dst.0) {
            return Ok(self.hand_over(self.scene.neighbor(flow.vrf, flow.dst.0), *packet, &[]));
        }
        let first = match self.find(&flow) {
            Some(found) => found,
            None => {
                let echo = matches!(flow.protocol, Protocol::Ask | Protocol::Reply);
                if echo && self.scene.is_gateways(flow.dst.0) {
                    return Ok(local(packet, true));
                }
                if self.scene.is_denied(&flow) {
                    return Ok(Fate::Refuse(DropReason::PolicyDenied));
                }
                let is_picked_up = self.scene.picks_up && goes_on(packet);
                if let (Err(reason), false) = (opens(packet), is_picked_up) {
                    return Ok(Fate::Drop(reason));
                }
                // No name is spent on what cannot go on.
                let neighbor = self.scene.neighbor(VrfId::MAIN, flow.dst.0);
                if !self.scene.is_public(flow.dst.0) && self.scene.state(neighbor) != NeighborState::Reachable {
                    return Ok(self.hand_over(neighbor, *packet, &[]));
                }
                match self.begin(&flow, chosen)? {
                    Ok(number) => {
                        if is_picked_up {
                            self.sessions[number].tcp = Conversation::picked_up();
                        }
                        (number, Way::Forth)
                    }
                    Err(reason) => return Ok(refuse(reason)),
                }
            }
        };
        let outside = Packet { flow: self.beyond(first), ..*packet };
        if !self.scene.is_public(outside.flow.dst.0) {
            let neighbor = self.scene.neighbor(VrfId::MAIN, outside.flow.dst.0);
            return Ok(self.hand_over(neighbor, outside, &[first]));
        }
        // Out and in again (RFC 4787 REQ-9).
        if turned {
            self.go_through(&outside, &[first]);
            return Ok(match self.enter(&outside) {
                Ok(second) => self.go_home(outside, &[second]),
                Err(_) if self.scene.is_gateways(outside.flow.dst.0) => Fate::Drop(DropReason::LocalUnwanted),
                Err(reason) => refuse(reason),
            });
        }
        Ok(match self.enter(&outside) {
            Ok(second) => self.go_home(outside, &[first, second]),
            Err(DropReason::NatUnsolicited) if self.scene.is_gateways(outside.flow.dst.0) => local(packet, true),
            Err(reason) => refuse(reason),
        })
    }

    /// A packet comes from outside, for an address that stands for islands.
    pub(crate) fn come_in(&mut self, packet: &Packet) -> Fate {
        // Who has such an address is inside.
        if self.scene.is_public(packet.flow.src.0) {
            return Fate::Drop(DropReason::MartianSource);
        }
        match self.enter(packet) {
            Ok(found) => self.go_home(*packet, &[found]),
            Err(_) if self.scene.is_gateways(packet.flow.dst.0) => local(packet, false),
            Err(reason) => refuse(reason),
        }
    }

    /// The session by which a packet comes in: strangers make none.
    fn enter(&mut self, packet: &Packet) -> Result<Found, DropReason> {
        if let Some(found) = self.find(&packet.flow) {
            return Ok(found);
        }
        let forward = self.scene.forward(&packet.flow).map(|(to, vrf)| (to, vrf, None));
        let (to, vrf, pool) = forward.or_else(|| self.reached(&packet.flow)).ok_or(DropReason::NatUnsolicited)?;
        opens(packet)?;
        // Half of the table is for those inside.
        let inbound = self.sessions.iter().filter(|session| session.inbound).count();
        if inbound >= self.scene.capacity.div_ceil(2) {
            return Err(DropReason::NatTableFull);
        }
        let back = Flow { vrf, src: to, ..packet.flow.answered() };
        if self.find(&back).is_some() {
            return Err(DropReason::NatConflict);
        }
        if self.sessions.len() == self.scene.capacity {
            return Err(DropReason::NatTableFull);
        }
        Ok((self.add(packet.flow, back, pool, true), Way::Forth))
    }

    /// To the pod that the last session says.
    fn go_home(&mut self, outside: Packet, path: &[Found]) -> Fate {
        let home = Packet { flow: self.beyond(path[path.len() - 1]), ..outside };
        self.hand_over(self.scene.neighbor(home.flow.vrf, home.flow.dst.0), home, path)
    }

    /// To a neighbour, if it is there, through these sessions.
    fn hand_over(&mut self, to: AdjacencyId, packet: Packet, path: &[Found]) -> Fate {
        match self.scene.state(to) {
            NeighborState::Dead => return Fate::Refuse(DropReason::NeighborDead),
            NeighborState::Pending => return Fate::Punt,
            NeighborState::Reachable => {}
        }
        self.go_through(&packet, path);
        Fate::Forward(to, Item::Packet(packet))
    }

    /// Through sessions.
    fn go_through(&mut self, packet: &Packet, path: &[Found]) {
        for (number, way) in path {
            let session = &mut self.sessions[*number];
            session.packets[*way as usize] += 1;
            // What its receiver would not take keeps nothing alive.
            if packet.flow.protocol != Protocol::Tcp || session.tcp.pass(packet.segment, *way) {
                session.last = self.now;
            }
            // Into an island by its own name, a packet leaves the outside like any that leaves.
            let inward = session.answer(*way).vrf != VrfId::MAIN && !session.keeps_name();
            *(if inward { &mut self.tally.inward } else { &mut self.tally.out }) += 1;
        }
    }

    /// The session of a flow.
    pub(crate) fn find(&self, flow: &Flow) -> Option<Found> {
        let back = self.sessions.iter().position(|session| session.back == *flow).map(|at| (at, Way::Back));
        back.or_else(|| self.sessions.iter().position(|session| session.forth == *flow).map(|at| (at, Way::Forth)))
    }

    /// As what a packet leaves that goes through a session this way.
    fn beyond(&self, (number, way): Found) -> Flow {
        self.sessions[number].answer(way).answered()
    }

    fn add(&mut self, forth: Flow, back: Flow, pool: Option<usize>, inbound: bool) -> usize {
        let tcp = Conversation::default();
        let now = self.now;
        self.sessions.push(Session { forth, back, pool, inbound, created: now, last: now, packets: [0; 2], tcp });
        self.tally.begun += 1;
        self.sessions.len() - 1
    }

    /// The sessions as they are listed.
    pub(crate) fn rows(&self) -> Vec<SessionRow> {
        self.sessions.iter().map(|session| session.row(&self.scene, self.now)).collect()
    }
}

impl Session {
    /// How what answers a packet arrives that goes through this way.
    pub(crate) fn answer(&self, way: Way) -> Flow {
        if way == Way::Forth { self.back } else { self.forth }
    }

    /// Is it tracked under its own name?
    fn keeps_name(&self) -> bool {
        self.pool.is_none() && !self.inbound
    }

    /// How long it may be silent, in milliseconds.
    pub(crate) fn timeout(&self) -> u64 {
        u64::from(match self.forth.protocol {
            Protocol::Tcp if self.tcp.is_open() => TIMEOUTS.tcp_established_ms,
            Protocol::Tcp => TIMEOUTS.tcp_transitory_ms,
            Protocol::Udp if self.forth.dst.1 == 53 => DNS_MS,
            Protocol::Udp => TIMEOUTS.udp_ms,
            Protocol::Ask | Protocol::Reply => TIMEOUTS.icmp_ms,
        })
    }

    /// When it ends if it stays silent, in milliseconds.
    pub(crate) fn deadline(&self) -> u64 {
        self.last + self.timeout()
    }

    fn row(&self, scene: &Scene, now: u64) -> SessionRow {
        let Session { forth, back, packets: [to_peer, from_peer], .. } = *self;
        let forwarded = self.inbound;
        let idle = now - self.last;
        let (inside, outside, peer, packets_out, packets_in) = if forwarded {
            (back.src, forth.dst, forth.src, from_peer, to_peer)
        } else {
            (forth.src, back.dst, forth.dst, to_peer, from_peer)
        };
        SessionRow {
            vrf: if forwarded { back.vrf } else { forth.vrf },
            protocol: forth.protocol.number(scene.family),
            inside,
            outside,
            peer,
            peer_as: None,
            forwarded,
            basis: match (self.pool, self.inbound) {
                (Some(_), true) => Basis::LetIn,
                (Some(_), false) if scene.is_public(forth.dst.0) => Basis::Hairpin,
                (Some(_), false) => Basis::Translated,
                (None, true) => Basis::Forwarded,
                (None, false) => Basis::Tracked,
            },
            state: if forth.protocol == Protocol::Tcp { self.tcp.name() } else { "" },
            packets_out,
            packets_in,
            age_ms: (now - self.created) as u32,
            idle_ms: idle as u32,
            expires_ms: self.timeout().saturating_sub(idle) as u32,
        }
    }
}

/// May a packet open a session?
fn opens(packet: &Packet) -> Result<(), DropReason> {
    match packet.flow.protocol {
        Protocol::Tcp if packet.segment.flags & (SYN | ACK | RST | FIN) != SYN => Err(DropReason::NatTcpNotSyn),
        Protocol::Reply => Err(DropReason::NatUnsolicited),
        _ => Ok(()),
    }
}

/// May it be a packet of a conversation that is open?
fn goes_on(packet: &Packet) -> bool {
    packet.flow.protocol == Protocol::Tcp && packet.segment.flags & (SYN | ACK | RST) == ACK
}

/// Who waits for a name is told that there is none (RFC 5508 REQ-8); others are not.
fn refuse(reason: DropReason) -> Fate {
    match reason {
        DropReason::NatPortsExhausted | DropReason::NatTableFull | DropReason::NatNoPool => Fate::Refuse(reason),
        reason => Fate::Drop(reason),
    }
}

/// To the gateway itself. Nobody outside is told that there is no such service: his SYN may
/// cross one from inside (RFC 5382 REQ-4).
fn local(packet: &Packet, inside: bool) -> Fate {
    match packet.flow.protocol {
        Protocol::Ask => Fate::Pong,
        Protocol::Udp => Fate::Refuse(DropReason::LocalUnwanted),
        Protocol::Tcp if inside && opens(packet).is_ok() => Fate::Refuse(DropReason::LocalUnwanted),
        Protocol::Tcp | Protocol::Reply => Fate::Drop(DropReason::LocalUnwanted),
    }
}
