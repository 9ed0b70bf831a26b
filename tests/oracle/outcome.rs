//! What became of a packet, told so that two routers can be compared.

use std::net::IpAddr;

use causeway_testkit::checksum;

use crate::place::{Place, Side};
use crate::wire::{self, End, ICMP, ICMPV6, L2, TCP, UDP, layout};

/// The class of what became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fate {
    Dropped,
    /// It left on the other side.
    Crossed,
    /// It left on the other side in pieces, or with others that had waited for it.
    CrossedInPieces,
    /// An ICMP message of this type and code went back.
    Icmp(u8, u8),
    /// A TCP reset went back.
    Reset,
    /// Something else was sent.
    Strange,
}

/// What became of a packet.
pub(crate) struct Outcome {
    pub(crate) fate: Fate,
    /// What was sent because of it.
    pub(crate) out: Vec<(Side, Vec<u8>)>,
    /// The same without what each router is free to choose: equal, if both did the same.
    pub(crate) canonical: Vec<Vec<u8>>,
    /// What is wrong with it, whatever the other router does.
    pub(crate) faults: Vec<String>,
    pub(crate) note: String,
}

impl Outcome {
    pub(crate) fn new(place: &Place, from: Side, came: &[u8], out: Vec<(Side, Vec<u8>)>, note: String) -> Outcome {
        let fate = match &out[..] {
            [] => Fate::Dropped,
            [(side, frame)] if *side != from => match layout(&frame[L2..]) {
                Some(left) if left.is_piece => Fate::CrossedInPieces,
                _ => Fate::Crossed,
            },
            [(_, frame)] => answer(frame),
            several if several.iter().all(|(side, _)| *side != from) => Fate::CrossedInPieces,
            _ => Fate::Strange,
        };
        let is_own = !matches!(fate, Fate::Crossed | Fate::CrossedInPieces);
        let is_sound = checksum::verify(came).is_ok();
        let canonical = out.iter().map(|(side, frame)| canonical(frame, *side, is_own, is_sound)).collect();
        let mut faults = Vec::new();
        for (side, frame) in &out {
            faults.extend(exposed(place, *side, frame));
            if is_sound && let Err(fault) = checksum::verify(frame) {
                faults.push(fault);
            }
        }
        if fate == Fate::Crossed {
            faults.extend(altered(place, from, came, &out[0].1));
        }
        Outcome { fate, out, canonical, faults, note }
    }

    /// The name under which the sender inside is known outside, if this tells.
    pub(crate) fn outside_name(&self) -> Option<u16> {
        match &self.out[..] {
            [(Side::Outside, frame)] if self.fate == Fate::Crossed => {
                let packet = &frame[L2..];
                Some(wire::word(packet, layout(packet)?.name_at(packet, End::Source)?))
            }
            _ => None,
        }
    }
}

fn answer(frame: &[u8]) -> Fate {
    let packet = &frame[L2..];
    match layout(packet) {
        Some(left) if left.protocol == TCP && packet[left.l4 + 13] & 0x04 != 0 => Fate::Reset,
        Some(left) if matches!(left.protocol, ICMP | ICMPV6) => Fate::Icmp(packet[left.l4], packet[left.l4 + 1]),
        _ => Fate::Strange,
    }
}

/// A frame without the names that its router chose, and without the checksums that
/// follow from them. What goes inside is left as it is: there are no names of a
/// router's choice.
fn canonical(frame: &[u8], towards: Side, is_own: bool, is_sound: bool) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    let packet = &mut bytes[L2..];
    let Some(outer) = layout(packet) else {
        return bytes;
    };
    blank_ip(packet, is_own);
    if !is_own && (outer.is_piece || (towards == Side::Outside && may_be_cut(packet))) {
        // Cut up again, or under another source, a datagram may get another identification.
        blank_identification(packet);
    }
    if let Some(quote) = outer.quote_at(packet).and_then(|at| packet.get_mut(at..))
        && towards == Side::Inside
        && quote.len() >= 20
        && may_be_cut(quote)
    {
        // What it got on its way out is not taken back.
        blank_identification(quote);
        quote[10..12].fill(0);
    }
    if towards == Side::Inside && is_sound && !outer.is_piece {
        return bytes;
    }
    blank_transport(packet, End::Source);
    if let Some(at) = outer.quote_at(packet)
        && towards == Side::Outside
        && at < packet.len()
    {
        blank_transport(&mut packet[at..], End::Destination);
    }
    bytes
}

fn blank_ip(packet: &mut [u8], is_own: bool) {
    if packet[0] >> 4 == 4 {
        packet[10..12].fill(0);
        if is_own {
            // Identification and DF: RFC 6864 leaves them to the sender.
            packet[4..8].fill(0);
        }
    } else if is_own {
        packet[1] &= 0xf0;
        packet[2..4].fill(0);
    }
}

/// Is it IPv4 without DF?
fn may_be_cut(packet: &[u8]) -> bool {
    packet[0] >> 4 == 4 && packet[6] & 0x40 == 0
}

fn blank_identification(packet: &mut [u8]) {
    let at = if packet[0] >> 4 == 4 { 4..6 } else { 44..48 };
    packet[at].fill(0);
}

/// Takes away the name of one end, and says of the checksum only whether there is one.
fn blank_transport(packet: &mut [u8], end: End) {
    let Some(at) = layout(packet) else {
        return;
    };
    if let Some(name) = at.name_at(packet, end) {
        packet[name..name + 2].fill(0);
    }
    if let Some(checksum) = at.checksum_at(packet) {
        let is_there = at.protocol != UDP || wire::word(packet, checksum) != 0;
        packet[checksum..checksum + 2].copy_from_slice(&u16::from(is_there).to_be_bytes());
    }
}

/// An inside address seen outside, in a header or in a quote; or a source outside
/// that is not the public address.
fn exposed(place: &Place, towards: Side, frame: &[u8]) -> Vec<String> {
    let packet = &frame[L2..];
    let Some(outer) = layout(packet).filter(|_| towards == Side::Outside) else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    if outer.src != place.router(Side::Outside) {
        faults.push(format!("{} is seen outside as a source", outer.src));
    }
    if let Some(at) = outer.quote_at(packet)
        && let Some(quoted) = packet.get(at..).and_then(layout)
        && place.is_inside(quoted.dst)
    {
        faults.push(format!("{} is seen outside in a quote", quoted.dst));
    }
    faults
}

/// What changed in a packet that crossed and should not have.
fn altered(place: &Place, from: Side, came: &[u8], left: &[u8]) -> Vec<String> {
    let (came, left) = (&came[L2..], &left[L2..]);
    let (Some(before), Some(after)) = (layout(came), layout(left)) else {
        return vec!["it crossed, and is no IP packet".into()];
    };
    let mut faults = Vec::new();
    if after.ttl + 1 != before.ttl {
        faults.push(format!("TTL {} became {}", before.ttl, after.ttl));
    }
    let (kept_before, kept_after) = match from {
        Side::Inside => (before.dst, after.dst),
        Side::Outside => (before.src, after.src),
    };
    if kept_before != kept_after {
        faults.push(format!("{kept_before} became {kept_after}"));
    }
    if from == Side::Outside && !place.is_inside(after.dst) {
        faults.push(format!("it went inside to {}", after.dst));
    }
    if before.quote_at(came).is_none() && skeleton(came, from) != skeleton(left, from) {
        faults.push("more changed than address, name, TTL and checksums".into());
    }
    faults
}

/// Everything in a packet that translation must leave alone.
fn skeleton(packet: &[u8], from: Side) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    let v4 = bytes[0] >> 4 == 4;
    let declared = if v4 { usize::from(wire::word(packet, 2)) } else { 40 + usize::from(wire::word(packet, 4)) };
    bytes.truncate(declared);
    let (end, address) = match (from, v4) {
        (Side::Inside, true) => (End::Source, 12..16),
        (Side::Outside, true) => (End::Destination, 16..20),
        (Side::Inside, false) => (End::Source, 8..24),
        (Side::Outside, false) => (End::Destination, 24..40),
    };
    bytes[address].fill(0);
    bytes[if v4 { 8 } else { 7 }] = 0;
    blank_ip(&mut bytes, false);
    if from == Side::Inside && may_be_cut(&bytes) {
        blank_identification(&mut bytes);
    }
    blank_transport(&mut bytes, end);
    bytes
}

impl Place {
    /// Does the address belong to somebody inside?
    pub(crate) fn is_inside(&self, address: IpAddr) -> bool {
        [self.hosts, self.inside_net]
            .iter()
            .any(|net| net.parse::<ipnet::IpNet>().expect("a network").contains(&address))
    }
}
