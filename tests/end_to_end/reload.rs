//! Other configurations while packets flow.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use causeway_lab::Host;
use causeway_lab::plan::{self, Family};
use causeway_lab::traffic::{self, Flow};
use causeway_testkit::seed::{Rng, Seed};
use causeway_tests::needs;
use causeway_tests::program::{Service, send_signal, wait_until};
use causeway_tests::stage::Stage;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(10);

/// How many times the configuration changes under traffic, unless `CAUSEWAY_APPLIES` says otherwise.
const APPLIES: u32 = 8;

/// What `causeway WORDS --json` answers.
fn ask(stage: &Stage, words: &[&str]) -> Value {
    let text = stage.gateway().ask(&[words, &["--json"]].concat()).unwrap_or_else(|error| panic!("{words:?}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words:?}: {error}: {text}"))
}

/// The lab's configuration with a state, and with something more.
fn with(stage: &Stage, more: &str) -> String {
    let state = stage.folder().path().join("state");
    let text = plan::CONFIG.replacen("[gateway]", &format!("[gateway]\nstate = {state:?}"), 1) + more;
    // As the stage does for itself.
    if stage.medium().workers() == 2 { text.replace("cores = [0]", "cores = [0, 1]") } else { text }
}

/// Applies a text that lies in a file of its own.
fn apply(stage: &Stage, text: &str, options: &[&str]) -> Value {
    let file = stage.folder().write("new.toml", text);
    ask(stage, &[&["apply", file.to_str().expect("text")], options].concat())
}

fn file_in_force(stage: &Stage) -> String {
    std::fs::read_to_string(stage.folder().path().join("lab.toml")).expect("the gateway's file")
}

/// The routing domains' static routes.
fn has_route(stage: &Stage, to: &str) -> bool {
    let shown = stage.show("routes");
    shown["routes"].as_array().expect("a list").iter().any(|route| route["to"] == to)
}

const ROUTE: &str = "\n[[route]]\nto = \"198.51.100.0/24\"\ntype = \"blackhole\"\n";

/// Something that leaves every session of the lab legal.
fn harmless(rng: &mut Rng) -> String {
    let mut text = String::new();
    for part in [
        ROUTE,
        "\n[timers]\nudp-s = 200\n",
        "\n[[pool]]\nname = \"spare\"\naddresses = [\"203.0.113.32/30\"]\n",
        "\n[[pool]]\nname = \"aside\"\naddresses = [\"203.0.113.40/30\"]\nkeep-ports = true\n",
        "\n[[forward]]\ncluster = \"blue\"\naddress = \"203.0.113.50\"\nprotocol = \"tcp\"\nport = 80\nto = \"10.1.2.10\"\n",
        "\n[[static-nat]]\ncluster = \"blue\"\naddress = \"203.0.113.51\"\nto = \"10.1.2.77\"\n",
        "\n[[policy]]\nfrom = [\"198.51.100.0/24\"]\nto = [\"blue\"]\naction = \"deny\"\n",
        "\n[[neighbor]]\nport = \"uplink\"\naddress = \"203.0.113.99\"\nmac = \"02:00:00:00:00:99\"\n",
    ] {
        if rng.bool() {
            text += part;
        }
    }
    text
}

/// Sessions by what stays of them.
fn sessions(stage: &Stage) -> BTreeSet<String> {
    let shown = ask(stage, &["show", "sessions", "--limit", "100000"]);
    let keys = ["protocol", "inside", "inside-port", "outside", "outside-port", "peer", "peer-port"];
    let name = |row: &Value| keys.map(|key| row[key].to_string()).join(" ");
    shown["sessions"]["sessions"].as_array().expect("a list").iter().map(name).collect()
}

/// UDP flows beside a TCP connection in both directions, by which the scene below is played.
const FLOWS: usize = 1000;
/// Datagrams a second of all of them, each way.
const RATE: u32 = 4000;

pub(crate) fn legal_sessions_do_not_notice_that_the_configuration_changes(stage: &mut Stage) {
    stage.configure(&with(stage, ""));
    stage.start();
    let applies = std::env::var("CAUSEWAY_APPLIES").ok().and_then(|text| text.parse().ok()).unwrap_or(APPLIES);
    let [pod, server] = ["pod-a2", "server"].map(|name| stage.world.host(name));
    let talkers = ["pod-a1", "pod-b1", "pod-b2"].map(|name| stage.world.host(name));
    let address = server.address(Family::V4);
    // Whoever has no neighbour yet keeps a few packets for it, and no more.
    for talker in talkers {
        traffic::udp_exchange(talker, server, address, 1).expect("UDP");
    }
    let mut listening = server.command("iperf3");
    let listening = listening.args(["--server", "--forceflush"]);
    let _listening = Service::start(listening, |said| said.contains("listening"));
    let mut tcp = pod.command("iperf3");
    // Until it is told to end.
    let tcp = tcp.args(["--json", "--bidir", "-b", "50M", "-t", "3600", "--client", &address.to_string()]);
    let tcp = Service::start(tcp, |_| true);
    let over = AtomicBool::new(false);
    let (flows, before, took) = thread::scope(|scope| {
        let udp = scope.spawn(|| traffic::udp_flows(&talkers, server, address, FLOWS, RATE, &over));
        // Whatever fails, the flows come to an end.
        let _over = Over(&over);
        // Of TCP: iperf3's control connection, and one in each direction.
        let all = talkers.len() + FLOWS + 3;
        assert!(wait_until(PATIENCE, || sessions(stage).len() >= all), "{:?}", sessions(stage));
        let before = sessions(stage);
        let seed = Seed::from_env_or(0xa991);
        let mut rng = seed.rng();
        let start = Instant::now();
        for _ in 0..applies {
            let text = with(stage, &harmless(&mut rng));
            let answer = apply(stage, &text, &[]);
            let fates = &answer["applied"]["plan"]["sessions"]["all"];
            assert!(fates["survive"].as_u64() >= Some(before.len() as u64), "{answer:#}");
            assert_eq!((&fates["anew"], &fates["end"]), (&0.into(), &0.into()), "{answer:#}");
            assert_eq!(file_in_force(stage), text);
            thread::sleep(Duration::from_millis(200));
        }
        let took = start.elapsed();
        let after = sessions(stage);
        assert!(before.is_subset(&after), "sessions were lost: {:#?}", before.difference(&after));
        over.store(true, Ordering::Relaxed);
        (udp.join().expect("no panic").expect("UDP"), before, took)
    });
    let report: Value = serde_json::from_str(&tcp.end(libc::SIGINT)).expect("JSON");
    assert_eq!(report["error"], "interrupt - the client has terminated", "{report:#}");
    let end = &report["end"];
    for direction in ["sum_sent", "sum_received_bidir_reverse"] {
        assert!(end[direction]["bytes"].as_u64() > Some(1_000_000), "{direction}: {end:#}");
    }

    let counters = stage.settled_counters();
    assert_eq!(counters.get("nat", "sessions-ended"), 0, "{counters}");
    let sum = |count: fn(&Flow) -> u32| flows.iter().map(|flow| u64::from(count(flow))).sum::<u64>();
    let (sent, there, back) = (sum(|flow| flow.sent), sum(|flow| flow.there.count), sum(|flow| flow.back.count));
    let out_of_order = sum(|flow| flow.there.out_of_order + flow.back.out_of_order);
    let names = flows.iter().map(|flow| flow.seen.len()).max();
    assert_eq!((out_of_order, names), (0, Some(1)), "a flow keeps its order and its name");
    // Whoever lost a packet counted it, and that was the kernel: before our ring, behind it, or at a full socket.
    let ports = stage.show("ports");
    let count = |key: &str| {
        ports["ports"].as_array().expect("a list").iter().filter_map(|port| port[key].as_u64()).sum::<u64>()
    };
    let full: u64 = [server].into_iter().chain(talkers).map(full_sockets).sum();
    let counted = count("rx-missed") + count("rx-errors") + count("tx-errors") + full;
    let moved = end["sum_sent"]["bytes"].as_u64().min(end["sum_received_bidir_reverse"]["bytes"].as_u64());
    let figures = format!(
        "{applies} applies in {:.0} s, {:?}: {} sessions before and after; {FLOWS} UDP flows: {sent} datagrams sent, \
         {there} arrived, {back} came back; the kernel counts {counted} that it dropped; TCP: {} MB each way",
        took.as_secs_f64(),
        stage.medium(),
        before.len(),
        moved.unwrap_or(0) / 1_000_000,
    );
    assert!(sent - back <= counted, "{figures}\n{counters}\n{ports:#}");
    needs::say(&figures);
}

/// Ends what waits for this flag, however the scene ends.
struct Over<'flag>(&'flag AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Datagrams that a host's kernel dropped because nobody had read those before.
fn full_sockets(host: &Host) -> u64 {
    let text = host.run(|| std::fs::read_to_string("/proc/thread-self/net/snmp")).expect("the kernel's counters");
    let mut rows = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (rows.next().expect("names"), rows.next().expect("values"));
    let place = names.split(' ').position(|name| name == "RcvbufErrors").expect("it is counted");
    values.split(' ').nth(place).and_then(|value| value.parse().ok()).expect("a number")
}

pub(crate) fn what_cannot_be_applied_changes_nothing(stage: &mut Stage) {
    let text = with(stage, "");
    stage.configure(&text);
    stage.start();
    let refused = |text: &str| {
        let file = stage.folder().write("new.toml", text);
        let file = file.to_str().expect("text");
        for word in ["plan", "apply"] {
            let error = stage.gateway().ask(&[word, file]).expect_err("it is refused").to_string();
            assert!(error.contains("nothing has changed"), "{error}");
            if word == "apply" {
                return error;
            }
        }
        unreachable!("one of them is apply")
    };
    let before = (stage.show("routes"), ask(stage, &["history"]));
    let error = refused(
        &text.replace("egress = \"egress\"", "egress = \"egres\"").replace("model = \"island\"", "model = \"isle\""),
    );
    assert!(error.contains("new.toml:") && error.contains("egres") && error.contains("isle"), "every error: {error}");
    let error = refused(&text.replace("[gateway]", "[gateway]\nmax-sessions = 5000"));
    assert!(error.contains("needs a restart: gateway: max-sessions: 1048576 -> 5000"), "{error}");
    let error = refused(&text.replace("device = \"eth1\"", "device = \"eth7\""));
    assert!(error.contains("needs a restart: port nodes: device: eth1 -> eth7"), "{error}");
    assert_eq!((stage.show("routes"), ask(stage, &["history"])), before);
    assert_eq!(file_in_force(stage), text);
    // The same by SIGHUP, and when the file is mended that does it.
    stage.configure("nonsense");
    send_signal(stage.gateway().id(), libc::SIGHUP);
    assert!(stage.gateway().ask(&["reload"]).is_err());
    assert_eq!((stage.show("routes"), ask(stage, &["history"])), before);
    let route = text + ROUTE;
    stage.configure(&route);
    send_signal(stage.gateway().id(), libc::SIGHUP);
    assert!(wait_until(PATIENCE, || has_route(stage, "198.51.100.0/24")));
    let ended = stage.stop();
    assert!(ended.stderr.contains("is not TOML"), "{}", ended.stderr);
    stage.start();
}

pub(crate) fn a_configuration_on_trial_is_taken_back_unless_it_is_confirmed(stage: &mut Stage) {
    let text = with(stage, "");
    stage.configure(&text);
    stage.start();
    let (route, with_route) = ("198.51.100.0/24", with(stage, ROUTE));
    let answer = apply(stage, &with_route, &["--confirm", "2s"]);
    assert_eq!(answer["applied"]["confirm-within"], 2, "{answer}");
    assert!(has_route(stage, route) && file_in_force(stage) == text, "in force, and not in the file");
    assert!(stage.gateway().ask(&["reload"]).is_err_and(|error| error.to_string().contains("causeway confirm")));
    assert!(wait_until(PATIENCE, || !has_route(stage, route)), "nobody has confirmed it");
    assert!(stage.gateway().ask(&["confirm"]).is_err(), "it is too late");

    apply(stage, &with_route, &["--confirm", "1h"]);
    ask(stage, &["rollback"]);
    assert!(!has_route(stage, route) && file_in_force(stage) == text);

    apply(stage, &with_route, &["--confirm", "1h"]);
    ask(stage, &["confirm"]);
    assert!(has_route(stage, route) && file_in_force(stage) == with_route);
    let history = stage.gateway().ask(&["history"]).expect("a table");
    let lines: Vec<_> = history.lines().collect();
    assert!(lines.len() == 3 && lines[1].contains("start") && lines[2].ends_with("in force"), "{history}");

    ask(stage, &["rollback", "1"]);
    assert!(!has_route(stage, route) && file_in_force(stage) == text);
    assert!(stage.gateway().ask(&["history"]).expect("a table").contains("rollback to 1"));

    // Killed in the window: the old one is what it comes back with.
    apply(stage, &with_route, &["--confirm", "1h"]);
    let mut killed = stage.take_gateway();
    send_signal(killed.id(), libc::SIGKILL);
    assert!(wait_until(PATIENCE, || killed.exited().is_some()));
    stage.start();
    assert!(!has_route(stage, route) && file_in_force(stage) == text);
    traffic::udp_exchange(
        stage.world.host("pod-a1"),
        stage.world.host("server"),
        stage.world.host("server").address(Family::V4),
        10,
    )
    .expect("UDP");
}

pub(crate) fn a_watched_file_is_reloaded_once_it_rests(stage: &mut Stage) {
    let watched = |more: &str| plan::CONFIG.replacen("[gateway]", "[gateway]\nwatch = true", 1) + more;
    stage.configure(&watched(""));
    stage.start();
    stage.configure(&watched("\n[[route]]\nto = \"198.51.1"));
    thread::sleep(Duration::from_millis(300));
    stage.configure(&watched(ROUTE));
    assert!(wait_until(PATIENCE, || has_route(stage, "198.51.100.0/24")));
    assert!(stage.gateway().ask(&["history"]).expect("a table").contains("file watch"));
}
