//! Flows and packets, as the rules speak of them.

use std::net::IpAddr;

use causeway_fastpath::ids::VrfId;
use causeway_testkit::packet::{Build, Eth, Ip, Network, eth};

use crate::world::{Endpoint, Family};

/// What a flow is made of. An echo and its answer are two, though one session has both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    /// Echo requests: their identifier is the port of the source, that of the destination is 0.
    Ask,
    /// Echo replies: the other way round.
    Reply,
}

/// Who talks to whom, and in which routing domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) vrf: VrfId,
    pub(crate) protocol: Protocol,
    pub(crate) src: Endpoint,
    pub(crate) dst: Endpoint,
}

/// What the rules look at in a segment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Segment {
    pub(crate) flags: u8,
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    pub(crate) window: u16,
    /// The option that says how later windows are scaled.
    pub(crate) scale: Option<u8>,
}

/// A packet of a flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) flow: Flow,
    /// Of TCP.
    pub(crate) segment: Segment,
    /// Tells payloads from one another; also their length, and which headers stand before them.
    pub(crate) mark: u8,
}

/// An ICMP error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Complaint {
    pub(crate) vrf: VrfId,
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    /// The packet it is about.
    pub(crate) quote: Packet,
    pub(crate) damage: Damage,
}

/// What is wrong with an ICMP error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    None,
    /// Nothing: only so many bytes behind the quoted IP header are there, 8 at least.
    Cut(usize),
    /// The quoted ports are not all there.
    TooShort,
    /// Its own checksum is wrong.
    Checksum,
}

impl Protocol {
    pub(crate) fn number(self, family: Family) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Ask | Protocol::Reply if family.v4 => 1,
            Protocol::Ask | Protocol::Reply => 58,
        }
    }
}

impl Flow {
    /// The flow of the answers.
    pub(crate) fn answered(self) -> Flow {
        let protocol = match self.protocol {
            Protocol::Ask => Protocol::Reply,
            Protocol::Reply => Protocol::Ask,
            other => other,
        };
        Flow { protocol, src: self.dst, dst: self.src, ..self }
    }
}

impl Packet {
    /// The frame on this link. Some IPv6 packets have extension headers.
    pub(crate) fn frame(&self, link: Eth, ttl: u8) -> Vec<u8> {
        let ip = link.ip(self.flow.src.0, self.flow.dst.0).ttl(ttl);
        match ip {
            Ip::V6(ip) if self.mark & 0x80 != 0 => self.behind(ip.dest_opts(OPTIONS).into()),
            ip => self.behind(ip),
        }
    }

    /// As an error quotes it, and how long the headers are in front of what the packet carries.
    /// Of IPv6 some are in fragments by then; this is the first.
    fn quoted(&self) -> (Vec<u8>, usize) {
        let ip = match eth().ip(self.flow.src.0, self.flow.dst.0).ttl(9) {
            Ip::V6(ip) if self.mark & 0xc0 == 0xc0 => ip.fragment(7, 0, true).dest_opts(OPTIONS).into(),
            Ip::V6(ip) if self.mark & 0x80 != 0 => ip.hop_by_hop(OPTIONS).dest_opts(OPTIONS).into(),
            ip => ip,
        };
        let headers = ip.clone().raw(59, []).packet().len();
        (self.behind(ip)[14..].to_vec(), headers)
    }

    /// The frame behind this IP layer.
    fn behind(&self, ip: Ip) -> Vec<u8> {
        let Packet { flow, segment, mark } = self;
        let payload = vec![*mark; usize::from(mark % 8)];
        let (src, dst) = (flow.src.1, flow.dst.1);
        match flow.protocol {
            Protocol::Tcp => {
                let tcp = ip.tcp(src, dst).flags(segment.flags).seq(segment.sequence).ack(segment.acknowledgement);
                let scale = segment.scale.map(|scale| vec![1, 3, 3, scale]);
                tcp.window(segment.window).options(scale.unwrap_or_default()).payload(payload).build()
            }
            Protocol::Udp => ip.udp(src, dst).payload(payload).build(),
            Protocol::Ask => ip.icmp_echo_request(src, 1).payload(payload).build(),
            Protocol::Reply => ip.icmp_echo_reply(dst, 1).payload(payload).build(),
        }
    }
}

/// Options that every receiver passes over.
const OPTIONS: [u8; 6] = [1, 4, 0, 0, 0, 0];

impl Complaint {
    /// The frame on this link.
    pub(crate) fn frame(&self, family: Family, link: Eth, ttl: u8) -> Vec<u8> {
        let (kind, code) = family.host_unreachable;
        let (quoted, headers) = self.quote.quoted();
        let error = link.ip(self.src, self.dst).ttl(ttl).icmp_error(kind, code, [0; 4], &quoted);
        match self.damage {
            Damage::None => error.build(),
            Damage::Cut(len) => error.quote_len(headers + len).build(),
            Damage::TooShort => error.quote_len(headers + 3).build(),
            Damage::Checksum => error.bad_checksum().build(),
        }
    }

    /// May it be believed?
    pub(crate) fn is_sound(&self) -> bool {
        matches!(self.damage, Damage::None | Damage::Cut(_))
    }
}
