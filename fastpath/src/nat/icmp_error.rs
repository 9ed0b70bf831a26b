//! ICMP errors about translated flows: RFC 5508, REQ-3 to REQ-5.
//!
//! The packet that an error quotes is the one its sender saw. Whoever receives the
//! error must find in it the packet that he himself sent, so the quote is
//! translated back along with the outer address, its checksums included.

use super::Names;
use crate::address::Address;
use crate::offload::{ChecksumState, Offload};
use crate::parse::{self, Layers};
use crate::session::{Direction, FlowKey, Found, Session, SessionTable};
use crate::wire::checksum::{Delta, fold, pseudo, sum};
use crate::wire::{get16, icmp, ipv4, protocol, put16, tcp, udp};

/// The session that an ICMP error is about, and the direction in which the error goes
/// through it.
///
/// `None` when its checksum is wrong, its quote damaged, no live session sent the
/// quoted packet the other way, or the error is not for whoever sent it.
pub fn session<A: Address>(
    frame: &[u8],
    layers: &Layers<A>,
    offload: &Offload,
    sessions: &SessionTable<A>,
) -> Option<Found> {
    let message = &frame[layers.l4 as usize..layers.end as usize];
    if offload.checksum_at(layers.l4) == ChecksumState::Complete && !is_whole(message, layers) {
        return None;
    }
    let mut quoted = parse::quote::<A>(&message[icmp::HEADER_LEN..])?.key;
    (quoted.vrf, quoted.hairpin) = (layers.key.vrf, layers.key.hairpin);
    // An error is for the sender of what it quotes; any other is forged (RFC 5927).
    if quoted.src != layers.key.dst {
        return None;
    }
    sessions.find(&quoted.reversed())
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
/// the ICMP checksum. Returns the addresses that are left to be written.
pub(crate) fn translate<A: Address>(
    frame: &mut [u8],
    layers: &Layers<A>,
    session: &Session<A>,
    direction: Direction,
    checksum: ChecksumState,
) -> Names<A> {
    // The quoted packet went the other way, and its sender called it what answers a
    // packet in this direction.
    let (came, quoted) = (session.answer(direction.reversed()), session.answer(direction));
    // Where this direction hides the sender, an error from a router on its side takes
    // the public address too (RFC 5508 REQ-5).
    let src = if came.src == quoted.dst { layers.key.src } else { quoted.dst };
    let dst = quoted.src;
    let delta = Delta::NONE.replace_sum(layers.key.src.sum() + layers.key.dst.sum(), src.sum() + dst.sum());

    let message = &mut frame[layers.l4 as usize..layers.end as usize];
    let identifier = if direction == Direction::Back { quoted.src_port } else { quoted.dst_port };
    let quote_delta = translate_quote(&mut message[icmp::HEADER_LEN..], quoted, identifier);
    let field = get16(message, icmp::CHECKSUM);
    let pseudo_delta = if A::ICMP_PSEUDO_HEADER { delta } else { Delta::NONE };
    let updated = match checksum {
        ChecksumState::Complete => quote_delta.and(pseudo_delta).apply(field),
        ChecksumState::Partial { .. } => pseudo_delta.apply_partial(field),
    };
    put16(message, icmp::CHECKSUM, updated);
    Names { src, dst, delta }
}

/// Makes the quoted packet one of the flow `new`, with this `identifier` if it is a query;
/// returns what that adds to the sum over the message.
fn translate_quote<A: Address>(quote: &mut [u8], new: &FlowKey<A>, identifier: u16) -> Delta {
    let Some(parse::Quote { key, l4 }) = parse::quote::<A>(quote) else {
        return Delta::NONE;
    };
    let address_delta = Delta::NONE.replace_sum(key.src.sum() + key.dst.sum(), new.src.sum() + new.dst.sum());
    let mut delta = address_delta;
    new.src.put(quote, A::SOURCE_AT);
    new.dst.put(quote, A::DESTINATION_AT);
    if A::BITS == 32 {
        delta = delta.and(rewrite16(quote, ipv4::CHECKSUM, |field| address_delta.apply(field)));
    }
    let (port_delta, checksum_at, covers_addresses) = match key.protocol {
        protocol::TCP | protocol::UDP | protocol::UDP_LITE => {
            let source = rewrite16(quote, l4, |_| new.src_port);
            let destination = rewrite16(quote, l4 + 2, |_| new.dst_port);
            let checksum_at = if key.protocol == protocol::TCP { tcp::CHECKSUM } else { udp::CHECKSUM };
            (source.and(destination), checksum_at, true)
        }
        // The others keep their ports, and cover no address.
        other if other != A::ICMP => return delta,
        _ => {
            let delta = rewrite16(quote, l4 + icmp::IDENTIFIER, |_| identifier);
            (delta, icmp::CHECKSUM, A::ICMP_PSEUDO_HEADER)
        }
    };
    delta = delta.and(port_delta);
    if quote.len() >= l4 + checksum_at + 2 {
        let flow_delta = if covers_addresses { address_delta.and(port_delta) } else { port_delta };
        let is_udp = matches!(key.protocol, protocol::UDP | protocol::UDP_LITE);
        let no_checksum = is_udp && get16(quote, l4 + checksum_at) == 0;
        if !no_checksum {
            delta = delta.and(rewrite16(quote, l4 + checksum_at, |field| match flow_delta.apply(field) {
                0 if is_udp => 0xffff,
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
