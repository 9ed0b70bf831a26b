//! Two workers: every packet comes to the wrong one.

use std::sync::Arc;

use causeway_fastpath::burst::Burst;
use causeway_fastpath::forwarder::{Capacity, Forwarder};
use causeway_fastpath::fragment;
use causeway_fastpath::frame::Frame;
use causeway_fastpath::handoff::{Errand, Workers};
use causeway_fastpath::ids::WorkerId;
use causeway_fastpath::time::Instant;
use causeway_fastpath::verdict::Verdict;
use causeway_testkit::seed::Rng;
use crossbeam::queue::ArrayQueue;

use crate::arena::Arena;
use crate::flows::{self, Flow};
use crate::packets::Packets;
use crate::world::{ISLAND, World};

/// Both workers decide as they do in the gateway; what goes from one to the other goes by
/// such a ring as there. One thread drives both: what a cache line costs on its way from
/// core to core is not in it.
pub struct Handed {
    workers: [Forwarder; 2],
    ring: ArrayQueue<(Frame, Errand)>,
    taken: Burst,
    errands: Vec<Errand>,
    packets: Packets,
    now: Instant,
}

/// The secret of the two.
const SECRET: u64 = 7;

impl Handed {
    /// Those of `flows` whose home is the second worker, each with its session.
    pub fn established(flows: &[Flow], arena: &mut Arena, quick: bool, rng: &mut Rng) -> Handed {
        let place = |me| Workers::new(WorkerId(me), 2, SECRET);
        let is_second = |flow: &&Flow| place(0).home(ISLAND, flow.pod) == WorkerId(1);
        let flows: Vec<Flow> = flows.iter().filter(is_second).copied().collect();
        let (now, tables) = (Instant::from_secs(1), Arc::new(World::island_tables(&flows)));
        let fragments = fragment::Capacity::default();
        let capacity = Capacity { sessions_v4: flows.len(), sessions_v6: 0, fragments };
        let worker = |me| {
            let mut worker = Forwarder::of(place(me), capacity, [7; 32], now);
            worker.install(Arc::clone(&tables), Instant::ZERO);
            worker
        };
        let mut handed = Handed {
            workers: [worker(0), worker(1)],
            ring: ArrayQueue::new(1024),
            taken: Burst::new(),
            errands: Vec::with_capacity(Burst::MAX),
            packets: flows::packets(&flows),
            now,
        };
        for _ in 0..flows.len().div_ceil(Burst::MAX) {
            handed.turn(arena);
        }
        assert_eq!(handed.workers[1].sessions().0, flows.len(), "every flow has a session");
        Handed { packets: handed.packets.mixed(quick, rng), ..handed }
    }

    /// The packets.
    pub fn packets(&self) -> &Packets {
        &self.packets
    }

    /// Feeds 64 packets to the first worker, and lets the second one do the work.
    pub fn turn(&mut self, arena: &mut Arena) -> usize {
        let len = self.packets.frame_len();
        let packets = self.packets.next_burst();
        let [first, second] = &mut self.workers;
        let (ring, taken, errands, now) = (&self.ring, &mut self.taken, &mut self.errands, self.now);
        arena.feed(packets, len, |burst| {
            first.process(now, burst);
            for (at, (frame, verdict)) in burst.drain().enumerate() {
                assert!(matches!(verdict, Verdict::HandOff(_)), "it is the other one's: {verdict:?}");
                assert!(ring.push((frame, first.errand(at))).is_ok(), "there is room");
            }
            while let Some((frame, errand)) = ring.pop() {
                taken.push(frame);
                errands.push(errand);
            }
            second.process_taken_over(now, taken, errands);
            errands.clear();
            drop(taken.drain());
        });
        packets.len()
    }

    /// Feeds 64 packets to nobody.
    pub fn feed(&mut self, arena: &mut Arena) -> usize {
        let len = self.packets.frame_len();
        let packets = self.packets.next_burst();
        arena.feed(packets, len, |burst| _ = std::hint::black_box(burst));
        packets.len()
    }

    /// # Panics
    /// A packet was not forwarded.
    pub fn check(&self) {
        let counters = self.workers[1].counters();
        assert_eq!(counters.forwarded, counters.taken_over, "every packet was forwarded: {counters:?}");
    }
}
