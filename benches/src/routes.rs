//! Route sets of a cluster, and addresses that fall into routes.

use causeway_fastpath::address::Address;
use causeway_fastpath::fib::{Fib, FibBuilder, Hop, NextHop, Prefix};
use causeway_fastpath::ids::AdjacencyId;
use causeway_testkit::seed::Rng;

/// An address family that the benches can draw from and build packets for.
pub trait Family: Address {
    /// The pod CIDR of node `node`, all of one cluster.
    ///
    /// # Panics
    /// The cluster CIDR has no room for so many.
    fn pod_cidr(node: usize) -> Prefix<Self>;

    /// Any address.
    fn any(rng: &mut Rng) -> Self;

    /// The bits of `host` behind the first `len` ones, and those of `network` before.
    fn join(network: Self, host: Self, len: u8) -> Self;

    /// An address of `prefix`, each as likely as the other.
    fn inside(prefix: Prefix<Self>, rng: &mut Rng) -> Self {
        Self::join(prefix.address(), Self::any(rng), prefix.len())
    }
}

impl Family for u32 {
    /// A /24 of 10.0.0.0/8.
    fn pod_cidr(node: usize) -> Prefix<u32> {
        assert!(node < 1 << 16, "10.0.0.0/8 has 65 536 networks of 24 bits");
        Prefix::containing(0x0a00_0000 | (node as u32) << 8, 24)
    }

    fn any(rng: &mut Rng) -> u32 {
        rng.u32()
    }

    fn join(network: u32, host: u32, len: u8) -> u32 {
        network | (host & !u32::MAX.masked(len))
    }
}

impl Family for u128 {
    /// A /64 of fd00:10::/48.
    fn pod_cidr(node: usize) -> Prefix<u128> {
        assert!(node < 1 << 16, "fd00:10::/48 has 65 536 networks of 64 bits");
        Prefix::containing(0xfd00_0010 << 96 | (node as u128) << 64, 64)
    }

    fn any(rng: &mut Rng) -> u128 {
        u128::from(rng.u64()) << 64 | u128::from(rng.u64())
    }

    fn join(network: u128, host: u128, len: u8) -> u128 {
        network | (host & !u128::MAX.masked(len))
    }
}

/// The pod CIDRs of `nodes` nodes.
pub fn pod_cidrs<A: Family>(nodes: usize) -> Vec<Prefix<A>> {
    (0..nodes).map(A::pod_cidr).collect()
}

/// The pod CIDRs of `nodes` nodes in three clusters, as clouds hand them out: /24 for two
/// nodes of three, in one cluster beside each other and in one all over a /11, and /25 for
/// the others, beside each other. IPv4 only.
///
/// # Panics
/// The clusters have no room for so many.
pub fn mixed_pod_cidrs(nodes: usize) -> Vec<Prefix<u32>> {
    assert!(nodes <= 3 << 12, "each cluster has room for 4096 nodes");
    (0..nodes as u32)
        .map(|node| match (node % 3, node / 3) {
            (0, number) => Prefix::containing(0x0a00_0000 | number << 8, 24),
            // An odd factor scatters the numbers of a power of two without a collision.
            (1, number) => Prefix::containing(0x0a40_0000 | (number * 2_731 % 8_192) << 8, 24),
            (_, number) => Prefix::containing(0x6440_0000 | number << 7, 25),
        })
        .collect()
}

/// A table in which route `i` leads to neighbour `i % neighbors`.
pub fn fib<A: Family>(prefixes: &[Prefix<A>], neighbors: usize) -> Fib<A> {
    builder(prefixes, neighbors).build()
}

/// The routes of such a table.
pub fn builder<A: Family>(prefixes: &[Prefix<A>], neighbors: usize) -> FibBuilder<A> {
    let mut builder = FibBuilder::new();
    for (number, prefix) in prefixes.iter().enumerate() {
        builder.insert(*prefix, toward(number % neighbors));
    }
    builder
}

/// The next hop to a neighbour.
pub fn toward(neighbor: usize) -> NextHop {
    NextHop::new(Hop::Adjacency(AdjacencyId(neighbor as u32)))
}

/// `count` addresses, each in a route drawn anew: every route is hit equally
/// often, which is harder than addresses drawn from the whole address space,
/// most of which few short routes cover.
pub fn addresses<A: Family>(prefixes: &[Prefix<A>], count: usize, rng: &mut Rng) -> Vec<A> {
    (0..count).map(|_| A::inside(*rng.choose(prefixes), rng)).collect()
}

/// As many addresses that come back: each in a route whose rank is drawn so that half of
/// them fall into the first hundredth or so, as traffic does (Zipf's law, exponent 1).
pub fn local_addresses<A: Family>(prefixes: &[Prefix<A>], count: usize, rng: &mut Rng) -> Vec<A> {
    let favourites = addresses(prefixes, prefixes.len(), rng);
    let scale = (favourites.len() as f64).ln();
    (0..count)
        .map(|_| {
            let rank = (scale * rng.u32() as f64 / f64::from(u32::MAX)).exp() as usize;
            favourites[rank.min(favourites.len()) - 1]
        })
        .collect()
}

/// As many addresses in ascending order, as a scan goes through the routes.
pub fn sequential_addresses<A: Family>(prefixes: &[Prefix<A>], count: usize, rng: &mut Rng) -> Vec<A> {
    let mut addresses = addresses(prefixes, count, rng);
    addresses.sort_unstable();
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_drawn_from_a_route_has_that_route() {
        let mut rng = Rng::new(1);
        let prefixes = pod_cidrs::<u128>(100);
        let fib = fib(&prefixes, 100);
        for (node, prefix) in prefixes.iter().enumerate() {
            assert_eq!(fib.lookup(u128::inside(*prefix, &mut rng)), toward(node));
        }
    }
}
