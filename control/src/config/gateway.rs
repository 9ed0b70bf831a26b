//! `[gateway]` and `[timers]`.

use std::path::PathBuf;

use super::keys;
use super::model::{Gateway, Idle, Timers, UdpPortTimer};
use super::report::{At, Report, Spanned};
use super::table::Table;
use super::value;

pub(super) fn gateway(report: &mut Report<'_>, file: &Table<'_>) -> Gateway {
    let Some(table) = file.table(report, "gateway", &keys::GATEWAY) else {
        return nothing();
    };
    let name = table.parsed(report, "name", value::name);
    let api = table.parsed(report, "api", |text| value::path(text, value::LONGEST_SOCKET_PATH));
    let state = table.parsed(report, "state", |text| value::path(text, value::LONGEST_PATH));
    let idle = table.choice(report, "idle").map(|word| match word.value {
        "busy" => Idle::Busy,
        "poll" => Idle::Poll,
        _ => Idle::SpinThenPoll,
    });
    Gateway {
        name: name.map(|name| name.value.to_owned()).unwrap_or_default(),
        cores: cores(report, &table),
        api: PathBuf::from(api.map_or("", |path| path.value)),
        state: state.map(|path| PathBuf::from(path.value)),
        idle: idle.unwrap_or_default(),
        watch: table.flag(report, "watch"),
        max_sessions: number(report, &table, "max-sessions"),
        icmp_errors_per_second: number(report, &table, "icmp-errors-per-second"),
        icmp_errors_per_destination: number(report, &table, "icmp-errors-per-destination"),
        seed: table.number(report, "seed").map(|seed| seed.value),
    }
}

pub(super) fn timers(report: &mut Report<'_>, file: &Table<'_>) -> Timers {
    let Some(table) = file.table(report, "timers", &keys::TIMERS) else {
        return Timers::default();
    };
    Timers {
        tcp_established_s: number(report, &table, "tcp-established-s"),
        tcp_transitory_s: number(report, &table, "tcp-transitory-s"),
        udp_s: number(report, &table, "udp-s"),
        icmp_s: number(report, &table, "icmp-s"),
        udp_ports: udp_ports(report, &table),
    }
}

/// Timers of single ports, in the order of the file.
fn udp_ports(report: &mut Report<'_>, timers: &Table<'_>) -> Vec<UdpPortTimer> {
    let mut list: Vec<(UdpPortTimer, At)> = Vec::new();
    for table in timers.tables(report, "udp-port", &keys::UDP_PORT) {
        let ports = table.ports(report, "ports");
        let udp_s = number(report, &table, "udp-s");
        let Some(Spanned { at, value: ports }) = ports else {
            continue;
        };
        if *ports.end() > HIGHEST_WELL_KNOWN {
            let remedy = format!("ports up to {HIGHEST_WELL_KNOWN} may have a timer of their own (RFC 4787 REQ-5)");
            report.error(&at, "is not well-known", remedy);
            continue;
        }
        let overlaps =
            |(other, _): &&(UdpPortTimer, At)| other.ports.start() <= ports.end() && ports.start() <= other.ports.end();
        if let Some((_, place)) = list.iter().find(overlaps) {
            let what = format!("overlaps {}", report.reference(place));
            report.error(&at, what, "a port has one timer: write it once");
            continue;
        }
        list.push((UdpPortTimer { ports, udp_s }, at));
    }
    list.into_iter().map(|(timer, _)| timer).collect()
}

fn cores(report: &mut Report<'_>, table: &Table<'_>) -> Vec<usize> {
    if table.list_len("cores") == Some(0) {
        let at = table.place(report, "cores");
        report.error(&at, "is empty", "name the core of each worker, as cores = [1, 2]");
    }
    let Some(list) = table.list(report, "cores") else {
        return vec![0];
    };
    let mut cores = Vec::new();
    for core in list {
        match core.value.as_integer().map(usize::try_from) {
            Some(Ok(number)) if cores.contains(&number) => {
                report.error(&core.at, "stands twice", "a core has one worker");
            }
            Some(Ok(number)) if number <= HIGHEST_CORE => cores.push(number),
            _ => report.error(
                &core.at,
                "is not a processor core",
                format!("0 to {HIGHEST_CORE} would do, as the machine has"),
            ),
        }
    }
    cores
}

/// A number that the table of keys keeps within 32 bits.
fn number(report: &mut Report<'_>, table: &Table<'_>, key: &str) -> u32 {
    let number = table.number(report, key).map_or(0, |number| number.value);
    u32::try_from(number).expect("the table of keys says a larger maximum than the type holds")
}

/// What stands in for a section that is not there: reported, so never used.
fn nothing() -> Gateway {
    Gateway {
        name: String::new(),
        cores: Vec::new(),
        api: PathBuf::new(),
        state: None,
        idle: Idle::default(),
        watch: false,
        max_sessions: 0,
        icmp_errors_per_second: 0,
        icmp_errors_per_destination: 0,
        seed: None,
    }
}

/// The last of the ports that IANA assigns to services (RFC 6335, section 6).
const HIGHEST_WELL_KNOWN: u16 = 1_023;

/// `CONFIG_NR_CPUS` allows no more than 8 192.
const HIGHEST_CORE: usize = 8_191;
