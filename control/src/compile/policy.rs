//! What may leave an island, and under which addresses.

use std::sync::Arc;

use causeway_fastpath::address::Address;
use causeway_fastpath::fib::Prefix;
use causeway_fastpath::ids::{PoolId, VrfId};
use causeway_fastpath::nat::{EgressAction, EgressRule, SenderLimits};
use causeway_fastpath::snapshot::{Pool, WELL_KNOWN_PORTS};
use causeway_fastpath::verdict::DropReason;

use super::{forwards, prefix};
use crate::config::{Cluster, Config, Egress, PortIdx, Timers};
use crate::domains::Domains;
use crate::rib::is_primary;

/// Ports that masquerading takes on a port's own address: all but the well-known ones.
const MASQUERADE_PORTS: (u16, u16) = (1024, 65535);

/// What may leave an island: who has an address of its own under that, pods under
/// another name, nodes under their own. Nothing else: a sender that is neither is not
/// believed (BCP 38).
pub(super) fn egress_rules<A: Address>(config: &Config, domains: &Domains, domain: VrfId) -> Vec<EgressRule<A>> {
    if domain == VrfId::MAIN {
        return Vec::new();
    }
    let mut rules = forwards::egress_rules(config, domains, domain, first_static_pool(config));
    let everywhere = Prefix::containing(A::default(), 0);
    for (at, cluster) in config.clusters.iter().enumerate() {
        if domains.of_cluster(crate::config::ClusterIdx(at)) != domain {
            continue;
        }
        let action = match cluster.egress {
            Egress::Pool(pool) => EgressAction::Translate(PoolId(pool.0 as u16)),
            Egress::Masquerade => EgressAction::Masquerade,
        };
        for source in cluster.pod_cidrs.iter().filter_map(|cidr| prefix(*cidr)) {
            rules.push(EgressRule {
                source,
                destination: everywhere,
                action,
                limits: limits(cluster),
                picks_up: cluster.tcp_pick_up,
            });
        }
    }
    for (at, port) in config.ports.iter().enumerate() {
        if domains.of_port(PortIdx(at)) == domain {
            for source in port.addresses.iter().filter_map(|subnet| prefix(subnet.trunc())) {
                rules.push(EgressRule {
                    source,
                    destination: everywhere,
                    action: EgressAction::Forward,
                    limits: SenderLimits::default(),
                    picks_up: false,
                });
            }
        }
    }
    rules.push(EgressRule {
        source: everywhere,
        destination: everywhere,
        action: EgressAction::Drop(DropReason::NotInIsland),
        limits: SenderLimits::default(),
        picks_up: false,
    });
    rules
}

/// What each pod of a cluster may have.
pub(super) fn limits(cluster: &Cluster) -> SenderLimits {
    SenderLimits { sessions: cluster.sessions_per_pod, new_per_second: cluster.new_sessions_per_pod_per_second }
}

/// Whether a cluster goes by the addresses of ports.
fn masquerades(config: &Config) -> bool {
    config.clusters.iter().any(|cluster| cluster.egress == Egress::Masquerade)
}

/// The pool of a port. A port of an island has none: answers to its address would
/// arrive in the island's domain.
pub(super) fn port_pool(config: &Config, domains: &Domains, port: PortIdx) -> Option<PoolId> {
    let stands_for_clusters = masquerades(config) && domains.of_port(port) == VrfId::MAIN;
    stands_for_clusters.then(|| PoolId((config.pools.len() + port.0) as u16))
}

/// What people call the pools that have names: all but those of static NAT, which come last.
pub(crate) fn pool_names(config: &Config) -> Vec<String> {
    let mut names: Vec<String> = config.pools.iter().map(|pool| pool.name.clone()).collect();
    if masquerades(config) {
        names.extend(config.ports.iter().map(|port| format!("masquerade {}", port.name)));
    }
    names
}

fn first_static_pool(config: &Config) -> PoolId {
    let ports = if masquerades(config) { config.ports.len() } else { 0 };
    PoolId((config.pools.len() + ports) as u16)
}

/// Those of the file, behind them those of the ports if they stand for clusters, and
/// last those of static NAT.
pub(super) fn pools<A: Address>(config: &Config) -> Vec<Pool<A>> {
    let mut pools: Vec<Pool<A>> = config.pools.iter().map(pool).collect();
    if masquerades(config) {
        pools.extend(config.ports.iter().map(|port| Pool {
            addresses: primary(port).into_iter().collect(),
            first_port: MASQUERADE_PORTS.0,
            last_port: MASQUERADE_PORTS.1,
            ..Pool::default()
        }));
    }
    pools.extend(forwards::pools(config));
    pools
}

fn pool<A: Address>(pool: &crate::config::Pool) -> Pool<A> {
    let addresses = pool.addresses.iter().filter_map(|net| prefix::<A>(*net)).flat_map(|prefix| {
        // The checked configuration bounds how many addresses a pool has.
        let count = 1u64 << (A::BITS - u32::from(prefix.len()));
        (0..count).map(move |n| prefix.address().offset(n))
    });
    Pool {
        addresses: addresses.collect(),
        first_port: *pool.ports.start(),
        last_port: *pool.ports.end(),
        keep_ports: pool.keep_ports,
        tcp: pool.tcp,
        udp: pool.udp,
    }
}

/// Timers of well-known UDP ports, by port, where any has one.
pub(super) fn udp_ports_ms(timers: &Timers) -> Option<Arc<[u32; WELL_KNOWN_PORTS]>> {
    let mut table = [0; WELL_KNOWN_PORTS];
    for timer in &timers.udp_ports {
        for port in timer.ports.clone() {
            table[usize::from(port)] = timer.udp_s.saturating_mul(1000);
        }
    }
    (!timers.udp_ports.is_empty()).then(|| Arc::new(table))
}

/// The port's first address of the family.
pub(super) fn primary<A: Address>(port: &crate::config::Port) -> Option<A> {
    port.addresses.iter().filter(|address| is_primary(port, address)).find_map(|address| A::from_ip(address.addr()))
}
