//! What rules have in common, and what else a configuration says to workers.

use std::sync::Arc;

use causeway_fastpath::address::Address;
use causeway_fastpath::nat::{EgressRule, SenderLimits};
use causeway_fastpath::snapshot::WELL_KNOWN_PORTS;

use crate::config::{Cluster, Timers};
use crate::rib::is_primary;

/// A rule as it is for pods of a cluster: what each may have, and what a cluster asked for.
pub(super) fn of_pods<A: Address>(rule: EgressRule<A>, cluster: &Cluster) -> EgressRule<A> {
    let (sessions, new_per_second) = (cluster.sessions_per_pod, cluster.new_sessions_per_pod_per_second);
    EgressRule { limits: SenderLimits { sessions, new_per_second }, picks_up: cluster.tcp_pick_up, ..rule }
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
