//! The ports of a pool: which are free on which address.

use alloc::vec::Vec;

use super::crowd::Crowds;
use super::numbers::NumberSet;
use crate::snapshot::Pool;
use crate::wire::protocol;

/// The free ports of a pool.
///
/// Each is given to one endpoint for UDP and for echo identifiers. TCP ports serve
/// many destinations: they are free unless a session says otherwise.
pub(super) struct Space {
    first_port: u16,
    udp: Ports,
    icmp: Ports,
    /// Destinations that use up the TCP ports of an address.
    pub(super) crowds: Crowds,
}

/// The ports for one protocol. 8 KiB an address with all its ports.
struct Ports {
    /// Free ports by address, counted from the first.
    free: Vec<NumberSet>,
    /// Addresses that have a free port.
    addresses: NumberSet,
}

impl Space {
    /// All ports of a pool, free; for at most `capacity` sessions.
    pub(super) fn new<A>(pool: &Pool<A>, capacity: usize) -> Space {
        let (addresses, ports) = (pool.addresses.len(), pool.ports());
        Space {
            first_port: pool.first_port,
            udp: Ports::new(addresses, ports),
            icmp: Ports::new(addresses, ports),
            crowds: Crowds::new(pool.first_port, ports, if addresses == 0 { 0 } else { capacity }),
        }
    }

    /// Takes a free port for UDP or an echo identifier: on this address if it has one,
    /// on the next one that does otherwise. `from` is where on the address the search
    /// starts. Says the address and the port; `None` means that there is none at all.
    pub(super) fn take(&mut self, protocol: u8, address: u32, from: u16) -> Option<(u32, u16)> {
        let first = self.first_port;
        let ports = self.of(protocol);
        let address = ports.addresses.first_from(address)?;
        let free = &mut ports.free[address as usize];
        let number = free.first_from(u32::from(from - first)).expect("the address has a free port");
        free.remove(number);
        if free.len() == 0 {
            ports.addresses.remove(address);
        }
        Some((address, first + number as u16))
    }

    /// Gives a port back.
    pub(super) fn give_back(&mut self, protocol: u8, address: u32, port: u16) {
        let first = self.first_port;
        let ports = self.of(protocol);
        let free = &mut ports.free[address as usize];
        if free.len() == 0 {
            ports.addresses.insert(address);
        }
        free.insert(u32::from(port - first));
    }

    fn of(&mut self, protocol: u8) -> &mut Ports {
        if protocol == protocol::UDP { &mut self.udp } else { &mut self.icmp }
    }
}

impl Ports {
    fn new(addresses: usize, ports: usize) -> Ports {
        Ports { free: (0..addresses).map(|_| NumberSet::all(ports)).collect(), addresses: NumberSet::all(addresses) }
    }
}
