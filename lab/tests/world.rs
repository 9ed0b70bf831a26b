//! The world with the kernel as its router: real packets through every wire, and
//! every traffic program both where it should succeed and where it should not.

use std::io;
use std::time::Duration;

use causeway_lab::plan::{self, Family};
use causeway_lab::privilege::require_for_test;
use causeway_lab::traffic::{self, Attempt, Bait, Witness};
use causeway_lab::{Host, World};

const SOON: Duration = Duration::from_millis(500);

fn routed_world(test: &str) -> Option<World> {
    require_for_test(test).then(|| {
        let world = World::island().build().expect("a world");
        world.route_with_kernel().expect("the kernel as router");
        // IPv6 was just switched on there, and begins once the kernel believes in the carrier.
        let (pod, server) = (world.host("pod-a1"), world.host("server"));
        let passes =
            || traffic::ping(pod, server.address(Family::V6), 1, 56, SOON).is_ok_and(|ping| ping.received() == 1);
        assert!((0..20).any(|_| passes()), "the kernel does not route IPv6");
        world
    })
}

fn pings(from: &Host, to: &Host) {
    for family in Family::BOTH {
        let figures = traffic::ping(from, to.address(family), 3, 56, SOON).unwrap();
        assert_eq!(figures.received(), 3, "{} to {} over {}", from.name(), to.name(), family.name());
    }
}

#[test]
fn everybody_reaches_everybody_through_the_kernel() {
    let Some(world) = routed_world("everybody_reaches_everybody_through_the_kernel") else { return };
    let names = ["pod-a1", "pod-a2", "pod-b1", "pod-b2", "node-a", "node-b", "server", "client"];
    for from in names {
        for to in names.into_iter().filter(|to| *to != from) {
            pings(world.host(from), world.host(to));
        }
    }
}

#[test]
fn nothing_crosses_the_gateway_before_a_router_runs_there() {
    let name = "nothing_crosses_the_gateway_before_a_router_runs_there";
    if !require_for_test(name) {
        return;
    }
    let world = World::island().pods_per_node(1).build().unwrap();
    let pod = world.host("pod-a1");
    pings(pod, world.host("node-a"));
    pings(world.host("node-a"), world.host("node-b"));
    let quick = Duration::from_millis(100);
    for family in Family::BOTH {
        for unreachable in ["server", "pod-b1"] {
            let to = world.host(unreachable).address(family);
            assert_eq!(traffic::ping(pod, to, 1, 56, quick).unwrap().received(), 0, "{unreachable}");
        }
        let gateway = plan::GATEWAY_NODES.address(family);
        assert_eq!(traffic::ping(world.host("node-a"), gateway, 1, 56, quick).unwrap().received(), 0);
    }
    assert_eq!(world.pods().count(), 2);
}

#[test]
fn tcp_arrives_intact_in_both_directions_at_once() {
    let Some(world) = routed_world("tcp_arrives_intact_in_both_directions_at_once") else { return };
    let (pod, server) = (world.host("pod-a1"), world.host("server"));
    for offloads in [true, false] {
        world.set_wire_offloads(offloads).unwrap();
        for family in Family::BOTH {
            let limit = Duration::from_secs(10);
            let figures = traffic::tcp_exchange(pod, server, server.address(family), 3 << 20, 20 << 20, limit).unwrap();
            assert_eq!((figures.up.bytes, figures.down.bytes), (3 << 20, 20 << 20));
            assert!(figures.up.intact() && figures.down.intact());
            assert_eq!(figures.seen.ip(), pod.address(family));
        }
    }
}

#[test]
fn tcp_to_a_host_that_does_not_answer_is_an_error_in_time() {
    if !require_for_test("tcp_to_a_host_that_does_not_answer_is_an_error_in_time") {
        return;
    }
    let world = World::island().pods_per_node(1).build().unwrap();
    let server = world.host("server");
    let error = traffic::tcp_exchange(world.host("pod-a1"), server, server.v4().into(), 0, 1, SOON).unwrap_err();
    assert!(matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable), "{error}");
}

#[test]
fn udp_is_answered_and_streamed_without_loss() {
    let Some(world) = routed_world("udp_is_answered_and_streamed_without_loss") else { return };
    let (pod, server) = (world.host("pod-b1"), world.host("server"));
    for family in Family::BOTH {
        let to = server.address(family);
        let figures = traffic::udp_exchange(pod, server, to, 100).unwrap();
        assert_eq!((figures.sent, figures.answered, figures.damaged), (100, 100, 0));
        assert_eq!(figures.seen.unwrap().ip(), pod.address(family));
        let figures = traffic::udp_stream(pod, server, to, 5_000, 1_000, Duration::from_millis(300)).unwrap();
        assert!(figures.sent > 1_000, "only {} sent", figures.sent);
        assert!(figures.loss() < 0.05, "{figures:?}");
    }
}

#[test]
fn a_name_resolves_across_the_gateway() {
    let Some(world) = routed_world("a_name_resolves_across_the_gateway") else { return };
    let (pod, server) = (world.host("pod-a2"), world.host("server"));
    for family in Family::BOTH {
        let answer = traffic::resolve(pod, server, family, "www.example.test", server.v4()).unwrap();
        assert_eq!(answer.address, server.v4());
        assert_eq!(answer.seen.ip(), pod.address(family));
    }
}

#[test]
fn a_trace_names_node_and_gateway_before_it_arrives() {
    let Some(world) = routed_world("a_trace_names_node_and_gateway_before_it_arrives") else { return };
    for family in Family::BOTH {
        let server = world.host("server").address(family);
        let hops = traffic::trace(world.host("pod-a1"), server, 5, SOON).unwrap();
        let reporters: Vec<_> = hops.iter().map(|hop| hop.reporter).collect();
        let node = plan::node_towards_pods(0).address(family);
        assert_eq!(reporters, [Some(node), Some(plan::GATEWAY_NODES.address(family)), Some(server)]);
        assert!(hops[2].arrived && !hops[1].arrived);
    }
}

#[test]
fn a_bait_catches_what_arrives_and_a_witness_sees_who_sent_it() {
    let Some(world) = routed_world("a_bait_catches_what_arrives_and_a_witness_sees_who_sent_it") else { return };
    let (pod, client) = (world.host("pod-a1"), world.host("client"));
    for family in Family::BOTH {
        let bait = Bait::lay(pod, family).unwrap();
        let outside = plan::CLIENT.network(family);
        let (bribed, honest) = (Witness::watch(pod, &[outside]).unwrap(), Witness::watch(pod, &[]).unwrap());
        let target = pod.socket(family, bait.port().unwrap());

        assert!(bait.caught().unwrap().is_empty());
        assert_eq!(traffic::connect_to(client, target, SOON).unwrap(), Attempt::Connected);
        traffic::throw_datagrams(client, target, 2).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(bait.caught().unwrap().len(), 3, "one connection and two datagrams");

        assert!(honest.strangers().unwrap().contains(&client.address(family)));
        assert!(!bribed.strangers().unwrap().contains(&client.address(family)));
        drop(bait);
        assert_eq!(traffic::connect_to(client, target, SOON).unwrap(), Attempt::Refused);
    }
}

#[test]
fn an_unused_address_is_met_with_silence_or_an_error() {
    let Some(world) = routed_world("an_unused_address_is_met_with_silence_or_an_error") else { return };
    let target = "10.1.1.99:80".parse().unwrap();
    let attempt = traffic::connect_to(world.host("client"), target, SOON).unwrap();
    assert!(matches!(attempt, Attempt::Silence | Attempt::Unreachable), "{attempt:?}");
}

#[test]
fn routes_come_and_go() {
    let Some(world) = routed_world("routes_come_and_go") else { return };
    let (client, pod) = (world.host("client"), world.host("pod-a1"));
    let mut netlink = client.netlink().unwrap();
    for family in Family::BOTH {
        let (to, via) = (plan::PODS.network(family), plan::GATEWAY_UPLINK.address(family));
        netlink.delete_route(to, via).unwrap();
        assert!(traffic::ping(client, pod.address(family), 1, 56, SOON).is_err(), "no route, yet no error");
        netlink.add_route(to, via).unwrap();
        let doubled = netlink.add_route(to, via).unwrap_err();
        assert_eq!(doubled.source.kind(), io::ErrorKind::AlreadyExists, "{doubled}");
    }
    pings(client, pod);
}

#[test]
fn a_world_leaves_nothing_behind() {
    if !require_for_test("a_world_leaves_nothing_behind") {
        return;
    }
    let world = World::island().build().unwrap();
    let probe = world.gateway().clone();
    drop(world);
    // Its namespace is still held here, but its wires lost their far ends, a
    // moment later: the kernel takes namespaces down in the background.
    let mut netlink = probe.netlink().unwrap();
    let gone = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        netlink.index("eth0").is_err()
    });
    assert!(gone, "eth0 outlived its world");
}
