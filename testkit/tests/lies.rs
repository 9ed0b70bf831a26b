//! Every lie that the encoder can tell is told, and noticed.

use causeway_testkit::checksum::verify;
use causeway_testkit::packet::*;
use causeway_testkit::print;

const V4: [&str; 2] = ["10.1.1.10", "203.0.113.10"];
const V6: [&str; 2] = ["fd00:10::a", "2001:db8::10"];

#[test]
fn every_lie_is_told_and_noticed() {
    let v4 = || eth().ipv4(V4[0], V4[1]);
    let v6 = || eth().ipv6(V6[0], V6[1]);
    for (frame, at, bytes, complaint) in [
        (v4().version(9).udp(1, 2).build(), 14, &[0x95][..], "version 9"),
        (v4().ihl(15).udp(1, 2).build(), 14, &[0x4f], "header of 60"),
        (v4().ihl(4).udp(1, 2).build(), 14, &[0x44], "header of 16"),
        (v4().total_length(9000).udp(1, 2).build(), 16, &[0x23, 0x28], "total length 9000"),
        (v4().total_length(19).udp(1, 2).build(), 16, &[0, 19], "total of 19"),
        (v4().checksum(1).udp(1, 2).build(), 24, &[0, 1], "bad checksum 0x0001"),
        (v4().bad_checksum().udp(1, 2).build(), 14, &[0x45], "bad checksum"),
        (v4().udp(1, 2).length(7).build(), 38, &[0, 7], "length 7"),
        (v4().udp(1, 2).length(9).build(), 38, &[0, 9], "length 9"),
        (v4().udp(1, 2).bad_checksum().build(), 23, &[17], "UDP: bad checksum"),
        (v4().tcp(1, 2).bad_checksum().build(), 23, &[6], "TCP: bad checksum"),
        (v4().tcp(1, 2).checksum(7).build(), 50, &[0, 7], "TCP: bad checksum"),
        (v4().tcp(1, 2).data_offset(15).build(), 46, &[0xf0], "header of 60"),
        (v4().tcp(1, 2).data_offset(4).build(), 46, &[0x40], "header of 16"),
        (v4().icmp_echo_request(1, 2).bad_checksum().build(), 34, &[8], "ICMP: bad checksum"),
        (v4().protocol(6).udp(1, 2).build(), 23, &[6], "TCP: cut short"),
        (v4().udp(1, 2).payload(b"abc").cut(1).build(), 44, &[], "total length 31, 30 there"),
        (v6().version(4).udp(1, 2).build(), 14, &[0x40], "version 4"),
        (v6().payload_length(99).udp(1, 2).build(), 18, &[0, 99], "payload length 99"),
        (v6().next_header(6).udp(1, 2).build(), 20, &[6], "TCP: cut short"),
        (v6().udp(1, 2).no_checksum().build(), 60, &[0, 0], "IPv6 forbids"),
        (v6().icmp_echo_reply(1, 2).checksum(5).build(), 56, &[0, 5], "ICMPv6: bad checksum"),
        (v6().tcp(1, 2).truncate(53).build(), 53, &[], "IPv6: cut short"),
        (v6().hop_by_hop([]).truncate_in_extension(), 58, &[], "Hop-by-hop: cut short"),
    ] {
        let said = verify(&frame).expect_err(&print::text(&frame));
        assert!(said.contains(complaint), "wanted {complaint:?} in {said:?}");
        assert_eq!(&frame[at..at + bytes.len()], bytes, "{said}");
    }
    assert_eq!(verify(&v4().udp(1, 2).no_checksum().build()), Ok(()));
    assert_eq!(verify(&v4().udp(1, 2).trailing(b"surplus").build()), Ok(()));
    assert_eq!(v4().udp(1, 2).pad_to_60().trailing(b"surplus").build().len(), 67);
}

/// A frame that ends four bytes into the extension header.
trait TruncateInExtension {
    fn truncate_in_extension(self) -> Vec<u8>;
}

impl TruncateInExtension for Ipv6 {
    fn truncate_in_extension(self) -> Vec<u8> {
        self.udp(1, 2).truncate(58).build()
    }
}
