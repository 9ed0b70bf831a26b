//! What `flanneld --ip-masq` masquerades.
//!
//! On each node it keeps these rules for what leaves (chain `FLANNEL-POSTRTG`), of which
//! the first that matches decides; with `pods` for the node's subnet and `network` for
//! that of all nodes:
//!
//! 1. marked 0x4000: keep (kube-proxy masquerades it)
//! 2. from `pods` to `network`: keep
//! 3. from `network` to `pods`: keep
//! 4. iptables: not from `network`, to `pods`: keep;
//!    nft: not from `pods`, to `network`: keep
//! 5. from `network`, not to multicast: masquerade
//! 6. not from `network`, to `network`: masquerade
//!
//! The two variants differ: with nft rule 4 leaves nothing for rule 6, so that who comes
//! from outside keeps its address toward pods of every node, not of this one alone; and
//! iptables looks at one bit of the mark, nft at all of it.

use causeway_fastpath::address::Address;
use causeway_fastpath::fib::Prefix;

/// What flannel writes its rules with: nft where net-conf.json has `EnableNFTables`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// `iptables`.
    Iptables,
    /// `nft`.
    Nft,
}

/// The rules of one family on one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpMasq<A> {
    /// How they are written.
    pub variant: Variant,
    /// FLANNEL_NETWORK: where all pods live.
    pub network: Prefix<A>,
    /// FLANNEL_SUBNET: where the pods of this machine live, within `network`. A gateway
    /// has none.
    pub pods: Option<Prefix<A>>,
}

const MARK: u32 = 0x4000;

impl<A: Address> IpMasq<A> {
    /// Is the first packet of a flow masqueraded?
    pub fn masquerades(&self, mark: u32, src: A, dst: A) -> bool {
        let nft = self.variant == Variant::Nft;
        let marked = if nft { mark == MARK } else { mark & MARK != 0 };
        let is_own = |address: A| self.pods.is_some_and(|pods| pods.contains(address));
        match (self.network.contains(src), self.network.contains(dst)) {
            _ if marked => false,
            (false, false) => false,
            (true, false) => !is_multicast(dst),
            (true, true) => !nft && !is_own(src) && !is_own(dst) && !is_multicast(dst),
            (false, true) => !nft && !is_own(dst),
        }
    }

    /// Is who comes from outside masqueraded toward pods of other machines?
    pub fn hides_strangers(&self) -> bool {
        self.variant == Variant::Iptables
    }
}

/// 224.0.0.0/4 and ff00::/8.
fn is_multicast<A: Address>(address: A) -> bool {
    match address.to_ip() {
        std::net::IpAddr::V4(address) => address.is_multicast(),
        std::net::IpAddr::V6(address) => address.is_multicast(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rule as flannel writes it: does it match, and does it masquerade?
    type Rule<A> = (Box<dyn Fn(u32, A, A) -> bool>, bool);

    /// The rules one by one, as they stand in flannel's source.
    fn rules<A: Address>(masq: IpMasq<A>, multicast: Prefix<A>) -> Vec<Rule<A>> {
        let network = move |address| masq.network.contains(address);
        let pods = move |address| masq.pods.is_some_and(|pods| pods.contains(address));
        let marked: Rule<A> = match masq.variant {
            Variant::Iptables => (Box::new(|mark, _, _| mark & 0x4000 == 0x4000), false),
            Variant::Nft => (Box::new(|mark, _, _| mark == 0x4000), false),
        };
        let fourth: Rule<A> = match masq.variant {
            Variant::Iptables => (Box::new(move |_, src, dst| !network(src) && pods(dst)), false),
            Variant::Nft => (Box::new(move |_, src, dst| !pods(src) && network(dst)), false),
        };
        vec![
            marked,
            (Box::new(move |_, src, dst| pods(src) && network(dst)), false),
            (Box::new(move |_, src, dst| network(src) && pods(dst)), false),
            fourth,
            (Box::new(move |_, src, dst| network(src) && !multicast.contains(dst)), true),
            (Box::new(move |_, src, dst| !network(src) && network(dst)), true),
        ]
    }

    fn first_match<A: Copy>(rules: &[Rule<A>], mark: u32, src: A, dst: A) -> bool {
        rules.iter().find(|(matches, _)| matches(mark, src, dst)).is_some_and(|(_, masquerades)| *masquerades)
    }

    /// Every network and subnet of a world of sixteen addresses, of which the fifteenth
    /// is multicast; every packet in it.
    #[test]
    fn the_decision_is_that_of_the_rules_one_by_one() {
        let prefixes = || {
            (0..=4).flat_map(|len| {
                (0..1u32 << len)
                    .map(move |at| at.checked_shl(32 - len).unwrap_or(0))
                    .map(move |at| Prefix::containing(at, len as u8))
            })
        };
        let multicast = Prefix::containing(0xe000_0000u32, 4);
        let mut decisions = 0;
        for variant in [Variant::Iptables, Variant::Nft] {
            for network in prefixes() {
                let within = prefixes().filter(|pods| pods.len() >= network.len() && network.contains(pods.address()));
                for pods in within.map(Some).chain([None]) {
                    let masq = IpMasq { variant, network, pods };
                    let rules = rules(masq, multicast);
                    for (src, dst) in (0..256u32).map(|pair| (pair >> 4 << 28, pair << 28)) {
                        for mark in [0, 0x4000, 0x4001, 0xc000, 0x8000, u32::MAX] {
                            let expected = first_match(&rules, mark, src, dst);
                            assert_eq!(
                                masq.masquerades(mark, src, dst),
                                expected,
                                "{masq:?} {mark:#x} {src:#x} {dst:#x}"
                            );
                            decisions += 1;
                        }
                    }
                }
            }
        }
        assert!(decisions > 100_000);
    }

    #[test]
    fn the_second_family_has_its_own_multicast() {
        let address = |text: &str| text.parse::<std::net::Ipv6Addr>().expect("an address").to_bits();
        let network = Prefix::containing(address("fd00:10::"), 56);
        for variant in [Variant::Iptables, Variant::Nft] {
            let masq = IpMasq { variant, network, pods: None };
            assert!(!masq.masquerades(0, address("fd00:10::5"), address("ff02::1")));
            assert!(masq.masquerades(0, address("fd00:10::5"), address("fe00::1")));
        }
    }

    #[test]
    fn the_variants_differ_in_who_comes_from_outside_and_in_marks() {
        let network = Prefix::containing(0x0a01_0000u32, 16);
        let [iptables, nft] = [Variant::Iptables, Variant::Nft].map(|variant| IpMasq { variant, network, pods: None });
        let (outside, pod) = (0xc633_6409, 0x0a01_0105);
        assert_eq!((iptables.masquerades(0, outside, pod), nft.masquerades(0, outside, pod)), (true, false));
        assert_eq!((iptables.hides_strangers(), nft.hides_strangers()), (true, false));
        assert_eq!((iptables.masquerades(0x4001, pod, outside), nft.masquerades(0x4001, pod, outside)), (false, true));
    }
}
