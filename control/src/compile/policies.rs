//! What policies say of flows that begin in a routing domain.
//!
//! In the order of the file, so that the first one counts. Behind them stands that what
//! the model lets begin the other way is tracked, where its answers meet a policy.

use causeway_fastpath::address::Address;
use causeway_fastpath::fib::Prefix;
use causeway_fastpath::ids::VrfId;
use causeway_fastpath::nat::{EgressAction, EgressRule};
use causeway_fastpath::verdict::DropReason;
use ipnet::IpNet;

use super::policy::of_pods;
use super::{PoolIds, egress, prefix};
use crate::config::{Cluster, ClusterIdx, Config, Egress, Model, Party, Policy, overlap};
use crate::domains::Domains;

/// The rules that policies make in a routing domain.
pub(super) fn rules<A: Address>(
    config: &Config,
    domains: &Domains,
    pool_ids: &PoolIds,
    domain: VrfId,
) -> Vec<EgressRule<A>> {
    let mut rules = Vec::new();
    let policing = Policing { config, domains, pool_ids, domain };
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
    for policy in &config.policies {
        for from in &policy.from {
            for to in &policy.to {
                if !policy.allow || !policing.leaves_untracked(*from, *to) {
                    policing.track_answered(*to, *from, &mut rules);
                }
            }
        }
    }
    rules
}

struct Policing<'a> {
    config: &'a Config,
    domains: &'a Domains,
    pool_ids: &'a PoolIds,
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
                    if apart {
                        self.push(rules, source, self.subnets(to), EgressAction::Track, Some(cluster));
                    } else {
                        let own = |to| egress::leaving(self.config, self.pool_ids, cluster, source, to);
                        rules.extend(self.subnets(to).into_iter().flat_map(own));
                    }
                }
            }
            (Party::Cluster(from), Party::Prefix(net)) => {
                let cluster = &self.config.clusters[from.0];
                let goes_untracked = self.goes_untracked(from);
                let tracks = match (cluster.model, cluster.egress) {
                    (Model::Isolated, _) => true,
                    (Model::Flat, Egress::None) => !goes_untracked,
                    _ => false,
                };
                let kept = if goes_untracked { EgressAction::Forward } else { EgressAction::Track };
                // What goes untranslated stays so.
                let exempted = self.exempted(cluster, net);
                for source in self.senders(Party::Cluster(from)) {
                    self.push(rules, source, exempted.iter().copied(), kept, Some(cluster));
                    if tracks {
                        self.push(rules, source, prefix(net), EgressAction::Track, Some(cluster));
                    } else if let Some(to) = prefix(net) {
                        rules.extend(egress::leaving(self.config, self.pool_ids, cluster, source, to));
                    }
                }
            }
            (Party::Prefix(_), Party::Cluster(to)) if self.domains.is_open(self.domain) => {
                self.track(rules, self.senders(from), &self.pods(to));
            }
            (Party::Prefix(_), Party::Prefix(net)) if self.domains.is_open(self.domain) => {
                // What it covers of pods that are open by themselves, before a later "deny".
                self.track(rules, self.senders(from), &self.flat_pods_in(net));
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

    /// What `from` begins with `to` is tracked, if it may: else `to`, whose own begin is
    /// denied or tracked, would not be let answer. Only where it went untracked: pods of
    /// flat clusters and the outside, and everybody's nodes.
    fn track_answered<A: Address>(&self, from: Party, to: Party, rules: &mut Vec<EgressRule<A>>) {
        let is_open = self.domains.is_open(self.domain);
        let open_pods = match to {
            Party::Cluster(to) if self.config.clusters[to.0].model != Model::Flat => return,
            Party::Cluster(to) => self.pods(to),
            Party::Prefix(net) => self.flat_pods_in(net),
        };
        if is_open {
            self.track(rules, self.senders(from), &open_pods);
        }
        if !(is_open && matches!(from, Party::Prefix(_))) {
            self.track(rules, self.nodes(from), &open_pods);
        }
        if let Party::Prefix(net) = to
            && is_open
        {
            let mut beyond = self.untranslated(from, net);
            beyond.retain(|net| !open_pods.contains(net));
            self.track(rules, self.senders(from), &beyond);
        }
    }

    /// What these begin with those is tracked.
    fn track<A: Address>(&self, rules: &mut Vec<EgressRule<A>>, senders: Vec<Prefix<A>>, receivers: &[Prefix<A>]) {
        for source in senders {
            self.push(rules, source, receivers.iter().copied(), EgressAction::Track, None);
        }
    }

    /// Is what begins so, if it may, of pods that nobody's policy makes track their flows?
    fn leaves_untracked(&self, from: Party, to: Party) -> bool {
        matches!((from, to), (Party::Cluster(from), Party::Prefix(_)) if self.goes_untracked(from))
    }

    /// Is a cluster flat, and no policy about who begins with its pods? What these begin
    /// needs no session then, and outlives a restart.
    fn goes_untracked(&self, cluster: ClusterIdx) -> bool {
        let its = |party: &Party| self.config.is_about(*party, cluster);
        let others = |party: &Party| *party != Party::Cluster(cluster);
        let is_entered = |policy: &Policy| policy.to.iter().any(its) && policy.from.iter().any(others);
        self.config.clusters[cluster.0].model == Model::Flat && !self.config.policies.iter().any(is_entered)
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
            found.extend(self.exempted(cluster, net));
        }
        found
    }

    /// What of a prefix is exempted from translation for pods of a cluster that has it.
    fn exempted<A: Address>(&self, cluster: &Cluster, net: IpNet) -> Vec<Prefix<A>> {
        let inside = self.config.inside().filter(|_| cluster.model == Model::Flat);
        let exempted = cluster.non_masquerade_cidrs.iter().copied().chain(inside);
        exempted.filter_map(|exempted| common(exempted, net)).filter_map(prefix).collect()
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
            Party::Prefix(net) if self.domain == VrfId::MAIN => prefix(net).into_iter().collect(),
            Party::Prefix(net) => self.inhabitants().filter_map(|own| common(own, net)).filter_map(prefix).collect(),
        }
    }

    /// The nodes of a party in this domain.
    fn nodes<A: Address>(&self, party: Party) -> Vec<Prefix<A>> {
        let subnets = self.clusters_here().flat_map(|here| self.config.subnets_of(here).map(move |net| (here, net)));
        let meant = subnets.filter_map(|(here, subnet)| match party {
            Party::Cluster(cluster) => (here == cluster).then_some(subnet),
            Party::Prefix(net) => common(subnet, net),
        });
        meant.filter_map(prefix).collect()
    }

    /// Who is believed in this domain, which is not main: pods and nodes of its clusters.
    fn inhabitants(&self) -> impl Iterator<Item = IpNet> {
        self.clusters_here()
            .flat_map(|here| self.config.clusters[here.0].pod_cidrs.iter().copied().chain(self.config.subnets_of(here)))
    }

    fn clusters_here(&self) -> impl Iterator<Item = ClusterIdx> {
        let all = (0..self.config.clusters.len()).map(ClusterIdx);
        all.filter(|cluster| self.domains.of_cluster(*cluster) == self.domain)
    }

    /// What a prefix has in common with pods that are open by themselves.
    fn flat_pods_in<A: Address>(&self, net: IpNet) -> Vec<Prefix<A>> {
        self.config.flat_pods().filter_map(|pods| common(pods, net)).filter_map(prefix).collect()
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
