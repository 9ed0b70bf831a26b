//! Interfaces: veth pairs, bridges, their state.

use std::fmt;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    BridgeStpState, InfoBridge, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};

use super::Netlink;
use crate::error::SetupError;
use crate::netns::Namespace;

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// A locally administered address that spells an IPv4 address, so that a
    /// capture reads well: 203.0.113.2 is 02:00:cb:00:71:02.
    pub fn spelling(address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        Self([0x02, 0x00, a, b, c, d])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Netlink {
    /// Makes a veth pair: `name` here, `peer` in the namespace `other`. Both down.
    ///
    /// # Errors
    /// `EEXIST` when either name is taken, `EPERM`.
    pub fn create_veth(&mut self, name: &str, peer: &str, other: &Namespace) -> Result<(), SetupError> {
        let mut far = LinkMessage::default();
        far.attributes = vec![LinkAttribute::IfName(peer.into()), LinkAttribute::NetNsFd(other.raw_fd())];
        let mut near = LinkMessage::default();
        near.attributes = vec![
            LinkAttribute::IfName(name.into()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(far))),
            ]),
        ];
        self.request(RouteNetlinkMessage::NewLink(near), NLM_F_CREATE | NLM_F_EXCL, || {
            format!("creating the veth pair {name} and {peer}")
        })
    }

    /// Makes a bridge that forwards at once: no spanning tree, no delay, no
    /// multicast snooping, which would need a querier to pass neighbour discovery.
    ///
    /// # Errors
    /// `EEXIST`, `EPERM`; `EOPNOTSUPP` when the kernel has no bridges.
    pub fn create_bridge(&mut self, name: &str) -> Result<(), SetupError> {
        let mut bridge = LinkMessage::default();
        bridge.attributes = vec![
            LinkAttribute::IfName(name.into()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Bridge),
                LinkInfo::Data(InfoData::Bridge(vec![
                    InfoBridge::StpState(BridgeStpState::Disabled),
                    InfoBridge::ForwardDelay(0),
                    InfoBridge::MulticastSnooping(false),
                ])),
            ]),
        ];
        self.request(RouteNetlinkMessage::NewLink(bridge), NLM_F_CREATE | NLM_F_EXCL, || {
            format!("creating the bridge {name}")
        })
    }

    /// Puts `name` into the bridge `bridge` as a port.
    ///
    /// # Errors
    /// Either does not exist.
    pub fn set_bridge(&mut self, name: &str, bridge: &str) -> Result<(), SetupError> {
        let bridge_index = self.index(bridge)?;
        self.change(name, "putting into a bridge", |link| {
            link.attributes.push(LinkAttribute::Controller(bridge_index));
        })
    }

    /// Sets the link up.
    ///
    /// # Errors
    /// It does not exist.
    pub fn set_up(&mut self, name: &str) -> Result<(), SetupError> {
        self.change(name, "setting up", |link| {
            link.header.flags = LinkFlags::Up;
            link.header.change_mask = LinkFlags::Up;
        })
    }

    /// Sets the link down.
    ///
    /// # Errors
    /// It does not exist.
    pub fn set_down(&mut self, name: &str) -> Result<(), SetupError> {
        self.change(name, "setting down", |link| link.header.change_mask = LinkFlags::Up)
    }

    /// Sets the Ethernet address.
    ///
    /// # Errors
    /// The interface does not exist, or the address is a multicast one.
    pub fn set_mac(&mut self, name: &str, mac: Mac) -> Result<(), SetupError> {
        self.change(name, "setting the MAC address of", |link| {
            link.attributes.push(LinkAttribute::Address(mac.0.to_vec()));
        })
    }

    /// Sets the MTU, in bytes without the Ethernet header.
    ///
    /// # Errors
    /// The interface does not exist, or its driver does not allow this MTU.
    pub fn set_mtu(&mut self, name: &str, mtu: u32) -> Result<(), SetupError> {
        self.change(name, "setting the MTU of", |link| link.attributes.push(LinkAttribute::Mtu(mtu)))
    }

    /// Deletes an interface; a veth takes its peer along.
    ///
    /// # Errors
    /// It does not exist.
    pub fn delete_link(&mut self, name: &str) -> Result<(), SetupError> {
        let mut link = LinkMessage::default();
        link.header.index = self.index(name)?;
        self.request(RouteNetlinkMessage::DelLink(link), 0, || format!("deleting {name}"))
    }

    /// The kernel's number of an interface.
    ///
    /// # Errors
    /// It does not exist.
    pub fn index(&mut self, name: &str) -> Result<u32, SetupError> {
        let mut request = super::ethtool::request_for(name);
        self.ioctl(libc::SIOCGIFINDEX as _, &mut request, || format!("looking for the interface {name}"))?;
        // SAFETY: a successful SIOCGIFINDEX filled in the index.
        Ok(unsafe { request.ifr_ifru.ifru_ifindex } as u32)
    }

    /// One interface ioctl; a netlink socket passes it on to its namespace.
    pub(super) fn ioctl(
        &mut self,
        number: libc::Ioctl,
        request: &mut libc::ifreq,
        step: impl FnOnce() -> String,
    ) -> Result<(), SetupError> {
        use crate::error::During;
        // SAFETY: interface ioctls take an ifreq, and this one lives across the call.
        let answer = unsafe { libc::ioctl(self.socket.as_raw_fd(), number, &raw mut *request) };
        crate::netns::check(answer).during(step)
    }

    fn change(&mut self, name: &str, doing: &str, edit: impl FnOnce(&mut LinkMessage)) -> Result<(), SetupError> {
        let mut link = LinkMessage::default();
        link.header.index = self.index(name)?;
        edit(&mut link);
        self.request(RouteNetlinkMessage::SetLink(link), 0, || format!("{doing} {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_spells_its_address() {
        assert_eq!(Mac::spelling([203, 0, 113, 2].into()).to_string(), "02:00:cb:00:71:02");
    }
}
