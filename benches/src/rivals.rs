//! Longest-prefix match by other crates, behind one shape of call.

use std::net::{Ipv4Addr, Ipv6Addr};

use causeway_fastpath::burst::Burst;
use causeway_fastpath::fib::reference::ReferenceFib;
use causeway_fastpath::fib::{NextHop, Prefix};
use ip_network::{Ipv4Network, Ipv6Network};
use ip_network_table::IpNetworkTable;
use poptrie::Poptrie;
use prefix_trie::PrefixMap;

use crate::routes::{Family, fib};

/// Answers a burst of addresses; `answers` is as long, at most [`Burst::MAX`].
pub type Lookup<A> = Box<dyn Fn(&[A], &mut [NextHop])>;

/// A way to look addresses up, with its name.
pub type Rival<A> = (&'static str, Lookup<A>);

/// A family that the other crates have tables for.
pub trait Contested: Family {
    /// The same table by each of the other crates; route `i` leads to `hops[i]`.
    fn rivals(prefixes: &[Prefix<Self>], hops: &[NextHop]) -> Vec<Rival<Self>>;
}

/// Our table.
pub fn ours<A: Family>(prefixes: &[Prefix<A>], neighbors: usize) -> Rival<A> {
    let fib = fib(prefixes, neighbors);
    ("causeway", Box::new(move |addresses: &[A], answers: &mut [NextHop]| fib.lookup_burst(addresses, answers)))
}

/// The list that is searched from end to end.
pub fn linear<A: Family>(prefixes: &[Prefix<A>], hops: &[NextHop]) -> Rival<A> {
    let mut list = ReferenceFib::default();
    for (prefix, hop) in prefixes.iter().zip(hops) {
        list.insert(*prefix, *hop);
    }
    ("linear", one_by_one(move |address| list.lookup(address)))
}

impl Contested for u32 {
    fn rivals(prefixes: &[Prefix<u32>], hops: &[NextHop]) -> Vec<Rival<u32>> {
        let mut tree = IpNetworkTable::new();
        let mut map = PrefixMap::new();
        // One insertion after the other takes minutes for a million.
        let trie: Poptrie<_, _> = in_order(prefixes, hops).into_iter().collect();
        for (prefix, hop) in prefixes.iter().zip(hops) {
            let (address, len) = (prefix.address(), prefix.len());
            tree.insert(Ipv4Network::new(Ipv4Addr::from_bits(address), len).expect("no host bits"), *hop);
            map.insert((address, len), *hop);
        }
        vec![
            (
                "ip_network_table",
                one_by_one(move |address| {
                    tree.longest_match_ipv4(Ipv4Addr::from_bits(address)).map_or(NextHop::NO_ROUTE, |(_, hop)| *hop)
                }),
            ),
            (
                "prefix-trie",
                one_by_one(move |address| map.get_lpm(&(address, 32)).map_or(NextHop::NO_ROUTE, |(_, hop)| *hop)),
            ),
            ("poptrie", one_by_one(move |address| trie.lookup(address).copied().unwrap_or(NextHop::NO_ROUTE))),
        ]
    }
}

impl Contested for u128 {
    fn rivals(prefixes: &[Prefix<u128>], hops: &[NextHop]) -> Vec<Rival<u128>> {
        let mut tree = IpNetworkTable::new();
        let mut map = PrefixMap::new();
        // One insertion after the other takes minutes for a million.
        let trie: Poptrie<_, _> = in_order(prefixes, hops).into_iter().collect();
        for (prefix, hop) in prefixes.iter().zip(hops) {
            let (address, len) = (prefix.address(), prefix.len());
            tree.insert(Ipv6Network::new(Ipv6Addr::from_bits(address), len).expect("no host bits"), *hop);
            map.insert((address, len), *hop);
        }
        vec![
            (
                "ip_network_table",
                one_by_one(move |address| {
                    tree.longest_match_ipv6(Ipv6Addr::from_bits(address)).map_or(NextHop::NO_ROUTE, |(_, hop)| *hop)
                }),
            ),
            (
                "prefix-trie",
                one_by_one(move |address| map.get_lpm(&(address, 128)).map_or(NextHop::NO_ROUTE, |(_, hop)| *hop)),
            ),
            ("poptrie", one_by_one(move |address| trie.lookup(address).copied().unwrap_or(NextHop::NO_ROUTE))),
        ]
    }
}

fn in_order<A: Family>(prefixes: &[Prefix<A>], hops: &[NextHop]) -> Vec<((A, u8), NextHop)> {
    let mut routes: Vec<_> =
        prefixes.iter().zip(hops).map(|(prefix, hop)| ((prefix.address(), prefix.len()), *hop)).collect();
    routes.sort_unstable_by_key(|(prefix, _)| *prefix);
    routes
}

/// None of them takes more than an address at a time.
fn one_by_one<A: Family>(lookup: impl Fn(A) -> NextHop + 'static) -> Lookup<A> {
    Box::new(move |addresses, answers| {
        debug_assert!(addresses.len() <= Burst::MAX, "a burst at most");
        for (address, answer) in addresses.iter().zip(answers) {
            *answer = lookup(*address);
        }
    })
}
