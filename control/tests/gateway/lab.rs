//! Who is who in `configs/lab.toml`, and what they say to the gateway.

use causeway_fastpath::ids::PortId;
use causeway_testkit::packet::*;

use crate::world::{World, configs, own_mac};

pub(crate) const NODES: PortId = PortId(0);
pub(crate) const UPLINK: PortId = PortId(1);

/// The two families, for tests that hold for both.
pub(crate) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// A host on a link of the gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    pub(crate) port: PortId,
    pub(crate) mac: Mac,
    pub(crate) v4: &'static str,
    pub(crate) v6: &'static str,
}

pub(crate) const NODE_A: Host = Host { port: NODES, mac: [2, 0, 0, 0, 0, 0xa], v4: "192.168.0.11", v6: "fd00:a::11" };
pub(crate) const NODE_B: Host = Host { port: NODES, mac: [2, 0, 0, 0, 0, 0xb], v4: "192.168.0.12", v6: "fd00:a::12" };
/// On the nodes' link, without pods.
pub(crate) const PLAIN: Host = Host { port: NODES, mac: [2, 0, 0, 0, 0, 0xc], v4: "192.168.0.77", v6: "fd00:a::77" };
pub(crate) const SERVER: Host =
    Host { port: UPLINK, mac: [2, 0, 0, 0, 1, 0xa], v4: "203.0.113.10", v6: "2001:db8:1::10" };

impl Host {
    pub(crate) fn address(&self, family: Family) -> &'static str {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }

    /// A frame from it to the gateway.
    pub(crate) fn eth(&self) -> Eth {
        eth().src(self.mac).dst(own_mac(self.port))
    }

    /// It asks who has `target`.
    pub(crate) fn asks(&self, target: &str) -> Vec<u8> {
        match family_of(target) {
            Family::V4 => self.eth().arp_request(self.v4, target).build(),
            Family::V6 => {
                let group = solicited_node(target);
                self.eth().dst(multicast_mac(group)).ipv6(self.v6, group).neighbour_solicitation(target).build()
            }
        }
    }

    /// It answers the gateway's question for it.
    pub(crate) fn answers(&self, family: Family) -> Vec<u8> {
        let own = own_address(self.port, family);
        match family {
            Family::V4 => self.eth().arp_reply(self.v4, own).build(),
            Family::V6 => self.eth().ipv6(self.v6, own).neighbour_advertisement(self.v6, SOLICITED | OVERRIDE).build(),
        }
    }

    /// The gateway asks for it: everybody, or it alone under this MAC address.
    pub(crate) fn asked_for(&self, family: Family, alone: Option<Mac>) -> Vec<u8> {
        question(self.port, self.address(family), alone)
    }

    /// A UDP packet from it, or from a pod on it, to the gateway.
    pub(crate) fn udp(&self, src: &str, dst: &str) -> Udp {
        self.eth().ip(src, dst).udp(5000, 53).payload(b"hello")
    }
}

pub(crate) const SOLICITED: u8 = 2;
pub(crate) const OVERRIDE: u8 = 1;

/// The gateway's question for `target` on a port.
pub(crate) fn question(port: PortId, target: &str, alone: Option<Mac>) -> Vec<u8> {
    let family = family_of(target);
    let (link, own) = (eth().src(own_mac(port)), own_address(port, family));
    match family {
        Family::V4 => {
            let mut request = link.arp_request(own, target);
            let link = request.eth().clone();
            *request.eth() = link.dst(alone.unwrap_or(BROADCAST));
            request.build()
        }
        Family::V6 => {
            let (mac, to) = match alone {
                Some(mac) => (mac, target.to_ipv6()),
                None => (multicast_mac(solicited_node(target)), solicited_node(target)),
            };
            link.dst(mac).ipv6(own, to).neighbour_solicitation(target).build()
        }
    }
}

/// The gateway's address on a port.
pub(crate) fn own_address(port: PortId, family: Family) -> &'static str {
    match (port, family) {
        (NODES, Family::V4) => "192.168.0.1",
        (NODES, Family::V6) => "fd00:a::1",
        (_, Family::V4) => "203.0.113.2",
        (_, Family::V6) => "2001:db8:1::2",
    }
}

/// The gateway's link-local address on a port.
pub(crate) fn link_local(port: PortId) -> String {
    format!("fe80::ff:fe00:cc{:02x}", port.0)
}

pub(crate) fn family_of(address: &str) -> Family {
    if address.to_ip().is_ipv4() { Family::V4 } else { Family::V6 }
}

/// The lab, whose gateway knows these hosts in both families.
pub(crate) fn lab_with(hosts: &[Host]) -> World {
    acquainted(World::lab(), hosts)
}

/// The lab with more in its file, whose gateway knows these hosts in both families.
pub(crate) fn lab_and(more: &str, hosts: &[Host]) -> World {
    let lab = std::fs::read_to_string(configs().join("lab.toml")).expect("the file is there");
    acquainted(World::start(&(lab + more)).started(), hosts)
}

pub(crate) fn acquainted(mut world: World, hosts: &[Host]) -> World {
    for host in hosts {
        for family in FAMILIES {
            world.send(host.port, host.asks(own_address(host.port, family)));
        }
    }
    world.started()
}

#[test]
fn the_hosts_of_the_lab_are_known_after_a_question() {
    let world = lab_with(&[NODE_A, SERVER]);
    for family in FAMILIES {
        let known = |host: Host| world.neighbor(host.port, host.address(family)).expect("it asked").mac;
        assert_eq!((known(NODE_A), known(SERVER)), (Some(NODE_A.mac), Some(SERVER.mac)));
    }
}
