//! Under which addresses clusters leave.

use causeway_fastpath::address::Address;
use causeway_fastpath::ids::PoolId;
use causeway_fastpath::snapshot::Pool;

use super::{forwards, prefix};
use crate::config::{Config, Egress, PortIdx};
use crate::domains::Domains;
use crate::rib::{self, is_primary};

/// Ports that masquerading takes on a port's own address: all but the well-known ones.
const MASQUERADE_PORTS: (u16, u16) = (1024, 65535);

/// Whether anybody goes by the addresses of ports.
fn masquerades(config: &Config) -> bool {
    config.clusters.iter().any(|cluster| cluster.egress == Egress::Masquerade) || config.hides_strangers(None)
}

/// The pool of a port, if somebody leaves by it under its address.
pub(super) fn port_pool(config: &Config, domains: &Domains, port: PortIdx) -> Option<PoolId> {
    let stands_for_clusters = rib::stands_for_others(config, domains, port);
    stands_for_clusters.then(|| PoolId((config.pools.len() + port.0) as u16))
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

/// The port's first address of the family.
pub(super) fn primary<A: Address>(port: &crate::config::Port) -> Option<A> {
    port.addresses.iter().filter(|address| is_primary(port, address)).find_map(|address| A::from_ip(address.addr()))
}
