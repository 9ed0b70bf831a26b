//! Every difference between the kernel and Causeway that is meant, with its reason.

use crate::event::Kind::*;
use crate::judge::Case;
use crate::outcome::Fate::{self, *};
use crate::place::Side;
use crate::wire::{L2, SCTP, layout};

/// A difference that is no fault.
pub(crate) struct Difference {
    pub(crate) name: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) is_it: fn(&Case<'_>) -> bool,
}

/// The first that is it counts. `docs/kernel.md` lists them by name.
pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        name: "error-tos",
        reason: "ICMP errors go out at precedence 6 and plain type of service; the kernel copies that of the packet \
                 (RFC 1812, 4.3.2.5 wants it, RFC 2474 has made it obsolete)",
        is_it: |case| case.agrees_but_for_tos() && is_error(case.ours.fate),
    },
    Difference {
        name: "tcp-window",
        reason: "the kernel drops segments outside the window, we let the ends judge (RFC 7857, 2.2 is not built yet)",
        is_it: |case| {
            matches!(case.event.kind, TcpOutOfWindow | TcpResetOutOfWindow) && fates(case) == (Dropped, Crossed)
        },
    },
    Difference {
        name: "tcp-syn-in-open",
        reason: "the kernel drops a SYN from outside within a conversation, we let the host send its challenge \
                 (RFC 9293, 3.10.7.4)",
        is_it: |case| case.event.kind == TcpSynInOpen && fates(case) == (Dropped, Crossed),
    },
    Difference {
        name: "tcp-odd-flags",
        reason: "the kernel drops combinations of flags that no TCP sends, we let the ends judge",
        is_it: |case| case.event.kind == TcpOddFlags && fates(case) == (Dropped, Crossed),
    },
    Difference {
        name: "tcp-after-refusal",
        reason: "the kernel forgets a conversation with the reset that refuses it, and soon gives its name to another; \
                 we keep it for 4 minutes more (RFC 5382, REQ-5)",
        is_it: |case| {
            matches!(case.event.kind, TcpAfterRefusal | ErrorAboutRefused)
                && case.ours.fate == Crossed
                && case.ours.faults.is_empty()
        },
    },
    Difference {
        name: "tcp-reopened-crossing",
        reason: "after strays to a reset conversation the kernel lets the SYN that reopens it pass unnoticed, and \
                 then does not know what the SYN is that crosses it",
        is_it: |case| {
            case.event.kind == TcpReopens && case.event.from == Side::Outside && fates(case) == (Dropped, Crossed)
        },
    },
    Difference {
        name: "tcp-crossing-window",
        reason: "of two SYN ACKs that answer SYNs which crossed the kernel ignores the second, and so does not learn \
                 the window in it: it drops what acknowledges data that it took for too much",
        is_it: |case| case.event.kind == TcpAfterCrossing && fates(case) == (Dropped, Crossed),
    },
    Difference {
        name: "quote-checksum",
        reason: "an error whose quote has a bad header checksum is dropped (RFC 5508, REQ-3); the kernel translates it",
        is_it: |case| case.event.kind == ErrorMangled && fates(case) == (Crossed, Dropped),
    },
    Difference {
        name: "icmp-queries",
        reason: "of ICMP queries echo and timestamp are translated; the kernel translates those too that RFC 6918 withdrew",
        is_it: |case| case.event.kind == OtherIcmp && fates(case) == (Crossed, Dropped),
    },
    Difference {
        name: "timestamp",
        reason: "the gateway answers echo and no other query (RFC 1812, 4.3.3.8: timestamps may be answered)",
        is_it: |case| case.event.kind == OtherIcmp && fates(case) == (Icmp(14, 0), Dropped),
    },
    Difference {
        name: "record-route",
        reason: "options pass as they are; the kernel notes its address in a recorded route (RFC 791 wants it noted, \
                 RFC 7126, 4.6 wants such packets dropped)",
        is_it: |case| case.event.kind == IpOptions && fates(case) == (Crossed, Crossed) && case.ours.faults.is_empty(),
    },
    Difference {
        name: "routing-header-0",
        reason: "IPv6 source routes are dropped on the way, as those of IPv4 (RFC 5095, 4.2 allows it); the kernel leaves \
                 them to the host that is told to follow them",
        is_it: |case| case.event.kind == SourceRoute && fates(case) == (Crossed, Dropped),
    },
    Difference {
        name: "fragments",
        reason: "the kernel collects fragments until the datagram is whole, and cuts it again; each of them goes on as it \
                 comes, once the first has come (RFC 4787, REQ-14)",
        is_it: |case| {
            case.event.kind == Fragment
                && matches!(fates(case), (Dropped | CrossedInPieces, CrossedInPieces))
                && case.ours.faults.is_empty()
        },
    },
    Difference {
        name: "sctp-ports",
        reason: "an association keeps its ports, and is refused where another has them; the kernel draws others, and \
                 makes the CRC anew",
        is_it: |case| {
            layout(&case.frames[1][L2..]).is_some_and(|packet| packet.protocol == SCTP)
                && case.kernel.fate == Crossed
                && matches!(case.ours.fate, Icmp(3, 13) | Icmp(1, 1))
        },
    },
    Difference {
        name: "other-protocols",
        reason: "without ports two hosts would share one name: who asks for that is refused, unless the pool says \
                 otherwise; the kernel translates the address alone, lets answers in, and drops the second host's",
        is_it: |case| {
            case.event.kind == OtherProtocol
                && matches!(case.kernel.fate, Crossed | Dropped)
                && matches!(case.ours.fate, Dropped | Icmp(3, 2) | Icmp(4, 1) | Icmp(3, 13) | Icmp(1, 1))
        },
    },
    Difference {
        name: "udp-lite-here",
        reason: "who sends the gateway UDP-Lite is told that it does not speak it; the kernel does, and has no such port",
        is_it: |case| {
            case.event.kind == OtherProtocol
                && is_port_unreachable(case.kernel.fate)
                && matches!(case.ours.fate, Icmp(3, 2) | Icmp(4, 1))
        },
    },
    Difference {
        name: "martian-destinations",
        reason: "destinations that nobody can have are dropped as martians (RFC 1812, 5.3.7; RFC 4291, 2.5.2); the \
                 kernel looks for a route to some of them, and reports that there is none",
        is_it: |case| case.event.kind == BadDestination && is_error(case.kernel.fate) && case.ours.fate == Dropped,
    },
    Difference {
        name: "reverse-path",
        reason: "the source of what comes from outside is not held against the routes (RFC 1812, 5.3.8: off by \
                 default)",
        is_it: |case| {
            case.event.kind == SourceElsewhere && case.kernel.fate == Dropped && case.event.from == Side::Outside
        },
    },
    Difference {
        name: "inner-address-from-outside",
        reason: "the gateway's address inside cannot be reached from outside: routing domains are apart; the kernel \
                 owns all its addresses everywhere (RFC 1122, 3.3.4.2)",
        is_it: |case| case.event.kind == IntoHosts && case.ours.fate == Dropped,
    },
    Difference {
        name: "hairpin",
        reason: "what a host sends to the name of another comes in again if that one has sent to its name, and is \
                 refused otherwise (RFC 4787, REQ-9 and REQ-8); the kernel takes it for itself",
        is_it: |case| case.event.kind == Hairpin && (case.ours.fate == Dropped || is_port_unreachable(case.ours.fate)),
    },
    Difference {
        name: "no-tcp-here",
        reason: "who wants a TCP service of the gateway is told that the port is unreachable; the kernel has a TCP, \
                 which resets",
        is_it: |case| {
            matches!(case.event.kind, ToRouterWithoutService | ToPublicFromInside)
                && case.kernel.fate == Reset
                && is_port_unreachable(case.ours.fate)
        },
    },
    Difference {
        name: "no-tcp-answer-outside",
        reason: "at the address of the masquerade, strangers get no answer to a SYN, which may cross one from inside \
                 (RFC 5382, REQ-4), nor do strays; the kernel has a TCP, which resets",
        is_it: |case| matches!(case.event.kind, Unsolicited | Stranger) && fates(case) == (Reset, Dropped),
    },
    Difference {
        name: "no-route-limit",
        reason: "the kernel limits these errors for each host by a switch of the whole machine",
        is_it: |case| case.event.kind == Nowhere && case.kernel.fate == Dropped && is_error(case.ours.fate),
    },
];

fn fates(case: &Case<'_>) -> (Fate, Fate) {
    (case.kernel.fate, case.ours.fate)
}

fn is_error(fate: Fate) -> bool {
    matches!(fate, Icmp(3 | 11 | 12, _) | Icmp(1..=4, _))
}

fn is_port_unreachable(fate: Fate) -> bool {
    matches!(fate, Icmp(3, 3) | Icmp(1, 4))
}

#[test]
fn every_difference_is_documented() {
    let page = std::fs::read_to_string(causeway_tests::top().join("docs/kernel.md")).expect("docs/kernel.md");
    for Difference { name, .. } in DIFFERENCES {
        assert!(page.contains(&format!("| `{name}` |")), "docs/kernel.md has no row for {name}");
    }
}
