//! The packet's walk: a burst goes in, a verdict a packet comes out.

mod begin_anew;
mod classify;
mod forward;
mod fragment;
mod group;
mod hairpin;
mod inbound;
mod listing;
mod local;
mod outbound;
mod refuse;
mod rewrite;
mod route;
mod set;
mod settle;
mod stage;
mod steer;
mod walk;

use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::address::Address;
use crate::burst::Burst;
use crate::chance::Chance;
use crate::command::{SessionCursor, SessionKill, SessionPage, SessionRow};
use crate::counters::Counters;
use crate::fragment::{self as fragments, Cuttings, Datagram, Table};
use crate::frame::Frame;
use crate::handoff::{Errand, Granted, Message, Name, Workers};
use crate::ids::WorkerId;
use crate::limiter::{ErrorLimit, TokenBucket};
use crate::nat::{Facts, Nat, timeout_ms};
use crate::session::Session;
use crate::snapshot::{Snapshot, Timeouts};
use crate::time::Instant;
use crate::verdict::Verdict;
use crate::wire::protocol;
use settle::Rooms;
pub use stage::Stage;
use steer::Handed;
use walk::{Limits, Scratch, Walk};

/// Punts of each kind that a worker sends to control, a second.
const PUNTS_PER_SECOND: u32 = 5_000;
/// Pings to the gateway in fragments that a worker answers, a second. Each may be remembered for
/// ten seconds, beside the datagrams of sessions.
const FRAGMENTED_PINGS_PER_SECOND: u32 = 100;
/// Sessions that one call of [`Forwarder::handle_timeout`] looks at.
const EXPIRY_BUDGET: u32 = 64;
/// Further ones that it looks at, at most, because so many began since the last call.
const MOST_BEGUN: u32 = 256;
/// Sessions that one call of [`Forwarder::handle_timeout`] judges after a change of tables.
const SETTLE_BUDGET: u32 = 256;
/// Messages about fragments that wait to be sent to other workers. More are lost, and the
/// fragments with them.
const TIDINGS: usize = 256;
/// Records that one call of [`Forwarder::end_sessions`] looks at, at most.
const KILL_BUDGET: usize = 256;

/// What a worker knows: the tables it was given, the sessions it owns, what it counted.
///
/// Four kinds of methods: [`Forwarder::process`] for packets, `install`,
/// `list_sessions` and `end_sessions` for commands, [`Forwarder::handle_timeout`] for time, and
/// getters. None of them waits, and warmed up none of them allocates.
pub struct Forwarder {
    snapshot: Arc<Snapshot>,
    v4: Nat<u32>,
    v6: Nat<u128>,
    fragments4: Table<u32>,
    fragments6: Table<u128>,
    cuttings: Cuttings,
    scratch4: Box<Scratch<u32>>,
    scratch6: Box<Scratch<u128>>,
    limits: Limits,
    chance: Chance,
    counters: Counters,
    handed: Handed,
    /// Which family's timers go first.
    v6_first: bool,
    /// Sessions begun up to the last call of the timers.
    created_before: u64,
    rooms: Rooms,
}

/// How large a forwarder may grow.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// IPv4 sessions.
    pub sessions_v4: usize,
    /// IPv6 sessions.
    pub sessions_v6: usize,
    /// Fragments of datagrams that are translated, in each family.
    pub fragments: fragments::Capacity,
}

impl Forwarder {
    /// A forwarder that drops everything until tables are installed.
    ///
    /// `seed` decides about every choice left to chance: ports and hashes.
    pub fn new(capacity: Capacity, seed: [u8; 32], now: Instant) -> Forwarder {
        Forwarder::of(Workers::ALONE, capacity, seed, now)
    }

    /// The forwarder of one of several workers.
    pub fn of(workers: Workers, capacity: Capacity, seed: [u8; 32], now: Instant) -> Forwarder {
        let mut chance = Chance::new(seed);
        Forwarder {
            snapshot: Arc::new(Snapshot::closed()),
            v4: Nat::new(capacity.sessions_v4, chance.seed(), workers, now),
            v6: Nat::new(capacity.sessions_v6, chance.seed(), workers, now),
            fragments4: Table::new(capacity.fragments, chance.seed()),
            fragments6: Table::new(capacity.fragments, chance.seed()),
            cuttings: Cuttings::new(),
            scratch4: Box::new(Scratch::new()),
            scratch6: Box::new(Scratch::new()),
            limits: Limits {
                errors: ErrorLimit::new(chance.seed()),
                arp: TokenBucket::new(PUNTS_PER_SECOND),
                discovery: TokenBucket::new(PUNTS_PER_SECOND),
                unresolved: TokenBucket::new(PUNTS_PER_SECOND),
                pings: TokenBucket::new(FRAGMENTED_PINGS_PER_SECOND),
                replies: TokenBucket::new(PUNTS_PER_SECOND),
            },
            chance,
            handed: Handed::new(workers, TIDINGS),
            v6_first: false,
            created_before: 0,
            rooms: Rooms::new(),
            counters: Counters::default(),
        }
    }

    /// Decides about every packet of a burst and rewrites those that go on.
    ///
    /// The stages in order: parse, look-up, forward, inbound, outbound, answer, count
    /// ([`Stage`]). Nothing is written to a packet before it is decided what becomes of
    /// it, so an ICMP error quotes the packet as it came.
    pub fn process(&mut self, now: Instant, burst: &mut Burst) {
        self.process_observed(now, burst, &mut |_| {});
    }

    /// As [`Forwarder::process`]; `observe` is called at the end of each stage a burst
    /// went through, so that a bench, which has a clock, can tell what each costs. A
    /// burst of both families goes through the stages behind parse twice.
    #[inline]
    pub fn process_observed(&mut self, now: Instant, burst: &mut Burst, observe: &mut impl FnMut(Stage)) {
        self.counters.received += burst.len() as u64;
        self.decide(now, burst, observe);
    }

    /// As [`Forwarder::process`], for packets that other workers handed over, each with its
    /// errand.
    pub fn process_taken_over(&mut self, now: Instant, burst: &mut Burst, errands: &[Errand]) {
        self.counters.taken_over += burst.len() as u64;
        for errand in errands {
            match errand {
                Errand::Seek(seek) => self.meet(seek.from, seek.incarnation, now),
                Errand::Granted(granted) => {
                    self.meet(granted.name.lender(&self.handed.workers), granted.pact.lender, now);
                }
                Errand::Own | Errand::Inward | Errand::Fragment(_) => {}
            }
        }
        self.handed.take_over(errands);
        self.decide(now, burst, &mut |_| {});
        let used = self.handed.end();
        for (i, errand) in errands.iter().enumerate() {
            // A name that was not put to use goes back.
            if let Errand::Granted(granted) = errand
                && !used.contains(i)
                && self.handed.is_valid(granted)
            {
                if let Some(outside) = granted.name.key() {
                    self.v4.give_back(outside);
                } else if let Some(outside) = granted.name.key() {
                    self.v6.give_back(outside);
                }
            }
        }
    }

    /// With which errand the packet with this number in the burst that was processed last
    /// goes to another worker: its verdict is [`Verdict::HandOff`].
    pub fn errand(&self, packet: usize) -> Errand {
        self.handed.errands[packet]
    }

    /// A packet could not be handed to this worker: a name that it was lent is free again.
    pub fn hand_off_refused(&mut self, to: WorkerId, errand: Errand) {
        if let Errand::Granted(Granted { name, pact, .. }) = errand
            && pact == self.handed.incarnations.lending_to(to)
        {
            self.take_name_back(name, to);
        }
    }

    /// A name that was lent is free again.
    fn take_name_back(&mut self, name: Name, borrower: WorkerId) {
        if let Some(outside) = name.key() {
            self.v4.take_back(&outside, borrower);
        } else if let Some(outside) = name.key() {
            self.v6.take_back(&outside, borrower);
        }
    }

    /// Are there messages to other workers?
    pub fn has_messages(&self) -> bool {
        self.v4.has_returned() || self.v6.has_returned() || !self.handed.messages.is_empty()
    }

    /// The next message to another worker.
    pub fn poll_message(&mut self) -> Option<(WorkerId, Message)> {
        let workers = self.handed.workers;
        let release = |name: Name| {
            let lender = name.lender(&workers);
            let pact = self.handed.incarnations.borrowing_from(lender);
            (lender, Message::Release { name, from: workers.me(), pact })
        };
        if let Some(outside) = self.v4.next_returned() {
            return Some(release(Name::of(&outside)));
        }
        if let Some(outside) = self.v6.next_returned() {
            return Some(release(Name::of(&outside)));
        }
        self.handed.messages.pop_front()
    }

    /// A message could not be sent now: it comes again, behind those to workers that may
    /// listen.
    pub fn message_refused(&mut self, to: WorkerId, message: Message) {
        match message {
            Message::Release { name, .. } => {
                if let Some(outside) = name.key() {
                    self.v4.not_returned(outside);
                } else if let Some(outside) = name.key() {
                    self.v6.not_returned(outside);
                }
            }
            Message::BegunAnew { .. } | Message::Forgotten { .. } => self.handed.not_told(to, message),
            Message::FirstFragment { .. } => self.handed.tell(to, message),
        }
    }

    /// Heeds what another worker says.
    pub fn handle_message(&mut self, message: Message, now: Instant) {
        match message {
            Message::Release { name, from, pact } => {
                self.meet(from, pact.borrower, now);
                if pact == self.handed.incarnations.lending_to(from) {
                    self.take_name_back(name, from);
                }
            }
            Message::BegunAnew { from, incarnation } => self.meet(from, incarnation, now),
            Message::Forgotten { from, incarnation } => self.handed.incarnations.is_forgotten_by(from, incarnation),
            Message::FirstFragment { datagram, piece, flow } => {
                let counters = &mut self.counters;
                // Were there no room, or a contradiction: the others will not go through.
                if let (Some(datagram), Some(flow)) = (Datagram::told(&datagram), flow.key()) {
                    let _ = self.fragments4.first(&datagram, piece, flow, now, counters);
                } else if let (Some(datagram), Some(flow)) = (Datagram::told(&datagram), flow.key()) {
                    let _ = self.fragments6.first(&datagram, piece, flow, now, counters);
                }
            }
        }
    }

    /// Names that other workers use.
    pub fn lent(&self) -> usize {
        self.v4.lent() + self.v6.lent()
    }

    /// As [`Forwarder::process`], for packets that control held back while a
    /// neighbour was being resolved, each with the errand that it was punted with; without
    /// any, they are their own.
    pub fn process_injected(&mut self, now: Instant, burst: &mut Burst, errands: &[Errand]) {
        self.counters.injected += burst.len() as u64;
        self.handed.take_inward(errands);
        self.decide(now, burst, &mut |_| {});
        self.handed.end();
    }

    /// Fills a burst with fragments that were held and whose first fragment has come
    /// since; says how many. Goes with [`Forwarder::process_released`], until there is none.
    pub fn release(&mut self, burst: &mut Burst) -> usize {
        let before = burst.len();
        let Forwarder { fragments4, fragments6, cuttings, counters, handed, .. } = self;
        while burst.room() > 0
            && let Some(frame) =
                fragments4.next_released(cuttings, counters).or_else(|| fragments6.next_released(cuttings, counters))
        {
            burst.push(frame.lent_by(handed.workers.me()));
        }
        burst.len() - before
    }

    /// As [`Forwarder::process`], for what [`Forwarder::release`] gave. The frames carry
    /// [`BufferOwner::held`](crate::frame::BufferOwner::held) and are handed to
    /// [`Forwarder::take_back`] when they were sent or dropped.
    pub fn process_released(&mut self, now: Instant, burst: &mut Burst) {
        self.counters.released += burst.len() as u64;
        self.decide(now, burst, &mut |_| {});
    }

    /// Fills a burst with pieces that were cut off packets of the bursts before, which were
    /// too big for their link; says how many. It is decided about them, and counted: they
    /// go right behind those packets, until there is none. They go back as what
    /// [`Forwarder::release`] gave.
    pub fn cut_off(&mut self, burst: &mut Burst) -> usize {
        let before = burst.len();
        while burst.room() > 0
            && let Some((frame, port)) = self.cuttings.next_ready()
        {
            burst.push_decided(frame.lent_by(self.handed.workers.me()), Verdict::Forward(port));
        }
        burst.len() - before
    }

    /// Takes back a buffer that [`Forwarder::release`] or [`Forwarder::cut_off`] lent out.
    pub fn take_back(&mut self, frame: Frame) {
        match frame.token() {
            Cuttings::TOKEN => self.cuttings.take_back(frame),
            token if token == u64::from(u32::BITS) => self.fragments4.take_back(frame),
            _ => self.fragments6.take_back(frame),
        }
    }

    #[inline(always)]
    fn decide(&mut self, now: Instant, burst: &mut Burst, observe: &mut impl FnMut(Stage)) {
        let (frames, verdicts) = burst.split_mut();
        let inward = self.handed.inward;
        let parsed =
            classify::parse(frames, verdicts, &self.snapshot.ports, inward, &mut self.scratch4, &mut self.scratch6);
        classify::punt_arp(verdicts, parsed.arp, &mut self.limits.arp, now);
        observe(Stage::Parse);
        if !parsed.v4.is_empty() {
            Walk {
                now,
                snapshot: &self.snapshot,
                tables: &self.snapshot.v4,
                nat: &mut self.v4,
                fragments: &mut self.fragments4,
                cuttings: &mut self.cuttings,
                frames,
                verdicts,
                scratch: &mut self.scratch4,
                limits: &mut self.limits,
                handed: &mut self.handed,
                chance: &mut self.chance,
                counters: &mut self.counters,
            }
            .run(&parsed.v4, observe);
        }
        if !parsed.v6.is_empty() {
            Walk {
                now,
                snapshot: &self.snapshot,
                tables: &self.snapshot.v6,
                nat: &mut self.v6,
                fragments: &mut self.fragments6,
                cuttings: &mut self.cuttings,
                frames,
                verdicts,
                scratch: &mut self.scratch6,
                limits: &mut self.limits,
                handed: &mut self.handed,
                chance: &mut self.chance,
                counters: &mut self.counters,
            }
            .run(&parsed.v6, observe);
        }
        self.counters.count_all(verdicts);
        observe(Stage::Count);
    }

    /// Ends sessions that were silent for too long and gives up what is left of datagrams
    /// in fragments: a bounded number a call. Says whether there may be more to do at once.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        // As many as began since the last call, and more, so that ends keep up with
        // beginnings; each family goes first every other time, so that neither waits for
        // the other for ever.
        let begun = (self.counters.sessions_created - self.created_before).min(u64::from(MOST_BEGUN)) as u32;
        self.created_before = self.counters.sessions_created;
        let mut budget = EXPIRY_BUDGET + begun;
        let mut datagrams = EXPIRY_BUDGET;
        let is_settling = self.settle(now, SETTLE_BUDGET);
        self.v6_first = !self.v6_first;
        for v6 in [self.v6_first, !self.v6_first] {
            let timeouts = &self.snapshot.timeouts;
            let ended = &mut self.counters.sessions_ended;
            if v6 {
                while self.v6.expire(now, &mut budget, timeouts) {
                    *ended += 1;
                }
                self.v6.end_rests(now, &mut budget, timeouts);
                self.fragments6.expire(now, &mut datagrams, &mut self.counters);
            } else {
                while self.v4.expire(now, &mut budget, timeouts) {
                    *ended += 1;
                }
                self.v4.end_rests(now, &mut budget, timeouts);
                self.fragments4.expire(now, &mut datagrams, &mut self.counters);
            }
        }
        let behind = self.v4.sessions.is_behind(now) || self.v6.sessions.is_behind(now);
        budget == 0 || behind || is_settling || self.fragments4.is_behind(now) || self.fragments6.is_behind(now)
    }

    /// Fills a page with sessions, from its cursor on. Does not allocate: `rows`
    /// comes with the room it may fill.
    pub fn list_sessions(&self, now: Instant, page: &mut SessionPage) {
        page.rows.clear();
        let limit = page.limit.min(page.rows.capacity() as u32);
        let Some(cursor) = page.cursor.filter(|_| limit > 0) else {
            return;
        };
        let timeouts = &self.snapshot.timeouts;
        let rows = &mut page.rows;
        let next = if cursor.v6 {
            self.v6.sessions.page(cursor.number, limit, |_, session| rows.push(row(session, now, timeouts)))
        } else {
            self.v4.sessions.page(cursor.number, limit, |_, session| rows.push(row(session, now, timeouts)))
        };
        page.cursor = cursor.behind(next);
    }

    /// Ends the sessions of a part of the table that are meant, from its cursor on: a
    /// bounded number a call. Does not allocate.
    pub fn end_sessions(&mut self, now: Instant, kill: &mut SessionKill) {
        let limit = kill.limit.min(KILL_BUDGET as u32);
        let Some(cursor) = kill.cursor.filter(|_| limit > 0) else {
            return;
        };
        let (from, timeouts) = (cursor.number, &self.snapshot.timeouts);
        let (filter, dry_run) = (&kill.filter, kill.dry_run);
        let (met, next) = if cursor.v6 {
            end_met(&mut self.v6, from, limit, dry_run, now, |session| filter.matches(&row(session, now, timeouts)))
        } else {
            end_met(&mut self.v4, from, limit, dry_run, now, |session| filter.matches(&row(session, now, timeouts)))
        };
        kill.met += met;
        kill.cursor = cursor.behind(next);
        if !kill.dry_run {
            self.counters.sessions_ended += met;
        }
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What was counted, for the worker to correct by what ports and rings refused.
    pub fn counters_mut(&mut self) -> &mut Counters {
        &mut self.counters
    }

    /// Live sessions: IPv4, IPv6.
    pub fn sessions(&self) -> (usize, usize) {
        (self.v4.sessions.len(), self.v6.sessions.len())
    }

    /// Datagrams under way in fragments that are translated: IPv4, IPv6. Of each, those
    /// whose flow is known, and those that wait for their first fragment.
    pub fn datagrams(&self) -> [(usize, usize); 2] {
        [self.fragments4.len(), self.fragments6.len()]
    }

    /// What sessions, bindings and fragments occupy when full, in bytes: IPv4, IPv6.
    pub fn bytes(&self) -> (usize, usize) {
        (self.v4.bytes() + self.fragments4.bytes() + self.cuttings.bytes(), self.v6.bytes() + self.fragments6.bytes())
    }
}

impl SessionCursor {
    /// The place after the records up to `next` of the table it is in; `None` is that
    /// table's end.
    fn behind(self, next: Option<u32>) -> Option<SessionCursor> {
        match next {
            Some(number) => Some(SessionCursor { number, ..self }),
            None if self.v6 => None,
            None => Some(SessionCursor { v6: true, number: 0 }),
        }
    }
}

/// Ends the sessions from number `from` on that are meant, unless they are only to be
/// counted; says how many there were, and where to go on. Looks at `limit` records, at
/// most [`KILL_BUDGET`].
fn end_met<A: Address>(
    nat: &mut Nat<A>,
    from: u32,
    limit: u32,
    dry_run: bool,
    now: Instant,
    is_meant: impl Fn(&Session<A>) -> bool,
) -> (u64, Option<u32>) {
    let (mut numbers, mut count) = ([0; KILL_BUDGET], 0);
    let next = nat.sessions.page(from, limit, |number, session| {
        if is_meant(session) {
            numbers[count] = number;
            count += 1;
        }
    });
    if !dry_run {
        numbers[..count].iter().for_each(|number| nat.end(*number, now));
    }
    (count as u64, next)
}

fn row<A: Address>(session: &Session<A>, now: Instant, timeouts: &Timeouts) -> SessionRow {
    let now_ms = now.as_millis() as u32;
    let idle_ms = now_ms.wrapping_sub(session.last_ms);
    let Facts { vrf, protocol, inside, outside, peer, peer_as, from_outside: forwarded, basis } = Facts::of(session);
    let end = |(address, port): (A, u16)| (address.to_ip(), port);
    let (packets_out, packets_in) = match forwarded {
        true => (session.packets_back, session.packets_forth),
        false => (session.packets_forth, session.packets_back),
    };
    SessionRow {
        vrf,
        protocol,
        inside: end(inside),
        outside: end(outside),
        peer: end(peer),
        peer_as: peer_as.map(end),
        forwarded,
        basis,
        state: if protocol == protocol::TCP { session.tcp.state.name() } else { "" },
        packets_out,
        packets_in,
        age_ms: now_ms.wrapping_sub(session.created_ms),
        idle_ms,
        expires_ms: timeout_ms(session, timeouts).saturating_sub(idle_ms),
    }
}
