//! Who lives where: the same addresses around both routers.
//!
//! ```text
//! hosts 10.1.0.0/16 - node 192.168.0.11 - [inside  router  outside] - next 203.0.113.1 - peers 198.51.100.0/24
//! ```

use std::net::IpAddr;

use causeway_testkit::packet::{Eth, Mac, ToIp, eth};

/// A side of a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Inside,
    Outside,
}

impl Side {
    pub(crate) const BOTH: [Side; 2] = [Side::Inside, Side::Outside];

    pub(crate) fn other(self) -> Side {
        match self {
            Side::Inside => Side::Outside,
            Side::Outside => Side::Inside,
        }
    }

    /// The Ethernet address of the router's interface.
    pub(crate) fn router_mac(self) -> Mac {
        [2, 0, 0, 0, 1, self as u8]
    }

    /// The Ethernet address of the one neighbour there is.
    pub(crate) fn neighbor_mac(self) -> Mac {
        [2, 0, 0, 0, 2, self as u8]
    }

    /// The Ethernet layer of what the neighbour sends to the router.
    pub(crate) fn towards_router(self) -> Eth {
        eth().src(self.neighbor_mac()).dst(self.router_mac())
    }
}

/// The addresses of one family.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) v4: bool,
    /// Hosts inside have addresses in here.
    pub(crate) hosts: &'static str,
    /// The network between them and the router, and who forwards to them.
    pub(crate) inside_net: &'static str,
    pub(crate) node: &'static str,
    /// The network of the router's outside, and who forwards from there.
    pub(crate) outside_net: &'static str,
    pub(crate) next: &'static str,
    /// Peers have addresses in here.
    pub(crate) peers: &'static str,
    /// The router's own addresses; the outer one stands for all hosts.
    pub(crate) router_inside: &'static str,
    pub(crate) public: &'static str,
    /// Markers travel between these two.
    pub(crate) marker_inside: &'static str,
    pub(crate) marker_outside: &'static str,
    /// To here is no route.
    pub(crate) nowhere: &'static str,
    /// Sources that no packet may come from, and destinations that none may go to.
    pub(crate) bad_sources: &'static [&'static str],
    pub(crate) bad_destinations: &'static [&'static str],
    pub(crate) ip_header: usize,
}

pub(crate) const V4: Place = Place {
    v4: true,
    hosts: "10.1.0.0/16",
    inside_net: "192.168.0.0/24",
    node: "192.168.0.11",
    outside_net: "203.0.113.0/24",
    next: "203.0.113.1",
    peers: "198.51.100.0/24",
    router_inside: "192.168.0.1",
    public: "203.0.113.2",
    marker_inside: "10.1.255.1",
    marker_outside: "198.51.100.254",
    nowhere: "192.0.2.1",
    bad_sources: &["127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1", "203.0.113.2"],
    bad_destinations: &["127.0.0.1", "0.0.0.0", "224.0.0.5", "255.255.255.255", "240.0.0.1", "239.1.2.3"],
    ip_header: 20,
};

pub(crate) const V6: Place = Place {
    v4: false,
    hosts: "fd00:10::/56",
    inside_net: "fd00:a::/64",
    node: "fd00:a::11",
    outside_net: "2001:db8:1::/64",
    next: "2001:db8:1::1",
    peers: "2001:db8:9::/64",
    router_inside: "fd00:a::1",
    public: "2001:db8:1::2",
    marker_inside: "fd00:10:0:ff::1",
    marker_outside: "2001:db8:9::fe",
    nowhere: "2001:db8:bad::1",
    bad_sources: &["::1", "::", "ff02::1", "ff0e::1", "2001:db8:1::2"],
    bad_destinations: &["::1", "::", "ff02::5", "ff0e::1"],
    ip_header: 40,
};

/// What the narrow link takes, in bytes of an IP packet; the other takes 1500.
pub(crate) const NARROW_MTU: u16 = 1400;

impl Place {
    /// Host number `nth` inside, below 60 000.
    pub(crate) fn host(&self, nth: u16) -> IpAddr {
        if self.v4 {
            [10, 1, 1 + (nth >> 8) as u8, nth as u8].to_ip()
        } else {
            format!("fd00:10:0:1::{nth:x}").as_str().to_ip()
        }
    }

    /// Peer number `nth` outside.
    pub(crate) fn peer(&self, nth: u16) -> IpAddr {
        if self.v4 { [198, 51, 100, nth as u8].to_ip() } else { format!("2001:db8:9::{nth:x}").as_str().to_ip() }
    }

    /// The router's own address on a side.
    pub(crate) fn router(&self, side: Side) -> IpAddr {
        match side {
            Side::Inside => self.router_inside.to_ip(),
            Side::Outside => self.public.to_ip(),
        }
    }
}
