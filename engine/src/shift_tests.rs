//! Workers on threads and in-process ports, one of which panics when it meets a certain packet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::Duration;

use causeway_control::compile::PortFacts;
use causeway_control::control::Control;
use causeway_fastpath::burst::Burst;
use causeway_fastpath::frame::{BufferOwner, Frame};
use causeway_fastpath::handoff::Workers;
use causeway_fastpath::ids::WorkerId;
use causeway_fastpath::offload::Offload;
use causeway_testkit::packet::*;
use causeway_tests::program::wait_until;

use super::*;
use crate::handoff::{Colleagues, Exchange};
use crate::port::memory::{MemoryOptions, MemoryPeer, MemoryPort};
use crate::port::open::options;
use crate::port::{PortOptions, PortStats};
use crate::wake::Doorbell;

const NODE: [u8; 6] = [2, 0, 0, 0, 0, 0x11];
const SERVER: [u8; 6] = [2, 0, 0, 0, 0, 0x99];
const BUFFERS: usize = 256;
const SOON: Duration = Duration::from_secs(20);
/// What kills a worker that receives it.
const POISON: &[u8] = b"poison";

const CONFIG: &str = r#"
[gateway]
name = "test"
seed = 7
max-sessions = 4096
[[port]]
name = "nodes"
driver = "memory"
addresses = ["192.168.0.1/24"]
[[port]]
name = "uplink"
driver = "memory"
addresses = ["203.0.113.2/24"]
[[pool]]
name = "egress"
addresses = ["203.0.113.16/29"]
[[cluster]]
name = "blue"
model = "island"
pod-cidrs = ["10.1.0.0/16"]
egress = "egress"
[[cluster.node]]
name = "node-a"
addresses = ["192.168.0.11"]
pod-cidrs = ["10.1.1.0/24"]
[[neighbor]]
port = "nodes"
address = "192.168.0.11"
mac = "02:00:00:00:00:11"
[[neighbor]]
port = "uplink"
address = "203.0.113.10"
mac = "02:00:00:00:00:99"
"#;

/// A port that brings a packet and then panics, as a bug would that the packet meets.
struct Trap {
    port: MemoryPort,
    /// Was it told that the worker is about to sleep?
    rests: Arc<AtomicBool>,
}

impl Port for Trap {
    fn info(&self) -> &PortInfo {
        self.port.info()
    }

    fn owner(&self) -> BufferOwner {
        self.port.owner()
    }

    fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        let received = self.port.rx_burst(burst);
        let is_poison = |frame: &Frame| frame.bytes().ends_with(POISON);
        assert!(!burst.frames().iter().any(is_poison), "a packet that kills");
        received
    }

    fn tx_burst(&mut self, frames: &mut Vec<Frame>, spent: &mut Vec<Frame>) -> usize {
        self.port.tx_burst(frames, spent)
    }

    fn recycle(&mut self, frame: Frame) {
        self.port.recycle(frame);
    }

    fn poll_fds(&self, fds: &mut Vec<RawFd>) {
        self.port.poll_fds(fds);
    }

    fn may_rest(&mut self) -> bool {
        self.rests.store(true, Ordering::Relaxed);
        true
    }

    fn stats(&mut self) -> PortStats {
        self.port.stats()
    }

    fn link(&self) -> Link {
        self.port.link()
    }

    fn reopen(&mut self) -> Result<(), OpenError> {
        self.port.reopen()
    }
}

/// A worker's thread, from outside.
struct Hand {
    channel: Arc<Channel>,
    stats: Arc<StatsPage>,
    notices: Receiver<Notice>,
    thread: JoinHandle<()>,
    /// The other ends of its ports: nodes and uplink.
    peers: Vec<MemoryPeer>,
    /// Were its ports told that it is about to sleep?
    rests: Arc<AtomicBool>,
}

impl Hand {
    /// What it has counted, but zeros.
    fn counters(&self) -> Vec<(&'static str, &'static str, u64)> {
        self.stats.counters().into_iter().filter(|row| row.2 > 0).collect()
    }
}

/// Workers, and control.
struct Gang {
    hands: Vec<Hand>,
    control: Control,
    macs: Vec<[u8; 6]>,
}

impl Gang {
    fn new(count: u16) -> Gang {
        let cores: Vec<String> = (0..count).map(|core| core.to_string()).collect();
        let text = CONFIG.replace("[gateway]", &format!("[gateway]\ncores = [{}]", cores.join(", ")));
        let (config, _) = Config::parse("test.toml", &text).unwrap_or_else(|errors| panic!("{errors}"));
        let exchange = Exchange::new(usize::from(count)).expect("descriptors");
        let control_bell = Arc::new(Doorbell::new().expect("a descriptor"));
        let mut macs = Vec::new();
        let mut hands = Vec::new();
        for me in (0..count).map(WorkerId) {
            let behavior = MemoryOptions { buffers: BUFFERS, frame_len: 2048, ..MemoryOptions::default() };
            let pair =
                |options: &PortOptions| MemoryPort::pair(options, BufferOwner::of_port(me, options.id), &behavior);
            let (ports, peers): (Vec<_>, Vec<_>) = options(&config).iter().map(pair).unzip();
            macs = ports.iter().map(|port: &MemoryPort| port.info().mac).collect();
            let channel = Arc::new(Channel::new(Arc::clone(&control_bell)).expect("descriptors"));
            let stats = Arc::new(StatsPage::new(ports.len()));
            let (tell, notices) = mpsc::channel();
            let among = (count > 1).then(|| Colleagues::new(Arc::clone(&exchange), me));
            let place = Workers::new(me, count, 7);
            let task = Task { core: 0, place, among, shares: Vec::new(), seed: [me.0 as u8; 32] };
            let rests = Arc::new(AtomicBool::new(false));
            let thread = {
                let rests = Arc::clone(&rests);
                let (config, channel, stats) = (config.clone(), Arc::clone(&channel), Arc::clone(&stats));
                std::thread::spawn(move || {
                    let ports = ports
                        .into_iter()
                        .map(|port| Box::new(Trap { port, rests: Arc::clone(&rests) }) as Box<dyn Port>);
                    let ports = ports.collect();
                    Shift { config: &config, channel: &channel, stats: &stats, tell }.work(ports, task);
                })
            };
            hands.push(Hand { channel, stats, notices, thread, peers, rests });
        }
        let facts = macs.iter().map(|mac| PortFacts { mac: *mac, mtu: 1500 }).collect();
        let control = Control::new(config, facts, 7, clock::now());
        let mut gang = Gang { hands, control, macs };
        gang.until(|gang| gang.control.is_settled());
        // What the gateway says of itself at the start.
        gang.sent();
        gang.received_by_nodes();
        gang
    }

    /// Drives control until something holds.
    fn until(&mut self, mut holds: impl FnMut(&mut Gang) -> bool) {
        let held = wait_until(SOON, || {
            for at in 0..self.hands.len() {
                let worker = WorkerId(at as u16);
                while let Some(event) = self.hands[at].channel.next_event() {
                    self.control.handle_event_from(worker, event, clock::now());
                }
                while let Some(command) = self.control.poll_command_for(worker) {
                    self.hands[at].channel.send_command(command).expect("the ring has room");
                }
            }
            holds(self)
        });
        assert!(held, "it does not happen: {:?}", self.hands.iter().map(Hand::counters).collect::<Vec<_>>());
    }

    /// Frames that left by the uplinks since the last call.
    fn sent(&self) -> Vec<Vec<u8>> {
        self.hands.iter().flat_map(|hand| std::iter::from_fn(|| hand.peers[1].pop())).collect()
    }

    /// How many frames left toward nodes since the last call.
    fn received_by_nodes(&self) -> usize {
        self.hands.iter().map(|hand| std::iter::from_fn(|| hand.peers[0].pop()).count()).sum()
    }

    fn ask(&self, at: usize, pod: u8, payload: &[u8]) {
        let frame = eth().src(NODE).dst(self.macs[0]).ipv4([10, 1, 1, pod], "203.0.113.10");
        let frame = frame.udp(4_000, 53).payload(payload).build();
        assert!(self.hands[at].peers[0].push(&frame, Offload::DONE), "there is room");
    }

    /// The sum of a counter over all workers, or that of one.
    fn counted(&self, group: &str, name: &str) -> Vec<u64> {
        let value = |hand: &Hand| {
            let rows = hand.stats.counters();
            rows.iter().find(|row| (row.0, row.1) == (group, name)).expect("it is counted").2
        };
        self.hands.iter().map(value).collect()
    }

    fn begun_anew(&mut self, at: usize) -> (String, usize) {
        let mut found = None;
        self.until(|gang| {
            found = gang.hands[at].notices.try_recv().ok();
            found.is_some()
        });
        match found {
            Some(Notice::BegunAnew { why, sessions }) => (why, sessions),
            other => panic!("not what was to be said: {other:?}"),
        }
    }

    /// Every packet met one end, and every buffer is at home.
    fn assert_all_is_at_home(&self) {
        // What the gateway says of itself may still lie on the wires.
        self.sent();
        self.received_by_nodes();
        for hand in &self.hands {
            let rows = hand.stats.counters();
            let sum = |group: &str, but: &[&str]| -> u64 {
                let of = rows.iter().filter(|row| row.0 == group && !but.contains(&row.1));
                of.map(|row| row.2).sum()
            };
            let came_in = sum("rx", &[]);
            assert_eq!(came_in, sum("end", &[]) + sum("punt", &[]) + sum("drop", &[]), "{rows:?}");
            for peer in &hand.peers {
                assert_eq!(peer.free_buffers(), BUFFERS);
            }
        }
        let total = |group, name| self.counted(group, name).iter().sum::<u64>();
        assert_eq!(total("end", "handed-off"), total("rx", "taken-over"));
    }

    /// Stops all; which of them ended well?
    fn stop(&mut self) -> Vec<bool> {
        self.hands.iter().for_each(|hand| hand.channel.stop());
        let mut orderly = Vec::new();
        for hand in &mut self.hands {
            let done = std::mem::replace(&mut hand.thread, std::thread::spawn(|| {}));
            orderly.push(done.join().is_ok());
        }
        orderly
    }
}

#[test]
fn a_worker_that_panics_begins_anew_and_others_keep_their_sessions() {
    let mut gang = Gang::new(2);
    (1..=100).for_each(|pod| gang.ask(pod as usize % 2, pod, b"one"));
    let mut sent = Vec::new();
    gang.until(|gang| {
        sent.extend(gang.sent());
        sent.len() == 100
    });
    gang.until(|gang| gang.counted("sessions", "alive-v4").iter().sum::<u64>() == 100);
    let alive = gang.counted("sessions", "alive-v4");
    assert!(alive[0] > 10 && alive[1] > 10, "{alive:?}");

    // The packet, and others beside it in the same burst.
    for pod in 1..=20 {
        gang.ask(0, pod, if pod == 10 { POISON } else { b"beside" });
    }
    let (why, lost) = gang.begun_anew(0);
    assert!(why.contains("a packet that kills"), "{why}");
    assert_eq!(lost as u64, alive[0]);
    let mut restarts = Vec::new();
    gang.until(|gang| {
        restarts = gang.counted("workers", "restarts");
        gang.counted("sessions", "alive-v4")[1] == alive[1]
    });
    assert_eq!(restarts, [1, 0]);
    assert!(gang.counted("end", "forwarded").iter().sum::<u64>() >= 100, "counters go on");

    // Answers to the other's sessions arrive, those to its own do not; by whichever port.
    gang.sent();
    for frame in &sent {
        let (name, port) =
            (<[u8; 4]>::try_from(&frame[26..30]).expect("four"), u16::from_be_bytes([frame[34], frame[35]]));
        let answer = eth().src(SERVER).dst(gang.macs[1]).ipv4("203.0.113.10", name).udp(53, port).build();
        assert!(gang.hands[usize::from(port) % 2].peers[1].push(&answer, Offload::DONE));
    }
    let mut answered = 0;
    gang.until(|gang| {
        answered += gang.received_by_nodes();
        gang.counted("drop", "nat-unsolicited").iter().sum::<u64>() + answered as u64 == 100
    });
    assert_eq!(answered as u64, alive[1]);

    // Everybody is served again.
    (1..=100).for_each(|pod| gang.ask(pod as usize % 2, pod, b"two"));
    let mut again = 0;
    gang.until(|gang| {
        again += gang.sent().len();
        again == 100
    });
    assert_eq!(gang.stop(), [true, true]);
    gang.assert_all_is_at_home();
}

#[test]
fn one_worker_alone_begins_anew_too_and_ends_when_it_fails_again_and_again() {
    let mut gang = Gang::new(1);
    for failure in 1..=MOST_FAILURES {
        gang.ask(0, 5, b"one");
        gang.until(|gang| !gang.sent().is_empty());
        gang.ask(0, 6, POISON);
        assert_eq!(gang.begun_anew(0).1, 1);
        assert_eq!(gang.hands[0].stats.counters().last(), Some(&("workers", "restarts", failure as u64)));
    }
    gang.ask(0, 6, POISON);
    gang.until(|gang| gang.hands[0].thread.is_finished());
    assert_eq!(gang.stop(), [false]);
}

#[test]
fn what_came_in_is_sent_before_workers_end() {
    for round in 0..20 {
        let mut gang = Gang::new(2);
        for pod in 1..=120 {
            gang.ask(0, pod, b"last");
            gang.ask(1, pod + 120, b"last");
        }
        assert_eq!(gang.stop(), [true, true]);
        let sent = gang.sent().len() as u64;
        assert_eq!(gang.counted("rx", "received").iter().sum::<u64>(), 240, "in round {round}");
        assert_eq!(sent, 240);
        gang.assert_all_is_at_home();
    }
}

#[test]
fn a_port_whose_device_has_gone_is_opened_again() {
    let mut gang = Gang::new(1);
    let uplink = gang.hands[0].peers[1].clone();
    uplink.set_link(Link::Gone);
    let mut notice = None;
    gang.until(|gang| {
        notice = gang.hands[0].notices.try_recv().ok();
        notice.is_some()
    });
    assert!(matches!(notice, Some(Notice::Reopened(info)) if info.name == "uplink"));
    uplink.set_up(false);
    gang.ask(0, 5, b"lost");
    gang.until(|gang| gang.counted("drop", "port-down") == [1]);
    uplink.set_up(true);
    gang.ask(0, 5, b"sent");
    gang.until(|gang| gang.sent().iter().any(|frame| frame.ends_with(b"sent")));
    assert_eq!(gang.stop(), [true]);
    gang.assert_all_is_at_home();
}

/// A driver that has to ask for it would not be woken otherwise.
#[test]
fn ports_are_told_before_a_worker_sleeps() {
    let mut gang = Gang::new(1);
    for round in 0..3 {
        gang.hands[0].rests.store(false, Ordering::Relaxed);
        gang.ask(0, 5, &[round]);
        gang.until(|gang| !gang.sent().is_empty());
        gang.until(|gang| gang.hands[0].rests.load(Ordering::Relaxed));
    }
    assert_eq!(gang.stop(), [true]);
}
