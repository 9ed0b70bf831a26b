//! Tables built a few changes at a time must agree with the list, and share what did not change.

use std::vec::Vec;

use causeway_testkit::seed::{Rng, Seed};

use super::reference::ReferenceFib;
use super::sub::Portable;
use super::window::Window;
use super::{Fib, FibBuilder, Hop, NextHop, Prefix};
use crate::address::Address;
use crate::ids::AdjacencyId;

fn hop(n: u64) -> NextHop {
    NextHop::new(Hop::Adjacency(AdjacencyId(n as u32)))
}

/// A family, with addresses cut from the high end of 128 bits.
trait Family: Address {
    fn high(bits: u128) -> Self;
}

impl Family for u32 {
    fn high(bits: u128) -> u32 {
        (bits >> 96) as u32
    }
}

impl Family for u128 {
    fn high(bits: u128) -> u128 {
        bits
    }
}

/// Where the routes of a table lie: an address and the length of a prefix.
type Shape = fn(&mut Rng) -> (u128, u8);

fn any(rng: &mut Rng) -> u128 {
    u128::from(rng.u64()) << 64 | u128::from(rng.u64())
}

/// The first `len` bits given, the others any.
fn under(first: u128, len: u32, rng: &mut Rng) -> u128 {
    first | any(rng) >> len
}

/// All over, of every length.
fn scattered(rng: &mut Rng) -> (u128, u8) {
    (any(rng), rng.below(129) as u8)
}

/// A few regions, lengths as in BGP.
fn bgp_like(rng: &mut Rng) -> (u128, u8) {
    let region = 0x2a00u128 + u128::from(rng.below(3));
    (under(region << 112, 16, rng), [12, 16, 19, 20, 22, 23, 24, 24, 24, 29, 32, 40, 44, 48, 48][rng.range(0..15)])
}

/// Pod CIDRs beside each other: /24 and /25, /64, and a few hosts.
fn pod_like(rng: &mut Rng) -> (u128, u8) {
    let node = u128::from(rng.below(1000));
    match rng.below(8) {
        0..3 => (0x0a << 120 | node << 104, 24),
        3..6 => (0x0a40 << 112 | node << 103, 25),
        6 => (0xfd00_0010 << 96 | node << 64, 64),
        _ => (under(0x0a << 120 | node << 104, 32, rng), 128),
    }
}

/// One address, all the prefixes around it, and what lies right beside.
fn nested(rng: &mut Rng) -> (u128, u8) {
    let spine = 0x2001_0db8_1234_5678_9abc_def0_1122_3344;
    (spine ^ 1 << rng.below(128), rng.below(129) as u8)
}

/// Hosts, crowded into a /20.
fn hosts(rng: &mut Rng) -> (u128, u8) {
    (under(0xfd00_0010 << 96, 116, rng) | u128::from(rng.u8()) << 100, 128 - rng.below(3) as u8)
}

/// Long routes around the bit where a window ends, in two /24.
fn window_ends(rng: &mut Rng) -> (u128, u8) {
    let site = 0x2a00_0000u128 << 96 | u128::from(rng.below(2)) << 104;
    // The middle of the window and the bits behind it, each of few values, its ends among them.
    let ends = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff];
    let behind = [0, 1, 0xff << 64, u128::MAX >> 56];
    let address = site | ends[rng.range(0..6)] << 72 | behind[rng.range(0..4)];
    (address, [25, 26, 40, 48, 54, 55, 56, 57, 58, 64, 127, 128][rng.range(0..12)])
}

const SHAPES: [Shape; 6] = [scattered, bgp_like, pod_like, nested, hosts, window_ends];

fn prefix<A: Family>(shape: Shape, rng: &mut Rng) -> Prefix<A> {
    let (address, len) = shape(rng);
    let clipped = if A::BITS == 32 && len > 32 && rng.bool() { len % 33 } else { len };
    Prefix::containing(A::high(address), clipped)
}

/// Addresses at the edges of a prefix, and beside them.
fn edges<A: Address>(prefix: Prefix<A>) -> [A; 5] {
    let host_bits = A::BITS - u32::from(prefix.len());
    let last = prefix.address().offset(if host_bits >= 64 { u64::MAX } else { (1 << host_bits) - 1 });
    [prefix.address(), prefix.address().offset(u64::MAX), last, last.offset(1), prefix.address().offset(5)]
}

fn answers<A: Address>(fib: &Fib<A>, addresses: &[A]) -> Vec<NextHop> {
    let mut answers = std::vec![NextHop::NO_ROUTE; addresses.len()];
    for (addresses, answers) in addresses.chunks(64).zip(answers.chunks_mut(64)) {
        fib.lookup_burst(addresses, answers);
        // What CPUs without AVX-512 do, on a machine with it, too.
        let mut portable = [NextHop::NO_ROUTE; 64];
        if !fib.direct(addresses, &mut portable[..addresses.len()]) {
            fib.nameless::<Portable>(addresses, &mut portable[..addresses.len()]);
        }
        assert_eq!(portable[..addresses.len()], *answers);
    }
    answers
}

/// Adds and withdraws at random, builds after every few changes, and asks: of the new
/// table, of old ones that are still held, and of the list.
fn churn<A: Family>(shape: Shape, hops: u64, rng: &mut Rng) {
    let (mut builder, mut list) = (FibBuilder::<A>::new(), ReferenceFib::default());
    let mut held: Vec<(Fib<A>, Vec<A>, Vec<NextHop>)> = Vec::new();
    let mut present: Vec<Prefix<A>> = Vec::new();
    for round in 0..600 {
        let mut addresses = Vec::new();
        for _ in 0..rng.range(1..6) {
            if present.len() > 40 && rng.chance(45, 100) || present.len() > 200 {
                let gone = present.swap_remove(rng.range(0..present.len()));
                assert!(builder.remove(gone).is_some());
                list.remove(gone);
                addresses.extend(edges(gone));
                continue;
            }
            let prefix = prefix(shape, rng);
            let hop = hop(rng.below(hops));
            if builder.insert(prefix, hop).is_none() {
                present.push(prefix);
            }
            list.insert(prefix, hop);
            addresses.extend(edges(prefix));
        }
        for _ in 0..40 {
            addresses
                .extend(present.get(rng.range(0..present.len().max(1))).map(|prefix| edges(*prefix)[rng.range(0..5)]));
            addresses.push(A::high(shape(rng).0));
        }
        let fib = builder.build();
        assert_eq!((fib.len(), builder.len()), (present.len(), present.len()));
        let found = answers(&fib, &addresses);
        for (address, found) in addresses.iter().zip(&found) {
            assert_eq!(found.hop(), list.lookup(*address).hop(), "at {} in round {round}", address.to_ip());
        }
        if round % 30 == 0 {
            held.push((fib, addresses, found));
        }
    }
    for (fib, addresses, found) in held {
        assert_eq!(answers(&fib, &addresses), found, "an old table answers as it did");
    }
}

#[test]
fn tables_that_change_all_the_time_agree_with_the_list() {
    let seed = Seed::from_env_or(1);
    let mut rng = seed.rng();
    for shape in SHAPES {
        for hops in [3, 20, 1 << 17] {
            churn::<u32>(shape, hops, &mut rng);
            churn::<u128>(shape, hops, &mut rng);
        }
    }
}

/// Many routes: the list would be too slow, so tables made at once stand in for it.
fn steps<A: Family>(shape: Shape, rng: &mut Rng) {
    let mut builder = FibBuilder::<A>::new();
    let prefixes: Vec<Prefix<A>> = (0..8_000).map(|_| prefix(shape, rng)).collect();
    for prefix in &prefixes {
        builder.insert(*prefix, hop(rng.below(400)));
    }
    builder.build();
    for _ in 0..20 {
        for _ in 0..rng.range(1..100) {
            let prefix = *rng.choose(&prefixes);
            match rng.bool() {
                true => builder.remove(prefix),
                false => builder.insert(prefix, hop(rng.below(400))),
            };
        }
        let in_steps = builder.build();
        let mut at_once = FibBuilder::new();
        for (prefix, hop) in builder.routes() {
            at_once.insert(prefix, hop);
        }
        let at_once = at_once.build();
        let addresses: Vec<A> = prefixes.iter().flat_map(|prefix| edges(*prefix)).collect();
        assert_eq!(answers(&in_steps, &addresses), answers(&at_once, &addresses));
        assert_eq!(in_steps.summary().lengths, at_once.summary().lengths);
    }
}

#[test]
fn a_table_built_in_steps_is_the_table_built_at_once() {
    let seed = Seed::from_env_or(2);
    let mut rng = seed.rng();
    for shape in SHAPES {
        steps::<u32>(shape, &mut rng);
        steps::<u128>(shape, &mut rng);
    }
}

/// Chunks of `now` that are not those of `before`.
fn made_anew<A>(before: &Fib<A>, now: &Fib<A>) -> usize {
    before.chunks.iter().zip(&*now.chunks).filter(|(before, now)| before.place() != now.place()).count()
}

#[test]
fn a_change_makes_its_chunk_anew_and_no_other() {
    let seed = Seed::from_env_or(3);
    let mut rng = seed.rng();
    let mut builder = FibBuilder::<u32>::new();
    for _ in 0..20_000 {
        builder.insert(Prefix::containing(rng.u32(), 8 + rng.below(17) as u8), hop(rng.below(64)));
    }
    let mut before = builder.build();
    for _ in 0..100 {
        builder.insert(Prefix::containing(rng.u32(), 13 + rng.below(20) as u8), hop(rng.below(64)));
        let now = builder.build();
        assert!(made_anew(&before, &now) <= 1);
        before = now;
    }
    builder.insert(Prefix::containing(0, 0), hop(65));
    let now = builder.build();
    assert_eq!(made_anew(&before, &now), 0, "the default route stands aside");
    builder.insert(Prefix::containing(0x0a00_0000, 8), hop(66));
    assert!(made_anew(&now, &builder.build()) <= 16, "a /8 has sixteen chunks");
}

#[test]
fn a_change_below_a_24_makes_its_window_or_trie_anew_and_shares_the_others() {
    let mut builder = FibBuilder::<u128>::new();
    // One route is a page of two cells; two far from each other are a window.
    for site in 0..4000u128 {
        builder.insert(Prefix::containing(0x2a00 << 112 | site << 104 | 7 << 80, 48), hop(1));
        if site % 2 == 0 {
            builder.insert(Prefix::containing(0x2a00 << 112 | site << 104 | 7 << 100, 32), hop(2));
        }
    }
    let before = builder.build();
    builder.insert(Prefix::containing(0x2a00 << 112 | 98 << 104 | 9 << 80, 48), hop(2));
    builder.insert(Prefix::containing(0x2a00 << 112 | 99 << 104 | 7 << 80, 48), hop(2));
    let now = builder.build();
    let below = |fib: &Fib<u128>| {
        let words = fib.chunks[0x2a0].words.clone().expect("routes longer than /24");
        let windows: Vec<_> = words.below.windows.iter().map(Window::place).collect();
        let tries: Vec<*const ()> = words.below.subs.iter().map(|sub| sub.cells.as_ptr().cast()).collect();
        [windows, tries]
    };
    for (before, now) in below(&before).iter().zip(below(&now)) {
        assert_eq!((before.len(), now.len()), (2000, 2000));
        assert_eq!(before.iter().zip(&now).filter(|(before, now)| before != now).count(), 1);
    }
}

#[test]
fn nothing_changed_is_the_same_table() {
    let mut builder = FibBuilder::<u32>::new();
    builder.insert(Prefix::containing(0x0a00_0000, 8), hop(1));
    let before = builder.build();
    builder.insert(Prefix::containing(0x0a00_0000, 8), hop(1));
    assert_eq!(made_anew(&before, &builder.build()), 0);
}

#[test]
fn overlapping_tables_of_two_domains_do_not_meet() {
    let (mut inside, mut outside) = (FibBuilder::<u32>::new(), FibBuilder::<u32>::new());
    for node in 0..1000u32 {
        inside.insert(Prefix::containing(0x0a00_0000 | node << 8, 24), hop(1));
        outside.insert(Prefix::containing(0x0a00_0000 | node << 8, 24), hop(2));
    }
    let (inside, outside) = (inside.build(), outside.build());
    assert_eq!(made_anew(&inside, &outside), 4096);
    assert_eq!((inside.lookup(0x0a00_0101), outside.lookup(0x0a00_0101)), (hop(1), hop(2)));
}

#[test]
fn hostile_tables_stay_within_bounds() {
    let seed = Seed::from_env_or(4);
    let mut rng = seed.rng();
    for shape in [scattered, nested, hosts] {
        let mut builder = FibBuilder::<u128>::new();
        for number in 0..20_000 {
            let prefix = Prefix::containing(shape(&mut rng).0, 128 - rng.below(4) as u8);
            builder.insert(prefix, hop(number));
        }
        let fib = builder.build();
        let most = 4096 * (4096 * 5 + 128) + fib.len() * 1024;
        assert!(fib.bytes() < most, "{} bytes for {} hosts", fib.bytes(), fib.len());
    }
    let mut builder = FibBuilder::<u32>::new();
    for number in 0..1u32 << 17 {
        builder.insert(Prefix::containing(number << 8, 24), hop(u64::from(number)));
    }
    let fib = builder.build();
    assert!((0..1u32 << 17).all(|number| fib.lookup(number << 8 | 1) == hop(u64::from(number))));
}
