//! DPDK's `dpdk-testpmd` as a memif server, which was written by others than our client.

use std::path::{Path, PathBuf};
use std::thread;

use causeway_lab::Host;

use crate::program::Service;

/// The program; Debian has it in `dpdk-dev`.
pub const PROGRAM: &str = "dpdk-testpmd";

/// How to start it.
#[derive(Clone, Debug)]
pub struct Testpmd {
    /// The socket of its memif interfaces.
    pub socket: PathBuf,
    /// Devices of the host it runs on: what comes in by the first goes out by the memif
    /// interface 0 and the other way round, and so on.
    pub devices: Vec<&'static str>,
    /// Queues of each interface.
    pub queues: usize,
}

impl Testpmd {
    /// Starts it, and waits until it carries packets. It needs no huge pages, keeps a core
    /// busy, and may crash when its client ends before it does (22.11).
    ///
    /// # Panics
    /// As [`Service::start`].
    pub fn start(&self, host: &Host) -> Service {
        // One that was killed leaves its socket behind, and the next one refuses to be there too.
        let _ = std::fs::remove_file(&self.socket);
        let cores = thread::available_parallelism().map_or(1, usize::from) - 1;
        let mut command = host.command(PROGRAM);
        command.args(["--no-huge", "-m", "128", "--no-pci", "--no-telemetry"]);
        // Two threads, which the kernel puts where it likes.
        command.arg(format!("--lcores=0@(0-{cores}),1@(0-{cores})"));
        command.arg(format!("--file-prefix={}", prefix(&self.socket)));
        for (id, device) in self.devices.iter().enumerate() {
            let socket = self.socket.display();
            command.arg(format!("--vdev=net_memif{id},role=server,id={id},socket={socket},socket-abstract=no"));
            command.arg(format!("--vdev=net_af_packet{id},iface={device},qpairs={}", self.queues));
        }
        command.args(["--", "--forward-mode=io", "--auto-start", "--stats-period=1", "--total-num-mbufs=8192"]);
        command.arg(format!("--rxq={}", self.queues)).arg(format!("--txq={}", self.queues));
        Service::start(&mut command, |said| said.contains("Port statistics"))
    }
}

/// What tells several of them apart in `/run/dpdk`.
fn prefix(socket: &Path) -> String {
    let letters = socket.to_string_lossy();
    letters.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}
