//! ICMP errors about translated flows: RFC 5508, REQ-3 to REQ-5.
//!
//! The packet that an error quotes is the one its sender saw. Whoever receives the
//! error must find in it the packet that he himself sent, so the quote is
//! translated back along with the outer address, its checksums included.

use crate::address::Address;
use crate::offload::{ChecksumState, Offload};
use crate::parse::{self, Layers};
use crate::session::{Direction, Found, Session, SessionTable};
use crate::wire::checksum::{Delta, fold, pseudo, sum};
use crate::wire::{get16, icmp, ipv4, protocol, put16, tcp, udp};

/// The session that an ICMP error travelling in `direction` is about.
///
/// `None` when its checksum is wrong, its quote damaged, no live session sent the
/// quoted packet the other way, or the error is not for whoever sent it.
pub fn session<A: Address>(
    frame: &[u8],
    layers: &Layers<A>,
    offload: &Offload,
    sessions: &SessionTable<A>,
    direction: Direction,
) -> Option<Found> {
    let message = &frame[layers.l4 as usize..layers.end as usize];
    if offload.checksum_at(layers.l4) == ChecksumState::Complete && !is_whole(message, layers) {
        return None;
    }
    let mut quoted = parse::quote::<A>(&message[icmp::HEADER_LEN..])?.key;
    quoted.vrf = layers.key.vrf;
    // An error is for the sender of what it quotes; any other is forged (RFC 5927).
    if quoted.src != layers.key.dst {
        return None;
    }
    sessions.find(&quoted.reversed()).filter(|found| found.direction == direction)
}

/// Is the checksum of the message right?
fn is_whole<A: Address>(message: &[u8], layers: &Layers<A>) -> bool {
    let mut total = sum(message);
    if A::ICMP_PSEUDO_HEADER {
        total += layers.key.src.sum() + layers.key.dst.sum() + pseudo(A::ICMP, message.len());
    }
    fold(total) == 0xffff
}

/// Translates the quote of an error that [`session`] found a session for, and updates
/// the ICMP checksum. Returns what is left to be done: where in the IP header which
/// address goes, and what that adds to a sum.
pub fn translate<A: Address>(
    frame: &mut [u8],
    layers: &Layers<A>,
    session: &Session<A>,
    direction: Direction,
    checksum: ChecksumState,
) -> (usize, A, Delta) {
    let (inside, outside) = (&session.inside, &session.outside);
    // Outer: where the error goes to, or where it comes from. An error from a
    // router inside takes the public address too (RFC 5508 REQ-5). Quoted: the
    // packet travelled the other way, so its other end is the one to change.
    let (outer_at, outer_old, outer_new, quoted_at, old, new) = match direction {
        Direction::In => {
            let (old, new) = ((outside.dst, outside.dst_port), (inside.src, inside.src_port));
            (A::DESTINATION_AT, layers.key.dst, inside.src, A::SOURCE_AT, old, new)
        }
        Direction::Out => {
            let (old, new) = ((inside.src, inside.src_port), (outside.dst, outside.dst_port));
            (A::SOURCE_AT, layers.key.src, outside.dst, A::DESTINATION_AT, old, new)
        }
    };
    let outer_delta = Delta::NONE.replace_sum(outer_old.sum(), outer_new.sum());

    let message = &mut frame[layers.l4 as usize..layers.end as usize];
    let quote_delta = translate_quote::<A>(&mut message[icmp::HEADER_LEN..], direction, quoted_at, old, new);
    let field = get16(message, icmp::CHECKSUM);
    let pseudo_delta = if A::ICMP_PSEUDO_HEADER { outer_delta } else { Delta::NONE };
    let updated = match checksum {
        ChecksumState::Complete => quote_delta.and(pseudo_delta).apply(field),
        ChecksumState::Partial { .. } => pseudo_delta.apply_partial(field),
    };
    put16(message, icmp::CHECKSUM, updated);
    (outer_at, outer_new, outer_delta)
}

/// Translates the quoted packet; returns what that adds to the sum over the message.
fn translate_quote<A: Address>(
    quote: &mut [u8],
    direction: Direction,
    address_at: usize,
    old: (A, u16),
    new: (A, u16),
) -> Delta {
    let Some(parse::Quote { key, l4 }) = parse::quote::<A>(quote) else {
        return Delta::NONE;
    };
    let address_delta = Delta::NONE.replace_sum(old.0.sum(), new.0.sum());
    let mut delta = address_delta;
    new.0.put(quote, address_at);
    if A::BITS == 32 {
        delta = delta.and(rewrite16(quote, ipv4::CHECKSUM, |field| address_delta.apply(field)));
    }
    let (port_at, checksum_at, covers_addresses) = match key.protocol {
        protocol::TCP => (if direction == Direction::In { 0 } else { 2 }, tcp::CHECKSUM, true),
        protocol::UDP => (if direction == Direction::In { 0 } else { 2 }, udp::CHECKSUM, true),
        _ => (icmp::IDENTIFIER, icmp::CHECKSUM, A::ICMP_PSEUDO_HEADER),
    };
    let port_delta = rewrite16(quote, l4 + port_at, |_| new.1);
    delta = delta.and(port_delta);
    if quote.len() >= l4 + checksum_at + 2 {
        let flow_delta = if covers_addresses { address_delta.and(port_delta) } else { port_delta };
        let no_checksum = key.protocol == protocol::UDP && get16(quote, l4 + checksum_at) == 0;
        if !no_checksum {
            delta = delta.and(rewrite16(quote, l4 + checksum_at, |field| match flow_delta.apply(field) {
                0 if key.protocol == protocol::UDP => 0xffff,
                updated => updated,
            }));
        }
    }
    delta
}

/// Replaces a word; returns what that adds to a sum.
fn rewrite16(bytes: &mut [u8], at: usize, change: impl FnOnce(u16) -> u16) -> Delta {
    let old = get16(bytes, at);
    let new = change(old);
    put16(bytes, at, new);
    Delta::NONE.replace(old, new)
}
