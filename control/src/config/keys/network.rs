//! Keys of `[[port]]`, `[[route]]`, `[[pool]]` and `[[neighbor]]`.

use causeway_fastpath::ecmp::Member;

use super::{ADDRESS, CLUSTER_NAME, NAME, PREFIX, number};
use crate::config::schema::{Fallback, Key, Kind, Section, Shape};

pub(in crate::config) const PORT: Section = Section {
    path: "port",
    shape: Shape::List { most: 64 },
    about: "A network interface. At least one.",
    keys: &[
        Key {
            name: "name",
            kind: NAME,
            fallback: Fallback::Required,
            example: "\"nodes\"",
            about: "What the rest of the file calls it.",
        },
        Key {
            name: "device",
            kind: Kind::Text(
                "name of an interface, at most 15 bytes; with driver `pcap`, a path; with driver `memif`, a path of at \
                 most 107 bytes",
            ),
            fallback: Fallback::Said("required, except with driver `memory`"),
            example: "\"eth1\"",
            about: "The interface it is built on. With driver `tap`, the interface to make; with \
                    driver `memif`, the server's socket; with driver `pcap`, the capture file to read.",
        },
        Key {
            name: "driver",
            kind: Kind::Choice(&[
                ("auto", "the best one that the device supports"),
                ("af-packet", "AF_PACKET with memory-mapped rings: works everywhere"),
                ("af-xdp", "AF_XDP: fastest on network cards"),
                ("tap", "a TAP device that Causeway makes"),
                ("memif", "shared memory with VPP, DPDK or another memif server"),
                ("pcap", "a capture file, for replay"),
                ("memory", "within the process, for tests and benches"),
            ]),
            fallback: Fallback::Text("auto"),
            example: "\"auto\"",
            about: "How frames get in and out.",
        },
        Key {
            name: "addresses",
            kind: Kind::List { of: "addresses with the prefix length of their subnet", most: 16 },
            fallback: Fallback::Text("[]"),
            example: "[\"192.168.0.1/24\", \"fd00:a::1/64\"]",
            about: "The gateway's own addresses there. Subnets of different ports must not overlap, \
                    except link-local ones.",
        },
        Key {
            name: "mtu",
            kind: number(68, 65_535, "bytes"),
            fallback: Fallback::Said("the device's own"),
            example: "1500",
            about: "Largest IP packet. At least 1280 on a port with IPv6 addresses (RFC 8200).",
        },
        Key {
            name: "mac",
            kind: Kind::Text("Ethernet address"),
            fallback: Fallback::Said("the device's own"),
            example: "\"02:00:00:00:00:01\"",
            about: "The Ethernet address it answers with. Must be unicast.",
        },
        Key {
            name: "ring",
            kind: number(64, 65_536, "frames"),
            fallback: Fallback::Number(1_024),
            example: "1024",
            about: "Frames a ring; a power of two. `memif` uses 4096 at most.",
        },
        Key {
            name: "memif-id",
            kind: number(0, u32::MAX as u64, ""),
            fallback: Fallback::Number(0),
            example: "1",
            about: "With driver `memif`: which of the interfaces behind the socket.",
        },
        Key {
            about: "Where clusters have `egress = \"masquerade\"`: which flows of a UDP endpoint leave by this \
                    port under one name. This and the next three are as in \
                    `[[pool]]`.",
            ..UDP_MAPPING
        },
        Key { about: "Likewise, of TCP.", ..TCP_MAPPING },
        Key { about: "Likewise: who outside reaches a UDP endpoint by its name.", ..UDP_FILTERING },
        Key { about: "Likewise, of TCP.", ..TCP_FILTERING },
    ],
};

pub(in crate::config) const ROUTE: Section = Section {
    path: "route",
    shape: Shape::List { most: 65_536 },
    about: "A static route, as in `ip route`. Exactly one of `via` and `type`.",
    keys: &[
        Key { name: "to", kind: PREFIX, fallback: Fallback::Required, example: "\"0.0.0.0/0\"", about: "Where to." },
        Key {
            name: "via",
            kind: Kind::OneOrMore { one: "address", of: "addresses or `[[route.via]]` tables", most: MOST_NEXT_HOPS },
            fallback: Fallback::Said("`type` says what happens"),
            example: "\"203.0.113.1\"",
            about: "The next router, or several that share the traffic, flow by flow. Of the family of `to`, in the \
                    subnet of a port; several in one routing domain.",
        },
        Key {
            name: "type",
            kind: Kind::Choice(&[
                ("blackhole", "dropped in silence"),
                ("unreachable", "dropped; the sender is told: host unreachable"),
                ("prohibit", "dropped; the sender is told: administratively prohibited"),
            ]),
            fallback: Fallback::Said("`via` says where to"),
            example: "\"blackhole\"",
            about: "What happens to packets that go nowhere.",
        },
        Key {
            name: "cluster",
            kind: CLUSTER_NAME,
            fallback: Fallback::Said("the main table"),
            example: "\"blue\"",
            about: "The cluster in whose table the route stands.",
        },
    ],
};

/// Next hops of a route; control keeps a bit for each.
const MOST_NEXT_HOPS: usize = 64;

pub(in crate::config) const NEXT_HOP: Section = Section {
    path: "route.via",
    shape: Shape::List { most: MOST_NEXT_HOPS },
    about: "One of several next routers, where they are not to get equal shares: \
            `via = [\"203.0.113.1\", { gateway = \"203.0.113.9\", weight = 2 }]`.",
    keys: &[
        Key {
            name: "gateway",
            kind: ADDRESS,
            fallback: Fallback::Required,
            example: "\"203.0.113.9\"",
            about: "Its address.",
        },
        Key {
            name: "weight",
            kind: number(1, Member::MAX_WEIGHT as u64, ""),
            fallback: Fallback::Number(1),
            example: "2",
            about: "Its share of the flows is its weight by the sum of all weights of the route.",
        },
    ],
};

pub(in crate::config) const POOL: Section = Section {
    path: "pool",
    shape: Shape::List { most: 256 },
    about: "Addresses under which clusters reach the outside. The gateway answers for them on \
            the port whose subnet they lie in; others must be routed to it.",
    keys: &[
        Key {
            name: "name",
            kind: NAME,
            fallback: Fallback::Required,
            example: "\"egress\"",
            about: "What clusters call it. Not `masquerade`, which has a meaning there.",
        },
        Key {
            name: "addresses",
            kind: Kind::List { of: "prefixes or single addresses", most: MOST_POOL_ADDRESSES },
            fallback: Fallback::Required,
            example: "[\"203.0.113.16/29\"]",
            about: "Every address of every prefix is used. At most 4096 addresses in all pools \
                    together.",
        },
        Key {
            name: "ports",
            kind: Kind::Text("first and last port, 1 to 65535"),
            fallback: Fallback::Text("1024-65535"),
            example: "\"1024-65535\"",
            about: "Ports, and ICMP identifiers, that translation may use.",
        },
        Key {
            name: "keep-ports",
            kind: Kind::Flag,
            fallback: Fallback::Said("`false`"),
            example: "true",
            about: "A flow keeps its source port where it is free. Otherwise ports are drawn, so that nobody \
                    outside can guess them (RFC 6056): set it only where a peer insists on the port.",
        },
        Key {
            name: "other-protocols",
            kind: Kind::Flag,
            fallback: Fallback::Said("`false`"),
            example: "true",
            about: "Protocols without ports, such as GRE and ESP, leave under the addresses of the pool too. Their \
                    answers are told by the address of the peer alone, so of all hosts inside as many talk to one \
                    peer by such a protocol as the pool has addresses; who comes later is refused. TCP, UDP, ICMP, \
                    UDP-Lite and SCTP need no leave.",
        },
        UDP_MAPPING,
        TCP_MAPPING,
        UDP_FILTERING,
        TCP_FILTERING,
    ],
};

const UDP_MAPPING: Key = Key {
    name: "udp-mapping",
    kind: Kind::Choice(MAPPINGS),
    fallback: Fallback::Text("endpoint-independent"),
    example: "\"endpoint-independent\"",
    about: "Which flows of a UDP endpoint leave under one name (RFC 4787 REQ-1 wants the default).",
};

const TCP_MAPPING: Key = Key {
    name: "tcp-mapping",
    kind: Kind::Choice(MAPPINGS),
    fallback: Fallback::Text("address-and-port-dependent"),
    example: "\"address-and-port-dependent\"",
    about: "Which flows of a TCP endpoint leave under one name. RFC 5382 REQ-1 wants \
            `endpoint-independent`, for peers that meet through a third; the default has room for \
            as many sessions to each destination as the pool has ports.",
};

const UDP_FILTERING: Key = Key {
    name: "udp-filtering",
    kind: Kind::Choice(FILTERINGS),
    fallback: Fallback::Text("address-and-port-dependent"),
    example: "\"address-and-port-dependent\"",
    about: "Who outside reaches a UDP endpoint by its name (RFC 4787 REQ-8), beside those it talks to. \
            What lets strangers in needs `udp-mapping = \"endpoint-independent\"`; `address-dependent` goes \
            with `udp-mapping = \"address-dependent\"` as well. Where it is set, a name rests for \
            120 s after its last session before another endpoint gets it (RFC 6888 REQ-8).",
};

const TCP_FILTERING: Key = Key {
    name: "tcp-filtering",
    kind: Kind::Choice(FILTERINGS),
    fallback: Fallback::Text("address-and-port-dependent"),
    example: "\"address-and-port-dependent\"",
    about: "Who outside opens connections to a TCP endpoint by its name (RFC 5382 REQ-3). What lets \
            strangers in needs `tcp-mapping`, and names rest, as with UDP.",
};

const MAPPINGS: &[(&str, &str)] = &[
    ("endpoint-independent", "all of them: a port is one endpoint's alone"),
    ("address-dependent", "those to one address, whatever its port: each endpoint has a port for each such address"),
    ("address-and-port-dependent", "those to one destination: a port serves many"),
];

const FILTERINGS: &[(&str, &str)] = &[
    ("endpoint-independent", "anybody"),
    ("address-dependent", "any port of an address that it has a session with"),
    ("address-and-port-dependent", "nobody"),
];

pub(in crate::config) const NEIGHBOR: Section = Section {
    path: "neighbor",
    shape: Shape::List { most: 65_536 },
    about: "A neighbour that need not be asked for: needed for replay, where nobody answers ARP.",
    keys: &[
        Key {
            name: "port",
            kind: Kind::Text("name of a port"),
            fallback: Fallback::Required,
            example: "\"uplink\"",
            about: "The port it is reached by.",
        },
        Key {
            name: "address",
            kind: ADDRESS,
            fallback: Fallback::Required,
            example: "\"203.0.113.1\"",
            about: "Its address, in a subnet of the port.",
        },
        Key {
            name: "mac",
            kind: Kind::Text("Ethernet address"),
            fallback: Fallback::Required,
            example: "\"02:00:00:00:00:fe\"",
            about: "Its Ethernet address. Must be unicast.",
        },
    ],
};

/// Addresses in all pools together, as many port tables are kept.
pub(in crate::config) const MOST_POOL_ADDRESSES: usize = 4_096;
