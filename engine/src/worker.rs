//! A worker: bursts from ports through the forwarder back to ports.
//!
//! It knows no thread and no clock, so a replay and a test drive it as the
//! appliance does.

use std::collections::VecDeque;
use std::sync::Arc;

use causeway_fastpath::burst::Burst;
use causeway_fastpath::command::{Command, Event};
use causeway_fastpath::forwarder::{Capacity, Forwarder};
use causeway_fastpath::frame::{BufferOwner, Frame};
use causeway_fastpath::handoff::Errand;
use causeway_fastpath::snapshot::Snapshot;
use causeway_fastpath::time::Instant;
use causeway_fastpath::verdict::{DropReason, PuntReason, Verdict};

use crate::handoff::{Colleagues, Handed};
use crate::port::{Link, Port};

/// Events that may wait for control. Punts beyond it are dropped and counted;
/// answers to commands are not, as control bounds how many it asks for.
const OUTBOX: usize = 1024;
/// What a worker takes from another one in a turn: packets, messages and its own buffers.
const TAKEN_A_TURN: usize = 4 * Burst::MAX;
/// Room in front of a punted copy, for the headers of an ICMP error about it.
const HEADROOM: usize = 128;
/// Bytes of an ARP or neighbour discovery frame that control looks at.
const LONGEST_MESSAGE: usize = 2048;

/// Ports and a forwarder.
pub struct Worker<P: Port + ?Sized> {
    ports: Vec<Box<P>>,
    owners: Vec<BufferOwner>,
    forwarder: Forwarder,
    /// The newest tables that control has sent.
    tables: Arc<Snapshot>,
    /// Frames are in here or in the lists below, never on the stack alone: should something
    /// panic, none is lost.
    burst: Burst,
    outgoing: Vec<Outgoing>,
    spent: Vec<Frame>,
    events: VecDeque<Event>,
    behind: bool,
    /// Is the last of `events` being filled?
    answering: bool,
    /// Other workers, if there are any.
    colleagues: Option<Colleagues>,
    /// Why the packets of the burst came that is decided about, if not from a port.
    errands: Vec<Errand>,
}

/// What waits to be sent by one port in this turn.
#[derive(Default)]
struct Outgoing {
    frames: Vec<Frame>,
    /// What was counted for each of `frames`; `None` for control's own.
    verdicts: Vec<Option<Verdict>>,
}

impl<P: Port + ?Sized> Worker<P> {
    /// A worker for these ports, in the order of the configuration.
    pub fn new(ports: Vec<Box<P>>, forwarder: Forwarder) -> Worker<P> {
        let outgoing = ports
            .iter()
            .map(|_| Outgoing {
                frames: Vec::with_capacity(2 * Burst::MAX),
                verdicts: Vec::with_capacity(2 * Burst::MAX),
            })
            .collect();
        Worker {
            owners: ports.iter().map(|port| port.owner()).collect(),
            outgoing,
            ports,
            forwarder,
            tables: Arc::new(Snapshot::closed()),
            burst: Burst::new(),
            spent: Vec::with_capacity(2 * Burst::MAX),
            events: VecDeque::with_capacity(2 * OUTBOX),
            behind: false,
            answering: false,
            colleagues: None,
            errands: Vec::with_capacity(Burst::MAX),
        }
    }

    /// One of several workers, that hands packets over and takes them over.
    #[must_use]
    pub fn among(self, colleagues: Colleagues) -> Worker<P> {
        Worker { colleagues: Some(colleagues), ..self }
    }

    /// Obeys a command.
    pub fn handle_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Prepare(room) => {
                self.forwarder.prepare(room);
                self.hand_rooms_back();
            }
            Command::Install(snapshot) => {
                self.tables = Arc::clone(&snapshot);
                let event = self.forwarder.install(snapshot, now);
                self.events.push_back(event);
                self.hand_rooms_back();
            }
            Command::Inject(frame, errand) => {
                self.burst.push(frame);
                self.errands.push(errand);
                self.forwarder.process_injected(now, &mut self.burst, &self.errands);
                self.finish_burst(now);
            }
            Command::Transmit(port, frame) => match self.outgoing.get_mut(port.index()) {
                Some(outgoing) => {
                    outgoing.frames.push(frame);
                    outgoing.verdicts.push(None);
                    self.transmit();
                }
                None => self.events.push_back(Event::Spent(frame)),
            },
            Command::ListSessions(page) => self.answer(Event::Sessions(page), now),
            Command::EndSessions(kill) => self.answer(Event::SessionsEnded(kill), now),
            Command::ListPools(page) => self.answer(Event::Pools(page), now),
            Command::ListRefused(page) => self.answer(Event::Refused(page), now),
        }
    }

    /// Fills a page that control sent. It is in the outbox meanwhile, so that it comes back
    /// whatever happens.
    fn answer(&mut self, page: Event, now: Instant) {
        self.events.push_back(page);
        self.answering = true;
        match self.events.back_mut() {
            Some(Event::Sessions(page)) => self.forwarder.list_sessions(now, page),
            Some(Event::SessionsEnded(kill)) => self.forwarder.end_sessions(now, kill),
            Some(Event::Pools(page)) => self.forwarder.list_pools(page),
            Some(Event::Refused(page)) => self.forwarder.list_refused(page),
            _ => {}
        }
        self.answering = false;
    }

    /// Ends sessions that were silent for too long, a bounded number; says whether
    /// there is more to do at once.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        self.behind = self.forwarder.handle_timeout(now);
        self.hand_rooms_back();
        self.behind
    }

    fn hand_rooms_back(&mut self) {
        while let Some(settled) = self.forwarder.poll_settled() {
            self.events.push_back(settled);
        }
    }

    /// Are there sessions left that should have ended by the last turn, or messages that
    /// another worker had no room for? Then it is no time to rest.
    pub fn is_behind(&self) -> bool {
        self.behind || self.has_messages()
    }

    /// Are there messages to other workers?
    pub fn has_messages(&self) -> bool {
        self.forwarder.has_messages()
    }

    /// One round: timers, then a burst from each port and from each other worker. Says how
    /// many packets came in.
    pub fn turn(&mut self, now: Instant) -> usize {
        self.handle_timeout(now);
        let mut received = 0;
        for at in 0..self.ports.len() {
            received += self.ports[at].rx_burst(&mut self.burst);
            if !self.burst.is_empty() {
                self.forwarder.process(now, &mut self.burst);
            }
            self.finish_burst(now);
        }
        received + self.take_over(now)
    }

    /// As [`Worker::turn`], without looking at the ports: for a worker that is about to end.
    pub fn take_rest(&mut self, now: Instant) -> usize {
        self.take_over(now)
    }

    /// Takes what other workers handed over, a burst from each at most; says how many
    /// packets that were.
    fn take_over(&mut self, now: Instant) -> usize {
        let others = self.colleagues.as_ref().map_or(0, Colleagues::count);
        let mut taken = 0;
        for other in 0..others {
            for _ in 0..TAKEN_A_TURN {
                if self.burst.room() == 0 {
                    break;
                }
                let Some(handed) = self.colleagues.as_ref().and_then(|colleagues| colleagues.take_from(other)) else {
                    break;
                };
                match handed {
                    Handed::Packet(frame, errand) => {
                        self.burst.push(frame);
                        self.errands.push(errand);
                    }
                    Handed::Message(message) => self.forwarder.handle_message(message, now),
                    Handed::Spent(frame) => self.spent.push(frame),
                }
            }
            taken += self.burst.len();
            if !self.burst.is_empty() {
                self.forwarder.process_taken_over(now, &mut self.burst, &self.errands);
            }
            self.finish_burst(now);
        }
        taken
    }

    /// Carries out what was decided about a burst, and what follows from it.
    fn finish_burst(&mut self, now: Instant) {
        self.obey();
        self.transmit();
        self.send_cut_off();
        self.release(now);
    }

    /// Tells every port's kernel or peer what was queued: once a turn, after the
    /// commands and the round.
    pub fn flush(&mut self) {
        for port in &mut self.ports {
            port.flush();
        }
        if let Some(colleagues) = &mut self.colleagues {
            // Who is behind does not keep the others from theirs.
            let mut refused = 0;
            while refused < colleagues.count()
                && let Some((to, message)) = self.forwarder.poll_message()
            {
                if let Err(Handed::Message(message)) = colleagues.hand_over(to, Handed::Message(message)) {
                    self.forwarder.message_refused(to, message);
                    refused += 1;
                }
            }
            colleagues.end_turn();
        }
    }

    /// Tells every port that the worker is about to sleep. `false`: one has something for it.
    pub fn may_rest(&mut self) -> bool {
        self.ports.iter_mut().all(|port| port.may_rest())
    }

    /// Other workers, if there are any.
    pub fn colleagues(&self) -> Option<&Colleagues> {
        self.colleagues.as_ref()
    }

    /// What control is to know, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Control could not take the event: a punt is dropped and counted, anything
    /// else goes back to the front of the queue.
    pub fn event_refused(&mut self, event: Event) {
        match event {
            Event::Punted(reason, frame, _) => {
                let counters = self.forwarder.counters_mut();
                counters.recount_as_dropped(Verdict::Punt(reason), DropReason::PuntQueueFull);
                drop(frame.into_heap());
            }
            event => self.events.push_front(event),
        }
    }

    /// The ports.
    pub fn ports(&self) -> &[Box<P>] {
        &self.ports
    }

    /// The ports, to be asked for their statistics or moved in time.
    pub fn ports_mut(&mut self) -> &mut [Box<P>] {
        &mut self.ports
    }

    /// The tables in force.
    pub fn tables(&self) -> &Arc<Snapshot> {
        &self.tables
    }

    /// Gives the ports back.
    pub fn into_ports(self) -> Vec<Box<P>> {
        self.ports
    }

    /// The forwarder.
    pub fn forwarder(&self) -> &Forwarder {
        &self.forwarder
    }

    /// Lets fragments go on whose first fragment has come: they walk right behind it.
    /// There are no more of them than were held.
    fn release(&mut self, now: Instant) {
        while self.forwarder.release(&mut self.burst) > 0 {
            self.forwarder.process_released(now, &mut self.burst);
            self.obey();
            self.transmit();
            self.send_cut_off();
        }
    }

    /// Sends what was cut off the packets that were sent last.
    fn send_cut_off(&mut self) {
        while self.forwarder.cut_off(&mut self.burst) > 0 {
            self.obey();
            self.transmit();
        }
    }

    /// Sorts a decided burst: out, to control, or back to the owner. The errands that its
    /// packets came with are done.
    fn obey(&mut self) {
        let Worker { burst, outgoing, events, spent, forwarder, colleagues, errands, .. } = self;
        for (packet, (frame, verdict)) in burst.drain().enumerate() {
            match verdict {
                Verdict::Forward(port) | Verdict::Reply(port) => {
                    if let Some(outgoing) = outgoing.get_mut(port.index()) {
                        outgoing.frames.push(frame);
                        outgoing.verdicts.push(Some(verdict));
                    } else {
                        forwarder.counters_mut().recount_as_dropped(verdict, DropReason::Undecided);
                        spent.push(frame);
                    }
                }
                Verdict::Punt(reason) => {
                    if events.len() < OUTBOX {
                        let errand = errands.get(packet).filter(|errand| **errand == Errand::Inward);
                        let errand = errand.copied().unwrap_or_default();
                        events.push_back(Event::Punted(reason, copy(&frame, reason), errand));
                    } else {
                        forwarder.counters_mut().recount_as_dropped(verdict, DropReason::PuntQueueFull);
                    }
                    spent.push(frame);
                }
                Verdict::Drop(_) | Verdict::Hold => spent.push(frame),
                Verdict::HandOff(to) => {
                    let errand = forwarder.errand(packet);
                    let handed = Handed::Packet(frame, errand);
                    let refused = match colleagues {
                        Some(colleagues) => colleagues.hand_over(to, handed),
                        None => Err(handed),
                    };
                    if let Err(Handed::Packet(frame, _)) = refused {
                        forwarder.hand_off_refused(to, errand);
                        forwarder.counters_mut().recount_as_dropped(verdict, DropReason::HandOffFull);
                        spent.push(frame);
                    }
                }
            }
        }
        errands.clear();
    }

    /// Begins anew after a panic, by the newest tables, with an empty forwarder. Ports and what
    /// waits for control stay; every buffer goes back to its owner. Says how many sessions were
    /// lost.
    pub fn begin_anew(&mut self, capacity: Capacity, seed: [u8; 32], now: Instant) -> usize {
        for Outgoing { frames, verdicts } in &mut self.outgoing {
            // What a port took before it panicked is not here any more.
            let waiting = verdicts.len().saturating_sub(frames.len());
            for verdict in verdicts.drain(..).skip(waiting).flatten() {
                self.forwarder.counters_mut().recount_as_dropped(verdict, DropReason::WorkerFailed);
            }
            self.spent.append(frames);
        }
        self.spent.extend(self.burst.drain().map(|(frame, _)| frame));
        self.errands.clear();
        if std::mem::take(&mut self.answering) {
            self.skip_rest_of_page();
        }
        let (lost, event) = self.forwarder.begin_anew(Arc::clone(&self.tables), capacity, seed, now);
        self.events.push_back(event);
        self.return_spent();
        lost
    }

    /// The page that was being filled goes back as if it were the last: asking again would
    /// fail again.
    fn skip_rest_of_page(&mut self) {
        match self.events.back_mut() {
            Some(Event::Sessions(page)) => page.cursor = None,
            Some(Event::SessionsEnded(kill)) => kill.cursor = None,
            Some(Event::Pools(page)) => page.cursor = None,
            Some(Event::Refused(page)) => page.cursor = None,
            _ => {}
        }
    }

    /// Hands what is outgoing to the ports, and what has served back.
    fn transmit(&mut self) {
        for (port, outgoing) in self.ports.iter_mut().zip(&mut self.outgoing) {
            if outgoing.frames.is_empty() {
                continue;
            }
            let sent = port.tx_burst(&mut outgoing.frames, &mut self.spent);
            if !outgoing.frames.is_empty() {
                let reason = if port.link() == Link::Up { DropReason::PortFull } else { DropReason::PortDown };
                for verdict in outgoing.verdicts[sent..].iter().flatten() {
                    self.forwarder.counters_mut().recount_as_dropped(*verdict, reason);
                }
            }
            outgoing.verdicts.clear();
            self.spent.append(&mut outgoing.frames);
        }
        self.return_spent();
    }

    /// Hands every served frame to its owner.
    fn return_spent(&mut self) {
        while let Some(frame) = self.spent.pop() {
            let owner = frame.owner();
            if let (Some(colleagues), Some(whose)) = (&mut self.colleagues, owner.worker())
                && whose != colleagues.me()
            {
                colleagues.give_back(whose, frame);
                continue;
            }
            if owner.is_held() {
                self.forwarder.take_back(frame);
                continue;
            }
            match self.owners.iter().position(|owner| *owner == frame.owner()) {
                Some(port) => self.ports[port].recycle(frame),
                None => self.events.push_back(Event::Spent(frame)),
            }
        }
    }
}

/// A heap copy of a frame, as it arrived; of ARP and neighbour discovery no more
/// than a message can fill.
fn copy(frame: &Frame, reason: PuntReason) -> Frame {
    let most = match reason {
        PuntReason::Arp | PuntReason::NeighborDiscovery | PuntReason::EchoReply => LONGEST_MESSAGE,
        PuntReason::Unresolved => usize::MAX,
    };
    let mut copy = Frame::boxed(&frame.bytes()[..frame.len().min(most)], HEADROOM, 0);
    copy.ingress = frame.ingress;
    copy.offload = frame.offload;
    copy
}
