use proptest::prelude::*;

use super::*;

fn name() -> impl Strategy<Value = String> {
    "[ -~]{0,31}"
}

fn message() -> impl Strategy<Value = Message> {
    let hello = (name(), any::<[u16; 5]>(), any::<u8>()).prop_map(|(name, numbers, log2_ring)| {
        let [least_version, most_version, last_region, last_to_client, last_to_server] = numbers;
        Message::Hello(Hello {
            name,
            least_version,
            most_version,
            last_region,
            last_to_client,
            last_to_server,
            log2_ring,
        })
    });
    let ring = any::<(bool, u16, u16, u32, u8)>().prop_map(|(to_server, index, region, offset, log2_ring)| {
        Message::AddRing(AddRing { to_server, index, region, offset, log2_ring })
    });
    prop_oneof![
        Just(Message::Ack),
        hello,
        (any::<(u16, u32)>(), name()).prop_map(|((version, id), name)| Message::Init { version, id, name }),
        any::<(u16, u64)>().prop_map(|(index, size)| Message::AddRegion { index, size }),
        ring,
        name().prop_map(|name| Message::Connect { name }),
        name().prop_map(|name| Message::Connected { name }),
        "[ -~]{0,95}".prop_map(|reason| Message::Disconnect { reason }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(message in message()) {
        prop_assert_eq!(Message::parse(&message.bytes()), Ok(message));
    }

    #[test]
    fn any_bytes_are_a_message_that_can_be_shown_or_none(bytes in any::<[u8; LEN]>(), kind in 0..10u16) {
        let mut bytes = bytes;
        bytes[..2].copy_from_slice(&kind.to_ne_bytes());
        match Message::parse(&bytes) {
            Ok(Message::Hello(Hello { name, .. }) | Message::Connected { name }) => {
                prop_assert!(name.chars().all(|c| matches!(c, ' '..='~')));
            }
            Ok(_) => {}
            Err(unknown) => prop_assert!(kind == 0 || kind == 9, "{}", unknown),
        }
    }
}

/// Packed, as DPDK and VPP declare them.
#[test]
#[cfg(target_endian = "little")]
fn fields_lie_where_others_put_them() {
    let ring = AddRing { to_server: true, index: 1, region: 2, offset: 0x0304_0506, log2_ring: 10 };
    let bytes = Message::AddRing(ring).bytes();
    assert_eq!(bytes[..15], [5, 0, 1, 0, 1, 0, 2, 0, 6, 5, 4, 3, 10, 0, 0]);
    let bytes = Message::Init { version: VERSION, id: 7, name: "a".into() }.bytes();
    assert_eq!((&bytes[..9], &bytes[33..35]), (&[3, 0, 0, 2, 7, 0, 0, 0, 0][..], &b"a\0"[..]));
    let bytes = Message::AddRegion { index: 0, size: 4096 }.bytes();
    assert_eq!(bytes[..12], [4, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0]);
}
