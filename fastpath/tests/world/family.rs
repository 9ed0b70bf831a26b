//! Who lives in the world, in each address family.

/// The addresses of one family, and the ICMP numbers that differ between the two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family {
    pub(crate) v4: bool,
    /// Pods on node A.
    pub(crate) pod_a: &'static str,
    pub(crate) pod_a2: &'static str,
    /// A pod on node B.
    pub(crate) pod_b: &'static str,
    /// In the cluster's range, on no node.
    pub(crate) no_pod: &'static str,
    pub(crate) node_a: &'static str,
    /// On the nodes' subnet, never heard of.
    pub(crate) unknown_node: &'static str,
    /// The gateway, seen from the island and from outside.
    pub(crate) gateway_inside: &'static str,
    pub(crate) gateway_outside: &'static str,
    /// The next router outside.
    pub(crate) router: &'static str,
    /// A neighbour on the uplink's subnet.
    pub(crate) server: &'static str,
    /// On the uplink's subnet, never heard of.
    pub(crate) unknown_server: &'static str,
    /// Hosts beyond the router.
    pub(crate) outside: &'static str,
    pub(crate) outside2: &'static str,
    /// Behind a black-hole route and a prohibit route of the main table.
    pub(crate) blackhole: &'static str,
    pub(crate) prohibited: &'static str,
    /// In nobody's range, on the island's side.
    pub(crate) stranger: &'static str,
    /// The first address of the pool; eight follow each other.
    pub(crate) pool: &'static str,
    /// Type and code of errors.
    pub(crate) time_exceeded: (u8, u8),
    pub(crate) no_route: (u8, u8),
    pub(crate) host_unreachable: (u8, u8),
    pub(crate) admin_prohibited: (u8, u8),
    pub(crate) port_unreachable: (u8, u8),
    pub(crate) too_big: (u8, u8),
    /// Traffic class and longest packet of the errors that the gateway sends.
    pub(crate) error_tos: u8,
    pub(crate) longest_error: usize,
    pub(crate) ip_header: usize,
}

/// Both.
pub(crate) const FAMILIES: [Family; 2] = [V4, V6];

pub(crate) const V4: Family = Family {
    v4: true,
    pod_a: "10.1.1.10",
    pod_a2: "10.1.1.11",
    pod_b: "10.1.2.20",
    no_pod: "10.1.77.1",
    node_a: "192.168.0.11",
    unknown_node: "192.168.0.99",
    gateway_inside: "192.168.0.1",
    gateway_outside: "203.0.113.2",
    router: "203.0.113.1",
    server: "203.0.113.50",
    unknown_server: "203.0.113.60",
    outside: "198.51.100.9",
    outside2: "198.51.100.77",
    blackhole: "198.18.0.1",
    prohibited: "192.0.2.1",
    stranger: "172.16.0.1",
    pool: "203.0.113.16",
    time_exceeded: (11, 0),
    no_route: (3, 0),
    host_unreachable: (3, 1),
    admin_prohibited: (3, 13),
    port_unreachable: (3, 3),
    too_big: (3, 4),
    error_tos: 0xc0,
    longest_error: 576,
    ip_header: 20,
};

pub(crate) const V6: Family = Family {
    v4: false,
    pod_a: "fd00:10:0:1::10",
    pod_a2: "fd00:10:0:1::11",
    pod_b: "fd00:10:0:2::20",
    no_pod: "fd00:10:0:77::1",
    node_a: "fd00:a::11",
    unknown_node: "fd00:a::99",
    gateway_inside: "fd00:a::1",
    gateway_outside: "2001:db8:1::2",
    router: "2001:db8:1::1",
    server: "2001:db8:1::50",
    unknown_server: "2001:db8:1::60",
    outside: "2001:db8:9::9",
    outside2: "2001:db8:9::77",
    blackhole: "2001:db8:dead::1",
    prohibited: "2001:db8:bad::1",
    stranger: "fd77::1",
    pool: "2001:db8:1::100",
    time_exceeded: (3, 0),
    no_route: (1, 0),
    host_unreachable: (1, 3),
    admin_prohibited: (1, 1),
    port_unreachable: (1, 4),
    too_big: (2, 0),
    error_tos: 0,
    longest_error: 1280,
    ip_header: 40,
};
