//! The datagrams of one worker and one address family that are under way in pieces.

use alloc::vec::Vec;
use core::time::Duration;

use super::pieces::{Misfit, Pieces};
use super::queue::{Link, NONE, Queue};
use super::store::{BUFFER, LONGEST_FRAME, Store};
use super::tally::Tally;
use super::{Cuttings, Datagram, Piece};
use crate::address::Address;
use crate::counters::Counters;
use crate::frame::Frame;
use crate::session::{FlowKey, Index, Seed};
use crate::time::Instant;
use crate::verdict::DropReason;

/// How long a datagram's first fragment is waited for, and then the others. Linux gives
/// a reassembly 30 s in all (`net.ipv4.ipfrag_time`).
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// The part of the known datagrams that one source may have: a sixteenth.
const KNOWN_SHARE: usize = 16;
/// The part of the buffers that one source may fill: a quarter.
const HELD_SHARE: usize = 4;

/// How large a table may grow.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// Datagrams whose first fragment went through: about 350 bytes each with IPv4,
    /// 450 with IPv6. At most 65,535.
    pub datagrams: usize,
    /// Buffers for fragments that wait for the first of their datagram: 2.3 KB each, for
    /// 2,048 bytes of a frame. At most 65,535.
    pub held: usize,
}

impl Capacity {
    /// For tables that do without.
    pub const NONE: Capacity = Capacity { datagrams: 0, held: 0 };
}

impl Default for Capacity {
    fn default() -> Capacity {
        Capacity { datagrams: 4096, held: 256 }
    }
}

/// Datagrams in pieces, by what their fragments say.
///
/// Allocates when it is made, and never after. A call looks at one datagram, and at
/// those that it gives up for it: one, or two, or one a buffer that a long fragment takes.
pub struct Table<A> {
    index: Index,
    records: Vec<Record<A>>,
    links: Vec<Link>,
    /// Numbers that were given back.
    free: Vec<u32>,
    known: Queue,
    waiting: Queue,
    store: Store,
    known_by_source: Tally,
    held_by_source: Tally,
    capacity: Capacity,
    seed: Seed,
}

struct Record<A> {
    datagram: Datagram<A>,
    /// The flow that the first fragment showed; without it the datagram waits.
    flow: Option<FlowKey<A>>,
    /// Its pieces contradict each other: nothing of it passes any more.
    dead: bool,
    /// The identification that its pieces get; `None`: they keep theirs.
    identification: Option<u16>,
    pieces: Pieces,
    deadline: Instant,
    /// What is held of it, and how much its source is charged for that.
    chain: u32,
    charged: u16,
}

/// What is known of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<A> {
    /// Its first fragment was not seen.
    Unknown,
    /// It belongs to this flow.
    Known {
        /// For [`Table::pass`].
        number: u32,
        /// Who talks to whom.
        flow: FlowKey<A>,
    },
    /// Nothing of it passes any more.
    Dead,
}

impl<A: Address> Table<A> {
    /// An empty table.
    ///
    /// # Panics
    /// A capacity needs more than 16 bits.
    pub fn new(capacity: Capacity, seed: Seed) -> Table<A> {
        let Capacity { datagrams, held } = capacity;
        assert!(datagrams.max(held) <= usize::from(u16::MAX), "a source's count has 16 bits");
        let most = datagrams + held;
        Table {
            index: Index::with_capacity(most),
            records: Vec::with_capacity(most),
            links: Vec::with_capacity(most),
            free: Vec::with_capacity(most),
            known: Queue::EMPTY,
            waiting: Queue::EMPTY,
            store: Store::new(held, u64::from(A::BITS)),
            known_by_source: Tally::new(),
            held_by_source: Tally::new(),
            capacity,
            seed,
        }
    }

    /// Datagrams: those whose flow is known, and those that wait for their first fragment.
    pub fn len(&self) -> (usize, usize) {
        (self.known.len(), self.waiting.len())
    }

    /// Is nothing under way in pieces?
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    /// What it occupies at full capacity, in bytes.
    pub fn bytes(&self) -> usize {
        let record = size_of::<Record<A>>() + size_of::<Link>() + size_of::<u32>();
        self.index.bytes() + self.records.capacity() * record + self.store.bytes() + 2 * Tally::BYTES
    }

    /// What is known of a datagram.
    pub fn standing(&mut self, datagram: &Datagram<A>, now: Instant, counters: &mut Counters) -> Standing<A> {
        match self.find(datagram, now, counters) {
            Some(number) => match &self.records[number as usize] {
                Record { dead: true, .. } => Standing::Dead,
                Record { flow: Some(flow), .. } => Standing::Known { number, flow: *flow },
                Record { flow: None, .. } => Standing::Unknown,
            },
            None => Standing::Unknown,
        }
    }

    /// The first fragment of a datagram goes on, and belongs to this flow. What was held
    /// of the datagram is released. Says its number.
    ///
    /// # Errors
    /// Why it may not go on.
    pub fn first(
        &mut self,
        datagram: &Datagram<A>,
        piece: Piece,
        flow: FlowKey<A>,
        now: Instant,
        counters: &mut Counters,
    ) -> Result<u32, DropReason> {
        let found = self.find(datagram, now, counters);
        if let Some(number) = found
            && (self.records[number as usize].dead || self.records[number as usize].flow.is_some())
        {
            return self.pass(number, piece, counters).map(|()| number);
        }
        let source = datagram.source_hash(self.seed);
        if usize::from(self.known_by_source.of(source)) >= (self.capacity.datagrams / KNOWN_SHARE).max(1) {
            return Err(DropReason::FragmentSourceLimit);
        }
        if let Some(number) = found {
            self.add(number, piece, counters)?;
        }
        if self.known.len() >= self.capacity.datagrams {
            let oldest = self.known.oldest().ok_or(DropReason::FragmentTableFull)?;
            self.remove(oldest, DropReason::FragmentStoreFull, counters);
        }
        let number = match found {
            Some(number) => {
                self.release(number);
                number
            }
            None => self.insert(datagram)?,
        };
        let record = &mut self.records[number as usize];
        record.flow = Some(flow);
        record.deadline = now + TIMEOUT;
        self.known.push(&mut self.links, number);
        self.known_by_source.add(source, 1);
        self.pass(number, piece, counters).map(|()| number)
    }

    /// The identification that the pieces of a known datagram get.
    pub fn identification(&self, number: u32) -> Option<u16> {
        self.records[number as usize].identification
    }

    /// Sets it.
    pub fn identify(&mut self, number: u32, identification: Option<u16>) {
        self.records[number as usize].identification = identification;
    }

    /// A later fragment of a known datagram goes on. With its last one the datagram is
    /// done and forgotten.
    ///
    /// # Errors
    /// Why it may not go on.
    pub fn pass(&mut self, number: u32, piece: Piece, counters: &mut Counters) -> Result<(), DropReason> {
        self.add(number, piece, counters)?;
        if self.records[number as usize].pieces.are_all() {
            self.remove(number, DropReason::FragmentTimeout, counters);
        }
        Ok(())
    }

    /// Keeps a copy of a later fragment until the first one of its datagram comes.
    ///
    /// # Errors
    /// Why it is not kept.
    pub fn hold(
        &mut self,
        datagram: &Datagram<A>,
        piece: Piece,
        frame: &Frame,
        now: Instant,
        counters: &mut Counters,
    ) -> Result<(), DropReason> {
        if frame.len() > LONGEST_FRAME {
            return Err(DropReason::FragmentTooLong);
        }
        let buffers = frame.len().div_ceil(BUFFER);
        let source = datagram.source_hash(self.seed);
        if usize::from(self.held_by_source.of(source)) + buffers > (self.capacity.held / HELD_SHARE).max(1) {
            return Err(DropReason::FragmentSourceLimit);
        }
        // A datagram that waits holds a buffer, or died and held one.
        for _ in 0..buffers {
            if self.store.room() >= buffers && self.waiting.len() < self.capacity.held {
                break;
            }
            let oldest = self.waiting.oldest().ok_or(DropReason::FragmentStoreFull)?;
            self.remove(oldest, DropReason::FragmentStoreFull, counters);
        }
        if self.store.room() < buffers {
            return Err(DropReason::FragmentStoreFull);
        }
        let number = match self.find(datagram, now, counters) {
            Some(number) => number,
            None => {
                let number = self.insert(datagram)?;
                self.records[number as usize].deadline = now + TIMEOUT;
                self.waiting.push(&mut self.links, number);
                number
            }
        };
        self.add(number, piece, counters)?;
        let record = &mut self.records[number as usize];
        self.store.hold(frame, &mut record.chain);
        record.charged += buffers as u16;
        self.held_by_source.add(source, buffers as u16);
        Ok(())
    }

    /// Gives up datagrams whose time is up, as many as `budget` allows, which it takes
    /// from it. What was held of them is counted as dropped.
    pub fn expire(&mut self, now: Instant, budget: &mut u32, counters: &mut Counters) {
        while *budget > 0
            && let Some(number) = self.due(now)
        {
            *budget -= 1;
            self.remove(number, DropReason::FragmentTimeout, counters);
        }
    }

    /// Are there datagrams whose time is up?
    pub fn is_behind(&self, now: Instant) -> bool {
        self.due(now).is_some()
    }

    /// The next fragment that was released, in a buffer of the table's own, or a long one in a
    /// buffer of `cuttings`. Those for which there is none are counted as dropped.
    pub fn next_released(&mut self, cuttings: &mut Cuttings, counters: &mut Counters) -> Option<Frame> {
        loop {
            match self.store.next_released(cuttings)? {
                Ok(frame) => return Some(frame),
                Err(_) => counters.give_up(DropReason::CutBuffersFull, 1),
            }
        }
    }

    /// Takes back the buffer of a fragment that was released, if it was the table's own.
    ///
    /// # Panics
    /// It is another's.
    pub fn take_back(&mut self, frame: Frame) {
        self.store.take_back(frame);
    }

    fn due(&self, now: Instant) -> Option<u32> {
        let due = |number: &u32| self.records[*number as usize].deadline <= now;
        self.waiting.oldest().filter(due).or_else(|| self.known.oldest().filter(due))
    }

    /// The record of a datagram, unless its time is up.
    fn find(&mut self, datagram: &Datagram<A>, now: Instant, counters: &mut Counters) -> Option<u32> {
        let hash = datagram.hash(self.seed);
        let number = self.index.find(hash, |number| self.records[number as usize].datagram.is(datagram))?;
        if self.records[number as usize].deadline > now {
            return Some(number);
        }
        self.remove(number, DropReason::FragmentTimeout, counters);
        None
    }

    /// Adds a piece to those that were seen. Where it contradicts them, the datagram dies
    /// (RFC 5722; RFC 8200, 4.5), and what was held of it with it.
    fn add(&mut self, number: u32, piece: Piece, counters: &mut Counters) -> Result<(), DropReason> {
        let record = &mut self.records[number as usize];
        if record.dead {
            return Err(DropReason::FragmentOverlap);
        }
        record.pieces.insert(piece).map_err(|misfit| match misfit {
            Misfit::Duplicate => DropReason::FragmentDuplicate,
            Misfit::TooMany => DropReason::FragmentTooMany,
            Misfit::Clash => {
                record.dead = true;
                counters.give_up(DropReason::FragmentOverlap, self.store.give_up(&mut record.chain));
                DropReason::FragmentOverlap
            }
        })
    }

    /// A record in no queue, for a datagram that has none.
    fn insert(&mut self, datagram: &Datagram<A>) -> Result<u32, DropReason> {
        let number = self.free.last().copied().unwrap_or(self.records.len() as u32);
        if !self.index.insert(datagram.hash(self.seed), number) {
            return Err(DropReason::FragmentTableFull);
        }
        let record = Record {
            datagram: *datagram,
            flow: None,
            dead: false,
            identification: None,
            pieces: Pieces::NONE,
            deadline: Instant::ZERO,
            chain: NONE,
            charged: 0,
        };
        if self.free.pop().is_some() {
            self.records[number as usize] = record;
        } else {
            debug_assert!(self.records.len() < self.records.capacity(), "queues are no longer than there are records");
            self.records.push(record);
            self.links.push(Link::NONE);
        }
        Ok(number)
    }

    /// Ends a datagram's waiting, and releases what was held of it. That starts anew: each
    /// piece is seen once more when it walks.
    fn release(&mut self, number: u32) {
        self.waiting.remove(&mut self.links, number);
        let record = &mut self.records[number as usize];
        record.pieces = Pieces::NONE;
        self.store.release(&mut record.chain);
        self.held_by_source.take(record.datagram.source_hash(self.seed), core::mem::take(&mut record.charged));
    }

    /// Forgets a datagram; what was held of it is dropped for `reason`.
    fn remove(&mut self, number: u32, reason: DropReason, counters: &mut Counters) {
        let record = &mut self.records[number as usize];
        let source = record.datagram.source_hash(self.seed);
        if record.flow.is_some() {
            self.known.remove(&mut self.links, number);
            self.known_by_source.take(source, 1);
        } else {
            self.waiting.remove(&mut self.links, number);
            self.held_by_source.take(source, record.charged);
            counters.give_up(reason, self.store.give_up(&mut record.chain));
        }
        self.index.remove(record.datagram.hash(self.seed), number);
        self.free.push(number);
    }
}
