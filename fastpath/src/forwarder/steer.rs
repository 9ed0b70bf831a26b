//! Several workers: whose is a packet that meets NAT?

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use super::fragment::Place;
use super::route::Routed;
use super::set::Set;
use super::walk::{Plan, Walk};
use crate::address::Address;
use crate::burst::Burst;
use crate::fragment::{Datagram, Piece, Standing};
use crate::handoff::{Errand, Granted, Message, Name, Seek, Workers};
use crate::ids::{VrfId, WorkerId};
use crate::nat::{Choice, Translation, keeps_ports};
use crate::parse::{self, L4Kind, Layers, Part};
use crate::session::FlowKey;
use crate::snapshot::Pool;
use crate::verdict::{DropReason, Verdict};
use crate::wire::icmp;

/// What goes between this worker and others.
pub(super) struct Handed {
    pub(super) workers: Workers,
    /// Packets of the burst that another worker handed over.
    pub(super) taken: Set,
    /// Of those, the ones that put the name to use that was lent to them.
    used: Set,
    /// Why they came; and of those that go to another, why they go.
    pub(super) errands: Box<[Errand; Burst::MAX]>,
    /// To whom what is to be told.
    pub(super) messages: VecDeque<(WorkerId, Message)>,
}

impl Handed {
    pub(super) fn new(workers: Workers, messages: usize) -> Handed {
        Handed {
            workers,
            taken: Set::EMPTY,
            used: Set::EMPTY,
            errands: Box::new([Errand::Own; Burst::MAX]),
            messages: VecDeque::with_capacity(messages),
        }
    }

    /// The next burst was handed over, with these errands.
    pub(super) fn take_over(&mut self, errands: &[Errand]) {
        self.errands[..errands.len()].copy_from_slice(errands);
        self.taken = Set::first_ones(errands.len());
    }

    /// They are through: which of them put the name to use that was lent to them?
    pub(super) fn end(&mut self) -> Set {
        self.taken = Set::EMPTY;
        core::mem::take(&mut self.used)
    }

    /// Lets another worker know, if there is room.
    fn tell(&mut self, worker: WorkerId, message: Message) {
        if self.messages.len() < self.messages.capacity() {
            self.messages.push_back((worker, message));
        }
    }
}

impl<A: Address> Walk<'_, A> {
    /// Packets that turned inward at another worker come in from outside.
    pub(super) fn turn_inward_domains(&mut self, packets: Set) {
        for i in packets {
            if self.is_turned_inward(i) {
                self.scratch.domains[i] = VrfId::MAIN;
            }
        }
    }

    /// Nothing from a port looks like a packet that turned inward.
    pub(super) fn turn_inward_keys(&mut self, packets: Set) {
        for i in packets {
            if self.is_turned_inward(i) {
                self.scratch.keys[i].hairpin = 1;
                self.scratch.hashes[i] = self.nat.sessions.announce(&self.scratch.keys[i]);
            }
        }
    }

    /// Did it leave its island at another worker, and comes in here?
    pub(super) fn is_turned_inward(&self, i: usize) -> bool {
        self.handed.taken.contains(i) && self.handed.errands[i] == Errand::Inward
    }

    /// Hands those packets that meet NAT to whose they are. What another worker handed
    /// over was sent to the right one, but for fragments, whose ports only the first shows.
    pub(super) fn steer(&mut self, routed: &mut Routed) {
        let me = self.handed.workers.me();
        for i in routed.egress {
            if self.handed.taken.contains(i) {
                continue;
            }
            let home = self.home_of_sender(i);
            if home != me {
                routed.egress.remove(i);
                self.verdicts[i] = self.hand_off(i, home, Errand::Own);
            }
        }
        for i in routed.pool {
            match self.whose(i) {
                Ok((to, _)) if to == me => {}
                Ok((to, errand)) => {
                    routed.pool.remove(i);
                    self.verdicts[i] = self.hand_off(i, to, errand);
                }
                Err(reason) => {
                    routed.pool.remove(i);
                    self.drop(i, reason);
                }
            }
        }
    }

    pub(super) fn hand_off(&mut self, i: usize, to: WorkerId, errand: Errand) -> Verdict {
        self.handed.errands[i] = errand;
        Verdict::HandOff(to)
    }

    /// The home of the host inside that sends a packet out of its island, or gets one under
    /// its own name. An error is about a packet for some host, and belongs where that host's
    /// sessions are.
    fn home_of_sender(&self, i: usize) -> WorkerId {
        if self.scratch.domains[i] == VrfId::MAIN {
            return self.handed.workers.home(self.scratch.beyond[i], self.scratch.targets[i]);
        }
        let layers = self.look_into(i);
        let quoted = if layers.kind == L4Kind::IcmpError { self.quoted(i, &layers) } else { None };
        self.handed.workers.home(layers.key.vrf, quoted.map_or(layers.key.src, |quoted| quoted.dst))
    }

    /// Whose is a packet from outside to an address that stands for islands?
    fn whose(&mut self, i: usize) -> Result<(WorkerId, Errand), DropReason> {
        let (me, taken) = (self.handed.workers.me(), self.handed.taken.contains(i));
        let layers = self.look_into(i);
        let flow = match layers.kind {
            L4Kind::Fragment => match parse::fragment(self.frames[i].bytes(), &layers) {
                Ok(parse::Fragment { part: Part::Whole(shown) | Part::First(shown, _), .. }) => shown.key,
                Ok(parse::Fragment { datagram, part: Part::Later(piece) }) => {
                    return self.whose_fragment(i, &datagram, piece);
                }
                // To be dropped, by whomever.
                Err(_) => return Ok((me, Errand::Own)),
            },
            // An error goes where the answers go to what it quotes.
            L4Kind::IcmpError => match self.quoted(i, &layers) {
                Some(quoted) => quoted.reversed(),
                None => return Ok((me, Errand::Own)),
            },
            _ => layers.key,
        };
        Ok((if taken { me } else { self.owner(&flow) }, Errand::Own))
    }

    /// Whose is a later fragment from outside? Of all workers one keeps what is known of its
    /// datagram, and early ones.
    fn whose_fragment(
        &mut self,
        i: usize,
        datagram: &Datagram<A>,
        piece: Piece,
    ) -> Result<(WorkerId, Errand), DropReason> {
        let (workers, taken) = (self.handed.workers, self.handed.taken.contains(i));
        if let (true, Errand::Fragment(flow)) = (taken, self.handed.errands[i]) {
            // Its keeper says whose it is, unless the name is lent.
            let borrower = flow.key().and_then(|flow| self.nat.borrower(&flow));
            return Ok((borrower.unwrap_or(workers.me()), Errand::Fragment(flow)));
        }
        let Standing::Known { number, flow } = self.fragments.standing(datagram, self.now, self.counters) else {
            let (src, dst) = datagram.hosts();
            return Ok((if taken { workers.me() } else { workers.of_fragments(src, dst) }, Errand::Own));
        };
        if self.find(&flow).is_some() {
            return Ok((workers.me(), Errand::Own));
        }
        let to = self.nat.borrower(&flow).unwrap_or(self.owner(&flow));
        if to != workers.me() {
            self.fragments.pass(number, piece, self.counters)?;
        }
        let errand = if self.is_turned_inward(i) { Errand::Inward } else { Errand::Fragment(Name::of(&flow)) };
        Ok((to, errand))
    }

    /// Whose is a flow from outside? That of the host that it is forwarded to, or of whoever
    /// gives out the port.
    pub(super) fn owner(&self, flow: &FlowKey<A>) -> WorkerId {
        let workers = &self.handed.workers;
        match self.tables.forward(flow) {
            Some(forward) => workers.home(forward.vrf, forward.address),
            None => workers.of_port(flow.dst_port),
        }
    }

    /// The other worker where what looks like this outside comes in, if it is another.
    pub(super) fn elsewhere(&mut self, outside: &FlowKey<A>) -> Option<WorkerId> {
        let me = self.handed.workers.me();
        if self.handed.workers.is_alone() || self.find(outside).is_some() {
            return None;
        }
        let owner = self.owner(outside);
        if owner != me {
            Some(owner)
        } else if self.tables.forward(outside).is_some() {
            None
        } else {
            self.nat.borrower(outside)
        }
    }

    /// Hands a packet from outside that no session expects to the worker that borrowed the
    /// name it is for. `false`: there is none.
    pub(super) fn hand_to_borrower(&mut self, i: usize) -> bool {
        let layers = self.look_into(i);
        let flow = match (layers.kind, self.scratch.kinds[i]) {
            (L4Kind::IcmpError, _) => self.quoted(i, &layers).map(|quoted| quoted.reversed()),
            // Of a fragment, the flow that it was recognized as a part of.
            _ => Some(self.scratch.keys[i]),
        };
        // What is forwarded by now is not for whoever once had the name.
        let lent = flow.filter(|flow| self.tables.forward(flow).is_none());
        let Some(borrower) = lent.and_then(|flow| self.nat.borrower(&flow)) else {
            return false;
        };
        let errand = if self.is_turned_inward(i) { Errand::Inward } else { Errand::Own };
        // Those that turned inward come here, not to their keeper: the first one says of the others.
        if errand == Errand::Inward
            && self.scratch.fragments.contains(i)
            && let Place::First { datagram, piece, .. } = self.scratch.places[i]
            && let Err(reason) = self.fragments.first(&datagram, piece, self.scratch.keys[i], self.now, self.counters)
        {
            self.drop(i, reason);
            return true;
        }
        self.verdicts[i] = self.hand_off(i, borrower, errand);
        true
    }

    /// The flow that an ICMP error quotes.
    fn quoted(&self, i: usize, layers: &Layers<A>) -> Option<FlowKey<A>> {
        let message = &self.frames[i].bytes()[layers.l4 as usize..layers.end as usize];
        let quoted = parse::quote::<A>(message.get(icmp::HEADER_LEN..)?)?;
        let hairpin = self.is_turned_inward(i).into();
        Some(FlowKey { vrf: layers.key.vrf, hairpin, ..quoted.key })
    }

    /// The first fragment of a datagram from outside went through: whoever keeps early ones
    /// is told.
    pub(super) fn tell_of_fragment(&mut self, datagram: &Datagram<A>, piece: Piece, flow: &FlowKey<A>) {
        let (src, dst) = datagram.hosts();
        let keeper = self.handed.workers.of_fragments(src, dst);
        if keeper != self.handed.workers.me() {
            let message = Message::FirstFragment { datagram: datagram.tell(), piece, flow: Name::of(flow) };
            self.handed.tell(keeper, message);
        }
    }

    /// Begins a session under a name that some worker has for it.
    pub(super) fn begin_among(
        &mut self,
        i: usize,
        key: &FlowKey<A>,
        translation: Translation,
    ) -> Result<Plan, DropReason> {
        if !self.nat.is_dealt_out(translation.pool) {
            return self.begin_session(key, translation, Choice::Any);
        }
        let workers = self.handed.workers;
        let errand = if self.handed.taken.contains(i) { self.handed.errands[i] } else { Errand::Own };
        let mut seek = match errand {
            Errand::Granted(Granted { name, address, since })
                if since == self.nat.since() && !self.nat.is_named(key, translation.pool) =>
            {
                if let Some(outside) = name.key() {
                    // A session that tables before have let in may have it yet.
                    if self.find(&outside).is_some() {
                        return Err(DropReason::NatConflict);
                    }
                    let plan = self.begin_session(key, translation, Choice::Lent { address, outside })?;
                    self.handed.used.insert(i);
                    return Ok(plan);
                }
                return Err(DropReason::NatConflict);
            }
            Errand::Seek(seek) if seek.since == self.nat.since() => seek,
            // Other tables came between: the next packet of the flow has better luck.
            Errand::Seek(_) => return Err(DropReason::HandOffStale),
            _ => Seek::new(&workers, self.wish(key, translation), self.nat.since()),
        };
        while let Some(whom) = seek.whom(&workers) {
            if whom != workers.me() {
                let verdict = self.hand_off(i, whom, Errand::Seek(seek));
                self.verdicts[i] = verdict;
                return Ok(Plan::HandedOff);
            }
            let choice = if seek.takes_any(&workers) { Choice::Any } else { Choice::Paired };
            let named = if seek.from == workers.me() {
                self.begin_session(key, translation, choice)
            } else {
                self.lend(i, key, translation, choice, &seek)
            };
            match named {
                Err(DropReason::NatPortsExhausted) => seek = seek.on(),
                named => return named,
            }
        }
        self.nat.exhausted(key, translation.pool);
        Err(DropReason::NatPortsExhausted)
    }

    /// The port that a flow would like to keep, or must, and that another worker gives out.
    fn wish(&self, key: &FlowKey<A>, translation: Translation) -> Option<u16> {
        if keeps_ports(key.protocol) {
            return Some(key.src_port);
        }
        let Pool { keep_ports, first_port, last_port, .. } = self.tables.pools[translation.pool.index()];
        let wishes = keep_ports
            && (first_port..=last_port).contains(&key.src_port)
            && !self.nat.is_named(key, translation.pool)
            && !self.nat.gives_out(translation.pool, key.src_port);
        wishes.then_some(key.src_port)
    }

    /// Lends a name to the home of a packet that came to seek one.
    fn lend(
        &mut self,
        i: usize,
        key: &FlowKey<A>,
        translation: Translation,
        choice: Choice<A>,
        seek: &Seek,
    ) -> Result<Plan, DropReason> {
        let (address, outside) = self.nat.lend(key, translation, choice, seek.from, self.chance)?;
        let granted = Granted { name: Name::of(&outside), address, since: seek.since };
        self.verdicts[i] = self.hand_off(i, seek.from, Errand::Granted(granted));
        Ok(Plan::HandedOff)
    }
}
