//! What policies say of flows that begin in a routing domain.
//!
//! In the order of the file, so that the first one counts. Behind them stands that
//! answers to those who may begin are tracked where they may not begin themselves.

use causeway_fastpath::address::Address;
use causeway_fastpath::fib::Prefix;
use causeway_fastpath::ids::VrfId;
use causeway_fastpath::nat::{EgressAction, EgressRule};
use causeway_fastpath::verdict::DropReason;
use ipnet::IpNet;

use super::policy::of_pods;
use super::{egress, prefix};
use crate::config::{Cluster, ClusterIdx, Config, Egress, Model, Party, overlap};
use crate::domains::Domains;

/// The rules that policies make in a routing domain.
pub(super) fn rules<A: Address>(config: &Config, domains: &Domains, domain: VrfId) -> Vec<EgressRule<A>> {
    let mut rules = Vec::new();
    let policing = Policing { config, domains, domain };
    for policy in &config.policies {
        for from in &policy.from {
            for to in &policy.to {
                if policy.allow {
                    policing.allow(*from, *to, &mut rules);
                } else {
                    policing.deny(*from, *to, &mut rules);
                }
            }
        }
    }
    for policy in config.policies.iter().filter(|policy| !policy.allow) {
        for from in &policy.from {
            for to in &policy.to {
                policing.track_answered(*to, *from, &mut rules);
            }
        }
    }
    rules
}

struct Policing<'a> {
    config: &'a Config,
    domains: &'a Domains,
    domain: VrfId,
}

impl Policing<'_> {
    fn allow<A: Address>(&self, from: Party, to: Party, rules: &mut Vec<EgressRule<A>>) {
        match (from, to) {
            (Party::Cluster(from), Party::Cluster(to)) => {
                let (cluster, apart) = (&self.config.clusters[from.0], self.config.are_apart(from, to));
                for source in self.senders(Party::Cluster(from)) {
                    if apart {
                        self.push(rules, source, self.pods(to), EgressAction::Track, Some(cluster));
                    }
                    let action = if apart { EgressAction::Track } else { egress::leaves(cluster) };
                    self.push(rules, source, self.subnets(to), action, Some(cluster));
                }
            }
            (Party::Cluster(from), Party::Prefix(net)) => {
                let cluster = &self.config.clusters[from.0];
                let action = match cluster.model {
                    Model::Isolated => EgressAction::Track,
                    Model::Island | Model::Flat => egress::leaves(cluster),
                };
                let kept = if cluster.model == Model::Flat { EgressAction::Forward } else { EgressAction::Track };
                // What is exempted from translation stays so.
                let exempted = cluster.non_masquerade_cidrs.iter().filter_map(|exempted| common(*exempted, net));
                let exempted: Vec<Prefix<A>> = exempted.filter_map(prefix).collect();
                for source in self.senders(Party::Cluster(from)) {
                    self.push(rules, source, exempted.iter().copied(), kept, Some(cluster));
                    self.push(rules, source, prefix(net), action, Some(cluster));
                }
            }
            (Party::Prefix(_), Party::Cluster(to)) if self.domains.is_open(self.domain) => {
                for source in self.senders(from) {
                    self.push(rules, source, self.pods(to), EgressAction::Track, None);
                }
            }
            (Party::Prefix(_), Party::Prefix(net)) if self.domains.is_open(self.domain) => {
                // What it covers of pods that are open by themselves, before a later "deny".
                let pods = self.config.flat_pods().filter_map(|pods| common(pods, net)).filter_map(prefix::<A>);
                let pods: Vec<_> = pods.collect();
                for source in self.senders(from) {
                    self.push(rules, source, pods.iter().copied(), EgressAction::Track, None);
                }
            }
            (Party::Prefix(_), _) => {}
        }
    }

    fn deny<A: Address>(&self, from: Party, to: Party, rules: &mut Vec<EgressRule<A>>) {
        for source in self.senders(from) {
            let action = EgressAction::Drop(DropReason::PolicyDenied);
            self.push(rules, source, self.receivers(to), action, None);
        }
    }

    /// What `from` begins with `to` is tracked, if it may: else `to`, which may not begin
    /// with `from`, would not be let answer. Only where it went untracked.
    fn track_answered<A: Address>(&self, from: Party, to: Party, rules: &mut Vec<EgressRule<A>>) {
        let is_flat = |party: Party| match party {
            Party::Cluster(cluster) => self.config.clusters[cluster.0].model == Model::Flat,
            Party::Prefix(_) => true,
        };
        if self.domains.is_open(self.domain) && is_flat(from) && is_flat(to) {
            let receivers = match to {
                Party::Cluster(cluster) => self.pods(cluster),
                Party::Prefix(net) => self.untranslated(from, net),
            };
            for source in self.senders(from) {
                self.push(rules, source, receivers.iter().copied(), EgressAction::Track, None);
            }
        }
    }

    /// What of a prefix flat pods reach under their own addresses.
    fn untranslated<A: Address>(&self, from: Party, net: IpNet) -> Vec<Prefix<A>> {
        let is_meant = |at: usize, cluster: &Cluster| match from {
            Party::Cluster(from) => from.0 == at,
            Party::Prefix(from) => cluster.pod_cidrs.iter().any(|pods| overlap(*pods, from)),
        };
        let flat = self.config.clusters.iter().enumerate().filter(|(_, cluster)| cluster.model == Model::Flat);
        let mut found = Vec::new();
        for (_, cluster) in flat.filter(|(at, cluster)| is_meant(*at, cluster)) {
            if cluster.egress == Egress::None {
                return prefix(net).into_iter().collect();
            }
            let inside = self.config.inside().chain(cluster.non_masquerade_cidrs.iter().copied());
            found.extend(inside.filter_map(|inside| common(inside, net)).filter_map(prefix::<A>));
        }
        found
    }

    fn push<A: Address>(
        &self,
        rules: &mut Vec<EgressRule<A>>,
        source: Prefix<A>,
        destinations: impl IntoIterator<Item = Prefix<A>>,
        action: EgressAction,
        cluster: Option<&Cluster>,
    ) {
        let rule = |destination| EgressRule::new(source, destination, action);
        let rule = |destination| cluster.map_or(rule(destination), |cluster| of_pods(rule(destination), cluster));
        rules.extend(destinations.into_iter().map(rule));
    }

    /// The addresses under which a party sends in this domain.
    fn senders<A: Address>(&self, party: Party) -> Vec<Prefix<A>> {
        match party {
            Party::Cluster(cluster) if self.domains.of_cluster(cluster) == self.domain => self.pods(cluster),
            Party::Cluster(_) => Vec::new(),
            Party::Prefix(net) => prefix(net).into_iter().collect(),
        }
    }

    fn receivers<A: Address>(&self, party: Party) -> Vec<Prefix<A>> {
        match party {
            Party::Cluster(cluster) => [self.pods(cluster), self.subnets(cluster)].concat(),
            Party::Prefix(net) => prefix(net).into_iter().collect(),
        }
    }

    fn pods<A: Address>(&self, cluster: ClusterIdx) -> Vec<Prefix<A>> {
        self.config.clusters[cluster.0].pod_cidrs.iter().filter_map(|net| prefix(*net)).collect()
    }

    /// Where the nodes of a cluster are.
    fn subnets<A: Address>(&self, cluster: ClusterIdx) -> Vec<Prefix<A>> {
        self.config.subnets_of(cluster).filter_map(prefix).collect()
    }
}

/// What two prefixes have in common: one of them, or nothing.
fn common(one: IpNet, other: IpNet) -> Option<IpNet> {
    overlap(one, other).then(|| if one.prefix_len() > other.prefix_len() { one } else { other })
}
