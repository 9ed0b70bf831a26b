//! What must not cross the shore.

use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

use super::{Evidence, Failure, Scene, require};
use crate::error::SetupError;
use crate::plan::{self, Family};
use crate::traffic::{self, Attempt, Bait};

/// How long an intruder tries, and how long a bait waits after it.
const TRY: Duration = Duration::from_millis(400);
/// UDP datagrams to each target.
const DATAGRAMS: u32 = 3;

pub(super) fn uninvited_to_the_pool(scene: &Scene<'_>) -> Result<Evidence, Failure> {
    let mut tried = 0;
    for family in Family::BOTH {
        let pool: Vec<_> = match plan::POOL.network(family) {
            ipnet::IpNet::V4(net) => first_addresses(net.network().into(), 8),
            ipnet::IpNet::V6(net) => first_addresses(net.network().into(), 8),
        };
        tried += pool.len();
        intrude(scene, family, &pool)?;
    }
    Ok(Evidence::new(format!("TCP and UDP to {tried} addresses from client: nothing arrived")))
}

pub(super) fn uninvited_to_a_pod(scene: &Scene<'_>) -> Result<Evidence, Failure> {
    for family in Family::BOTH {
        let pod = scene.world.host("pod-a1").address(family);
        let mut netlink = scene.world.host("client").netlink()?;
        let (to, via) = (plan::PODS.network(family), plan::GATEWAY_UPLINK.address(family));
        netlink.add_route(to, via)?;
        let intruded = intrude(scene, family, &[pod]);
        let removed: Result<(), SetupError> = netlink.delete_route(to, via);
        intruded?;
        removed?;
    }
    Ok(Evidence::new("TCP and UDP from client, which was given a route: nothing arrived"))
}

/// Lays a bait in `pod-a1` and has `client` try that port on all `targets` at once.
fn intrude(scene: &Scene<'_>, family: Family, targets: &[IpAddr]) -> Result<(), Failure> {
    let client = scene.world.host("client");
    let bait = Bait::lay(scene.world.host("pod-a1"), family)?;
    let port = bait.port()?;
    let attempts = thread::scope(|scope| {
        let intruders: Vec<_> = targets
            .iter()
            .map(|address| {
                let target = SocketAddr::new(*address, port);
                scope.spawn(move || {
                    traffic::throw_datagrams(client, target, DATAGRAMS)?;
                    traffic::connect_to(client, target, TRY).map(|attempt| (target, attempt))
                })
            })
            .collect();
        intruders
            .into_iter()
            .map(|intruder| intruder.join().expect("an intruder does not panic"))
            .collect::<Result<Vec<_>, _>>()
    })?;
    // TCP took its time, but an ICMP error may have cut it short.
    thread::sleep(TRY / 4);
    let caught = bait.caught()?;
    require(caught.is_empty(), || format!("arrived at pod-a1: {}", caught.join(", ")))?;
    let connected = attempts.iter().find(|(_, attempt)| *attempt == Attempt::Connected);
    connected.map_or(Ok(()), |(target, _)| Err(Failure::Wrong(format!("{target} accepted a connection"))))
}

pub(super) fn sources_seen_outside(scene: &Scene<'_>) -> Result<Evidence, Failure> {
    let strangers = scene.witness.strangers()?;
    require(strangers.is_empty(), || format!("the server saw packets from {}", list(&strangers)))?;
    let sources = scene.sources.lock().expect("no check panics with it");
    require(!sources.is_empty(), || "no conversation to look back on".into())?;
    require(sources.iter().all(|source| plan::POOL.contains(*source)), || {
        format!("not only pool addresses: {}", list(&*sources))
    })?;
    Ok(Evidence::new(format!("pods showed only pool addresses: {}", list(&*sources))))
}

fn list<'a>(addresses: impl IntoIterator<Item = &'a IpAddr>) -> String {
    let texts: Vec<_> = addresses.into_iter().map(IpAddr::to_string).collect();
    texts.join(", ")
}

/// `count` addresses from `first` on.
fn first_addresses(first: IpAddr, count: u8) -> Vec<IpAddr> {
    (0..count)
        .map(|offset| match first {
            IpAddr::V4(v4) => IpAddr::from((v4.to_bits() + u32::from(offset)).to_be_bytes()),
            IpAddr::V6(v6) => IpAddr::from((v6.to_bits() + u128::from(offset)).to_be_bytes()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pools_addresses_are_all_in_the_pool() {
        for family in Family::BOTH {
            let addresses = first_addresses(plan::POOL.network(family).addr(), 8);
            assert!(addresses.iter().all(|address| plan::POOL.contains(*address)));
            assert!(!plan::POOL.contains(first_addresses(addresses[7], 2)[1]));
        }
    }
}
