//! A worker: bursts from ports through the forwarder back to ports.
//!
//! It knows no thread and no clock, so a replay and a test drive it as the
//! appliance does.

use std::collections::VecDeque;

use causeway_fastpath::burst::Burst;
use causeway_fastpath::command::{Command, Event};
use causeway_fastpath::forwarder::Forwarder;
use causeway_fastpath::frame::{BufferOwner, Frame};
use causeway_fastpath::handoff::Errand;
use causeway_fastpath::time::Instant;
use causeway_fastpath::verdict::{DropReason, PuntReason, Verdict};

use crate::handoff::{Colleagues, Handed};
use crate::port::Port;

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
    burst: Burst,
    injected: Burst,
    outgoing: Vec<Outgoing>,
    spent: Vec<Frame>,
    events: VecDeque<Event>,
    behind: bool,
    /// Other workers, if there are any.
    colleagues: Option<Colleagues>,
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
            burst: Burst::new(),
            injected: Burst::new(),
            spent: Vec::with_capacity(2 * Burst::MAX),
            events: VecDeque::with_capacity(2 * OUTBOX),
            behind: false,
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
            Command::Install(snapshot) => {
                let event = self.forwarder.install(snapshot);
                self.events.push_back(event);
            }
            Command::Inject(frame) => {
                self.injected.push(frame);
                let mut burst = std::mem::take(&mut self.injected);
                self.forwarder.process_injected(now, &mut burst);
                self.obey(&mut burst);
                self.injected = burst;
                self.transmit();
                self.send_cut_off();
                self.release(now);
            }
            Command::Transmit(port, frame) => match self.outgoing.get_mut(port.index()) {
                Some(outgoing) => {
                    outgoing.frames.push(frame);
                    outgoing.verdicts.push(None);
                    self.transmit();
                }
                None => self.events.push_back(Event::Spent(frame)),
            },
            Command::ListSessions(mut page) => {
                self.forwarder.list_sessions(now, &mut page);
                self.events.push_back(Event::Sessions(page));
            }
            Command::EndSessions(mut kill) => {
                self.forwarder.end_sessions(now, &mut kill);
                self.events.push_back(Event::SessionsEnded(kill));
            }
            Command::ListPools(mut page) => {
                self.forwarder.list_pools(&mut page);
                self.events.push_back(Event::Pools(page));
            }
            Command::ListRefused(mut page) => {
                self.forwarder.list_refused(&mut page);
                self.events.push_back(Event::Refused(page));
            }
        }
    }

    /// Ends sessions that were silent for too long, a bounded number; says whether
    /// there is more to do at once.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        self.behind = self.forwarder.handle_timeout(now);
        self.behind
    }

    /// Are there sessions left that should have ended by the last turn, or messages that
    /// another worker had no room for? Then it is no time to rest.
    pub fn is_behind(&self) -> bool {
        self.behind || self.forwarder.has_messages()
    }

    /// One round: timers, then a burst from each port and from each other worker. Says how
    /// many packets came in.
    pub fn turn(&mut self, now: Instant) -> usize {
        self.handle_timeout(now);
        let mut received = 0;
        for at in 0..self.ports.len() {
            let mut burst = std::mem::take(&mut self.burst);
            received += self.ports[at].rx_burst(&mut burst);
            if !burst.is_empty() {
                self.forwarder.process(now, &mut burst);
                self.obey(&mut burst);
            }
            self.burst = burst;
            self.transmit();
            self.send_cut_off();
            self.release(now);
        }
        received + self.take_over(now)
    }

    /// Takes what other workers handed over, a burst from each at most; says how many
    /// packets that were.
    fn take_over(&mut self, now: Instant) -> usize {
        let others = self.colleagues.as_ref().map_or(0, Colleagues::count);
        let mut taken = 0;
        for other in 0..others {
            let mut burst = std::mem::take(&mut self.burst);
            for _ in 0..TAKEN_A_TURN {
                if burst.room() == 0 {
                    break;
                }
                let Some(handed) = self.colleagues.as_ref().and_then(|colleagues| colleagues.take_from(other)) else {
                    break;
                };
                match handed {
                    Handed::Packet(frame, errand) => {
                        burst.push(frame);
                        self.errands.push(errand);
                    }
                    Handed::Message(message) => self.forwarder.handle_message(message, now),
                    Handed::Spent(frame) => self.spent.push(frame),
                }
            }
            taken += burst.len();
            if !burst.is_empty() {
                self.forwarder.process_taken_over(now, &mut burst, &self.errands);
                self.errands.clear();
                self.obey(&mut burst);
            }
            self.burst = burst;
            self.transmit();
            self.send_cut_off();
            self.release(now);
        }
        taken
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
                    self.forwarder.message_refused(message);
                    refused += 1;
                }
            }
            colleagues.end_turn();
        }
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
            Event::Punted(reason, frame) => {
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
        while self.forwarder.release(&mut self.injected) > 0 {
            let mut burst = std::mem::take(&mut self.injected);
            self.forwarder.process_released(now, &mut burst);
            self.obey(&mut burst);
            self.injected = burst;
            self.transmit();
            self.send_cut_off();
        }
    }

    /// Sends what was cut off the packets that were sent last.
    fn send_cut_off(&mut self) {
        while self.forwarder.cut_off(&mut self.injected) > 0 {
            let mut burst = std::mem::take(&mut self.injected);
            self.obey(&mut burst);
            self.injected = burst;
            self.transmit();
        }
    }

    /// Sorts a decided burst: out, to control, or back to the owner.
    fn obey(&mut self, burst: &mut Burst) {
        for (packet, (frame, verdict)) in burst.drain().enumerate() {
            match verdict {
                Verdict::Forward(port) | Verdict::Reply(port) => {
                    let outgoing = &mut self.outgoing[port.index()];
                    outgoing.frames.push(frame);
                    outgoing.verdicts.push(Some(verdict));
                }
                Verdict::Punt(reason) => {
                    if self.events.len() < OUTBOX {
                        self.events.push_back(Event::Punted(reason, copy(&frame, reason)));
                    } else {
                        let counters = self.forwarder.counters_mut();
                        counters.recount_as_dropped(verdict, DropReason::PuntQueueFull);
                    }
                    self.spent.push(frame);
                }
                Verdict::Drop(_) | Verdict::Hold => self.spent.push(frame),
                Verdict::HandOff(to) => {
                    let errand = self.forwarder.errand(packet);
                    let handed = Handed::Packet(frame, errand);
                    let colleagues = self.colleagues.as_mut().expect("who is alone hands nothing over");
                    if let Err(Handed::Packet(frame, _)) = colleagues.hand_over(to, handed) {
                        self.forwarder.hand_off_refused(to, errand);
                        self.forwarder.counters_mut().recount_as_dropped(verdict, DropReason::HandOffFull);
                        self.spent.push(frame);
                    }
                }
            }
        }
    }

    /// Hands what is outgoing to the ports and every served frame to its owner.
    fn transmit(&mut self) {
        for (port, outgoing) in self.ports.iter_mut().zip(&mut self.outgoing) {
            if outgoing.frames.is_empty() {
                continue;
            }
            let sent = port.tx_burst(&mut outgoing.frames, &mut self.spent);
            for verdict in outgoing.verdicts[sent..].iter().flatten() {
                self.forwarder.counters_mut().recount_as_dropped(*verdict, DropReason::PortFull);
            }
            outgoing.verdicts.clear();
            self.spent.append(&mut outgoing.frames);
        }
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
