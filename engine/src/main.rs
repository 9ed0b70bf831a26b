//! The program `causeway`: flags and wiring.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use causeway_control::api::{Answer, Ask, ConfigText, Deed, Show as ToShow, render};
use causeway_control::config::{Config, Driver, Warning};
use causeway_control::ipam::Flags;
use causeway_engine::cli::{
    Apply, Asking, Check, Cli, Command, ControllerFlags, Ipam, IpamCheck, IpamNext, Kill, Kubernetes, Lab, NicDriver,
    Plan, Replay, Rollback, Run, Sessions, Show, What,
};
use causeway_engine::launch::Launch;
use causeway_engine::pages::HugePages;
use causeway_engine::port::forwarding;
use causeway_engine::replay::{ReplayOptions, replay};
use causeway_engine::{api, gateway, ipam};
use clap::{CommandFactory, Parser};

#[global_allocator]
static ALLOCATOR: HugePages = HugePages;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(options) => run(&options),
        Command::Check(options) => check(&options),
        Command::Replay(options) => replay_captures(options),
        Command::Lab(options) => lab(&options),
        Command::Show(options) => show(options),
        Command::Plan(Plan { config, asking }) => {
            text_of(&config).and_then(|config| configure(&asking, Ask::Show(ToShow::Plan { config })))
        }
        Command::Apply(Apply { config, confirm, asking }) => {
            text_of(&config).and_then(|config| apply(&asking, config, confirm))
        }
        Command::Confirm(asking) => configure(&asking, Ask::Do(Deed::Confirm)),
        Command::Reload(asking) => configure(&asking, Ask::Do(Deed::Reload)),
        Command::History(asking) => configure(&asking, Ask::Show(ToShow::History)),
        Command::Rollback(Rollback { version, confirm, asking }) => {
            configure(&asking, Ask::Do(Deed::Rollback { to: version, confirm }))
        }
        Command::Sessions(Sessions::Kill(options)) => kill(options),
        Command::Ipam(Ipam::Check(options)) => check_flags(options),
        Command::Ipam(Ipam::Next(options)) => next_cidrs(options),
        Command::Kubernetes(Kubernetes::Rbac { namespace, pods, namespaces, patch_network_unavailable }) => {
            let asked = [(true, "nodes"), (pods, "pods"), (namespaces, "namespaces")];
            let resources: Vec<_> = asked.into_iter().filter_map(|(asked, what)| asked.then_some(what)).collect();
            let objects = causeway_kubernetes::rbac(&namespace, &resources, patch_network_unavailable);
            io::stdout().write_all(objects.as_bytes()).map(|()| ExitCode::SUCCESS).map_err(Into::into)
        }
        Command::Completions { shell } => {
            // In memory first: clap_complete panics when nobody reads.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "causeway", &mut script);
            io::stdout().write_all(&script).map(|()| ExitCode::SUCCESS).map_err(Into::into)
        }
        Command::Man => clap_mangen::Man::new(Cli::command())
            .render(&mut io::stdout())
            .map(|()| ExitCode::SUCCESS)
            .map_err(Into::into),
    };
    result.unwrap_or_else(|error| match error.downcast_ref::<io::Error>() {
        // `causeway show routes | head`: whoever read has enough.
        Some(pipe) if pipe.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        _ => {
            let _ = writeln!(io::stderr(), "causeway: {error}");
            ExitCode::FAILURE
        }
    })
}

type Result = std::result::Result<ExitCode, Box<dyn std::error::Error>>;

fn run(options: &Run) -> Result {
    start_logging();
    let driver = options.driver.map(|driver| match driver {
        NicDriver::Auto => Driver::Auto,
        NicDriver::AfPacket => Driver::AfPacket,
        NicDriver::AfXdp => Driver::AfXdp,
    });
    let Run { config, api, last_good, .. } = options;
    let launch = Launch { file: config.clone(), driver, api: api.clone(), last_good: last_good.clone() };
    gateway::run(launch, &mut io::stdout())?;
    Ok(ExitCode::SUCCESS)
}

/// Logs go to standard error, in colour only for a terminal.
fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let ansi = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(ansi).with_target(false).init();
}

fn check(options: &Check) -> Result {
    let loaded = Config::load(&options.config);
    let mut out = io::stdout().lock();
    if options.json {
        serde_json::to_writer(&mut out, &findings(&loaded))?;
        writeln!(out)?;
    } else {
        match &loaded {
            Ok((config, warnings)) => {
                for warning in warnings {
                    writeln!(io::stderr(), "{warning}")?;
                }
                for warning in forwarding::warnings(config) {
                    writeln!(io::stderr(), "warning: {warning}")?;
                }
                let nodes: usize = config.clusters.iter().map(|cluster| cluster.nodes.len()).sum();
                writeln!(
                    out,
                    "{}: sound: {}, {} with {}, {}, {}, {}",
                    options.config.display(),
                    count(config.ports.len(), "port"),
                    count(config.clusters.len(), "cluster"),
                    count(nodes, "node"),
                    count(config.routes.len(), "static route"),
                    count(config.pools.len(), "pool"),
                    count(config.forwards.len() + config.static_nat.len(), "forward")
                )?;
            }
            Err(errors) => writeln!(io::stderr(), "{errors}")?,
        }
    }
    Ok(if loaded.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn count(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

type Loaded = std::result::Result<(Config, Vec<Warning>), causeway_control::config::ConfigErrors>;

fn findings(loaded: &Loaded) -> serde_json::Value {
    let text = |found: &dyn std::fmt::Display| found.to_string();
    let (errors, warnings): (Vec<String>, Vec<String>) = match loaded {
        Ok((config, warnings)) => {
            let here = forwarding::warnings(config);
            (Vec::new(), warnings.iter().map(|warning| text(warning)).chain(here).collect())
        }
        Err(found) => (found.errors().iter().map(|error| text(error)).collect(), Vec::new()),
    };
    serde_json::json!({ "sound": errors.is_empty(), "errors": errors, "warnings": warnings })
}

fn replay_captures(options: Replay) -> Result {
    start_logging();
    let (config, warnings) = Config::load(&options.config)?;
    for warning in warnings {
        writeln!(io::stderr(), "{warning}")?;
    }
    let Replay { workers, captures, out, .. } = options;
    let done = replay(config, &ReplayOptions { workers, captures, out: out.clone() })?;
    print(&done.counters, options.json, false)?;
    if !options.json {
        let seconds = done.span_ns as f64 / 1e9;
        writeln!(io::stdout(), "{} packets over {seconds:.3} s; results in {}", done.packets, out.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn lab(options: &Lab) -> Result {
    let mut lab = causeway_lab::LabOptions::new(std::env::current_exe()?);
    lab.driver = match options.driver {
        NicDriver::Auto => causeway_lab::Driver::Auto,
        NicDriver::AfPacket => causeway_lab::Driver::AfPacket,
        NicDriver::AfXdp => causeway_lab::Driver::AfXdp,
    };
    lab.keep = options.keep;
    lab.megabytes = options.megabytes;
    lab.json = options.json;
    let report = causeway_lab::run(&lab, &mut io::stdout())?;
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(options: Show) -> Result {
    if options.summary && options.what != What::Routes {
        return Err("only routes have a summary: causeway show routes --summary".into());
    }
    if !options.filter.is_empty() && options.what != What::Sessions {
        return Err("only sessions can be filtered: causeway show sessions --filter".into());
    }
    if options.addresses && options.what != What::Pools {
        return Err("only pools have a row for each address: causeway show pools --addresses".into());
    }
    let show = match options.what {
        What::Ports => ToShow::Ports,
        What::Routes if options.summary => ToShow::RouteSummary,
        What::Routes => ToShow::Routes,
        What::Neighbors => ToShow::Neighbors,
        What::Nodes => ToShow::Nodes,
        What::Egress => ToShow::Egress,
        What::Forwards => ToShow::Forwards,
        What::Pools => ToShow::Pools { addresses: options.addresses },
        What::Hosts => ToShow::Hosts { limit: options.limit },
        What::Sessions => ToShow::Sessions { limit: options.limit, filter: options.filter },
        What::Counters => ToShow::Counters,
    };
    print(&ask(&options.api, Ask::Show(show))?, options.json, options.all)?;
    Ok(ExitCode::SUCCESS)
}

/// A configuration as it is sent to a gateway, which checks it.
fn text_of(path: &Path) -> std::result::Result<ConfigText, Box<dyn std::error::Error>> {
    Ok(ConfigText { name: path.display().to_string(), text: Config::read(path)? })
}

/// Asks about configurations; fails if the gateway refuses one.
fn configure(asking: &Asking, about: Ask) -> Result {
    told(asking, &ask(&asking.api, about)?)
}

fn told(asking: &Asking, answer: &Answer) -> Result {
    if let Answer::Refused(refusal) = answer {
        if asking.json {
            print(answer, true, false)?;
        } else {
            writeln!(io::stderr(), "{refusal}")?;
        }
        return Ok(ExitCode::FAILURE);
    }
    print(answer, asking.json, false)?;
    Ok(ExitCode::SUCCESS)
}

/// Applies a configuration, and says with what was changed what the plan had said of sessions.
fn apply(asking: &Asking, config: ConfigText, confirm: Option<u32>) -> Result {
    let planned = ask(&asking.api, Ask::Show(ToShow::Plan { config: config.clone() }))?;
    let Answer::Plan(planned) = planned else {
        return told(asking, &planned);
    };
    let mut answer = ask(&asking.api, Ask::Do(Deed::Apply { config, confirm }))?;
    if let Answer::Applied { plan, .. } = &mut answer {
        plan.sessions = planned.sessions;
    }
    told(asking, &answer)
}

fn kill(options: Kill) -> Result {
    let deed = Deed::KillSessions { filter: options.filter, dry_run: options.dry_run };
    print(&ask(&options.api, Ask::Do(deed))?, options.json, false)?;
    Ok(ExitCode::SUCCESS)
}

fn check_flags(options: IpamCheck) -> Result {
    let checked = ipam::check(&flags(options.flags))?;
    print_found(&checked, options.json, &checked.warnings, &checked.text())?;
    Ok(ExitCode::SUCCESS)
}

/// Fails if there are fewer than were asked for, once those are printed.
fn next_cidrs(options: IpamNext) -> Result {
    let found = ipam::next(&flags(options.flags), options.count as usize, &options.taken)?;
    print_found(&found, options.json, &found.warnings, &found.text())?;
    match found.ended_by {
        Some(reason) => Err(reason.into()),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn flags(flags: ControllerFlags) -> Flags {
    Flags {
        cluster_cidr: flags.cluster_cidr,
        service_cluster_ip_range: flags.service_cluster_ip_range,
        node_cidr_mask_size: flags.node_cidr_mask_size,
        node_cidr_mask_size_ipv4: flags.node_cidr_mask_size_ipv4,
        node_cidr_mask_size_ipv6: flags.node_cidr_mask_size_ipv6,
    }
}

/// As JSON with everything in it, or as text with warnings beside it.
fn print_found(found: &impl serde::Serialize, json: bool, warnings: &[String], text: &str) -> io::Result<()> {
    if json {
        return writeln!(io::stdout(), "{}", serde_json::to_string(found)?);
    }
    for warning in warnings {
        writeln!(io::stderr(), "warning: {warning}")?;
    }
    io::stdout().write_all(text.as_bytes())
}

/// What a running gateway answers, unless it refuses.
fn ask(path: &Path, ask: Ask) -> std::result::Result<Answer, Box<dyn std::error::Error>> {
    match api::ask(path, ask)? {
        Answer::Error(what) => Err(what.into()),
        answer => Ok(answer),
    }
}

fn print(answer: &Answer, json: bool, all: bool) -> io::Result<()> {
    let text = if json { serde_json::to_string(answer)? + "\n" } else { render(answer, all) };
    io::stdout().write_all(text.as_bytes())
}
