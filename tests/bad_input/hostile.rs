//! Frames that nobody honest sends, with those that a gateway hears every day
//! among them.

use causeway_lab::netlink::Mac;
use causeway_lab::plan::{self, Family};
use causeway_testkit::packet::*;
use causeway_testkit::random::{self, mangle};
use causeway_testkit::seed::Rng;

/// Where a frame is thrown at the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// On the network of the nodes.
    Nodes,
    /// On the network of the outside.
    Uplink,
}

impl Side {
    pub(crate) const BOTH: [Side; 2] = [Side::Nodes, Side::Uplink];

    /// The gateway's address there.
    fn gateway(self) -> plan::Dual {
        match self {
            Side::Nodes => plan::GATEWAY_NODES,
            Side::Uplink => plan::GATEWAY_UPLINK,
        }
    }

    /// The far end of the gateway's wire, on the fabric.
    pub(crate) fn wire(self) -> &'static str {
        match self {
            Side::Nodes => "gw-nodes",
            Side::Uplink => "gw-uplink",
        }
    }
}

/// A frame for the gateway: two in three are mangled, and one in twenty is larger
/// than the MTU, up to `most` bytes.
pub(crate) fn frame(rng: &mut Rng, side: Side, most: usize) -> Vec<u8> {
    let mac = Mac::spelling(side.gateway().v4.addr()).0;
    let mut frame = match rng.below(4) {
        0 => random::frame(rng),
        _ => plausible(rng, side, mac),
    };
    if rng.chance(1, 20) {
        let length = rng.range(1515..most);
        let filling = rng.bytes(length.saturating_sub(frame.len()));
        frame.extend(filling);
    }
    // Random frames are mostly for others; these are for the gateway, and some for all.
    if frame.len() >= 6 && !rng.chance(1, 10) {
        frame[..6].copy_from_slice(&mac);
    }
    if rng.chance(2, 3) { mangle(rng, &frame) } else { frame }
}

/// A frame as this side sends it, with an edge here and there.
fn plausible(rng: &mut Rng, side: Side, mac: [u8; 6]) -> Vec<u8> {
    let family = *rng.choose(&Family::BOTH);
    let (pod, server) = (plan::pod(0, 0).address(family), plan::SERVER.address(family));
    let pool = plan::POOL.address(family);
    let (src, dst) = match side {
        Side::Nodes => {
            (pod, *rng.choose(&[server, pool, plan::pod(1, 0).address(family), side.gateway().address(family)]))
        }
        Side::Uplink => (server, *rng.choose(&[pool, pod, plan::GATEWAY_UPLINK.address(family)])),
    };
    let link = || eth().src([2, 0, 0, 0, 9, 9]).dst(mac);
    let ip = edge(rng, link().ip(src, dst));
    let (sport, dport) = (rng.u16(), *rng.choose(&[53, 80, 443, 1024, 40_000]));
    let size = *rng.choose(&[0, 1, 100, 1400]);
    let payload = rng.bytes(size);
    match rng.below(10) {
        0 => ip.tcp(sport, dport).flags(rng.u8()).mss(1460).payload(payload).build(),
        1 => ip.tcp(sport, dport).flags(SYN).data_offset(rng.below(16) as u8).build(),
        2 => ip.udp(sport, dport).payload(payload).build(),
        3 => ip.udp(sport, dport).length(rng.u16()).payload(payload).build(),
        4 => ip.icmp_echo_request(sport, 1).payload(payload).build(),
        5 => {
            let quoted = link().ip(dst, src).udp(dport, sport).payload("quoted");
            let length = rng.range(0..48);
            ip.icmp_error(*rng.choose(&[1, 2, 3, 11]), rng.below(6) as u8, [0; 4], &quoted.quote(length)).build()
        }
        6 => {
            let fragments = ip.udp(sport, dport).payload(rng.bytes(2500)).fragments(rng.u32(), 1400);
            rng.choose(&fragments).clone()
        }
        7 => ip.raw(rng.u8(), payload).build(),
        8 => {
            let (sender, target) = (random::ipv4_address(rng), side.gateway().v4.addr());
            link().arp_request(sender, target).build()
        }
        _ => {
            let (sender, target) = (random::ipv6_address(rng), side.gateway().v6.addr());
            link().ipv6(sender, solicited_node(target)).hop_limit(255).neighbour_solicitation(target).build()
        }
    }
}

/// An IP header with something about it that is rare.
fn edge(rng: &mut Rng, ip: Ip) -> Ip {
    match (ip, rng.below(8)) {
        (ip, 0) => ip.ttl(rng.below(3) as u8),
        (Ip::V4(ip), 1) => ip.options([131, 7, 4, 10, 0, 0, 1, 0]).into(),
        (Ip::V4(ip), 2) => ip.options(rng.bytes(40)).into(),
        (Ip::V4(ip), 3) => ip.total_length(rng.u16()).into(),
        (Ip::V4(ip), 4) => ip.ihl(rng.below(16) as u8).into(),
        (Ip::V6(ip), 1) => ip.routing(0, 1, rng.bytes(20)).into(),
        (Ip::V6(ip), 2) => ip.hop_by_hop([5, 2, 0, 0]).into(),
        (Ip::V6(ip), 3) => ip.payload_length(rng.u16()).into(),
        (Ip::V6(ip), 4) => (0..rng.below(20)).fold(ip, |ip, _| ip.dest_opts([1, 4, 0, 0, 0, 0])).into(),
        (ip, _) => ip,
    }
}
