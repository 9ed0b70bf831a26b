//! Conversations for captures, as both sides of the gateway see them.

use std::net::IpAddr;

use causeway_testkit::packet::*;

/// A name and a port, or an echo's identifier.
pub(crate) type Endpoint = (IpAddr, u16);

/// From a node to the gateway, and back.
pub(crate) const NODE_A: Mac = [2, 0, 0, 0, 1, 0x11];
pub(crate) const NODE_B: Mac = [2, 0, 0, 0, 1, 0x12];
pub(crate) const GATEWAY_NODES: Mac = [2, 0, 0, 0, 1, 1];
/// From the gateway to the router outside, and back.
pub(crate) const GATEWAY_UPLINK: Mac = [2, 0, 0, 0, 2, 1];
pub(crate) const ROUTER: Mac = [2, 0, 0, 0, 2, 0xfe];

/// What a conversation is held in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Udp,
    Tcp,
    Echo,
}

/// A question from a pod and its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conversation {
    pub(crate) kind: Kind,
    pub(crate) pod: Endpoint,
    pub(crate) peer: Endpoint,
}

/// One of each kind and family.
pub(crate) fn conversations() -> Vec<Conversation> {
    let pairs = [("10.1.0.5", "198.51.100.9"), ("fd00:10::5", "2001:db8:9::9")];
    let mut all = Vec::new();
    for (pod, peer) in pairs {
        let (pod, peer) = (pod.to_ip(), peer.to_ip());
        for (kind, pod_port, peer_port) in [(Kind::Udp, 5000, 53), (Kind::Tcp, 40_000, 443), (Kind::Echo, 77, 0)] {
            all.push(Conversation { kind, pod: (pod, pod_port), peer: (peer, peer_port) });
        }
    }
    all
}

impl Conversation {
    /// The question, asked under the name `from`.
    pub(crate) fn question(&self, link: Eth, from: Endpoint, ttl: u8) -> Vec<u8> {
        let ip = link.ip(from.0, self.peer.0).ttl(ttl);
        match self.kind {
            Kind::Udp => ip.udp(from.1, self.peer.1).payload("question").build(),
            Kind::Tcp => ip.tcp(from.1, self.peer.1).flags(SYN).seq(1000).build(),
            Kind::Echo => ip.icmp_echo_request(from.1, 7).payload("echo").build(),
        }
    }

    /// The answer, to the name `to`.
    pub(crate) fn answer(&self, link: Eth, to: Endpoint, ttl: u8) -> Vec<u8> {
        let ip = link.ip(self.peer.0, to.0).ttl(ttl);
        match self.kind {
            Kind::Udp => ip.udp(self.peer.1, to.1).payload("an answer of odd length").build(),
            Kind::Tcp => ip.tcp(self.peer.1, to.1).flags(SYN | ACK).seq(9).ack(1001).build(),
            Kind::Echo => ip.icmp_echo_reply(to.1, 7).payload("echo").build(),
        }
    }

    /// A router on the way complains that the question, asked under the name
    /// `from`, has run out of hops.
    pub(crate) fn complaint(&self, link: Eth, from: Endpoint, ttl: u8) -> Vec<u8> {
        let question = self.question(eth(), from, 1);
        let (router, kind, quoted) = match from.0 {
            IpAddr::V4(_) => ("198.51.100.1", 11, 28),
            IpAddr::V6(_) => ("2001:db8:9::1", 3, 48),
        };
        link.ip(router, from.0).ttl(ttl).icmp_error(kind, 0, [0; 4], &quote(&question, quoted)).build()
    }

    /// Under which name a question is asked.
    pub(crate) fn asker(&self, question: &[u8]) -> Endpoint {
        let (address, transport): (IpAddr, usize) = match self.pod.0 {
            IpAddr::V4(_) => (array::<4>(question, 26).into(), 34),
            IpAddr::V6(_) => (array::<16>(question, 22).into(), 54),
        };
        let port = if matches!(self.kind, Kind::Echo) { transport + 4 } else { transport };
        (address, u16::from_be_bytes(array(question, port)))
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("a frame long enough")
}
