//! The ports of another configuration in the order of those that are open.

use crate::config::{Config, NextHop, PortIdx, RouteKind};

/// Puts the ports of `config` into the order that they have in `running`, for a port's number
/// is its place. Nothing, if they are not the same ports.
pub(super) fn in_order_of(config: &mut Config, running: &Config) {
    let place = |name: &str| running.ports.iter().position(|port| port.name == name);
    let places: Option<Vec<usize>> = config.ports.iter().map(|port| place(&port.name)).collect();
    let Some(places) = places.filter(|places| places.len() == running.ports.len()) else {
        return;
    };
    let mut ports: Vec<_> = places.iter().zip(std::mem::take(&mut config.ports)).collect();
    ports.sort_unstable_by_key(|(place, _)| **place);
    config.ports = ports.into_iter().map(|(_, port)| port).collect();
    let put = |port: &mut PortIdx| port.0 = places[port.0];
    for route in &mut config.routes {
        if let RouteKind::Via(next_hops) = &mut route.kind {
            next_hops.iter_mut().for_each(|NextHop { port, .. }| put(port));
        }
    }
    for cluster in &mut config.clusters {
        cluster.ports.iter_mut().for_each(put);
        cluster.ports.sort_unstable();
        cluster.nodes.iter_mut().for_each(|node| put(&mut node.port));
    }
    config.neighbors.iter_mut().for_each(|neighbor| put(&mut neighbor.port));
}
