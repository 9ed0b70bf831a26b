//! Conversations: one side asks until it is answered, step by step, to the end.

use std::net::IpAddr;
use std::time::Duration;

use causeway_fastpath::time::Instant;
use causeway_testkit::seed::Rng;

use crate::frame::{ICMP, ICMPV6, Note, TCP, UDP};
use crate::place::{NODE_A, pod_of, service};
use crate::station::{CLOSED, Heard, Reply, Request, Station};

/// Attempts in vain after which a connection begins anew: the gateway may have lost it.
const PATIENCE: u32 = 6;

/// A conversation, and how far it has come.
pub(crate) struct Talk {
    pub(crate) id: u32,
    pub(crate) protocol: u8,
    /// Where who begins stands, and as whom.
    pub(crate) station: usize,
    pub(crate) from: (IpAddr, u16),
    /// Whom it asks, and who that really is.
    pub(crate) to: (IpAddr, u16),
    pub(crate) server: (IpAddr, u16),
    /// Its ends are known outside by another name.
    pub(crate) named: bool,
    /// It is over once an ICMP error says that nobody is there.
    pub(crate) in_vain: bool,
    pub(crate) big: bool,
    last: u32,
    step: u32,
    attempts: u32,
    pub(crate) next_at: Instant,
    pub(crate) is_over: bool,
}

impl Talk {
    pub(crate) fn new(
        id: u32,
        protocol: u8,
        from: (usize, IpAddr, u16),
        to: (IpAddr, u16),
        server: (IpAddr, u16),
        rng: &mut Rng,
    ) -> Talk {
        Talk {
            id,
            protocol,
            station: from.0,
            from: (from.1, from.2),
            to,
            server,
            named: true,
            in_vain: protocol == UDP && to.1 == CLOSED,
            big: protocol == UDP && to.1 != CLOSED && rng.chance(1, 3),
            last: 2 + rng.below(5) as u32,
            step: 0,
            attempts: 0,
            next_at: Instant::from_millis(1_000_000 + rng.below(2_000)),
            is_over: false,
        }
    }

    /// Its ends keep their names.
    pub(crate) fn routed(self) -> Talk {
        Talk { named: false, ..self }
    }

    /// In single frames, from then on.
    pub(crate) fn small(self, next_at: Instant) -> Talk {
        Talk { big: false, next_at, ..self }
    }

    /// It begins only then.
    pub(crate) fn later(self, next_at: Instant) -> Talk {
        Talk { next_at, ..self }
    }

    /// Nobody is there.
    pub(crate) fn with_nobody(self) -> Talk {
        Talk { in_vain: true, big: false, ..self }
    }

    /// What it says next, as it is time.
    pub(crate) fn speak(&mut self, stations: &[Station], rng: &mut Rng, now: Instant) -> Vec<Reply> {
        self.attempts += 1;
        if self.attempts > PATIENCE && self.protocol == TCP {
            (self.step, self.attempts) = (0, 0);
        }
        self.next_at = now + Duration::from_millis(200 + rng.below(400) + 100 * u64::from(self.attempts.min(10)));
        let note = Note { answer: false, talk: self.id, step: self.step };
        let big = self.big.then(|| rng.u32());
        let what = Request { protocol: self.protocol, note, last: self.last, big };
        stations[self.station].says(self.from, self.to, what)
    }

    /// Somebody got something that belongs to this talk.
    /// Where sessions were ended early, answers under way meet names that have got free since: they
    /// begin sessions of their own, or reach whoever got the name.
    pub(crate) fn hear(&mut self, heard: &Heard, note: Note, freed: bool, rng: &mut Rng, now: Instant) {
        if let Some((src, dst, said)) = heard.about {
            if freed && (src, said.ports.0) != self.from {
                return;
            }
            if note.answer {
                assert_eq!((src, heard.dst), (self.server.0, src), "{self}: who answered is told what became of it");
                return;
            }
            assert_eq!(
                ((src, said.ports.0), heard.dst),
                (self.from, self.from.0),
                "an error quotes what its receiver sent"
            );
            let to_port = if is_icmp(self.protocol) { self.from.1 } else { self.to.1 };
            assert_eq!((dst, said.ports.1), (self.to.0, to_port), "as its receiver sent it");
            self.is_over |= self.in_vain;
            return;
        }
        let said = heard.said.expect("who has a note has said something");
        if !note.answer {
            let is_moved_service = freed && self.to == service(heard.dst.is_ipv6());
            let is_right =
                heard.dst == self.server.0 || is_moved_service && heard.dst == pod_of(NODE_A, 0, heard.dst.is_ipv6());
            assert!(is_right, "{self}: the request reaches whom it is for, and not {}", heard.dst);
            assert!(is_icmp(self.protocol) || said.ports.1 == self.server.1, "{self}: at the right port");
            return;
        }
        if freed && (heard.src != self.to.0 || (heard.dst, said.ports.1) != self.from) {
            return;
        }
        assert_eq!((heard.dst, said.ports.1), self.from, "{self}: the answer reaches who asked");
        assert_eq!(heard.src, self.to.0, "{self}: it comes from whom was asked");
        if note.step == self.step && !self.is_over {
            self.is_over = self.step == self.last;
            (self.step, self.attempts) = (self.step + 1, 0);
            self.next_at = now + Duration::from_micros(rng.below(50_000));
        }
    }
}

impl std::fmt::Display for Talk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Talk { id, protocol, from, to, server, step, last, attempts, .. } = self;
        write!(
            f,
            "talk {id} (protocol {protocol}, {from:?} to {to:?}, {server:?}) at {step} of {last}, attempt {attempts}"
        )
    }
}

pub(crate) fn is_icmp(protocol: u8) -> bool {
    matches!(protocol, ICMP | ICMPV6)
}
