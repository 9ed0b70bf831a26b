//! Workers that fail and begin anew while packets, names and messages are under way.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use causeway_fastpath::burst::Burst;
use causeway_fastpath::command::{Event, SessionCursor, SessionPage, SessionRow};
use causeway_fastpath::fib::Prefix;
use causeway_fastpath::forwarder::{Capacity, Forwarder};
use causeway_fastpath::fragment;
use causeway_fastpath::frame::Frame;
use causeway_fastpath::handoff::{Errand, Granted, Message, Workers};
use causeway_fastpath::ids::{PortId, WorkerId};
use causeway_fastpath::nat::{EgressAction, EgressRule};
use causeway_fastpath::snapshot::Snapshot;
use causeway_fastpath::time::Instant;
use causeway_fastpath::verdict::{DropReason, Verdict};
use causeway_testkit::packet::*;
use causeway_testkit::seed::{Rng, Seed};
use std::sync::Arc;

use crate::world::{ISLAND, NODE_A, NODES, Plan, ROUTER, UPLINK, V4, from};

/// Ports of the one address.
const PORTS: u16 = 24;
/// What a ring holds here.
const ROOM: usize = 8;
/// Whom pods talk to.
const PEERS: [&str; 2] = [V4.outside, V4.outside2];

/// What is under way from one worker to another.
enum Handed {
    Packet(Frame, Errand),
    Message(Message),
}

/// Workers with rings between them that nobody empties but by chance.
struct Rings {
    workers: Vec<Forwarder>,
    /// By sender and receiver.
    rings: BTreeMap<(usize, usize), VecDeque<Handed>>,
    snapshot: Arc<Snapshot>,
    now: Instant,
    /// Packets that left: by which port, and what they are.
    sent: Vec<(PortId, Vec<u8>)>,
    lost: usize,
    restarts: u8,
}

fn capacity() -> Capacity {
    Capacity { sessions_v4: 256, sessions_v6: 16, fragments: fragment::Capacity::NONE }
}

impl Rings {
    fn new(count: u16, keep_ports: bool, ports: u16) -> Rings {
        let now = Instant::from_secs(1);
        let mut plan = Plan::island().with_ports(2_000, 2_000 + ports - 1);
        plan.v4.pools[0].keep_ports = keep_ports;
        let snapshot = plan.compile(3);
        let worker = |me| Forwarder::of(Workers::new(WorkerId(me), count, 7), capacity(), [me as u8; 32], now);
        let mut workers: Vec<Forwarder> = (0..count).map(worker).collect();
        workers.iter_mut().for_each(|worker| drop(worker.install(Arc::clone(&snapshot), now)));
        Rings { workers, rings: BTreeMap::new(), snapshot, now, sent: Vec::new(), lost: 0, restarts: 0 }
    }

    /// A packet comes to a worker.
    fn arrive(&mut self, at: usize, port: PortId, bytes: &[u8]) {
        let mut frame = Frame::boxed(bytes, 128, 128);
        frame.ingress = port;
        let mut burst = Burst::new();
        burst.push(frame);
        self.workers[at].process(self.now, &mut burst);
        self.obey(at, burst);
    }

    fn obey(&mut self, at: usize, mut burst: Burst) {
        let (frame, verdict) = burst.drain().next().expect("there is one");
        match verdict {
            Verdict::HandOff(to) => {
                let errand = self.workers[at].errand(0);
                let ring = self.rings.entry((at, to.index())).or_default();
                if ring.len() < ROOM {
                    ring.push_back(Handed::Packet(frame, errand));
                    return;
                }
                self.workers[at].hand_off_refused(to, errand);
                self.workers[at].counters_mut().recount_as_dropped(verdict, DropReason::HandOffFull);
            }
            Verdict::Forward(port) => self.sent.push((port, frame.bytes().to_vec())),
            _ => {}
        }
        drop(frame.into_heap());
    }

    /// The next of what one worker handed to another is taken; says whether there was something.
    fn carry(&mut self, from: usize, to: usize) -> bool {
        let Some(handed) = self.rings.entry((from, to)).or_default().pop_front() else {
            return false;
        };
        match handed {
            Handed::Packet(frame, errand) => {
                let mut burst = Burst::new();
                burst.push(frame);
                self.workers[to].process_taken_over(self.now, &mut burst, &[errand]);
                self.obey(to, burst);
            }
            Handed::Message(message) => self.workers[to].handle_message(message, self.now),
        }
        true
    }

    /// A worker tells what it has to tell, as far as there is room.
    fn tell(&mut self, at: usize) -> bool {
        let mut told = false;
        for _ in 0..ROOM {
            let Some((to, message)) = self.workers[at].poll_message() else {
                break;
            };
            let ring = self.rings.entry((at, to.index())).or_default();
            if ring.len() < ROOM {
                ring.push_back(Handed::Message(message));
                told = true;
            } else {
                self.workers[at].message_refused(to, message);
            }
        }
        told
    }

    fn fail(&mut self, at: usize) {
        self.restarts += 1;
        let seed = [self.restarts.wrapping_add(100); 32];
        let (lost, event) = self.workers[at].begin_anew(Arc::clone(&self.snapshot), capacity(), seed, self.now);
        assert!(matches!(event, Event::Installed { epoch, .. } if epoch == self.snapshot.epoch));
        assert_eq!(self.workers[at].sessions(), (0, 0));
        self.lost += lost;
    }

    fn sessions(&self) -> Vec<SessionRow> {
        let mut all = Vec::new();
        for worker in &self.workers {
            let mut page = SessionPage { cursor: Some(SessionCursor::default()), limit: 512, ..SessionPage::default() };
            page.rows.reserve_exact(512);
            while page.cursor.is_some() {
                worker.list_sessions(self.now, &mut page);
                all.extend_from_slice(&page.rows);
            }
        }
        all
    }

    /// No name is two hosts' at once.
    fn assert_names_are_one_hosts(&self) {
        type Outside = (u8, (IpAddr, u16), Option<(IpAddr, u16)>);
        let mut names: BTreeMap<Outside, (IpAddr, u16)> = BTreeMap::new();
        for row in self.sessions() {
            // Of UDP the name is the endpoint's, whomever it talks to.
            let toward = (row.protocol != 17).then_some(row.peer);
            let inside = *names.entry((row.protocol, row.outside, toward)).or_insert(row.inside);
            assert_eq!(inside, row.inside, "{row:?}");
        }
    }

    fn assert_laws(&self) {
        for worker in &self.workers {
            let counters = worker.counters();
            assert!(counters.conserve(), "{counters:?}");
            let alive = worker.sessions().0 + worker.sessions().1;
            assert_eq!(counters.sessions_created - counters.sessions_ended, alive as u64);
        }
    }

    /// Until nothing is under way.
    fn settle(&mut self) {
        let count = self.workers.len();
        loop {
            let mut moved = (0..count).fold(false, |moved, at| self.tell(at) | moved);
            for (from, to) in (0..count).flat_map(|from| (0..count).map(move |to| (from, to))) {
                while self.carry(from, to) {
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// Time passes until every session has ended and every name is at home.
    fn end_all(&mut self) {
        for _ in 0..40 {
            self.now = Instant::from_nanos((self.now + std::time::Duration::from_secs(300)).as_nanos());
            for at in 0..self.workers.len() {
                while self.workers[at].handle_timeout(self.now) {}
            }
            self.settle();
        }
        assert!(self.sessions().is_empty());
        assert_eq!(self.workers.iter().map(Forwarder::lent).sum::<usize>(), 0, "what was lent has come back");
    }
}

fn from_pod(pod: &str, port: u16, peer: &str, tcp: bool) -> Vec<u8> {
    let packet = from(NODE_A).ipv4(pod, peer);
    if tcp { packet.tcp(port, 443).flags(SYN).build() } else { packet.udp(port, 53).build() }
}

fn play(seed: &Seed, met: &mut [usize; 4]) {
    let mut rng: Rng = seed.rng();
    let count = 2 + rng.below(3) as u16;
    let mut all = Rings::new(count, rng.bool(), PORTS);
    let any = |rng: &mut Rng| rng.below(u64::from(count)) as usize;
    for _ in 0..1_500 {
        match rng.below(32) {
            0..10 => {
                let (pod, peer) = (*rng.choose(&[V4.pod_a, V4.pod_a2]), *rng.choose(&PEERS));
                let bytes = from_pod(pod, 2_000 + rng.below(60) as u16, peer, rng.chance(1, 3));
                let at = any(&mut rng);
                all.arrive(at, NODES, &bytes);
            }
            10..14 => {
                let rows = all.sessions();
                if let Some(row) = (!rows.is_empty()).then(|| rng.choose(&rows)) {
                    let packet = from(ROUTER).ipv4(row.peer.0, row.outside.0);
                    let bytes = match row.protocol {
                        17 => packet.udp(row.peer.1, row.outside.1).build(),
                        _ => packet.tcp(row.peer.1, row.outside.1).flags(SYN | ACK).build(),
                    };
                    let at = any(&mut rng);
                    all.arrive(at, UPLINK, &bytes);
                }
            }
            14..26 => {
                let (from, to) = (any(&mut rng), any(&mut rng));
                all.carry(from, to);
            }
            26..30 => {
                let at = any(&mut rng);
                all.tell(at);
            }
            30 => {
                all.now = all.now + std::time::Duration::from_secs(rng.below(60));
                let at = any(&mut rng);
                all.workers[at].handle_timeout(all.now);
            }
            _ => {
                if rng.chance(1, 3) {
                    let at = any(&mut rng);
                    all.fail(at);
                }
            }
        }
        all.assert_names_are_one_hosts();
        all.assert_laws();
    }
    all.settle();
    all.assert_names_are_one_hosts();
    let stale = DropReason::HandOffStale.index();
    met[0] += usize::from(all.restarts);
    met[1] += all.lost;
    met[2] += all.workers.iter().map(|worker| worker.counters().dropped[stale] as usize).sum::<usize>();
    met[3] += all.workers.iter().map(Forwarder::lent).sum::<usize>();

    // In the end every port of every address is somebody's, and one more is nobody's.
    all.end_all();
    all.sent.clear();
    let ports = usize::from(PORTS);
    for number in 0..ports as u16 + 1 {
        all.arrive(usize::from(number % count), NODES, &from_pod(V4.pod_a, 9_000 + number, V4.outside, false));
        all.settle();
    }
    assert_eq!(all.sent.len(), ports, "nobody is refused before the last port");
    all.assert_names_are_one_hosts();
}

#[test]
fn no_name_is_two_hosts_though_workers_fail_and_none_is_lost() {
    let told = std::env::var_os("CAUSEWAY_SEED").is_some();
    let mut met = [0; 4];
    for number in 0..if told { 1 } else { 60 } {
        play(&Seed::from_env_or(0xfa11 + number), &mut met);
    }
    assert!(told || met.iter().all(|times| *times > 100), "failures, sessions lost, stale, lent: {met:?}");
}

/// Those that have nothing to do with the one that failed go on.
#[test]
fn sessions_of_others_live_on_and_go_both_ways() {
    let mut all = Rings::new(2, false, PORTS);
    for number in 0..20 {
        all.arrive(0, NODES, &from_pod(V4.pod_a, 5_000 + number, V4.outside, true));
        all.arrive(1, NODES, &from_pod(V4.pod_a2, 5_000 + number, V4.outside, true));
        all.settle();
    }
    let home = |all: &Rings, pod: &str| {
        let pod: IpAddr = pod.parse().expect("an address");
        let rows = all.sessions();
        rows.into_iter().filter(|row| row.inside.0 == pod).collect::<Vec<_>>()
    };
    let (before, lives_at) = (all.sessions(), all.workers[0].sessions().0);
    assert!(lives_at > 0 && lives_at < 40, "both are somebody's home: {lives_at}");
    all.fail(0);
    all.settle();
    assert_eq!(all.lost, lives_at);
    let after = all.sessions();
    assert!(!after.is_empty() && after.len() <= before.len() - lives_at);
    assert!(after.iter().all(|row| row.outside.1 % 2 == 1), "names of the other worker's own ports: {after:?}");
    assert!(home(&all, V4.pod_a).is_empty() != home(&all, V4.pod_a2).is_empty());
    for row in &after {
        all.sent.clear();
        let answer =
            from(ROUTER).ipv4(row.peer.0, row.outside.0).tcp(row.peer.1, row.outside.1).flags(SYN | ACK).build();
        all.arrive(0, UPLINK, &answer);
        all.settle();
        assert_eq!(all.sent.len(), 1, "{row:?}");
    }
    // And whose sessions were lost begins new ones.
    all.sent.clear();
    for pod in [V4.pod_a, V4.pod_a2] {
        all.arrive(0, NODES, &from_pod(pod, 7_000, V4.outside2, true));
        all.settle();
    }
    assert_eq!(all.sent.len(), 2);
}

/// A port of each worker's, so that the same name is lent again.
#[test]
fn a_name_that_comes_back_late_is_not_taken_for_the_one_that_was_lent_since() {
    let mut all = Rings::new(2, false, 2);
    all.arrive(0, NODES, &from_pod(V4.pod_a, 5_000, V4.outside, false));
    all.settle();
    let home = usize::from(all.workers[0].sessions().0 == 0);
    let lender = 1 - home;
    let borrow = |all: &mut Rings, port: u16| {
        all.arrive(home, NODES, &from_pod(V4.pod_a, port, V4.outside, false));
        assert!(all.carry(home, lender), "it is sought with the other");
        let granted = match all.rings[&(lender, home)].front() {
            Some(Handed::Packet(_, Errand::Granted(granted))) => *granted,
            _ => panic!("a name is granted"),
        };
        all.settle();
        assert_eq!(all.workers[lender].lent(), 1);
        granted
    };
    let early = borrow(&mut all, 5_001);
    all.fail(home);
    all.settle();
    assert_eq!(all.workers[lender].lent(), 0);
    all.arrive(home, NODES, &from_pod(V4.pod_a, 5_000, V4.outside, false));
    all.settle();
    let late = borrow(&mut all, 5_001);
    assert_eq!((early.name, early.since), (late.name, late.since));
    for (granted, left) in [(early, 1), (late, 0)] {
        let Granted { name, pact, .. } = granted;
        let from = WorkerId(home as u16);
        all.workers[lender].handle_message(Message::Release { name, from, pact }, all.now);
        assert_eq!(all.workers[lender].lent(), left);
    }
}

/// It fails while it goes over to other tables, which the others have by then.
#[test]
fn a_worker_that_begins_anew_by_newer_tables_borrows_as_before() {
    let mut all = Rings::new(2, false, 2);
    all.arrive(0, NODES, &from_pod(V4.pod_a, 5_000, V4.outside, false));
    all.settle();
    let home = usize::from(all.workers[0].sessions().0 == 0);
    let mut plan = Plan::island().with_ports(2_000, 2_001);
    let nobody = Prefix::host(0x0a01_0163);
    let denied = EgressRule::new(nobody, Prefix::containing(0, 0), EgressAction::Drop(DropReason::PolicyDenied));
    plan.v4.egress[ISLAND.index()].insert(0, denied);
    all.snapshot = plan.compile(4);
    all.workers[1 - home].install(Arc::clone(&all.snapshot), all.now);
    all.fail(home);
    all.settle();
    all.sent.clear();
    for port in 5_000..5_002 {
        all.arrive(home, NODES, &from_pod(V4.pod_a, port, V4.outside, false));
        all.settle();
    }
    assert_eq!(all.sent.len(), 2, "one port is its own, and one the other's");
}
