//! What workers and the clock report.

use std::net::IpAddr;

use causeway_fastpath::command::Event;
use causeway_fastpath::handoff::Errand;
use causeway_fastpath::ids::{VrfId, WorkerId};
use causeway_fastpath::time::Instant;
use causeway_fastpath::verdict::PuntReason;

use super::Control;
use crate::config::PortIdx;
use crate::liveness::{Question, echo};
use crate::neighbors::{Waiting, free};

impl Control {
    /// The first worker reports, most often the only one.
    pub fn handle_event(&mut self, event: Event, now: Instant) {
        self.handle_event_from(WorkerId(0), event, now);
    }

    /// A worker reports.
    ///
    /// # Panics
    /// There is no such worker.
    pub fn handle_event_from(&mut self, worker: WorkerId, event: Event, now: Instant) {
        match event {
            Event::Installed { epoch, retired } => {
                self.installed[worker.index()] = epoch;
                drop(retired);
                self.vacancies.heed(self.judged_by_all());
            }
            Event::Settled(room) => {
                let (_, after) = room.epochs();
                self.judged[worker.index()].1 = after;
                self.vacancies.heed(self.judged_by_all());
            }
            Event::Punted(reason, frame, errand) => {
                self.punted(reason, Waiting { frame, worker, errand }, now);
            }
            Event::Sessions(page) => {
                let next = if self.hosts.wants(&page) {
                    self.hosts.met(worker, page)
                } else if self.judging.wants(&page) {
                    self.judging.met(worker, page)
                } else {
                    self.walks.paged(worker, *page)
                };
                self.command(next);
            }
            Event::Pools(mut page) => {
                page.rows.retain(|row| self.pool_ids.is_named(row.pool));
                let next = self.pools.paged(worker, page);
                self.command(next);
            }
            Event::Refused(page) => {
                let next = self.hosts.refused(worker, page);
                self.command(next);
            }
            Event::SessionsEnded(kill) => {
                let next = self.walks.ended(worker, kill);
                self.command(next);
            }
            Event::Spent(frame) => free(frame),
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.neighbors.handle_timeout(now);
        self.ask_nodes(now);
    }

    /// When [`Control::handle_timeout`] wants to be called at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.neighbors.poll_timeout(), self.liveness.poll_timeout()].into_iter().flatten().min()
    }

    fn punted(&mut self, reason: PuntReason, packet: Waiting, now: Instant) {
        let frame = &packet.frame;
        let port = PortIdx(frame.ingress.index());
        if port.0 >= self.config.ports.len() {
            free(packet.frame);
            return;
        }
        match reason {
            PuntReason::Arp => {
                self.neighbors.handle_arp(port, frame.bytes(), now);
                free(packet.frame);
            }
            PuntReason::NeighborDiscovery => {
                self.neighbors.handle_discovery(port, frame.bytes(), now);
                free(packet.frame);
            }
            PuntReason::EchoReply => {
                if let Some((address, identifier, sequence)) = echo::reply(frame.bytes())
                    && self.compiler.probes() == Some(identifier)
                {
                    self.liveness.heard((port, address), sequence);
                }
                free(packet.frame);
            }
            PuntReason::Unresolved => match self.awaited(&packet) {
                Some((port, address)) => {
                    if let Some(packet) = self.neighbors.handle_unresolved(port, address, packet, now) {
                        free(packet.frame);
                    }
                }
                None => free(packet.frame),
            },
        }
    }

    /// The neighbour that a packet waits for. One that a session brings to a public
    /// address waits for a node, which is being asked for already: it is not kept, its
    /// sender repeats it. Only where a forward leads is known here.
    fn awaited(&self, packet: &Waiting) -> Option<(PortIdx, IpAddr)> {
        let domain = match packet.errand {
            // It has left its island already.
            Errand::Inward => VrfId::MAIN,
            _ => self.domains.of_port(PortIdx(packet.frame.ingress.index())),
        };
        self.compiler.neighbor_toward(domain, packet.frame.bytes())
    }

    /// Asks nodes whether they live, and lets routes follow from what they said.
    fn ask_nodes(&mut self, now: Instant) {
        let neighbors = &self.neighbors;
        for question in self.liveness.handle_timeout(now, |place| neighbors.state(place)) {
            match (question, self.compiler.probes()) {
                (Question::Neighbor(place), _) => self.neighbors.verify(place, now),
                (Question::Echo(place, sequence), Some(identifier)) => self.neighbors.ping(place, identifier, sequence),
                (Question::Echo(..), None) => {}
            }
        }
        for change in self.liveness.reconcile() {
            self.compiler.change(change);
        }
        self.meet_routers(now);
    }
}
