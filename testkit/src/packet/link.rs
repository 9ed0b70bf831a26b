//! The Ethernet header, VLAN tags, and what may be wrong with a frame's end.

use std::net::IpAddr;

use super::{Arp, BROADCAST, Build, Ip, Ipv4, Ipv6, Mac, ToIp, ToIpv4, ToIpv6, ToMac};

/// Starts a frame from 02:00:00:00:00:01 to 02:00:00:00:00:02.
pub fn eth() -> Eth {
    Eth {
        src: [2, 0, 0, 0, 0, 1],
        dst: [2, 0, 0, 0, 0, 2],
        tags: Vec::new(),
        ethertype: None,
        pad: false,
        trailing: Vec::new(),
        cut: Cut::Nothing,
    }
}

/// The Ethernet layer of a frame being described.
#[derive(Clone, Debug)]
pub struct Eth {
    pub(super) src: Mac,
    pub(super) dst: Mac,
    tags: Vec<[u16; 2]>,
    ethertype: Option<u16>,
    pub(super) pad: bool,
    pub(super) trailing: Vec<u8>,
    pub(super) cut: Cut,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    Nothing,
    To(usize),
    Last(usize),
}

impl Eth {
    /// The sender's address.
    pub fn src(mut self, mac: impl ToMac) -> Self {
        self.src = mac.to_mac();
        self
    }

    /// The receiver's address.
    pub fn dst(mut self, mac: impl ToMac) -> Self {
        self.dst = mac.to_mac();
        self
    }

    /// Adds an 802.1Q tag, inside those added before; `id` is 0 to 4095.
    pub fn vlan(self, id: u16) -> Self {
        self.tag(0x8100, id)
    }

    /// Adds a tag with any TPID (0x88a8 for a service tag) and TCI (priority, DEI, id).
    pub fn tag(mut self, tpid: u16, tci: u16) -> Self {
        self.tags.push([tpid, tci]);
        self
    }

    /// Lies about what follows the Ethernet header and tags.
    pub fn ethertype(mut self, ethertype: u16) -> Self {
        self.ethertype = Some(ethertype);
        self
    }

    /// An IPv4 packet.
    pub fn ipv4(self, src: impl ToIpv4, dst: impl ToIpv4) -> Ipv4 {
        Ipv4::new(self, src.to_ipv4(), dst.to_ipv4())
    }

    /// An IPv6 packet.
    pub fn ipv6(self, src: impl ToIpv6, dst: impl ToIpv6) -> Ipv6 {
        Ipv6::new(self, src.to_ipv6(), dst.to_ipv6())
    }

    /// An IP packet of whichever family both addresses are.
    ///
    /// # Panics
    /// The addresses are of different families.
    pub fn ip(self, src: impl ToIp, dst: impl ToIp) -> Ip {
        match (src.to_ip(), dst.to_ip()) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => Ip::V4(self.ipv4(src, dst)),
            (IpAddr::V6(src), IpAddr::V6(dst)) => Ip::V6(self.ipv6(src, dst)),
            (src, dst) => panic!("a packet has both addresses of one family: {src} > {dst}"),
        }
    }

    /// Who has `target`? Asked by this frame's sender, which is `sender`; broadcast.
    pub fn arp_request(self, sender: impl ToIpv4, target: impl ToIpv4) -> Arp {
        let sender_mac = self.src;
        let question = Arp::new(self.dst(BROADCAST), 1, sender.to_ipv4(), target.to_ipv4());
        question.sender_mac(sender_mac).target_mac([0; 6])
    }

    /// `sender` is at this frame's source address; told to `target` at its destination.
    pub fn arp_reply(self, sender: impl ToIpv4, target: impl ToIpv4) -> Arp {
        let (sender_mac, target_mac) = (self.src, self.dst);
        let answer = Arp::new(self, 2, sender.to_ipv4(), target.to_ipv4());
        answer.sender_mac(sender_mac).target_mac(target_mac)
    }

    /// Any bytes under any EtherType.
    pub fn raw(self, ethertype: u16, payload: impl AsRef<[u8]>) -> RawFrame {
        RawFrame { eth: self, ethertype, payload: payload.as_ref().to_vec() }
    }

    /// The header in front of `packet`, and everything done to its end.
    pub(super) fn encode(&self, ethertype: u16, packet: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(packet.len() + 22);
        frame.extend(self.dst);
        frame.extend(self.src);
        for word in self.tags.iter().flatten() {
            frame.extend(word.to_be_bytes());
        }
        frame.extend(self.ethertype.unwrap_or(ethertype).to_be_bytes());
        frame.extend(packet);
        if self.pad && frame.len() < MIN_FRAME {
            frame.resize(MIN_FRAME, 0);
        }
        frame.extend(&self.trailing);
        match self.cut {
            Cut::Nothing => {}
            Cut::To(len) => frame.truncate(len),
            Cut::Last(count) => frame.truncate(frame.len().saturating_sub(count)),
        }
        frame
    }
}

/// A frame whose payload is given as bytes.
#[derive(Clone, Debug)]
pub struct RawFrame {
    eth: Eth,
    ethertype: u16,
    payload: Vec<u8>,
}

impl Build for RawFrame {
    fn eth(&mut self) -> &mut Eth {
        &mut self.eth
    }

    fn packet(&self) -> Vec<u8> {
        self.payload.clone()
    }

    fn build(&self) -> Vec<u8> {
        self.eth.encode(self.ethertype, &self.payload)
    }
}

/// The shortest Ethernet frame without its check sequence, in bytes (IEEE 802.3).
const MIN_FRAME: usize = 60;
