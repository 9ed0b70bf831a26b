//! The ports of a pool: which are free on which address.

use alloc::vec;
use alloc::vec::Vec;

use super::behavior::Behavior;
use super::crowd::Crowds;
use super::numbers::NumberSet;
use super::stripe::Stripe;
use super::usage::{Load, Usage};
use crate::ids::PoolId;
use crate::snapshot::Pool;
use crate::wire::protocol;

/// The free ports of a pool, and its free echo identifiers, of those that are this worker's
/// to give out.
pub(super) struct Space {
    /// Whose they are.
    pub(super) pool: PoolId,
    /// Which those are.
    pub(super) stripe: Stripe,
    /// Addresses whose ports tables before have given out, which is not known here yet.
    pub(super) pending: NumberSet,
    tcp: Ports,
    udp: Ports,
    icmp: Ports,
    /// Of whatever has ports or none and is none of those.
    other: Ports,
    /// What is in use of TCP, UDP and ICMP.
    usage: [Usage; 3],
}

/// The ports for one protocol, by how they are mapped.
enum Ports {
    /// Each is one binding's.
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
    /// These ports of a pool, free; for at most `capacity` sessions.
    pub(super) fn new<A>(id: PoolId, pool: &Pool<A>, stripe: Stripe, capacity: usize) -> Space {
        let addresses = pool.addresses.len();
        let ports = |behavior: Behavior| match behavior.mapping.shares_ports() {
            false => Ports::Owned(Owned::new(addresses, stripe.len())),
            true => Ports::Shared(Shared {
                crowds: Crowds::new(stripe, if addresses == 0 { 0 } else { capacity }),
                held: vec![0; addresses],
            }),
        };
        let behaviors = [pool.tcp, pool.udp, Behavior::UDP];
        Space {
            pool: id,
            stripe,
            pending: NumberSet::none(addresses),
            tcp: ports(pool.tcp),
            udp: ports(pool.udp),
            icmp: ports(Behavior::UDP),
            other: ports(Behavior::TCP),
            usage: behaviors.map(|behavior| Usage::new(addresses, stripe.len(), behavior.mapping.shares_ports())),
        }
    }

    /// Notes which ports of a protocol belong to forwards, each given by address and
    /// port, and that no others do. Those that are somebody's are kept once they come back.
    pub(super) fn reserve(&mut self, protocol: u8, ports: impl Iterator<Item = (u32, u16)>) {
        let stripe = self.stripe;
        match self.of(protocol) {
            Ports::Owned(owned) => owned.reserve(stripe, ports),
            Ports::Shared(shared) => shared.hold(ports),
        }
    }

    /// An address comes over from the space it was in: what is given out of it there is not
    /// free here. Ports that belong to forwards there are free by now.
    pub(super) fn take_over(&mut self, address: u32, before: &Space, as_it_was: u32) {
        self.pending.remove(address);
        for (usage, was) in self.usage.iter_mut().zip(&before.usage) {
            usage.address_came_over(address, was, as_it_was);
        }
        let Some(shift) = self.stripe.shift_from(&before.stripe) else {
            return;
        };
        let (len, is_same_range) = (before.stripe.len(), self.stripe == before.stripe);
        for (ports, was) in [(&mut self.tcp, &before.tcp), (&mut self.udp, &before.udp), (&mut self.icmp, &before.icmp)]
        {
            if let (Ports::Owned(ports), Ports::Owned(was)) = (ports, was) {
                let was = &was.free[as_it_was as usize];
                ports.take_from(address, |free| {
                    if is_same_range { free.intersect(was) } else { free.take_away(was, len, shift) }
                });
            }
        }
    }

    /// A binding comes over, whose address has.
    pub(super) fn came_over(&mut self, protocol: u8, address: u32, standing: u32, rests: bool) {
        if let Some(usage) = self.usage(protocol) {
            usage.came_over(address, standing, rests);
        }
    }

    /// As [`Space::give_back`], for a port that meanwhile belongs to a forward.
    pub(super) fn give_to_forward(&mut self, protocol: u8, address: u32, port: u16) {
        self.owned(protocol).forward(address, port);
    }

    /// Takes a free port for an endpoint: on this address if it has one, on the next one
    /// that does otherwise, unless `only` this one will do. `from` is the number at which the
    /// search starts on the address. Says the address and the port; `None` means that there
    /// is none at all.
    pub(super) fn take(&mut self, protocol: u8, address: u32, only: bool, from: u32) -> Option<(u32, u16)> {
        let stripe = self.stripe;
        let owned = self.owned(protocol);
        let chosen = owned.addresses.first_from(address).filter(|chosen| !only || *chosen == address)?;
        let number = owned.free[chosen as usize].first_from(from);
        let number = number.expect("the address has a free port");
        owned.remove(chosen, number);
        Some((chosen, stripe.port(number)))
    }

    /// Gives the port of an endpoint back.
    pub(super) fn give_back(&mut self, protocol: u8, address: u32, port: u16) {
        let number = self.stripe.number(port).expect("a port that comes back was given out here");
        self.owned(protocol).insert(address, number);
    }

    /// Has an endpoint a port of its own for this protocol?
    pub(super) fn owns(&self, protocol: u8) -> bool {
        let ports = match protocol {
            protocol::TCP => &self.tcp,
            protocol::UDP => &self.udp,
            protocol::ICMP | protocol::ICMPV6 => &self.icmp,
            _ => &self.other,
        };
        matches!(ports, Ports::Owned(_))
    }

    /// The ports of a protocol, if many destinations share each.
    pub(super) fn shared(&mut self, protocol: u8) -> Option<&mut Shared> {
        match self.of(protocol) {
            Ports::Owned(_) => None,
            Ports::Shared(shared) => Some(shared),
        }
    }

    /// As [`Usage::began`], for a protocol whose use is counted.
    pub(super) fn began(&mut self, protocol: u8, address: u32, standing: u32, rested: bool) {
        if let Some(usage) = self.usage(protocol) {
            usage.began(address, standing, rested);
        }
    }

    /// As [`Usage::ended`], likewise.
    pub(super) fn ended(&mut self, protocol: u8, address: u32, standing: u32, rests: bool) {
        if let Some(usage) = self.usage(protocol) {
            usage.ended(address, standing, rests);
        }
    }

    /// As [`Usage::rested`], likewise.
    pub(super) fn rested(&mut self, protocol: u8, address: u32) {
        if let Some(usage) = self.usage(protocol) {
            usage.rested(address);
        }
    }

    /// As [`Usage::refused`], likewise.
    pub(super) fn refused(&mut self, protocol: u8, address: u32) {
        if let Some(usage) = self.usage(protocol) {
            usage.refused(address);
        }
    }

    fn usage(&mut self, protocol: u8) -> Option<&mut Usage> {
        match protocol {
            protocol::TCP => Some(&mut self.usage[0]),
            protocol::UDP => Some(&mut self.usage[1]),
            protocol::ICMP | protocol::ICMPV6 => Some(&mut self.usage[2]),
            _ => None,
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
            Ports::Shared(_) => panic!("a binding has a port where ports are not shared"),
        }
    }

    fn of(&mut self, protocol: u8) -> &mut Ports {
        match protocol {
            protocol::TCP => &mut self.tcp,
            protocol::UDP => &mut self.udp,
            protocol::ICMP | protocol::ICMPV6 => &mut self.icmp,
            _ => &mut self.other,
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

    /// Some ports of an address are no longer free.
    fn take_from(&mut self, address: u32, take: impl FnOnce(&mut NumberSet)) {
        let free = &mut self.free[address as usize];
        let had = free.len() > 0;
        take(free);
        if had && free.len() == 0 {
            self.addresses.remove(address);
        }
    }

    fn forward(&mut self, address: u32, port: u16) {
        self.reserved.push((address, port));
        self.forwarded[address as usize] += 1;
    }

    fn reserve(&mut self, stripe: Stripe, ports: impl Iterator<Item = (u32, u16)>) {
        for (address, port) in core::mem::take(&mut self.reserved) {
            self.insert(address, stripe.number(port).expect("what is reserved was free here"));
        }
        self.forwarded.fill(0);
        let ports: Vec<(u32, u16)> = ports.collect();
        // Room for those that are in use, too.
        self.reserved.reserve(ports.len());
        for (address, port) in ports {
            let number = stripe.number(port).filter(|number| self.free[address as usize].contains(*number));
            if let Some(number) = number {
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
