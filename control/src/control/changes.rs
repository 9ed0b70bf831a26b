//! What control is told to be otherwise: the configuration, routes, ports, nodes and pods.

use causeway_fastpath::ids::Epoch;
use causeway_fastpath::time::Instant;

use super::Control;
use crate::compile::PortFacts;
use crate::config::{ClusterIdx, Config, PortIdx};
use crate::nodes::{Memory, Update};
use crate::pods::{NamespaceUpdate, PodUpdate};
use crate::reload::{Former, InForce, NeedsRestart, Prepared};
use crate::rib::Change;

impl Control {
    /// Works out what follows from another configuration; nothing changes. Copies every route,
    /// and shares the tables.
    ///
    /// # Errors
    /// It differs in what is only looked at on start.
    pub fn prepare(&self, config: Config, now: Instant) -> Result<Prepared, NeedsRestart> {
        self.in_force().prepare(config, now)
    }

    /// The configuration in force, to go back to: with [`Control::prepare_return`].
    pub fn former(&self) -> Former {
        Former { config: self.config.clone(), nodes: self.nodes.clone(), pods: self.pods.clone() }
    }

    /// As [`Control::prepare`], for a configuration that was in force. Where that in force now
    /// lacks a cluster of it, or asks another source, what its sources had said counts
    /// until they speak again.
    ///
    /// # Errors
    /// As [`Control::prepare`].
    pub fn prepare_return(&self, former: Former, now: Instant) -> Result<Prepared, NeedsRestart> {
        self.in_force().prepare_return(former, now)
    }

    fn in_force(&self) -> InForce<'_> {
        InForce {
            config: &self.config,
            domains: &self.domains,
            pool_ids: &self.pool_ids,
            compiler: &self.compiler,
            nodes: &self.nodes,
            pods: &self.pods,
            liveness: &self.liveness,
            next: Epoch(self.epoch.0 + 1),
            settled: self.settled(),
        }
    }

    /// Works by another configuration from now on: new tables follow, if it makes any other.
    /// What a pool, cluster, domain or port was called tells whether it is the same. What
    /// sources said of nodes stays, and so does who is known on the links.
    ///
    /// # Errors
    /// As [`Control::prepare`]; nothing has changed then.
    pub fn reload(&mut self, config: Config, now: Instant) -> Result<(), NeedsRestart> {
        let prepared = self.prepare(config, now)?;
        self.adopt(prepared, now);
        Ok(())
    }

    /// As [`Control::reload`], with what was prepared for exactly the state that control is in.
    pub fn adopt(&mut self, prepared: Prepared, now: Instant) {
        let Prepared { config, domains, pool_ids, compiler, nodes, pods, liveness, .. } = prepared;
        self.neighbors.reconfigure(&config, compiler.facts(), now);
        self.pools.forget(|pool| !pool_ids.is_named(pool));
        (self.config, self.domains, self.pool_ids) = (config, domains, pool_ids);
        (self.compiler, self.nodes) = (compiler, nodes);
        (self.pods, self.liveness) = (pods, liveness);
        self.meet_routers(now);
    }

    /// Changes routes, in this order. However many there are, and whatever else has
    /// happened, one new set of tables follows; see [`Control::poll_command`].
    ///
    /// # Panics
    /// A routing domain or a port is not one of the configuration's.
    pub fn change_routes(&mut self, changes: impl IntoIterator<Item = Change>, now: Instant) {
        for change in changes {
            let change = self.liveness.pass(change, now);
            self.compiler.change(change);
        }
        self.meet_routers(now);
    }

    /// The device of a port has gone, and with it whatever was known of its neighbours.
    pub fn forget_neighbors(&mut self, port: PortIdx, now: Instant) {
        self.neighbors.forget(port, now);
        self.neighbors.handle_timeout(now);
    }

    /// A port stands on another device by now: its tables follow, and its neighbours are met
    /// anew.
    pub fn replace_port(&mut self, port: PortIdx, facts: PortFacts, now: Instant) {
        self.neighbors.replace_port(port, &facts, now);
        self.compiler.replace_port(port, facts);
        self.neighbors.handle_timeout(now);
    }

    /// What sources say about the nodes of their clusters, in this order. The routes follow,
    /// as in [`Control::change_routes`].
    pub fn update_nodes(&mut self, updates: impl IntoIterator<Item = (ClusterIdx, Update)>, now: Instant) {
        for (cluster, update) in updates {
            self.nodes.update(cluster, update, now);
        }
        self.reconcile_nodes(now);
    }

    /// Takes up nodes that were remembered, as [`Nodes::recall`](crate::nodes::Nodes::recall) says. The routes follow.
    pub fn recall_nodes(&mut self, memory: &Memory, now: Instant, wall_s: u64) {
        self.nodes.recall(&self.config, memory, now, wall_s);
        self.reconcile_nodes(now);
    }

    fn reconcile_nodes(&mut self, now: Instant) {
        let changes = self.nodes.reconcile(&self.config, &self.domains);
        if !changes.is_empty() {
            self.change_routes(changes, now);
        }
    }

    /// What sources say about the pods of their clusters and about namespaces, each in this
    /// order. Which hosts egress rules select follows; sessions go on as they began.
    pub fn update_pods(
        &mut self,
        pods: impl IntoIterator<Item = (ClusterIdx, PodUpdate)>,
        namespaces: impl IntoIterator<Item = (ClusterIdx, NamespaceUpdate)>,
        now: Instant,
    ) {
        for (cluster, update) in namespaces {
            self.pods.update_namespaces(cluster, update, now);
        }
        for (cluster, update) in pods {
            self.pods.update_pods(cluster, update, now);
        }
        for (domain, hosts) in self.pods.reconcile(&self.config, &self.domains) {
            self.compiler.select(domain, &hosts);
        }
    }
}
