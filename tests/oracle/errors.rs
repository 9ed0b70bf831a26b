//! ICMP errors about conversations, sound and otherwise.

use std::net::IpAddr;

use causeway_testkit::checksum;
use causeway_testkit::packet::*;
use causeway_testkit::seed::Rng;

use crate::event::{Dress, Event, Kind};
use crate::flow::{Flow, Stage};
use crate::names::FlowId;
use crate::place::{Place, Side};
use crate::wire::{End, layout, word};

/// What is done to an error before it is sent.
#[derive(Clone, Copy, Debug)]
enum Damage {
    None,
    /// Its checksum is wrong.
    Checksum,
    /// The quote is about another name of the addressee.
    Name,
    /// The quote is about a conversation with somebody else.
    Peer,
    /// The quote is of a packet that the addressee did not send.
    Sender,
    /// The quote's header checksum is wrong.
    HeaderChecksum,
    /// The quote ends before the ports do.
    Cut(usize),
}

/// An error about the last packet of a flow that the other side saw.
pub(crate) fn about(rng: &mut Rng, place: &Place, id: FlowId, flow: &Flow) -> Event {
    let from = *rng.choose(&Side::BOTH);
    let damage = damage(rng, place);
    let kind = match damage {
        Damage::None if flow.stage == Stage::Refused => Kind::ErrorAboutRefused,
        Damage::None if flow.is_over() => Kind::ErrorAboutEnded,
        Damage::None if from == Side::Inside => Kind::ErrorFromInside,
        Damage::None => Kind::ErrorFromOutside,
        Damage::Checksum => Kind::ErrorWithBadChecksum,
        Damage::Cut(_) => Kind::ErrorCutShort,
        Damage::Name | Damage::Peer | Damage::Sender | Damage::HeaderChecksum => Kind::ErrorMangled,
    };
    let (host, peer) = (flow.parties.host.0, flow.parties.peer.0);
    // Whoever could not deliver it, or a router on the way.
    let at_the_end = rng.bool();
    let (src, dst) = match from {
        Side::Inside => (if at_the_end { host } else { place.node.to_ip() }, peer),
        Side::Outside => (if at_the_end { peer } else { place.peer(200) }, place.router(Side::Outside)),
    };
    let (dress, message, length) = (Dress::any(rng), message(rng, place), quoted(rng, place));
    let elsewhere = place.peer(240);
    Event::about(id, kind, from, move |names| {
        let packet = match from {
            Side::Inside => names.entered(id)?,
            Side::Outside => names.left(id)?,
        };
        let mut quote = packet[..packet.len().min(length)].to_vec();
        spoil(&mut quote, damage, from, elsewhere);
        let (kind, code, rest) = message;
        let error = dress.ip(from, src, dst).icmp_error(kind, code, rest, &quote);
        Some(if let Damage::Checksum = damage { error.bad_checksum().build() } else { error.build() })
    })
}

/// An error about a conversation that never was.
pub(crate) fn unrelated(rng: &mut Rng, place: &Place) -> Event {
    let from = *rng.choose(&Side::BOTH);
    let (host, peer) = (place.host(77), place.peer(77));
    let (ours, theirs) = match from {
        Side::Inside => (host, peer),
        Side::Outside => (peer, place.router(Side::Outside)),
    };
    let quote = from.other().towards_router().ip(theirs, ours).udp(999, 9).payload([0; 20]).quote(place.ip_header + 8);
    let (kind, code, rest) = message(rng, place);
    let frame = Dress::any(rng).ip(from, ours, theirs).icmp_error(kind, code, rest, &quote).build();
    Event::alone(Kind::ErrorUnrelated, from, frame)
}

fn damage(rng: &mut Rng, place: &Place) -> Damage {
    match rng.below(24) {
        0 => Damage::Checksum,
        1 => Damage::Name,
        2 => Damage::Peer,
        3 => Damage::Sender,
        4 if place.v4 => Damage::HeaderChecksum,
        5 => Damage::Cut(rng.range(0..place.ip_header + 8)),
        _ => Damage::None,
    }
}

/// Type, code and second word of an error.
fn message(rng: &mut Rng, place: &Place) -> (u8, u8, [u8; 4]) {
    let mtu = [0, 0, 5, 20];
    if place.v4 {
        let kinds = [(3, 0), (3, 1), (3, 3), (3, 4), (3, 10), (3, 13), (11, 0), (12, 0)];
        let (kind, code) = *rng.choose(&kinds);
        (kind, code, if code == 4 { mtu } else { [0; 4] })
    } else {
        let (kind, code) = *rng.choose(&[(1, 0), (1, 1), (1, 3), (1, 4), (2, 0), (3, 0), (4, 0), (4, 1)]);
        (kind, code, if kind == 2 { mtu } else { [0; 4] })
    }
}

/// How much of a packet is quoted.
fn quoted(rng: &mut Rng, place: &Place) -> usize {
    // RFC 792 wants eight bytes behind the header, RFC 1812 and RFC 4443 as much as fits.
    *rng.choose(&[place.ip_header + 8, place.ip_header + 20, place.ip_header + 64, 2000])
}

/// Damages a quote. `from` is where the error comes from, so the quoted packet went
/// the other way.
fn spoil(quote: &mut Vec<u8>, damage: Damage, from: Side, elsewhere: IpAddr) {
    let Some(found) = layout(quote) else {
        return;
    };
    let ours = if from == Side::Outside { End::Source } else { End::Destination };
    match damage {
        Damage::None | Damage::Checksum => {}
        Damage::Cut(length) => quote.truncate(length),
        Damage::HeaderChecksum => quote[10] ^= 0x55,
        Damage::Name => {
            if let Some(at) = found.name_at(quote, ours) {
                // Below every port that is given out.
                let name = word(quote, at) & 0x03ff;
                quote[at..at + 2].copy_from_slice(&name.to_be_bytes());
            }
        }
        Damage::Peer => set_address(quote, if ours == End::Source { End::Destination } else { End::Source }, elsewhere),
        Damage::Sender => set_address(quote, ours, elsewhere),
    }
}

/// Puts an address into an IP header, and makes its checksum right.
fn set_address(packet: &mut [u8], end: End, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            let at = if end == End::Source { 12 } else { 16 };
            packet[at..at + 4].copy_from_slice(&v4.octets());
            packet[10..12].fill(0);
            let header = usize::from(packet[0] & 0x0f) * 4;
            let sum = checksum::internet(&packet[..header]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        IpAddr::V6(v6) => {
            let at = if end == End::Source { 8 } else { 24 };
            packet[at..at + 16].copy_from_slice(&v6.octets());
        }
    }
}
