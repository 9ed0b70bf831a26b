//! Endpoint-independent mapping (RFC 4787 REQ-1): an inside endpoint keeps one
//! outside name a pool, whomever it talks to, as long as one of its sessions lives.

use alloc::vec;
use alloc::vec::Vec;

use crate::address::Address;
use crate::session::{FlowKey, Index, Seed};

/// An inside endpoint and its outside name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Binding<A> {
    /// The inside endpoint: source, source port, protocol and routing domain;
    /// destination and its port are 0.
    pub(super) inside: FlowKey<A>,
    /// Outside address.
    pub(super) outside: A,
    /// Outside port or identifier.
    pub(super) port: u16,
    /// Which pool the address is from.
    pub(super) pool: u16,
    /// Which address of the pool.
    pub(super) address: u32,
    /// Sessions that stand on it; while free, the next free number.
    pub(super) sessions: u32,
}

const NONE: u32 = u32::MAX;

/// The bindings of one worker and one family, by inside endpoint.
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

    /// The key under which the sender of `flow` is bound.
    pub(super) fn endpoint(flow: &FlowKey<A>) -> FlowKey<A> {
        FlowKey { dst: A::default(), dst_port: 0, ..*flow }
    }

    /// Asks the CPU for what [`BindingTable::find`] will look at first.
    pub(super) fn prefetch(&self, endpoint: &FlowKey<A>) {
        self.index.prefetch(endpoint.hash(self.seed));
    }

    /// The binding of an endpoint in this pool. One that leaves by several
    /// masquerading ports has a name on each.
    pub(super) fn find(&self, endpoint: &FlowKey<A>, pool: u16) -> Option<u32> {
        self.index.find(endpoint.hash(self.seed), |number| {
            let binding = &self.records[number as usize];
            binding.inside.is(endpoint) && binding.pool == pool
        })
    }

    /// The binding of this number.
    pub(super) fn get(&self, number: u32) -> &Binding<A> {
        &self.records[number as usize]
    }

    /// Adds a binding that no session stands on yet; `None` when the table is full.
    pub(super) fn insert(&mut self, binding: Binding<A>) -> Option<u32> {
        let number = self.free;
        if number == NONE || !self.index.insert(binding.inside.hash(self.seed), number) {
            return None;
        }
        self.free = self.records[number as usize].sessions;
        // The next binding will be made soon, and with this number.
        crate::cpu::prefetch(self.records.as_ptr().wrapping_add(self.free as usize));
        self.records[number as usize] = Binding { sessions: 0, ..binding };
        Some(number)
    }

    /// Another session stands on it.
    pub(super) fn hold(&mut self, number: u32) {
        self.records[number as usize].sessions += 1;
    }

    /// A session that stood on it ended; the binding, if it was the last.
    pub(super) fn release(&mut self, number: u32) -> Option<Binding<A>> {
        let record = &mut self.records[number as usize];
        record.sessions -= 1;
        if record.sessions > 0 {
            return None;
        }
        self.discard(number)
    }

    /// Takes away a binding that no session stands on.
    pub(super) fn discard(&mut self, number: u32) -> Option<Binding<A>> {
        let binding = self.records[number as usize];
        self.index.remove(binding.inside.hash(self.seed), number);
        self.records[number as usize].sessions = self.free;
        self.free = number;
        Some(binding)
    }
}
