//! The whole vocabulary between control and a worker.
//!
//! One ordered channel each way: "install the route, then send the packet that
//! waited for it" is right by construction. What control allocated comes back to
//! control to be freed.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::frame::Frame;
use crate::ids::{Epoch, PoolId, PortId, VrfId};
use crate::nat::{Basis, Load, Room};
use crate::session::SessionFilter;
use crate::snapshot::Snapshot;
use crate::verdict::PuntReason;

/// From control to a worker.
#[derive(Debug)]
pub enum Command {
    /// Here is what the worker needs to go over to the tables that come next, where names or
    /// policy differ: otherwise it has to allocate it.
    Prepare(Box<Room>),
    /// Forward by these tables from now on.
    Install(Arc<Snapshot>),
    /// Treat this heap frame as if it had just arrived on its `ingress` port.
    Inject(Frame),
    /// Send this heap frame out of a port as it is.
    Transmit(PortId, Frame),
    /// Fill this page with sessions.
    ListSessions(Box<SessionPage>),
    /// End the sessions of a part of the table that are meant.
    EndSessions(Box<SessionKill>),
    /// Fill this page with what is in use of pools.
    ListPools(Box<PoolPage>),
    /// Fill this page with hosts that were refused.
    ListRefused(Box<RefusedPage>),
}

/// From a worker to control.
#[derive(Debug)]
pub enum Event {
    /// The tables are in force; here are the ones they replaced.
    Installed {
        /// Which tables.
        epoch: Epoch,
        /// What they replaced, to be freed by control.
        retired: Arc<Snapshot>,
    },
    /// Every session was judged by tables that are in force, and those that they do not admit
    /// have ended: here is the room that was used, with what was replaced, to be freed by control.
    Settled(Box<Room>),
    /// A heap copy of a packet that control must see, as it arrived.
    Punted(PuntReason, Frame),
    /// The page, filled.
    Sessions(Box<SessionPage>),
    /// Those that were meant have ended.
    SessionsEnded(Box<SessionKill>),
    /// The page, filled.
    Pools(Box<PoolPage>),
    /// The page, filled.
    Refused(Box<RefusedPage>),
    /// A heap frame that has served, to be freed by control.
    Spent(Frame),
}

/// A part of the session table, copied out.
#[derive(Debug, Default)]
pub struct SessionPage {
    /// Which request it answers.
    pub request: u64,
    /// Where to go on; start with the default. `None` when filled to the end.
    pub cursor: Option<SessionCursor>,
    /// At most this many records are looked at; `rows` has room for as many.
    pub limit: u32,
    /// What was found.
    pub rows: Vec<SessionRow>,
}

/// A part of the session table, and which of its sessions are to end. Nobody is told:
/// what their ends still send is treated as a stranger's.
#[derive(Debug, Default)]
pub struct SessionKill {
    /// Which request it answers.
    pub request: u64,
    /// Where to go on; start with the default. `None` when all were looked at.
    pub cursor: Option<SessionCursor>,
    /// At most this many records are looked at.
    pub limit: u32,
    /// Which sessions are meant.
    pub filter: SessionFilter,
    /// Are they only to be counted?
    pub dry_run: bool,
    /// How many were meant so far, in this part and those before.
    pub met: u64,
}

/// A place in the session tables, or in the lists of who was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionCursor {
    /// In the IPv6 table, after all of IPv4.
    pub v6: bool,
    /// The number to go on with.
    pub number: u32,
}

/// A part of the pools, copied out: a row an address.
#[derive(Debug, Default)]
pub struct PoolPage {
    /// Which request it answers.
    pub request: u64,
    /// Where to go on; start with the default. `None` when filled to the end.
    pub cursor: Option<PoolCursor>,
    /// Only pools before this one.
    pub end: PoolId,
    /// At most this many pools and addresses are looked at; `rows` has room for as many.
    pub limit: u32,
    /// What was found.
    pub rows: Vec<PoolRow>,
}

/// A place in the pools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolCursor {
    /// Of IPv6, after all of IPv4.
    pub v6: bool,
    /// The pool to go on with.
    pub pool: PoolId,
    /// And its address.
    pub address: u32,
}

/// A part of the hosts that were refused sessions, copied out.
#[derive(Debug, Default)]
pub struct RefusedPage {
    /// Which request it answers.
    pub request: u64,
    /// Where to go on; start with the default. `None` when filled to the end.
    pub cursor: Option<SessionCursor>,
    /// At most this many records are looked at; `rows` has room for as many.
    pub limit: u32,
    /// Who, in which routing domain, and how often.
    pub rows: Vec<(VrfId, IpAddr, u64)>,
}

/// What is in use of an address of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolRow {
    /// The pool.
    pub pool: PoolId,
    /// The address.
    pub address: IpAddr,
    /// How many ports the pool may use of it.
    pub ports: u32,
    /// What is in use for TCP, UDP and echo identifiers.
    pub loads: [Load; 3],
}

impl PoolRow {
    /// Adds what another worker has of the address.
    pub fn add(&mut self, other: &PoolRow) {
        self.ports += other.ports;
        for (load, other) in self.loads.iter_mut().zip(&other.loads) {
            load.add(other);
        }
    }
}

/// A session, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Routing domain of who is inside.
    pub vrf: VrfId,
    /// IP protocol.
    pub protocol: u8,
    /// Who is inside: address, and port or echo identifier.
    pub inside: (IpAddr, u16),
    /// Who is inside, as the outside sees it.
    pub outside: (IpAddr, u16),
    /// The peer; 0 as port of an echo.
    pub peer: (IpAddr, u16),
    /// What who is inside calls a peer that is hidden from him.
    pub peer_as: Option<(IpAddr, u16)>,
    /// Was it begun by the peer, who reached who is inside by a forward or an open name?
    pub forwarded: bool,
    /// How it came to be.
    pub basis: Basis,
    /// Where the conversation stands: a TCP state, or empty.
    pub state: &'static str,
    /// Packets from inside.
    pub packets_out: u32,
    /// Packets from outside.
    pub packets_in: u32,
    /// Milliseconds since it began.
    pub age_ms: u32,
    /// Milliseconds since the last packet.
    pub idle_ms: u32,
    /// Milliseconds until it ends, if it stays silent.
    pub expires_ms: u32,
}
