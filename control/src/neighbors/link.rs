//! What the gateway is on one link.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{arp, discovery};
use crate::compile::PortFacts;
use crate::config::{Config, PortIdx};

/// What the gateway is on one link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) mac: [u8; 6],
    link_local: Ipv6Addr,
    /// Own addresses, with their subnets.
    addresses: Vec<IpNet>,
    /// Prefixes of pools, and addresses of forwards, inside these subnets: asked for on
    /// this link, answered by us.
    pools: Vec<IpNet>,
}

impl Link {
    pub(super) fn new(config: &Config, port: PortIdx, facts: &PortFacts) -> Link {
        let addresses = config.ports[port.0].addresses.clone();
        let pools = config.pools.iter().flat_map(|pool| &pool.addresses).copied();
        let taken_over = config.taken_over().into_iter().map(IpNet::from);
        Link {
            mac: facts.mac,
            link_local: Ipv6Addr::from_bits(facts.link_local()),
            pools: pools
                .chain(taken_over)
                .filter(|pool| addresses.iter().any(|subnet| subnet.trunc().contains(pool)))
                .collect(),
            addresses,
        }
    }

    /// The port stands on another device.
    pub(super) fn replace(&mut self, facts: &PortFacts) {
        self.mac = facts.mac;
        self.link_local = Ipv6Addr::from_bits(facts.link_local());
    }

    /// Is it ours to answer for?
    pub(super) fn owns(&self, address: IpAddr) -> bool {
        address == IpAddr::V6(self.link_local)
            || self.addresses.iter().any(|own| own.addr() == address)
            || self.pools.iter().any(|pool| pool.contains(&address))
    }

    /// Can it be a neighbour here?
    pub(super) fn is_on_link(&self, address: IpAddr) -> bool {
        let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        link_local || self.addresses.iter().any(|subnet| subnet.contains(&address) && is_host(subnet, address))
    }

    /// The own address in the subnet of a neighbour.
    pub(super) fn address_toward(&self, neighbor: IpAddr) -> Option<IpAddr> {
        self.addresses.iter().find(|subnet| subnet.contains(&neighbor)).map(IpNet::addr)
    }

    /// A question for a neighbour: to everybody, or only to the one whose MAC
    /// address is given.
    pub(super) fn question(&self, address: IpAddr, mac: Option<[u8; 6]>) -> Option<Vec<u8>> {
        match (self.address_toward(address), address) {
            (Some(IpAddr::V4(own)), IpAddr::V4(target)) => Some(arp::request(self.mac, own, target, mac)),
            (Some(IpAddr::V6(own)), IpAddr::V6(target)) => Some(discovery::solicit(self.mac, own, target, mac)),
            (None, IpAddr::V6(target)) => Some(discovery::solicit(self.mac, self.link_local, target, mac)),
            _ => None,
        }
    }

    /// Tells the link which addresses are ours, and were not those of the link `before`
    /// (gratuitous ARP, RFC 5227 section 3; unsolicited advertisements, RFC 4861 7.2.6), so
    /// that nobody sends to a gateway that was here before.
    pub(super) fn announcements(&self, before: Option<&Link>) -> impl Iterator<Item = Vec<u8>> {
        let own = self.addresses.iter().map(IpNet::addr).chain(self.pools.iter().flat_map(addresses_of));
        let is_new = move |address: &IpAddr| before.is_none_or(|before| !before.owns(*address));
        own.filter(is_new).map(|address| match address {
            IpAddr::V4(address) => arp::request(self.mac, address, address, None),
            IpAddr::V6(address) => discovery::advert(self.mac, address, None),
        })
    }
}

/// Every address of a prefix. The checked configuration bounds how many pools have.
fn addresses_of(net: &IpNet) -> impl Iterator<Item = IpAddr> + use<> {
    let first = net.network();
    let count = 1u128 << (net.max_prefix_len() - net.prefix_len());
    (0..count).map(move |n| match first {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() + n as u32)),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() + n)),
    })
}

/// Is it neither network nor broadcast address of its subnet?
fn is_host(subnet: &IpNet, address: IpAddr) -> bool {
    match (subnet, address) {
        (IpNet::V4(net), IpAddr::V4(v4)) if net.prefix_len() <= 30 => v4 != net.network() && v4 != net.broadcast(),
        _ => !address.is_unspecified() && !address.is_multicast(),
    }
}
