//! `causeway replay`: the same control and worker on capture files, in the
//! captures' own time. No privilege, no thread, and the same result each time.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use causeway_control::api::{Answer, SessionView};
use causeway_control::compile::PortFacts;
use causeway_control::config::Config;
use causeway_control::control::Control;
use causeway_fastpath::counters::Counters;
use causeway_fastpath::forwarder::{Capacity, Forwarder};
use causeway_fastpath::fragment;
use causeway_fastpath::frame::BufferOwner;
use causeway_fastpath::ids::WorkerId;
use causeway_fastpath::session::SessionFilter;
use causeway_fastpath::time::Instant;

use crate::gateway::{counters, fixed_seed, flow_seed};
use crate::nodes::{self, Remembered};
use crate::port::open::options;
use crate::port::pcap::PcapPort;
use crate::port::{OpenError, Port};
use crate::state::{self, StateError};
use crate::worker::Worker;

/// After so long without a packet, time jumps to the next one.
const LONGEST_SILENCE: Duration = Duration::from_secs(3600);

/// What to replay.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// Captures by port name. A port without one receives nothing.
    pub captures: Vec<(String, PathBuf)>,
    /// Where the results go: `PORT.pcap` with what each port sent, `counters.json`
    /// and `sessions.json`. Made if missing.
    pub out: PathBuf,
}

/// What came of it.
#[derive(Debug)]
pub struct Replayed {
    /// What was counted.
    pub counters: Answer,
    /// Packets read from the captures.
    pub packets: u64,
    /// Time from the first packet to the last, in nanoseconds.
    pub span_ns: u64,
}

/// Why a replay could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A capture belongs to no port.
    #[error("--port {name}: no such port; the configuration has {known}")]
    UnknownPort {
        /// The name that was given.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// Two captures for one port.
    #[error("--port {0}: given twice; merge the captures first")]
    Twice(String),
    /// A capture cannot be read, or a result not be written.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// What `gateway.state` holds cannot be used.
    #[error("{0}")]
    State(#[from] StateError),
    /// A result cannot be written.
    #[error("{path}: {source}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Replays captures through a configuration, by one worker whatever its cores. Nodes are those
/// that its files and `gateway.state` know; no API server is asked, and no state is written.
///
/// # Errors
/// A capture or a result that cannot be opened, or a state that cannot be read.
pub fn replay(mut config: Config, replay: &ReplayOptions) -> Result<Replayed, ReplayError> {
    let write = |path: &Path| {
        let path = path.to_owned();
        move |source| ReplayError::Write { path, source }
    };
    config.gateway.cores.truncate(1);
    state::settle_unwritten(&mut config)?;
    let remembered = Remembered::open(&config)?;
    std::fs::create_dir_all(&replay.out).map_err(write(&replay.out))?;
    let ports = open(&config, replay)?;
    let facts = ports.iter().map(|port| PortFacts { mac: port.info().mac, mtu: port.info().mtu }).collect();
    let start = ports.iter().filter_map(|port| port.peek_time()).min().unwrap_or(Instant::ZERO);
    let most = config.gateway.max_sessions as usize;
    let seed = fixed_seed(config.gateway.seed.unwrap_or(0));
    let forwarder = Forwarder::new(
        Capacity { sessions_v4: most, sessions_v6: most, fragments: fragment::Capacity::default() },
        seed,
        start,
    );
    let mut control = Control::new(config, facts, flow_seed(seed), start);
    if let Some(remembered) = remembered {
        remembered.recall(&mut control, start);
    }
    nodes::read_once(&mut control, start);
    let mut machine =
        Machine { control, worker: Worker::new(ports.into_iter().map(Box::new).collect(), forwarder), now: start };
    machine.run();

    let rows = machine.sessions();
    let sessions: Vec<_> = rows.iter().map(|row| SessionView::of(&machine.control, row)).collect();
    let counted = Answer::Counters(counters(&rows_of(machine.worker.forwarder().counters())));
    let sessions = Answer::Sessions { alive: sessions.len() as u64, sessions };
    for (name, answer) in [("counters.json", &counted), ("sessions.json", &sessions)] {
        let path = replay.out.join(name);
        let text = serde_json::to_string_pretty(answer).map_err(io::Error::from).map_err(write(&path))?;
        std::fs::write(&path, text + "\n").map_err(write(&path))?;
    }
    let packets = machine.worker.forwarder().counters().received;
    let span_ns = machine.now.nanos_since(start);
    for port in machine.worker.into_ports() {
        let path = replay.out.join(format!("{}.pcap", port.info().name));
        port.finish().map_err(write(&path))?;
    }
    Ok(Replayed { counters: counted, packets, span_ns })
}

fn open(config: &Config, replay: &ReplayOptions) -> Result<Vec<PcapPort>, ReplayError> {
    for (at, (name, _)) in replay.captures.iter().enumerate() {
        if !config.ports.iter().any(|port| port.name == *name) {
            let known: Vec<_> = config.ports.iter().map(|port| port.name.as_str()).collect();
            return Err(ReplayError::UnknownPort { name: name.clone(), known: known.join(", ") });
        }
        if replay.captures[..at].iter().any(|(other, _)| other == name) {
            return Err(ReplayError::Twice(name.clone()));
        }
    }
    let mut ports = Vec::new();
    for options in options(config) {
        let input = replay.captures.iter().find(|(name, _)| *name == options.name).map(|(_, path)| path.as_path());
        let output = replay.out.join(format!("{}.pcap", options.name));
        let owner = BufferOwner::of_port(WorkerId(0), options.id);
        ports.push(PcapPort::open(&options, owner, input, Some(&output))?);
    }
    Ok(ports)
}

fn rows_of(counters: &Counters) -> Vec<(&'static str, &'static str, u64)> {
    let mut rows = Vec::new();
    counters.each(|group, name, value| rows.push((group, name, value)));
    rows
}

/// Control and a worker in lockstep.
struct Machine {
    control: Control,
    worker: Worker<PcapPort>,
    now: Instant,
}

impl Machine {
    /// Goes from one moment at which something happens to the next, until the
    /// captures are at their end.
    fn run(&mut self) {
        self.settle();
        while let Some(arrival) = self.next_arrival() {
            let due = self.control.poll_timeout().filter(|due| *due <= arrival);
            // Over a long silence the machine slept: a clock that was set in the middle
            // of a capture would have neighbours asked for through half a century.
            let asleep = arrival.nanos_since(self.now) > LONGEST_SILENCE.as_nanos() as u64;
            self.now = self.now.max(due.filter(|_| !asleep).unwrap_or(arrival));
            if due.is_some() {
                self.control.handle_timeout(self.now);
                self.settle();
                continue;
            }
            for port in self.worker.ports_mut() {
                port.set_now(self.now);
            }
            // Time has jumped: what it ended must not be there when the packet comes.
            while self.worker.handle_timeout(self.now) {}
            while self.worker.turn(self.now) > 0 {}
            self.settle();
        }
    }

    /// Carries commands and events to and fro until neither side has more to say.
    fn settle(&mut self) {
        for port in self.worker.ports_mut() {
            port.set_now(self.now);
        }
        loop {
            let mut quiet = true;
            while let Some(event) = self.worker.poll_event() {
                self.control.handle_event(event, self.now);
                quiet = false;
            }
            while let Some(command) = self.control.poll_command() {
                self.worker.handle_command(command, self.now);
                quiet = false;
            }
            if quiet {
                return;
            }
        }
    }

    fn next_arrival(&self) -> Option<Instant> {
        self.worker.ports().iter().filter_map(|port| port.peek_time()).min()
    }

    fn sessions(&mut self) -> Vec<causeway_fastpath::command::SessionRow> {
        let listing = self.control.list_sessions(0, usize::MAX, SessionFilter::default());
        debug_assert!(listing, "no other listing goes on");
        self.settle();
        self.control.take_sessions().expect("the one worker has listed all it has").1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A router without a MAC address, so that somebody is asked for again and again.
    const CONFIG: &str = r#"
[gateway]
name = "test"
seed = 7
max-sessions = 4096
[[port]]
name = "uplink"
driver = "memory"
addresses = ["203.0.113.2/24"]
[[route]]
to = "0.0.0.0/0"
via = "203.0.113.1"
"#;

    /// A capture in classic form: a packet of no use at each of these seconds.
    fn capture(seconds: &[u32]) -> Vec<u8> {
        let mut file = Vec::new();
        for word in [0xa1b2_c3d4u32, 4 << 16 | 2, 0, 0, 65_535, 1] {
            file.extend(word.to_le_bytes());
        }
        for second in seconds {
            for word in [*second, 0, 14, 14] {
                file.extend(word.to_le_bytes());
            }
            file.extend([0; 14]);
        }
        file
    }

    /// Replays a packet at each of these seconds; what `--out` held then.
    fn replayed(config: &str, name: &str, seconds: &[u32]) -> (Replayed, u64, String) {
        let out = std::env::temp_dir().join(format!("causeway-replay-{name}-{}", std::process::id()));
        std::fs::create_dir(&out).expect("a fresh folder");
        let input = out.join("in.pcap");
        std::fs::write(&input, capture(seconds)).expect("written");
        let (config, _) = Config::parse("test.toml", config).unwrap_or_else(|errors| panic!("{errors}"));
        let options = ReplayOptions { captures: vec![("uplink".into(), input)], out: out.clone() };
        let done = replay(config, &options).expect("it runs");
        let asked = std::fs::metadata(out.join("uplink.pcap")).expect("written").len();
        let sessions = std::fs::read_to_string(out.join("sessions.json")).expect("written");
        std::fs::remove_dir_all(&out).expect("it was there");
        (done, asked, sessions)
    }

    #[test]
    fn a_clock_that_is_set_within_a_capture_is_no_half_century_of_questions() {
        let (done, asked, _) = replayed(CONFIG, "clock", &[5, 1_700_000_000]);
        assert_eq!((done.packets, done.span_ns), (2, 1_699_999_995_000_000_000));
        assert!(asked < 1_000, "{asked} bytes were sent");
    }

    /// One worker answers for all: what was asked of the others would never be done.
    #[test]
    fn several_cores_are_one_worker_in_a_replay() {
        let several = CONFIG.replace("seed = 7", "seed = 7\ncores = [0, 1]");
        let (one, all) = (replayed(CONFIG, "one", &[5, 6]), replayed(&several, "several", &[5, 6]));
        assert_eq!((one.0.packets, one.1, one.2), (all.0.packets, all.1, all.2));
    }
    /// What the API server said is in `gateway.state`; nobody asks it anew, and nothing is written.
    #[test]
    fn remembered_nodes_are_routed_and_the_state_is_left_alone() {
        let folder = causeway_tests::folder::Folder::new();
        let cluster = "[[cluster]]\nname = \"blue\"\nmodel = \"flat\"\npod-cidrs = [\"10.1.0.0/16\"]\n\
                       egress = \"none\"\nports = [\"uplink\"]\nnodes-from = { in-cluster = true }\n";
        let state = format!("seed = 7\nstate = {:?}", folder.path());
        let text = CONFIG.replace("seed = 7", &state) + cluster;
        let (config, _) = Config::parse("test.toml", &text).unwrap_or_else(|errors| panic!("{errors}"));
        let mut control = Control::new(config.clone(), vec![PortFacts { mac: [2; 6], mtu: 1500 }], 1, Instant::ZERO);
        let json = br#"{"kind":"Node","metadata":{"name":"a"},"spec":{"podCIDRs":["10.1.1.0/24"]},
                        "status":{"addresses":[{"type":"InternalIP","address":"203.0.113.77"}]}}"#;
        let nodes = causeway_control::nodes::read_nodes(json).expect("it is a node");
        let said = causeway_control::nodes::Update::All(nodes);
        control.update_nodes([(causeway_control::config::ClusterIdx(0), said)], Instant::ZERO);
        let remembered = Remembered::open(&config).expect("a folder").expect("it has a source");
        let keeper = remembered.keep(&control, Instant::ZERO).expect("a thread");
        keeper.end(&control, Instant::ZERO);

        let kept = || std::fs::read(folder.path().join("nodes.json")).expect("it was written");
        let before = kept();
        let asked_for_the_node = |text: &str| replayed(text, "remembered", &[5, 6]).1;
        assert!(asked_for_the_node(&text) > asked_for_the_node(&text.replace(&state, "seed = 7")));
        assert_eq!((kept(), folder.names()), (before, vec!["nodes.json".to_owned()]));
    }
}
