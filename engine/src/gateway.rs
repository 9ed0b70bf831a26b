//! `causeway run`: control's thread, with workers, an API and signals around it.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use causeway_control::alarm::{Alarm, Turn};
use causeway_control::api::{
    Answer, Ask, CounterView, CutOffView, Deed, EgressView, ForwardView, MOST_SESSIONS, NeighborView, NodeView,
    PodSourceView, PortView, RouteView, Show, SourceView, TableView, mac_text,
};
use causeway_control::compile::PortFacts;
use causeway_control::config::{Config, ConfigErrors, PortIdx};
use causeway_control::control::Control;
use causeway_fastpath::chance::Chance;
use causeway_fastpath::ids::Epoch;
use causeway_fastpath::time::Instant;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tracing::{error, info, warn};

use crate::api::{Asked, Server};
use crate::changes::{self, Changes, Clerk, Note, Plans};
use crate::clock;
use crate::crew::Crew;
use crate::launch::Launch;
use crate::nodes::{self, Keeper, NodeSources, Remembered};
use crate::port::{Link, forwarding};
use crate::shift::{MOST_FAILURES, Notice};
use crate::state::StateError;
use crate::thread::StartError;
use crate::wake::{Doorbell, readable, sleep};
use crate::walks::{Purpose, Walks};

/// How often pools are looked at.
const WATCH: Duration = Duration::from_secs(5);
/// How long control sleeps at most.
const SLEEP: Duration = Duration::from_secs(1);

/// Why the gateway could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The configuration cannot be used.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// The worker could not be started.
    #[error("{0}")]
    Start(#[from] StartError),
    /// What must survive a restart cannot be read or kept.
    #[error("{0}")]
    State(#[from] StateError),
    /// The API socket could not be made.
    #[error("the API socket {path}: {source}")]
    Api {
        /// Where it was to be.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The system refused something that is always there.
    #[error("{what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// A worker panicked again and again.
    #[error(
        "a worker has failed more than {MOST_FAILURES} times within a minute: a bug in Causeway, please report it with \
         what stands above"
    )]
    WorkerFailed,
    /// What changes the configuration panicked: one that is on trial would never be taken back.
    #[error(
        "the thread that changes the configuration has failed: a bug in Causeway, please report it with what stands above"
    )]
    ClerkFailed,
}

/// Runs a gateway until SIGTERM or SIGINT. Writes a line `ready` to `out` when its
/// ports are open and its tables in force.
///
/// # Errors
/// It could not start, or a worker failed. Nothing is left behind either way.
pub fn run(launch: Launch, out: &mut dyn Write) -> Result<(), GatewayError> {
    let loaded = changes::load(&launch)?;
    let system = |what| move |source| GatewayError::System { what, source };
    let bell = Arc::new(Doorbell::new().map_err(system("a doorbell"))?);
    let signals = Signals::new().map_err(system("signal handlers"))?;
    let api_path = loaded.config.gateway.api.clone();
    let server =
        Server::start(&api_path, Arc::clone(&bell)).map_err(|source| GatewayError::Api { path: api_path, source })?;
    let (changes, config) = Changes::begin(launch, loaded)?;
    for warning in forwarding::warnings(&config) {
        warn!("{warning}");
    }
    let remembered = Remembered::open(&config)?;
    let nodes = NodeSources::start(&config, Arc::clone(&bell)).map_err(system("a thread for nodes"))?;
    let seed = seed(&config).map_err(system("random numbers"))?;
    let crew = Crew::start(&config, seed, &bell)?;
    for port in crew.ports() {
        info!(
            port = port.name,
            device = port.device,
            driver = port.driver,
            mac = mac_text(port.mac),
            mtu = port.mtu,
            "{}",
            port.mode
        );
    }
    let facts = crew.ports().iter().map(|port| PortFacts { mac: port.mac, mtu: port.mtu }).collect();
    let now = clock::now();
    let clerk = Clerk::start(changes, &config.gateway.cores, Arc::clone(&bell));
    let clerk = clerk.map_err(system("a thread that changes the configuration"))?;
    let mut control = Control::new(config, facts, flow_seed(seed), now);
    let keep = |remembered: Remembered| {
        remembered.recall(&mut control, now);
        remembered.keep(&control, now)
    };
    let keeper = remembered.map(keep).transpose().map_err(system("a thread that keeps nodes"))?;
    let links = vec![Link::Up; crew.ports().len()];
    let mut gateway = Gateway {
        control,
        clerk,
        nodes,
        bell: Arc::clone(&bell),
        keeper,
        crew,
        walks: Walks::default(),
        plans: Plans::default(),
        promised: Vec::new(),
        links,
        watch_at: now,
        tables: Default::default(),
    };
    let result = gateway.serve(&bell, &signals, &server, out);
    drop(server);
    drop(gateway.clerk);
    let orderly = gateway.crew.stop();
    if let Some(keeper) = gateway.keeper.take() {
        keeper.end(&gateway.control, clock::now());
    }
    result?;
    if orderly { Ok(()) } else { Err(GatewayError::WorkerFailed) }
}

struct Gateway {
    control: Control,
    /// Who changes the configuration.
    clerk: Clerk,
    nodes: NodeSources,
    /// Rings when nodes have something to say.
    bell: Arc<Doorbell>,
    keeper: Option<Keeper>,
    crew: Crew,
    /// Answers that are being put together.
    walks: Walks,
    /// Who waits for a plan.
    plans: Plans,
    /// Answers that are true once these tables are in force and all sessions judged by them.
    promised: Vec<(Epoch, Asked, Answer)>,
    /// How each port was when last looked at.
    links: Vec<Link>,
    /// When pools are to be looked at.
    watch_at: Instant,
    /// Are the session tables nearly full: IPv4, IPv6?
    tables: [Alarm; 2],
}

impl Gateway {
    fn serve(
        &mut self,
        bell: &Doorbell,
        signals: &Signals,
        server: &Server,
        out: &mut dyn Write,
    ) -> Result<(), GatewayError> {
        let mut ready = false;
        let mut fds = [readable(bell.fd()), readable(signals.stop.as_raw_fd()), readable(signals.reload.as_raw_fd())];
        loop {
            let now = clock::now();
            while let Some((worker, event)) = self.crew.next_event() {
                self.control.handle_event_from(worker, event, now);
            }
            if let Some(mail) = self.nodes.take(now) {
                nodes::hand_over(mail, &mut self.control, now);
            }
            if self.control.poll_timeout().is_some_and(|due| due <= now) {
                self.control.handle_timeout(now);
                nodes::log_liveness(&mut self.control);
            }
            self.heed_changes(now);
            if self.nodes.is_to_follow(now) {
                self.follow_sources(now);
            }
            while let Some(asked) = server.next() {
                self.answer(asked, now);
            }
            let (v4, v6) = self.crew.sessions();
            self.walks.advance(&mut self.control, v4 + v6);
            self.plans.advance(&mut self.control, now);
            self.crew.send_commands(&mut self.control);
            self.heed_notices();
            self.keep_promises();
            if self.crew.has_lost_one() {
                return Err(GatewayError::WorkerFailed);
            }
            if self.clerk.has_gone() {
                return Err(GatewayError::ClerkFailed);
            }
            if !ready && self.control.is_settled() && self.crew.is_up_to_date() {
                ready = true;
                self.clerk.started();
                info!(api = %self.control.config().gateway.api.display(), "ready");
                // Whoever started us may not be listening.
                let _ = writeln!(out, "ready").and_then(|()| out.flush());
            }
            self.nodes.tell(&self.control);
            // What a configuration on trial makes of nodes does not outlive it.
            if let Some(keeper) = self.keeper.as_mut().filter(|_| !self.clerk.has_trial()) {
                keeper.look(&self.control, now);
            }
            self.watch_ports();
            self.watch_room(now);
            if signals.asked_to_reload() {
                self.clerk.reload();
            }
            if signals.asked_to_stop() {
                info!("asked to stop");
                return Ok(());
            }
            let due =
                [self.control.poll_timeout(), self.nodes.due(), self.clerk.poll_timeout()].into_iter().flatten().min();
            let due = due.map(|due| Duration::from_nanos(due.nanos_since(clock::now())));
            let patience =
                if self.crew.is_up_to_date() { due.unwrap_or(SLEEP).min(SLEEP) } else { Duration::from_millis(1) };
            sleep(&mut fds, patience);
            bell.silence();
        }
    }

    /// Logs what happened to workers.
    fn heed_notices(&mut self) {
        while let Some((worker, notice)) = self.crew.next_notice() {
            match notice {
                Notice::BegunAnew { why, sessions } => error!(
                    worker = worker.0,
                    why,
                    sessions,
                    "a worker has failed and begun anew without its sessions: a bug in Causeway, please report it"
                ),
                Notice::Reopened(info) => {
                    let facts = PortFacts { mac: info.mac, mtu: info.mtu };
                    self.control.replace_port(PortIdx(info.id.index()), facts, clock::now());
                    self.crew.port_is(info);
                }
                Notice::NotReopened(error) => warn!("{error}; it is tried again"),
            }
        }
    }

    /// Logs when a port goes down or comes back.
    fn watch_ports(&mut self) {
        for (at, was) in self.links.iter_mut().enumerate() {
            let Some(link) = self.crew.link(at).filter(|link| link != was) else {
                continue;
            };
            *was = link;
            let port = &self.crew.ports()[at];
            let (port, device, mac) = (&port.name, &port.device, mac_text(port.mac));
            match link {
                Link::Up => info!(port, device, mac, "the port is up again"),
                Link::Down => warn!(port, device, "the port is down: what would leave by it is dropped"),
                Link::Gone => {
                    warn!(
                        port,
                        device,
                        "the port's device has gone: until one of this name is there, what would leave by it is dropped"
                    );
                    self.control.forget_neighbors(PortIdx(at), clock::now());
                }
            }
        }
    }

    /// Logs when a worker's session table fills up or has room again, and has pools looked at now and
    /// then.
    fn watch_room(&mut self, now: Instant) {
        let most = self.control.config().gateway.sessions_per_worker() as u64;
        let (v4, v6) = self.crew.fullest();
        let families = [("ipv4", v4), ("ipv6", v6)];
        for (alarm, (family, sessions)) in self.tables.iter_mut().zip(families) {
            match alarm.update(sessions, most) {
                Some(Turn::Raised) => warn!(
                    family,
                    sessions,
                    most,
                    "the session table is nearly full: causeway show hosts says who holds most, gateway.max-sessions sets its size"
                ),
                Some(Turn::Cleared) => info!(family, sessions, most, "the session table has room again"),
                None => {}
            }
        }
        if now >= self.watch_at {
            self.watch_at = now + WATCH;
            self.walks.watch();
        }
    }

    /// Whoever knows the nodes is who the configuration says.
    fn follow_sources(&mut self, now: Instant) {
        if let Err(error) = self.nodes.follow(self.control.config(), &self.bell, now) {
            error!(%error, "a thread for nodes cannot be started: they stay as they are, and it is tried again");
        }
    }

    /// Answers that wait for tables to be in force, and for sessions to be judged by them: what
    /// is asked next finds workers that are done.
    fn keep_promises(&mut self) {
        let settled = self.control.settled();
        for (_, asked, answer) in self.promised.extract_if(.., |(epoch, ..)| *epoch <= settled) {
            asked.answer(answer);
        }
    }

    /// Does what whoever changes the configuration wants.
    fn heed_changes(&mut self, now: Instant) {
        while let Some(note) = self.clerk.next(&mut self.control, now) {
            match note {
                Note::Changed => self.follow_sources(now),
                Note::Plan(asked, config, warnings) => self.plans.begin(asked, config, warnings),
                Note::Promise(epoch, asked, answer) => self.promised.push((epoch, asked, answer)),
            }
        }
    }

    fn answer(&mut self, asked: Asked, now: Instant) {
        let answer = match &asked.ask {
            Ask::Show(Show::Ports) => Ok(Answer::Ports(self.ports())),
            Ask::Show(Show::Routes) => Ok(Answer::Routes(RouteView::all(&self.control))),
            Ask::Show(Show::RouteSummary) => Ok(Answer::RouteSummary(TableView::all(&self.control))),
            Ask::Show(Show::Neighbors) => Ok(Answer::Neighbors(NeighborView::all(&self.control, now))),
            Ask::Show(Show::Nodes) => Ok(Answer::Nodes {
                nodes: NodeView::all(&self.control, now),
                sources: SourceView::all(&self.control, now),
                cut_off: CutOffView::all(&self.control),
            }),
            Ask::Show(Show::Egress) => Ok(Answer::Egress {
                rules: EgressView::all(&self.control),
                sources: PodSourceView::all(&self.control, now),
            }),
            Ask::Show(Show::Forwards) => Ok(Answer::Forwards(ForwardView::all(self.control.config()))),
            Ask::Show(Show::Counters) => Ok(Answer::Counters(counters(&self.crew.counters()))),
            Ask::Show(Show::Sessions { limit, filter }) => {
                Err((filter, Purpose::List { most: (*limit).min(MOST_SESSIONS) }))
            }
            Ask::Show(Show::Pools { addresses }) => Err((&Vec::new(), Purpose::Pools { addresses: *addresses })),
            Ask::Show(Show::Hosts { limit }) => {
                Err((&Vec::new(), Purpose::Hosts { most: (*limit).min(MOST_SESSIONS) }))
            }
            Ask::Show(Show::Plan { .. } | Show::History)
            | Ask::Do(Deed::Reload | Deed::Apply { .. } | Deed::Confirm | Deed::Rollback { .. }) => {
                return self.clerk.ask(asked);
            }
            Ask::Do(Deed::KillSessions { filter, dry_run }) => Err((filter, Purpose::Kill { dry_run: *dry_run })),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err((words, purpose)) => match self.control.session_filter(words) {
                Ok(filter) => return self.walks.begin(asked, filter, purpose),
                Err(what) => Answer::Error(what),
            },
        };
        asked.answer(answer);
    }

    fn ports(&self) -> Vec<PortView> {
        let config = self.control.config();
        let view = |(at, info): (usize, &crate::port::PortInfo)| {
            let stats = self.crew.port_stats(at);
            PortView {
                name: info.name.clone(),
                device: info.device.clone(),
                driver: info.driver.to_owned(),
                mode: info.mode.clone(),
                domain: self.control.domain_of(PortIdx(at)).to_owned(),
                mac: mac_text(info.mac),
                mtu: info.mtu,
                addresses: config.ports[at].addresses.iter().map(ToString::to_string).collect(),
                up: stats.link == Link::Up,
                gone: stats.link == Link::Gone,
                rx_packets: stats.rx_packets,
                rx_bytes: stats.rx_bytes,
                rx_missed: stats.rx_missed,
                rx_errors: stats.rx_errors,
                tx_packets: stats.tx_packets,
                tx_bytes: stats.tx_bytes,
                tx_errors: stats.tx_errors,
            }
        };
        self.crew.ports().iter().enumerate().map(view).collect()
    }
}

/// Counters as the API shows them.
pub(crate) fn counters(rows: &[(&str, &str, u64)]) -> Vec<CounterView> {
    let view = |(group, name, value): &(&str, &str, u64)| CounterView {
        group: (*group).to_owned(),
        name: (*name).to_owned(),
        value: *value,
    };
    rows.iter().map(view).collect()
}

/// The seed of every random choice: the configured one, or the kernel's.
fn seed(config: &Config) -> io::Result<[u8; 32]> {
    match config.gateway.seed {
        Some(seed) => Ok(fixed_seed(seed)),
        None => {
            let mut bytes = [0; 32];
            std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
            Ok(bytes)
        }
    }
}

/// A configured seed, spread over the bytes a worker wants.
pub(crate) fn fixed_seed(seed: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes
}

/// The secret by which flows are spread over several next hops: a draw of its own,
/// from a sequence that no worker draws from.
pub(crate) fn flow_seed(mut seed: [u8; 32]) -> u64 {
    seed[31] ^= 0xff;
    Chance::new(seed).seed().0[0]
}

/// Signals, as descriptors to poll.
struct Signals {
    stop: UnixStream,
    reload: UnixStream,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals { stop: on_signals(&[SIGTERM, SIGINT])?, reload: on_signals(&[SIGHUP])? })
    }

    /// Was there a SIGTERM or SIGINT?
    fn asked_to_stop(&self) -> bool {
        caught(&self.stop)
    }

    /// Was there a SIGHUP?
    fn asked_to_reload(&self) -> bool {
        caught(&self.reload)
    }
}

/// A stream that a byte arrives on with each of the signals.
fn on_signals(signals: &[i32]) -> io::Result<UnixStream> {
    let (arrived, notify) = UnixStream::pair()?;
    arrived.set_nonblocking(true)?;
    for signal in signals {
        signal_hook::low_level::pipe::register(*signal, notify.try_clone()?)?;
    }
    Ok(arrived)
}

fn caught(mut stream: &UnixStream) -> bool {
    let mut bytes = [0; 16];
    matches!(stream.read(&mut bytes), Ok(1..))
}
