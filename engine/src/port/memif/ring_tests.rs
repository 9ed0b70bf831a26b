use std::collections::VecDeque;

use proptest::prelude::*;

use super::super::test_side::Side;
use super::*;

fn pair(log2_ring: u8) -> (Sender, Receiver, Side) {
    let region = Arc::new(Region::new(region_len(2, log2_ring)).expect("memory"));
    // The second of two, so that no offset is zero.
    let (sender, receiver) = (Sender::new(&region, 2, log2_ring, 1), Receiver::new(&region, 2, log2_ring, 1));
    receiver.supply();
    (sender, receiver, Side::of_pair(region, 2, log2_ring, 1))
}

/// The next frame, if one waits.
fn take(receiver: &mut Receiver, room: usize) -> Option<Result<Vec<u8>, ()>> {
    let mut waiting = receiver.waiting().expect("the server is honest");
    if waiting == 0 {
        return None;
    }
    let mut bytes = vec![0; room];
    let taken = receiver.take(&mut waiting, &mut bytes);
    receiver.supply();
    Some(match taken {
        Taken::Frame(len) => Ok(bytes[..len].to_vec()),
        Taken::Bad => Err(()),
    })
}

#[derive(Clone, Debug)]
enum Step {
    /// The server sends so many bytes, in parts of so many.
    Push(usize, usize),
    Take,
    /// The client sends so many bytes.
    Put(usize),
    Pop,
}

fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![Just(1usize), 14..200usize, 2040..2060usize, 1..9000usize];
    prop_oneof![
        (len.clone(), prop_oneof![Just(BUFFER), 100..BUFFER]).prop_map(|(len, part)| Step::Push(len, part)),
        Just(Step::Take),
        len.prop_map(Step::Put),
        Just(Step::Pop),
    ]
}

fn frame(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ number) as u8).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Both rings are queues.
    #[test]
    fn what_is_put_in_comes_out_in_order(steps in prop::collection::vec(step(), 1..400)) {
        let (mut sender, mut receiver, mut server) = pair(LEAST_LOG2);
        let (mut inward, mut outward) = (VecDeque::new(), VecDeque::new());
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Push(len, part) => {
                    let frame = frame(number, len);
                    if server.push(&frame, part) {
                        inward.push_back(frame);
                    }
                }
                Step::Take => prop_assert_eq!(take(&mut receiver, 9000), inward.pop_front().map(Ok)),
                Step::Put(len) => {
                    let free = sender.free().expect("the server is honest");
                    let frame = frame(number, len);
                    if Sender::slots_for(len) <= free {
                        sender.put(&frame);
                        sender.publish();
                        outward.push_back(frame);
                    } else {
                        prop_assert!(!outward.is_empty(), "an empty ring has room");
                    }
                }
                Step::Pop => prop_assert_eq!(server.pop(), outward.pop_front()),
            }
        }
    }

    /// Whatever a server writes: what comes is inside the room, is bounded, and is refused
    /// where the counters cannot be.
    #[test]
    fn whatever_a_server_writes_does_no_harm(
        words in prop::collection::vec((any::<u16>(), any::<u16>(), prop_oneof![any::<u32>(), 0..4096u32]), 1..40),
        tails in prop::collection::vec(prop_oneof![any::<u16>(), 0..200u16], 1..40),
        room in 0..5000usize,
    ) {
        let (mut sender, mut receiver, server) = pair(LEAST_LOG2);
        let mut read = 0u16;
        let mut put = 0u16;
        for (at, tail) in tails.into_iter().enumerate() {
            let (counter, flags, len) = words[at % words.len()];
            server.describe(counter, flags, len);
            server.set_tail(server.filled, tail);
            match receiver.waiting() {
                Err(Lie) => prop_assert!(tail.wrapping_sub(read) > server.slots),
                Ok(mut waiting) => {
                    prop_assert_eq!(waiting, tail.wrapping_sub(read));
                    let mut bytes = vec![0; room];
                    while waiting > 0 {
                        let before = waiting;
                        if let Taken::Frame(len) = receiver.take(&mut waiting, &mut bytes) {
                            prop_assert!(len <= room);
                        }
                        prop_assert!(waiting < before, "every turn takes a slot");
                    }
                    receiver.supply();
                    read = tail;
                }
            }
            server.set_tail(server.taken_from, tail);
            match sender.free() {
                Err(Lie) => {}
                Ok(free) => {
                    prop_assert!(free <= usize::from(server.slots));
                    prop_assert_eq!(free, usize::from(server.slots - put.wrapping_sub(tail)));
                    if free > 0 {
                        sender.put(b"a frame");
                        sender.publish();
                        put = put.wrapping_add(1);
                    }
                }
            }
        }
    }
}

#[test]
fn counters_run_on_past_their_end() {
    let (mut sender, mut receiver, mut server) = pair(LEAST_LOG2);
    for number in 0..70_000 {
        let frame = frame(number, 60);
        assert!(server.push(&frame, BUFFER));
        assert_eq!(take(&mut receiver, 100), Some(Ok(frame.clone())));
        assert_eq!(sender.free(), Ok(64));
        sender.put(&frame);
        sender.publish();
        assert_eq!(server.pop(), Some(frame));
    }
}

#[test]
fn a_frame_that_is_none_is_bad_and_the_next_one_is_taken() {
    // Of a frame in three parts: what is wrong with it.
    type Wrong = (&'static str, fn(&Side));
    let wrongs: [Wrong; 3] = [
        ("a part is longer than its buffer", |server| server.describe(1, NEXT, BUFFER as u32 + 1)),
        ("a part is as long as can be said", |server| server.describe(0, NEXT, u32::MAX)),
        ("it is longer than the room", |server| (0..3).for_each(|part| server.describe(part, 1 - part / 2, 2000))),
    ];
    for (what, wrong) in wrongs {
        let (_, mut receiver, mut server) = pair(LEAST_LOG2);
        assert!(server.push(&[1; 300], 100) && server.push(&[2; 60], BUFFER));
        wrong(&server);
        assert_eq!(take(&mut receiver, 5000), Some(Err(())), "{what}");
        assert_eq!(take(&mut receiver, 5000), Some(Ok(vec![2; 60])), "{what}");
        // Its buffers are whole again.
        assert!((0..64).all(|_| server.push(&[3; 60], BUFFER)), "{what}");
    }
    let (_, mut receiver, mut server) = pair(LEAST_LOG2);
    assert!(server.push(&[1; 60], BUFFER));
    server.describe(0, NEXT, 60);
    assert_eq!(take(&mut receiver, 5000), Some(Err(())), "it goes on where nothing is");
}

#[test]
fn a_server_that_takes_what_is_not_there_is_found_out() {
    let (mut sender, receiver, server) = pair(LEAST_LOG2);
    server.set_tail(server.filled, 65);
    assert_eq!(receiver.waiting(), Err(Lie), "there are 64 slots");
    server.set_tail(server.taken_from, 1);
    assert_eq!(sender.free(), Err(Lie), "nothing was sent");
    server.set_tail(server.taken_from, 0);
    sender.put(b"one");
    sender.publish();
    server.set_tail(server.taken_from, 1);
    assert_eq!(sender.free(), Ok(64));
    server.set_tail(server.taken_from, 0);
    assert_eq!(sender.free(), Err(Lie), "what was taken is not given back");
}

#[test]
fn rings_and_buffers_lie_side_by_side() {
    for (pairs, log2_ring) in [(1, LEAST_LOG2), (3, 10), (16, MOST_LOG2)] {
        let mut places = Vec::new();
        for pair in 0..pairs {
            for to_server in [true, false] {
                let number = number(pairs, to_server, pair);
                places.push((offset(pairs, log2_ring, to_server, pair), ring_len(log2_ring)));
                places.push((buffers(pairs, log2_ring) + number * (BUFFER << log2_ring), BUFFER << log2_ring));
            }
        }
        places.sort();
        assert!(places.windows(2).all(|two| two[0].0 + two[0].1 <= two[1].0));
        assert!(places.iter().all(|(at, _)| at % 64 == 0), "no two rings share a cache line");
        let (last, len) = places[places.len() - 1];
        assert_eq!(last + len, region_len(pairs, log2_ring));
        assert!(u32::try_from(region_len(pairs, log2_ring)).is_ok(), "offsets have 32 bits");
    }
}
