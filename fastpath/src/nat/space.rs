//! The ports of a pool: which are free on which address.

use alloc::vec;
use alloc::vec::Vec;

use super::behavior::{Behavior, Mapping};
use super::crowd::Crowds;
use super::numbers::NumberSet;
use super::usage::{Load, Usage};
use crate::snapshot::Pool;
use crate::wire::protocol;

/// The free ports of a pool, and its free echo identifiers.
pub(super) struct Space {
    first_port: u16,
    tcp: Ports,
    udp: Ports,
    icmp: Ports,
    /// What is in use of them, in this order.
    usage: [Usage; 3],
}

/// The ports for one protocol, by how they are mapped.
enum Ports {
    /// Each is given to one endpoint.
    Owned(Owned),
    /// Each serves many destinations.
    Shared(Shared),
}

/// Ports that are free or somebody's. 8 KiB an address with all its ports.
struct Owned {
    /// Free ports by address, counted from the first.
    free: Vec<NumberSet>,
    /// Addresses that have a free port.
    addresses: NumberSet,
    /// Ports that belong to forwards: address and port. Not free, and in no use.
    reserved: Vec<(u32, u16)>,
    /// How many of them there are by address.
    forwarded: Vec<u32>,
}

/// Ports that are free toward a destination unless a session says otherwise.
pub(super) struct Shared {
    /// Destinations that use up the ports of an address.
    pub(super) crowds: Crowds,
    /// How many ports of an address belong to forwards.
    held: Vec<u32>,
}

impl Space {
    /// All ports of a pool, free; for at most `capacity` sessions.
    pub(super) fn new<A>(pool: &Pool<A>, capacity: usize) -> Space {
        let (addresses, count) = (pool.addresses.len(), pool.ports());
        let ports = |behavior: Behavior| match behavior.mapping {
            Mapping::EndpointIndependent => Ports::Owned(Owned::new(addresses, count)),
            Mapping::AddressAndPortDependent => Ports::Shared(Shared {
                crowds: Crowds::new(pool.first_port, count, if addresses == 0 { 0 } else { capacity }),
                held: vec![0; addresses],
            }),
        };
        let behaviors = [pool.tcp, pool.udp, Behavior::UDP];
        let is_shared = |behavior: Behavior| behavior.mapping == Mapping::AddressAndPortDependent;
        Space {
            first_port: pool.first_port,
            tcp: ports(pool.tcp),
            udp: ports(pool.udp),
            icmp: ports(Behavior::UDP),
            usage: behaviors.map(|behavior| Usage::new(addresses, count, is_shared(behavior))),
        }
    }

    /// Notes which ports of a protocol belong to forwards, each given by address and
    /// port, and that no others do. Those that are somebody's are kept once they come back.
    pub(super) fn reserve(&mut self, protocol: u8, ports: impl Iterator<Item = (u32, u16)>) {
        let first = self.first_port;
        match self.of(protocol) {
            Ports::Owned(owned) => owned.reserve(first, ports),
            Ports::Shared(shared) => shared.hold(ports),
        }
    }

    /// As [`Space::give_back`], for a port that meanwhile belongs to a forward.
    pub(super) fn give_to_forward(&mut self, protocol: u8, address: u32, port: u16) {
        self.owned(protocol).forward(address, port);
    }

    /// Takes a free port for an endpoint: on this address if it has one, on the next one
    /// that does otherwise. `from` is where on the address the search starts. Says the
    /// address and the port; `None` means that there is none at all.
    pub(super) fn take(&mut self, protocol: u8, address: u32, from: u16) -> Option<(u32, u16)> {
        let first = self.first_port;
        let owned = self.owned(protocol);
        let address = owned.addresses.first_from(address)?;
        let number = owned.free[address as usize].first_from(u32::from(from - first));
        let number = number.expect("the address has a free port");
        owned.remove(address, number);
        Some((address, first + number as u16))
    }

    /// Gives the port of an endpoint back.
    pub(super) fn give_back(&mut self, protocol: u8, address: u32, port: u16) {
        let first = self.first_port;
        self.owned(protocol).insert(address, u32::from(port - first));
    }

    /// The ports of a protocol, if many destinations share each.
    pub(super) fn shared(&mut self, protocol: u8) -> Option<&mut Shared> {
        match self.of(protocol) {
            Ports::Owned(_) => None,
            Ports::Shared(shared) => Some(shared),
        }
    }

    /// What is in use for a protocol.
    pub(super) fn usage(&mut self, protocol: u8) -> &mut Usage {
        match protocol {
            protocol::TCP => &mut self.usage[0],
            protocol::UDP => &mut self.usage[1],
            _ => &mut self.usage[2],
        }
    }

    /// What is in use of an address for TCP, UDP and echo identifiers.
    pub(super) fn loads(&self, address: u32) -> [Load; 3] {
        let load = |at: usize, ports: &Ports| self.usage[at].load(address, ports.forwarded(address));
        [load(0, &self.tcp), load(1, &self.udp), load(2, &self.icmp)]
    }

    fn owned(&mut self, protocol: u8) -> &mut Owned {
        match self.of(protocol) {
            Ports::Owned(owned) => owned,
            Ports::Shared(_) => panic!("an endpoint has a port where mapping is by endpoint"),
        }
    }

    fn of(&mut self, protocol: u8) -> &mut Ports {
        match protocol {
            protocol::TCP => &mut self.tcp,
            protocol::UDP => &mut self.udp,
            _ => &mut self.icmp,
        }
    }
}

impl Ports {
    /// How many of an address belong to forwards.
    fn forwarded(&self, address: u32) -> u32 {
        match self {
            Ports::Owned(owned) => owned.forwarded[address as usize],
            Ports::Shared(shared) => shared.held[address as usize],
        }
    }
}

impl Shared {
    /// Ports of an address that are taken toward a destination, so many sessions having
    /// one.
    pub(super) fn taken(&self, address: u32, sessions: u32) -> u32 {
        sessions + self.held[address as usize]
    }

    fn hold(&mut self, ports: impl Iterator<Item = (u32, u16)>) {
        self.held.fill(0);
        for (address, _) in ports {
            self.held[address as usize] += 1;
        }
    }
}

impl Owned {
    fn new(addresses: usize, ports: usize) -> Owned {
        Owned {
            free: (0..addresses).map(|_| NumberSet::all(ports)).collect(),
            addresses: NumberSet::all(addresses),
            reserved: Vec::new(),
            forwarded: vec![0; addresses],
        }
    }

    fn forward(&mut self, address: u32, port: u16) {
        self.reserved.push((address, port));
        self.forwarded[address as usize] += 1;
    }

    fn reserve(&mut self, first_port: u16, ports: impl Iterator<Item = (u32, u16)>) {
        for (address, port) in core::mem::take(&mut self.reserved) {
            self.insert(address, u32::from(port - first_port));
        }
        self.forwarded.fill(0);
        let ports: Vec<(u32, u16)> = ports.collect();
        // Room for those that are in use, too.
        self.reserved.reserve(ports.len());
        for (address, port) in ports {
            let number = u32::from(port - first_port);
            if self.free[address as usize].contains(number) {
                self.remove(address, number);
                self.forward(address, port);
            }
        }
    }

    fn insert(&mut self, address: u32, number: u32) {
        let free = &mut self.free[address as usize];
        if free.len() == 0 {
            self.addresses.insert(address);
        }
        free.insert(number);
    }

    fn remove(&mut self, address: u32, number: u32) {
        let free = &mut self.free[address as usize];
        free.remove(number);
        if free.len() == 0 {
            self.addresses.remove(address);
        }
    }
}
