//! `[[port]]`: interfaces and the subnets they are on.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::claims::overlap;
use super::keys;
use super::model::{Driver, Port, PortIdx};
use super::names::Names;
use super::pools::behavior;
use super::report::{At, Report, Spanned};
use super::schema::listed;
use super::table::Table;
use super::value::{self, Complaint};

/// The ports, and what the sections after them ask.
pub(super) struct Ports {
    pub(super) list: Vec<Port>,
    names: Names,
    /// Whether every port could be read: if not, what seems to lie in no subnet may
    /// lie in one that was misspelt.
    sound: bool,
}

pub(super) fn ports(report: &mut Report<'_>, file: &Table<'_>) -> Ports {
    let errors = report.error_count();
    let mut ports = Ports { list: Vec::new(), names: Names::default(), sound: false };
    let mut taken = Taken::default();
    for table in file.tables(report, "port", &keys::PORT) {
        let name = table.parsed(report, "name", value::name);
        let name = ports.names.add(report, name, table.at());
        let port = port(report, &table, name, &mut taken);
        ports.list.push(port);
    }
    if ports.list.is_empty() && report.error_count() == errors {
        report.error(&At::place(0, "port"), "is empty", "write at least one [[port]]");
    }
    ports.sound = report.error_count() == errors;
    ports
}

/// What one port has and another must not.
#[derive(Default)]
struct Taken {
    /// With the memif id, which is 0 elsewhere.
    devices: HashMap<(String, u32), At>,
    /// Of the ports before this one.
    addresses: Vec<Spanned<IpNet>>,
}

fn port(report: &mut Report<'_>, table: &Table<'_>, name: String, taken: &mut Taken) -> Port {
    let driver = table.choice(report, "driver").map(|word| match word.value {
        "af-packet" => Driver::AfPacket,
        "af-xdp" => Driver::AfXdp,
        "tap" => Driver::Tap,
        "memif" => Driver::Memif,
        "pcap" => Driver::Pcap,
        "memory" => Driver::Memory,
        _ => Driver::Auto,
    });
    let memif_id = memif_id(report, table, driver);
    let device = device(report, table, driver, memif_id, &mut taken.devices);
    let addresses = addresses(report, table, &mut taken.addresses);
    Port {
        name,
        device,
        driver: driver.unwrap_or_default(),
        mtu: mtu(report, table, &addresses),
        addresses,
        mac: table.parsed(report, "mac", value::mac).map(|mac| mac.value),
        ring: ring(report, table),
        memif_id,
        tcp: behavior(report, table, "tcp-mapping", "tcp-filtering"),
        udp: behavior(report, table, "udp-mapping", "udp-filtering"),
    }
}

/// `driver` is `None` if it is not known: then anything may be right.
fn device(
    report: &mut Report<'_>,
    table: &Table<'_>,
    driver: Option<Driver>,
    memif_id: u32,
    taken: &mut HashMap<(String, u32), At>,
) -> String {
    if !table.has("device") {
        if driver.is_some_and(|driver| driver != Driver::Memory) {
            let at = table.place(report, "device");
            let remedy = match driver {
                Some(Driver::Memif) => "name the server's socket, as device = \"/run/vpp/memif.sock\"",
                _ => "name the network interface, as device = \"eth1\"",
            };
            report.error(&at, "is missing", remedy);
        }
        return String::new();
    }
    let device = table.parsed(report, "device", |text| match driver {
        Some(Driver::Memif) => value::path(text, value::LONGEST_SOCKET_PATH),
        Some(Driver::Pcap) => value::path(text, value::LONGEST_PATH),
        Some(Driver::Memory) | None => Ok(text),
        Some(_) => value::interface(text),
    });
    let Some(Spanned { at, value }) = device else {
        return String::new();
    };
    if driver == Some(Driver::Memory) {
        return value.to_owned();
    }
    let key = (value.to_owned(), memif_id);
    if let Some(first) = taken.get(&key) {
        let what = format!("is already the device of {}", report.reference(first));
        let remedy = match driver {
            Some(Driver::Memif) => "ports on one socket have different memif-ids",
            _ => "a device serves one port",
        };
        report.error(&at, what, remedy);
    } else {
        taken.insert(key, at);
    }
    value.to_owned()
}

/// Zero with drivers that know of none.
fn memif_id(report: &mut Report<'_>, table: &Table<'_>, driver: Option<Driver>) -> u32 {
    let Some(id) = table.number(report, "memif-id") else {
        return 0;
    };
    if table.has("memif-id") && driver.is_some_and(|driver| driver != Driver::Memif) {
        report.error(&id.at, "means nothing with this driver", "leave it out, or write driver = \"memif\"");
        return 0;
    }
    u32::try_from(id.value).expect("the table of keys keeps it within 32 bits")
}

fn addresses(report: &mut Report<'_>, table: &Table<'_>, others: &mut Vec<Spanned<IpNet>>) -> Vec<IpNet> {
    let list = table.parsed_list(report, "addresses", own_address);
    let mut own: Vec<Spanned<IpNet>> = Vec::new();
    for address in list.unwrap_or_default() {
        if let Some(twin) = own.iter().find(|twin| twin.value.addr() == address.value.addr()) {
            let what = format!("is already {}", report.reference(&twin.at));
            report.error(&address.at, what, "write an address once");
        } else if let Some(other) = others.iter().find(|other| collide(other, &address)) {
            let subnet = other.value.trunc();
            let what = format!("overlaps {subnet} of {}", report.reference(&other.at));
            report.error(&address.at, what, "ports are on different subnets");
        } else {
            own.push(address);
        }
    }
    let values = own.iter().map(|address| address.value).collect();
    others.extend(own);
    values
}

/// Link-local subnets are the same on every port, and mean its own link.
fn collide(one: &Spanned<IpNet>, other: &Spanned<IpNet>) -> bool {
    let (one, other) = (one.value, other.value);
    overlap(one, other) && !(link_local(one.addr()) && link_local(other.addr()))
}

/// An address that the gateway can have on a subnet.
fn own_address(text: &str) -> Result<IpNet, Complaint> {
    let complain = |what: String, remedy: String| Err(Complaint { what, remedy });
    if let Ok(address) = value::address(text) {
        let usual = if address.is_ipv4() { 24 } else { 64 };
        let remedy = format!("write that of its subnet, as \"{text}/{usual}\"");
        return complain("has no prefix length".to_owned(), remedy);
    }
    let net = value::prefix(text)?;
    value::host(net.addr())?;
    if net.prefix_len() == 0 {
        let remedy = "write the prefix length of the subnet, as /24".to_owned();
        return complain("is on a subnet of everything".to_owned(), remedy);
    }
    // Two-address and single-address subnets have neither (RFC 3021, RFC 6164).
    let has_ends = net.max_prefix_len() - net.prefix_len() >= 2;
    if has_ends && net.addr() == net.network() {
        let first = net.hosts().nth(usize::from(net.addr().is_ipv6()));
        let host = first.map_or(net, |host| IpNet::new(host, net.prefix_len()).expect("the length was checked"));
        return complain(
            "is a subnet, not an address on it".to_owned(),
            format!("write the gateway's own, as \"{host}\""),
        );
    }
    if has_ends && net.addr().is_ipv4() && net.addr() == net.broadcast() {
        let remedy = "write the gateway's own address".to_owned();
        return complain("is the broadcast address of its subnet".to_owned(), remedy);
    }
    Ok(net)
}

fn mtu(report: &mut Report<'_>, table: &Table<'_>, addresses: &[IpNet]) -> Option<u16> {
    let mtu = table.number(report, "mtu")?;
    let ipv6 = addresses.iter().any(|net| net.addr().is_ipv6());
    if ipv6 && mtu.value < LEAST_IPV6_MTU {
        let remedy = format!("at least {LEAST_IPV6_MTU} bytes would do (RFC 8200)");
        report.error(&mtu.at, "is too small for IPv6", remedy);
    }
    Some(u16::try_from(mtu.value).expect("the table of keys keeps it within 16 bits"))
}

fn ring(report: &mut Report<'_>, table: &Table<'_>) -> u32 {
    let Some(ring) = table.number(report, "ring") else {
        return 0;
    };
    if !ring.value.is_power_of_two() {
        let above = ring.value.next_power_of_two();
        let remedy = format!("{} or {above} would do", above / 2);
        report.error(&ring.at, "is not a power of two", remedy);
    }
    u32::try_from(ring.value).expect("the table of keys keeps it within 32 bits")
}

impl Ports {
    /// The port called so.
    pub(super) fn find(&self, report: &mut Report<'_>, name: &Spanned<&str>) -> Option<PortIdx> {
        self.names.find(report, name, "port").map(PortIdx)
    }

    pub(super) fn get(&self, port: PortIdx) -> &Port {
        &self.list[port.0]
    }

    /// The subnets of every port.
    pub(super) fn subnets(&self) -> impl Iterator<Item = (PortIdx, IpNet)> {
        let ports = self.list.iter().enumerate();
        ports.flat_map(|(index, port)| {
            let nets = port.addresses.iter();
            nets.map(move |net| (PortIdx(index), net.trunc()))
        })
    }

    /// Whether the address is the gateway's own, and on which port.
    pub(super) fn own(&self, address: IpAddr) -> Option<PortIdx> {
        let has = |port: &Port| port.addresses.iter().any(|net| net.addr() == address);
        self.list.iter().position(has).map(PortIdx)
    }

    /// The port on whose subnet somebody else's address lies; if there is none, or
    /// more than one, or it is the gateway's own, that is reported.
    pub(super) fn reach(&self, report: &mut Report<'_>, address: &Spanned<IpAddr>) -> Option<PortIdx> {
        if let Some(port) = self.own(address.value) {
            let what = format!("is the gateway's own address on port \"{}\"", self.get(port).name);
            report.error(&address.at, what, "write the address of the other side");
            return None;
        }
        let mut holding: Vec<PortIdx> =
            self.subnets().filter(|(_, net)| net.contains(&address.value)).map(|(port, _)| port).collect();
        holding.dedup();
        match holding.as_slice() {
            [port] => Some(*port),
            [] if self.sound => {
                let remedy = format!("subnets are {}", self.subnet_list(address.value.is_ipv4()));
                report.error(&address.at, "lies in no subnet of a port", remedy);
                None
            }
            [] => None,
            _ => {
                let remedy = "write an address that is not link-local";
                report.error(&address.at, "lies in a subnet of several ports", remedy);
                None
            }
        }
    }

    /// Whether the address lies in a subnet of the port; if not, that is reported.
    pub(super) fn check_on(&self, report: &mut Report<'_>, address: &Spanned<IpAddr>, port: PortIdx) {
        let port = self.get(port);
        let subnets = || port.addresses.iter().map(IpNet::trunc);
        if self.sound && !subnets().any(|net| net.contains(&address.value)) {
            let nets: Vec<String> = subnets().map(|net| net.to_string()).collect();
            let known = listed(nets.iter().map(String::as_str));
            let what = format!("lies in no subnet of port \"{}\"", port.name);
            report.error(&address.at, what, format!("its subnets are {known}"));
        }
    }

    /// `192.168.0.0/24 (nodes) and 203.0.113.0/24 (uplink)`.
    fn subnet_list(&self, ipv4: bool) -> String {
        let nets: Vec<String> = self
            .subnets()
            .filter(|(_, net)| net.addr().is_ipv4() == ipv4)
            .map(|(port, net)| format!("{net} ({})", self.get(port).name))
            .collect();
        listed(nets.iter().map(String::as_str))
    }
}

pub(super) fn link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// RFC 8200, section 5.
const LEAST_IPV6_MTU: u64 = 1_280;
