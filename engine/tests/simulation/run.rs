//! One gateway, everybody around it, and a clock that nobody waits for.
//!
//! While the weather is bad links lose, repeat, delay and reorder, workers stall, tables
//! change, sessions are ended and neighbours fall silent or move. Then it clears up: every
//! conversation must come to its end, and at last nothing of it must be left.

use std::collections::BTreeMap;
use std::time::Duration;

use causeway_fastpath::ids::PortId;
use causeway_fastpath::time::Instant;
use causeway_testkit::seed::Rng;
use causeway_testkit::{checksum, print};

use crate::frame::{self, Note};
use crate::gateway::Gateway;
use crate::names::Names;
use crate::place::{self, Place};
use crate::scheme::Scheme;
use crate::station::Station;
use crate::talk::Talk;
use crate::weather::Weather;

/// When everything begins.
pub(crate) const START: Instant = Instant::from_millis(1_000_000);
/// How long the weather is bad.
pub(crate) const BAD: Duration = Duration::from_secs(4);
/// By when all must have come to an end once it is good: the longest that anything is in the
/// way is a UDP session that an answer began whose own session was ended, and then its name at
/// rest; and where names are few, those who wait for them wait for each other.
pub(crate) const HEALED: Duration = Duration::from_secs(4_000);
/// After which every session has ended: the longest timer, that of established connections.
const FORGOTTEN: Duration = Duration::from_secs(3 * 3600);

pub(crate) struct Run {
    pub(crate) gateway: Gateway,
    pub(crate) stations: Vec<Station>,
    pub(crate) talks: Vec<Talk>,
    pub(crate) weather: Weather,
    pub(crate) now: Instant,
    pub(crate) rng: Rng,
    pub(crate) names: Names,
    place: Place,
    /// The one before that on trial.
    pub(crate) trial: Option<Scheme>,
    /// Frames on links, by when they arrive.
    links: BTreeMap<(Instant, u64), Flight>,
    sent: u64,
    /// Frames that came to the gateway's ports, and that left by them.
    totals: (u64, u64),
}

/// A frame under way.
enum Flight {
    ToGateway(PortId, Vec<u8>),
    ToStation(usize, Vec<u8>),
}

impl Run {
    /// Workers that share this place.
    pub(crate) fn new(workers: usize, mut rng: Rng) -> Run {
        let weather = Weather::draw(&mut rng);
        let place = Place::draw(workers, &mut rng);
        let gateway = Gateway::new(place.scheme(), weather.rooms, &mut rng, START);
        let stations = place::stations(&gateway);
        let talks = place.talks(&mut rng);
        let names = Names::new(&place);
        let (links, totals) = (BTreeMap::new(), (0, 0));
        let (now, trial, sent) = (START, None, 0);
        let mut run = Run { gateway, stations, talks, weather, now, rng, names, place, trial, links, sent, totals };
        run.gateway.control.update_nodes(place::all_nodes(), START);
        run
    }

    /// From the first packet to the last session.
    pub(crate) fn play(mut self) -> Run {
        while self.now < START + BAD {
            self.step();
            self.change_something();
        }
        self.clear_up();
        self.talks.extend(self.place.late_talks(self.now, &mut self.rng));
        let deadline = self.now + HEALED;
        while let Some(talk) = self.talks.iter().find(|talk| !talk.is_over) {
            assert!(self.now < deadline, "it does not heal: {talk}\n{:?}\n{}", self.weather, self.gateway.story());
            self.step();
        }
        self.end();
        self
    }

    /// The weather is good from now on, and everything is as it was.
    pub(crate) fn clear_up(&mut self) {
        self.weather.clear();
        self.stations.iter_mut().for_each(|station| station.silent_until = Instant::ZERO);
        self.gateway.crew.iter_mut().for_each(|manned| manned.stalled_until = Instant::ZERO);
        self.gateway.control.update_nodes(place::all_nodes(), self.now);
        if self.weather.reloads && self.weather.kills {
            self.names.lose();
            self.gateway.reload(self.place.scheme(), self.now);
        }
    }

    /// Lets time pass until every session has ended, and looks for what is left.
    pub(crate) fn end(&mut self) {
        while self.step() {}
        self.gateway.assert_quiet();
        for _ in 0..6 {
            self.now = self.now + FORGOTTEN / 6;
            while self.step() {}
        }
        self.gateway.assert_quiet();
        assert_eq!(self.gateway.sessions(), 0, "every session has ended");
        assert_eq!(self.gateway.lent(), 0, "every name has come back");
        let (rx, missed, tx) = self.gateway.port_totals();
        assert_eq!((rx + missed, tx), self.totals, "no frame is lost but counted");
        let (received, left) =
            (self.gateway.counted("received"), self.gateway.counted("forwarded") + self.gateway.counted("replied"));
        assert_eq!(rx, received);
        assert!((left..=left + self.gateway.transmitted).contains(&tx), "{tx} frames left, {left} of them packets");
        assert!(
            !self.names.are_plenty() || self.gateway.counted("nat-ports-exhausted") == 0,
            "there were names for all"
        );
        assert!(self.gateway.control.list_pools(0));
        while self.step() {}
        let (rows, _) = self.gateway.control.take_pools().expect("nobody is busy");
        let used: u32 = rows.iter().flat_map(|row| &row.loads).map(|load| load.used).sum();
        assert_eq!(used, 0, "every port is free");
    }

    /// A moment: what has arrived is there, and everybody has a turn, in any order. Says
    /// whether anything happened, or is about to at once.
    pub(crate) fn step(&mut self) -> bool {
        self.speak();
        let mut busy = self.arrive();
        let workers = self.gateway.crew.len();
        let mut order: Vec<usize> = (0..=workers).collect();
        self.rng.shuffle(&mut order);
        for who in order {
            if who == workers {
                busy |= !self.weather.is_slow(&mut self.rng) && self.gateway.turn_control(self.now);
            } else if self.gateway.crew[who].stalled_until <= self.now {
                busy |= self.weather.is_slow(&mut self.rng) || self.gateway.turn_worker(who, self.now);
                self.gateway.assert_law(who);
            }
            self.gateway.assert_woken();
        }
        self.gateway.assert_names(self.now);
        self.names.heed_kills(&mut self.gateway.control);
        busy |= self.fetch();
        self.now = if busy { self.now + Duration::from_micros(1 + self.rng.below(200)) } else { self.next_event() };
        busy || !self.links.is_empty()
    }

    /// When something happens next.
    fn next_event(&self) -> Instant {
        let link = self.links.first_key_value().map(|((due, _), _)| *due);
        let talk = self.talks.iter().filter(|talk| !talk.is_over).map(|talk| talk.next_at).min();
        let stalled = self.gateway.crew.iter().map(|manned| manned.stalled_until).filter(|end| *end > self.now).min();
        let host = self.stations.iter().filter_map(|station| station.host.as_ref()?.poll_timeout()).min();
        let due = [link, talk, host, stalled, self.gateway.control.poll_timeout()].into_iter().flatten().min();
        let at_most = self.now + Duration::from_millis(250);
        due.unwrap_or(at_most).clamp(self.now + Duration::from_micros(1), at_most)
    }

    /// All sessions are to end, whoever needs them.
    pub(crate) fn kill_sessions(&mut self) {
        self.names.kill(&mut self.gateway.control);
    }

    fn speak(&mut self) {
        for at in 0..self.stations.len() {
            if let Some(host) = &mut self.stations[at].host {
                let frames = host.handle_timeout(self.now);
                self.send(at, frames);
            }
        }
        for at in 0..self.talks.len() {
            let talk = &mut self.talks[at];
            if talk.is_over || talk.next_at > self.now {
                continue;
            }
            let station = talk.station;
            let frames = talk.speak(&self.stations, &mut self.rng, self.now);
            self.send(station, frames);
        }
    }

    /// A station sends frames to the gateway.
    pub(crate) fn send(&mut self, station: usize, frames: Vec<Vec<u8>>) {
        let Station { port, silent_until, .. } = self.stations[station];
        if silent_until <= self.now {
            frames.into_iter().for_each(|frame| self.post(Flight::ToGateway(port, frame)));
        }
    }

    /// A frame is on its way, as often as the weather wants.
    fn post(&mut self, flight: Flight) {
        for delay in self.weather.deliveries(&mut self.rng) {
            self.sent += 1;
            let copy = match &flight {
                Flight::ToGateway(port, frame) => Flight::ToGateway(*port, frame.clone()),
                Flight::ToStation(station, frame) => Flight::ToStation(*station, frame.clone()),
            };
            self.links.insert((self.now + delay, self.sent), copy);
        }
    }

    /// Everything that has arrived by now.
    fn arrive(&mut self) -> bool {
        let mut any = false;
        while let Some(first) = self.links.first_entry()
            && first.key().0 <= self.now
        {
            any = true;
            match first.remove() {
                Flight::ToGateway(port, frame) => {
                    let worker = self.weather.worker_for(&frame, self.gateway.crew.len(), &mut self.rng);
                    self.gateway.receive(worker, port, &frame);
                    self.totals.0 += 1;
                }
                Flight::ToStation(station, frame) => self.hear(station, &frame),
            }
        }
        any
    }

    fn hear(&mut self, at: usize, frame: &[u8]) {
        let station = &mut self.stations[at];
        if station.silent_until > self.now {
            return;
        }
        if let Some(host) = &mut station.host {
            host.hear(frame, self.now);
            return;
        }
        if let Some(answer) = station.answers_link(frame) {
            self.send(at, vec![answer]);
            return;
        }
        let Some(heard) = station.hears(frame) else {
            return;
        };
        let said = heard.said.or(heard.about.map(|(_, _, said)| said));
        let Some(note) = said.and_then(|said| said.note) else {
            return;
        };
        let (rng, now) = (&mut self.rng, self.now);
        let Some(talk) = self.talks.get_mut(note.talk as usize) else {
            panic!("nobody said that: {}", print::line(frame));
        };
        talk.hear(&heard, note, self.names.freed, rng, now);
        if heard.about.is_none() && !note.answer {
            let big = talk.big.then(|| rng.u32());
            let answers = self.stations[at].serves(&heard, frame, big);
            self.send(at, answers);
        }
    }

    /// Takes what left the gateway, looks at it, and has it carried on.
    fn fetch(&mut self) -> bool {
        let mut any = false;
        for worker in 0..self.gateway.crew.len() {
            for port in 0..self.gateway.macs.len() {
                while let Some(frame) = self.gateway.crew[worker].peers[port].pop() {
                    any = true;
                    self.totals.1 += 1;
                    self.look_at(worker, port, &frame);
                    for station in 0..self.stations.len() {
                        let Station { port: on, mac, .. } = self.stations[station];
                        if on.index() == port && (frame[0] & 1 == 1 || frame[..6] == mac) {
                            self.post(Flight::ToStation(station, frame.clone()));
                        }
                    }
                }
            }
        }
        any
    }

    /// What must be so of every frame that leaves.
    fn look_at(&mut self, worker: usize, port: usize, frame: &[u8]) {
        assert_eq!(checksum::verify(frame), Ok(()), "{}", print::line(frame));
        let Some(ip) = frame::ip(frame) else {
            return;
        };
        let is_outside = port == place::UPLINK.index();
        if is_outside && place::is_inside(ip.src) {
            let is_seen = self.gateway.was_so(worker, |scheme| !scheme.hides(ip.src, ip.dst));
            assert!(is_seen, "nobody inside is seen outside: {}", print::line(frame));
        }
        let is_first = ip.part.is_none_or(|part| part.offset == 0);
        let Some(said) = frame::Said::read(ip.protocol, ip.payload).filter(|_| is_first) else {
            return;
        };
        let Some(Note { answer, talk, .. }) = said.note else {
            return;
        };
        let (talk, name) = (&self.talks[talk as usize], (ip.src, said.ports.0));
        let is_to_service = talk.to == place::service(ip.dst.is_ipv6());
        if answer && is_outside {
            let servers = [place::NODE_A, place::NODE_B].map(|node| place::pod_of(node, 0, ip.src.is_ipv6()));
            let is_right = |scheme: &Scheme| match name == talk.to {
                true => scheme.has_service(),
                false => servers.iter().any(|server| scheme.gives(*server, ip.dst, ip.protocol, name)),
            };
            assert!(self.gateway.was_so(worker, is_right), "{talk}: {name:?} answers");
        }
        if answer {
            return;
        }
        if is_to_service {
            let leads_there = self.gateway.was_so(worker, |scheme| scheme.serves(ip.dst));
            assert!(leads_there, "{talk}: the service does not lead to {}", ip.dst);
        } else if is_outside {
            let gives = |scheme: &Scheme| scheme.gives(talk.from.0, ip.dst, ip.protocol, name);
            assert!(self.gateway.was_so(worker, gives), "{talk}: {name:?} is not its name by the tables in force");
        }
        if talk.named {
            self.names.seen(talk, ip.protocol, name, self.now);
        }
    }
}
