//! Keys of `[cluster.liveness]`.

use super::number;
use crate::config::schema::{Fallback, Key, Kind, Section, Shape};

pub(in crate::config) const LIVENESS: Section = Section {
    path: "cluster.liveness",
    shape: Shape::Table,
    about: "Whether the nodes of the cluster are asked if they live. What is found out is shown and logged; routes \
            stay as they are unless `withdraw` says otherwise.",
    keys: &[
        Key {
            name: "probe",
            kind: Kind::Choice(&[
                ("neighbor", "by ARP and neighbour discovery: is it on the link?"),
                ("icmp", "by pings, which the nodes must answer: does its IP stack live?"),
            ]),
            fallback: Fallback::Text("neighbor"),
            example: "\"icmp\"",
            about: "How each address through which pods are routed is asked.",
        },
        Key {
            name: "interval-s",
            kind: number(1, 300, "seconds"),
            fallback: Fallback::Number(5),
            example: "5",
            about: "How often.",
        },
        Key {
            name: "failures",
            kind: number(1, 100, "questions in a row"),
            fallback: Fallback::Number(3),
            example: "3",
            about: "After so many without an answer it counts as dead.",
        },
        Key {
            name: "successes",
            kind: number(1, 100, "answers in a row"),
            fallback: Fallback::Number(2),
            example: "2",
            about: "After so many it no longer does.",
        },
        Key {
            name: "withdraw",
            kind: Kind::Flag,
            fallback: Fallback::Said("`false`"),
            example: "true",
            about: "The routes to the pods of a dead node are withdrawn until it is back: who sends there is told \
                    \"host unreachable\", and a static route through several next hops loses that one. Not while \
                    more than half of the cluster's addresses are dead: then it is rather the gateway that is cut off.",
        },
    ],
};
