//! What happens to a gateway in the middle of its work.

use std::time::Duration;

use causeway_control::nodes::Update;
use causeway_control::rib::{Change, Origin, Route, Via};
use causeway_fastpath::ids::VrfId;

use crate::place::{self, BLUE, GATEWAY, node};
use crate::run::Run;

impl Run {
    /// Now and then something changes, or somebody stops for a while.
    pub(crate) fn change_something(&mut self) {
        if !self.rng.chance(self.weather.changes, 10_000) {
            return;
        }
        let (now, while_ms) = (self.now, Duration::from_millis(self.rng.below(3_000)));
        let control = &mut self.gateway.control;
        let worker = self.rng.range(0..self.gateway.crew.len());
        match self.rng.below(if self.weather.reloads { 10 } else { 7 }) {
            0 if self.weather.fails && self.rng.bool() => {
                self.names.lose();
                self.gateway.fail(worker, &mut self.rng, now);
            }
            0 => {
                self.gateway.crew[worker].stalled_until = now + while_ms;
            }
            1 => {
                let station = self.rng.range(0..self.stations.len());
                self.stations[station].silent_until = now + while_ms;
            }
            2 => {
                let at = self.rng.range(0..2);
                let update = if self.rng.bool() { Update::One(node(at)) } else { Update::Gone(node(at).name) };
                control.update_nodes([(BLUE, update)], now);
            }
            3 => {
                let to = "198.51.100.0/24".parse().expect("a prefix");
                let (domain, origin) = (VrfId::MAIN, Origin::Static);
                let change = match self.rng.bool() {
                    true => Change::Add(Route { domain, to, via: Via::Blackhole, origin }),
                    false => Change::Withdraw { domain, to, origin },
                };
                control.change_routes([change], now);
            }
            4 if self.weather.kills => self.kill_sessions(),
            7..=9 => self.reload(),
            4 => {}
            _ if self.stations.iter().any(|station| station.host.is_some()) => {}
            _ => {
                let station = self.rng.range(0..self.stations.len());
                let (gateway, _) = GATEWAY[self.stations[station].port.index()];
                self.stations[station].mac[4] ^= 0x10;
                let announcements = self.stations[station].announcements(gateway);
                self.send(station, announcements.into());
            }
        }
    }
    /// Another configuration, or on trial's end the one before; and the source of pods speaks.
    fn reload(&mut self) {
        let scheme = match self.trial.take() {
            Some(before) => before,
            None => {
                let scheme = self.gateway.scheme();
                let another = match self.weather.kills {
                    true => scheme.another(&mut self.rng),
                    false => scheme.friendly(&mut self.rng),
                };
                if self.weather.kills && self.rng.chance(1, 4) {
                    self.trial = Some(scheme.clone());
                }
                another
            }
        };
        self.names.lose();
        self.gateway.reload(scheme, self.now);
        if self.rng.bool() {
            let pods = place::labelled(&mut self.rng);
            self.gateway.control.update_pods([(BLUE, pods)], [], self.now);
        }
    }
}
