//! `causeway lab`: a world, a gateway in it, every check, and the story of it.

use std::env;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::checks::{self, Scene};
use crate::driver::Driver;
use crate::error::SetupError;
use crate::gateway::{Gateway, GatewayError, GatewayStart};
use crate::interrupt::Interrupts;
use crate::keep;
use crate::narrate::{Narrator, Style};
use crate::plan;
use crate::privilege::{Privilege, become_root_in_user_namespace};
use crate::report::{CheckResult, Outcome, Report, Run, Shown};
use crate::scratch::ScratchDir;
use crate::world::World;

/// What the lab shall do.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// The program `causeway`, which is also the one that runs the lab.
    pub executable: PathBuf,
    /// The driver to run the gateway on; `Auto` is each that works here.
    pub driver: Driver,
    /// Leave the world and the gateway running until Ctrl-C, and say how to play.
    /// With `json` it has no effect: nobody reads along who could play.
    pub keep: bool,
    /// Size of a TCP download, in megabytes of 10⁶ bytes; held in memory, 1 to 1000.
    pub megabytes: u32,
    /// Write the report as JSON at the end, instead of a table that grows.
    pub json: bool,
    /// How to write the table.
    pub style: Style,
}

impl LabOptions {
    /// All drivers, 100 MB, a table in the style that the standard output deserves.
    pub fn new(executable: PathBuf) -> Self {
        Self { executable, driver: Driver::Auto, keep: false, megabytes: 100, json: false, style: Style::of_stdout() }
    }
}

/// Why a lab came to no report.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The table could not be written.
    #[error("writing what happens: {0}")]
    Output(#[from] io::Error),
    /// The JSON could not be written.
    #[error("writing the report: {0}")]
    Json(#[from] serde_json::Error),
    /// The world could not be built.
    #[error("building the world: {0}")]
    World(#[from] SetupError),
    /// Files, signals or packet sockets for the lab itself.
    #[error("{step}: {source}")]
    Prepare {
        /// What was being done.
        step: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// This driver was asked for and needs root.
    #[error("{0} needs root: run `sudo causeway lab`, or choose --driver af-packet")]
    NeedsRoot(Driver),
    /// Not root, and no user namespace to be had either.
    #[error(
        "not root, and no unprivileged user namespace to be had ({0}): run the lab as root, or allow them \
         (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, \
         kernel.apparmor_restrict_unprivileged_userns)"
    )]
    NoPrivilege(io::Error),
    /// An option that makes no sense.
    #[error("--megabytes {0}: 1 to 1000")]
    Megabytes(u32),
}

/// Runs the lab and tells `out` about it while it happens. The report says whether all
/// checks passed.
///
/// As root over AF_PACKET and then AF_XDP. Without root it replaces this process by
/// itself in an unprivileged user namespace, with AF_PACKET only: call it while the
/// process has one thread, before anything that must be undone.
///
/// SIGINT, SIGTERM and SIGHUP end the process from here on, leaving nothing behind.
///
/// # Errors
/// No report at all: see [`LabError`]. A gateway that does not start is a failed check.
pub fn run(options: &LabOptions, out: &mut dyn Write) -> Result<Report, LabError> {
    if !(1..=1000).contains(&options.megabytes) {
        return Err(LabError::Megabytes(options.megabytes));
    }
    let privilege = Privilege::current();
    if privilege != Privilege::Root && options.driver == Driver::AfXdp {
        return Err(LabError::NeedsRoot(options.driver));
    }
    let mut silence = io::sink();
    let table: &mut dyn Write = if options.json { &mut silence } else { &mut *out };
    let mut narrator = Narrator::new(table, options.style);
    if privilege == Privilege::None {
        narrator.line("Not root: starting again in an unprivileged user namespace.")?;
        return Err(LabError::NoPrivilege(start_again()));
    }
    let report = tell(options, privilege, &mut narrator)?;
    if options.json {
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
    }
    Ok(report)
}

/// Replaces this process by itself in a user namespace. Returns only if that fails.
fn start_again() -> io::Error {
    // Where a user namespace comes without its privileges, once is enough.
    const MARK: &str = "CAUSEWAY_LAB_IN_USER_NAMESPACE";
    if env::var_os(MARK).is_some() {
        return io::Error::other("one was made, but it gives no privileges");
    }
    let mut command = Command::new("/proc/self/exe");
    command.args(env::args_os().skip(1)).env(MARK, "1");
    if let Some(name) = env::args_os().next() {
        command.arg0(name);
    }
    become_root_in_user_namespace(&mut command).exec()
}

fn tell(options: &LabOptions, privilege: Privilege, narrator: &mut Narrator<'_>) -> Result<Report, LabError> {
    let start = Instant::now();
    let scratch = ScratchDir::new().map_err(prepare("making a directory for temporary files"))?;
    let interrupts = Interrupts::end_the_process(scratch.path().to_owned()).map_err(prepare("watching for signals"))?;
    narrator.opening(match privilege {
        Privilege::Root => "as root",
        _ => "without root, in an unprivileged user namespace: AF_PACKET only",
    })?;

    let drivers = drivers(options.driver, privilege);
    let mut report = Report { privilege, runs: Vec::new() };
    for (nth, driver) in (1..).zip(drivers) {
        narrator.heading(&format!("Over {driver}, {}", over(*driver)))?;
        let mut stage = Stage::set(options, *driver, &scratch)?;
        report.runs.push(stage.play(narrator)?);
        let is_last = nth == drivers.len();
        if is_last {
            let (passed, all) = report.tally();
            narrator.verdict(passed, all, start.elapsed().as_secs_f64())?;
        }
        if let Some(gateway) = &mut stage.gateway
            && is_last
        {
            keep::explain(narrator, &stage.world, &options.executable, &stage.config, &stage.api)?;
            interrupts.wait(|| gateway.exited().is_some());
        }
    }
    Ok(report)
}

fn drivers(asked: Driver, privilege: Privilege) -> &'static [Driver] {
    match (asked, privilege) {
        (Driver::Auto, Privilege::Root) => &[Driver::AfPacket, Driver::AfXdp],
        (Driver::AfXdp, _) => &[Driver::AfXdp],
        (Driver::Auto | Driver::AfPacket, _) => &[Driver::AfPacket],
    }
}

fn over(driver: Driver) -> &'static str {
    match driver {
        Driver::AfXdp => "with frames as a physical wire carries them",
        Driver::Auto | Driver::AfPacket => "with frames of up to 64 KiB and partial checksums",
    }
}

fn prepare(step: &'static str) -> impl FnOnce(io::Error) -> LabError {
    move |source| LabError::Prepare { step, source }
}

/// A world for one driver, with the gateway in it once it has started.
struct Stage<'a> {
    // Before the world, so that it ends before its interfaces go.
    gateway: Option<Gateway>,
    world: World,
    options: &'a LabOptions,
    driver: Driver,
    config: PathBuf,
    api: PathBuf,
}

impl<'a> Stage<'a> {
    fn set(options: &'a LabOptions, driver: Driver, scratch: &ScratchDir) -> Result<Self, LabError> {
        let config = scratch.write("lab.toml", plan::CONFIG).map_err(prepare("writing the configuration"))?;
        let world = World::island().build()?;
        if driver == Driver::AfXdp {
            // AF_XDP is for NICs, on which every checksum is complete.
            world.set_wire_offloads(false)?;
        }
        let api = scratch.path().join(format!("{driver}.sock"));
        Ok(Self { gateway: None, world, options, driver, config, api })
    }

    /// All checks, until the gateway ends before its time.
    fn play(&mut self, narrator: &mut Narrator<'_>) -> Result<Run, LabError> {
        let mut run = Run { driver: self.driver, checks: Vec::new(), shown: Vec::new() };
        let scene = Scene::new(&self.world, self.options.megabytes).map_err(prepare("opening a packet socket"))?;
        let mut tell = |narrator: &mut Narrator<'_>, result: CheckResult| {
            let told = narrator.result(&result);
            run.checks.push(result);
            told
        };

        narrator.doing("gateway starts")?;
        let (started, gateway) = timed("gateway starts", || self.start());
        tell(narrator, started)?;
        let Some(mut gateway) = gateway else { return Ok(run) };
        for check in checks::ALL {
            narrator.doing(check.name)?;
            let result = check.run(&scene);
            tell(narrator, result)?;
            if let Some(status) = gateway.exited() {
                let words = gateway.stop(Duration::ZERO).stderr;
                tell(narrator, failed("gateway keeps running", format!("it ended ({status})\n{}", words.trim())))?;
                return Ok(run);
            }
        }
        for what in ["counters", "sessions"] {
            run.shown.push(Shown { what, output: self.show(&gateway, what) });
        }
        run.shown.iter().try_for_each(|shown| narrator.shown(shown))?;
        if self.options.keep && !self.options.json {
            self.gateway = Some(gateway);
            return Ok(run);
        }
        narrator.line("")?;
        let (stopped, _) = timed("gateway stops", || stop(gateway));
        narrator.result(&stopped)?;
        run.checks.push(stopped);
        Ok(run)
    }

    fn show(&self, gateway: &Gateway, what: &str) -> Value {
        let format: &[&str] = if self.options.json { &["--json"] } else { &[] };
        match gateway.show(&[&[what], format].concat()) {
            Ok(text) if self.options.json => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            Ok(text) => Value::String(text),
            Err(error) => Value::String(format!("not to be had: {error}")),
        }
    }

    fn start(&self) -> Result<(String, Gateway), GatewayError> {
        let start = GatewayStart {
            executable: &self.options.executable,
            config: &self.config,
            api: &self.api,
            driver: self.driver,
            patience: Duration::from_secs(10),
        };
        let gateway = Gateway::start(self.world.gateway(), start)?;
        Ok((format!("process {}", gateway.id()), gateway))
    }
}

/// Asks the gateway to stop and requires that it does, well and soon.
fn stop(gateway: Gateway) -> Result<(String, ()), String> {
    let ended = gateway.stop(Duration::from_secs(3));
    if ended.status.success() {
        return Ok((format!("{:.0} ms after SIGTERM", ended.took.as_secs_f64() * 1e3), ()));
    }
    Err(format!("{} after SIGTERM\n{}", ended.status, ended.stderr.trim()))
}

/// A step of the lab itself as a check: its own sentence, or its error's.
fn timed<T, E: std::fmt::Display>(
    name: &'static str,
    step: impl FnOnce() -> Result<(String, T), E>,
) -> (CheckResult, Option<T>) {
    let start = Instant::now();
    let (mut result, value) = match step() {
        Ok((detail, value)) => {
            let passed = CheckResult { name, outcome: Outcome::Pass, detail, figures: Vec::new(), seconds: 0.0 };
            (passed, Some(value))
        }
        Err(error) => (failed(name, error.to_string()), None),
    };
    result.seconds = start.elapsed().as_secs_f64();
    (result, value)
}

fn failed(name: &'static str, detail: String) -> CheckResult {
    CheckResult { name, outcome: Outcome::Fail, detail, figures: Vec::new(), seconds: 0.0 }
}
