//! Packets that cannot go on, and the ICMP errors that say so.
//!
//! RFC 1812, 4.3.2, and RFC 4443, 2.4: an error quotes the packet as it came, is
//! sent from the address of the port the packet came in by, and is never an
//! answer to an error, a later fragment, a broadcast, or a sender that is none.

use super::classify::{bad_source, is_link_local};
use super::local::{OWN_TTL, swap_macs};
use super::set::Set;
use super::walk::Walk;
use crate::address::Address;
use crate::fib::Hop;
use crate::handoff::Errand;
use crate::offload::Offload;
use crate::parse::{self, L4Kind, Layers};
use crate::verdict::{DropReason, Verdict};
use crate::wire::checksum::{finish, pseudo, sum};
use crate::wire::ethernet::{self, HEADER_LEN as L2};
use crate::wire::{icmp, ipv4, ipv6, protocol, put16};

/// Why a packet is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    TimeExceeded,
    NoRoute,
    Unreachable,
    Prohibited,
    PortUnreachable,
    /// The gateway does not speak it; IPv6 says where the number stands.
    ProtocolUnreachable {
        next_header_at: u16,
    },
    NeighborDead,
    TooBig {
        mtu: u16,
    },
    NatResources(DropReason),
    /// Its sender may not.
    Policy(DropReason),
    /// The IPv4 option that begins there overruns the header.
    BadOption {
        at: u8,
    },
}

/// Largest ICMP error for IPv4, IP header included (RFC 1812, 4.3.2.3).
const LARGEST_V4: usize = 576;

impl Refusal {
    /// The counter of the packet, where no error may be sent.
    fn drop_reason(self) -> DropReason {
        match self {
            Refusal::TimeExceeded => DropReason::TtlExpired,
            Refusal::NoRoute => DropReason::NoRoute,
            Refusal::Unreachable => DropReason::Unreachable,
            Refusal::Prohibited => DropReason::Prohibited,
            Refusal::PortUnreachable | Refusal::ProtocolUnreachable { .. } => DropReason::LocalUnwanted,
            Refusal::NeighborDead => DropReason::NeighborDead,
            Refusal::TooBig { .. } => DropReason::MtuExceeded,
            Refusal::NatResources(reason) | Refusal::Policy(reason) => reason,
            Refusal::BadOption { .. } => DropReason::OptionsBad,
        }
    }

    /// Type, code and second header word.
    fn message<A: Address>(self) -> (u8, u8, u32) {
        use icmp::{v4, v6};
        if A::ICMP == protocol::ICMP {
            match self {
                Refusal::TimeExceeded => (v4::TIME_EXCEEDED, 0, 0),
                Refusal::NoRoute => (v4::UNREACHABLE, v4::NET_UNREACHABLE, 0),
                Refusal::Unreachable | Refusal::NeighborDead => (v4::UNREACHABLE, v4::HOST_UNREACHABLE, 0),
                Refusal::Prohibited | Refusal::NatResources(_) | Refusal::Policy(_) => {
                    (v4::UNREACHABLE, v4::ADMIN_PROHIBITED, 0)
                }
                Refusal::PortUnreachable => (v4::UNREACHABLE, v4::PORT_UNREACHABLE, 0),
                Refusal::ProtocolUnreachable { .. } => (v4::UNREACHABLE, v4::PROTOCOL_UNREACHABLE, 0),
                // RFC 1191, section 4: the MTU in the lower half.
                Refusal::TooBig { mtu } => (v4::UNREACHABLE, v4::FRAGMENTATION_NEEDED, u32::from(mtu)),
                // RFC 792: the pointer in the first byte.
                Refusal::BadOption { at } => (v4::PARAMETER_PROBLEM, 0, u32::from(at) << 24),
            }
        } else {
            match self {
                Refusal::TimeExceeded => (v6::TIME_EXCEEDED, 0, 0),
                Refusal::NoRoute => (v6::UNREACHABLE, v6::NO_ROUTE, 0),
                Refusal::Unreachable | Refusal::NeighborDead => (v6::UNREACHABLE, v6::ADDRESS_UNREACHABLE, 0),
                Refusal::Prohibited | Refusal::NatResources(_) | Refusal::Policy(_) => {
                    (v6::UNREACHABLE, v6::ADMIN_PROHIBITED, 0)
                }
                Refusal::PortUnreachable => (v6::UNREACHABLE, v6::PORT_UNREACHABLE, 0),
                // RFC 8200, section 4, and RFC 4443, 3.4.
                Refusal::ProtocolUnreachable { next_header_at } => {
                    (v6::PARAMETER_PROBLEM, v6::UNRECOGNIZED_NEXT_HEADER, next_header_at.into())
                }
                Refusal::TooBig { mtu } => (v6::PACKET_TOO_BIG, 0, u32::from(mtu)),
                Refusal::BadOption { at } => (v6::PARAMETER_PROBLEM, 0, u32::from(at)),
            }
        }
    }
}

impl<A: Address> Walk<'_, A> {
    /// Notes that a packet is refused; `answer` says so to its sender.
    #[cold]
    pub(super) fn refuse(&mut self, i: usize, refusal: Refusal) {
        self.scratch.refusals[i] = refusal;
        self.verdicts[i] = Verdict::Drop(refusal.drop_reason());
        self.scratch.refused.insert(i);
    }

    /// Refuses packets whose IPv4 options overrun their header (RFC 1812, 4.3.3.5), but for
    /// those to nobody or to a whole subnet, which go there in silence.
    pub(super) fn refuse_bad_options(&mut self, packets: Set) {
        for i in packets {
            let look_up = |domain| self.tables.fib(domain).lookup(self.scratch.targets[i]).hop();
            let hop = match look_up(self.scratch.domains[i]) {
                Hop::Egress(beyond) => look_up(beyond),
                hop => hop,
            };
            match parse::ipv4_with_bad_options(self.frames[i].bytes()) {
                Some((_, at)) if hop != Hop::Blackhole => self.refuse(i, Refusal::BadOption { at }),
                _ => self.drop(i, DropReason::OptionsBad),
            }
        }
    }

    /// Turns refused packets into ICMP errors, where one is due and allowed.
    pub(super) fn answer(&mut self) {
        for i in self.scratch.refused {
            let layers = self.look_into(i);
            let Some(source) = self.error_source(i, &layers) else {
                continue;
            };
            // What turned inward shows a name that its sender does not know itself by: the
            // error goes to whose name it is, as one from outside does.
            let back = if self.is_turned_inward(i) {
                let Some(namer) = self.namer(i, &layers) else {
                    continue;
                };
                Some(namer)
            } else {
                None
            };
            self.verdicts[i] = if let Err(reason) = self.limits.errors.take(layers.key.src, self.now, self.chance) {
                Verdict::Drop(reason)
            } else if !self.build_error(i, &layers, source) {
                Verdict::Drop(DropReason::ReplyNoRoom)
            } else if let Some(namer) = back {
                // It comes in there, as if it were sent to us.
                swap_macs(self.frames[i].bytes_mut());
                self.hand_off(i, namer, Errand::Inward)
            } else {
                Verdict::Reply(self.frames[i].ingress)
            };
        }
    }

    /// The address an error about this packet comes from; `None` where none may be sent.
    fn error_source(&self, i: usize, layers: &Layers<A>) -> Option<A> {
        let frame = self.frames[i].bytes();
        let port = &self.snapshot.ports[self.frames[i].ingress.index()];
        let kind = if layers.kind == L4Kind::Fragment { parse::first_fragment(frame, layers) } else { layers.kind };
        let silent = kind == L4Kind::IcmpError
            || (kind == L4Kind::IcmpOther && parse::may_be_error::<A>(frame, layers))
            || kind == L4Kind::NeighborDiscovery
            // Cut short, it may have been an error.
            || (kind == L4Kind::Damaged && (layers.key.protocol == A::ICMP || layers.kind == L4Kind::Fragment))
            // RFC 1812 says so of IPv4; ICMPv6 answers later fragments too.
            || (A::BITS == 32 && kind == L4Kind::Fragment)
            || ethernet::is_group(frame)
            || ethernet::is_group(&frame[ethernet::SOURCE..])
            || bad_source(layers.key.src)
            || match self.scratch.refusals[i] {
                Refusal::TooBig { .. } => !self.must_not_fragment(i),
                Refusal::ProtocolUnreachable { next_header_at } => A::BITS == 128 && next_header_at == 0,
                _ => false,
            };
        if silent {
            return None;
        }
        // What was sent to the gateway is answered by the address it was sent to (RFC
        // 4443, 2.2 (a)).
        if matches!(self.scratch.refusals[i], Refusal::PortUnreachable | Refusal::ProtocolUnreachable { .. }) {
            return Some(layers.key.dst);
        }
        let own = if A::BITS == 32 {
            port.v4?.to_ip()
        } else if is_link_local(layers.key.src) {
            port.link_local.to_ip()
        } else {
            port.v6.unwrap_or(port.link_local).to_ip()
        };
        A::from_ip(own)
    }

    /// Puts IP and ICMP headers in front of the packet, which becomes the quote.
    /// `false` when the buffer has no room for them.
    fn build_error(&mut self, i: usize, layers: &Layers<A>, source: A) -> bool {
        let (kind, code, rest) = self.scratch.refusals[i].message::<A>();
        let frame = &mut self.frames[i];
        let (ip_len, largest) =
            if A::BITS == 32 { (ipv4::HEADER_LEN, LARGEST_V4) } else { (ipv6::HEADER_LEN, ipv6::MINIMUM_MTU) };
        let added = ip_len + icmp::HEADER_LEN;
        if frame.headroom() < added {
            return false;
        }
        let quote_end = (layers.end as usize).min(L2 + largest - added);
        frame.truncate(quote_end);
        frame.move_start(-(added as i32));
        frame.offload = Offload::DONE;
        let bytes = frame.bytes_mut();
        bytes.copy_within(added..added + L2, 0);
        swap_macs(bytes);

        let message_len = bytes.len() - L2 - ip_len;
        let (head, message) = bytes[L2..].split_at_mut(ip_len);
        head.fill(0);
        if A::BITS == 32 {
            head[ipv4::VERSION_IHL] = 0x45;
            // RFC 1812, 4.3.2.5: errors at precedence 6, internetwork control.
            head[ipv4::TOS] = 0xc0;
            put16(head, ipv4::TOTAL_LENGTH, (ip_len + message_len) as u16);
            // RFC 6864, section 4: what is never cut up needs no identification.
            put16(head, ipv4::FLAGS_FRAGMENT, ipv4::DONT_FRAGMENT);
            head[ipv4::PROTOCOL] = A::ICMP;
        } else {
            head[ipv6::VERSION] = 0x60;
            put16(head, ipv6::PAYLOAD_LENGTH, message_len as u16);
            head[ipv6::NEXT_HEADER] = A::ICMP;
        }
        head[A::TTL_AT] = OWN_TTL;
        source.put(head, A::SOURCE_AT);
        layers.key.src.put(head, A::DESTINATION_AT);
        if A::BITS == 32 {
            let checksum = finish(sum(head));
            put16(head, ipv4::CHECKSUM, checksum);
        }

        message[icmp::TYPE] = kind;
        message[icmp::CODE] = code;
        put16(message, icmp::CHECKSUM, 0);
        crate::wire::put32(message, icmp::REST, rest);
        let mut total = sum(message);
        if A::ICMP_PSEUDO_HEADER {
            total += source.sum() + layers.key.src.sum() + pseudo(A::ICMP, message_len);
        }
        put16(message, icmp::CHECKSUM, finish(total));
        true
    }
}
