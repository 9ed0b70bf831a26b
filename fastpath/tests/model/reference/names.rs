//! Which names the rules allow.

use std::net::IpAddr;

use causeway_fastpath::ids::VrfId;
use causeway_fastpath::nat::Filtering;
use causeway_fastpath::verdict::DropReason;

use super::{Chosen, RefNat, Session};
use crate::flow::{Flow, Protocol};
use crate::scene::Scene;
use crate::world::Endpoint;

/// A host, and the pool it gets names from.
type Host = (VrfId, IpAddr, usize);

/// What is wrong where a flow is refused that has a free name.
pub(crate) const NO_NAME: &str = "leaves under no name";

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

/// A name by which strangers were let in, and on which no session stands any more: for
/// some time it is nobody else's (RFC 6888 REQ-8).
pub(super) struct Rest {
    pool: usize,
    protocol: Protocol,
    vrf: VrfId,
    src: Endpoint,
    /// Where it is a name toward one address alone.
    toward: Option<IpAddr>,
    pub(super) name: Endpoint,
    pub(super) since: u64,
}

impl Rest {
    /// May it go on resting?
    pub(super) fn is_legal(&self, scene: &Scene) -> bool {
        is_name_of(scene, self.vrf, self.src.0, self.protocol, self.name)
    }

    pub(super) fn pool(&self) -> usize {
        self.pool
    }

    /// Is it the name that this flow's sender has for it?
    fn is_of(&self, flow: &Flow, pool: usize) -> bool {
        (self.vrf, self.protocol, self.src, self.pool) == (flow.vrf, flow.protocol, flow.src, pool)
            && self.toward.is_none_or(|peer| peer == flow.dst.0)
    }
}

/// May this pod have this name?
fn is_name_of(scene: &Scene, vrf: VrfId, pod: IpAddr, protocol: Protocol, name: Endpoint) -> bool {
    let (_, addresses, ports) = scene.pool(vrf, pod);
    addresses.contains(&name.0) && ports.contains(&name.1) && !scene.is_service(protocol, name)
}

impl Session {
    /// Would it be begun by this scene, under the name that it has?
    pub(super) fn is_legal(&self, scene: &Scene) -> bool {
        let (flow, protocol) = (self.outward(), self.forth.protocol);
        if self.pool.is_some() {
            !scene.is_denied(flow) && is_name_of(scene, flow.vrf, flow.src.0, protocol, self.name())
        } else if self.inbound {
            scene.forward(&self.forth) == Some((flow.src, flow.vrf))
        } else {
            !scene.is_denied(flow)
        }
    }

    /// How the packets arrive of who is inside.
    fn outward(&self) -> &Flow {
        if self.inbound { &self.back } else { &self.forth }
    }

    /// Was it begun from outside, and by no forward?
    pub(crate) fn was_let_in(&self) -> bool {
        self.inbound && self.pool.is_some()
    }

    /// Who is inside.
    fn inside(&self) -> (VrfId, Endpoint) {
        (self.outward().vrf, self.outward().src)
    }

    fn peer(&self) -> Endpoint {
        self.outward().dst
    }

    /// Under which name the peer knows who is inside.
    fn name(&self) -> Endpoint {
        if self.inbound { self.forth.dst } else { self.back.dst }
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
        // A name that became a service's while it rested is gone.
        let scene = &self.scene;
        self.rests.retain(|rest| !rest.is_of(flow, pool) || !scene.is_service(flow.protocol, rest.name));
        let name = if let Some(mapped) = self.mapped(flow, pool) {
            // It has a name, whomever it talks to, or whatever port of this address.
            if self.find(&back(flow, mapped)).is_some() {
                return Ok(Err(DropReason::NatConflict));
            }
            match name {
                None => return Err(format!("the endpoint is called {mapped:?}, and {NO_NAME}")),
                Some(name) if name != mapped => {
                    return Err(format!("the endpoint is called {mapped:?}, and leaves as {name:?}"));
                }
                Some(_) => {}
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
                let conflict = self.scene.names_are_owned(flow.protocol)
                    && names
                        .into_iter()
                        .any(|name| self.is_unnamed(flow, name) && self.find(&back(flow, name)).is_some());
                return match free.as_slice() {
                    _ if conflict => Ok(Err(DropReason::NatConflict)),
                    [] => Ok(Err(DropReason::NatPortsExhausted)),
                    free => Err(format!("{flow:?} {NO_NAME}, and free are {free:?}")),
                };
            };
            if !free.contains(&name) {
                return Err(format!("{flow:?} leaves as {name:?}, and free are {free:?}"));
            }
            let kept = (name.0, flow.src.1);
            if self.scene.keep_ports && name != kept && free.contains(&kept) && !self.unsettled {
                return Err(format!("{flow:?} leaves as {name:?}, and might have kept its port"));
            }
            let own = self.homes.of((flow.vrf, flow.src.0, pool), &addresses);
            if !self.unsettled {
                own.retain(|own| *own == name.0 || free.iter().all(|(address, _)| address != own));
            }
            if own.is_empty() {
                return Err(format!("{flow:?} leaves as {name:?}, which is not on its host's address"));
            }
            name
        };
        self.rests.retain(|rest| !rest.is_of(flow, pool));
        Ok(Ok(self.add(*flow, back(flow, name), Some(pool), false)))
    }

    /// The last session under a name has ended: if strangers were let in by it, it rests.
    pub(super) fn rest(&mut self, ended: &Session) {
        let Some(pool) = ended.pool.filter(|_| self.scene.behavior(ended.forth.protocol).is_open()) else {
            return;
        };
        let is_last = self.sessions.iter().all(|other| {
            (other.pool, other.forth.protocol, self.owner(other))
                != (Some(pool), ended.forth.protocol, self.owner(ended))
        });
        // Others under it may have ended at the same time.
        if is_last && !self.rests.iter().any(|rest| rest.is_of(ended.outward(), pool)) {
            let (protocol, ((vrf, src), toward)) = (ended.forth.protocol, self.owner(ended));
            self.rests.push(Rest { pool, protocol, vrf, src, toward, name: ended.name(), since: self.now });
        }
    }

    /// Are there names that nobody uses and nobody gets?
    pub(crate) fn has_names_at_rest(&self) -> bool {
        !self.rests.is_empty()
    }

    /// What is in use of a pool's address for TCP, UDP or echoes: sessions, what they stand on,
    /// and names at rest.
    pub(crate) fn in_use(&self, pool: usize, address: IpAddr, protocol: usize) -> (u32, u32, u32) {
        let is_of = |other: Protocol| other.min(Protocol::Ask) as usize == protocol;
        let own = self.sessions.iter().filter(|session| {
            session.pool == Some(pool) && is_of(session.forth.protocol) && session.name().0 == address
        });
        let mut standing = Vec::new();
        for session in own.clone() {
            let is_owned = self.scene.names_are_owned(session.forth.protocol);
            let ends = (is_owned.then(|| self.owner(session)), (!is_owned).then(|| session.peer()));
            if !standing.contains(&ends) {
                standing.push(ends);
            }
        }
        let rests =
            self.rests.iter().filter(|rest| rest.pool == pool && is_of(rest.protocol) && rest.name.0 == address);
        (own.count() as u32, standing.len() as u32, rests.count() as u32)
    }

    /// Who is reached by the name that a flow from outside is for, if he lets the sender in:
    /// endpoint, island and pool.
    pub(super) fn reached(&self, flow: &Flow) -> Option<(Endpoint, VrfId, Option<usize>)> {
        let filtering = self.scene.behavior(flow.protocol).filtering;
        let by_name = |session: &&Session| {
            session.pool.is_some() && (session.forth.protocol, session.name()) == (flow.protocol, flow.dst)
        };
        // Toward whom sees its own address, nobody answers under a name.
        if self.scene.is_exempted(flow.src.0) {
            return None;
        }
        let may_answer = |session: &Session| {
            let (vrf, src) = session.inside();
            !self.scene.is_denied(&Flow { vrf, src, ..flow.answered() })
        };
        let is_let_in = match filtering {
            Filtering::EndpointIndependent => true,
            Filtering::AddressDependent => {
                self.sessions.iter().filter(by_name).any(|session| session.peer().0 == flow.src.0)
            }
            Filtering::AddressAndPortDependent => false,
        };
        let session = self.sessions.iter().find(by_name).filter(|session| is_let_in && may_answer(session))?;
        let (vrf, src) = session.inside();
        Some((src, vrf, session.pool))
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
        Ok(self.add(*flow, back, None, false))
    }

    /// Who has the name of a session that is somebody's, and toward whom alone.
    fn owner(&self, session: &Session) -> ((VrfId, Endpoint), Option<IpAddr>) {
        (session.inside(), self.scene.toward(session.forth.protocol, session.peer().0))
    }

    /// The name that the sender has in this pool for this flow, where names are somebody's.
    fn mapped(&self, flow: &Flow, pool: usize) -> Option<Endpoint> {
        let toward = |peer: Endpoint| self.scene.toward(flow.protocol, peer.0);
        let owner = |flow: &Flow| (flow.vrf, flow.protocol, flow.src, toward(flow.dst));
        let mut standing = self.sessions.iter().filter(|session| session.pool == Some(pool));
        let is_owned = self.scene.names_are_owned(flow.protocol);
        let session = standing.find(|session| is_owned && owner(session.outward()) == owner(flow));
        let resting = || self.rests.iter().find(|rest| rest.is_of(flow, pool)).map(|rest| rest.name);
        session.map(Session::name).or_else(resting)
    }

    /// May a flow get this name?
    fn is_free(&self, flow: &Flow, name: Endpoint) -> bool {
        self.is_unnamed(flow, name) && self.find(&back(flow, name)).is_none()
    }

    /// Is this name nobody else's?
    fn is_unnamed(&self, flow: &Flow, name: Endpoint) -> bool {
        let has = |session: &Session| (session.forth.protocol, session.name()) == (flow.protocol, name);
        let rests = self.rests.iter().any(|rest| (rest.protocol, rest.name) == (flow.protocol, name));
        // A port that is mapped by destination serves many.
        let taken = self.scene.names_are_owned(flow.protocol)
            && self.sessions.iter().any(|session| session.pool.is_some() && has(session));
        !taken && !rests && !self.scene.is_service(flow.protocol, name)
    }
}

/// How the answers arrive to a flow that leaves under this name.
fn back(flow: &Flow, name: Endpoint) -> Flow {
    Flow { vrf: VrfId::MAIN, dst: name, ..flow.answered() }
}
