//! From operations to packets.

use std::net::IpAddr;

use causeway_fastpath::ids::{AdjacencyId, PortId, VrfId};
use causeway_testkit::packet::Eth;

use crate::flow::{Complaint, Damage, Flow, Packet, Protocol, Segment};
use crate::operation::{About, Flags, Operation, Target};
use crate::reference::RefNat;
use crate::scene::Scene;
use crate::world::{Endpoint, FIRST_PORT, Family, ISLAND, OTHER_ISLAND, ROUTER, from};

/// Ports that pods send from; some are also names.
const PORTS: [u16; 8] = [1_024, 1_024, 1_025, 1_025, 5_000, 5_000, 8_443, 0];
/// Those where everybody talks to one peer.
const MANY_PORTS: [u16; 8] = [1_030, 1_031, 1_032, 1_033, 1_034, 1_035, 1_036, 1_037];
/// Ports of those outside.
const SERVICES: [u16; 2] = [53, 443];

/// What comes in by a port.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Item {
    Packet(Packet),
    Complaint(Complaint),
}

impl Item {
    /// What an operation sends, if it sends anything.
    pub(crate) fn of(operation: &Operation, reference: &RefNat) -> Option<Item> {
        let scene = &reference.scene;
        match *operation {
            Operation::Open { protocol, pod, port, to, segment } => {
                let flow = opened(scene, protocol, pod, port, to);
                let segment = numbered(reference, None, segment);
                (flow.src.0 != flow.dst.0).then_some(Item::Packet(Packet { flow, segment, mark: port as u8 }))
            }
            Operation::Along { session, back, segment, mark } => {
                let (forth, answer) = picked(reference, session)?;
                let flow = if back { answer } else { forth };
                let segment = numbered(reference, Some(&flow), segment);
                is_believed(scene, flow.vrf, flow.src.0).then_some(Item::Packet(Packet { flow, segment, mark }))
            }
            Operation::Stray { protocol, from, port, public, to, segment } => {
                let peer = (scene.peers()[from % 3], SERVICES[port % 2]);
                let flow = flow(VrfId::MAIN, protocol, peer, public_name(scene, public, to));
                let segment = numbered(reference, None, segment);
                Some(Item::Packet(Packet { flow, segment, mark: port as u8 }))
            }
            Operation::Complain { session, back, about } => {
                let (forth, answer) = picked(reference, session)?;
                let quoted = if back { answer } else { forth }.answered();
                let complaint = complaint(scene, quoted, session as u8, about);
                let is_sent = complaint.src != complaint.dst && is_believed(scene, complaint.vrf, complaint.src);
                is_sent.then_some(Item::Complaint(complaint))
            }
            Operation::Wait { .. } | Operation::Install(..) => None,
        }
    }

    /// From whom it comes.
    fn sender(&self, scene: &Scene) -> AdjacencyId {
        let (vrf, src) = match self {
            Item::Packet(packet) => (packet.flow.vrf, packet.flow.src.0),
            Item::Complaint(complaint) => (complaint.vrf, complaint.src),
        };
        if vrf == VrfId::MAIN { ROUTER } else { scene.neighbor(vrf, src) }
    }

    /// The port it comes in by.
    pub(crate) fn ingress(&self, scene: &Scene) -> PortId {
        scene.port(self.sender(scene))
    }

    /// As it comes.
    pub(crate) fn frame(&self, scene: &Scene, ttl: u8) -> Vec<u8> {
        self.frame_on(scene.family, from(self.sender(scene)), ttl)
    }

    /// On this link.
    pub(crate) fn frame_on(&self, family: Family, link: Eth, ttl: u8) -> Vec<u8> {
        match self {
            Item::Packet(packet) => packet.frame(link, ttl),
            Item::Complaint(complaint) => complaint.frame(family, link, ttl),
        }
    }
}

/// Nobody outside is believed to have the gateway's address.
fn is_believed(scene: &Scene, vrf: VrfId, src: IpAddr) -> bool {
    vrf != VrfId::MAIN || !scene.is_gateways(src)
}

fn opened(scene: &Scene, protocol: Protocol, pod: usize, port: usize, to: Target) -> Flow {
    let vrf = if pod.is_multiple_of(3) { OTHER_ISLAND } else { ISLAND };
    let pods = scene.pods(vrf);
    let ports = if scene.crowded { MANY_PORTS } else { PORTS };
    let source = (pods[pod / 3 % pods.len()], ports[port % ports.len()]);
    let target = match to {
        Target::Peer(..) if scene.crowded => (scene.peers()[0], SERVICES[0]),
        Target::Peer(peer, port) => (scene.peers()[peer % 3], SERVICES[port % 2]),
        Target::Public(public, port) => public_name(scene, public, port),
        Target::Pod(pod) => (pods[pod % pods.len()], 5_000),
    };
    flow(vrf, protocol, source, target)
}

/// One of the names there may be, or a forward, or nobody.
fn public_name(scene: &Scene, public: usize, port: usize) -> Endpoint {
    let publics = scene.publics();
    (publics[public % publics.len()], FIRST_PORT + (port % (usize::from(scene.ports) + 1)) as u16)
}

/// The keys of a session, or of one that ended lately.
fn picked(reference: &RefNat, place: usize) -> Option<(Flow, Flow)> {
    let (live, ended) = (&reference.sessions, &reference.ended);
    let at = place.checked_rem(live.len() + ended.len())?;
    Some(live.get(at).map_or_else(|| ended[at - live.len()], |session| (session.forth, session.back)))
}

fn numbered(reference: &RefNat, flow: Option<&Flow>, flags: Flags) -> Segment {
    let found = flow.and_then(|flow| reference.find(flow));
    let tcp = found.map(|(number, way)| (&reference.sessions[number].tcp, way));
    let expected = tcp.map_or(0, |(tcp, way)| tcp.acknowledged(way.reversed()));
    let right = tcp.map_or(0, |(tcp, way)| tcp.first(way.reversed()).wrapping_add(1));
    let Flags { flags, ahead, acknowledgement, window, scale } = flags;
    let acknowledgement = acknowledgement.unwrap_or(right);
    Segment { flags, sequence: expected.wrapping_add(ahead), acknowledgement, window, scale }
}

/// An error about a packet as the side saw it that complains, with any `headers`.
fn complaint(scene: &Scene, mut quoted: Flow, headers: u8, about: About) -> Complaint {
    let (sender, receiver) = (quoted.src.0, quoted.dst.0);
    let router = if scene.family.v4 { "192.0.2.77" } else { "2001:db8:77::1" };
    let src = if about == About::FromARouter { router.parse().expect("an address") } else { receiver };
    let damage = match about {
        About::Cut(len) => Damage::Cut(len),
        About::TooShort => Damage::TooShort,
        About::BadChecksum => Damage::Checksum,
        _ => Damage::None,
    };
    if about == About::AnotherPort {
        let end = if quoted.protocol == Protocol::Reply { &mut quoted.dst } else { &mut quoted.src };
        end.1 ^= 1;
    }
    let dst = match about {
        About::SomebodyElses if quoted.vrf == VrfId::MAIN => scene.publics().pop().expect("there is one"),
        About::SomebodyElses => scene.peers()[0],
        _ => sender,
    };
    let quote = Packet { flow: quoted, segment: Segment::default(), mark: 12 | (headers & 0xc0) };
    Complaint { vrf: quoted.vrf, src, dst, quote, damage }
}

/// A flow; the identifier of an echo is on the side that asked.
fn flow(vrf: VrfId, protocol: Protocol, src: Endpoint, dst: Endpoint) -> Flow {
    let (src, dst) = match protocol {
        Protocol::Tcp | Protocol::Udp => (src, dst),
        // With the identifier 0 it could not be told from a request.
        Protocol::Reply => ((src.0, 0), (dst.0, dst.1.max(1))),
        Protocol::Ask => (src, (dst.0, 0)),
    };
    Flow { vrf, protocol, src, dst }
}
