//! A run: each operation is done to the forwarder and to the reference, and everything that
//! can be seen of the two is compared.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};
use std::time::Duration;

use causeway_fastpath::command::SessionRow;
use causeway_fastpath::forwarder::Capacity;
use causeway_fastpath::ids::{PortId, VrfId};
use causeway_fastpath::nat::{Judge, Outcome};
use causeway_fastpath::offload::Offload;
use causeway_fastpath::snapshot::{NeighborState, Snapshot};
use causeway_fastpath::verdict::Verdict;
use causeway_testkit::print;
use causeway_testkit::seed::Rng;

use crate::flow::Flow;
use crate::judge::judge;
use crate::operation::{Change, Operation, Wait};
use crate::reference::{Chosen, Fate, NO_NAME, RefNat, Session, Tally};
use crate::scene::{FICKLE, Scene};
use crate::traffic::Item;
use crate::world::{Endpoint, Family, NODES, OTHER_NODES, Sent, Team, UPLINK, World};

/// TTL of packets, before and after a hop.
pub(crate) const TTL: u8 = 64;
/// Operations that are told of a run that failed.
const TOLD: usize = 20;

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
            let log: Vec<String> = run.log.iter().map(Told::text).collect();
            return Err(Failure { after, story: format!("{}\n{operation:?}\n{wrong}", log.join("\n")) });
        }
    }
    run.world.forwarder.counters().each(|_, name, count| *run.met.entry(name).or_default() += count);
    // Those that went further than to the worker that they belong to.
    *run.met.entry("handed-on").or_default() += u64::from(run.world.forwarder.longest_way > 1);
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

/// What is told of a run that failed.
enum Told {
    /// Frames, before anything becomes of them.
    Burst(Vec<Vec<u8>>),
    /// When a frame went through, and what became of it.
    Sent(u64, Sent),
    Else(String),
}

impl Told {
    fn text(&self) -> String {
        match self {
            Told::Burst(frames) => {
                let lines: Vec<String> = frames.iter().map(|frame| print::line(frame)).collect();
                format!("burst: {}", lines.join("\n       "))
            }
            Told::Sent(now, sent) => format!("{now}{}", sent.story()),
            Told::Else(text) => text.clone(),
        }
    }
}

struct Run {
    world: World,
    reference: RefNat,
    rows: Vec<SessionRow>,
    epoch: u64,
    tables: Arc<Snapshot>,
    /// Sessions that are judged with each operation.
    pace: u32,
    /// What came in by each port and is not yet put through.
    bursts: [Vec<Item>; 3],
    log: VecDeque<Told>,
    met: Met,
}

/// What tells a session from others.
fn key(row: &SessionRow) -> (VrfId, u8, Endpoint, Endpoint, Endpoint, bool) {
    (row.vrf, row.protocol, row.inside, row.outside, row.peer, row.forwarded)
}

/// What is said beforehand of sessions that were listed.
fn foreseen(rows: &[SessionRow], before: &Snapshot, after: &Snapshot) -> Vec<(SessionRow, Outcome)> {
    let v4 = Judge::new(&before.v4, &after.v4, &after.ports);
    let v6 = Judge::new(&before.v6, &after.v6, &after.ports);
    let judge = |row: &SessionRow| v4.judge_row(row).or_else(|| v6.judge_row(row));
    rows.iter().map(|row| (*row, judge(row).expect("a row is of a family"))).collect()
}

fn name_of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Survives => "survives",
        Outcome::TranslatedAnew => "translated anew",
        Outcome::Ends(_) => "ends",
    }
}

/// The sessions of the forwarder say what it chose.
struct Listed<'a>(&'a [SessionRow], Family);

impl Chosen for Listed<'_> {
    fn name(&self, flow: &Flow) -> Option<Endpoint> {
        let sought = (flow.vrf, flow.protocol.number(self.1), flow.src, flow.dst, false);
        let row = self.0.iter().find(|row| (row.vrf, row.protocol, row.inside, row.peer, row.forwarded) == sought);
        row.map(|row| row.outside)
    }
}

impl Run {
    fn new(scene: &Scene, chance: u64) -> Run {
        let mut world = World::closed(1);
        let capacity = Capacity {
            sessions_v4: scene.capacity,
            sessions_v6: scene.capacity,
            fragments: causeway_fastpath::fragment::Capacity::default(),
        };
        let seed = Rng::new(chance).bytes(32).try_into().expect("as many as were asked for");
        world.forwarder = Team::new(scene.workers, capacity, seed, world.now);
        let tables = scene.tables(1);
        world.adopt(Arc::clone(&tables));
        let reference = RefNat::new(scene.clone(), world.now.as_millis());
        Run {
            world,
            reference,
            rows: Vec::new(),
            epoch: 1,
            tables,
            pace: 0,
            bursts: Default::default(),
            log: VecDeque::new(),
            met: Met::new(),
        }
    }

    fn step(&mut self, operation: &Operation) -> Result<(), String> {
        match *operation {
            Operation::Wait { how_long, timers } => {
                self.flush_all()?;
                self.settle(u32::MAX);
                self.wait(how_long, timers);
            }
            Operation::Install(change, pace) => {
                self.flush_all()?;
                self.settle(u32::MAX);
                self.compare()?;
                self.install(change, pace)?;
            }
            _ => {
                let Some(item) = Item::of(operation, &self.reference) else {
                    return Ok(());
                };
                let port = item.ingress(self.scene());
                self.bursts[port.index()].push(item);
                if self.bursts[port.index()].len() < self.scene().burst {
                    return Ok(());
                }
                self.flush(port)?;
                self.settle(self.pace);
            }
        }
        self.compare()
    }

    /// Lets each worker judge so many more sessions, if there are any.
    fn settle(&mut self, budget: u32) {
        if !self.reference.unsettled {
            return;
        }
        let mut more = self.world.forwarder.settle(self.world.now, budget);
        while more && budget == u32::MAX {
            more = self.world.forwarder.settle(self.world.now, budget);
        }
        self.reference.unsettled = more;
        self.list();
    }

    fn scene(&self) -> &Scene {
        &self.reference.scene
    }

    fn flush_all(&mut self) -> Result<(), String> {
        [NODES, UPLINK, OTHER_NODES].into_iter().try_for_each(|port| self.flush(port))
    }

    /// Puts what came in by a port through the forwarder, in one burst.
    fn flush(&mut self, port: PortId) -> Result<(), String> {
        let items = std::mem::take(&mut self.bursts[port.index()]);
        if items.is_empty() {
            return Ok(());
        }
        let frames: Vec<_> = items.iter().map(|item| (port, item.frame(self.scene(), TTL), Offload::DONE)).collect();
        self.tell(Told::Burst(frames.iter().map(|(_, frame, _)| frame.clone()).collect()));
        let burst = self.world.burst(&frames);
        self.list();
        for (item, sent) in items.iter().zip(burst) {
            let fate = self.decide(item, port, sent.turned);
            let is_refused = matches!(sent.verdict, Verdict::Drop(_) | Verdict::Reply(_));
            if self.reference.unsettled && is_refused && fate.as_ref().is_err_and(|wrong| wrong.contains(NO_NAME)) {
                // What ended has the name yet.
                *self.met.entry("refused while unsettled").or_default() += 1;
                continue;
            }
            let outcome = fate.and_then(|fate| judge(self.scene(), &fate, &sent));
            self.tell(Told::Sent(self.reference.now, sent));
            outcome?;
        }
        Ok(())
    }

    /// What the reference says of a packet, which `turned` from one worker to another or not.
    fn decide(&mut self, item: &Item, port: PortId, turned: bool) -> Result<Fate, String> {
        let before = self.reference.tally;
        let fate = match item {
            Item::Complaint(complaint) if port == UPLINK => self.reference.complain_inward(complaint),
            Item::Complaint(complaint) => self.reference.complain_outward(complaint, turned),
            Item::Packet(packet) if port == UPLINK => self.reference.come_in(packet),
            Item::Packet(packet) => {
                let listed = Listed(&self.rows, self.reference.scene.family);
                self.reference.go_out(packet, &listed, turned)?
            }
        };
        if turned {
            *self.met.entry("turned").or_default() += 1;
        }
        let after = self.reference.tally;
        let is_hairpin = after.out > before.out && after.inward > before.inward;
        if is_hairpin {
            *self.met.entry("hairpin").or_default() += 1;
        }
        if after.begun > before.begun && self.reference.sessions.last().is_some_and(Session::was_let_in) {
            *self.met.entry(if is_hairpin { "hairpin, let in" } else { "let in" }).or_default() += 1;
        }
        if let Fate::Refuse(reason) = fate {
            *self.met.entry(reason.name()).or_default() += 1;
        }
        Ok(fate)
    }

    fn tell(&mut self, told: Told) {
        if self.log.len() == TOLD {
            self.log.pop_front();
        }
        self.log.push_back(told);
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
        self.tell(Told::Else(format!("{now} until {until}, timers {timers}")));
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

    fn install(&mut self, change: Change, pace: u32) -> Result<(), String> {
        let mut scene = self.scene().clone();
        match change {
            Change::Forward(at) => scene.forwards[at] ^= true,
            Change::Own => scene.own_is_open ^= true,
            Change::Neighbor(at, state) => {
                scene.states[at] = [NeighborState::Reachable, NeighborState::Pending, NeighborState::Dead][state];
            }
            Change::AllNeighbors => scene.states = [NeighborState::Reachable; FICKLE.len()],
            Change::Addresses(count) if !scene.masquerade => scene.addresses = count,
            Change::Ports(count) => scene.ports = count,
            Change::Policy => scene.denies ^= true,
            Change::Addresses(_) | Change::Nothing => {}
        }
        let now = self.reference.now;
        self.tell(Told::Else(format!("{now} {change:?} at {pace}")));
        self.epoch += 1;
        let tables = scene.tables(self.epoch);
        let before = std::mem::replace(&mut self.tables, Arc::clone(&tables));
        let outcomes = foreseen(&self.rows, &before, &tables);
        self.world.forwarder.install(tables, self.world.now);
        self.reference.unsettled = true;
        self.reference.install(scene);
        // What control foresees is what happens.
        let mut survivors = self.reference.rows();
        survivors.sort_unstable_by_key(key);
        let mut expected: Vec<SessionRow> =
            outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Survives).map(|(row, _)| *row).collect();
        expected.sort_unstable_by_key(key);
        if !expected.iter().map(key).eq(survivors.iter().map(key)) {
            return Err(format!("foreseen are {outcomes:#?}, and there should be left {survivors:#?}"));
        }
        for (_, outcome) in outcomes {
            *self.met.entry(name_of(outcome)).or_default() += 1;
        }
        // Where there is little room, what has ended must not take any.
        self.pace = pace;
        if pace == 0 || self.scene().capacity < 60 {
            self.settle(u32::MAX);
        }
        self.list();
        Ok(())
    }

    fn list(&mut self) {
        self.rows = self.world.sessions(64);
    }

    /// What must be alike, and what must hold, after every operation.
    fn compare(&mut self) -> Result<(), String> {
        if self.reference.unsettled {
            return Ok(());
        }
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
        expected.sort_unstable_by_key(key);
        self.rows.sort_unstable_by_key(key);
        if self.rows != expected {
            let surplus = |these: &[SessionRow], those: &[SessionRow]| -> Vec<String> {
                these.iter().filter(|row| !those.contains(row)).map(|row| format!("{row:?}")).collect()
            };
            let (listed, missing) = (surplus(&self.rows, &expected), surplus(&expected, &self.rows));
            return Err(format!("listed {}\nshould be {}", listed.join("\n"), missing.join("\n")));
        }
        if self.world.forwarder.lent() > 0 {
            *self.met.entry("lent").or_default() += 1;
        }
        if self.reference.has_names_at_rest() {
            *self.met.entry("name at rest").or_default() += 1;
        }
        if let Some(row) = self.rows.first() {
            *self.met.entry(row.state).or_default() += 1;
        }
        // A name that is lent counts once, however many sessions the borrower has under it.
        let pools = if self.scene().workers == 1 { self.world.pools(2, 3) } else { Vec::new() };
        for row in pools {
            for (at, load) in row.loads.iter().enumerate() {
                let counted = (load.sessions, load.bindings, load.resting);
                let expected = self.reference.in_use(row.pool.index(), row.address, at);
                if counted != expected {
                    return Err(format!("{row:?} counts {counted:?}, should be {expected:?}"));
                }
            }
        }
        // No two flows look alike on either side.
        for (at, one) in self.reference.sessions.iter().enumerate() {
            for other in &self.reference.sessions[at + 1..] {
                if [other.forth, other.back].iter().any(|key| [one.forth, one.back].contains(key)) {
                    return Err(format!("two sessions share a key: {one:?} {other:?}"));
                }
            }
        }
        Ok(())
    }
}
