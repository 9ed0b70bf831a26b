//! The kit's checksums against those of `pnet_packet`.

use causeway_testkit::checksum::{verify, verify_offloaded};
use causeway_testkit::packet::*;
use causeway_testkit::seed::Seed;
use causeway_testkit::{print, random};
use pnet_packet::Packet;
use pnet_packet::ethernet::EthernetPacket;
use pnet_packet::icmp::{self, IcmpPacket};
use pnet_packet::icmpv6::{self, Icmpv6Packet};
use pnet_packet::ip::IpNextHeaderProtocols as Protocols;
use pnet_packet::ipv4::{self, Ipv4Packet};
use pnet_packet::ipv6::Ipv6Packet;
use pnet_packet::tcp::{self, TcpPacket};
use pnet_packet::udp::{self, UdpPacket};

const V4: [&str; 2] = ["10.1.1.10", "203.0.113.10"];
const V6: [&str; 2] = ["fd00:10::a", "2001:db8::10"];

#[test]
fn random_frames_have_the_checksums_that_pnet_computes() {
    let seed = Seed::from_env_or(21);
    let mut rng = seed.rng();
    for _ in 0..5_000 {
        let frame = random::frame(&mut rng);
        let ethernet = EthernetPacket::new(&frame).unwrap();
        let judged = match ethernet.get_ethertype().0 {
            0x0800 => pnet_judges_ipv4(ethernet.payload()),
            0x86dd => pnet_judges_ipv6(ethernet.payload()),
            _ => true,
        };
        assert!(judged, "{}", print::text(&frame));
    }
}

fn pnet_judges_ipv4(bytes: &[u8]) -> bool {
    let ip = Ipv4Packet::new(bytes).unwrap();
    let (src, dst, segment) = (ip.get_source(), ip.get_destination(), ip.payload());
    if ip.get_checksum() != ipv4::checksum(&ip) {
        return false;
    }
    if ip.get_fragment_offset() != 0 || ip.get_flags() & 1 != 0 {
        return true;
    }
    match ip.get_next_level_protocol() {
        Protocols::Tcp => {
            let tcp = TcpPacket::new(segment).unwrap();
            tcp.get_checksum() == tcp::ipv4_checksum(&tcp, &src, &dst)
        }
        Protocols::Udp => {
            let udp = UdpPacket::new(segment).unwrap();
            let right = udp::ipv4_checksum(&udp, &src, &dst);
            udp.get_checksum() == 0 || udp.get_checksum() == all_ones_for_zero(right)
        }
        Protocols::Icmp => {
            let message = IcmpPacket::new(segment).unwrap();
            message.get_checksum() == icmp::checksum(&message)
        }
        _ => true,
    }
}

fn pnet_judges_ipv6(bytes: &[u8]) -> bool {
    let ip = Ipv6Packet::new(bytes).unwrap();
    let (src, dst, segment) = (ip.get_source(), ip.get_destination(), ip.payload());
    match ip.get_next_header() {
        Protocols::Tcp => {
            let tcp = TcpPacket::new(segment).unwrap();
            tcp.get_checksum() == tcp::ipv6_checksum(&tcp, &src, &dst)
        }
        Protocols::Udp => {
            let udp = UdpPacket::new(segment).unwrap();
            udp.get_checksum() == all_ones_for_zero(udp::ipv6_checksum(&udp, &src, &dst))
        }
        Protocols::Icmpv6 => {
            let message = Icmpv6Packet::new(segment).unwrap();
            message.get_checksum() == icmpv6::checksum(&message, &src, &dst)
        }
        // Behind extension headers pnet does not look.
        _ => true,
    }
}

fn all_ones_for_zero(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}

#[test]
fn a_udp_checksum_that_comes_out_as_zero_is_sent_as_all_ones() {
    // The two bytes are the right checksum of the datagram without them.
    let datagram = |bytes: [u8; 2]| eth().ip(V6[0], V6[1]).udp(1, 2).payload(bytes);
    let (_, without) = datagram([0, 0]).segment();
    let frame = datagram([without[6], without[7]]).build();
    assert_eq!((&frame[60..62], verify(&frame)), (&[0xff, 0xff][..], Ok(())));
}

#[test]
fn udp_lite_and_sctp_verify_and_notice_a_changed_byte() {
    for frame in [
        eth().ip(V4[0], V4[1]).udp_lite(1, 2, 0, b"covered").build(),
        eth().ip(V6[0], V6[1]).udp_lite(1, 2, 15, b"covered").build(),
        eth().ip(V4[0], V4[1]).sctp(1, 2, 0xfeed, [3, 0, 0, 4]).build(),
    ] {
        assert_eq!(verify(&frame), Ok(()));
        let mut changed = frame.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(verify(&changed).unwrap_err().contains("bad checksum"));
    }
    let mut partly = eth().ip(V4[0], V4[1]).udp_lite(1, 2, 8, b"not covered").build();
    *partly.last_mut().unwrap() ^= 1;
    assert_eq!(verify(&partly), Ok(()));
}

#[test]
fn a_partial_checksum_is_the_pseudo_headers_sum() {
    let frame = eth().ip("0.0.0.1", "0.0.0.2").tcp(1, 2).payload(b"abcd").partial_checksum().build();
    // 1 + 2 + protocol 6 + length 24.
    assert_eq!(frame[50..52], [0, 33]);
    assert!(verify(&frame).unwrap_err().contains("partial checksum 0x0021"));
    assert_eq!(verify_offloaded(&frame), Ok(()));
    let frame = eth().ip(V6[0], V6[1]).udp(1, 2).partial_checksum().build();
    assert_eq!(verify_offloaded(&frame), Ok(()));
}
