//! What the printer says, word for word.

use causeway_testkit::packet::*;
use causeway_testkit::print::{assert_frames_eq, diff, diff_lists, hex, line, text};

const MACS: &str = "02:00:00:00:00:01 > 02:00:00:00:00:02";

#[test]
fn a_line_says_who_to_whom_and_what() {
    let v4 = || eth().ipv4("10.1.1.10", "203.0.113.10");
    let v6 = || eth().ipv6("fd00::1", "2001:db8::1");
    for (frame, words) in [
        (
            v4().df().udp(5000, 53).payload(b"hello").build(),
            "IPv4 10.1.1.10 > 203.0.113.10 ttl 64 DF UDP 5000 > 53 len 5 5 bytes",
        ),
        (
            v6().hop_limit(9).tcp(1, 443).flags(SYN | ACK).seq(7).ack(8).build(),
            "IPv6 fd00::1 > 2001:db8::1 ttl 9 TCP 1 > 443 SYN,ACK seq 7 ack 8 len 0",
        ),
        (v4().icmp_echo_request(3, 4).build(), "IPv4 10.1.1.10 > 203.0.113.10 ttl 64 DF ICMP echo request id 3 seq 4"),
        (
            v4().fragment(1480, true).id(5).raw(17, [0; 8]).build(),
            "IPv4 10.1.1.10 > 203.0.113.10 ttl 64 frag id 5 at 1480+ 8 bytes",
        ),
        (
            v6().neighbour_solicitation("fd00::2").build(),
            "IPv6 fd00::1 > 2001:db8::1 ttl 255 ICMPv6 neighbour solicitation fd00::2 8 bytes",
        ),
        (v6().raw(89, []).build(), "IPv6 fd00::1 > 2001:db8::1 ttl 64 protocol 89"),
    ] {
        assert_eq!(line(&frame), format!("{MACS} {words}"));
    }
    let arp = eth().vlan(12).arp_request("10.0.0.1", "10.0.0.2").pad_to_60().build();
    assert_eq!(
        line(&arp),
        "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff vlan 12 \
         ARP who has 10.0.0.2, asks 10.0.0.1 at 02:00:00:00:00:01 +14 padding"
    );
}

#[test]
fn a_quote_stands_in_brackets_and_its_bad_checksum_is_said() {
    let sent = eth().ipv4("10.0.0.1", "10.0.0.2").bad_checksum().ttl(1).udp(1, 2).payload([0; 9]);
    let error = eth().ipv4("10.0.0.9", "10.0.0.1").icmp_error(11, 0, [0; 4], &sent.quote(28));
    let said = line(&error.build());
    let start = format!(
        "{MACS} IPv4 10.0.0.9 > 10.0.0.1 ttl 64 DF ICMP time exceeded code 0 \
                         [IPv4 10.0.0.1 > 10.0.0.2 ttl 1 DF !bad checksum "
    );
    assert!(said.starts_with(&start) && said.ends_with(" UDP 1 > 2 len 9]"), "{said}");
}

#[test]
fn eight_quoted_bytes_of_tcp_show_its_ports_and_are_no_fault() {
    let sent = eth().ip("fd00::1", "fd00::2").tcp(40000, 443);
    let error = eth().ipv6("fd00::9", "fd00::1").packet_too_big(1280, &sent.quote(48)).build();
    assert_eq!(
        line(&error),
        format!(
            "{MACS} IPv6 fd00::9 > fd00::1 ttl 64 ICMPv6 packet too big mtu 1280 \
                 [IPv6 fd00::1 > fd00::2 ttl 64 TCP 40000 > 443 cut]"
        )
    );
}

#[test]
fn the_long_form_lists_each_field_of_each_layer() {
    let said = text(&eth().ipv4("10.0.0.1", "10.0.0.2").tcp(1, 2).partial_checksum().build());
    for wanted in [
        "Ethernet\n  destination      02:00:00:00:00:02\n",
        "IPv4\n  version          4\n",
        "  total length     40\n",
        "  checksum         0x26ce good\n",
        "  flags            ACK\n",
        "  checksum         0x141d partial\n",
        "  !partial checksum 0x141d\n",
    ] {
        assert!(said.contains(wanted), "wanted {wanted:?} in\n{said}");
    }
}

#[test]
fn a_difference_names_the_field_and_shows_the_bytes() {
    let frame = |ttl| eth().ipv4("10.0.0.1", "10.0.0.2").ttl(ttl).udp(1, 2).build();
    assert_eq!(diff(&frame(64), &frame(64)), "");
    assert_frames_eq(frame(64), frame(64));
    assert_eq!(
        diff(&frame(64), &frame(63)),
        format!(
            "- {MACS} IPv4 10.0.0.1 > 10.0.0.2 ttl 64 DF UDP 1 > 2 len 0\n\
             + {MACS} IPv4 10.0.0.1 > 10.0.0.2 ttl 63 DF UDP 1 > 2 len 0\n\
             IPv4\n  \
             - ttl              64\n  \
             + ttl              63\n  \
             - checksum         0x26cf good\n  \
             + checksum         0x27cf good\n\
             bytes (42 expected, 42 actual)\n  \
             - 0010  00 1c 00 00 40 00 40 11  26 cf 0a 00 00 01 0a 00\n  \
             + 0010  00 1c 00 00 40 00 3f 11  27 cf 0a 00 00 01 0a 00\n"
        )
    );
}

#[test]
fn a_list_says_which_frame_is_missing_or_too_many() {
    let frames = [eth().raw(0x1234, b"a").build(), eth().raw(0x1234, b"b").build()];
    assert_eq!(diff_lists(&frames, &frames), "");
    assert!(diff_lists(&frames, &frames[..1]).starts_with("frame 1 is missing\n- 02:"));
    assert!(diff_lists(&frames[..1], &frames).starts_with("frame 1 is too many\n+ 02:"));
    assert!(diff_lists(&frames[..1], &frames[1..]).starts_with("frame 0\n- 02:"));
}

#[test]
#[should_panic(expected = "frames differ (- expected, + actual)")]
fn unequal_frames_fail_the_assertion() {
    assert_frames_eq([0; 14], [1; 14]);
}

#[test]
fn hexadecimal_lines_carry_offsets() {
    assert_eq!(hex(&[0xab; 17]).lines().last(), Some("0010  ab"));
    assert_eq!(hex(&[]), "");
}
