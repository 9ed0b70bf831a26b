//! Gateways with nodes of two clusters on two ports and an uplink on the third.

use causeway_fastpath::ids::PortId;
use causeway_testkit::packet::*;

use crate::world::{World, own_mac};

/// Nodes of the first cluster of the file, 192.168.1.0/24.
pub(crate) const ONE: PortId = PortId(0);
/// Nodes of the second one, 192.168.2.0/24.
pub(crate) const OTHER: PortId = PortId(1);
pub(crate) const UPLINK: PortId = PortId(2);
/// Beyond the router.
pub(crate) const OUTSIDE: &str = "198.51.100.9";
/// Every router on the uplink.
const ROUTER: Mac = [2, 0, 0, 0, 1, 0xfe];

fn node(port: PortId, last: u8) -> Mac {
    [2, 0, 0, 0, 4 + port.0 as u8, last]
}

pub(crate) fn from_node(port: PortId, last: u8) -> Eth {
    eth().src(node(port, last)).dst(own_mac(port))
}

pub(crate) fn to_node(port: PortId, last: u8) -> Eth {
    eth().src(own_mac(port)).dst(node(port, last))
}

pub(crate) fn from_router() -> Eth {
    eth().src(ROUTER).dst(own_mac(UPLINK))
}

pub(crate) fn to_router() -> Eth {
    eth().src(own_mac(UPLINK)).dst(ROUTER)
}

/// What has gone out, once every neighbour of the IPv4 world is known: the nodes .11 and
/// .12 on each port, routers and a server on the uplink.
pub(crate) fn acquainted(mut world: World) -> World {
    for port in [ONE, OTHER] {
        for last in [11, 12] {
            let (address, own) = (format!("192.168.{}.{last}", port.0 + 1), format!("192.168.{}.1", port.0 + 1));
            world.send(port, from_node(port, last).arp_request(address.as_str(), own.as_str()).build());
        }
    }
    for address in ["203.0.113.1", "203.0.113.3", "203.0.113.10"] {
        world.send(UPLINK, from_router().arp_request(address, "203.0.113.2").build());
    }
    world.started()
}

/// Source address and port of a UDP or TCP packet over IPv4.
pub(crate) fn source(frame: &[u8]) -> (std::net::Ipv4Addr, u16) {
    let address: [u8; 4] = frame[26..30].try_into().expect("four bytes");
    (address.into(), u16::from_be_bytes([frame[34], frame[35]]))
}
