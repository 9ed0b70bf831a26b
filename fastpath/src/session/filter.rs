//! Which sessions are meant: what a listing shows, and what is ended on demand.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::command::SessionRow;
use crate::fib::Prefix;
use crate::ids::VrfId;

/// Conditions that a session must meet, all of them. Without one, every session is
/// meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// In any order.
    pub conditions: Vec<Condition>,
}

/// One thing that must be so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Who is inside is in this routing domain.
    Domain(VrfId),
    /// Of this IP protocol.
    Protocol(u8),
    /// An end has an address in this block.
    Address(End, Block),
    /// An end has this port or echo identifier.
    Port(End, u16),
    /// The conversation stands there: one of [`SessionFilter::STATES`].
    State(&'static str),
    /// Was it begun by the peer?
    Forwarded(bool),
}

/// An end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Who is inside, under its own name.
    Inside,
    /// Who is inside, as the outside sees it.
    Outside,
    /// The peer.
    Peer,
    /// Any of them.
    Any,
}

/// Addresses of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// IPv4.
    V4(Prefix<u32>),
    /// IPv6.
    V6(Prefix<u128>),
}

impl SessionFilter {
    /// What a conversation's state may be called.
    pub const STATES: [&'static str; 7] =
        ["syn-sent", "syn-received", "established", "half-closed", "closing", "reset", "picked-up"];

    /// Is the session meant?
    pub fn matches(&self, row: &SessionRow) -> bool {
        self.conditions.iter().all(|condition| condition.holds(row))
    }
}

impl Condition {
    fn holds(&self, row: &SessionRow) -> bool {
        match *self {
            Condition::Domain(domain) => row.vrf == domain,
            Condition::Protocol(protocol) => row.protocol == protocol,
            Condition::Address(end, block) => end.has(row, |(address, _)| block.contains(address)),
            Condition::Port(end, port) => end.has(row, |(_, own)| own == port),
            Condition::State(state) => row.state == state,
            Condition::Forwarded(forwarded) => row.forwarded == forwarded,
        }
    }
}

impl End {
    fn has(self, row: &SessionRow, is: impl Fn((IpAddr, u16)) -> bool) -> bool {
        match self {
            End::Inside => is(row.inside),
            End::Outside => is(row.outside),
            End::Peer => is(row.peer),
            End::Any => is(row.inside) || is(row.outside) || is(row.peer),
        }
    }
}

impl Block {
    fn contains(self, address: IpAddr) -> bool {
        match (self, address) {
            (Block::V4(prefix), IpAddr::V4(address)) => prefix.contains(address.to_bits()),
            (Block::V6(prefix), IpAddr::V6(address)) => prefix.contains(address.to_bits()),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;
    use crate::nat::Basis;
    use crate::session::Direction::{Back, Forth};
    use crate::session::tcp::TcpState;
    use crate::wire::protocol;
    use crate::wire::tcp::{ACK, FIN, RST, SYN};

    fn row() -> SessionRow {
        SessionRow {
            vrf: VrfId(1),
            protocol: protocol::TCP,
            inside: ([10, 1, 2, 20].into(), 8_443),
            outside: ([203, 0, 113, 16].into(), 443),
            peer: ([198, 51, 100, 9].into(), 50_000),
            peer_as: None,
            forwarded: true,
            basis: Basis::Forwarded,
            state: "established",
            packets_out: 1,
            packets_in: 1,
            age_ms: 0,
            idle_ms: 0,
            expires_ms: 0,
        }
    }

    fn v4(address: [u8; 4], len: u8) -> Block {
        Block::V4(Prefix::containing(u32::from_be_bytes(address), len))
    }

    #[test]
    fn a_condition_holds_for_what_it_names_and_for_nothing_else() {
        for (holds, fails) in [
            (Condition::Domain(VrfId(1)), Condition::Domain(VrfId(2))),
            (Condition::Protocol(protocol::TCP), Condition::Protocol(protocol::UDP)),
            (
                Condition::Address(End::Inside, v4([10, 1, 2, 0], 24)),
                Condition::Address(End::Inside, v4([10, 1, 3, 0], 24)),
            ),
            (
                Condition::Address(End::Outside, v4([203, 0, 113, 16], 32)),
                Condition::Address(End::Outside, v4([10, 0, 0, 0], 8)),
            ),
            (
                Condition::Address(End::Peer, v4([0, 0, 0, 0], 0)),
                Condition::Address(End::Peer, Block::V6(Prefix::containing(0, 0))),
            ),
            (
                Condition::Address(End::Any, v4([198, 51, 100, 0], 24)),
                Condition::Address(End::Any, v4([198, 51, 101, 0], 24)),
            ),
            (Condition::Port(End::Inside, 8_443), Condition::Port(End::Inside, 443)),
            (Condition::Port(End::Outside, 443), Condition::Port(End::Outside, 50_000)),
            (Condition::Port(End::Peer, 50_000), Condition::Port(End::Peer, 8_443)),
            (Condition::Port(End::Any, 443), Condition::Port(End::Any, 444)),
            (Condition::State("established"), Condition::State("reset")),
            (Condition::Forwarded(true), Condition::Forwarded(false)),
        ] {
            assert!(holds.holds(&row()), "{holds:?}");
            assert!(!fails.holds(&row()), "{fails:?}");
        }
    }

    #[test]
    fn all_conditions_must_hold_and_none_is_met_by_everything() {
        let filter = |conditions| SessionFilter { conditions };
        let (tcp, udp) = (Condition::Protocol(protocol::TCP), Condition::Protocol(protocol::UDP));
        assert!(SessionFilter::default().matches(&row()));
        assert!(filter(vec![tcp, Condition::Domain(VrfId(1))]).matches(&row()));
        assert!(!filter(vec![tcp, udp]).matches(&row()));
    }

    #[test]
    fn every_state_of_a_conversation_has_a_name_to_filter_by() {
        let steps = [
            (SYN, Forth, "syn-sent"),
            (SYN | ACK, Back, "syn-received"),
            (ACK, Forth, "established"),
            (FIN | ACK, Forth, "half-closed"),
            (FIN | ACK, Back, "closing"),
            (RST, Back, "reset"),
        ];
        let mut state = TcpState::NEW;
        for ((flags, direction, name), known) in steps.into_iter().zip(SessionFilter::STATES) {
            state = state.after(flags, direction);
            assert_eq!((state.name(), name), (known, known));
        }
        assert_eq!(TcpState::PICKED_UP.name(), SessionFilter::STATES[6]);
    }
}
