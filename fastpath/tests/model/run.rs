//! A run: each operation is done to the forwarder and to the reference, and everything that
//! can be seen of the two is compared.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::time::Duration;

use causeway_fastpath::command::SessionRow;
use causeway_fastpath::forwarder::{Capacity, Forwarder};
use causeway_fastpath::ids::{PortId, VrfId};
use causeway_fastpath::snapshot::NeighborState;
use causeway_fastpath::verdict::{DropReason, PuntReason, Verdict};
use causeway_testkit::packet::Eth;
use causeway_testkit::print;
use causeway_testkit::seed::Rng;

use crate::flow::{Complaint, Damage, Flow, Packet, Protocol, Segment};
use crate::operation::{About, Change, Flags, Operation, Target, Wait};
use crate::reference::{Chosen, Fate, RefNat, Tally, Way};
use crate::scene::{FICKLE, Scene};
use crate::world::{
    Endpoint, FIRST_PORT, ISLAND, OTHER_ISLAND, ROUTER, Sent, UPLINK, World, from, is_private, is_sound, to,
};

/// TTL of packets, before and after a hop.
const TTL: u8 = 64;
/// Operations that are told of a run that failed.
const TOLD: usize = 20;

/// Ports that pods send from; some are also names.
const PORTS: [u16; 8] = [1_024, 1_024, 1_025, 1_025, 5_000, 5_000, 8_443, 0];

/// Where and how the two disagreed.
pub(crate) struct Failure {
    /// Operations that were done before.
    pub(crate) after: usize,
    /// What was done last, and what was wrong.
    pub(crate) story: String,
}

/// How often what happened.
pub(crate) type Met = BTreeMap<&'static str, u64>;

/// Does the operations one after the other, as far as the two agree.
pub(crate) fn play(scene: &Scene, chance: u64, operations: &[Operation]) -> Result<Met, Failure> {
    hush();
    let mut run = Run::new(scene, chance);
    for (after, operation) in operations.iter().enumerate() {
        PLAYING.set(true);
        let outcome = catch_unwind(AssertUnwindSafe(|| run.step(operation)));
        PLAYING.set(false);
        let outcome = outcome.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            Err(format!("panicked: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?")))
        });
        if let Err(wrong) = outcome {
            let log: Vec<String> = run.log.into_iter().collect();
            return Err(Failure { after, story: format!("{}\n{operation:?}\n{wrong}", log.join("\n")) });
        }
    }
    run.world.forwarder.counters().each(|_, name, count| *run.met.entry(name).or_default() += count);
    Ok(run.met)
}

thread_local! {
    /// Is a panic one of a run, which is told with the run's story?
    static PLAYING: Cell<bool> = const { Cell::new(false) };
}

/// Lets panics of runs, which may be many, be told once.
fn hush() {
    static HUSHED: Once = Once::new();
    HUSHED.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |told| {
            if !PLAYING.get() {
                hook(told);
            }
        }));
    });
}

struct Run {
    world: World,
    reference: RefNat,
    rows: Vec<SessionRow>,
    epoch: u64,
    log: VecDeque<String>,
    met: Met,
}

/// The sessions of the forwarder say what it chose.
struct Listed<'a>(&'a [SessionRow], &'a Scene);

impl Chosen for Listed<'_> {
    fn name(&self, flow: &Flow) -> Option<Endpoint> {
        let sought = (flow.vrf, flow.protocol.number(self.1.family), flow.src, flow.dst, false);
        let row = self.0.iter().find(|row| (row.vrf, row.protocol, row.inside, row.peer, row.forwarded) == sought);
        row.map(|row| row.outside)
    }
}

impl Run {
    fn new(scene: &Scene, chance: u64) -> Run {
        let mut world = World::closed(1);
        let capacity = Capacity { sessions_v4: scene.capacity, sessions_v6: scene.capacity };
        let seed = Rng::new(chance).bytes(32).try_into().expect("as many as were asked for");
        world.forwarder = Forwarder::new(capacity, seed, world.now);
        world.adopt(scene.tables(1));
        let reference = RefNat::new(scene.clone(), world.now.as_millis());
        Run { world, reference, rows: Vec::new(), epoch: 1, log: VecDeque::new(), met: Met::new() }
    }

    fn step(&mut self, operation: &Operation) -> Result<(), String> {
        match *operation {
            Operation::Open { protocol, pod, port, to, segment } => self.open(protocol, pod, port, to, segment)?,
            Operation::Along { session, back, segment, mark } => self.along(session, back, segment, mark)?,
            Operation::Stray { protocol, from, port, public, to, segment } => {
                let peer = self.scene().peers()[from % 3];
                let publics = self.scene().publics();
                let name = (publics[public % publics.len()], self.public_port(to));
                let flow = flow(VrfId::MAIN, protocol, (peer, [53, 443][port % 2]), name, protocol == Protocol::Reply);
                self.send(Packet { flow, segment: self.segment(None, segment), mark: port as u8 })?;
            }
            Operation::Complain { session, back, about } => self.complain(session, back, about)?,
            Operation::Wait { how_long, timers } => self.wait(how_long, timers),
            Operation::Install(change) => self.install(change),
        }
        self.compare()
    }

    fn scene(&self) -> &Scene {
        &self.reference.scene
    }

    fn open(&mut self, protocol: Protocol, pod: usize, port: usize, to: Target, flags: Flags) -> Result<(), String> {
        let vrf = if pod % 3 == 0 { OTHER_ISLAND } else { ISLAND };
        let pods = self.scene().pods(vrf);
        let crowded = self.scene().crowded;
        let ports = if crowded { [1_030, 1_031, 1_032, 1_033, 1_034, 1_035, 1_036, 1_037] } else { PORTS };
        let source = (pods[pod / 3 % pods.len()], ports[port % ports.len()]);
        let target = match to {
            Target::Peer(..) if crowded => (self.scene().peers()[0], 443),
            Target::Peer(peer, port) => (self.scene().peers()[peer % 3], [53, 443][port % 2]),
            Target::Public(public, port) => {
                let publics = self.scene().publics();
                (publics[public % publics.len()], self.public_port(port))
            }
            Target::Pod(pod) => (pods[pod % pods.len()], 5_000),
        };
        if source.0 == target.0 {
            return Ok(());
        }
        let flow = flow(vrf, protocol, source, target, protocol == Protocol::Reply);
        self.send(Packet { flow, segment: self.segment(None, flags), mark: port as u8 })
    }

    /// One of the ports that names have, or a forward, or nobody.
    fn public_port(&self, place: usize) -> u16 {
        FIRST_PORT + (place % (usize::from(self.scene().ports) + 1)) as u16
    }

    fn along(&mut self, session: usize, back: bool, flags: Flags, mark: u8) -> Result<(), String> {
        let Some((forth, answer)) = self.pick(session) else {
            return Ok(());
        };
        let flow = if back { answer } else { forth };
        // Nobody outside is believed to have the gateway's address.
        if flow.vrf == VrfId::MAIN && self.scene().is_gateways(flow.src.0) {
            return Ok(());
        }
        self.send(Packet { flow, segment: self.segment(Some(&flow), flags), mark })
    }

    /// The keys of a session, or of one that ended.
    fn pick(&self, place: usize) -> Option<(Flow, Flow)> {
        let (live, ended) = (&self.reference.sessions, &self.reference.ended);
        let count = live.len() + ended.len();
        let at = place.checked_rem(count)?;
        Some(live.get(at).map_or_else(|| ended[at - live.len()], |session| (session.forth, session.back)))
    }

    fn segment(&self, flow: Option<&Flow>, flags: Flags) -> Segment {
        let found = flow.and_then(|flow| self.reference.find(flow));
        let expected =
            found.map_or(0, |(number, way)| self.reference.sessions[number].tcp.acknowledged(way.reversed()));
        Segment {
            flags: flags.flags,
            sequence: expected.wrapping_add(flags.ahead),
            acknowledgement: flags.acknowledgement,
        }
    }

    fn complain(&mut self, session: usize, back: bool, about: About) -> Result<(), String> {
        let Some((forth, answer)) = self.pick(session) else {
            return Ok(());
        };
        let mut quoted = if back { answer } else { forth }.answered();
        let (sender, receiver) = (quoted.src.0, quoted.dst.0);
        let router = if self.scene().family.v4 { "192.0.2.77" } else { "2001:db8:77::1" };
        let reporter = if about == About::FromARouter { router.parse().expect("an address") } else { receiver };
        if quoted.vrf == VrfId::MAIN && self.scene().is_gateways(reporter) {
            return Ok(());
        }
        let damage = match about {
            About::Cut(len) => Damage::Cut(len),
            About::TooShort => Damage::TooShort,
            About::BadChecksum => Damage::Checksum,
            _ => Damage::None,
        };
        if about == About::AnotherPort {
            let end = if quoted.protocol == Protocol::Reply { &mut quoted.dst } else { &mut quoted.src };
            end.1 ^= 1;
        }
        let dst = match about {
            About::SomebodyElses if quoted.vrf == VrfId::MAIN => self.scene().publics().pop().expect("there is one"),
            About::SomebodyElses => self.scene().peers()[0],
            _ => sender,
        };
        let quote = Packet { flow: quoted, segment: Segment::default(), mark: 12 };
        let complaint = Complaint { vrf: quoted.vrf, src: reporter, dst, quote, damage };
        if complaint.src == complaint.dst {
            return Ok(());
        }
        let (port, link) = self.ingress(complaint.vrf, complaint.src);
        let sent = self.pass(port, complaint.frame(self.scene().family, link, TTL));
        let fate = match port {
            UPLINK => self.reference.complaint_from_outside(&complaint),
            _ => self.reference.complaint_from_inside(&complaint),
        };
        self.judge(&fate, &sent)
    }

    /// Where a packet from this address comes in.
    fn ingress(&self, vrf: VrfId, src: IpAddr) -> (PortId, Eth) {
        let sender = match (vrf, self.scene().neighbor(vrf, src)) {
            (VrfId::MAIN, _) => ROUTER,
            (_, neighbor) => neighbor,
        };
        (self.scene().port(sender), from(sender))
    }

    fn send(&mut self, packet: Packet) -> Result<(), String> {
        let (port, link) = self.ingress(packet.flow.vrf, packet.flow.src.0);
        let sent = self.pass(port, packet.frame(link, TTL));
        let before = self.reference.tally;
        let fate = if port == UPLINK {
            self.reference.from_outside(&packet)
        } else {
            let scene = self.reference.scene.clone();
            self.reference.from_inside(&packet, &Listed(&self.rows, &scene))?
        };
        let after = self.reference.tally;
        if after.out > before.out && after.inward > before.inward {
            *self.met.entry("hairpin").or_default() += 1;
        }
        self.judge(&fate, &sent)
    }

    /// Puts a frame through the forwarder and looks at its sessions.
    fn pass(&mut self, port: PortId, frame: Vec<u8>) -> Sent {
        let now = self.reference.now;
        self.tell(format!("{now} port {port}: {}", print::line(&frame)));
        let sent = self.world.send(port, frame);
        let line = self.log.back_mut().expect("the line of the packet");
        line.push_str(&format!(" => {:?}", sent.verdict));
        if sent.bytes != sent.came {
            line.push_str(&format!(" {}", print::line(&sent.bytes)));
        }
        self.list();
        sent
    }

    fn tell(&mut self, line: String) {
        if self.log.len() == TOLD {
            self.log.pop_front();
        }
        self.log.push_back(line);
    }

    /// Is what became of the packet what should have?
    fn judge(&mut self, fate: &Fate, sent: &Sent) -> Result<(), String> {
        if let Fate::Refuse(reason) = fate {
            *self.met.entry(reason.name()).or_default() += 1;
        }
        let scene = self.scene();
        let expected = match fate {
            Fate::Forward(neighbor, packet) => {
                expect_frame(sent, scene.port(*neighbor), &packet.frame(to(*neighbor), TTL - 1))
            }
            Fate::ForwardComplaint(neighbor, complaint) => {
                let frame = complaint.frame(scene.family, to(*neighbor), TTL - 1);
                expect_frame(sent, scene.port(*neighbor), &frame)
            }
            Fate::Drop(reason) => sent.verdict == Verdict::Drop(*reason),
            Fate::Punt => matches!(
                sent.verdict,
                Verdict::Punt(PuntReason::Unresolved) | Verdict::Drop(DropReason::PuntRateLimited)
            ),
            Fate::Pong => sent.verdict == Verdict::Reply(sent.ingress) && is_sound(&sent.bytes, &sent.offload).is_ok(),
            Fate::Refuse(reason) => {
                let l4 = 14 + scene.family.ip_header;
                let told = match reason {
                    DropReason::NeighborDead => scene.family.host_unreachable,
                    DropReason::LocalUnwanted => scene.family.port_unreachable,
                    _ => scene.family.admin_prohibited,
                };
                sent.verdict == Verdict::Reply(sent.ingress)
                    && (sent.bytes[l4], sent.bytes[l4 + 1]) == told
                    && sent.bytes[l4 + 8..] == sent.came[14..]
                    && is_sound(&sent.bytes, &sent.offload).is_ok()
            }
        };
        if sent.verdict == Verdict::Forward(UPLINK) && shows_a_pod(&sent.bytes[14..], scene.family.ip_header) {
            return Err(format!("a pod shows outside: {}", sent.story()));
        }
        if expected {
            Ok(())
        } else {
            Err(format!("expected {fate:?}{}{}", sent.story(), difference(scene, fate, sent)))
        }
    }

    fn wait(&mut self, how_long: Wait, timers: bool) {
        let now = self.reference.now;
        let until = match how_long {
            Wait::Milliseconds(count) => now + count,
            Wait::Deadline(place, off) => {
                let at = place.checked_rem(self.reference.sessions.len());
                at.map_or(now, |at| self.reference.sessions[at].deadline().saturating_add_signed(off).max(now))
            }
        };
        let span = Duration::from_millis(until - now);
        self.tell(format!("{now} until {until}, timers {timers}"));
        self.reference.now = until;
        if timers {
            self.world.wait(span);
            self.list();
            self.reference.tick(&self.rows);
        } else {
            self.world.now = self.world.now + span;
            self.list();
        }
    }

    fn install(&mut self, change: Change) {
        let mut scene = self.scene().clone();
        match change {
            Change::Forward(at) => scene.forwards[at] ^= true,
            Change::Own => scene.own_is_open ^= true,
            Change::Neighbor(at, state) => {
                scene.states[at] = [NeighborState::Reachable, NeighborState::Pending, NeighborState::Dead][state];
            }
            Change::AllNeighbors => scene.states = [NeighborState::Reachable; FICKLE.len()],
            Change::Addresses(count) if !scene.masquerade => scene.addresses = count,
            Change::Addresses(_) | Change::Nothing => {}
        }
        let now = self.reference.now;
        self.tell(format!("{now} {change:?}"));
        self.epoch += 1;
        self.world.adopt(scene.tables(self.epoch));
        self.reference.install(scene);
        self.list();
    }

    fn list(&mut self) {
        self.rows = self.world.sessions(64);
    }

    /// What must be alike, and what must hold, after every operation.
    fn compare(&mut self) -> Result<(), String> {
        let counters = self.world.forwarder.counters();
        let counted = Tally {
            out: counters.translated_out,
            inward: counters.translated_in,
            errors: counters.translated_errors,
            begun: counters.sessions_created,
            ended: counters.sessions_ended,
        };
        if counted != self.reference.tally {
            return Err(format!("counted {counted:?}, should be {:?}", self.reference.tally));
        }
        let mut expected = self.reference.rows();
        let key = |row: &SessionRow| (row.vrf, row.protocol, row.inside, row.outside, row.peer, row.forwarded);
        expected.sort_unstable_by_key(key);
        self.rows.sort_unstable_by_key(key);
        if self.rows != expected {
            let surplus = |these: &[SessionRow], those: &[SessionRow]| -> Vec<String> {
                these.iter().filter(|row| !those.contains(row)).map(|row| format!("{row:?}")).collect()
            };
            let (listed, missing) = (surplus(&self.rows, &expected), surplus(&expected, &self.rows));
            return Err(format!("listed {}\nshould be {}", listed.join("\n"), missing.join("\n")));
        }
        if let Some(row) = self.rows.first() {
            *self.met.entry(row.state).or_default() += 1;
        }
        // No two flows look alike on either side.
        for (at, one) in self.reference.sessions.iter().enumerate() {
            for other in &self.reference.sessions[at + 1..] {
                if [other.forth, other.back].iter().any(|key| [one.forth, one.back].contains(key)) {
                    return Err(format!("two sessions share a key: {one:?} {other:?}"));
                }
            }
            if one.answer(Way::Forth) != one.back {
                return Err(format!("what answers is not the session's: {one:?}"));
            }
        }
        Ok(())
    }
}

/// A flow; the identifier of an echo is on the side that asked.
fn flow(vrf: VrfId, protocol: Protocol, src: Endpoint, dst: Endpoint, reply: bool) -> Flow {
    let (src, dst) = match protocol {
        Protocol::Tcp | Protocol::Udp => (src, dst),
        // With the identifier 0 it could not be told from a request.
        _ if reply => ((src.0, 0), (dst.0, dst.1.max(1))),
        _ => (src, (dst.0, 0)),
    };
    Flow { vrf, protocol, src, dst }
}

/// Did exactly this leave by that port?
fn expect_frame(sent: &Sent, port: PortId, frame: &[u8]) -> bool {
    sent.verdict == Verdict::Forward(port) && sent.bytes == frame
}

fn difference(scene: &Scene, fate: &Fate, sent: &Sent) -> String {
    match fate {
        Fate::Forward(neighbor, packet) => print::diff(&packet.frame(to(*neighbor), TTL - 1), &sent.bytes),
        Fate::ForwardComplaint(neighbor, complaint) => {
            print::diff(&complaint.frame(scene.family, to(*neighbor), TTL - 1), &sent.bytes)
        }
        _ => String::new(),
    }
}

/// Does a packet, or what it quotes, show the address of a pod?
fn shows_a_pod(packet: &[u8], header: usize) -> bool {
    let length = if header == 20 { 4 } else { 16 };
    let address = |packet: &[u8], at: usize| -> IpAddr {
        let bytes = &packet[at..at + length];
        match <[u8; 4]>::try_from(bytes) {
            Ok(v4) => v4.into(),
            Err(_) => <[u8; 16]>::try_from(bytes).expect("sixteen bytes").into(),
        }
    };
    let (source, protocol) = if header == 20 { (12, packet[9]) } else { (8, packet[6]) };
    let shows = |packet: &[u8]| is_private(address(packet, source)) || is_private(address(packet, source + length));
    let is_error = match protocol {
        1 => packet[header] == 3,
        58 => packet[header] < 128,
        _ => false,
    };
    shows(packet) || (is_error && shows(&packet[header + 8..]))
}
