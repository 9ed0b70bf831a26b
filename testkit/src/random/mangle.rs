//! Frames as a broken or hostile sender makes them.

use crate::seed::Rng;

/// A copy of `frame` with one to three things done to it: cut short, bits
/// flipped, a length, version or checksum field made to lie, bytes put in or
/// behind, headers overwritten. It may come out empty; it may, rarely, still be valid.
pub fn mangle(rng: &mut Rng, frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    for _ in 0..rng.range(1..4) {
        match rng.below(8) {
            0 => truncate(rng, &mut frame),
            1 => flip_a_bit(rng, &mut frame),
            2 => set_a_byte(rng, &mut frame),
            3 => lie_in_ip(rng, &mut frame),
            4 => lie_in_transport(rng, &mut frame),
            5 => insert(rng, &mut frame),
            6 => extend(rng, &mut frame),
            _ => overwrite(rng, &mut frame),
        }
    }
    frame
}

fn truncate(rng: &mut Rng, frame: &mut Vec<u8>) {
    // Within the headers as often as anywhere.
    let within = if rng.bool() { frame.len().min(80) } else { frame.len() };
    frame.truncate(rng.range(0..within + 1));
}

fn flip_a_bit(rng: &mut Rng, frame: &mut [u8]) {
    if let Some(at) = somewhere(rng, frame) {
        frame[at] ^= 1 << rng.below(8);
    }
}

fn set_a_byte(rng: &mut Rng, frame: &mut [u8]) {
    if let Some(at) = somewhere(rng, frame) {
        frame[at] = *rng.choose(&[0, 1, 0x7f, 0x80, 0xff]);
    }
}

/// Version and header length, total or payload length, flags and offset, protocol.
fn lie_in_ip(rng: &mut Rng, frame: &mut [u8]) {
    let at = network(frame) + *rng.choose(&[0, 0, 2, 3, 4, 5, 6, 7, 9]);
    let lie = *rng.choose(&[0, 1, 0x40, 0x44, 0x46, 0x4f, 0x60, 0x20, 0x3f, 0xff]);
    set(frame, at, lie);
}

/// UDP's length, TCP's header length, an ICMP type, an option's length.
fn lie_in_transport(rng: &mut Rng, frame: &mut [u8]) {
    let network = network(frame);
    let start = match frame.get(network) {
        Some(first) if first >> 4 == 4 => network + usize::from(first & 0x0f) * 4,
        _ => network + 40,
    };
    let at = start + *rng.choose(&[0, 1, 4, 5, 6, 7, 12, 12, 13, 20, 21]);
    let lie = *rng.choose(&[0, 1, 4, 7, 8, 0x40, 0x50, 0xf0, 0xff]);
    set(frame, at, lie);
}

fn insert(rng: &mut Rng, frame: &mut Vec<u8>) {
    let at = rng.range(0..frame.len() + 1);
    let count = rng.range(1..9);
    let bytes = rng.bytes(count);
    frame.splice(at..at, bytes);
}

fn extend(rng: &mut Rng, frame: &mut Vec<u8>) {
    let count = rng.range(1..64);
    frame.extend(rng.bytes(count));
}

fn overwrite(rng: &mut Rng, frame: &mut [u8]) {
    if let Some(at) = somewhere(rng, frame) {
        let count = rng.range(1..17).min(frame.len() - at);
        let bytes = rng.bytes(count);
        frame[at..at + count].copy_from_slice(&bytes);
    }
}

/// Mostly a place in the headers; `None` if there is no place.
fn somewhere(rng: &mut Rng, frame: &[u8]) -> Option<usize> {
    let within = if rng.chance(3, 4) { frame.len().min(80) } else { frame.len() };
    (within > 0).then(|| rng.range(0..within))
}

/// Where the layer behind Ethernet and its tags starts.
fn network(frame: &[u8]) -> usize {
    let mut start = 12;
    while let Some([0x81, 0x00] | [0x88, 0xa8]) = frame.get(start..start + 2) {
        start += 4;
    }
    start + 2
}

fn set(frame: &mut [u8], at: usize, value: u8) {
    if let Some(byte) = frame.get_mut(at) {
        *byte = value;
    }
}
