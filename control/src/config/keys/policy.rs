//! Keys of `[[policy]]`.

use crate::config::schema::{Fallback, Key, Kind, Section, Shape};

pub(in crate::config) const POLICY: Section = Section {
    path: "policy",
    shape: Shape::List { most: 256 },
    about: "Who may begin to speak with whom. Of those that are about a flow the first one counts; then the model of \
            the cluster. What is let begin is answered, and errors about it pass, whatever a policy says of the other \
            direction. Pods of one cluster always meet.",
    keys: &[
        Key {
            name: "from",
            kind: Kind::List { of: "names of clusters, or prefixes", most: MOST_PARTIES },
            fallback: Fallback::Required,
            example: "[\"blue\"]",
            about: "Who begins: the pods of a cluster, or whoever has such an address.",
        },
        Key {
            name: "to",
            kind: Kind::List { of: "names of clusters, or prefixes", most: MOST_PARTIES },
            fallback: Fallback::Required,
            example: "[\"green\", \"198.51.100.0/24\"]",
            about: "With whom: the pods and nodes of a cluster, or whoever has such an address.",
        },
        Key {
            name: "action",
            kind: Kind::Choice(&[
                (
                    "allow",
                    "between clusters, under their own addresses, and tracked; where pods have the same addresses in both clusters, the nodes alone are reached, by `egress`. From pods to a prefix as they always leave, or, of an isolated cluster, under their own addresses",
                ),
                ("deny", "refused with ICMP, from outside in silence; counted as `policy-denied`"),
            ]),
            fallback: Fallback::Text("allow"),
            example: "\"allow\"",
            about: "What becomes of it.",
        },
    ],
};

/// In one list.
const MOST_PARTIES: usize = 16;

/// Pairs of who begins and with whom, in all policies: a flow that begins is held against
/// each.
pub(in crate::config) const MOST_POLICY_PAIRS: usize = 1_024;
