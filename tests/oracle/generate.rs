//! The course of events, drawn from a seed.

use std::collections::VecDeque;

use causeway_testkit::seed::Rng;

use crate::event::Event;
use crate::flow::{Flow, echo_protocol};
use crate::names::{FlowId, Parties};
use crate::place::{Place, Side};
use crate::wire::{TCP, UDP};
use crate::{errors, odd};

/// Conversations that go on at once.
const AT_ONCE: usize = 120;
/// Conversations over that are still talked about.
const REMEMBERED: usize = 60;

/// Draws one event after the other.
pub(crate) struct Generator {
    rng: Rng,
    place: Place,
    narrow: Side,
    flows: Vec<Flow>,
    live: Vec<FlowId>,
    over: Vec<FlowId>,
    queue: VecDeque<Event>,
}

impl Generator {
    pub(crate) fn new(rng: Rng, place: Place, narrow: Side) -> Generator {
        Generator { rng, place, narrow, flows: Vec::new(), live: Vec::new(), over: Vec::new(), queue: VecDeque::new() }
    }

    pub(crate) fn parties(&self, flow: FlowId) -> &Parties {
        &self.flows[flow].parties
    }

    /// The next event.
    pub(crate) fn next(&mut self) -> Event {
        if let Some(event) = self.queue.pop_front() {
            return event;
        }
        match self.rng.below(20) {
            0..11 => self.conversation(),
            11..14 => self.error(),
            14 | 15 => odd::alone(&mut self.rng, &self.place),
            16 => self.disturbance(),
            17 | 18 => self.odd(),
            _ => self.after_the_end(),
        }
    }

    /// What both routers did about a flow is not the same any more: no more of it.
    pub(crate) fn retire(&mut self, flow: FlowId) {
        self.live.retain(|live| *live != flow);
        self.over.retain(|over| *over != flow);
    }

    /// Whether the flow has come to its end with the last event.
    pub(crate) fn has_ended(&mut self, flow: FlowId) -> bool {
        let ended = self.flows[flow].is_over() && self.live.contains(&flow);
        if ended {
            self.retire(flow);
            self.over.push(flow);
            if self.over.len() > REMEMBERED {
                self.over.remove(0);
            }
        }
        ended
    }

    fn conversation(&mut self) -> Event {
        if self.live.len() < AT_ONCE && (self.live.is_empty() || self.rng.chance(1, 6)) {
            self.open();
        } else if self.rng.chance(1, 40) {
            self.forget();
            self.open();
        }
        let id = *self.rng.choose(&self.live);
        self.flows[id].advance(&mut self.rng, &self.place, id)
    }

    /// No more of one conversation: UDP and echo have no end of their own.
    fn forget(&mut self) {
        let endless = |id: &usize| self.flows[*id].parties.protocol != TCP;
        if let Some(at) = self.live.iter().position(endless) {
            self.live.remove(at);
        }
    }

    /// A new conversation, often with ports that others use, too.
    fn open(&mut self) {
        let rng = &mut self.rng;
        let protocol = *rng.choose(&[TCP, TCP, TCP, UDP, UDP, echo_protocol(&self.place)]);
        loop {
            let host_port = if rng.bool() { 5000 + rng.below(6) as u16 } else { rng.range(1024..65536) as u16 };
            let peer_port = if matches!(protocol, TCP | UDP) { *rng.choose(&[53, 80, 443, 8080]) } else { 0 };
            let host = (self.place.host(1 + rng.below(12) as u16), host_port);
            let peer = (self.place.peer(1 + rng.below(6) as u16), peer_port);
            let parties = Parties { protocol, host, peer };
            if self.flows.iter().all(|flow| flow.parties != parties) {
                self.live.push(self.flows.len());
                self.flows.push(Flow::new(rng, parties));
                return;
            }
        }
    }

    /// A live flow that a packet from outside could belong to.
    fn known(&mut self) -> Option<FlowId> {
        let known: Vec<_> = self.live.iter().copied().filter(|id| self.flows[*id].is_known()).collect();
        (!known.is_empty()).then(|| *self.rng.choose(&known))
    }

    fn error(&mut self) -> Event {
        if self.rng.chance(1, 20) {
            return errors::unrelated(&mut self.rng, &self.place);
        }
        let about_over = !self.over.is_empty() && self.rng.chance(1, 8);
        let id = if about_over { Some(*self.rng.choose(&self.over)) } else { self.known() };
        let Some(id) = id else {
            return self.conversation();
        };
        errors::about(&mut self.rng, &self.place, id, &self.flows[id])
    }

    fn disturbance(&mut self) -> Event {
        let disturbed = self.known().and_then(|id| self.flows[id].disturb(&mut self.rng, &self.place, id));
        disturbed.unwrap_or_else(|| self.conversation())
    }

    fn odd(&mut self) -> Event {
        let open = |flow: &Flow| flow.is_plainly_open() && matches!(flow.parties.protocol, TCP | UDP);
        let Some(id) = self.known().filter(|id| open(&self.flows[*id])) else {
            return self.conversation();
        };
        self.queue.extend(odd::about(&mut self.rng, &self.place, self.narrow, id, &self.flows[id]));
        self.queue.pop_front().expect("something odd")
    }

    /// A segment too late, or the same ports once more.
    fn after_the_end(&mut self) -> Event {
        if self.over.is_empty() {
            return self.conversation();
        }
        let id = *self.rng.choose(&self.over);
        if self.rng.chance(2, 3) {
            return self.flows[id].advance(&mut self.rng, &self.place, id);
        }
        self.over.retain(|over| *over != id);
        self.live.push(id);
        self.flows[id].reopen(&mut self.rng, &self.place, id)
    }
}
