//! `non-masquerade-cidrs`: toward whom pods keep their own addresses.

use ipnet::IpNet;

use super::keys::MOST_EXEMPTIONS;
use super::model::Model;
use super::report::Report;
use super::table::Table;
use super::value::{self, Complaint};

/// What ip-masq-agent does not masquerade unless told: private addresses (RFC 1918)
/// and link-local ones (RFC 3927, RFC 4291).
const IP_MASQ_AGENT: [&str; 5] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fe80::/10"];

/// What it adds with `--nomasq-all-reserved-ranges`.
const ALL_RESERVED: [&str; 8] = [
    "100.64.0.0/10",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
];

/// The prefixes of the list, each once, with those that its words stand for.
pub(super) fn exemptions(report: &mut Report<'_>, table: &Table<'_>, model: Option<Model>) -> Vec<IpNet> {
    let mut list: Vec<IpNet> = Vec::new();
    for part in table.parsed_list(report, "non-masquerade-cidrs", part).unwrap_or_default() {
        for net in part.value {
            if !list.contains(&net) {
                list.push(net);
            }
        }
    }
    let at = table.place(report, "non-masquerade-cidrs");
    if model == Some(Model::Isolated) && table.has("non-masquerade-cidrs") {
        report.error(&at, "is of a cluster whose pods do not leave", "leave it out, or write model = \"island\"");
    } else if list.len() > MOST_EXEMPTIONS {
        let what = format!("makes {} prefixes", list.len());
        report.error(&at, what, format!("at most {MOST_EXEMPTIONS} will do, as in ip-masq-agent"));
    }
    list
}

fn part(text: &str) -> Result<Vec<IpNet>, Complaint> {
    let parsed = |words: &[&str]| words.iter().map(|word| word.parse().expect("a prefix")).collect::<Vec<IpNet>>();
    match text {
        "ip-masq-agent" => Ok(parsed(&IP_MASQ_AGENT)),
        "ip-masq-agent-all-reserved" => Ok([parsed(&IP_MASQ_AGENT), parsed(&ALL_RESERVED)].concat()),
        _ => {
            let net = value::prefix(text)?;
            if net.trunc() != net {
                // As ip-masq-agent words it.
                let what = format!("CIDR \"{net}\" is not aligned to a CIDR block");
                return Err(Complaint { what, remedy: format!("write \"{}\"", net.trunc()) });
            }
            Ok(vec![net])
        }
    }
}
