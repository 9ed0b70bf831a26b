//! What sessions stand on.
//!
//! With endpoint-independent mapping (RFC 4787 REQ-1), an inside endpoint and its
//! outside name: it keeps one a pool, whomever it talks to, as long as one of its
//! sessions lives. With mapping by destination, an outside address and a destination:
//! so many sessions share its ports.

use alloc::vec;
use alloc::vec::Vec;

use crate::address::Address;
use crate::session::{FlowKey, Index, Seed};

/// An endpoint and its outside name, or an outside address and a destination.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Binding<A> {
    /// [`endpoint`] or [`destination`].
    pub(super) key: FlowKey<A>,
    /// Outside address of an endpoint.
    pub(super) outside: A,
    /// Outside port or identifier of an endpoint.
    pub(super) port: u16,
    /// In which space the address is, and [`LOST`].
    pub(super) space: u16,
    /// Which address of the space.
    pub(super) address: u32,
    /// Sessions that stand on it; while free, the next free number.
    pub(super) sessions: u32,
}

const NONE: u32 = u32::MAX;

/// The key of the endpoint that sent `flow`: destination and its port are 0.
pub(super) fn endpoint<A: Address>(flow: &FlowKey<A>) -> FlowKey<A> {
    FlowKey { dst: A::default(), dst_port: 0, hairpin: 0, ..*flow }
}

/// The key of where `flow` goes, as seen from the outside address `from`: the source
/// port is 0.
pub(super) fn destination<A: Address>(flow: &FlowKey<A>, from: A) -> FlowKey<A> {
    FlowKey { src: from, src_port: 0, ..*flow }
}

/// As [`destination`], of the flows whose answers look like `outside` and whose port
/// another worker lent: they have none of ours.
pub(super) fn borrowed<A: Address>(outside: &FlowKey<A>) -> FlowKey<A> {
    FlowKey { src_port: BORROWED, ..outside.reversed() }
}

/// Beside the space: the endpoint gets another name, and this one is gone with its sessions.
const LOST: u16 = 1 << 15;

/// In the place of the source port, where [`destination`] has 0.
pub(super) const BORROWED: u16 = 1;

impl<A: Address> Binding<A> {
    /// In no space: its name is no pool's any more, and whoever borrowed it has not given it
    /// back yet.
    pub(super) const NOWHERE: u16 = !LOST;

    /// In which space the address is: that of a pool, one that a pool had before, or
    /// [`Binding::NOWHERE`].
    pub(super) fn space(&self) -> u16 {
        self.space & !LOST
    }

    /// Is it an endpoint's, and not that of many who talk to one destination?
    pub(super) fn is_of_endpoint(&self) -> bool {
        self.key.dst == A::default()
    }

    /// The outside address.
    pub(super) fn public(&self) -> A {
        if self.is_of_endpoint() { self.outside } else { self.key.src }
    }
}

/// The bindings of one worker and one family.
pub(super) struct BindingTable<A> {
    index: Index,
    records: Vec<Binding<A>>,
    free: u32,
    seed: Seed,
}

impl<A: Address> BindingTable<A> {
    /// A table for `capacity` bindings.
    pub(super) fn new(capacity: usize, seed: Seed) -> BindingTable<A> {
        let mut records = vec![Binding::default(); capacity];
        for (number, record) in records.iter_mut().enumerate() {
            record.sessions = if number + 1 == capacity { NONE } else { number as u32 + 1 };
        }
        BindingTable {
            index: Index::with_capacity(capacity),
            records,
            free: if capacity == 0 { NONE } else { 0 },
            seed,
        }
    }

    /// What it occupies, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.index.bytes() + size_of_val(self.records.as_slice())
    }

    /// Asks the CPU for what [`BindingTable::find`] will look at first.
    pub(super) fn prefetch(&self, key: &FlowKey<A>) {
        self.index.prefetch(key.hash(self.seed));
    }

    /// The binding of an endpoint or a destination in this space. An endpoint that
    /// leaves by several masquerading ports has a name on each.
    pub(super) fn find(&self, key: &FlowKey<A>, space: u16) -> Option<u32> {
        self.index.find(key.hash(self.seed), |number| {
            let binding = &self.records[number as usize];
            binding.key.is(key) && binding.space == space
        })
    }

    /// The binding of this number.
    pub(super) fn get(&self, number: u32) -> &Binding<A> {
        &self.records[number as usize]
    }

    /// The binding is in this space from now on, as this address.
    pub(super) fn move_to(&mut self, number: u32, space: u16, address: u32) {
        let record = &mut self.records[number as usize];
        (record.space, record.address) = (space | record.space & LOST, address);
    }

    /// The binding is not found any more.
    pub(super) fn lose(&mut self, number: u32) {
        self.records[number as usize].space |= LOST;
    }

    /// Adds a binding that no session stands on yet; `None` when the table is full.
    pub(super) fn insert(&mut self, binding: Binding<A>) -> Option<u32> {
        let number = self.free;
        if number == NONE || !self.index.insert(binding.key.hash(self.seed), number) {
            return None;
        }
        self.free = self.records[number as usize].sessions;
        // The next binding will be made soon, and with this number.
        crate::cpu::prefetch(self.records.as_ptr().wrapping_add(self.free as usize));
        self.records[number as usize] = Binding { sessions: 0, ..binding };
        Some(number)
    }

    /// Another session stands on it. Says how many do.
    pub(super) fn hold(&mut self, number: u32) -> u32 {
        let record = &mut self.records[number as usize];
        record.sessions += 1;
        record.sessions
    }

    /// A session that stood on it ended. The binding, with how many still do.
    pub(super) fn release(&mut self, number: u32) -> Binding<A> {
        let record = &mut self.records[number as usize];
        record.sessions -= 1;
        *record
    }

    /// Takes away a binding that no session stands on.
    pub(super) fn discard(&mut self, number: u32) {
        let record = &mut self.records[number as usize];
        self.index.remove(record.key.hash(self.seed), number);
        record.sessions = self.free;
        self.free = number;
    }
}
