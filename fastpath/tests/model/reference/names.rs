//! Which names the rules allow.

use std::net::IpAddr;

use causeway_fastpath::ids::VrfId;
use causeway_fastpath::verdict::DropReason;

use super::{Chosen, RefNat, Session};
use crate::flow::{Flow, Protocol};
use crate::world::Endpoint;

/// A host, and the pool it gets names from.
type Host = (VrfId, IpAddr, usize);

/// Which address a host's flows are under (paired pooling, RFC 4787 REQ-2) is told by no
/// rule: every host has those left that its names so far allow.
#[derive(Default)]
pub(super) struct Homes(Vec<(Host, Vec<IpAddr>)>);

impl Homes {
    /// The addresses that may be the host's own.
    fn of(&mut self, host: Host, pool: &[IpAddr]) -> &mut Vec<IpAddr> {
        let at = self.0.iter().position(|(other, _)| *other == host).unwrap_or_else(|| {
            self.0.push((host, pool.to_vec()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }
}

impl RefNat {
    /// Begins the session of a flow that leaves. The inner error is a refusal, the outer
    /// one a broken rule.
    pub(super) fn begin(&mut self, flow: &Flow, chosen: &impl Chosen) -> Result<Result<usize, DropReason>, String> {
        if self.scene.is_exempted(flow.dst.0) {
            return Ok(self.track(flow));
        }
        let name = chosen.name(flow);
        if self.sessions.len() == self.scene.capacity {
            return Ok(Err(DropReason::NatTableFull));
        }
        let (pool, addresses, ports) = self.scene.pool(flow.vrf, flow.src.0);
        let name = if let Some(mapped) = self.mapped(flow, pool) {
            // Endpoint-independent mapping: it has a name, whomever it talks to.
            if self.find(&back(flow, mapped)).is_some() {
                return Ok(Err(DropReason::NatConflict));
            }
            if name != Some(mapped) {
                return Err(format!("the endpoint is called {mapped:?}, and leaves as {name:?}"));
            }
            mapped
        } else {
            let free = |address: IpAddr| -> Vec<Endpoint> {
                ports.clone().map(|port| (address, port)).filter(|name| self.is_free(flow, *name)).collect()
            };
            let free: Vec<Endpoint> = addresses.iter().flat_map(|address| free(*address)).collect();
            let Some(name) = name else {
                // A few names may be tried whose answers would be another session's.
                let names = addresses.iter().flat_map(|address| ports.clone().map(|port| (*address, port)));
                let conflict = flow.protocol != Protocol::Tcp
                    && names
                        .into_iter()
                        .any(|name| self.is_unnamed(flow, name) && self.find(&back(flow, name)).is_some());
                return match free.as_slice() {
                    _ if conflict => Ok(Err(DropReason::NatConflict)),
                    [] => Ok(Err(DropReason::NatPortsExhausted)),
                    free => Err(format!("{flow:?} leaves under no name, and free are {free:?}")),
                };
            };
            if !free.contains(&name) {
                return Err(format!("{flow:?} leaves as {name:?}, and free are {free:?}"));
            }
            let kept = (name.0, flow.src.1);
            if self.scene.keep_ports && name != kept && free.contains(&kept) {
                return Err(format!("{flow:?} leaves as {name:?}, and might have kept its port"));
            }
            let own = self.homes.of((flow.vrf, flow.src.0, pool), &addresses);
            own.retain(|own| *own == name.0 || free.iter().all(|(address, _)| address != own));
            if own.is_empty() {
                return Err(format!("{flow:?} leaves as {name:?}, which is not on its host's address"));
            }
            name
        };
        Ok(Ok(self.add(*flow, back(flow, name), Some(pool))))
    }

    /// Begins the session of a flow that keeps its name.
    fn track(&mut self, flow: &Flow) -> Result<usize, DropReason> {
        let back = back(flow, flow.src);
        if self.find(&back).is_some() {
            return Err(DropReason::NatConflict);
        }
        if self.sessions.len() == self.scene.capacity {
            return Err(DropReason::NatTableFull);
        }
        Ok(self.add(*flow, back, None))
    }

    /// The name that the sender has in this pool, where mapping is endpoint-independent.
    fn mapped(&self, flow: &Flow, pool: usize) -> Option<Endpoint> {
        let same = |other: &Flow| (other.vrf, other.protocol, other.src) == (flow.vrf, flow.protocol, flow.src);
        let mut standing = self.sessions.iter().filter(|session| session.pool == Some(pool));
        let session = standing.find(|session| flow.protocol != Protocol::Tcp && same(&session.forth));
        session.map(|session| session.back.dst)
    }

    /// May a flow get this name?
    fn is_free(&self, flow: &Flow, name: Endpoint) -> bool {
        self.is_unnamed(flow, name) && self.find(&back(flow, name)).is_none()
    }

    /// Is this name nobody else's?
    fn is_unnamed(&self, flow: &Flow, name: Endpoint) -> bool {
        let has = |session: &Session| (session.forth.protocol, session.back.dst) == (flow.protocol, name);
        // A port of TCP serves many destinations.
        let taken = flow.protocol != Protocol::Tcp
            && self.sessions.iter().any(|session| session.pool.is_some() && has(session));
        !taken && !self.scene.is_service(flow.protocol, name)
    }
}

/// How the answers arrive to a flow that leaves under this name.
fn back(flow: &Flow, name: Endpoint) -> Flow {
    Flow { vrf: VrfId::MAIN, dst: name, ..flow.answered() }
}
