//! What goes wrong, and how often.

use std::time::Duration;

use causeway_testkit::seed::Rng;

use crate::frame::{self, Said};
use crate::gateway::Rooms;

/// Of a hundred frames.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    lost: u64,
    repeated: u64,
    /// Longest time on a link, in microseconds.
    slowest: u64,
    /// Of a hundred turns, those that somebody does not take.
    lazy: u64,
    /// Of ten thousand moments, those at which something changes.
    pub(crate) changes: u64,
    /// Are configurations among what changes?
    pub(crate) reloads: bool,
    /// Are sessions ended that somebody needs, by command or by what configurations say?
    pub(crate) kills: bool,
    /// Do workers fail, and begin anew?
    pub(crate) fails: bool,
    /// Is each flow one worker's to receive, as with a NIC's hash, or may any get any packet?
    by_flow: bool,
    /// How many workers receive anything, from the first on.
    pub(crate) receivers: usize,
    pub(crate) rooms: Rooms,
    salt: u64,
}

impl Weather {
    pub(crate) fn draw(rng: &mut Rng) -> Weather {
        Weather {
            lost: *rng.choose(&[0, 1, 10]),
            repeated: *rng.choose(&[0, 1, 10]),
            slowest: *rng.choose(&[1, 300, 5_000]),
            lazy: *rng.choose(&[0, 10, 50]),
            changes: *rng.choose(&[0, 20, 200]),
            reloads: rng.bool(),
            kills: true,
            fails: rng.chance(1, 4),
            by_flow: rng.bool(),
            receivers: usize::MAX,
            rooms: Rooms {
                hand_off: *rng.choose(&[1, 2, 5, 64]),
                channel: *rng.choose(&[1, 3, 64]),
                tx: *rng.choose(&[4, 16, 64]),
            },
            salt: rng.u64(),
        }
    }

    /// As bad as it is, but that connections can live through it.
    pub(crate) fn keep_connections(&mut self) {
        (self.kills, self.fails) = (false, false);
    }

    /// Nothing goes wrong any more. Rings stay as small as they are, and fragments come one
    /// by one, so that the smallest can take them.
    pub(crate) fn clear(&mut self) {
        self.slowest = 5_000;
        (self.lost, self.repeated, self.lazy, self.changes) = (0, 0, 0, 0);
    }

    /// After which time a frame arrives, and whether it does, or more often.
    pub(crate) fn deliveries(&self, rng: &mut Rng) -> Vec<Duration> {
        let copies = match rng.below(100) {
            chance if chance < self.lost => 0,
            chance if chance < self.lost + self.repeated => 2,
            _ => 1,
        };
        (0..copies).map(|_| Duration::from_micros(1 + rng.below(self.slowest))).collect()
    }

    /// Does somebody not take a turn?
    pub(crate) fn is_slow(&self, rng: &mut Rng) -> bool {
        self.lazy > 0 && rng.chance(self.lazy, 100)
    }

    /// The worker that a frame comes to.
    pub(crate) fn worker_for(&self, frame: &[u8], workers: usize, rng: &mut Rng) -> usize {
        let workers = workers.min(self.receivers);
        let Some(ip) = frame::ip(frame).filter(|_| self.by_flow) else {
            return rng.range(0..workers);
        };
        let ports = if ip.part.is_none() { Said::read(ip.protocol, ip.payload).map(|said| said.ports) } else { None };
        let mut hash = self.salt;
        for word in format!("{} {} {ports:?}", ip.src, ip.dst).bytes() {
            hash = (hash ^ u64::from(word)).wrapping_mul(0x100_0000_01b3);
        }
        (hash >> 33) as usize % workers
    }
}
