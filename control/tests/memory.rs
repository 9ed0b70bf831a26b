//! What strangers hand to control leaves no memory behind. Alone in its process,
//! so that nobody else's memory is counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use causeway_control::compile::PortFacts;
use causeway_control::config::Config;
use causeway_control::control::Control;
use causeway_fastpath::command::{Command, Event};
use causeway_fastpath::frame::Frame;
use causeway_fastpath::ids::PortId;
use causeway_fastpath::snapshot::Snapshot;
use causeway_fastpath::time::Instant;
use causeway_fastpath::verdict::PuntReason;
use causeway_testkit::packet::*;
use causeway_testkit::random;
use causeway_testkit::seed::{Rng, Seed};

/// The system's allocator, which counts the bytes that are in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: both calls are passed on as they came; counting touches no memory of theirs.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`; `memory` came from `System`.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Control, with a worker that forwards nothing.
struct World {
    control: Control,
    installed: Arc<Snapshot>,
    now: Instant,
}

impl World {
    fn punt(&mut self, reason: PuntReason, port: PortId, bytes: &[u8]) {
        let mut frame = Frame::boxed(bytes, 128, 0);
        frame.ingress = port;
        self.control.handle_event(Event::Punted(reason, frame), self.now);
    }

    /// Strangers come, and are forgotten. Memory in use in the end, and at most.
    fn round(&mut self, rng: &mut Rng) -> (usize, usize) {
        let mut most = 0;
        for number in 0..50_000 {
            let (reason, port, bytes) = sensible(rng);
            let bytes = if rng.chance(1, 3) { random::mangle(rng, &bytes) } else { bytes };
            self.punt(reason, port, &bytes);
            if number % 64 == 0 {
                self.settle();
            }
            self.wait(Duration::from_micros(200));
            most = most.max(IN_USE.load(Ordering::Relaxed));
        }
        self.wait(Duration::from_secs(100));
        assert!(self.control.neighbors().all(|neighbor| neighbor.router), "strangers are forgotten");
        (IN_USE.load(Ordering::Relaxed), most)
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.control.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.control.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    fn settle(&mut self) {
        while let Some(command) = self.control.poll_command() {
            let event = match command {
                Command::Prepare(room) => Event::Settled(room),
                Command::Install(snapshot) => {
                    let epoch = snapshot.epoch;
                    Event::Installed { epoch, retired: std::mem::replace(&mut self.installed, snapshot) }
                }
                Command::Inject(frame) | Command::Transmit(_, frame) => Event::Spent(frame),
                Command::ListSessions(page) => Event::Sessions(page),
                Command::EndSessions(kill) => Event::SessionsEnded(kill),
                Command::ListPools(page) => Event::Pools(page),
                Command::ListRefused(page) => Event::Refused(page),
            };
            self.control.handle_event(event, self.now);
        }
    }
}

/// Something that control keeps: a packet to an unknown neighbour, or a question.
fn sensible(rng: &mut Rng) -> (PuntReason, PortId, Vec<u8>) {
    let (last, node) = (rng.u16(), eth().dst("02:00:00:00:00:01"));
    match rng.below(4) {
        0 => {
            (PuntReason::Unresolved, PortId(0), node.ipv4("192.168.0.11", [203, 0, 113, last as u8]).udp(1, 2).build())
        }
        1 => {
            let dst = format!("2001:db8:1::{last:x}");
            (PuntReason::Unresolved, PortId(0), node.ipv6("fd00:a::11", dst.as_str()).udp(1, 2).build())
        }
        2 => (PuntReason::Arp, PortId(1), node.arp_request([203, 0, 113, last as u8], "203.0.113.2").build()),
        _ => {
            let src = format!("2001:db8:1::{last:x}");
            let ip = node.ipv6(src.as_str(), solicited_node("2001:db8:1::2"));
            (PuntReason::NeighborDiscovery, PortId(1), ip.neighbour_solicitation("2001:db8:1::2").build())
        }
    }
}

#[test]
fn a_hundred_thousand_frames_leave_no_memory_behind() {
    let text = include_str!("../../configs/lab.toml");
    let (config, _) = Config::parse("lab.toml", text).expect("it is sound");
    let now = Instant::from_secs(1);
    let facts = vec![PortFacts { mac: [2, 0, 0, 0, 0, 1], mtu: 1500 }; config.ports.len()];
    let control = Control::new(config, facts, 7, now);
    let mut world = World { control, installed: Arc::new(Snapshot::closed()), now };
    let seed = Seed::from_env_or(0x3e3);
    let mut rng = seed.rng();
    // In the first round queues grow to their size.
    let [(before, _), (after, most)] = [(); 2].map(|()| world.round(&mut rng));
    assert!(after <= before + 4096, "{before} bytes before, {after} after");
    assert!(most <= before + (16 << 20), "{before} bytes before, {most} at most");
}
