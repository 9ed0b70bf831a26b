//! Filters as people write them: `inside=10.1.2.0/24`.

use causeway_fastpath::address::Address;
use causeway_fastpath::fib::Prefix;
use causeway_fastpath::session::{Block, Condition, End, SessionFilter};
use causeway_fastpath::wire::protocol;
use ipnet::IpNet;

use crate::config::{Complaint, prefix_or_address, suggestion};
use crate::domains::Domains;

/// What a filter can be about.
const KEYS: [&str; 12] = [
    "domain",
    "protocol",
    "inside",
    "outside",
    "peer",
    "address",
    "inside-port",
    "outside-port",
    "peer-port",
    "port",
    "state",
    "begun",
];

/// Protocols by the names that people use (as in `/etc/protocols`). Others go by their
/// numbers.
const PROTOCOLS: [(&str, u8); 8] = [
    ("tcp", protocol::TCP),
    ("udp", protocol::UDP),
    ("icmp", protocol::ICMP),
    ("icmpv6", protocol::ICMPV6),
    ("udplite", protocol::UDP_LITE),
    ("sctp", protocol::SCTP),
    ("gre", protocol::GRE),
    ("esp", protocol::ESP),
];

/// What people call a protocol.
pub(super) fn protocol_name(number: u8) -> String {
    let known = PROTOCOLS.iter().find(|(_, known)| *known == number);
    known.map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
}

/// Reads filters, all of which must hold.
///
/// # Errors
/// The first that cannot be read: what is wrong with it, and what would do.
pub(crate) fn read(filters: &[String], domains: &Domains) -> Result<SessionFilter, String> {
    let read = |text: &String| {
        condition(text, domains).map_err(|Complaint { what, remedy }| format!("filter \"{text}\": {what}; {remedy}"))
    };
    let conditions = filters.iter().map(read).collect::<Result<_, _>>()?;
    Ok(SessionFilter { conditions })
}

fn condition(text: &str, domains: &Domains) -> Result<Condition, Complaint> {
    let Some((key, value)) = text.split_once('=') else {
        let remedy = "write what it is about, an equals sign and a value, as inside=10.1.2.0/24".to_owned();
        return Err(Complaint { what: "has no equals sign".to_owned(), remedy });
    };
    Ok(match key {
        "domain" => {
            let found = domains.all().find(|domain| domains.name(*domain) == value);
            Condition::Domain(found.ok_or_else(|| unknown(value, domains.all().map(|domain| domains.name(domain))))?)
        }
        "protocol" => Condition::Protocol(number_of(value)?),
        "inside" => Condition::Address(End::Inside, block(value)?),
        "outside" => Condition::Address(End::Outside, block(value)?),
        "peer" => Condition::Address(End::Peer, block(value)?),
        "address" => Condition::Address(End::Any, block(value)?),
        "inside-port" => Condition::Port(End::Inside, port(value)?),
        "outside-port" => Condition::Port(End::Outside, port(value)?),
        "peer-port" => Condition::Port(End::Peer, port(value)?),
        "port" => Condition::Port(End::Any, port(value)?),
        "state" => {
            let found = SessionFilter::STATES.into_iter().find(|state| *state == value);
            Condition::State(found.ok_or_else(|| unknown(value, SessionFilter::STATES.into_iter()))?)
        }
        "begun" => match value {
            "inside" => Condition::Forwarded(false),
            "outside" => Condition::Forwarded(true),
            _ => return Err(unknown(value, ["inside", "outside"].into_iter())),
        },
        _ => return Err(unknown(key, KEYS.into_iter())),
    })
}

fn unknown<'a>(word: &str, known: impl Iterator<Item = &'a str> + Clone) -> Complaint {
    Complaint { what: format!("\"{}\" is not known here", word.escape_debug()), remedy: suggestion(word, known) }
}

fn number_of(text: &str) -> Result<u8, Complaint> {
    let named = PROTOCOLS.into_iter().find(|(name, _)| *name == text).map(|(_, number)| number);
    let names = PROTOCOLS.into_iter().map(|(name, _)| name);
    named.or_else(|| text.parse().ok()).ok_or_else(|| unknown(text, names))
}

fn port(text: &str) -> Result<u16, Complaint> {
    let remedy = "a port or echo identifier is 0 to 65535".to_owned();
    text.parse().map_err(|_| Complaint { what: format!("\"{}\" is not a port", text.escape_debug()), remedy })
}

fn block(text: &str) -> Result<Block, Complaint> {
    let net = prefix_or_address(text)?;
    Ok(match net {
        IpNet::V4(v4) => Block::V4(prefix(v4.network().to_bits(), net)),
        IpNet::V6(v6) => Block::V6(prefix(v6.network().to_bits(), net)),
    })
}

fn prefix<A: Address>(first: A, net: IpNet) -> Prefix<A> {
    Prefix::containing(first, net.prefix_len())
}

#[cfg(test)]
mod tests {
    use causeway_fastpath::ids::VrfId;

    use super::*;
    use crate::config::Config;

    fn read_one(text: &str) -> Result<Condition, String> {
        let (config, _) = Config::parse("lab.toml", include_str!("../../../configs/lab.toml")).expect("it is sound");
        read(&[text.to_owned()], &Domains::of(&config)).map(|filter| filter.conditions[0])
    }

    #[test]
    fn a_filter_is_a_key_and_a_value() {
        let v4 = |first: [u8; 4], length| Block::V4(Prefix::containing(u32::from_be_bytes(first), length));
        for (text, expected) in [
            ("domain=main", Condition::Domain(VrfId::MAIN)),
            ("domain=blue", Condition::Domain(VrfId(1))),
            ("protocol=icmpv6", Condition::Protocol(58)),
            ("protocol=89", Condition::Protocol(89)),
            ("protocol=47", Condition::Protocol(47)),
            ("protocol=gre", Condition::Protocol(47)),
            ("protocol=esp", Condition::Protocol(50)),
            ("protocol=sctp", Condition::Protocol(132)),
            ("protocol=udplite", Condition::Protocol(136)),
            ("inside=10.1.2.0/24", Condition::Address(End::Inside, v4([10, 1, 2, 0], 24))),
            ("outside=203.0.113.16", Condition::Address(End::Outside, v4([203, 0, 113, 16], 32))),
            ("peer=::/0", Condition::Address(End::Peer, Block::V6(Prefix::containing(0, 0)))),
            ("address=10.1.2.3/8", Condition::Address(End::Any, v4([10, 0, 0, 0], 8))),
            ("inside-port=0", Condition::Port(End::Inside, 0)),
            ("outside-port=65535", Condition::Port(End::Outside, 65_535)),
            ("peer-port=53", Condition::Port(End::Peer, 53)),
            ("port=443", Condition::Port(End::Any, 443)),
            ("state=half-closed", Condition::State("half-closed")),
            ("begun=outside", Condition::Forwarded(true)),
        ] {
            assert_eq!(read_one(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_bad_filter_is_told_what_would_do() {
        for (text, expected) in [
            ("tcp", "has no equals sign; write what it is about, an equals sign and a value, as inside=10.1.2.0/24"),
            ("insde=10.1.2.0/24", "\"insde\" is not known here; did you mean \"inside\"?"),
            ("domain=blu", "\"blu\" is not known here; did you mean \"blue\"?"),
            ("protocol=tpc", "\"tpc\" is not known here; known are tcp, udp, icmp, icmpv6, udplite, sctp, gre and esp"),
            ("protocol=256", "\"256\" is not known here; known are tcp, udp, icmp, icmpv6, udplite, sctp, gre and esp"),
            ("inside=10.1.2.0/33", "/33 is not a prefix length; a prefix length is 0 to 32"),
            ("port=65536", "\"65536\" is not a port; a port or echo identifier is 0 to 65535"),
            (
                "state=open",
                "\"open\" is not known here; known are syn-sent, syn-received, established, half-closed, closing, reset and picked-up",
            ),
            ("begun=here", "\"here\" is not known here; known are inside and outside"),
        ] {
            assert_eq!(read_one(text), Err(format!("filter \"{text}\": {expected}")));
        }
    }
}
