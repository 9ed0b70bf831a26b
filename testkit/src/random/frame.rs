//! Valid frames of every kind.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::packet::*;
use crate::seed::Rng;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ARP, asking or answering.
    Arp,
    /// TCP with any flags, options and payload.
    Tcp,
    /// UDP, over IPv4 sometimes without checksum.
    Udp,
    /// ICMP or ICMPv6 echo.
    Echo,
    /// An ICMP or ICMPv6 error with a quote that may be cut.
    Error,
    /// Neighbour or router discovery.
    Discovery,
    /// SCTP, UDP-Lite, GRE or another protocol, all around random bytes.
    Other,
    /// A fragment, first or later, of IPv4 or IPv6.
    Fragment,
    /// An EtherType that is neither IP nor ARP, or an 802.3 length in its place.
    Alien,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 9] = [
        Kind::Arp,
        Kind::Tcp,
        Kind::Udp,
        Kind::Echo,
        Kind::Error,
        Kind::Discovery,
        Kind::Other,
        Kind::Fragment,
        Kind::Alien,
    ];
}

/// A valid frame of any kind: right lengths, right checksums. It may have VLAN
/// tags, IP options, extension headers and padding.
pub fn frame(rng: &mut Rng) -> Vec<u8> {
    let kind = *rng.choose(&Kind::ALL);
    frame_of(rng, kind)
}

/// A valid frame of this kind.
pub fn frame_of(rng: &mut Rng, kind: Kind) -> Vec<u8> {
    match kind {
        Kind::Arp => {
            let (sender, target) = (ipv4_address(rng), ipv4_address(rng));
            let link = link(rng);
            let asks = rng.bool();
            let arp = if asks { link.arp_request(sender, target) } else { link.arp_reply(sender, target) };
            finish(rng, arp)
        }
        Kind::Alien => {
            let ethertype = *rng.choose(&[0x88cc, 0x8847, 0x9000, 0x0801, 0x05ff]);
            let payload = payload(rng);
            let link = link(rng);
            finish(rng, link.raw(ethertype, payload))
        }
        Kind::Tcp => {
            let tcp = tcp(rng);
            finish(rng, tcp)
        }
        Kind::Udp => {
            let udp = udp(rng);
            finish(rng, udp)
        }
        Kind::Echo => {
            let (ip, id, sequence, payload) = (ip(rng), rng.u16(), rng.u16(), payload(rng));
            let asks = rng.bool();
            let echo = if asks { ip.icmp_echo_request(id, sequence) } else { ip.icmp_echo_reply(id, sequence) };
            finish(rng, echo.payload(payload))
        }
        Kind::Error => error(rng),
        Kind::Discovery => {
            let (src, target) = (ipv6_address(rng), ipv6_address(rng));
            let ip = link(rng).ipv6(src, solicited_node(target));
            let icmp = match rng.below(3) {
                0 => ip.neighbour_solicitation(target),
                1 => ip.neighbour_advertisement(target, rng.below(8) as u8),
                _ => ip.router_solicitation(),
            };
            finish(rng, icmp)
        }
        Kind::Other => {
            let (ip, src, dst, payload) = (ip(rng), port(rng), port(rng), payload(rng));
            let other = match rng.below(4) {
                0 => ip.sctp(src, dst, rng.u32(), payload),
                1 => {
                    let coverage = *rng.choose(&[0, 8, 8 + payload.len() as u16]);
                    ip.udp_lite(src, dst, coverage, payload)
                }
                2 => ip.gre(0x88b5, payload),
                _ => ip.raw(*rng.choose(&[50, 89, 112, 253]), payload),
            };
            finish(rng, other)
        }
        Kind::Fragment => {
            let room = rng.range(8..200);
            let len = rng.range(room..1200);
            let payload = rng.bytes(len);
            let whole = udp(rng).payload(payload);
            // Room for the longest headers that `ip` makes.
            let frames = whole.fragments(rng.u32(), 160 + room);
            rng.choose(&frames).clone()
        }
    }
}

/// An address of the kinds that a gateway meets: pods, nodes, the world.
pub fn ipv4_address(rng: &mut Rng) -> Ipv4Addr {
    let [a, b, c, d] = rng.u32().to_be_bytes();
    match rng.below(4) {
        0 => Ipv4Addr::new(10, a % 4, b % 4, c),
        1 => Ipv4Addr::new(192, 168, a % 4, b),
        2 => Ipv4Addr::new(203, 0, 113, a),
        // Unicast, and below loopback.
        _ => Ipv4Addr::new(1 + a % 126, b, c, d),
    }
}

/// An address of the kinds that a gateway meets: pods, link-local, the world.
pub fn ipv6_address(rng: &mut Rng) -> Ipv6Addr {
    let prefix: u128 = *rng.choose(&[
        0xfd00_0010_0000_0000_0000_0000_0000_0000,
        0xfe80_0000_0000_0000_0000_0000_0000_0000,
        0x2001_0db8_0000_0000_0000_0000_0000_0000,
    ]);
    let (subnet, host) = (u128::from(rng.below(4)), u128::from(rng.u64()));
    Ipv6Addr::from(prefix | (subnet << 64) | host)
}

fn link(rng: &mut Rng) -> Eth {
    let mac = |rng: &mut Rng| [2, 0, 0, 0, rng.u8(), rng.u8()];
    let mut link = eth().src(mac(rng)).dst(mac(rng));
    if rng.chance(1, 8) {
        if rng.chance(1, 4) {
            link = link.tag(0x88a8, rng.u16());
        }
        link = link.tag(0x8100, rng.u16());
    }
    link
}

/// An IP layer of either family with at most 128 bytes of header.
fn ip(rng: &mut Rng) -> Ip {
    let link = link(rng);
    if rng.bool() {
        let mut ip =
            link.ipv4(ipv4_address(rng), ipv4_address(rng)).ttl(1 + rng.below(255) as u8).tos(rng.u8()).id(rng.u16());
        if rng.bool() {
            ip = ip.df();
        }
        if rng.chance(1, 8) {
            // No-operations are the options that nobody objects to.
            ip = ip.options(vec![1; rng.range(1..41)]);
        }
        return ip.into();
    }
    let mut ip = link
        .ipv6(ipv6_address(rng), ipv6_address(rng))
        .hop_limit(1 + rng.below(255) as u8)
        .traffic_class(rng.u8())
        .flow_label(rng.u32());
    if rng.chance(1, 12) {
        ip = ip.hop_by_hop(router_alert());
    }
    if rng.chance(1, 12) {
        // An experimental type (RFC 4727) with nothing left to visit, which every
        // node passes over. Of the known types tcpdump takes the last address for
        // the checksum even then, and would call right ones wrong.
        let data = rng.bytes(20);
        ip = ip.routing(253, 0, data);
    }
    if rng.chance(1, 4) {
        ip = ip.per_fragment();
    }
    if rng.chance(1, 12) {
        ip = ip.dest_opts([1, 4, 0, 0, 0, 0]);
    }
    ip.into()
}

fn tcp(rng: &mut Rng) -> Tcp {
    let tcp = ip(rng)
        .tcp(port(rng), port(rng))
        .flags(*rng.choose(&[SYN, SYN | ACK, ACK, PSH | ACK, FIN | ACK, RST, RST | ACK]))
        .seq(rng.u32())
        .ack(rng.u32())
        .window(rng.u16());
    let tcp = match rng.below(3) {
        0 => tcp.mss(*rng.choose(&[536, 1220, 1460])),
        1 => tcp.options([1, 1, 8, 10, rng.u8(), rng.u8(), rng.u8(), rng.u8(), 0, 0, 0, 0]),
        _ => tcp,
    };
    tcp.payload(payload(rng))
}

fn udp(rng: &mut Rng) -> Udp {
    let ip = ip(rng);
    let may_omit = matches!(ip, Ip::V4(_));
    let udp = ip.udp(port(rng), port(rng)).payload(payload(rng));
    if may_omit && rng.chance(1, 8) { udp.no_checksum() } else { udp }
}

/// An error about a packet of the same family, quoted whole or cut behind its ports.
fn error(rng: &mut Rng) -> Vec<u8> {
    let ip = ip(rng);
    let v4 = matches!(ip, Ip::V4(_));
    let quoted = loop {
        let over_tcp = rng.bool();
        let packet = if over_tcp { tcp(rng).packet() } else { udp(rng).packet() };
        if (packet[0] >> 4 == 4) == v4 {
            break packet;
        }
    };
    let least = quoted.len().min(if v4 { 68 } else { 136 });
    let kept = rng.range(least..quoted.len() + 1);
    let (kind, code, rest) = *rng.choose(match v4 {
        true => &[(3, 1, [0; 4]), (3, 3, [0; 4]), (3, 4, [0, 0, 5, 0]), (11, 0, [0; 4])],
        false => &[(1, 0, [0; 4]), (1, 4, [0; 4]), (2, 0, [0, 0, 5, 0]), (3, 0, [0; 4])],
    });
    let icmp = ip.icmp_error(kind, code, rest, &quoted[..kept]);
    finish(rng, icmp)
}

fn finish(rng: &mut Rng, packet: impl Build) -> Vec<u8> {
    if rng.bool() { packet.pad_to_60().build() } else { packet.build() }
}

/// Often a boundary, else any.
fn port(rng: &mut Rng) -> u16 {
    match rng.below(4) {
        0 => *rng.choose(&[1, 53, 80, 443, 1023, 1024, 32767, 32768, 65535]),
        _ => rng.range(1..65536) as u16,
    }
}

/// Empty, short and odd lengths more often than long ones.
fn payload(rng: &mut Rng) -> Vec<u8> {
    let longest = *rng.choose(&[1, 2, 20, 100, 1300]);
    let len = rng.range(0..longest);
    rng.bytes(len)
}

/// RFC 2711.
fn router_alert() -> [u8; 4] {
    [5, 2, 0, 0]
}
