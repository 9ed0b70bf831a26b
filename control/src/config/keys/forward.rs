//! Keys of `[[forward]]` and `[[static-nat]]`.

use super::{ADDRESS, CLUSTER_NAME};
use crate::config::schema::{Fallback, Key, Kind, Section, Shape};

pub(in crate::config) const FORWARD: Section = Section {
    path: "forward",
    shape: Shape::List { most: 4_096 },
    about: "Ports of a public address that lead to a pod or node. Only flows to them may begin \
            outside, and pods reach the service by its public address too. At most 131072 ports in all \
            forwards together.",
    keys: &[
        CLUSTER,
        Key {
            name: "address",
            kind: ADDRESS,
            fallback: Fallback::Required,
            example: "\"203.0.113.16\"",
            about: "The public address: one of a pool, the gateway's own, or one that nobody has: the gateway \
                    then answers for it as for those of a pool.",
        },
        Key {
            name: "protocol",
            kind: Kind::Choices(&[("tcp", "connections"), ("udp", "datagrams")]),
            fallback: Fallback::Required,
            example: "\"tcp\"",
            about: "Of which protocol, or protocols.",
        },
        Key {
            name: "port",
            kind: Kind::Ports,
            fallback: Fallback::Required,
            example: "443",
            about: "The public port, or a range of them. Each leads to one receiver, and no other flow leaves \
                    under it.",
        },
        TO,
        Key {
            name: "to-port",
            kind: Kind::Ports,
            fallback: Fallback::Said("as `port`"),
            example: "8443",
            about: "The receiver's port, or a range as long as that of `port`: the first leads to the first.",
        },
    ],
};

pub(in crate::config) const STATIC_NAT: Section = Section {
    path: "static-nat",
    shape: Shape::List { most: 256 },
    about: "A public address that belongs to one pod or node, in both directions: whatever is for the \
            address goes to it, and it leaves under the address, with the ports it has. Mapping and \
            filtering, as pools have them, do not arise: each port has one name, and everybody is let in. To let in \
            less, forward ports instead.",
    keys: &[
        CLUSTER,
        Key {
            name: "address",
            kind: ADDRESS,
            fallback: Fallback::Required,
            example: "\"203.0.113.24\"",
            about: "The public address, which is neither the gateway's own nor in a pool or a forward. The gateway \
                    answers for it as for those of a pool.",
        },
        TO,
    ],
};

const CLUSTER: Key = Key {
    name: "cluster",
    kind: CLUSTER_NAME,
    fallback: Fallback::Required,
    example: "\"blue\"",
    about: "The cluster that it leads into.",
};

const TO: Key = Key {
    name: "to",
    kind: ADDRESS,
    fallback: Fallback::Required,
    example: "\"10.1.2.20\"",
    about: "Who gets what is for it: an address in the pod CIDRs of the cluster, or on the subnet of its nodes.",
};

/// Forwarded ports in all, each kept in a table: all of one address by both protocols.
pub(in crate::config) const MOST_FORWARDED_PORTS: usize = 131_072;
