//! Prefixes that must not overlap, and who has each.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

/// Disjoint prefixes of both families, each with who has it: a place in the file, or a name.
///
/// A question costs one search, so that 65 536 nodes can be compared.
pub(crate) struct Claims<W> {
    /// By first address.
    claims: BTreeMap<IpAddr, (IpNet, W)>,
}

impl<W> Default for Claims<W> {
    fn default() -> Self {
        Claims { claims: BTreeMap::new() }
    }
}

impl<W: Clone> Claims<W> {
    /// Who has some of `net` already.
    pub(crate) fn overlap(&self, net: IpNet) -> Option<&(IpNet, W)> {
        // Claims are disjoint, so if any reaches into `net`, the last to begin
        // before the end of `net` does.
        let (_, claim) = self.claims.range(..=net.broadcast()).next_back()?;
        overlap(claim.0, net).then_some(claim)
    }

    /// Claims `net`, unless somebody has some of it already.
    ///
    /// # Errors
    /// Who has it.
    pub(crate) fn claim(&mut self, net: IpNet, who: &W) -> Result<(), &(IpNet, W)> {
        if self.overlap(net).is_some() {
            return Err(self.overlap(net).expect("it did a moment ago"));
        }
        self.claims.insert(net.network(), (net, who.clone()));
        Ok(())
    }
}

/// Whether two prefixes have an address in common. Host bits do not matter.
pub(crate) fn overlap(one: IpNet, other: IpNet) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn claims_agree_with_comparing_everything_with_everything(
            nets in prop::collection::vec((any::<u8>(), 24_u8..=32), 0..40),
        ) {
            let mut fast = Claims::default();
            let mut slow: Vec<IpNet> = Vec::new();
            for (low, length) in nets {
                let net = IpNet::new([10, 0, 0, low].into(), length).unwrap().trunc();
                let free = slow.iter().all(|other| !other.contains(&net) && !net.contains(other));
                prop_assert_eq!(fast.claim(net, &()).is_ok(), free);
                if free {
                    slow.push(net);
                }
            }
        }
    }

    #[test]
    fn the_families_are_kept_apart() {
        let mut claims = Claims::default();
        let mut claim = |net: &str| claims.claim(net.parse().unwrap(), &()).is_ok();
        assert!(claim("0.0.0.0/0"));
        assert!(claim("::/0"));
        assert!(!claim("255.255.255.255/32"));
        assert!(!claim("::1/128"));
    }
}
