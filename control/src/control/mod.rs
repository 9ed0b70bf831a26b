//! The controller: events and time in, commands out.

mod changes;
mod events;
mod tables;
mod view;
mod walks;

use std::collections::VecDeque;

use causeway_fastpath::command::Command;
use causeway_fastpath::ids::Epoch;
use causeway_fastpath::time::Instant;

use crate::compile::{self, Compiler, PoolIds, PortFacts};
use crate::config::Config;
use crate::domains::Domains;
use crate::holders::{HostWalk, PoolWalk};
use crate::liveness::Liveness;
use crate::neighbors::Neighbors;
use crate::nodes::Nodes;
use crate::pods::Pods;
use crate::reload::JudgeWalk;
use crate::rib::Change;
use crate::rooms::Rooms;
use crate::sessions::Walks;
use crate::vacancies::Vacancies;

pub use view::TableRow;

/// Everything control knows and decides.
///
/// Drive it like this: hand in whatever has happened, then carry out what
/// [`Control::poll_command`] returns, in order, until it returns nothing; with several
/// workers, what [`Control::poll_command_for`] returns for each. However much has happened in
/// between, there is one new set of tables for it at most; and another one where an address comes
/// to another use, once all workers have gone over to the first.
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
}
