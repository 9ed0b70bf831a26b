//! What may leave a routing domain, and under which name.

use causeway_fastpath::address::Address;
use causeway_fastpath::fib::Prefix;
use causeway_fastpath::ids::{PoolId, VrfId};
use causeway_fastpath::nat::{EgressAction, EgressRule};
use causeway_fastpath::verdict::DropReason;

use super::{forwards, policy, prefix};
use crate::config::{Cluster, ClusterIdx, Config, Egress, PortIdx};
use crate::domains::Domains;
use crate::shore::{Entry, Shore, shores};

/// The rules of a routing domain.
pub(super) fn rules<A: Address>(config: &Config, domains: &Domains, domain: VrfId) -> Vec<EgressRule<A>> {
    if domain == VrfId::MAIN { entries(config) } else { exits(config, domains, domain) }
}

/// What may go from outside to pods that are met there.
fn entries<A: Address>(config: &Config) -> Vec<EgressRule<A>> {
    let rule = |Shore { pods, entry, .. }: Shore| {
        let action = match entry {
            Entry::Unknown => return None,
            Entry::Kept => EgressAction::Drop(DropReason::ModelIsolated),
        };
        Some(EgressRule { source: everywhere(), destination: prefix(pods)?, action, most_sessions: None })
    };
    shores(config).into_iter().filter_map(rule).collect()
}

/// What may leave a domain: nodes under their own names, who has an address of its own
/// under that, pods as their cluster wants it. Nothing else: a sender that is neither is
/// not believed (BCP 38).
fn exits<A: Address>(config: &Config, domains: &Domains, domain: VrfId) -> Vec<EgressRule<A>> {
    let mut rules = forwards::egress_rules(config, domains, domain, policy::first_static_pool(config));
    let clusters = || {
        let clusters = config.clusters.iter().enumerate();
        clusters.filter(|(at, _)| domains.of_cluster(ClusterIdx(*at)) == domain).map(|(_, cluster)| cluster)
    };
    for (at, port) in config.ports.iter().enumerate() {
        if domains.of_port(PortIdx(at)) == domain {
            let subnets = port.addresses.iter().filter_map(|subnet| prefix(subnet.trunc()));
            rules.extend(subnets.map(|source| to_everywhere(source, EgressAction::Forward, None)));
        }
    }
    for cluster in clusters() {
        let sources = cluster.pod_cidrs.iter().filter_map(|cidr| prefix(*cidr));
        rules.extend(sources.map(|source| to_everywhere(source, leaves(cluster), cluster.sessions_per_pod)));
    }
    rules.push(to_everywhere(everywhere(), EgressAction::Drop(DropReason::NotInIsland), None));
    rules
}

/// How pods of a cluster leave.
fn leaves(cluster: &Cluster) -> EgressAction {
    match cluster.egress {
        Egress::Pool(pool) => EgressAction::Translate(PoolId(pool.0 as u16)),
        Egress::Masquerade => EgressAction::Masquerade,
        Egress::None => EgressAction::Drop(DropReason::ModelIsolated),
    }
}

fn to_everywhere<A: Address>(source: Prefix<A>, action: EgressAction, most_sessions: Option<u32>) -> EgressRule<A> {
    EgressRule { source, destination: everywhere(), action, most_sessions }
}

fn everywhere<A: Address>() -> Prefix<A> {
    Prefix::containing(A::default(), 0)
}
