//! Much data.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use causeway_lab::plan::Family;
use causeway_lab::{Host, traffic};
use causeway_testkit::seed::Seed;
use causeway_tests::program::{Finished, Service, run};
use causeway_tests::stage::Stage;
use serde_json::Value;
use sha2::{Digest, Sha256};

const MEGABYTE: u64 = 1_000_000;

pub(crate) fn a_download_of_100_mb_arrives_intact(stage: &mut Stage) {
    stage.start();
    let (pod, server) = (stage.world.host("pod-a1"), stage.world.host("server"));
    let shop = stage.folder().path().join("shop");
    fs::create_dir(&shop).expect("a folder");
    write_random(&shop.join("ware"), 100 * MEGABYTE);
    let expected = hash(&shop.join("ware"));
    for family in Family::BOTH {
        let _http = http_server(server, family, &shop);
        let bought = stage.folder().path().join("bought");
        download(pod, server.socket(family, HTTP), "ware", &bought);
        assert_eq!(fs::metadata(&bought).expect("a file").len(), 100 * MEGABYTE);
        assert_eq!(hash(&bought), expected, "another file arrived over {}", family.name());
    }
}

/// The port of [`http_server`].
pub(crate) const HTTP: u16 = 8080;

/// Python's web server over `folder`.
pub(crate) fn http_server(host: &Host, family: Family, folder: &Path) -> Service {
    let address = host.address(family);
    let mut command = host.command("python3");
    command.args(["-m", "http.server", "--bind", &address.to_string(), "--directory"]).arg(folder);
    command.arg(HTTP.to_string());
    let open = || TcpStream::connect(SocketAddr::new(address, HTTP)).is_ok();
    Service::start(&mut command, |_| host.run(open))
}

/// Has curl fetch a file.
pub(crate) fn download(from: &Host, server: SocketAddr, name: &str, to: &Path) {
    let mut command = from.command("curl");
    command.args(["--silent", "--show-error", "--fail", "--globoff", "--noproxy", "*", "--output"]).arg(to);
    command.arg(format!("http://{server}/{name}"));
    run(&mut command, Duration::from_secs(60)).success();
}

fn write_random(path: &Path, bytes: u64) {
    let mut rng = Seed::from_env_or(100).rng();
    let mut file = io::BufWriter::new(File::create(path).expect("a file"));
    for _ in 0..bytes / 8 {
        file.write_all(&rng.u64().to_le_bytes()).expect("room for a file");
    }
    file.flush().expect("room for a file");
}

fn hash(path: &Path) -> Vec<u8> {
    Sha256::digest(fs::read(path).expect("a file")).to_vec()
}

pub(crate) fn tcp_arrives_intact_in_both_directions_at_once(stage: &mut Stage) {
    stage.start();
    let (pod, server) = (stage.world.host("pod-b1"), stage.world.host("server"));
    let (size, limit) = (50 * MEGABYTE, Duration::from_secs(60));
    for family in Family::BOTH {
        let figures =
            traffic::tcp_exchange(pod, server, server.address(family), size, size, limit).expect("an exchange");
        assert_eq!((figures.up.bytes, figures.down.bytes), (size, size));
        assert!(figures.up.intact() && figures.down.intact(), "{figures:?}");
    }
}

pub(crate) fn iperf3_runs_tcp_in_both_directions_at_once(stage: &mut Stage) {
    stage.start();
    for family in Family::BOTH {
        let report = iperf3(stage, family, &["--bidir", "-t", "2"]);
        for direction in ["sum_received", "sum_received_bidir_reverse"] {
            let speed = number(&report, direction, "bits_per_second");
            assert!(speed > 20e6, "{direction}: {speed} bit/s over {}", family.name());
        }
    }
}

pub(crate) fn iperf3_streams_udp_in_each_direction(stage: &mut Stage) {
    stage.start();
    for family in Family::BOTH {
        for direction in [&[][..], &["--reverse"]] {
            let options = [&["-u", "-b", "40M", "-l", "1200", "-t", "2"], direction].concat();
            let report = iperf3(stage, family, &options);
            let (sent, lost) = (number(&report, "sum", "packets"), number(&report, "sum", "lost_packets"));
            // A machine that does something else for 20 ms overruns the kernel's queues.
            assert!(
                sent > 5_000.0 && lost <= sent / 20.0,
                "{lost} of {sent} lost over {}, {direction:?}",
                family.name()
            );
        }
    }
}

/// iperf3 from a pod to the server: what it reports at its end.
fn iperf3(stage: &Stage, family: Family, options: &[&str]) -> Value {
    let (pod, server) = (stage.world.host("pod-a2"), stage.world.host("server"));
    let _server =
        Service::start(server.command("iperf3").args(["--server", "--forceflush"]), |said| said.contains("listening"));
    let mut client = pod.command("iperf3");
    client.args(["--json", "--client", &server.address(family).to_string()]).args(options);
    let Finished { stdout, .. } = run(&mut client, Duration::from_secs(40)).success();
    let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"));
    report["end"].clone()
}

fn number(report: &Value, part: &str, key: &str) -> f64 {
    report[part][key].as_f64().unwrap_or_else(|| panic!("no {part}.{key} in {report:#}"))
}
