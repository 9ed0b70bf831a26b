//! What the API shows of pools, and of who uses them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use causeway_fastpath::command::PoolRow;
use causeway_fastpath::ids::PoolId;
use serde::{Deserialize, Serialize};

use crate::control::Control;
use crate::holders::{HostRow, PoolAlarm};

/// What is in use of a pool, or of one of its addresses, for one protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PoolView {
    /// Name in the configuration, or "masquerade" and a port.
    pub pool: String,
    /// "ipv4" or "ipv6".
    pub family: String,
    /// The address, where each has a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// How many addresses the row is about.
    pub addresses: u64,
    /// "tcp", "udp" or "icmp".
    pub protocol: String,
    /// Ports, or echo identifiers.
    pub ports: u64,
    /// Those in use. Where destinations share ports: toward the busiest, give or take a 64th.
    pub used: u64,
    /// Names that were open and are not given to anybody yet.
    pub resting: u64,
    /// Those that belong to forwards.
    pub forwarded: u64,
    /// Those that are left.
    pub free: u64,
    /// The most that were in use at a time, since the pool is as it is; of a whole pool, the
    /// sum over its addresses.
    pub high_water: u64,
    /// Endpoints that have a name; where destinations share ports, destinations.
    pub bindings: u64,
    /// Live sessions.
    pub sessions: u64,
    /// Flows that were refused, as no port was free.
    pub refused: u64,
    /// Is the pool nearly used up: 90 % of it taken, and not yet less than 80 % since?
    pub full: bool,
}

/// What a host inside holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HostView {
    /// Routing domain: its cluster.
    pub domain: String,
    /// Its address.
    pub address: IpAddr,
    /// Sessions, whoever began them.
    pub sessions: u64,
    /// Names outside: ports and echo identifiers.
    pub ports: u64,
    /// Sessions that it was refused since the start, for whatever reason.
    pub refused: u64,
}

/// As in [`PoolRow::loads`].
const PROTOCOLS: [&str; 3] = ["tcp", "udp", "icmp"];

impl PoolView {
    /// Rows by pool, family, address and protocol; summed up over addresses unless each is to
    /// have its own.
    pub fn all(control: &Control, rows: &[PoolRow], addresses: bool) -> Vec<PoolView> {
        let mut views: BTreeMap<(PoolId, bool, Option<IpAddr>, usize), PoolView> = BTreeMap::new();
        for row in rows {
            let (v6, address) = (row.address.is_ipv6(), addresses.then_some(row.address));
            for (protocol, load) in row.loads.iter().enumerate() {
                let view = views.entry((row.pool, v6, address, protocol)).or_insert_with(|| PoolView {
                    pool: control.pool_name(row.pool).to_owned(),
                    family: family(v6).to_owned(),
                    address,
                    protocol: PROTOCOLS[protocol].to_owned(),
                    full: control.is_full(row.pool, v6, protocol),
                    ..PoolView::nothing()
                });
                let taken = load.used + load.resting + load.forwarded;
                view.addresses += 1;
                view.ports += u64::from(row.ports);
                view.used += u64::from(load.used);
                view.resting += u64::from(load.resting);
                view.forwarded += u64::from(load.forwarded);
                view.free += u64::from(row.ports.saturating_sub(taken));
                view.high_water += u64::from(load.high_water);
                view.bindings += u64::from(load.bindings);
                view.sessions += u64::from(load.sessions);
                view.refused += load.refused;
            }
        }
        views.into_values().collect()
    }

    fn nothing() -> PoolView {
        PoolView {
            pool: String::new(),
            family: String::new(),
            address: None,
            addresses: 0,
            protocol: String::new(),
            ports: 0,
            used: 0,
            resting: 0,
            forwarded: 0,
            free: 0,
            high_water: 0,
            bindings: 0,
            sessions: 0,
            refused: 0,
            full: false,
        }
    }
}

impl PoolAlarm {
    /// What the pool is called, its family and the protocol.
    pub fn words<'a>(&self, control: &'a Control) -> (&'a str, &'static str, &'static str) {
        (control.pool_name(self.pool), family(self.v6), PROTOCOLS[self.protocol])
    }
}

impl HostView {
    /// A host, as control counted what it holds.
    pub fn of(control: &Control, row: &HostRow) -> HostView {
        let HostRow { vrf, address, sessions, ports, refused } = *row;
        HostView { domain: control.domain_name(vrf).to_owned(), address, sessions, ports, refused }
    }
}

fn family(v6: bool) -> &'static str {
    if v6 { "ipv6" } else { "ipv4" }
}
