use causeway_fastpath::offload::{ChecksumState, Gso};

use super::super::test_world::options;
use super::*;

fn pair(behavior: &MemoryOptions) -> (MemoryPort, MemoryPeer) {
    MemoryPort::pair(&options(3, "wire"), BufferOwner(3), behavior)
}

/// Sends everything that came in back out.
fn echo(port: &mut MemoryPort) -> usize {
    let mut burst = Burst::new();
    let (mut frames, mut spent) = (Vec::new(), Vec::new());
    port.rx_burst(&mut burst);
    frames.extend(burst.drain().map(|(frame, _)| frame));
    let sent = port.tx_burst(&mut frames, &mut spent);
    frames.drain(..).chain(spent.drain(..)).for_each(|frame| port.recycle(frame));
    sent
}

#[test]
fn what_is_pushed_comes_in_and_what_is_sent_can_be_popped() {
    let (mut port, peer) = pair(&MemoryOptions::default());
    let offload = Offload { gso: Gso::Udp, gso_size: 5, ..Offload::DONE };
    assert!(peer.push(b"first", Offload::DONE) && peer.push(b"second", offload));
    assert_eq!(echo(&mut port), 2);
    assert_eq!(peer.waiting(), 2);
    assert_eq!(peer.pop_with(|bytes, offload| (bytes.to_vec(), offload)), Some((b"first".to_vec(), Offload::DONE)));
    assert_eq!(peer.pop_with(|bytes, offload| (bytes.to_vec(), offload)), Some((b"second".to_vec(), offload)));
    assert_eq!(peer.pop(), None);
    assert_eq!(peer.free_buffers(), 256);
    let stats = port.stats();
    assert_eq!((stats.rx_packets, stats.rx_bytes, stats.tx_packets, stats.tx_bytes), (2, 11, 2, 11));
}

#[test]
fn a_full_wire_takes_nothing_and_misses_what_comes() {
    let (mut port, peer) = pair(&MemoryOptions { rx_capacity: 2, tx_capacity: 1, ..MemoryOptions::default() });
    assert_eq!([0, 1, 2].map(|_| peer.push(b"frame", Offload::DONE)), [true, true, false]);
    assert_eq!(echo(&mut port), 1, "the second finds the port full");
    assert_eq!(port.stats().rx_missed, 1);
    peer.pop();
    peer.set_up(false);
    assert!(!peer.push(b"frame", Offload::DONE) && port.stats().link == Link::Down);
    assert_eq!(peer.free_buffers(), 256);
}

#[test]
fn a_port_without_offloads_makes_them_good() {
    let (mut port, peer) = pair(&MemoryOptions { offloads: false, ..MemoryOptions::default() });
    let mut udp = [0u8; 14 + 20 + 8 + 30];
    udp[12..18].copy_from_slice(&[0x08, 0x00, 0x45, 0, 0, 58]);
    udp[23] = 17;
    let partial = ChecksumState::Partial { start: 34, offset: 6 };
    assert!(peer.push(&udp, Offload { checksum: partial, gso: Gso::Udp, gso_size: 20 }));
    assert!(peer.push(&udp, Offload { checksum: partial, ..Offload::DONE }));
    assert!(peer.push(&udp, Offload { checksum: partial, gso: Gso::Udp, gso_size: 0 }), "a lie");
    assert_eq!(echo(&mut port), 3);
    let lens = [0, 1, 2].map(|_| {
        peer.pop_with(|bytes, offload| {
            assert_eq!(offload, Offload::DONE);
            assert_ne!(bytes[40..42], [0, 0], "a checksum");
            bytes.len()
        })
    });
    assert_eq!(lens, [Some(62), Some(52), Some(72)]);
    assert_eq!((port.stats().tx_packets, port.stats().tx_errors), (3, 1));
    assert_eq!(peer.free_buffers(), 256);
}
