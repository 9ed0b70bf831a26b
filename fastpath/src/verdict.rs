//! What becomes of a packet: one verdict each, and every reason with its sentence.

use crate::ids::{PortId, WorkerId};

/// The one thing that happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send the (rewritten) frame out of this port.
    Forward(PortId),
    /// The frame was turned into an answer: send it out of this port.
    Reply(PortId),
    /// Hand a copy of the untouched frame to control.
    Punt(PuntReason),
    /// Another worker owns the flow.
    HandOff(WorkerId),
    /// A fragment that came before the first of its datagram: a copy was kept, the
    /// buffer goes back.
    Hold,
    /// Give the buffer back, count the reason.
    Drop(DropReason),
}

impl Verdict {
    /// What a verdict slot holds before a burst was processed.
    pub const UNDECIDED: Verdict = Verdict::Drop(DropReason::Undecided);
}

macro_rules! reasons {
    ($(#[$doc:meta])* $enum:ident { $($variant:ident = $name:literal : $sentence:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $enum { $(#[doc = $sentence] $variant,)+ }

        impl $enum {
            /// All of them, in the order of their counters.
            pub const ALL: &'static [$enum] = &[$($enum::$variant,)+];
            /// How many there are.
            pub const COUNT: usize = $enum::ALL.len();

            /// The name of the counter.
            pub const fn name(self) -> &'static str {
                match self { $($enum::$variant => $name,)+ }
            }

            /// The sentence that explains it to an operator.
            pub const fn sentence(self) -> &'static str {
                match self { $($enum::$variant => $sentence,)+ }
            }

            /// The place of its counter.
            #[inline(always)]
            pub const fn index(self) -> usize {
                self as usize
            }
        }
    };
}

reasons! {
    /// Why a packet was dropped. Each reason has a counter of its own.
    DropReason {
        Undecided = "undecided": "No stage decided: a bug in Causeway, please report it.",
        FrameTruncated = "frame-truncated": "The frame is shorter than the headers it claims to have.",
        EtherTypeUnknown = "ethertype-unknown": "The EtherType is neither IPv4, IPv6 nor ARP.",
        NotForUs = "not-for-us": "The frame's destination MAC is neither ours nor multicast.",
        Ipv4HeaderBad = "ipv4-header-bad": "The IPv4 version, header length or total length is wrong (RFC 1812, 5.2.2).",
        Ipv4ChecksumBad = "ipv4-checksum-bad": "The IPv4 header checksum is wrong (RFC 1812, 5.2.2).",
        Ipv6HeaderBad = "ipv6-header-bad": "The IPv6 version or payload length is wrong, or its extension headers are too long.",
        L4HeaderBad = "l4-header-bad": "The TCP, UDP or ICMP header is cut short or lies about its length.",
        SourceRoute = "source-route": "The packet carries a source route (LSRR, SSRR or IPv6 routing header type 0; RFC 7126, RFC 5095).",
        OptionsBad = "options-bad": "The IPv4 options are malformed (RFC 7126), and no ICMP error was due or allowed.",
        MartianSource = "martian-source": "The source address cannot be a sender's: loopback, multicast, broadcast, unspecified, our own or one that stands for islands, or link-local and bound elsewhere (RFC 1812, 5.3.7).",
        MartianDestination = "martian-destination": "The destination address is never forwarded: loopback, unspecified, link-local or reserved (RFC 1812, 5.3.7).",
        Multicast = "multicast": "A multicast or broadcast packet, which stays on its link.",
        NdHopLimit = "nd-hop-limit": "Neighbour discovery that was not sent on this link: its hop limit is not 255 (RFC 4861, 7.1).",
        TtlExpired = "ttl-expired": "TTL or hop limit ran out and no ICMP error was due or allowed.",
        NoRoute = "no-route": "No route to the destination, and no ICMP error was due or allowed.",
        Blackhole = "blackhole": "A black-hole route: dropped in silence, as configured.",
        Unreachable = "unreachable": "An unreachable route, or a node pod CIDR without a node; no ICMP error was due or allowed.",
        Prohibited = "prohibited": "A prohibit route or policy; no ICMP error was due or allowed.",
        NeighborDead = "neighbor-dead": "The neighbour does not answer ARP or neighbour discovery; no ICMP error was due or allowed.",
        MtuExceeded = "mtu-exceeded": "Larger than the egress MTU, not to be cut up, and no ICMP error was due or allowed.",
        CutBuffersFull = "cut-buffers-full": "Larger than the egress MTU and to be cut up, and no buffers were left for the pieces; or a fragment of more than 2,048 bytes that was held and was to go on.",
        LocalUnwanted = "local-unwanted": "Addressed to the gateway itself, which offers no such service.",
        NatUnsolicited = "nat-unsolicited": "Inbound to an address under which islands reach out, and no session expects it.",
        NatFragment = "nat-fragment": "A fragment that cannot be translated: of an ICMP error, of a fragment, of a conversation that ended, or with an offload.",
        FragmentTiny = "fragment-tiny": "A first fragment without all its IPv6 extension headers and a whole TCP, UDP or ICMP header, or one that would overwrite that, to be translated (RFC 1858, RFC 3128, RFC 7112).",
        FragmentBad = "fragment-bad": "A fragment to be translated that is empty, reaches beyond 64 KiB, or is no multiple of 8 bytes though more follow (RFC 8200, 4.5).",
        FragmentOverlap = "fragment-overlap": "A fragment to be translated, of a datagram whose fragments overlap or contradict each other (RFC 5722).",
        FragmentDuplicate = "fragment-duplicate": "A fragment to be translated that came twice.",
        FragmentTooMany = "fragment-too-many": "To be translated, and of a datagram in more than 64 fragments.",
        FragmentTooLong = "fragment-too-long": "A fragment that came before the first of its datagram, and longer than the 9,230 bytes that can be held.",
        FragmentTimeout = "fragment-timeout": "A fragment that was held, and the first of its datagram did not come within 10 s.",
        FragmentStoreFull = "fragment-store-full": "A fragment that was held, or should be, and gave way to newer ones: the store was full.",
        FragmentSourceLimit = "fragment-source-limit": "A fragment to be translated whose sender has too many datagrams in fragments under way.",
        FragmentTableFull = "fragment-table-full": "A fragment to be translated, and no room to remember its datagram.",
        NatProtocol = "nat-protocol": "A protocol that the pool does not carry (`other-protocols`), or that cannot be translated as it covers addresses by a signature or checksum of its own: AH, DCCP, HIP, IPv6 mobility. No ICMP error was due or allowed.",
        NatIcmpQuery = "nat-icmp-query": "An ICMP message that is neither an echo, a timestamp nor an error about a translated flow.",
        NatIcmpErrorUnmatched = "nat-icmp-error-unmatched": "An ICMP error that quotes no live session, or whose quote is damaged.",
        NatTcpNotSyn = "nat-tcp-not-syn": "A TCP segment that opens nothing and belongs to no session.",
        NatNoPool = "nat-no-pool": "The island has no egress address of this family.",
        NatPortsExhausted = "nat-ports-exhausted": "No free port is left on the egress addresses for this destination.",
        NatNameTaken = "nat-name-taken": "A flow that must keep its ports (SCTP), or has none (GRE, ESP), and that would look like another one to its peer on every egress address, or whose port the pool does not have.",
        NatSourceLimit = "nat-source-limit": "The sender has as many sessions as it may have at once.",
        NatSourceRate = "nat-source-rate": "The sender has begun as many sessions as it may in a second.",
        NatConflict = "nat-conflict": "A flow whose answers could not be told from packets of another session: one of the two is forwarded, or keeps its own address.",
        NatTableFull = "nat-table-full": "The session table is full.",
        NatHairpin = "nat-hairpin": "From inside to a public address of what is inside, under a name of its own: only what is translated comes in again.",
        ModelIsolated = "model-isolated": "From a pod of an isolated cluster to what lies outside, or from there to such a pod; no ICMP error was due or allowed.",
        PolicyDenied = "policy-denied": "A `[[policy]]` lets its sender not begin with this receiver; no ICMP error was due or allowed.",
        NotInIsland = "not-in-island": "The sender is in no pod CIDR of the island and no node of it, yet asks for what lies outside.",
        IcmpRateLimited = "icmp-rate-limited": "An ICMP error was due, but their rate limit was reached; or a ping to the gateway came in fragments, of which it answers 100 a second.",
        IcmpDestinationLimited = "icmp-destination-limited": "An ICMP error was due, but whom it was for has as many as anybody may have.",
        PuntRateLimited = "punt-rate-limited": "For control, but the rate limit of punts was reached.",
        PuntQueueFull = "punt-queue-full": "For control, whose queue was full.",
        HandOffFull = "hand-off-full": "For another worker, whose queue was full.",
        HandOffStale = "hand-off-stale": "It needed a name that another worker gives out, and new pools came into force between the two.",
        PortFull = "port-full": "The egress port would not take the frame: its ring was full.",
        PortDown = "port-down": "The egress port is down, or its device has gone.",
        WorkerFailed = "worker-failed": "In the hands of a worker that failed and began anew: a bug in Causeway, please report it with what the log says.",
        ReplyNoRoom = "reply-no-room": "The buffer had no room for the answer.",
    }
}

reasons! {
    /// Why a packet was handed to control.
    PuntReason {
        Arp = "arp": "An ARP packet.",
        NeighborDiscovery = "neighbor-discovery": "An ICMPv6 neighbour or router discovery message.",
        Unresolved = "unresolved": "A packet to a neighbour whose MAC address is not known yet.",
        EchoReply = "echo-reply": "A node's answer to a ping by which the gateway asks whether it lives.",
    }
}
