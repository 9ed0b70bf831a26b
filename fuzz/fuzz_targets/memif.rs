//! Whatever a memif server says over its socket, and whatever it writes to the memory it is
//! given: counters, descriptors and bytes, at any time.
#![no_main]

#[path = "../../engine/src/port/memif/client.rs"]
mod client;
#[path = "../../engine/src/port/memif/message.rs"]
mod message;
#[path = "../../engine/src/port/memif/region.rs"]
#[expect(dead_code, reason = "nobody is handed the memory")]
mod region;
#[path = "../../engine/src/port/memif/ring.rs"]
#[expect(dead_code, reason = "nobody sleeps")]
mod ring;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

use client::{Client, Next, Wish};
use message::{LEN, Message};
use region::Region;
use ring::{LEAST_LOG2, Lie, Receiver, Sender, Taken};

/// Steps of one run.
const STEPS: usize = 200;
const SLOTS: u16 = 1 << LEAST_LOG2;

fuzz_target!(|data: &[u8]| {
    // The end of the input ends the run.
    let mut input = Unstructured::new(data);
    let _ = if input.ratio(1, 2).unwrap_or(false) { talk(&mut input) } else { write(&mut input) };
});

/// A conversation ends after as many messages as a handshake has.
fn talk(input: &mut Unstructured<'_>) -> Result<()> {
    let pairs = input.int_in_range(1..=16)?;
    let wish = Wish { id: 1, name: "fuzz".into(), pairs, log2_ring: input.int_in_range(LEAST_LOG2..=12)? };
    let most = wish.log2_ring;
    let mut client = Client::new(wish);
    for said in 0.. {
        assert!(said <= 4 + 2 * usize::from(pairs), "a handshake ends");
        let mut bytes: [u8; LEN] = input.arbitrary()?;
        // Else most would be of no kind.
        bytes[1] = 0;
        let Ok(message) = Message::parse(&bytes) else { break };
        match client.hear(message) {
            Ok(Next::Say(message, _)) => assert_eq!(Message::parse(&message.bytes()), Ok(message)),
            Ok(Next::Begin { interface, server }) => {
                assert!(interface.len() < 33 && server.len() < 33);
                break;
            }
            Err(refused) => {
                assert!(!refused.to_string().is_empty());
                break;
            }
        }
        let (agreed, log2_ring) = client.terms();
        assert!(agreed == pairs && (LEAST_LOG2..=most).contains(&log2_ring));
    }
    Ok(())
}

/// A server that writes what it likes to its rings.
fn write(input: &mut Unstructured<'_>) -> Result<()> {
    let region = Arc::new(Region::new(ring::region_len(1, LEAST_LOG2)).expect("memory"));
    let mut sender = Sender::new(&region, 1, LEAST_LOG2, 0);
    let mut receiver = Receiver::new(&region, 1, LEAST_LOG2, 0);
    receiver.supply();
    let rings = [true, false].map(|to_server| ring::offset(1, LEAST_LOG2, to_server, 0));
    let mut room = vec![0; input.int_in_range(0..=9_100)?];
    let mut put = 0u16;
    for _ in 0..STEPS {
        let ring = rings[input.int_in_range(0..=1)?];
        match input.int_in_range(0..=5)? {
            0 => region.u16(ring + 64).store(input.arbitrary()?, Ordering::Relaxed),
            // A counter near where it should be.
            1 => {
                let tail = region.u16(ring + 64);
                tail.store(tail.load(Ordering::Relaxed).wrapping_add(input.int_in_range(0..=80)?), Ordering::Relaxed);
            }
            2 => {
                let at = ring + 128 + 8 * input.int_in_range(0..=usize::from(2 * SLOTS - 1))?;
                region.u64(at).store(input.arbitrary()?, Ordering::Relaxed);
            }
            3 => {
                let at = ring + 128 + 16 * input.int_in_range(0..=usize::from(SLOTS - 1))?;
                region.u16(at).store(input.int_in_range(0..=1)?, Ordering::Relaxed);
                region.u32(at + 4).store(input.int_in_range(0..=2_100)?, Ordering::Relaxed);
            }
            4 => {
                if let Ok(mut waiting) = receiver.waiting() {
                    assert!(waiting <= SLOTS);
                    while waiting > 0 {
                        let before = waiting;
                        if let Taken::Frame(len) = receiver.take(&mut waiting, &mut room) {
                            assert!(len <= room.len());
                        }
                        assert!(waiting < before, "every turn takes a slot");
                    }
                    receiver.supply();
                }
            }
            _ => match sender.free() {
                Ok(free) => {
                    assert!(free <= sender.slots());
                    let len = input.int_in_range(1..=9_000)?;
                    if Sender::slots_for(len) <= free {
                        sender.put(&vec![7; len]);
                        sender.publish();
                        put = put.wrapping_add(Sender::slots_for(len) as u16);
                    }
                }
                Err(Lie) => {}
            },
        }
        assert_eq!(region.u16(rings[0] + 6).load(Ordering::Relaxed), put, "the counter is ours alone");
    }
    Ok(())
}
