//! One gateway, its clock, and everything it sent.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use causeway_control::compile::PortFacts;
use causeway_control::config::Config;
use causeway_control::control::Control;
use causeway_control::neighbors::{Row, State};
use causeway_fastpath::burst::Burst;
use causeway_fastpath::command::{Command, Event};
use causeway_fastpath::forwarder::{Capacity, Forwarder};
use causeway_fastpath::fragment;
use causeway_fastpath::frame::Frame;
use causeway_fastpath::handoff::Errand;
use causeway_fastpath::ids::{Epoch, PortId};
use causeway_fastpath::snapshot::Snapshot;
use causeway_fastpath::time::Instant;
use causeway_fastpath::verdict::Verdict;
use causeway_testkit::packet::*;

/// Room in front of a packet, as ports give it.
const HEADROOM: usize = 128;

/// The Ethernet address of the gateway's port.
pub(crate) fn own_mac(port: PortId) -> Mac {
    [2, 0, 0, 0, 0xcc, port.0 as u8]
}

/// A command that was carried out.
#[derive(Debug)]
pub(crate) enum Step {
    Install(Arc<Snapshot>),
    Inject,
    Transmit,
    ListSessions,
    EndSessions,
    ListPools,
    ListRefused,
}

/// Control and a forwarder in lockstep.
pub(crate) struct World {
    pub(crate) control: Control,
    pub(crate) forwarder: Forwarder,
    pub(crate) now: Instant,
    /// The newest tables.
    pub(crate) snapshot: Arc<Snapshot>,
    /// Commands since the last look.
    steps: Vec<Step>,
    /// Frames that went out since the last look.
    sent: Vec<(PortId, Vec<u8>)>,
    events: VecDeque<Event>,
}

impl World {
    /// The gateway of `configs/lab.toml`, once its start is over.
    pub(crate) fn lab() -> World {
        World::load("lab.toml").started()
    }

    /// The gateway of a file in `configs/`, with what it sent on start.
    pub(crate) fn load(file: &str) -> World {
        World::start(&std::fs::read_to_string(configs().join(file)).expect("the file is there"))
    }

    /// The gateway of this configuration, with what it sent on start.
    pub(crate) fn start(text: &str) -> World {
        let (config, _) = Config::parse("test.toml", text).unwrap_or_else(|errors| panic!("{errors}"));
        let now = Instant::from_secs(1000);
        let mac = |at: usize| own_mac(PortId(at as u16));
        let facts = (0..config.ports.len()).map(|at| PortFacts { mac: mac(at), mtu: 1500 }).collect();
        let capacity = Capacity { sessions_v4: 2000, sessions_v6: 2000, fragments: fragment::Capacity::default() };
        let mut world = World {
            control: Control::new(config, facts, 7, now),
            forwarder: Forwarder::new(capacity, [7; 32], now),
            now,
            snapshot: Arc::new(Snapshot::closed()),
            steps: Vec::new(),
            sent: Vec::new(),
            events: VecDeque::new(),
        };
        world.settle();
        world
    }

    /// Forgets what was sent and done so far.
    pub(crate) fn started(mut self) -> World {
        self.sent();
        self.steps();
        self
    }

    /// A frame arrives; everything that follows at once happens. Says what the
    /// forwarder decided.
    pub(crate) fn send(&mut self, port: PortId, frame: impl AsRef<[u8]>) -> Verdict {
        self.burst(&[(port, frame.as_ref().to_vec())])[0]
    }

    /// Frames arrive in one burst; then everything that follows happens.
    pub(crate) fn burst(&mut self, frames: &[(PortId, Vec<u8>)]) -> Vec<Verdict> {
        let mut burst = Burst::new();
        for (port, bytes) in frames {
            let mut frame = Frame::boxed(bytes, HEADROOM, 0);
            frame.ingress = *port;
            burst.push(frame);
        }
        self.forwarder.process(self.now, &mut burst);
        let verdicts = self.obey(&mut burst);
        self.settle();
        verdicts
    }

    /// Lets time pass; what is due happens when it is due.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.control.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.control.handle_timeout(self.now);
            assert!(self.control.poll_timeout().is_none_or(|next| next > self.now), "what is due is done");
            self.settle();
        }
        self.now = end;
        while self.forwarder.handle_timeout(end) {}
    }

    /// Hands control an event and carries out what follows.
    pub(crate) fn tell(&mut self, event: Event) {
        self.events.push_back(event);
        self.settle();
    }

    /// What went out since the last look, in order.
    pub(crate) fn sent(&mut self) -> Vec<(PortId, Vec<u8>)> {
        std::mem::take(&mut self.sent)
    }

    /// What went out of one port since the last look; nothing went out of others.
    #[track_caller]
    pub(crate) fn sent_by(&mut self, port: PortId) -> Vec<Vec<u8>> {
        let sent = self.sent();
        let strays: Vec<_> = sent.iter().filter(|(by, _)| *by != port).map(|(_, bytes)| bytes).collect();
        assert!(
            strays.is_empty(),
            "out of another port: {:?}",
            strays.iter().map(|bytes| line(bytes)).collect::<Vec<_>>()
        );
        sent.into_iter().map(|(_, bytes)| bytes).collect()
    }

    /// What went out of one port since the last look, whatever went out of others.
    pub(crate) fn sent_among_others(&mut self, port: PortId) -> Vec<Vec<u8>> {
        self.sent().into_iter().filter(|(by, _)| *by == port).map(|(_, bytes)| bytes).collect()
    }

    /// Asserts that exactly these frames went out of a port since the last look.
    #[track_caller]
    pub(crate) fn expect(&mut self, port: PortId, frames: &[Vec<u8>]) {
        causeway_testkit::print::assert_frame_lists_eq(frames, &self.sent_by(port));
    }

    /// Asserts that nothing went out since the last look.
    #[track_caller]
    pub(crate) fn expect_silence(&mut self) {
        let sent = self.sent();
        assert!(sent.is_empty(), "sent: {:?}", sent.iter().map(|(_, bytes)| line(bytes)).collect::<Vec<_>>());
    }

    /// Commands carried out since the last look, in order.
    pub(crate) fn steps(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.steps)
    }

    /// What control knows of a neighbour.
    pub(crate) fn neighbor(&self, port: PortId, address: &str) -> Option<Row> {
        let address = address.to_ip();
        self.control.neighbors().find(|row| row.port.0 == port.index() && row.address == address)
    }

    /// The state of a neighbour and its MAC address.
    pub(crate) fn state(&self, port: PortId, address: &str) -> Option<(State, Option<Mac>)> {
        self.neighbor(port, address).map(|row| (row.state, row.mac))
    }

    /// Carries commands and events to and fro until both sides are quiet.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut quiet = true;
            while let Some(event) = self.events.pop_front() {
                self.control.handle_event(event, self.now);
                quiet = false;
            }
            while let Some(command) = self.control.poll_command() {
                self.carry_out(command);
                quiet = false;
            }
            while self.forwarder.settle(self.now, 64) {}
            while let Some(settled) = self.forwarder.poll_settled() {
                self.events.push_back(settled);
                quiet = false;
            }
            if quiet {
                break;
            }
        }
        assert!(self.control.is_settled(), "the newest tables are in force");
        assert!(self.forwarder.counters().conserve(), "every packet meets one end");
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Prepare(room) => self.forwarder.prepare(room),
            Command::Install(snapshot) => {
                assert_eq!(snapshot.check(), Ok(()));
                assert_eq!(snapshot.epoch, Epoch(self.snapshot.epoch.0 + 1), "epochs grow by one");
                self.snapshot = Arc::clone(&snapshot);
                self.steps.push(Step::Install(Arc::clone(&snapshot)));
                self.events.push_back(self.forwarder.install(snapshot, self.now));
            }
            Command::Inject(frame, errand) => {
                self.steps.push(Step::Inject);
                let mut burst = Burst::new();
                burst.push(frame);
                self.forwarder.process_injected(self.now, &mut burst, &[errand]);
                self.obey(&mut burst);
            }
            Command::Transmit(port, frame) => {
                self.steps.push(Step::Transmit);
                self.sent.push((port, frame.bytes().to_vec()));
                self.events.push_back(Event::Spent(frame));
            }
            Command::ListSessions(mut page) => {
                self.steps.push(Step::ListSessions);
                self.forwarder.list_sessions(self.now, &mut page);
                self.events.push_back(Event::Sessions(page));
            }
            Command::EndSessions(mut kill) => {
                self.steps.push(Step::EndSessions);
                self.forwarder.end_sessions(self.now, &mut kill);
                self.events.push_back(Event::SessionsEnded(kill));
            }
            Command::ListPools(mut page) => {
                self.steps.push(Step::ListPools);
                self.forwarder.list_pools(&mut page);
                self.events.push_back(Event::Pools(page));
            }
            Command::ListRefused(mut page) => {
                self.steps.push(Step::ListRefused);
                self.forwarder.list_refused(&mut page);
                self.events.push_back(Event::Refused(page));
            }
        }
    }

    fn obey(&mut self, burst: &mut Burst) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for (frame, verdict) in burst.drain() {
            verdicts.push(verdict);
            match verdict {
                Verdict::Forward(port) | Verdict::Reply(port) => self.sent.push((port, frame.bytes().to_vec())),
                Verdict::Punt(reason) => {
                    let mut copy = Frame::boxed(frame.bytes(), HEADROOM, 0);
                    copy.ingress = frame.ingress;
                    self.events.push_back(Event::Punted(reason, copy, Errand::Own));
                }
                Verdict::Drop(_) | Verdict::Hold | Verdict::HandOff(_) => {}
            }
            drop(frame.into_heap().expect("tests keep their frames on the heap"));
        }
        verdicts
    }
}

/// Every file in `configs/`.
pub(crate) fn config_files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(configs()).expect("the directory is there");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}

pub(crate) fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs")
}

/// A frame in one line, for messages.
pub(crate) fn line(frame: &[u8]) -> String {
    causeway_testkit::print::line(frame)
}

pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}
