//! The ports of a pool: which are free on which address.

use alloc::vec::Vec;

use super::crowd::Crowds;
use super::numbers::NumberSet;
use super::stripe::Stripe;
use crate::wire::protocol;

/// The free ports of a pool, of those that are this worker's to give out.
///
/// Each is given to one endpoint for UDP and for echo identifiers. TCP ports serve
/// many destinations: they are free unless a session says otherwise.
pub(super) struct Space {
    pub(super) stripe: Stripe,
    udp: Ports,
    icmp: Ports,
    /// Destinations that use up the TCP ports of an address.
    pub(super) crowds: Crowds,
    /// UDP ports that belong to forwards: address and port. Not free, and in no use.
    reserved: Vec<(u32, u16)>,
    /// How many TCP ports of an address belong to forwards.
    held: Vec<u32>,
}

/// The ports for one protocol. 8 KiB an address with all its ports.
struct Ports {
    /// Free ports by address, counted from the first.
    free: Vec<NumberSet>,
    /// Addresses that have a free port.
    addresses: NumberSet,
}

impl Space {
    /// These ports of a pool of so many addresses, free; for at most `capacity` sessions.
    pub(super) fn new(addresses: usize, stripe: Stripe, capacity: usize) -> Space {
        Space {
            stripe,
            udp: Ports::new(addresses, stripe.len()),
            icmp: Ports::new(addresses, stripe.len()),
            crowds: Crowds::new(stripe, if addresses == 0 { 0 } else { capacity }),
            reserved: Vec::new(),
            held: alloc::vec![0; addresses],
        }
    }

    /// Notes which TCP ports belong to forwards, each given by address and port.
    pub(super) fn hold(&mut self, ports: impl Iterator<Item = (u32, u16)>) {
        self.held.fill(0);
        for (address, _) in ports {
            self.held[address as usize] += 1;
        }
    }

    /// TCP ports of an address that are taken toward a destination, so many sessions
    /// having one.
    pub(super) fn taken(&self, address: u32, sessions: u32) -> u32 {
        sessions + self.held[address as usize]
    }

    /// Keeps these UDP ports, each given by address and port, from being taken, and no
    /// others. Those in use are kept once they come back.
    pub(super) fn reserve(&mut self, ports: impl Iterator<Item = (u32, u16)>) {
        for (address, port) in core::mem::take(&mut self.reserved) {
            self.give_back(protocol::UDP, address, port);
        }
        let ports: Vec<(u32, u16)> = ports.collect();
        // Room for those that are in use, too.
        self.reserved.reserve(ports.len());
        for (address, port) in ports {
            let free = &self.udp.free[address as usize];
            let Some(number) = self.stripe.number(port).filter(|number| free.contains(*number)) else {
                continue;
            };
            self.udp.remove(address, number);
            self.reserved.push((address, port));
        }
    }

    /// As [`Space::give_back`], for a UDP port that meanwhile belongs to a forward.
    pub(super) fn give_to_forward(&mut self, address: u32, port: u16) {
        self.reserved.push((address, port));
    }

    /// Takes a free port for UDP or an echo identifier: on this address if it has one,
    /// on the next one that does otherwise, unless `only` this one will do. `from` is the
    /// number at which the search starts on the address. Says the address and the port;
    /// `None` means that there is none at all.
    pub(super) fn take(&mut self, protocol: u8, address: u32, only: bool, from: u32) -> Option<(u32, u16)> {
        let stripe = self.stripe;
        let ports = self.of(protocol);
        let chosen = ports.addresses.first_from(address).filter(|chosen| !only || *chosen == address)?;
        let number = ports.free[chosen as usize].first_from(from);
        let number = number.expect("the address has a free port");
        ports.remove(chosen, number);
        Some((chosen, stripe.port(number)))
    }

    /// Gives a port back.
    pub(super) fn give_back(&mut self, protocol: u8, address: u32, port: u16) {
        let number = self.stripe.number(port).expect("a port that comes back was given out here");
        let ports = self.of(protocol);
        let free = &mut ports.free[address as usize];
        if free.len() == 0 {
            ports.addresses.insert(address);
        }
        free.insert(number);
    }

    fn of(&mut self, protocol: u8) -> &mut Ports {
        if protocol == protocol::UDP { &mut self.udp } else { &mut self.icmp }
    }
}

impl Ports {
    fn new(addresses: usize, ports: usize) -> Ports {
        Ports { free: (0..addresses).map(|_| NumberSet::all(ports)).collect(), addresses: NumberSet::all(addresses) }
    }

    fn remove(&mut self, address: u32, number: u32) {
        let free = &mut self.free[address as usize];
        free.remove(number);
        if free.len() == 0 {
            self.addresses.remove(address);
        }
    }
}
