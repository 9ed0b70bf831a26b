//! The slow twin of the table: a list of datagrams, each with a list of its pieces.
#![cfg(test)]

use std::collections::{BTreeMap, VecDeque};
use std::vec::Vec;

use super::{Capacity, Piece, TIMEOUT};
use crate::time::Instant;
use crate::verdict::DropReason;

/// A datagram by the number of its sender and its own.
pub(super) type Name = (u32, u32);

/// How many buffers the frame of a piece takes while it is held: one, two or three.
pub(super) fn buffers(piece: Piece) -> usize {
    1 + usize::from(piece.start() / 8) % 3
}

/// Datagrams in a list, oldest first, searched from end to end.
pub(super) struct ReferenceTable {
    capacity: Capacity,
    pub(super) known: Vec<Entry>,
    pub(super) waiting: Vec<Entry>,
    pub(super) free: usize,
    pub(super) released: VecDeque<(Name, Piece)>,
    pub(super) given_up: BTreeMap<DropReason, u64>,
}

pub(super) struct Entry {
    name: Name,
    dead: bool,
    seen: Vec<Piece>,
    deadline: Instant,
    pub(super) held: Vec<Piece>,
    charged: usize,
}

impl ReferenceTable {
    pub(super) fn new(capacity: Capacity) -> ReferenceTable {
        ReferenceTable {
            capacity,
            known: Vec::new(),
            waiting: Vec::new(),
            free: capacity.held,
            released: VecDeque::new(),
            given_up: BTreeMap::new(),
        }
    }

    /// The forwarder's part is played by the twin: `Ok(true)` goes on, `Ok(false)` is held.
    pub(super) fn fragment(&mut self, name: Name, piece: Piece, now: Instant) -> Result<bool, DropReason> {
        self.expire_one(name, now);
        if let Some(at) = self.known.iter().position(|entry| entry.name == name) {
            self.add_known(at, piece)?;
            return Ok(true);
        }
        if self.waiting.iter().any(|entry| entry.name == name && entry.dead) {
            return Err(DropReason::FragmentOverlap);
        }
        if piece.start() == 0 {
            self.first(name, piece, now).map(|()| true)
        } else {
            self.hold(name, piece, now).map(|()| false)
        }
    }

    fn first(&mut self, name: Name, piece: Piece, now: Instant) -> Result<(), DropReason> {
        let of_source = self.known.iter().filter(|entry| entry.name.0 == name.0).count();
        if of_source >= self.capacity.datagrams / 16 {
            return Err(DropReason::FragmentSourceLimit);
        }
        if let Some(at) = self.waiting.iter().position(|entry| entry.name == name) {
            self.add_waiting(at, piece)?;
        }
        if self.known.len() == self.capacity.datagrams {
            self.known.remove(0);
        }
        if let Some(at) = self.waiting.iter().position(|entry| entry.name == name) {
            let entry = self.waiting.remove(at);
            self.released.extend(entry.held.iter().rev().map(|piece| (name, *piece)));
        }
        self.known.push(Entry::new(name, now));
        self.add_known(self.known.len() - 1, piece)
    }

    fn hold(&mut self, name: Name, piece: Piece, now: Instant) -> Result<(), DropReason> {
        let charged: usize =
            self.waiting.iter().filter(|entry| entry.name.0 == name.0).map(|entry| entry.charged).sum();
        let buffers = buffers(piece);
        if charged + buffers > self.capacity.held / 4 {
            return Err(DropReason::FragmentSourceLimit);
        }
        let mut given_up = 0;
        while given_up < buffers && (self.free < buffers || self.waiting.len() == self.capacity.held) {
            if self.waiting.is_empty() {
                return Err(DropReason::FragmentStoreFull);
            }
            let oldest = self.waiting.remove(0);
            self.give_up(DropReason::FragmentStoreFull, &oldest.held);
            given_up += 1;
        }
        if self.free < buffers {
            return Err(DropReason::FragmentStoreFull);
        }
        let at = self.waiting.iter().position(|entry| entry.name == name).unwrap_or_else(|| {
            self.waiting.push(Entry::new(name, now));
            self.waiting.len() - 1
        });
        self.add_waiting(at, piece)?;
        self.waiting[at].held.push(piece);
        self.waiting[at].charged += buffers;
        self.free -= buffers;
        Ok(())
    }

    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(at) = self.waiting.iter().position(|entry| entry.deadline <= now) {
            let entry = self.waiting.remove(at);
            self.give_up(DropReason::FragmentTimeout, &entry.held);
        }
        self.known.retain(|entry| entry.deadline > now);
    }

    fn expire_one(&mut self, name: Name, now: Instant) {
        if let Some(at) = self.waiting.iter().position(|entry| entry.name == name && entry.deadline <= now) {
            let entry = self.waiting.remove(at);
            self.give_up(DropReason::FragmentTimeout, &entry.held);
        }
        self.known.retain(|entry| entry.name != name || entry.deadline > now);
    }

    fn add_waiting(&mut self, at: usize, piece: Piece) -> Result<(), DropReason> {
        let added = self.waiting[at].add(piece);
        if self.waiting[at].dead {
            let held = std::mem::take(&mut self.waiting[at].held);
            self.give_up(DropReason::FragmentOverlap, &held);
        }
        added
    }

    fn add_known(&mut self, at: usize, piece: Piece) -> Result<(), DropReason> {
        self.known[at].add(piece)?;
        if self.known[at].is_whole() {
            self.known.remove(at);
        }
        Ok(())
    }

    fn give_up(&mut self, reason: DropReason, held: &[Piece]) {
        self.free += held.iter().map(|piece| buffers(*piece)).sum::<usize>();
        *self.given_up.entry(reason).or_default() += held.len() as u64;
    }
}

impl Entry {
    fn new(name: Name, now: Instant) -> Entry {
        Entry { name, dead: false, seen: Vec::new(), deadline: now + TIMEOUT, held: Vec::new(), charged: 0 }
    }

    fn add(&mut self, piece: Piece) -> Result<(), DropReason> {
        if self.dead {
            return Err(DropReason::FragmentOverlap);
        }
        if self.seen.contains(&piece) {
            return Err(DropReason::FragmentDuplicate);
        }
        if self.seen.iter().any(|seen| clash(*seen, piece) || clash(piece, *seen)) {
            self.dead = true;
            return Err(DropReason::FragmentOverlap);
        }
        self.seen.push(piece);
        Ok(())
    }

    fn is_whole(&self) -> bool {
        let seen: u32 = self.seen.iter().map(|piece| u32::from(piece.end() - piece.start())).sum();
        self.seen.iter().any(|piece| piece.is_last() && u32::from(piece.end()) == seen)
    }
}

/// Can these two not be pieces of one datagram?
fn clash(one: Piece, other: Piece) -> bool {
    let overlap = one.start() < other.end() && other.start() < one.end();
    let behind_the_end = one.is_last() && (other.is_last() || other.end() >= one.end());
    overlap || behind_the_end
}
