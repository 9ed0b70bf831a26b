//! The controller: events and time in, commands out.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use causeway_fastpath::command::{Command, Event, PoolRow, SessionRow};
use causeway_fastpath::frame::Frame;
use causeway_fastpath::handoff::Errand;
use causeway_fastpath::ids::{Epoch, PoolId, PortId, VrfId, WorkerId};
use causeway_fastpath::session::SessionFilter;
use causeway_fastpath::time::Instant;
use causeway_fastpath::verdict::PuntReason;

use crate::api::read_filter;
use crate::compile::{self, Build, Compiler, PoolIds, PortFacts};
use crate::config::{ClusterIdx, Config, PortIdx};
use crate::domains::Domains;
use crate::holders::{HostRow, HostWalk, PoolAlarm, PoolWalk};
use crate::liveness::{Liveness, News, Question, echo};
use crate::neighbors::{Effect, Neighbors, Row, Waiting, free};
use crate::nodes::{Memory, NodeRow, Nodes, Quarantine, SourceRow, Update};
use crate::pods::{NamespaceUpdate, PodUpdate, Pods};
use crate::reload::{Former, InForce, JudgeWalk, Judged, NeedsRestart, Owners, Prepared};
use crate::rib::{Change, Route};
use crate::rooms::Rooms;
use crate::sessions::Walks;
use crate::vacancies::Vacancies;

/// Room around a frame that control makes, for the headers of an ICMP error.
const ROOM: usize = 128;

/// Everything control knows and decides.
///
/// Drive it like this: hand in whatever has happened, then carry out what
/// [`Control::poll_command`] returns, in order, until it returns nothing; with several
/// workers, what [`Control::poll_command_for`] returns for each. However much has happened in
/// between, there is one new set of tables for it at most.
pub struct Control {
    config: Config,
    domains: Domains,
    compiler: Compiler,
    neighbors: Neighbors,
    nodes: Nodes,
    pods: Pods,
    liveness: Liveness,
    epoch: Epoch,
    /// By worker: the tables in force, and what it is to do.
    installed: Vec<Epoch>,
    /// By worker: the newest tables by which it was to judge its sessions, and those by which
    /// it has.
    judged: Vec<(Epoch, Epoch)>,
    commands: Vec<VecDeque<Command>>,
    rooms: Rooms,
    vacancies: Vacancies,
    walks: Walks,
    pools: PoolWalk,
    hosts: HostWalk,
    judging: JudgeWalk,
    pool_ids: PoolIds,
}

/// A forwarding table, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRow {
    /// The routing domain.
    pub domain: VrfId,
    /// Is it that of IPv6?
    pub v6: bool,
    /// How many routes it holds, by prefix length.
    pub lengths: BTreeMap<u8, usize>,
    /// How it was made.
    pub build: Build,
}

impl Control {
    /// Takes over a configuration; `facts` are those of its ports, in order, and
    /// `flow_seed` is the secret by which flows are spread over several next hops.
    pub fn new(config: Config, facts: Vec<PortFacts>, flow_seed: u64, now: Instant) -> Control {
        let (domains, pool_ids, compiler) = compile::plan(&config, facts.clone(), flow_seed);
        let neighbors = Neighbors::new(&config, &facts, now);
        let nodes = Nodes::new(&config, now);
        let pods = Pods::new(&config, now);
        let mut liveness = Liveness::new(&config, now);
        // Nobody is dead yet: they are as they are.
        compiler.rib().routes().for_each(|route| drop(liveness.pass(Change::Add(route), now)));
        let workers = config.gateway.cores.len();
        let rooms = Rooms::new(workers, config.gateway.sessions_per_worker(), flow_seed);
        let mut control = Control {
            config,
            domains,
            compiler,
            neighbors,
            nodes,
            pods,
            liveness,
            epoch: Epoch(0),
            installed: vec![Epoch(0); workers],
            judged: vec![(Epoch(0), Epoch(0)); workers],
            commands: (0..workers).map(|_| VecDeque::new()).collect(),
            rooms,
            vacancies: Vacancies::new(workers),
            walks: Walks::new(workers),
            pools: PoolWalk::new(workers),
            hosts: HostWalk::new(workers),
            judging: JudgeWalk::new(workers),
            pool_ids,
        };
        control.meet_routers(now);
        control.settle();
        control
    }

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

    /// Starts to find out what would become of each session. One such walk goes on at a time:
    /// `false` when one does already. [`Control::take_judged`] has the result.
    #[must_use]
    pub fn judge_sessions(&mut self, request: u64, prepared: &mut Prepared) -> bool {
        let after = prepared.snapshot(self.next_epoch());
        let owners = Owners::new(&self.config, &self.domains, &self.nodes);
        let first = self.judging.begin(request, (self.rooms.last(), &after), owners);
        let started = first.is_some();
        self.command(first);
        started
    }

    /// What would become of each session, once all were looked at.
    pub fn take_judged(&mut self) -> Option<Judged> {
        self.judging.take()
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

    /// Takes up nodes that were remembered, as [`Nodes::recall`] says. The routes follow.
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

    /// The first worker reports, most often the only one.
    pub fn handle_event(&mut self, event: Event, now: Instant) {
        self.handle_event_from(WorkerId(0), event, now);
    }

    /// A worker reports.
    ///
    /// # Panics
    /// There is no such worker.
    pub fn handle_event_from(&mut self, worker: WorkerId, event: Event, now: Instant) {
        match event {
            Event::Installed { epoch, retired } => {
                self.installed[worker.index()] = epoch;
                drop(retired);
                self.vacancies.heed(self.judged_by_all());
            }
            Event::Settled(room) => {
                let (_, after) = room.epochs();
                self.judged[worker.index()].1 = after;
                self.vacancies.heed(self.judged_by_all());
            }
            Event::Punted(reason, frame, errand) => {
                self.punted(reason, Waiting { frame, worker, errand }, now);
            }
            Event::Sessions(page) => {
                let next = if self.hosts.wants(&page) {
                    self.hosts.met(worker, page)
                } else if self.judging.wants(&page) {
                    self.judging.met(worker, page)
                } else {
                    self.walks.paged(worker, *page)
                };
                self.command(next);
            }
            Event::Pools(mut page) => {
                page.rows.retain(|row| self.pool_ids.is_named(row.pool));
                let next = self.pools.paged(worker, page);
                self.command(next);
            }
            Event::Refused(page) => {
                let next = self.hosts.refused(worker, page);
                self.command(next);
            }
            Event::SessionsEnded(kill) => {
                let next = self.walks.ended(worker, kill);
                self.command(next);
            }
            Event::Spent(frame) => free(frame),
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.neighbors.handle_timeout(now);
        self.ask_nodes(now);
    }

    /// When [`Control::handle_timeout`] wants to be called at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.neighbors.poll_timeout(), self.liveness.poll_timeout()].into_iter().flatten().min()
    }

    /// The next command for the first worker.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.poll_command_for(WorkerId(0))
    }

    /// The next command for a worker.
    ///
    /// # Panics
    /// There is no such worker.
    pub fn poll_command_for(&mut self, worker: WorkerId) -> Option<Command> {
        self.settle();
        self.commands[worker.index()].pop_front()
    }

    /// The version of the tables that hold everything that control knows now.
    pub fn next_epoch(&self) -> Epoch {
        Epoch(self.epoch.0 + u64::from(self.has_changed()))
    }

    fn has_changed(&self) -> bool {
        self.neighbors.has_changed() || self.compiler.has_changed() || self.vacancies.are_free()
    }

    /// The newest tables that are all in force, and by which every worker has judged all its
    /// sessions.
    pub fn settled(&self) -> Epoch {
        self.vacancies.in_force(self.judged_by_all())
    }

    fn judged_by_all(&self) -> Epoch {
        let of =
            |(installed, (wanted, done)): (&Epoch, &(Epoch, Epoch))| if done < wanted { *done } else { *installed };
        self.installed.iter().zip(&self.judged).map(of).min().unwrap_or_default()
    }

    /// Is there a worker that has not judged all its sessions by the newest tables by which it
    /// is to, or will be?
    pub fn is_judging(&mut self) -> bool {
        self.settle();
        self.vacancies.are_going() || self.judged.iter().any(|(wanted, done)| done < wanted)
    }

    /// Are the newest tables in force, with every worker?
    pub fn is_settled(&self) -> bool {
        let in_force = self.installed.iter().all(|installed| *installed == self.epoch);
        in_force && !self.has_changed() && !self.vacancies.are_waiting()
    }

    /// The configuration it works by.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What people call a routing domain.
    pub fn domain_name(&self, domain: VrfId) -> &str {
        self.domains.name(domain)
    }

    /// What people call the routing domain of what arrives on a port.
    pub fn domain_of(&self, port: PortIdx) -> &str {
        self.domains.name(self.domains.of_port(port))
    }

    /// The best route to each destination, by domain and destination.
    pub fn routes(&self) -> impl Iterator<Item = Route> + '_ {
        self.compiler.rib().routes()
    }

    /// Every forwarding table, main first, IPv4 before IPv6. Looks at every route.
    pub fn tables(&self) -> impl Iterator<Item = TableRow> + '_ {
        let mut lengths = self.compiler.rib().lengths();
        let families = |domain| [(domain, false), (domain, true)];
        self.domains.all().flat_map(families).map(move |(domain, v6)| TableRow {
            domain,
            v6,
            lengths: lengths.remove(&(domain, v6)).unwrap_or_default(),
            build: self.compiler.built(domain, v6),
        })
    }

    /// Every node that a source knows, by cluster and name.
    pub fn nodes(&self) -> impl Iterator<Item = NodeRow<'_>> + '_ {
        self.nodes.rows()
    }

    /// Nodes as their sources say, and what they come to.
    pub fn learned_nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// The source of every cluster whose nodes the configuration does not say.
    pub fn node_sources(&self) -> impl Iterator<Item = SourceRow<'_>> + '_ {
        self.nodes.sources()
    }

    /// The source of every cluster with an egress rule that selects pods: what it knows
    /// ("pods" or "namespaces"), and how it is.
    pub fn pod_sources(&self) -> impl Iterator<Item = (&'static str, SourceRow<'_>)> + '_ {
        self.pods.sources()
    }

    /// How many pods each rule of a cluster that selects some chooses now, in their order.
    /// Looks at every chosen pod.
    pub fn chosen_pods(&self, cluster: ClusterIdx) -> Vec<usize> {
        self.pods.counts(&self.config, cluster)
    }

    /// Nodes with which something is wrong that was not when this was last asked.
    pub fn take_quarantines(&mut self) -> Vec<Quarantine> {
        self.nodes.take_quarantines()
    }

    /// Whether nodes answer, where they are asked.
    pub fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    /// What was found out about nodes that are asked whether they live, since this was last
    /// asked.
    pub fn take_liveness_news(&mut self) -> Vec<News> {
        self.liveness.take_news()
    }

    /// Every neighbour.
    pub fn neighbors(&self) -> impl Iterator<Item = Row> + '_ {
        self.neighbors.rows()
    }

    /// The filter that these words make, each as `inside=10.1.2.0/24`; all must hold.
    ///
    /// # Errors
    /// What is wrong with the first that is not sound, and what would do.
    pub fn session_filter(&self, words: &[String]) -> Result<SessionFilter, String> {
        read_filter(words, &self.domains)
    }

    /// Starts to collect sessions that are meant, `most` at most. One listing goes on at
    /// a time: `false` when one does already. [`Control::take_sessions`] has the result.
    #[must_use]
    pub fn list_sessions(&mut self, request: u64, most: usize, filter: SessionFilter) -> bool {
        let first = self.walks.list(request, most, filter);
        let started = first.is_some();
        self.command(first);
        started
    }

    /// The result of a listing, once it is there.
    pub fn take_sessions(&mut self) -> Option<(u64, Vec<SessionRow>)> {
        self.walks.take_listed()
    }

    /// Starts to end the sessions that are meant; with `dry_run`, only to count them.
    /// `false` when that goes on already. [`Control::take_killed`] has the result.
    #[must_use]
    pub fn kill_sessions(&mut self, request: u64, filter: SessionFilter, dry_run: bool) -> bool {
        let first = self.walks.kill(request, filter, dry_run);
        let started = first.is_some();
        self.command(first);
        started
    }

    /// The request, and how many sessions were meant, once all were looked at.
    pub fn take_killed(&mut self) -> Option<(u64, u64)> {
        self.walks.take_killed()
    }

    /// Starts to collect what is in use of the pools that have a name. One such walk goes on
    /// at a time: `false` when one does already. [`Control::take_pools`] has the result.
    #[must_use]
    pub fn list_pools(&mut self, request: u64) -> bool {
        let first = self.pools.begin(request, self.pool_ids.end());
        let started = first.is_some();
        self.command(first);
        started
    }

    /// What is in use of the pools, a row an address, once it is there; and which have become
    /// full since the last time, or no longer are.
    pub fn take_pools(&mut self) -> Option<(Vec<PoolRow>, Vec<PoolAlarm>)> {
        self.pools.take()
    }

    /// Was the pool full when it was last looked at? `protocol` as in [`PoolAlarm`].
    pub fn is_full(&self, pool: PoolId, v6: bool, protocol: usize) -> bool {
        self.pools.is_full(pool, v6, protocol)
    }

    /// What people call a pool: its name, or `masquerade` and the port whose addresses it has.
    pub fn pool_name(&self, pool: PoolId) -> &str {
        self.pool_ids.name(pool)
    }

    /// Starts to collect who holds sessions and who was refused some. One such walk goes on
    /// at a time: `false` when one does already. [`Control::take_hosts`] has the result.
    #[must_use]
    pub fn list_hosts(&mut self, request: u64) -> bool {
        let first = self.hosts.begin(request);
        let started = first.is_some();
        self.command(first);
        started
    }

    /// Every host that has sessions or was refused some, once it is there; who has most
    /// comes first.
    pub fn take_hosts(&mut self) -> Option<Vec<HostRow>> {
        self.hosts.take()
    }

    fn command(&mut self, next: Option<(WorkerId, Command)>) {
        if let Some((worker, command)) = next {
            self.commands[worker.index()].push_back(command);
        }
    }

    fn punted(&mut self, reason: PuntReason, packet: Waiting, now: Instant) {
        let frame = &packet.frame;
        let port = PortIdx(frame.ingress.index());
        if port.0 >= self.config.ports.len() {
            free(packet.frame);
            return;
        }
        match reason {
            PuntReason::Arp => {
                self.neighbors.handle_arp(port, frame.bytes(), now);
                free(packet.frame);
            }
            PuntReason::NeighborDiscovery => {
                self.neighbors.handle_discovery(port, frame.bytes(), now);
                free(packet.frame);
            }
            PuntReason::EchoReply => {
                if let Some((address, identifier, sequence)) = echo::reply(frame.bytes())
                    && self.compiler.probes() == Some(identifier)
                {
                    self.liveness.heard((port, address), sequence);
                }
                free(packet.frame);
            }
            PuntReason::Unresolved => match self.awaited(&packet) {
                Some((port, address)) => {
                    if let Some(packet) = self.neighbors.handle_unresolved(port, address, packet, now) {
                        free(packet.frame);
                    }
                }
                None => free(packet.frame),
            },
        }
    }

    /// The neighbour that a packet waits for. One that a session brings to a public
    /// address waits for a node, which is being asked for already: it is not kept, its
    /// sender repeats it. Only where a forward leads is known here.
    fn awaited(&self, packet: &Waiting) -> Option<(PortIdx, IpAddr)> {
        let domain = match packet.errand {
            // It has left its island already.
            Errand::Inward => VrfId::MAIN,
            _ => self.domains.of_port(PortIdx(packet.frame.ingress.index())),
        };
        self.compiler.neighbor_toward(domain, packet.frame.bytes())
    }

    /// Asks nodes whether they live, and lets routes follow from what they said.
    fn ask_nodes(&mut self, now: Instant) {
        let neighbors = &self.neighbors;
        for question in self.liveness.handle_timeout(now, |place| neighbors.state(place)) {
            match (question, self.compiler.probes()) {
                (Question::Neighbor(place), _) => self.neighbors.verify(place, now),
                (Question::Echo(place, sequence), Some(identifier)) => self.neighbors.ping(place, identifier, sequence),
                (Question::Echo(..), None) => {}
            }
        }
        for change in self.liveness.reconcile() {
            self.compiler.change(change);
        }
        self.meet_routers(now);
    }

    /// Asks for whom a route leads to since the last time, or for who has lost its routes
    /// until it answers.
    fn meet_routers(&mut self, now: Instant) {
        let moved = self.compiler.take_routers();
        for (place, _) in moved.into_iter().chain(self.liveness.take_left().into_iter().map(|place| (place, false))) {
            let is_needed = self.compiler.leads_to(&place) || self.liveness.watches(place);
            self.neighbors.set_router(place.0, place.1, is_needed, now);
        }
        self.neighbors.handle_timeout(now);
    }

    /// Turns what the neighbours want into commands: new tables before the packets
    /// that need them.
    fn settle(&mut self) {
        if self.neighbors.has_changed() {
            self.compiler.set_neighbors(self.neighbors.take_facts());
        }
        if self.compiler.has_changed() || self.vacancies.are_free() {
            self.epoch = Epoch(self.epoch.0 + 1);
            let mut snapshot = self.compiler.snapshot(self.epoch);
            self.vacancies.pass(self.rooms.last(), &mut snapshot);
            let snapshot = Arc::new(snapshot);
            let rooms = self.rooms.next(&snapshot).into_iter().zip(&mut self.judged);
            for (commands, (room, judged)) in self.commands.iter_mut().zip(rooms) {
                if room.is_some() {
                    judged.0 = self.epoch;
                }
                commands.extend(room.map(Command::Prepare));
                commands.push_back(Command::Install(Arc::clone(&snapshot)));
            }
        }
        // Any worker sends what control has to say; a packet goes on where it stopped.
        for effect in self.neighbors.take_effects() {
            match effect {
                Effect::Send(port, bytes) => {
                    let frame = Frame::boxed(&bytes, ROOM, 0);
                    self.commands[0].push_back(Command::Transmit(PortId(port.0 as u16), frame));
                }
                Effect::Resume(Waiting { frame, worker, errand }) => {
                    self.commands[worker.index()].push_back(Command::Inject(frame, errand));
                }
            }
        }
    }
}
