//! The command line: every flag is defined here, once.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A userspace packet router and NAT gateway for bare-metal Kubernetes clusters.
///
/// Start with `causeway lab`: it builds a small world in network namespaces of its
/// own, runs the gateway in it and sends real traffic through.
#[derive(Debug, Parser)]
#[command(name = "causeway", version, about, arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway until SIGTERM or Ctrl-C.
    ///
    /// Prints a line `ready` once its ports are open and its tables in force. Logs
    /// go to standard error; RUST_LOG=debug shows more.
    Run(Run),
    /// Check a configuration without touching anything.
    ///
    /// Prints every error with file, line and column, and what would do. Exits with
    /// 1 if there is one.
    Check(Check),
    /// Run captures through the gateway, in the captures' own time.
    ///
    /// Needs no privilege. Two runs give identical files.
    Replay(Replay),
    /// Build a small world in network namespaces, and send real traffic through.
    ///
    /// Works as root with AF_PACKET and AF_XDP, and without root in a user namespace
    /// of its own with AF_PACKET. Everything is gone when it ends.
    Lab(Lab),
    /// Show what a running gateway knows.
    Show(Show),
    /// Show what a configuration would change in a running gateway, and change nothing.
    ///
    /// Exits with 1 if it would be refused, and says why.
    Plan(Plan),
    /// Apply a configuration to a running gateway, and write it to the gateway's file.
    ///
    /// What `causeway plan` says comes to pass. A configuration that is not sound, or that
    /// needs a restart, changes nothing. If the gateway does not answer in time, a change that
    /// has begun is carried out all the same: `causeway history` says what is in force.
    Apply(Apply),
    /// Keep the configuration that was applied with --confirm.
    Confirm(Asking),
    /// Apply the file that a running gateway was started with, as it is now. SIGHUP does the
    /// same.
    Reload(Asking),
    /// List the configurations that were in force.
    History(Asking),
    /// Go back to a configuration that was in force before, or take back one that waits to
    /// be confirmed.
    Rollback(Rollback),
    /// Do something to the sessions of a running gateway.
    #[command(subcommand)]
    Sessions(Sessions),
    /// Work out which pod CIDRs kube-controller-manager gives to nodes.
    #[command(subcommand)]
    Ipam(Ipam),
    /// What a cluster must grant the gateway.
    #[command(subcommand)]
    Kubernetes(Kubernetes),
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    Man,
}

/// `causeway run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The configuration file.
    pub config: PathBuf,
    /// Use this driver for every network device, whatever the configuration says.
    #[arg(long, value_enum)]
    pub driver: Option<NicDriver>,
    /// Where the API listens, instead of gateway.api.
    #[arg(long, value_name = "SOCKET")]
    pub api: Option<PathBuf>,
    /// If the configuration file cannot be used, start with the newest one of the history in
    /// this folder: what gateway.state names.
    #[arg(long, value_name = "FOLDER")]
    pub last_good: Option<PathBuf>,
}

/// How a running gateway is asked.
#[derive(Debug, Args)]
pub struct Asking {
    /// Print JSON, one document on one line.
    #[arg(long)]
    pub json: bool,
    /// Where the gateway's API listens.
    #[arg(long, value_name = "SOCKET", env = "CAUSEWAY_API", default_value = "/run/causeway/api.sock")]
    pub api: PathBuf,
}

/// `causeway plan`.
#[derive(Debug, Args)]
pub struct Plan {
    /// The configuration file.
    pub config: PathBuf,
    /// How the gateway is asked.
    #[command(flatten)]
    pub asking: Asking,
}

/// `causeway apply`.
#[derive(Debug, Args)]
pub struct Apply {
    /// The configuration file.
    pub config: PathBuf,
    /// Take it back after so long, as 60s or 5m, unless `causeway confirm` comes before. It is
    /// not written to the gateway's file until then.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub confirm: Option<u32>,
    /// How the gateway is asked.
    #[command(flatten)]
    pub asking: Asking,
}

/// `causeway rollback`.
#[derive(Debug, Args)]
pub struct Rollback {
    /// The number of the configuration, as `causeway history` lists it. Without one, that which
    /// waits to be confirmed is taken back.
    pub version: Option<u64>,
    /// As with `causeway apply`.
    #[arg(long, value_name = "TIME", value_parser = seconds, requires = "version")]
    pub confirm: Option<u32>,
    /// How the gateway is asked.
    #[command(flatten)]
    pub asking: Asking,
}

/// `causeway check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The configuration file.
    pub config: PathBuf,
    /// Print the findings as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `causeway replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// The configuration file. Its cores are not heeded: see --workers.
    ///
    /// Nodes and pods are those of the file, of the files that nodes-from and pods-from name as
    /// they are now, and nodes that gateway.state remembers, which is read and not written. API
    /// servers are not asked.
    pub config: PathBuf,
    /// How many workers share the packets, in turns. Flows are decided about alike however
    /// many there are, but for the ports that are drawn for them.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=16))]
    pub workers: u16,
    /// What a port receives: its name and a capture file, pcap or pcapng.
    #[arg(long = "port", value_name = "NAME=FILE", value_parser = named_file)]
    pub captures: Vec<(String, PathBuf)>,
    /// The folder for the results: what each port sent as NAME.pcap, counters.json
    /// and sessions.json. Made if missing.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Print the counters as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `causeway lab`.
#[derive(Debug, Args)]
pub struct Lab {
    /// The driver of the gateway's ports; auto tries each one that may be used here.
    #[arg(long, value_enum, default_value = "auto")]
    pub driver: NicDriver,
    /// Keep everything running, and say which commands to type, until Ctrl-C.
    #[arg(long)]
    pub keep: bool,
    /// The size of the download, in megabytes.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub megabytes: u32,
    /// Print the results as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `causeway show`.
#[derive(Debug, Args)]
pub struct Show {
    /// What to show.
    #[arg(value_enum)]
    pub what: What,
    /// Print JSON, one document on one line.
    #[arg(long)]
    pub json: bool,
    /// Where the gateway's API listens.
    #[arg(long, value_name = "SOCKET", env = "CAUSEWAY_API", default_value = "/run/causeway/api.sock")]
    pub api: PathBuf,
    /// The most sessions or hosts to show.
    #[arg(long, default_value_t = 1000)]
    pub limit: usize,
    /// With sessions: only those of which this is true, as inside=10.1.2.0/24. May stand
    /// several times, and then all must be.
    #[arg(long, value_name = "KEY=VALUE", long_help = FILTER_HELP)]
    pub filter: Vec<String>,
    /// With pools: a row for each address.
    #[arg(long)]
    pub addresses: bool,
    /// Show counters that are 0, too.
    #[arg(long)]
    pub all: bool,
    /// With routes: how many of each prefix length there are, and how large and how
    /// quickly made the forwarding tables are.
    #[arg(long)]
    pub summary: bool,
}

/// `causeway sessions`.
#[derive(Debug, Subcommand)]
pub enum Sessions {
    /// End sessions at once, and say how many.
    ///
    /// Neither end is told. What still arrives of a TCP connection is dropped until its
    /// ends give up; a UDP flow from inside begins a new session with its next packet.
    Kill(Kill),
}

/// `causeway sessions kill`.
#[derive(Debug, Args)]
pub struct Kill {
    /// Only those of which this is true, as inside=10.1.2.0/24. May stand several times,
    /// and then all must be.
    #[arg(long, value_name = "KEY=VALUE", long_help = FILTER_HELP, required_unless_present = "all")]
    pub filter: Vec<String>,
    /// Every session.
    #[arg(long, conflicts_with = "filter")]
    pub all: bool,
    /// Only say how many would end.
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON, one document on one line.
    #[arg(long)]
    pub json: bool,
    /// Where the gateway's API listens.
    #[arg(long, value_name = "SOCKET", env = "CAUSEWAY_API", default_value = "/run/causeway/api.sock")]
    pub api: PathBuf,
}

/// What `--filter` understands.
const FILTER_HELP: &str = "\
Only sessions of which this is true. May stand several times, and then all must be:

  inside=10.1.2.0/24   address or prefix of who is inside; also outside=, peer=,
                       and address= for any of the three
  inside-port=8443     its port or echo identifier; also outside-port=, peer-port=,
                       and port= for any of the three
  protocol=tcp         tcp, udp, icmp, icmpv6, udplite, sctp, gre, esp or a number
  state=established    a TCP state, as the listing names it
  domain=blue          the cluster of who is inside
  begun=outside        by whom it was begun: inside or outside";

/// `causeway ipam`.
#[derive(Debug, Subcommand)]
pub enum Ipam {
    /// Check the controller's flags, and say how many nodes they serve.
    ///
    /// Refuses what kube-controller-manager refuses, in its words.
    Check(IpamCheck),
    /// Print which pod CIDRs the next nodes get, a line a node.
    Next(IpamNext),
}

/// `causeway ipam check`.
#[derive(Debug, Args)]
pub struct IpamCheck {
    /// The controller's flags.
    #[command(flatten)]
    pub flags: ControllerFlags,
    /// Print JSON, one document on one line.
    #[arg(long)]
    pub json: bool,
}

/// `causeway ipam next`.
#[derive(Debug, Args)]
pub struct IpamNext {
    /// How many nodes are to come.
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub count: u32,
    /// The controller's flags.
    #[command(flatten)]
    pub flags: ControllerFlags,
    /// A pod CIDR that a node has already. May stand several times.
    #[arg(long, value_name = "CIDR")]
    pub taken: Vec<ipnet::IpNet>,
    /// Print JSON, one document on one line.
    #[arg(long)]
    pub json: bool,
}

/// Flags of kube-controller-manager, as it spells them.
#[derive(Debug, Args)]
pub struct ControllerFlags {
    /// Where the pods live: a CIDR, or one of each family with a comma between.
    #[arg(long, value_name = "CIDRS", default_value = "")]
    pub cluster_cidr: String,
    /// Where the services live; no node gets any of it.
    #[arg(long, value_name = "CIDRS", default_value = "")]
    pub service_cluster_ip_range: String,
    /// Prefix length of a node's piece, where there is one family. 24, or 64 for IPv6.
    #[arg(long, value_name = "BITS", default_value_t = 0, hide_default_value = true)]
    pub node_cidr_mask_size: u8,
    /// The same for IPv4, alone or of two. 24.
    #[arg(long, value_name = "BITS", default_value_t = 0, hide_default_value = true)]
    pub node_cidr_mask_size_ipv4: u8,
    /// The same for IPv6, alone or of two. 64.
    #[arg(long, value_name = "BITS", default_value_t = 0, hide_default_value = true)]
    pub node_cidr_mask_size_ipv6: u8,
}

/// `causeway kubernetes`.
#[derive(Debug, Subcommand)]
pub enum Kubernetes {
    /// Print the objects that let a service account watch nodes, and nothing else.
    ///
    /// For `kubectl apply -f -`. Egress rules with a namespace or pod-selector need --pods,
    /// those with a namespace-selector --namespaces too.
    Rbac {
        /// The namespace of the service account.
        #[arg(long, value_name = "NAME", default_value = "kube-system", value_parser = namespace)]
        namespace: String,
        /// Let it watch pods, too.
        #[arg(long)]
        pods: bool,
        /// Let it watch namespaces, too.
        #[arg(long)]
        namespaces: bool,
        /// Let it patch the status of nodes, too: for nodes-from.patch-network-unavailable.
        #[arg(long)]
        patch_network_unavailable: bool,
    },
}

/// What `causeway show` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Ports, their drivers, and what they sent and received.
    Ports,
    /// Routes of every routing domain.
    Routes,
    /// Neighbours and their MAC addresses.
    Neighbors,
    /// Nodes, whether they are routed and answer, and why not.
    Nodes,
    /// How pods leave: by which rule, under which pool, and how many pods a selector chooses.
    Egress,
    /// Port forwards and static NAT.
    Forwards,
    /// Pools: how many of their ports are in use, and how many flows found none.
    Pools,
    /// Hosts inside that hold most sessions and ports, and were refused most.
    Hosts,
    /// Live sessions with their inside and outside names.
    Sessions,
    /// What happened to packets; each way to be dropped has a counter.
    Counters,
}

/// A driver for network devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NicDriver {
    /// The best one for each device; of the lab, each that may be used here in turn.
    Auto,
    /// AF_PACKET: works everywhere, passes super-frames on.
    AfPacket,
    /// AF_XDP: fastest on NICs.
    AfXdp,
}

/// A time of a second to a day.
fn seconds(text: &str) -> Result<u32, String> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, &text[number.len()..]),
        None => (text, "s"),
    };
    let factor = match unit {
        "h" => 3600,
        "m" => 60,
        _ => 1,
    };
    let seconds = number.parse::<u32>().ok().and_then(|number| number.checked_mul(factor));
    seconds.filter(|seconds| (1..=86_400).contains(seconds)).ok_or_else(|| "write 1s to 24h, as 60s".to_owned())
}

/// A name that Kubernetes would take (RFC 1123).
fn namespace(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match !text.is_empty()
        && text.len() <= 63
        && text.chars().all(fits)
        && !text.starts_with('-')
        && !text.ends_with('-')
    {
        true => Ok(text.to_owned()),
        false => Err("write a-z, 0-9 and - between them, at most 63 characters".to_owned()),
    }
}

fn named_file(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => Ok((name.to_owned(), PathBuf::from(file))),
        _ => Err("write the port's name, an equals sign and a file, as nodes=in.pcap".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_time_has_a_unit_and_is_a_day_at_most() {
        for (text, expected) in [("60", 60), ("60s", 60), ("5m", 300), ("24h", 86_400)] {
            assert_eq!(seconds(text), Ok(expected));
        }
        for text in ["", "0", "25h", "-1s", "1d", "s", "99999999999m", "1 m", "ä"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_capture_is_named_by_port_and_file() {
        assert_eq!(named_file("nodes=a=b.pcap"), Ok(("nodes".into(), "a=b.pcap".into())));
        assert!(named_file("nodes").is_err() && named_file("=x").is_err() && named_file("x=").is_err());
    }
}
