//! `[cluster.liveness]`: how nodes are asked whether they live.

use super::keys;
use super::model::{Liveness, Probe};
use super::report::Report;
use super::table::Table;

pub(super) fn liveness(report: &mut Report<'_>, cluster: &Table<'_>) -> Option<Liveness> {
    if !cluster.has("liveness") {
        return None;
    }
    let table = cluster.table(report, "liveness", &keys::LIVENESS)?;
    let probe = match table.choice(report, "probe")?.value {
        "icmp" => Probe::Icmp,
        _ => Probe::Neighbor,
    };
    let mut number = |key| table.number(report, key).map(|number| number.value as u32);
    let (interval_s, failures, successes) = (number("interval-s")?, number("failures")?, number("successes")?);
    Some(Liveness { probe, interval_s, failures, successes, withdraw: table.flag(report, "withdraw") })
}
