//! Which pod CIDRs each node has: those of the file first, then the next free.

use ipnet::IpNet;

use super::claims::Claims;
use super::clusters::family;
use super::model::NodeMaskSize;
use super::nodes::NodeDraft;
use super::report::{At, Report, Spanned};
use super::schema::listed;
use crate::ipam::{Allocator, AllocatorError, CidrSet, CidrSetError};

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
    let Some(mut allocator) = cut(report, pod_cidrs, node_mask_size, service_cidrs) else {
        return;
    };
    let mut claims = Claims::default();
    for draft in nodes.iter_mut() {
        take_given(report, draft, &mut allocator, &mut claims);
    }
    for draft in nodes.iter_mut().filter(|draft| draft.given.is_empty()) {
        draft.node.allocated = true;
        match allocator.allocate() {
            Ok(pieces) => give(report, draft, &pieces),
            Err(AllocatorError { cluster, error }) => {
                let what = format!("gets no pod CIDR of {cluster}: {error}");
                let remedy = "give the cluster a larger range, or its nodes smaller pieces by node-mask-size";
                report.error(&draft.at, what, remedy);
                // The nodes after it fare alike; once is enough to say it.
                return;
            }
        }
    }
}

/// The pieces of the cluster's ranges. `None` if any cannot be cut, or there are none.
fn cut(
    report: &mut Report<'_>,
    pod_cidrs: &[Spanned<IpNet>],
    node_mask_size: NodeMaskSize,
    service_cidrs: &[IpNet],
) -> Option<Allocator> {
    let cuts: Vec<_> = pod_cidrs.iter().map(|net| (net.value, node_mask_size.of(net.value))).collect();
    let mut sound = !cuts.is_empty();
    for (net, &(cidr, size)) in pod_cidrs.iter().zip(&cuts) {
        // Not read, which was reported.
        if size == 0 {
            sound = false;
        } else if let Err(error) = CidrSet::new(cidr, size) {
            let (length, key) = (cidr.prefix_len(), if cidr.addr().is_ipv4() { "ipv4" } else { "ipv6" });
            let what = format!("cannot be cut into pieces of /{size}: {error}");
            let remedy = match error {
                CidrSetError::NodeMaskTooShort => format!("write node-mask-size.{key} = {length} or more"),
                _ => format!("write node-mask-size.{key} = {} or less", length.saturating_add(16)),
            };
            report.error(&net.at, what, remedy);
            sound = false;
        }
    }
    sound.then(|| Allocator::new(&cuts, service_cidrs).expect("each can be cut"))
}

/// Takes what the file gives a node.
fn take_given(report: &mut Report<'_>, draft: &mut NodeDraft, allocator: &mut Allocator, claims: &mut Claims<At>) {
    for given in &draft.given {
        let Spanned { at, value: net } = given;
        if !allocator.sets().any(|set| set.cluster().contains(net)) {
            let known: Vec<String> = allocator.sets().map(|set| set.cluster().to_string()).collect();
            let known = listed(known.iter().map(String::as_str));
            report.error(at, "lies outside the cluster's pod CIDRs", format!("those are {known}"));
            continue;
        }
        if let Err((other, place)) = claims.claim(*net, at) {
            let what = format!("overlaps {other} of {}", report.reference(place));
            report.error(at, what, "every node has its own range");
            continue;
        }
        allocator.hold(*net).expect("a CIDR within the cluster can be held");
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

/// Gives allocated pieces to a node, as far as they can be routed there.
fn give(report: &mut Report<'_>, draft: &mut NodeDraft, pieces: &[IpNet]) {
    draft.node.pod_cidrs = draft.node.routable(pieces);
    for piece in pieces.iter().filter(|piece| !draft.node.pod_cidrs.contains(piece)) {
        if draft.reached_by.is_some() {
            let family = family(piece.addr().is_ipv4());
            let what = format!("has no {family} address, and the cluster has {family} pods");
            let done = format!("its {family} pods ({piece}) are not reached until it has one");
            report.warn(&draft.at, what, done);
        }
    }
}

fn has_address(draft: &NodeDraft, ipv4: bool) -> bool {
    draft.node.addresses.iter().any(|address| address.is_ipv4() == ipv4)
}
