//! Packets to the gateway itself. It answers pings; nothing listens on it but control, which
//! hears what nodes answer to its own.

use super::fragment::Place;
use super::refuse::Refusal;
use super::set::Set;
use super::walk::Walk;
use crate::address::Address;
use crate::fib::Hop;
use crate::offload::{ChecksumState, Offload};
use crate::parse::{self, L4Kind, Layers};
use crate::verdict::{DropReason, PuntReason, Verdict};
use crate::wire::checksum::{Delta, fold, pseudo, sum};
use crate::wire::ethernet::HEADER_LEN as L2;
use crate::wire::{get16, icmp, ipv4, ipv6, protocol, put16, tcp, udp};

/// TTL and hop limit of packets that the gateway originates (RFC 1700).
pub(super) const OWN_TTL: u8 = 64;

impl<A: Address> Walk<'_, A> {
    /// Answers echo requests in place (RFC 1812, 4.3.3.6; RFC 4443, 4.2) and tells
    /// those who want a service that there is none.
    pub(super) fn local(&mut self, packets: Set) {
        for i in packets {
            let layers = self.look_into(i);
            if self.is_turned_inward(i) {
                // Its sender does not know itself by the name that the answer would be for.
                self.drop(i, DropReason::LocalUnwanted);
                continue;
            }
            match layers.kind {
                L4Kind::EchoRequest | L4Kind::Fragment if super::classify::bad_source(layers.key.src) => {
                    self.drop(i, DropReason::LocalUnwanted)
                }
                L4Kind::EchoRequest => self.echo(i, &layers, Some(layers.l4 as usize)),
                L4Kind::EchoReply if self.snapshot.probes == Some(layers.key.dst_port) => {
                    self.verdicts[i] = if self.limits.replies.take(self.now) {
                        Verdict::Punt(PuntReason::EchoReply)
                    } else {
                        Verdict::Drop(DropReason::PuntRateLimited)
                    };
                }
                L4Kind::Fragment => self.echo_fragment(i, &layers),
                L4Kind::Tcp | L4Kind::Udp if !self.is_whole(i, &layers) => self.drop(i, DropReason::L4HeaderBad),
                L4Kind::Tcp if !self.may_ask(i, &layers) => self.drop(i, DropReason::LocalUnwanted),
                L4Kind::Tcp | L4Kind::Udp => self.refuse(i, Refusal::PortUnreachable),
                L4Kind::UdpLite | L4Kind::Sctp | L4Kind::Other | L4Kind::AddressBound => {
                    self.refuse(i, Refusal::ProtocolUnreachable { next_header_at: self.next_header_at(i) })
                }
                _ => self.drop(i, DropReason::LocalUnwanted),
            }
        }
    }

    /// Is the checksum of a TCP or UDP packet right? What is damaged gets no answer (RFC
    /// 1122, 4.1.3.4 and 4.2.2.7).
    fn is_whole(&self, i: usize, layers: &Layers<A>) -> bool {
        let frame = &self.frames[i];
        let body = &frame.bytes()[layers.l4 as usize..layers.end as usize];
        if frame.offload.checksum_at(layers.l4) != ChecksumState::Complete {
            return true;
        }
        if layers.kind == L4Kind::Udp && get16(body, udp::CHECKSUM) == 0 {
            // No checksum (RFC 768), which IPv6 does not allow (RFC 8200, 8.1).
            return A::BITS == 32;
        }
        let addresses = layers.key.src.sum() + layers.key.dst.sum();
        fold(sum(body) + addresses + pseudo(layers.key.protocol, body.len())) == 0xffff
    }

    /// Does a segment ask for a conversation, and may it be told that there is none?
    ///
    /// Strays get no answer. Where the address stands for islands too, nobody outside
    /// gets one: his SYN may cross one from inside (RFC 5382, REQ-4).
    fn may_ask(&self, i: usize, layers: &Layers<A>) -> bool {
        tcp::opens(layers.tcp_flags) && self.scratch.hops[i].hop() != Hop::LocalTranslated
    }

    /// Where the number of an unknown protocol stands, from the start of the packet; 0
    /// behind extension headers.
    fn next_header_at(&self, i: usize) -> u16 {
        let plain = usize::from(self.scratch.notes[i].l4) == L2 + ipv6::HEADER_LEN;
        if plain { ipv6::NEXT_HEADER as u16 } else { 0 }
    }

    /// Answers a fragment of a request by the same fragment of the reply: nothing needs to be
    /// put together. Whether a later one is of a request its first one says; what comes before
    /// that is held. Never the fragment of a reply, or two gateways could answer each other for
    /// ever.
    #[cold]
    #[inline(never)]
    fn echo_fragment(&mut self, i: usize, layers: &Layers<A>) {
        let bytes = self.frames[i].bytes();
        let may_be_of_ping = match parse::first_fragment(bytes, layers) {
            L4Kind::EchoRequest => true,
            L4Kind::Fragment => parse::may_be_of_icmp(bytes, layers),
            _ => false,
        };
        if !may_be_of_ping {
            return self.drop(i, DropReason::LocalUnwanted);
        }
        // Where the address stands for islands too, it was recognized when its session was sought.
        if !self.scratch.fragments.contains(i) && !self.fragment(i, false) {
            return;
        }
        let (place, flow) = (self.scratch.places[i], self.scratch.keys[i]);
        if self.scratch.found[i].is_some() || flow.dst_port != 0 {
            return self.drop(i, DropReason::LocalUnwanted);
        }
        // Those that are never completed must not take the room of datagrams that have a session.
        if matches!(place, Place::First { .. }) && !self.limits.pings.take(self.now) {
            return self.drop(i, DropReason::IcmpRateLimited);
        }
        if self.enter(i) {
            self.echo(i, layers, place.l4().map(usize::from));
        }
    }

    /// Turns a request into its reply: type, addresses and MACs change, data stays. `message` is
    /// where it begins; a later fragment does not show that.
    fn echo(&mut self, i: usize, layers: &Layers<A>, message: Option<usize>) {
        let frame = &mut self.frames[i];
        frame.truncate(layers.end as usize);
        let offload = frame.offload;
        let bytes = frame.bytes_mut();
        swap_macs(bytes);
        let ip = &mut bytes[L2..];
        layers.key.dst.put(ip, A::SOURCE_AT);
        layers.key.src.put(ip, A::DESTINATION_AT);
        let was = get16(ip, A::TTL_AT & !1);
        ip[A::TTL_AT] = OWN_TTL;
        if A::ICMP == protocol::ICMP {
            // Swapping addresses keeps the sum; the TTL changes it.
            let delta = Delta::NONE.replace(was, get16(ip, A::TTL_AT & !1));
            put16(ip, ipv4::CHECKSUM, delta.apply(get16(ip, ipv4::CHECKSUM)));
        }
        if let Some(at) = message {
            let message = &mut bytes[at..];
            let was = get16(message, icmp::TYPE);
            message[icmp::TYPE] = if A::ICMP == protocol::ICMP { icmp::v4::ECHO_REPLY } else { icmp::v6::ECHO_REPLY };
            if offload.checksum_at(layers.l4) == ChecksumState::Complete {
                let delta = Delta::NONE.replace(was, get16(message, icmp::TYPE));
                put16(message, icmp::CHECKSUM, delta.apply(get16(message, icmp::CHECKSUM)));
                icmp::settle_checksum(message);
            }
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
