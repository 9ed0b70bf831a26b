//! All cluster CIDRs of a cluster, and who holds which blocks of them.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::{CidrSet, CidrSetError};

/// Gives nodes a block of each cluster CIDR, as the RangeAllocator of
/// kube-controller-manager does.
///
/// Equal to it: the order of blocks, one search a cluster CIDR that goes on behind the
/// last block given out, service ranges that are never given to a node, and blocks that
/// nodes have already. Better than it, on purpose:
///
/// - when one cluster CIDR is used up, no block of the other is lost;
/// - a block that two nodes hold is free when both have gone, not when the first has;
/// - blocks taken out for services stay out when a node that overlaps them goes;
/// - a node's CIDRs are held by their family, whatever their order.
#[derive(Debug, Clone)]
pub struct Allocator {
    families: Vec<Family>,
}

/// One cluster CIDR.
#[derive(Debug, Clone)]
struct Family {
    set: CidrSet,
    /// Ranges of blocks, first and last, and how many hold each. They are cut by prefixes:
    /// of two, one contains the other, or they are apart.
    held: BTreeMap<(u64, u64), usize>,
}

/// Why an [`Allocator`] could not do as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{cluster}: {error}")]
pub struct AllocatorError {
    /// The cluster CIDR that it is about.
    pub cluster: IpNet,
    /// What is wrong, in the words of Kubernetes.
    pub error: CidrSetError,
}

impl Allocator {
    /// Cuts each cluster CIDR into blocks of the prefix length beside it. Blocks that
    /// overlap a service range are never given out.
    ///
    /// # Errors
    /// A cluster CIDR that cannot be cut so; the first of them.
    pub fn new(clusters: &[(IpNet, u8)], services: &[IpNet]) -> Result<Self, AllocatorError> {
        let family = |&(cluster, mask): &(IpNet, u8)| {
            let set = CidrSet::new(cluster, mask).map_err(|error| AllocatorError { cluster, error })?;
            let mut family = Family { set, held: BTreeMap::new() };
            for service in services {
                // What lies elsewhere takes nothing.
                let _ = family.hold(*service);
            }
            Ok(family)
        };
        Ok(Self { families: clusters.iter().map(family).collect::<Result<_, _>>()? })
    }

    /// Gives one node a block of each cluster CIDR, in their order; it holds them from
    /// now on. All or none.
    ///
    /// # Errors
    /// [`CidrSetError::NoneLeft`] of the first cluster CIDR that is used up.
    pub fn allocate(&mut self) -> Result<Vec<IpNet>, AllocatorError> {
        if let Some(full) = self.families.iter().find(|family| family.set.free() == 0) {
            return Err(AllocatorError { cluster: full.set.cluster(), error: CidrSetError::NoneLeft });
        }
        let take = |family: &mut Family| {
            let block = family.set.allocate_next().expect("one is free");
            family.hold(block).expect("its own block");
            block
        };
        Ok(self.families.iter_mut().map(take).collect())
    }

    /// One more holds `cidr`, of whatever size: no block that it overlaps is given out.
    ///
    /// # Errors
    /// [`CidrSetError::OutOfRange`].
    pub fn hold(&mut self, cidr: IpNet) -> Result<(), CidrSetError> {
        self.family(cidr)?.hold(cidr)
    }

    /// One less holds `cidr`. Its blocks are free when nobody holds any part of them.
    ///
    /// # Errors
    /// [`CidrSetError::OutOfRange`].
    pub fn release(&mut self, cidr: IpNet) -> Result<(), CidrSetError> {
        self.family(cidr)?.release(cidr)
    }

    /// One set a cluster CIDR, in their order.
    pub fn sets(&self) -> impl Iterator<Item = &CidrSet> {
        self.families.iter().map(|family| &family.set)
    }

    /// Lets the next search in the cluster CIDR around `cidr` begin there.
    ///
    /// # Errors
    /// [`CidrSetError::OutOfRange`].
    pub fn seek(&mut self, cidr: IpNet) -> Result<(), CidrSetError> {
        self.family(cidr)?.set.seek(cidr)
    }

    /// The cluster CIDR that overlaps; else one to say that none does.
    fn family(&mut self, cidr: IpNet) -> Result<&mut Family, CidrSetError> {
        let at = self.families.iter().position(|family| family.set.blocks_of(cidr).is_ok());
        let same = |family: &Family| family.set.cluster().addr().is_ipv4() == cidr.addr().is_ipv4();
        let at = at.or_else(|| self.families.iter().position(same)).unwrap_or(0);
        self.families.get_mut(at).ok_or(CidrSetError::OutOfRange { cidr, cluster: cidr })
    }
}

impl Family {
    fn hold(&mut self, cidr: IpNet) -> Result<(), CidrSetError> {
        let range = self.set.blocks_of(cidr)?;
        *self.held.entry(range).or_default() += 1;
        self.set.mark(range.0, range.1);
        Ok(())
    }

    fn release(&mut self, cidr: IpNet) -> Result<(), CidrSetError> {
        let range = self.set.blocks_of(cidr)?;
        let Some(holders) = self.held.get_mut(&range) else {
            return Ok(());
        };
        *holders -= 1;
        if *holders > 0 {
            return Ok(());
        }
        self.held.remove(&range);
        self.set.clear(range.0, range.1);
        let (first, last) = range;
        let within = self.held.range((first, first)..=(last, last)).map(|(range, _)| *range);
        let around = (0..=32).map(|bits| {
            let start = first >> bits << bits;
            (start, start + ((1 << bits) - 1))
        });
        let around = around.filter(|wider| wider.1 >= last && self.held.contains_key(wider));
        for (first, last) in within.chain(around) {
            self.set.mark(first, last);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().expect("a prefix")
    }

    fn allocator(clusters: &[(&str, u8)], services: &[&str]) -> Allocator {
        let clusters: Vec<_> = clusters.iter().map(|&(cluster, mask)| (net(cluster), mask)).collect();
        let services: Vec<_> = services.iter().map(|service| net(service)).collect();
        Allocator::new(&clusters, &services).expect("they can be cut")
    }

    /// What the next nodes get, `-` for none.
    fn next(allocator: &mut Allocator, nodes: usize) -> Vec<String> {
        let words = |cidrs: Vec<IpNet>| cidrs.iter().map(IpNet::to_string).collect::<Vec<_>>().join(",");
        (0..nodes).map(|_| allocator.allocate().map_or("-".to_owned(), words)).collect()
    }

    /// As observed on kube-controller-manager 1.20.2 and 1.36.2.
    #[test]
    fn nodes_get_what_kube_controller_manager_gives_them() {
        for (clusters, services, expected) in [
            (&[("10.20.5.7/22", 24)][..], &[][..], &["10.20.4.0/24", "10.20.5.0/24"][..]),
            (&[("fd00:50:0:5::9/62", 64)], &[], &["fd00:50:0:4::/64", "fd00:50:0:5::/64"]),
            (&[("10.20.0.0/24", 24)], &[], &["10.20.0.0/24", "-"]),
            (&[("10.20.0.4/30", 32)], &[], &["10.20.0.4/32", "10.20.0.5/32", "10.20.0.6/32", "10.20.0.7/32", "-"]),
            (&[("10.20.0.0/24", 26)], &[], &["10.20.0.0/26", "10.20.0.64/26", "10.20.0.128/26", "10.20.0.192/26"]),
            (
                &[("fd00:50::/60", 66)],
                &[],
                &[
                    "fd00:50::/66",
                    "fd00:50:0:0:4000::/66",
                    "fd00:50:0:0:8000::/66",
                    "fd00:50:0:0:c000::/66",
                    "fd00:50:0:1::/66",
                ],
            ),
            (&[("fd00:50::1:0/112", 120)], &[], &["fd00:50::1:0/120", "fd00:50::1:100/120"]),
            (
                &[("10.20.0.0/22", 24)],
                &["10.96.0.0/12"],
                &["10.20.0.0/24", "10.20.1.0/24", "10.20.2.0/24", "10.20.3.0/24", "-"],
            ),
            (&[("10.20.0.0/22", 24)], &["10.20.1.0/24"], &["10.20.0.0/24", "10.20.2.0/24", "10.20.3.0/24", "-"]),
            // The whole block is taken out even for a part.
            (&[("10.20.0.0/22", 24)], &["10.20.1.64/26"], &["10.20.0.0/24", "10.20.2.0/24", "10.20.3.0/24", "-"]),
            (&[("10.20.0.0/22", 24)], &["10.20.2.0/23"], &["10.20.0.0/24", "10.20.1.0/24", "-"]),
            (&[("10.20.0.0/22", 24)], &["10.20.3.255/32"], &["10.20.0.0/24", "10.20.1.0/24", "10.20.2.0/24", "-"]),
            (&[("10.20.0.0/22", 24)], &["10.20.0.0/16"], &["-"]),
            (&[("10.20.0.0/22", 24)], &["10.0.0.0/8"], &["-"]),
            (
                &[("fd00:50::/62", 64)],
                &["fd00:50:0:1::/112"],
                &["fd00:50::/64", "fd00:50:0:2::/64", "fd00:50:0:3::/64", "-"],
            ),
            (
                &[("10.40.0.0/22", 24), ("fd00:40::/62", 64)],
                &[],
                &["10.40.0.0/24,fd00:40::/64", "10.40.1.0/24,fd00:40:0:1::/64"],
            ),
            (&[("fd00:40::/62", 64), ("10.40.0.0/22", 24)], &[], &["fd00:40::/64,10.40.0.0/24"]),
            // The families drift apart.
            (
                &[("10.40.0.0/22", 24), ("fd00:40::/62", 64)],
                &["10.40.1.0/24", "fd00:40:0:2::/112"],
                &["10.40.0.0/24,fd00:40::/64", "10.40.2.0/24,fd00:40:0:1::/64", "10.40.3.0/24,fd00:40:0:3::/64", "-"],
            ),
        ] {
            assert_eq!(next(&mut allocator(clusters, services), expected.len()), expected, "{clusters:?} {services:?}");
        }
    }

    #[test]
    fn a_freed_block_waits_for_the_search_to_come_round() {
        let mut nodes = allocator(&[("10.10.0.0/22", 24)], &[]);
        assert_eq!(next(&mut nodes, 2), ["10.10.0.0/24", "10.10.1.0/24"]);
        nodes.release(net("10.10.0.0/24")).expect("it is of the cluster");
        assert_eq!(next(&mut nodes, 4), ["10.10.2.0/24", "10.10.3.0/24", "10.10.0.0/24", "-"]);
    }

    #[test]
    fn blocks_that_nodes_have_already_are_left_out_whatever_their_size() {
        for (held, expected) in [
            ("10.30.1.0/24", ["10.30.0.0/24", "10.30.2.0/24", "10.30.3.0/24", "-"]),
            ("10.30.0.0/23", ["10.30.2.0/24", "10.30.3.0/24", "-", "-"]),
            ("10.30.3.128/25", ["10.30.0.0/24", "10.30.1.0/24", "10.30.2.0/24", "-"]),
        ] {
            let mut nodes = allocator(&[("10.30.0.0/22", 24)], &[]);
            nodes.hold(net(held)).expect("it is of the cluster");
            assert_eq!(next(&mut nodes, 4), expected, "{held}");
        }
        let error = allocator(&[("10.30.0.0/22", 24)], &[]).hold(net("192.168.7.0/24")).expect_err("it is outside");
        assert_eq!(error.to_string(), "cidr 192.168.7.0/24 is out the range of cluster cidr 10.30.0.0/22");
    }

    #[test]
    fn a_full_family_takes_nothing_from_the_other() {
        let mut nodes = allocator(&[("10.40.0.0/21", 24), ("fd00:40::/63", 64)], &[]);
        assert_eq!(next(&mut nodes, 5)[2..], ["-", "-", "-"]);
        for cidr in ["10.40.0.0/24", "fd00:40::/64"] {
            nodes.release(net(cidr)).expect("it is of the cluster");
        }
        // kube-controller-manager has lost a block of IPv4 with each try, and is at .6.
        assert_eq!(next(&mut nodes, 1), ["10.40.2.0/24,fd00:40::/64"]);
    }

    #[test]
    fn a_block_of_two_nodes_is_free_when_both_have_gone() {
        let mut nodes = allocator(&[("10.30.0.0/23", 24)], &[]);
        for _ in 0..2 {
            nodes.hold(net("10.30.0.0/24")).expect("it is of the cluster");
        }
        nodes.release(net("10.30.0.0/24")).expect("it is of the cluster");
        // kube-controller-manager would give .0 to a second node here.
        assert_eq!(next(&mut nodes, 2), ["10.30.1.0/24", "-"]);
        nodes.release(net("10.30.0.0/24")).expect("it is of the cluster");
        assert_eq!(next(&mut nodes, 1), ["10.30.0.0/24"]);
        nodes.release(net("10.30.0.0/24")).expect("it is of the cluster");
        nodes.release(net("10.30.0.0/24")).expect("once too often changes nothing");
        assert_eq!(next(&mut nodes, 2), ["10.30.0.0/24", "-"]);
    }

    #[test]
    fn a_range_that_goes_leaves_those_within_and_around_it() {
        let mut nodes = allocator(&[("10.30.0.0/22", 24)], &["10.30.2.0/24"]);
        for cidr in ["10.30.0.0/22", "10.30.0.0/23", "10.30.1.128/25", "10.30.1.0/25", "10.30.2.0/23"] {
            nodes.hold(net(cidr)).expect("it is of the cluster");
        }
        for (cidr, free) in
            [("10.30.0.0/23", 0), ("10.30.0.0/22", 1), ("10.30.1.128/25", 1), ("10.30.2.0/23", 2), ("10.30.1.0/25", 3)]
        {
            nodes.release(net(cidr)).expect("it is of the cluster");
            assert_eq!(nodes.sets().next().expect("one").free(), free, "{cidr}");
        }
        assert_eq!(next(&mut nodes, 4), ["10.30.0.0/24", "10.30.1.0/24", "10.30.3.0/24", "-"], "services stay out");
    }

    #[test]
    fn cidrs_of_a_node_are_held_by_family_in_any_order() {
        let mut nodes = allocator(&[("10.40.0.0/22", 24), ("fd00:40::/62", 64)], &[]);
        for cidr in ["fd00:40::/64", "10.40.0.0/24"] {
            nodes.hold(net(cidr)).expect("it is of the cluster");
        }
        assert_eq!(next(&mut nodes, 1), ["10.40.1.0/24,fd00:40:0:1::/64"]);
    }
}
