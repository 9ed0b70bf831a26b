//! Outside addresses by number: pools of the file, addresses of ports, and static NAT.

use std::net::IpAddr;

use causeway_fastpath::address::Address;
use causeway_fastpath::ids::{Epoch, PoolId};
use causeway_fastpath::snapshot::Pool;

use super::policy::primary;
use super::{forwards, prefix};
use crate::config::{Config, Egress, PoolIdx, PortIdx};
use crate::domains::Domains;
use crate::places::Places;
use crate::rib;

/// Ports that masquerading takes on a port's own address: all but the well-known ones.
const MASQUERADE_PORTS: (u16, u16) = (1024, 65535);

/// The numbers of pools, which stay while what they belong to does: those of the file, behind
/// them those of the ports if they stand for clusters, and last those of static NAT.
#[derive(Clone, Debug)]
pub struct PoolIds(Places<Owner>);

/// What a pool belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    /// A `[[pool]]`, or `masquerade` and a port.
    Named(String),
    /// The address of a `[[static-nat]]`.
    Address(IpAddr),
}

impl PoolIds {
    /// Numbers the pools of a configuration.
    pub fn of(config: &Config) -> PoolIds {
        PoolIds(Places::new(owners(config)))
    }

    /// As [`Domains::followed`].
    pub(crate) fn followed(&self, config: &Config, next: Epoch, settled: Epoch) -> PoolIds {
        PoolIds(self.0.followed(owners(config), next, settled))
    }

    /// The number behind the last one.
    pub(crate) fn end(&self) -> PoolId {
        PoolId(self.0.len() as u16)
    }

    /// What people call it; nothing, if it is an address of static NAT.
    pub(crate) fn name(&self, pool: PoolId) -> &str {
        match self.0.name(pool.index()) {
            Owner::Named(name) => name,
            Owner::Address(_) => "",
        }
    }

    /// Is it in force, and has it a name?
    pub(crate) fn is_named(&self, pool: PoolId) -> bool {
        self.0.is_taken(pool.index()) && !self.name(pool).is_empty()
    }

    pub(super) fn of_pool(&self, config: &Config, pool: PoolIdx) -> PoolId {
        self.number(&Owner::Named(config.pools[pool.0].name.clone()))
    }

    /// The pool of a port, if somebody leaves by it under its address.
    pub(super) fn of_port(&self, config: &Config, domains: &Domains, port: PortIdx) -> Option<PoolId> {
        let stands_for_clusters = rib::stands_for_others(config, domains, port);
        stands_for_clusters.then(|| self.number(&of_port(&config.ports[port.0])))
    }

    pub(super) fn of_address(&self, address: IpAddr) -> PoolId {
        self.number(&Owner::Address(address))
    }

    fn number(&self, owner: &Owner) -> PoolId {
        PoolId(self.0.number(owner).expect("what a configuration has was given a number") as u16)
    }

    /// The pools of one family; those that are nobody's are empty.
    pub(super) fn pools<A: Address>(&self, config: &Config) -> Vec<Pool<A>> {
        let mut pools = vec![Pool::default(); self.0.len()];
        for (at, own) in config.pools.iter().enumerate() {
            pools[self.of_pool(config, PoolIdx(at)).index()] = pool(own);
        }
        for port in config.ports.iter().filter(|_| masquerades(config)) {
            pools[self.number(&of_port(port)).index()] = Pool {
                addresses: primary(port).into_iter().collect(),
                first_port: MASQUERADE_PORTS.0,
                last_port: MASQUERADE_PORTS.1,
                tcp: port.tcp,
                udp: port.udp,
                ..Pool::default()
            };
        }
        for nat in &config.static_nat {
            pools[self.of_address(nat.address).index()] = forwards::pool(nat);
        }
        pools
    }
}

fn owners(config: &Config) -> impl Iterator<Item = Owner> + '_ {
    let named = config.pools.iter().map(|pool| Owner::Named(pool.name.clone()));
    let ports = config.ports.iter().filter(|_| masquerades(config)).map(of_port);
    named.chain(ports).chain(config.static_nat.iter().map(|nat| Owner::Address(nat.address)))
}

/// No pool of a file has a name with a space.
fn of_port(port: &crate::config::Port) -> Owner {
    Owner::Named(format!("masquerade {}", port.name))
}

/// Whether anybody goes by the addresses of ports.
fn masquerades(config: &Config) -> bool {
    config.clusters.iter().any(|cluster| cluster.egress == Egress::Masquerade) || config.hides_strangers(None)
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
