//! `pnet` reads what was written: it shares no code with us.

use std::net::{Ipv4Addr, Ipv6Addr};

use causeway_fastpath::frame::Frame;
use causeway_fastpath::offload::{ChecksumState, Gso, Offload};
use pnet_packet::Packet;
use pnet_packet::ipv4::{self, Ipv4Packet, MutableIpv4Packet};
use pnet_packet::ipv6::{Ipv6Packet, MutableIpv6Packet};
use pnet_packet::tcp::{self, MutableTcpPacket, TcpPacket};
use pnet_packet::udp::{self, MutableUdpPacket, UdpPacket};
use proptest::prelude::*;

use super::super::Unfit;
use super::Segments;

const V4: (Ipv4Addr, Ipv4Addr) = (Ipv4Addr::new(10, 1, 2, 3), Ipv4Addr::new(203, 0, 113, 9));
const V6: (Ipv6Addr, Ipv6Addr) =
    (Ipv6Addr::new(0xfd00, 0x10, 0, 0, 0, 0, 0, 7), Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 9));
const SEQUENCE: u32 = u32::MAX - 5000;
const ID: u16 = u16::MAX - 2;

/// What a super-frame is made of.
#[derive(Clone, Debug)]
struct Super {
    v6: bool,
    udp: bool,
    ecn: bool,
    vlan_tags: usize,
    /// IPv4 options or IPv6 destination options, in words of 4 or 8 bytes.
    ip_extra: usize,
    tcp_options: usize,
    tcp_flags: u8,
    payload: Vec<u8>,
    size: u16,
    partial: bool,
    padding: usize,
}

impl Super {
    fn l3(&self) -> usize {
        14 + 4 * self.vlan_tags
    }

    fn ip_header(&self) -> usize {
        if self.v6 { 40 + 8 * self.ip_extra } else { 20 + 4 * self.ip_extra }
    }

    fn l4_header(&self) -> usize {
        if self.udp { 8 } else { 20 + 4 * self.tcp_options }
    }

    fn frame(&self) -> Frame {
        let l4_len = self.l4_header() + self.payload.len();
        let l4_at = self.l3() + self.ip_header();
        let mut bytes = vec![0; l4_at + l4_len + self.padding];
        bytes[..12].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
        for tag in 0..self.vlan_tags {
            bytes[12 + 4 * tag..][..4].copy_from_slice(&[0x81, 0, 0, 5]);
        }
        let ether_type: u16 = if self.v6 { 0x86dd } else { 0x0800 };
        bytes[self.l3() - 2..self.l3()].copy_from_slice(&ether_type.to_be_bytes());
        let protocol = if self.udp { 17 } else { 6 };
        let ip = &mut bytes[self.l3()..];
        if self.v6 {
            let extra = 8 * self.ip_extra;
            let mut packet = MutableIpv6Packet::new(ip).unwrap();
            packet.set_version(6);
            packet.set_payload_length((extra + l4_len) as u16);
            packet.set_next_header(pnet_packet::ip::IpNextHeaderProtocol(if extra == 0 { protocol } else { 60 }));
            packet.set_source(V6.0);
            packet.set_destination(V6.1);
            if extra > 0 {
                ip[40..42].copy_from_slice(&[protocol, (self.ip_extra - 1) as u8]);
            }
        } else {
            let mut packet = MutableIpv4Packet::new(ip).unwrap();
            packet.set_version(4);
            packet.set_header_length((5 + self.ip_extra) as u8);
            packet.set_total_length((20 + 4 * self.ip_extra + l4_len) as u16);
            packet.set_identification(ID);
            packet.set_ttl(64);
            packet.set_next_level_protocol(pnet_packet::ip::IpNextHeaderProtocol(protocol));
            packet.set_source(V4.0);
            packet.set_destination(V4.1);
        }
        let l4 = &mut bytes[l4_at..l4_at + l4_len];
        if self.udp {
            let mut packet = MutableUdpPacket::new(l4).unwrap();
            packet.set_length(l4_len as u16);
            packet.set_source(40_000);
            packet.set_payload(&self.payload);
        } else {
            let mut packet = MutableTcpPacket::new(l4).unwrap();
            packet.set_sequence(SEQUENCE);
            packet.set_data_offset((5 + self.tcp_options) as u8);
            packet.set_flags(self.tcp_flags);
            packet.set_checksum(0xabcd);
            packet.set_payload(&self.payload);
        }
        let mut frame = Frame::boxed(&bytes, 0, 0);
        let offset = if self.udp { 6 } else { 16 };
        frame.offload = Offload {
            checksum: if self.partial {
                ChecksumState::Partial { start: l4_at as u16, offset }
            } else {
                ChecksumState::Complete
            },
            gso: match (self.udp, self.v6) {
                (true, _) => Gso::Udp,
                (false, false) => Gso::TcpV4 { ecn: self.ecn },
                (false, true) => Gso::TcpV6 { ecn: self.ecn },
            },
            gso_size: self.size,
        };
        frame
    }
}

fn segments_of(frame: &Frame) -> Result<Vec<Vec<u8>>, Unfit> {
    let mut segments = Segments::of(frame)?;
    let mut all = Vec::new();
    while let Some(len) = segments.next_len() {
        assert!(len <= segments.longest());
        let mut out = vec![0xee; len];
        let before = segments.remaining();
        assert_eq!(segments.write_next(&mut out), Some(len));
        assert_eq!(segments.remaining(), before - 1);
        all.push(out);
    }
    assert_eq!(segments.write_next(&mut []), None);
    Ok(all)
}

/// Checks segment `index` against what it was cut from; returns its payload.
fn check_segment(whole: &Super, index: usize, count: usize, segment: &[u8]) -> Vec<u8> {
    let original = whole.frame();
    let l3 = whole.l3();
    assert_eq!(segment[..l3], original.bytes()[..l3], "Ethernet header and tags");
    let l4 = &segment[l3 + whole.ip_header()..];
    if whole.v6 {
        let ip = Ipv6Packet::new(&segment[l3..]).unwrap();
        assert_eq!(usize::from(ip.get_payload_length()), segment.len() - l3 - 40);
        assert_eq!((ip.get_source(), ip.get_destination()), V6);
    } else {
        let ip = Ipv4Packet::new(&segment[l3..]).unwrap();
        assert_eq!(usize::from(ip.get_total_length()), segment.len() - l3);
        assert_eq!(ip.get_identification(), ID.wrapping_add(index as u16));
        assert_eq!(ip.get_checksum(), ipv4::checksum(&ip), "IPv4 header checksum");
    }
    if whole.udp {
        let udp = UdpPacket::new(l4).unwrap();
        assert_eq!(usize::from(udp.get_length()), l4.len());
        let sum =
            if whole.v6 { udp::ipv6_checksum(&udp, &V6.0, &V6.1) } else { udp::ipv4_checksum(&udp, &V4.0, &V4.1) };
        assert_eq!(udp.get_checksum(), if sum == 0 { 0xffff } else { sum }, "UDP checksum");
        return udp.payload().to_vec();
    }
    let tcp = TcpPacket::new(l4).unwrap();
    assert_eq!(tcp.get_sequence(), SEQUENCE.wrapping_add((index * usize::from(whole.size)) as u32));
    let mut flags = whole.tcp_flags;
    if index + 1 < count {
        flags &= !0x09;
    }
    if index > 0 && whole.ecn {
        flags &= !0x80;
    }
    assert_eq!(tcp.get_flags(), flags, "TCP flags");
    let sum = if whole.v6 { tcp::ipv6_checksum(&tcp, &V6.0, &V6.1) } else { tcp::ipv4_checksum(&tcp, &V4.0, &V4.1) };
    assert_eq!(tcp.get_checksum(), if sum == 0 { 0xffff } else { sum }, "TCP checksum");
    tcp.payload().to_vec()
}

prop_compose! {
    fn super_frame()(
        (v6, udp, ecn, partial) in any::<(bool, bool, bool, bool)>(),
        vlan_tags in 0..=2usize,
        ip_extra in 0..=3usize,
        tcp_options in 0..=10usize,
        tcp_flags in any::<u8>(),
        payload in prop::collection::vec(any::<u8>(), 0..6000),
        size in 7..2000u16,
        padding in 0..20usize,
    ) -> Super {
        Super { v6, udp, ecn, vlan_tags, ip_extra, tcp_options, tcp_flags, payload, size, partial, padding }
    }
}

proptest! {
    #[test]
    fn segments_carry_the_whole_payload_in_order_and_are_finished_frames(whole in super_frame()) {
        let segments = segments_of(&whole.frame()).unwrap();
        let count = whole.payload.len().div_ceil(usize::from(whole.size)).max(1);
        prop_assert_eq!(segments.len(), count);
        let mut payload = Vec::new();
        for (index, segment) in segments.iter().enumerate() {
            payload.extend(check_segment(&whole, index, count, segment));
        }
        prop_assert_eq!(payload, whole.payload);
    }

    #[test]
    fn hostile_frames_are_refused_or_segmented_but_never_panic(
        whole in super_frame(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        size in any::<u16>(),
        kind in 0..4usize,
        checksum in any::<Option<(u16, u16)>>(),
    ) {
        let mut frame = whole.frame();
        let headers = whole.l3() + whole.ip_header() + whole.l4_header();
        for (at, value) in flips {
            frame.bytes_mut()[at.index(headers)] = value;
        }
        frame.truncate(cut.index(frame.len() + 1));
        frame.offload.gso = [Gso::None, Gso::TcpV4 { ecn: true }, Gso::TcpV6 { ecn: false }, Gso::Udp][kind];
        frame.offload.gso_size = size;
        if let Some((start, offset)) = checksum {
            frame.offload.checksum = ChecksumState::Partial { start, offset };
        }
        if let Ok(segments) = segments_of(&frame) {
            prop_assert!(segments.len() <= Segments::MAX);
        }
    }
}

/// A plain IPv4 TCP super-frame of 3000 bytes in segments of 1000.
fn plain() -> Super {
    Super {
        v6: false,
        udp: false,
        ecn: false,
        vlan_tags: 0,
        ip_extra: 0,
        tcp_options: 0,
        tcp_flags: 0x18,
        payload: vec![7; 3000],
        size: 1000,
        partial: true,
        padding: 0,
    }
}

#[test]
fn lying_offload_state_is_named() {
    let refused = |change: &dyn Fn(&mut Frame)| {
        let mut frame = plain().frame();
        change(&mut frame);
        segments_of(&frame).expect_err("hostile")
    };
    assert_eq!(refused(&|frame| frame.offload.gso_size = 0), Unfit::SegmentSize);
    assert_eq!(refused(&|frame| frame.offload.gso_size = u16::MAX), Unfit::SegmentSize);
    assert_eq!(refused(&|frame| frame.offload.gso_size = 2), Unfit::TooMany);
    assert_eq!(refused(&|frame| frame.offload.gso = Gso::None), Unfit::Headers);
    assert_eq!(refused(&|frame| frame.offload.gso = Gso::Udp), Unfit::Headers);
    assert_eq!(refused(&|frame| frame.offload.gso = Gso::TcpV6 { ecn: false }), Unfit::Headers);
    assert_eq!(refused(&|frame| frame.truncate(40)), Unfit::Headers);
    assert_eq!(refused(&|frame| frame.bytes_mut()[14 + 6] = 0x20), Unfit::Headers, "a fragment");
    let elsewhere = ChecksumState::Partial { start: 34, offset: 6 };
    assert_eq!(refused(&|frame| frame.offload.checksum = elsewhere), Unfit::ChecksumElsewhere);
}
