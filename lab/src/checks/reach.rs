//! Who reaches whom, by which way, and as whom.

use std::time::Duration;

use super::{Evidence, Failure, Scene, require};
use crate::plan::{self, Family};
use crate::traffic;
use crate::world::Host;

const SOON: Duration = Duration::from_millis(300);

pub(super) fn ping_the_gateway(scene: &Scene<'_>) -> Result<Evidence, Failure> {
    let pod = scene.world.host("pod-a1");
    for family in Family::BOTH {
        let gateway = plan::GATEWAY_NODES.address(family);
        let figures = traffic::ping(pod, gateway, 3, 56, SOON)?;
        require(figures.received() == figures.sent, || {
            format!("{gateway} answered {} of {} pings", figures.received(), figures.sent)
        })?;
    }
    Ok(Evidence::new("answers for its own addresses, both families"))
}

pub(super) fn ping_the_server(scene: &Scene<'_>, family: Family) -> Result<Evidence, Failure> {
    let server = scene.world.host("server").address(family);
    let figures = traffic::ping(scene.world.host("pod-a1"), server, 10, 1000, SOON)?;
    let (sent, received) = (figures.sent, figures.received());
    require(sent == received, || format!("{received} of {sent} answered"))?;
    let (median, longest) = (figures.median().as_secs_f64(), figures.longest().as_secs_f64());
    let detail = format!("{sent} of {sent} answered, {:.2} ms median, {:.2} ms longest", median * 1e3, longest * 1e3);
    Ok(Evidence::new(detail).with("median", median, "s").with("longest", longest, "s"))
}

pub(super) fn pod_to_pod(scene: &Scene<'_>) -> Result<Evidence, Failure> {
    let (from, to) = (scene.world.host("pod-a1"), scene.world.host("pod-b1"));
    for family in Family::BOTH {
        require_own_source(from, to, family)?;
    }
    Ok(Evidence::new("routed, never translated, both families"))
}

pub(super) fn node_to_server(scene: &Scene<'_>) -> Result<Evidence, Failure> {
    let (from, to) = (scene.world.host("node-a"), scene.world.host("server"));
    for family in Family::BOTH {
        require_own_source(from, to, family)?;
    }
    Ok(Evidence::new("routed under the node's own address, both families"))
}

/// A short TCP exchange in which `to` must see the address that `from` has.
fn require_own_source(from: &Host, to: &Host, family: Family) -> Result<(), Failure> {
    let limit = Duration::from_secs(2);
    let figures = traffic::tcp_exchange(from, to, to.address(family), 1_000_000, 1_000_000, limit)?;
    require(figures.up.intact() && figures.down.intact(), || "what arrived is not what was sent".into())?;
    let (own, seen) = (from.address(family), figures.seen.ip());
    require(own == seen, || format!("{} saw {seen} instead of {own}", to.name()))
}

pub(super) fn traceroute(scene: &Scene<'_>, family: Family) -> Result<Evidence, Failure> {
    let server = scene.world.host("server").address(family);
    let hops = traffic::trace(scene.world.host("pod-a1"), server, 5, Duration::from_millis(500))?;
    let way: Vec<_> =
        hops.iter().map(|hop| hop.reporter.map_or_else(|| "*".into(), |reporter| reporter.to_string())).collect();
    let way = way.join(" > ");
    let gateway = plan::GATEWAY_NODES.address(family);
    require(hops.iter().any(|hop| hop.reporter == Some(gateway)), || format!("no {gateway} on the way: {way}"))?;
    let arrived = hops.last().is_some_and(|hop| hop.arrived && hop.reporter == Some(server));
    require(arrived, || format!("never arrived at {server}: {way}"))?;
    Ok(Evidence::new(way).with("hops", hops.len() as f64, "hops"))
}

pub(super) fn dns_lookup(scene: &Scene<'_>) -> Result<Evidence, Failure> {
    const NAME: &str = "www.example.test";
    let (pod, server) = (scene.world.host("pod-b1"), scene.world.host("server"));
    let mut slowest = Duration::ZERO;
    for family in Family::BOTH {
        let answer = traffic::resolve(pod, server, family, NAME, server.v4())?;
        require(answer.address == server.v4(), || format!("{NAME} resolved to {}", answer.address))?;
        scene.saw(answer.seen.ip())?;
        slowest = slowest.max(answer.round_trip);
    }
    let seconds = slowest.as_secs_f64();
    let detail = format!("{NAME} is {}, in {:.2} ms, over both families", server.v4(), seconds * 1e3);
    Ok(Evidence::new(detail).with("round trip", seconds, "s"))
}
