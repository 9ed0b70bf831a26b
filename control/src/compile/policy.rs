//! Under which addresses clusters leave.

use std::sync::Arc;

use causeway_fastpath::address::Address;
use causeway_fastpath::ids::PoolId;
use causeway_fastpath::nat::{EgressRule, SenderLimits};
use causeway_fastpath::snapshot::{Pool, WELL_KNOWN_PORTS};

use super::{forwards, prefix};
use crate::config::{Cluster, Config, Egress, PortIdx, Timers};
use crate::domains::Domains;
use crate::rib::{self, is_primary};

/// Ports that masquerading takes on a port's own address: all but the well-known ones.
const MASQUERADE_PORTS: (u16, u16) = (1024, 65535);

/// A rule as it is for pods of a cluster: what each may have, and what a cluster asked for.
pub(super) fn of_pods<A: Address>(rule: EgressRule<A>, cluster: &Cluster) -> EgressRule<A> {
    let (sessions, new_per_second) = (cluster.sessions_per_pod, cluster.new_sessions_per_pod_per_second);
    EgressRule { limits: SenderLimits { sessions, new_per_second }, picks_up: cluster.tcp_pick_up, ..rule }
}

/// Whether anybody goes by the addresses of ports.
fn masquerades(config: &Config) -> bool {
    config.clusters.iter().any(|cluster| cluster.egress == Egress::Masquerade) || config.hides_strangers(None)
}

/// The pool of a port, if somebody leaves by it under its address.
pub(super) fn port_pool(config: &Config, domains: &Domains, port: PortIdx) -> Option<PoolId> {
    let stands_for_clusters = rib::stands_for_others(config, domains, port);
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

/// The number of the first pool that static NAT has.
pub(super) fn first_static_pool(config: &Config) -> PoolId {
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
            tcp: port.tcp,
            udp: port.udp,
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
        other_protocols: pool.other_protocols,
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
