//! The line to a server: a thread off the packet cores that connects, shakes hands, hands each
//! worker its pair of rings, and connects again when the server has gone and is back.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::client::{Attached, Client, Next, Refused, Wish};
use super::message::{LEN, Message};
use super::region::Region;
use super::ring::{self, Receiver, Sender};
use super::socket::ControlSocket;
use crate::aside::spawn_aside;
use crate::wake::{Doorbell, readable, sleep};

/// How long a server may take to say the next thing.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two attempts to connect: the first, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

/// The line of a port, which the workers that share the port share.
#[derive(Debug)]
pub(in crate::port) struct Line {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread and the workers have in common.
#[derive(Debug)]
struct Desk {
    settings: Settings,
    state: Mutex<State>,
    /// Rings whoever waits for the first attempt to end.
    tried: Condvar,
    /// Rings the thread: there is something for it to do.
    bell: Doorbell,
    stopping: AtomicBool,
}

/// What a line leads to.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The port, in the configuration.
    pub(super) port: String,
    /// The server's socket.
    pub(super) socket: PathBuf,
    pub(super) wish: Wish,
}

#[derive(Debug, Default)]
struct State {
    /// Pairs of the newest connection that were not taken yet.
    pairs: Vec<Option<Pair>>,
    /// With whom it is, for people.
    with: String,
    /// Pairs of older ones: their memory is given back here.
    retired: Vec<Pair>,
    /// Has the first attempt ended?
    has_tried: bool,
}

/// A worker's part of a connection.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) tie: Arc<Tie>,
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
    /// Becomes readable when the server has put something into an empty ring, if it was asked to.
    pub(super) heard: Heard,
    /// Wakes the server.
    pub(super) knock: UnixDatagram,
}

/// Does a connection hold?
#[derive(Debug, Default)]
pub(super) struct Tie {
    is_cut: AtomicBool,
    /// What the server says makes no sense: its counters, as a worker saw, or a message.
    is_broken: AtomicBool,
}

impl Tie {
    #[inline(always)]
    pub(super) fn holds(&self) -> bool {
        !self.is_cut.load(Ordering::Relaxed)
    }
}

impl Line {
    /// Begins to connect, and waits a moment for the first attempt to succeed or fail.
    ///
    /// # Errors
    /// No thread, or no descriptors.
    pub(super) fn start(settings: Settings) -> io::Result<Line> {
        let desk = Arc::new(Desk {
            settings,
            state: Mutex::default(),
            tried: Condvar::new(),
            bell: Doorbell::new()?,
            stopping: AtomicBool::new(false),
        });
        let on_thread = Arc::clone(&desk);
        let name = format!("memif-{}", desk.settings.port);
        // Whoever opens a port is pinned to a packet core.
        let thread = spawn_aside(&name, &[], move || on_thread.work())?;
        let (state, _) = desk
            .tried
            .wait_timeout_while(desk.lock(), PATIENCE, |state| !state.has_tried)
            .unwrap_or_else(PoisonError::into_inner);
        drop(state);
        Ok(Line { desk, thread: Some(thread) })
    }

    /// The pair of a worker, if there is a connection of which it has none yet; and with whom
    /// it is. Its old one goes back.
    pub(super) fn take(&self, worker: usize, old: &mut Option<Pair>) -> Option<(Pair, String)> {
        let mut state = self.desk.lock();
        let pair = state.pairs.get_mut(worker).and_then(Option::take)?;
        if !pair.tie.holds() {
            state.retired.push(pair);
            return None;
        }
        if let Some(old) = old.take() {
            state.retired.push(old);
            self.desk.bell.ring();
        }
        Some((pair, state.with.clone()))
    }

    /// The server's counters make no sense: cuts the line, to try again by and by.
    #[cold]
    pub(super) fn break_off(&self, tie: &Tie) {
        tie.is_broken.store(true, Ordering::Relaxed);
        tie.is_cut.store(true, Ordering::Relaxed);
        self.desk.bell.ring();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.desk.stopping.store(true, Ordering::Release);
        self.desk.bell.ring();
        if let Some(thread) = self.thread.take() {
            // Should it have panicked, it has said so.
            let _ = thread.join();
        }
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Each step under it leaves a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn work(&self) {
        let Settings { port, socket: path, .. } = &self.settings;
        let mut said = String::new();
        let mut pause = PAUSES[0];
        while !self.is_stopping() {
            let attempt = self.connect();
            let why = match attempt {
                Ok((socket, tie)) => {
                    info!(port, socket = %path.display(), "connected: {}", self.lock().with);
                    self.end_attempt();
                    let why = self.watch(&socket, &tie);
                    tie.is_cut.store(true, Ordering::Relaxed);
                    said.clear();
                    // Who says nonsense is not asked again at once.
                    pause = PAUSES[usize::from(tie.is_broken.load(Ordering::Relaxed))];
                    why
                }
                Err(why) => why.to_string(),
            };
            self.end_attempt();
            self.free_retired();
            if self.is_stopping() {
                return;
            }
            if why != said {
                warn!(port, socket = %path.display(), "{why}; it is tried again");
                said = why;
            }
            self.wait(&[], pause);
            pause = (pause * 2).min(PAUSES[1]);
        }
    }

    /// Whoever waits for the first attempt goes on.
    fn end_attempt(&self) {
        self.lock().has_tried = true;
        self.tried.notify_all();
    }

    /// Gives the memory of connections back that are over.
    fn free_retired(&self) {
        let retired = std::mem::take(&mut self.lock().retired);
        drop(retired);
    }

    /// Sleeps until a descriptor is readable, somebody rings, or the time is over.
    fn wait(&self, sockets: &[&ControlSocket], patience: Duration) {
        let mut fds: Vec<_> = sockets.iter().map(|socket| readable(socket.as_fd().as_raw_fd())).collect();
        fds.push(readable(self.bell.fd()));
        sleep(&mut fds, patience);
        self.bell.silence();
    }

    /// Connects and shakes hands; then every worker's pair lies ready.
    fn connect(&self) -> Result<(ControlSocket, Arc<Tie>), Failure> {
        let Settings { socket, wish, .. } = &self.settings;
        let socket = ControlSocket::connect(socket).map_err(Failure::Connect)?;
        let mut client = Client::new(wish.clone());
        let mut shared = None;
        loop {
            let message = self.next_message(&socket)?;
            let (message, attached) = match client.hear(message) {
                Ok(Next::Say(message, attached)) => (message, attached),
                Ok(Next::Begin { interface, server }) => {
                    let shared = shared.take().expect("the region was shared before");
                    return Ok((socket, self.lay_ready(shared, &client, &interface, &server)));
                }
                Err(refused) => {
                    if !matches!(refused, Refused::ByServer(_)) {
                        farewell(&socket, &refused.to_string());
                    }
                    return Err(refused.into());
                }
            };
            if attached == Attached::Region {
                shared = Some(Shared::new(&client).map_err(Failure::Share)?);
            }
            let attached = shared.as_ref().and_then(|shared| shared.descriptor(attached));
            socket.send(&message.bytes(), attached).map_err(Failure::Connect)?;
        }
    }

    fn next_message(&self, socket: &ControlSocket) -> Result<Message, Failure> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(message) = receive(socket)? {
                return Ok(message);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.is_stopping() {
                return Err(Failure::Silent);
            }
            self.wait(&[socket], left);
        }
    }

    fn lay_ready(&self, shared: Shared, client: &Client, interface: &str, server: &str) -> Arc<Tie> {
        let (pairs, log2_ring) = client.terms();
        let tie = Arc::new(Tie::default());
        let pair = |(pair, bells): (usize, Bells)| {
            let Bells { heard, knock, .. } = bells;
            let sender = Sender::new(&shared.region, pairs, log2_ring, pair as u16);
            let receiver = Receiver::new(&shared.region, pairs, log2_ring, pair as u16);
            receiver.supply();
            Some(Pair { tie: Arc::clone(&tie), sender, receiver, heard, knock })
        };
        let ready = shared.bells.into_iter().enumerate().map(pair).collect();
        let plural = if pairs == 1 { "" } else { "s" };
        let mut state = self.lock();
        let old = std::mem::replace(&mut state.pairs, ready);
        state.retired.extend(old.into_iter().flatten());
        state.with = format!("{pairs} queue pair{plural} of {} frames with {server} ({interface})", 1u32 << log2_ring);
        tie
    }

    /// Waits until the connection ends, and says why it did.
    fn watch(&self, socket: &ControlSocket, tie: &Tie) -> String {
        loop {
            self.free_retired();
            if self.is_stopping() {
                farewell(socket, "the port was closed");
                return String::new();
            }
            if tie.is_broken.load(Ordering::Relaxed) {
                farewell(socket, "counters of a ring make no sense");
                return "the server's counters of a ring make no sense".to_owned();
            }
            match receive(socket) {
                Ok(None) => self.wait(&[socket], Duration::from_secs(60)),
                Ok(Some(Message::Disconnect { reason })) => return Refused::ByServer(reason).to_string(),
                // There is nothing else to say any more: who does might never end.
                Ok(Some(other)) => {
                    let why = Refused::unexpected(&other).to_string();
                    tie.is_broken.store(true, Ordering::Relaxed);
                    farewell(socket, &why);
                    return why;
                }
                Err(why) => return why.to_string(),
            }
        }
    }
}

/// Memory that the server is given, and what both wake each other by.
struct Shared {
    region: Arc<Region>,
    bells: Vec<Bells>,
}

/// What both sides wake each other by. An eventfd, as others use, is one open file for both:
/// a server that clears `O_NONBLOCK` there, and counts it up to its limit, has who writes to it
/// wait. So what we write to is one of a pair of sockets; read eight bytes at a time, the other
/// is the same to a server.
struct Bells {
    heard: Heard,
    knock: UnixDatagram,
    /// The server's end.
    hears: UnixDatagram,
}

/// An eventfd that the server writes to. It may count on and on while nobody reads.
#[derive(Debug)]
pub(super) struct Heard(Doorbell);

impl Heard {
    /// Makes it silent again, and never waits, whatever the server has done to the open file
    /// (`RWF_NOWAIT`; Linux 5.8).
    pub(super) fn silence(&self) {
        let mut count = [0u8; 8];
        let part = libc::iovec { iov_base: count.as_mut_ptr().cast(), iov_len: count.len() };
        // SAFETY: one part, of eight bytes valid for writing. An error means that it was silent.
        unsafe { libc::preadv2(self.fd(), &raw const part, 1, -1, libc::RWF_NOWAIT) };
    }

    /// For `poll(2)`.
    pub(super) fn fd(&self) -> RawFd {
        self.0.fd()
    }
}

impl Shared {
    fn new(client: &Client) -> io::Result<Shared> {
        let (pairs, log2_ring) = client.terms();
        let region = Arc::new(Region::new(ring::region_len(pairs, log2_ring))?);
        // The cookies are there before the server is told where to look for them.
        for pair in 0..pairs {
            Sender::new(&region, pairs, log2_ring, pair);
            Receiver::new(&region, pairs, log2_ring, pair);
        }
        let bells = (0..pairs).map(|_| Bells::new()).collect::<io::Result<_>>()?;
        Ok(Shared { region, bells })
    }

    fn descriptor(&self, attached: Attached) -> Option<BorrowedFd<'_>> {
        match attached {
            Attached::Nothing => None,
            Attached::Region => Some(self.region.file()),
            Attached::Bell { to_server: true, pair } => Some(self.bells[usize::from(pair)].hears.as_fd()),
            Attached::Bell { to_server: false, pair } => Some(self.bells[usize::from(pair)].heard.0.as_fd()),
        }
    }
}

impl Bells {
    fn new() -> io::Result<Bells> {
        let (knock, hears) = UnixDatagram::pair()?;
        for socket in [&knock, &hears] {
            socket.set_nonblocking(true)?;
        }
        Ok(Bells { heard: Heard(Doorbell::new()?), knock, hears })
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot connect: {0}{hint}", hint = hint(.0))]
    Connect(io::Error),
    #[error("the server has gone")]
    Gone,
    #[error("the server does not answer")]
    Silent,
    #[error("the server says what is no message: {0}")]
    NoMessage(String),
    #[error("no memory to share: {0}")]
    Share(io::Error),
    #[error("{0}")]
    Refused(#[from] Refused),
}

fn hint(error: &io::Error) -> impl fmt::Display + use<> {
    match error.kind() {
        io::ErrorKind::NotFound => " (is the server running? it makes the socket)",
        io::ErrorKind::ConnectionRefused => " (the socket is there, and no server)",
        io::ErrorKind::PermissionDenied => " (connecting takes write permission on the socket)",
        _ => "",
    }
}

fn receive(socket: &ControlSocket) -> Result<Option<Message>, Failure> {
    let message: Option<[u8; LEN]> = socket.receive().map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => Failure::NoMessage(error.to_string()),
        _ => Failure::Gone,
    })?;
    let parsed = message.map(|bytes| Message::parse(&bytes)).transpose();
    parsed.map_err(|unknown| Failure::NoMessage(unknown.to_string()))
}

/// Says why it is over; the server may not be listening.
fn farewell(socket: &ControlSocket, reason: &str) {
    let _ = socket.send(&Message::Disconnect { reason: reason.to_owned() }.bytes(), None);
}
