//! One cluster CIDR, cut into equal blocks, one block a node.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// The blocks of one cluster CIDR: which are used, which comes next.
///
/// Allocation is circular next-fit: a released block is not given out again
/// before the search has come round. Answers and messages equal those of
/// `pkg/controller/nodeipam/ipam/cidrset` in Kubernetes.
///
/// Used blocks are kept as ranges, so the cost of an operation and the memory
/// grow with the number of separate ranges, not with the size of the CIDR.
#[derive(Debug, Clone)]
pub struct CidrSet {
    cluster: IpNet,
    node_mask_size: u8,
    /// How many blocks there are: at most 2^32.
    blocks: u64,
    /// Used blocks: first -> last of each range. Ranges neither touch nor overlap.
    used: BTreeMap<u64, u64>,
    used_blocks: u64,
    /// Where the next search begins.
    next: u64,
}

/// Why a [`CidrSet`] could not do as asked. The words are those of Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CidrSetError {
    /// A block would be larger than the whole.
    #[error("mask size of cluster CIDR must be less than or equal to --node-cidr-mask-size configured for CIDR family")]
    NodeMaskTooShort,
    /// More than 2^16 IPv6 blocks, or a mask longer than an address.
    #[error("New CIDR set failed; the node CIDR size is too big")]
    NodeMaskTooLong,
    /// Every block is used.
    #[error("CIDR allocation failed; there are no remaining CIDRs left to allocate in the accepted range")]
    NoneLeft,
    /// The CIDR does not overlap the cluster CIDR.
    #[error("cidr {cidr} is out the range of cluster cidr {cluster}")]
    OutOfRange {
        /// The one that was handed in.
        cidr: IpNet,
        /// The one that is cut into blocks.
        cluster: IpNet,
    },
}

impl CidrSet {
    /// Cuts `cluster` into blocks of prefix length `node_mask_size`, all free.
    ///
    /// Host bits of `cluster` are ignored.
    ///
    /// # Errors
    /// [`CidrSetError::NodeMaskTooShort`], [`CidrSetError::NodeMaskTooLong`].
    pub fn new(cluster: IpNet, node_mask_size: u8) -> Result<Self, CidrSetError> {
        let cluster = cluster.trunc();
        let Some(bits) = node_mask_size.checked_sub(cluster.prefix_len()) else {
            return Err(CidrSetError::NodeMaskTooShort);
        };
        // Kubernetes caps IPv6 alone: https://github.com/kubernetes/kubernetes/issues/44918
        let too_many = matches!(cluster, IpNet::V6(_)) && bits > 16;
        if too_many || node_mask_size > cluster.max_prefix_len() {
            return Err(CidrSetError::NodeMaskTooLong);
        }
        Ok(Self { cluster, node_mask_size, blocks: 1 << bits, used: BTreeMap::new(), used_blocks: 0, next: 0 })
    }

    /// Gives out the next free block.
    ///
    /// # Errors
    /// [`CidrSetError::NoneLeft`].
    pub fn allocate_next(&mut self) -> Result<IpNet, CidrSetError> {
        if self.used_blocks == self.blocks {
            return Err(CidrSetError::NoneLeft);
        }
        let block = self.first_free_from(self.next);
        self.mark(block, block);
        self.next = (block + 1) % self.blocks;
        Ok(self.block(block))
    }

    /// Marks every block that `cidr` overlaps as used. Idempotent; does not move
    /// the place where the next search begins.
    ///
    /// # Errors
    /// [`CidrSetError::OutOfRange`].
    pub fn occupy(&mut self, cidr: IpNet) -> Result<(), CidrSetError> {
        let (first, last) = self.blocks_of(cidr)?;
        self.mark(first, last);
        Ok(())
    }

    /// Marks every block that `cidr` overlaps as free. Idempotent.
    ///
    /// # Errors
    /// [`CidrSetError::OutOfRange`].
    pub fn release(&mut self, cidr: IpNet) -> Result<(), CidrSetError> {
        let (first, last) = self.blocks_of(cidr)?;
        self.clear(first, last);
        Ok(())
    }

    /// The cluster CIDR, without host bits.
    pub fn cluster(&self) -> IpNet {
        self.cluster
    }

    /// Where the next search begins.
    pub fn next(&self) -> IpNet {
        self.block(self.next)
    }

    /// Lets the next search begin with the block that holds the first address of `cidr`.
    ///
    /// # Errors
    /// [`CidrSetError::OutOfRange`].
    pub fn seek(&mut self, cidr: IpNet) -> Result<(), CidrSetError> {
        self.next = self.blocks_of(cidr)?.0;
        Ok(())
    }

    /// Is it one block, no more and no less?
    pub fn is_block(&self, cidr: IpNet) -> bool {
        cidr.prefix_len() == self.node_mask_size && self.cluster.contains(&cidr) && cidr.trunc() == cidr
    }

    /// Is any of the blocks that `cidr` overlaps used?
    ///
    /// # Errors
    /// [`CidrSetError::OutOfRange`].
    pub fn is_used(&self, cidr: IpNet) -> Result<bool, CidrSetError> {
        let (first, last) = self.blocks_of(cidr)?;
        Ok(self.used.range(..=last).next_back().is_some_and(|(_, &end)| end >= first))
    }

    /// How many blocks are used.
    pub fn used(&self) -> u64 {
        self.used_blocks
    }

    /// How many blocks are free.
    pub fn free(&self) -> u64 {
        self.blocks - self.used_blocks
    }

    /// The first free block at or after `from`, wrapping round. There is one.
    fn first_free_from(&self, from: u64) -> u64 {
        let after = |block: u64| match self.used.range(..=block).next_back() {
            Some((_, &last)) if last >= block => last + 1,
            _ => block,
        };
        let found = after(from);
        if found < self.blocks { found } else { after(0) }
    }

    /// Marks `first..=last` used, joining the ranges that it meets.
    pub(super) fn mark(&mut self, first: u64, last: u64) {
        let (mut joined_first, mut joined_last) = (first, last);
        self.clear(first, last);
        if let Some((&start, &end)) = self.used.range(..first).next_back()
            && end + 1 == first
        {
            joined_first = start;
        }
        if let Some(end) = self.used.remove(&(last + 1)) {
            joined_last = end;
        }
        self.used.insert(joined_first, joined_last);
        self.used_blocks += last - first + 1;
    }

    /// Marks `first..=last` free, cutting the ranges that it meets.
    pub(super) fn clear(&mut self, first: u64, last: u64) {
        while let Some((&start, &end)) = self.used.range(..=last).next_back() {
            if end < first {
                break;
            }
            self.used.remove(&start);
            if start < first {
                self.used.insert(start, first - 1);
            }
            if end > last {
                self.used.insert(last + 1, end);
            }
            self.used_blocks -= end.min(last) - start.max(first) + 1;
        }
    }

    /// First and last block that `cidr` overlaps.
    pub(super) fn blocks_of(&self, cidr: IpNet) -> Result<(u64, u64), CidrSetError> {
        let (inside, around) = (self.cluster.contains(&cidr), cidr.contains(&self.cluster));
        if around {
            return Ok((0, self.blocks - 1));
        }
        if !inside {
            let cluster = self.cluster;
            return Err(CidrSetError::OutOfRange { cidr, cluster });
        }
        Ok((self.block_of(cidr.network()), self.block_of(cidr.broadcast())))
    }

    fn block_of(&self, address: IpAddr) -> u64 {
        let distance = number(address) ^ number(self.cluster.network());
        let block = distance.checked_shr(u32::from(self.block_bits())).unwrap_or(0);
        u64::try_from(block).expect("a cluster CIDR has at most 2^32 blocks")
    }

    /// The block of index `index`.
    pub(super) fn block(&self, index: u64) -> IpNet {
        let offset = u128::from(index).checked_shl(u32::from(self.block_bits())).unwrap_or(0);
        let first = number(self.cluster.network()) | offset;
        let address = match self.cluster {
            IpNet::V4(_) => {
                IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(first).expect("a block of an IPv4 CIDR is an IPv4 CIDR")))
            }
            IpNet::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(first)),
        };
        IpNet::new(address, self.node_mask_size).expect("the mask size was checked by `new`")
    }

    /// How many bits of an address count within a block.
    fn block_bits(&self) -> u8 {
        self.cluster.max_prefix_len() - self.node_mask_size
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}
