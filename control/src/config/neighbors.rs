//! `[[neighbor]]`: static neighbours.

use std::collections::HashMap;

use super::keys;
use super::model::Neighbor;
use super::pools::Pools;
use super::ports::Ports;
use super::report::Report;
use super::table::Table;
use super::value;

pub(super) fn neighbors(report: &mut Report<'_>, file: &Table<'_>, ports: &Ports, pools: &Pools) -> Vec<Neighbor> {
    let mut neighbors = Vec::new();
    let mut seen = HashMap::new();
    for table in file.tables(report, "neighbor", &keys::NEIGHBOR) {
        let port = table.text(report, "port").and_then(|name| ports.find(report, &name));
        let host = |text| value::address(text).and_then(value::host);
        let address = table.parsed(report, "address", host);
        let mac = table.parsed(report, "mac", value::mac);
        let (Some(port), Some(address)) = (port, address) else {
            continue;
        };
        if let Some(own) = ports.own(address.value) {
            let what = format!("is the gateway's own address on port \"{}\"", ports.get(own).name);
            report.error(&address.at, what, "write the address of the other side");
        } else {
            ports.check_on(report, &address, port);
            pools.check_foreign(report, &address);
        }
        if let Some(first) = seen.get(&(port, address.value)) {
            let what = format!("is already {}", report.reference(first));
            report.error(&address.at, what, "keep one of the two");
        }
        neighbors.push(Neighbor { port, address: address.value, mac: mac.map(|mac| mac.value).unwrap_or_default() });
        seen.insert((port, address.value), address.at);
    }
    neighbors
}
