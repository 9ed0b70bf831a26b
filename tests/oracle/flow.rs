//! Conversations: who has said what, and what may come next.

use causeway_testkit::packet::*;
use causeway_testkit::seed::Rng;

use crate::event::{Dress, Event, Kind};
use crate::names::{FlowId, Parties};
use crate::place::{Place, Side};
use crate::wire::{ICMP, ICMPV6, TCP, UDP};

/// Where a conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Fresh,
    /// TCP: one SYN was sent.
    Called,
    /// TCP: both sent a SYN before they heard the other's.
    Crossed,
    /// TCP: the side inside has answered the SYN that crossed its own.
    HalfCrossed,
    /// TCP: SYN and SYN ACK.
    Answered,
    Open,
    /// TCP: this side has sent its FIN.
    HalfClosed(Side),
    /// TCP: the other side has, too.
    LastAck(Side),
    /// TCP: it was reset before it was open.
    Refused,
    Ended,
}

/// A conversation that a host inside begins.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) parties: Parties,
    pub(crate) stage: Stage,
    /// Its ports served another conversation before.
    is_second: bool,
    /// TCP: both sides called at once.
    has_crossed: bool,
    /// TCP: the next sequence number of each side.
    next: [u32; 2],
    /// TCP: the last data of each side, with its sequence number.
    last: [Option<(u32, Vec<u8>)>; 2],
}

/// A TCP segment, told without names.
#[derive(Clone, Debug)]
struct Segment {
    flags: u8,
    seq: u32,
    ack: u32,
    payload: Vec<u8>,
}

/// What a packet under the names of a flow is made of.
pub(crate) struct Filler {
    ip: Ip,
    src: u16,
    dst: u16,
    numbers: (u32, u32),
}

impl Filler {
    /// The same, with something done to its IP layer.
    pub(crate) fn with_ip(self, change: impl Fn(Ip) -> Ip) -> Filler {
        Filler { ip: change(self.ip), ..self }
    }

    /// A segment without new data but for `length` bytes, which may be repeated.
    pub(crate) fn tcp(self, length: usize) -> Tcp {
        let tcp = self.ip.tcp(self.src, self.dst).flags(ACK).seq(self.numbers.0).ack(self.numbers.1);
        tcp.payload(vec![0x5a; length])
    }

    /// A datagram.
    pub(crate) fn udp(self, length: usize) -> Udp {
        self.ip.udp(self.src, self.dst).payload(vec![0x5a; length])
    }
}

impl Flow {
    pub(crate) fn new(rng: &mut Rng, parties: Parties) -> Flow {
        Flow {
            parties,
            stage: Stage::Fresh,
            is_second: false,
            has_crossed: false,
            next: [rng.u32(), rng.u32()],
            last: [None, None],
        }
    }

    /// Whether its host is known outside by now, as far as the flow can tell.
    pub(crate) fn is_known(&self) -> bool {
        self.stage != Stage::Fresh
    }

    /// Whether it is open and was opened in the usual way.
    pub(crate) fn is_plainly_open(&self) -> bool {
        self.stage == Stage::Open && !self.has_crossed
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Ended | Stage::Refused)
    }

    /// The next packet of the conversation.
    pub(crate) fn advance(&mut self, rng: &mut Rng, place: &Place, id: FlowId) -> Event {
        match self.parties.protocol {
            TCP => self.advance_tcp(rng, place, id),
            UDP => self.datagram(rng, place, id),
            _ => self.echo(rng, place, id),
        }
    }

    /// A datagram; the first comes from inside.
    fn datagram(&mut self, rng: &mut Rng, place: &Place, id: FlowId) -> Event {
        let from = if self.stage == Stage::Fresh || rng.bool() { Side::Inside } else { Side::Outside };
        self.stage = Stage::Open;
        let length = rng.range(0..600);
        let payload = rng.bytes(length);
        let without_checksum = place.v4 && rng.chance(1, 8);
        let kind = if without_checksum { Kind::UdpWithoutChecksum } else { Kind::Udp };
        self.packet(kind, from, id, place, Dress::any(rng), move |ip, src, dst| {
            let udp = ip.udp(src, dst).payload(&payload);
            if without_checksum { udp.no_checksum().build() } else { udp.build() }
        })
    }

    /// A request from inside or its reply.
    fn echo(&mut self, rng: &mut Rng, place: &Place, id: FlowId) -> Event {
        let from = if self.stage == Stage::Fresh || rng.bool() { Side::Inside } else { Side::Outside };
        self.stage = Stage::Open;
        let (sequence, length) = (rng.u16(), rng.range(0..600));
        let payload = rng.bytes(length);
        self.packet(Kind::Echo, from, id, place, Dress::any(rng), move |ip, src, dst| match from {
            Side::Inside => ip.icmp_echo_request(src, sequence).payload(&payload).build(),
            Side::Outside => ip.icmp_echo_reply(dst, sequence).payload(&payload).build(),
        })
    }

    fn advance_tcp(&mut self, rng: &mut Rng, place: &Place, id: FlowId) -> Event {
        use Side::{Inside, Outside};
        let (kind, from, segment) = match self.stage {
            Stage::Fresh => {
                self.stage = Stage::Called;
                (Kind::TcpOpens, Inside, self.syn(Inside))
            }
            Stage::Called => match rng.below(12) {
                0 => (Kind::TcpRepeats, Inside, self.repeated_syn(Inside)),
                1 => {
                    self.stage = Stage::Refused;
                    (Kind::TcpResets, Outside, self.bare(RST | ACK, 0, self.next[0]))
                }
                2 => {
                    (self.stage, self.has_crossed) = (Stage::Crossed, true);
                    (if self.is_second { Kind::TcpReopens } else { Kind::TcpOpens }, Outside, self.syn(Outside))
                }
                _ => {
                    self.stage = Stage::Answered;
                    (Kind::TcpOpens, Outside, self.syn_ack(Outside))
                }
            },
            Stage::Crossed => {
                self.stage = Stage::HalfCrossed;
                (Kind::TcpOpens, Inside, self.bare(SYN | ACK, self.next[0].wrapping_sub(1), self.next[1]))
            }
            Stage::HalfCrossed => {
                self.stage = Stage::Open;
                (Kind::TcpOpens, Outside, self.bare(SYN | ACK, self.next[1].wrapping_sub(1), self.next[0]))
            }
            Stage::Answered if rng.chance(1, 8) => {
                (Kind::TcpRepeats, Outside, self.bare(SYN | ACK, self.next[1].wrapping_sub(1), self.next[0]))
            }
            Stage::Answered => {
                self.stage = Stage::Open;
                (Kind::TcpContinues, Inside, self.ack(Inside))
            }
            Stage::Open => self.talk(rng),
            Stage::HalfClosed(closed) => match rng.below(4) {
                0 => (Kind::TcpContinues, closed.other(), self.data(rng, closed.other())),
                1 => (Kind::TcpContinues, closed, self.ack(closed)),
                2 => (Kind::TcpRepeats, closed, self.bare_from(closed, FIN | ACK, 1)),
                _ => {
                    self.stage = Stage::LastAck(closed);
                    (Kind::TcpEnds, closed.other(), self.fin(closed.other()))
                }
            },
            Stage::LastAck(closed) => {
                self.stage = Stage::Ended;
                (Kind::TcpEnds, closed, self.ack(closed))
            }
            Stage::Ended | Stage::Refused => {
                let from = *rng.choose(&Side::BOTH);
                let kind = if self.stage == Stage::Ended { Kind::TcpAfterEnd } else { Kind::TcpAfterRefusal };
                (kind, from, self.ack(from))
            }
        };
        let is_open = !matches!(kind, Kind::TcpOpens | Kind::TcpReopens);
        let kind = if self.has_crossed && is_open { Kind::TcpAfterCrossing } else { kind };
        self.segment(kind, from, id, place, Dress::any(rng), segment)
    }

    /// A segment of an open conversation, or one that ends it.
    fn talk(&mut self, rng: &mut Rng) -> (Kind, Side, Segment) {
        let from = *rng.choose(&Side::BOTH);
        match (rng.below(24), self.last[from as usize].clone()) {
            (0 | 1, _) => {
                self.stage = Stage::HalfClosed(from);
                (Kind::TcpEnds, from, self.fin(from))
            }
            (2, _) => {
                self.stage = Stage::Ended;
                (Kind::TcpResets, from, self.bare_from(from, RST | ACK, 0))
            }
            (3..6, _) => (Kind::TcpContinues, from, self.ack(from)),
            // A probe whether the other is still there: RFC 1122, 4.2.3.6.
            (6, _) => (Kind::TcpRepeats, from, self.bare_from(from, ACK, 1)),
            (7..10, Some((seq, payload))) => {
                let segment = Segment { payload, ..self.bare(PSH | ACK, seq, self.next[from.other() as usize]) };
                (Kind::TcpRepeats, from, segment)
            }
            _ => (Kind::TcpContinues, from, self.data(rng, from)),
        }
    }

    /// A segment that does not belong where the conversation stands; `None` where
    /// there is no conversation to disturb.
    pub(crate) fn disturb(&mut self, rng: &mut Rng, place: &Place, id: FlowId) -> Option<Event> {
        if self.parties.protocol != TCP || !self.is_plainly_open() {
            return None;
        }
        let from = *rng.choose(&Side::BOTH);
        let far = self.next[from as usize].wrapping_add(*rng.choose(&[0x0010_0000, 0x4000_0000, 0xfff0_0000]));
        let ack = self.next[from.other() as usize];
        let (kind, segment) = match rng.below(4) {
            0 => {
                let payload = rng.bytes(32);
                (Kind::TcpOutOfWindow, Segment { payload, ..self.bare(PSH | ACK, far, ack) })
            }
            1 => (Kind::TcpResetOutOfWindow, self.bare(RST, far, 0)),
            2 => (Kind::TcpSynInOpen, self.bare(SYN, far, 0)),
            _ => {
                let flags = *rng.choose(&[0, FIN | SYN, SYN | RST, FIN | SYN | RST | PSH | ACK | URG, FIN, URG | PSH]);
                (Kind::TcpOddFlags, self.bare(flags, self.next[from as usize], ack))
            }
        };
        Some(self.segment(kind, from, id, place, Dress::any(rng), segment))
    }

    /// A conversation that ended begins again on the same ports.
    pub(crate) fn reopen(&mut self, rng: &mut Rng, place: &Place, id: FlowId) -> Event {
        self.stage = Stage::Called;
        (self.is_second, self.has_crossed) = (true, false);
        self.last = [None, None];
        // Above what was seen, as RFC 9293, 3.6.1 wants it of a port in TIME-WAIT.
        self.next = self.next.map(|next| next.wrapping_add(0x0004_0000));
        let segment = self.syn(Side::Inside);
        let event = self.segment(Kind::TcpReopens, Side::Inside, id, place, Dress::any(rng), segment);
        Event { opens: true, ..event }
    }

    /// A packet under the names of the flow that changes nothing in the conversation,
    /// whether or not it arrives.
    pub(crate) fn filler(
        &self,
        (kind, from): (Kind, Side),
        id: FlowId,
        place: &Place,
        dress: Dress,
        carry: impl Fn(Filler) -> Vec<u8> + 'static,
    ) -> Event {
        let numbers = (self.next[from as usize], self.next[from.other() as usize]);
        let filler = move |ip, src, dst| carry(Filler { ip, src, dst, numbers });
        Event { belongs: false, ..self.packet(kind, from, id, place, dress, filler) }
    }

    fn syn(&mut self, from: Side) -> Segment {
        let seq = self.step(from, 1);
        self.bare(SYN, seq, 0)
    }

    fn syn_ack(&mut self, from: Side) -> Segment {
        let seq = self.step(from, 1);
        self.bare(SYN | ACK, seq, self.next[from.other() as usize])
    }

    fn repeated_syn(&self, from: Side) -> Segment {
        self.bare(SYN, self.next[from as usize].wrapping_sub(1), 0)
    }

    fn fin(&mut self, from: Side) -> Segment {
        let seq = self.step(from, 1);
        self.bare(FIN | ACK, seq, self.next[from.other() as usize])
    }

    fn data(&mut self, rng: &mut Rng, from: Side) -> Segment {
        let length = rng.range(1..400);
        let payload = rng.bytes(length);
        let seq = self.step(from, payload.len() as u32);
        self.last[from as usize] = Some((seq, payload.clone()));
        Segment { payload, ..self.bare(PSH | ACK, seq, self.next[from.other() as usize]) }
    }

    fn ack(&self, from: Side) -> Segment {
        self.bare_from(from, ACK, 0)
    }

    /// A segment without data, `back` before the next one of its sender.
    fn bare_from(&self, from: Side, flags: u8, back: u32) -> Segment {
        self.bare(flags, self.next[from as usize].wrapping_sub(back), self.next[from.other() as usize])
    }

    fn bare(&self, flags: u8, seq: u32, ack: u32) -> Segment {
        Segment { flags, seq, ack, payload: Vec::new() }
    }

    fn step(&mut self, from: Side, by: u32) -> u32 {
        let next = &mut self.next[from as usize];
        let seq = *next;
        *next = seq.wrapping_add(by);
        seq
    }

    fn segment(&self, kind: Kind, from: Side, id: FlowId, place: &Place, dress: Dress, segment: Segment) -> Event {
        self.packet(kind, from, id, place, dress, move |ip, src, dst| {
            let Segment { flags, seq, ack, ref payload } = segment;
            let tcp = ip.tcp(src, dst).flags(flags).seq(seq).ack(ack);
            if flags & SYN != 0 { tcp.mss(1300).build() } else { tcp.payload(payload).build() }
        })
    }

    /// A packet of this flow. `carry` gets the IP layer and both ports, or the
    /// identifier in place of the host's.
    fn packet(
        &self,
        kind: Kind,
        from: Side,
        id: FlowId,
        place: &Place,
        dress: Dress,
        carry: impl Fn(Ip, u16, u16) -> Vec<u8> + 'static,
    ) -> Event {
        let (Parties { host, peer, .. }, public) = (self.parties, place.router(Side::Outside));
        let draft = move |names: &crate::names::Names| {
            Some(match from {
                Side::Inside => carry(dress.ip(from, host.0, peer.0), host.1, peer.1),
                Side::Outside => carry(dress.ip(from, peer.0, public), peer.1, names.outside(id)?),
            })
        };
        Event { kind, from, flow: Some(id), belongs: true, opens: false, draft: Box::new(draft) }
    }
}

/// The protocol number of echo in a family.
pub(crate) fn echo_protocol(place: &Place) -> u8 {
    if place.v4 { ICMP } else { ICMPV6 }
}
