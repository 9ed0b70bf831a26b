//! Port forwarding: which flows from outside go to whom inside.

use hashbrown::HashMap;

use crate::address::Address;
use crate::ids::VrfId;
use crate::session::FlowKey;

/// To whom the flows to a public address and port go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward<A> {
    /// The address inside.
    pub address: A,
    /// The port there; `None`: that which was asked for.
    pub port: Option<u16>,
    /// The routing domain it is in.
    pub vrf: VrfId,
}

/// The forwards of one family.
#[derive(Clone, Debug)]
pub struct Forwards<A> {
    /// By public address, protocol and port.
    ports: HashMap<(A, u8, u16), Forward<A>>,
    /// By public address, for whatever has no forward of its own.
    addresses: HashMap<A, Forward<A>>,
}

impl<A: Address> Forwards<A> {
    /// No forward.
    pub fn new() -> Forwards<A> {
        Forwards { ports: HashMap::new(), addresses: HashMap::new() }
    }

    /// Forwards a port of a public address.
    pub fn insert_port(&mut self, public: A, protocol: u8, port: u16, to: Forward<A>) {
        self.ports.insert((public, protocol, port), to);
    }

    /// Forwards everything else that is for a public address: static NAT.
    pub fn insert_address(&mut self, public: A, to: Forward<A>) {
        self.addresses.insert(public, to);
    }

    /// Nothing is forwarded any more that is for a public address, but its ports that have a
    /// forward of their own.
    pub fn remove_address(&mut self, public: A) {
        self.addresses.remove(&public);
    }

    /// The forward for a flow from outside. Two look-ups at most.
    pub fn find(&self, flow: &FlowKey<A>) -> Option<&Forward<A>> {
        self.ports.get(&(flow.dst, flow.protocol, flow.dst_port)).or_else(|| self.addresses.get(&flow.dst))
    }

    /// Does a name belong to a forward, and not to the sender of `flow`? Then the flow may
    /// not leave under it: who could take it would be taken for the service
    /// (CVE-2021-3773).
    pub fn holds(&self, public: A, port: u16, flow: &FlowKey<A>) -> bool {
        let is_others = |own: &Forward<A>| (own.address, own.vrf) != (flow.src, flow.vrf);
        !self.is_empty()
            && (self.holds_port(public, flow.protocol, port) || self.addresses.get(&public).is_some_and(is_others))
    }

    /// Is this port of a public address forwarded?
    pub fn holds_port(&self, public: A, protocol: u8, port: u16) -> bool {
        self.ports.contains_key(&(public, protocol, port))
    }

    /// Does whatever is for a public address go to one host inside?
    pub fn of_address(&self, public: A) -> Option<&Forward<A>> {
        self.addresses.get(&public)
    }

    /// Is there no forward?
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty() && self.addresses.is_empty()
    }

    /// The public addresses and ports that are forwarded for a protocol.
    pub fn ports(&self, protocol: u8) -> impl Iterator<Item = (A, u16)> {
        self.ports.keys().filter(move |(_, of, _)| *of == protocol).map(|(public, _, port)| (*public, *port))
    }

    /// Every forward.
    pub fn iter(&self) -> impl Iterator<Item = &Forward<A>> {
        self.ports.values().chain(self.addresses.values())
    }
}

impl<A: Address> PartialEq for Forwards<A> {
    fn eq(&self, other: &Forwards<A>) -> bool {
        self.ports == other.ports && self.addresses == other.addresses
    }
}

impl<A: Address> Default for Forwards<A> {
    fn default() -> Forwards<A> {
        Forwards::new()
    }
}

impl<A: Address> Forward<A> {
    /// How the answers to a flow arrive that is forwarded so.
    pub fn answer(&self, flow: &FlowKey<A>) -> FlowKey<A> {
        let port = self.port.unwrap_or(flow.dst_port);
        FlowKey { src: self.address, src_port: port, vrf: self.vrf, hairpin: 0, ..flow.reversed() }
    }
}
