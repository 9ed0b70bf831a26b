//! Keys of `[[cluster]]` and what stands in it.

use super::{ADDRESS, NAME, number};
use crate::config::schema::{Fallback, Key, Kind, Section, Shape};

pub(in crate::config) const CLUSTER: Section = Section {
    path: "cluster",
    shape: Shape::List { most: 256 },
    about: "A Kubernetes cluster.",
    keys: &[
        Key {
            name: "name",
            kind: NAME,
            fallback: Fallback::Required,
            example: "\"blue\"",
            about: "What routes and answers call it.",
        },
        Key {
            name: "model",
            kind: Kind::Choice(&[
                (
                    "island",
                    "pods reach out under another address, and are reached from outside only where a `[[forward]]` or `[[static-nat]]` says so",
                ),
                (
                    "isolated",
                    "pods meet nothing outside, and are reached only where a `[[forward]]` or `[[static-nat]]` says so; nodes are routable",
                ),
                (
                    "flat",
                    "pods are routable from everywhere, so no two flat clusters have the same addresses; translated toward the internet alone, by `egress`",
                ),
            ]),
            fallback: Fallback::Required,
            example: "\"island\"",
            about: "How its pods meet the rest of the network.",
        },
        Key {
            name: "pod-cidrs",
            kind: Kind::List { of: "prefixes, one a family", most: 2 },
            fallback: Fallback::Required,
            example: "[\"10.1.0.0/16\", \"fd00:10::/56\"]",
            about: "Where its pods live (kube-controller-manager's `--cluster-cidr`). Must not \
                    overlap the subnet of a port or a pool, nor pods of another cluster where both are known by their \
                    own addresses outside: flat ones, and islands with `non-masquerade-cidrs` or `flannel-ip-masq`.",
        },
        Key {
            name: "node-mask-size",
            kind: Kind::Section("{ ipv4 = 1 to 32, ipv6 = 1 to 128 }"),
            fallback: Fallback::Said("`{ ipv4 = 24, ipv6 = 64 }`"),
            example: "{ ipv4 = 24, ipv6 = 64 }",
            about: "How large a piece of the pod CIDRs a node gets \
                    (`--node-cidr-mask-size-ipv4` and `-ipv6`).",
        },
        Key {
            name: "service-cidrs",
            kind: Kind::List { of: "prefixes", most: 16 },
            fallback: Fallback::Text("[]"),
            example: "[\"10.96.0.0/12\"]",
            about: "Its service ranges (`--service-cluster-ip-range`). Never given to a node.",
        },
        Key {
            name: "egress",
            kind: Kind::Text("name of a pool, `masquerade`, or, for a flat cluster, `none`"),
            fallback: Fallback::Said("required, but for an isolated cluster, which has none"),
            example: "\"egress\"",
            about: "What its pods look like from outside: an address of the pool, or the gateway's \
                    own address on the port that a packet leaves by. Pods of a flat cluster have it toward the \
                    internet alone: not toward pods and nodes, the subnets of ports and `non-masquerade-cidrs`. \
                    With `none` they never have another address than their own.",
        },
        Key {
            name: "non-masquerade-cidrs",
            kind: Kind::List {
                of: "prefixes, or `ip-masq-agent`, or `ip-masq-agent-all-reserved`",
                most: MOST_EXEMPTIONS,
            },
            fallback: Fallback::Text("[]"),
            example: "[\"10.0.0.0/8\"]",
            about: "Destinations toward which pods keep their own addresses (ip-masq-agent's `nonMasqueradeCIDRs`; \
                    RFC 6888 REQ-6). What a pod of an island begins there is tracked, so that it is answered; \
                    nobody there begins anything. `ip-masq-agent` stands for that program's defaults: private and \
                    link-local addresses; `ip-masq-agent-all-reserved` for what it has with \
                    `--nomasq-all-reserved-ranges`.",
        },
        Key {
            name: "flannel-ip-masq",
            kind: Kind::Choice(&[
                ("iptables", "as with iptables: who comes from outside is masqueraded toward pods"),
                ("nft", "as with nft (`EnableNFTables`): who comes from outside keeps its address"),
            ]),
            fallback: Fallback::Said("the outside does not reach pods of an island"),
            example: "\"nft\"",
            about: "The island behaves as its nodes would with `flanneld --ip-masq`: pods leave by `egress`, and the \
                    outside reaches them by their own addresses. Flannel's two sets of rules differ in how it is \
                    seen there.",
        },
        Key {
            name: "sessions-per-pod",
            kind: number(1, 16_777_216, "sessions"),
            fallback: Fallback::Said("no limit but the gateway's `max-sessions`"),
            example: "10000",
            about: "Translated sessions that one pod may have at once, each address family by itself, so \
                    that none takes the table or the ports from the others (RFC 6888 REQ-4). Further \
                    ones are refused with ICMP and counted as `nat-source-limit`.",
        },
        Key {
            name: "new-sessions-per-pod-per-second",
            kind: number(1, 1_000_000, "sessions a second"),
            fallback: Fallback::Said("no limit"),
            example: "500",
            about: "Translated sessions that one pod may begin in a second, each address family by itself; what \
                    it did not use it has saved up, for one second (RFC 6888 REQ-5). Further ones are refused \
                    with ICMP and counted as `nat-source-rate`.",
        },
        Key {
            name: "tcp-pick-up",
            kind: Kind::Flag,
            fallback: Fallback::Said("`false`"),
            example: "true",
            about: "A TCP segment from inside that belongs to no session, and neither opens nor resets one, begins \
                    one in the middle of its conversation: after a restart of the gateway connections go on, if \
                    the pool has `keep-ports`. Otherwise such segments are dropped as `nat-tcp-not-syn`.",
        },
        Key {
            name: "ports",
            kind: Kind::List { of: "names of ports", most: 64 },
            fallback: Fallback::Said("those in whose subnets its nodes lie"),
            example: "[\"nodes\"]",
            about: "Ports on which its nodes live.",
        },
        Key {
            name: "node",
            kind: Kind::Section("[[cluster.node]]"),
            fallback: Fallback::Said("may be left out"),
            example: "[[cluster.node]]",
            about: "Its nodes.",
        },
        Key {
            name: "nodes-from",
            kind: Kind::Section("a table"),
            fallback: Fallback::Said("`[[cluster.node]]` says them"),
            example: "{ kubeconfig = \"/etc/causeway/kubeconfig\" }",
            about: "Who knows its nodes, if this file does not. `ports` must be named then.",
        },
        Key {
            name: "egress-rule",
            kind: Kind::Section("[[cluster.egress-rule]]"),
            fallback: Fallback::Said("all leave by `egress`"),
            example: "[[cluster.egress-rule]]",
            about: "Pods that leave under a pool of their own.",
        },
        Key {
            name: "pods-from",
            kind: Kind::Section("a table"),
            fallback: Fallback::Said("the API server of `nodes-from`"),
            example: "{ kubeconfig = \"/etc/causeway/kubeconfig\" }",
            about: "Who knows its pods, where an egress rule selects some.",
        },
        Key {
            name: "liveness",
            kind: Kind::Section("a table"),
            fallback: Fallback::Said("nodes are not asked"),
            example: "{ probe = \"icmp\", withdraw = true }",
            about: "Whether its nodes are asked if they live, and what follows.",
        },
    ],
};

pub(in crate::config) const NODE_MASK_SIZE: Section = Section {
    path: "cluster.node-mask-size",
    shape: Shape::Table,
    about: "How large a piece of the pod CIDRs a node gets.",
    keys: &[
        Key {
            name: "ipv4",
            kind: number(1, 32, "bits"),
            fallback: Fallback::Number(24),
            example: "24",
            about: "Prefix length of a node's IPv4 pod CIDR.",
        },
        Key {
            name: "ipv6",
            kind: number(1, 128, "bits"),
            fallback: Fallback::Number(64),
            example: "64",
            about: "Prefix length of a node's IPv6 pod CIDR; at most 16 more than the cluster's.",
        },
    ],
};

pub(in crate::config) const NODE: Section = Section {
    path: "cluster.node",
    shape: Shape::List { most: MOST_NODES },
    about: "A node of the cluster above it.",
    keys: &[
        Key {
            name: "name",
            kind: Kind::Text("name: a-z, 0-9, - and ., at most 253 characters"),
            fallback: Fallback::Required,
            example: "\"node-a\"",
            about: "The name of the Node object.",
        },
        Key {
            name: "address",
            kind: ADDRESS,
            fallback: Fallback::Said("`addresses` says it"),
            example: "\"192.168.0.11\"",
            about: "Its address, in the subnet of a port (the Node's InternalIP). Exactly one of \
                    `address` and `addresses`.",
        },
        Key {
            name: "addresses",
            kind: Kind::List { of: "addresses, one a family", most: 2 },
            fallback: Fallback::Said("`address` says it"),
            example: "[\"192.168.0.11\", \"fd00:a::11\"]",
            about: "Its addresses, if it has one of each family.",
        },
        Key {
            name: "pod-cidrs",
            kind: Kind::List { of: "prefixes, one a family", most: 2 },
            fallback: Fallback::Said("allocated as kube-controller-manager would"),
            example: "[\"10.1.3.0/24\"]",
            about: "Where its pods live (the Node's `podCIDRs`). Nodes without get the next free \
                    piece of each pod CIDR of the cluster, in the order of the file.",
        },
    ],
};

pub(in crate::config) const NODES_FROM: Section = Section {
    path: "cluster.nodes-from",
    shape: Shape::Table,
    about: "Who knows the nodes of a cluster. Exactly one of `file`, `flannel`, `kubeconfig` and `in-cluster`.",
    keys: &[
        Key {
            name: "file",
            kind: Kind::Text("path of a file"),
            fallback: Fallback::Said("none"),
            example: "\"/var/lib/causeway/blue.json\"",
            about: "The output of `kubectl get nodes -o json`. It is read again when it changes; replace it \
                    with `mv`, so that nobody meets half of it.",
        },
        Key {
            name: "flannel",
            kind: Kind::Text("path of a folder"),
            fallback: Fallback::Said("none"),
            example: "\"/var/lib/causeway/flannel\"",
            about: "A folder with a file `NAME.env` for each node: its `/run/flannel/subnet.env`, and behind that \
                    the node's own address, as `FLANNELD_PUBLIC_IP=192.168.0.11` (`FLANNELD_PUBLIC_IPV6`). Beside \
                    them may lie flannel's `net-conf.json`, and all are held against it. Read again when one \
                    changes.",
        },
        Key {
            name: "kubeconfig",
            kind: Kind::Text("path of a file"),
            fallback: Fallback::Said("none"),
            example: "\"/etc/causeway/kubeconfig\"",
            about: "How to reach the API server. Nodes are listed and watched; `causeway kubernetes rbac` \
                    prints the rights that this needs.",
        },
        CONTEXT,
        IN_CLUSTER,
        Key {
            name: "patch-network-unavailable",
            kind: Kind::Flag,
            fallback: Fallback::Said("`false`"),
            example: "true",
            about: "Keep the condition `NetworkUnavailable` of its Nodes, as a cloud's route controller does: `False` \
                    (`RouteCreated`) once all pod CIDRs of a node are in the forwarding tables, `True` \
                    (`NoRouteCreated`) while they cannot be; nodes without pod CIDR are left alone. Needs the right \
                    that `causeway kubernetes rbac --patch-network-unavailable` grants.",
        },
    ],
};
/// Of whoever is asked by an API server.
pub(super) const CONTEXT: Key = Key {
    name: "context",
    kind: Kind::Text("name of a context"),
    fallback: Fallback::Said("the kubeconfig's current one"),
    example: "\"blue\"",
    about: "Which context of the kubeconfig.",
};

/// Of whoever is asked by an API server.
pub(super) const IN_CLUSTER: Key = Key {
    name: "in-cluster",
    kind: Kind::Flag,
    fallback: Fallback::Said("`false`"),
    example: "true",
    about: "The API server of the cluster in which the gateway runs as a pod, by its service account.",
};

/// Prefixes of `non-masquerade-cidrs`, as in ip-masq-agent: a flow that begins is held
/// against each.
pub(in crate::config) const MOST_EXEMPTIONS: usize = 64;

/// In one cluster.
pub(crate) const MOST_NODES: usize = 65_536;
