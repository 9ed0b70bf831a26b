//! New tables for workers, and how far these have come with them.

use std::sync::Arc;

use causeway_fastpath::command::Command;
use causeway_fastpath::frame::Frame;
use causeway_fastpath::ids::{Epoch, PortId, WorkerId};
use causeway_fastpath::time::Instant;

use super::Control;
use crate::neighbors::{Effect, Waiting};

/// Room around a frame that control makes, for the headers of an ICMP error.
const ROOM: usize = 128;

impl Control {
    /// The next command for the first worker.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.poll_command_for(WorkerId(0))
    }

    /// The next command for a worker.
    ///
    /// # Panics
    /// There is no such worker.
    pub fn poll_command_for(&mut self, worker: WorkerId) -> Option<Command> {
        self.settle();
        self.commands[worker.index()].pop_front()
    }

    /// The version of the tables that hold everything that control knows now.
    pub fn next_epoch(&self) -> Epoch {
        Epoch(self.epoch.0 + u64::from(self.has_changed()))
    }

    fn has_changed(&self) -> bool {
        self.neighbors.has_changed() || self.compiler.has_changed() || self.vacancies.are_free()
    }

    /// The newest tables that are all in force, and by which every worker has judged all its
    /// sessions.
    pub fn settled(&self) -> Epoch {
        self.vacancies.in_force(self.judged_by_all())
    }

    pub(super) fn judged_by_all(&self) -> Epoch {
        let of =
            |(installed, (wanted, done)): (&Epoch, &(Epoch, Epoch))| if done < wanted { *done } else { *installed };
        self.installed.iter().zip(&self.judged).map(of).min().unwrap_or_default()
    }

    /// Is there a worker that has not judged all its sessions by the newest tables by which it
    /// is to, or will be?
    pub fn is_judging(&mut self) -> bool {
        self.settle();
        self.vacancies.are_going() || self.judged.iter().any(|(wanted, done)| done < wanted)
    }

    /// Are the newest tables in force, with every worker?
    pub fn is_settled(&self) -> bool {
        let in_force = self.installed.iter().all(|installed| *installed == self.epoch);
        in_force && !self.has_changed() && !self.vacancies.are_waiting()
    }

    /// Asks for whom a route leads to since the last time, or for who has lost its routes
    /// until it answers.
    pub(super) fn meet_routers(&mut self, now: Instant) {
        let moved = self.compiler.take_routers();
        for (place, _) in moved.into_iter().chain(self.liveness.take_left().into_iter().map(|place| (place, false))) {
            let is_needed = self.compiler.leads_to(&place) || self.liveness.watches(place);
            self.neighbors.set_router(place.0, place.1, is_needed, now);
        }
        self.neighbors.handle_timeout(now);
    }

    /// Turns what the neighbours want into commands: new tables before the packets
    /// that need them.
    pub(super) fn settle(&mut self) {
        if self.neighbors.has_changed() {
            self.compiler.set_neighbors(self.neighbors.take_facts());
        }
        if self.compiler.has_changed() || self.vacancies.are_free() {
            self.epoch = Epoch(self.epoch.0 + 1);
            let mut snapshot = self.compiler.snapshot(self.epoch);
            self.vacancies.pass(self.rooms.last(), &mut snapshot);
            let snapshot = Arc::new(snapshot);
            let rooms = self.rooms.next(&snapshot).into_iter().zip(&mut self.judged);
            for (commands, (room, judged)) in self.commands.iter_mut().zip(rooms) {
                if room.is_some() {
                    judged.0 = self.epoch;
                }
                commands.extend(room.map(Command::Prepare));
                commands.push_back(Command::Install(Arc::clone(&snapshot)));
            }
        }
        // Any worker sends what control has to say; a packet goes on where it stopped.
        for effect in self.neighbors.take_effects() {
            match effect {
                Effect::Send(port, bytes) => {
                    let frame = Frame::boxed(&bytes, ROOM, 0);
                    self.commands[0].push_back(Command::Transmit(PortId(port.0 as u16), frame));
                }
                Effect::Resume(Waiting { frame, worker, errand }) => {
                    self.commands[worker.index()].push_back(Command::Inject(frame, errand));
                }
            }
        }
    }
}
