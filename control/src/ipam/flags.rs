//! The flags of kube-controller-manager that say how nodes get their pod CIDRs.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Allocator, AllocatorError, CidrSetError};

/// The flags as they are written. An empty text and 0 stand for a flag that is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--cluster-cidr`.
    pub cluster_cidr: String,
    /// `--service-cluster-ip-range`.
    pub service_cluster_ip_range: String,
    /// `--node-cidr-mask-size`.
    pub node_cidr_mask_size: u8,
    /// `--node-cidr-mask-size-ipv4`.
    pub node_cidr_mask_size_ipv4: u8,
    /// `--node-cidr-mask-size-ipv6`.
    pub node_cidr_mask_size_ipv6: u8,
}

/// Flags that make sense together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Each cluster CIDR without host bits, with the prefix length of a node's piece.
    pub clusters: Vec<(IpNet, u8)>,
    /// The service ranges that could be read.
    pub services: Vec<IpNet>,
    /// What the controller would only warn of.
    pub warnings: Vec<String>,
}

/// Why kube-controller-manager would not start with the flags, in its words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// There is no cluster CIDR.
    #[error("Controller: Must specify --cluster-cidr if --allocate-node-cidrs is set")]
    NoClusterCidr,
    /// It cannot be read.
    #[error("failed to parse cidr value:{text:?} with error:invalid CIDR address: {text}")]
    NotACidr {
        /// One of those that a comma keeps apart.
        text: String,
    },
    /// Two of one family.
    #[error("len of ClusterCIDRs=={0} and they are not configured as dual stack (at least one from each IPFamily")]
    NotDualStack(usize),
    /// More than two.
    #[error("length of clusterCIDRs is:{0} more than max allowed of 2")]
    TooMany(usize),
    /// Two service ranges of one family.
    #[error("serviceCIDR and secondaryServiceCIDR are not dualstack (from different IPfamiles)")]
    ServicesNotDualStack,
    /// One size for two families.
    #[error("usage of --node-cidr-mask-size is not allowed with dual-stack clusters")]
    OneSizeForTwo,
    /// Both kinds of flags.
    #[error(
        "usage of --node-cidr-mask-size-ipv4 and --node-cidr-mask-size-ipv6 is not allowed if --node-cidr-mask-size is set. For dual-stack clusters please unset it and use IPFamily specific flags"
    )]
    SizeTwice,
    /// A size for a family that the cluster does not have.
    #[error("usage of --node-cidr-mask-size-{flag} is not allowed for a single-stack {cluster} cluster")]
    OtherFamily {
        /// "ipv4" or "ipv6".
        flag: &'static str,
        /// "IPv4" or "IPv6".
        cluster: &'static str,
    },
    /// A piece larger than the whole.
    #[error(
        "Controller: Invalid --cluster-cidr, mask size of cluster CIDR must be less than or equal to --node-cidr-mask-size configured for CIDR family"
    )]
    PieceTooLarge,
    /// What the allocator says.
    #[error("{0}")]
    Cut(CidrSetError),
}

impl Flags {
    /// Reads and checks them as the controller does when it starts.
    ///
    /// # Errors
    /// The first reason for which it would exit.
    pub fn read(&self) -> Result<Range, FlagError> {
        let mut warnings = Vec::new();
        let text = self.cluster_cidr.trim();
        if text.is_empty() {
            return Err(FlagError::NoClusterCidr);
        }
        let mut clusters = Vec::new();
        for text in text.split(',') {
            let cidr = read_cidr(text).ok_or_else(|| FlagError::NotACidr { text: text.to_owned() })?;
            if cidr.trunc() != cidr {
                warnings.push(format!("--cluster-cidr {text} has host bits set: taken as {}", cidr.trunc()));
            }
            clusters.push(cidr.trunc());
        }
        let has = |ipv4| clusters.iter().any(|cidr| cidr.addr().is_ipv4() == ipv4);
        if clusters.len() > 1 && !(has(true) && has(false)) {
            return Err(FlagError::NotDualStack(clusters.len()));
        }
        if clusters.len() > 2 {
            return Err(FlagError::TooMany(clusters.len()));
        }
        let services = self.services(&mut warnings)?;
        let sizes = self.sizes(&clusters)?;
        let clusters: Vec<_> = clusters.into_iter().zip(sizes).collect();
        if clusters.iter().any(|(cidr, size)| cidr.prefix_len() > *size) {
            return Err(FlagError::PieceTooLarge);
        }
        Ok(Range { clusters, services, warnings })
    }

    /// The service ranges. One that cannot be read is only warned of.
    fn services(&self, warnings: &mut Vec<String>) -> Result<Vec<IpNet>, FlagError> {
        let mut services: Vec<IpNet> = Vec::new();
        // As the controller does, at most two are looked at.
        for text in self.service_cluster_ip_range.split(',').take(2).map(str::trim).filter(|text| !text.is_empty()) {
            match read_cidr(text) {
                Some(cidr) => services.push(cidr.trunc()),
                None => {
                    warnings.push(format!("Unsuccessful parsing of service CIDR {text}: invalid CIDR address: {text}"))
                }
            }
        }
        match services[..] {
            [one, other] if one.addr().is_ipv4() == other.addr().is_ipv4() => Err(FlagError::ServicesNotDualStack),
            _ => Ok(services),
        }
    }

    /// A size for each cluster CIDR.
    fn sizes(&self, clusters: &[IpNet]) -> Result<Vec<u8>, FlagError> {
        let (one, v4, v6) = (self.node_cidr_mask_size, self.node_cidr_mask_size_ipv4, self.node_cidr_mask_size_ipv6);
        let or = |size: u8, fallback| if size == 0 { fallback } else { size };
        if let [cluster] = clusters {
            let is_ipv4 = cluster.addr().is_ipv4();
            if one != 0 && (v4 != 0 || v6 != 0) {
                return Err(FlagError::SizeTwice);
            }
            if v4 != 0 && !is_ipv4 {
                return Err(FlagError::OtherFamily { flag: "ipv4", cluster: "IPv6" });
            }
            if v6 != 0 && is_ipv4 {
                return Err(FlagError::OtherFamily { flag: "ipv6", cluster: "IPv4" });
            }
            return Ok(vec![or(one, if is_ipv4 { or(v4, IPV4_SIZE) } else { or(v6, IPV6_SIZE) })]);
        }
        if one != 0 {
            return Err(FlagError::OneSizeForTwo);
        }
        let size = |cluster: &IpNet| if cluster.addr().is_ipv4() { or(v4, IPV4_SIZE) } else { or(v6, IPV6_SIZE) };
        Ok(clusters.iter().map(size).collect())
    }
}

impl Range {
    /// The allocator that the controller would make.
    ///
    /// # Errors
    /// A cluster CIDR that cannot be cut.
    pub fn allocator(&self) -> Result<Allocator, FlagError> {
        Allocator::new(&self.clusters, &self.services).map_err(|AllocatorError { error, .. }| FlagError::Cut(error))
    }
}

/// As Go's `net.ParseCIDR`, which takes an IPv4 address in IPv6 clothes for what it is.
/// (`IpNet` would take leading zeros.)
fn read_cidr(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    if length.len() > 1 && length.starts_with('0') || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (address, length): (IpAddr, u8) = (address.parse().ok()?, length.parse().ok()?);
    let cidr = IpNet::new(address, length).ok()?;
    match address {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpNet::new(v4.into(), length.checked_sub(96)?).ok(),
            None => Some(cidr),
        },
        IpAddr::V4(_) => Some(cidr),
    }
}

const IPV4_SIZE: u8 = 24;
const IPV6_SIZE: u8 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flags(cluster: &str, services: &str, sizes: [u8; 3]) -> Flags {
        let [node_cidr_mask_size, node_cidr_mask_size_ipv4, node_cidr_mask_size_ipv6] = sizes;
        Flags {
            cluster_cidr: cluster.to_owned(),
            service_cluster_ip_range: services.to_owned(),
            node_cidr_mask_size,
            node_cidr_mask_size_ipv4,
            node_cidr_mask_size_ipv6,
        }
    }

    #[test]
    fn flags_that_make_no_sense_are_refused_in_the_words_of_kubernetes() {
        let refusals = [
            ("", "", [0; 3], "Controller: Must specify --cluster-cidr if --allocate-node-cidrs is set"),
            (
                "10.1.0.0./16",
                "",
                [0; 3],
                "failed to parse cidr value:\"10.1.0.0./16\" with error:invalid CIDR address: 10.1.0.0./16",
            ),
            (
                "10.1.0.0/16, fd00::/48",
                "",
                [0; 3],
                "failed to parse cidr value:\" fd00::/48\" with error:invalid CIDR address:  fd00::/48",
            ),
            (
                "010.1.0.0/16",
                "",
                [0; 3],
                "failed to parse cidr value:\"010.1.0.0/16\" with error:invalid CIDR address: 010.1.0.0/16",
            ),
            (
                "10.1.0.0/16,10.2.0.0/16",
                "",
                [0; 3],
                "len of ClusterCIDRs==2 and they are not configured as dual stack (at least one from each IPFamily",
            ),
            ("10.1.0.0/16,fd00::/48,10.2.0.0/16", "", [0; 3], "length of clusterCIDRs is:3 more than max allowed of 2"),
            (
                "10.1.0.0/16",
                "10.96.0.0/12,10.112.0.0/12",
                [0; 3],
                "serviceCIDR and secondaryServiceCIDR are not dualstack (from different IPfamiles)",
            ),
            (
                "10.1.0.0/16,fd00::/48",
                "",
                [24, 0, 0],
                "usage of --node-cidr-mask-size is not allowed with dual-stack clusters",
            ),
            (
                "10.1.0.0/16",
                "",
                [24, 24, 0],
                "usage of --node-cidr-mask-size-ipv4 and --node-cidr-mask-size-ipv6 is not allowed if --node-cidr-mask-size is set. For dual-stack clusters please unset it and use IPFamily specific flags",
            ),
            (
                "fd00::/48",
                "",
                [0, 24, 0],
                "usage of --node-cidr-mask-size-ipv4 is not allowed for a single-stack IPv6 cluster",
            ),
            (
                "10.1.0.0/16",
                "",
                [0, 0, 64],
                "usage of --node-cidr-mask-size-ipv6 is not allowed for a single-stack IPv4 cluster",
            ),
            (
                "10.1.0.0/25",
                "",
                [0; 3],
                "Controller: Invalid --cluster-cidr, mask size of cluster CIDR must be less than or equal to --node-cidr-mask-size configured for CIDR family",
            ),
        ];
        for (cluster, services, sizes, expected) in refusals {
            let error = flags(cluster, services, sizes).read().expect_err(expected);
            assert_eq!(error.to_string(), expected);
        }
        let too_fine = flags("fd00::/47", "", [0; 3]).read().expect("sizes are only compared").allocator();
        assert_eq!(too_fine.expect_err("17 bits").to_string(), "New CIDR set failed; the node CIDR size is too big");
    }

    #[test]
    fn sizes_have_the_defaults_of_kubernetes_and_follow_the_order_of_the_cidrs() {
        let read = |cluster, sizes| flags(cluster, "", sizes).read().expect("they are sound").clusters;
        let net = |text: &str| text.parse::<IpNet>().expect("a prefix");
        assert_eq!(read("10.1.0.0/16", [0; 3]), [(net("10.1.0.0/16"), 24)]);
        assert_eq!(read("10.1.0.0/16", [26, 0, 0]), [(net("10.1.0.0/16"), 26)]);
        assert_eq!(read("10.1.0.0/16", [0, 27, 0]), [(net("10.1.0.0/16"), 27)]);
        assert_eq!(read("fd00::/48", [0; 3]), [(net("fd00::/48"), 64)]);
        assert_eq!(read("fd00::/56,10.1.0.0/16", [0, 25, 0]), [(net("fd00::/56"), 64), (net("10.1.0.0/16"), 25)]);
    }

    #[test]
    fn a_service_range_that_cannot_be_read_is_warned_of_and_left_out() {
        let range = flags("10.20.5.7/22", "10.20.6.0/24,nonsense", [0; 3]).read().expect("it starts");
        assert_eq!(range.services, ["10.20.6.0/24".parse::<IpNet>().expect("a prefix")]);
        assert_eq!(
            range.warnings,
            [
                "--cluster-cidr 10.20.5.7/22 has host bits set: taken as 10.20.4.0/22",
                "Unsuccessful parsing of service CIDR nonsense: invalid CIDR address: nonsense",
            ]
        );
        let mut allocator = range.allocator().expect("it can be cut");
        let given: Vec<_> = (0..3).map(|_| allocator.allocate().expect("there are three")[0].to_string()).collect();
        assert_eq!(given, ["10.20.4.0/24", "10.20.5.0/24", "10.20.7.0/24"]);
    }

    proptest! {
        #[test]
        fn no_flags_break_the_reader(
            cluster in "[0-9a-f:./,]{0,40}", services in "[0-9a-f:./,]{0,40}", sizes in any::<[u8; 3]>(),
        ) {
            let allocator = flags(&cluster, &services, sizes).read().and_then(|range| range.allocator());
            if let Ok(mut allocator) = allocator {
                let _ = allocator.allocate();
            }
        }
    }
}
