//! Operations: drawn before a run, and told by places rather than by names, so that what is
//! left of a list still makes sense when some are taken away.

use causeway_testkit::packet::{ACK, FIN, PSH, RST, SYN};
use causeway_testkit::seed::Rng;

use crate::flow::Protocol;

/// What happens next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    /// A pod sends, whether there is a session or not.
    Open { protocol: Protocol, pod: usize, port: usize, to: Target, segment: Flags },
    /// A packet of a session, or of one that ended lately.
    Along { session: usize, back: bool, segment: Flags, mark: u8 },
    /// Somebody outside sends to a public address.
    Stray { protocol: Protocol, from: usize, port: usize, public: usize, to: usize, segment: Flags },
    /// An ICMP error about a packet of a session.
    Complain { session: usize, back: bool, about: About },
    /// Time passes; with or without timers running afterwards.
    Wait { how_long: Wait, timers: bool },
    /// Other tables. Sessions are judged by and by, so many with each operation that follows;
    /// all of them at once with 0.
    Install(Change, u32),
}

/// Where a pod sends to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// Somebody outside, on one of a few ports.
    Peer(usize, usize),
    /// A public address and port.
    Public(usize, usize),
    /// A pod of the same island.
    Pod(usize),
}

/// Of a segment: flags, and where its numbers are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flags {
    pub(crate) flags: u8,
    /// From what the other side acknowledged last.
    pub(crate) ahead: u32,
    pub(crate) acknowledgement: u32,
}

/// What an ICMP error is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Right,
    FromARouter,
    Cut(usize),
    TooShort,
    BadChecksum,
    /// It is not for the sender of what it quotes.
    SomebodyElses,
    /// A port of the quote is another.
    AnotherPort,
}

/// Until when.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    Milliseconds(u64),
    /// To the deadline of a session, and so many milliseconds more or less.
    Deadline(usize, i64),
}

/// What is configured anew.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// A forward comes or goes.
    Forward(usize),
    /// The address of a pod's own opens or closes.
    Own,
    /// A neighbour is there again, is asked for, or is dead.
    Neighbor(usize, usize),
    /// All neighbours are there.
    AllNeighbors,
    /// The pool has this many addresses.
    Addresses(usize),
    /// An address has this many ports.
    Ports(u16),
    /// A pod may talk to the server, or no longer.
    Policy,
    /// Nothing changes.
    Nothing,
}

impl Operation {
    /// Any.
    pub(crate) fn draw(rng: &mut Rng) -> Operation {
        let place = |rng: &mut Rng| rng.range(0..1 << 16);
        match rng.below(1_000) {
            0..330 => {
                let to = match rng.below(100) {
                    0..65 => Target::Peer(place(rng), place(rng)),
                    65..94 => Target::Public(place(rng), place(rng)),
                    _ => Target::Pod(place(rng)),
                };
                let segment = if rng.chance(9, 10) { Flags::syn(rng) } else { Flags::draw(rng) };
                Operation::Open { protocol: protocol(rng), pod: place(rng), port: place(rng), to, segment }
            }
            330..700 => {
                let (session, back, mark) = (place(rng), rng.bool(), rng.u8());
                Operation::Along { session, back, segment: Flags::draw(rng), mark }
            }
            700..800 => Operation::Stray {
                protocol: protocol(rng),
                from: place(rng),
                port: place(rng),
                public: place(rng),
                to: place(rng),
                segment: if rng.chance(3, 4) { Flags::syn(rng) } else { Flags::draw(rng) },
            },
            800..900 => Operation::Complain { session: place(rng), back: rng.bool(), about: About::draw(rng) },
            900..985 => {
                let how_long = if rng.bool() {
                    Wait::Milliseconds(rng.below(*rng.clone().choose(&[3, 300, 2_000])))
                } else {
                    Wait::Deadline(place(rng), *rng.choose(&[-250, -1, 0, 1, 249, 250]))
                };
                Operation::Wait { how_long, timers: rng.chance(9, 10) }
            }
            _ => Operation::Install(Change::draw(rng), *rng.choose(&[0, 0, 1, 3])),
        }
    }
}

impl Flags {
    /// What opens a conversation.
    fn syn(rng: &mut Rng) -> Flags {
        Flags { flags: SYN, ..Flags::draw(rng) }
    }

    fn draw(rng: &mut Rng) -> Flags {
        let usual = [SYN, SYN | ACK, SYN | ACK, ACK, ACK, PSH | ACK, FIN | ACK, FIN | ACK, RST, RST | ACK];
        let flags = if rng.chance(1, 20) { rng.u8() } else { *rng.choose(&usual) };
        let ahead = *rng.choose(&[0, 1, 1_460, 200_000, 1 << 19, 1 << 31, 0u32.wrapping_sub(1_000)]);
        let acknowledgement = *rng.choose(&[0, 1, 70_000, 0x7fff_fff0, 0xffff_ff00, u32::MAX]);
        Flags { flags, ahead, acknowledgement }
    }
}

impl About {
    fn draw(rng: &mut Rng) -> About {
        match rng.below(10) {
            0..4 => About::Right,
            4..6 => About::FromARouter,
            6 => About::Cut(*rng.choose(&[8, 9, 12, 16, 18, 19, 25])),
            7 => *rng.choose(&[About::TooShort, About::BadChecksum]),
            8 => About::SomebodyElses,
            _ => About::AnotherPort,
        }
    }
}

impl Change {
    fn draw(rng: &mut Rng) -> Change {
        match rng.below(20) {
            0..5 => Change::Forward(rng.range(0..3)),
            5 => Change::Own,
            6..11 => Change::Neighbor(rng.range(0..4), rng.range(0..3)),
            11..15 => Change::AllNeighbors,
            15 => Change::Policy,
            16 => Change::Ports(rng.range(1..26) as u16),
            17..19 => Change::Addresses(rng.range(1..3)),
            _ => Change::Nothing,
        }
    }
}

fn protocol(rng: &mut Rng) -> Protocol {
    match rng.below(20) {
        0..9 => Protocol::Tcp,
        9..16 => Protocol::Udp,
        16..19 => Protocol::Ask,
        _ => Protocol::Reply,
    }
}
