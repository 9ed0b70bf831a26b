//! Addresses and routes of both families.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{Mac, Netlink};
use crate::error::SetupError;

impl Netlink {
    /// Adds an address with the length of its network, usable at once: IPv6
    /// addresses skip duplicate address detection.
    ///
    /// # Errors
    /// `EEXIST`; the interface does not exist, or IPv6 is disabled on it.
    pub fn add_address(&mut self, name: &str, address: IpNet) -> Result<(), SetupError> {
        let mut message = AddressMessage::default();
        message.header.family = family(address.addr());
        message.header.prefix_len = address.prefix_len();
        message.header.index = self.index(name)?;
        message.attributes = vec![AddressAttribute::Local(address.addr()), AddressAttribute::Address(address.addr())];
        match address {
            // One or two addresses have none to spare (RFC 3021).
            IpNet::V4(v4) if v4.prefix_len() > 30 => {}
            IpNet::V4(v4) => message.attributes.push(AddressAttribute::Broadcast(v4.broadcast())),
            IpNet::V6(_) => message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad)),
        }
        self.request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL, || {
            format!("adding {address} to {name}")
        })
    }

    /// Adds a route through a next hop that is on a connected network.
    ///
    /// # Errors
    /// `EEXIST`; `ENETUNREACH` or `EHOSTUNREACH` when `via` is not connected.
    pub fn add_route(&mut self, to: IpNet, via: IpAddr) -> Result<(), SetupError> {
        let route = RouteNetlinkMessage::NewRoute(route(to, via));
        self.request(route, NLM_F_CREATE | NLM_F_EXCL, || format!("adding the route {to} via {via}"))
    }

    /// Deletes a route that [`add_route`](Self::add_route) added.
    ///
    /// # Errors
    /// `ESRCH`: there is no such route.
    pub fn delete_route(&mut self, to: IpNet, via: IpAddr) -> Result<(), SetupError> {
        let route = RouteNetlinkMessage::DelRoute(route(to, via));
        self.request(route, 0, || format!("deleting the route {to} via {via}"))
    }

    /// Says for good where a neighbour is: nobody asks, and nobody may say otherwise.
    ///
    /// # Errors
    /// `EEXIST`; the interface does not exist.
    pub fn add_neighbor(&mut self, name: &str, address: IpAddr, mac: Mac) -> Result<(), SetupError> {
        let mut message = NeighbourMessage::default();
        message.header.family = family(address);
        message.header.ifindex = self.index(name)?;
        message.header.state = NeighbourState::Permanent;
        message.attributes = vec![
            NeighbourAttribute::Destination(match address {
                IpAddr::V4(v4) => NeighbourAddress::Inet(v4),
                IpAddr::V6(v6) => NeighbourAddress::Inet6(v6),
            }),
            NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()),
        ];
        self.request(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE | NLM_F_EXCL, || {
            format!("adding the neighbour {address} to {name}")
        })
    }
}

fn route(to: IpNet, via: IpAddr) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(via);
    message.header.destination_prefix_length = to.prefix_len();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.attributes = vec![RouteAttribute::Gateway(RouteAddress::from(via))];
    if to.prefix_len() > 0 {
        // The kernel wants a default route without a destination.
        message.attributes.push(RouteAttribute::Destination(RouteAddress::from(to.network())));
    }
    message
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::Namespace;
    use crate::privilege::require_for_test;
    use std::fs;

    #[test]
    fn a_neighbour_is_where_it_was_said_to_be() {
        if !require_for_test("a_neighbour_is_where_it_was_said_to_be") {
            return;
        }
        let (here, there) = (Namespace::new().unwrap(), Namespace::new().unwrap());
        let mut netlink = Netlink::open(&here).unwrap();
        netlink.create_veth("a", "b", &there).unwrap();
        netlink.set_up("a").unwrap();
        netlink.add_address("a", "10.9.0.1/24".parse().unwrap()).unwrap();
        netlink.add_neighbor("a", "10.9.0.2".parse().unwrap(), Mac([2, 0, 0, 0, 0, 9])).unwrap();
        let table = here.run(|| fs::read_to_string("/proc/thread-self/net/arp")).unwrap();
        let row =
            table.lines().find(|row| row.starts_with("10.9.0.2 ")).unwrap_or_else(|| panic!("no row in\n{table}"));
        // 0x6: complete, and permanent (linux/if_arp.h).
        assert!(row.contains(" 0x6 ") && row.contains(" 02:00:00:00:00:09 "), "{row}");
    }
}
