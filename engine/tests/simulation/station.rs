//! Those who stand on the links of the gateway: nodes with pods behind them, and servers.
//!
//! They answer who asks for them and what is sent to them, and remember nothing but
//! fragments: who has begun a talk repeats what was lost.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use causeway_fastpath::ids::PortId;
use causeway_fastpath::time::Instant;
use causeway_testkit::packet::*;

use crate::frame::{self, Ip, Note, Part, Said, TCP, UDP};
use crate::hosts::Host;

/// Nobody listens there: what comes is refused.
pub(crate) const CLOSED: u16 = 9;

pub(crate) struct Station {
    pub(crate) port: PortId,
    pub(crate) mac: Mac,
    gateway: Mac,
    /// Its own addresses, for which it is asked.
    own: (Ipv4Addr, Ipv6Addr),
    /// Whom it stands for besides.
    pods: Vec<IpAddr>,
    /// It hears and says nothing before then.
    pub(crate) silent_until: Instant,
    /// Who stands here, if that is somebody with a stack of its own.
    pub(crate) host: Option<Host>,
    /// By sender, receiver and identification.
    fragments: BTreeMap<(IpAddr, IpAddr, u32), Pieces>,
}

type Pieces = Vec<(Part, Vec<u8>)>;

/// What somebody at a station gets, once it is whole.
pub(crate) struct Heard {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) said: Option<Said>,
    /// Of an ICMP error: what it is about.
    pub(crate) about: Option<(IpAddr, IpAddr, Said)>,
}

/// A frame to be sent to the gateway.
pub(crate) type Reply = Vec<u8>;

impl Station {
    pub(crate) fn new(port: PortId, mac: Mac, gateway: Mac, own: (&str, &str), pods: Vec<IpAddr>) -> Station {
        let own = (own.0.to_ipv4(), own.1.to_ipv6());
        Station { port, mac, gateway, own, pods, silent_until: Instant::ZERO, host: None, fragments: BTreeMap::new() }
    }

    pub(crate) fn has(&self, address: IpAddr) -> bool {
        address == IpAddr::V4(self.own.0) || address == IpAddr::V6(self.own.1) || self.pods.contains(&address)
    }

    fn link(&self) -> Eth {
        eth().src(self.mac).dst(self.gateway)
    }

    /// It tells the gateway by which MAC address it is reached now.
    pub(crate) fn announcements(&self, gateway: &str) -> [Reply; 2] {
        let all = self.link().dst(multicast_mac("ff02::1"));
        [
            self.link().dst(BROADCAST).arp_request(self.own.0, gateway).build(),
            all.ipv6(self.own.1, "ff02::1").neighbour_advertisement(self.own.1, 1).build(),
        ]
    }

    /// What it says to a question for its own addresses.
    pub(crate) fn answers_link(&self, frame: &[u8]) -> Option<Reply> {
        if frame::ethertype(frame) == 0x0806 {
            let [asked, asker] =
                [38, 28].map(|at| Ipv4Addr::from(<[u8; 4]>::try_from(&frame[at..at + 4]).expect("four")));
            let is_request = frame[21] == 1 && asked == self.own.0;
            return is_request.then(|| self.link().arp_reply(self.own.0, asker).build());
        }
        let ip = frame::ip(frame)?;
        let target = ip.payload.get(8..24)?;
        let is_question = ip.protocol == frame::ICMPV6 && ip.payload[0] == 135 && target == self.own.1.octets();
        is_question.then(|| self.link().ipv6(self.own.1, ip.src).neighbour_advertisement(self.own.1, 3).build())
    }

    /// What a frame brings to somebody here, if it is the last that was missing.
    pub(crate) fn hears(&mut self, frame: &[u8]) -> Option<Heard> {
        let is_mine = frame[..6] == self.mac;
        let ip = frame::ip(frame).filter(|ip| is_mine && self.has(ip.dst))?;
        let Some(part) = ip.part else {
            return Some(Heard::of(&ip, ip.payload));
        };
        let key = (ip.src, ip.dst, part.id);
        let parts = self.fragments.entry(key).or_default();
        parts.retain(|(other, _)| other.offset != part.offset);
        parts.push((part, ip.payload.to_vec()));
        parts.sort_by_key(|(part, _)| part.offset);
        let mut whole = Vec::new();
        for (part, bytes) in &*parts {
            if part.offset != whole.len() {
                return None;
            }
            whole.extend(bytes);
        }
        if parts.last()?.0.more {
            return None;
        }
        self.fragments.remove(&key);
        Some(Heard::of(&ip, &whole))
    }

    /// What a server here answers to a request.
    pub(crate) fn serves(&self, heard: &Heard, frame: &[u8], big: Option<u32>) -> Vec<Reply> {
        let Some(Said { ports: (src_port, dst_port), tcp_flags, note: Some(note) }) = heard.said else {
            return Vec::new();
        };
        let ip = self.link().ip(heard.dst, heard.src);
        let text = Note { answer: true, ..note }.bytes();
        match heard.protocol {
            UDP if dst_port == CLOSED => {
                let (kind, code) = if heard.dst.is_ipv4() { (3, 3) } else { (1, 4) };
                vec![ip.icmp_error(kind, code, [0; 4], &quote(frame, 1000)).build()]
            }
            UDP => datagram(ip.udp(dst_port, src_port), text, big),
            TCP => {
                let flags = if tcp_flags & SYN != 0 {
                    SYN | ACK
                } else if tcp_flags & FIN != 0 {
                    FIN | ACK
                } else {
                    PSH | ACK
                };
                let segment = ip.tcp(dst_port, src_port).flags(flags).seq(2_000 + note.step * 12);
                vec![segment.ack(1_000 + (note.step + 1) * 12).payload(text).build()]
            }
            _ => vec![ip.icmp_echo_reply(src_port, note.step as u16).payload(text).build()],
        }
    }

    /// What somebody here says to begin a talk or to go on with it.
    pub(crate) fn says(&self, from: (IpAddr, u16), to: (IpAddr, u16), what: Request) -> Vec<Reply> {
        let ip = self.link().ip(from.0, to.0);
        let text = what.note.bytes();
        match what.protocol {
            UDP => datagram(ip.udp(from.1, to.1), text, what.big),
            TCP => {
                let flags = match what.note.step {
                    0 => SYN,
                    step if step == what.last => FIN | ACK,
                    _ => PSH | ACK,
                };
                let ack = if what.note.step == 0 { 0 } else { 2_000 + what.note.step * 12 };
                let segment = ip.tcp(from.1, to.1).flags(flags).seq(1_000 + what.note.step * 12);
                vec![segment.ack(ack).payload(text).build()]
            }
            _ => vec![ip.icmp_echo_request(from.1, what.note.step as u16).payload(text).build()],
        }
    }
}

/// Something that is said.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    pub(crate) protocol: u8,
    pub(crate) note: Note,
    /// The step that ends the talk.
    pub(crate) last: u32,
    /// In fragments, under this identification.
    pub(crate) big: Option<u32>,
}

/// As one frame, or as fragments under this identification.
fn datagram(udp: Udp, mut text: Vec<u8>, big: Option<u32>) -> Vec<Reply> {
    match big {
        Some(id) => {
            text.resize(3_000, 7);
            udp.payload(text).fragments(id, 1500)
        }
        None => vec![udp.payload(text).build()],
    }
}

impl Heard {
    fn of(ip: &Ip<'_>, payload: &[u8]) -> Heard {
        let about = frame::quoted(ip).and_then(|quote| {
            let said = Said::read(quote.protocol, quote.payload)?;
            Some((quote.src, quote.dst, said))
        });
        let said = if about.is_some() { None } else { Said::read(ip.protocol, payload) };
        Heard { src: ip.src, dst: ip.dst, protocol: ip.protocol, said, about }
    }
}
