//! The whole lab against stand-ins for the gateway: this program itself, started by the
//! lab as `lab run CONFIG ...`. What a real gateway makes of it, the end-to-end tests say.

use std::error::Error;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use causeway_lab::netlink::Netlink;
use causeway_lab::netns::Namespace;
use causeway_lab::plan::{self, Family};
use causeway_lab::privilege::require_for_test;
use causeway_lab::{Driver, LabOptions, Report, Style};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Says to the stand-in what it shall be.
const ROLE: &str = "CAUSEWAY_LAB_STAND_IN";

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("run") => stand_in(&arguments),
        Some("show") => show(&arguments),
        Some("lab") => lab().map(drop),
        Some("--list") => Ok(()),
        _ => {
            tests();
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("stand-in: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn tests() {
    let tests: [(&str, fn()); 4] = [
        ("a_router_without_nat_fails_what_needs_nat_and_passes_the_rest", a_router_without_nat),
        ("a_gateway_that_does_not_start_is_quoted", a_gateway_that_does_not_start),
        ("a_lab_that_is_interrupted_leaves_nothing_behind", an_interrupted_lab),
        ("without_root_the_lab_starts_again_in_a_user_namespace", without_root),
    ];
    for (name, test) in tests {
        if require_for_test(name) {
            say(&format!("test {name} ... "));
            test();
            say("ok\n");
        }
    }
}

fn a_router_without_nat() {
    let mut table = Vec::new();
    let report = run_lab("router", &mut table).unwrap();
    let table = String::from_utf8(table).unwrap();
    assert!(!report.passed(), "passed without NAT:\n{table}");
    for passes in ["gateway starts", "ping the gateway", "pod to pod across nodes", "node to server", "gateway stops"] {
        assert!(line_of(&table, passes).starts_with("  ok "), "{passes} failed:\n{table}");
    }
    for fails in
        ["ping, IPv4", "TCP download, IPv6", "DNS lookup", "UDP stream", "uninvited to a pod", "sources seen outside"]
    {
        assert!(line_of(&table, fails).starts_with("  FAIL"), "{fails} passed:\n{table}");
    }
    assert!(table.contains("stand-in counters"), "no counters:\n{table}");
    assert!(table.contains("checks FAILED"), "no verdict:\n{table}");
}

fn a_gateway_that_does_not_start() {
    let mut table = Vec::new();
    let start = Instant::now();
    let report = run_lab("broken", &mut table).unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
    assert_eq!(report.tally(), (0, 1));
    let table = String::from_utf8(table).unwrap();
    assert!(table.contains("lab.toml: this stand-in is broken"), "its words are missing:\n{table}");
}

fn an_interrupted_lab() {
    let temporary = env::temp_dir().join(format!("test-of-causeway-lab-{}", std::process::id()));
    fs::create_dir(&temporary).unwrap();
    let mut lab = this_program("lab", "router").env("TMPDIR", &temporary).spawn().unwrap();
    wait_for("the scratch directory", || fs::read_dir(&temporary).unwrap().count() == 1);
    wait_for("the stand-in", || children_of(lab.id()) == 1);
    // SAFETY: no pointer; the child is not reaped, so its id is still its own.
    assert_eq!(unsafe { libc::kill(lab.id() as libc::pid_t, libc::SIGTERM) }, 0);
    assert_eq!(lab.wait().unwrap().code(), Some(128 + libc::SIGTERM));
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "files left behind");
    fs::remove_dir(&temporary).unwrap();
}

fn without_root() {
    // SAFETY: the effective user id, no pointer, never fails.
    if unsafe { libc::geteuid() } != 0 {
        return; // then everything here runs without root already
    }
    // Nobody may not read where this program was built: run it from elsewhere.
    let copy = env::temp_dir().join(format!("test-of-causeway-lab-{}-copy", std::process::id()));
    fs::copy("/proc/self/exe", &copy).unwrap();
    let mut command = Command::new(&copy);
    command.arg("lab").env(ROLE, "broken");
    command.uid(65_534).gid(65_534);
    let output = command.output().unwrap();
    fs::remove_file(&copy).unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    if table.contains("no unprivileged user namespace") {
        return say("SKIPPED: user namespaces are forbidden here: ");
    }
    assert!(table.contains("in an unprivileged user namespace: AF_PACKET only"), "{table}");
    assert!(table.contains("this stand-in is broken"), "the world was not built:\n{table}");
    assert!(output.status.signal().is_none());
}

fn run_lab(role: &str, out: &mut dyn Write) -> Outcome<Report> {
    // SAFETY: no other thread of this program runs while tests follow each other here.
    unsafe { env::set_var(ROLE, role) };
    Ok(causeway_lab::run(&options()?, out)?)
}

/// This program as `causeway lab`, in the role that it was started in.
fn lab() -> Outcome<Report> {
    let outcome = causeway_lab::run(&options()?, &mut io::stdout());
    if let Err(error) = &outcome {
        writeln!(io::stdout(), "{error}")?;
    }
    Ok(outcome?)
}

fn options() -> Outcome<LabOptions> {
    let mut options = LabOptions::new(env::current_exe()?);
    options.driver = Driver::AfPacket;
    options.megabytes = 5;
    options.keep = env::args().any(|argument| argument == "--keep");
    options.style = Style::default();
    Ok(options)
}

/// A gateway that is a kernel router, or none at all.
fn stand_in(arguments: &[String]) -> Outcome<()> {
    let config = &arguments[1];
    if fs::read_to_string(config)? != plan::CONFIG || arguments[2] != "--api" || arguments[4] != "--driver" {
        return Err("not what the lab was to start".into());
    }
    if env::var(ROLE)? == "broken" {
        return Err(format!("{config}: this stand-in is broken").into());
    }
    let here = Namespace::current()?;
    here.set_sysctls(&[
        ("net.ipv6.conf.eth0.disable_ipv6", "0"),
        ("net.ipv6.conf.eth1.disable_ipv6", "0"),
        ("net.ipv4.ip_forward", "1"),
        ("net.ipv6.conf.all.forwarding", "1"),
    ])?;
    let mut netlink = Netlink::open(&here)?;
    for family in Family::BOTH {
        netlink.add_address("eth1", plan::GATEWAY_NODES.interface(family))?;
        netlink.add_address("eth0", plan::GATEWAY_UPLINK.interface(family))?;
        for nth in [0, 1] {
            let node = plan::node(nth).address(family);
            netlink.add_route(plan::node_towards_pods(nth).network(family), node)?;
        }
    }
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM])?;
    writeln!(io::stdout(), "ready")?;
    signals.forever().next();
    Ok(())
}

fn show(arguments: &[String]) -> Outcome<()> {
    writeln!(io::stdout(), "stand-in {}", arguments[1])?;
    Ok(())
}

fn this_program(argument: &str, role: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.arg(argument).env(ROLE, role).stdout(std::process::Stdio::null());
    command
}

fn line_of<'a>(table: &'a str, check: &str) -> &'a str {
    let of_check = |line: &&str| line.get(8..).is_some_and(|text| text.starts_with(check));
    table.lines().find(of_check).unwrap_or_else(|| panic!("no line {check}:\n{table}"))
}

fn wait_for(what: &str, mut came: impl FnMut() -> bool) {
    let start = Instant::now();
    while !came() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what} never came");
        thread::sleep(Duration::from_millis(5));
    }
}

/// How many processes have `parent` as their parent.
fn children_of(parent: u32) -> usize {
    let tasks = PathBuf::from(format!("/proc/{parent}/task/{parent}/children"));
    fs::read_to_string(tasks).map_or(0, |children| children.split_whitespace().count())
}

fn say(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
