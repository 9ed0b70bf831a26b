//! The gateway: real control, real workers and real rings, none of which has a thread.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use causeway_control::compile::PortFacts;
use causeway_control::control::Control;
use causeway_engine::channel::Channel;
use causeway_engine::handoff::{Colleagues, Exchange};
use causeway_engine::port::Port;
use causeway_engine::port::memory::{MemoryOptions, MemoryPeer, MemoryPort};
use causeway_engine::port::open::options;
use causeway_engine::turn::Turns;
use causeway_engine::wake::{Doorbell, readable, sleep};
use causeway_engine::worker::Worker;
use causeway_fastpath::command::{Command, Event};
use causeway_fastpath::forwarder::{Capacity, Forwarder};
use causeway_fastpath::fragment;
use causeway_fastpath::frame::BufferOwner;
use causeway_fastpath::handoff::Workers;
use causeway_fastpath::ids::{Epoch, PortId, VrfId, WorkerId};
use causeway_fastpath::time::Instant;
use causeway_testkit::packet::Mac;
use causeway_testkit::seed::Rng;

use crate::fates::{self, Fates};
use crate::scheme::Scheme;

/// How long a worker sleeps at most, as where every port can be polled.
const SLEEP: Duration = Duration::from_millis(100);
/// Buffers of each port of each worker.
const BUFFERS: usize = 96;
/// Frames that a port of a worker takes in before it misses some.
const RX: usize = 48;
/// The routing domain of the one island.
const ISLAND: VrfId = VrfId(1);

/// How much rings and ports hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rooms {
    /// From a worker to another.
    pub(crate) hand_off: usize,
    /// Between control and a worker, each way.
    pub(crate) channel: usize,
    /// Frames that a port takes before anybody fetches them.
    pub(crate) tx: usize,
}

pub(crate) struct Gateway {
    pub(crate) control: Control,
    pub(crate) crew: Vec<Manned>,
    pub(crate) macs: Vec<Mac>,
    /// Frames that control had sent: they are nobody's verdict.
    pub(crate) transmitted: u64,
    /// What was to hold, from which tables on.
    schemes: BTreeMap<Epoch, Scheme>,
    fates: Fates,
    /// Sessions that had begun when names were looked at last.
    begun: u64,
    secret: u64,
}

/// A worker, the other ends of its ports, and its line to control.
pub(crate) struct Manned {
    pub(crate) worker: Worker<MemoryPort>,
    turns: Turns,
    /// It sleeps until then, unless it is woken.
    asleep: Option<Instant>,
    /// Would a port, or control's bell, wake it?
    called: bool,
    pub(crate) peers: Vec<MemoryPeer>,
    channel: Channel,
    /// Commands that the ring had no room for, in order.
    backlog: VecDeque<Command>,
    /// It does not turn before then.
    pub(crate) stalled_until: Instant,
    /// The first and the last tables by which packets may have left in its last turn.
    by_tables: (Epoch, Epoch),
}

impl Gateway {
    pub(crate) fn new(scheme: Scheme, rooms: Rooms, rng: &mut Rng, now: Instant) -> Gateway {
        let config = scheme.config();
        let count = config.gateway.cores.len();
        let exchange = Exchange::with_rings(count, rooms.hand_off).expect("descriptors");
        let bell = Arc::new(Doorbell::new().expect("a descriptor"));
        let behavior =
            MemoryOptions { buffers: BUFFERS, frame_len: 2048, rx_capacity: RX, tx_capacity: rooms.tx, offloads: true };
        let (secret, mut infos) = (rng.u64(), Vec::new());
        let crew = (0..count as u16).map(|me| {
            let me = WorkerId(me);
            let (ports, peers): (Vec<_>, Vec<_>) = options(&config)
                .iter()
                .map(|options| MemoryPort::pair(options, BufferOwner::of_port(me, options.id), &behavior))
                .map(|(port, peer)| (Box::new(port), peer))
                .unzip();
            infos = ports.iter().map(|port| port.info().clone()).collect();
            let seed = seed(rng);
            let worker = match count {
                1 => Worker::new(ports, Forwarder::new(capacity(), seed, now)),
                _ => {
                    let place = Workers::new(me, count as u16, secret);
                    let colleagues = Colleagues::new(Arc::clone(&exchange), me);
                    Worker::new(ports, Forwarder::of(place, capacity(), seed, now)).among(colleagues)
                }
            };
            let channel = Channel::with_rings(Arc::clone(&bell), rooms.channel).expect("a descriptor");
            let (backlog, stalled_until, by_tables) = (VecDeque::new(), Instant::ZERO, (Epoch(0), Epoch(0)));
            let turns = Turns::new(config.gateway.idle, now);
            let (asleep, called) = (None, false);
            Manned { worker, turns, asleep, called, peers, channel, backlog, stalled_until, by_tables }
        });
        let crew = crew.collect();
        let facts = infos.iter().map(|info| PortFacts { mac: info.mac, mtu: info.mtu }).collect();
        let macs = infos.iter().map(|info| info.mac).collect();
        let control = Control::new(config, facts, rng.u64(), now);
        let schemes = [(Epoch(0), scheme)].into();
        let mut gateway =
            Gateway { control, crew, macs, transmitted: 0, schemes, fates: Fates::new(count), begun: 0, secret };
        gateway.note_islands();
        gateway
    }

    /// Notes whose the routing domains are from the tables on that come next.
    fn note_islands(&mut self) {
        let domains = self.control.tables().map(|row| row.domain);
        let islands = domains.map(|domain| (domain, self.control.domain_name(domain).to_owned())).collect();
        self.fates.name(self.control.next_epoch(), islands);
    }

    /// Another configuration, from the tables on that come next.
    pub(crate) fn reload(&mut self, scheme: Scheme, now: Instant) {
        self.control.reload(scheme.config(), now).expect("nothing needs a restart");
        self.schemes.insert(self.control.next_epoch(), scheme);
        self.note_islands();
    }

    /// The newest configuration.
    pub(crate) fn scheme(&self) -> &Scheme {
        self.schemes.last_key_value().expect("there is one").1
    }

    /// Was this so by a configuration by which a worker may have sent packets in its last turn?
    pub(crate) fn was_so(&self, worker: usize, is_so: impl Fn(&Scheme) -> bool) -> bool {
        let (first, last) = self.crew[worker].by_tables;
        let begin = self.schemes.range(..=first).next_back().map_or(first, |(epoch, _)| *epoch);
        self.schemes.range(begin..=last).any(|(_, scheme)| is_so(scheme))
    }

    /// Control's thread once round: events, time, commands. Says whether there was anything.
    pub(crate) fn turn_control(&mut self, now: Instant) -> bool {
        let mut busy = false;
        for at in 0..self.crew.len() {
            while let Some(event) = self.crew[at].channel.next_event() {
                if let Event::Settled(room) = &event {
                    let forwarder = self.crew[at].worker.forwarder();
                    self.fates.settled(at, room.epochs().1, forwarder, ended_otherwise(forwarder), now);
                }
                self.control.handle_event_from(WorkerId(at as u16), event, now);
                busy = true;
            }
        }
        if self.control.poll_timeout().is_some_and(|due| due <= now) {
            self.control.handle_timeout(now);
            busy = true;
        }
        for (at, manned) in self.crew.iter_mut().enumerate() {
            let Manned { channel, backlog, .. } = manned;
            while let Some(command) = backlog.pop_front().or_else(|| self.control.poll_command_for(WorkerId(at as u16)))
            {
                match &command {
                    Command::Prepare(room) => self.fates.will_judge(room.epochs().1),
                    Command::Install(snapshot) => self.fates.sent(snapshot),
                    _ => {}
                }
                let is_frame = matches!(command, Command::Transmit(..));
                if let Err(command) = channel.send_command(command) {
                    backlog.push_front(command);
                    break;
                }
                self.transmitted += u64::from(is_frame);
                manned.called = true;
                busy = true;
            }
        }
        busy
    }

    /// A worker's thread once round, unless it sleeps on. Says whether it is awake.
    pub(crate) fn turn_worker(&mut self, at: usize, now: Instant) -> bool {
        if !self.crew[at].is_awake(now) {
            return false;
        }
        let Manned { worker, turns, channel, by_tables, .. } = &mut self.crew[at];
        let (before, injected) = (Arc::clone(worker.tables()), worker.forwarder().counters().injected);
        let sessions = self.fates.before(worker.forwarder(), before.epoch, now);
        let ended = ended_otherwise(worker.forwarder());
        let busy = turns.turn(worker, channel, now);
        // What control had kept back may have left before the newest tables were there.
        let has_injected = worker.forwarder().counters().injected != injected;
        let after = worker.tables().epoch;
        *by_tables = (if has_injected { before.epoch } else { after }, after);
        self.fates.after(at, &sessions, (&before, worker.tables()), ended, now);
        if !busy && turns.may_sleep(worker, now) {
            self.crew[at].asleep = Some(now + SLEEP);
        }
        self.crew[at].asleep.is_none()
    }

    /// A worker panics, and begins anew.
    pub(crate) fn fail(&mut self, at: usize, rng: &mut Rng, now: Instant) {
        let Manned { worker, turns, asleep, .. } = &mut self.crew[at];
        worker.begin_anew(capacity(), seed(rng), now);
        (*turns, *asleep) = (Turns::new(self.control.config().gateway.idle, now), None);
    }

    /// Whoever sleeps though another one has handed him something is being woken.
    pub(crate) fn assert_woken(&self) {
        for (at, manned) in self.crew.iter().enumerate() {
            let sleeps_on = manned.asleep.is_some() && !manned.called;
            assert!(!sleeps_on || !manned.has_mail() || manned.hears_bell(), "worker {at} sleeps on its packets");
        }
    }

    /// What a counter says of all workers together.
    pub(crate) fn counted(&self, name: &str) -> u64 {
        let mut sum = 0;
        for manned in &self.crew {
            manned.worker.forwarder().counters().each(|_, row, value| sum += if row == name { value } else { 0 });
        }
        sum
    }

    /// What was counted, for who looks into a failure.
    pub(crate) fn story(&self) -> String {
        let mut story = String::new();
        for (at, manned) in self.crew.iter().enumerate() {
            story += &format!("worker {at}:");
            manned.worker.forwarder().counters().each(|group, name, value| {
                if value > 0 {
                    story += &format!(" {group} {name} {value},");
                }
            });
            story += "\n";
        }
        story
    }

    /// What holds after every turn of a worker.
    pub(crate) fn assert_law(&self, at: usize) {
        let forwarder = self.crew[at].worker.forwarder();
        let counters = forwarder.counters();
        let (came, met) = (counters.came_in(), counters.accounted_for());
        assert!(counters.conserve(), "worker {at}: {came} came in, {met} met an end");
        let (v4, v6) = forwarder.sessions();
        assert_eq!(counters.sessions_created - counters.sessions_ended, (v4 + v6) as u64, "worker {at}");
    }

    /// Names are given to one flow each, whichever worker has it.
    pub(crate) fn assert_names(&mut self, now: Instant) {
        let begun = self.crew.iter().map(|manned| manned.worker.forwarder().counters().sessions_created).sum();
        if std::mem::replace(&mut self.begun, begun) == begun {
            return;
        }
        let rows =
            |at: usize| self.fates.rows(self.crew[at].worker.forwarder(), now).into_iter().map(move |row| (at, row));
        fates::assert_names_are_one_flows((0..self.crew.len()).flat_map(rows));
        let oldest = self.crew.iter().map(|manned| manned.worker.tables().epoch).min();
        self.fates.forget(oldest.unwrap_or_default());
    }

    /// Nothing is under way: every packet that one worker handed off, another has taken over,
    /// and every buffer is where it belongs.
    pub(crate) fn assert_quiet(&self) {
        assert_eq!(self.counted("handed-off"), self.counted("taken-over"), "nothing is lost between workers");
        for (at, manned) in self.crew.iter().enumerate() {
            assert!(manned.backlog.is_empty(), "worker {at} has got all commands");
            for (port, peer) in manned.peers.iter().enumerate() {
                assert_eq!(peer.free_buffers(), BUFFERS, "buffers of port {port} of worker {at}");
            }
        }
        assert!(self.control.is_settled(), "the newest tables are in force");
        assert_eq!(self.control.settled(), self.control.next_epoch(), "all sessions were judged by them");
    }

    /// Names of one worker that others use.
    pub(crate) fn lent(&self) -> usize {
        self.crew.iter().map(|manned| manned.worker.forwarder().lent()).sum()
    }

    pub(crate) fn sessions(&self) -> usize {
        self.crew.iter().map(|manned| manned.worker.forwarder().sessions()).map(|(v4, v6)| v4 + v6).sum()
    }

    /// Frames that came in and that ports missed, or that left.
    pub(crate) fn port_totals(&mut self) -> (u64, u64, u64) {
        let mut totals = (0, 0, 0);
        for manned in &mut self.crew {
            for port in manned.worker.ports_mut() {
                let stats = port.stats();
                totals = (totals.0 + stats.rx_packets, totals.1 + stats.rx_missed, totals.2 + stats.tx_packets);
            }
        }
        totals
    }

    /// The worker of a pod.
    pub(crate) fn home(&self, pod: IpAddr) -> usize {
        let workers = Workers::new(WorkerId(0), self.crew.len() as u16, self.secret);
        let home = match pod {
            IpAddr::V4(pod) => workers.home(ISLAND, pod.to_bits()),
            IpAddr::V6(pod) => workers.home(ISLAND, pod.to_bits()),
        };
        home.index()
    }

    /// A frame arrives at a port of a worker.
    pub(crate) fn receive(&mut self, worker: usize, port: PortId, frame: &[u8]) {
        self.crew[worker].peers[port.index()].push(frame, causeway_fastpath::offload::Offload::DONE);
        self.crew[worker].called = true;
    }
}

impl Manned {
    /// Is it awake, or does something wake it?
    fn is_awake(&mut self, now: Instant) -> bool {
        if let Some(until) = self.asleep {
            if !self.called && until > now && !(self.has_mail() && self.hears_bell()) {
                return false;
            }
            self.asleep = None;
            self.turns.awake(&self.worker, &self.channel, now);
        }
        self.called = false;
        true
    }

    /// Is there something from another worker, or owed to one?
    fn has_mail(&self) -> bool {
        self.worker.colleagues().is_some_and(|colleagues| !colleagues.is_idle())
    }

    fn hears_bell(&self) -> bool {
        let mut fds: Vec<_> =
            self.worker.colleagues().map(|colleagues| readable(colleagues.bell().fd())).into_iter().collect();
        sleep(&mut fds, Duration::ZERO);
        fds.iter().any(|fd| fd.revents != 0)
    }
}

/// Sessions that have ended, but not because of other tables.
fn ended_otherwise(forwarder: &Forwarder) -> u64 {
    let counters = forwarder.counters();
    let judged = counters.sessions_ended_renamed + counters.sessions_ended_policy + counters.sessions_ended_forward;
    counters.sessions_ended - judged
}

fn seed(rng: &mut Rng) -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&rng.u64().to_le_bytes());
    seed
}

fn capacity() -> Capacity {
    Capacity { sessions_v4: 512, sessions_v6: 512, fragments: fragment::Capacity { datagrams: 128, held: 64 } }
}
