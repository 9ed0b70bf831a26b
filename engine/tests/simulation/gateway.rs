//! The gateway: real control, real workers and real rings, none of which has a thread.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use causeway_control::compile::PortFacts;
use causeway_control::config::Config;
use causeway_control::control::Control;
use causeway_engine::channel::Channel;
use causeway_engine::handoff::{Colleagues, Exchange};
use causeway_engine::port::Port;
use causeway_engine::port::memory::{MemoryOptions, MemoryPeer, MemoryPort};
use causeway_engine::port::open::options;
use causeway_engine::wake::Doorbell;
use causeway_engine::worker::Worker;
use causeway_fastpath::command::Command;
use causeway_fastpath::forwarder::{Capacity, Forwarder};
use causeway_fastpath::fragment;
use causeway_fastpath::frame::BufferOwner;
use causeway_fastpath::handoff::Workers;
use causeway_fastpath::ids::{PortId, VrfId, WorkerId};
use causeway_fastpath::time::Instant;
use causeway_testkit::packet::Mac;
use causeway_testkit::seed::Rng;

/// Commands that a worker obeys in a turn, as its thread has it.
const COMMANDS_A_TURN: usize = 4;
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
    secret: u64,
}

/// A worker, the other ends of its ports, and its line to control.
pub(crate) struct Manned {
    pub(crate) worker: Worker<MemoryPort>,
    pub(crate) peers: Vec<MemoryPeer>,
    channel: Channel,
    /// Commands that the ring had no room for, in order.
    backlog: VecDeque<Command>,
    /// It does not turn before then.
    pub(crate) stalled_until: Instant,
}

impl Gateway {
    pub(crate) fn new(config: Config, rooms: Rooms, rng: &mut Rng, now: Instant) -> Gateway {
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
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&rng.u64().to_le_bytes());
            let worker = match count {
                1 => Worker::new(ports, Forwarder::new(capacity(), seed, now)),
                _ => {
                    let place = Workers::new(me, count as u16, secret);
                    let colleagues = Colleagues::new(Arc::clone(&exchange), me);
                    Worker::new(ports, Forwarder::of(place, capacity(), seed, now)).among(colleagues)
                }
            };
            let channel = Channel::with_rings(Arc::clone(&bell), rooms.channel).expect("a descriptor");
            Manned { worker, peers, channel, backlog: VecDeque::new(), stalled_until: Instant::ZERO }
        });
        let crew = crew.collect();
        let facts = infos.iter().map(|info| PortFacts { mac: info.mac, mtu: info.mtu }).collect();
        let macs = infos.iter().map(|info| info.mac).collect();
        Gateway { control: Control::new(config, facts, rng.u64(), now), crew, macs, transmitted: 0, secret }
    }

    /// Control's thread once round: events, time, commands. Says whether there was anything.
    pub(crate) fn turn_control(&mut self, now: Instant) -> bool {
        let mut busy = false;
        for at in 0..self.crew.len() {
            while let Some(event) = self.crew[at].channel.next_event() {
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
                let is_frame = matches!(command, Command::Transmit(..));
                if let Err(command) = channel.send_command(command) {
                    backlog.push_front(command);
                    break;
                }
                self.transmitted += u64::from(is_frame);
                busy = true;
            }
        }
        busy
    }

    /// A worker's thread once round. Says whether there was anything.
    pub(crate) fn turn_worker(&mut self, at: usize, now: Instant) -> bool {
        let Manned { worker, channel, .. } = &mut self.crew[at];
        let mut busy = false;
        for _ in 0..COMMANDS_A_TURN {
            let Some(command) = channel.next_command() else {
                break;
            };
            worker.handle_command(command, now);
            busy = true;
        }
        busy |= worker.turn(now) > 0;
        worker.flush();
        while let Some(event) = worker.poll_event() {
            if let Err(event) = channel.send_event(event) {
                worker.event_refused(event);
                break;
            }
            busy = true;
        }
        busy || worker.is_behind() || worker.colleagues().is_some_and(|colleagues| !colleagues.is_idle())
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
    pub(crate) fn receive(&self, worker: usize, port: PortId, frame: &[u8]) {
        self.crew[worker].peers[port.index()].push(frame, causeway_fastpath::offload::Offload::DONE);
    }
}

fn capacity() -> Capacity {
    Capacity { sessions_v4: 512, sessions_v6: 512, fragments: fragment::Capacity { datagrams: 128, held: 64 } }
}
