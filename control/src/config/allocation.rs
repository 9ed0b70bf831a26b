//! Which pod CIDRs each node has: those of the file first, then the next free.

use ipnet::IpNet;

use super::claims::{Claims, overlap};
use super::clusters::family;
use super::model::NodeMaskSize;
use super::nodes::NodeDraft;
use super::report::{Report, Spanned};
use super::schema::listed;
use crate::ipam::{CidrSet, CidrSetError};

/// Settles the pod CIDRs of every node, in the order of the file.
///
/// As kube-controller-manager does on start: service ranges are occupied, then
/// what nodes already have, and then the others are served.
pub(super) fn allocate(
    report: &mut Report<'_>,
    pod_cidrs: &[Spanned<IpNet>],
    node_mask_size: NodeMaskSize,
    service_cidrs: &[IpNet],
    nodes: &mut [NodeDraft],
) {
    let mut sets = Vec::new();
    for net in pod_cidrs {
        sets.extend(cut(report, net, node_mask_size));
    }
    if sets.len() < pod_cidrs.len() || sets.is_empty() {
        return;
    }
    for service in service_cidrs {
        for (net, set) in &mut sets {
            if overlap(*net, *service) {
                set.occupy(*service).expect("a CIDR that overlaps can be occupied");
            }
        }
    }
    let mut claims = Claims::default();
    for draft in nodes.iter_mut() {
        take_given(report, draft, &mut sets, &mut claims);
    }
    let mut exhausted = vec![false; sets.len()];
    for draft in nodes.iter_mut().filter(|draft| draft.given.is_empty()) {
        for ((net, set), exhausted) in sets.iter_mut().zip(&mut exhausted) {
            match set.allocate_next() {
                Ok(piece) => give(report, draft, piece),
                Err(error) if !*exhausted => {
                    // The nodes after it fare alike; once is enough to say it.
                    *exhausted = true;
                    let what = format!("gets no pod CIDR of {net}: {error}");
                    let remedy = "give the cluster a larger range, or its nodes smaller pieces by node-mask-size";
                    report.error(&draft.at, what, remedy);
                }
                Err(_) => {}
            }
        }
    }
}

/// The pieces of one of the cluster's ranges.
fn cut(report: &mut Report<'_>, net: &Spanned<IpNet>, size: NodeMaskSize) -> Option<(IpNet, CidrSet)> {
    let (size, key) = match net.value {
        IpNet::V4(_) => (size.ipv4, "ipv4"),
        IpNet::V6(_) => (size.ipv6, "ipv6"),
    };
    // Not read, which was reported.
    if size == 0 {
        return None;
    }
    let length = net.value.prefix_len();
    match CidrSet::new(net.value, size) {
        Ok(set) => Some((net.value, set)),
        Err(error) => {
            let what = format!("cannot be cut into pieces of /{size}: {error}");
            let remedy = match error {
                CidrSetError::NodeMaskTooShort => {
                    format!("write node-mask-size.{key} = {length} or more")
                }
                _ => format!("write node-mask-size.{key} = {} or less", length.saturating_add(16)),
            };
            report.error(&net.at, what, remedy);
            None
        }
    }
}

/// Takes what the file gives a node.
fn take_given(report: &mut Report<'_>, draft: &mut NodeDraft, sets: &mut [(IpNet, CidrSet)], claims: &mut Claims) {
    for given in &draft.given {
        let Spanned { at, value: net } = given;
        let Some((_, set)) = sets.iter_mut().find(|(cluster, _)| cluster.contains(net)) else {
            let known: Vec<String> = sets.iter().map(|(cluster, _)| cluster.to_string()).collect();
            let known = listed(known.iter().map(String::as_str));
            report.error(at, "lies outside the cluster's pod CIDRs", format!("those are {known}"));
            continue;
        };
        if let Err((other, place)) = claims.claim(*net, at) {
            let what = format!("overlaps {other} of {}", report.reference(place));
            report.error(at, what, "every node has its own range");
            continue;
        }
        set.occupy(*net).expect("a CIDR within the cluster can be occupied");
        let ipv4 = net.addr().is_ipv4();
        if draft.reached_by.is_some() && !has_address(draft, ipv4) {
            let family = family(ipv4);
            let what = format!("cannot be reached: the node has no {family} address");
            report.error(at, what, format!("add its {family} address to addresses"));
            continue;
        }
        draft.node.pod_cidrs.push(*net);
    }
}

/// Gives an allocated piece to a node, if it can be routed there.
fn give(report: &mut Report<'_>, draft: &mut NodeDraft, piece: IpNet) {
    let ipv4 = piece.addr().is_ipv4();
    if has_address(draft, ipv4) {
        draft.node.pod_cidrs.push(piece);
    } else if draft.reached_by.is_some() {
        let family = family(ipv4);
        let what = format!("has no {family} address, and the cluster has {family} pods");
        let done = format!("its {family} pods ({piece}) are not reached until it has one");
        report.warn(&draft.at, what, done);
    }
}

fn has_address(draft: &NodeDraft, ipv4: bool) -> bool {
    draft.node.addresses.iter().any(|address| address.is_ipv4() == ipv4)
}
