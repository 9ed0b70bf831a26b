//! Route sets shaped like the Internet's.
//!
//! What decides the cost of a lookup is how long the prefixes are and how they
//! nest, and both are taken from the public table; the addresses are drawn.

use std::collections::HashSet;

use causeway_fastpath::fib::Prefix;
use causeway_testkit::seed::Rng;

use crate::routes::Family;

/// Prefix lengths of the IPv4 table, in routes of 100 000.
///
/// Rounded from the length histogram of the weekly Routing Table Report
/// (thyme.apnic.net) as of 2024, with some 960 000 routes. /25 and longer are
/// filtered by nearly everybody and left out.
pub const IPV4_LENGTHS: [(u8, u32); 17] = [
    (8, 2),
    (9, 1),
    (10, 4),
    (11, 10),
    (12, 31),
    (13, 61),
    (14, 125),
    (15, 215),
    (16, 1_400),
    (17, 860),
    (18, 1_450),
    (19, 2_650),
    (20, 4_600),
    (21, 5_400),
    (22, 11_500),
    (23, 10_500),
    (24, 61_191),
];

/// Prefix lengths of the IPv6 table, in routes of 1 000.
///
/// Rounded so as to agree with what bgp.potaroo.net/v6/as2.0 and "BGP in 2024"
/// (G. Huston, APNIC) say of it: 46 % are /48, the mean length is 42.8, and the
/// lengths favoured next are /32, /44 and /40.
pub const IPV6_LENGTHS: [(u8, u32); 21] = [
    (20, 1),
    (24, 2),
    (28, 2),
    (29, 22),
    (30, 5),
    (31, 3),
    (32, 115),
    (33, 22),
    (34, 17),
    (35, 8),
    (36, 35),
    (37, 5),
    (38, 12),
    (39, 6),
    (40, 90),
    (41, 6),
    (42, 24),
    (44, 90),
    (46, 40),
    (47, 35),
    (48, 460),
];

/// Routes in a hundred that lie inside a shorter one: 52 in the IPv4 table, 57 in
/// the IPv6 table (bgp.potaroo.net, "Specifics as % of FIB entries", 2024-2025).
const SPECIFICS: [u64; 2] = [52, 57];

/// An IPv4 table of `count` routes.
pub fn ipv4(count: usize, rng: &mut Rng) -> Vec<Prefix<u32>> {
    draw(&IPV4_LENGTHS, SPECIFICS[0], count, rng, |rng| {
        loop {
            let address = rng.u32();
            // Unicast, and neither private, loopback nor link-local.
            if matches!(address >> 24, 1..=223) && !matches!(address >> 24, 10 | 127 | 169) {
                return address;
            }
        }
    })
}

/// An IPv6 table of `count` routes.
pub fn ipv6(count: usize, rng: &mut Rng) -> Vec<Prefix<u128>> {
    // What the registries allocate from (IANA "ipv6-unicast-address-assignments").
    const BLOCKS: [(u128, u8); 6] =
        [(0x2001, 16), (0x2400, 12), (0x2600, 12), (0x2800, 12), (0x2a00, 12), (0x2c00, 12)];
    draw(&IPV6_LENGTHS, SPECIFICS[1], count, rng, |rng| {
        let (block, len) = *rng.choose(&BLOCKS);
        u128::join(block << 112, u128::any(rng), len)
    })
}

/// Shorter prefixes first, so that longer ones find some to lie in.
fn draw<A: Family>(
    lengths: &[(u8, u32)],
    specifics: u64,
    count: usize,
    rng: &mut Rng,
    aggregate: impl Fn(&mut Rng) -> A,
) -> Vec<Prefix<A>> {
    let total: u64 = lengths.iter().map(|(_, share)| u64::from(*share)).sum();
    let mut prefixes: Vec<Prefix<A>> = Vec::with_capacity(count);
    let mut seen = HashSet::with_capacity(count);
    let mut share_so_far = 0;
    for (len, share) in lengths {
        share_so_far += u64::from(*share);
        let upto = (count as u64 * share_so_far / total) as usize;
        let shorter = prefixes.len();
        while prefixes.len() < upto {
            let address = if shorter > 0 && rng.chance(specifics, 100) {
                A::inside(prefixes[rng.below(shorter as u64) as usize], rng)
            } else {
                aggregate(rng)
            };
            let prefix = Prefix::containing(address, *len);
            if seen.insert(prefix) {
                prefixes.push(prefix);
            }
        }
    }
    rng.shuffle(&mut prefixes);
    prefixes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_the_size_asked_for_and_the_lengths_of_the_internet() {
        let v4 = ipv4(50_000, &mut Rng::new(1));
        assert_eq!(v4.len(), 50_000);
        let of_24 = v4.iter().filter(|prefix| prefix.len() == 24).count();
        assert!((30_000..31_000).contains(&of_24), "{of_24} of 50 000 are /24");
        let v6 = ipv6(50_000, &mut Rng::new(1));
        let mean = v6.iter().map(|prefix| f64::from(prefix.len())).sum::<f64>() / v6.len() as f64;
        assert!((42.5..43.2).contains(&mean), "the mean length is {mean}");
    }

    #[test]
    fn one_seed_gives_one_table() {
        assert_eq!(ipv4(1000, &mut Rng::new(7)), ipv4(1000, &mut Rng::new(7)));
        assert_ne!(ipv4(1000, &mut Rng::new(7)), ipv4(1000, &mut Rng::new(8)));
    }
}
