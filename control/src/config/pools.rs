//! `[[pool]]`: addresses under which clusters reach the outside.

use std::net::IpAddr;

use causeway_fastpath::nat::{Behavior, Filtering, Mapping};
use ipnet::IpNet;

use super::claims::Claims;
use super::keys;
use super::model::{Pool, PoolIdx};
use super::names::Names;
use super::ports::{Ports, link_local};
use super::report::{At, Report, Spanned};
use super::table::{Table, normalise};
use super::value::{self, Complaint};

/// The pools, and what the sections after them ask.
pub(super) struct Pools {
    pub(super) list: Vec<Pool>,
    names: Names,
    claims: Claims<At>,
}

pub(super) fn pools(report: &mut Report<'_>, file: &Table<'_>, ports: &Ports) -> Pools {
    let mut pools = Pools { list: Vec::new(), names: Names::default(), claims: Claims::default() };
    let mut addresses_left = Some(keys::MOST_POOL_ADDRESSES as u128);
    for table in file.tables(report, "pool", &keys::POOL) {
        let name = table.parsed(report, "name", pool_name);
        let name = pools.names.add(report, name, table.at());
        let range = table.parsed(report, "ports", value::port_range);
        let list = table.parsed_list(report, "addresses", value::prefix_or_address);
        if table.list_len("addresses") == Some(0) {
            empty(report, &table);
        }
        let mut addresses = Vec::new();
        for mut net in list.unwrap_or_default() {
            normalise(report, &mut net);
            addresses_left = take(report, &net, addresses_left);
            if check_addresses(report, &net, ports, &mut pools.claims) {
                addresses.push(net.value);
            }
        }
        let ports = range.map_or(1..=1, |range| range.value);
        let keep_ports = table.flag(report, "keep-ports");
        let other_protocols = table.flag(report, "other-protocols");
        let tcp = behavior(report, &table, "tcp-mapping", "tcp-filtering");
        let udp = behavior(report, &table, "udp-mapping", "udp-filtering");
        pools.list.push(Pool { name, addresses, ports, keep_ports, other_protocols, tcp, udp });
    }
    pools
}

/// How names are given out for a protocol, and to whom they are open, by the keys that
/// say it.
pub(super) fn behavior(report: &mut Report<'_>, table: &Table<'_>, mapping_key: &str, filtering_key: &str) -> Behavior {
    let mapping = match table.choice(report, mapping_key).map(|word| word.value) {
        Some("address-and-port-dependent") => Mapping::AddressAndPortDependent,
        Some("address-dependent") => Mapping::AddressDependent,
        _ => Mapping::EndpointIndependent,
    };
    let filtering = match table.choice(report, filtering_key).map(|word| word.value) {
        Some("endpoint-independent") => Filtering::EndpointIndependent,
        Some("address-dependent") => Filtering::AddressDependent,
        _ => Filtering::AddressAndPortDependent,
    };
    let behavior = Behavior { mapping, filtering };
    if !behavior.is_sound() {
        let at = table.place(report, filtering_key);
        let (what, remedy) = match mapping {
            Mapping::AddressDependent => (
                "lets everybody in by names that are for one address each",
                format!("write {filtering_key} = \"address-dependent\", or {mapping_key} = \"endpoint-independent\""),
            ),
            _ => (
                "lets strangers in by a name that is not one endpoint's",
                format!("write {mapping_key} = \"endpoint-independent\", too"),
            ),
        };
        report.error(&at, what, remedy);
    }
    behavior
}

fn pool_name(text: &str) -> Result<&str, Complaint> {
    if [MASQUERADE, NONE].contains(&text) {
        return Err(Complaint {
            what: "has a meaning of its own where clusters name a pool".to_owned(),
            remedy: "take another name".to_owned(),
        });
    }
    value::name(text)
}

fn empty(report: &mut Report<'_>, table: &Table<'_>) {
    let at = table.place(report, "addresses");
    report.error(&at, "holds no address", "write at least one, as \"203.0.113.16/29\"");
}

/// Takes a prefix from what may still be given; `None` once that was exceeded,
/// which is reported once.
fn take(report: &mut Report<'_>, net: &Spanned<IpNet>, left: Option<u128>) -> Option<u128> {
    let host_bits = u32::from(net.value.max_prefix_len() - net.value.prefix_len());
    let count = 1_u128.checked_shl(host_bits).unwrap_or(u128::MAX);
    let rest = left?.checked_sub(count);
    if rest.is_none() {
        let most = keys::MOST_POOL_ADDRESSES;
        let what = format!("makes more than {most} addresses in all pools together");
        let length = if net.value.addr().is_ipv4() { 28 } else { 124 };
        report.error(&net.at, what, format!("write a longer prefix, as /{length}"));
    }
    rest
}

/// Whether a prefix can belong to a pool.
fn check_addresses(report: &mut Report<'_>, net: &Spanned<IpNet>, ports: &Ports, claims: &mut Claims<At>) -> bool {
    let Spanned { at, value: net } = net;
    if let Err(Complaint { what, .. }) = value::host(net.network()) {
        report.error(at, what, "write addresses that others can send to");
        return false;
    }
    if link_local(net.network()) {
        report.error(at, "is link-local", "write addresses that others can send to");
        return false;
    }
    for port in &ports.list {
        if let Some(own) = port.addresses.iter().find(|own| net.contains(&own.addr())) {
            let what = format!("holds {}, the gateway's own on port \"{}\"", own.addr(), port.name);
            let remedy = "leave it out, or use it by egress = \"masquerade\"";
            report.error(at, what, remedy);
            return false;
        }
    }
    if let Err((other, place)) = claims.claim(*net, at) {
        let what = format!("overlaps {other} of {}", report.reference(place));
        report.error(at, what, "an address belongs to one pool, once");
        return false;
    }
    warn_about_ends(report, at, *net, ports);
    true
}

/// Hosts on a subnet take its first and last address for something else.
pub(super) fn warn_about_ends(report: &mut Report<'_>, at: &At, net: IpNet, ports: &Ports) {
    for (port, subnet) in ports.subnets() {
        if subnet.max_prefix_len() - subnet.prefix_len() < 2 {
            continue;
        }
        let name = &ports.get(port).name;
        let mut warn = |address: IpAddr, role: &str| {
            if net.contains(&address) {
                let what = format!("holds {address}, the {role} address of the subnet of port \"{name}\"");
                report.warn(at, what, "hosts there may not answer it");
            }
        };
        match subnet {
            IpNet::V4(_) => {
                warn(subnet.network(), "network");
                warn(subnet.broadcast(), "broadcast");
            }
            IpNet::V6(_) => warn(subnet.network(), "subnet-router anycast"),
        }
    }
}

impl Pools {
    /// The pool called so.
    pub(super) fn find(&self, report: &mut Report<'_>, name: &Spanned<&str>) -> Option<PoolIdx> {
        self.names.find(report, name, "pool").map(PoolIdx)
    }

    /// Whether the pool has an address of the family.
    pub(super) fn serves(&self, pool: PoolIdx, ipv4: bool) -> bool {
        let addresses = &self.list[pool.0].addresses;
        addresses.iter().any(|net| net.addr().is_ipv4() == ipv4)
    }

    /// What of `net` is in a pool: prefix and place.
    pub(super) fn overlap(&self, net: IpNet) -> Option<&(IpNet, At)> {
        self.claims.overlap(net)
    }

    /// Reports an address of somebody else that lies in a pool.
    pub(super) fn check_foreign(&self, report: &mut Report<'_>, address: &Spanned<IpAddr>) {
        if let Some((net, place)) = self.overlap(address.value.into()) {
            let what = format!("lies in {net} of {}", report.reference(place));
            let remedy = "the addresses of a pool are the gateway's: take it out of the pool";
            report.error(&address.at, what, remedy);
        }
    }
}

/// What a cluster writes for the gateway's own address.
pub(super) const MASQUERADE: &str = "masquerade";
/// What a flat cluster writes whose pods are under their own addresses everywhere.
pub(super) const NONE: &str = "none";
