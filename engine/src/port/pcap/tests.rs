use std::env;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use causeway_fastpath::offload::{ChecksumState, Offload};
use causeway_testkit::pcap::{read_pcap, write_pcap};

use super::super::test_world::options;
use super::*;

/// A file name that no other test has; the file goes with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Scratch(env::temp_dir().join(format!("causeway-pcap-{}-{number}.pcap", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn open(input: Option<&Path>, output: Option<&Path>) -> PcapPort {
    PcapPort::open(&options(2, "file"), BufferOwner(2), input, output).expect("the port opens")
}

/// Plays a capture to its end, each frame sent back as it came.
fn replay(input: &Path, output: &Path) -> PortStats {
    let mut port = open(Some(input), Some(output));
    let mut burst = Burst::new();
    let (mut frames, mut spent) = (Vec::new(), Vec::new());
    while let Some(time) = port.peek_time() {
        port.set_now(time);
        while port.rx_burst(&mut burst) > 0 {
            frames.extend(burst.drain().map(|(frame, _)| frame));
            port.tx_burst(&mut frames, &mut spent);
            spent.drain(..).for_each(|frame| port.recycle(frame));
        }
    }
    let stats = port.stats();
    port.finish().expect("written");
    stats
}

#[test]
fn a_replay_writes_what_it_read_with_the_same_times() {
    let (input, output) = (Scratch::new(), Scratch::new());
    let frames: Vec<(u64, Vec<u8>)> =
        (0..1000u64).map(|number| (7 + number * 1_000_000_001, vec![number as u8; 60 + number as usize])).collect();
    write_pcap(&input.0, &frames).expect("written");
    let stats = replay(&input.0, &output.0);
    assert_eq!((stats.rx_packets, stats.tx_packets), (1000, 1000));
    assert_eq!(read_pcap(&output.0).expect("a capture"), frames);
    assert_eq!(fs::read(&input.0).expect("read"), fs::read(&output.0).expect("read"), "byte for byte");
}

#[test]
fn frames_come_in_when_their_time_has_come() {
    let input = Scratch::new();
    write_pcap(&input.0, &[(100, [0; 60]), (200, [1; 60]), (200, [2; 60]), (300, [3; 60])]).expect("written");
    let mut port = open(Some(&input.0), None);
    let mut burst = Burst::new();
    let mut at = |port: &mut PcapPort, ns: u64| {
        port.set_now(Instant::from_nanos(ns));
        let count = port.rx_burst(&mut burst);
        burst.drain().for_each(|(frame, _)| port.recycle(frame));
        (count, port.peek_time().map(Instant::as_nanos))
    };
    assert_eq!(at(&mut port, 99), (0, Some(100)));
    assert_eq!(at(&mut port, 199), (1, Some(200)));
    assert_eq!(at(&mut port, 200), (2, Some(300)));
    assert_eq!(at(&mut port, 1000), (1, None));
}

#[test]
fn super_frames_are_written_whole_and_checksums_completed() {
    let output = Scratch::new();
    let mut port = open(None, Some(&output.0));
    let mut frame = Frame::boxed(&vec![1; 65_549], 0, 0);
    frame.offload = Offload { checksum: ChecksumState::Partial { start: 34, offset: 6 }, ..Offload::DONE };
    let mut lying = Frame::boxed(&[1; 60], 0, 0);
    lying.offload.checksum = ChecksumState::Partial { start: 59, offset: 0 };
    let (mut frames, mut spent) = (vec![frame, lying], Vec::new());
    assert_eq!(port.tx_burst(&mut frames, &mut spent), 2);
    assert_eq!((port.stats().tx_packets, port.stats().tx_errors), (1, 1));
    port.finish().expect("written");
    let written = read_pcap(&output.0).expect("a capture");
    assert_eq!((written.len(), written[0].1.len()), (1, 65_549));
    assert_ne!(written[0].1[40..42], [1, 1]);
    for frame in spent {
        frame.into_heap().expect("a frame of ours");
    }
}

#[test]
fn a_capture_that_is_none_is_an_error_that_says_where() {
    let input = Scratch::new();
    fs::write(&input.0, b"certainly no capture, but words").expect("written");
    let open = |path: &Path| {
        let result = PcapPort::open(&options(2, "file"), BufferOwner(2), Some(path), None);
        result.err().expect("no capture").to_string()
    };
    let path = input.0.display().to_string();
    let expected = format!("port \"p2\" (pcap on {path}): damaged at byte 0: ");
    assert!(open(&input.0).starts_with(&expected), "{}", open(&input.0));
    assert!(open(Path::new("/nonexistent.pcap")).contains("cannot read the capture: "));
}
