//! Who has which address in the island world; `configs/lab.toml` says the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What the gateway runs on in this world: the text of `configs/lab.toml`.
pub const CONFIG: &str = include_str!("../../configs/lab.toml");

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, IPv4 first.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// "IPv4" or "IPv6".
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// The address that means "any of mine" to `bind`.
    pub fn unspecified(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }
}

/// One address of each family, with the length of its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dual {
    /// The IPv4 address and its network.
    pub v4: Ipv4Net,
    /// The IPv6 address and its network.
    pub v6: Ipv6Net,
}

impl Dual {
    /// The address of one family.
    pub fn address(&self, family: Family) -> IpAddr {
        self.interface(family).addr()
    }

    /// The address of one family with its prefix length: 192.168.0.1/24.
    pub fn interface(&self, family: Family) -> IpNet {
        match family {
            Family::V4 => self.v4.into(),
            Family::V6 => self.v6.into(),
        }
    }

    /// The network of one family: 192.168.0.0/24.
    pub fn network(&self, family: Family) -> IpNet {
        self.interface(family).trunc()
    }

    /// Whether `address` is in the network of its family.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.network(Family::of(address)).contains(&address)
    }

    const fn new(v4: [u8; 4], v4_length: u8, v6: [u16; 8], v6_length: u8) -> Self {
        let [a, b, c, d] = v4;
        let [s, t, u, v, w, x, y, z] = v6;
        Self {
            v4: Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), v4_length),
            v6: Ipv6Net::new_assert(Ipv6Addr::new(s, t, u, v, w, x, y, z), v6_length),
        }
    }
}

/// The gateway on the side of the nodes (`eth1`).
pub const GATEWAY_NODES: Dual = Dual::new([192, 168, 0, 1], 24, [0xfd00, 0xa, 0, 0, 0, 0, 0, 1], 64);
/// The gateway on the side of the nodes of the second cluster (`eth2`), where there is one.
pub const GATEWAY_TWIN: Dual = Dual::new([192, 168, 1, 1], 24, [0xfd00, 0xb, 0, 0, 0, 0, 0, 1], 64);
/// The only node of the second cluster. Its pods have the addresses of those of `node-a`.
pub const TWIN_NODE: Dual = Dual::new([192, 168, 1, 11], 24, [0xfd00, 0xb, 0, 0, 0, 0, 0, 0x11], 64);
/// The gateway on the side of the outside (`eth0`).
pub const GATEWAY_UPLINK: Dual = outside(2, 2);
/// What pods look like from outside.
pub const POOL: Dual = Dual::new([203, 0, 113, 16], 29, [0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x100], 125);
/// The host `server`, outside.
pub const SERVER: Dual = outside(10, 0x10);
/// The host `client`, outside.
pub const CLIENT: Dual = outside(30, 0x30);
/// All pods of all nodes.
pub const PODS: Dual = Dual::new([10, 1, 0, 0], 16, [0xfd00, 0x10, 0, 0, 0, 0, 0, 0], 56);
/// The letters of the nodes: `node-a`, `node-b`.
pub const NODES: [char; 2] = ['a', 'b'];
/// Pods that fit a node of this plan: their last octet starts at 10.
pub const MOST_PODS_PER_NODE: u8 = 200;

/// The `nth` node, counted from 0, on the network towards the gateway.
pub const fn node(nth: u8) -> Dual {
    Dual::new([192, 168, 0, 11 + nth], 24, [0xfd00, 0xa, 0, 0, 0, 0, 0, 0x11 + nth as u16], 64)
}

/// The `nth` node on the network of its own pods: their default route, and as a
/// network the node's pod CIDRs.
pub const fn node_towards_pods(nth: u8) -> Dual {
    pod_network(nth, 1, 1)
}

/// The `index`th pod of the `nth` node, both counted from 0.
///
/// # Panics
/// `index` is [`MOST_PODS_PER_NODE`] or more.
pub const fn pod(nth: u8, index: u8) -> Dual {
    assert!(index < MOST_PODS_PER_NODE, "more pods than the plan has addresses for");
    // Decimal and hexadecimal digits agree for the first pods: .10 and ::10.
    pod_network(nth, 10 + index, 0x10 + index as u16)
}

const fn pod_network(nth: u8, v4: u8, v6: u16) -> Dual {
    Dual::new([10, 1, 1 + nth, v4], 24, [0xfd00, 0x10, 0, 1 + nth as u16, 0, 0, 0, v6], 64)
}

const fn outside(v4: u8, v6: u16) -> Dual {
    Dual::new([203, 0, 113, v4], 24, [0x2001, 0xdb8, 1, 0, 0, 0, 0, v6], 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_and_the_plan_agree() {
        let mut expected = Vec::new();
        for family in Family::BOTH {
            expected.push(GATEWAY_NODES.interface(family).to_string());
            expected.push(GATEWAY_UPLINK.interface(family).to_string());
            expected.push(POOL.network(family).to_string());
            expected.push(PODS.network(family).to_string());
            for nth in [0, 1] {
                expected.push(node(nth).address(family).to_string());
                expected.push(node_towards_pods(nth).network(family).to_string());
            }
        }
        for text in expected {
            assert!(CONFIG.contains(&format!("\"{text}\"")), "{text} is not in configs/lab.toml");
        }
    }

    #[test]
    fn a_pool_contains_its_addresses_only() {
        assert!(POOL.contains("203.0.113.23".parse().unwrap()));
        assert!(!POOL.contains("203.0.113.24".parse().unwrap()));
        assert!(POOL.contains("2001:db8:1::107".parse().unwrap()));
        assert!(!POOL.contains("2001:db8:1::108".parse().unwrap()));
    }

    #[test]
    fn nobody_has_an_address_of_the_pool() {
        for host in [SERVER, CLIENT, GATEWAY_UPLINK, GATEWAY_NODES, node(0), pod(0, 0)] {
            for family in Family::BOTH {
                assert!(!POOL.contains(host.address(family)), "{}", host.address(family));
            }
        }
    }

    #[test]
    fn pods_lie_in_their_nodes_network() {
        assert_eq!(pod(1, 0).address(Family::V4).to_string(), "10.1.2.10");
        assert_eq!(pod(0, 0).address(Family::V6).to_string(), "fd00:10:0:1::10");
        assert!(node_towards_pods(1).contains(pod(1, 199).address(Family::V4)));
    }
}
