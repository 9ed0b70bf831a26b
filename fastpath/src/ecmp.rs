//! Routes with several next hops: which of them a flow takes.
//!
//! A [`Group`] is a fixed table of buckets, each of which belongs to one member; a
//! packet's [`flow_hash`] says its bucket. Members win buckets by weighted
//! rendezvous hashing (Thaler and Ravishankar 1998, "Using name-based mappings to
//! increase hit rates"; for the weights, draft-ietf-bess-weighted-hrw), which keeps
//! no state and yet is resilient: when a member goes, its buckets go to the others
//! and no other bucket moves; when one comes, it takes its share and nothing else
//! moves. RFC 2992 counts what plain modulo hashing would disturb instead.

use alloc::sync::Arc;

use crate::address::{Address, GOLDEN, folded_multiply};
use crate::ids::AdjacencyId;
use crate::parse::{self, L4Kind, Layers};
use crate::wire::icmp;

/// A next hop of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it is known by, whatever its number: made from its port and address, so
    /// that it wins the same buckets in every table, on every gateway.
    pub identity: u64,
    /// Its share is its weight by the sum of all weights; 1 to [`Member::MAX_WEIGHT`].
    pub weight: u16,
    /// Where its packets go.
    pub adjacency: AdjacencyId,
}

impl Member {
    /// The largest weight.
    pub const MAX_WEIGHT: u16 = 256;
}

/// The next hops of a route, as a worker reads them: one load a packet.
///
/// 16 KiB; a clone shares them. A member that is due the share `p` of 4096 buckets
/// holds 4096 `p` of them give or take 64 √(`p`(1 - `p`)), the standard deviation of
/// a fair draw: 4 % of its load for one of 8, 12 % for one of 64. More than four
/// times that does not happen in practice (less than 1 in 10 000).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    buckets: Arc<[AdjacencyId; Group::BUCKETS]>,
}

impl Group {
    const BUCKET_BITS: u32 = 12;
    /// Buckets of a group.
    pub const BUCKETS: usize = 1 << Group::BUCKET_BITS;

    /// Deals out the buckets. The order of the members does not matter.
    ///
    /// Some nanoseconds a member and bucket.
    ///
    /// # Panics
    /// There is no member, or one without weight.
    pub fn new(members: &[Member]) -> Group {
        assert!(!members.is_empty(), "a group has a member");
        assert!(members.iter().all(|member| member.weight > 0), "a member has a weight");
        let mut buckets = [AdjacencyId(0); Group::BUCKETS];
        for (bucket, owner) in buckets.iter_mut().enumerate() {
            let mut winner = (&members[0], price(bucket as u64, members[0].identity));
            for member in &members[1..] {
                let price = price(bucket as u64, member.identity);
                // The cheaper one after its weight; the cross product spares the division.
                let (mine, best) = (price * u64::from(winner.0.weight), winner.1 * u64::from(member.weight));
                if mine < best || mine == best && member.identity < winner.0.identity {
                    winner = (member, price);
                }
            }
            *owner = winner.0.adjacency;
        }
        Group { buckets: Arc::new(buckets) }
    }

    /// Where the flow with this hash goes.
    #[inline(always)]
    pub fn pick(&self, hash: u32) -> AdjacencyId {
        self.buckets[(hash >> (u32::BITS - Group::BUCKET_BITS)) as usize]
    }

    /// Who holds each bucket.
    pub fn buckets(&self) -> &[AdjacencyId; Group::BUCKETS] {
        &self.buckets
    }
}

/// The hash by which packets of a flow stay together, and flows spread.
///
/// The same for both directions: `ends` are address and port of either end, in any
/// order. Ports are 0 where there are none, and for every fragment, because later
/// fragments do not show them. Whoever does not know the seed cannot choose flows
/// that meet in one bucket. Every bit is as good as the other.
#[inline(always)]
pub fn flow_hash<A: Address>(seed: u64, protocol: u8, ends: [(A, u16); 2]) -> u32 {
    let [a, b] = ends.map(|(address, port)| folded_multiply(address.mix(seed) ^ u64::from(port), ODD));
    let both = a.wrapping_add(b) ^ u64::from(protocol);
    let mixed = folded_multiply(both ^ seed, GOLDEN);
    (mixed ^ mixed >> 32) as u32
}

/// The hash of the flow that a packet belongs to; `layers` are those of `frame`.
///
/// Later fragments show no ports, so those of the first do not count either. An ICMP
/// error goes the way of the packet that it quotes: there is who wants to hear of it
/// (RFC 7690).
pub fn packet_hash<A: Address>(seed: u64, frame: &[u8], layers: &Layers<A>) -> u32 {
    let mut key = layers.key;
    if layers.kind == L4Kind::IcmpError {
        let quote = &frame[layers.l4 as usize + icmp::HEADER_LEN..layers.end as usize];
        key = parse::quote::<A>(quote).map_or(key, |quote| quote.key);
    }
    flow_hash(seed, key.protocol, [(key.src, key.src_port), (key.dst, key.dst_port)])
}

/// What a bucket costs a member of weight 1: -log2 of a uniform draw from (0, 1) with
/// 32 binary places, less than 2^39. The lowest of prices divided by weights belongs to
/// each member as often as its weight says.
fn price(bucket: u64, identity: u64) -> u64 {
    // Never 0, whose logarithm there is not.
    let draw = scramble(identity ^ scramble(bucket)) | 1;
    let shift = draw.leading_zeros();
    let mantissa = draw << shift;
    let (at, between) = ((mantissa >> 55) as usize & 0xff, mantissa >> 23 & 0xffff_ffff);
    let log2 = LOG2[at] + (((LOG2[at + 1] - LOG2[at]) * between) >> 32);
    (u64::from(shift + 1) << 32) - log2
}

/// Odd, with well spread bits, and not [`GOLDEN`].
const ODD: u64 = 0xbf58_476d_1ce4_e5b9;

/// A bijection of which each bit of the result depends on every bit (the finish of
/// SplitMix64: Steele, Lea and Flood 2014).
fn scramble(x: u64) -> u64 {
    let x = x.wrapping_add(GOLDEN);
    let x = (x ^ x >> 30).wrapping_mul(ODD);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// log2(1 + i/256) with 32 binary places. A straight line between two of them is off
/// by less than 2^-18; because the last one is exact, prices are right to within 0.2 %
/// however low they are.
static LOG2: [u64; 257] = {
    let mut table = [0; 257];
    let mut i = 0;
    while i < 256 {
        // Squaring doubles the logarithm: each time that passes 2 is a bit.
        let mut square = (256 + i as u128) << 55;
        let mut bits = 0;
        let mut place = 0;
        while place < 32 {
            square = (square * square) >> 63;
            bits <<= 1;
            if square >> 64 != 0 {
                bits |= 1;
                square >>= 1;
            }
            place += 1;
        }
        table[i] = bits;
        i += 1;
    }
    table[256] = 1 << 32;
    table
};

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn member(name: u32, weight: u16) -> Member {
        // As control makes them, an identity has no well spread bits of its own.
        Member { identity: 0x1_c0a8_0000 + u64::from(name), weight, adjacency: AdjacencyId(name) }
    }

    fn equals(names: core::ops::Range<u32>) -> Vec<Member> {
        names.map(|name| member(name, 1)).collect()
    }

    fn held(group: &Group, name: u32) -> usize {
        group.buckets().iter().filter(|owner| **owner == AdjacencyId(name)).count()
    }

    /// Four standard deviations about the share.
    fn assert_shares(members: &[Member]) {
        let group = Group::new(members);
        let sum: u64 = members.iter().map(|member| u64::from(member.weight)).sum();
        for member in members {
            let share = f64::from(member.weight) / sum as f64;
            let due = share * Group::BUCKETS as f64;
            let bound = 4.0 * (due * (1.0 - share)).sqrt();
            let held = held(&group, member.adjacency.0) as f64;
            assert!((held - due).abs() <= bound, "{member:?} holds {held} buckets, {due} ± {bound} were due");
        }
    }

    #[test]
    fn equal_members_hold_equally_many_buckets() {
        for first in 0..32 {
            for count in [2, 3, 8, 64] {
                assert_shares(&equals(first * 100..first * 100 + count));
            }
        }
    }

    #[test]
    fn a_member_holds_as_much_as_its_weight_says() {
        for name in (0..96).step_by(3) {
            assert_shares(&[member(name, 1), member(name + 1, 2), member(name + 2, 5)]);
            assert_shares(&[member(name, 1), member(name + 1, 1), member(name + 2, Member::MAX_WEIGHT)]);
            assert_shares(&[member(name, 100), member(name + 1, 101), member(name + 2, 99)]);
        }
    }

    #[test]
    fn when_a_member_goes_only_its_buckets_move() {
        for gone in 0..8 {
            let all = Group::new(&equals(0..8));
            let rest: Vec<Member> = equals(0..8).into_iter().filter(|member| member.adjacency.0 != gone).collect();
            let rest = Group::new(&rest);
            for (before, after) in all.buckets().iter().zip(rest.buckets()) {
                assert!(before == after || *before == AdjacencyId(gone));
                assert_ne!(*after, AdjacencyId(gone));
            }
            let inherited: Vec<usize> =
                (0..8).filter(|name| *name != gone).map(|name| held(&rest, name) - held(&all, name)).collect();
            assert!(inherited.iter().all(|count| (40..=110).contains(count)), "a seventh of 512 each: {inherited:?}");
        }
    }

    #[test]
    fn a_heavy_member_that_comes_takes_its_share_and_nothing_else_moves() {
        let before = Group::new(&equals(0..8));
        let mut members = equals(0..8);
        members.push(member(8, 4));
        let after = Group::new(&members);
        let moved = before.buckets().iter().zip(after.buckets()).filter(|(before, after)| before != after);
        assert!(moved.clone().all(|(_, after)| *after == AdjacencyId(8)));
        assert_eq!(moved.count(), held(&after, 8));
    }

    #[test]
    fn more_weight_only_takes_buckets_and_less_only_gives_them() {
        let with = |weight| Group::new(&[member(0, 7), member(1, weight), member(2, 7)]);
        let (light, heavy) = (with(3), with(4));
        for (light, heavy) in light.buckets().iter().zip(heavy.buckets()) {
            assert!(light == heavy || *heavy == AdjacencyId(1));
        }
    }

    #[test]
    fn neither_order_nor_numbers_of_members_matter() {
        let group = Group::new(&equals(0..5));
        let mut members = equals(0..5);
        members.reverse();
        for member in &mut members {
            member.adjacency = AdjacencyId(member.adjacency.0 + 100);
        }
        let other = Group::new(&members);
        for (a, b) in group.buckets().iter().zip(other.buckets()) {
            assert_eq!(a.0 + 100, b.0);
        }
    }

    #[test]
    fn a_hash_picks_the_bucket_of_its_upper_bits() {
        let group = Group::new(&equals(0..8));
        for (bucket, owner) in group.buckets().iter().enumerate() {
            let first = (bucket as u32) << 20;
            assert_eq!(group.pick(first), *owner);
            assert_eq!(group.pick(first | 0xf_ffff), *owner);
        }
    }

    #[test]
    fn both_directions_of_a_flow_have_one_hash() {
        for n in 0..1000u16 {
            let (client, server) = ((0x0a00_0001 + u32::from(n), 40_000 + n), (0xc0a8_0001, 443));
            assert_eq!(flow_hash(7, 6, [client, server]), flow_hash(7, 6, [server, client]));
            let (client, server) = ((0xfd00u128 << 112 | u128::from(n), 40_000 + n), (0xfd01u128 << 112, 53));
            assert_eq!(flow_hash(7, 17, [client, server]), flow_hash(7, 17, [server, client]));
        }
    }

    /// Chi-square with 255 degrees of freedom: 350 is exceeded once in 16 000 fair draws.
    fn assert_spread(hashes: impl Iterator<Item = u32>) {
        let hashes: Vec<u32> = hashes.collect();
        for shift in [24, 20, 8, 0] {
            let mut counts = [0u32; 256];
            for hash in &hashes {
                counts[(hash >> shift & 0xff) as usize] += 1;
            }
            let due = hashes.len() as f64 / 256.0;
            let chi_square: f64 = counts.iter().map(|count| (f64::from(*count) - due).powi(2) / due).sum();
            assert!(chi_square < 350.0, "bits {shift}..: chi-square {chi_square}");
        }
    }

    const FLOWS: u32 = 1 << 16;

    #[test]
    fn neighbouring_flows_spread_evenly() {
        for seed in [0, 1, 0x1234_5678_9abc_def0, u64::MAX, GOLDEN, !GOLDEN] {
            let server = (0xc0a8_0001u32, 443);
            assert_spread((0..FLOWS).map(|n| flow_hash(seed, 6, [(0x0a00_0001, n as u16), server])));
            assert_spread((0..FLOWS).map(|n| flow_hash(seed, 6, [(0x0a00_0000 + n, 0), (0xc0a8_0001, 0)])));
            assert_spread((0..FLOWS).map(|n| flow_hash(seed, 6, [(n << 16, 5), server])));
            assert_spread((0..FLOWS).map(|n| {
                let (client, server) = (0x0a00_0000 + (n & 0xff), 0xc0a8_0000 + (n >> 8));
                flow_hash(seed, 17, [(client, 53), (server, 53)])
            }));
            let server = (0xfd01u128 << 112 | 1, 443);
            let pod = |n: u32| 0xfd00u128 << 112 | u128::from(n);
            assert_spread((0..FLOWS).map(|n| flow_hash(seed, 6, [(pod(1), n as u16), server])));
            assert_spread((0..FLOWS).map(|n| flow_hash(seed, 6, [(pod(n), 40_000), server])));
            assert_spread((0..FLOWS).map(|n| flow_hash(seed, 6, [(u128::from(n) << 64, 40_000), server])));
        }
    }

    #[test]
    fn seed_protocol_and_ports_change_the_hash() {
        let flows = |seed, protocol, port| {
            (0..1000u32).map(move |n| flow_hash(seed, protocol, [(0x0a00_0000 + n, port), (0xc0a8_0001, 443)]) >> 20)
        };
        for other in [flows(8, 6, 1), flows(7, 17, 1), flows(7, 6, 2)] {
            let same = flows(7, 6, 1).zip(other).filter(|(a, b)| a == b).count();
            assert!(same < 10, "{same} of 1000 in the same bucket");
        }
    }

    #[test]
    fn the_logarithms_are_right() {
        for (i, bits) in LOG2.iter().enumerate() {
            let exact = (1.0 + i as f64 / 256.0).log2() * 4_294_967_296.0;
            assert!((*bits as f64 - exact).abs() <= 1.0, "log2(1 + {i}/256)");
        }
    }
}
