//! What may leave a routing domain, and under which name.
//!
//! Rules are looked at when a flow begins, and for each packet that leaves untracked:
//! from the first on, so that those for such packets come early.

use causeway_fastpath::address::Address;
use causeway_fastpath::fib::Prefix;
use causeway_fastpath::ids::VrfId;
use causeway_fastpath::nat::{EgressAction, EgressRule, Selection};
use causeway_fastpath::verdict::DropReason;
use ipnet::IpNet;

use super::policy::of_pods;
use super::{PoolIds, forwards, policies, prefix};
use crate::config::{Cluster, ClusterIdx, Config, Egress, Model, PortIdx, Senders};
use crate::domains::Domains;
use crate::flannel::IpMasq;
use crate::shore::{Entry, Shore, shores};

/// The rules of a routing domain.
pub(super) fn rules<A: Address>(
    config: &Config,
    domains: &Domains,
    pools: &PoolIds,
    domain: VrfId,
) -> Vec<EgressRule<A>> {
    let mut rules = policies::rules(config, domains, pools, domain);
    if domains.is_open(domain) {
        enter(config, domains, domain, &mut rules);
    }
    if domain != VrfId::MAIN {
        leave(config, domains, pools, domain, &mut rules);
    }
    rules
}

/// What may go from this domain to pods of others.
///
/// Who is inside reaches flat pods untracked, and so it is answered. In main, whose
/// packets meet rules on their way to pods alone, that is said once for all of them, and
/// after what is kept out. Where flat pods live amid such it is said for each.
fn enter<A: Address>(config: &Config, domains: &Domains, domain: VrfId, rules: &mut Vec<EgressRule<A>>) {
    let mut shores = shores(config);
    shores.retain(|shore| domains.of_cluster(shore.cluster) != domain);
    let is_flat = |shore: &Shore| config.clusters[shore.cluster.0].model == Model::Flat;
    let (flat, others): (Vec<_>, Vec<_>) = shores.iter().copied().partition(is_flat);
    let amid = others.iter().any(|other| flat.iter().any(|flat| other.pods.contains(&flat.pods)));
    if amid || domain != VrfId::MAIN {
        for shore in &shores {
            if is_flat(shore) {
                rules.extend(from_inside(config, prefix(shore.pods)));
            }
            enter_one(config, shore, domain, rules);
        }
        return;
    }
    others.iter().for_each(|shore| enter_one(config, shore, domain, rules));
    if !flat.is_empty() {
        rules.extend(from_inside(config, Some(everywhere())));
    }
    flat.iter().for_each(|shore| enter_one(config, shore, domain, rules));
}

/// Everybody inside reaches this destination, if it is of the family.
fn from_inside<A: Address>(config: &Config, to: Option<Prefix<A>>) -> impl Iterator<Item = EgressRule<A>> {
    let rule = |source, destination| EgressRule::new(source, destination, EgressAction::Forward);
    to.into_iter().flat_map(move |to| config.inside().filter_map(prefix).map(move |source| rule(source, to)))
}

/// What may go from a domain to these pods, beside what is inside.
fn enter_one<A: Address>(config: &Config, shore: &Shore, domain: VrfId, rules: &mut Vec<EgressRule<A>>) {
    let Some(pods) = prefix(shore.pods) else {
        return;
    };
    let mut rule = |source, action| rules.push(EgressRule::new(source, pods, action));
    let cluster = &config.clusters[shore.cluster.0];
    match shore.entry {
        Entry::Unknown => {}
        Entry::Kept => rule(everywhere(), EgressAction::Drop(DropReason::ModelIsolated)),
        Entry::Expected => rule(everywhere(), EgressAction::Drop(DropReason::NatUnsolicited)),
        Entry::Open if let Some(variant) = cluster.flannel_ip_masq => {
            let masq = IpMasq { variant, network: pods, pods: None };
            let hidden = masq.hides_strangers();
            rule(everywhere(), if hidden { EgressAction::Masquerade } else { EgressAction::Track });
        }
        Entry::Open => {
            // To these, answers go untracked too.
            for source in cluster.non_masquerade_cidrs.iter().filter_map(|net| prefix(*net)) {
                rule(source, EgressAction::Forward);
            }
            let strangers = if cluster.egress == Egress::None { EgressAction::Forward } else { EgressAction::Track };
            if domain == VrfId::MAIN {
                rule(everywhere(), strangers);
            }
        }
    }
}

/// What may leave a domain: who has an address of its own under that, nodes under theirs,
/// pods as their cluster wants it. Nothing else: a sender that is neither is not believed
/// (BCP 38).
fn leave<A: Address>(
    config: &Config,
    domains: &Domains,
    pool_ids: &PoolIds,
    domain: VrfId,
    rules: &mut Vec<EgressRule<A>>,
) {
    let clusters = || {
        let clusters = config.clusters.iter().enumerate();
        clusters.filter(|(at, _)| domains.of_cluster(ClusterIdx(*at)) == domain).map(|(_, cluster)| cluster)
    };
    let pods = |cluster: &Cluster| cluster.pod_cidrs.iter().filter_map(|cidr| prefix(*cidr)).collect::<Vec<_>>();
    let all_pods: Vec<Prefix<A>> = clusters().flat_map(pods).collect();
    let is_pod = |rule: &EgressRule<A>| all_pods.iter().any(|pods| pods.contains(rule.source.address()));
    let own = forwards::egress_rules(config, domains, pool_ids, domain);
    let (own_of_pods, own_of_hosts): (Vec<_>, Vec<_>) = own.into_iter().partition(is_pod);

    rules.extend(own_of_hosts);
    for (at, port) in config.ports.iter().enumerate() {
        if domains.of_port(PortIdx(at)) == domain {
            let subnets = port.addresses.iter().filter_map(|subnet| prefix(subnet.trunc()));
            rules.extend(subnets.map(|source| to_everywhere(source, EgressAction::Forward)));
        }
    }
    for cluster in clusters() {
        for source in pods(cluster) {
            let is_flat = cluster.model == Model::Flat;
            let inside = config.inside().filter(|_| is_flat && !domains.is_shared(domain));
            let kept = cluster.non_masquerade_cidrs.iter().copied().chain(inside);
            for destination in kept.filter_map(prefix) {
                let action = if is_flat { EgressAction::Forward } else { EgressAction::Track };
                rules.push(of_pods(EgressRule::new(source, destination, action), cluster));
            }
        }
    }
    rules.extend(own_of_pods);
    for cluster in clusters() {
        for source in pods(cluster) {
            rules.extend(leaving(config, pool_ids, cluster, source, everywhere()));
        }
    }
    rules.push(to_everywhere(everywhere(), EgressAction::Drop(DropReason::NotInIsland)));
}

/// How pods of a cluster leave for somewhere: its own rules first, and then all of them.
pub(super) fn leaving<A: Address>(
    config: &Config,
    pools: &PoolIds,
    cluster: &Cluster,
    pods: Prefix<A>,
    to: Prefix<A>,
) -> Vec<EgressRule<A>> {
    let mut rules = Vec::new();
    let mut selections = 0;
    for rule in &cluster.egress_rules {
        let (sources, selection) = match &rule.senders {
            Senders::Prefixes(from) => (common(pods, from), None),
            Senders::Pods(_) => {
                selections += 1;
                (vec![pods], Selection::new(selections - 1))
            }
        };
        // Of a family that the pool does not have, they leave as others do.
        if !config.pools[rule.pool.0].addresses.iter().any(|net| prefix::<A>(*net).is_some()) {
            continue;
        }
        let destinations = if rule.to.is_empty() { vec![to] } else { common(to, &rule.to) };
        let action = EgressAction::Translate(pools.of_pool(config, rule.pool));
        for source in sources {
            let own = |to| EgressRule { selection, ..EgressRule::new(source, to, action) };
            rules.extend(destinations.iter().map(|to| own(*to)));
        }
    }
    rules.push(EgressRule::new(pods, to, leaves(config, pools, cluster)));
    rules.into_iter().map(|rule| of_pods(rule, cluster)).collect()
}

/// What one prefix has in common with each of others.
fn common<A: Address>(one: Prefix<A>, others: &[IpNet]) -> Vec<Prefix<A>> {
    let both = |other: Prefix<A>| {
        let (wide, narrow) = if one.len() < other.len() { (one, other) } else { (other, one) };
        wide.contains(narrow.address()).then_some(narrow)
    };
    others.iter().filter_map(|other| prefix(*other)).filter_map(both).collect()
}

/// How pods of a cluster leave that no rule of its own is about.
fn leaves(config: &Config, pools: &PoolIds, cluster: &Cluster) -> EgressAction {
    match cluster.egress {
        Egress::Pool(pool) => EgressAction::Translate(pools.of_pool(config, pool)),
        Egress::Masquerade => EgressAction::Masquerade,
        Egress::None if cluster.model == Model::Flat => EgressAction::Forward,
        Egress::None => EgressAction::Drop(DropReason::ModelIsolated),
    }
}

fn to_everywhere<A: Address>(source: Prefix<A>, action: EgressAction) -> EgressRule<A> {
    EgressRule::new(source, everywhere(), action)
}

fn everywhere<A: Address>() -> Prefix<A> {
    Prefix::containing(A::default(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flannel::Variant;

    const NETWORK: u32 = 0x0af4_0000;

    fn island(variant: &str) -> (Config, Domains) {
        let text = format!(
            "gateway.name = \"g\"\n[[port]]\nname = \"nodes\"\ndriver = \"memory\"\naddresses = [\"192.168.0.1/24\"]\n\
             [[port]]\nname = \"out\"\ndriver = \"memory\"\naddresses = [\"203.0.113.2/24\"]\n\
             [[cluster]]\nname = \"c\"\nmodel = \"island\"\npod-cidrs = [\"10.244.0.0/16\"]\nports = [\"nodes\"]\n\
             egress = \"masquerade\"\nflannel-ip-masq = \"{variant}\"\n"
        );
        let (config, _) = Config::parse("t.toml", &text).unwrap_or_else(|errors| panic!("{errors}"));
        let domains = Domains::of(&config);
        (config, domains)
    }

    /// From pods of any node to what is not multicast, and from outside to pods.
    #[test]
    fn the_rules_of_a_flannel_island_decide_as_flannel_does() {
        let (pod, host, outside) = (NETWORK | 0x105, 0xc0a8_000b, 0xc633_6409);
        for (word, variant) in [("iptables", Variant::Iptables), ("nft", Variant::Nft)] {
            let (config, domains) = island(word);
            let network = Prefix::containing(NETWORK, 16);
            for (domain, src, dst, pods) in [
                // On the node of the pod, and on a gateway, which has no pods.
                (VrfId(1), pod, outside, Some(Prefix::containing(NETWORK | 0x100, 24))),
                (VrfId(1), host, outside, None),
                (VrfId::MAIN, outside, pod, None),
            ] {
                let rules = rules::<u32>(&config, &domains, &PoolIds::of(&config), domain);
                let rule = rules.iter().find(|rule| rule.matches(src, dst)).expect("there is one");
                let expected = IpMasq { variant, network, pods }.masquerades(0, src, dst);
                assert_eq!(rule.renames(), expected, "{variant:?} {src:#x} > {dst:#x}: {:?}", rule.action);
                assert!(!matches!(rule.action, EgressAction::Drop(_)));
            }
        }
    }

    /// Whether flat pods live amid isolated ones or beside them.
    #[test]
    fn who_is_inside_reaches_flat_pods_untracked_and_isolated_ones_not_at_all() {
        for isolated in ["10.0.0.0/8", "10.9.0.0/16"] {
            let port = |name: &str, n: u8| {
                format!("[[port]]\nname = \"{name}\"\ndriver = \"memory\"\naddresses = [\"192.168.{n}.1/24\"]\n")
            };
            let text = format!(
                "gateway.name = \"g\"\n{}{}{}[[cluster]]\nname = \"f\"\nmodel = \"flat\"\negress = \"masquerade\"\n\
                 pod-cidrs = [\"10.1.0.0/16\"]\nports = [\"f\"]\nnon-masquerade-cidrs = [\"172.16.0.0/12\"]\n\
                 [[cluster]]\nname = \"k\"\nmodel = \"isolated\"\npod-cidrs = [\"{isolated}\"]\nports = [\"k\"]\n",
                port("f", 1),
                port("k", 2),
                port("out", 3),
            );
            let (config, _) = Config::parse("t.toml", &text).unwrap_or_else(|errors| panic!("{errors}"));
            let rules = rules::<u32>(&config, &Domains::of(&config), &PoolIds::of(&config), VrfId::MAIN);
            let action = |src: u32, dst: u32| rules.iter().find(|rule| rule.matches(src, dst)).map(|rule| rule.action);
            let (flat, kept, subnet, site, stranger) =
                (0x0a01_0005, 0x0a09_0005, 0xc0a8_0309, 0xac10_0001, 0xc633_6409);
            assert_eq!(action(subnet, flat), Some(EgressAction::Forward));
            assert_eq!(action(site, flat), Some(EgressAction::Forward));
            assert_eq!(action(stranger, flat), Some(EgressAction::Track));
            for source in [subnet, site, stranger, flat] {
                assert_eq!(action(source, kept), Some(EgressAction::Drop(DropReason::ModelIsolated)), "{source:#x}");
            }
        }
    }
}
