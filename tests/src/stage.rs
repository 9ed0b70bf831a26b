//! A world with the real program as its gateway.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use causeway_lab::gateway::{Ended, Gateway, GatewayError, GatewayStart};
use causeway_lab::privilege::Privilege;
use causeway_lab::{Driver, IslandBuilder, World, plan};
use serde_json::Value;

use crate::counters::Counters;
use crate::executable::executable;
use crate::folder::Folder;
use crate::program::{Service, run, wait_until};
use crate::testpmd::Testpmd;

/// What the gateway's ports stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// AF_PACKET on veth as it comes: frames of up to 64 KiB, partial checksums.
    AfPacket,
    /// AF_XDP, and frames as a physical wire carries them.
    AfXdp,
    /// AF_XDP on veth as it comes: partial checksums.
    AfXdpPartial,
    /// As AF_PACKET, with two workers, to either of which a packet may come.
    TwoWorkers,
    /// As [`Medium::AfXdp`], with two workers, of which each has a queue of each device.
    /// Needs ethtool.
    TwoXdpWorkers,
    /// memif, with `dpdk-testpmd` as server, which carries everything to frames as a physical
    /// wire carries them. Needs that program.
    Memif,
    /// As [`Medium::Memif`], with two workers, of which each has a pair of rings.
    TwoMemifWorkers,
}

impl Medium {
    /// The driver's.
    pub fn driver(self) -> Driver {
        match self {
            Medium::AfPacket | Medium::TwoWorkers => Driver::AfPacket,
            // The configuration names it, which counts for more than the command line.
            Medium::Memif | Medium::TwoMemifWorkers => Driver::Auto,
            Medium::AfXdp | Medium::AfXdpPartial | Medium::TwoXdpWorkers => Driver::AfXdp,
        }
    }

    /// What a test on it needs.
    pub fn privilege(self) -> Privilege {
        match self {
            Medium::AfPacket | Medium::TwoWorkers => Privilege::UserNamespace,
            Medium::AfXdp | Medium::AfXdpPartial | Medium::TwoXdpWorkers | Medium::Memif | Medium::TwoMemifWorkers => {
                Privilege::Root
            }
        }
    }

    /// How many workers the gateway has.
    pub fn workers(self) -> usize {
        match self {
            Medium::AfPacket | Medium::AfXdp | Medium::AfXdpPartial | Medium::Memif => 1,
            Medium::TwoWorkers | Medium::TwoXdpWorkers | Medium::TwoMemifWorkers => 2,
        }
    }

    fn is_memif(self) -> bool {
        matches!(self, Medium::Memif | Medium::TwoMemifWorkers)
    }
}

/// How long a gateway may take to be ready, on a machine that is busy with other tests.
pub const READY: Duration = Duration::from_secs(30);
/// How long a gateway may take to end after SIGTERM, on such a machine.
pub const END: Duration = Duration::from_secs(20);

/// The gateway's devices, toward the outside and toward nodes.
const DEVICES: [&str; 2] = ["eth0", "eth1"];

/// The right to be the only one at work as long as it is held: two worlds in a
/// process would take each other's time away. Every [`Stage`] holds it.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A world, a gateway in it, and a folder.
#[derive(Debug)]
pub struct Stage {
    // In the order in which they go.
    memif_server: Option<Service>,
    gateway: Option<Gateway>,
    /// The world.
    pub world: World,
    folder: Folder,
    config: PathBuf,
    medium: Medium,
    _alone: MutexGuard<'static, ()>,
}

impl Stage {
    /// Builds the world. `configs/lab.toml` is the configuration.
    ///
    /// # Panics
    /// It cannot be built, or the kernel forwards packets in the gateway's place.
    pub fn new(medium: Medium) -> Stage {
        Stage::of(medium, World::island())
    }

    /// Builds this world, as [`Stage::new`] builds the standard one.
    ///
    /// # Panics
    /// As [`Stage::new`].
    pub fn of(medium: Medium, world: IslandBuilder) -> Stage {
        let alone = alone();
        let world = world.build().expect("a world");
        if matches!(medium, Medium::AfXdp | Medium::TwoXdpWorkers) || medium.is_memif() {
            world.set_wire_offloads(false).expect("wires without offloads");
        }
        if medium == Medium::TwoXdpWorkers {
            for device in ["eth0", "eth1"] {
                let mut ethtool = world.gateway().command("ethtool");
                run(ethtool.args(["-L", device, "rx", "2", "tx", "2"]), Duration::from_secs(5)).success();
            }
        }
        let folder = Folder::new();
        let config = folder.path().join("lab.toml");
        let mut stage = Stage { memif_server: None, gateway: None, world, folder, config, medium, _alone: alone };
        stage.configure(plan::CONFIG);
        stage.assert_kernel_does_not_forward();
        stage
    }

    /// What the ports stand on.
    pub fn medium(&self) -> Medium {
        self.medium
    }

    /// Where files may be put. It holds the configuration, `lab.toml`, and the
    /// gateway's API socket, `api.sock`.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Where the API listens.
    pub fn api(&self) -> PathBuf {
        self.folder.path().join("api.sock")
    }

    /// Uses another configuration from the next start on.
    pub fn configure(&mut self, text: &str) {
        let two = self.medium.workers() == 2;
        let mut text = if two { text.replace("cores = [0]", "cores = [0, 1]") } else { text.to_owned() };
        if self.medium.is_memif() {
            let socket = self.testpmd().socket;
            for (id, device) in DEVICES.into_iter().enumerate() {
                let memif = format!("device = {socket:?}\ndriver = \"memif\"\nmemif-id = {id}");
                text = text.replace(&format!("device = \"{device}\"\ndriver = \"auto\""), &memif);
            }
        }
        self.config = self.folder.write("lab.toml", &text);
    }

    /// Starts the gateway.
    ///
    /// # Panics
    /// It does not get ready.
    pub fn start(&mut self) {
        if self.medium.is_memif() {
            self.start_memif_server();
        }
        self.gateway = Some(self.try_start().unwrap_or_else(|error| panic!("{error}")));
    }

    /// Starts the memif server, or another one in its place.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn start_memif_server(&mut self) {
        self.stop_memif_server();
        self.memif_server = Some(self.testpmd().start(self.world.gateway()));
    }

    /// Kills the memif server, if there is one.
    pub fn stop_memif_server(&mut self) {
        self.memif_server = None;
    }

    fn testpmd(&self) -> Testpmd {
        let socket = self.folder.path().join("memif.sock");
        Testpmd { socket, devices: DEVICES.to_vec(), queues: self.medium.workers() }
    }

    /// Starts a gateway that is not the stage's.
    ///
    /// # Errors
    /// It does not get ready.
    pub fn try_start(&self) -> Result<Gateway, GatewayError> {
        let (api, driver) = (self.api(), self.medium.driver());
        let start = GatewayStart { executable: executable(), config: &self.config, api: &api, driver, patience: READY };
        Gateway::start(self.world.gateway(), start)
    }

    /// The running gateway.
    ///
    /// # Panics
    /// There is none.
    pub fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().expect("a gateway was started")
    }

    /// Takes the gateway off the stage.
    ///
    /// # Panics
    /// There is none.
    pub fn take_gateway(&mut self) -> Gateway {
        self.gateway.take().expect("a gateway was started")
    }

    /// Stops the gateway with SIGTERM.
    ///
    /// # Panics
    /// It does not end well, or not soon.
    pub fn stop(&mut self) -> Ended {
        self.stop_memif_server();
        let ended = self.take_gateway().stop(END);
        assert!(ended.status.success(), "{} after {:?}\n{}", ended.status, ended.took, ended.stderr);
        ended
    }

    /// What `causeway show WHAT --json` says.
    ///
    /// # Panics
    /// It fails or is no JSON.
    pub fn show(&self, what: &str) -> Value {
        let text = self.gateway().show(&[what, "--json"]).unwrap_or_else(|error| panic!("show {what}: {error}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("show {what} --json: {error}: {text}"))
    }

    /// The counters as they are now.
    pub fn counters(&self) -> Counters {
        Counters::parse(&self.show("counters"))
    }

    /// The counters once nothing moves any more. A worker publishes them number by
    /// number now and then, so while packets pass they need not agree.
    ///
    /// # Panics
    /// The law of conservation does not hold then.
    pub fn settled_counters(&self) -> Counters {
        let mut last = self.counters();
        wait_until(Duration::from_secs(5), || {
            thread::sleep(Duration::from_millis(150));
            let now = self.counters();
            let settled = now == last && now.conserve();
            last = now;
            settled
        });
        assert!(last.conserve(), "packets were lost or invented:\n{last}");
        last
    }

    /// Requires that the kernel forwards nothing in the gateway's namespace: what
    /// crosses, crosses through the gateway program.
    ///
    /// # Panics
    /// It does.
    pub fn assert_kernel_does_not_forward(&self) {
        let here = self.world.gateway().namespace();
        for switch in ["net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding", "net.ipv6.conf.all.forwarding"] {
            assert_eq!(here.sysctl(switch).expect("a switch"), "0", "{switch} in the gateway's namespace");
        }
    }
}
