//! Keys of `[[cluster.egress-rule]]` and `pods-from`.

use causeway_fastpath::nat::Selection;

use super::cluster::{CONTEXT, IN_CLUSTER};
use crate::config::schema::{Fallback, Key, Kind, Section, Shape};

pub(in crate::config) const EGRESS_RULE: Section = Section {
    path: "cluster.egress-rule",
    shape: Shape::List { most: Selection::MOST },
    about: "Pods of the cluster above it that leave under a pool of their own, as for a list of allowed addresses \
            at somebody outside. The first rule that is about a pod and where it sends to counts; where none is, \
            `egress` of the cluster does. A rule is of the families of which its pool has addresses. \
            `non-masquerade-cidrs`, static NAT and what a `[[policy]]` denies come before. A conversation keeps \
            the name it began with, whatever becomes of its pod.",
    keys: &[
        Key {
            name: "from",
            kind: Kind::List { of: "prefixes", most: 64 },
            fallback: Fallback::Said("a selector says it"),
            example: "[\"10.1.7.0/24\"]",
            about: "Pods that live here, as those of a namespace that has a range of its own: parts of the pod CIDRs.",
        },
        Key {
            name: "namespace",
            kind: Kind::Text("name of a namespace"),
            fallback: Fallback::Said("any"),
            example: "\"shop\"",
            about: "Pods of this namespace. What is said by `namespace`, `namespace-selector` and `pod-selector` must \
                    all be true of a pod. Those with `hostNetwork` and those that have finished are not meant; until \
                    the source of pods has been reached, nobody is.",
        },
        Key {
            name: "namespace-selector",
            kind: Kind::Text("label selector"),
            fallback: Fallback::Said("any"),
            example: "\"team=red\"",
            about: "Pods of namespaces with such labels, written as for `kubectl get namespaces -l`: `a=b`, `a!=b`, \
                    `a in (b,c)`, `a notin (b,c)`, `a`, `!a`, with commas between.",
        },
        Key {
            name: "pod-selector",
            kind: Kind::Text("label selector"),
            fallback: Fallback::Said("any"),
            example: "\"app=checkout,env in (prod,stage)\"",
            about: "Pods with such labels, written as for `kubectl get pods -l`.",
        },
        Key {
            name: "to",
            kind: Kind::List { of: "prefixes", most: 64 },
            fallback: Fallback::Said("everywhere"),
            example: "[\"198.51.100.0/24\"]",
            about: "Where to.",
        },
        Key {
            name: "pool",
            kind: Kind::Text("name of a pool"),
            fallback: Fallback::Required,
            example: "\"partners\"",
            about: "Under whose addresses they leave.",
        },
    ],
};

pub(in crate::config) const PODS_FROM: Section = Section {
    path: "cluster.pods-from",
    shape: Shape::Table,
    about: "Who knows the pods of a cluster, where a `[[cluster.egress-rule]]` selects some. Exactly one of `file`, \
            `kubeconfig` and `in-cluster`. Not needed where `nodes-from` names an API server: it is asked.",
    keys: &[
        Key {
            name: "file",
            kind: Kind::Text("path of a file"),
            fallback: Fallback::Said("none"),
            example: "\"/var/lib/causeway/blue-pods.json\"",
            about: "The output of `kubectl get pods,namespaces -A -o json`. It is read again when it changes; replace \
                    it with `mv`, so that nobody meets half of it.",
        },
        Key {
            name: "kubeconfig",
            kind: Kind::Text("path of a file"),
            fallback: Fallback::Said("none"),
            example: "\"/etc/causeway/kubeconfig\"",
            about: "How to reach the API server. Pods are listed and watched, and namespaces where a rule asks for \
                    their labels; `causeway kubernetes rbac --pods --namespaces` prints the rights that this needs.",
        },
        CONTEXT,
        IN_CLUSTER,
    ],
};

/// Pairs of a sender's and a receiver's prefix in all rules of a cluster: a flow that begins
/// is held against each.
pub(in crate::config) const MOST_EGRESS_PAIRS: usize = 1_024;
