//! Capture files read back what was written.

use std::path::PathBuf;

use causeway_testkit::pcap::{read_pcap, write_pcap, write_pcap_micros};
use causeway_testkit::random;
use causeway_testkit::seed::Rng;

#[test]
fn a_nanosecond_file_gives_back_every_frame_and_time() {
    let (path, frames) = (file("nanos.pcap"), frames());
    write_pcap(&path, &frames).unwrap();
    assert_eq!(read_pcap(&path).unwrap(), frames);
}

#[test]
fn a_microsecond_file_loses_what_is_under_a_microsecond_and_no_more() {
    let (path, frames) = (file("micros.pcap"), frames());
    write_pcap_micros(&path, &frames).unwrap();
    let rounded: Vec<_> = frames.iter().map(|(time_ns, frame)| (time_ns / 1000 * 1000, frame.clone())).collect();
    assert_eq!(read_pcap(&path).unwrap(), rounded);
}

#[test]
fn equal_frames_make_equal_files_that_start_with_the_nanosecond_magic() {
    let (one, two) = (file("one.pcap"), file("two.pcap"));
    write_pcap(&one, &frames()).unwrap();
    write_pcap(&two, &frames()).unwrap();
    let bytes = std::fs::read(one).unwrap();
    assert_eq!(bytes[..4], [0x4d, 0x3c, 0xb2, 0xa1]);
    assert_eq!(bytes, std::fs::read(two).unwrap());
}

#[test]
fn a_big_endian_capture_with_a_short_snap_length_is_read() {
    let path = file("snapped.pcap");
    let words = |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_be_bytes()).collect() };
    let mut bytes = words(&[0xa1b2_c3d4, 0x0002_0004, 0, 0, 4, 1]);
    bytes.extend(words(&[7, 8, 4, 1500, 0xdead_beef]));
    std::fs::write(&path, bytes).unwrap();
    let frame = vec![0xde, 0xad, 0xbe, 0xef];
    assert_eq!(read_pcap(&path).unwrap(), [(7_000_008_000, frame)]);
}

#[test]
fn errors_name_the_file() {
    let missing = read_pcap(file("missing.pcap")).unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    assert!(missing.to_string().contains("missing.pcap"), "{missing}");

    let path = file("cut.pcap");
    write_pcap(&path, &frames()).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.pop();
    std::fs::write(&path, bytes).unwrap();
    let cut = read_pcap(&path).unwrap_err();
    assert!(cut.to_string().contains("cut.pcap"), "{cut}");

    let late = write_pcap(&path, &[(u64::MAX, [0u8; 14])]).unwrap_err();
    assert!(late.to_string().contains("2106"), "{late}");
}

fn frames() -> Vec<(u64, Vec<u8>)> {
    let mut rng = Rng::new(11);
    let mut frames: Vec<_> = (0..50).map(|n| (n * 1_234_567_891, random::frame(&mut rng))).collect();
    // The longest super-frame, and a frame of nothing.
    frames.push((frames.len() as u64, rng.bytes(65_535 + 14)));
    frames.push((0, Vec::new()));
    frames
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}
