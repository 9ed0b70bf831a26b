//! What a lab checks: each entry sends real traffic and judges what came of it.

mod boundary;
mod rates;
mod reach;

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Instant;

use crate::error::SetupError;
use crate::plan::{self, Family};
use crate::report::{CheckResult, Figure, Outcome};
use crate::traffic::Witness;
use crate::world::World;

/// One thing that should be so.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// "TCP download, IPv4".
    pub name: &'static str,
    judge: fn(&Scene<'_>) -> Result<Evidence, Failure>,
}

/// All checks, in the order in which they make sense: the last looks back on the
/// others.
pub const ALL: &[Check] = &[
    Check { name: "ping the gateway", judge: reach::ping_the_gateway },
    Check { name: "ping, IPv4", judge: |scene| reach::ping_the_server(scene, Family::V4) },
    Check { name: "ping, IPv6", judge: |scene| reach::ping_the_server(scene, Family::V6) },
    Check { name: "pod to pod across nodes", judge: reach::pod_to_pod },
    Check { name: "node to server", judge: reach::node_to_server },
    Check { name: "traceroute, IPv4", judge: |scene| reach::traceroute(scene, Family::V4) },
    Check { name: "traceroute, IPv6", judge: |scene| reach::traceroute(scene, Family::V6) },
    Check { name: "DNS lookup", judge: reach::dns_lookup },
    Check { name: "TCP download, IPv4", judge: |scene| rates::download(scene, Family::V4) },
    Check { name: "TCP download, IPv6", judge: |scene| rates::download(scene, Family::V6) },
    Check { name: "TCP both ways at once", judge: rates::both_ways },
    Check { name: "UDP questions, IPv4", judge: |scene| rates::udp_questions(scene, Family::V4) },
    Check { name: "UDP questions, IPv6", judge: |scene| rates::udp_questions(scene, Family::V6) },
    Check { name: "UDP stream", judge: rates::udp_stream },
    Check { name: "uninvited to the pool", judge: boundary::uninvited_to_the_pool },
    Check { name: "uninvited to a pod", judge: boundary::uninvited_to_a_pod },
    Check { name: "sources seen outside", judge: boundary::sources_seen_outside },
];

impl Check {
    /// Sends its traffic and judges; a few seconds at most.
    pub fn run(&self, scene: &Scene<'_>) -> CheckResult {
        let start = Instant::now();
        let (outcome, detail, figures) = match (self.judge)(scene) {
            Ok(Evidence { detail, figures }) => (Outcome::Pass, detail, figures),
            Err(failure) => (Outcome::Fail, failure.to_string(), Vec::new()),
        };
        CheckResult { name: self.name, outcome, detail, figures, seconds: start.elapsed().as_secs_f64() }
    }
}

/// Where checks take place, and what they remember for each other.
#[derive(Debug)]
pub struct Scene<'a> {
    world: &'a World,
    /// Size of a TCP download, in megabytes of 10⁶ bytes.
    megabytes: u32,
    /// Sources that the server saw of conversations with pods.
    sources: Mutex<BTreeSet<IpAddr>>,
    /// Sees at the server whoever should not be seen there.
    witness: Witness,
}

impl<'a> Scene<'a> {
    /// Sets the scene in an island world; a download is of `megabytes` · 10⁶ bytes.
    ///
    /// # Errors
    /// No privilege for packet sockets.
    pub fn new(world: &'a World, megabytes: u32) -> io::Result<Self> {
        let mut expected = Vec::new();
        for family in Family::BOTH {
            expected.push(plan::SERVER.network(family)); // the pool is in there
            expected.push(plan::GATEWAY_NODES.network(family));
        }
        let witness = Witness::watch(world.host("server"), &expected)?;
        Ok(Self { world, megabytes, sources: Mutex::default(), witness })
    }

    /// Remembers who the server saw when a pod spoke to it; that must be the pool.
    fn saw(&self, source: IpAddr) -> Result<(), Failure> {
        self.sources.lock().expect("no check panics with it").insert(source);
        if plan::POOL.contains(source) {
            return Ok(());
        }
        Err(Failure::Wrong(format!("the server saw {source}, which is not in the pool")))
    }
}

/// Why a check passed.
struct Evidence {
    detail: String,
    figures: Vec<Figure>,
}

impl Evidence {
    fn new(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), figures: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: f64, unit: &'static str) -> Self {
        self.figures.push(Figure { name, value, unit });
        self
    }
}

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The traffic broke off.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The world could not be changed as the check needs it.
    #[error("{0}")]
    Setup(#[from] SetupError),
    /// It went through, but not as it should: the sentence says how.
    #[error("{0}")]
    Wrong(String),
}

/// `Ok` if `holds`, and otherwise what is wrong.
fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::Wrong(otherwise())) }
}
