//! Answers as tables for people.

use std::fmt::Write;
use std::net::IpAddr;

use super::plan::warned;
use super::{
    Answer, AwaitedView, CounterView, CutOffView, EgressView, ForwardView, HostView, NeighborView, NextHopView,
    NodeView, PodSourceView, PoolView, PortView, RouteView, SessionView, SourceView, TableView, VersionView,
};

/// An answer as text: aligned columns under a headline, ending in a newline.
///
/// Counters that are 0 are left out unless `all`.
pub fn render(answer: &Answer, all: bool) -> String {
    match answer {
        Answer::Ports(ports) => columns(PORTS, ports.iter().map(port)),
        Answer::Routes(routes) => columns(ROUTES, routes.iter().flat_map(route)),
        Answer::RouteSummary(tables) => columns(TABLES, tables.iter().map(table)),
        Answer::Neighbors(neighbors) => columns(NEIGHBORS, neighbors.iter().map(neighbor)),
        Answer::Nodes { nodes, sources, cut_off } => {
            let mut text = columns(NODES, nodes.iter().map(NodeView::line));
            text.extend(sources.iter().map(SourceView::line));
            text.extend(cut_off.iter().map(CutOffView::line));
            text
        }
        Answer::Egress { rules, sources } => {
            let mut text = columns(EGRESS, rules.iter().map(EgressView::line));
            text.extend(sources.iter().map(PodSourceView::line));
            text
        }
        Answer::Forwards(forwards) => columns(FORWARDS, forwards.iter().map(forward)),
        Answer::Pools(pools) => columns(POOLS, pools.iter().map(pool)),
        Answer::Hosts { known, hosts } => {
            let mut text = columns(HOSTS, hosts.iter().map(host));
            // Writing to a String does not fail.
            let _ = writeln!(text, "{} shown, {known} known", hosts.len());
            text
        }
        Answer::Sessions { alive, sessions } => {
            let mut text = columns(SESSIONS, sessions.iter().map(session));
            let shown = sessions.len();
            // Writing to a String does not fail.
            let _ = writeln!(text, "{shown} shown, {alive} alive");
            text
        }
        Answer::Counters(counters) => {
            let shown = counters.iter().filter(|counter| all || counter.value != 0);
            columns(COUNTERS, shown.map(counter))
        }
        Answer::SessionsKilled { killed, dry_run } => {
            let noun = if *killed == 1 { "session" } else { "sessions" };
            format!("{killed} {noun} {}\n", if *dry_run { "would end" } else { "ended" })
        }
        Answer::Plan(plan) => plan.text(),
        Answer::Applied { plan, confirm_within, warnings } => plan.applied(*confirm_within, warnings),
        Answer::Confirmed { warnings } => warned(warnings) + "confirmed\n",
        Answer::Refused(refusal) => format!("{refusal}\n"),
        Answer::History { versions, awaited } => {
            let mut text = columns(VERSIONS, versions.iter().map(VersionView::line));
            text.extend(awaited.iter().map(AwaitedView::line));
            text
        }
        Answer::Error(what) => format!("{what}\n"),
    }
}

/// A column's name, and whether its values are numbers, which stand to the right.
pub(super) type Column = (&'static str, bool);

const VERSIONS: &[Column] = &[("VERSION", true), ("TIME", false), ("BY", false), ("", false)];

const PORTS: &[Column] = &[
    ("PORT", false),
    ("DEVICE", false),
    ("DRIVER", false),
    ("STATE", false),
    ("DOMAIN", false),
    ("MAC", false),
    ("MTU", true),
    ("RX-PACKETS", true),
    ("RX-BYTES", true),
    ("RX-LOST", true),
    ("TX-PACKETS", true),
    ("TX-BYTES", true),
    ("TX-LOST", true),
    ("ADDRESSES", false),
    ("MODE", false),
];

fn port(port: &PortView) -> Vec<String> {
    vec![
        port.name.clone(),
        port.device.clone(),
        port.driver.clone(),
        match (port.up, port.gone) {
            (true, _) => "up",
            (false, false) => "down",
            (false, true) => "gone",
        }
        .to_owned(),
        port.domain.clone(),
        port.mac.clone(),
        port.mtu.to_string(),
        port.rx_packets.to_string(),
        port.rx_bytes.to_string(),
        (port.rx_missed + port.rx_errors).to_string(),
        port.tx_packets.to_string(),
        port.tx_bytes.to_string(),
        port.tx_errors.to_string(),
        port.addresses.join(","),
        port.mode.clone(),
    ]
}

const ROUTES: &[Column] = &[
    ("DOMAIN", false),
    ("TO", false),
    ("KIND", false),
    ("VIA", false),
    ("PORT", false),
    ("ORIGIN", false),
    ("OWNER", false),
];

/// A line for each router, where several share the route.
fn route(route: &RouteView) -> Vec<Vec<String>> {
    let line = |via: String, port: String| {
        let (domain, to, kind, origin) = (&route.domain, &route.to, &route.kind, &route.origin);
        vec![domain.clone(), to.clone(), kind.clone(), via, port, origin.clone(), or_dash(route.owner.as_ref())]
    };
    if route.next_hops.is_empty() {
        return vec![line(or_dash(route.via), or_dash(route.port.as_ref()))];
    }
    let alike = route.next_hops.windows(2).all(|pair| pair[0].weight == pair[1].weight);
    let next_hop = |hop: &NextHopView| {
        let via = if alike { hop.via.to_string() } else { format!("{} weight {}", hop.via, hop.weight) };
        line(via, hop.port.clone())
    };
    route.next_hops.iter().map(next_hop).collect()
}

const TABLES: &[Column] = &[
    ("DOMAIN", false),
    ("FAMILY", false),
    ("ROUTES", true),
    ("BYTES", true),
    ("BUILD-MS", true),
    ("BUILD", false),
    ("CHANGES", true),
    ("LENGTHS", false),
];

fn table(table: &TableView) -> Vec<String> {
    let lengths: Vec<_> = table.lengths.iter().map(|of| format!("/{}:{}", of.length, of.routes)).collect();
    vec![
        table.domain.clone(),
        table.family.clone(),
        table.routes.to_string(),
        table.bytes.to_string(),
        format!("{:.3}", table.build_ms),
        table.build.clone(),
        table.changes.to_string(),
        if lengths.is_empty() { "-".to_owned() } else { lengths.join(" ") },
    ]
}

const NEIGHBORS: &[Column] =
    &[("PORT", false), ("ADDRESS", false), ("MAC", false), ("STATE", false), ("SINCE", true), ("ROUTER", false)];

fn neighbor(neighbor: &NeighborView) -> Vec<String> {
    vec![
        neighbor.port.clone(),
        neighbor.address.to_string(),
        or_dash(neighbor.mac.as_ref()),
        neighbor.state.clone(),
        format!("{}s", neighbor.since_s),
        if neighbor.router { "yes" } else { "-" }.to_owned(),
    ]
}

const NODES: &[Column] = &[
    ("CLUSTER", false),
    ("NODE", false),
    ("ADDRESSES", false),
    ("POD-CIDRS", false),
    ("STATE", false),
    ("READY", false),
    ("NEIGHBOR", false),
    ("SOURCE", false),
    ("WHY", false),
];

const EGRESS: &[Column] =
    &[("CLUSTER", false), ("FROM", false), ("PODS", true), ("TO", false), ("POOL", false), ("ADDRESSES", false)];

const FORWARDS: &[Column] = &[("KIND", false), ("DOMAIN", false), ("PROTO", false), ("PUBLIC", false), ("TO", false)];

fn forward(forward: &ForwardView) -> Vec<String> {
    let end = |address, ports: Option<[u16; 2]>| match ports {
        None => format!("{address}"),
        Some([first, last]) if first == last => endpoint(address, first),
        Some([first, last]) => format!("{}-{last}", endpoint(address, first)),
    };
    vec![
        forward.kind.clone(),
        forward.domain.clone(),
        forward.protocol.clone(),
        end(forward.address, forward.ports),
        end(forward.to, forward.to_ports),
    ]
}

const POOLS: &[Column] = &[
    ("POOL", false),
    ("FAMILY", false),
    ("ADDRESS", false),
    ("PROTO", false),
    ("PORTS", true),
    ("USED", true),
    ("RESTING", true),
    ("FORWARDED", true),
    ("FREE", true),
    ("HIGH", true),
    ("BINDINGS", true),
    ("SESSIONS", true),
    ("REFUSED", true),
    ("ALARM", false),
];

fn pool(pool: &PoolView) -> Vec<String> {
    vec![
        pool.pool.clone(),
        pool.family.clone(),
        pool.address.map_or_else(|| format!("all {}", pool.addresses), |address| address.to_string()),
        pool.protocol.clone(),
        pool.ports.to_string(),
        pool.used.to_string(),
        pool.resting.to_string(),
        pool.forwarded.to_string(),
        pool.free.to_string(),
        pool.high_water.to_string(),
        pool.bindings.to_string(),
        pool.sessions.to_string(),
        pool.refused.to_string(),
        if pool.full { "full" } else { "-" }.to_owned(),
    ]
}

const HOSTS: &[Column] = &[("DOMAIN", false), ("HOST", false), ("SESSIONS", true), ("PORTS", true), ("REFUSED", true)];

fn host(host: &HostView) -> Vec<String> {
    vec![
        host.domain.clone(),
        host.address.to_string(),
        host.sessions.to_string(),
        host.ports.to_string(),
        host.refused.to_string(),
    ]
}

const SESSIONS: &[Column] = &[
    ("DOMAIN", false),
    ("PROTO", false),
    ("INSIDE", false),
    ("OUTSIDE", false),
    ("PEER", false),
    ("BEGUN", false),
    ("STATE", false),
    ("OUT", true),
    ("IN", true),
    ("AGE", true),
    ("IDLE", true),
    ("EXPIRES", true),
];

fn session(session: &SessionView) -> Vec<String> {
    vec![
        session.domain.clone(),
        session.protocol.clone(),
        endpoint(session.inside, session.inside_port),
        endpoint(session.outside, session.outside_port),
        endpoint(session.peer, session.peer_port),
        if session.forwarded { "outside" } else { "inside" }.to_owned(),
        if session.state.is_empty() { "-".to_owned() } else { session.state.clone() },
        session.packets_out.to_string(),
        session.packets_in.to_string(),
        seconds(session.age_ms),
        seconds(session.idle_ms),
        seconds(session.expires_ms),
    ]
}

const COUNTERS: &[Column] = &[("GROUP", false), ("COUNTER", false), ("VALUE", true)];

fn counter(counter: &CounterView) -> Vec<String> {
    vec![counter.group.clone(), counter.name.clone(), counter.value.to_string()]
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn endpoint(address: IpAddr, port: u16) -> String {
    match address {
        IpAddr::V4(address) => format!("{address}:{port}"),
        IpAddr::V6(address) => format!("[{address}]:{port}"),
    }
}

fn seconds(ms: u32) -> String {
    format!("{}.{}s", ms / 1000, ms % 1000 / 100)
}

/// Aligns rows under their columns. The last column is not padded.
pub(super) fn columns(columns: &[Column], rows: impl Iterator<Item = Vec<String>>) -> String {
    // Names that others gave may hold what a terminal obeys.
    let plain = |cell: String| cell.replace(char::is_control, "?");
    let rows: Vec<Vec<_>> = rows.map(|row| row.into_iter().map(plain).collect()).collect();
    let width = |at: usize| {
        let widest = rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
        widest.max(columns[at].0.len())
    };
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    let headline = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&headline).chain(&rows) {
        let mut line = String::new();
        for (at, value) in row.iter().enumerate() {
            let width = widths[at];
            // Writing to a String does not fail.
            let _ = if columns[at].1 { write!(line, "{value:>width$}  ") } else { write!(line, "{value:<width$}  ") };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::LengthView;

    #[test]
    fn columns_are_aligned_and_numbers_stand_to_the_right() {
        let counter = |name: &str, value| CounterView { group: "drop".into(), name: name.into(), value };
        let answer = Answer::Counters(vec![counter("no-route", 7), counter("blackhole", 12345), counter("pool", 0)]);
        let expected = "GROUP  COUNTER    VALUE\ndrop   no-route       7\ndrop   blackhole  12345\n";
        assert_eq!(render(&answer, false), expected);
        assert!(render(&answer, true).contains("pool"));
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_shown() {
        let counters = vec![CounterView { group: "drop".into(), name: "\u{1b}]0;x\u{7}\nno-route a".into(), value: 7 }];
        let expected = "GROUP  COUNTER            VALUE\ndrop   ?]0;x??no-route a      7\n";
        assert_eq!(render(&Answer::Counters(counters), false), expected);
    }

    #[test]
    fn a_shared_route_has_a_line_for_each_router() {
        let next_hop = |last: u8, weight| NextHopView { via: [192, 168, 0, last].into(), port: "nodes".into(), weight };
        let route = |to: &str, weights: [u16; 2]| RouteView {
            domain: "main".into(),
            to: to.into(),
            kind: "via".into(),
            via: None,
            port: None,
            next_hops: vec![next_hop(11, weights[0]), next_hop(12, weights[1])],
            origin: "static".into(),
            owner: None,
        };
        let expected = "\
DOMAIN  TO           KIND  VIA                    PORT   ORIGIN  OWNER
main    10.0.0.0/8   via   192.168.0.11           nodes  static  -
main    10.0.0.0/8   via   192.168.0.12           nodes  static  -
main    10.16.0.0/9  via   192.168.0.11 weight 1  nodes  static  -
main    10.16.0.0/9  via   192.168.0.12 weight 3  nodes  static  -
";
        let answer = Answer::Routes(vec![route("10.0.0.0/8", [1, 1]), route("10.16.0.0/9", [1, 3])]);
        assert_eq!(render(&answer, false), expected);
    }

    #[test]
    fn a_summary_counts_routes_by_prefix_length() {
        let table = TableView {
            domain: "main".into(),
            family: "ipv4".into(),
            routes: 3,
            lengths: vec![LengthView { length: 0, routes: 1 }, LengthView { length: 24, routes: 2 }],
            bytes: 1_048_600,
            build_ms: 0.25,
            build: "change".into(),
            changes: 2,
        };
        let empty = TableView {
            routes: 0,
            lengths: Vec::new(),
            build: "full".into(),
            changes: 0,
            family: "ipv6".into(),
            ..table.clone()
        };
        let expected = "\
DOMAIN  FAMILY  ROUTES    BYTES  BUILD-MS  BUILD   CHANGES  LENGTHS
main    ipv4         3  1048600     0.250  change        2  /0:1 /24:2
main    ipv6         0  1048600     0.250  full          0  -
";
        assert_eq!(render(&Answer::RouteSummary(vec![table, empty]), false), expected);
    }

    #[test]
    fn a_forward_is_a_row_with_both_its_ends() {
        let row = |kind: &str, address: &str, ports: Option<[u16; 2]>, to: &str, to_ports| ForwardView {
            kind: kind.into(),
            domain: "blue".into(),
            protocol: if ports.is_none() { "any" } else { "tcp" }.into(),
            address: address.parse().expect("an address"),
            ports,
            to: to.parse().expect("an address"),
            to_ports,
        };
        let expected = "\
KIND        DOMAIN  PROTO  PUBLIC                   TO
forward     blue    tcp    203.0.113.16:443         10.1.2.20:8443
forward     blue    tcp    [2001:db8::1]:8000-8099  [fd00::20]:9000-9099
static-nat  blue    any    203.0.113.24             10.1.2.21
";
        let answer = Answer::Forwards(vec![
            row("forward", "203.0.113.16", Some([443, 443]), "10.1.2.20", Some([8443, 8443])),
            row("forward", "2001:db8::1", Some([8000, 8099]), "fd00::20", Some([9000, 9099])),
            row("static-nat", "203.0.113.24", None, "10.1.2.21", None),
        ]);
        assert_eq!(render(&answer, false), expected);
    }

    #[test]
    fn a_pool_is_a_row_for_each_protocol_and_a_host_one_with_what_it_holds() {
        let pool = |address, full| PoolView {
            pool: "egress".into(),
            family: "ipv4".into(),
            address,
            addresses: if address.is_none() { 8 } else { 1 },
            protocol: "tcp".into(),
            ports: 64_512,
            used: 60_000,
            resting: 20,
            forwarded: 2,
            free: 4_490,
            high_water: 61_000,
            bindings: 7,
            sessions: 90_000,
            refused: 3,
            full,
        };
        let expected = "\
POOL    FAMILY  ADDRESS       PROTO  PORTS   USED  RESTING  FORWARDED  FREE   HIGH  BINDINGS  SESSIONS  REFUSED  ALARM
egress  ipv4    all 8         tcp    64512  60000       20          2  4490  61000         7     90000        3  full
egress  ipv4    203.0.113.16  tcp    64512  60000       20          2  4490  61000         7     90000        3  -
";
        let address = "203.0.113.16".parse().expect("an address");
        assert_eq!(render(&Answer::Pools(vec![pool(None, true), pool(Some(address), false)]), false), expected);
        let host = HostView { domain: "blue".into(), address, sessions: 9, ports: 4, refused: 1 };
        let expected = "\
DOMAIN  HOST          SESSIONS  PORTS  REFUSED
blue    203.0.113.16         9      4        1
1 shown, 12 known
";
        assert_eq!(render(&Answer::Hosts { known: 12, hosts: vec![host] }, false), expected);
    }

    #[test]
    fn what_was_ended_is_counted_in_words() {
        let said = |killed, dry_run| render(&Answer::SessionsKilled { killed, dry_run }, false);
        assert_eq!(said(1, false), "1 session ended\n");
        assert_eq!(said(12, false), "12 sessions ended\n");
        assert_eq!(said(0, true), "0 sessions would end\n");
    }

    #[test]
    fn an_empty_answer_still_has_a_headline() {
        assert!(render(&Answer::Neighbors(Vec::new()), false).starts_with("PORT"));
    }
}
