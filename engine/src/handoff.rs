//! Between workers: a lock-free ring from each to each.
//!
//! A worker that hands a packet over lends its buffer with it, and gets it back by its own
//! ring once the packet was sent or dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::{io, mem};

use causeway_fastpath::frame::Frame;
use causeway_fastpath::handoff::{Errand, Message};
use causeway_fastpath::ids::WorkerId;
use crossbeam::queue::ArrayQueue;

use crate::wake::Doorbell;

/// What a ring holds. More is not taken: packets are dropped and counted.
const RING: usize = 1024;

/// What goes from one worker to another.
#[derive(Debug)]
pub enum Handed {
    /// A packet, and why.
    Packet(Frame, Errand),
    /// Something to be told.
    Message(Message),
    /// The receiver's own buffer: its packet was sent or dropped.
    Spent(Frame),
}

/// The rings of all workers of a gateway.
#[derive(Debug)]
pub struct Exchange {
    /// By receiver, then by sender.
    rings: Vec<Vec<ArrayQueue<Handed>>>,
    desks: Vec<Desk>,
    /// Workers that are done and hold no foreign buffer any more.
    done: AtomicUsize,
}

/// Where a worker is found when it sleeps.
#[derive(Debug)]
struct Desk {
    asleep: AtomicBool,
    bell: Doorbell,
    /// Is its worker about to end, and has nothing left to do?
    resting: AtomicBool,
    /// How often it had something to do after all.
    stirred: AtomicUsize,
}

impl Exchange {
    /// Between so many workers.
    ///
    /// # Errors
    /// The process has no descriptors left.
    pub fn new(workers: usize) -> io::Result<Arc<Exchange>> {
        Exchange::with_rings(workers, RING)
    }

    /// As [`Exchange::new`], with rings that hold so much.
    ///
    /// # Errors
    /// As there.
    pub fn with_rings(workers: usize, room: usize) -> io::Result<Arc<Exchange>> {
        let rings = (0..workers).map(|_| (0..workers).map(|_| ArrayQueue::new(room)).collect()).collect();
        let desk = |_| Ok(Desk::new(Doorbell::new()?));
        let desks = (0..workers).map(desk).collect::<io::Result<_>>()?;
        Ok(Arc::new(Exchange { rings, desks, done: AtomicUsize::new(0) }))
    }

    /// Have all that are to end nothing left to do, for good? Nobody who rests begins anything
    /// but what a ring brings, and says that it stirs before it looks.
    fn is_quiet(&self) -> bool {
        let stirred = || self.desks.iter().map(|desk| desk.stirred.load(Ordering::SeqCst)).sum::<usize>();
        let before = stirred();
        let all_rest = self.desks.iter().all(|desk| desk.resting.load(Ordering::SeqCst));
        all_rest && self.rings.iter().flatten().all(ArrayQueue::is_empty) && stirred() == before
    }

    /// So many workers could not be started: nobody waits for them.
    pub fn never_came(&self, workers: usize) {
        self.done.fetch_add(workers, Ordering::SeqCst);
        for desk in &self.desks[self.desks.len() - workers..] {
            desk.resting.store(true, Ordering::SeqCst);
        }
    }
}

impl Desk {
    fn new(bell: Doorbell) -> Desk {
        let (asleep, resting) = (AtomicBool::new(false), AtomicBool::new(false));
        Desk { asleep, bell, resting, stirred: AtomicUsize::new(0) }
    }
}

/// A worker's place at the exchange.
#[derive(Debug)]
pub struct Colleagues {
    exchange: Arc<Exchange>,
    me: WorkerId,
    /// Buffers that go back, and found no room: they must not be lost.
    owed: Vec<(WorkerId, Frame)>,
    /// Who was handed something in this turn, a bit each.
    handed_to: u64,
}

impl Colleagues {
    /// The place of this worker.
    pub fn new(exchange: Arc<Exchange>, me: WorkerId) -> Colleagues {
        Colleagues { exchange, me, owed: Vec::with_capacity(RING), handed_to: 0 }
    }

    /// Which worker this is.
    pub fn me(&self) -> WorkerId {
        self.me
    }

    /// Hands something over.
    ///
    /// # Errors
    /// It: the other one is behind.
    pub fn hand_over(&mut self, to: WorkerId, handed: Handed) -> Result<(), Handed> {
        self.exchange.rings[to.index()][self.me.index()].push(handed)?;
        self.handed_to |= 1 << to.0;
        Ok(())
    }

    /// Gives a buffer back to whose it is, now or as soon as there is room.
    pub fn give_back(&mut self, to: WorkerId, frame: Frame) {
        if let Err(Handed::Spent(frame)) = self.hand_over(to, Handed::Spent(frame)) {
            self.owed.push((to, frame));
        }
    }

    /// How many workers there are.
    pub fn count(&self) -> usize {
        self.exchange.desks.len()
    }

    /// What another one handed over, the next of it.
    pub fn take_from(&self, worker: usize) -> Option<Handed> {
        self.exchange.rings[self.me.index()][worker].pop()
    }

    /// Is there nothing to take and nothing owed?
    pub fn is_idle(&self) -> bool {
        self.owed.is_empty() && !self.has_mail()
    }

    /// Is there something to take?
    fn has_mail(&self) -> bool {
        self.exchange.rings[self.me.index()].iter().any(|ring| !ring.is_empty())
    }

    /// The turn is over: whoever sleeps and got something is woken.
    pub fn end_turn(&mut self) {
        let mut at = 0;
        while at < self.owed.len() {
            let (to, frame) = self.owed.swap_remove(at);
            if let Err(Handed::Spent(frame)) = self.hand_over(to, Handed::Spent(frame)) {
                // Its receiver is behind; the others need not wait for it.
                self.owed.push((to, frame));
                let last = self.owed.len() - 1;
                self.owed.swap(at, last);
                at += 1;
            }
        }
        let mut handed_to = mem::take(&mut self.handed_to);
        if handed_to != 0 {
            // What was pushed is seen by whoever is about to sleep, or we see that he sleeps.
            fence(Ordering::SeqCst);
        }
        while handed_to != 0 {
            let desk = &self.exchange.desks[handed_to.trailing_zeros() as usize];
            if desk.asleep.swap(false, Ordering::SeqCst) {
                desk.bell.ring();
            }
            handed_to &= handed_to - 1;
        }
    }

    /// The bell that rings when something comes while this worker sleeps.
    pub fn bell(&self) -> &Doorbell {
        &self.exchange.desks[self.me.index()].bell
    }

    /// This worker wants to sleep. `false`: there is something to do.
    pub fn may_sleep(&self) -> bool {
        if !self.owed.is_empty() {
            return false;
        }
        let asleep = &self.exchange.desks[self.me.index()].asleep;
        asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if self.has_mail() {
            asleep.store(false, Ordering::SeqCst);
            return false;
        }
        true
    }

    /// It is awake again.
    pub fn awake(&self) {
        self.exchange.desks[self.me.index()].asleep.store(false, Ordering::SeqCst);
        self.bell().silence();
    }

    /// This worker is about to end and receives nothing any more. Is there something for it to
    /// take all the same, or does it owe buffers? Call it before [`Colleagues::take_from`].
    pub fn stirs(&self) -> bool {
        let desk = &self.exchange.desks[self.me.index()];
        let stirs = self.has_mail() || !self.owed.is_empty();
        if stirs {
            desk.resting.store(false, Ordering::SeqCst);
            desk.stirred.fetch_add(1, Ordering::SeqCst);
        }
        stirs
    }

    /// It has done all it had to do.
    pub fn rests(&self) {
        self.exchange.desks[self.me.index()].resting.store(true, Ordering::SeqCst);
    }

    /// Is there nothing left for any worker to do? All of them are about to end.
    pub fn are_quiet(&self) -> bool {
        self.exchange.is_quiet()
    }

    /// This worker takes and hands over nothing any more.
    pub fn leave(&self) {
        self.exchange.done.fetch_add(1, Ordering::SeqCst);
    }

    /// Has every worker left? Only then may the buffers of any be unmapped.
    pub fn all_have_left(&self) -> bool {
        self.exchange.done.load(Ordering::SeqCst) == self.exchange.desks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Colleagues, Colleagues) {
        let exchange = Exchange::new(2).expect("descriptors");
        (Colleagues::new(Arc::clone(&exchange), WorkerId(0)), Colleagues::new(exchange, WorkerId(1)))
    }

    fn frame(byte: u8) -> Frame {
        Frame::boxed(&[byte], 0, 0)
    }

    #[test]
    fn what_is_handed_over_arrives_in_order_and_a_full_ring_takes_nothing() {
        let (mut one, other) = pair();
        for byte in 0..=255 {
            for _ in 0..4 {
                one.hand_over(WorkerId(1), Handed::Packet(frame(byte), Errand::Own)).expect("room");
            }
        }
        let refused = one.hand_over(WorkerId(1), Handed::Packet(frame(7), Errand::Own)).expect_err("it is full");
        let Handed::Packet(refused, _) = refused else { panic!("the packet comes back") };
        assert_eq!(refused.bytes(), [7]);
        drop(refused.into_heap());
        let mut seen = Vec::new();
        while other.has_mail() {
            let Some(Handed::Packet(frame, _)) = other.take_from(0) else { panic!("packets only") };
            seen.push(frame.bytes()[0]);
            drop(frame.into_heap());
        }
        assert!(seen.len() == 1024 && seen.is_sorted());
    }

    #[test]
    fn a_buffer_that_finds_no_room_goes_back_later() {
        let (mut one, other) = pair();
        for _ in 0..RING + 3 {
            one.give_back(WorkerId(1), frame(1));
        }
        assert!(!one.may_sleep(), "it owes buffers");
        let mut back = 0;
        for _ in 0..2 {
            while let Some(handed) = other.take_from(0) {
                let Handed::Spent(frame) = handed else { panic!("buffers only") };
                drop(frame.into_heap());
                back += 1;
            }
            one.end_turn();
        }
        assert_eq!((back, one.may_sleep()), (RING + 3, true));
    }

    #[test]
    fn all_are_quiet_once_nobody_has_anything_left() {
        let (mut one, other) = pair();
        one.rests();
        assert!(!one.are_quiet(), "the other still receives");
        one.hand_over(WorkerId(1), Handed::Spent(frame(1))).expect("room");
        other.rests();
        assert!(!other.are_quiet(), "there is something to take");
        assert!(other.stirs());
        let Some(Handed::Spent(taken)) = other.take_from(0) else { panic!("it is there") };
        assert!(!other.are_quiet(), "it may hand something over yet");
        drop(taken.into_heap());
        other.rests();
        assert!(!other.stirs() && one.are_quiet() && other.are_quiet());
    }

    #[test]
    fn who_sleeps_is_woken_and_who_has_mail_does_not_sleep() {
        let (mut one, other) = pair();
        let mut fds = [crate::wake::readable(other.bell().fd())];
        assert!(other.may_sleep());
        one.hand_over(WorkerId(1), Handed::Spent(frame(1))).expect("room");
        one.end_turn();
        crate::wake::sleep(&mut fds, std::time::Duration::from_secs(60));
        assert_ne!(fds[0].revents, 0, "the bell rings");
        other.awake();
        assert!(!other.may_sleep(), "there is something to take");
        assert!(!other.all_have_left());
        one.leave();
        other.leave();
        assert!(one.all_have_left());
        drop(one);
        let Some(Handed::Spent(left)) = other.exchange.rings[1][0].pop() else { panic!("it is still there") };
        drop(left.into_heap());
    }
}
