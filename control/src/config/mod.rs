//! The configuration file: from TOML text to a [`Config`] that holds only sense.
//!
//! Read against one table of keys, which also makes `docs/config.md`; then each
//! section is checked, alone and against the others. Nothing stops at the first
//! error: a file is reported whole, each finding with its line and column.

mod allocation;
mod apart;
mod claims;
mod clusters;
mod egress;
mod exemptions;
mod forwards;
mod gateway;
mod keys;
mod liveness;
mod model;
mod names;
mod neighbors;
mod nodes;
mod nodes_from;
mod policies;
mod pools;
mod ports;
mod public;
mod reference;
mod report;
mod routes;
mod schema;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod value;

use std::fs::File;
use std::io::Read;
use std::path::Path;

pub(crate) use claims::{Claims, overlap};
pub(crate) use keys::MOST_NODES;
pub use model::{
    Cluster, ClusterIdx, Config, Driver, Egress, EgressRule, Gateway, Idle, Liveness, Model, Neighbor, NextHop, Node,
    NodeMaskSize, NodesFrom, Pool, PoolIdx, Port, PortIdx, Probe, Route, RouteKind, Senders, Timers, UdpPortTimer,
};
pub use policies::{Party, Policy};
pub use public::{Forward, Protocol, StaticNat};
pub use reference::reference;
pub use report::{ConfigError, ConfigErrors, Warning};
pub(crate) use schema::suggestion;
pub use source::Position;
pub(crate) use value::{Complaint, address, host, node_name, prefix, prefix_or_address};

use causeway_fastpath::ids::VrfId;
use report::{At, Report};
use table::Table;

use crate::domains::Domains;
use crate::rib::{self, Via};

impl Config {
    /// Reads and checks a file.
    ///
    /// Beside the configuration come warnings: what was accepted, but hardly meant.
    /// The pod CIDRs of nodes that leave them open are allocated; the same file
    /// always gives the same ones.
    ///
    /// # Errors
    /// Everything that is wrong with the file, or that it cannot be read, is not
    /// UTF-8, or is larger than 16 MiB.
    pub fn load(path: &Path) -> Result<(Self, Vec<Warning>), ConfigErrors> {
        Self::parse(&path.display().to_string(), &Self::read(path)?)
    }

    /// The cluster of this name.
    pub(crate) fn cluster_named(&self, name: &str) -> Option<ClusterIdx> {
        self.clusters.iter().position(|cluster| cluster.name == name).map(ClusterIdx)
    }

    /// The text of a file, unchecked.
    ///
    /// # Errors
    /// It cannot be read, is not UTF-8, or is larger than 16 MiB.
    pub fn read(path: &Path) -> Result<String, ConfigErrors> {
        let file = path.display().to_string();
        let bytes = read_bounded(path).map_err(|error| {
            ConfigErrors::unreadable(&file, format!("cannot be read: {error}; name a readable file"))
        })?;
        if bytes.len() > LARGEST_FILE {
            return Err(too_large(&file));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(text),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let text = std::str::from_utf8(&error.as_bytes()[..valid]).unwrap_or_default();
                let mut report = Report::new(&file, text);
                report.error(&At::place(valid, ""), "is not UTF-8", "save the file as UTF-8");
                Err(report.fail())
            }
        }
    }

    /// Checks the text of a file; `file` is what messages call it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(file: &str, text: &str) -> Result<(Self, Vec<Warning>), ConfigErrors> {
        if text.len() > LARGEST_FILE {
            return Err(too_large(file));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut report = Report::new(file, text);
        let document = match toml_edit::Document::parse(text) {
            Ok(document) => document,
            Err(error) => {
                let place = At::place(error.span().unwrap_or_default().start, "");
                let what = format!("is not TOML: {}", error.message().replace('\n', ", "));
                report.error(&place, what, "mend this first, the rest was not checked");
                return Err(report.fail());
            }
        };
        let config = check(&mut report, document.as_table());
        if report.error_count() == 0 {
            let cores = document.as_table().get("gateway").and_then(|gateway| gateway.get("cores")?.span());
            if let (true, Err(what)) = (config.gateway.cores.len() > 1, config.suits_several_workers()) {
                let place = At::place(cores.map_or(0, |span| span.start), "gateway.cores");
                report.error(&place, format!("names several cores, and {what}"), APART);
            }
        }
        let warnings = report.finish()?;
        Ok((config, warnings))
    }

    /// May several workers share it? What leaves one inside domain for another belongs to
    /// hosts of both, which may be two workers'.
    ///
    /// # Errors
    /// What is in the way.
    pub fn suits_several_workers(&self) -> Result<(), String> {
        let domains = Domains::of(self);
        let is_between = |route: &rib::Route| {
            matches!(route.via, Via::Egress(to) if to != VrfId::MAIN) && route.domain != VrfId::MAIN
        };
        match rib::routes(self, &domains).into_iter().find(is_between) {
            Some(route) => {
                let from = domains.name(route.domain);
                Err(format!("{} is reached from {from:?} without leaving for the outside", route.to))
            }
            None => Ok(()),
        }
    }
}

/// What would do where [`Config::suits_several_workers`] says no.
const APART: &str = "clusters that meet each other so (flat ones with an egress, and those that a [[policy]] joins) \
                     take one core in this version";

/// Every section in turn; each sees what the ones before it found.
///
/// What could not be read is left out or filled with something harmless: the
/// result counts only if nothing was reported.
fn check(report: &mut Report<'_>, document: &toml_edit::Table) -> Config {
    let file = Table::file(report, document, &keys::FILE);
    let gateway = gateway::gateway(report, &file);
    let timers = gateway::timers(report, &file);
    let ports = ports::ports(report, &file);
    let pools = pools::pools(report, &file, &ports);
    let clusters = clusters::clusters(report, &file, &ports, &pools);
    let routes = routes::routes(report, &file, &ports, &pools, &clusters);
    let neighbors = neighbors::neighbors(report, &file, &ports, &pools);
    let around = forwards::Surroundings {
        ports: &ports,
        pools: &pools,
        clusters: &clusters,
        routes: &routes,
        neighbors: &neighbors,
    };
    let policies = policies::policies(report, &file, &clusters);
    let (forwards, static_nat) = forwards::forwards(report, &file, &around);
    Config {
        gateway,
        ports: ports.list,
        routes,
        pools: pools.list,
        clusters: clusters.list,
        forwards,
        static_nat,
        policies,
        neighbors,
        timers,
    }
}

/// Never more than a byte over the bound, whatever the path leads to.
fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = LARGEST_FILE as u64 + 1;
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn too_large(file: &str) -> ConfigErrors {
    ConfigErrors::unreadable(file, "is larger than 16 MiB; a configuration is smaller")
}

/// The largest file that is read, in bytes.
pub const LARGEST_FILE: usize = 16 << 20;
