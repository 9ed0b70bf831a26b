//! The compiled table must agree with the list.

use proptest::prelude::*;
use std::vec::Vec;

use super::reference::ReferenceFib;
use super::{FibBuilder, Hop, NextHop, Prefix};
use crate::address::Address;
use crate::ids::AdjacencyId;

/// A route to add (`Some` next hop) or to take away.
type Change<A> = (A, u8, Option<u32>);

fn hop(n: u32) -> NextHop {
    NextHop::new(Hop::Adjacency(AdjacencyId(n)))
}

fn agree<A: Address>(changes: Vec<Change<A>>, probes: Vec<A>) -> Result<(), TestCaseError> {
    let mut builder = FibBuilder::new();
    let mut reference = ReferenceFib::default();
    let mut addresses = probes;
    for (address, len, next_hop) in changes {
        let prefix = Prefix::containing(address, len);
        // The edges of each prefix and their neighbours are where mistakes live.
        let last = prefix.address().offset(span::<A>(prefix.len()));
        addresses.extend([prefix.address(), prefix.address().offset(u64::MAX), last, last.offset(1), address]);
        match next_hop {
            Some(n) => {
                builder.insert(prefix, hop(n));
                reference.insert(prefix, hop(n));
            }
            None => {
                builder.remove(prefix);
                reference.remove(prefix);
            }
        }
    }
    let fib = builder.build();
    for burst in addresses.chunks(64) {
        let mut out = [NextHop::NO_ROUTE; 64];
        fib.lookup_burst(burst, &mut out[..burst.len()]);
        for (address, found) in burst.iter().zip(out) {
            prop_assert_eq!(found.hop(), reference.lookup(*address).hop(), "at {}", address.to_ip());
        }
    }
    Ok(())
}

/// Addresses in a prefix less one, as far as 64 bits tell.
fn span<A: Address>(len: u8) -> u64 {
    let host_bits = A::BITS - u32::from(len);
    if host_bits >= 64 { u64::MAX } else { (1u64 << host_bits) - 1 }
}

/// Addresses that share many bits, so that prefixes nest.
fn crowded_v4() -> impl Strategy<Value = u32> {
    prop_oneof![any::<u32>(), (0u32..1 << 12).prop_map(|low| 0x0a01_0000 | low), (0u32..8).prop_map(|n| n << 29)]
}

fn crowded_v6() -> impl Strategy<Value = u128> {
    prop_oneof![
        any::<u128>(),
        (0u128..1 << 12).prop_map(|low| 0xfd00_0010 << 96 | low << 60),
        (0u128..1 << 8).prop_map(|low| 0xfd00_0010 << 96 | low),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_ipv4_table_agrees_with_the_list(
        changes in proptest::collection::vec((crowded_v4(), 0u8..=32, proptest::option::weighted(0.8, 0u32..20)), 0..80),
        probes in proptest::collection::vec(crowded_v4(), 0..200),
    ) {
        agree(changes, probes)?;
    }

    #[test]
    fn the_ipv6_table_agrees_with_the_list(
        changes in proptest::collection::vec((crowded_v6(), 0u8..=128, proptest::option::weighted(0.8, 0u32..20)), 0..80),
        probes in proptest::collection::vec(crowded_v6(), 0..200),
    ) {
        agree(changes, probes)?;
    }
}

#[test]
fn an_empty_table_answers_no_route() {
    assert_eq!(FibBuilder::<u32>::new().build().lookup(0x0a01_0101).hop(), Hop::NoRoute);
    assert_eq!(FibBuilder::<u128>::new().build().lookup(1).hop(), Hop::NoRoute);
}

#[test]
fn a_default_route_and_a_host_route_live_together() {
    let mut builder = FibBuilder::<u32>::new();
    builder.insert(Prefix::new(0, 0).expect("/0"), hop(1));
    builder.insert(Prefix::host(u32::MAX), hop(2));
    builder.insert(Prefix::host(0), hop(3));
    let fib = builder.build();
    assert_eq!(fib.lookup(u32::MAX), hop(2));
    assert_eq!(fib.lookup(u32::MAX - 1), hop(1));
    assert_eq!(fib.lookup(0), hop(3));
    assert_eq!(fib.lookup(1), hop(1));
}

/// A /24 with `borders` borders within the window below it, and routes that end at its last
/// bit, one behind it, at /64 and at /128.
fn crowd(borders: u32) -> Vec<Change<u128>> {
    let (site, step) = (0x2a00_0100u128 << 96, (1u128 << 32) / u128::from(borders.div_ceil(2) + 1));
    // A route by itself has two borders.
    let mut changes: Vec<Change<u128>> = (1..=u128::from(borders / 2))
        .map(|number| (site | (number * step) << 72, 55 + (number % 2) as u8, Some(number as u32)))
        .collect();
    if borders % 2 == 1 {
        // One at the end of the window has but one.
        changes.push((site | 0xffff_ffff << 72, 56, Some(1)));
    }
    let long = [(0x10, 57), (0x20, 64), (0x30, 128), (0xffff_ffff, 57), (0xffff_ffff, 128), (0, 128)];
    changes.extend(long.map(|(at, len)| (site | at << 72, len, Some(7))));
    changes
}

#[test]
fn windows_of_any_size_agree_with_the_list() -> Result<(), TestCaseError> {
    for borders in [0, 1, 8, 9, 10, 15, 16, 17, 150, 159, 160, 255, 256, 257, 1000, 2700, 2719, 2720, 4000] {
        let mut changes = crowd(borders);
        let probes = changes.iter().map(|(address, ..)| address ^ 1 << 71).collect();
        if borders % 2 == 0 {
            // Without those behind the window.
            changes.truncate(changes.len() - 6);
        }
        agree(changes, probes)?;
    }
    Ok(())
}
