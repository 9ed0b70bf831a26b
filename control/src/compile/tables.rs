//! The tables of one family: routes, policy, pools, forwards, neighbours.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_fastpath::address::Address;
use causeway_fastpath::fib::{Fib, FibBuilder, NextHop, Prefix};
use causeway_fastpath::ids::{AdjacencyId, PortId, VrfId};
use causeway_fastpath::nat::{EgressRule, Forwards, Selected, Selections};
use causeway_fastpath::snapshot::{Pool, Tables};
use hashbrown::HashMap;

use super::{PoolIds, egress, forwards};
use crate::config::Config;
use crate::domains::Domains;

/// How the forwarding table of a routing domain was made the last time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// What it occupies, in bytes.
    pub bytes: usize,
    /// How long making it took.
    pub took: Duration,
    /// Destinations whose route had changed; `None` if it was the first time.
    pub changes: Option<usize>,
}

#[derive(Clone)]
pub(super) struct Family<A> {
    /// By domain.
    domains: Vec<Domain<A>>,
    egress: Arc<[Vec<EgressRule<A>>]>,
    /// Who is selected, by domain.
    selected: Vec<Arc<Selected<A>>>,
    pools: Arc<[Pool<A>]>,
    pub(super) neighbors: Arc<HashMap<(PortId, A), AdjacencyId>>,
    pub(super) forwards: Arc<Forwards<A>>,
}

/// The forwarding table of a domain, and the routes for the next one.
#[derive(Clone)]
struct Domain<A> {
    routes: FibBuilder<A>,
    fib: Arc<Fib<A>>,
    /// Changes since it was built.
    changes: usize,
    built: Option<Build>,
}

impl<A: Address> Family<A> {
    /// No route, and no policy yet.
    pub(super) fn new() -> Family<A> {
        Family {
            domains: Vec::new(),
            egress: Arc::from([]),
            selected: Vec::new(),
            pools: Arc::from([]),
            neighbors: Arc::default(),
            forwards: Arc::new(Forwards::new()),
        }
    }

    /// Policy, pools and forwards are those of this configuration from now on; says whether
    /// any of them is another than before. Routes stay.
    pub(super) fn set_policy(&mut self, config: &Config, domains: &Domains, pools: &PoolIds) -> bool {
        let nowhere = Arc::new(FibBuilder::new().build());
        let domain = || Domain { routes: FibBuilder::new(), fib: Arc::clone(&nowhere), changes: 0, built: None };
        self.domains.resize_with(domains.numbers().count(), domain);
        self.selected.resize_with(domains.numbers().count(), Arc::default);
        let rules = |domain| match domains.exists(domain) {
            true => egress::rules(config, domains, pools, domain),
            false => Vec::new(),
        };
        let rules: Vec<_> = domains.numbers().map(rules).collect();
        let (pools, forwards) = (pools.pools(config), forwards::forwards(config, domains));
        let differs = [*self.egress != *rules, *self.pools != *pools, *self.forwards != forwards];
        // What is the same is shared with the tables before.
        if differs[0] {
            self.egress = rules.into();
        }
        if differs[1] {
            self.pools = pools.into();
        }
        if differs[2] {
            self.forwards = Arc::new(forwards);
        }
        differs.contains(&true)
    }

    /// Changes the route to one destination.
    pub(super) fn set(&mut self, domain: VrfId, to: Prefix<A>, hop: Option<NextHop>) {
        let domain = &mut self.domains[domain.index()];
        domain.changes += 1;
        match hop {
            Some(hop) => domain.routes.insert(to, hop),
            None => domain.routes.remove(to),
        };
    }

    /// These hosts of a domain are in selections, and no others. Says whether that is news.
    pub(super) fn select(&mut self, domain: VrfId, hosts: &[(IpAddr, Selections)]) -> bool {
        let mut selected = Selected::default();
        for (host, of) in hosts {
            if let Some(host) = A::from_ip(*host) {
                selected.add(host, *of);
            }
        }
        let known = &mut self.selected[domain.index()];
        let is_news = **known != selected;
        if is_news {
            *known = Arc::new(selected);
        }
        is_news
    }

    /// What the newest tables lead to.
    pub(super) fn lookup(&self, domain: VrfId, destination: A) -> NextHop {
        self.domains[domain.index()].fib.lookup(destination)
    }

    /// How the newest forwarding table of a domain was made.
    pub(super) fn built(&self, domain: VrfId) -> Build {
        let domain = &self.domains[domain.index()];
        // Counted for people who ask, for it looks at all of the table.
        Build { bytes: domain.fib.bytes(), ..domain.built.unwrap_or_default() }
    }

    /// As workers see them; what has not changed is shared with those before.
    pub(super) fn publish(&mut self) -> Tables<A> {
        for domain in &mut self.domains {
            if domain.changes > 0 || domain.built.is_none() {
                // A clock for people to read, by which nothing is decided.
                let started = Instant::now();
                domain.fib = Arc::new(domain.routes.build());
                let changes = domain.built.map(|_| domain.changes);
                domain.built = Some(Build { bytes: 0, took: started.elapsed(), changes });
                domain.changes = 0;
            }
        }
        Tables {
            fibs: self.domains.iter().map(|domain| Arc::clone(&domain.fib)).collect(),
            egress: Arc::clone(&self.egress),
            selected: self.selected.clone(),
            neighbors: Arc::clone(&self.neighbors),
            pools: Arc::clone(&self.pools),
            forwards: Arc::clone(&self.forwards),
        }
    }
}
