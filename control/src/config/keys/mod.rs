//! Every key there is: what the parser knows and what `docs/config.md` says.
//!
//! A key that is not here does not exist; the parser panics in its tests if it
//! asks for one, and ranges, choices and defaults are read from here.

mod cluster;
mod egress;
mod forward;
mod liveness;
mod network;
mod policy;

pub(crate) use cluster::MOST_NODES;
pub(in crate::config) use cluster::{CLUSTER, MOST_EXEMPTIONS, NODE, NODE_MASK_SIZE, NODES_FROM};
pub(in crate::config) use egress::{EGRESS_RULE, MOST_EGRESS_PAIRS, PODS_FROM};
pub(in crate::config) use forward::{FORWARD, MOST_FORWARDED_PORTS, STATIC_NAT};
pub(in crate::config) use liveness::LIVENESS;
pub(in crate::config) use network::{MOST_POOL_ADDRESSES, NEIGHBOR, NEXT_HOP, POOL, PORT, ROUTE};
pub(in crate::config) use policy::{MOST_POLICY_PAIRS, POLICY};

use super::schema::{Fallback, Key, Kind, Section, Shape};

/// Every section, in the order of the reference.
pub(in crate::config) const SECTIONS: [&Section; 19] = [
    &FILE,
    &GATEWAY,
    &PORT,
    &ROUTE,
    &NEXT_HOP,
    &POOL,
    &CLUSTER,
    &NODE_MASK_SIZE,
    &NODE,
    &NODES_FROM,
    &EGRESS_RULE,
    &PODS_FROM,
    &LIVENESS,
    &FORWARD,
    &STATIC_NAT,
    &POLICY,
    &NEIGHBOR,
    &TIMERS,
    &UDP_PORT,
];

/// The file itself.
pub(in crate::config) const FILE: Section = Section {
    path: "",
    shape: Shape::Table,
    about: "The tables of a file may stand in any order.",
    keys: &[
        section("gateway", "[gateway]", true, "The process itself."),
        section("port", "[[port]]", true, "Network interfaces."),
        section("route", "[[route]]", false, "Static routes."),
        section("pool", "[[pool]]", false, "Egress addresses."),
        section("cluster", "[[cluster]]", false, "Kubernetes clusters."),
        section("forward", "[[forward]]", false, "Ports by which the outside reaches pods and nodes."),
        section("static-nat", "[[static-nat]]", false, "Public addresses of single pods and nodes."),
        section("policy", "[[policy]]", false, "Who may begin to speak with whom."),
        section("neighbor", "[[neighbor]]", false, "Static neighbours."),
        section("timers", "[timers]", false, "How long silent sessions live."),
    ],
};

pub(in crate::config) const GATEWAY: Section = Section {
    path: "gateway",
    shape: Shape::Table,
    about: "The process itself. Required.",
    keys: &[
        Key {
            name: "name",
            kind: NAME,
            fallback: Fallback::Required,
            example: "\"gw-1\"",
            about: "What the gateway calls itself in its answers and logs.",
        },
        Key {
            name: "cores",
            kind: Kind::List { of: "processor cores, by the kernel's numbering", most: 16 },
            fallback: Fallback::Text("[0]"),
            example: "[1, 2]",
            about: "One worker is pinned to each. Each has sessions and ports of its own; a device that is \
                    driven by `af-xdp` needs a receive queue for each.",
        },
        Key {
            name: "api",
            kind: Kind::Text("path of a unix socket, at most 107 bytes"),
            fallback: Fallback::Text("/run/causeway/api.sock"),
            example: "\"/run/causeway/api.sock\"",
            about: "Where `causeway show` finds the running process.",
        },
        Key {
            name: "state",
            kind: Kind::Text("path of a folder"),
            fallback: Fallback::Said("nothing is remembered"),
            example: "\"/var/lib/causeway\"",
            about: "Where the pod CIDRs that nodes were given are remembered over restarts, so that a node keeps \
                    its own when others are added or go; which nodes `nodes-from` knew last, so that they are routed \
                    at once while their source is away; and the last configurations, for `causeway history`.",
        },
        Key {
            name: "idle",
            kind: Kind::Choice(&[
                ("spin-then-poll", "spin a while, then sleep until a frame arrives"),
                ("busy", "never sleep: for cores that nothing else runs on"),
                ("poll", "sleep at once: least processor time, most latency"),
            ]),
            fallback: Fallback::Text("spin-then-poll"),
            example: "\"spin-then-poll\"",
            about: "What a worker does when there is nothing to do.",
        },
        Key {
            name: "watch",
            kind: Kind::Flag,
            fallback: Fallback::Said("`false`"),
            example: "true",
            about: "The file is looked at each second, and once it has changed and then stayed the same for a                     second it is reloaded, as by `causeway reload`.",
        },
        Key {
            name: "max-sessions",
            kind: number(1_024, 16_777_216, "sessions"),
            fallback: Fallback::Number(1_048_576),
            example: "1048576",
            about: "Most translated sessions of each address family alive at once. Memory for them is \
                    taken on start: some 360 bytes each, both families together. With several cores each \
                    has its share of them.",
        },
        Key {
            name: "icmp-errors-per-second",
            kind: number(0, 1_000_000, "packets a second"),
            fallback: Fallback::Number(1_000),
            example: "1000",
            about: "Most ICMP errors that the gateway itself sends, give or take, so that nobody can count them. 0 \
                    sends none.",
        },
        Key {
            name: "icmp-errors-per-destination",
            kind: number(0, 1_000_000, "packets a second"),
            fallback: Fallback::Number(100),
            example: "100",
            about: "Most of these to one destination, which is an IPv4 address or an IPv6 /64: who sends nonsense, or \
                    lets it look as if somebody else did, takes them from nobody.",
        },
        Key {
            name: "seed",
            // TOML's numbers are signed.
            kind: number(0, i64::MAX as u64, ""),
            fallback: Fallback::Said("taken from the kernel"),
            example: "42",
            about: "Seed of every random choice. Only for a replay that must come out identical: \
                    with a known seed the ports of translated sessions can be guessed.",
        },
    ],
};

pub(in crate::config) const TIMERS: Section = Section {
    path: "timers",
    shape: Shape::Table,
    about: "How long a session may be silent before it ends.",
    keys: &[
        timer("tcp-established-s", 7_440, 7_440, "RFC 5382 REQ-5", "7440", "An established TCP session."),
        timer("tcp-transitory-s", 240, 240, "RFC 5382 REQ-5", "240", "A TCP session being opened or closed."),
        timer(
            "udp-s",
            120,
            300,
            "RFC 4787 REQ-5",
            "300",
            "A UDP session, and one of any protocol that is not named here.",
        ),
        timer("icmp-s", 60, 60, "RFC 5508 REQ-2", "60", "An ICMP query session."),
        section("udp-port", "[[timers.udp-port]]", false, "UDP sessions to single ports."),
    ],
};

pub(in crate::config) const UDP_PORT: Section = Section {
    path: "timers.udp-port",
    shape: Shape::List { most: 1_023 },
    about: "How long a UDP session to a well-known port may be silent: a query that was answered need not be \
            kept for minutes.",
    keys: &[
        Key {
            name: "ports",
            kind: Kind::Ports,
            fallback: Fallback::Required,
            example: "53",
            about: "The destination port, or a range of them, 1023 at most: RFC 4787 REQ-5 lets only these have \
                    less than two minutes. Each stands once.",
        },
        Key {
            name: "udp-s",
            kind: Kind::Number { min: 5, max: LONGEST_S, unit: "seconds", source: "" },
            fallback: Fallback::Required,
            example: "30",
            about: "What holds for them instead of `udp-s` of `[timers]`.",
        },
    ],
};

/// 30 days: longer is a mistake of units.
const LONGEST_S: u64 = 2_592_000;

const NAME: Kind = Kind::Text("name: a-z, 0-9 and -, at most 63 characters");
const ADDRESS: Kind = Kind::Text("address");
const CLUSTER_NAME: Kind = Kind::Text("name of a cluster");
const PREFIX: Kind = Kind::Text("prefix");

const fn number(min: u64, max: u64, unit: &'static str) -> Kind {
    Kind::Number { min, max, unit, source: "" }
}

const fn section(name: &'static str, header: &'static str, required: bool, about: &'static str) -> Key {
    let fallback = if required { Fallback::Required } else { Fallback::Said("may be left out") };
    Key { name, kind: Kind::Section(header), fallback, example: header, about }
}

const fn timer(
    name: &'static str,
    min: u64,
    fallback: u64,
    source: &'static str,
    example: &'static str,
    about: &'static str,
) -> Key {
    Key {
        name,
        kind: Kind::Number { min, max: LONGEST_S, unit: "seconds", source },
        fallback: Fallback::Number(fallback),
        example,
        about,
    }
}
