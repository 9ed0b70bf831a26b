//! Packets that a router meets and a conversation does not need.

use std::net::IpAddr;

use causeway_testkit::packet::*;
use causeway_testkit::seed::Rng;

use crate::event::{Dress, Event, Kind};
use crate::flow::{Filler, Flow};
use crate::names::FlowId;
use crate::place::{Place, Side};
use crate::wire::TCP;

/// Something odd under the names of an open TCP or UDP flow; several pieces, if it
/// comes in pieces.
pub(crate) fn about(rng: &mut Rng, place: &Place, narrow: Side, id: FlowId, flow: &Flow) -> Vec<Event> {
    let from = *rng.choose(&Side::BOTH);
    let dress = Dress::any(rng);
    let over_tcp = flow.parties.protocol == TCP;
    let any = move |filler: Filler, length| {
        if over_tcp { filler.tcp(length).build() } else { filler.udp(length).build() }
    };
    let event = match rng.below(15) {
        0 | 1 => {
            let hops = rng.below(2) as u8;
            flow.filler((Kind::HopsRunOut, from), id, place, dress.hops(hops), move |filler| any(filler, 64))
        }
        2 => flow.filler((Kind::BadTransportChecksum, from), id, place, dress, move |filler| {
            if over_tcp { filler.tcp(33).bad_checksum().build() } else { filler.udp(33).bad_checksum().build() }
        }),
        3 => {
            let lie = rng.range(0..3);
            flow.filler((Kind::BadTransportLength, from), id, place, dress, move |filler| {
                if over_tcp {
                    filler.tcp(8).data_offset([0, 4, 15][lie]).build()
                } else {
                    filler.udp(8).length([0, 7, 17][lie]).build()
                }
            })
        }
        4 | 5 => {
            let may_cut = place.v4 && rng.bool();
            let kind = if may_cut { Kind::TooBigMayBeCut } else { Kind::TooBig };
            // From just above what the narrow link takes.
            let length = 1400 + rng.range(1..20) - place.ip_header - if over_tcp { 20 } else { 8 };
            flow.filler((kind, narrow.other()), id, place, dress.may_cut(may_cut), move |filler| any(filler, length))
        }
        6 | 7 => {
            let options = rng.range(0..5);
            let kind = if place.v4 && options > 3 { Kind::BadIpOptions } else { Kind::IpOptions };
            flow.filler((kind, from), id, place, dress, move |filler| {
                any(filler.with_ip(|ip| with_options(ip, options)), 20)
            })
        }
        8 => flow.filler((Kind::SourceRoute, from), id, place, dress, move |filler| {
            any(filler.with_ip(with_source_route), 20)
        }),
        9 | 10 => return pieces(rng, place, id, flow, from),
        11 => {
            // As a short frame is, and sometimes with more behind the packet.
            let surplus = if rng.bool() { rng.bytes(24) } else { Vec::new() };
            flow.filler((Kind::Padded, from), id, place, dress, move |filler| {
                if over_tcp {
                    filler.tcp(0).pad_to_60().trailing(&surplus).build()
                } else {
                    filler.udp(3).pad_to_60().trailing(&surplus).build()
                }
            })
        }
        12 => {
            let address = rng.range(0..3);
            flow.filler((Kind::NotForRouter, from), id, place, dress, move |filler| {
                let mut frame = any(filler, 9);
                match address {
                    0 => frame[5] ^= 0x40,
                    1 => frame[..6].fill(0xff),
                    _ => frame.splice(12..12, [0x81, 0x00, 0x00, 0x07]).for_each(drop),
                }
                frame
            })
        }
        13 => return vec![strangers(rng, place, id, flow)],
        _ => {
            let lie = rng.range(0..4);
            let kind = if lie == 3 { Kind::CutShort } else { Kind::BadIpHeader };
            flow.filler((kind, from), id, place, dress, move |filler| {
                if lie == 3 {
                    return if over_tcp { filler.tcp(40).cut(30).build() } else { filler.udp(40).cut(30).build() };
                }
                any(filler.with_ip(|ip| with_bad_header(ip, lie)), 20)
            })
        }
    };
    vec![event]
}

/// Somebody who is not the flow's peer sends to its name outside.
fn strangers(rng: &mut Rng, place: &Place, id: FlowId, flow: &Flow) -> Event {
    let from = *rng.choose(&Side::BOTH);
    let (kind, src) = match from {
        Side::Inside => (Kind::Hairpin, flow.parties.host.0),
        Side::Outside => (Kind::Stranger, *rng.choose(&[flow.parties.peer.0, place.peer(230)])),
    };
    // Never the port of a peer.
    let (port, flags) = (rng.range(9000..60_000) as u16, *rng.choose(&[SYN, ACK, RST]));
    let (dress, public, over_tcp) = (Dress::any(rng), place.router(Side::Outside), flow.parties.protocol == TCP);
    Event::about(id, kind, from, move |names| {
        let (ip, name) = (dress.ip(from, src, public), names.outside(id)?);
        Some(if over_tcp {
            ip.tcp(port, name).flags(flags).build()
        } else {
            ip.udp(port, name).payload([6; 9]).build()
        })
    })
}

/// One datagram or segment in pieces.
fn pieces(rng: &mut Rng, place: &Place, id: FlowId, flow: &Flow, from: Side) -> Vec<Event> {
    let (dress, number, length) = (Dress::any(rng).may_cut(true), rng.u32(), rng.range(940..1200));
    let over_tcp = flow.parties.protocol == TCP;
    (0..3)
        .map(|nth| {
            flow.filler((Kind::Fragment, from), id, place, dress, move |filler| {
                let pieces = if over_tcp {
                    filler.tcp(length).fragments(number, 480)
                } else {
                    filler.udp(length).fragments(number, 480)
                };
                assert_eq!(pieces.len(), 3, "lengths make three pieces");
                pieces[nth].clone()
            })
        })
        .collect()
}

/// Something odd that belongs to no conversation.
pub(crate) fn alone(rng: &mut Rng, place: &Place) -> Event {
    let side = *rng.choose(&Side::BOTH);
    // Hosts and peers of no flow. Of hosts there are many: the kernel limits errors
    // about missing routes by host, and no switch of a namespace changes that.
    let (host, peer) = (place.host(100 + rng.below(20_000) as u16), place.peer(100 + rng.below(8) as u16));
    let public = place.router(Side::Outside);
    let (src, dst) = if side == Side::Inside { (host, peer) } else { (peer, public) };
    let dress = Dress::any(rng);
    match rng.below(17) {
        0 => {
            let frame = other_protocol(rng, dress.ip(side, src, dst));
            Event::alone(Kind::OtherProtocol, side, frame)
        }
        1 => {
            let bad: IpAddr = rng.choose(place.bad_sources).to_ip();
            Event::alone(Kind::BadSource, side, any_opener(rng, dress.ip(side, bad, dst)))
        }
        2 => {
            let bad: IpAddr = rng.choose(place.bad_destinations).to_ip();
            Event::alone(Kind::BadDestination, side, any_opener(rng, dress.ip(side, src, bad)))
        }
        3 => {
            let elsewhere = match side {
                Side::Inside => *rng.choose(&[peer, place.nowhere.to_ip()]),
                Side::Outside => *rng.choose(&[host, place.nowhere.to_ip(), place.router(Side::Inside)]),
            };
            Event::alone(Kind::SourceElsewhere, side, any_opener(rng, dress.ip(side, elsewhere, dst)))
        }
        4 => {
            let inside = *rng.choose(&[host, place.node.to_ip(), place.router(Side::Inside)]);
            Event::alone(Kind::IntoHosts, Side::Outside, any_opener(rng, dress.ip(Side::Outside, peer, inside)))
        }
        5 | 6 => {
            let ip = dress.ip(Side::Outside, peer, public);
            let (src, dst) = (rng.range(1024..65536) as u16, rng.range(1..1024) as u16);
            let frame = if rng.bool() {
                let flags = *rng.choose(&[SYN, SYN, ACK, SYN | ACK, RST, FIN | ACK, 0]);
                ip.tcp(src, dst).flags(flags).seq(rng.u32()).ack(rng.u32()).build()
            } else {
                ip.udp(src, dst).payload([1; 30]).build()
            };
            Event::alone(Kind::Unsolicited, Side::Outside, frame)
        }
        7 => {
            let ip = dress.ip(side, src, place.router(side)).ttl(*rng.choose(&[1, 2, 64]));
            let payload = vec![0xab; rng.range(0..100)];
            let frame = ip.icmp_echo_request(rng.u16(), rng.u16()).payload(payload).build();
            Event::alone(Kind::ToRouter, side, frame)
        }
        8 => {
            let ip = dress.ip(Side::Inside, host, place.router(Side::Inside));
            Event::alone(Kind::ToRouterWithoutService, Side::Inside, tcp_or_udp(rng, ip))
        }
        9 => {
            let ip = dress.ip(Side::Inside, host, public);
            Event::alone(Kind::ToPublicFromInside, Side::Inside, any_opener(rng, ip))
        }
        10 => {
            let ip = dress.ip(Side::Inside, host, place.nowhere.to_ip());
            Event::alone(Kind::Nowhere, Side::Inside, any_opener(rng, ip))
        }
        11 => {
            let flags = *rng.choose(&[ACK, SYN | ACK, RST, RST | ACK, FIN | ACK, PSH | ACK, 0, FIN | SYN]);
            let tcp = dress.ip(Side::Inside, host, peer).tcp(rng.range(1024..65536) as u16, 80).flags(flags);
            Event::alone(Kind::TcpStray, Side::Inside, tcp.seq(rng.u32()).ack(rng.u32()).build())
        }
        12 => {
            let ip = dress.ip(Side::Outside, peer, public);
            let (src, dst) = (rng.range(1024..65536) as u16, rng.range(1..1024) as u16);
            let frame = if rng.bool() {
                ip.tcp(src, dst).flags(SYN).bad_checksum().build()
            } else {
                ip.udp(src, dst).payload([1; 30]).bad_checksum().build()
            };
            Event::alone(Kind::UnsolicitedDamaged, Side::Outside, frame)
        }
        13 => {
            let ip = dress.ip(Side::Inside, host, place.nowhere.to_ip());
            Event::alone(Kind::OtherIcmpNowhere, Side::Inside, other_icmp(rng, place, ip))
        }
        14 => {
            let ip = dress.hops(rng.below(2) as u8).ip(Side::Inside, host, peer);
            Event::alone(Kind::HopsRunOut, Side::Inside, any_opener(rng, ip))
        }
        15 => {
            let frame = dress.ip(side, src, dst).icmp_echo_reply(rng.range(1..1024) as u16, 1).payload([7; 9]).build();
            Event::alone(Kind::EchoStray, side, frame)
        }
        _ => Event::alone(Kind::OtherIcmp, side, other_icmp(rng, place, dress.ip(side, src, dst))),
    }
}

/// What could begin a conversation.
fn any_opener(rng: &mut Rng, ip: Ip) -> Vec<u8> {
    if rng.chance(1, 3) { ip.icmp_echo_request(rng.u16(), 1).payload([2; 8]).build() } else { tcp_or_udp(rng, ip) }
}

fn tcp_or_udp(rng: &mut Rng, ip: Ip) -> Vec<u8> {
    let (src, dst) = (rng.range(1024..65536) as u16, rng.range(1..1024) as u16);
    if rng.bool() {
        ip.tcp(src, dst).flags(SYN).seq(rng.u32()).mss(1300).build()
    } else {
        ip.udp(src, dst).payload([3; 12]).build()
    }
}

fn other_protocol(rng: &mut Rng, ip: Ip) -> Vec<u8> {
    match rng.below(5) {
        0 => ip.gre(0x0800, [0x45; 30]).build(),
        // An INIT chunk (RFC 9260, 3.3.2).
        1 => ip.sctp(5000, 5001, 0, [1, 0, 0, 20, 0, 0, 0, 9, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 7]).build(),
        2 => ip.udp_lite(5000, 5001, 8, [4; 20]).build(),
        3 => ip.raw(50, [0x33; 40]).build(),
        _ => ip.raw(89, [2; 24]).build(),
    }
}

/// An ICMP message that is neither echo nor an error.
fn other_icmp(rng: &mut Rng, place: &Place, ip: Ip) -> Vec<u8> {
    let kinds: &[u8] = if place.v4 { &[4, 5, 13, 14, 15, 17, 40] } else { &[100, 127, 139, 200] };
    // Redirects and quenches quote: a header of zeros is as unrelated as any.
    ip.icmp(*rng.choose(kinds), 0, [0, 9, 0, 1], [0; 28]).build()
}

fn with_options(ip: Ip, which: usize) -> Ip {
    match ip {
        Ip::V4(v4) => Ip::V4(match which {
            0 => v4.options([1, 1, 1, 1]),
            // Record route with room for one, router alert, one that nobody knows.
            1 => v4.options([7, 7, 4, 0, 0, 0, 0]),
            2 => v4.options([148, 4, 0, 0]),
            3 => v4.options([0x9e, 4, 1, 2]),
            _ => v4.options([7, 1, 0, 0]),
        }),
        Ip::V6(v6) => Ip::V6(match which {
            0 | 1 => v6.dest_opts([1, 4, 0, 0, 0, 0]),
            2 | 3 => v6.hop_by_hop([1, 4, 0, 0, 0, 0]),
            _ => v6.hop_by_hop([1, 4, 0, 0, 0, 0]).dest_opts([1, 4, 0, 0, 0, 0]),
        }),
    }
}

fn with_source_route(ip: Ip) -> Ip {
    match ip {
        Ip::V4(v4) => Ip::V4(v4.options([131, 7, 4, 198, 51, 100, 9])),
        Ip::V6(v6) => Ip::V6(v6.routing(0, 1, [0; 20])),
    }
}

fn with_bad_header(ip: Ip, lie: usize) -> Ip {
    match ip {
        Ip::V4(v4) => Ip::V4(match lie {
            0 => v4.bad_checksum(),
            1 => v4.ihl(4),
            _ => v4.total_length(19),
        }),
        Ip::V6(v6) => Ip::V6(match lie {
            0 => v6.version(5),
            _ => v6.payload_length(9000),
        }),
    }
}
