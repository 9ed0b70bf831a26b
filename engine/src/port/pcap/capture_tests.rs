use proptest::prelude::*;

use super::*;

/// A classic capture of two frames, at 5.000001 s and 6 s.
fn classic(big_endian: bool, nanoseconds: bool) -> Vec<u8> {
    let word = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let magic = word(if nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 });
    let version = word(if big_endian { 0x0002_0004 } else { 0x0004_0002 });
    let mut file: Vec<u8> = [magic, version, word(0), word(0), word(65_535), word(1)].concat();
    file.extend([word(5), word(if nanoseconds { 1000 } else { 1 }), word(3), word(3)].concat());
    file.extend(b"one");
    file.extend([word(6), word(0), word(4), word(90)].concat());
    file.extend(b"cut!");
    file
}

/// A pcapng capture of the same, with a stamp unit of its own and an interface
/// of another unit in between.
fn next_generation(big_endian: bool) -> Vec<u8> {
    let word = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let half = |value: u16| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let block = |kind: u32, body: &[u8]| {
        let len = word(body.len() as u32 + 12);
        [&word(kind)[..], &len, body, &len].concat()
    };
    let section = [&word(0x1a2b_3c4d)[..], &half(1), &half(0), &[0xff; 8]].concat();
    // Ethernet, with `if_tsresol` 2^-10.
    let binary = [&half(1)[..], &half(0), &word(0), &half(9), &half(1), &[0x8a, 0, 0, 0], &half(0), &half(0)].concat();
    let microseconds = [&half(1)[..], &half(0), &word(0)].concat();
    let packet = |interface: u32, stamp: u64, wire_len: u32, bytes: &[u8; 4], len: u32| {
        let stamp = [word((stamp >> 32) as u32), word(stamp as u32)].concat();
        block(6, &[&word(interface)[..], &stamp, &word(len), &word(wire_len), bytes].concat())
    };
    [
        block(0x0a0d_0d0a, &section),
        block(1, &binary),
        block(1, &microseconds),
        packet(1, 5_000_001, 3, b"one\0", 3),
        block(0xbad, b"skip"),
        packet(0, 6 << 10, 90, b"cut!", 4),
    ]
    .concat()
}

fn frames(file: Vec<u8>) -> Vec<(u64, Vec<u8>, u32)> {
    let capture = Capture::parse(file).expect("a good capture");
    let frame = |index| {
        let (record, bytes) = capture.get(index).expect("a frame");
        (record.time.as_nanos(), bytes.to_vec(), record.wire_len)
    };
    (0..capture.len()).map(frame).collect()
}

#[test]
fn both_formats_are_read_in_either_byte_order_and_any_resolution() {
    let expected = vec![(5_000_001_000, b"one".to_vec(), 3), (6_000_000_000, b"cut!".to_vec(), 90)];
    for big_endian in [false, true] {
        assert_eq!(frames(classic(big_endian, false)), expected);
        assert_eq!(frames(classic(big_endian, true)), expected);
        assert_eq!(frames(next_generation(big_endian)), expected);
    }
    assert_eq!(frames(Vec::new()), []);
}

#[test]
fn a_block_without_a_time_has_that_of_the_one_before() {
    let mut file = next_generation(false);
    file.extend([3u32, 24, 5].map(u32::to_le_bytes).concat());
    file.extend(b"five!\0\0\0");
    file.extend(24u32.to_le_bytes());
    assert_eq!(frames(file).last(), Some(&(6_000_000_000, b"five!".to_vec(), 5)));
}

#[test]
fn time_never_goes_back() {
    let mut file = classic(false, false);
    file[24 + 16 + 3] = 4;
    let times: Vec<u64> = frames(file).into_iter().map(|(time, ..)| time).collect();
    assert_eq!(times, [5_000_001_000, 5_000_001_000]);
}

#[test]
fn damage_is_named_with_its_place() {
    let damage = |file: Vec<u8>| Capture::parse(file).err().expect("damaged").to_string();
    assert_eq!(
        damage(b"not a capture, just a sentence".to_vec()),
        "damaged at byte 0: Invalid field value: PcapHeader: wrong magic number"
    );
    assert_eq!(damage(b"shor".to_vec()), "damaged at byte 0: the file ends within a record");
    let mut cut = classic(true, false);
    cut.pop();
    assert_eq!(damage(cut), "damaged at byte 43: the file ends within a record");
    let mut raw_ip = classic(false, false);
    raw_ip[20] = 101;
    assert_eq!(damage(raw_ip), "damaged at byte 0: frames of link type RAW; only ETHERNET can be replayed");
    let mut cut = next_generation(false);
    cut.truncate(cut.len() - 4);
    assert!(damage(cut).starts_with("damaged at byte 132: "));
}

proptest! {
    #[test]
    fn garbage_is_damage_but_never_a_panic(
        kind in 0..3usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut file = [classic(true, true), next_generation(false), next_generation(true)][kind].clone();
        for (at, value) in flips {
            let at = at.index(file.len());
            file[at] = value;
        }
        file.truncate(cut.index(file.len()) + 1);
        if let Ok(capture) = Capture::parse(file) {
            for index in 0..capture.len() {
                let (record, bytes) = capture.get(index).expect("a frame");
                prop_assert_eq!(bytes.len(), record.len as usize);
            }
        }
    }
}
