//! What hosts read in frames: as little as they need.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;

const ETHERNET: usize = 14;

/// An IP packet, or the beginning of one.
#[derive(Clone, Copy)]
pub(crate) struct Ip<'a> {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) part: Option<Part>,
    pub(crate) payload: &'a [u8],
}

/// Which part of its datagram a fragment is.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    pub(crate) id: u32,
    pub(crate) offset: usize,
    pub(crate) more: bool,
}

/// Who speaks to whom, and what is said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    /// Ports; of an echo, its identifier in the place of both.
    pub(crate) ports: (u16, u16),
    pub(crate) tcp_flags: u8,
    pub(crate) note: Option<Note>,
}

/// What every packet of a talk carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) answer: bool,
    pub(crate) talk: u32,
    pub(crate) step: u32,
}

impl Note {
    pub(crate) fn bytes(self) -> Vec<u8> {
        let mut bytes = vec![0xca, 0x5e, 0xba, u8::from(self.answer)];
        bytes.extend(self.talk.to_be_bytes());
        bytes.extend(self.step.to_be_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Note> {
        let answer = *bytes.strip_prefix(&[0xca, 0x5e, 0xba])?.first()? == 1;
        Some(Note { answer, talk: word(bytes, 4)?, step: word(bytes, 8)? })
    }
}

pub(crate) fn ethertype(frame: &[u8]) -> u16 {
    half(frame, 12).unwrap_or(0)
}

/// The IP packet in a frame.
pub(crate) fn ip(frame: &[u8]) -> Option<Ip<'_>> {
    packet(frame.get(ETHERNET..)?)
}

/// An IP packet by itself. It may end early, as in the quote of an ICMP error.
pub(crate) fn packet(bytes: &[u8]) -> Option<Ip<'_>> {
    match bytes.first()? >> 4 {
        4 => {
            let (end, place) = (usize::from(half(bytes, 2)?).min(bytes.len()), half(bytes, 6)?);
            let (offset, more) = (usize::from(place & 0x1fff) * 8, place & 0x2000 != 0);
            let part = (offset > 0 || more).then_some(Part { id: half(bytes, 4)?.into(), offset, more });
            let address = |at| Some(Ipv4Addr::from_bits(word(bytes, at)?).into());
            let payload = bytes.get(20..end)?;
            Some(Ip { src: address(12)?, dst: address(16)?, protocol: *bytes.get(9)?, part, payload })
        }
        6 => {
            let end = (40 + usize::from(half(bytes, 4)?)).min(bytes.len());
            let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?).into());
            let (src, dst, next, behind) = (address(8)?, address(24)?, *bytes.get(6)?, bytes.get(40..end)?);
            if next != 44 {
                return Some(Ip { src, dst, protocol: next, part: None, payload: behind });
            }
            let place = half(behind, 2)?;
            let part = Part { id: word(behind, 4)?, offset: usize::from(place & !7), more: place & 1 != 0 };
            Some(Ip { src, dst, protocol: behind[0], part: Some(part), payload: &behind[8..] })
        }
        _ => None,
    }
}

impl Said {
    /// What a whole packet, or the first part of one, says.
    pub(crate) fn read(protocol: u8, payload: &[u8]) -> Option<Said> {
        let ports = (half(payload, 0)?, half(payload, 2)?);
        let (ports, tcp_flags, text) = match protocol {
            UDP => (ports, 0, 8),
            TCP => (ports, *payload.get(13)?, 20),
            ICMP | ICMPV6 => {
                let id = half(payload, 4)?;
                ((id, id), 0, 8)
            }
            _ => return None,
        };
        Some(Said { ports, tcp_flags, note: payload.get(text..).and_then(Note::read) })
    }
}

/// The packet that an ICMP error is about.
pub(crate) fn quoted<'a>(ip: &Ip<'a>) -> Option<Ip<'a>> {
    let kind = *ip.payload.first()?;
    let is_error = match ip.protocol {
        ICMP => matches!(kind, 3 | 4 | 5 | 11 | 12),
        ICMPV6 => kind < 128,
        _ => false,
    };
    if is_error { packet(ip.payload.get(8..)?) } else { None }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
