//! The encoder against `pnet_packet`: where each field stands.

use causeway_testkit::checksum::verify;
use causeway_testkit::packet::*;
use causeway_testkit::print;
use pnet_packet::Packet;
use pnet_packet::arp::ArpPacket;
use pnet_packet::ethernet::EthernetPacket;
use pnet_packet::icmp;
use pnet_packet::icmpv6::ndp;
use pnet_packet::ip::IpNextHeaderProtocols as Protocols;
use pnet_packet::ipv4::{self, Ipv4Packet};
use pnet_packet::ipv6::{FragmentPacket, Ipv6Packet, RoutingPacket};
use pnet_packet::tcp::TcpPacket;
use pnet_packet::udp::UdpPacket;
use pnet_packet::vlan::VlanPacket;

const V4: [&str; 2] = ["10.1.1.10", "203.0.113.10"];
const V6: [&str; 2] = ["fd00:10::a", "2001:db8::10"];

#[test]
fn an_ethernet_header_and_its_tag_stand_where_pnet_looks() {
    let link = eth().src("02:00:00:00:0a:0b").dst([6, 5, 4, 3, 2, 0]);
    let frame = link.tag(0x8100, 0x6123).raw(0x88cc, b"lldp").build();
    let ethernet = EthernetPacket::new(&frame).unwrap();
    assert_eq!(ethernet.get_source().octets(), [2, 0, 0, 0, 10, 11]);
    assert_eq!(ethernet.get_destination().octets(), [6, 5, 4, 3, 2, 0]);
    assert_eq!(ethernet.get_ethertype().0, 0x8100);
    let vlan = VlanPacket::new(ethernet.payload()).unwrap();
    assert_eq!(vlan.get_priority_code_point().0, 3);
    assert_eq!(vlan.get_vlan_identifier(), 0x123);
    assert_eq!((vlan.get_ethertype().0, vlan.payload()), (0x88cc, &b"lldp"[..]));
}

#[test]
fn arp_asks_everybody_and_answers_one() {
    let ask = eth().arp_request("10.0.0.1", "10.0.0.2").build();
    assert_eq!(ask[..6], BROADCAST);
    let arp = ArpPacket::new(&ask[14..]).unwrap();
    assert_eq!((arp.get_operation().0, arp.get_hw_addr_len(), arp.get_proto_addr_len()), (1, 6, 4));
    assert_eq!(arp.get_sender_hw_addr().octets(), [2, 0, 0, 0, 0, 1]);
    assert_eq!(arp.get_target_hw_addr().octets(), [0; 6]);
    assert_eq!(arp.get_sender_proto_addr().to_string(), "10.0.0.1");
    assert_eq!(arp.get_target_proto_addr().to_string(), "10.0.0.2");

    let answer = eth().arp_reply("10.0.0.1", "10.0.0.2").pad_to_60().build();
    let arp = ArpPacket::new(&answer[14..]).unwrap();
    assert_eq!((arp.get_operation().0, answer.len()), (2, 60));
    assert_eq!(arp.get_target_hw_addr().octets(), [2, 0, 0, 0, 0, 2]);
}

#[test]
fn an_ipv4_header_with_options_stands_where_pnet_looks() {
    let ip = eth().ipv4(V4[0], V4[1]).ttl(7).tos(0xb9).id(0xbeef).df().options([0x94, 4, 0, 0, 1]);
    let packet = ip.udp(5000, 53).payload(b"hello").packet();
    let ip = Ipv4Packet::new(&packet).unwrap();
    assert_eq!((ip.get_version(), ip.get_header_length()), (4, 7));
    assert_eq!((ip.get_dscp(), ip.get_ecn(), ip.get_ttl()), (0xb9 >> 2, 1, 7));
    assert_eq!((ip.get_total_length(), ip.get_identification()), (28 + 13, 0xbeef));
    assert_eq!((ip.get_flags(), ip.get_fragment_offset()), (2, 0));
    assert_eq!(ip.get_next_level_protocol(), Protocols::Udp);
    assert_eq!([ip.get_source().to_string(), ip.get_destination().to_string()], V4);
    assert_eq!(ip.get_options_raw(), [0x94, 4, 0, 0, 1, 0, 0, 0]);
    assert_eq!(ip.get_checksum(), ipv4::checksum(&ip));
    let udp = UdpPacket::new(ip.payload()).unwrap();
    assert_eq!((udp.get_source(), udp.get_destination(), udp.get_length()), (5000, 53, 13));
    assert_eq!(udp.payload(), b"hello");
}

#[test]
fn a_tcp_header_stands_where_pnet_looks() {
    let segment = eth()
        .ipv4(V4[0], V4[1])
        .tcp(40000, 443)
        .flags(SYN | ECE)
        .seq(0x0102_0304)
        .ack(0x0506_0708)
        .window(0x1234)
        .urgent(9)
        .mss(1460);
    let (protocol, bytes) = segment.payload(b"!").segment();
    let tcp = TcpPacket::new(&bytes).unwrap();
    assert_eq!((protocol, tcp.get_source(), tcp.get_destination()), (6, 40000, 443));
    assert_eq!((tcp.get_sequence(), tcp.get_acknowledgement()), (0x0102_0304, 0x0506_0708));
    assert_eq!((tcp.get_flags(), tcp.get_window()), (SYN | ECE, 0x1234));
    assert_eq!((tcp.get_data_offset(), tcp.get_urgent_ptr()), (6, 9));
    assert_eq!((tcp.get_options_raw(), tcp.payload()), (&[2, 4, 5, 180][..], &b"!"[..]));
}

#[test]
fn an_ipv6_header_and_its_extensions_stand_where_pnet_looks() {
    let ip = eth().ipv6(V6[0], V6[1]).hop_limit(3).traffic_class(0xa5).flow_label(0xabcde);
    let chain = ip.routing(2, 0, [7; 20]).fragment(0x1122_3344, 16, true);
    let packet = chain.raw(253, b"end").packet();
    let ip = Ipv6Packet::new(&packet).unwrap();
    assert_eq!((ip.get_version(), ip.get_hop_limit()), (6, 3));
    assert_eq!((ip.get_traffic_class(), ip.get_flow_label()), (0xa5, 0xabcde));
    assert_eq!(ip.get_payload_length(), 24 + 8 + 3);
    assert_eq!([ip.get_source().to_string(), ip.get_destination().to_string()], V6);
    assert_eq!(ip.get_next_header(), Protocols::Ipv6Route);
    let routing = RoutingPacket::new(ip.payload()).unwrap();
    assert_eq!((routing.get_routing_type(), routing.get_segments_left()), (2, 0));
    assert_eq!((routing.get_hdr_ext_len(), routing.get_next_header()), (2, Protocols::Ipv6Frag));
    let fragment = FragmentPacket::new(&ip.payload()[24..]).unwrap();
    assert_eq!((fragment.get_id(), fragment.get_fragment_offset()), (0x1122_3344, 16));
    assert_eq!((fragment.get_next_header().0, fragment.is_last_fragment()), (253, false));
    assert_eq!(&packet[72..], b"end");
}

#[test]
fn options_headers_are_padded_to_eight_bytes_by_pad_options() {
    for (given, padded) in [
        (&[][..], &[1, 4, 0, 0, 0, 0][..]),
        (&[5, 2, 0, 0], &[5, 2, 0, 0, 1, 0]),
        (&[9, 3, 1, 2, 3], &[9, 3, 1, 2, 3, 0]),
        (&[9, 4, 1, 2, 3, 4], &[9, 4, 1, 2, 3, 4]),
    ] {
        let packet = eth().ipv6(V6[0], V6[1]).hop_by_hop(given).raw(59, []).packet();
        assert_eq!((packet[6], &packet[40..42], &packet[42..]), (0, &[59, 0][..], padded));
    }
}

#[test]
fn neighbour_discovery_stands_where_pnet_looks() {
    let ip = eth().ipv6(V6[0], solicited_node(V6[1]));
    let ask = ip.neighbour_solicitation(V6[1]).packet();
    let ip = Ipv6Packet::new(&ask).unwrap();
    assert_eq!((ip.get_hop_limit(), ip.get_destination().to_string()), (255, "ff02::1:ff00:10".into()));
    let ns = ndp::NeighborSolicitPacket::new(ip.payload()).unwrap();
    assert_eq!((ns.get_icmpv6_type().0, ns.get_target_addr().to_string()), (135, V6[1].into()));
    let option = &ns.get_options()[0];
    assert_eq!((option.option_type.0, option.length), (1, 1));
    assert_eq!(option.data, [2, 0, 0, 0, 0, 1]);

    let ip = eth().ipv6(V6[1], V6[0]).hop_limit(254);
    let answer = ip.neighbour_advertisement(V6[1], 0b011).packet();
    let ip = Ipv6Packet::new(&answer).unwrap();
    let na = ndp::NeighborAdvertPacket::new(ip.payload()).unwrap();
    assert_eq!((ip.get_hop_limit(), na.get_flags()), (254, 0b0110_0000));
    assert_eq!((na.get_target_addr().to_string(), na.get_options().len()), (V6[1].into(), 1));

    let ask = eth().ipv6("fe80::1", "ff02::2").router_solicitation().without_options().packet();
    assert_eq!((ask.len(), ask[40]), (48, 133));
    assert_eq!(multicast_mac("ff02::1:ff00:10"), [0x33, 0x33, 0xff, 0, 0, 0x10]);
    assert_eq!(multicast_mac("224.129.0.1"), [1, 0, 0x5e, 1, 0, 1]);
}

#[test]
fn errors_carry_the_mtu_and_the_quote_where_pnet_looks() {
    let sent = eth().ip(V4[0], V4[1]).udp(1, 2).payload([7; 1400]);
    let error = eth().ipv4(V4[1], V4[0]).fragmentation_needed(1280, &sent.packet()).packet();
    assert_eq!(error.len(), 576, "RFC 1812 lets errors have 576 bytes");
    let message = icmp::destination_unreachable::DestinationUnreachablePacket::new(&error[20..]);
    let message = message.unwrap();
    assert_eq!((message.get_icmp_type().0, message.get_icmp_code().0), (3, 4));
    assert_eq!((message.get_next_hop_mtu(), message.payload()), (1280, &sent.quote(548)[..]));

    let sent = eth().ip(V6[0], V6[1]).udp(1, 2).payload([7; 1400]);
    let error = eth().ipv6(V6[1], V6[0]).packet_too_big(1400, &sent.packet()).packet();
    assert_eq!((error.len(), error[40], &error[44..48]), (1280, 2, &[0, 0, 5, 120][..]));
    assert_eq!(error[48..], sent.packet()[..1232]);
    assert_eq!(quote(&eth().vlan(5).ipv4(V4[0], V4[1]).raw(4, b"x").build(), 9).len(), 9);
}

#[test]
fn headers_that_do_not_go_with_every_fragment_are_cut_up_with_the_rest() {
    let ip = eth().ipv6(V6[0], V6[1]).hop_by_hop([5, 2, 0, 0]).per_fragment().dest_opts([1, 4, 0, 0, 0, 0]);
    let whole = ip.udp(1, 2).payload([7; 100]);
    let pieces = whole.fragments(77, 96);
    assert_eq!(pieces.len(), 3);
    let bodies: Vec<u8> = pieces.iter().flat_map(|piece| piece[14 + 40 + 8 + 8..].to_vec()).collect();
    assert_eq!(bodies, whole.packet()[48..]);
    // Hop-by-hop options lead to the fragment header, and that to the destination options.
    assert!(pieces.iter().all(|piece| (piece[20], piece[54], piece[62]) == (0, 44, 60)));
}

#[test]
fn fragments_put_together_are_the_whole() {
    for (ip, header) in [(eth().ip(V4[0], V4[1]), 20), (eth().ip(V6[0], V6[1]), 48)] {
        let whole = ip.udp(5000, 53).payload((0..=255).cycle().take(4000).collect::<Vec<u8>>());
        let frames = whole.fragments(77, 1500);
        assert_eq!(frames.len(), 3);
        let mut together: Vec<u8> = Vec::new();
        for (index, frame) in frames.iter().enumerate() {
            assert_eq!(verify(frame), Ok(()));
            assert!(frame.len() <= 1514);
            let text = print::line(frame);
            let more = if index < 2 { "+" } else { "" };
            let place = format!("frag id 77 at {}{more}", together.len());
            assert!(text.contains(&place), "wanted {place:?} in {text}");
            together.extend(&frame[14 + header..]);
        }
        assert_eq!(together, whole.segment().1);
    }
}
