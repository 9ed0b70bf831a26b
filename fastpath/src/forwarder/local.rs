//! Packets to the gateway itself. It answers pings; nothing listens on it.

use super::refuse::Refusal;
use super::set::Set;
use super::walk::Walk;
use crate::address::Address;
use crate::offload::{ChecksumState, Offload};
use crate::parse::{L4Kind, Layers};
use crate::verdict::{DropReason, Verdict};
use crate::wire::checksum::Delta;
use crate::wire::{get16, icmp, ipv4, protocol, put16};

/// TTL and hop limit of packets that the gateway originates (RFC 1700).
pub(super) const OWN_TTL: u8 = 64;

impl<A: Address> Walk<'_, A> {
    /// Answers echo requests in place (RFC 1812, 4.3.3.6; RFC 4443, 4.2) and tells
    /// those who want a service that there is none.
    pub(super) fn local(&mut self, packets: Set) {
        for i in packets {
            let layers = self.look_into(i);
            match layers.kind {
                L4Kind::EchoRequest if !super::classify::bad_source(layers.key.src) => self.echo(i, &layers),
                L4Kind::Tcp | L4Kind::Udp => self.refuse(i, Refusal::PortUnreachable),
                _ => self.drop(i, DropReason::LocalUnwanted),
            }
        }
    }

    /// Turns a request into its reply: type, addresses and MACs change, data stays.
    fn echo(&mut self, i: usize, layers: &Layers<A>) {
        let frame = &mut self.frames[i];
        frame.truncate(layers.end as usize);
        let offload = frame.offload;
        let bytes = frame.bytes_mut();
        swap_macs(bytes);
        let ip = &mut bytes[crate::wire::ethernet::HEADER_LEN..];
        layers.key.dst.put(ip, A::SOURCE_AT);
        layers.key.src.put(ip, A::DESTINATION_AT);
        let was = get16(ip, A::TTL_AT & !1);
        ip[A::TTL_AT] = OWN_TTL;
        if A::ICMP == protocol::ICMP {
            // Swapping addresses keeps the sum; the TTL changes it.
            let delta = Delta::NONE.replace(was, get16(ip, A::TTL_AT & !1));
            put16(ip, ipv4::CHECKSUM, delta.apply(get16(ip, ipv4::CHECKSUM)));
        }
        let message = &mut bytes[layers.l4 as usize..];
        let was = get16(message, icmp::TYPE);
        message[icmp::TYPE] = if A::ICMP == protocol::ICMP { icmp::v4::ECHO_REPLY } else { icmp::v6::ECHO_REPLY };
        if offload.checksum_at(layers.l4) == ChecksumState::Complete {
            let delta = Delta::NONE.replace(was, get16(message, icmp::TYPE));
            put16(message, icmp::CHECKSUM, delta.apply(get16(message, icmp::CHECKSUM)));
            icmp::settle_checksum(message);
        }
        // A partial checksum stays partial: it covers addresses, whose sum is the same.
        frame.offload = Offload { checksum: offload.checksum, ..Offload::DONE };
        self.verdicts[i] = Verdict::Reply(frame.ingress);
    }
}

/// An answer goes back to where the packet came from.
pub(super) fn swap_macs(frame: &mut [u8]) {
    let (destination, rest) = frame.split_at_mut(6);
    destination.swap_with_slice(&mut rest[..6]);
}
