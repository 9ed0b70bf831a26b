//! From bytes to checked offsets: after this, nobody asks again.
//!
//! In two steps, because most packets need only the first: [`ipv4`] and [`ipv6`]
//! find what a router must look at, [`layers`] what a translator must.

mod extensions;
mod fragment;
mod network;
mod quote;
mod transport;

pub use fragment::{Fragment, Part, fragment};
pub use network::{IpHeader, ipv4, ipv4_with_bad_options, ipv6};
pub(crate) use network::{plain_ipv4, plain_ipv6};
pub use quote::{Quote, quote};
pub use transport::{L4Kind, Layers, first_fragment, layers, may_be_error, may_be_of_icmp};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::VrfId;
    use crate::verdict::DropReason;
    use crate::wire::tcp;
    use causeway_testkit::packet::*;
    use causeway_testkit::random;
    use causeway_testkit::seed::Seed;
    use proptest::prelude::*;

    fn layers4(frame: &[u8]) -> Result<Layers<u32>, DropReason> {
        ipv4(frame).map(|header| layers(frame, &header, VrfId::MAIN))
    }

    fn layers6(frame: &[u8]) -> Result<Layers<u128>, DropReason> {
        ipv6(frame).map(|header| layers(frame, &header, VrfId::MAIN))
    }

    #[test]
    fn a_udp_packet_gives_its_five_tuple() {
        let frame = eth().ipv4("10.1.1.10", "203.0.113.10").ttl(9).udp(5000, 53).payload(b"hi").pad_to_60().build();
        let layers = layers4(&frame).expect("a sound packet");
        assert_eq!((layers.key.src, layers.key.dst), (0x0a01_010a, 0xcb00_710a));
        assert_eq!((layers.key.src_port, layers.key.dst_port, layers.key.protocol), (5000, 53, 17));
        assert_eq!((layers.l4, layers.end, layers.ttl, layers.kind), (34, 44, 9, L4Kind::Udp));
    }

    #[test]
    fn extension_headers_lead_to_the_ports() {
        let frame = eth()
            .ipv6("fd00::1", "fd00::2")
            .hop_by_hop([1, 4, 0, 0, 0, 0])
            .dest_opts([1, 4, 0, 0, 0, 0])
            .tcp(1, 2)
            .flags(SYN)
            .build();
        let layers = layers6(&frame).expect("a sound packet");
        assert_eq!((layers.key.src_port, layers.key.dst_port, layers.kind, layers.l4), (1, 2, L4Kind::Tcp, 70));
        assert_eq!(layers.tcp_flags, tcp::SYN);
    }

    #[test]
    fn what_an_authentication_header_covers_is_left_alone() {
        let header = [6, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let frame = eth().ipv6("fd00::1", "fd00::2").extension(51, header).tcp(1, 2).flags(SYN).build();
        let layers = layers6(&frame).expect("a sound packet");
        assert_eq!((layers.kind, layers.key.src_port), (L4Kind::AddressBound, 0));
    }

    proptest! {
        #[test]
        fn an_option_that_overruns_the_header_is_found_where_it_begins(
            options in proptest::collection::vec(any::<u8>(), 1..=40),
        ) {
            let frame = eth().ipv4("10.0.0.1", "10.0.0.2").options(&options).udp(1, 2).build();
            let is_bad = ipv4(&frame) == Err(DropReason::OptionsBad);
            prop_assert_eq!(ipv4_with_bad_options(&frame).is_some(), is_bad);
            if let Some((header, at)) = ipv4_with_bad_options(&frame) {
                prop_assert!(at >= 20 && 14 + u16::from(at) < header.l4);
                // What stands before it is sound; its length is not.
                let before = eth().ipv4("10.0.0.1", "10.0.0.2").options(&frame[34..14 + usize::from(at)]);
                prop_assert!(ipv4(&before.udp(1, 2).build()).is_ok());
                let left = usize::from(header.l4) - 14 - usize::from(at);
                let len = frame.get(15 + usize::from(at)).copied().map_or(0, usize::from);
                prop_assert!(left == 1 || len < 2 || len > left);
            }
        }
    }

    #[test]
    fn an_echo_reply_has_the_reversed_key_of_its_request() {
        let request = layers4(&eth().ipv4("10.0.0.1", "10.0.0.2").icmp_echo_request(77, 1).build()).expect("sound");
        let reply = layers4(&eth().ipv4("10.0.0.2", "10.0.0.1").icmp_echo_reply(77, 1).build()).expect("sound");
        assert_eq!(request.key.reversed(), reply.key);
    }

    #[test]
    fn lies_about_lengths_are_refused_or_noted() {
        let v4 = || eth().ipv4("10.0.0.1", "10.0.0.2");
        let reason = |frame: &[u8]| layers4(frame).expect_err("must be refused");
        assert_eq!(reason(&v4().version(6).udp(1, 2).build()), DropReason::Ipv4HeaderBad);
        assert_eq!(reason(&v4().ihl(4).udp(1, 2).build()), DropReason::Ipv4HeaderBad);
        assert_eq!(reason(&v4().total_length(19).udp(1, 2).build()), DropReason::Ipv4HeaderBad);
        assert_eq!(reason(&v4().total_length(29).udp(1, 2).build()), DropReason::FrameTruncated);
        assert_eq!(reason(&v4().bad_checksum().udp(1, 2).build()), DropReason::Ipv4ChecksumBad);
        assert_eq!(reason(&v4().options([131, 3, 4, 0]).udp(1, 2).build()), DropReason::SourceRoute);
        assert_eq!(reason(&v4().options([7, 1, 0, 0]).udp(1, 2).build()), DropReason::OptionsBad);
        assert_eq!(reason(&v4().udp(1, 2).truncate(33).build()), DropReason::FrameTruncated);
        for damaged in
            [v4().udp(1, 2).length(7).build(), v4().udp(1, 2).length(9).build(), v4().tcp(1, 2).data_offset(4).build()]
        {
            assert_eq!(layers4(&damaged).expect("IP is sound").kind, L4Kind::Damaged);
        }
        let v6 = || eth().ipv6("fd00::1", "fd00::2");
        assert_eq!(layers6(&v6().version(4).udp(1, 2).build()).expect_err("version"), DropReason::Ipv6HeaderBad);
        assert_eq!(layers6(&v6().payload_length(9).udp(1, 2).build()).expect_err("length"), DropReason::FrameTruncated);
        assert_eq!(layers6(&v6().routing(0, 1, [0; 20]).udp(1, 2).build()).expect_err("RH0"), DropReason::SourceRoute);
    }

    #[test]
    fn no_mangled_frame_breaks_a_promise() {
        let seed = Seed::from_env_or(0x5eed);
        let mut rng = seed.rng();
        for _ in 0..50_000 {
            let frame = random::frame(&mut rng);
            let frame = random::mangle(&mut rng, &frame);
            if let Ok(layers) = layers4(&frame) {
                assert!(layers.l4 <= layers.end && layers.end as usize <= frame.len());
            }
            if let Ok(layers) = layers6(&frame) {
                assert!(layers.l4 <= layers.end && layers.end as usize <= frame.len());
            }
            let _ = super::quote::<u32>(&frame);
            let _ = super::quote::<u128>(&frame);
        }
    }
}
