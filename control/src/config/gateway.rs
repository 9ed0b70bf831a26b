//! `[gateway]` and `[timers]`.

use std::path::PathBuf;

use super::keys;
use super::model::{Gateway, Idle, Timers};
use super::report::Report;
use super::table::Table;
use super::value;

pub(super) fn gateway(report: &mut Report<'_>, file: &Table<'_>) -> Gateway {
    let Some(table) = file.table(report, "gateway", &keys::GATEWAY) else {
        return nothing();
    };
    let name = table.parsed(report, "name", value::name);
    let api = table.parsed(report, "api", |text| value::path(text, LONGEST_SOCKET_PATH));
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
    }
}

fn cores(report: &mut Report<'_>, table: &Table<'_>) -> Vec<usize> {
    match table.list_len("cores") {
        Some(0) => {
            let at = table.place(report, "cores");
            report.error(&at, "is empty", "name the core of the worker, as cores = [1]");
        }
        Some(count @ 2..) => {
            let at = table.place(report, "cores");
            let what = format!("names {count} cores, and this version runs one worker");
            report.error(&at, what, "name one, as cores = [1]");
            return Vec::new();
        }
        _ => {}
    }
    let Some(list) = table.list(report, "cores") else {
        return vec![0];
    };
    let mut cores = Vec::new();
    for core in list {
        match core.value.as_integer().map(usize::try_from) {
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
        max_sessions: 0,
        icmp_errors_per_second: 0,
        icmp_errors_per_destination: 0,
        seed: None,
    }
}

/// `sun_path` of `unix(7)` without its closing zero.
const LONGEST_SOCKET_PATH: usize = 107;

/// `CONFIG_NR_CPUS` allows no more than 8 192.
const HIGHEST_CORE: usize = 8_191;
