//! Another configuration for a gateway that runs.
//!
//! What it would change is worked out aside, on copies that share every table with those in
//! force: a plan shows that, and a reload takes it over. So a reload does what its plan
//! said, and one that cannot be carried out has touched nothing.

mod difference;
mod items;
mod ports;
mod sessions;

use std::collections::BTreeMap;

use causeway_fastpath::ids::{Epoch, VrfId};
use causeway_fastpath::snapshot::Snapshot;
use causeway_fastpath::time::Instant;
use ipnet::IpNet;

use crate::compile::{Compiler, PoolIds};
use crate::config::Config;
use crate::domains::Domains;
use crate::liveness::Liveness;
use crate::nodes::Nodes;
use crate::pods::Pods;
use crate::rib::{self, Change, Rib};

pub use difference::{Difference, Turn, ValueChange, differences};
pub use sessions::{Fates, Judged, MOST_NAMED, Owner, outcome_word};
pub(crate) use sessions::{JudgeWalk, Owners};

/// A configuration that is ready to take the place of the one in force.
pub struct Prepared {
    pub(crate) config: Config,
    pub(crate) domains: Domains,
    pub(crate) pool_ids: PoolIds,
    pub(crate) compiler: Compiler,
    pub(crate) nodes: Nodes,
    pub(crate) pods: Pods,
    pub(crate) liveness: Liveness,
    differences: Vec<Difference>,
    routes: Vec<RouteChanges>,
}

/// A configuration that was in force, to go back to, and what sources had said by then.
pub struct Former {
    pub(crate) config: Config,
    pub(crate) nodes: Nodes,
    pub(crate) pods: Pods,
}

/// How many destinations have another route, in a routing domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteChanges {
    /// What people call the domain.
    pub domain: String,
    /// They had none.
    pub added: usize,
    /// They have none any more.
    pub removed: usize,
    /// Theirs leads elsewhere.
    pub changed: usize,
}

/// Why a configuration cannot take the place of the one in force while the gateway runs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("needs a restart: {}", .0.join("; "))]
pub struct NeedsRestart(pub Vec<String>);

/// What is in force.
pub(crate) struct InForce<'a> {
    pub(crate) config: &'a Config,
    pub(crate) domains: &'a Domains,
    pub(crate) pool_ids: &'a PoolIds,
    pub(crate) compiler: &'a Compiler,
    pub(crate) nodes: &'a Nodes,
    pub(crate) pods: &'a Pods,
    pub(crate) liveness: &'a Liveness,
    /// The tables that are made next.
    pub(crate) next: Epoch,
    /// The newest tables by which every worker has judged all its sessions.
    pub(crate) settled: Epoch,
}

impl InForce<'_> {
    /// Works out what follows from another configuration.
    pub(crate) fn prepare(&self, config: Config, now: Instant) -> Result<Prepared, NeedsRestart> {
        self.prepare_with(config, (None, None), now)
    }

    /// Works out what follows from a configuration that was in force before, in which clusters
    /// that are not there now have the nodes and pods that they had.
    pub(crate) fn prepare_return(&self, former: Former, now: Instant) -> Result<Prepared, NeedsRestart> {
        let Former { config, nodes, pods } = former;
        self.prepare_with(config, (Some(&nodes), Some(&pods)), now)
    }

    fn prepare_with(
        &self,
        mut config: Config,
        (nodes, pods): (Option<&Nodes>, Option<&Pods>),
        now: Instant,
    ) -> Result<Prepared, NeedsRestart> {
        ports::in_order_of(&mut config, self.config);
        let differences = differences(self.config, &config);
        let restarts: Vec<String> = differences.iter().flat_map(Difference::restarts).collect();
        if !restarts.is_empty() {
            return Err(NeedsRestart(restarts));
        }
        let domains = self.domains.followed(&config, self.next, self.settled);
        let pool_ids = self.pool_ids.followed(&config, self.next, self.settled);
        let nodes = self.nodes.followed(self.config, &config, &domains, nodes, now);
        let mut compiler = self.compiler.clone();
        compiler.set_policy(&config, &domains, &pool_ids);
        let mut pods = self.pods.followed(self.config, &config, pods, now);
        for (domain, hosts) in pods.reconcile(&config, &domains) {
            compiler.select(domain, &hosts);
        }
        // Routes are compared as they are asked for, and what is withdrawn comes on top.
        self.liveness.restore().into_iter().for_each(|change| compiler.change(change));
        let before = rib::routes(self.config, self.domains).into_iter().chain(self.nodes.routes(self.domains));
        let after = rib::routes(&config, &domains).into_iter().chain(nodes.routes(&domains));
        let gone = |domain: VrfId| self.domains.exists(domain) && !domains.exists(domain);
        let changes = rib::follow(compiler.rib(), before, after, gone);
        let mut concerned: Vec<(VrfId, IpNet)> = changes.iter().map(destination).collect();
        concerned.sort_unstable();
        concerned.dedup();
        changes.into_iter().for_each(|change| compiler.change(change));
        let wanted = rib::routes(&config, &domains).into_iter().chain(nodes.routes(&domains));
        let (liveness, withdrawn) = self.liveness.followed(self.config, &config, wanted, now);
        withdrawn.into_iter().for_each(|change| compiler.change(change));
        let routes = count(&concerned, self.compiler.rib(), compiler.rib(), &domains);
        Ok(Prepared { config, domains, pool_ids, compiler, nodes, pods, liveness, differences, routes })
    }
}

fn destination(change: &Change) -> (VrfId, IpNet) {
    match change {
        Change::Add(route) => (route.domain, route.to),
        Change::Withdraw { domain, to, .. } => (*domain, *to),
    }
}

fn count(concerned: &[(VrfId, IpNet)], before: &Rib, after: &Rib, domains: &Domains) -> Vec<RouteChanges> {
    let mut counts: BTreeMap<VrfId, RouteChanges> = BTreeMap::new();
    for (domain, to) in concerned {
        let (was, is) = (before.best(*domain, *to), after.best(*domain, *to));
        if was == is {
            continue;
        }
        let new = || RouteChanges { domain: domains.name(*domain).to_owned(), ..RouteChanges::default() };
        let count = counts.entry(*domain).or_insert_with(new);
        match (was, is) {
            (None, _) => count.added += 1,
            (_, None) => count.removed += 1,
            _ => count.changed += 1,
        }
    }
    counts.into_values().collect()
}

impl Prepared {
    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What of the configuration is other than before.
    pub fn differences(&self) -> &[Difference] {
        &self.differences
    }

    /// How many routes are other than before, by domain; those of nodes among them.
    pub fn routes(&self) -> &[RouteChanges] {
        &self.routes
    }

    /// The tables that workers would get.
    pub(crate) fn snapshot(&mut self, epoch: Epoch) -> Snapshot {
        self.compiler.snapshot(epoch)
    }
}
