//! What from outside may begin, and what has an address of its own.

use causeway_fastpath::address::Address;
use causeway_fastpath::fib::Prefix;
use causeway_fastpath::ids::VrfId;
use causeway_fastpath::nat::{EgressAction, EgressRule, Forward, Forwards};
use causeway_fastpath::snapshot::Pool;

use super::PoolIds;
use super::policy::of_pods;
use crate::config::{Config, StaticNat};
use crate::domains::Domains;

/// The forwards of one family: ports, and whole addresses.
pub(super) fn forwards<A: Address>(config: &Config, domains: &Domains) -> Forwards<A> {
    let mut forwards = Forwards::new();
    for forward in &config.forwards {
        let (Some(public), Some(address)) = (A::from_ip(forward.address), A::from_ip(forward.to)) else {
            continue;
        };
        let vrf = domains.of_cluster(forward.cluster);
        for protocol in &forward.protocols {
            for port in forward.ports.clone() {
                let to_port = forward.to_port + (port - forward.ports.start());
                forwards.insert_port(public, protocol.number(), port, Forward { address, port: Some(to_port), vrf });
            }
        }
    }
    for nat in &config.static_nat {
        if let (Some(public), Some(address)) = (A::from_ip(nat.address), A::from_ip(nat.to)) {
            forwards.insert_address(public, Forward { address, port: None, vrf: domains.of_cluster(nat.cluster) });
        }
    }
    forwards
}

/// The pool of an address with static NAT, with every port: its owner keeps those it has.
/// Empty in the other family.
pub(super) fn pool<A: Address>(nat: &StaticNat) -> Pool<A> {
    Pool {
        addresses: A::from_ip(nat.address).into_iter().collect(),
        first_port: 1,
        keep_ports: true,
        other_protocols: true,
        ..Pool::default()
    }
}

/// Who in the domain leaves under an address of its own.
pub(super) fn egress_rules<A: Address>(
    config: &Config,
    domains: &Domains,
    pools: &PoolIds,
    domain: VrfId,
) -> Vec<EgressRule<A>> {
    let rule = |nat: &StaticNat| {
        let source = Prefix::host(A::from_ip(nat.to)?);
        let destination = Prefix::containing(A::default(), 0);
        let action = EgressAction::Translate(pools.of_address(nat.address));
        let rule = of_pods(EgressRule::new(source, destination, action), &config.clusters[nat.cluster.0]);
        (domains.of_cluster(nat.cluster) == domain).then_some(rule)
    };
    config.static_nat.iter().filter_map(rule).collect()
}
