//! Looking at a wire with tcpdump, and at what was seen with tshark.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use causeway_lab::Host;

use crate::program::{Service, run};

/// A tcpdump at work.
#[derive(Debug)]
pub struct Capture {
    tcpdump: Service,
    file: PathBuf,
}

impl Capture {
    /// Starts to write every frame on an interface of `host` into `file`, whole up to
    /// 4 KiB: longer ones cannot come where hosts compute their checksums themselves.
    ///
    /// # Panics
    /// tcpdump does not start.
    pub fn start(host: &Host, interface: &str, file: PathBuf) -> Capture {
        let mut command = host.command("tcpdump");
        // -s, -B: room for 32 000 frames, as each takes the longest one's place.
        // -Z: else it becomes a user that may not write here.
        command.args(["-i", interface, "-n", "-U", "--immediate-mode", "-s", "4096", "-B", "131072", "-Z", "root"]);
        command.arg("-w");
        let tcpdump = Service::start(command.arg(&file), |said| said.contains("listening on"));
        Capture { tcpdump, file }
    }

    /// Ends it; the capture's file.
    ///
    /// # Panics
    /// Frames were missed: what was not seen proves nothing.
    pub fn stop(self) -> PathBuf {
        // The last frames are on their way from the kernel's ring.
        thread::sleep(Duration::from_millis(300));
        let said = self.tcpdump.end(libc::SIGINT);
        assert!(said.contains("\n0 packets dropped by kernel"), "tcpdump: {said}");
        self.file
    }
}

/// Has tshark check every checksum of a capture; the fields of each frame that
/// `filter` lets through. A frame may hold a field several times, in the headers
/// that an ICMP error quotes for one: then they are joined with commas.
///
/// # Panics
/// tshark fails: there is no such field, or the file is no capture.
pub fn dissect(file: &Path, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.arg("-n").arg("-r").arg(file).args(["-Y", filter, "-T", "fields"]);
    for protocol in ["ip", "tcp", "udp"] {
        command.args(["-o", &format!("{protocol}.check_checksum:TRUE")]);
    }
    for field in fields {
        command.args(["-e", field]);
    }
    let finished = run(&mut command, Duration::from_secs(120)).success();
    finished.stdout.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// The frames whose checksum of any layer tshark finds wrong.
pub const BAD_CHECKSUM: &str = "ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0 \
                                || icmp.checksum.status == 0 || icmpv6.checksum.status == 0";
/// The frames whose TCP checksum is 0xffff where 0 would do: tshark calls them wrong, but
/// the two are the same number (RFC 1624, section 3), and Linux never sends the 0.
pub const MINUS_ZERO: &str = "tcp.checksum.ffff";
/// The frames that hold a transport checksum which tshark finds right.
pub const GOOD_CHECKSUM: &str = "tcp.checksum.status == 1 || udp.checksum.status == 1 || icmp.checksum.status == 1 \
                                 || icmpv6.checksum.status == 1";
